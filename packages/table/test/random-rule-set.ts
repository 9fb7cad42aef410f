/**
 * Seeded random rule sets over address spaces so small that prefixes nest, touch and repeat, and the packets
 * that tell compiled tables from wrong ones: every boundary of every prefix, and the addresses beside it.
 */

import {
  type Address,
  bitsOf,
  COMMON_POLICY,
  columnOf,
  DEFAULT_POLICY,
  type Environment,
  emptyPolicy,
  type Family,
  FIRST_POLICY,
  type List,
  NO_RULES,
  nameListOf,
  type Packet,
  type Policy,
  type Prefix,
  type PrefixSet,
  prefixListOf,
  prefixOf,
  prefixSetOf,
  type Remote,
  type Rule,
  type RuleSet,
  RunBuilder,
} from '@rulecast/rules';
import { Random } from '../../../test/kit/random.mjs';
import { lastAddressAt } from '../../../test/kit/rules.ts';

export interface RandomCase {
  readonly ruleSet: RuleSet;
  readonly environment: Environment;
  /** All prefixes that occur. */
  readonly prefixes: readonly Prefix[];
}

const LENGTHS4 = [0, 1, 8, 14, 15, 16, 17, 18, 20, 24, 28, 29, 30, 31, 32, 32, 32] as const;
const LENGTHS6 = [
  0, 1, 15, 16, 17, 32, 33, 47, 48, 49, 63, 64, 65, 80, 96, 112, 113, 126, 127, 128, 128,
] as const;
// Few words, at chunk edges, so that prefixes meet.
const WORDS = [
  0, 1, 2, 3, 0xffff, 0x10000, 0x1ffff, 0x20000, 0x7fffffff, 0x80000000, 0xfffeffff, 0xffffffff,
] as const;
const NAMES = ['a.example', 'b.example', 'c.example', 'never.example'] as const;
const LISTS = ['l0', 'l1', 'l2', 'names', 'unresolved', 'missing'] as const;
const NOW = 1000;

export function randomPrefix(random: Random, family: Family): Prefix {
  if (family === 4) return prefixOf(4, [random.pick(WORDS)], random.pick(LENGTHS4));
  const words = [random.pick(WORDS), random.pick(WORDS), random.pick(WORDS), random.pick(WORDS)];
  return prefixOf(6, words, random.pick(LENGTHS6));
}

/** A rule set of up to `maxRules` rules, and an environment. */
export function randomCase(seed: number, maxRules: number): RandomCase {
  const random = new Random(seed);
  const prefixes: Prefix[] = [];
  const pool = Array.from({ length: 12 }, () => randomPrefix(random, random.chance(0.5) ? 4 : 6));
  const anyPrefix = (): Prefix => {
    const prefix = random.chance(0.6) ? random.pick(pool) : randomPrefix(random, random.chance(0.5) ? 4 : 6);
    prefixes.push(prefix);
    return prefix;
  };
  const anySet = (most: number): PrefixSet =>
    prefixSetOf(Array.from({ length: random.below(most + 1) }, anyPrefix));
  const lists = new Map<string, List>();
  for (const name of ['l0', 'l1', 'l2']) lists.set(name, prefixListOf(anySet(8)));
  lists.set('names', nameListOf([...NAMES], true));
  lists.set('unresolved', nameListOf([...NAMES], false));
  const resolutions = new Map(['a.example', 'b.example', 'c.example'].map((name) => [name, anySet(3)]));
  const policies = new Map<string, Policy>();
  const all = ['p0', 'p1', 'p2', DEFAULT_POLICY, COMMON_POLICY].slice(random.below(3));
  const names = all.filter((name) => name !== DEFAULT_POLICY || random.chance(0.6));
  const rulesOf = (rule = (): Rule => randomRule(random, anyPrefix)): Policy['egress'] => {
    const runs = new RunBuilder();
    const count = random.below(Math.floor(maxRules / names.length / 2) + 1);
    for (let i = 0; i < count; i++) runs.push(rule());
    return runs.build();
  };
  for (const name of names) {
    const reserved = name === DEFAULT_POLICY || name === COMMON_POLICY;
    const own = reserved ? [] : Array.from({ length: 1 + random.below(3) }, anyPrefix);
    policies.set(name, {
      name,
      prefixes: prefixSetOf(own),
      defaultAction: random.pick(['accept', 'drop']),
      exceptions: {
        egress: name === COMMON_POLICY || random.chance(0.5) ? NO_RULES : rulesOf(),
        ingress: reserved || random.chance(0.7) ? NO_RULES : rulesOf(),
      },
      egress: rulesOf(),
      ingress: name === DEFAULT_POLICY || random.chance(0.3) ? NO_RULES : rulesOf(),
    });
  }
  const dns = Array.from({ length: random.below(3) }, anyPrefix).map(({ family, words }) => ({
    family,
    words,
  }));
  const environment = { ...randomTime(random), dns };
  const unmatched = random.pick([undefined, 'drop', 'accept'] as const);
  if (random.chance(0.4)) {
    const drop = (): Rule => ({ ...randomRule(random, anyPrefix), action: 'drop' });
    const runs = { egress: rulesOf(drop), ingress: random.chance(0.5) ? NO_RULES : rulesOf(drop) };
    policies.set(FIRST_POLICY, { ...emptyPolicy(FIRST_POLICY), ...runs });
  }
  return {
    ruleSet: { lists, policies, resolutions, unmatched },
    environment,
    prefixes,
  };
}

