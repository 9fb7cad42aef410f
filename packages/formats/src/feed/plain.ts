/**
 * Plain lists: one address, CIDR, range or host name a line, with comments and trailing fields. A million
 * lines are an ordinary input, so lines of one IPv4 address or CIDR, or of one host name, are read in tight
 * loops, and every other line by the careful reader, which alone decides what is refused.
 *
 *     line    = [blanks] [entry [blanks | "," field]…] [comment]
 *     entry   = address | CIDR | address [blanks] "-" [blanks] address | name
 *     name    = host name | "*." host name | "." host name
 *     comment = ("#" | ";" | "//") anything
 */

import {
  HOST_NAME_MAX_BYTES,
  isLabelByte,
  KeyByte,
  type NamesBuilder,
  type PrefixBuilder,
  parseDottedQuad,
} from '@rulecast/rules';
import type { Collector } from '../collect/collector.ts';
import { indexIn, isBlank, latin1, lineEndAt, nextLineAt, quoteBytes, skipBlanks } from '../text/bytes.ts';
import {
  type EntryFault,
  EntryFaultCode,
  isAddressLike,
  readName,
  suffixMarkBytes,
  type TokenEnd,
} from '../text/entry.ts';
import { isReadable } from '../text/lines.ts';
import { addressBehind } from '../text/within.ts';

const COMMA = 0x2c;
const CR = 0x0d;
const DASH = 0x2d;
const DOT = 0x2e;
const HASH = 0x23;
const LF = 0x0a;
const SEMICOLON = 0x3b;
const SLASH = 0x2f;
const STAR = 0x2a;
const NINE = 0x39;
const UPPER_A = 0x41;
const UPPER_Z = 0x5a;
const ZERO = 0x30;

/**
 * The length of an IPv4 CIDR with its line end, `255.255.255.255/32\r\n`: so much may be read without looking
 * for the end of the text.
 */
const LONGEST_IP4_LINE_BYTES = 20;
/** A host name and the dot at its end. */
const LONGEST_SKIMMED_LINE_BYTES = HOST_NAME_MAX_BYTES + 1;
/** So many lines in a list of wildcards may have another form. Our choice. */
const OTHER_LINES_MAX = 64;
const LOOPBACK = 0x7f000001;
/** Shorter prefixes are looked at one by one. */
const SKIMMED_LENGTH_MIN = 8;

/** The bytes of host names: letters, which make a token a name, and those that addresses have, too. */
const NameByte = { none: 0, any: 1, letter: 2 } as const;
const NAME_BYTES = Uint8Array.from({ length: 256 }, (_, byte) => {
  if (byte === DOT || byte === DASH || (byte >= ZERO && byte <= NINE)) return NameByte.any;
  const isUpper = byte >= UPPER_A && byte <= UPPER_Z;
  return isUpper || isLabelByte(byte) ? NameByte.letter : NameByte.none;
});

export function importPlain(collector: Collector, start: number): void {
  const { bytes, limits, options } = collector;
  const maySkim = options.onEntry === undefined && limits.lineBytes >= LONGEST_SKIMMED_LINE_BYTES;
  collector.isOfWildcards = holdsWildcardsAlone(bytes, start);
  for (let at = start; at < bytes.length && !collector.isFull; ) {
    const skims = maySkim && collector.kind !== undefined && collector.scope === KeyByte.self;
    if (skims) {
      at = skim(collector, at);
      if (at >= bytes.length) return;
    }
    const end = lineEndAt(bytes, at);
    collector.beginLine(at);
    const isWhole = skims && collector.holdsPrefixes && collector.wholeAddress(bytes, at, end);
    if (!isWhole) importLine(collector, at, end);
    at = nextLineAt(bytes, end);
  }
}

/** Reads the lines from `at` on that need no care; returns where the first one starts that does. */
function skim(collector: Collector, at: number): number {
  const { bytes, limits, names, reader } = collector;
  const before = reader.v4.count + names.count;
  const next =
    collector.kind === 'names'
      ? skimNames(bytes, at, names, limits.entries)
      : skimIp4(bytes, at, reader.v4, limits.entries - reader.v6.count);
  const count = reader.v4.count + names.count - before;
  collector.line += count;
  collector.entries += count;
  return next;
}

function importLine(collector: Collector, start: number, end: number): void {
  const { bytes } = collector;
  const from = skipBlanks(bytes, start, end);
  if (!isReadable(collector, start, end) || from === end) return;
  if (isCommentAt(bytes, from)) collector.skip('comment');
  else if (collector.kind === 'names') importNameLine(collector, from, end);
  else importAddressLine(collector, from, end);
}

