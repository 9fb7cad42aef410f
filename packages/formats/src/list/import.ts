/**
 * Imports lists in any format: detects, reads and filters them, and reports unused lines with their reasons.
 * `acceptImport` decides whether the result may replace a list: a rate-limit page, an empty answer or half a
 * download may not.
 */

import type { List } from '@rulecast/rules';
import { Collector } from '../collect/collector.ts';
import {
  filterKey,
  LIST_FILTERS,
  type ListFormat,
  type ListFormatName,
  listFormat,
} from '../collect/format.ts';
import { readDeclared } from '../collect/header.ts';
import {
  type DeclaredCount,
  ImportFault,
  type ImportOptions,
  SKIP_REASONS,
  type SkipCode,
  type Skipped,
} from '../collect/options.ts';
import { hasDelimiter, importCsv, importGeofeed, importPfx2as, importRangesCsv } from '../csv/table.ts';
import { importAdblock } from '../feed/adblock.ts';
import { importClash } from '../feed/clash.ts';
import { importDelegated } from '../feed/delegated.ts';
import { importDnsmasq } from '../feed/dnsmasq.ts';
import { importAddresses, importFound, importJsonAddresses } from '../feed/found.ts';
import { importHosts } from '../feed/hosts.ts';
import { importIpsetSave } from '../feed/ipset-save.ts';
import { importNftText } from '../feed/nft-text.ts';
import { importP2p } from '../feed/p2p.ts';
import { importPlain } from '../feed/plain.ts';
import { importRpz } from '../feed/rpz.ts';
import { importScored } from '../feed/scored.ts';
import { importSuricata } from '../feed/suricata.ts';
import { importUnbound } from '../feed/unbound.ts';
import { worded } from '../feed/worded.ts';
import { importJsonFormat, isJsonFormat, type JsonFormatName } from '../json/formats.ts';
import { importJsonPath } from '../json/path.ts';
import { latin1, textStart } from '../text/bytes.ts';
import type { ShortPrefixes } from '../text/entry.ts';
import type { Reject } from '../text/reject.ts';
import { contentStart } from '../text/sample.ts';
import { type Advice, adviceFor, rulesOf } from './advice.ts';
import { detectFormat } from './detect-file.ts';
import { detectListFormat } from './detect-list.ts';
import { lengthColumnFault, lengthColumnOf } from './length-column.ts';

export interface ImportedList {
  readonly format: ListFormatName;
  readonly kind: List['kind'];
  /** The accepted entries as a list, canonical. */
  readonly list: List;
  /** The number of used entries in the file, before duplicates and covered ones are dropped. */
  readonly entries: number;
  /** The first rejects, in the order of the file. */
  readonly rejects: readonly Reject[];
  readonly rejectCount: number;
  /** Of these, entries `*.name` that were read to include the name, as the file has no plain ones. */
  readonly widened: number;
  /** The skipped lines, by reason. */
  readonly skipped: readonly Skipped[];
  readonly lineCount: number;
  /** A fault that makes the whole file unusable; it is among the rejects. */
  readonly fault: Reject | undefined;
  /** Counts that the file states of itself. */
  readonly declared: readonly DeclaredCount[];
  /** Why the file seems to be only a part of itself: it holds less than it states, or its end is missing. */
  readonly truncated: string | undefined;
  /** Likewise, if so little is missing that the declared count is more likely wrong than the file. */
  readonly nearly: string | undefined;
  /** Entries that hold more of the Internet than one usually means; whether they may is for the caller. */
  readonly short: ShortPrefixes | undefined;
  /** The content in place of entries, if there is some but no entry. */
  readonly unread: string | undefined;
}

