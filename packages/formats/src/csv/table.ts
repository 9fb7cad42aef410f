/**
 * CSV tables: the meaning of columns, and the entries of records. Options decide, then titles, then the
 * content of the first records. An address in a field that is not used is a reject: the record says more than
 * its entry then.
 *
 *     Domain,Malware,Date added,Source       a column of names, by its title
 *     start_ip,end_ip,country,asn            a range in two columns
 *     1.0.0.0,1.0.0.255,AU                   the same without titles, in the format `ranges`
 *     192.0.2.0/24,NL,NL-NH,Amsterdam,1098   geofeed (RFC 8805), whose columns are fixed
 */

import {
  compareWordsAt,
  newPrefixScratch,
  parseDottedQuad,
  parsePrefix,
  parsePrefixBytes,
  strideOf,
} from '@rulecast/rules';
import { Collector } from '../collect/collector.ts';
import { EntryFilter } from '../collect/filter.ts';
import { ImportFault, type ImportOptions, type SkipCode } from '../collect/options.ts';
import { HASH } from '../text/ascii.ts';
import { latin1, lineEndAt, nextLineAt, printable, quote, quoteBytes, skipBlanks } from '../text/bytes.ts';
import { EntryFaultCode } from '../text/entry.ts';
import { sampleLines } from '../text/sample.ts';
import { addressWithin, type FoundAddress } from '../text/within.ts';
import { type CsvRecord, eachCsvRecord } from './records.ts';
import { endOf, isAddressField, isHostField, isNameField, startOf, surveyColumns } from './survey.ts';

/** Delimiters that are recognised, the likeliest first. */
export const CSV_DELIMITERS = [0x2c, 0x09, 0x3b, 0x7c] as const; // , tab ; |
/** Lines in which the delimiter is searched for. */
const SAMPLE_LINES = 20;
const COUNTRY = /^[A-Za-z]{2}$/;
const ASN = /^(?:[Aa][Ss])?\d{1,10}$/;
/** Longest part of a header that is repeated in a message. */
const HEADER_MAX_CHARS = 120;
/**
 * The share of rows in which a column must parse to be used without an option; and if an option at least
 * names the format CSV. Our choice.
 */
const GUESSED_SHARE = 0.95;
const STATED_SHARE = 0.5;
/** Advice that always applies. */
const ONE_A_LINE = 'write one entry a line';
/** Lines that a refusal shows. */
const LINES_SHOWN = 2;

/** Titles in lower case, with everything but letters and digits taken out. */
const TITLES = {
  address:
    'ip ipaddress ipaddr address addr cidr network prefix ipprefix subnet netblock range iprange srcip sourceip dstip destip destinationip ipv4 ipv6 hostip ipcidr ips ioc indicator',
  first:
    'start startip ipstart rangestart first firstip begin beginip from ipfrom startaddress ipstartaddress',
  last: 'end endip ipend rangeend last lastip to ipto endaddress ipendaddress stop',
  name: 'domain domainname host hostname fqdn name dns dnsname dnsquery',
  country: 'country countrycode cc countryisocode isocode',
  asn: 'asn as asnumber autonomoussystemnumber originas',
  score: 'score count confidence hits weight listings risk threatscore abuseconfidencescore',
  region: 'region regioncode state',
} as const;
type Role = keyof typeof TITLES;

const ROLE_OF: ReadonlyMap<string, Role> = new Map(
  Object.entries(TITLES).flatMap(
    ([role, titles]) => titles.split(' ').map((title): [string, Role] => [title, role as Role]), // the keys of TITLES
  ),
);

/** The column of each role, from 0. */
type Columns = { readonly [role in Role | 'length']?: number };

/** The columns of RFC 8805. */
const GEOFEED_COLUMNS: Columns = { address: 0, country: 1, region: 2 };
/** CAIDA's columns. A network that several systems announce has all of their numbers. */
const PFX2AS_COLUMNS: Columns = { address: 0, length: 1, asn: 2 };

const scratch = newPrefixScratch();

