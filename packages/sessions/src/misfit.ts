/** The capabilities that a firewall lacks for a release, by its HELLO. Pure. */

import { Capability } from '@rulecast/protocol';

/** A release that a firewall cannot enforce. */
export interface Misfit {
  readonly firewall: string;
  readonly code: string;
  /** The missing capability and a remedy. */
  readonly text: string;
}

/** Describes what a firewall lacks, with a remedy; only the first missing capability is named. */
export function misfitOf(firewall: string, lacking: readonly string[]): Misfit {
  const [code, text] = lackOf(lacking);
  return { firewall, code, text: `${firewall} ${text}` };
}

function lackOf(lacking: readonly string[]): readonly [string, string] {
  switch (lacking[0]) {
    case Capability.firewallNames:
      return [
        'needs-names',
        'has no rulecast-dns; start it with --names auto; on Mirage, which has none, let it follow a publisher of its own',
      ];
    case Capability.openedNames:
    case Capability.resolved:
      return ['needs-openings', 'opens nothing by name; start it with --enforce and --names auto'];
    default:
      return ['needs-upgrade', `does not know ${lacking.join(', ')}; upgrade it`];
  }
}
