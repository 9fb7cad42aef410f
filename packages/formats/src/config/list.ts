/**
 * One list of a configuration, and one table: where it comes from, how its bytes are read, when it is
 * refreshed, and what guards it.
 */

import { EMPTY_PREFIX_SET, type PrefixSet, RESOLVED_NAMES_MAX } from '@rulecast/rules';
import type { ListFormatName } from '../collect/format.ts';
import type { MappingNode, TextNode } from '../document/tree.ts';
import { DEFAULT_TOLERANCE } from '../list/judge.ts';
import { quote } from '../text/bytes.ts';
import { FORMAT_LIMITS } from '../text/limits.ts';
import { FETCH_KEYS, type FetchConfig, fetchOf, ofUrl } from './fetch.ts';
import {
  flag,
  type Key,
  type Keys,
  type Parse,
  path,
  prefixes,
  readKeys,
  scalar,
  standardOf,
  text,
  texts,
  type Values,
  withSources,
  word,
  words,
} from './key.ts';
import { ConfigFault, type ConfigReader, keyOffsetOf, textsOf } from './reader.ts';
import {
  BYTES_SOURCES,
  CUT_SOURCES,
  READ_SOURCES,
  READING_KEYS,
  type ReadingConfig,
  readingOf,
} from './reading.ts';
import { orWord, printShare, readCount, readDuration, readShare } from './value.ts';

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
  /**
   * Largest share that the list may hold of the addresses of a family that are reachable over the Internet;
   * Infinity for no limit.
   */
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

/**
 * How long files must have rested before they are read; those that were moved to their place after they were
 * written need not.
 */
export interface RestConfig {
  readonly quietMs: number;
  /** Where the last line has no end; undefined: such a file is never read. */
  readonly unfinishedMs: number | undefined;
}

export interface ListConfig {
  readonly name: string;
  readonly line: number;
  readonly column: number;
  readonly source: ListSource;
  readonly reading: ReadingConfig;
  /** Undefined: only when something changes. */
  readonly intervalMs: number | undefined;
  /** Each interval is longer or shorter by up to this share of it. */
  readonly jitterShare: number;
  readonly timeoutMs: number;
  /** Largest share of lines that may be rejects. */
  readonly rejectShare: number;
  /** How long a list holds good that cannot be refreshed; undefined: for ever. */
  readonly ttlMs: number | undefined;
  readonly aggregate: boolean;
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
  readonly reader: ConfigReader;
  readonly defaults: Partial<Values<typeof SHARED_KEYS>>;
  readonly tables: ReadonlyMap<string, TableConfig>;
}

/** Our choice. */
const INTERVAL_MIN_MS = 10_000; // nobody's feed changes faster, and its server is somebody's
const INTERVAL_MAX_MS = 366 * 86_400_000;
const TIMEOUT_MIN_MS = 1000;
const TIMEOUT_MAX_MS = 3_600_000;
const REST_MAX_MS = 86_400_000;
const KEYS_MAX = 256; // there are 249 countries
const ENTRIES_MAX = FORMAT_LIMITS.entries;
/** Shares beyond this are no limit: write off. */
const GROWTH_SHARE_MAX = 1000;

const duration: Parse<number> = (text) => readDuration(text, INTERVAL_MIN_MS, INTERVAL_MAX_MS);
const timeout: Parse<number> = (text) => readDuration(text, TIMEOUT_MIN_MS, TIMEOUT_MAX_MS);
const rest: Parse<number> = (text) => readDuration(text, 0, REST_MAX_MS);
const restOrNever: Parse<number> = (text) => orWord(text, 'never', Number.POSITIVE_INFINITY, rest);
const share: Parse<number> = (text) => readShare(text, 1);
const jitter: Parse<number> = (text) => readShare(text, 0.5);
const shrink: Parse<number> = (text) => orWord(text, 'off', 1, share);
const coverage: Parse<number> = (text) => orWord(text, 'off', Number.POSITIVE_INFINITY, share);
const growth: Parse<number> = (text) =>
  orWord(text, 'off', Number.POSITIVE_INFINITY, (written) => readShare(written, GROWTH_SHARE_MAX));
const entryCount: Parse<number> = (text) => readCount(text, 0, ENTRIES_MAX);

const ofBytes = <K extends Key<unknown>>(key: K): K => withSources(BYTES_SOURCES, key);
const ofRead = <K extends Key<unknown>>(key: K): K => withSources(READ_SOURCES, key);
const ofFiles = <K extends Key<unknown>>(key: K): K => withSources(['file', 'dir'], key);

/**
 * Keys that `defaults:` gives to every list, and that a list may say for itself. Standard values are our
 * choice.
 */
