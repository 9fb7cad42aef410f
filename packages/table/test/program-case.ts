/**
 * Seeded rule sets of many runs on few addresses, so that runs overlap in every way: ports at both ends,
 * adjacent and nested ranges, protocols, ICMP types, DNS rules, rules of `common`, expired ones; and packets
 * at all their edges.
 */

import {
  type Address,
  COMMON_POLICY,
  DEFAULT_POLICY,
  type Environment,
  emptyPolicy,
  FIRST_POLICY,
  type List,
  NO_RULES,
  type Packet,
  type Policy,
  type Prefix,
  prefixListOf,
  prefixSetOf,
  type Remote,
  type Rule,
  type RuleSet,
  RunBuilder,
  rulesIn,
} from '@rulecast/rules';
import type { Random } from '../../../test/kit/random.mjs';
import { prefixFrom } from '../../../test/kit/rules.ts';
import { edgeAddresses } from './random-rule-set.ts';

export interface ProgramCase {
  readonly ruleSet: RuleSet;
  readonly environment: Environment;
  /** The first and last address of every prefix and those beside them. */
  readonly addresses: readonly Address[];
}

export const NOW = 1000;
const PORTS = [0, 1, 2, 52, 53, 54, 79, 80, 81, 1023, 1024, 32767, 32768, 65534, 65535] as const;
const ICMP_TYPES = [0, 1, 8, 128, 254, 255] as const;
const PREFIXES = [
  '0.0.0.0/0',
  '0.0.0.0/1',
  '10.0.0.0/8',
  '10.0.0.0/16',
  '10.0.0.0/24',
  '10.0.0.0/32',
  '10.0.0.1/32',
  '10.0.1.0/24',
  '255.255.255.255/32',
  '::/0',
  '2001:db8::/32',
  '2001:db8::/64',
  '2001:db8::/128',
  '2001:db8::1/128',
] as const;
const LISTS = ['l0', 'l1', 'l2', 'l3'] as const;
const NAMES = ['a.example', 'b.example'] as const;

/**
 * A rule set of up to `maxRules` rules in up to six policies. `askingShare` of the rules ask for a protocol
 * or more.
 */
export function programCase(random: Random, maxRules: number, askingShare: number): ProgramCase {
  const pool = PREFIXES.map(prefixFrom);
  const anySet = (most: number): ReturnType<typeof prefixSetOf> =>
    prefixSetOf(Array.from({ length: 1 + random.below(most) }, () => random.pick(pool)));
  const lists = new Map<string, List>(LISTS.map((name) => [name, prefixListOf(anySet(4))]));
  const resolutions = new Map(NAMES.map((name) => [name, anySet(2)]));
  const all = ['p0', 'p1', 'p2', 'p3', DEFAULT_POLICY, COMMON_POLICY].slice(random.below(5));
  const names = all.filter((name) => name !== DEFAULT_POLICY || random.chance(0.6));
  const template = rulesOf(random, maxRules / names.length, pool, askingShare);
  const policies = new Map<string, Policy>();
  for (const [index, name] of names.entries()) {
    const isReserved = name === DEFAULT_POLICY || name === COMMON_POLICY;
    const rules = (): Policy['egress'] =>
      random.chance(0.2) ? template : rulesOf(random, maxRules / names.length / 2, pool, askingShare);
    policies.set(name, {
      name,
      prefixes: prefixSetOf(
        isReserved ? [] : [prefixFrom(`10.137.0.${index}/32`), prefixFrom(`fd09::${index}/128`)],
      ),
      defaultAction: random.pick(['accept', 'drop']),
      exceptions: {
        egress: name === COMMON_POLICY || random.chance(0.5) ? NO_RULES : rules(),
        ingress: isReserved || random.chance(0.7) ? NO_RULES : rules(),
      },
      egress: rules(),
      ingress: name === DEFAULT_POLICY ? NO_RULES : rules(),
    });
  }
  const dns = random.chance(0.3) ? [] : [random.pick(pool), random.pick(pool)];
  const unmatched = random.pick([undefined, 'drop', 'accept'] as const);
  if (random.chance(0.3)) {
    const drops = (): Policy['egress'] => {
      const runs = new RunBuilder();
      const rules = rulesIn(rulesOf(random, maxRules / 8, pool, askingShare));
      for (const rule of rules) runs.push({ ...rule, action: 'drop' });
      return runs.build();
    };
    policies.set(FIRST_POLICY, { ...emptyPolicy(FIRST_POLICY), egress: drops(), ingress: drops() });
  }
  return {
    ruleSet: { lists, policies, resolutions, unmatched },
    environment: { now: NOW, dns: dns.map(({ family, words }) => ({ family, words })) },
    addresses: edgeAddresses(pool),
  };
}