export const importCsv = importerOf(undefined);
/** A table of ranges: two columns without titles are their ends. */
export const importRangesCsv = importerOf(undefined, true);
export const importGeofeed = importerOf(GEOFEED_COLUMNS);
export const importPfx2as = importerOf(PFX2AS_COLUMNS);

function importerOf(columns: Columns | undefined, holdsRanges = false) {
  return (collector: Collector, start: number): void =>
    new CsvReader(collector, start, columns, holdsRanges).read();
}

/** Ranges as CSV, or as text, `first-last`, which the caller reads if there is no delimiter. */
export function hasDelimiter(bytes: Uint8Array, start: number): boolean {
  return delimiterOf(bytes, start) !== undefined;
}

class CsvReader {
  readonly #collector: Collector;
  readonly #start: number;
  readonly #filter: EntryFilter;
  #columns: Columns | undefined;
  readonly #holdsRanges: boolean;
  readonly #delimiter: number;
  /** By family, the last address of the ranges so far, while it is only a guess that they are ranges. */
  readonly #lastEnds = new Map<4 | 6, Uint32Array>();
  /** Titles of the header, if the file has one. */
  #titles: readonly string[] | undefined;
  #isFirst = true;

  constructor(collector: Collector, start: number, columns: Columns | undefined, holdsRanges: boolean) {
    this.#collector = collector;
    this.#start = start;
    this.#holdsRanges = holdsRanges;
    const { delimiter } = collector.options;
    this.#delimiter = delimiter?.charCodeAt(0) ?? delimiterOf(collector.bytes, start) ?? CSV_DELIMITERS[0];
    this.#filter = new EntryFilter(collector.options);
    this.#columns = columns;
  }

  read(): void {
    const collector = this.#collector;
    const start = this.#start;
    const delimiter = this.#delimiter;
    let header = 0; // the line of a header that no record followed yet
    eachCsvRecord(collector, start, delimiter, (record) => {
      if (collector.fault !== undefined) return;
      const isFirst = this.#isFirst;
      this.#isFirst = false;
      if (isFirst && this.#columns === undefined && this.#readHeader(record)) {
        header = collector.line;
        return;
      }
      if (header > 0) collector.skip('metadata', header);
      header = 0;
      this.#readRecord(record);
    });
    if (header > 0 && collector.fault === undefined) this.#takeLoneHeader(header);
  }

  /** Reads the first record as a header if it is one. */
  #readHeader(record: CsvRecord): boolean {
    const { column } = this.#collector.options;
    this.#titles = this.#commentedTitles();
    if (this.#titles !== undefined) return false;
    const titles = Array.from({ length: record.count }, (_, i) => fieldText(record, i));
    const named = typeof column === 'string' ? titles.findIndex((title) => sameTitle(title, column)) : -1;
    const hasEntry =
      titles.some((_, i) => isAddressField(record, i) || isNameField(record, i)) ||
      addressWithin(record.text, startOf(record, 0), endOf(record, record.count - 1)) !== undefined;
    const isTitled = titles.some((title) => ROLE_OF.has(plainTitle(title)));
    if (named < 0 && (hasEntry || (!isTitled && record.count === 1))) return false;
    this.#titles = titles;
    return true;
  }