export const SHARED_KEYS = {
  // What the makers of large feeds ask for is 1 to 24 hours.
  interval: ofBytes(scalar(duration, 'how often it is downloaded; what is watched needs none', '6h')),
  jitter: ofBytes(scalar(jitter, 'each interval is longer or shorter by up to so much', '10%')),
  timeout: ofUrl(scalar(timeout, 'how long one attempt of a download may take', '2m')),
  rejects: ofBytes(
    scalar(
      share,
      'lines that may be unreadable; beyond it the last good list stays',
      printShare(DEFAULT_TOLERANCE),
    ),
  ),
  shrink: scalar(shrink, 'entries that the list may lose at once; `off` for any', '50%'),
  growth: scalar(growth, 'entries that it may gain at once; `off` for any', '50%'),
  // The largest countries but one hold less than a tenth of IPv4, and so do the largest block lists.
  'max-coverage': scalar(
    coverage,
    'reachable addresses of IPv4, or of IPv6, that it may hold; `off` for any',
    '25%',
  ),
  'coverage-change': scalar(
    growth,
    'covered addresses that it may gain or lose at once; `off` for any',
    '50%',
  ),
  ttl: ofRead(
    scalar(duration, 'a list that could not be refreshed for so long is emptied; without, it stays for ever'),
  ),
  aggregate: flag('whether adjacent prefixes are joined; covered ones always are', false),
  // A job that writes line by line pauses for less.
  quiet: ofFiles(
    scalar(
      rest,
      'files are read when nobody has written to them for so long, or when they were moved to their place',
      '2s',
    ),
  ),
  // Some editors leave the last line open, and mean it.
  unfinished: ofFiles(
    scalar(restOrNever, 'the same where the last line has no end; `never`: such a file is not read', '30s'),
  ),
} as const satisfies Keys;

/** What holds for lists that say nothing else. */
export const LIST_DEFAULTS = {
  jitterShare: standardOf(SHARED_KEYS.jitter),
  timeoutMs: standardOf(SHARED_KEYS.timeout),
  rejectShare: standardOf(SHARED_KEYS.rejects),
  shrinkShare: standardOf(SHARED_KEYS.shrink),
  growthShare: standardOf(SHARED_KEYS.growth),
  coverageShare: standardOf(SHARED_KEYS['max-coverage']),
  coverageChangeShare: standardOf(SHARED_KEYS['coverage-change']),
} as const;

const EXPRESSION_SOURCES = ['union', 'intersect'] as const;
const SOURCE_KEYS = [...BYTES_SOURCES, 'names', 'entries', ...EXPRESSION_SOURCES, ...CUT_SOURCES] as const;
type SourceKey = (typeof SOURCE_KEYS)[number];

export const LIST_KEYS = {
  file: path('the file that it is read from'),
  dir: path('the directory whose files are one list together'),
  match: withSources(['dir'], words('globs of the files of a directory; a `!` before one leaves out')),
  ...FETCH_KEYS,
  table: withSources(CUT_SOURCES, text('the table that it is cut from; without, the only one of its kind')),
  names: texts(namesOf, 'host names, written out', 'sequence'),
  entries: prefixes('addresses, CIDRs and ranges, written out'),
  union: words('other lists, of which it holds what any of them does'),
  intersect: words('other lists, of which it holds what all of them do'),
  minus: withSources(EXPRESSION_SOURCES, words('lists that are taken away from that')),
  ...SHARED_KEYS,
  ...READING_KEYS,
  mode: ofRead(word(['replace', 'merge'], '`merge`: what the source said before stays', 'replace')),
  'entry-ttl': ofRead(
    scalar(duration, 'with `mode: merge`, how long an entry stays after it was said last; without, for ever'),
  ),
  'min-entries': scalar(entryCount, 'fewest entries; with fewer the last good list stays', '1'),
  'max-entries': scalar(entryCount, 'most entries; with more the last good list stays'),
  purpose: ofRead(
    word(
      ['block', 'allow'],
      '`block`: what must never be blocked is taken out; without, `block` for downloads and what is cut from tables',
    ),
  ),
  'never-block-exempt': ofRead(prefixes('what may be in it although it must never be blocked')),
  'allow-all': flag('whether it may hold all of IPv4 or of IPv6', false),
  'allow-short-prefixes': ofRead(
    flag('whether it may hold CIDRs shorter than /8, or than /16 of IPv6', false),
  ),
  'ignore-declared': ofBytes(
    flag('whether it is taken though it holds less than it says of itself, or seems to be cut off', false),
  ),
  resolve: withSources(
    [...BYTES_SOURCES, 'names', ...EXPRESSION_SOURCES],
    flag('whether rules may use its names; without, those of `names`'),
  ),
  publish: flag('whether it is released; `false`: only an operand of others', true),
} as const satisfies Keys;

