/** The keys of a list, those shared with tables, and their bounds and defaults. */

import type { NameList } from '@rulecast/rules';
import { DEFAULT_TOLERANCE } from '../list/acceptance.ts';
import { FORMAT_LIMITS } from '../text/limits.ts';
import { COMPANY_NAMES } from './company.ts';
import { FETCH_KEYS, ofUrl } from './fetch.ts';
import {
  filled,
  flag,
  type Key,
  type Keys,
  type Parse,
  path,
  prefixes,
  scalar,
  TEXT_OR_TEXTS,
  text,
  texts,
  type Values,
  withSources,
  word,
  words,
} from './key.ts';
import { BYTES_SOURCES, CUT_SOURCES, READ_SOURCES, READING_KEYS } from './reading.ts';
import { orWord, printShare, readCount, readDuration, readShare } from './value.ts';

/** Our choice. */
const INTERVAL_MIN_MS = 10_000; // no feed changes faster, and its server belongs to others
const INTERVAL_MAX_MS = 366 * 86_400_000;
const TIMEOUT_MIN_MS = 1000;
const TIMEOUT_MAX_MS = 3_600_000;
const REST_MAX_MS = 86_400_000;
const ENTRIES_MAX = FORMAT_LIMITS.entries;
/** The largest share; for no limit, write off. */
const GROWTH_SHARE_MAX = 1000;

const duration: Parse<number> = (text) => readDuration(text, INTERVAL_MIN_MS, INTERVAL_MAX_MS);
const timeout: Parse<number> = (text) => readDuration(text, TIMEOUT_MIN_MS, TIMEOUT_MAX_MS);
const rest: Parse<number> = (text) => readDuration(text, 0, REST_MAX_MS);
const restOrNever: Parse<number> = (text) => orWord(text, 'never', Number.POSITIVE_INFINITY, rest);
const share: Parse<number> = (text) => readShare(text, 1);
const jitter: Parse<number> = (text) => readShare(text, 0.5);
const shrink: Parse<number> = (text) => orWord(text, 'off', 1, share);
const coverage: Parse<number> = (text) => orWord(text, 'off', Number.POSITIVE_INFINITY, share);
const unchanged: Parse<number> = (text) => orWord(text, 'off', Number.POSITIVE_INFINITY, duration);
const growth: Parse<number> = (text) =>
  orWord(text, 'off', Number.POSITIVE_INFINITY, (written) => readShare(written, GROWTH_SHARE_MAX));
const entryCount: Parse<number> = (text) => readCount(text, 0, ENTRIES_MAX);

export const EXPRESSION_SOURCES = ['union', 'intersect'] as const;

const ofBytes = <K extends Key<unknown, unknown>>(key: K): K => withSources(BYTES_SOURCES, key);
const ofRead = <K extends Key<unknown, unknown>>(key: K): K => withSources(READ_SOURCES, key);
const ofNames = <K extends Key<unknown, unknown>>(key: K): K =>
  withSources([...BYTES_SOURCES, 'names', ...EXPRESSION_SOURCES], key);
const ofFiles = <K extends Key<unknown, unknown>>(key: K): K => withSources(['file', 'dir'], key);

/** The interval of downloads. */
export const intervalKey = (standard: string): Key<number, number> =>
  ofBytes(scalar(duration, 'how often it is downloaded; files are watched, and need none', standard));

/** When a list is refreshed, and how long its content may stay unchanged. */
const REFRESH_KEYS = {
  // Makers of large feeds ask for 1 to 24 hours.
  intervalMs: intervalKey('6h'),
  jitterShare: ofBytes(scalar(jitter, 'each interval is longer or shorter by up to this share', '10%')),
  timeoutMs: ofUrl(scalar(timeout, 'how long one attempt of a download may take', '2m')),
  maxUnchangedMs: ofUrl(
    scalar(
      unchanged,
      'how long its content may stay the same before `rulectl status` warns; `off`: for ever; without it, ten intervals',
    ),
  ),
  rejectsShare: ofBytes(
    scalar(
      share,
      'share of lines that may be unreadable; with more, the last good list stays',
      printShare(DEFAULT_TOLERANCE),
    ),
  ),
} as const satisfies Keys;

/** Larger changes are refused; Infinity for growth, and 1 for shrinking, mean no limit. */
const CHANGE_KEYS = {
  shrinkShare: scalar(shrink, 'share of its entries that the list may lose at once; `off`: any', '50%'),
  growthShare: scalar(growth, 'share of its entries that it may gain at once; `off`: any', '50%'),
  // The largest countries but one hold less than a tenth of IPv4, and so do the largest block lists.
  maxCoverageShare: scalar(
    coverage,
    'share of the reachable addresses of IPv4, or of IPv6, that it may hold; `off`: any; without it, 50% for lists by `country` and lists made of these',
    '25%',
  ),
  coverageChangeShare: scalar(
    growth,
    'share of its addresses that it may gain or lose at once; `off`: any',
    '50%',
  ),
} as const satisfies Keys;

const KEEPING_KEYS = {
  ttlMs: ofRead(
    scalar(
      duration,
      'a list that could not be refreshed for this long is emptied; without it, it stays for ever',
    ),
  ),
  aggregate: flag('whether adjacent prefixes are joined; covered ones always are'),
} as const satisfies Keys;

/** How long files must be unchanged before they are read; files moved into place when whole need no wait. */
const REST_KEYS = {
  // A job that writes line by line pauses for less.
  quietMs: ofFiles(
    scalar(
      rest,
      'a file is read when nobody has written to it for this long, or when it was moved into place',
      '2s',
    ),
  ),
  // Some editors leave the last line open, and mean it.
  unfinishedMs: ofFiles(
    scalar(restOrNever, 'likewise, for a file whose last line has no end; `never`: it is not read', '30s'),
  ),
} as const satisfies Keys;

