/** Verifying without a thread, whatever it takes: for worlds in which nothing runs beside. */

import type { RuleSet } from '@rulecast/rules';
import type { ReleaseVerifier } from '../src/apply/activator.ts';
import { type Claim, snapshotStream, type Verified, verify } from '../src/verify/verify.ts';

export class InPlaceVerifier implements ReleaseVerifier {
  expect(): void {
    // There is nothing to make ready.
  }

  async verify(claim: Claim): Promise<Verified> {
    return verify(claim);
  }

  async snapshot(ruleSet: RuleSet): Promise<Uint8Array> {
    return snapshotStream(ruleSet);
  }

  async close(): Promise<void> {
    // Nothing is under way beside.
  }
}
