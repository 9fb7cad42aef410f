/**
 * Addresses that stand in other text: `[192.0.2.1,`, `ip:192.0.2.1`, `http://192.0.2.1:80/`. A record whose
 * unused fields hold one says more than its entry, so the readers of records look for them.
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

/** Where an address or CIDR stands: bytes[start, end). */
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
 * The same of what follows an entry on its line, up to a comment: `#`, `;`, or `//` behind a blank or a
 * separator.
 */
export function addressBehind(bytes: Uint8Array, start: number, end: number): FoundAddress | undefined {
  let stop = start;
  while (stop < end && !isCommentAt(bytes, stop, start)) stop++;
  return addressWithin(bytes, start, stop);
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
