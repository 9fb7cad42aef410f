/**
 * Resolves the names in rules to addresses: how DNS is asked, and how answers are read. Which names are
 * resolved, when, and what replaces a missing answer is in names.ts. docs/explain/design.md "Meaning of a
 * rule set".
 */

import { Resolver } from 'node:dns/promises';
import {
  bitsOf,
  EMPTY_PREFIX_SET,
  isPrivateName,
  type Prefix,
  type PrefixSet,
  parseAddress,
  prefixOf,
  prefixSetOf,
} from '@rulecast/rules';
import { isPrivateText } from '@rulecast/sources';

/** The addresses of a name, in both families, and for how long. */
export interface NameAnswer extends PrefixSet {
  /**
   * The shortest time to live of the answer, aliases (CNAME) included. Undefined if the answer is not from
   * DNS: then the name is resolved with each release, and never refreshed.
   */
  readonly ttlMs?: number;
  /** A family that did not answer, and has no addresses here for that reason. */
  readonly failed?: { readonly family: 'v4' | 'v6'; readonly reason: string };
}

/**
 * Resolves one name, to private addresses too if `mayBePrivate`. An empty set is an answer; a failure throws.
 */
export type ResolveName = (name: string, mayBePrivate?: boolean) => Promise<NameAnswer>;

/** One query's time, and how often it is sent: a push waits for the slowest name that it brings. */
const TIMEOUT_MS = 2000;
const TRIES = 2;

export interface DnsOptions {
  /** Timeout of one query before it is sent again; default 2,000. */
  readonly timeoutMs?: number;
  /** The number of times a query is sent; default 2. */
  readonly tries?: number;
  /**
   * Zones whose names may resolve to private addresses, beside the zones that do not exist on the Internet;
   * default none.
   */
  readonly privateZones?: readonly string[];
}

/** The answer for one family. */
type FamilyAnswer =
  | { readonly kind: 'addresses'; readonly prefixes: readonly Prefix[]; readonly ttlMs: number }
  /** The name has none, or is none. */
  | { readonly kind: 'none'; readonly reason: string }
  | { readonly kind: 'failed'; readonly reason: string };

/**
 * Asks DNS: the servers of resolv.conf, or those given, as `192.0.2.1`, `192.0.2.1:53` or `[2001:db8::1]:53`.
 * Answers that are cut short are asked for again by TCP. A name without any address is a failure, like one
 * that nobody knows. A name of the Internet does not stand for private addresses unless a rule or a zone says
 * so: a rule would open or close the networks beside it. Throws TypeError for a bad server.
 */
export function dnsResolver(servers?: readonly string[], options: DnsOptions = {}): ResolveName {
  const { timeoutMs = TIMEOUT_MS, tries = TRIES, privateZones = [] } = options;
  // A new resolver for each name. If Node uses the system's c-ares, as Debian's does, a resolver caches
  // answers by its own clock; but our clock decides when to ask, and a push must see the current answer.
  const newResolver = (): Resolver => {
    const resolver = new Resolver({ timeout: timeoutMs, tries });
    if (servers !== undefined) resolver.setServers(servers);
    return resolver;
  };
  newResolver(); // throws for a bad server now, not at the first name
  return async (name, isSaid = false) => {
    const resolver = newResolver();
    const mayBePrivate = isSaid || isPrivateName(name) || privateZones.some((zone) => isWithin(name, zone));
    const [v4, v6] = await Promise.all([
      familyAnswer(resolver.resolve4(name, { ttl: true }), mayBePrivate),
      familyAnswer(resolver.resolve6(name, { ttl: true }), mayBePrivate),
    ]);
    return bothFamilies(v4, v6);
  };
}

function isWithin(name: string, zone: string): boolean {
  return name === zone || name.endsWith(`.${zone}`);
}

function bothFamilies(v4: FamilyAnswer, v6: FamilyAnswer): NameAnswer {
  const answers = [v4, v6].filter((answer) => answer.kind === 'addresses');
  if (answers.length === 0) throw new Error(failureOf(v4, v6));
  const set = prefixSetOf(answers.flatMap(({ prefixes }) => prefixes));
  const ttlMs = Math.min(...answers.map((answer) => answer.ttlMs));
  if (v4.kind === 'failed') return { ...set, ttlMs, failed: { family: 'v4', reason: v4.reason } };
  if (v6.kind === 'failed') return { ...set, ttlMs, failed: { family: 'v6', reason: v6.reason } };
  return { ...set, ttlMs };
}

/** The reason to report: a failure before an empty answer. */
function failureOf(v4: FamilyAnswer, v6: FamilyAnswer): string {
  for (const kind of ['failed', 'none'] as const) {
    for (const answer of [v4, v6]) if (answer.kind === kind) return answer.reason;
  }
  return 'no addresses';
}

async function familyAnswer(
  query: Promise<readonly { address: string; ttl: number }[]>,
  mayBePrivate: boolean,
): Promise<FamilyAnswer> {
  try {
    const all = await query;
    const records = mayBePrivate ? all : all.filter(({ address }) => !isPrivateText(address));
    const [first] = all;
    if (first !== undefined && records.length === 0) {
      const reason = `it resolves to ${first.address}, a private address: if that is meant, write private=true in its rules, or its zone below dns: private-zones:`;
      return { kind: 'failed', reason };
    }
    const prefixes = records.map(({ address }) => hostPrefix(address));
    if (prefixes.length === 0) return { kind: 'none', reason: 'no addresses' };
    return { kind: 'addresses', prefixes, ttlMs: Math.min(...records.map(({ ttl }) => ttl)) * 1000 };
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : '';
    if (code === 'ENOTFOUND') return { kind: 'none', reason: 'no such name' };
    if (code === 'ENODATA') return { kind: 'none', reason: 'no addresses' };
    const said = error instanceof Error ? error.message : String(error);
    return { kind: 'failed', reason: FAILURES[code] ?? said };
  }
}

/** The codes of c-ares that people meet, in words; https://nodejs.org/api/dns.html#error-codes */
const FAILURES: Readonly<Record<string, string>> = {
  ESERVFAIL: 'the DNS server failed, SERVFAIL',
  EREFUSED: 'the DNS server refuses',
  ETIMEOUT: 'the DNS server does not answer',
  ECONNREFUSED: 'no DNS server listens there',
  EBADRESP: 'the DNS server answers nonsense',
  EFORMERR: 'the DNS server answers nonsense',
  ENOTIMP: 'the DNS server knows no such query',
  ECANCELLED: 'the query was ended',
};

function hostPrefix(text: string): Prefix {
  const address = parseAddress(text);
  if (address === undefined) throw new Error(`the resolver answered "${text}", which is no address`);
  return prefixOf(address.family, address.words, bitsOf(address.family));
}

/** Answers some names from a table and the rest by another resolver. */
export function withFixedNames(fixed: ReadonlyMap<string, PrefixSet>, resolve: ResolveName): ResolveName {
  return async (name, ...said) => fixed.get(name) ?? (await resolve(name, ...said));
}

/** The addresses alone, without for how long; `before` takes the place of a family that failed. */
export function addressesOf(answer: NameAnswer, before: PrefixSet = EMPTY_PREFIX_SET): PrefixSet {
  return {
    v4: answer.failed?.family === 'v4' ? before.v4 : answer.v4,
    v6: answer.failed?.family === 'v6' ? before.v6 : answer.v6,
  };
}
