/**
 * Lists that are published as JSON: the address ranges of cloud providers, countries and companies, Spamhaus
 * DROP, MISP warninglists, and arrays of entries. Each reader names the keys that it looks at; all others are
 * passed over.
 */

import { newPrefixScratch, parsePrefixBytes } from '@rulecast/rules';
import type { Collector } from '../collect/collector.ts';
import { EntryFilter } from '../collect/filter.ts';
import { ImportFault, type SkipCode } from '../collect/options.ts';
import { printable, quoteBytes } from '../text/bytes.ts';
import { EntryFaultCode } from '../text/entry.ts';
import { type JsonCursor, JsonError, JsonCursor as JsonReader, type JsonText } from './cursor.ts';
import { ARRAY_KEYS } from './keys.ts';

const COLON = 0x3a;
const DOT = 0x2e;
const SLASH = 0x2f;

/** Longest part of a server's message that is repeated. */
const MESSAGE_MAX_CHARS = 120;

/** What a reader works with. */
export interface JsonImport {
  readonly json: JsonCursor;
  readonly collector: Collector;
  readonly filter: EntryFilter;
}

/** Runs a reader over the file; what is no JSON makes the file unusable. */
export function importJson(collector: Collector, start: number, read: (source: JsonImport) => void): void {
  const json = new JsonReader(collector.bytes, start);
  try {
    read({ json, collector, filter: new EntryFilter(collector.options) });
    if (json.peek() !== 'end' && !collector.isFull) throw json.error('more text behind the end of the value');
  } catch (error) {
    if (!(error instanceof JsonError)) throw error;
    const { line, column } = error;
    const code = error.isTruncated ? ImportFault.truncated : ImportFault.json;
    collector.refuseFile({ line, column, code, reason: `no valid JSON: ${error.message}` });
  }
  collector.line = json.lineCount;
}

// ── Values ─────────────────────────────────────────────────────────────────────────────────────────────────

/** Says to the collector where a value stands. */
export function place(collector: Collector, value: JsonText): void {
  collector.line = value.line;
  collector.lineStart = value.lineStart;
  collector.at = value.at;
}

function useAddress(collector: Collector, value: JsonText, other?: SkipCode): void {
  place(collector, value);
  if (other !== undefined) collector.skip(other);
  else collector.address(value.text, value.start, value.end);
}

/** Reads an array of strings; what else stands in it is rejected. */
function eachString({ json, collector }: JsonImport, use: (value: JsonText) => void): void {
  if (json.peek() !== 'array') {
    rejectHere(json, collector, 'an array of strings was expected');
    return;
  }
  json.array(() => {
    if (collector.isFull) json.skip();
    else if (json.peek() === 'string') use(json.string());
    else rejectHere(json, collector, 'a string was expected');
  });
}

/** Reads an array of objects; what else stands in it is rejected. */
function eachObject({ json, collector }: JsonImport, visit: () => void): void {
  if (json.peek() !== 'array') {
    rejectHere(json, collector, 'an array of objects was expected');
    return;
  }
  json.array(() => {
    if (collector.isFull) json.skip();
    else if (json.peek() === 'object') visit();
    else rejectHere(json, collector, 'an object was expected');
  });
}

/** Rejects the value that is next, and passes over it. */
export function rejectHere(json: JsonCursor, collector: Collector, reason: string): void {
  json.peek();
  const { line, column } = json.error('');
  collector.line = line;
  collector.rejects.add({ line, column, code: 'unexpected-value', reason });
  json.skip();
}

/** The string that is next, or undefined, having passed over the value, if it is something else. */
export function stringOrSkip(json: JsonCursor): JsonText | undefined {
  if (json.peek() === 'string') return json.string();
  json.skip();
  return undefined;
}

/** The same as a word; empty if it is something else. */
export function wordOrSkip(json: JsonCursor): string {
  if (json.peek() === 'string') return json.word();
  json.skip();
  return '';
}

function eachWord(json: JsonCursor): readonly string[] {
  const words: string[] = [];
  if (json.peek() !== 'array') json.skip();
  else json.array(() => words.push(wordOrSkip(json)));
  return words;
}

// ── Cloud providers ────────────────────────────────────────────────────────────────────────────────────────