  /** The titles in a comment before the first record, if they have the one that is asked for. */
  #commentedTitles(): readonly string[] | undefined {
    const { column, lengthColumn } = this.#collector.options;
    const wanted = typeof column === 'string' ? column : lengthColumn;
    if (typeof wanted !== 'string') return undefined;
    for (const line of sampleLines(this.#collector.bytes, this.#start)) {
      const comment = /^(?:#|;|\/\/)\s*(.*)$/.exec(line)?.[1];
      if (comment === undefined) return undefined;
      const titles = comment.split(String.fromCharCode(this.#delimiter)).map(bareTitle);
      if (titles.some((title) => sameTitle(title, wanted))) return titles;
    }
    return undefined;
  }

  /** A table may be empty; words that are no titles are not a table. */
  #takeLoneHeader(line: number): void {
    const collector = this.#collector;
    const titles = this.#titles ?? [];
    if (titles.some((title) => ROLE_OF.has(plainTitle(title)))) {
      collector.skip('metadata', line);
      return;
    }
    const reason = 'no entry, and no title of a table of addresses or names';
    collector.rejects.add({ line, column: 1, code: 'no-entry', reason });
  }

  #readRecord(record: CsvRecord): void {
    const collector = this.#collector;
    this.#columns ??= this.#findColumns(record);
    const columns = this.#columns;
    if (columns === undefined) {
      if (collector.fault === undefined) this.#refuse(record, 0, 'no field is an address or a name');
      return;
    }
    const other = this.#otherOf(record, columns);
    if (other !== undefined) collector.skip(other);
    if (other !== undefined || this.#refuseUnused(record, columns)) return;
    const { address, first, last, name, length } = columns;
    if (length !== undefined) this.#useParted(record, address ?? 0, length);
    else if (first !== undefined && last !== undefined) this.#useRange(record, first, last);
    else if (address !== undefined) this.#useEntry(record, address);
    else if (name !== undefined) this.#useEntry(record, name);
  }

  /**
   * Rejects a record with a second address in an unused field. If an option names the column, such fields are
   * counted instead. Returns whether it is rejected.
   */
  #refuseUnused(record: CsvRecord, columns: Columns): boolean {
    const collector = this.#collector;
    const { column, kind } = collector.options;
    if (kind === 'names') return false;
    const { address, first, last, name, length } = columns;
    const used = first !== undefined && last !== undefined ? [first, last] : [address ?? name, length];
    for (let i = 0; i < record.count; i++) {
      const other = used.includes(i) ? undefined : unusedAddress(record, i, columns);
      if (other === undefined) continue;
      if (column === undefined) {
        const shown = quoteBytes(record.text, other.start, other.end);
        const reason = `${shown} is an address in column ${this.#titleOf(i)}, which is not used: ${ONE_A_LINE}`;
        const at = record.text === collector.bytes ? other.start : collector.at;
        return !collector.reject(at, EntryFaultCode.secondAddress, reason);
      }
      collector.skip('other-column');
    }
    return false;
  }

  /** Why the entry of a record was not asked for, if it was not. */
  #otherOf(record: CsvRecord, columns: Columns): SkipCode | undefined {
    const filter = this.#filter;
    for (const role of ['country', 'asn', 'region'] as const) {
      const column = columns[role];
      if (column === undefined || !filter.wants(role)) continue;
      if (!filter.takes(role, [fieldText(record, column)])) return `other-${role}`;
    }
    const { minScore } = this.#collector.options;
    if (minScore === undefined || columns.score === undefined) return undefined;
    return Number.parseFloat(fieldText(record, columns.score)) >= minScore ? undefined : 'low-score';
  }

