/** Filters of an import: the conditions for using an entry. */

import type { ImportOptions, SkipCode } from './options.ts';

/** Between numbers of several systems that announce one network. */
const ASN_DIVIDER = /[_,{}]/;

/** Filters by words of a feed. */
export const WORD_FILTERS = ['country', 'region', 'service', 'tag', 'asn'] as const;
export type WordFilter = (typeof WORD_FILTERS)[number];

/** Compares words of a feed with the filters, in any case. A missing filter passes everything. */
export class EntryFilter {
  readonly #words: { readonly [filter in WordFilter]: ReadonlySet<string> | undefined };
  readonly #sets: ReadonlySet<string> | undefined;

  constructor({ country, region, service, tag, asn, set }: ImportOptions) {
    this.#words = {
      country: wordsOf(country),
      region: wordsOf(region),
      service: wordsOf(service),
      tag: wordsOf(tag),
      asn: wordsOf(asn?.flatMap((number) => [`${number}`, `AS${number}`])),
    };
    this.#sets = set && new Set(set);
  }

  /** Whether this filter is set. */
  wants(filter: WordFilter): boolean {
    return this.#words[filter] !== undefined;
  }

  /** Whether an entry with these words passes a filter, one of whose words it must have. */
  takes(filter: WordFilter, words: readonly string[]): boolean {
    const wanted = this.#words[filter];
    const each = filter === 'asn' ? words.flatMap((word) => word.split(ASN_DIVIDER)) : words;
    return wanted === undefined || each.some((word) => wanted.has(word.toLowerCase()));
  }

  /** The reason to skip an element of a set, if there is one. Names of sets keep their case. */
  set(name: string): SkipCode | undefined {
    return this.#sets === undefined || this.#sets.has(name) ? undefined : 'other-set';
  }
}

function wordsOf(words: readonly string[] | undefined): ReadonlySet<string> | undefined {
  return words && new Set(words.map((word) => word.toLowerCase()));
}
