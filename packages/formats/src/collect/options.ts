/** What is asked of an import, and what it says of the lines that it knowingly did not use. */

import type { List, NameList } from '@rulecast/rules';
import type { EntrySink, HostBits, NameReading } from '../text/entry.ts';
import type { FormatLimits } from '../text/limits.ts';
import type { Reject } from '../text/reject.ts';
import type { Finder } from '../text/within.ts';
import type { ListFormatName } from './format.ts';

/** Gives the way to each value that it finds, by keys and numbers from 0, in any order. */
export type JsonQuery = (json: unknown, visit: (way: readonly (string | number)[]) => void) => void;

export interface ImportOptions extends NameReading {
  /** Without it the content decides. */
  readonly format?: ListFormatName;
  /** What the list must hold; without it the format or the first entry decides. */
  readonly kind?: List['kind'];
  /** Of a file with addresses and names: which of them are entries; the others are counted. */
  readonly take?: List['kind'];
  /** Becomes the `resolve` of a list of names. */
  readonly resolve?: NameList['resolve'];
  /** Default `reject`: see HostBits. */
  readonly hostBits?: HostBits;
  /** Adjacent prefixes become one where a prefix holds exactly both. */
  readonly aggregate?: boolean;

  // Filters: an entry is used if it agrees with each that is given. Which formats take which: LIST_FORMATS.
  /** Entries with a lower score are left out. */
  readonly minScore?: number;
  /**
   * Which column of a CSV, by its title or its number from 1, or which key of JSON objects, holds the
   * entries.
   */
  readonly column?: string | number;
  /** The character between the columns of a CSV, where the content does not tell. */
  readonly delimiter?: string;
  /** Which column of a CSV holds the prefix lengths of the addresses, likewise. */
  readonly lengthColumn?: string | number;
  /** ISO 3166 codes of two letters, in any case. */
  readonly country?: readonly string[];
  readonly asn?: readonly number[];
  /** Words of the feed, in any case; likewise the following. */
  readonly region?: readonly string[];
  readonly service?: readonly string[];
  readonly tag?: readonly string[];
  /** Names of sets of ipset or nftables. */
  readonly set?: readonly string[];

  // Ways to find entries in files of any format, one at most; no filter goes with them.
  /** Each string in JSON that this finds; json/query.ts makes it of a path. */
  readonly json?: JsonQuery;
  /** What this finds in each line; text/pattern.ts makes it of a pattern. */
  readonly pattern?: Finder;
  /** Each address, CIDR and range, wherever it stands. */
  readonly allAddresses?: boolean;
  /** A file is refused if anything is left of it but comments, headers and what was not asked for. */
  readonly strict?: boolean;

  /** Takes every entry that is used; importing is slower then. */
  readonly onEntry?: EntrySink;
  /** Takes every reject, also those that are not kept. */
  readonly onReject?: (reject: Reject) => void;
  readonly limits?: Partial<FormatLimits>;
}

/** Why a line or value was not used though nothing is wrong with it. */
export const SKIP_REASONS = {
  comment: 'comments',
  metadata: 'lines that describe the file or its sets',
  'local-name': 'names of the machine itself, such as localhost',
  exception: 'exceptions of what no list carries: patterns, parts of pages, addresses',
  cosmetic: 'rules that hide parts of pages',
  pattern: 'patterns of addresses of pages, which are more or less than a name',
  partial: 'entries that hold for certain ports, sites or kinds of requests only',
  directive: 'other settings of the program whose configuration it is',
  redirect: 'names that are sent elsewhere and not blocked',
  'other-kind': 'values of another kind than the list holds',
  asn: 'AS numbers',
  unallocated: 'addresses that belong to nobody yet',
  'other-column': 'addresses elsewhere, as in other columns or under other keys',
  'other-line': 'lines in which nothing is found',
  'low-score': 'entries below the minimum score',
  'other-country': 'entries of other countries',
  'other-asn': 'entries of other AS numbers',
  'other-region': 'entries of other regions',
  'other-service': 'entries of other services',
  'other-tag': 'entries with other tags',
  'other-set': 'elements of other sets',
} as const;
export type SkipCode = keyof typeof SKIP_REASONS;

/** How many lines or values were knowingly not used, for one reason. */
export interface Skipped {
  readonly code: SkipCode;
  readonly count: number;
  /** The first of them, from 1. */
  readonly line: number;
}

/** A count that the file states of itself, beside what it holds. */
export interface DeclaredCount {
  /** What is counted, for people: `records`, `subnets`, `unique addresses`, …. */
  readonly what: string;
  readonly declared: number;
  /** What the file holds of them, whether used or not. */
  readonly held: number;
  /** Where it is stated, from 1. */
  readonly line: number;
}

/** Codes of what makes a file unusable as a whole, beside TextFault. */
export const ImportFault = {
  html: 'looks-like-html',
  rules: 'rules-not-a-list',
  document: 'document-not-a-list',
  /** An answer that says what went wrong instead of a list. */
  errorAnswer: 'error-answer',
  json: 'bad-json',
  jsonShape: 'unknown-json',
  /** It ends in the middle of something. */
  truncated: 'truncated',
  noAddresses: 'no-addresses',
  wrongKind: 'wrong-kind',
  /** Prefix lengths in a column of their own, of which nobody said that they are. */
  lengthColumn: 'length-column',
  /** A list says more than the file, so that somebody has to say that this is meant. */
  stated: 'to-be-stated',
  uselessFilter: 'useless-filter',
  noColumn: 'no-such-column',
  /** Text with commas, of which nothing says what its columns hold. */
  unproven: 'unproven-table',
  rejects: 'too-many-rejects',
  /** Something is left, and nothing may be. */
  left: 'left-out',
} as const;
