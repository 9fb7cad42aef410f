/** One list of a configuration: its source, how its bytes are read, its refresh, and its guards. */

import { EMPTY_PREFIX_SET, type NameList, type PrefixSet, RESOLVED_NAMES_MAX } from '@rulecast/rules';
import type { MappingNode, TextNode } from '../document/node.ts';
import { PRIVATE_MISPLACED } from '../document/schema.ts';
import { quote } from '../text/bytes.ts';
import { COMPANIES, type Company } from './company.ts';
import { DOWNLOAD_KEYS, type FetchConfig, fetchOf } from './fetch.ts';
import { checkPlaces, type Filled, filled, readKeys, type Values } from './key.ts';
import {
  COUNTRY_COVERAGE_SHARE,
  EXPRESSION_SOURCES,
  GUARD_KEYS,
  LIST_KEYS,
  type RestConfig,
  restOf,
  type SHARED_KEYS,
  SOURCE_KEYS,
  type SourceKey,
  TIMING_KEYS,
  USE_KEYS,
} from './list-keys.ts';
import { ConfigFault, type ConfigReader, keyOffsetOf, textsOf } from './reader.ts';
import {
  BYTES_SOURCES,
  CUT_SOURCES,
  type CutSource,
  READING_KEYS,
  type ReadingConfig,
  readingOf,
} from './reading.ts';
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

/** The guards of a refresh, each as in LIST_KEYS. */
export type GuardConfig = Omit<Filled<typeof GUARD_KEYS>, 'minEntries'> & {
  readonly minEntries: number | undefined;
};

export interface ListConfig
  extends Omit<Filled<typeof TIMING_KEYS>, 'intervalMs'>,
    Omit<Filled<typeof USE_KEYS>, 'purpose'> {
  readonly name: string;
  readonly line: number;
  readonly column: number;
  readonly source: ListSource;
  readonly reading: ReadingConfig;
  /** Undefined: only when something changes. */
  readonly intervalMs: number | undefined;
  readonly guard: GuardConfig;
  readonly rest: RestConfig;
  readonly purpose: 'block' | 'allow';
  /** Whether rules may use a list of names. */
  readonly resolve: NameList['resolve'];
}

/** The context for reading a list. */
export interface ListContext {
  readonly reader: ConfigReader;
  readonly defaults: Values<typeof SHARED_KEYS>;
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
  const values = readKeys(LIST_KEYS, node, reader);
  const source = sourceOf(sourceKey, name, keyOffset, node, values, context);
  if (source === undefined) return undefined;
  const isFetched = source.kind === 'url' || source.kind === 'table';
  if (values.mode !== 'merge' && node.entries.has('entry-ttl')) {
    const reason = 'entry-ttl: goes with mode: merge: with replace, no entry outlives its source';
    reader.fault(keyOffsetOf(node, 'entry-ttl'), ConfigFault.misplaced, reason);
  }
  const { urls: _, ...companyReading }: Company = values.company ? COMPANIES[values.company] : {};
  const timing = filled(TIMING_KEYS, values, defaults);
  const use = filled(USE_KEYS, values);
  return {
    name,
    ...reader.placeOf(keyOffset),
    source,
    reading: { ...readingOf(values, node, reader), ...companyReading },
    ...timing,
    // A company's list rarely changes, and its end would be noticed.
    maxUnchangedMs: timing.maxUnchangedMs ?? (values.company && Number.POSITIVE_INFINITY),
    // A watched file needs no interval, and a list from a table follows the table.
    intervalMs: source.kind === 'url' ? timing.intervalMs : values.intervalMs,
    guard: guardOf(values, node, context),
    rest: restOf(values, defaults),
    ...use,
    purpose: use.purpose ?? (isFetched ? 'block' : 'allow'),
    resolve: resolveOf(values, node, reader) ?? source.kind === 'names',
  };
}

