/**
 * Digests of parts: the root over the hashes of its leaves. A digest is computed once for each value; for a
 * value made from another, only the differing leaves are hashed. CONTENT.md "Digests".
 *
 *   prefix list   RDP1 | v4 count u32 | v4 leaves u32 | v6 count u32 | v6 leaves u32 | hashes v4 | hashes v6
 *   name list     RDN2 | resolve u8 | (count u32, leaves u32) × 2 | hashes × 2        entries, then exceptions
 *   policy        RDQ1 | default u8 | digest of its prefixes as a list 32 | (rules u32, leaves u32) × 4 | hashes × 4
 *   resolutions   RDA1 | count u32 | leaves u32 | hashes
 *   unmatched     RDU1 | action u8
 *   leaf          RLP4, RLP6, RLN1, RLQ1, RLA1 | count u32 | entries
 */

import { hash } from 'node:crypto';
import {
  commonEnds,
  compareWordsAt,
  keyEnd,
  type Names,
  namesOf,
  type Policy,
  type Prefixes,
  type PrefixSet,
  type RuleForm,
  type Runs,
  ruleCount,
  runOfRule,
  strideOf,
} from '@rulecast/rules';
import { bytesOfWords } from '../bytes/words.ts';
import { ByteWriter } from '../bytes/writer.ts';
import { HASH_BYTES } from '../limits.ts';
import { resolveCode, sortedResolutions } from './canonical.ts';
import {
  addressKeys,
  byteKeys,
  cutSorted,
  FNV_START,
  fnvByte,
  fnvBytes,
  fnvWord,
  LEAF_ENTRIES,
  RULE_LEAF,
  RuleCutter,
  type RuleLeafLimits,
} from './leaf.ts';
import { type Part, PartKind, type Resolutions } from './part.ts';
import { formBytes, writeAction, writeBase, writeRules } from './policy.ts';
import { prefixBytes, writePrefixSet } from './prefix.ts';

/** The ends of leaves, ascending, and their hashes, one after the other. */
export interface Leaves {
  readonly ends: Uint32Array;
  readonly hashes: Uint8Array;
  /** For names: the ends of leaves in their bytes. */
  readonly byteEnds?: Uint32Array;
}

const NO_LEAVES: Leaves = { ends: new Uint32Array(0), hashes: new Uint8Array(0) };

/** An object for each action, as cache keys must be objects. */
const UNMATCHED_CONTENT = { accept: { action: 'accept' }, drop: { action: 'drop' } } as const;

/** Digests of the immutable values they belong to: a list, a policy, or a map of resolutions. */
const digests = new WeakMap<object, Uint8Array>();
/** Leaves of columns, of names and of runs. */
const leavesOf = new WeakMap<object, Leaves>();

/**
 * The digest of a part, 32 bytes, not to be written to. It is computed once for each list, policy or map of
 * resolutions, which therefore must not change afterwards. `before` is what the part was made of, if its
 * digest is known: leaves that are in both are not hashed again.
 */
export function digestOf(part: Part, before?: Part): Uint8Array {
  const content = contentOf(part);
  const known = digests.get(content);
  if (known !== undefined) return known;
  const digest = computed(part, before);
  digests.set(content, digest);
  return digest;
}

/**
 * The immutable value that a part carries: unchanged exactly if it is the same object, or has the same
 * digest.
 */
export function contentOf(part: Part): object {
  switch (part.kind) {
    case PartKind.prefixList:
    case PartKind.nameList:
      return part.list;
    case PartKind.policy:
      return part.policy;
    case PartKind.resolutions:
      return part.resolutions;
    case PartKind.unmatched:
      return UNMATCHED_CONTENT[part.unmatched];
  }
}

function computed(part: Part, before: Part | undefined): Uint8Array {
  switch (part.kind) {
    case PartKind.prefixList:
    case PartKind.nameList: {
      const old = before !== undefined && 'list' in before ? before.list : undefined;
      if (part.list.kind === 'prefixes')
        return prefixSetDigest(part.list, old?.kind === 'prefixes' ? old : undefined);
      const { names, exceptions, resolve } = part.list;
      const was = old?.kind === 'names' ? old : undefined;
      const leaves = [nameLeaves(names, was?.names), nameLeaves(exceptions, was?.exceptions)];
      const head = Uint8Array.of(resolveCode(resolve));
      return root('RDN2', [names.count, exceptions.count], leaves, head);
    }
    case PartKind.policy:
      return policyDigest(part.policy, before?.kind === PartKind.policy ? before.policy : undefined);
    case PartKind.resolutions:
      return root('RDA1', [part.resolutions.size], [resolutionLeaves(part.resolutions)]);
    case PartKind.unmatched: {
      const writer = new ByteWriter();
      writer.ascii('RDU1');
      writeAction(writer, part.unmatched);
      return sha256(writer.take());
    }
  }
}