/** `{prefixes: [{ip_prefix, region, service, network_border_group}], ipv6_prefixes: [{ipv6_prefix, …}]}`. */
export function readAws(source: JsonImport): void {
  const { json, collector, filter } = source;
  const readRecord = (): void => {
    let prefix: JsonText | undefined;
    let region = '';
    let group = '';
    let service = '';
    json.object((key) => {
      if (key === 'ip_prefix' || key === 'ipv6_prefix') prefix = stringOrSkip(json);
      else if (key === 'region' && filter.wantsRegion) region = wordOrSkip(json);
      else if (key === 'network_border_group' && filter.wantsRegion) group = wordOrSkip(json);
      else if (key === 'service' && filter.wantsService) service = wordOrSkip(json);
    });
    useRecord(source, prefix, filter.region(region, group) ?? filter.service(service));
  };
  json.object((key) => {
    if (key === 'prefixes' || key === 'ipv6_prefixes') eachObject({ json, collector, filter }, readRecord);
  });
}

/** `{prefixes: [{ipv4Prefix | ipv6Prefix, service, scope}]}`. */
export function readGoogle(source: JsonImport): void {
  const { json, filter } = source;
  const readRecord = (): void => {
    let prefix: JsonText | undefined;
    let scope: string | undefined;
    let service: string | undefined;
    json.object((key) => {
      if (key === 'ipv4Prefix' || key === 'ipv6Prefix') prefix = stringOrSkip(json);
      else if (key === 'scope' && filter.wantsRegion) scope = wordOrSkip(json);
      else if (key === 'service' && filter.wantsService) service = wordOrSkip(json);
    });
    useRecord(source, prefix, filter.region(scope ?? '') ?? filter.service(service ?? ''));
  };
  json.object((key) => {
    if (key === 'prefixes') eachObject(source, readRecord);
  });
}

function useRecord({ json, collector }: JsonImport, prefix: JsonText | undefined, other?: SkipCode): void {
  if (prefix !== undefined) {
    useAddress(collector, prefix, other);
    return;
  }
  collector.line = json.line;
  collector.lineStart = json.lineStart;
  collector.reject(json.lineStart, 'bad-record', 'an object without the prefix that it should hold');
}

/** `{values: [{name, properties: {region, systemService, addressPrefixes: []}}]}`. */
export function readAzure(source: JsonImport): void {
  const { json, collector, filter } = source;
  const readProperties = (prefixes: JsonText[], words: { region: string; service: string }): void => {
    json.object((key) => {
      if (key === 'region') words.region = wordOrSkip(json);
      else if (key === 'systemService') words.service = wordOrSkip(json);
      else if (key === 'addressPrefixes') eachString(source, (value) => prefixes.push(value));
    });
  };
  const readValue = (): void => {
    let name = '';
    const prefixes: JsonText[] = [];
    const words = { region: '', service: '' };
    json.object((key) => {
      if (key === 'name') name = wordOrSkip(json);
      else if (key === 'properties' && json.peek() === 'object') readProperties(prefixes, words);
    });
    const other = filter.region(words.region) ?? filter.service(words.service) ?? filter.tag([name]);
    for (const prefix of prefixes) useAddress(collector, prefix, other);
  };
  json.object((key) => {
    if (key === 'values') eachObject(source, readValue);
  });
}

/** `{regions: [{region, cidrs: [{cidr, tags: []}]}]}`. */
export function readOracle(source: JsonImport): void {
  const { json, collector, filter } = source;
  const readRegion = (): void => {
    let region = '';
    const cidrs: { readonly cidr: JsonText; readonly other: SkipCode | undefined }[] = [];
    const readCidr = (): void => {
      let cidr: JsonText | undefined;
      let tags: readonly string[] = [];
      json.object((key) => {
        if (key === 'cidr') cidr = stringOrSkip(json);
        else if (key === 'tags' && filter.wantsTag) tags = eachWord(json);
      });
      if (cidr === undefined) useRecord(source, cidr);
      else cidrs.push({ cidr, other: filter.tag(tags) });
    };
    json.object((key) => {
      if (key === 'region') region = wordOrSkip(json);
      else if (key === 'cidrs') eachObject(source, readCidr);
    });
    const other = filter.region(region);
    for (const { cidr, other: byTag } of cidrs) useAddress(collector, cidr, other ?? byTag);
  };
  json.object((key) => {
    if (key === 'regions') eachObject(source, readRegion);
  });
}

