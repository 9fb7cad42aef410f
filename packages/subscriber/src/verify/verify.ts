/**
 * Checks that a transfer makes the release it was announced as: applies every delta, compares every digest,
 * and checks the rules. Pure: bytes and a rule set in, a rule set or the reason out.
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

/** The transfer to verify. */
export interface Claim {
  /** The base of the stream, verified; the empty rule set for a snapshot. */
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
  /** The changes of the last delta to the lists that it patched. */
  readonly changes: ListChanges;
}

/**
 * The signed release itself cannot be applied, whatever the transfer; any other error thrown here is the
 * stream's fault.
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
      // all other faults are in policies
      fault.code === RuleSetProblemCode.reservedList || fault.code === RuleSetProblemCode.wildcards;
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