/** Lines that no list has: a file of nothing else was taken for a list by mistake. */
const UNUSABLE: ReadonlySet<SkipCode> = new Set([
  'directive',
  'redirect',
  'exception',
  'pattern',
  'partial',
  'cosmetic',
] as const);
/** Lines that may contain an entry. */
const LEFT: ReadonlySet<SkipCode> = new Set([
  ...UNUSABLE,
  'other-column',
  'other-line',
  'other-kind',
] as const);
/** Files up to this size are tried with other options within seconds. Our choice. */
const ADVICE_MAX_BYTES = 4 * 1024 * 1024;
/** Faults of files that may be read otherwise. */
const ADVISED: ReadonlySet<string> = new Set([
  ImportFault.rules,
  ImportFault.stated,
  ImportFault.jsonShape,
  ImportFault.unproven,
]);
const UNCHANGED: Advice = ['', {}];
const HTML = /^<(?:!doctype\b|!--|\?xml\b|html\b|head\b|body\b|script\b|title\b|h1\b|center\b|p\b|div\b)/i;
const HTML_SAMPLE_BYTES = 16;
/** Our choice: publishers miscount by one or two of hundred thousands, and half a download lacks more. */
const MISCOUNT_SHARE = 0.001;

/** Formats whose lines mean less than a list would: a page or a port, where a list blocks the whole host. */
const STATED_FORMATS: ReadonlySet<ListFormatName> = new Set(['urls', 'ip-port']);

/** Formats whose names are that name alone, whatever the options. */
const EXACT_FORMATS: ReadonlySet<ListFormatName> = new Set(['hosts', 'rpz', 'clash']);

/** The filters for entries found by an option: none. */
const FOUND: Pick<ListFormat, 'holds' | 'filters'> = { holds: 'either', filters: [] };

type Importer = (collector: Collector, start: number) => void;

/** The importers of all formats except JSON ones, which have readers of their own. */
const IMPORTERS: { readonly [format in Exclude<ListFormatName, JsonFormatName>]: Importer } = {
  plain: importPlain,
  netset: importPlain,
  scored: importScored,
  ranges: importRanges,
  csv: importCsv,
  geofeed: importGeofeed,
  rir: importDelegated,
  pfx2as: importPfx2as,
  p2p: importP2p,
  hosts: importHosts,
  adblock: importAdblock,
  dnsmasq: importDnsmasq,
  unbound: importUnbound,
  clash: importClash,
  rpz: importRpz,
  tor: worded('tor'),
  suricata: importSuricata,
  urls: worded('urls'),
  'ip-port': worded('ip-port'),
  ipset: importIpsetSave,
  nft: importNftText,
};

/**
 * Reads a list in the given format, or the detected one. `fileName` is only a hint and may be empty. Never
 * throws because of the bytes: faults are in `rejects` and, if nothing can be used, in `fault`.
 */
export function importList(fileName: string, bytes: Uint8Array, asked: ImportOptions = {}): ImportedList {
  const options = asked.take === undefined ? asked : { ...asked, kind: asked.take };
  const format = options.format ?? formatOf(fileName, bytes, options);
  const { holds } = isFound(options) ? FOUND : listFormat(format);
  const collector = new Collector(bytes, options, options.kind ?? (holds === 'either' ? undefined : holds));
  const text = textStart(bytes, collector.limits.inputBytes);
  const fault =
    text.kind === 'fault'
      ? text.reject
      : (contentFault(fileName, bytes, options) ??
        optionFault(format, bytes, options) ??
        lengthsFault(format, bytes, text.start, options));
  if (fault !== undefined) collector.refuseFile(fault);
  else readAs(format, collector, text.kind === 'text' ? text.start : 0);
  if (options.strict === true) refuseLeft(collector);
  if (collector.rejects.count >= collector.limits.rejects) {
    const reason = `${collector.limits.rejects} entries that cannot be read: this is no list`;
    collector.refuseFile({ line: collector.line, column: 1, code: ImportFault.rejects, reason });
  }
  return resultOf(format, collector);
}

/**
 * The line of a configuration by which a file is read that was refused: only one that was tried on it, and
 * used every address. Undefined if there is none.
 */
