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

import { HOST_NAME_MAX_BYTES, LABEL_MAX_BYTES } from './name.ts';
import { atOnce, type Pieces } from './pieces.ts';

/** The bytes in a key that are not characters of labels. */
export const KeyByte = { self: 0, below: 1, both: 2, separator: 3 } as const;
/** The end of a key, which is the scope of the entry. */
export type KeyEnd = (typeof KeyByte)['self' | 'below' | 'both'];

/** Longest key: a name and its end. */
const KEY_MAX_BYTES = HOST_NAME_MAX_BYTES + 1;

/** A canonical column: ascending keys, no two of which differ only in the end. Immutable. */
export interface Names {
  readonly count: number;
  readonly bytes: Uint8Array;
}

/**
 * The change from one column to another: ascending indices into the old one, and entries of the new one. An
 * entry whose scope changes is both removed and added.
 */
export interface NamesDelta {
  readonly removed: Uint32Array;
  readonly added: Names;
}

export const NO_NAMES: Names = { count: 0, bytes: new Uint8Array(0) };

const DASH = 0x2d;
const DOT = 0x2e;
const ZERO = 0x30;
const NINE = 0x39;
const LOWER_X = 0x78;

/** Whether a byte ends a key. */
function isEnd(byte: number): boolean {
  return byte < KeyByte.separator;
}

/** The position after the key that starts at `at`, its end included. */
export function keyEnd(bytes: Uint8Array, at: number): number {
  let end = at;
  while (bytes[end]! >= KeyByte.separator) end++; // a column ends in the end of a key
  return end + 1;
}

/** The start of the key `count` keys after the one at `at`; the caller knows that there are so many. */
function skipKeys(bytes: Uint8Array, at: number, count: number): number {
  let left = count;
  let end = at;
  while (left > 0) left -= endAt(bytes, end++);
  return end;
}

/** 1 where an end is, else 0: without a branch, for a walk through millions of bytes. */
function endAt(bytes: Uint8Array, at: number): number {
  return (bytes[at]! - KeyByte.separator) >>> 31; // at < length
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
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length); // whose search is the fastest
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

/** The change from `before` to `after`. Linear. */
export function diffNames(before: Names, after: Names): NamesDelta {
  if (before.count === 0) return { removed: new Uint32Array(0), added: after };
  const removed: number[] = [];
  const added = new KeyWriter();
  const a = before.bytes;
  const b = after.bytes;
  let ordinal = 0;
  let i = 0;
  let j = 0;
  let stretchFrom = 0;
  while (i < a.length && j < b.length) {
    if (i >= stretchFrom) {
      const same = sameKeys(a, i, b, j);
      ordinal += same.count;
      i += same.bytes;
      j += same.bytes;
      stretchFrom = i + STRETCH_BYTES; // where the next change is behind
      if (i >= a.length || j >= b.length) break;
    }
    let x = i;
    let y = j;
    while (a[x] === b[y] && a[x]! >= KeyByte.separator) {
      x++; // a column ends in the end of a key
      y++;
    }
    if (a[x] === b[y]) {
      i = x + 1;
      j = y + 1;
      ordinal++;
    } else if (a[x]! < b[y]!) {
      removed.push(ordinal++);
      i = keyEnd(a, x);
    } else {
      const end = keyEnd(b, y);
      added.push(b, j, end);
      j = end;
    }
  }
  while (ordinal < before.count) removed.push(ordinal++);
  // The rest of `b` is new; before.count - removed.length entries were kept.
  added.pushMany(b, j, b.length, after.count - (before.count - removed.length) - added.count);
  return { removed: Uint32Array.from(removed), added: added.take() };
}

/** The entries of a column at ascending indices. */
export function namesAt({ bytes }: Names, indices: Uint32Array): Names {
  const chosen = new KeyWriter();
  let at = 0;
  let ordinal = 0;
  for (const index of indices) {
    at = skipKeys(bytes, at, index - ordinal);
    ordinal = index;
    const end = keyEnd(bytes, at);
    chosen.push(bytes, at, end);
    at = end;
    ordinal++;
  }
  return chosen.take();
}

