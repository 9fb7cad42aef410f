/**
 * JSON (RFC 8259) read value by value from bytes, without a tree: memory does not grow with the file, values
 * know their line and column, and what nobody asks for is checked and passed over. Several documents may
 * follow one another, as in NDJSON.
 */

import { asBuffer, ColumnCounter, latin1, quoteBytes } from '../text/bytes.ts';

const BACKSLASH = 0x5c;
const CLOSE_BRACE = 0x7d;
const CLOSE_BRACKET = 0x5d;
const COLON = 0x3a;
const COMMA = 0x2c;
const CR = 0x0d;
const DASH = 0x2d;
const LF = 0x0a;
const NINE = 0x39;
const OPEN_BRACE = 0x7b;
const OPEN_BRACKET = 0x5b;
const QUOTE = 0x22;
const SPACE = 0x20;
const TAB = 0x09;
const ZERO = 0x30;

const NUMBER = /^-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?$/;
/** Deepest nesting that is read; the feeds have at most eight levels. */
const DEPTH_MAX = 64;
/** Longest number, and longest key that is told apart; longer keys are known to nobody. */
const WORD_MAX_BYTES = 128;

export type JsonKind = 'object' | 'array' | 'string' | 'number' | 'literal' | 'end';

/** A string value: where its characters are, without quotes and escapes, and where it stands. */
export interface JsonText {
  /** The file, or bytes of its own where the string has escapes. */
  readonly text: Uint8Array;
  readonly start: number;
  readonly end: number;
  readonly line: number;
  readonly lineStart: number;
  /** Of the first character behind the quote, in the file. */
  readonly at: number;
}

/** What is wrong with the text; thrown by the cursor, caught by who made it. */
export class JsonError extends Error {
  readonly line: number;
  readonly column: number;
  /** Whether the text ends too early. */
  readonly isTruncated: boolean;

  constructor(line: number, column: number, isTruncated: boolean, message: string) {
    super(message);
    this.line = line;
    this.column = column;
    this.isTruncated = isTruncated;
  }
}

export class JsonCursor {
  readonly bytes: Buffer;
  line = 1;
  lineStart: number;
  /** Where the key stands that `object` gave last: its first quote. */
  keyAt = 0;
  readonly #columns: ColumnCounter;
  #at: number;
  #depth = 0;

  constructor(bytes: Uint8Array, start: number) {
    this.bytes = asBuffer(bytes);
    this.#columns = new ColumnCounter(this.bytes);
    this.#at = start;
    this.lineStart = start;
  }

  /**
   * How many lines there are up to the place that is reached; an empty one at the end of the file is none.
   */
  get lineCount(): number {
    const isEmpty = this.lineStart >= this.bytes.length && (this.line > 1 || this.bytes.length === 0);
    return isEmpty ? this.line - 1 : this.line;
  }

  /** The place that is reached: that of the next value after a `peek`, its end after a `skip`. */
  get at(): number {
    return this.#at;
  }