export function adviceOn(
  { format, fault }: ImportedList,
  fileName: string,
  bytes: Uint8Array,
  asked: ImportOptions = {},
): string | undefined {
  if (bytes.length > ADVICE_MAX_BYTES || (fault !== undefined && !ADVISED.has(fault.code))) return undefined;
  const reads = (says: ImportOptions): boolean => {
    const options = { ...asked, ...says };
    const { entries, rejectCount, skipped, ...trial } = importList(fileName, bytes, options);
    const isWhole = leftOf(skipped, options).every(({ code }) => code === 'other-line');
    return trial.fault === undefined && entries > 0 && rejectCount === 0 && isWhole;
  };
  for (const [line, says] of [...adviceFor(format, bytes, contentStart(bytes)), UNCHANGED]) {
    if (line !== '' && reads(says)) return line;
    const isSplit =
      asked.take === undefined && (['prefixes', 'names'] as const).every((take) => reads({ ...says, take }));
    if (isSplit) return `${line}${line === '' ? '' : ', and '}take: addresses or take: names`;
  }
  return undefined;
}

/** Whether an option says how entries are found, whatever the format. */
function isFound({ json, pattern, allAddresses }: ImportOptions): boolean {
  return json !== undefined || pattern !== undefined || allAddresses === true;
}

function formatOf(fileName: string, bytes: Uint8Array, options: ImportOptions): ListFormatName {
  if (options.lengthColumn !== undefined || options.delimiter !== undefined) return 'csv';
  const format = detectListFormat(fileName, bytes);
  return !isFound(options) ? format : isJsonFormat(format) || options.json !== undefined ? 'json' : 'plain';
}

function readAs(format: ListFormatName, collector: Collector, start: number): void {
  const { json, pattern, allAddresses } = collector.options;
  if (json !== undefined) importJsonPath(collector, start, json);
  else if (pattern !== undefined) importFound(collector, start, pattern);
  else if (allAddresses === true)
    (format === 'json' ? importJsonAddresses : importAddresses)(collector, start);
  else if (isJsonFormat(format)) importJsonFormat(format, collector, start);
  else IMPORTERS[format](collector, start);
}

/** The unused lines that may contain entries, except the half of a file that `take` leaves out. */
function leftOf(skipped: readonly Skipped[], { take }: ImportOptions): readonly Skipped[] {
  return skipped.filter(({ code }) => LEFT.has(code) && !(code === 'other-kind' && take !== undefined));
}

/** Refuses a file with unused lines that may contain entries. */
function refuseLeft(collector: Collector): void {
  const [left] = leftOf(collector.skipped(), collector.options);
  const [reject] = collector.rejects.kept;
  if (left !== undefined) {
    const reason = `${left.count} ${SKIP_REASONS[left.code]}, the first in line ${left.line}, and strict: true refuses a file with lines left out`;
    collector.refuseFile({ line: left.line, column: 1, code: ImportFault.left, reason });
  } else if (reject !== undefined && collector.fault === undefined) {
    const reason = `line ${reject.line}: ${reject.reason}; and strict: true refuses a file with an unreadable line`;
    collector.refuseFile({ ...reject, code: ImportFault.left, reason });
  }
}

function resultOf(format: ListFormatName, collector: Collector): ImportedList {
  const list = collector.list(format === 'adblock');
  readDeclared(collector, list, format);
  const fewer = collector.declared.filter(({ declared, held }) => held < declared);
  const short = fewer.find(({ declared, held }) => declared - held > declared * MISCOUNT_SHARE);
  const truncated = short === undefined ? collector.truncated : statement(short);
  const [nearly] = fewer;
  return {
    format,
    kind: list.kind,
    list,
    entries: collector.entries,
    widened: collector.widened,
    rejects: collector.rejects.kept,
    rejectCount: collector.rejects.count,
    skipped: collector.skipped(),
    lineCount: collector.line,
    fault: collector.fault,
    declared: collector.declared,
    truncated,
    nearly: truncated === undefined && nearly !== undefined ? statement(nearly) : undefined,
    short: collector.short,
    unread: unreadOf(collector),
  };
}

function unreadOf(collector: Collector): string | undefined {
  if (collector.entries + collector.rejects.count > 0) return undefined;
  const found = collector.skipped().find(({ code }) => UNUSABLE.has(code));
  return found && `nothing of it was read: ${found.count} ${SKIP_REASONS[found.code]} (${found.code})`;
}

function statement({ declared, what, line, held }: DeclaredCount): string {
  return `it states ${declared} ${what} in line ${line} and holds ${held}`;
}

