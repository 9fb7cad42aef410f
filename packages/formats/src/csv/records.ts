/**
 * CSV (RFC 4180, with other delimiters) as records of fields in bytes. Lines with quotes only around fields,
 * nearly all, are split here. From the first other quote on, the CSV library reads, as the rules of quotes
 * should be in one place. A test compares both.
 *
 * Blanks around fields do not count. A record that starts with `#`, `//` or a `;` that is no delimiter is a
 * comment.
 */

import { CsvError, parse } from 'csv-parse/sync';
import type { Collector } from '../collect/collector.ts';
import { isBlank, lineEndAt, nextLineAt, skipBlanks } from '../text/bytes.ts';
import { isReadable, trimEnd } from '../text/lines.ts';

const CR = 0x0d;
const HASH = 0x23;
const LF = 0x0a;
const QUOTE = 0x22;
const SEMICOLON = 0x3b;
const SLASH = 0x2f;
const TAB = 0x09;

/** Columns beyond are not looked at; tables with more are not about addresses. */
export const CSV_COLUMNS_MAX = 256;

/** After so many records with wrong quotes the rest is not read: each costs a new start of the library. */
const QUOTE_FAULTS_MAX = 1000;
const CSV_FAULT = 'bad-csv';

/** The fields of one record; reused for the next. */
export interface CsvRecord {
  text: Uint8Array;
  count: number;
  readonly starts: Int32Array;
  readonly ends: Int32Array;
}

/** Gives each record that is neither blank nor a comment, until the collector is full. */
export function eachCsvRecord(
  collector: Collector,
  start: number,
  delimiter: number,
  visit: (record: CsvRecord) => void,
): void {
  const { bytes } = collector;
  const record: CsvRecord = {
    text: bytes,
    count: 0,
    starts: new Int32Array(CSV_COLUMNS_MAX),
    ends: new Int32Array(CSV_COLUMNS_MAX),
  };
  let quoteFaults = 0;
  for (let at = start; at < bytes.length && !collector.isFull; ) {
    const end = splitFields(bytes, at, delimiter, record);
    if (isComment(bytes, at, end, delimiter)) {
      collector.beginLine(at);
      collector.skip('comment');
    } else if (record.count === 0) {
      const faults = collector.rejects.count;
      at = readQuoted(collector, at, delimiter, record, visit);
      if (collector.rejects.count > faults && ++quoteFaults === QUOTE_FAULTS_MAX && at < bytes.length) {
        refuseRest(collector);
        return;
      }
      continue;
    } else {
      collector.beginLine(at);
      const hasField = record.count > 1 || record.starts[0]! < record.ends[0]!; // at least one
      if (isReadable(collector, at, end) && hasField) visit(record);
    }
    at = nextLineAt(bytes, end);
  }
}

function isComment(bytes: Uint8Array, start: number, end: number, delimiter: number): boolean {
  const from = skipBlanks(bytes, start, end);
  if (from === end) return false;
  const byte = bytes[from];
  if (byte === SEMICOLON) return delimiter !== SEMICOLON;
  return byte === HASH || (byte === SLASH && bytes[from + 1] === SLASH);
}

/**
 * Cuts the line that begins at `start` into fields without the blanks around them. Returns where the line
 * ends; a line with a quote that is more than the ends of a field has no fields.
 */
function splitFields(bytes: Uint8Array, start: number, delimiter: number, record: CsvRecord): number {
  const { starts, ends } = record;
  record.text = bytes;
  let count = 0;
  let isForLibrary = false;
  let from = start;
  let at = start;
  const top = Math.max(QUOTE, delimiter); // beyond are digits, letters and, but for tables with semicolons or bars, points
  const { length } = bytes;
  for (; at <= length; at++) {
    if (at < length && bytes[at]! > top) continue; // at < length
    let to = at;
    if (bytes[at] === QUOTE) {
      const close = isForLibrary ? -1 : closingQuote(bytes, from, at, delimiter);
      if (close < 0) isForLibrary = true;
      else {
        from = at + 1;
        to = close;
        at = delimiter === TAB ? close + 1 : skipBlanks(bytes, close + 1, bytes.length);
      }
    }
    const byte = bytes[at];
    const isEnd = byte === LF || byte === CR || byte === undefined;
    if (!isEnd && byte !== delimiter) continue;
    if (count < CSV_COLUMNS_MAX) {
      while (from < to && isBlank(bytes[from])) from++;
      starts[count] = from;
      ends[count++] = trimEnd(bytes, from, to);
    }
    from = at + 1;
    if (isEnd) break;
  }
  record.count = isForLibrary ? 0 : count;
  return at;
}

/**
 * The end of a field in quotes, whose quote opens at `at`, if it closes in this line and has no quote inside;
 * else -1. A field that looks like a comment is left to the library too.
 */
