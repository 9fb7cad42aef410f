/**
 * One list of a configuration, and one table: where it comes from, how its bytes are read, when it is refreshed, and what guards it.
 */

import { posix } from 'node:path';
import { type PrefixSet, RESOLVED_NAMES_MAX } from '@rulecast/rules';
import type { ListFormatName } from '../collect/format.ts';
import type { MappingNode } from '../document/tree.ts';
import { DEFAULT_TOLERANCE } from '../list/judge.ts';
import { quote } from '../text/bytes.ts';
import { FORMAT_LIMITS } from '../text/limits.ts';
import { type FetchConfig, readFetch } from './fetch.ts';
import { ConfigFault, type ConfigNodeReader } from './node.ts';
import { type ReadingConfig, readFormat, readReading } from './reading.ts';
import { readCount, readDuration, readDurationOrNever, readShare, type ValueResult } from './value.ts';

export type ListSource =
  | { readonly kind: 'file'; readonly path: string }
  | { readonly kind: 'dir'; readonly path: string; readonly match: readonly string[] }
  | FetchConfig
  /** Cut from a table, by `reading.country` or `reading.asn`. */
  | { readonly kind: 'table'; readonly table: string }
  | { readonly kind: 'names'; readonly names: readonly string[] }
  | { readonly kind: 'entries'; readonly set: PrefixSet }
  | {
      /** The union or intersection of the operands, less every list of `minus`. */
      readonly kind: 'expression';
      readonly operator: 'union' | 'intersect';
      readonly operands: readonly string[];
      readonly minus: readonly string[];
    };

export interface GuardConfig {
  /** Largest share of the entries that a refresh may lose, 0 to 1. */
  readonly shrinkShare: number;
  /** Largest share that it may gain; Infinity for no limit. */
  readonly growthShare: number;
  /** Largest share that the list may hold of the addresses of a family that are reachable over the Internet; Infinity for no limit. */
  readonly coverageShare: number;
  /** Largest share of those that it holds which a refresh may gain or lose; Infinity for no limit. */
  readonly coverageChangeShare: number;
  readonly minEntries: number | undefined;
  readonly maxEntries: number | undefined;
  /** Whether the list may hold all of IPv4 or of IPv6. */
  readonly allowAll: boolean;
  /** Whether it may hold prefixes shorter than /8, or than /16 of IPv6, outside special-purpose space. */
  readonly allowShort: boolean;
  /** Whether files are taken that hold less than they state of themselves. */
  readonly ignoreDeclared: boolean;
}

/** How long files must have rested before they are read; those that were moved to their place after they were written need not. */
export interface RestConfig {
  readonly quietMs: number;
  /** Where the last line has no end; undefined: such a file is never read. */
  readonly unfinishedMs: number | undefined;
}

/** What `defaults:` says for all lists. */
export interface SharedConfig {
  /** Undefined: only when something changes. */
  readonly intervalMs: number | undefined;
  /** Each interval is longer or shorter by up to this share of it. */
  readonly jitterShare: number;
  readonly timeoutMs: number;
  /** Largest share of lines that may be rejects. */
  readonly rejectShare: number;
  readonly shrinkShare: number;
  readonly growthShare: number;
  readonly coverageShare: number;
  readonly coverageChangeShare: number;
  /** How long a list holds good that cannot be refreshed; undefined: for ever. */
  readonly ttlMs: number | undefined;
  readonly aggregate: boolean;
  readonly quietMs: number;
  readonly unfinishedMs: number | undefined;
}

/** What of SharedConfig is a guard. */
type SharedGuard = 'shrinkShare' | 'growthShare' | 'coverageShare' | 'coverageChangeShare';
type SharedRest = 'quietMs' | 'unfinishedMs';

export interface ListConfig extends Omit<SharedConfig, SharedGuard | SharedRest> {
  readonly name: string;
  readonly line: number;
  readonly column: number;
  readonly source: ListSource;
  readonly reading: ReadingConfig;
  /** `replace`: the list is what its source says now; `merge`: what it said before stays. */
  readonly mode: 'replace' | 'merge';
  /** With `merge`: how long an entry stays that the source says no more; undefined: for ever. */
  readonly entryTtlMs: number | undefined;
  readonly guard: GuardConfig;
  readonly rest: RestConfig;
  readonly purpose: 'block' | 'allow';
  readonly neverBlockExempt: PrefixSet;
  /** Whether rules may use a list of names. */
  readonly resolve: boolean;
  /** False: only an operand of others. */
  readonly publish: boolean;
}