function rulesOf(
  random: Random,
  most: number,
  pool: readonly Prefix[],
  askingShare: number,
): Policy['egress'] {
  const runs = new RunBuilder();
  const count = random.below(Math.floor(most) + 1);
  for (let i = 0; i < count; i++) runs.push(anyRule(random, pool, askingShare));
  return runs.build();
}

function anyRule(random: Random, pool: readonly Prefix[], askingShare: number): Rule {
  const remote = anyRemote(random, pool);
  const match = {
    action: random.pick(['accept', 'drop'] as const),
    remote,
    proto: undefined,
    dns: false,
    ports: undefined,
    icmpType: undefined,
    expire: random.chance(0.1) ? NOW + random.pick([-1, 0, 1]) : undefined,
    comment: undefined,
  };
  if (!random.chance(askingShare)) return match;
  const kind = random.pick(['proto', 'ports', 'ports', 'ports', 'icmp', 'dns', 'dns ports'] as const);
  if (kind === 'icmp') {
    return { ...match, proto: 'icmp', icmpType: random.chance(0.8) ? random.pick(ICMP_TYPES) : undefined };
  }
  const proto = random.pick([undefined, 'tcp', 'udp'] as const);
  if (kind === 'proto') return { ...match, proto: proto ?? 'icmp' };
  const dns = kind !== 'ports';
  if (kind === 'dns') return { ...match, proto, dns };
  const ends = [random.pick(PORTS), random.chance(0.5) ? random.pick(PORTS) : -1];
  const first = ends[1] === -1 ? (ends[0] ?? 0) : Math.min(...ends);
  return { ...match, proto, dns, ports: { first, last: Math.max(...ends) } };
}

function anyRemote(random: Random, pool: readonly Prefix[]): Remote {
  const kind = random.pick(['prefix', 'prefix', 'prefix', 'list', 'list', 'name', 'any'] as const);
  switch (kind) {
    case 'prefix':
      return { kind, prefix: random.pick(pool) };
    case 'list':
      return { kind, list: random.pick(LISTS) };
    case 'name':
      return { kind, name: random.pick(NAMES) };
    case 'any':
      return { kind };
  }
}

/** A packet of one direction at the edges of a case. */
export function edgePacket(
  random: Random,
  { addresses, ruleSet }: ProgramCase,
): Packet & { direction: 'egress' | 'ingress' } {
  const direction = random.pick(['egress', 'ingress'] as const);
  const remote = random.pick(addresses);
  const policies = [...ruleSet.policies.values()];
  const column = remote.family === 4 ? 'v4' : 'v6';
  const prefixes = random.pick(policies).prefixes[column];
  const qube =
    prefixes.lengths.length === 0
      ? undefined
      : { family: remote.family, words: prefixes.words.slice(0, remote.family === 4 ? 1 : 4) };
  const hasRemote = !random.chance(0.05);
  const aside = {
    family: remote.family,
    words: remote.family === 4 ? Uint32Array.of(1) : Uint32Array.of(1, 0, 0, 0),
  };
  return {
    direction,
    src: direction === 'egress' ? qube : hasRemote ? remote : undefined,
    dst: direction === 'egress' ? remote : (qube ?? aside),
    proto: random.pick([1, 6, 6, 6, 17, 17, 58, 58, 47]),
    port: random.chance(0.1) ? undefined : random.pick(PORTS),
    icmpType: random.chance(0.1) ? undefined : random.pick(ICMP_TYPES),
  };
}
