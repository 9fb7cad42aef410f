/**
 * JSON (RFC 8259) as a tape: where each value and each key starts and ends, in the order of the text. Objects
 * and strings are made on demand only. Several values may follow one another, as in NDJSON. `JSON.parse` is
 * not enough: rejects need the place of a value, and documents refuse a repeated key.
 *
 *     {"a": [1, "b"]}      tape  0 {…}   1 "a"   2 […]   3 1   4 "b"
 *                          next  5       2       5       4     5
 */

import { asBuffer, columnAt, latin1, quoteBytes } from '../text/bytes.ts';

const BACKSLASH = 0x5c;
const CLOSE_BRACE = 0x7d;
const CLOSE_BRACKET = 0x5d;
const COLON = 0x3a;
const COMMA = 0x2c;
const CR = 0x0d;
const LF = 0x0a;
const OPEN_BRACE = 0x7b;
const OPEN_BRACKET = 0x5b;
const QUOTE = 0x22;
const SPACE = 0x20;
const TAB = 0x09;

const WORD = /^(?:true|false|null|-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?)$/;
/** Deepest nesting that is read; the feeds have at most eight levels. */
const DEPTH_MAX = 64;
/** Longest number that is read. Longer keys read as the empty key: no format has such keys. */
const WORD_MAX_BYTES = 128;
/** Our choice: twice what 128 MiB of records hold. Each takes eight bytes beside the heap: 256 MiB in all. */
const VALUES_MAX = 2 ** 25;
/** Our choice: records of feeds have a dozen keys. */
const KEY_SLOTS = 64;

export type JsonKind = 'object' | 'array' | 'string' | 'word';

/** The characters of a value: in the file, or in bytes of their own if it has escapes. */
export interface JsonText {
  readonly text: Uint8Array;
  readonly start: number;
  readonly end: number;
}

/** A fault of the text; the tape ends there. */
export class JsonFault extends Error {
  readonly line: number;
  readonly column: number;
  /** Whether the text ends too early. */
  readonly isTruncated: boolean;

  constructor(line: number, column: number, isTruncated: boolean, what: string) {
    super(isTruncated ? `the text ends too early: ${what}` : what);
    this.line = line;
    this.column = column;
    this.isTruncated = isTruncated;
  }
}

/** Methods take a value or key by its index on the tape, from 0. */
export class JsonTape {
  readonly bytes: Buffer;
  /** The number of values and keys. */
  count = 0;
  readonly fault: JsonFault | undefined;
  #starts = new Int32Array(1024);
  /** For an object or array the index behind its last value, for others the byte behind them. */
  #ends = new Int32Array(1024);
  /** The last answer of `placeAt`, from which the next one is counted. */
  #place: { at: number; line: number; lineStart: number };
  /** The last key of each hash, so that most records make no strings of their keys. */
  readonly #keys: (string | undefined)[] = Array<undefined>(KEY_SLOTS).fill(undefined);
  #at: number;

  /** Reads what starts at `start`. Never throws on account of the bytes. */
  constructor(bytes: Uint8Array, start: number) {
    this.bytes = asBuffer(bytes);
    this.#at = start;
    this.#place = { at: start, line: 1, lineStart: start };
    this.fault = this.#readAll();
  }

  /** The number of lines, or of those up to the fault; an empty one at the end of the file does not count. */
  get lineCount(): number {
    if (this.fault !== undefined) return this.fault.line;
    const { line, lineStart } = this.placeAt(this.bytes.length);
    const isEmpty = lineStart >= this.bytes.length && (line > 1 || this.bytes.length === 0);
    return isEmpty ? line - 1 : line;
  }

  /**
   * The line of a byte, from 1, and where that starts. Counted from the last answer: readers go forward, and
   * back within a record only.
   */
  placeAt(at: number): { readonly line: number; readonly lineStart: number } {
    const { bytes } = this;
    const place = this.#place;
    for (; place.at < at; place.at++) {
      if (!endsLine(bytes, place.at)) continue;
      place.line++;
      place.lineStart = place.at + 1;
    }
    for (; place.at > at; place.at--) if (endsLine(bytes, place.at - 1)) place.line--;
    while (place.lineStart > at) {
      place.lineStart--;
      while (place.lineStart > 0 && !endsLine(bytes, place.lineStart - 1)) place.lineStart--;
    }
    return place;
  }

