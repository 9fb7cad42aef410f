/**
 * Addresses that a downloaded block list must not contain, as blocking them would cut off its user; they are
 * removed from it.
 */

import {
  columnFor,
  combineSets,
  formatPrefixAt,
  intersectPrefixes,
  memberContaining,
  type PrefixSet,
  parsePrefix,
  prefixAt,
  prefixCount,
  prefixSetOf,
  subtractPrefixes,
} from '@rulecast/rules';

/** The addresses, with reasons. */
const NEVER_BLOCK = [
  '10.139.1.1/32', // the DNS addresses of every qube; a documented part of Qubes' network
  '10.139.1.2/32',
  '10.0.0.0/8', // RFC 1918
  '172.16.0.0/12',
  '192.168.0.0/16',
  'fc00::/7', // RFC 4193, private IPv6, which Qubes gives its qubes
  '127.0.0.0/8', // RFC 1122, loopback
  '::1/128',
  '169.254.0.0/16', // RFC 3927, link-local
  'fe80::/10',
  '224.0.0.0/4', // RFC 5771, multicast
  'ff00::/8',
];

/** The built-in never-block set. */
export function defaultNeverBlock(): PrefixSet {
  return prefixSetOf(
    NEVER_BLOCK.map((text) => {
      const prefix = parsePrefix(text);
      if (typeof prefix === 'string') throw new TypeError(`${text} is no prefix`);
      return prefix;
    }),
  );
}

/** The addresses removed from a list. */
export interface Protected {
  /** Entries of the list that held protected addresses. */
  readonly entryCount: number;
  /** The first of the protected prefixes that were in the list. */
  readonly examples: readonly string[];
}

const EXAMPLES_MAX = 4;

/**
 * A list without addresses that must never be blocked, and the removed ones. Returns the list itself if it
 * has none of them.
 */
export function withoutProtected(
  list: PrefixSet,
  neverBlock: PrefixSet,
): { readonly set: PrefixSet; readonly taken: Protected | undefined } {
  const hit = combineSets(intersectPrefixes, list, neverBlock);
  if (prefixCount(hit) === 0) return { set: list, taken: undefined };
  const set = combineSets(subtractPrefixes, list, neverBlock);
  const examples = [hit.v4, hit.v6]
    .flatMap((column) =>
      Array.from({ length: Math.min(EXAMPLES_MAX, column.lengths.length) }, (_, i) =>
        formatPrefixAt(column, i),
      ),
    )
    .slice(0, EXAMPLES_MAX);
  return { set, taken: { entryCount: touchedCount(list, hit), examples } };
}

/** In how many members of a list the members of its intersection with something lie. */
function touchedCount(list: PrefixSet, hit: PrefixSet): number {
  let touched = 0;
  for (const family of [4, 6] as const) {
    const column = columnFor(list, family);
    const hits = columnFor(hit, family);
    let last = -1;
    for (let i = 0; i < hits.lengths.length; i++) {
      const owner = memberContaining(column, prefixAt(hits, i).words);
      if (owner !== last) touched++;
      last = owner;
    }
  }
  return touched;
}
