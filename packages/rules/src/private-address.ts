/**
 * Addresses and names that are of this host or of networks beside it, and of nobody on the Internet. A name
 * of the Internet that stands for such an address reaches, through whoever asks, what it should not.
 */

import { columnFor, memberContaining, type PrefixSet, prefixSetOf } from './list.ts';
import { type Address, parsePrefix } from './prefix.ts';

const PRIVATE_PREFIXES = [
  '0.0.0.0/8', // RFC 791, unspecified: Linux takes it for loopback
  '10.0.0.0/8', // RFC 1918
  '100.64.0.0/10', // RFC 6598, shared by customers of a carrier
  '127.0.0.0/8', // RFC 1122, loopback
  '169.254.0.0/16', // RFC 3927, link-local
  '172.16.0.0/12', // RFC 1918
  '192.0.0.0/24', // RFC 6890, protocol assignments
  '192.168.0.0/16', // RFC 1918
  '198.18.0.0/15', // RFC 2544, benchmarks
  '224.0.0.0/3', // RFC 5771, multicast, and RFC 1112, reserved
  '::/127', // RFC 4291, unspecified and loopback
  '64:ff9b:1::/48', // RFC 8215, translation within a network: where the IPv4 address lies is its own affair
  'fc00::/7', // RFC 4193, unique local
  'fe80::/9', // RFC 4291, link-local, and RFC 3879, site-local
  'ff00::/8', // RFC 4291, multicast
];

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

/** Where hosts of networks of one's own are, as `PRIVATE_PREFIXES` has them. */
const NETWORK_PREFIXES = ['10.0.0.0/8', '100.64.0.0/10', '172.16.0.0/12', '192.168.0.0/16', 'fc00::/7'];

let privateSpace: PrefixSet | undefined;
let networkSpace: PrefixSet | undefined;

/**
 * Whether an address is loopback, unspecified, link-local, private or of no host at all; also one of IPv6
 * that holds such a one of IPv4.
 */
export function isPrivateAddress({ family, words }: Address): boolean {
  privateSpace ??= spaceOf(PRIVATE_PREFIXES);
  if (memberContaining(columnFor(privateSpace, family), words) >= 0) return true;
  const embedded = family === 6 ? embeddedIPv4(words) : undefined;
  return embedded !== undefined && memberContaining(privateSpace.v4, Uint32Array.of(embedded)) >= 0;
}

/** Whether an address is one that hosts of networks of one's own have: private, and not special otherwise. */
export function isNetworkAddress({ family, words }: Address): boolean {
  networkSpace ??= spaceOf(NETWORK_PREFIXES);
  return memberContaining(columnFor(networkSpace, family), words) >= 0;
}

function spaceOf(texts: readonly string[]): PrefixSet {
  return prefixSetOf(
    texts.map((text) => {
      const prefix = parsePrefix(text);
      if (typeof prefix === 'string') throw new TypeError(`${text} is no prefix`);
      return prefix;
    }),
  );
}

/** The IPv4 address within one of IPv6: RFC 4291 §2.5.5 (both), RFC 6052 §2.1, RFC 3056. */
function embeddedIPv4(words: Uint32Array): number | undefined {
  const [first = 0, second = 0, third = 0, last = 0] = words;
  if (first >>> 16 === 0x2002) return ((first << 16) | (second >>> 16)) >>> 0;
  const isOfIPv4 = first === 0 && second === 0 && (third === 0 || third === 0xffff);
  const isTranslated = first === 0x64_ff9b && second === 0 && third === 0;
  return isOfIPv4 || isTranslated ? last : undefined;
}

/** Whether a host name is of a network of one's own by what it is called: `localhost`, `nas`, `nas.lan`. */
export function isPrivateName(name: string): boolean {
  const lower = name.toLowerCase().replace(/\.$/, '');
  return !lower.includes('.') || PRIVATE_ZONES.some((zone) => lower === zone || lower.endsWith(`.${zone}`));
}
