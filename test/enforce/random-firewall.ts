/**
 * Seeded random rule sets over addresses that the network of the tests can carry (namespaces.ts), and the
 * packets that tell a right firewall from a wrong one: both edges of every prefix and the addresses beside
 * them, ports and ICMP types likewise.
 */

import {
  type Address,
  COMMON_POLICY,
  columnFor,
  DEFAULT_POLICY,
  type Environment,
  emptyPolicy,
  FIRST_POLICY,
  formatAddress,
  formatPrefix,
  IpProtocol,
  type List,
  memberContaining,
  NO_RULES,
  nameListOf,
  type Policy,
  type Prefix,
  type PrefixSet,
  prefixAt,
  prefixListOf,
  prefixOf,
  prefixSetOf,
  type Remote,
  type Rule,
  type RuleSet,
  RunBuilder,
} from '@rulecast/rules';
import { edgeAddresses } from '../../packages/table/test/random-rule-set.ts';
import { Random } from '../kit/random.mjs';
import { prefixFrom, prefixSetFrom } from '../kit/rules.ts';
import type { Journey } from './journey.ts';
import { address, HOSTS, type HostName } from './network.mjs';

export interface RandomFirewall {
  readonly ruleSet: RuleSet;
  readonly environment: Environment;
  readonly journeys: readonly Journey[];
}

// Few words, at chunk edges, so that prefixes nest and meet; all of them within what routers forward.
const REMOTE_WORDS4 = [
  0x01000000, 0x09090909, 0x0909090a, 0x0a8b0101, 0x0affffff, 0x7e000000, 0x80000000, 0xac100000, 0xac1fffff,
  0xc0a80000, 0xc0a84d35, 0xdfffffff,
] as const;
const QUBE_WORDS4 = [0x0a890005, 0x0a890006, 0x0a897fff, 0x0a898000, 0x0a898006, 0x0a890000] as const;
const LENGTHS4 = [0, 1, 2, 8, 12, 16, 17, 24, 29, 30, 31, 32, 32, 32] as const;
const REMOTE_FIRST_WORDS6 = [0x20010db8, 0x20010db9, 0x24000000, 0x3fffffff, 0xfd000000] as const;
const QUBE_WORDS6 = [0xfd0924ef, 0x4179000a, 0xfd0924ef, 0x4179000b] as const;
const LATER_WORDS = [0, 1, 2, 0xffff, 0x10000, 0x7fffffff, 0x80000000, 0xffffffff] as const;
const LENGTHS6 = [0, 3, 8, 32, 33, 48, 63, 64, 65, 80, 96, 112, 127, 128, 128] as const;
const PORTS = [0, 1, 52, 53, 54, 80, 443, 1024, 65_534, 65_535] as const;
const ICMP_TYPES = [0, 3, 8, 13, 128, 129, 255] as const;
const NAMES = ['a.example', 'b.example', 'c.example', 'never.example'] as const;
const LISTS = ['l0', 'l1', 'l2', 'names'] as const;
const OTHER_PROTOCOLS = [47, 50, 132, 253] as const;
const ICMP_WRONG_FAMILY = { 4: IpProtocol.icmp6, 6: IpProtocol.icmp } as const;

/**
 * A rule set of up to `maxRules` rules, an environment, and `packets` packets.
 * @param now Seconds since 1970; rules expire within seconds of it, never at it.
 * @param gathered Whether rules are of the kind that a kernel asks by the class of the address: for prefixes,
 *   and of no end.
 */
export function randomFirewall(
  seed: number,
  maxRules: number,
  packets: number,
  now: number,
  gathered = false,
): RandomFirewall {
  const random = new Random(seed);
  const used: Prefix[] = [];
  const pool = Array.from({ length: 12 }, () => remotePrefix(random));
  const anyRemote = (): Prefix => {
    const prefix = random.chance(0.7) ? random.pick(pool) : remotePrefix(random);
    used.push(prefix);
    return prefix;
  };
  const environment = { now, dns: Array.from({ length: random.below(4) }, anyRemote) };
  const rule = (): Rule => (gathered ? gatheredRule(random, anyRemote) : randomRule(random, now, anyRemote));
  const ruleSet = randomRuleSet(random, maxRules, rule, anyRemote);
  for (const policy of ruleSet.policies.values()) used.push(...prefixesOf(policy.prefixes));
  const addresses = [...edgeAddresses(used), ...HOST_ADDRESSES].filter(isForwarded);
  const journeys: Journey[] = [];
  const flows = new Set<string>();
  while (journeys.length < packets) {
    const journey = randomJourney(random, addresses);
    if (journey === undefined) continue;
    // Without ports all packets between two hosts are one flow: what goes back would be its reply.
    const { src, dst, proto, port } = journey.packet;
    if (port === undefined && flows.has(flowKey(dst, src, proto))) continue;
    flows.add(flowKey(src, dst, proto));
    journeys.push(journey);
  }
  return { ruleSet, environment, journeys };
}

