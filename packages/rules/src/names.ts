/**
 * Columns of host names, as lists have them: keys end to end, in the canonical order of DNS (RFC 4034 §6.1).
 * No name is a string here: a million of them are one array.
 *
 *   text     mail.example.com     *.example.com     .example.com
 *   key      com · example · mail ⊥   com · example *   com · example +
 *            labels from the last to the first, 3 between them, and at the end the scope of the entry:
 *            0 the name itself, 1 all names below it, 2 both
 *
 * The ends are below the separator, and that is below every character of a label. So the order of bytes is
 * the canonical order, no key begins another one, and the names below a name lie in one stretch behind it.
 */

import { HOST_NAME_MAX_BYTES, isLabelByte, LABEL_MAX_BYTES } from './name.ts';
import { atOnce, type Pieces } from './pieces.ts';

/** The bytes in a key that are not characters of labels. */
export const KeyByte = { self: 0, below: 1, both: 2, separator: 3 } as const;
/** The end of a key, which is the scope of the entry. */
export type KeyEnd = (typeof KeyByte)['self' | 'below' | 'both'];

/** Longest key: a name and its end. */
export const KEY_MAX_BYTES = HOST_NAME_MAX_BYTES + 1;

/** A canonical column: ascending keys, no two of which differ only in the end. Immutable. */
export interface Names {
  readonly count: number;
  readonly bytes: Uint8Array;
}

export const NO_NAMES: Names = { count: 0, bytes: new Uint8Array(0) };

const DASH = 0x2d;
export const DOT = 0x2e;
const ZERO = 0x30;
const NINE = 0x39;
const LOWER_X = 0x78;

/** Whether a byte ends a key. */
export function isEnd(byte: number): boolean {
  return byte < KeyByte.separator;
}

/** The position after the key that starts at `at`, its end included. */
export function keyEnd(bytes: Uint8Array, at: number): number {
  let end = at;
  while (bytes[end]! >= KeyByte.separator) end++; // a column ends in the end of a key
  return end + 1;
}

/**
 * The order of two keys, below, at or above 0. At 0 they are the same name, and may still stand for different
 * things: their ends tell.
 */
export function compareKeys(a: Uint8Array, aAt: number, b: Uint8Array, bAt: number): number {
  let i = aAt;
  let j = bAt;
  while (a[i] === b[j] && a[i]! >= KeyByte.separator) {
    i++; // a column ends in the end of a key
    j++;
  }
  const x = a[i]!; // likewise
  const y = b[j]!; // likewise
  return isEnd(x) && isEnd(y) ? 0 : x - y;
}

/** The text of the entry whose key starts at `at`; `end` in place of its end. */
export function entryTextAt(bytes: Uint8Array, at: number, end?: number): string {
  const last = keyEnd(bytes, at) - 1;
  const scope = end ?? bytes[last];
  let text = scope === KeyByte.below ? '*.' : scope === KeyByte.both ? '.' : '';
  let labelEnd = last;
  while (labelEnd > at) {
    let start = labelEnd;
    while (start > at && bytes[start - 1] !== KeyByte.separator) start--;
    for (let i = start; i < labelEnd; i++) text += String.fromCharCode(bytes[i]!); // within the key
    if (start > at) text += '.';
    labelEnd = start - 1;
  }
  return text;
}

/** The texts of a column, in its order. */
export function* nameTexts({ bytes }: Pick<Names, 'bytes'>): Generator<string> {
  for (let at = 0; at < bytes.length; at = keyEnd(bytes, at)) yield entryTextAt(bytes, at);
}

/** Whether an entry stands for more than the name itself. */
export function hasWildcards({ bytes }: Names): boolean {
  // a Buffer, whose search is the fastest
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  return buffer.includes(KeyByte.below) || buffer.includes(KeyByte.both);
}

/** Whether the text of an entry stands for more than the name itself. */
export function isWildcardEntry(text: string): boolean {
  return text.startsWith('*') || text.startsWith('.');
}