/** The resolver of a list's names, and for the firewall whether they may resolve to private addresses. */
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
  values: ListValues,
  context: ListContext,
): ListSource | undefined {
  const { reader } = context;
  switch (key) {
    case 'file':
      return values.file === undefined ? undefined : { kind: 'file', path: values.file };
    case 'dir':
      return values.dir === undefined
        ? undefined
        : { kind: 'dir', path: values.dir, match: values.match ?? [] };
    case 'url':
      return fetchOf(values, node, reader);
    case 'country':
    case 'asn':
      return cutOf(key, node, values.table, context);
    case 'company':
      // The schema reports an unknown name.
      if (values.company === undefined) return undefined;
      return companyOf(COMPANIES[values.company], node, context);
    case 'names': {
      const { resolve, publish, suffixes } = values;
      // Lists without use in rules, and lists that only the firewall's DNS uses, may contain all names below
      // a public suffix.
      const takesSuffixes = resolve === 'firewall' || publish === false || suffixes === 'as-names';
      const names = reader.names(values.names ?? [], filled(READING_KEYS, values), takesSuffixes);
      if (names.length > RESOLVED_NAMES_MAX && resolve !== false && resolve !== 'firewall') {
        const reason = `list ${name} has ${names.length} names; rules can use a list of at most ${RESOLVED_NAMES_MAX}: say resolve: firewall, or resolve: false to carry it unused`;
        reader.fault(keyOffset, ConfigFault.limit, reason);
      }
      return { kind: 'names', names };
    }
    case 'entries':
      return { kind: 'entries', set: values.entries ?? EMPTY_PREFIX_SET };
    case 'union':
    case 'intersect': {
      const { [key]: operands = [], minus = [] } = values;
      if (operands.length > 0) return { kind: 'expression', operator: key, operands, minus };
      reader.fault(keyOffset, ConfigFault.value, `${key}: names no list`);
      return undefined;
    }
  }
}

/** A list cut from a table by countries or numbers. */
function cutOf(
  key: CutSource,
  node: MappingNode,
  named: TextNode | undefined,
  context: ListContext,
): ListSource | undefined {
  const entry = node.entries.get(key);
  const offset = keyOffsetOf(node, key);
  const values = entry === undefined ? [] : textsOf(entry.value);
  if (values.length === 0 || values.length > KEYS_MAX)
    context.reader.fault(offset, ConfigFault.limit, `${key}: takes 1 to ${KEYS_MAX} values`);
  const uk = values.find(({ value }) => /^uk$/i.test(value));
  if (uk !== undefined) context.reader.fault(uk.offset, ConfigFault.value, 'country: write gb for uk');
  return tableOf(key, offset, named, context);
}

/**
 * The table for a kind: the named one, the only one, the one named after its kind, or the built-in one, which
 * has that name.
 */
function tableOf(
  key: CutSource,
  offset: number,
  named: TextNode | undefined,
  { reader, tables }: ListContext,
): ListSource | undefined {
  const fitting = [...tables.values()].filter((table) => table.of === key).map(({ name }) => name);
  const table = named?.value ?? (fitting.length === 1 ? fitting[0] : undefined) ?? key;
  const isBuiltIn = table === key && !tables.has(key) && (named !== undefined || fitting.length === 0);
  if (fitting.includes(table) || isBuiltIn) return { kind: 'table', table };
  let reason = `table: there is no table ${quote(table)} of: ${key} under tables:; without table: one is built in`;
  if (named === undefined && fitting.length > 1) reason = `${key}: say which table: ${fitting.join(' or ')}`;
  else if (tables.has(table)) reason = `${key}: the table ${quote(table)} under tables: is not of: ${key}`;
  reader.fault(named?.offset ?? offset, ConfigFault.unknownTable, reason);
  return undefined;
}

/** The source of a company's addresses. */
function companyOf({ urls }: Company, node: MappingNode, context: ListContext): ListSource | undefined {
  if (urls === undefined) return tableOf('asn', keyOffsetOf(node, 'company'), undefined, context);
  return { kind: 'url', urls, ...filled(DOWNLOAD_KEYS) };
}

/** Levels of union and intersect that are searched for a list by country. */
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

function guardOf(
  values: ListValues,
  node: MappingNode,
  { reader, defaults, lists }: ListContext,
): GuardConfig {
  const { minEntries, maxEntries } = values;
  if (minEntries !== undefined && maxEntries !== undefined && minEntries > maxEntries) {
    const reason = 'min-entries: is more than max-entries:';
    reader.fault(keyOffsetOf(node, 'min-entries'), ConfigFault.value, reason);
  }
  const standard = isOfCountries(node, lists) ? { maxCoverageShare: COUNTRY_COVERAGE_SHARE } : {};
  return { ...filled(GUARD_KEYS, values, defaults, standard), minEntries };
}
