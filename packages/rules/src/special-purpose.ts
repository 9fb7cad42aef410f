/**
 * Special-purpose address space: what IANA's registries reserve, so that no host of the Internet has an
 * address in it. A list that holds it, as lists of bogons do, blocks nobody there; guards that ask how much
 * of the Internet a list covers leave it out.
 *
 * IPv4: the special-purpose registry (RFC 6890), but for what is globally reachable there, and multicast (RFC
 * 5771). IPv6: all that is not global unicast, 2000::/3 (RFC 4291 §2.4), and what the special-purpose
 * registry sets apart within that.
 */

import { type Family, type Prefix, parsePrefix } from './prefix.ts';
import { columnFor, memberContaining, type PrefixSet, prefixSetOf } from './prefix-set.ts';

/** Adjacent blocks are joined, so that each reserved block lies within one of these. */
const SPECIAL_PURPOSE_PREFIXES = [
  '0.0.0.0/8', // RFC 791, this network
  '10.0.0.0/8', // RFC 1918, private
  '100.64.0.0/10', // RFC 6598, shared by customers of a carrier
  '127.0.0.0/8', // RFC 1122, loopback
  '169.254.0.0/16', // RFC 3927, link-local
  '172.16.0.0/12', // RFC 1918
  '192.0.0.0/24', // RFC 6890, protocol assignments
  '192.0.2.0/24', // RFC 5737, documentation
  '192.88.99.0/24', // RFC 7526, 6to4 relays, no more
  '192.168.0.0/16', // RFC 1918
  '198.18.0.0/15', // RFC 2544, benchmarks
  '198.51.100.0/24', // RFC 5737
  '203.0.113.0/24', // RFC 5737
  '224.0.0.0/3', // RFC 5771, multicast, and RFC 1112, reserved
  '::/3', // unspecified, loopback, IPv4 in IPv6, and unassigned
  '2001::/23', // RFC 2928, protocol assignments
  '2001:db8::/32', // RFC 3849, documentation
  '2002::/16', // RFC 3056, 6to4
  '3fff::/20', // RFC 9637, documentation
  '4000::/2', // unassigned
  '8000::/1', // unassigned, private (RFC 4193), link-local, multicast (RFC 4291)
];

/** The special-purpose address space of both families. */
export const specialPurposeSpace = prefixSpace(SPECIAL_PURPOSE_PREFIXES);

/** A set of prefixes, parsed on first use. */
export function prefixSpace(texts: readonly string[]): () => PrefixSet {
  let space: PrefixSet | undefined;
  const prefixOf = (text: string): Prefix => {
    const prefix = parsePrefix(text);
    if (typeof prefix === 'string') throw new TypeError(`${text} is no prefix`);
    return prefix;
  };
  return () => {
    space ??= prefixSetOf(texts.map(prefixOf));
    return space;
  };
}

/** Whether all of a prefix is special-purpose. `words` as in Address, with host bits zero. */
export function isSpecialPurpose(family: Family, words: Uint32Array, length: number): boolean {
  const column = columnFor(specialPurposeSpace(), family);
  const member = memberContaining(column, words);
  return member >= 0 && (column.lengths[member] ?? 129) <= length;
}
