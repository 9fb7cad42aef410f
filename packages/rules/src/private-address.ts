/**
 * Private addresses and names: those of this host and of the networks beside it, not of the Internet. A
 * public name that resolves to such an address would let outsiders reach into the network through the qube
 * that asks (DNS rebinding).
 */

import type { Address } from './prefix.ts';
import { columnFor, memberContaining } from './prefix-set.ts';
import { prefixSpace, specialPurposeSpace } from './special-purpose.ts';

/**
 * Names of networks of one's own: RFC 6761, RFC 6762 (and its appendix G), RFC 8375, and `internal`, which
 * ICANN set apart. And the name by which a host finds out how its network translates (RFC 8880).
 */
const PRIVATE_ZONES = [
  'localhost',
  'local',
  'home.arpa',
  'internal',
  'intranet',
  'private',
  'corp',
  'home',
  'lan',
  'ipv4only.arpa',
];

/** Networks for private use. */
const networkSpace = prefixSpace([
  '10.0.0.0/8',
  '100.64.0.0/10',
  '172.16.0.0/12',
  '192.168.0.0/16',
  'fc00::/7',
]);

/**
 * Whether an address is of no host of the Internet: loopback, unspecified, link-local, private, of examples,
 * of a relay (6to4, Teredo) or of nobody. One of IPv6 that holds one of IPv4 is what that is.
 */
export function isPrivateAddress({ family, words }: Address): boolean {
  const embedded = family === 6 ? embeddedIPv4(words) : undefined;
  if (embedded === undefined) return memberContaining(columnFor(specialPurposeSpace(), family), words) >= 0;
  return memberContaining(specialPurposeSpace().v4, Uint32Array.of(embedded)) >= 0;
}

/** Whether an address is one that hosts of networks of one's own have: private, and not special otherwise. */
export function isNetworkAddress({ family, words }: Address): boolean {
  return memberContaining(columnFor(networkSpace(), family), words) >= 0;
}

/** The IPv4 address within one of IPv6: RFC 4291 §2.5.5 (both), RFC 6052 §2.1, RFC 3056. */
function embeddedIPv4(words: Uint32Array): number | undefined {
  const [first = 0, second = 0, third = 0, last = 0] = words;
  if (first >>> 16 === 0x2002) return ((first << 16) | (second >>> 16)) >>> 0;
  const isOfIPv4 = first === 0 && second === 0 && (third === 0 || third === 0xffff);
  const isTranslated = first === 0x64_ff9b && second === 0 && third === 0;
  return isOfIPv4 || isTranslated ? last : undefined;
}

/** Whether a host name looks private: `localhost`, `nas`, `nas.lan`. */
export function isPrivateName(name: string): boolean {
  const lower = name.toLowerCase().replace(/\.$/, '');
  return !lower.includes('.') || PRIVATE_ZONES.some((zone) => lower === zone || lower.endsWith(`.${zone}`));
}
