/**
 * Lists that are published as JSON and say more than a tree of keys can: GitHub's, Spamhaus DROP, MISP
 * warninglists, and arrays of entries. Each reader names the keys that it looks at.
 */

import { type Prefix, parsePrefix } from '@rulecast/rules';
import { ImportFault } from '../collect/options.ts';
import { latin1, printable, quoteBytes } from '../text/bytes.ts';
import { EntryFaultCode } from '../text/entry.ts';
import { addressWithin } from '../text/within.ts';
import type { JsonText } from './tape.ts';
import { eachOf, type JsonImport, place, rejectRecord, rejectValue, useAddress, useEntry } from './values.ts';

/** Longest part of a server's message that is repeated. */
const MESSAGE_MAX_CHARS = 120;

/**
 * An object of arrays of strings; those that are addresses are used, host keys and names of domains skipped.
 */
export function readGithub(source: JsonImport, root: number): void {
  const { tape, filter } = source;
  tape.members(root, (service, array) => {
    const other = filter.takes('service', [service]) ? undefined : 'other-service';
    tape.items(array, (value) => {
      if (tape.kind(value) === 'string')
        useAddress(source, value, isNumeric(tape.text(value)) ? other : 'other-kind');
    });
  });
}

/** Whether a text holds nothing but what an address or CIDR may, and so is one or was meant as one. */
function isNumeric({ text, start, end }: JsonText): boolean {
  return /^[\da-f]*[.:/][\da-f.:/]*$/i.test(latin1(text, start, end));
}

// ── Blocklists ─────────────────────────────────────────────────────────────────────────────────────────────

/** A record a line, `{cidr, sblid, rir}`, and at the end `{type: "metadata", records, …}`. */
export function readSpamhaus(source: JsonImport): void {
  const { collector } = source;
  const { records, metadata } = readRecords(source, 'cidr', (value) => useAddress(source, value));
  if (metadata !== undefined) collector.declared.push({ ...metadata, held: records });
  else {
    collector.truncated =
      'the metadata record that ends the lists of Spamhaus is missing: the download is truncated';
  }
}

/** AS numbers are no addresses: the file is refused. */
export function readSpamhausAsn(source: JsonImport): void {
  const { records } = readRecords(source, 'asn', undefined);
  const reason = `${records} AS numbers and no addresses: use a list of prefixes by AS number in its place`;
  source.collector.refuseFile({ line: 1, column: 1, code: ImportFault.noAddresses, reason });
}

interface RecordsRead {
  readonly records: number;
  readonly metadata: { readonly what: string; readonly declared: number; readonly line: number } | undefined;
}

function readRecords(
  source: JsonImport,
  entryKey: string,
  use: ((value: number) => void) | undefined,
): RecordsRead {
  const { tape, collector } = source;
  let records = 0;
  let metadata: RecordsRead['metadata'];
  for (let record = 0; record < tape.count && !collector.isFull; record = tape.next(record)) {
    if (tape.kind(record) !== 'object') {
      rejectValue(source, record, 'a record in braces was expected');
      continue;
    }
    let entry = -1;
    let isMetadata = false;
    let declared = 0;
    tape.members(record, (key, value) => {
      const kind = tape.kind(value);
      if (key === entryKey && (kind === 'string' || use === undefined)) entry = value;
      else if (key === 'type') isMetadata = kind === 'string' && tape.string(value) === 'metadata';
      else if (key === 'records' && kind === 'word') declared = Number(tape.string(value));
    });
    if (isMetadata) {
      place(source, record);
      metadata = { what: 'records', declared, line: collector.line };
      collector.skip('metadata');
    } else {
      records++;
      if (entry < 0) rejectRecord(source, record, `a record without ${entryKey}`);
      else use?.(entry);
    }
  }
  return { records, metadata };
}