  kind(value: number): JsonKind {
    const byte = this.bytes[this.startOf(value)];
    if (byte === QUOTE) return 'string';
    return byte === OPEN_BRACE ? 'object' : byte === OPEN_BRACKET ? 'array' : 'word';
  }

  /** The start of a value; for a string, its quote. */
  startOf(value: number): number {
    return this.#starts[value]!; // value < count
  }

  /** The value behind this one and all that is in it. */
  next(value: number): number {
    const byte = this.bytes[this.startOf(value)];
    const isOpen = byte === OPEN_BRACE || byte === OPEN_BRACKET;
    return isOpen ? Math.min(this.#ends[value]!, this.count) : value + 1; // value < count
  }

  /** Visits the items of an array; none of another value. */
  items(array: number, visit: (item: number) => void): void {
    if (this.kind(array) !== 'array') return;
    const end = this.next(array);
    for (let item = array + 1; item < end; item = this.next(item)) visit(item);
  }

  /** Visits the keys of an object, repeated ones too, with their values; none of another value. */
  members(object: number, visit: (key: string, value: number) => void): void {
    if (this.kind(object) !== 'object') return;
    const end = this.next(object);
    for (let key = object + 1; key + 1 < end; key = this.next(key + 1)) visit(this.#key(key), key + 1);
  }

  /** The characters of a string, or all of another value. */
  text(value: number): JsonText {
    const { bytes } = this;
    const start = this.startOf(value);
    if (bytes[start] !== QUOTE) {
      const last = this.next(value) - 1; // in it, or itself
      const isOpen = this.kind(last) === 'object' || this.kind(last) === 'array'; // with nothing in it
      return { text: bytes, start, end: isOpen ? this.startOf(last) + 1 : this.#ends[last]! }; // last < count
    }
    const end = this.#ends[value]! - 1; // value < count
    for (let at = start + 1; at < end; at++) {
      if (bytes[at] !== BACKSLASH) continue;
      const text = Buffer.from(unescaped(bytes, start, end + 1) ?? '', 'utf8');
      return { text, start: 0, end: text.length };
    }
    return { text: bytes, start: start + 1, end };
  }

  /** The same as a string. */
  string(value: number): string {
    const { text, start, end } = this.text(value);
    return asBuffer(text).toString('utf8', start, end);
  }

  /** A key as a string; empty if it is longer than any that a format has. */
  #key(key: number): string {
    const { bytes } = this;
    const start = this.startOf(key) + 1;
    const length = this.#ends[key]! - 1 - start; // key < count
    if (length > WORD_MAX_BYTES) return '';
    const slot = (length + 7 * (bytes[start]! + bytes[start + length - 1]!)) % KEY_SLOTS; // within the quotes
    const before = this.#keys[slot];
    if (before !== undefined && isText(bytes, start, length, before)) return before;
    const text = this.string(key);
    if (text.length === length) this.#keys[slot] = text; // ASCII, and no escapes
    return text;
  }

  // ── Reading ──────────────────────────────────────────────────────────────────────────────────────────────

  #readAll(): JsonFault | undefined {
    try {
      while (this.#nextByte() !== undefined) this.#readValue(0);
      return undefined;
    } catch (error) {
      if (error instanceof JsonFault) return error;
      throw error;
    }
  }

  #readValue(depth: number): void {
    const own = this.#push();
    const byte = this.bytes[this.#at];
    if (byte === OPEN_BRACE)
      this.#readInside(own, depth, CLOSE_BRACE, 'a comma or a closing brace is missing');
    else if (byte === OPEN_BRACKET)
      this.#readInside(own, depth, CLOSE_BRACKET, 'a comma or a closing bracket is missing');
    else {
      if (byte === QUOTE) this.#passString();
      else this.#passWord();
      this.#ends[own] = this.#at;
    }
  }

  #readInside(own: number, depth: number, close: number, what: string): void {
    this.#ends[own] = VALUES_MAX; // all that follows, until it is closed
    if (depth === DEPTH_MAX) throw this.#faultHere(`nested more than ${DEPTH_MAX} deep`);
    this.#at++;
    if (this.#nextByte() !== close) {
      for (;;) {
        if (close === CLOSE_BRACE) this.#readKey();
        this.#readValue(depth + 1);
        const byte = this.#nextByte();
        if (byte === close) break;
        if (byte !== COMMA) throw this.#faultHere(what);
        this.#at++;
        this.#nextByte();
      }
    }
    this.#at++;
    this.#ends[own] = this.count;
  }

  #readKey(): void {
    if (this.bytes[this.#at] !== QUOTE) throw this.#faultHere('a key in double quotes is missing');
    const own = this.#push();
    this.#passString();
    this.#ends[own] = this.#at;
    if (this.#nextByte() !== COLON) throw this.#faultHere('a colon behind the key is missing');
    this.#at++;
    this.#nextByte();
  }

  /** Puts the value or key that starts here on the tape; its end follows. */
  #push(): number {
    if (this.#at >= this.bytes.length) throw this.#faultHere('a value is missing');
    if (this.count === VALUES_MAX) throw this.#faultHere(`more than ${VALUES_MAX} values: split the file`);
    const own = this.count++;
    if (own === this.#starts.length) {
      this.#starts = grown(this.#starts);
      this.#ends = grown(this.#ends);
    }
    this.#starts[own] = this.#at;
    this.#ends[own] = this.#at;
    return own;
  }

  /** Goes on to the next byte that is no blank, and returns it; undefined at the end. */
  #nextByte(): number | undefined {
    const { bytes } = this;
    let byte = bytes[this.#at];
    while (byte === SPACE || byte === TAB || byte === LF || byte === CR) byte = bytes[++this.#at];
    return byte;
  }

  #passString(): void {
    const { bytes } = this;
    const start = this.#at;
    let hasEscape = false;
    for (let at = start + 1; ; at++) {
      const byte = bytes[at];
      if (byte === QUOTE) {
        if (hasEscape && unescaped(bytes, start, at + 1) === undefined)
          throw this.#faultHere('a string with an escape that JSON does not have');
        this.#at = at + 1;
        return;
      }
      if (byte === BACKSLASH) {
        hasEscape = true;
        at++;
      } else if (byte === undefined || byte < SPACE) {
        this.#at = Math.min(at, bytes.length);
        const isEnd = byte === undefined;
        throw this.#faultHere(
          isEnd ? 'the quote that ends a string is missing' : 'a string that is not closed on its line',
        );
      }
    }
  }

  /** Passes over a number, or one of three words. */
  #passWord(): void {
    const { bytes } = this;
    const start = this.#at;
    let at = start;
    while (at < bytes.length && !isMark(bytes[at]!)) at++; // at < length
    const text = latin1(bytes, start, Math.min(at, start + WORD_MAX_BYTES));
    const isCut = at === bytes.length && /^[tfn]/.test(text);
    if (at - start > WORD_MAX_BYTES) throw this.#faultHere(`a number or word of ${at - start} characters`);
    if (!WORD.test(text)) {
      if (isCut) this.#at = at;
      throw this.#faultHere(
        `${quoteBytes(bytes, start, start + Math.max(1, text.length))} is no value of JSON`,
      );
    }
    this.#at = at;
  }