/** What two clocks show that need not agree, near the expiry of random rules. */
export function randomTime(random: Random): Pick<Environment, 'now' | 'earliest'> {
  const now = NOW + random.pick([-1, 0, 0, 1]);
  return { now, earliest: now - random.pick([0, 0, 1, 2]) };
}

export function randomRule(random: Random, anyPrefix: () => Prefix): Rule {
  const kind = random.pick(['prefix', 'prefix', 'prefix', 'list', 'list', 'name', 'any'] as const);
  const remote: Remote =
    kind === 'prefix'
      ? { kind, prefix: anyPrefix() }
      : kind === 'list'
        ? { kind, list: random.pick(LISTS) }
        : kind === 'name'
          ? { kind, name: random.pick(NAMES) }
          : { kind };
  const proto = random.pick([undefined, undefined, 'tcp', 'udp', 'icmp'] as const);
  const dns = proto !== 'icmp' && random.chance(0.15);
  const first = random.pick([0, 1, 52, 53, 54, 65535]);
  const ports =
    proto !== 'icmp' && random.chance(0.3)
      ? { first, last: Math.min(65535, first + random.below(3)) }
      : undefined;
  return {
    action: random.pick(['accept', 'drop']),
    remote,
    proto,
    dns,
    ports,
    icmpType: proto === 'icmp' && random.chance(0.5) ? random.pick([0, 8, 128, 255]) : undefined,
    expire: random.chance(0.15) ? NOW + random.pick([-1, 0, 1]) : undefined,
    comment: random.chance(0.05) ? 'a comment' : undefined,
  };
}

/** The first and last address of every prefix, and the addresses before and after them (wrapping around). */
export function edgeAddresses(prefixes: readonly Prefix[]): readonly Address[] {
  const edges = new Map<string, Address>();
  for (const prefix of prefixes) {
    const { family } = prefix;
    const last: Address = { family, words: lastAddressAt(columnOf([prefix], family), 0) };
    for (const address of [prefix, neighbour(prefix, -1), last, neighbour(last, 1)]) {
      edges.set(address.words.join(), { family, words: address.words });
    }
  }
  return [...edges.values()];
}

/** The address one below or above. */
export function neighbour({ family, words }: Address, step: 1 | -1): Address {
  const next = words.slice();
  for (let w = bitsOf(family) / 32 - 1; w >= 0; w--) {
    const word = (next[w] ?? 0) + step;
    next[w] = word;
    if (word >= 0 && word < 2 ** 32) break;
  }
  return { family, words: next };
}

export function randomPacket(random: Random, addresses: readonly Address[]): Packet {
  return {
    direction: random.pick(['egress', 'egress', 'ingress', 'both']),
    src: random.chance(0.1) ? undefined : random.pick(addresses),
    dst: random.pick(addresses),
    proto: random.pick([1, 6, 6, 17, 17, 58, 47, 0]),
    port: random.chance(0.15) ? undefined : random.pick([0, 1, 52, 53, 53, 54, 55, 80, 65535]),
    icmpType: random.chance(0.15) ? undefined : random.pick([0, 8, 128, 255, 3]),
  };
}
