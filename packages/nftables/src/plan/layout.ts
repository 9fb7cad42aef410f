/**
 * Layouts: how the prefixes of a column lie in the kernel. docs/contribute/adr/0008 has the measurements
 * behind the choice.
 *
 * A hash set answers for one prefix length, so a column of many lengths costs a lookup for each. Rare lengths
 * are therefore expanded into the next longer one that is kept (a /23 becomes two /24), as long as that adds
 * few elements. Members of a canonical column are disjoint, so that their expansions are, and a delta expands
 * to a delta.
 */

import { bitsOf, type Prefixes } from '@rulecast/rules';
import {
  BUCKETS_LOG2_MAX,
  BUCKETS_LOG2_MIN,
  EXPANSION_MIN,
  EXPANSION_SHARE,
  FEW_LENGTHS,
  ROOM_SHARE,
  SMALL_MEMBERS_MAX,
} from '../limits.ts';
import { type AddressSet, capacityOf, type Key, type Layout, type Tier, versionOf } from './plan.ts';

/** The set of a column that is loaded whole. */
export function newSet(key: Key, members: Prefixes): AddressSet {
  const { words, lengths } = members;
  const bytes = new Uint8Array(words.buffer, words.byteOffset, words.byteLength);
  return {
    key,
    members,
    layout: layoutOf(members),
    version: versionOf(bytes, lengths),
    delta: undefined,
  };
}

/** The layout of a column that is loaded whole. */
export function layoutOf(members: Prefixes): Layout {
  const counts = lengthCounts(members);
  const used = counts.reduce((sum, count) => sum + (count > 0 ? 1 : 0), 0);
  if (used > FEW_LENGTHS && members.lengths.length <= SMALL_MEMBERS_MAX) return { kind: 'interval' };
  const lengths = used > FEW_LENGTHS ? keptLengths(counts) : usedLengths(counts);
  return { kind: 'hash', tiers: tiersOf(counts, lengths) };
}

/** The lengths that a longest match over some prefixes is to keep, and what each holds at most. */
export function hashTiers(members: Prefixes): readonly Tier[] {
  const counts = lengthCounts(members);
  return tiersOf(counts, keptLengths(counts));
}

/** Whether the hash sets of a layout have room for a column. */
export function fitsLayout(members: Prefixes, layout: Layout): boolean {
  if (layout.kind === 'interval') return false;
  const kept = layout.tiers.map((tier) => tier.length);
  const loads = tierLoads(lengthCounts(members), kept);
  return (
    loads !== undefined && layout.tiers.every((tier, t) => (loads[t] ?? 0) <= capacityOf(tier.bucketsLog2))
  );
}

/** The number of elements in each hash tier for some prefixes, none of which is longer than the last tier. */
export function loadsOf(prefixes: Prefixes, tiers: readonly Tier[]): readonly number[] {
  return (
    tierLoads(
      lengthCounts(prefixes),
      tiers.map((tier) => tier.length),
    ) ?? []
  );
}

/** Puts `value` into the bits that end at bit `length` of the address at `at`. */
export function setLowBits(words: Uint32Array, at: number, length: number, value: number): void {
  for (let bit = length - 1, rest = value; rest > 0; bit--, rest = Math.floor(rest / 2)) {
    if (rest % 2 === 1) words[at + (bit >> 5)]! |= 1 << (31 - (bit & 31)); // bit >= 0: value < 2^(length - own)
  }
}

/** The number of members of each length. */
function lengthCounts({ family, lengths }: Prefixes): Uint32Array {
  const counts = new Uint32Array(bitsOf(family) + 1);
  // By index: an iterator takes ten times as long before it is compiled, and a list has a million.
  for (let i = 0; i < lengths.length; i++) counts[lengths[i]!]!++; // a length is at most the family's bits
  return counts;
}

function tiersOf(counts: Uint32Array, lengths: readonly number[]): readonly Tier[] {
  const loads = tierLoads(counts, lengths) ?? [];
  return lengths.map((length, t) => tierOf(length, loads[t] ?? 0));
}

/** A tier with room for so many elements. */
export function tierOf(length: number, elements: number): Tier {
  return { length, bucketsLog2: bucketsFor(elements) };
}

function bucketsFor(elements: number): number {
  let log2 = BUCKETS_LOG2_MIN;
  while (log2 < BUCKETS_LOG2_MAX && capacityOf(log2) < elements * (1 + ROOM_SHARE)) log2++;
  return log2;
}

/**
 * The number of elements for each kept length after expansion; undefined if a member is longer than all of
 * them.
 */
function tierLoads(counts: Uint32Array, kept: readonly number[]): number[] | undefined {
  const loads = kept.map(() => 0);
  let t = 0;
  for (const [length, count] of counts.entries()) {
    while (t < kept.length && (kept[t] ?? 0) < length) t++;
    if (count === 0) continue;
    if (t === kept.length) return undefined;
    loads[t] = (loads[t] ?? 0) + count * 2 ** ((kept[t] ?? 0) - length);
  }
  return loads;
}

/**
 * The fewest lengths to keep, ascending, so that expanding the others stays within the budget; of those, the
 * ones that expand least. Dynamic programming: best[k][j] is the least expansion of all lengths up to the
 * j-th used one, which is kept, with k lengths kept.
 */
function keptLengths(counts: Uint32Array): readonly number[] {
  const used = usedLengths(counts);
  const last = used.length - 1;
  const total = counts.reduce((sum, count) => sum + count, 0);
  const budget = Math.max(EXPANSION_MIN, total * EXPANSION_SHARE);
  let best = used.map((_, j) => expansion(counts, used, 0, j));
  const from: number[][] = [];
  while ((best[last] ?? 0) > budget) {
    const previous = best;
    const origin: number[] = [];
    best = used.map((_, j) => {
      let least = previous[j] ?? Number.POSITIVE_INFINITY;
      origin[j] = -1;
      for (let i = 0; i < j; i++) {
        const cost = (previous[i] ?? Number.POSITIVE_INFINITY) + expansion(counts, used, i + 1, j);
        if (cost < least) {
          least = cost;
          origin[j] = i;
        }
      }
      return least;
    });
    from.push(origin);
  }
  const kept = [used[last] ?? 0];
  for (let j = last, k = from.length - 1; k >= 0; k--) {
    const i = from[k]?.[j] ?? -1;
    if (i < 0) continue;
    kept.unshift(used[i] ?? 0);
    j = i;
  }
  return kept;
}

/** The lengths of some members, ascending; of none, the longest there is. */
function usedLengths(counts: Uint32Array): readonly number[] {
  const used = [...counts.keys()].filter((length) => (counts[length] ?? 0) > 0);
  return used.length > 0 ? used : [counts.length - 1];
}

/** Extra elements if the used lengths [first, last] all become the last of them. */
function expansion(counts: Uint32Array, used: readonly number[], first: number, last: number): number {
  let extra = 0;
  const target = used[last] ?? 0;
  for (let i = first; i < last; i++) {
    const length = used[i] ?? 0;
    extra += (counts[length] ?? 0) * (2 ** (target - length) - 1);
  }
  return extra;
}
