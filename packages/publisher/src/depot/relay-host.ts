/** The depot, as sessions with relays see it. DEPOT.md "Relays". */

import type { RelayHost } from '@rulecast/sessions';
import type { Depot } from './depot.ts';

/** `takeReports` undefined: no report is counted. */
export function relayHostOf(
  depot: Depot,
  takeReports: RelayHost['takeReports'] = async (reports) => reports.map(() => new Uint8Array()),
): RelayHost {
  return {
    get head() {
      return depot.head;
    },
    object: (reference) => depot.object(reference),
    onHead: (listener) => depot.onHead(listener),
    takeReports,
  };
}
