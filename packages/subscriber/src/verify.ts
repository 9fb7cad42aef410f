/**
 * Whether a transfer makes the release that it was announced as: every delta applied, every digest compared, the rules
 * sound. Pure: bytes and a rule set in, a rule set or the reason out; done in place or in the thread of verifier.ts.
 */

import {
  applyDelta,
  decodeChain,
  decodeManifest,
  ErrorCode,
  encodeChain,
  encodeSnapshot,
  PartKind,
  ProtocolError,
  partText,
  verifyRuleSet,
} from '@rulecast/protocol';
import { checkRuleSet, type ListChange, type ListChanges, type RuleSet } from '@rulecast/rules';

/** What is to be verified. Plain data. */
export interface Claim {
  /** What the stream starts from; the empty rule set for a snapshot. */
  readonly base: RuleSet;
  /** A chain of deltas. */
  readonly stream: Uint8Array;
  readonly manifestBytes: Uint8Array;
  /** Most entries and rules. */
  readonly entriesMax: number;
}

/** A rule set that a claim makes. */
export interface Verified {
  readonly ruleSet: RuleSet;
  /** What the last delta did to the lists that it patched. */
  readonly changes: ListChanges;
}

/** The rule set of a release. Throws ProtocolError, and RangeError where there is no room for it. */
export function verify({ base, stream, manifestBytes, entriesMax }: Claim): Verified {
  const deltas = decodeChain(stream);
  const changes = new Map<string, ListChange>();
  let ruleSet = base;
  for (const delta of deltas) {
    changes.clear();
    ruleSet = applyDelta(ruleSet, delta, entriesMax, (list, patch) => changes.set(list, patch));
  }
  verifyRuleSet(decodeManifest(manifestBytes), ruleSet);
  const fault = checkRuleSet(ruleSet).find((problem) => problem.severity === 'fault');
  if (fault !== undefined) {
    const part = partText({ kind: PartKind.policy, name: fault.part }); // lists by themselves have no faults
    throw new ProtocolError(ErrorCode.badRuleSet, fault.reason, { part });
  }
  return { ruleSet, changes };
}

/** A whole release as a stream that starts from nothing. */
export function snapshotStream(ruleSet: RuleSet): Uint8Array {
  return encodeChain([encodeSnapshot(ruleSet)]);
}
