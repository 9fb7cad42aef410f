/**
 * Lists that are published as JSON and say more than a tree of keys can: GitHub's, Spamhaus DROP, MISP
 * warninglists, and arrays of entries. Each reader names the keys that it looks at.
 */

import { type Prefix, parsePrefix } from '@rulecast/rules';
import type { Collector } from '../collect/collector.ts';
import { ImportFault } from '../collect/options.ts';
import { latin1, printable, quoteBytes } from '../text/bytes.ts';
import { EntryFaultCode } from '../text/entry.ts';
import { addressWithin } from '../text/within.ts';
import type { JsonCursor, JsonText } from './cursor.ts';
import {
  eachString,
  type JsonImport,
  place,
  rejectHere,
  rejectRecord,
  stringOrSkip,
  useAddress,
  useEntry,
  wordOrSkip,
} from './values.ts';

const COLON = 0x3a;
const DOT = 0x2e;
const SLASH = 0x2f;

/** Longest part of a server's message that is repeated. */
const MESSAGE_MAX_CHARS = 120;

/**
 * An object of arrays of strings; those that are addresses are used, host keys and names of domains skipped.
 */
export function readGithub(source: JsonImport): void {
  const { json, collector, filter } = source;
  json.object((service) => {
    if (json.peek() !== 'array') return;
    const other = filter.takes('service', [service]) ? undefined : 'other-service';
    json.array(() => {
      if (json.peek() !== 'string') return;
      const value = json.string();
      useAddress(collector, value, isNumeric(value) ? other : 'other-kind');
    });
  });
}

/** Whether a text holds nothing but what an address or CIDR may, and so is one or was meant as one. */
function isNumeric({ text, start, end }: JsonText): boolean {
  let marks = 0;
  for (let at = start; at < end; at++) {
    const byte = text[at]!; // end <= text.length
    const isDigit = byte >= 0x30 && byte <= 0x39;
    const lower = byte | 0x20;
    if (byte === DOT || byte === COLON || byte === SLASH) marks++;
    else if (!isDigit && !(lower >= 0x61 && lower <= 0x66)) return false;
  }
  return marks > 0;
}

// ── Blocklists ─────────────────────────────────────────────────────────────────────────────────────────────

/** A record a line, `{cidr, sblid, rir}`, and at the end `{type: "metadata", records, …}`. */
export function readSpamhaus(source: JsonImport): void {
  const { json, collector } = source;
  const { records, metadata } = readRecords(source, 'cidr', (value) => useAddress(collector, value));
  if (metadata !== undefined) collector.declared.push({ ...metadata, held: records });
  else {
    collector.truncated =
      'the metadata record that ends the lists of Spamhaus is missing: the download is truncated, or somebody cut it off';
  }
  collector.line = json.line;
}

/** AS numbers are no addresses: the file is refused. */
export function readSpamhausAsn(source: JsonImport): void {
  const { records } = readRecords(source, 'asn', undefined);
  const reason = `${records} AS numbers and no addresses: which prefixes an AS announces is said by a table, so use a list of prefixes by AS number`;
  source.collector.refuseFile({ line: 1, column: 1, code: ImportFault.noAddresses, reason });
}

interface RecordsRead {
  readonly records: number;
  readonly metadata: { readonly what: string; readonly declared: number; readonly line: number } | undefined;
}

function readRecords(
  { json, collector }: JsonImport,
  entryKey: string,
  use: ((value: JsonText) => void) | undefined,
): RecordsRead {
  const keys = [entryKey, 'type', 'records'];
  let records = 0;
  let metadata: RecordsRead['metadata'];
  while (json.peek() !== 'end' && !collector.isFull) {
    if (json.peek() !== 'object') {
      rejectHere(json, collector, 'a record in braces was expected');
      continue;
    }
    const { line, lineStart } = json;
    let value: JsonText | undefined;
    let hasEntry = false;
    let isMetadata = false;
    let count = 0;
    json.object((key) => {
      if (key === entryKey) {
        hasEntry = true;
        value = stringOrSkip(json);
      } else if (key === 'type') isMetadata = wordOrSkip(json) === 'metadata';
      else if (key === 'records' && json.peek() === 'number') count = json.number();
    }, keys);
    collector.line = line;
    collector.lineStart = lineStart;
    if (isMetadata) {
      metadata = { what: 'records', declared: count, line };
      collector.skip('metadata');
    } else {
      records++;
      if (value !== undefined) use?.(value);
      else if (use !== undefined || !hasEntry)
        collector.reject(lineStart, 'bad-record', `a record without ${entryKey}`);
    }
  }
  return { records, metadata };
}

/** `{list: [], type}` with the types cidr, hostname and string; those that hold patterns are refused. */
export function readMisp(source: JsonImport): void {
  const { json, collector } = source;
  let type = '';
  json.object((key) => {
    if (key === 'type') type = wordOrSkip(json);
    else if (key === 'list') {
      eachString(source, (value) => useEntry(collector, value));
    }
  });
  if (type === 'regex' || type === 'substring') {
    const reason = `a warninglist of the type ${type} holds patterns, and a list holds addresses or names`;
    collector.refuseFile({ line: 1, column: 1, code: ImportFault.noAddresses, reason });
  }
}

