/**
 * Whether a transfer makes the release that it was announced as: every delta applied, every digest compared,
 * the rules sound. Pure: bytes and a rule set in, a rule set or the reason out; done in place or in the
 * thread of verifier.ts.
 */

import {
  Budget,
  catalogueOf,
  cataloguePieces,
  chainPieces,
  contentOf,
  decodeManifest,
  ErrorCode,
  encodeChain,
  encodeSnapshot,
  HASH_BYTES,
  type Leaves,
  leavesIn,
  noteDigest,
  noteLeaves,
  PartKind,
  ProtocolError,
  partsOf,
  partText,
  verifyRuleSet,
} from '@rulecast/protocol';
import {
  atOnce,
  checkPieces,
  type ListChange,
  type ListChanges,
  type Pieces,
  type RuleSet,
  RuleSetProblemCode,
} from '@rulecast/rules';

/** What is to be verified. Plain data. */
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
export function verify(claim: Claim, onWork?: () => void): Verified {
  return atOnce(verifyPieces(claim, undefined, onWork));
}

/** The same in pieces; throws `over-budget` also where one takes more work than `pieceMost`. */
export function* verifyPieces(
  { base, stream, manifestBytes, entriesMax }: Claim,
  pieceMost?: number,
  onWork?: () => void,
): Pieces<Verified> {
  const manifest = decodeManifest(manifestBytes);
  const budget = new Budget(base, manifest, entriesMax, pieceMost, onWork);
  const changes = new Map<string, ListChange>();
  const ruleSet = yield* chainPieces(base, stream, budget, (list, patch) => changes.set(list, patch));
  yield* cataloguePieces(ruleSet, base); // which is what takes long of what comes now
  verifyRuleSet(manifest, ruleSet, base);
  const fault = (yield* checkPieces(ruleSet)).find((problem) => problem.severity === 'fault');
  if (fault !== undefined) {
    const isOfList =
      fault.code === RuleSetProblemCode.reservedList || fault.code === RuleSetProblemCode.wildcards; // all else is about policies
    const list = ruleSet.lists.get(fault.part)?.kind === 'names' ? PartKind.nameList : PartKind.prefixList;
    const part = partText({ kind: isOfList ? list : PartKind.policy, name: fault.part });
    throw new SignedFault(ErrorCode.badRuleSet, fault.reason, { part });
  }
  return { ruleSet, changes };
}

/** The digests of the parts of a rule set, one after the other, in their order. */
export function digestsOf(ruleSet: RuleSet): Uint8Array {
  return Buffer.concat(catalogueOf(ruleSet).records.map(({ digest }) => digest));
}

/** Takes over digests that were computed of what this rule set is a copy of. */
export function noteDigests(ruleSet: RuleSet, digests: Uint8Array): void {
  for (const [i, part] of partsOf(ruleSet).entries())
    noteDigest(part, digests.slice(i * HASH_BYTES, (i + 1) * HASH_BYTES));
}

/** Of a part, by its place among all, the leaves of what it was hashed by. */
export type PartLeaves = readonly (readonly [at: number, leaves: readonly (Leaves | undefined)[]])[];

/** Fewer leaves of a part are hashed anew in less time than it takes to hand them over. */
const LEAVES_LEAST = 16;

/** Of the parts that `base` has not, or not as they are, and that took long to hash. */
export function leavesFrom(base: RuleSet, ruleSet: RuleSet): PartLeaves {
  const old = new Set(partsOf(base).map(contentOf));
  return partsOf(ruleSet).flatMap((part, at) => {
    if (old.has(contentOf(part))) return [];
    const leaves = leavesIn(part);
    const isLong = leaves.some((one) => one !== undefined && one.ends.length >= LEAVES_LEAST);
    return isLong ? [[at, leaves] as const] : [];
  });
}

/** Takes over leaves of what this is a copy of: so the first delta upon it hashes its own alone. */
export function takeLeaves(ruleSet: RuleSet, all: PartLeaves): void {
  const parts = all.length === 0 ? [] : partsOf(ruleSet);
  for (const [at, leaves] of all) {
    const part = parts[at];
    if (part !== undefined) noteLeaves(part, leaves);
  }
}

/** A whole release as a stream that starts from nothing. */
export function snapshotStream(ruleSet: RuleSet): Uint8Array {
  return encodeChain([encodeSnapshot(ruleSet)]);
}
