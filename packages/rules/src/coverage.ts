/** How much of the Internet a set of prefixes covers, whatever the number of its entries. */

import { containsAt, type Family, type Prefixes, strideOf } from './prefix.ts';
import { columnFor, firstFrom, memberContaining, type PrefixSet } from './prefix-set.ts';
import { specialPurposeSpace } from './special-purpose.ts';

/** Cached by column, as columns are immutable: every policy asks for the lists in its rules. */
const largestShares = new WeakMap<Prefixes, number>();

/** The larger of the shares that a column holds of its family, and of the Internet in it. Linear once. */
export function largestShare(column: Prefixes): number {
  const known = largestShares.get(column);
  if (known !== undefined) return known;
  const share = Math.max(partOfSpace(column), routablePart(column));
  largestShares.set(column, share);
  return share;
}

/**
 * The share, 0 to 1, that a set holds of the addresses of a family outside special-purpose space. Linear. For
 * a guard, not for an account: it is exact to 2^-50 of the family.
 */
export function routableShare(set: PrefixSet, family: Family): number {
  return routablePart(columnFor(set, family));
}

function routablePart(column: Prefixes): number {
  const special = columnFor(specialPurposeSpace(), column.family);
  const held = partOfSpace(column) - partWithin(column, special);
  return Math.min(1, Math.max(0, held / (1 - partOfSpace(special))));
}

/** By length of a prefix: the share of its family that one prefix covers. */
const SHARES = Float64Array.from({ length: 129 }, (_, length) => 2 ** -length);

/** The share of its family that a column holds; members are disjoint, so that it is exact down to 2^-52. */
export function partOfSpace({ lengths }: Prefixes): number {
  return partOfLengths(lengths);
}

/** The share of their family that prefixes of the lengths [from, to) have, each counted for itself. */
export function partOfLengths(lengths: Uint8Array, from = 0, to = lengths.length): number {
  let part = 0;
  for (let i = from; i < to; i++) part += SHARES[lengths[i]!]!; // 0 to 128
  return part;
}

/** The share of its family that a column holds within a few blocks: these are looked up in it. */
function partWithin(column: Prefixes, blocks: Prefixes): number {
  const stride = strideOf(column.family);
  const count = column.lengths.length;
  let part = 0;
  blocks.lengths.forEach((length, block) => {
    const words = blocks.words.subarray(block * stride, (block + 1) * stride);
    const around = memberContaining(column, words);
    if (around >= 0 && column.lengths[around]! <= length) part += SHARES[length]!;
    else
      for (
        let i = firstFrom(column, 0, count, words);
        i < count && containsAt(blocks, block, column.words, i);
        i++
      )
        part += SHARES[column.lengths[i]!]!;
  });
  return part;
}