type ListValues = Values<typeof LIST_KEYS>;

/** Reads one list; undefined if it has no source that can be read. */
export function readList(
  name: string,
  keyOffset: number,
  node: MappingNode,
  context: ListContext,
): ListConfig | undefined {
  const { reader, defaults } = context;
  const sourceKey = sourceKeyOf(name, keyOffset, node, reader);
  if (sourceKey === undefined) return undefined;
  checkPlaces(LIST_KEYS, sourceKey, node, reader);
  const said = readKeys(LIST_KEYS, node, reader);
  const source = sourceOf(sourceKey, name, keyOffset, node, said, context);
  if (source === undefined) return undefined;
  const isFetched = source.kind === 'url' || source.kind === 'table';
  if (said.mode !== 'merge' && node.entries.has('entry-ttl')) {
    const reason = 'entry-ttl: goes with mode: merge: with replace, no entry outlives its source';
    reader.fault(keyOffsetOf(node, 'entry-ttl'), ConfigFault.misplaced, reason);
  }
  const { interval } = said;
  return {
    name,
    ...reader.placeOf(keyOffset),
    source,
    reading: readingOf(said, node, reader),
    // What is watched needs no interval, and what is cut from a table follows the table.
    intervalMs:
      source.kind === 'url' ? (interval ?? defaults.interval ?? standardOf(SHARED_KEYS.interval)) : interval,
    jitterShare: said.jitter ?? defaults.jitter ?? LIST_DEFAULTS.jitterShare,
    timeoutMs: said.timeout ?? defaults.timeout ?? LIST_DEFAULTS.timeoutMs,
    rejectShare: said.rejects ?? defaults.rejects ?? LIST_DEFAULTS.rejectShare,
    ttlMs: said.ttl ?? defaults.ttl,
    aggregate: said.aggregate ?? defaults.aggregate ?? false,
    mode: said.mode ?? 'replace',
    entryTtlMs: said['entry-ttl'],
    guard: guardOf(said, node, context),
    rest: restOf(said, defaults),
    purpose: said.purpose ?? (isFetched ? 'block' : 'allow'),
    neverBlockExempt: said['never-block-exempt'] ?? EMPTY_PREFIX_SET,
    resolve: said.resolve ?? source.kind === 'names',
    publish: said.publish ?? true,
  };
}

/** How long files must rest, as a list or table says, or else the defaults, if there are any for it. */
function restOf(
  said: Values<Pick<typeof SHARED_KEYS, 'quiet' | 'unfinished'>>,
  defaults: Partial<typeof said> = {},
): RestConfig {
  const { quiet, unfinished } = SHARED_KEYS;
  const unfinishedMs = said.unfinished ?? defaults.unfinished ?? standardOf(unfinished);
  return {
    quietMs: said.quiet ?? defaults.quiet ?? standardOf(quiet),
    unfinishedMs: unfinishedMs === Number.POSITIVE_INFINITY ? undefined : unfinishedMs,
  };
}