function prefixSetDigest(set: PrefixSet, before?: PrefixSet): Uint8Array {
  const columns = [columnLeaves(set.v4, before?.v4), columnLeaves(set.v6, before?.v6)];
  return root('RDP1', [set.v4.lengths.length, set.v6.lengths.length], columns);
}

function policyDigest(policy: Policy, before: Policy | undefined): Uint8Array {
  const { prefixes } = policy;
  const [blocks, old] = [policy, before].map((one) => {
    return one && [one.egress, one.ingress, one.exceptions.egress, one.exceptions.ingress];
  }) as [readonly Runs[], readonly Runs[] | undefined]; // the first one exists
  const head = new ByteWriter();
  writeBase(head, policy);
  head.bytes(prefixSetDigest(prefixes));
  return root(
    'RDQ1',
    blocks.map(ruleCount),
    blocks.map((runs, at) => ruleLeaves(runs, old?.[at])),
    head.take(),
  );
}

/** A root: tag, head, counts of entries and of leaves, then the hashes of all leaves. */
export function root(
  tag: string,
  counts: readonly number[],
  leaves: readonly Leaves[],
  head: Uint8Array = new Uint8Array(0),
): Uint8Array {
  const writer = new ByteWriter(64 + leaves.reduce((sum, { hashes }) => sum + hashes.length, 0));
  writer.ascii(tag);
  writer.bytes(head);
  for (const [i, count] of counts.entries()) {
    writer.u32(count);
    writer.u32(leaves[i]?.ends.length ?? 0); // one for each count
  }
  for (const { hashes } of leaves) writer.bytes(hashes);
  return sha256(writer.take());
}

/** The leaves of a sorted column; `before` is the column it was made of. */
export function columnLeaves(
  column: Prefixes,
  before?: Prefixes,
  most: number = column.family === 4 ? LEAF_ENTRIES.v4 : LEAF_ENTRIES.v6,
): Leaves {
  if (column.lengths.length === 0) return NO_LEAVES;
  const known = leavesOf.get(column.words);
  if (known !== undefined) return known;
  const stride = strideOf(column.family);
  const ends = cutSorted(addressKeys(column.words, stride), most);
  const hashes = new Uint8Array(ends.length * HASH_BYTES);
  const old = before === undefined ? undefined : new OldColumn(before);
  const scratch = new Uint8Array(8 + Math.min(most, column.lengths.length) * prefixBytes(column.family));
  let start = 0;
  for (const [i, end] of ends.entries()) {
    const leaf = old?.hashOf(column, start, end) ?? sha256(columnLeaf(scratch, column, start, end));
    hashes.set(leaf, i * HASH_BYTES);
    start = end;
  }
  const leaves = { ends, hashes };
  leavesOf.set(column.words, leaves);
  return leaves;
}

function columnLeaf(scratch: Uint8Array, column: Prefixes, start: number, end: number): Uint8Array {
  const { family, words, lengths } = column;
  const stride = strideOf(family);
  const wordBytes = (end - start) * stride * 4;
  scratch.set(family === 4 ? RLP4 : RLP6);
  new DataView(scratch.buffer).setUint32(4, end - start, true);
  scratch.set(bytesOfWords(words.subarray(start * stride, end * stride)), 8);
  scratch.set(lengths.subarray(start, end), 8 + wordBytes);
  return scratch.subarray(0, 8 + wordBytes + end - start);
}

const RLP4 = Buffer.from('RLP4', 'latin1');
const RLP6 = Buffer.from('RLP6', 'latin1');

/** The leaves of the column that this one was made from, to be looked up in ascending order. */
class OldColumn {
  readonly #column: Prefixes;
  readonly #leaves: Leaves | undefined;
  #at = 0; // the first leaf not below the last lookup

  constructor(column: Prefixes) {
    this.#column = column;
    this.#leaves = leavesOf.get(column.words);
  }

