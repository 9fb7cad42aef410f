/** Filters of an import: what an entry must be to be used. */

import { latin1 } from '../text/bytes.ts';
import type { ImportOptions, SkipCode } from './options.ts';

/** Longest word of a feed that is compared; nobody asks for a longer one. */
const WORD_MAX_BYTES = 256;
const ASN = /^(?:as)?(\d{1,10})$/;

/** Compares fields, as bytes, with what was asked for. A filter that was not given takes everything. */
export class EntryFilter {
  readonly #countries: ReadonlySet<string> | undefined;
  readonly #asns: ReadonlySet<number> | undefined;
  readonly #regions: ReadonlySet<string> | undefined;
  readonly #services: ReadonlySet<string> | undefined;
  readonly #tags: ReadonlySet<string> | undefined;
  readonly #sets: ReadonlySet<string> | undefined;
  readonly minScore: number | undefined;

  constructor(options: ImportOptions) {
    this.#countries = wordsOf(options.country);
    this.#asns = options.asn === undefined ? undefined : new Set(options.asn);
    this.#regions = wordsOf(options.region);
    this.#services = wordsOf(options.service);
    this.#tags = wordsOf(options.tag);
    this.#sets = options.set === undefined ? undefined : new Set(options.set);
    this.minScore = options.minScore;
  }

  get wantsCountry(): boolean {
    return this.#countries !== undefined;
  }

  get wantsAsn(): boolean {
    return this.#asns !== undefined;
  }

  get wantsRegion(): boolean {
    return this.#regions !== undefined;
  }

  get wantsService(): boolean {
    return this.#services !== undefined;
  }

  get wantsTag(): boolean {
    return this.#tags !== undefined;
  }

  /** The reason to skip an entry of this country, or undefined; likewise the following. */
  country(text: Uint8Array, start: number, end: number): SkipCode | undefined {
    return agrees(this.#countries, text, start, end) ? undefined : 'other-country';
  }

  asn(text: Uint8Array, start: number, end: number): SkipCode | undefined {
    if (this.#asns === undefined) return undefined;
    const number = ASN.exec(latin1(text, start, Math.min(end, start + WORD_MAX_BYTES)).toLowerCase())?.[1];
    return number !== undefined && this.#asns.has(Number(number)) ? undefined : 'other-asn';
  }

  score(text: Uint8Array, start: number, end: number): SkipCode | undefined {
    if (this.minScore === undefined) return undefined;
    const score = Number.parseFloat(latin1(text, start, Math.min(end, start + WORD_MAX_BYTES)));
    return score >= this.minScore ? undefined : 'low-score';
  }

  regionBytes(text: Uint8Array, start: number, end: number): SkipCode | undefined {
    return agrees(this.#regions, text, start, end) ? undefined : 'other-region';
  }

  /** Words as strings, of which one must be asked for. */
  region(...words: readonly string[]): SkipCode | undefined {
    return someOf(this.#regions, words) ? undefined : 'other-region';
  }

  service(word: string): SkipCode | undefined {
    return someOf(this.#services, [word]) ? undefined : 'other-service';
  }

  tag(words: readonly string[]): SkipCode | undefined {
    return someOf(this.#tags, words) ? undefined : 'other-tag';
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

function someOf(wanted: ReadonlySet<string> | undefined, words: readonly string[]): boolean {
  return wanted === undefined || words.some((word) => wanted.has(word.toLowerCase()));
}
