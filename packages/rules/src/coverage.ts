/** How much of the Internet a set of prefixes covers, whatever the number of its entries. */

import { columnFor, intersectPrefixes, type PrefixSet } from './list.ts';
import type { Family, Prefixes } from './prefix.ts';
import { specialPurposeSpace } from './special-purpose.ts';

/** What was computed of a column stays true of it: columns are immutable. */
const shares = new WeakMap<Prefixes, number>();

/**
 * The share, 0 to 1, that a set holds of the addresses of a family outside special-purpose space. Linear at
 * the first call for a set. For a guard, not for an account: it is exact to 2^-50 of the family.
 */
export function routableShare(set: PrefixSet, family: Family): number {
  const column = columnFor(set, family);
  let share = shares.get(column);
  if (share === undefined) {
    share = routablePart(column, columnFor(specialPurposeSpace(), family));
    shares.set(column, share);
  }
  return share;
}

function routablePart(column: Prefixes, special: Prefixes): number {
  const held = partOfSpace(column) - partOfSpace(intersectPrefixes(column, special));
  return Math.min(1, Math.max(0, held / (1 - partOfSpace(special))));
}

/** The share of its family that a column holds; members are disjoint. */
function partOfSpace({ lengths }: Prefixes): number {
  let part = 0;
  for (const length of lengths) part += 2 ** -length;
  return part;
}