const SEPARATOR = String.fromCharCode(KeyByte.separator);

/** The key of a name in normal form, with an end. */
export function keyOf(name: string, end: KeyEnd): Uint8Array {
  const labels = name.split('.').reverse().join(SEPARATOR);
  return Buffer.from(labels + String.fromCharCode(end), 'latin1');
}

/** The scope of the entry with the name of `key`, as the end of its key; undefined if there is none. */
export function scopeIn({ bytes }: Names, key: Uint8Array): number | undefined {
  const at = placeOf(bytes, 0, key, 0);
  const isThere = at < bytes.length && compareKeys(bytes, at, key, 0) === 0;
  return isThere ? bytes[keyEnd(bytes, at) - 1] : undefined;
}

/** Whether two columns hold the same. */
export function sameNames(a: Names, b: Names): boolean {
  return a.count === b.count && Buffer.compare(a.bytes, b.bytes) === 0;
}

/** The start of the first key, from `from` on, that is not less than the key of another column at `at`. */
export function placeOf(bytes: Uint8Array, from: number, other: Uint8Array, at: number): number {
  let low = from;
  let high = bytes.length;
  while (low < high) {
    let start = (low + high) >>> 1;
    while (start > low && !isEnd(bytes[start - 1]!)) start--; // start > 0
    if (compareKeys(bytes, start, other, at) < 0) low = keyEnd(bytes, start);
    else high = start;
  }
  return low;
}

/** Keys that are read, and places that are looked for in a column of a million, in some milliseconds. */
export const PIECE_KEYS = 8192;

/** Why bytes are no canonical column. */
export interface ColumnFault {
  /** Which key. */
  readonly index: number;
  readonly reason: string;
}

/**
 * Bytes as a canonical column, or what is wrong with them. The bytes belong to the column from then on.
 */
export function readNames(bytes: Uint8Array): Names | ColumnFault {
  return atOnce(namePieces(bytes));
}

/** The same in pieces: a million names take a fifth of a second. */
export function* namePieces(bytes: Uint8Array): Pieces<Names | ColumnFault> {
  let count = 0;
  let before = -1;
  for (let at = 0; at < bytes.length; ) {
    const end = checkedKeyEnd(bytes, at);
    if (end < 0) return { index: count, reason: 'is no host name in normal form' };
    if (before >= 0 && compareKeys(bytes, before, bytes, at) >= 0)
      return { index: count, reason: 'is not above the one before' };
    before = at;
    at = end;
    if (++count % PIECE_KEYS === 0) yield undefined;
  }
  return { count, bytes };
}

/** The position after the key that starts at `at`; -1 if it is not a valid key. */
function checkedKeyEnd(bytes: Uint8Array, at: number): number {
  let labelStart = at;
  for (let i = at; i < bytes.length && i - at < KEY_MAX_BYTES; i++) {
    const byte = bytes[i]!; // i < length
    if (byte > KeyByte.separator) {
      if (!isLabelByte(byte)) return -1;
      continue;
    }
    if (!isLabel(bytes, labelStart, i) || (labelStart === at && isNumber(bytes, at, i))) return -1;
    if (isEnd(byte)) return i + 1;
    labelStart = i + 1;
  }
  return -1;
}

/** Whether bytes that are all of labels make one. */
export function isLabel(bytes: Uint8Array, start: number, end: number): boolean {
  const count = end - start;
  return count >= 1 && count <= LABEL_MAX_BYTES && bytes[start] !== DASH && bytes[end - 1] !== DASH;
}

/** Whether a last label is a number, decimal or 0x: some resolvers guess an address from it. */
export function isNumber(bytes: Uint8Array, start: number, end: number): boolean {
  const isHex = bytes[start] === ZERO && bytes[start + 1] === LOWER_X;
  for (let i = isHex ? start + 2 : start; i < end; i++) {
    const byte = bytes[i]!; // within the label
    if (!(byte >= ZERO && byte <= NINE) && !(isHex && byte >= 0x61 && byte <= 0x66)) return false;
  }
  return true;
}
