/**
 * Whether a transfer makes the release that it was announced as: every delta applied, every digest compared,
 * the rules sound. Pure: bytes and a rule set in, a rule set or the reason out.
 */

import {
  Budget,
  chainPieces,
  decodeManifest,
  ErrorCode,
  encodeChain,
  encodeSnapshot,
  PartKind,
  ProtocolError,
  partText,
  verifyRuleSet,
} from '@rulecast/protocol';
import {
  atOnce,
  checkRuleSet,
  type ListChange,
  type ListChanges,
  type RuleSet,
  RuleSetProblemCode,
} from '@rulecast/rules';

/** What is to be verified. */
export interface Claim {
  /** What the stream starts from, verified; the empty rule set for a snapshot. */
  readonly base: RuleSet;
  /** A chain of deltas. */
  readonly stream: Uint8Array;
  /** Signed. */
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

/**
 * What the key signed cannot be taken, however it comes: all else that is thrown here is a fault of the
 * stream.
 */
export class SignedFault extends ProtocolError {}

/**
 * The rule set of a release; `onWork` is called now and then. Throws ProtocolError, and RangeError where
 * there is no room for it.
 */
export function verify({ base, stream, manifestBytes, entriesMax }: Claim, onWork?: () => void): Verified {
  const manifest = decodeManifest(manifestBytes);
  const budget = new Budget(base, manifest, entriesMax, undefined, onWork);
  const changes = new Map<string, ListChange>();
  const ruleSet = atOnce(chainPieces(base, stream, budget, (list, patch) => changes.set(list, patch)));
  verifyRuleSet(manifest, ruleSet, base);
  const fault = checkRuleSet(ruleSet).find((problem) => problem.severity === 'fault');
  if (fault !== undefined) {
    const isOfList =
      fault.code === RuleSetProblemCode.reservedList || fault.code === RuleSetProblemCode.wildcards; // all else is about policies
    const list = ruleSet.lists.get(fault.part)?.kind === 'names' ? PartKind.nameList : PartKind.prefixList;
    const part = partText({ kind: isOfList ? list : PartKind.policy, name: fault.part });
    throw new SignedFault(ErrorCode.badRuleSet, fault.reason, { part });
  }
  return { ruleSet, changes };
}

/** A whole release as a stream that starts from nothing. */
export function snapshotStream(ruleSet: RuleSet): Uint8Array {
  return encodeChain([encodeSnapshot(ruleSet)]);
}
