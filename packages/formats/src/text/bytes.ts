/**
 * Text as bytes: byte order marks, line ends, columns, and quoting for messages. Shared by the parsers that
 * make no string per line.
 */

import type { FormatLimits } from './limits.ts';
import { type Reject, TextFault } from './reject.ts';

const CR = 0x0d;
const LF = 0x0a;
const SPACE = 0x20;
const TAB = 0x09;

/** Longest part of somebody's text that a message repeats, in characters. */
const QUOTE_MAX_CHARS = 48;

/** The start of the text after a byte order mark, or why it cannot be read at all. */
export type TextStart =
  | { readonly kind: 'text'; readonly start: number }
  | { readonly kind: 'fault'; readonly reject: Reject };

/** Checks size and byte order mark of a line-oriented file. */
export function textStart(bytes: Uint8Array, maxBytes: number): TextStart {
  if (bytes.length > maxBytes) {
    const reason = `${bytes.length} bytes; at most ${maxBytes} are read: split the file`;
    return { kind: 'fault', reject: { line: 1, column: 1, code: TextFault.tooLarge, reason } };
  }
  const littleEndian = bytes[0] === 0xff && bytes[1] === 0xfe;
  const bigEndian = bytes[0] === 0xfe && bytes[1] === 0xff;
  if (littleEndian || bigEndian) {
    const reason = 'the file is UTF-16 (it starts with its byte order mark): save it as UTF-8';
    return { kind: 'fault', reject: { line: 1, column: 1, code: TextFault.utf16, reason } };
  }
  const marked = bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf;
  return { kind: 'text', start: marked ? 3 : 0 };
}

/** A whole file as a string without its byte order mark, or why it is none. */
export function textOf(bytes: Uint8Array, maxBytes: number): string | Reject {
  const text = textStart(bytes, maxBytes);
  if (text.kind === 'fault') return text.reject;
  const body = bytes.subarray(text.start);
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(body);
  } catch {
    const lines = new TextDecoder('utf-8', { ignoreBOM: true })
      .decode(body)
      .split('\ufffd', 1)
      .join('')
      .split(/\r\n|\n|\r/);
    const column = (lines.at(-1) ?? '').length + 1;
    const reason = 'bytes that are not UTF-8: save the file as UTF-8';
    return { line: lines.length, column, code: TextFault.utf8, reason };
  }
}

/** The index of the CR or LF that ends the line, or the length of the text. */
export function lineEndAt(bytes: Uint8Array, from: number): number {
  const { length } = bytes;
  for (let at = from; at < length; at++) {
    const byte = bytes[at]!; // at < length
    if (byte <= CR && (byte === LF || byte === CR)) return at; // mostly one comparison
  }
  return Math.max(from, length);
}

/** The start of the line after the one that ends at `end`. LF, CRLF and a lone CR each end one line. */
export function nextLineAt(bytes: Uint8Array, end: number): number {
  return bytes[end] === CR && bytes[end + 1] === LF ? end + 2 : end + 1;
}

/** The first index in [from, end) that is neither space nor tab, or `end`. */
export function skipBlanks(bytes: Uint8Array, from: number, end: number): number {
  let at = from;
  while (at < end && isBlank(bytes[at])) at++;
  return at;
}

export function isBlank(byte: number | undefined): boolean {
  return byte === SPACE || byte === TAB;
}

/** The first index of a byte in [start, end), or -1. */
export function indexIn(bytes: Uint8Array, byte: number, start: number, end: number): number {
  for (let at = start; at < end; at++) if (bytes[at] === byte) return at;
  return -1;
}

/** The column of the byte at `at` in the line that starts at `lineStart`. */
export function columnAt(bytes: Uint8Array, lineStart: number, at: number): number {
  let column = 1;
  for (let i = lineStart; i < at; i++) {
    const byte = bytes[i]!; // i < at <= bytes.length
    if ((byte & 0xc0) === 0x80) continue; // within a character
    column += byte >= 0xf0 ? 2 : 1;
  }
  return column;
}

/**
 * The bytes [start, end) as characters of the same codes: ASCII stays as it is, and other bytes stay outside
 * of it.
 */
export function latin1(bytes: Uint8Array, start: number, end: number): string {
  return asBuffer(bytes).toString('latin1', start, end);
}

/** The same bytes as a Buffer, which makes strings of its parts without a view for each. */
export function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
}

/** Counts columns of positions that mostly ascend: if a whole file is one line, nothing is counted twice. */
export class ColumnCounter {
  readonly #bytes: Uint8Array;
  #lineStart = -1;
  #counted = 0;
  #column = 1;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  /** The column of the byte at `at` in the line that starts at `lineStart`. */
  columnAt(lineStart: number, at: number): number {
    if (lineStart !== this.#lineStart || at < this.#counted) {
      this.#lineStart = lineStart;
      this.#counted = lineStart;
      this.#column = 1;
    }
    this.#column += columnAt(this.#bytes, this.#counted, at) - 1;
    this.#counted = Math.max(at, lineStart);
    return this.#column;
  }
}

/** A fault that makes a line in [start, end) unreadable, whatever its content. */
export function lineFault(
  bytes: Uint8Array,
  start: number,
  end: number,
  line: number,
  limits: FormatLimits,
): Reject | undefined {
  if (end - start > limits.lineBytes) {
    const reason = `the line has ${end - start} bytes; at most ${limits.lineBytes} are read: is this the right file?`;
    return { line, column: 1, code: TextFault.lineTooLong, reason };
  }
  for (let at = start; at < end; at++) {
    if (bytes[at] !== 0) continue;
    const reason = 'a NUL byte: this is no text file, or it is damaged';
    return { line, column: columnAt(bytes, start, at), code: TextFault.nul, reason };
  }
  return undefined;
}

/**
 * A text in double quotes for a message: cut at a bearable length, without characters that steer a terminal.
 */
export function quote(text: string): string {
  return `"${printable(text, QUOTE_MAX_CHARS)}"`;
}

/** A text cut at a length, with the characters escaped that a terminal would act upon. */
export function printable(text: string, maxChars: number): string {
  const cut = text.length > maxChars ? `${text.slice(0, maxChars)}…` : text;
  return cut.replace(
    /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu,
    (char) => `\\u{${char.codePointAt(0)?.toString(16) ?? ''}}`,
  );
}

/** `quote` of bytes that should be UTF-8. */
export function quoteBytes(bytes: Uint8Array, start: number, end: number): string {
  const longestUseful = start + QUOTE_MAX_CHARS * 4 + 4; // four bytes a character
  return quote(new TextDecoder().decode(bytes.subarray(start, Math.min(end, longestUseful))));
}