/** Addresses by country or by number of autonomous system, which lists are cut from. */
export interface TableConfig {
  readonly name: string;
  readonly of: 'country' | 'asn';
  readonly format: ListFormatName | undefined;
  readonly source: { readonly kind: 'files'; readonly paths: readonly string[] } | FetchConfig;
  readonly intervalMs: number | undefined;
  readonly jitterShare: number;
  readonly timeoutMs: number;
  readonly members: readonly string[];
  readonly rest: RestConfig;
}

/** What is read along with a list. */
export interface ListContext {
  readonly reader: ConfigNodeReader;
  /** Absolute; relative paths start here. */
  readonly directory: string;
  readonly defaults: Partial<SharedConfig>;
  readonly tables: ReadonlyMap<string, TableConfig>;
}

/** Our choice. */
const INTERVAL_MIN_MS = 10_000; // nobody's feed changes faster, and its server is somebody's
const INTERVAL_MAX_MS = 366 * 86_400_000;
const TIMEOUT_MIN_MS = 1000;
const TIMEOUT_MAX_MS = 3_600_000;
const REST_MAX_MS = 86_400_000;
const FETCH_INTERVAL_MS = 6 * 3_600_000; // what the makers of large feeds ask for is 1 to 24 hours
const KEYS_MAX = 256; // there are 249 countries
const ENTRIES_MAX = FORMAT_LIMITS.entries;
/** Shares beyond this are no limit: write off. */
const GROWTH_SHARE_MAX = 1000;

export const LIST_DEFAULTS = {
  jitterShare: 0.1,
  timeoutMs: 120_000,
  rejectShare: DEFAULT_TOLERANCE,
  shrinkShare: 0.5,
  growthShare: 0.5,
  coverageShare: 0.25, // the largest countries but one hold less than a tenth of IPv4, and so do the largest block lists
  coverageChangeShare: 0.5,
  quietMs: 2000, // a job that writes line by line pauses for less
  unfinishedMs: 30_000, // some editors leave the last line open, and mean it
} as const;

const SOURCE_KEYS = [
  'file',
  'dir',
  'url',
  'names',
  'entries',
  'union',
  'intersect',
  'country',
  'asn',
] as const;
type SourceKey = (typeof SOURCE_KEYS)[number];
/** Sources of bytes; with one of them `country` and `asn` are filters. */
const BYTES_SOURCES = ['file', 'dir', 'url'] as const;
const CUT_SOURCES = ['country', 'asn'] as const;
const FETCH_KEYS = ['headers', 'sha256', 'max-bytes', 'allow-private', 'timeout'] as const;
/** Keys that go with some sources only. */
const KEY_SOURCES: Readonly<Record<string, readonly SourceKey[]>> = {
  match: ['dir'],
  ...Object.fromEntries(FETCH_KEYS.map((key) => [key, ['url']])),
  ...Object.fromEntries(
    [
      'format',
      'members',
      'interval',
      'jitter',
      'rejects',
      'ignore-declared',
      'column',
      'min-score',
      'region',
      'service',
      'tag',
      'set',
    ].map((key) => [key, BYTES_SOURCES]),
  ),
  country: [...BYTES_SOURCES, 'country'],
  asn: [...BYTES_SOURCES, 'asn'],
  table: CUT_SOURCES,
  minus: ['union', 'intersect'],
  ttl: [...BYTES_SOURCES, ...CUT_SOURCES],
  mode: [...BYTES_SOURCES, ...CUT_SOURCES],
  'entry-ttl': [...BYTES_SOURCES, ...CUT_SOURCES],
  'host-bits': [...BYTES_SOURCES, ...CUT_SOURCES],
  'allow-short-prefixes': [...BYTES_SOURCES, ...CUT_SOURCES],
  resolve: [...BYTES_SOURCES, 'names', 'union', 'intersect'],
  purpose: [...BYTES_SOURCES, ...CUT_SOURCES],
  'never-block-exempt': [...BYTES_SOURCES, ...CUT_SOURCES],
  quiet: ['file', 'dir'],
  unfinished: ['file', 'dir'],
};