/**
 * An object of arrays of strings; those that are addresses are used, host keys and names of domains skipped.
 */
export function readGithub(source: JsonImport): void {
  const { json, collector, filter } = source;
  json.object((service) => {
    if (json.peek() !== 'array') return;
    const other = filter.service(service);
    json.array(() => {
      if (json.peek() !== 'string') return;
      const value = json.string();
      if (isNumeric(value)) useAddress(collector, value, other);
      else {
        place(collector, value);
        collector.skip('other-kind');
      }
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

/** `{result: {ipv4_cidrs: [], ipv6_cidrs: []}, success, errors}`. */
export function readCloudflare(source: JsonImport): void {
  const { json, collector } = source;
  json.object((key) => {
    if (key !== 'result' || json.peek() !== 'object') return;
    json.object((name) => {
      if (name === 'ipv4_cidrs' || name === 'ipv6_cidrs')
        eachString(source, (value) => useAddress(collector, value));
    });
  });
}

/** `{prefixes: {ipv4: [], ipv6: []}}`; lists of AS numbers say `subnets`. */
export function readIpverse(source: JsonImport): void {
  const { json, collector } = source;
  json.object((key) => {
    if ((key !== 'prefixes' && key !== 'subnets') || json.peek() !== 'object') return;
    json.object((family) => {
      if (family === 'ipv4' || family === 'ipv6') eachString(source, (value) => useAddress(collector, value));
    });
  });
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
    });
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
      eachString(source, (value) => {
        place(collector, value);
        if (value.text[value.start] === DOT) collector.skip('wildcard');
        else collector.entry(value.text, value.start, value.end);
      });
    }
  });
  if (type === 'regex' || type === 'substring') {
    const reason = `a warninglist of the type ${type} holds patterns, and a list holds addresses or names`;
    collector.refuseFile({ line: 1, column: 1, code: ImportFault.noAddresses, reason });
  }
}

// ── Any JSON ───────────────────────────────────────────────────────────────────────────────────────────────

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
      ? `JSON of no known kind${known === '' ? '' : ` (its keys: ${known})`}: nothing in it is known to hold addresses or names`
      : `an error answer and no list: "${printable(message, MESSAGE_MAX_CHARS)}"`;
  collector.refuseFile({ line: 1, column: 1, code, reason });
}

function readItems({ json, collector }: JsonImport): void {
  const { column } = collector.options;
  const keys = column === undefined ? ENTRY_KEYS : [String(column)];
  json.array(() => {
    const kind = json.peek();
    if (collector.isFull) json.skip();
    else if (kind === 'string') {
      const value = json.string();
      place(collector, value);
      collector.entry(value.text, value.start, value.end);
    } else if (kind === 'object') readItem(json, collector, keys);
    else rejectHere(json, collector, 'a string or an object was expected');
  });
}

const scratch = newPrefixScratch();

function isAddress({ text, start, end }: JsonText): boolean {
  return parsePrefixBytes(text, start, end, scratch) === undefined;
}

function readItem(json: JsonCursor, collector: Collector, keys: readonly string[]): void {
  const { line, lineStart } = json;
  let best: JsonText | undefined;
  let bestRank = keys.length;
  let unused: JsonText | undefined;
  json.object((key) => {
    const rank = keys.indexOf(key);
    const isBetter = rank >= 0 && rank < bestRank;
    if (json.peek() !== 'string' || !(isBetter || collector.options.column === undefined)) return;
    const value = json.string();
    const other = isBetter ? best : value;
    if (isBetter) {
      best = value;
      bestRank = rank;
    }
    if (other !== undefined && isAddress(other)) unused ??= other;
  });
  if (unused !== undefined && collector.options.column === undefined && collector.options.kind !== 'names') {
    place(collector, unused);
    const shown = quoteBytes(unused.text, unused.start, unused.end);
    const reason = `${shown} is an address under a key that is not used: say which key holds the entries with column:`;
    collector.reject(unused.at, EntryFaultCode.secondAddress, reason);
    return;
  }
  if (best !== undefined) {
    place(collector, best);
    collector.entry(best.text, best.start, best.end);
    return;
  }
  collector.line = line;
  collector.lineStart = lineStart;
  collector.reject(lineStart, 'bad-record', `an object without a string under ${keys.join(', ')}`);
}
