/** Makes columns of names: of keys in order, and of names in any order, which are sorted. */

import { HOST_NAME_MAX_BYTES, isLabelByte } from './name.ts';
import {
  compareKeys,
  DOT,
  entryTextAt,
  isEnd,
  isLabel,
  isNumber,
  KEY_MAX_BYTES,
  KeyByte,
  type KeyEnd,
  type Names,
} from './names.ts';

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
/** The highest rank of a byte that ends a key: `self`, `below` and `both` have 1 to 3. */
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