  #useRange(record: CsvRecord, first: number, last: number): void {
    const collector = this.#collector;
    const { text } = record;
    const start = startOf(record, first);
    const end = endOf(record, first);
    const lastStart = startOf(record, last);
    const lastEnd = endOf(record, last);
    if (!this.#isInOrder(record, first, last)) {
      const shown = `${quoteBytes(text, start, end)} to ${quoteBytes(text, lastStart, lastEnd)}`;
      const reason = `${shown} is out of order, so it may not be a range: write format: ranges if it is one`;
      this.#refuse(record, first, reason, 'range-out-of-order');
      return;
    }
    const from = parseDottedQuad(text, start, end);
    const to = from < 0 ? -1 : parseDottedQuad(text, lastStart, lastEnd);
    if (from >= 0 && from <= to && collector.holdsPrefixes)
      collector.ip4Range(from, to, text === collector.bytes ? start : collector.at);
    else collector.range(text, start, end, lastStart, lastEnd);
  }

  /** Whether a range is behind those before it, as in tables of ranges, or need not be. */
  #isInOrder(record: CsvRecord, first: number, last: number): boolean {
    const collector = this.#collector;
    const titles = this.#titles;
    const lastEnds = this.#lastEnds;
    if (!this.#holdsRanges || titles !== undefined || collector.options.format !== undefined) return true;
    const { text } = record;
    if (parsePrefixBytes(text, startOf(record, first), endOf(record, first), scratch) !== undefined)
      return true;
    const { family } = scratch;
    const before = lastEnds.get(family);
    if (before !== undefined && compareWordsAt(scratch.words, 0, before, 0, strideOf(family)) <= 0)
      return false;
    const start = scratch.words.slice();
    const isRead = parsePrefixBytes(text, startOf(record, last), endOf(record, last), scratch) === undefined;
    const isRange =
      isRead &&
      scratch.family === family &&
      compareWordsAt(start, 0, scratch.words, 0, strideOf(family)) <= 0;
    if (isRange) lastEnds.set(family, scratch.words.slice());
    return true; // the reader of the range reports its fault
  }

  #useEntry(record: CsvRecord, column: number): void {
    const collector = this.#collector;
    if (column >= record.count) {
      this.#refuse(record, record.count - 1, `the record has no column ${this.#titleOf(column)}`);
      return;
    }
    const start = startOf(record, column);
    const end = endOf(record, column);
    if (start === end) this.#refuse(record, column, `column ${this.#titleOf(column)} is empty`);
    else collector.entry(record.text, start, end);
  }

  /** Uses an address whose prefix length has a column of its own. */
  #useParted(record: CsvRecord, column: number, lengthColumn: number): void {
    const length = fieldText(record, lengthColumn);
    if (!/^\d{1,3}$/.test(length)) {
      const reason = `${quote(length)} in column ${this.#titleOf(lengthColumn)} is no prefix length`;
      this.#refuse(record, Math.min(lengthColumn, record.count - 1), reason);
      return;
    }
    const collector = this.#collector;
    const cidr = Buffer.from(`${fieldText(record, column)}/${length}`, 'latin1');
    if (record.text === collector.bytes) collector.at = startOf(record, column);
    collector.address(cidr, 0, cidr.length);
  }

  #refuse(record: CsvRecord, column: number, reason: string, code = 'no-entry'): void {
    const collector = this.#collector;
    const at = record.text === collector.bytes ? startOf(record, column) : collector.at;
    collector.reject(at, code, reason);
  }

  #titleOf(column: number): string {
    const title = this.#titles?.[column];
    return title === undefined ? String(column + 1) : `${column + 1} (${printable(title, 40)})`;
  }

  // ── Which column holds what ──────────────────────────────────────────────────────────────────────────────

  /** The columns by titles, by options, and by the record's content. Undefined if that does not tell. */
  #findColumns(record: CsvRecord): Columns | undefined {
    const { column, kind } = this.#collector.options;
    const roles = rolesOf(this.#titles ?? []);
    const asked = column === undefined ? undefined : this.#askedColumn(column);
    const found =
      column !== undefined
        ? asked === undefined
          ? undefined
          : { address: asked }
        : hasEntryRole(roles)
          ? titledColumns(record, roles, kind === 'names')
          : ((this.#holdsRanges ? rangeColumns(record) : undefined) ?? this.#surveyed());
    const entry = found && this.#withLengths(found);
    if (entry === undefined) return undefined;
    const attributes = this.#titles === undefined ? attributesByContent(record, entry) : roles;
    const { country, asn, score, region } = attributes;
    const columns = { ...entry, ...present({ country, asn, score, region }) };
    return this.#hasFilterColumns(columns) ? columns : undefined;
  }

  /** With the column of prefix lengths, if there is one. */
  #withLengths(entry: Columns): Columns | undefined {
    const { lengthColumn } = this.#collector.options;
    if (lengthColumn === undefined) return entry;
    const length = this.#askedColumn(lengthColumn);
    if (length === undefined) return undefined;
    if (entry.address !== undefined && entry.address !== length) return { address: entry.address, length };
    this.#refuseFile('prefix lengths in a column of their own need a column of addresses beside it');
    return undefined;
  }

  /** The column that the first rows prove; without a proof the file is refused. */
  #surveyed(): Columns | undefined {
    const collector = this.#collector;
    const start = this.#start;
    const delimiter = this.#delimiter;
    const titles = this.#titles;
    const { format, kind } = collector.options;
    const survey = surveyColumns(collector.bytes, start, {
      delimiter,
      hasHeader: titles !== undefined,
      wantsNames: kind === 'names',
      share: format === undefined ? GUESSED_SHARE : STATED_SHARE,
    });
    if (survey.kind === 'addresses') return { address: survey.column };
    if (survey.kind === 'names') return { name: survey.column };
    const lines: string[] = [];
    for (const line of sampleLines(collector.bytes, start)) {
      if (line.startsWith('#')) continue;
      if (lines.push(quote(line)) === LINES_SHOWN) break;
    }
    const advice = this.#holdsRanges ? ONE_A_LINE : this.#triedAdvice(survey.columns);
    this.#refuseFile(
      `nothing says which column holds the entries: ${survey.why}; ${advice}; it starts with ${lines.join(' and ')}`,
      ImportFault.unproven,
    );
    return undefined;
  }

  /** Advice on options to read the table: only those that were tried on it and used every address. */
  #triedAdvice(columns: readonly number[]): string {
    const collector = this.#collector;
    const reads = (options: Partial<ImportOptions>, holdsRanges: boolean): boolean => {
      const { onEntry, onReject, ...others } = collector.options;
      const trial = new Collector(collector.bytes, { ...others, ...options }, undefined);
      new CsvReader(trial, this.#start, undefined, holdsRanges).read();
      return (
        trial.entries > 0 &&
        trial.rejects.count === 0 &&
        !trial.skipped().some(({ code }) => code === 'other-column')
      );
    };
    const column = columns.find((i) => reads({ column: i + 1 }, false));
    if (column !== undefined) return `say column: ${column + 1}`;
    if (columns.length === 2 && reads({ format: 'ranges' }, true))
      return `say format: ranges, if the two columns are the ends of ranges, or ${ONE_A_LINE}`;
    return ONE_A_LINE;
  }

  #askedColumn(column: string | number): number | undefined {
    const titles = this.#titles;
    const known = printable((titles ?? []).join(', '), HEADER_MAX_CHARS);
    if (typeof column === 'number') {
      if (Number.isInteger(column) && column >= 1) return column - 1;
      this.#refuseFile(`column ${column}: columns are counted from 1`);
      return undefined;
    }
    const index = titles?.findIndex((title) => sameTitle(title, column)) ?? -1;
    if (index >= 0) return index;
    const what = titles === undefined ? 'the file has no header: give its number' : `its header has ${known}`;
    this.#refuseFile(`no column "${printable(column, 40)}": ${what}`);
    return undefined;
  }

  /** Whether there is a column for each filter: without it, everything or nothing would pass. */
  #hasFilterColumns(columns: Columns): boolean {
    const { options } = this.#collector;
    const missing = (['country', 'asn', 'region'] as const).filter(
      (role) => options[role] !== undefined && columns[role] === undefined,
    );
    if (options.minScore !== undefined && columns.score === undefined) {
      this.#refuseFile('no column of scores, and a minimum score is asked for');
      return false;
    }
    if (missing.length === 0) return true;
    this.#refuseFile(`no column of ${missing.join(' or ')}, and entries are to be picked by it`);
    return false;
  }

  #refuseFile(reason: string, code: string = ImportFault.noColumn): void {
    const { line } = this.#collector;
    this.#collector.refuseFile({ line, column: 1, code, reason });
  }
}