const duration = (text: string): ValueResult<number> => readDuration(text, INTERVAL_MIN_MS, INTERVAL_MAX_MS);
const timeout = (text: string): ValueResult<number> => readDuration(text, TIMEOUT_MIN_MS, TIMEOUT_MAX_MS);
const share = (text: string): ValueResult<number> => readShare(text, 1);
const shrink = (text: string): ValueResult<number> =>
  text === 'off' ? { kind: 'value', value: 1 } : readShare(text, 1);
const growth = (text: string): ValueResult<number> =>
  text === 'off' ? { kind: 'value', value: Number.POSITIVE_INFINITY } : readShare(text, GROWTH_SHARE_MAX);
const coverage = (text: string): ValueResult<number> =>
  text === 'off' ? { kind: 'value', value: Number.POSITIVE_INFINITY } : readShare(text, 1);
const rest = (text: string): ValueResult<number> => readDuration(text, 0, REST_MAX_MS);
const restOrNever = (text: string): ValueResult<number | undefined> =>
  readDurationOrNever(text, 0, REST_MAX_MS);
const jitter = (text: string): ValueResult<number> => readShare(text, 0.5);
const entryCount = (text: string): ValueResult<number> => readCount(text, 0, ENTRIES_MAX);

/** Reads the keys that lists and `defaults:` share; those that are not there are left out. */
export function readDefaults(node: MappingNode | undefined, reader: ConfigNodeReader): Partial<SharedConfig> {
  const found = {
    intervalMs: reader.value(node, 'interval', duration),
    jitterShare: reader.value(node, 'jitter', jitter),
    timeoutMs: reader.value(node, 'timeout', timeout),
    rejectShare: reader.value(node, 'rejects', share),
    shrinkShare: reader.value(node, 'shrink', shrink),
    growthShare: reader.value(node, 'growth', growth),
    coverageShare: reader.value(node, 'max-coverage', coverage),
    coverageChangeShare: reader.value(node, 'coverage-change', growth),
    ttlMs: reader.value(node, 'ttl', duration),
    aggregate: reader.flag(node, 'aggregate'),
  };
  return {
    ...Object.fromEntries(Object.entries(found).filter(([, value]) => value !== undefined)),
    ...readRest(node, reader),
  };
}

/** How long files must rest; what is not said is left out. */
function readRest(node: MappingNode | undefined, reader: ConfigNodeReader): Partial<RestConfig> {
  const quietMs = reader.value(node, 'quiet', rest);
  const unfinished = reader.text(node, 'unfinished');
  return {
    ...(quietMs === undefined ? {} : { quietMs }),
    ...(unfinished === undefined
      ? {}
      : { unfinishedMs: reader.valueOf(unfinished, 'unfinished', restOrNever) }),
  };
}

/** Reads one list; undefined if it has no source that can be read. */
export function readList(
  name: string,
  keyOffset: number,
  node: MappingNode,
  context: ListContext,
): ListConfig | undefined {
  const { reader } = context;
  const sourceKey = sourceKeyOf(name, keyOffset, node, reader);
  if (sourceKey === undefined) return undefined;
  checkKeys(sourceKey, node, reader);
  const source = readSource(sourceKey, name, keyOffset, node, context);
  if (source === undefined) return undefined;
  const isFetched = source.kind === 'url' || source.kind === 'table';
  const shared = { ...LIST_DEFAULTS, ...context.defaults, ...readDefaults(node, reader) };
  const mode = reader.text(node, 'mode')?.value === 'merge' ? 'merge' : 'replace';
  const entryTtl = node.entries.get('entry-ttl');
  if (entryTtl !== undefined && mode !== 'merge') {
    const reason = 'entry-ttl: goes with mode: merge: with replace, no entry outlives its source';
    reader.fault(entryTtl.keyOffset, ConfigFault.misplaced, reason);
  }
  const purpose = reader.text(node, 'purpose')?.value;
  return {
    name,
    ...reader.placeOf(keyOffset),
    source,
    reading: readReading(node, reader),
    // What is watched needs no interval, and what is cut from a table follows the table.
    intervalMs: source.kind === 'url' ? (shared.intervalMs ?? FETCH_INTERVAL_MS) : ownInterval(node),
    jitterShare: shared.jitterShare,
    timeoutMs: shared.timeoutMs,
    rejectShare: shared.rejectShare,
    ttlMs: shared.ttlMs,
    aggregate: shared.aggregate ?? false,
    mode,
    entryTtlMs: reader.value(node, 'entry-ttl', duration),
    guard: readGuard(node, shared, reader),
    rest: { quietMs: shared.quietMs, unfinishedMs: shared.unfinishedMs },
    purpose: purpose === 'block' || purpose === 'allow' ? purpose : isFetched ? 'block' : 'allow',
    neverBlockExempt: reader.prefixes(reader.texts(node, 'never-block-exempt') ?? []),
    resolve: reader.flag(node, 'resolve') ?? source.kind === 'names',
    publish: reader.flag(node, 'publish') ?? true,
  };
}

