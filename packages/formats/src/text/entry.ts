/** An entry in bytes: one address, CIDR or range, or one host name; and the messages for refusing it. */

import {
  type Family,
  formatAddress,
  formatPrefix,
  isSpecialPurpose,
  KeyByte,
  type KeyEnd,
  NameFault,
  newPrefixScratch,
  PrefixFault,
  type PrefixScratch,
  parseHostName,
  parsePrefixBytes,
  prefixOf,
} from '@rulecast/rules';
import { indexIn, isBlank, latin1, quote, quoteBytes } from './bytes.ts';
import { publicSuffixFault } from './public-suffix.ts';

const COLON = 0x3a;
const DASH = 0x2d;
const DOT = 0x2e;
const NINE = 0x39;
const PLUS = 0x2b;
const SLASH = 0x2f;
const STAR = 0x2a;
const ZERO = 0x30;

/** The fault of an entry, and its byte. Its codes are those of PrefixFault, NameFault and EntryFaultCode. */
export interface EntryFault {
  readonly code: string;
  readonly at: number;
  readonly reason: string;
}

export const EntryFaultCode = {
  hostBits: 'host-bits',
  range: 'bad-range',
  reversed: 'reversed-range',
  mixed: 'mixed-families',
  mappedRange: 'range-over-mapped',
  trailing: 'trailing-text',
  /** In a list of addresses. */
  name: 'name-among-addresses',
  /** In a list of names. */
  address: 'address-among-names',
  hostsLine: 'hosts-file-line',
  secondAddress: 'second-address',
  words: 'words-not-a-name',
} as const;

/**
 * Takes an entry that was read; `canonical` makes its text: prefixes with a length, separated by spaces, or a
 * name.
 */
export type EntrySink = (line: number, column: number, canonical: () => string) => void;

/** How to treat a CIDR with bits beyond its prefix length. `reject`: it may be the rest of another one. */
export type HostBits = 'reject' | 'mask';

/** Shorter prefixes are rarely meant: half a line is one. */
export type ShortLengths = Readonly<Record<Family, number>>;
/** No network of the Internet has more. Our choice; RIRs were given a /8 at most, and ISPs a /19 of IPv6. */
export const SHORT_LENGTHS: ShortLengths = { 4: 8, 6: 16 };
/** Four /8 in a row are of one country, the United States, and RIRs were given a /12 of IPv6 at most. */
export const COUNTRY_SHORT_LENGTHS: ShortLengths = { 4: 6, 6: 12 };

/**
 * Whether a prefix holds more of the Internet than one usually means. `words` as in Address, with host bits
 * zero.
 */
export function isShortPrefix(
  family: Family,
  words: Uint32Array,
  length: number,
  lengths: ShortLengths,
): boolean {
  return length < lengths[family] && !isSpecialPurpose(family, words, length);
}

/** CIDRs of a list that hold more of the Internet than one usually means. */
export interface ShortPrefixes {
  /** The first, in normal form. */
  readonly prefix: string;
  /** Its line, from 1. */
  readonly line: number;
  readonly count: number;
  /** The lengths that they fall below. */
  readonly lengths: ShortLengths;
}

/**
 * Reads an IPv4 address or CIDR in its usual spelling, exactly bytes[start, end), in one pass. Returns false,
 * with `out` in any state, for everything else, right or wrong: parsePrefixBytes decides about that.
 */
export function readIp4(bytes: Uint8Array, start: number, end: number, out: PrefixScratch): boolean {
  if (end - start < 7 || end - start > 18) return false;
  let word = 0;
  let octet = -1; // -1: no digit yet
  let dots = 0;
  let at = start;
  for (; at < end; at++) {
    const byte = bytes[at]!; // at < end <= length
    const digit = byte - ZERO;
    if (digit >= 0 && digit <= 9) {
      if (octet === 0) return false;
      octet = octet < 0 ? digit : octet * 10 + digit;
    } else if (byte === DOT && octet >= 0 && octet < 256 && dots < 3) {
      word = (word << 8) | octet;
      octet = -1;
      dots++;
    } else break;
  }
  if (dots !== 3 || octet < 0 || octet > 255) return false;
  word = (word << 8) | octet;
  let length = 32;
  if (at < end) {
    if (bytes[at] !== SLASH || end - at < 2 || end - at > 3) return false;
    length = 0;
    for (at++; at < end; at++) {
      const digit = bytes[at]! - ZERO; // likewise
      if (digit < 0 || digit > 9) return false;
      length = length * 10 + digit;
    }
    if (length > 32) return false;
  }
  const network = length === 0 ? 0 : word & (-1 << (32 - length));
  out.family = 4;
  out.words[0] = network;
  out.length = length;
  out.hasHostBits = network !== (word | 0);
  return true;
}

/**
 * Whether a token is meant as an address, CIDR or range, well written or not: it has a colon or a slash, or
 * no letter. `192.0.2.1-9` could pass for a host name, yet nobody means one.
 */
export function isAddressLike(bytes: Uint8Array, start: number, end: number): boolean {
  let letters = false;
  for (let at = start; at < end; at++) {
    const byte = bytes[at];
    if (byte === COLON || byte === SLASH) return true;
    if (byte !== DOT && byte !== DASH && !(byte !== undefined && byte >= ZERO && byte <= NINE))
      letters = true;
  }
  return !letters;
}

/** The end of the token that starts at `start`; with `atDash`, a `-` ends it too. */
export type TokenEnd = (bytes: Uint8Array, start: number, limit: number, atDash: boolean) => number;