/** A line in a list of addresses, or in one whose kind is still open. */
function importAddressLine(collector: Collector, from: number, end: number): void {
  const { bytes, kind } = collector;
  if (importPartedCidr(collector, from, end)) return;
  const fault = trailingFault(bytes, from, end) ?? collector.readAddress(bytes, from, end, tokenEnd);
  if (fault === undefined) return;
  const nameEnd = tokenEnd(bytes, from, end, false);
  const other = isAddressLike(bytes, from, nameEnd) ? fault : nameFault(bytes, from, nameEnd, end);
  if (other !== undefined) collector.refuse(bytes, kind === undefined ? other : fault);
  else if (kind === undefined) collector.nameEntry(bytes, from, nameEnd);
  else collector.refuseKind(EntryFaultCode.name, bytes, from, nameEnd);
}

/**
 * Reads a CIDR with blanks before its slash, `192.0.2.0 /24`. Returns false, having done nothing, if the line
 * does not start with one.
 */
function importPartedCidr(collector: Collector, from: number, end: number): boolean {
  const { bytes } = collector;
  const addressEnd = tokenEnd(bytes, from, end, false);
  const slash = skipBlanks(bytes, addressEnd, end);
  if (slash === addressEnd || bytes[slash] !== SLASH) return false;
  const lengthEnd = tokenEnd(bytes, slash, end, false);
  if (!/^\/\d{1,3}$/.test(latin1(bytes, slash, lengthEnd))) return false;
  const cidr = Buffer.concat([bytes.subarray(from, addressEnd), bytes.subarray(slash, lengthEnd)]);
  const fault = secondAddressFault(bytes, lengthEnd, end);
  collector.at = from;
  if (fault !== undefined) collector.refuse(bytes, fault);
  else collector.address(cidr, 0, cidr.length);
  return true;
}

function importNameLine(collector: Collector, from: number, end: number): void {
  const { bytes } = collector;
  const nameEnd = tokenEnd(bytes, from, end, false);
  if (isAddressLike(bytes, from, nameEnd)) {
    collector.refuseAddress(bytes, from, end, tokenEnd);
    return;
  }
  const isEntry = hasDot(bytes, from, nameEnd) || isAlone(bytes, nameEnd, end);
  const fault = isEntry ? undefined : nameFault(bytes, from, nameEnd, end);
  if (fault === undefined) collector.nameEntry(bytes, from, nameEnd);
  else collector.refuse(bytes, fault);
}

/**
 * Whether all entries of a list are written `*.name`: its author means the names themselves as well, or he
 * would have written those, too. Looks no further than the first other entry, or some lines that are none.
 */
function holdsWildcardsAlone(bytes: Uint8Array, start: number): boolean {
  let found = false;
  let others = 0;
  for (let at = start; at < bytes.length; ) {
    const end = lineEndAt(bytes, at);
    const from = skipBlanks(bytes, at, end);
    const nameEnd = tokenEnd(bytes, from, end, false);
    if (bytes[from] === STAR) found = true;
    else if (from < nameEnd) {
      if (isAddressLike(bytes, from, nameEnd) || ++others > OTHER_LINES_MAX) return false;
      if (nameFault(bytes, from, nameEnd, end) === undefined) return false;
    }
    at = nextLineAt(bytes, end);
  }
  return found;
}

function isCommentAt(bytes: Uint8Array, at: number): boolean {
  const byte = bytes[at];
  return byte === HASH || byte === SEMICOLON || (byte === SLASH && bytes[at + 1] === SLASH);
}

const tokenEnd: TokenEnd = (bytes, start, limit, atDash) => {
  let at = start;
  while (at < limit) {
    const byte = bytes[at];
    if (isBlank(byte) || byte === COMMA || isCommentAt(bytes, at) || (atDash && byte === DASH)) break;
    at++;
  }
  return at;
};

/**
 * The fault of a name that starts a line, if any. A word without a dot with more words behind it is refused:
 * `add blocked 192.0.2.1` is a line of another format, and a column title is no name.
 */
function nameFault(bytes: Uint8Array, from: number, nameEnd: number, end: number): EntryFault | undefined {
  const name = readName(bytes, from + suffixMarkBytes(bytes, from), nameEnd);
  if (typeof name !== 'string') return name;
  if (hasDot(bytes, from, nameEnd) || isAlone(bytes, nameEnd, end)) return undefined;
  const reason = `${quoteBytes(bytes, from, nameEnd)} starts a line of more words: this is no list of names or addresses, or the line is a title`;
  return { code: EntryFaultCode.words, at: from, reason };
}

/** Whether a name has more labels than one; a dot at its end is none between labels. */
function hasDot(bytes: Uint8Array, from: number, nameEnd: number): boolean {
  return indexIn(bytes, DOT, from, nameEnd - 1) >= 0;
}

