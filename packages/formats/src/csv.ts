/**
 * CSV tables: which column holds what, and the entries of their records. Titles decide, then what was asked for, then what the
 * first records hold.
 *
 *     Domain,Malware,Date added,Source       a column of names, by its title
 *     start_ip,end_ip,country,asn            a range in two columns
 *     1.0.0.0,1.0.0.255,AU                   the same without titles, by content
 *     192.0.2.0/24,NL,NL-NH,Amsterdam,1098   geofeed (RFC 8805), whose columns are fixed
 */

import { newPrefixScratch, parseDottedQuad, parsePrefixBytes } from '@rulecast/rules';
import type { Collector } from './collector.ts';
import { type CsvRecord, eachCsvRecord } from './csv-records.ts';
import { isAddressLike, readName } from './entry.ts';
import { EntryFilter } from './filter.ts';
import { ImportFault } from './import-options.ts';
import { DASH, HASH, indexIn, latin1, lineEndAt, nextLineAt, printable, skipBlanks } from './text.ts';

/** Delimiters that are recognised, the likeliest first. */
export const CSV_DELIMITERS = [0x2c, 0x09, 0x3b, 0x7c] as const; // , tab ; |
/** How much of a file is looked at to find its delimiter. */
const SAMPLE_LINES = 20;
const COUNTRY = /^[A-Za-z]{2}$/;
const ASN = /^(?:[Aa][Ss])?\d{1,10}$/;
/** Longest part of a header that is repeated in a message. */
const HEADER_MAX_CHARS = 120;

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

/** Which column holds what, from 0. */
type Columns = { readonly [role in Role]?: number };

/** Of RFC 8805. */
const GEOFEED_COLUMNS: Columns = { address: 0, country: 1, region: 2 };

const scratch = newPrefixScratch();

export function importCsv(collector: Collector, start: number): void {
  new CsvReader(collector, start, undefined).read();
}

/** Ranges as CSV, or as text, `first-last`, which the caller reads if there is no delimiter. */
export function hasDelimiter(bytes: Uint8Array, start: number): boolean {
  return delimiterOf(bytes, start) !== undefined;
}

export function importGeofeed(collector: Collector, start: number): void {
  new CsvReader(collector, start, GEOFEED_COLUMNS).read();
}

class CsvReader {
  private readonly collector: Collector;
  private readonly start: number;
  private readonly filter: EntryFilter;
  private columns: Columns | undefined;
  /** Titles of the header, if the file has one. */
  private titles: readonly string[] | undefined;
  private isFirst = true;

  constructor(collector: Collector, start: number, columns: Columns | undefined) {
    this.collector = collector;
    this.start = start;
    this.filter = new EntryFilter(collector.options);
    this.columns = columns;
  }

  read(): void {
    const { collector, start } = this;
    const delimiter = delimiterOf(collector.bytes, start) ?? CSV_DELIMITERS[0];
    let header = 0; // the line of a header that no record followed yet
    eachCsvRecord(collector, start, delimiter, (record) => {
      if (collector.fault !== undefined) return;
      const isFirst = this.isFirst;
      this.isFirst = false;
      if (isFirst && this.columns === undefined && this.readHeader(record)) {
        header = collector.line;
        return;
      }
      if (header > 0) collector.skip('metadata', header);
      header = 0;
      this.readRecord(record);
    });
    if (header > 0 && collector.fault === undefined) this.takeLoneHeader(header);
  }

  /** Takes the first record for a header if it is one. */
  private readHeader(record: CsvRecord): boolean {
    const { column } = this.collector.options;
    const titles = Array.from({ length: record.count }, (_, i) => fieldText(record, i));
    const named = typeof column === 'string' ? titles.findIndex((title) => sameTitle(title, column)) : -1;
    const hasEntry = titles.some((_, i) => isAddress(record, i) || isDottedName(record, i));
    const isTitled = titles.some((title) => ROLE_OF.has(plainTitle(title)));
    if (named < 0 && (hasEntry || (!isTitled && record.count === 1))) return false;
    this.titles = titles;
    return true;
  }

  /** A table may be empty; words that are no titles are not a table. */
  private takeLoneHeader(line: number): void {
    const { collector, titles = [] } = this;
    if (titles.some((title) => ROLE_OF.has(plainTitle(title)))) {
      collector.skip('metadata', line);
      return;
    }
    const reason = 'no entry, and no title of a table of addresses or names';
    collector.rejects.add({ line, column: 1, code: 'no-entry', reason });
  }