  /**
   * The hash of the leaf with the entries from `start` to `end` of another column; undefined: there is none.
   */
  hashOf(column: Prefixes, start: number, end: number): Uint8Array | undefined {
    const leaves = this.#leaves;
    if (leaves === undefined) return undefined;
    const { words, lengths } = this.#column;
    const stride = strideOf(column.family);
    for (; this.#at < leaves.ends.length; this.#at++) {
      const from = leaves.ends[this.#at - 1] ?? 0;
      const order = compareWordsAt(words, from, column.words, start, stride);
      if (order > 0) return undefined;
      if (order < 0) continue;
      const to = leaves.ends[this.#at]!; // at < length
      const isSame =
        to - from === end - start &&
        isEqual(
          words.subarray(from * stride, to * stride),
          column.words.subarray(start * stride, end * stride),
        ) &&
        isEqual(lengths.subarray(from, to), column.lengths.subarray(start, end));
      return isSame ? leaves.hashes.subarray(this.#at * HASH_BYTES, (this.#at + 1) * HASH_BYTES) : undefined;
    }
    return undefined;
  }
}

function isEqual(a: Uint32Array | Uint8Array, b: Uint32Array | Uint8Array): boolean {
  return (
    Buffer.compare(
      new Uint8Array(a.buffer, a.byteOffset, a.byteLength),
      new Uint8Array(b.buffer, b.byteOffset, b.byteLength),
    ) === 0
  );
}

/** The leaves of a column of names; `before` is the column it was made of. */
export function nameLeaves(names: Names, before?: Names, most: number = LEAF_ENTRIES.names): Leaves {
  const known = leavesOf.get(names);
  if (known !== undefined) return known;
  const starts = keyStarts(names);
  const keyAt = (i: number): Uint8Array => names.bytes.subarray(starts[i], starts[i + 1]);
  const old = before === undefined ? undefined : new OldNames(before);
  const hashed = leavesBy(cutSorted(byteKeys(names.count, keyAt), most), (start, end) => {
    const bytes = names.bytes.subarray(starts[start], starts[end]);
    return old?.hashOf(bytes) ?? sha256(nameLeaf(bytes, end - start));
  });
  const byteEnds = Uint32Array.from(hashed.ends, (end) => starts[end]!); // an end is at most the count
  const leaves = { ...hashed, byteEnds };
  leavesOf.set(names, leaves);
  return leaves;
}

/** The starts of keys, and the end of the last one. */
function keyStarts({ count, bytes }: Names): Uint32Array {
  const starts = new Uint32Array(count + 1);
  for (let i = 0; i < count; i++) starts[i + 1] = keyEnd(bytes, starts[i]!); // i <= count
  return starts;
}

function nameLeaf(keys: Uint8Array, count: number): Uint8Array {
  const writer = new ByteWriter(8 + keys.length);
  writer.ascii('RLN1');
  writer.u32(count);
  writer.bytes(keys);
  return writer.take();
}

/** The leaves of the column of names that this one was made from, to be looked up in ascending order. */
class OldNames {
  readonly #bytes: Uint8Array;
  readonly #leaves: Leaves | undefined;
  readonly #ends: Uint32Array; // of leaves, in the bytes
  #at = 0; // the first leaf not below the last lookup

  constructor(names: Names) {
    this.#bytes = names.bytes;
    this.#leaves = leavesOf.get(names);
    this.#ends = this.#leaves?.byteEnds ?? new Uint32Array(0);
  }

  /** The hash of the leaf with just these keys; undefined: there is none. */
  hashOf(keys: Uint8Array): Uint8Array | undefined {
    for (; this.#at < this.#ends.length; this.#at++) {
      const from = this.#ends[this.#at - 1] ?? 0;
      const own = this.#bytes.subarray(from, this.#ends[this.#at]);
      const order = Buffer.compare(own, keys);
      if (order === 0)
        return this.#leaves?.hashes.subarray(this.#at * HASH_BYTES, (this.#at + 1) * HASH_BYTES);
      if (order > 0) return undefined;
    }
    return undefined;
  }
}

function resolutionLeaves(resolutions: Resolutions): Leaves {
  const sorted = sortedResolutions(resolutions);
  const keys = byteKeys(sorted.length, (i) => namesOf([sorted[i]![0]]).bytes); // i < length
  return leavesBy(cutSorted(keys, LEAF_ENTRIES.resolutions), (start, end) => {
    const writer = new ByteWriter();
    writer.ascii('RLA1');
    writer.u32(end - start);
    for (const [name, set] of sorted.slice(start, end)) {
      writer.shortText(name);
      writePrefixSet(writer, set);
    }
    return sha256(writer.take());
  });
}

export function leavesBy(ends: Uint32Array, hashOf: (start: number, end: number) => Uint8Array): Leaves {
  const hashes = new Uint8Array(ends.length * HASH_BYTES);
  let start = 0;
  for (const [i, end] of ends.entries()) {
    hashes.set(hashOf(start, end), i * HASH_BYTES);
    start = end;
  }
  return { ends, hashes };
}

/**
 * The leaves of the rules of some runs. `before` is what they were made of: leaves are cut and hashed again
 * from where both differ to where both are cut alike.
 */
export function ruleLeaves(runs: Runs, before?: Runs, limits: RuleLeafLimits = RULE_LEAF): Leaves {
  if (runs.count === 0) return NO_LEAVES;
  const known = leavesOf.get(runs);
  if (known !== undefined) return known;
  const old = before === undefined ? undefined : leavesOf.get(before);
  const leaves =
    before === undefined || old === undefined
      ? leavesFrom(runs, 0, limits, () => false)
      : ruleLeavesAfter(runs, before, old, limits);
  leavesOf.set(runs, leaves);
  return leaves;
}

function ruleLeavesAfter(runs: Runs, before: Runs, old: Leaves, limits: RuleLeafLimits): Leaves {
  const { head, tail } = commonEnds(before, runs);
  const shift = ruleCount(runs) - ruleCount(before);
  // The last leaf of all may end for want of rules.
  const kept = Math.min(old.ends.length - 1, countUpTo(old.ends, head));
  const tailFrom = ruleCount(runs) - tail;
  let rest = old.ends.length; // the first of the old leaves that is unchanged again
  const own = leavesFrom(runs, kept > 0 ? old.ends[kept - 1]! : 0, limits, (end) => {
    const at = countUpTo(old.ends, end - shift);
    if (end < tailFrom || at === 0 || old.ends[at - 1] !== end - shift) return false;
    rest = at;
    return true;
  });
  const ends = new Uint32Array(kept + own.ends.length + old.ends.length - rest);
  ends.set(old.ends.subarray(0, kept));
  ends.set(own.ends, kept);
  for (let at = rest; at < old.ends.length; at++)
    ends[kept + own.ends.length + at - rest] = old.ends[at]! + shift; // at < length
  const hashes = [
    old.hashes.subarray(0, kept * HASH_BYTES),
    own.hashes,
    old.hashes.subarray(rest * HASH_BYTES),
  ];
  return { ends, hashes: Buffer.concat(hashes) };
}

/** How many of ascending numbers are at most `most`. */
function countUpTo(numbers: Uint32Array, most: number): number {
  let [low, high] = [0, numbers.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (numbers[middle]! <= most)
      low = middle + 1; // middle < length
    else high = middle;
  }
  return low;
}

/** The leaves from a rule on, at which one begins, to the first for which `isLast` holds, or to the end. */
function leavesFrom(
  runs: Runs,
  from: number,
  limits: RuleLeafLimits,
  isLast: (end: number) => boolean,
): Leaves {
  const cutter = new RuleCutter(limits);
  const { starts } = runs;
  const heads = runs.forms.map(formBytes);
  const states = heads.map((head, at) => ruleState(head, runs.forms[at]!)); // as many
  const ends: number[] = [];
  const hashes: Uint8Array[] = [];
  let body = new ByteWriter();
  let begun = from;
  const close = (end: number): void => {
    const leaf = new ByteWriter(8 + body.length);
    leaf.ascii('RLQ1');
    leaf.u32(end - begun);
    leaf.bytes(body.take());
    hashes.push(sha256(leaf.take()));
    ends.push(end);
    body = new ByteWriter();
    begun = end;
  };
  const built = (): Leaves => ({ ends: Uint32Array.from(ends), hashes: Buffer.concat(hashes) });
  for (let run = runOfRule(runs, from); run < runs.count; run++) {
    const [first, end] = [starts[run]!, starts[run + 1]!]; // one more than runs, here and below
    const [word, wordEnd] = [runs.wordStarts[run]!, runs.wordStarts[run + 1]!];
    const stride = (wordEnd - word) / (end - first);
    let written = Math.max(first, from);
    for (let rule = written; rule < end; rule++) {
      let state = states[runs.formOf[run]!]!;
      for (let w = 0; w < stride; w++)
        state = fnvWord(state, runs.words[word + (rule - first) * stride + w]!);
      if (stride > 0) state = fnvByte(state, runs.lengths[rule]!);
      if (!cutter.endsAfter(state)) continue;
      writeRules(body, heads, runs, run, written, rule + 1);
      written = rule + 1;
      close(written);
      if (isLast(written)) return built();
    }
    if (written < end) writeRules(body, heads, runs, run, written, end);
  }
  if (ruleCount(runs) > begun) close(ruleCount(runs));
  return built();
}

/** FNV-1a of the first bytes of a one-rule run of a form; of all its bytes if it has no prefix. */
function ruleState(head: Uint8Array, { remote }: RuleForm): number {
  const state = fnvBytes(FNV_START, head);
  return remote.kind === 'prefixes' ? fnvWord(state, 1) : state;
}

export function sha256(bytes: Uint8Array): Uint8Array {
  return Uint8Array.from(hash('sha256', bytes, 'buffer'));
}