/** Ranges as CSV, or `first-last` as plain lists have them. */
function importRanges(collector: Collector, start: number): void {
  if (hasDelimiter(collector.bytes, start)) importRangesCsv(collector, start);
  else importPlain(collector, start);
}

/** A fault that shows that the bytes are no list in any format. */
function contentFault(fileName: string, bytes: Uint8Array, options: ImportOptions): Reject | undefined {
  const fault = (code: string, reason: string): Reject => ({ line: 1, column: 1, code, reason });
  const start = contentStart(bytes);
  if (HTML.test(latin1(bytes, start, Math.min(bytes.length, start + HTML_SAMPLE_BYTES))))
    return fault(ImportFault.html, 'looks like HTML: a page of a web server, not a list');
  if (options.format !== undefined || isFound(options) || start === bytes.length) return undefined;
  switch (detectFormat(fileName, bytes)) {
    case 'rules':
      return fault(ImportFault.rules, 'holds firewall rules and is no list');
    case 'document':
      return fault(ImportFault.document, 'is a rule set document and no list');
    case 'list': {
      const rules = rulesOf(bytes, start);
      const reason = `rules of ${rules?.of}: they have ports, an order and exceptions, and a list has none of that`;
      return rules && fault(ImportFault.rules, reason);
    }
  }
}

/** Formats in which numbers may stand beside addresses. */
const WITH_NUMBERS: readonly ListFormatName[] = ['plain', 'netset', 'scored', 'csv'];

/** Prefix lengths would be ignored, unless an option says that they are scores. */
function lengthsFault(
  format: ListFormatName,
  bytes: Uint8Array,
  start: number,
  options: ImportOptions,
): Reject | undefined {
  if (options.json !== undefined || options.pattern !== undefined) return undefined;
  const isScored = options.format === 'scored' || options.minScore !== undefined;
  if (isScored || options.lengthColumn !== undefined || !WITH_NUMBERS.includes(format)) return undefined;
  const found = lengthColumnOf(bytes, start);
  if (found?.number === undefined || options.allAddresses === true)
    return found && lengthColumnFault(found, false);
  const { onEntry, onReject, ...others } = options;
  const trial = importList('', bytes, { ...others, lengthColumn: found.number });
  return lengthColumnFault(found, trial.entries > 0 && trial.rejectCount === 0);
}

/** An option that the format does not support: ignoring a filter would let everything through. */
function optionFault(format: ListFormatName, bytes: Uint8Array, options: ImportOptions): Reject | undefined {
  const { filters, holds } = isFound(options) ? FOUND : listFormat(format);
  if (options.kind !== undefined && holds !== 'either' && options.kind !== holds) {
    const reason = `the format ${format} holds ${holds}, and ${options.kind} are asked for`;
    return { line: 1, column: 1, code: ImportFault.wrongKind, reason };
  }
  if (options.subdomains === true && EXACT_FORMATS.has(format) && contentStart(bytes) < bytes.length) {
    const reason = `subdomains is for names that stand alone: the format ${format} already says whether names below are meant`;
    return { line: 1, column: 1, code: ImportFault.uselessFilter, reason };
  }
  if (STATED_FORMATS.has(format) && options.format !== format) {
    const what = format === 'urls' ? 'URLs' : 'addresses or names with a port';
    const reason = `${what}, and a list would hold the whole host of each: write format: ${format} if that is meant`;
    return { line: 1, column: 1, code: ImportFault.stated, reason };
  }
  const useless = LIST_FILTERS.filter((name) => options[name] !== undefined && !filters.includes(name));
  // An empty file is of no format: that it is empty says more.
  if (useless.length === 0 || contentStart(bytes) === bytes.length) return undefined;
  const takes = filters.length === 0 ? 'takes no filter' : `takes only ${filters.map(filterKey).join(', ')}`;
  const asked = useless.map(filterKey).join(' or ');
  const what = isFound(options) ? 'json, pattern or all-addresses' : `the format ${format}`;
  const reason = `nothing can be picked by ${asked}: ${what} ${takes}`;
  return { line: 1, column: 1, code: ImportFault.uselessFilter, reason };
}