  #faultHere(what: string): JsonFault {
    return this.faultAt(Math.min(this.#at, this.bytes.length), what);
  }

  /** A fault at a byte. */
  faultAt(at: number, what: string): JsonFault {
    const { line, lineStart } = this.placeAt(at);
    return new JsonFault(line, columnAt(this.bytes, lineStart, at), at === this.bytes.length, what);
  }
}

/** Whether `length` bytes from `start` on are the ASCII of `text`. */
function isText(bytes: Uint8Array, start: number, length: number, text: string): boolean {
  if (length !== text.length) return false;
  for (let i = 0; i < length; i++) if (bytes[start + i] !== text.charCodeAt(i)) return false;
  return true;
}

function endsLine(bytes: Uint8Array, at: number): boolean {
  return bytes[at] === LF || (bytes[at] === CR && bytes[at + 1] !== LF);
}

/** Whether a byte ends a word. */
function isMark(byte: number): boolean {
  if (byte <= SPACE || byte === COMMA || byte === COLON || byte === QUOTE) return true;
  return byte === CLOSE_BRACE || byte === CLOSE_BRACKET || byte === OPEN_BRACE || byte === OPEN_BRACKET;
}

/** The string in bytes[start, end), with its quotes; undefined if it is none. */
function unescaped(bytes: Buffer, start: number, end: number): string | undefined {
  try {
    const value: unknown = JSON.parse(bytes.toString('utf8', start, end));
    return typeof value === 'string' ? value : undefined;
  } catch {
    return undefined;
  }
}

function grown(values: Int32Array): Int32Array<ArrayBuffer> {
  const more = new Int32Array(values.length * 2);
  more.set(values);
  return more;
}