function randomRuleSet(random: Random, maxRules: number, rule: () => Rule, anyRemote: () => Prefix): RuleSet {
  const remotes = (most: number): PrefixSet =>
    prefixSetOf(Array.from({ length: random.below(most + 1) }, anyRemote));
  const lists = new Map<string, List>();
  for (const name of ['l0', 'l1', 'l2']) lists.set(name, prefixListOf(remotes(9)));
  lists.set('names', nameListOf([...NAMES], true));
  const resolutions = new Map(NAMES.slice(0, 3).map((name) => [name, remotes(3)]));
  const names = ['p0', 'p1', 'p2', 'p3', DEFAULT_POLICY, COMMON_POLICY].filter((name) =>
    random.chance(name === DEFAULT_POLICY ? 0.4 : 0.8),
  );
  const rules = (): Policy['egress'] => {
    const runs = new RunBuilder();
    const count = random.below(Math.floor(maxRules / 6) + 1);
    for (let i = 0; i < count; i++) runs.push(rule());
    return runs.build();
  };
  const owned = new Set<string>(); // no prefix in two policies
  const policies = names.map((name): [string, Policy] => {
    const reserved = name === DEFAULT_POLICY || name === COMMON_POLICY;
    const own = reserved ? [] : Array.from({ length: 1 + random.below(4) }, () => qubePrefix(random));
    const prefixes = prefixSetOf(own.filter((prefix) => !owned.has(formatPrefix(prefix))));
    for (const prefix of prefixesOf(prefixes)) owned.add(formatPrefix(prefix));
    const ingress = name === DEFAULT_POLICY || random.chance(0.3) ? NO_RULES : rules();
    return [
      name,
      {
        name,
        prefixes,
        defaultAction: random.pick(['accept', 'drop']),
        exceptions: {
          egress: name === COMMON_POLICY || random.chance(0.5) ? NO_RULES : rules(),
          ingress: reserved || random.chance(0.7) ? NO_RULES : rules(),
        },
        egress: rules(),
        ingress,
      },
    ];
  });
  const unmatched = random.pick([undefined, 'drop', 'accept'] as const);
  if (random.chance(0.4)) policies.push([FIRST_POLICY, firstPolicy(random, maxRules, rule)]);
  return { lists, policies: new Map(policies), resolutions, unmatched };
}

/** Drops that leave something: none is for any address and any packet. */
function firstPolicy(random: Random, maxRules: number, rule: () => Rule): Policy {
  const drops = (): Policy['egress'] => {
    const runs = new RunBuilder();
    const count = random.below(Math.floor(maxRules / 8) + 1);
    for (let i = 0; i < count; i++) {
      const one = rule();
      if (one.remote.kind !== 'any' || one.proto !== undefined) runs.push({ ...one, action: 'drop' });
    }
    return runs.build();
  };
  return { ...emptyPolicy(FIRST_POLICY), egress: drops(), ingress: drops() };
}

function gatheredRule(random: Random, anyRemote: () => Prefix): Rule {
  const rule = randomRule(random, 0, anyRemote);
  const remote: Remote = random.chance(0.98) ? { kind: 'prefix', prefix: anyRemote() } : { kind: 'any' };
  const plain = { ...rule, remote, dns: false, expire: undefined };
  return random.chance(0.5) ? plain : { ...plain, proto: undefined, ports: undefined, icmpType: undefined };
}

function randomRule(random: Random, now: number, anyRemote: () => Prefix): Rule {
  const kind = random.pick(['prefix', 'prefix', 'prefix', 'list', 'list', 'name', 'any'] as const);
  const remote: Remote =
    kind === 'prefix'
      ? { kind, prefix: anyRemote() }
      : kind === 'list'
        ? { kind, list: random.pick(LISTS) }
        : kind === 'name'
          ? { kind, name: random.pick(NAMES) }
          : { kind };
  const proto = random.pick([undefined, undefined, 'tcp', 'udp', 'icmp'] as const);
  const dns = (proto === 'tcp' || proto === 'udp' || proto === undefined) && random.chance(0.2);
  const first = random.pick(PORTS);
  const ports =
    (proto === 'tcp' || proto === 'udp') && !dns && random.chance(0.6)
      ? { first, last: Math.min(65_535, first + random.pick([0, 1, 2, 900])) }
      : undefined;
  return {
    action: random.pick(['accept', 'drop']),
    remote,
    proto,
    dns,
    ports,
    icmpType: proto === 'icmp' && random.chance(0.6) ? random.pick(ICMP_TYPES) : undefined,
    expire: random.chance(0.1) ? now + random.pick([-1000, 0, 1000]) : undefined,
    comment: random.chance(0.05) ? 'a "comment"; with { marks } \\' : undefined,
  };
}

