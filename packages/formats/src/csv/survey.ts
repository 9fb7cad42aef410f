/**
 * Finds the column of entries in a table without telling titles, from its first rows. Any text with commas
 * looks like a table, so an unclear one is refused, with advice on which options would settle it.
 */

import { newPrefixScratch, parsePrefixBytes } from '@rulecast/rules';
import { Collector } from '../collect/collector.ts';
import { DASH, LF } from '../text/ascii.ts';
import { indexIn, latin1 } from '../text/bytes.ts';
import { isAddressLike, readName } from '../text/entry.ts';
import { CSV_COLUMNS_MAX, type CsvRecord, eachCsvRecord } from './records.ts';

/** How much of a table is surveyed. Later rows must match the result. Our choice. */
const SURVEY_BYTES = 256 * 1024;
/**
 * Our choice: a column that reads in fewer rows holds something else, and one that reads in more than the
 * others may is a second one.
 */
const STRAY_SHARE = 0.05;
/** Our choice: columns that are tried on the whole table before one is advised. */
const CANDIDATES_MAX = 4;
/** Column numbers that a message names. */
const SHOWN_MAX = 4;

export interface SurveyOptions {
  readonly delimiter: number;
  /** Whether the first record is a header. */
  readonly hasHeader: boolean;
  /** Whether to look for names only. */
  readonly wantsNames: boolean;
  /** The share of rows in which a column must read. */
  readonly share: number;
}

export type Survey =
  | { readonly kind: 'addresses'; readonly column: number }
  | { readonly kind: 'names'; readonly column: number }
  /** Why no column is the one, for people, and which may be, from 0. */
  | { readonly kind: 'unproven'; readonly why: string; readonly columns: readonly number[] };

/** In how many rows a column has each kind of content. */
interface ColumnCounts {
  rows: number;
  readonly addresses: Uint32Array;
  readonly names: Uint32Array;
  /**
   * Words with a dot within, which may be names too: file names, addresses of pages, addresses with a port.
   */
  readonly dotted: Uint32Array;
}

/** Looks at the first rows of a table that starts at `start`. */
export function surveyColumns(bytes: Uint8Array, start: number, options: SurveyOptions): Survey {
  const counts = countColumns(bytes, start, options);
  const { rows, addresses, names, dotted } = counts;
  const least = Math.max(1, rows * options.share);
  const some = Math.max(1, rows * STRAY_SHARE);
  const withAddresses = options.wantsNames ? [] : columnsWith(addresses, some);
  const [only, ...others] = withAddresses;
  const unproven = (why: string, columns: readonly number[]): Survey => ({
    kind: 'unproven',
    why,
    columns: columns.slice(0, CANDIDATES_MAX),
  });
  if (others.length > 0) return unproven(`${numbersOf(withAddresses)} hold addresses`, withAddresses);
  if (only !== undefined && (addresses[only] ?? 0) >= least) return { kind: 'addresses', column: only };
  const percent = Math.round(options.share * 100);
  const why = `none reads as addresses, or alone as names, in ${percent} % of the rows`;
  if (only !== undefined) return unproven(why, withAddresses);
  const withDots = columnsWith(dotted, some);
  const [name, ...more] = withDots;
  if (name === undefined || more.length > 0 || (names[name] ?? 0) < least) return unproven(why, withDots);
  return { kind: 'names', column: name };
}

function countColumns(bytes: Uint8Array, start: number, options: SurveyOptions): ColumnCounts {
  const counts: ColumnCounts = {
    rows: 0,
    addresses: new Uint32Array(CSV_COLUMNS_MAX),
    names: new Uint32Array(CSV_COLUMNS_MAX),
    dotted: new Uint32Array(CSV_COLUMNS_MAX),
  };
  const limit = start + SURVEY_BYTES;
  const cut = bytes.length <= limit ? bytes.length : bytes.lastIndexOf(LF, limit) + 1;
  const sample = cut > start ? bytes.subarray(0, cut) : bytes.subarray(0, limit);
  const scratch = new Collector(sample, {}, undefined);
  let isHeader = options.hasHeader;
  eachCsvRecord(scratch, start, options.delimiter, (record) => {
    if (isHeader) isHeader = false;
    else countRow(record, counts);
  });
  return counts;
}

function countRow(record: CsvRecord, counts: ColumnCounts): void {
  counts.rows++;
  for (let i = 0; i < record.count; i++) {
    if (isAddressField(record, i))
      counts.addresses[i]!++; // i < CSV_COLUMNS_MAX
    else if (isDottedField(record, i)) {
      counts.dotted[i]!++; // likewise
      if (isNameField(record, i)) counts.names[i]!++;
    }
  }
}

function columnsWith(counts: Uint32Array, least: number): readonly number[] {
  return [...counts.keys()].filter((i) => (counts[i] ?? 0) >= least);
}

/** Columns are counted from 1 by people. */
function numbersOf(columns: readonly number[]): string {
  const shown = columns.slice(0, SHOWN_MAX).map((column) => String(column + 1));
  if (columns.length > SHOWN_MAX) return `${shown.join(', ')} and more`;
  return `${shown.slice(0, -1).join(', ')} and ${shown.at(-1)}`;
}

// ── Fields ─────────────────────────────────────────────────────────────────────────────────────────────────

const prefix = newPrefixScratch();

/** The start of a field; 0, for an empty one, if the record lacks it. */
export function startOf(record: CsvRecord, column: number): number {
  return column < record.count ? record.starts[column]! : 0; // column < count <= length
}

export function endOf(record: CsvRecord, column: number): number {
  return column < record.count ? record.ends[column]! : 0; // likewise
}

/** Whether a field is an address, a CIDR or a range. */
export function isAddressField(record: CsvRecord, column: number): boolean {
  const start = startOf(record, column);
  const end = endOf(record, column);
  const dash = indexIn(record.text, DASH, start, end);
  const firstEnd = dash > start ? dash : end;
  return parsePrefixBytes(record.text, start, firstEnd, prefix) === undefined;
}

/** Whether a field is one address, as the ends of ranges are. */
export function isHostField(record: CsvRecord, column: number): boolean {
  return isAddressField(record, column) && prefix.length === (prefix.family === 4 ? 32 : 128);
}

/** Whether a field is a host name with a dot. */
export function isNameField(record: CsvRecord, column: number): boolean {
  const start = startOf(record, column);
  const end = endOf(record, column);
  if (end === start || isAddressLike(record.text, start, end)) return false;
  const name = readName(record.text, start, end);
  return typeof name === 'string' && name.includes('.');
}

function isDottedField(record: CsvRecord, column: number): boolean {
  const text = latin1(record.text, startOf(record, column), endOf(record, column));
  return /[A-Za-z0-9_-]\.[A-Za-z0-9_-]/.test(text) && !/^[-+\d.]*$/.test(text);
}
