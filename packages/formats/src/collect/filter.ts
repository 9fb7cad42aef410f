/** Filters of an import: what an entry must be to be used. */

import { latin1 } from '../text/bytes.ts';
import type { ImportOptions, SkipCode } from './options.ts';

/** Longest word of a feed that is compared; nobody asks for a longer one. */
const WORD_MAX_BYTES = 256;
/** Between numbers of several systems that announce one network. */
const ASN_DIVIDER = /[_,{}]/;

/** Filters by words of a feed. */
export const WORD_FILTERS = ['region', 'service', 'tag', 'asn'] as const;
export type WordFilter = (typeof WORD_FILTERS)[number];

/** Compares fields, as bytes, with what was asked for. A filter that was not given takes everything. */
export class EntryFilter {
  readonly #options: ImportOptions;
  readonly #countries: ReadonlySet<string> | undefined;
  readonly #words: { readonly [filter in WordFilter]: ReadonlySet<string> | undefined };
  readonly #sets: ReadonlySet<string> | undefined;
  readonly minScore: number | undefined;

  constructor(options: ImportOptions) {
    this.#options = options;
    this.#countries = wordsOf(options.country);
    this.#words = {
      region: wordsOf(options.region),
      service: wordsOf(options.service),
      tag: wordsOf(options.tag),
      asn: wordsOf(options.asn?.flatMap((asn) => [`${asn}`, `AS${asn}`])),
    };
    this.#sets = options.set === undefined ? undefined : new Set(options.set);
    this.minScore = options.minScore;
  }

  /** Whether entries are picked by it. */
  wants(filter: 'country' | WordFilter): boolean {
    return this.#options[filter] !== undefined;
  }

  /** The reason to skip an entry of this country, or undefined; likewise the following. */
  country(text: Uint8Array, start: number, end: number): SkipCode | undefined {
    return agrees(this.#countries, text, start, end) ? undefined : 'other-country';
  }

  asn(text: Uint8Array, start: number, end: number): SkipCode | undefined {
    if (!this.wants('asn')) return undefined;
    const words = latin1(text, start, Math.min(end, start + WORD_MAX_BYTES)).split(ASN_DIVIDER);
    return this.takes('asn', words) ? undefined : 'other-asn';
  }

  score(text: Uint8Array, start: number, end: number): SkipCode | undefined {
    if (this.minScore === undefined) return undefined;
    const score = Number.parseFloat(latin1(text, start, Math.min(end, start + WORD_MAX_BYTES)));
    return score >= this.minScore ? undefined : 'low-score';
  }

  regionBytes(text: Uint8Array, start: number, end: number): SkipCode | undefined {
    return agrees(this.#words.region, text, start, end) ? undefined : 'other-region';
  }

  /** Whether an entry of these words, of which one must be asked for, is taken. */
  takes(filter: WordFilter, words: readonly string[]): boolean {
    const wanted = this.#words[filter];
    if (wanted === undefined) return true;
    for (const word of words) if (wanted.has(word.toLowerCase())) return true;
    return false;
  }

  /** Names of sets keep their case. */
  set(name: string): SkipCode | undefined {
    return this.#sets === undefined || this.#sets.has(name) ? undefined : 'other-set';
  }
}

function wordsOf(words: readonly string[] | undefined): ReadonlySet<string> | undefined {
  return words === undefined ? undefined : new Set(words.map((word) => word.toLowerCase()));
}

function agrees(
  wanted: ReadonlySet<string> | undefined,
  text: Uint8Array,
  start: number,
  end: number,
): boolean {
  if (wanted === undefined) return true;
  return end - start <= WORD_MAX_BYTES && wanted.has(latin1(text, start, end).toLowerCase());
}
