/**
 * The catalogue: public feeds by a short key, so that users need not search for URLs, formats and licences.
 * People read it, and `rulectl lists add` copies from it. Nothing else resolves a key: an upgrade must not
 * change the meaning of a list.
 *
 *     ../../catalogue.json ─▶ search, show ─configuration.ts─▶ add: lines of the publisher's configuration
 *     lists of the publisher's configuration ─outdated.ts─▶ outdated: what has moved or ended since
 */

import catalogue from '../../catalogue.json' with { type: 'json' };
import { companies, countries, type Expression, expressionOf } from './expression.ts';

/**
 * A feed. The meaning of the fields is in `catalogue.json`, which catalogue.test.ts checks against this type.
 */
export interface CatalogueEntry {
  readonly key: string;
  readonly title: string;
  readonly topic: string;
  /** `countries`, `networks`: it is a table, from which lists are cut. */
  readonly holds: 'addresses' | 'names' | 'countries' | 'networks';
  /** Their contents form one list together. */
  readonly url: readonly string[];
  readonly alternates?: readonly string[];
  readonly 'past-urls'?: readonly string[];
  readonly format: string;
  /** Further keys of its list. */
  readonly settings?: Readonly<Record<string, string | boolean>>;
  readonly licence: string;
  /** A licence that the user must agree to. */
  readonly restricted?: string;
  readonly attribution: string;
  /** Fewest and most. */
  readonly entries: readonly [fewest: number, most: number];
  readonly interval: string;
  /** The shortest interval that its publisher demands. */
  readonly 'most-often'?: string;
  readonly status: 'active' | 'ended';
  readonly note?: string;
  readonly evidence: string;
}

/** In the order of the file, where feeds of one topic and publisher are together. */
export const CATALOGUE: readonly CatalogueEntry[] = catalogue.entries as unknown as readonly CatalogueEntry[];

export function catalogueEntry(key: string): CatalogueEntry | undefined {
  return CATALOGUE.find((entry) => entry.key === key);
}

/** The feed or expression of a key. */
export function findKey(key: string): CatalogueEntry | Expression | undefined {
  return catalogueEntry(key) ?? expressionOf(key);
}

/** Entries that have, for each of `beginnings`, a word starting with it, in any case. */
export function searchCatalogue(beginnings: readonly string[]): readonly (CatalogueEntry | Expression)[] {
  const sought = beginnings.map(wordsOf);
  if (sought.includes('')) return []; // a word of marks only
  const matches = (...texts: readonly string[]): boolean => {
    const text = wordsOf(texts.join(' '));
    return sought.every((beginning) => text.includes(beginning));
  };
  const feeds = CATALOGUE.filter(({ key, title, topic, holds, attribution, licence }) =>
    matches(key, title, topic, holds, attribution, licence),
  );
  if (beginnings.length === 0) return feeds;
  const [first = '', ...others] = beginnings;
  const exact = others.length === 0 ? expressionOf(first.replace(/^as(?=\d)/i, 'asn:')) : undefined;
  const named = [...companies(), ...countries()].filter(({ title }) => matches(title.replace(/:.*/, '')));
  return [...feeds, ...(exact === undefined ? named : [exact])];
}

/** In small letters, with a space before each. */
function wordsOf(text: string): string {
  return (text.toLowerCase().match(/[\p{L}\p{N}]+/gu) ?? []).map((word) => ` ${word}`).join('');
}

export function isTable({ holds }: Pick<CatalogueEntry, 'holds'>): boolean {
  return holds === 'countries' || holds === 'networks';
}
