/**
 * One list of a configuration: where it comes from, how its bytes are read, when it is refreshed, and what
 * guards it.
 */

import { EMPTY_PREFIX_SET, type NameList, type PrefixSet, RESOLVED_NAMES_MAX } from '@rulecast/rules';
import type { MappingNode, TextNode } from '../document/node.ts';
import { PRIVATE_MISPLACED } from '../document/schema.ts';
import { quote } from '../text/bytes.ts';
import { type FetchConfig, fetchOf } from './fetch.ts';
import { checkPlaces, readKeys, standardOf, type Values } from './key.ts';
import {
  COUNTRY_COVERAGE_SHARE,
  EXPRESSION_SOURCES,
  LIST_DEFAULTS,
  LIST_KEYS,
  type RestConfig,
  restOf,
  SHARED_KEYS,
  SOURCE_KEYS,
  type SourceKey,
} from './list-keys.ts';
import { ConfigFault, type ConfigReader, keyOffsetOf, textsOf } from './reader.ts';
import { BYTES_SOURCES, CUT_SOURCES, nameReadingOf, type ReadingConfig, readingOf } from './reading.ts';
import type { TableConfig } from './table.ts';

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
  /** Whether it may hold short prefixes (see isShortPrefix). */
  readonly allowShort: boolean;
  /** Whether files are taken that hold less than they state of themselves. */
  readonly ignoreDeclared: boolean;
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
  readonly resolve: NameList['resolve'];
  /**
   * What suffix entries stand for: `below` says that names below are meant, `as-names` that their names alone
   * are. Undefined: names below, but for what somebody has to be asked for.
   */
  readonly suffixes: 'below' | 'as-names' | undefined;
  /** False: only an operand of others. */
  readonly publish: boolean;
}

/** What is read along with a list. */
export interface ListContext {
  readonly reader: ConfigReader;
  readonly defaults: Partial<Values<typeof SHARED_KEYS>>;
  readonly tables: ReadonlyMap<string, TableConfig>;
  /** All lists of the configuration, by name. */
  readonly lists: MappingNode | undefined;
}

/** Our choice. */
const KEYS_MAX = 256; // there are 249 countries

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
    resolve: resolveOf(said, node, reader) ?? source.kind === 'names',
    suffixes: said.suffixes,
    publish: said.publish ?? true,
  };
}

/** Who resolves the names of a list, and for the firewall whether they may stand for private addresses. */
function resolveOf(
  { resolve, private: isPrivate }: ListValues,
  node: MappingNode,
  reader: ConfigReader,
): NameList['resolve'] | undefined {
  if (isPrivate !== true) return resolve;
  if (resolve === 'firewall') return 'firewall-private';
  reader.fault(keyOffsetOf(node, 'private'), ConfigFault.misplaced, PRIVATE_MISPLACED);
  return resolve;
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
      const { resolve, publish, suffixes } = said;
      // What nobody uses for rules, and what the firewall's DNS judges by, may have names below.
      const takesSuffixes = resolve === 'firewall' || publish === false || suffixes === 'as-names';
      const names = reader.names(said.names ?? [], nameReadingOf(said), takesSuffixes);
      if (names.length > RESOLVED_NAMES_MAX && resolve !== false && resolve !== 'firewall') {
        const reason = `list ${name} has ${names.length} names; rules can use a list of at most ${RESOLVED_NAMES_MAX}: say resolve: firewall, or resolve: false to carry it unused`;
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

/** How many levels of union and intersect are searched for a list that is picked by country. */
const COUNTRIES_DEPTH = 4;

/** Whether a list is picked by country, or made of one that is. */
function isOfCountries(node: MappingNode, lists: MappingNode | undefined, depth = COUNTRIES_DEPTH): boolean {
  if (node.entries.has('country')) return true;
  const operands = EXPRESSION_SOURCES.flatMap((key) => {
    const entry = node.entries.get(key);
    return entry === undefined || depth === 0 ? [] : textsOf(entry.value);
  });
  return operands.some(({ value }) => {
    const operand = lists?.entries.get(value)?.value;
    return operand?.kind === 'mapping' && isOfCountries(operand, lists, depth - 1);
  });
}

function guardOf(said: ListValues, node: MappingNode, { reader, defaults, lists }: ListContext): GuardConfig {
  const { 'min-entries': minEntries, 'max-entries': maxEntries } = said;
  if (minEntries !== undefined && maxEntries !== undefined && minEntries > maxEntries) {
    const reason = 'min-entries: is more than max-entries:';
    reader.fault(keyOffsetOf(node, 'min-entries'), ConfigFault.value, reason);
  }
  const { 'max-coverage': coverageShare = defaults['max-coverage'] } = said;
  const standardShare = isOfCountries(node, lists) ? COUNTRY_COVERAGE_SHARE : LIST_DEFAULTS.coverageShare;
  const { 'coverage-change': coverageChangeShare = defaults['coverage-change'] } = said;
  return {
    shrinkShare: said.shrink ?? defaults.shrink ?? LIST_DEFAULTS.shrinkShare,
    growthShare: said.growth ?? defaults.growth ?? LIST_DEFAULTS.growthShare,
    coverageShare: coverageShare ?? standardShare,
    coverageChangeShare: coverageChangeShare ?? LIST_DEFAULTS.coverageChangeShare,
    minEntries,
    maxEntries,
    allowAll: said['allow-all'] ?? false,
    allowShort: said['allow-short-prefixes'] ?? false,
    ignoreDeclared: said['ignore-declared'] ?? false,
  };
}