// ── Any JSON ───────────────────────────────────────────────────────────────────────────────────────────────

/** Keys under which JSON of no known kind holds an array of entries. */
const ARRAY_KEYS: ReadonlySet<string> = new Set(
  ['addresses', 'ipv6_addresses', 'entries', 'prefixes', 'cidrs', 'networks', 'ips', 'ipv4', 'ipv6'].concat([
    'domains',
    'hosts',
    'names',
    'list',
    'data',
    'items',
    'results',
  ]),
);
/** Keys of an object in an array that hold its entry, the surest first. */
const ENTRY_KEYS = ['cidr', 'prefix', 'network', 'subnet', 'ip_prefix', 'ip', 'address', 'ip_address'].concat(
  ['domain', 'hostname', 'host', 'fqdn', 'name'],
);
/** Keys under which servers say what went wrong. */
const MESSAGE_KEYS: ReadonlySet<string> = new Set([
  'message',
  'error',
  'errors',
  'error_description',
  'detail',
]);

/** An array of strings or objects, or an object with such arrays under usual keys. */
export function readAnyJson(source: JsonImport): void {
  const { json, collector } = source;
  if (json.peek() === 'array') {
    readItems(source);
    return;
  }
  const keys: string[] = [];
  let message: string | undefined;
  let found = false;
  if (json.peek() === 'object') {
    json.object((key) => {
      keys.push(key);
      if (MESSAGE_KEYS.has(key) && json.peek() === 'string') message ??= json.word();
      else if (ARRAY_KEYS.has(key) && json.peek() === 'array') {
        found = true;
        readItems(source);
      }
    });
  } else json.skip();
  if (found) return;
  const code = message === undefined ? ImportFault.jsonShape : ImportFault.errorAnswer;
  const known = printable(keys.slice(0, 8).join(', '), MESSAGE_MAX_CHARS);
  const reason =
    message === undefined
      ? `JSON of no known kind${known === '' ? '' : ` (its keys: ${known})`}: nothing in it is known to hold addresses or names, and a rule set document has lists, common, policies or unmatched`
      : `an error answer and no list: "${printable(message, MESSAGE_MAX_CHARS)}"`;
  collector.refuseFile({ line: 1, column: 1, code, reason });
}

function readItems({ json, collector }: JsonImport): void {
  const { column } = collector.options;
  const keys = column === undefined ? ENTRY_KEYS : [String(column)];
  json.array(() => {
    const kind = json.peek();
    if (collector.isFull) json.skip();
    else if (kind === 'string') useEntry(collector, json.string());
    else if (kind === 'object') readItem(json, collector, keys);
    else rejectHere(json, collector, 'a string or an object was expected');
  });
}

function readItem(json: JsonCursor, collector: Collector, keys: readonly string[]): void {
  const { line, lineStart } = json;
  const others: JsonText[] = [];
  let best: JsonText | undefined;
  let bestRank = keys.length;
  json.object((key) => {
    const kind = json.peek();
    const rank = kind === 'string' ? keys.indexOf(key) : -1;
    if (rank >= 0 && rank < bestRank) {
      if (best !== undefined) others.push(best);
      best = json.string();
      bestRank = rank;
    } else if (kind === 'string') others.push(json.string());
    else if (kind === 'object' || kind === 'array') others.push(wholeValue(json));
  });
  if (best === undefined) {
    rejectRecord(collector, { line, lineStart }, `an object without a string under ${keys.join(', ')}`);
    return;
  }
  if (!refuseUnused(collector, best, others)) useEntry(collector, best);
}

/** The text of the value that is next, whatever it is. */
function wholeValue(json: JsonCursor): JsonText {
  const { bytes: text, line, lineStart, at: start } = json;
  json.skip();
  return { text, start, end: json.at, line, lineStart, at: start };
}

/**
 * Rejects an address under a key that is not used or, beside an entry that is one, within what stands there.
 * Where a key was asked for, such values are counted instead. Returns whether one was rejected.
 */
function refuseUnused(collector: Collector, entry: JsonText, others: readonly JsonText[]): boolean {
  const { column, kind } = collector.options;
  if (kind === 'names') return false;
  const known = prefixOfText(entry);
  for (const other of others) {
    const { text, start, end } = other;
    const isWhole = prefixOfText(other) !== undefined;
    const found = isWhole ? { start, end } : known && addressWithin(text, start, end, known);
    if (found === undefined) continue;
    place(collector, other);
    if (column === undefined) {
      const shown = quoteBytes(text, found.start, found.end);
      const reason = `${shown} is an address under a key that is not used: write one entry an object`;
      return !collector.reject(other.at, EntryFaultCode.secondAddress, reason);
    }
    collector.skip('other-column');
  }
  return false;
}

function prefixOfText({ text, start, end }: JsonText): Prefix | undefined {
  const prefix = parsePrefix(latin1(text, start, end));
  return typeof prefix === 'string' ? undefined : prefix;
}