function sourceKeyOf(
  name: string,
  keyOffset: number,
  node: MappingNode,
  reader: ConfigReader,
): SourceKey | undefined {
  const all = SOURCE_KEYS.filter((key) => node.entries.has(key));
  const isFilter = (key: SourceKey): boolean => CUT_SOURCES.some((cut) => cut === key);
  const given = BYTES_SOURCES.some((key) => node.entries.has(key))
    ? all.filter((key) => !isFilter(key))
    : all;
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

/** Tells the keys that do not go with a source. */
function checkPlaces(keys: Keys, source: string, node: MappingNode, reader: ConfigReader): void {
  for (const [key, { keyOffset }] of node.entries) {
    const sources = Object.hasOwn(keys, key) ? keys[key]?.sources : undefined;
    if (sources === undefined || sources.includes(source)) continue;
    const reason = `${key}: goes with ${sources.join(' or ')}, not with ${source}`;
    reader.fault(keyOffset, ConfigFault.misplaced, reason);
  }
}

function namesOf(nodes: readonly TextNode[], _key: string, reader: ConfigReader): readonly string[] {
  return reader.names(nodes);
}

function sourceOf(
  key: SourceKey,
  name: string,
  keyOffset: number,
  node: MappingNode,
  said: ListValues,
  context: ListContext,
): ListSource | undefined {
  const { reader } = context;
  switch (key) {
    case 'file':
      return said.file === undefined ? undefined : { kind: 'file', path: said.file };
    case 'dir':
      return said.dir === undefined ? undefined : { kind: 'dir', path: said.dir, match: said.match ?? [] };
    case 'url':
      return fetchOf(said, node, reader);
    case 'country':
    case 'asn':
      return cutOf(key, node, said.table, context);
    case 'names': {
      const { names = [], resolve } = said;
      if (names.length > RESOLVED_NAMES_MAX && resolve !== false) {
        const reason = `list ${name} has ${names.length} names; rules can use a list of at most ${RESOLVED_NAMES_MAX}: say resolve: false to carry it unused`;
        reader.fault(keyOffset, ConfigFault.limit, reason);
      }
      return { kind: 'names', names };
    }
    case 'entries':
      return { kind: 'entries', set: said.entries ?? EMPTY_PREFIX_SET };
    case 'union':
    case 'intersect': {
      const { [key]: operands = [], minus = [] } = said;
      if (operands.length > 0) return { kind: 'expression', operator: key, operands, minus };
      reader.fault(keyOffset, ConfigFault.value, `${key}: names no list`);
      return undefined;
    }
  }
}

/** A list cut from a table, which may be left unnamed where there is one of its kind. */
function cutOf(
  key: 'country' | 'asn',
  node: MappingNode,
  named: TextNode | undefined,
  { reader, tables }: ListContext,
): ListSource | undefined {
  const entry = node.entries.get(key);
  const offset = keyOffsetOf(node, key);
  const count = entry === undefined ? 0 : textsOf(entry.value).length;
  if (count === 0 || count > KEYS_MAX)
    reader.fault(offset, ConfigFault.limit, `${key}: takes 1 to ${KEYS_MAX} values`);
  const fitting = [...tables.values()].filter((table) => table.of === key).map(({ name }) => name);
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

function guardOf(said: ListValues, node: MappingNode, { reader, defaults }: ListContext): GuardConfig {
  const { 'min-entries': minEntries, 'max-entries': maxEntries } = said;
  if (minEntries !== undefined && maxEntries !== undefined && minEntries > maxEntries) {
    const reason = 'min-entries: is more than max-entries:';
    reader.fault(keyOffsetOf(node, 'min-entries'), ConfigFault.value, reason);
  }
  const { 'max-coverage': coverageShare = defaults['max-coverage'] } = said;
  const { 'coverage-change': coverageChangeShare = defaults['coverage-change'] } = said;
  return {
    shrinkShare: said.shrink ?? defaults.shrink ?? LIST_DEFAULTS.shrinkShare,
    growthShare: said.growth ?? defaults.growth ?? LIST_DEFAULTS.growthShare,
    coverageShare: coverageShare ?? LIST_DEFAULTS.coverageShare,
    coverageChangeShare: coverageChangeShare ?? LIST_DEFAULTS.coverageChangeShare,
    minEntries,
    maxEntries,
    allowAll: said['allow-all'] ?? false,
    allowShort: said['allow-short-prefixes'] ?? false,
    ignoreDeclared: said['ignore-declared'] ?? false,
  };
}

export const TABLE_KEYS = {
  of: word(['country', 'asn'], 'what lists are cut from it by'),
  format: READING_KEYS.format,
  file: texts(
    (nodes, _key, reader) => nodes.map(({ value }) => reader.pathOf(value)),
    'the file that it is read from, or several',
  ),
  ...FETCH_KEYS,
  interval: { ...SHARED_KEYS.interval, standard: '1d' }, // registries publish once a day
  jitter: SHARED_KEYS.jitter,
  timeout: SHARED_KEYS.timeout,
  members: READING_KEYS.members,
  quiet: SHARED_KEYS.quiet,
  unfinished: SHARED_KEYS.unfinished,
} as const satisfies Keys;

/** Reads one table; undefined if it has no source that can be read. */
export function readTable(
  name: string,
  keyOffset: number,
  node: MappingNode,
  reader: ConfigReader,
): TableConfig | undefined {
  const isFetched = node.entries.has('url');
  const said = readKeys(TABLE_KEYS, node, reader);
  const { of, file } = said;
  if (isFetched === (file !== undefined)) {
    reader.fault(keyOffset, ConfigFault.source, `table ${name} needs file: or url:, one of them`);
    return undefined;
  }
  if (!isFetched) checkPlaces(TABLE_KEYS, 'file', node, reader);
  const source = isFetched ? fetchOf(said, node, reader) : { kind: 'files' as const, paths: file ?? [] };
  if (source === undefined || of === undefined) return undefined;
  return {
    name,
    of,
    format: said.format,
    source,
    intervalMs: said.interval ?? (isFetched ? standardOf(TABLE_KEYS.interval) : undefined),
    jitterShare: said.jitter ?? LIST_DEFAULTS.jitterShare,
    timeoutMs: said.timeout ?? LIST_DEFAULTS.timeoutMs,
    members: said.members ?? [],
    rest: restOf(said),
  };
}