function remotePrefix(random: Random): Prefix {
  if (random.chance(0.15)) return qubePrefix(random); // rules between qubes
  if (random.chance(0.5)) return prefixOf(4, [random.pick(REMOTE_WORDS4)], random.pick(LENGTHS4));
  const later = [random.pick(LATER_WORDS), random.pick(LATER_WORDS), random.pick(LATER_WORDS)];
  return prefixOf(6, [random.pick(REMOTE_FIRST_WORDS6), ...later], random.pick(LENGTHS6));
}

function qubePrefix(random: Random): Prefix {
  if (random.chance(0.5))
    return prefixOf(4, [random.pick(QUBE_WORDS4)], random.pick([0, 8, 16, 17, 24, 31, 32, 32]));
  const second = random.pick([0x4179000a, 0x4179000b]);
  const words = [QUBE_WORDS6[0], second, random.pick([0, 0xffffffff]), random.pick([5, 6, 7, 0xffffffff])];
  return prefixOf(6, words, random.pick([0, 16, 56, 64, 65, 126, 128, 128]));
}

function randomJourney(random: Random, addresses: readonly Address[]): Journey | undefined {
  const src = random.pick(addresses);
  const dst = random.pick(addresses);
  const from = hostOf(src);
  const to = hostOf(dst);
  if (src.family !== dst.family || from === to) return undefined;
  const direction = from === 'world' ? 'ingress' : to === 'world' ? 'egress' : 'both';
  const { family } = dst;
  const icmp = family === 4 ? IpProtocol.icmp : IpProtocol.icmp6;
  const proto = random.pick([
    IpProtocol.tcp,
    IpProtocol.tcp,
    IpProtocol.udp,
    IpProtocol.udp,
    icmp,
    icmp,
    random.pick([...OTHER_PROTOCOLS, ICMP_WRONG_FAMILY[family]]),
  ]);
  const hasPort = proto === IpProtocol.tcp || proto === IpProtocol.udp;
  const port = hasPort
    ? Math.min(65_535, Math.max(0, random.pick(PORTS) + random.pick([-1, 0, 0, 1])))
    : undefined;
  const icmpType = proto === icmp ? random.pick([...ICMP_TYPES, 1, 9, 127]) : undefined;
  return { from, to, packet: { direction, src, dst, proto, port, icmpType } };
}

const NETWORK_SETS = {
  a: prefixSetFrom(networksOf('a')),
  b: prefixSetFrom(networksOf('b')),
} as const;
const UNICAST = prefixSetOf(
  ['1.0.0.0/8', '2.0.0.0/7', '4.0.0.0/6', '8.0.0.0/5', '16.0.0.0/4', '32.0.0.0/3', '64.0.0.0/3', '96.0.0.0/4']
    .concat(['112.0.0.0/5', '120.0.0.0/6', '124.0.0.0/7', '126.0.0.0/8', '128.0.0.0/2', '192.0.0.0/3'])
    .concat(['2000::/3', 'fd00::/8'])
    .map(prefixFrom),
);
const HOST_ADDRESSES = HOSTS.flatMap((host) => [address(host.address4), address(host.address6)]);
/** The router's own, where packets do not pass through. */
const ROUTER_OWN = prefixSetOf(
  ['10.138.0.0/24', '198.18.0.1/32', 'fd09:24ef:4179:ffff::/64', '2001:db8:ffff::1/128'].map(prefixFrom),
);

function isForwarded(address: Address): boolean {
  return holds(UNICAST, address) && !holds(ROUTER_OWN, address);
}

/** The host that an address leads to. */
export function hostOf(address: Address): HostName {
  return holds(NETWORK_SETS.a, address) ? 'a' : holds(NETWORK_SETS.b, address) ? 'b' : 'world';
}

function holds(set: PrefixSet, address: Address): boolean {
  return memberContaining(columnFor(set, address.family), address.words) >= 0;
}

function prefixesOf(set: PrefixSet): readonly Prefix[] {
  return [set.v4, set.v6].flatMap((column) =>
    Array.from(column.lengths, (_, index) => prefixAt(column, index)),
  );
}

function networksOf(name: HostName): readonly string[] {
  return HOSTS.filter((host) => host.name === name).flatMap((host) => host.networks);
}

function flowKey(src: Address, dst: Address, proto: number): string {
  return `${formatAddress(src)} ${formatAddress(dst)} ${proto}`;
}