/** The delimiter that most of the first lines agree on; undefined if they have none. */
function delimiterOf(bytes: Uint8Array, start: number): number | undefined {
  let seen = 0;
  const counts = CSV_DELIMITERS.map(() => 0);
  for (let at = start; at < bytes.length && seen < SAMPLE_LINES; ) {
    const end = lineEndAt(bytes, at);
    const from = skipBlanks(bytes, at, end);
    if (from < end && bytes[from] !== HASH) {
      seen++;
      const line = bytes.subarray(from, end);
      for (const [i, delimiter] of CSV_DELIMITERS.entries()) if (line.includes(delimiter)) counts[i]!++; // i < length
    }
    at = nextLineAt(bytes, end);
  }
  const most = Math.max(...counts);
  return most * 2 > seen ? CSV_DELIMITERS[counts.indexOf(most)] : undefined;
}

/** The first column of each role by its title. */
function rolesOf(titles: readonly string[]): Columns {
  const roles: { [role in Role]?: number } = {};
  for (const [i, title] of titles.entries()) {
    const role = ROLE_OF.get(plainTitle(title));
    if (role !== undefined) roles[role] ??= i;
  }
  return roles;
}

function hasEntryRole({ address, first, last, name }: Columns): boolean {
  return address !== undefined || name !== undefined || (first !== undefined && last !== undefined);
}