function ownInterval(node: MappingNode): number | undefined {
  const text = node.entries.get('interval')?.value;
  if (text?.kind !== 'text') return undefined;
  const read = duration(text.value);
  return read.kind === 'value' ? read.value : undefined; // the fault was told with the defaults
}

function sourceKeyOf(
  name: string,
  keyOffset: number,
  node: MappingNode,
  reader: ConfigNodeReader,
): SourceKey | undefined {
  const all = SOURCE_KEYS.filter((key) => node.entries.has(key));
  const ofBytes = all.filter((key) => isOneOf(BYTES_SOURCES, key));
  const given = ofBytes.length === 0 ? all : all.filter((key) => !isOneOf(CUT_SOURCES, key));
  const [first, ...others] = given;
  if (first !== undefined && others.length === 0) return first;
  if (first === undefined) {
    const reason = `list ${name} has no source: give it one of ${SOURCE_KEYS.join(', ')}`;
    reader.fault(keyOffset, ConfigFault.source, reason);
  } else {
    const reason = `list ${name} has ${given.join(' and ')}: keep one, and join lists with union:`;
    reader.fault(keyOffset, ConfigFault.sources, reason);
  }
  return undefined;
}

function isOneOf(keys: readonly SourceKey[], key: SourceKey): boolean {
  return keys.includes(key);
}

function checkKeys(source: SourceKey, node: MappingNode, reader: ConfigNodeReader): void {
  for (const [key, { keyOffset }] of node.entries) {
    const sources = KEY_SOURCES[key];
    if (sources === undefined || sources.includes(source)) continue;
    const reason = `${key}: goes with ${sources.join(' or ')}, not with ${source}`;
    reader.fault(keyOffset, ConfigFault.misplaced, reason);
  }
}

function readSource(
  key: SourceKey,
  name: string,
  keyOffset: number,
  node: MappingNode,
  context: ListContext,
): ListSource | undefined {
  const { reader, directory } = context;
  switch (key) {
    case 'file':
    case 'dir': {
      const path = reader.text(node, key);
      if (path === undefined) return undefined;
      const resolved = posix.resolve(directory, path.value);
      if (key === 'file') return { kind: 'file', path: resolved };
      const match = (reader.texts(node, 'match') ?? []).map(({ value }) => value);
      return { kind: 'dir', path: resolved, match };
    }
    case 'url':
      return readFetch(node, reader);
    case 'country':
    case 'asn':
      return readCut(key, node, context);
    case 'names': {
      const names = reader.names(reader.texts(node, 'names') ?? []);
      if (names.length > RESOLVED_NAMES_MAX && reader.flag(node, 'resolve') !== false) {
        const reason = `list ${name} has ${names.length} names; rules can use a list of at most ${RESOLVED_NAMES_MAX}: say resolve: false to carry it unused`;
        reader.fault(keyOffset, ConfigFault.limit, reason);
      }
      return { kind: 'names', names };
    }
    case 'entries':
      return { kind: 'entries', set: reader.prefixes(reader.texts(node, 'entries') ?? []) };
    case 'union':
    case 'intersect': {
      const operands = (reader.texts(node, key) ?? []).map(({ value }) => value);
      const minus = (reader.texts(node, 'minus') ?? []).map(({ value }) => value);
      if (operands.length > 0) return { kind: 'expression', operator: key, operands, minus };
      reader.fault(keyOffset, ConfigFault.value, `${key}: names no list`);
      return undefined;
    }
  }
}