  /** The kind of the next value; `end` if there is none. */
  peek(): JsonKind {
    this.#skipSpace();
    const byte = this.bytes[this.#at];
    if (byte === undefined) return 'end';
    if (byte === QUOTE) return 'string';
    if (byte === OPEN_BRACE) return 'object';
    if (byte === OPEN_BRACKET) return 'array';
    if (byte === DASH || (byte >= ZERO && byte <= NINE)) return 'number';
    return 'literal';
  }

  /**
   * Gives each key of the object that is next; `visit` may read the value or leave it. Where it says which
   * keys it knows, it gets empty texts for others, and no string is made of any.
   */
  object(visit: (key: string) => void, known?: readonly string[]): void {
    this.#open(OPEN_BRACE);
    if (this.#isNext(CLOSE_BRACE)) return this.#close();
    for (;;) {
      this.#skipSpace();
      if (this.bytes[this.#at] !== QUOTE) throw this.error('a key in double quotes is missing');
      const key = this.#key(known);
      this.#skipSpace();
      if (this.bytes[this.#at] !== COLON) throw this.error('a colon behind the key is missing');
      this.#at++;
      this.#skipSpace();
      const before = this.#at;
      visit(key);
      if (this.#at === before) this.skip();
      if (this.#isNext(CLOSE_BRACE)) return this.#close();
      if (!this.#isNext(COMMA)) throw this.error('a comma or a closing brace is missing');
      this.#at++;
    }
  }

  /** Calls `visit` for each item of the array that is next; it may read the item or leave it. */
  array(visit: () => void): void {
    this.#open(OPEN_BRACKET);
    if (this.#isNext(CLOSE_BRACKET)) return this.#close();
    for (;;) {
      this.#skipSpace();
      const before = this.#at;
      visit();
      if (this.#at === before) this.skip();
      if (this.#isNext(CLOSE_BRACKET)) return this.#close();
      if (!this.#isNext(COMMA)) throw this.error('a comma or a closing bracket is missing');
      this.#at++;
    }
  }

  /** The string that is next. */
  string(): JsonText {
    this.#skipSpace();
    const { bytes, line, lineStart } = this;
    const start = this.#at + 1;
    const hasEscape = this.#passString();
    const end = this.#at - 1;
    if (!hasEscape) return { text: bytes, start, end, line, lineStart, at: start };
    const text = Buffer.from(this.#unescaped(start - 1, end + 1), 'utf8');
    return { text, start: 0, end: text.length, line, lineStart, at: start };
  }

  /** The string that is next, as one; for words of a feed. */
  word(): string {
    const { text, start, end } = this.string();
    return asBuffer(text).toString('utf8', start, end);
  }

  number(): number {
    this.#skipSpace();
    const start = this.#at;
    this.#passWord();
    const text = latin1(this.bytes, start, Math.min(this.#at, start + WORD_MAX_BYTES));
    if (NUMBER.test(text)) return Number(text);
    this.#at = start;
    throw this.error(`${quoteBytes(this.bytes, start, start + text.length)} is no number`);
  }

  /** Passes over the next value, whatever it is. */
  skip(): void {
    switch (this.peek()) {
      case 'object':
        return this.object(() => {});
      case 'array':
        return this.array(() => {});
      case 'string':
        this.#passString();
        return;
      case 'number':
        this.number();
        return;
      case 'literal':
        return this.#passLiteral();
      case 'end':
        throw this.error('a value is missing');
    }
  }

  /** What is wrong at the place that is reached. */
  error(what: string): JsonError {
    const { bytes } = this;
    const at = this.#at;
    const column = this.#columns.columnAt(this.lineStart, Math.min(at, bytes.length));
    const isTruncated = at >= bytes.length;
    return new JsonError(
      this.line,
      column,
      isTruncated,
      isTruncated ? `the text ends too early: ${what}` : what,
    );
  }

  #open(bracket: number): void {
    this.#skipSpace();
    if (this.bytes[this.#at] !== bracket) throw this.error('another kind of value was expected');
    if (++this.#depth > DEPTH_MAX) throw this.error(`nested more than ${DEPTH_MAX} deep`);
    this.#at++;
  }

  #close(): void {
    this.#depth--;
    this.#at++;
  }

  #isNext(byte: number): boolean {
    this.#skipSpace();
    return this.bytes[this.#at] === byte;
  }

  #skipSpace(): void {
    const { bytes } = this;
    let at = this.#at;
    for (; ; at++) {
      const byte = bytes[at];
      if (byte === SPACE || byte === TAB) continue;
      if (byte === LF || (byte === CR && bytes[at + 1] !== LF)) {
        this.line++;
        this.lineStart = at + 1;
      } else if (byte !== CR) break;
    }
    this.#at = at;
  }

  /** A key without its escapes; an empty text for what is longer than any that is known. */
  #key(known: readonly string[] | undefined): string {
    this.keyAt = this.#at;
    const start = this.#at + 1;
    const hasEscape = this.#passString();
    const end = this.#at - 1;
    if (end - start > WORD_MAX_BYTES) return '';
    if (hasEscape) return this.#unescaped(start - 1, end + 1);
    if (known === undefined) return this.bytes.toString('utf8', start, end);
    for (const key of known) if (isText(this.bytes, start, end, key)) return key;
    return '';
  }

  /** Passes over the string that is next; returns whether it has escapes. */
  #passString(): boolean {
    const { bytes } = this;
    if (bytes[this.#at] !== QUOTE) throw this.error('a string is missing');
    let hasEscape = false;
    for (let at = this.#at + 1; ; at++) {
      const byte = bytes[at];
      if (byte === QUOTE) {
        this.#at = at + 1;
        return hasEscape;
      }
      if (byte === BACKSLASH) {
        hasEscape = true;
        at++;
      } else if (byte === undefined || byte < SPACE) {
        this.#at = Math.min(at, bytes.length);
        throw this.error(
          byte === undefined
            ? 'the quote that ends a string is missing'
            : 'a string that is not closed on its line',
        );
      }
    }
  }

  /** The string between two quotes, with the escapes replaced. */
  #unescaped(start: number, end: number): string {
    try {
      const value: unknown = JSON.parse(Buffer.from(this.bytes.subarray(start, end)).toString('utf8'));
      if (typeof value === 'string') return value;
    } catch {
      // Falls through to the one message.
    }
    this.#at = start;
    throw this.error('a string with an escape that JSON does not have');
  }

  #passLiteral(): void {
    const start = this.#at;
    this.#passWord();
    const text = latin1(this.bytes, start, Math.min(this.#at, start + WORD_MAX_BYTES));
    if (text === 'true' || text === 'false' || text === 'null') return;
    const isCut = this.#at === this.bytes.length && /^(?:t|f|n)/.test(text);
    if (!isCut) this.#at = start;
    throw this.error(`${quoteBytes(this.bytes, start, start + Math.max(1, text.length))} is no JSON value`);
  }

  /** Passes over letters, digits and signs. */
  #passWord(): void {
    const { bytes } = this;
    for (; this.#at < bytes.length; this.#at++) {
      const byte = bytes[this.#at];
      if (byte === undefined || byte <= SPACE || byte === COMMA || byte === COLON || byte === QUOTE) return;
      if (byte === CLOSE_BRACE || byte === CLOSE_BRACKET || byte === OPEN_BRACE || byte === OPEN_BRACKET)
        return;
    }
  }
}

/** Whether bytes[start, end) are this text, which is ASCII. */
function isText(bytes: Uint8Array, start: number, end: number, text: string): boolean {
  if (end - start !== text.length) return false;
  for (let i = 0; i < text.length; i++) if (bytes[start + i] !== text.charCodeAt(i)) return false;
  return true;
}