  private readRecord(record: CsvRecord): void {
    const { collector } = this;
    this.columns ??= this.findColumns(record);
    const { columns } = this;
    if (columns === undefined) {
      if (collector.fault === undefined) this.refuse(record, 0, 'no field is an address or a name');
      return;
    }
    if (this.isFilteredOut(record, columns)) return;
    const { address, first, last, name } = columns;
    if (first !== undefined && last !== undefined) this.useRange(record, first, last);
    else if (address !== undefined) this.useEntry(record, address);
    else if (name !== undefined) this.useEntry(record, name);
  }

  private isFilteredOut(record: CsvRecord, columns: Columns): boolean {
    const { collector, filter } = this;
    const { country, asn, score, region } = columns;
    const { text } = record;
    const other =
      (country !== undefined && filter.wantsCountry
        ? filter.country(text, startOf(record, country), endOf(record, country))
        : undefined) ??
      (asn !== undefined && filter.wantsAsn
        ? filter.asn(text, startOf(record, asn), endOf(record, asn))
        : undefined) ??
      (region !== undefined && filter.wantsRegion
        ? filter.regionBytes(text, startOf(record, region), endOf(record, region))
        : undefined) ??
      (score !== undefined ? filter.score(text, startOf(record, score), endOf(record, score)) : undefined);
    if (other !== undefined) collector.skip(other);
    return other !== undefined;
  }

  private useRange(record: CsvRecord, first: number, last: number): void {
    const { collector } = this;
    const { text } = record;
    const start = startOf(record, first);
    const end = endOf(record, first);
    const lastStart = startOf(record, last);
    const lastEnd = endOf(record, last);
    const from = parseDottedQuad(text, start, end);
    const to = from < 0 ? -1 : parseDottedQuad(text, lastStart, lastEnd);
    if (from >= 0 && from <= to && collector.holdsPrefixes)
      collector.ip4Range(from, to, text === collector.bytes ? start : collector.at);
    else collector.range(text, start, end, lastStart, lastEnd);
  }

  private useEntry(record: CsvRecord, column: number): void {
    const { collector } = this;
    if (column >= record.count) {
      this.refuse(record, record.count - 1, `the record has no column ${this.titleOf(column)}`);
      return;
    }
    const start = startOf(record, column);
    const end = endOf(record, column);
    if (start === end) this.refuse(record, column, `column ${this.titleOf(column)} is empty`);
    else collector.entry(record.text, start, end);
  }

  private refuse(record: CsvRecord, column: number, reason: string): void {
    const { collector } = this;
    const at = record.text === collector.bytes ? startOf(record, column) : collector.at;
    collector.reject(at, 'no-entry', reason);
  }

  private titleOf(column: number): string {
    const title = this.titles?.[column];
    return title === undefined ? String(column + 1) : `${column + 1} (${printable(title, 40)})`;
  }

  // ── Which column holds what ───────────────────────────────────────────────────────────────────────────────────────

  /** The columns by titles, by what was asked for, and by what the record holds. Undefined if the record does not tell. */
  private findColumns(record: CsvRecord): Columns | undefined {
    const { column, kind } = this.collector.options;
    const roles = rolesOf(this.titles ?? []);
    const entry =
      column !== undefined ? this.askedColumn(column) : entryColumns(record, roles, kind === 'names');
    if (entry === undefined) return undefined;
    const attributes = this.titles === undefined ? attributesByContent(record, entry) : roles;
    const { country, asn, score, region } = attributes;
    const columns = { ...entry, ...present({ country, asn, score, region }) };
    return this.hasFilterColumns(columns) ? columns : undefined;
  }

  private askedColumn(column: string | number): Columns | undefined {
    const { titles } = this;
    const known = printable((titles ?? []).join(', '), HEADER_MAX_CHARS);
    if (typeof column === 'number') {
      if (Number.isInteger(column) && column >= 1) return { address: column - 1 };
      this.refuseFile(`column ${column}: columns are counted from 1`);
      return undefined;
    }
    const index = titles?.findIndex((title) => sameTitle(title, column)) ?? -1;
    if (index >= 0) return { address: index };
    const what = titles === undefined ? 'the file has no header: give its number' : `its header has ${known}`;
    this.refuseFile(`no column "${printable(column, 40)}": ${what}`);
    return undefined;
  }

