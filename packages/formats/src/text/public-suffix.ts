/**
 * Public suffixes: names below which the public registers, such as `com` and `co.uk`. An entry for all below
 * one of them holds a part of the Internet that few mean to name. Only what registries run counts (the ICANN
 * section of publicsuffix.org): below `github.io` stand pages of many people, yet one company answers for it.
 */

import { getPublicSuffix, parse } from 'tldts';
import { DOT } from './ascii.ts';
import { latin1, quote } from './bytes.ts';
import type { EntryFault } from './entry.ts';

/** Ours are names already, and neither URLs nor addresses. */
const OF_NAMES = {
  allowPrivateDomains: false,
  detectIp: false,
  extractHostname: false,
  validateHostname: false,
} as const;

/** What is wrong with an entry for all below the name in bytes[start, end), if that is a public suffix. */
export function publicSuffixFault(bytes: Uint8Array, start: number, end: number): EntryFault | undefined {
  const name = latin1(bytes, start, bytes[end - 1] === DOT ? end - 1 : end).toLowerCase();
  if (!isPublicSuffix(name)) return undefined;
  const reason = `${quote(name)} is a public suffix, and this entry stands for every name below it: say allow-public-suffixes if that is meant`;
  return { code: 'public-suffix', at: start, reason };
}

/** Takes a name in lower case without a final dot. */
export function isPublicSuffix(name: string): boolean {
  // Most names are none, which the first question tells sooner. What is on no list, such as `lan`, is one to
  // it.
  return getPublicSuffix(name, OF_NAMES) === name && parse(name, OF_NAMES).isIcann === true;
}