/**
 * Applies a delta to a column; undefined if it adds a name that is there already. The indices ascend, and are
 * below the count. Costs the size of the change, and a copy.
 */
export function applyNamesDelta(before: Names, { removed, added }: NamesDelta): Names | undefined {
  const [old, a] = [before.bytes, added.bytes];
  const after = new KeyWriter(old.length + a.length);
  let from = 0; // what is before it is kept or removed
  let next = 0;
  let ordinal = 0;
  let gone = 0;
  const goneNext = (): void => {
    const index = removed[next++];
    gone = index === undefined ? old.length : skipKeys(old, gone, index - ordinal);
    ordinal = index ?? ordinal;
  };
  goneNext();
  for (let j = 0; j < a.length || from < old.length; ) {
    const place = j < a.length ? placeOf(old, from, a, j) : old.length;
    while (gone < place) {
      after.pushMany(old, from, gone, 0); // counted below
      from = keyEnd(old, gone);
      goneNext();
    }
    after.pushMany(old, from, place, 0);
    from = place;
    if (j >= a.length) break;
    if (place < gone && compareKeys(old, place, a, j) === 0) return undefined;
    const end = keyEnd(a, j);
    after.push(a, j, end);
    j = end;
  }
  after.advance(0, before.count - removed.length);
  return after.take();
}

/**
 * A column without some entries and with others, which may be of the same names; undefined where one to
 * remove is not there, or one to add is. Costs what changes, and a copy.
 */
export function editNames(before: Names, removed: Names, added: Names): Names | undefined {
  return atOnce(editPieces(before, removed, added));
}

