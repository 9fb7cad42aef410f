/**
 * Names in rules become addresses here, in the publisher. A name that fails is that rule's problem only: it keeps the
 * addresses it had, and the status says so. DESIGN "Meaning of a rule set".
 */

import { Resolver } from 'node:dns/promises';
import { bitsOf, type Prefix, type PrefixSet, parseAddress, prefixOf, prefixSetOf } from '@rulecast/rules';

/** Finds the addresses of one name; an empty set is an answer, a failure throws. */
export type ResolveName = (name: string) => Promise<PrefixSet>;

export interface Resolved {
  readonly resolutions: ReadonlyMap<string, PrefixSet>;
  /** Names that failed now, with the reason, sorted. */
  readonly failed: readonly { readonly name: string; readonly reason: string }[];
}

/** Queries under way at once: a resolver on the same host is not to be flooded by a list of 4,096 names. */
const CONCURRENCY = 32;
/** One query's time; two tries. A push waits for the slowest name. */
const TIMEOUT_MS = 2000;
/** Answers that mean "no such record" rather than "no answer". */
const NO_RECORD: ReadonlySet<string> = new Set(['ENODATA', 'ENOTFOUND']);

/** Resolves names, in both families. A name that fails keeps what `before` says. */
export async function resolveNames(
  names: readonly string[],
  before: ReadonlyMap<string, PrefixSet>,
  resolve: ResolveName,
): Promise<Resolved> {
  const resolutions = new Map<string, PrefixSet>();
  const failed: { name: string; reason: string }[] = [];
  const queue = names.values();
  const work = async (): Promise<void> => {
    for (const name of queue) {
      try {
        resolutions.set(name, await resolve(name));
      } catch (error) {
        failed.push({ name, reason: error instanceof Error ? error.message : String(error) });
        const last = before.get(name);
        if (last !== undefined) resolutions.set(name, last);
      }
    }
  };
  await Promise.all(Array.from({ length: CONCURRENCY }, work));
  return { resolutions, failed: failed.sort((a, b) => (a.name < b.name ? -1 : 1)) };
}

/** Resolves by DNS, asking the servers of resolv.conf, or those given. */
export function dnsResolver(servers?: readonly string[]): ResolveName {
  const resolver = new Resolver({ timeout: TIMEOUT_MS, tries: 2 });
  if (servers !== undefined) resolver.setServers(servers);
  return async (name) => {
    const answers = await Promise.all([query(resolver.resolve4(name)), query(resolver.resolve6(name))]);
    const prefixes = answers.flat().map(hostPrefix);
    if (prefixes.length === 0) throw new Error(`${name} has no addresses`);
    return prefixSetOf(prefixes);
  };
}

async function query(answer: Promise<string[]>): Promise<string[]> {
  try {
    return await answer;
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? '';
    if (NO_RECORD.has(code)) return [];
    throw error;
  }
}

function hostPrefix(text: string): Prefix {
  const address = parseAddress(text);
  if (address === undefined) throw new Error(`the resolver answered "${text}", which is no address`);
  return prefixOf(address.family, address.words, bitsOf(address.family));
}

/** Answers some names from a table and the rest by another resolver. */
export function withFixedNames(fixed: ReadonlyMap<string, PrefixSet>, resolve: ResolveName): ResolveName {
  return async (name) => fixed.get(name) ?? (await resolve(name));
}