/** The end of a bare token: the next blank, or dash with `atDash`. */
export const bareTokenEnd: TokenEnd = (bytes, start, limit, atDash) => {
  let at = start;
  while (at < limit && !isBlank(bytes[at]) && !(atDash && bytes[at] === DASH)) at++;
  return at;
};

/** The fault of an address or CIDR in bytes[start, end). */
export function prefixFault(bytes: Uint8Array, start: number, end: number, fault: PrefixFault): EntryFault {
  const shown = quoteBytes(bytes, start, end);
  switch (fault) {
    case PrefixFault.length: {
      const reason = `${shown} has no valid prefix length: 0 to 32 for IPv4, 0 to 128 for IPv6`;
      return { code: fault, at: bytes.indexOf(SLASH, start) + 1, reason };
    }
    case PrefixFault.mapped: {
      const reason = `${shown} is shorter than ::ffff:0:0/96 and holds more than IPv4: write the IPv4 prefix itself`;
      return { code: fault, at: bytes.indexOf(SLASH, start) + 1, reason };
    }
    case PrefixFault.address:
      return { code: fault, at: start, reason: addressReason(shown) };
  }
}

/** The fault of a CIDR that has host bits. */
export function hostBitsFault(bytes: Uint8Array, start: number, end: number): EntryFault {
  const network = newPrefixScratch();
  const host = newPrefixScratch();
  parsePrefixBytes(bytes, start, end, network);
  parsePrefixBytes(bytes, start, start + indexIn(bytes.subarray(start, end), SLASH, 0, end - start), host);
  const { family, words, length } = network;
  const shown = quoteBytes(bytes, start, end);
  const reason = `${shown} has bits beyond its prefix length: write ${formatPrefix(prefixOf(family, words, length))} for the network, or ${formatAddress(prefixOf(host.family, host.words, host.length))} for the one address`;
  return { code: EntryFaultCode.hostBits, at: start, reason };
}

function addressReason(shown: string): string {
  if (/^"(?:\d+\.)*0\d+(?:\.\d+)*(?:\/\d+)?"$/.test(shown))
    return `${shown} has an octet with a leading zero, which is octal to some programs: write it without`;
  return `${shown} is no address, CIDR or range: write 192.0.2.1, 192.0.2.0/24, 2001:db8::/32 or 192.0.2.1-192.0.2.9`;
}

/**
 * The length of the mark for names below: `*.` for those alone, `.` with the name itself, and so does `+.`,
 * as in Clash. 0 without a mark.
 */
export function suffixMarkBytes(bytes: Uint8Array, start: number): 0 | 1 | 2 {
  const first = bytes[start];
  if (first === DOT) return 1;
  return (first === STAR || first === PLUS) && bytes[start + 1] === DOT ? 2 : 0;
}

/** The scope of an entry that starts with such a mark. */
export function markedScope(bytes: Uint8Array, start: number): KeyEnd {
  return bytes[start] === STAR ? KeyByte.below : KeyByte.both;
}

/** How the names of a list are read. */
export interface NameReading {
  /** A name without a mark includes all names below it. */
  readonly subdomains?: boolean | undefined;
  /** An entry may stand for all that is below a public suffix. */
  readonly allowPublicSuffixes?: boolean | undefined;
}

/** The entry in bytes[start, end) of a list of names, in normal form, or its fault. */
export function readNameEntry(
  bytes: Uint8Array,
  start: number,
  end: number,
  { subdomains = false, allowPublicSuffixes = false }: NameReading = {},
): string | EntryFault {
  const from = start + suffixMarkBytes(bytes, start);
  const name = readName(bytes, from, end);
  if (typeof name !== 'string') return name;
  if (from === start && !subdomains) return name;
  const fault = allowPublicSuffixes ? undefined : publicSuffixFault(bytes, from, end);
  if (fault !== undefined) return { ...fault, at: start };
  return `${bytes[start] === STAR ? '*.' : '.'}${name}`;
}

/** A host name read from bytes[start, end), in normal form, or what is wrong with it. */
export function readName(bytes: Uint8Array, start: number, end: number): string | EntryFault {
  const result = parseHostName(latin1(bytes, start, end));
  if (result.kind === 'name') return result.name;
  const { fault } = result;
  return { code: fault, at: start, reason: nameReason(quoteBytes(bytes, start, end), fault) };
}

function nameReason(shown: string, fault: NameFault): string {
  switch (fault) {
    case NameFault.empty:
      return `${shown} is no host name`;
    case NameFault.ascii:
      return `${shown} is not ASCII: write the name in its xn-- form`;
    case NameFault.numeric:
      return `${shown} ends in a number, so it is neither a host name nor a valid address`;
    case NameFault.long:
      return `${shown} is longer than the 253 characters of a host name`;
    case NameFault.label:
      if (shown.startsWith('"*.'))
        return `${shown} is a wildcard, and this format holds single names: write the names that are meant`;
      return `${shown} is no host name: labels are 1 to 63 letters, digits, - and _, without - at their ends`;
  }
}

/** The names allowed for lists, policies and subscribers. */
export const PART_NAME_ADVICE = 'write 1 to 63 of A-Z a-z 0-9 . _ -, the first a letter or digit';

/** Why a text names no list, policy or subscriber. */
export function partNameReason(name: string, what: string): string {
  return `${quote(name)} cannot name ${/^[aeiou]/.test(what) ? 'an' : 'a'} ${what}: ${PART_NAME_ADVICE}`;
}
