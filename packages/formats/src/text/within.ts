/**
 * Finds addresses inside other text: `[192.0.2.1,`, `ip:192.0.2.1`, `http://192.0.2.1:80/`. If an unused
 * field of a record holds one, the record has more than its entry, so readers of records look for them.
 */

import { contains, type Prefix, parsePrefix } from '@rulecast/rules';
import { isBlank, latin1 } from './bytes.ts';

const BAR = 0x7c;
const COLON = 0x3a;
const COMMA = 0x2c;
const DOT = 0x2e;
const HASH = 0x23;
const SEMICOLON = 0x3b;
const SLASH = 0x2f;

/** The place of an address or CIDR: bytes[start, end). */
export interface FoundAddress {
  readonly start: number;
  readonly end: number;
}

/**
 * Four numbers, or hex digits with colons, with a length or not, that no letter, digit or name goes on from.
 * A colon may stand before it, as behind a key.
 */
const ADDRESS =
  /(?<![\w.])(?:\d{1,3}(?:\.\d{1,3}){3}(?!\w|\.\w)|(?=[\da-f]{0,4}:[\da-f]{0,4}:)(?=:{0,2}[\da-f])[\da-f:]{1,43}(?:[\da-f]|::)(?:\.\d{1,3}){0,3}(?!\w))(?:\/\d{1,3}(?!\w))?/gi;

/** The first address or CIDR in bytes[start, end) that `known` does not hold; undefined if there is none. */
export function addressWithin(
  bytes: Uint8Array,
  start: number,
  end: number,
  known?: Prefix,
): FoundAddress | undefined {
  if (!mayHoldAddress(bytes, start, end)) return undefined;
  for (const { 0: text, index } of latin1(bytes, start, end).matchAll(ADDRESS)) {
    const prefix = parsePrefix(text);
    if (typeof prefix === 'string' || (known !== undefined && holds(known, prefix))) continue;
    return { start: start + index, end: start + index + text.length };
  }
  return undefined;
}

/**
 * Likewise in the text after an entry on its line, up to a comment: `#`, `;`, or `//` behind a blank or a
 * separator.
 */
export function addressBehind(bytes: Uint8Array, start: number, end: number): FoundAddress | undefined {
  let stop = start;
  while (stop < end && !isCommentAt(bytes, stop, start)) stop++;
  return addressWithin(bytes, start, stop);
}

/** Whether all of bytes[start, end) is an address or CIDR. */
export function isAddress({ text, start, end }: TextPlace): boolean {
  return mayHoldAddress(text, start, end) && typeof parsePrefix(latin1(text, start, end)) !== 'string';
}

/** A place in a text: text[start, end). */
export interface TextPlace {
  readonly text: Uint8Array;
  readonly start: number;
  readonly end: number;
}

/** The places of matches in a text, in order, none within another. */
export type Finder = (text: string) => readonly (readonly [start: number, end: number])[];

/** An address in a text, and its form. */
export interface WrittenAddress {
  readonly start: number;
  readonly end: number;
  /** `mask`: of the address before it; `excepted`: behind a `!` or `!=`, or in brackets behind one. */
  readonly role: 'entry' | 'excepted' | 'mask';
}

/** Whether an IPv4 address has the form of a mask: ones and then zeros, or the reverse. */
function isMask(word: string): boolean {
  const prefix = parsePrefix(word);
  if (typeof prefix === 'string' || prefix.family === 6) return false;
  const [bits = 0] = prefix.words;
  return [bits, ~bits].some((one) => (one & (one + 1)) === 0);
}

/** Text that makes another entry of an address: the end of `192.0.2.1-9`, an invalid length. */
const MORE = /^(?:-\d{1,3}(?![\d.])|\/\d)[\w./]*/;
const MORE_MAX_CHARS = 40;
/** The text before an excepted address, or before the first of an excepted group. */
const EXCEPTED = /!=?\s*([[({]\s*)?$/;

/**
 * Every address, CIDR and range in a text. An invalid text in the form of an IPv4 address counts; a word of
 * hex digits and colons that is no address, such as a time, does not.
 */
export function* addressesIn(text: string): Generator<WrittenAddress> {
  let before: WrittenAddress | undefined;
  let groupEnd = 0; // the end of a group that is excepted together
  for (const { 0: word, index } of text.matchAll(ADDRESS)) {
    const isPage = text.startsWith('//', index - 2); // a path follows, not a length
    const bare = isPage ? (word.split('/', 1)[0] ?? word) : word;
    const more = isPage
      ? ''
      : (MORE.exec(text.slice(index + word.length, index + word.length + MORE_MAX_CHARS))?.[0] ?? '');
    const end = index + bare.length + more.length;
    if (word.includes(':') && typeof parsePrefix(word) === 'string') continue;
    const between = before === undefined ? '' : text.slice(before.end, index);
    const isLast = before !== undefined && before.role !== 'mask' && /^\s*-\s*$/.test(between);
    const excepted = EXCEPTED.exec(text.slice(Math.max(0, index - 8), index));
    if (excepted?.[1] !== undefined && index >= groupEnd) {
      const length = text.slice(index).search(/[\])}]/);
      groupEnd = length < 0 ? text.length : index + length;
    }
    const isExcepted = excepted !== null || index < groupEnd;
    if (before !== undefined && !isLast) yield before;
    const role = /^(?:\s+|\/)$/.test(between) && isMask(word) ? 'mask' : isExcepted ? 'excepted' : 'entry';
    before = isLast && before !== undefined ? { ...before, end } : { start: index, end, role };
  }
  if (before !== undefined) yield before;
}

function isCommentAt(bytes: Uint8Array, at: number, start: number): boolean {
  const byte = bytes[at];
  if (byte === HASH || byte === SEMICOLON) return true;
  if (byte !== SLASH || bytes[at + 1] !== SLASH) return false;
  const before = bytes[at - 1];
  return at === start || isBlank(before) || before === COMMA || before === BAR;
}

/** Whether there are three dots or two colons; most fields have neither. */
function mayHoldAddress(bytes: Uint8Array, start: number, end: number): boolean {
  let dots = 0;
  let colons = 0;
  for (let at = start; at < end; at++) {
    const byte = bytes[at]!; // at < end <= bytes.length
    if (byte > COLON) continue;
    if (byte === DOT) dots++;
    else if (byte === COLON) colons++;
  }
  return dots >= 3 || colons >= 2;
}

function holds(outer: Prefix, inner: Prefix): boolean {
  return outer.length <= inner.length && contains(outer, inner);
}