/** Whether nothing but a comment follows on a line; `network;note` are titles. */
function isAlone(bytes: Uint8Array, nameEnd: number, end: number): boolean {
  const next = skipBlanks(bytes, nameEnd, end);
  return next === end || (next > nameEnd && isCommentAt(bytes, next));
}

/**
 * Whether ignoring the fields after an address would lose what the line means: a hosts file's name, or a
 * second address of a line that is a table of ranges or several entries.
 */
function trailingFault(bytes: Uint8Array, from: number, end: number): EntryFault | undefined {
  const firstEnd = tokenEnd(bytes, from, end, false);
  if (firstEnd === end) return undefined;
  let second = skipBlanks(bytes, firstEnd, end);
  if (bytes[second] === COMMA) second = skipBlanks(bytes, second + 1, end);
  if (second === end || isCommentAt(bytes, second)) return undefined;
  if (bytes[second] === DASH) {
    const last = skipBlanks(bytes, second + 1, end);
    return secondAddressFault(bytes, tokenEnd(bytes, last, end, false), end);
  }
  const word = parseDottedQuad(bytes, from, firstEnd);
  const secondEnd = tokenEnd(bytes, second, end, false);
  if (word === 0 || word === LOOPBACK) {
    const reason = `a line of a hosts file: it is about the name ${quoteBytes(bytes, second, secondEnd)}, not about the address before it; keep the names alone`;
    return { code: EntryFaultCode.hostsLine, at: from, reason };
  }
  return secondAddressFault(bytes, second, end);
}

function secondAddressFault(bytes: Uint8Array, from: number, end: number): EntryFault | undefined {
  const other = addressBehind(bytes, from, end);
  if (other === undefined) return undefined;
  const reason = `a second address, ${quoteBytes(bytes, other.start, other.end)}: write one entry a line, and a range as 192.0.2.1-192.0.2.9`;
  return { code: EntryFaultCode.secondAddress, at: other.start, reason };
}

/**
 * Reads lines that are one IPv4 address or CIDR in its usual spelling and nothing else, from `at` on. Returns
 * where the first line starts that is not, or that is too near the end of the text. Adds one prefix per line,
 * up to `maxCount` of them.
 */
function skimIp4(bytes: Uint8Array, at: number, out: PrefixBuilder, maxCount: number): number {
  const lastStart = bytes.length - LONGEST_IP4_LINE_BYTES; // so every index below is within the text
  let lineStart = at;
  while (lineStart <= lastStart && out.count < maxCount) {
    let i = lineStart;
    let word = 0;
    for (let octets = 0; ; ) {
      let octet = bytes[i++]! - ZERO;
      if (octet < 0 || octet > 9) return lineStart;
      let digit = bytes[i]! - ZERO;
      if (digit >= 0 && digit <= 9) {
        if (octet === 0) return lineStart;
        octet = octet * 10 + digit;
        digit = bytes[++i]! - ZERO;
        if (digit >= 0 && digit <= 9) {
          octet = octet * 10 + digit;
          i++;
        }
      }
      if (octet > 255) return lineStart;
      word = (word << 8) | octet;
      if (++octets === 4) break;
      if (bytes[i++] !== DOT) return lineStart;
    }
    let length = 32;
    if (bytes[i] === SLASH) {
      length = bytes[++i]! - ZERO;
      if (length < 0 || length > 9) return lineStart;
      const digit = bytes[++i]! - ZERO;
      if (digit >= 0 && digit <= 9) {
        length = length * 10 + digit;
        i++;
      }
      // A short one, or one with host bits, is for the careful reader.
      if (length > 32 || length < SKIMMED_LENGTH_MIN) return lineStart;
      if ((word & ~(-1 << (32 - length))) !== 0) return lineStart;
    }
    if (bytes[i] === CR) i++;
    if (bytes[i] !== LF) return lineStart;
    out.push4(word >>> 0, length);
    lineStart = i + 1;
  }
  return lineStart;
}

/**
 * Reads lines that are one host name and nothing else, from `at` on. Returns where the first line starts that
 * is not, or that the text does not end. Adds one name per line, up to `maxCount` of them.
 */
function skimNames(bytes: Uint8Array, at: number, out: NamesBuilder, maxCount: number): number {
  let lineStart = at;
  while (out.count < maxCount) {
    let seen = 0;
    let end = lineStart;
    for (; end < bytes.length; end++) {
      const kind = NAME_BYTES[bytes[end]!]!; // end < length, and a table of 256
      if (kind === NameByte.none) break;
      seen |= kind;
    }
    const next = bytes[end] === CR ? end + 1 : end;
    if (bytes[next] !== LF || (seen & NameByte.letter) === 0) return lineStart;
    if (!out.addWritten(bytes, lineStart, end)) return lineStart;
    lineStart = next + 1;
  }
  return lineStart;
}
