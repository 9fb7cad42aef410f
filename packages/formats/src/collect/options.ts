/** The options of an import, and the reasons for skipping lines. */

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
  /** The kind the list must have; without it the format or the first entry decides. */
  readonly kind?: List['kind'];
  /** For a file with addresses and names: the kind to use; entries of the other are counted. */
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
  /** The character between the columns of a CSV, if the content does not tell. */
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
  /** Finds the entries in each line; made from a pattern by text/pattern.ts. */
  readonly pattern?: Finder;
  /** Each address, CIDR and range, wherever it stands. */
  readonly allAddresses?: boolean;
  /** A file is refused if it has anything besides entries, comments, headers and filtered entries. */
  readonly strict?: boolean;

  /** Receives every used entry; importing is slower then. */
  readonly onEntry?: EntrySink;
  /** Receives every reject, even those not kept. */
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
  unallocated: 'addresses that are not assigned yet',
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

/** The number of lines or values skipped for one reason. */
export interface Skipped {
  readonly code: SkipCode;
  readonly count: number;
  /** The line of the first one, from 1. */
  readonly line: number;
}

/** A count that the file states of itself, beside what it holds. */
export interface DeclaredCount {
  /** The unit, for people: `records`, `subnets`, `unique addresses`, …. */
  readonly what: string;
  readonly declared: number;
  /** The number in the file, whether used or not. */
  readonly held: number;
  /** The line of the declaration, from 1. */
  readonly line: number;
}

/** Codes of faults that make a whole file unusable, beside TextFault. */
export const ImportFault = {
  html: 'looks-like-html',
  rules: 'rules-not-a-list',
  document: 'document-not-a-list',
  /** The server answered with an error message in place of a list. */
  errorAnswer: 'error-answer',
  json: 'bad-json',
  jsonShape: 'unknown-json',
  /** It ends in the middle of something. */
  truncated: 'truncated',
  noAddresses: 'no-addresses',
  wrongKind: 'wrong-kind',
  /** A column of prefix lengths that no option names. */
  lengthColumn: 'length-column',
  /** The format's entries mean less than the list would, so an option must confirm it. */
  stated: 'to-be-stated',
  uselessFilter: 'useless-filter',
  noColumn: 'no-such-column',
  /** Text with commas whose columns cannot be told. */
  unproven: 'unproven-table',
  rejects: 'too-many-rejects',
  /** Something is left out, although the list is `strict`. */
  left: 'left-out',
} as const;