/** The same in pieces. */
export function* editPieces(before: Names, removed: Names, added: Names): Pieces<Names | undefined> {
  const [r, a] = [removed.bytes, added.bytes];
  const after = new KeyWriter(before.bytes.length + a.length);
  let from = 0;
  for (let i = 0, j = 0, looked = 1; i < r.length || j < a.length; looked++) {
    if (looked % PIECE_EDITS === 0) yield undefined;
    const order = i >= r.length ? 1 : j >= a.length ? -1 : compareKeys(r, i, a, j);
    const at = order <= 0 ? placeOf(before.bytes, from, r, i) : placeOf(before.bytes, from, a, j);
    after.pushMany(before.bytes, from, at, 0); // counted below
    from = at;
    const isThere =
      at < before.bytes.length && compareKeys(before.bytes, at, order <= 0 ? r : a, order <= 0 ? i : j) === 0;
    if (isThere !== order <= 0) return undefined;
    if (order <= 0) {
      from = keyEnd(before.bytes, at);
      i = keyEnd(r, i);
      if (before.bytes[from - 1] !== r[i - 1]) return undefined; // the scopes differ
    }
    if (order >= 0) {
      const end = keyEnd(a, j);
      after.push(a, j, end);
      j = end;
    }
  }
  after.pushMany(before.bytes, from, before.bytes.length, before.count - removed.count);
  return after.take();
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
const PIECE_EDITS = 512;
/** So many bytes are compared at once. */
const STRETCH_BYTES = 4096;

/**
 * The number of equal keys in a row, from `i` in `a` and `j` in `b`, compared by whole stretches: in a large
 * list most keys do not change.
 */
function sameKeys(
  a: Uint8Array,
  i: number,
  b: Uint8Array,
  j: number,
): { readonly count: number; readonly bytes: number } {
  const most = Math.min(a.length - i, b.length - j);
  let bytes = 0;
  while (bytes + STRETCH_BYTES <= most) {
    const stretch = a.subarray(i + bytes, i + bytes + STRETCH_BYTES);
    if (Buffer.compare(stretch, b.subarray(j + bytes, j + bytes + STRETCH_BYTES)) !== 0) break;
    bytes += STRETCH_BYTES;
  }
  while (bytes > 0 && endAt(a, i + bytes - 1) === 0) bytes--;
  let count = 0;
  for (let at = i; at < i + bytes; at++) count += endAt(a, at);
  return { count, bytes };
}

/** Keys one after the other, in memory that grows. */
export class KeyWriter {
  #bytes: Uint8Array<ArrayBuffer>;
  #used = 0;
  #count = 0;

  constructor(capacity = 1024) {
    this.#bytes = new Uint8Array(capacity);
  }

  get count(): number {
    return this.#count;
  }

  /** The position of the next key. */
  get length(): number {
    return this.#used;
  }

  /** Appends `bytes[start, end)`: a key. */
  push(bytes: Uint8Array, start: number, end: number): void {
    const to = this.room(end - start);
    const at = this.#used;
    for (let i = start; i < end; i++) to[at + i - start] = bytes[i]!; // a key is short, and within the bytes
    this.advance(end - start, 1);
  }

  /** The same with another end. */
  pushAs(bytes: Uint8Array, start: number, end: number, scope: number): void {
    this.push(bytes, start, end);
    this.#bytes[this.#used - 1] = scope;
  }

  /** Appends `bytes[start, end)`, which are `count` keys. */
  pushMany(bytes: Uint8Array, start: number, end: number, count: number): void {
    this.room(end - start).set(bytes.subarray(start, end), this.#used);
    this.advance(end - start, count);
  }

  /** The memory, with room for so many bytes more from `length` on. */
  room(byteCount: number): Uint8Array {
    if (this.#used + byteCount > this.#bytes.length) {
      const larger = new Uint8Array(Math.max(this.#used + byteCount, this.#bytes.length * 2));
      larger.set(this.#bytes.subarray(0, this.#used));
      this.#bytes = larger;
    }
    return this.#bytes;
  }

  /** So many bytes were written from `length` on: so many keys. */
  advance(byteCount: number, count: number): void {
    this.#used += byteCount;
    this.#count += count;
  }

  /** The bytes written so far. */
  written(): Uint8Array {
    return this.#bytes.subarray(0, this.#used);
  }

  /** The column written; the caller owns it from now on. */
  take(): Names {
    const hasSlack = this.#bytes.length - this.#used > this.#used / 16; // less is not worth a copy
    const bytes = hasSlack ? this.#bytes.slice(0, this.#used) : this.written();
    return { count: this.#count, bytes };
  }
}

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

/** Lower-case letters, digits, `-` and `_`. */
export function isLabelByte(byte: number): boolean {
  return (byte >= 0x61 && byte <= 0x7a) || (byte >= ZERO && byte <= NINE) || byte === DASH || byte === 0x5f;
}

/** Whether bytes that are all of labels make one. */
function isLabel(bytes: Uint8Array, start: number, end: number): boolean {
  const count = end - start;
  return count >= 1 && count <= LABEL_MAX_BYTES && bytes[start] !== DASH && bytes[end - 1] !== DASH;
}

/** Whether a last label is a number, decimal or 0x: some resolvers guess an address from it. */
function isNumber(bytes: Uint8Array, start: number, end: number): boolean {
  const isHex = bytes[start] === ZERO && bytes[start + 1] === LOWER_X;
  for (let i = isHex ? start + 2 : start; i < end; i++) {
    const byte = bytes[i]!; // within the label
    if (!(byte >= ZERO && byte <= NINE) && !(isHex && byte >= 0x61 && byte <= 0x66)) return false;
  }
  return true;
}

/**
 * Gathers names in any order, and makes a canonical column of them.
 */
export class NamesBuilder {
  readonly #keys: KeyWriter;
  #starts: Uint32Array;

  /** @param expectedBytes Of all names, as text. */
  constructor(expectedBytes = 1024) {
    this.#keys = new KeyWriter(expectedBytes);
    this.#starts = new Uint32Array(Math.max(16, expectedBytes >> 4));
  }

  /** The number of names added. */
  get count(): number {
    return this.#keys.count;
  }

  /** Adds a name in normal form, or a wildcard of one: `*.name` for all below it, `.name` for both. */
  add(text: string): void {
    const skipped = text.startsWith('*.') ? 2 : text.startsWith('.') ? 1 : 0;
    this.#begin();
    const key = this.#keys.room(text.length + 1);
    let at = this.#keys.length;
    let labelEnd = text.length;
    for (let i = text.length - 1; i >= skipped - 1; i--) {
      if (i >= skipped && text.charCodeAt(i) !== DOT) continue;
      for (let from = i + 1; from < labelEnd; from++) key[at++] = text.charCodeAt(from);
      labelEnd = i;
      if (i >= skipped) key[at++] = KeyByte.separator;
    }
    key[at++] = skipped === 2 ? KeyByte.below : skipped === 1 ? KeyByte.both : KeyByte.self;
    this.#keys.advance(at - this.#keys.length, 1);
  }

  /**
   * Adds the name written in `bytes[start, end)`, in any case, with or without a dot at its end, and with a
   * scope. Returns false and adds nothing if it is not a valid name: `parseHostName` says why.
   */
  addWritten(bytes: Uint8Array, start: number, end: number, scope: KeyEnd = KeyByte.self): boolean {
    const last = bytes[end - 1] === DOT ? end - 1 : end;
    if (last - start > HOST_NAME_MAX_BYTES || last <= start) return false;
    const key = this.#keys.room(KEY_MAX_BYTES);
    const keyStart = this.#keys.length;
    let at = keyStart;
    let labelEnd = last;
    for (let i = last - 1; i >= start - 1; i--) {
      if (i >= start && bytes[i] !== DOT) continue;
      const labelStart = at;
      for (let from = i + 1; from < labelEnd; from++) {
        const byte = bytes[from]!; // within the text
        const lower = byte >= 0x41 && byte <= 0x5a ? byte + 0x20 : byte;
        if (!isLabelByte(lower)) return false;
        key[at++] = lower;
      }
      if (!isLabel(key, labelStart, at)) return false;
      if (labelStart === keyStart && isNumber(key, keyStart, at)) return false;
      labelEnd = i;
      key[at++] = i >= start ? KeyByte.separator : scope;
    }
    this.#begin();
    this.#keys.advance(at - keyStart, 1);
    return true;
  }

  /** The text of the name added last. */
  last(): string {
    const start = this.#starts[this.#keys.count - 1];
    return start === undefined ? '' : entryTextAt(this.#keys.written(), start);
  }

  /** The canonical column. Add no more. */
  build(): Names {
    const bytes = this.#keys.written();
    const starts = this.#starts.subarray(0, this.#keys.count);
    if (ascend(bytes, starts)) return this.#keys.take();
    sortKeys(bytes, starts);
    return gathered(bytes, starts);
  }

  #begin(): void {
    const { count } = this.#keys;
    if (count === this.#starts.length) {
      const larger = new Uint32Array(count * 2);
      larger.set(this.#starts);
      this.#starts = larger;
    }
    this.#starts[count] = this.#keys.length;
  }
}

/**
 * The column of the keys, whose starts are sorted by key; several entries of one name become one with all
 * their scopes.
 */
function gathered(bytes: Uint8Array, starts: Uint32Array): Names {
  const sorted = new KeyWriter(bytes.length);
  const out = sorted.room(bytes.length);
  let last = 0; // where the key before starts
  let used = 0;
  for (const start of starts) {
    let before = last;
    let to = used;
    let isSame = used > 0;
    let byte = bytes[start]!; // a key
    for (let from = start; byte >= KeyByte.separator; byte = bytes[++from]!) {
      if (isSame && out[before++] !== byte) isSame = false;
      out[to++] = byte;
    }
    if (isSame && isEnd(out[before]!)) {
      // The end of a key is the bits of the scope, less one.
      out[before] = ((out[before]! + 1) | (byte + 1)) - 1; // before < used
      continue;
    }
    out[to++] = byte;
    last = used;
    sorted.advance(to - used, 1);
    used = to;
  }
  return sorted.take();
}

/** A canonical column of names in normal form, or wildcards of such, in any order. */
export function namesOf(texts: Iterable<string>): Names {
  const builder = new NamesBuilder();
  for (const text of texts) builder.add(text);
  return builder.build();
}

/** Whether the keys stand in canonical order, each once. Published lists mostly do not: theirs is by text. */
function ascend(bytes: Uint8Array, starts: Uint32Array): boolean {
  for (let i = 1; i < starts.length; i++) {
    if (compareKeys(bytes, starts[i - 1]!, bytes, starts[i]!) >= 0) return false; // i < length
  }
  return true;
}

// ── Sorting ────────────────────────────────────────────────────────────────────────────────────────────────

/** So many characters of a key are compared at once, of six bits each: half a word. */
const WORD_CHARS = 5;
const CHAR_BITS = 6;
const CHAR_MASK = 0x3f;
/** So few keys are compared whole. */
const FEW = 16;
/** The rank of the last of the ends, which are 1 to 3. */
const END_RANK = KeyByte.both + 1;

/** A number for each byte of keys, in their order; nothing is 0. */
const RANKS = new Uint8Array(256);
for (let byte = 0, rank = 1; byte < 256; byte++) {
  if (byte <= KeyByte.separator || isLabelByte(byte)) RANKS[byte] = rank++;
}

/** Which half of a number of 64 bits comes first in memory depends on the machine. */
const IS_LITTLE_ENDIAN = new Uint8Array(Uint32Array.of(1).buffer)[0] === 1;
const HIGH = IS_LITTLE_ENDIAN ? 1 : 0;
const LOW = 1 - HIGH;

/**
 * The starts of keys, and for each a word: the characters that the sort compares now, and where they begin.
 */
interface Sorting {
  readonly bytes: Uint8Array;
  readonly starts: Uint32Array;
  readonly words: BigUint64Array;
  /** The words again, as halves: a number of 64 bits is an object of its own to the engine. */
  readonly halves: Uint32Array;
}

/**
 * Sorts where keys start by the keys. The engine sorts words of five characters, and those of one word by the
 * next five: no order of the input is a bad one.
 */
function sortKeys(bytes: Uint8Array, starts: Uint32Array): void {
  const words = new BigUint64Array(starts.length);
  sortRange({ bytes, starts, words, halves: new Uint32Array(words.buffer) }, 0, starts.length, 0);
}

/** Sorts [from, to), whose keys have the same `depth` characters to begin with. */
function sortRange(sorting: Sorting, from: number, to: number, depth: number): void {
  const { bytes, starts, words, halves } = sorting;
  if (to - from <= FEW) {
    sortFew(bytes, starts, from, to, depth);
    return;
  }
  for (let i = from; i < to; i++) putWord(sorting, i, depth);
  words.subarray(from, to).sort();
  for (let i = from; i < to; i++) starts[i] = halves[2 * i + LOW]!; // i < length
  for (let i = from; i < to; ) {
    const chars = halves[2 * i + HIGH]!; // i < length
    let end = i + 1;
    while (end < to && halves[2 * end + HIGH] === chars) end++;
    const hasEnded = (chars & CHAR_MASK) <= END_RANK;
    if (end - i > 1 && !hasEnded) sortRange(sorting, i, end, depth + WORD_CHARS);
    i = end;
  }
}

/** Makes the word of a key, of the characters behind `depth`; what is behind its end is 0. */
function putWord({ bytes, starts, halves }: Sorting, index: number, depth: number): void {
  const start = starts[index]!; // index < length
  let at = start + depth;
  let chars = 0;
  let rank = END_RANK + 1;
  for (let left = WORD_CHARS; left > 0; left--) {
    rank = rank > END_RANK ? RANKS[bytes[at++]!]! : 0; // before its end a key has more bytes; 256 ranks
    chars = (chars << CHAR_BITS) | rank;
  }
  halves[2 * index + HIGH] = chars;
  halves[2 * index + LOW] = start;
}

/** Sorts [from, to) key by key. */
function sortFew(bytes: Uint8Array, starts: Uint32Array, from: number, to: number, depth: number): void {
  for (let i = from + 1; i < to; i++) {
    const start = starts[i]!; // i < to
    let at = i;
    while (at > from && compareKeys(bytes, starts[at - 1]! + depth, bytes, start + depth) > 0) {
      starts[at] = starts[at - 1]!; // at > from
      at--;
    }
    starts[at] = start;
  }
}