/** The columns of the entry by titles, where the record agrees with them. */
function titledColumns(record: CsvRecord, roles: Columns, wantsNames: boolean): Columns | undefined {
  const { address, first, last, name } = roles;
  if (wantsNames) return name === undefined ? undefined : { name };
  if (first !== undefined && last !== undefined && isAddressField(record, first)) return { first, last };
  const isEntry = address !== undefined && (isAddressField(record, address) || isNameField(record, address));
  if (isEntry) return { address };
  return name === undefined ? undefined : { name };
}

/** The columns of a range without titles: the first two that hold one address each. */
function rangeColumns(record: CsvRecord): Columns | undefined {
  for (let i = 0; i + 1 < record.count; i++) {
    if (isHostField(record, i) && isHostField(record, i + 1)) return { first: i, last: i + 1 };
  }
  return undefined;
}

/**
 * The columns behind the entry of a table without titles: a country of two letters, a number for an AS or a
 * score.
 */
function attributesByContent(record: CsvRecord, entry: Columns): Columns {
  const behind = (entry.last ?? entry.address ?? entry.name ?? 0) + 1;
  let country: number | undefined;
  let asn: number | undefined;
  for (let i = behind; i < record.count; i++) {
    const text = fieldText(record, i);
    if (country === undefined && COUNTRY.test(text)) country = i;
    else if (asn === undefined && i !== entry.length && ASN.test(text)) asn = i;
  }
  // A number is an AS number behind a network, and a score behind a single entry.
  const role: Role = entry.last === undefined && entry.length === undefined ? 'score' : 'asn';
  return present({ country, [role]: asn });
}

function present(columns: { readonly [role in Role]?: number | undefined }): Columns {
  return Object.fromEntries(Object.entries(columns).filter(([, column]) => column !== undefined));
}

function plainTitle(title: string): string {
  return title.toLowerCase().replace(/[^a-z0-9]/g, '');
}

function bareTitle(title: string): string {
  return title.trim().replace(/^"(.*)"$/, '$1');
}

function sameTitle(title: string, wanted: string): boolean {
  return title.trim().toLowerCase() === wanted.trim().toLowerCase();
}

// ── Fields ─────────────────────────────────────────────────────────────────────────────────────────────────

/**
 * The address in a field that is not used: the field as a whole or, in a record of addresses, within other
 * text, unless the entry holds it.
 */
function unusedAddress(record: CsvRecord, i: number, { address, name }: Columns): FoundAddress | undefined {
  const { text } = record;
  const [start, end] = [startOf(record, i), endOf(record, i)];
  if (isAddressField(record, i)) return { start, end };
  if (address === undefined && name !== undefined) return undefined;
  const found = addressWithin(text, start, end);
  if (found === undefined || address === undefined) return found;
  const entry = parsePrefix(fieldText(record, address));
  return typeof entry === 'string' ? found : addressWithin(text, start, end, entry);
}

function fieldText(record: CsvRecord, column: number): string {
  return latin1(record.text, startOf(record, column), endOf(record, column));
}