function closingQuote(bytes: Uint8Array, fieldStart: number, at: number, delimiter: number): number {
  const isTab = delimiter === TAB; // then blanks around quotes belong to the field
  if (isTab ? at > fieldStart : skipBlanks(bytes, fieldStart, at) < at) return -1;
  let close = at + 1;
  for (let byte = bytes[close]; byte !== QUOTE; byte = bytes[++close]) {
    if (byte === undefined || byte === LF || byte === CR) return -1;
  }
  if (isComment(bytes, at + 1, close, delimiter)) return -1;
  const next = bytes[isTab ? close + 1 : skipBlanks(bytes, close + 1, bytes.length)];
  return next === delimiter || next === LF || next === CR || next === undefined ? close : -1;
}

/** The library's data about a record; it counts lines, but counts a CRLF within quotes twice. */
interface RecordInfo {
  /** Bytes read so far, up to the end of the record. */
  readonly bytes: number;
}

/**
 * Reads the records from `start` on by the library, to the end of the file or to a record that is none.
 * Returns where to go on: at the line after that one.
 */
function readQuoted(
  collector: Collector,
  start: number,
  delimiter: number,
  record: CsvRecord,
  visit: (record: CsvRecord) => void,
): number {
  const { bytes, limits } = collector;
  const places = new LinePlaces(collector, start);
  let recordStart = start;
  try {
    parse(bytes.subarray(start), {
      delimiter: String.fromCharCode(delimiter),
      record_delimiter: ['\r\n', '\n', '\r'],
      relax_column_count: true,
      relax_quotes: true,
      skip_empty_lines: true,
      trim: delimiter !== TAB,
      max_record_size: limits.lineBytes,
      on_record: (fields: readonly string[], info: RecordInfo): undefined => {
        if (collector.isFull) return undefined;
        places.goTo(recordStart);
        recordStart = start + info.bytes;
        visitQuoted(collector, fields, delimiter, record, visit);
        return undefined;
      },
    });
  } catch (error) {
    if (!(error instanceof CsvError)) throw error;
    const read: unknown = error['bytes'];
    // The library has read up to the field that is wrong.
    places.goTo(typeof read === 'number' ? Math.max(recordStart, start + read) : recordStart);
    return refuseRecord(collector, error);
  }
  places.goTo(bytes.length);
  return bytes.length;
}

/**
 * Rejects the field that the library could not read, which is the place reached. Returns where to go on: at
 * the next line.
 */
function refuseRecord(collector: Collector, error: CsvError): number {
  const { bytes, limits, at } = collector;
  const reason =
    error.code === 'CSV_QUOTE_NOT_CLOSED'
      ? 'a quote that is never closed: is the file truncated?'
      : error.code === 'CSV_MAX_RECORD_SIZE'
        ? `a record with more than ${limits.lineBytes} bytes: is a quote missing?`
        : 'no valid CSV: a quoted field ends in one quote, and a quote within it is doubled';
  collector.reject(at, CSV_FAULT, reason);
  return nextLineAt(bytes, lineEndAt(bytes, at));
}

function refuseRest(collector: Collector): void {
  const reason = `more than ${QUOTE_FAULTS_MAX} records with misplaced quotes: this is no CSV`;
  const { line } = collector;
  collector.refuseFile({ line, column: 1, code: CSV_FAULT, reason });
}

function visitQuoted(
  collector: Collector,
  fields: readonly string[],
  delimiter: number,
  record: CsvRecord,
  visit: (record: CsvRecord) => void,
): void {
  const first = Buffer.from(fields[0] ?? '', 'utf8');
  if (isComment(first, 0, first.length, delimiter)) {
    collector.skip('comment');
    return;
  }
  if (fields.every((field) => field === '')) return;
  const used = fields.slice(0, CSV_COLUMNS_MAX);
  const text = Buffer.from(used.join('\n'), 'utf8');
  let at = 0;
  for (const [i, field] of used.entries()) {
    const end = at + Buffer.byteLength(field, 'utf8');
    const from = skipBlanks(text, at, end);
    record.starts[i] = from;
    record.ends[i] = trimEnd(text, from, end);
    at = end + 1;
  }
  record.text = text;
  record.count = used.length;
  visit(record);
}

/** Follows the library through the lines of the file, and says them to the collector. */
class LinePlaces {
  readonly #collector: Collector;
  #next: number; // the start of the next line

  /** `start` is the start of the next line. */
  constructor(collector: Collector, start: number) {
    this.#collector = collector;
    this.#next = start;
  }

  /**
   * Goes on to the line of the first byte at or after `offset` that is no line end and no blank, and makes it
   * the place at hand.
   */
  goTo(offset: number): void {
    const collector = this.#collector;
    const { bytes } = collector;
    let at = Math.min(offset, bytes.length);
    while (at < bytes.length && isSpace(bytes[at])) at++;
    while (this.#next <= at && this.#next < bytes.length) {
      collector.beginLine(this.#next);
      this.#next = nextLineAt(bytes, lineEndAt(bytes, this.#next));
    }
    collector.at = Math.max(at, collector.lineStart);
  }
}

function isSpace(byte: number | undefined): boolean {
  return isBlank(byte) || byte === LF || byte === CR;
}