  /** Whether there is a column for each filter: without it, everything or nothing would pass. */
  private hasFilterColumns(columns: Columns): boolean {
    const { options } = this.collector;
    const missing = (['country', 'asn', 'region'] as const).filter(
      (role) => options[role] !== undefined && columns[role] === undefined,
    );
    if (options.minScore !== undefined && columns.score === undefined) {
      this.refuseFile('no column of scores, and a minimum score is asked for');
      return false;
    }
    if (missing.length === 0) return true;
    this.refuseFile(`no column of ${missing.join(' or ')}, and entries are to be picked by it`);
    return false;
  }

  private refuseFile(reason: string): void {
    const { line } = this.collector;
    this.collector.refuseFile({ line, column: 1, code: ImportFault.noColumn, reason });
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

/** The columns of the entry: by titles where the record agrees with them, else the first that holds one. */
function entryColumns(record: CsvRecord, roles: Columns, wantsNames: boolean): Columns | undefined {
  const { address, first, last, name } = roles;
  if (wantsNames && name !== undefined) return { name };
  if (!wantsNames && first !== undefined && last !== undefined && isAddress(record, first))
    return { first, last };
  if (!wantsNames && address !== undefined && isEntry(record, address)) return { address };
  if (name !== undefined) return { name };
  for (let i = 0; i < record.count && !wantsNames; i++) {
    if (!isAddress(record, i)) continue;
    return isHost(record, i) && isHost(record, i + 1) ? { first: i, last: i + 1 } : { address: i };
  }
  for (let i = 0; i < record.count; i++) if (isDottedName(record, i)) return { name: i };
  return undefined;
}

/** The columns behind the entry of a table without titles: a country of two letters, a number for an AS or a score. */
function attributesByContent(record: CsvRecord, entry: Columns): Columns {
  const behind = (entry.last ?? entry.address ?? entry.name ?? 0) + 1;
  let country: number | undefined;
  let asn: number | undefined;
  for (let i = behind; i < record.count; i++) {
    const text = fieldText(record, i);
    if (country === undefined && COUNTRY.test(text)) country = i;
    else if (asn === undefined && ASN.test(text)) asn = i;
  }
  // A number is an AS number behind a range, and a score behind a single entry.
  const role: Role = entry.last === undefined ? 'score' : 'asn';
  return present({ country, [role]: asn });
}

function present(columns: { readonly [role in Role]?: number | undefined }): Columns {
  return Object.fromEntries(Object.entries(columns).filter(([, column]) => column !== undefined));
}

function plainTitle(title: string): string {
  return title.toLowerCase().replace(/[^a-z0-9]/g, '');
}

function sameTitle(title: string, wanted: string): boolean {
  return title.trim().toLowerCase() === wanted.trim().toLowerCase();
}

// ── Fields ───────────────────────────────────────────────────────────────────────────────────────────────────────────

/** Where a field starts; one that the record does not have is empty. */
function startOf(record: CsvRecord, column: number): number {
  return column < record.count ? record.starts[column]! : 0; // column < count <= length
}

function endOf(record: CsvRecord, column: number): number {
  return column < record.count ? record.ends[column]! : 0; // likewise
}

function fieldText(record: CsvRecord, column: number): string {
  return latin1(record.text, startOf(record, column), endOf(record, column));
}

function isAddress(record: CsvRecord, column: number): boolean {
  const start = startOf(record, column);
  const end = endOf(record, column);
  const dash = indexIn(record.text, DASH, start, end);
  const firstEnd = dash > start ? dash : end;
  return parsePrefixBytes(record.text, start, firstEnd, scratch) === undefined;
}

/** Whether a field is one address, as the ends of ranges are. */
function isHost(record: CsvRecord, column: number): boolean {
  return isAddress(record, column) && scratch.length === (scratch.family === 4 ? 32 : 128);
}

function isDottedName(record: CsvRecord, column: number): boolean {
  const start = startOf(record, column);
  const end = endOf(record, column);
  if (end === start || isAddressLike(record.text, start, end)) return false;
  const name = readName(record.text, start, end);
  return typeof name === 'string' && name.includes('.');
}

function isEntry(record: CsvRecord, column: number): boolean {
  return isAddress(record, column) || isDottedName(record, column);
}