/** `{list: [], type}` with the types cidr, hostname and string; those that hold patterns are refused. */
export function readMisp(source: JsonImport, root: number): void {
  const { tape, collector } = source;
  let type = '';
  tape.members(root, (key, value) => {
    if (key === 'type') type = tape.kind(value) === 'string' ? tape.string(value) : '';
    else if (key === 'list') eachOf('string', source, value, (entry) => useEntry(source, entry));
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
/** Keys of servers' error messages. */
const MESSAGE_KEYS: ReadonlySet<string> = new Set([
  'message',
  'error',
  'errors',
  'error_description',
  'detail',
]);

/** An array of strings or objects, or an object with such arrays under usual keys. */
export function readAnyJson(source: JsonImport, root: number): void {
  const { tape, collector } = source;
  if (tape.kind(root) === 'array') {
    readItems(source, root);
    return;
  }
  const keys: string[] = [];
  let message: string | undefined;
  let found = false;
  tape.members(root, (key, value) => {
    keys.push(key);
    const kind = tape.kind(value);
    if (MESSAGE_KEYS.has(key) && kind === 'string') message ??= tape.string(value);
    else if (ARRAY_KEYS.has(key) && kind === 'array') {
      found = true;
      readItems(source, value);
    }
  });
  if (found) return;
  const code = message === undefined ? ImportFault.jsonShape : ImportFault.errorAnswer;
  const known = printable(keys.slice(0, 8).join(', '), MESSAGE_MAX_CHARS);
  const reason =
    message === undefined
      ? `JSON of no known kind${known === '' ? '' : ` (its keys: ${known})`}: nothing in it is known to hold addresses or names, and a rule set document has lists, first, common, policies or unmatched`
      : `an error answer and no list: "${printable(message, MESSAGE_MAX_CHARS)}"`;
  collector.refuseFile({ line: 1, column: 1, code, reason });
}

/** The same strings or objects, one after the other. */
export function readJsonLines(source: JsonImport): void {
  const { tape } = source;
  for (let item = 0; item < tape.count; item = tape.next(item)) readItem(source, item);
}

function readItems(source: JsonImport, array: number): void {
  source.tape.items(array, (item) => readItem(source, item));
}

function readItem(source: JsonImport, item: number): void {
  const { tape, collector } = source;
  const kind = tape.kind(item);
  if (collector.isFull) return;
  if (kind === 'string') useEntry(source, item);
  else if (kind === 'object') readObject(source, item);
  else rejectValue(source, item, 'a string or an object was expected');
}

/** Uses the entry of an object; without `column` its keys may be in any case. */
function readObject(source: JsonImport, item: number): void {
  const { tape, collector, filter } = source;
  const { column } = collector.options;
  const keys = column === undefined ? ENTRY_KEYS : [String(column)];
  const others: number[] = [];
  const asns: string[] = [];
  let best = -1;
  let bestRank = keys.length;
  tape.members(item, (key, value) => {
    const kind = tape.kind(value);
    const lower = key.toLowerCase();
    const rank = kind === 'string' ? keys.indexOf(column === undefined ? lower : key) : -1;
    if (lower === 'asn') asns.push(tape.string(value));
    if (rank >= 0 && rank < bestRank) {
      if (best >= 0) others.push(best);
      best = value;
      bestRank = rank;
    } else if (kind !== 'word') others.push(value);
  });
  if (best < 0) rejectRecord(source, item, `an object without a string under ${keys.join(', ')}`);
  else if (!filter.takes('asn', asns)) useEntry(source, best, 'other-asn');
  else if (!refuseUnused(source, best, others)) useEntry(source, best);
}

/**
 * Rejects an address under an unused key, or inside its text, beside an entry that is an address. If an
 * option names the key, such values are counted instead. Where a key was asked for, such values are counted
 * instead. Returns whether one was rejected.
 */
function refuseUnused(source: JsonImport, entry: number, others: readonly number[]): boolean {
  const { tape, collector } = source;
  const { column, kind } = collector.options;
  if (kind === 'names') return false;
  const known = prefixOfText(tape.text(entry));
  for (const other of others) {
    const { text, start, end } = tape.text(other);
    const isWhole = prefixOfText({ text, start, end }) !== undefined;
    const found = isWhole ? { start, end } : known && addressWithin(text, start, end, known);
    if (found === undefined) continue;
    place(source, other);
    if (column === undefined) {
      const shown = quoteBytes(text, found.start, found.end);
      const reason = `${shown} is an address under a key that is not used: write one entry an object`;
      return !collector.reject(collector.at, EntryFaultCode.secondAddress, reason);
    }
    collector.skip('other-column');
  }
  return false;
}

function prefixOfText({ text, start, end }: JsonText): Prefix | undefined {
  const prefix = parsePrefix(latin1(text, start, end));
  return typeof prefix === 'string' ? undefined : prefix;
}
