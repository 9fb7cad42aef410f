/**
 * Public suffixes: names below which the public registers, such as `com` and `co.uk`. An entry for all names
 * below one of them covers a large part of the Internet, which is rarely meant. Only what registries run
 * counts (the ICANN section of publicsuffix.org): below `github.io` stand pages of many people, yet one
 * company answers for it.
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

/** The fault of an entry for all names below bytes[start, end), if that is a public suffix. */
export function publicSuffixFault(bytes: Uint8Array, start: number, end: number): EntryFault | undefined {
  const name = latin1(bytes, start, bytes[end - 1] === DOT ? end - 1 : end).toLowerCase();
  if (!isPublicSuffix(name)) return undefined;
  const reason = `${quote(name)} is a public suffix, and this entry stands for every name below it: say allow-public-suffixes if that is meant`;
  return { code: 'public-suffix', at: start, reason };
}

/** Takes a name in lower case without a final dot. */
export function isPublicSuffix(name: string): boolean {
  // The first call tells sooner that most names are none; names on no list, such as `lan`, pass it, so the
  // second call decides.
  return getPublicSuffix(name, OF_NAMES) === name && parse(name, OF_NAMES).isIcann === true;
}