/** A list cut from a table, which may be left unnamed where there is one of its kind. */
function readCut(key: 'country' | 'asn', node: MappingNode, context: ListContext): ListSource | undefined {
  const { reader, tables } = context;
  const keyNodes = reader.texts(node, key) ?? [];
  const offset = node.entries.get(key)?.keyOffset ?? node.offset;
  if (keyNodes.length === 0 || keyNodes.length > KEYS_MAX) {
    reader.fault(offset, ConfigFault.limit, `${key}: takes 1 to ${KEYS_MAX} values`);
  }
  const fitting = [...tables.values()].filter((table) => table.of === key).map(({ name }) => name);
  const named = reader.text(node, 'table');
  if (named !== undefined && !fitting.includes(named.value)) {
    const reason = `table: there is no table ${quote(named.value)} of: ${key} under tables:`;
    reader.fault(named.offset, ConfigFault.unknownTable, reason);
    return undefined;
  }
  const table = named?.value ?? (fitting.length === 1 ? fitting[0] : undefined);
  if (table !== undefined) return { kind: 'table', table };
  const reason =
    fitting.length === 0
      ? `${key}: needs a table under tables: with of: ${key}, or file: or url: here to be picked from`
      : `${key}: say which table: ${fitting.join(' or ')}`;
  reader.fault(offset, ConfigFault.unknownTable, reason);
  return undefined;
}

function readGuard(
  node: MappingNode,
  { shrinkShare, growthShare, coverageShare, coverageChangeShare }: Pick<SharedConfig, SharedGuard>,
  reader: ConfigNodeReader,
): GuardConfig {
  const minEntries = reader.value(node, 'min-entries', entryCount);
  const maxEntries = reader.value(node, 'max-entries', entryCount);
  if (minEntries !== undefined && maxEntries !== undefined && minEntries > maxEntries) {
    const offset = node.entries.get('min-entries')?.keyOffset ?? node.offset;
    reader.fault(offset, ConfigFault.value, 'min-entries: is more than max-entries:');
  }
  return {
    shrinkShare,
    growthShare,
    coverageShare,
    coverageChangeShare,
    minEntries,
    maxEntries,
    allowAll: reader.flag(node, 'allow-all') ?? false,
    allowShort: reader.flag(node, 'allow-short-prefixes') ?? false,
    ignoreDeclared: reader.flag(node, 'ignore-declared') ?? false,
  };
}

/** Reads one table; undefined if it has no source that can be read. */
export function readTable(
  name: string,
  keyOffset: number,
  node: MappingNode,
  reader: ConfigNodeReader,
  directory: string,
): TableConfig | undefined {
  const of = reader.text(node, 'of')?.value;
  const files = reader.texts(node, 'file');
  const isFetched = node.entries.has('url');
  if (isFetched === (files !== undefined)) {
    reader.fault(keyOffset, ConfigFault.source, `table ${name} needs file: or url:, one of them`);
    return undefined;
  }
  if (!isFetched) {
    for (const key of FETCH_KEYS) {
      const entry = node.entries.get(key);
      if (entry !== undefined)
        reader.fault(entry.keyOffset, ConfigFault.misplaced, `${key}: goes with url, not with file`);
    }
  }
  const source = isFetched
    ? readFetch(node, reader)
    : { kind: 'files' as const, paths: (files ?? []).map(({ value }) => posix.resolve(directory, value)) };
  if (source === undefined || (of !== 'country' && of !== 'asn')) return undefined;
  const interval = reader.value(node, 'interval', duration);
  return {
    name,
    of,
    format: readFormat(node, reader),
    source,
    intervalMs: interval ?? (isFetched ? 4 * FETCH_INTERVAL_MS : undefined), // registries publish once a day
    jitterShare: reader.value(node, 'jitter', jitter) ?? LIST_DEFAULTS.jitterShare,
    timeoutMs: reader.value(node, 'timeout', timeout) ?? LIST_DEFAULTS.timeoutMs,
    members: (reader.texts(node, 'members') ?? []).map(({ value }) => value),
    rest: {
      quietMs: LIST_DEFAULTS.quietMs,
      unfinishedMs: LIST_DEFAULTS.unfinishedMs,
      ...readRest(node, reader),
    },
  };
}
