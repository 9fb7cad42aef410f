/** The environment for a rule set's meaning: names, DNS addresses and the time, given by options. */

import {
  type Address,
  type PrefixSet,
  parseAddress,
  parseHostName,
  prefixOf,
  prefixSetOf,
} from '@rulecast/rules';
import { usageError } from '../terminal/exit.ts';

/**
 * Reads `NAME=ADDRESS[,ADDRESS]…`; nothing after `=`: the name stands for nothing. Throws CliError `usage`.
 */
export function parseResolutions(options: readonly string[]): ReadonlyMap<string, PrefixSet> {
  const resolutions = new Map<string, PrefixSet>();
  for (const option of options) {
    const equals = option.indexOf('=');
    const host = parseHostName(equals < 0 ? '' : option.slice(0, equals));
    if (host.kind === 'fault') {
      throw usageError(
        `--address ${option}: write NAME=ADDRESS[,ADDRESS], as in --address example.com=192.0.2.7`,
      );
    }
    if (resolutions.has(host.name)) {
      throw usageError(
        `--address ${option}: ${host.name} is given twice; write its addresses after one =, with commas`,
      );
    }
    const addresses = parseAddresses('--address', option.slice(equals + 1));
    const prefixes = addresses.map(({ family, words }) => prefixOf(family, words, family === 4 ? 32 : 128));
    resolutions.set(host.name, prefixSetOf(prefixes));
  }
  return resolutions;
}

/** Addresses with commas between them. Throws CliError `usage`. */
export function parseAddresses(option: string, text: string): readonly Address[] {
  if (text === '') return [];
  return text.split(',').map((part) => {
    const address = parseAddress(part.trim());
    if (address !== undefined) return address;
    throw usageError(
      `${option}: ${JSON.stringify(part)} is no address: write IPv4 or IPv6 addresses with commas between them`,
    );
  });
}

const ISO_8601 = /^\d{4}-\d{2}-\d{2}(?:T\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?(Z|[+-]\d{2}:\d{2})?)?$/;

/**
 * Seconds since 1970 from unix seconds or ISO 8601, which is UTC unless it says otherwise. Throws CliError
 * `usage`.
 */
export function parseTime(option: string, text: string): number {
  if (/^\d{1,12}$/.test(text)) return Number(text);
  const iso = ISO_8601.exec(text);
  const isLocal = text.includes('T') && iso?.[1] === undefined;
  const ms = iso === null ? Number.NaN : Date.parse(isLocal ? `${text}Z` : text);
  if (Number.isNaN(ms)) {
    throw usageError(`${option} ${text}: write seconds since 1970 or ISO 8601, as in 2026-07-01T12:00:00Z`);
  }
  return Math.floor(ms / 1000);
}
