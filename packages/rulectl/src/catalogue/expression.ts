/**
 * Keys that are no feeds, but expressions for a list: a country, a network by its AS number, or a company.
 * Pure, except for the names of countries, which Node has.
 */

import { COMPANY_NAMES } from '@rulecast/formats/company';

/** A key that is an expression. */
export interface Expression {
  readonly key: string;
  readonly title: string;
  /** The value of its list in the configuration. */
  readonly says: string;
}

const AS_NUMBER_MAX = 2 ** 32 - 1;
/** Codes for private use and for groups, to which no registry gives addresses. */
const NOT_COUNTRIES = /^(?:q[m-z]|x[a-z]|zz|ez|un)$/;
const LETTERS = Array.from('abcdefghijklmnopqrstuvwxyz');
const NAMES = new Intl.DisplayNames(['en'], { type: 'region', fallback: 'none' });

/**
 * The expression of `country:CC`, `asn:N` or `company:NAME`; undefined for any other key, and unknown ones.
 */
export function expressionOf(key: string): Expression | undefined {
  const [, kind, value = ''] = /^(country|asn|company):(\w+)$/.exec(key.toLowerCase()) ?? [];
  if (kind === 'country') return countryOf(value);
  if (kind === 'company') return companies().find((company) => company.key === `company:${value}`);
  const digits = /^(?:as)?(\d{1,10})$/.exec(value)?.[1];
  if (kind === undefined || digits === undefined || Number(digits) > AS_NUMBER_MAX) return undefined;
  const number = Number(digits);
  return { key: `asn:${number}`, title: `what AS${number} announces`, says: `{ asn: ${number} }` };
}

/** All companies that a list can name. */
export function companies(): readonly Expression[] {
  return COMPANY_NAMES.map((name) => {
    const title = `${name}: addresses of the company`;
    return { key: `company:${name}`, title, says: `{ company: ${name} }` };
  });
}

/** All countries, by code. */
export function countries(): readonly Expression[] {
  const codes = LETTERS.flatMap((first) => LETTERS.map((second) => first + second));
  return codes.flatMap((code) => {
    const found = countryOf(code);
    return found?.key === `country:${code}` ? [found] : []; // each by its code of today
  });
}

function countryOf(text: string): Expression | undefined {
  if (!/^[a-z]{2}$/.test(text) || NOT_COUNTRIES.test(text)) return undefined;
  const code = new Intl.Locale(`und-${text}`).region?.toLowerCase() ?? text; // `uk` becomes `gb`
  const name = NAMES.of(code.toUpperCase());
  if (name === undefined) return undefined;
  const title = `${name}: addresses that registries gave there`;
  return { key: `country:${code}`, title, says: `{ country: ${code} }` };
}
