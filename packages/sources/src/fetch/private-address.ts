/**
 * Addresses and names that are of this host or of networks beside it, and of nobody on the Internet. A server
 * out there that leads a download to one, or a name of the Internet that stands for one, reaches what it
 * should not through whoever asks.
 */

import { type LookupAddress, type LookupOptions, lookup as systemLookup } from 'node:dns';
import { BlockList, isIP, isIPv4, isIPv6, type LookupFunction } from 'node:net';

/** By family; an IPv4-mapped IPv6 address is the IPv4 address, as BlockList has it. */
const PRIVATE_SUBNETS = [
  ['0.0.0.0', 8, 'ipv4'], // RFC 791, unspecified: Linux takes it for loopback
  ['10.0.0.0', 8, 'ipv4'], // RFC 1918
  ['100.64.0.0', 10, 'ipv4'], // RFC 6598, shared by customers of a carrier
  ['127.0.0.0', 8, 'ipv4'], // RFC 1122, loopback
  ['169.254.0.0', 16, 'ipv4'], // RFC 3927, link-local
  ['172.16.0.0', 12, 'ipv4'], // RFC 1918
  ['192.0.0.0', 24, 'ipv4'], // RFC 6890, protocol assignments
  ['192.168.0.0', 16, 'ipv4'], // RFC 1918
  ['198.18.0.0', 15, 'ipv4'], // RFC 2544, benchmarks
  ['224.0.0.0', 3, 'ipv4'], // RFC 5771, multicast, and RFC 1112, reserved
  ['::', 127, 'ipv6'], // RFC 4291, unspecified and loopback
  ['fc00::', 7, 'ipv6'], // RFC 4193, unique local
  ['fe80::', 9, 'ipv6'], // RFC 4291, link-local, and RFC 3879, site-local
  ['ff00::', 8, 'ipv6'], // RFC 4291, multicast
] as const;

/**
 * IPv6 networks whose addresses hold an IPv4 address, at which group of 16 bits: RFC 6052, RFC 3056, RFC 4291
 * §2.5.5.1.
 */
const EMBEDDINGS: readonly (readonly [prefix: readonly number[], at: number])[] = [
  [[0x64, 0xff9b, 0, 0, 0, 0], 6],
  [[0x2002], 1],
  [[0, 0, 0, 0, 0, 0], 6],
];

/**
 * Names of networks of one's own: RFC 6761, RFC 6762 (and its appendix G), RFC 8375, and `internal`, which
 * ICANN set apart.
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
] as const;

let subnets: BlockList | undefined;

function privateSubnets(): BlockList {
  if (subnets !== undefined) return subnets;
  subnets = new BlockList();
  for (const [network, length, family] of PRIVATE_SUBNETS) subnets.addSubnet(network, length, family);
  return subnets;
}

/**
 * Whether an address is loopback, unspecified, link-local, private or of no host at all. Of text that is no
 * address: yes.
 */
export function isPrivateAddress(text: string): boolean {
  const address = text.replace(/%.*$/, ''); // the zone of a link-local address
  if (isIPv4(address)) return privateSubnets().check(address, 'ipv4');
  if (!isIPv6(address)) return true;
  if (privateSubnets().check(address, 'ipv6')) return true;
  const embedded = embeddedIPv4(groupsOf(address));
  return embedded !== undefined && privateSubnets().check(embedded, 'ipv4');
}

/** Whether a host name is of a network of one's own by what it is called: `localhost`, `nas`, `nas.lan`. */
export function isPrivateName(name: string): boolean {
  const lower = name.toLowerCase().replace(/\.$/, '');
  return !lower.includes('.') || PRIVATE_ZONES.some((zone) => lower === zone || lower.endsWith(`.${zone}`));
}

/** Of a URL: whether its host is a private address, or a name that is private. */
export function isPrivateHost({ hostname }: URL): boolean {
  const host = bareHost(hostname);
  return isIP(host) === 0 ? isPrivateName(host) : isPrivateAddress(host);
}

/**
 * Of a URL: whether its host is a private address as it is written, or `localhost`, so that nobody else has a
 * say in it.
 */
export function isPrivateLiteral({ hostname }: URL): boolean {
  const host = bareHost(hostname);
  return isIP(host) === 0 ? /^(.*\.)?localhost\.?$/i.test(host) : isPrivateAddress(host);
}

/** How a lookup says that a name stands for private addresses alone. */
export const PRIVATE_ADDRESS_CODE = 'ERR_PRIVATE_ADDRESS';

/**
 * Looks names up for a connection, and leaves private addresses out: what is connected to is what was looked
 * at.
 */
export function publicLookup(lookup: LookupFunction = systemLookup): LookupFunction {
  return (hostname, options, callback) => {
    lookup(hostname, { ...options, all: true }, (error, found) => {
      if (error !== null) return callback(error, '', 0);
      const addresses = listed(found).filter(({ address }) => !isPrivateAddress(address));
      const [first] = addresses;
      if (first === undefined) return callback(privateError(hostname), '', 0);
      if (wantsAll(options)) callback(null, addresses);
      else callback(null, first.address, first.family);
    });
  };
}

function listed(found: string | readonly LookupAddress[]): readonly LookupAddress[] {
  return typeof found === 'string' ? [{ address: found, family: isIP(found) }] : found;
}

function wantsAll({ all }: LookupOptions): boolean {
  return all === true;
}

function privateError(hostname: string): NodeJS.ErrnoException {
  return Object.assign(new Error(`${hostname} stands for a private address`), { code: PRIVATE_ADDRESS_CODE });
}

function bareHost(hostname: string): string {
  return hostname.replace(/^\[(.*)\]$/, '$1');
}

/** The eight groups of 16 bits of an IPv6 address. */
function groupsOf(address: string): readonly number[] {
  const { hostname } = new URL(`http://[${address}]/`); // which writes dotted tails as groups
  const [head = '', tail] = bareHost(hostname).split('::');
  const groups = (text: string): number[] =>
    text === '' ? [] : text.split(':').map((group) => Number.parseInt(group, 16));
  const first = groups(head);
  const last = groups(tail ?? '');
  return [...first, ...Array<number>(8 - first.length - last.length).fill(0), ...last];
}

function embeddedIPv4(groups: readonly number[]): string | undefined {
  for (const [prefix, at] of EMBEDDINGS) {
    if (!prefix.every((group, i) => groups[i] === group)) continue;
    const [high = 0, low = 0] = groups.slice(at, at + 2);
    return [high >> 8, high & 255, low >> 8, low & 255].join('.');
  }
  return undefined;
}