export interface RestConfig {
  readonly quietMs: number;
  /** Undefined: a file whose last line has no end is never read. */
  readonly unfinishedMs: number | undefined;
}

export function restOf(...values: readonly Values<typeof REST_KEYS>[]): RestConfig {
  const { quietMs, unfinishedMs } = filled(REST_KEYS, ...values);
  return { quietMs, unfinishedMs: unfinishedMs === Number.POSITIVE_INFINITY ? undefined : unfinishedMs };
}

export const TIMING_KEYS = { ...REFRESH_KEYS, ...KEEPING_KEYS } as const satisfies Keys;

/**
 * Keys that `defaults:` gives to every list, and that a list may say for itself. Standard values are our
 * choice.
 */
export const SHARED_KEYS = {
  ...REFRESH_KEYS,
  ...CHANGE_KEYS,
  ...KEEPING_KEYS,
  ...REST_KEYS,
} as const satisfies Keys;

/** The defaults of lists. */
export const LIST_DEFAULTS = filled(SHARED_KEYS);

/** Largest share of the Internet of a list of countries: the United States have 44 % of IPv4. */
export const COUNTRY_COVERAGE_SHARE = 0.5;

export const SOURCE_KEYS = [
  ...BYTES_SOURCES,
  'names',
  'entries',
  ...EXPRESSION_SOURCES,
  ...CUT_SOURCES,
  'company',
] as const;
export type SourceKey = (typeof SOURCE_KEYS)[number];

/** The required and the allowed content of a list. */
const CONTENT_KEYS = {
  minEntries: scalar(entryCount, 'fewest entries; with fewer the last good list stays', '1'),
  maxEntries: scalar(entryCount, 'most entries; with more the last good list stays'),
  allowAll: flag('whether it may hold all of IPv4 or of IPv6'),
  allowShortPrefixes: ofRead(
    flag(
      'whether it may hold CIDRs shorter than /8, or than /16 of IPv6; for lists by `country`, than /6 and /12',
    ),
  ),
  ignoreDeclared: ofBytes(
    flag('whether it is taken although it has fewer entries than it declares, or seems to be cut off'),
  ),
} as const satisfies Keys;

/** The guards of a refresh. */
export const GUARD_KEYS = { ...CHANGE_KEYS, ...CONTENT_KEYS } as const satisfies Keys;

/** The use of a list. */
export const USE_KEYS = {
  mode: ofRead(word(['replace', 'merge'], '`merge`: entries that the source no longer has stay', 'replace')),
  entryTtlMs: ofRead(
    scalar(
      duration,
      'with `mode: merge`, how long an entry stays after the source had it last; without it, for ever',
    ),
  ),
  purpose: ofRead(
    word(
      ['block', 'allow'],
      '`block` or `allow`; addresses that must never be blocked are taken out of a list that blocks; without it, `block` for downloads and for lists cut from tables',
    ),
  ),
  neverBlockExempt: ofRead(prefixes('addresses that may be in it although they must never be blocked')),
  suffixes: ofNames(
    word(
      ['below', 'as-names'],
      '`below`: `.name` and `*.name` mean names below, also if rules accept the list; `as-names`: `.name` means `name`, and `*.name` is left out',
    ),
  ),
  publish: flag('whether it is released; `false`: only an operand of others', true),
} as const satisfies Keys;

export const LIST_KEYS = {
  file: path('the file that it is read from'),
  dir: path('the directory whose files are one list together'),
  match: withSources(['dir'], words('globs of the files of a directory; a `!` before one leaves out')),
  ...FETCH_KEYS,
  table: withSources(
    CUT_SOURCES,
    text('the table that it is cut from; without it, the only one of its kind, or a built-in one'),
  ),
  names: texts((nodes) => nodes, 'host names, written out', 'sequence'),
  entries: prefixes('addresses, CIDRs and ranges, written out'),
  company: word(COMPANY_NAMES, 'a company, by the addresses that it publishes or announces'),
  union: operands('other lists; it holds what any of them holds'),
  intersect: operands('other lists; it holds what all of them hold'),
  minus: withSources(EXPRESSION_SOURCES, operands('lists that are taken away from these')),
  ...SHARED_KEYS,
  ...READING_KEYS,
  ...CONTENT_KEYS,
  ...USE_KEYS,
  resolve: ofNames(
    resolveKey(
      'who resolves its names for rules: `publisher`, `firewall`, or `false` for nobody; without it, `publisher` for `names`; `true` means `publisher`',
    ),
  ),
  private: ofNames(flag('with `resolve: firewall`, whether its names may stand for private addresses')),
} as const satisfies Keys;

/** Names of lists, and lists written out in their place, which operand.ts gives names. */
function operands(sentence: string): Key<readonly string[], readonly string[]> {
  const list = {
    properties: { country: TEXT_OR_TEXTS, asn: TEXT_OR_TEXTS, company: { enum: COMPANY_NAMES } },
    additionalProperties: false,
    minProperties: 1,
    maxProperties: 1,
    description: 'write the name of a list, { country: ru }, { asn: 13335 } or { company: google }',
  };
  const items = { ...list, type: ['string', 'object'] };
  return { ...words(sentence), schema: { ...list, type: ['string', 'array', 'object'], items } };
}

/** The resolver of a list's names for rules, if any. */
function resolveKey(sentence: string): Key<NameList['resolve']> {
  const choice = word(['true', 'false', 'publisher', 'firewall'], sentence);
  const read: Key<NameList['resolve']>['read'] = (entry, key, reader) => {
    const text = choice.read(entry, key, reader);
    return text === undefined || text === 'firewall' ? text : text !== 'false';
  };
  return { ...choice, read };
}
