/**
 * The reference evaluator: the verdict of a rule set on a packet, rule by rule, slow and obvious. Every fast
 * path is tested against it.
 */

import { namesOpenedBy } from './list.ts';
import { nameTexts } from './names.ts';
import {
  COMMON_POLICY,
  DEFAULT_POLICY,
  FIRST_POLICY,
  isForAllQubes,
  judgesIngress,
  type Policy,
  RULE_BLOCKS,
  type RuleBlock,
  runsOf,
} from './policy.ts';
import {
  type Address,
  bitsOf,
  containsAt,
  type Family,
  type Prefix,
  prefixAt,
  sameAddress,
  wordMask,
} from './prefix.ts';
import { columnFor, memberContaining, type PrefixSet } from './prefix-set.ts';
import type { Action, Direction, RuleMatch } from './rule.ts';
import { type RuleSet, resolutionOf } from './rule-set.ts';
import { type Run, runAt } from './runs.ts';

/** Protocol numbers that rules can name (IANA). */
export const IpProtocol = { icmp: 1, tcp: 6, udp: 17, icmp6: 58 } as const;

export interface Packet {
  /** `both`: from one downstream qube to another, judged as egress of the first and ingress of the second. */
  readonly direction: Direction | 'both';
  /** Without it, egress is that of a qube that no policy names, and ingress cannot match a source. */
  readonly src: Address | undefined;
  readonly dst: Address;
  /** IP protocol number, after IPv6 extension headers. */
  readonly proto: number;
  /** Destination port; undefined where it cannot be read (later fragments) or does not exist. */
  readonly port: number | undefined;
  /** ICMP or ICMPv6 type; undefined where it cannot be read or does not exist. */
  readonly icmpType: number | undefined;
}

/** What the firewall itself contributes to a verdict: its clocks and its DNS servers. */
export interface Environment {
  /** Seconds since 1970, by the clock that shows the later time if there are two. */
  readonly now: number;
  /** Seconds since 1970, by the one that shows the earlier time; undefined where there is one clock. */
  readonly earliest?: number | undefined;
  /** The addresses that `specialtarget=dns` stands for. */
  readonly dns: readonly Address[];
}

export interface Verdict {
  /** `none`: no policy judges this packet, and the other tables of the firewall decide. */
  readonly action: 'accept' | 'drop' | 'none';
  /**
   * The rule or default that decided; undefined for `none`, and for packets dropped before any rule
   * (`FLOWLESS_VERDICT`).
   */
  readonly by: VerdictOrigin | undefined;
}

export interface VerdictOrigin {
  readonly direction: Direction;
  /** The policy that judges the qube, or `first`; undefined: none, `common` and then `unmatched` do. */
  readonly policy: string | undefined;
  /** Undefined: no rule matched, the policy's default action or `unmatched` decided. */
  readonly rule: RuleOrigin | undefined;
}

export interface RuleOrigin {
  /** The policy the rule stands in: `common`, or the judging one. */
  readonly policy: string;
  readonly block: RuleBlock;
  /** Index of the run, and of the rule, within that policy, block and direction, from 0. */
  readonly run: number;
  readonly index: number;
  /** The list that holds the address, for a rule with a list. */
  readonly list: string | undefined;
  /**
   * The most specific prefix of the rule's own, of its list or of its name that holds the address; undefined
   * for `any`.
   */
  readonly prefix: Prefix | undefined;
}

const NO_VERDICT: Verdict = { action: 'none', by: undefined };
const DNS_PORT = 53;

/**
 * The time that the expiry of a rule is compared with, in seconds since 1970. A wrong clock must not open
 * anything: an accept rule ends as soon as either clock says so, any other rule when both do.
 */
export function timeFor(action: Action, { now, earliest = now }: Omit<Environment, 'dns'>): number {
  return action === 'accept' ? now : earliest;
}

/**
 * The types of ICMP messages that begin a flow, for Linux: echo, timestamp, information and address mask
 * requests; of ICMPv6 echo requests and node information queries (`valid_new` in nf_conntrack_proto_icmp.c
 * and nf_conntrack_proto_icmpv6.c).
 */
const ASKING_TYPES = { 4: [8, 13, 15, 17], 6: [128, 139] } as const;

/**
 * Whether Linux regards a packet outside of any flow as the first of one, as far as the packet itself tells.
 * It does not if the header is cut, if an ICMP message is no request, or if ICMP is that of the other family.
 */
export function beginsFlow({ dst: { family }, proto, port, icmpType }: Packet): boolean {
  if (proto === IpProtocol.tcp || proto === IpProtocol.udp) return port !== undefined;
  if (proto !== IpProtocol.icmp && proto !== IpProtocol.icmp6) return true;
  const types: readonly number[] = ASKING_TYPES[family];
  return proto === (family === 4 ? IpProtocol.icmp : IpProtocol.icmp6) && types.includes(icmpType ?? -1);
}

/** The verdict on a packet that neither begins a flow nor belongs to one: no rule was asked. */
export const FLOWLESS_VERDICT: Verdict = { action: 'drop', by: undefined };

/** Whether the qube was told the remote address for a name of a list, and may use it still. */
export type Told = (list: string) => boolean;

const NOTHING_TOLD: Told = () => false;

/**
 * The verdict of an enforcing firewall on a packet that belongs to no flow yet. It judges flows, so it drops
 * a packet that begins none, whatever the rules say. Later packets of a flow get the verdict of the first.
 */
export function evaluateFlow(
  ruleSet: RuleSet,
  environment: Environment,
  packet: Packet,
  told: Told = NOTHING_TOLD,
): Verdict {
  return beginsFlow(packet) ? evaluate(ruleSet, environment, packet, told) : FLOWLESS_VERDICT;
}

/**
 * The verdict on a packet, judged in both directions unless the packet names one. Linear in the rules of the
 * policies that judge it.
 */
export function evaluate(
  ruleSet: RuleSet,
  environment: Environment,
  packet: Packet,
  told: Told = NOTHING_TOLD,
): Verdict {
  if (packet.direction === 'egress' || packet.direction === 'ingress') {
    return judge(ruleSet, environment, packet, packet.direction, told);
  }
  const egress = judge(ruleSet, environment, packet, 'egress', told);
  const ingress = judge(ruleSet, environment, packet, 'ingress', told);
  for (const action of ['drop', 'accept'] as const) {
    if (egress.action === action) return egress;
    if (ingress.action === action) return ingress;
  }
  return NO_VERDICT;
}

function judge(
  ruleSet: RuleSet,
  environment: Environment,
  packet: Packet,
  direction: Direction,
  told: Told,
): Verdict {
  const first = ruleSet.policies.get(FIRST_POLICY);
  const dropped = first && firstMatch(ruleSet, environment, packet, direction, first, 'own', told);
  if (dropped !== undefined)
    return { action: 'drop', by: { direction, policy: FIRST_POLICY, rule: dropped.rule } };
  const policy = judgingPolicy(ruleSet, direction === 'egress' ? packet.src : packet.dst, direction);
  const otherwise = policy === undefined ? unmatchedAction(ruleSet, direction) : policy.defaultAction;
  if (otherwise === undefined) return NO_VERDICT;
  for (const block of RULE_BLOCKS) {
    const source = block === 'common' ? ruleSet.policies.get(COMMON_POLICY) : policy;
    if (source === undefined) continue;
    const decision = firstMatch(ruleSet, environment, packet, direction, source, block, told);
    if (decision !== undefined) {
      return { action: decision.action, by: { direction, policy: policy?.name, rule: decision.rule } };
    }
  }
  if (policy === undefined && otherwise === 'accept') return NO_VERDICT;
  const action = policy === undefined ? 'drop' : policy.defaultAction;
  return { action, by: { direction, policy: policy?.name, rule: undefined } };
}

/** The action for qubes that no policy judges; undefined: nothing judges them, not even `common`. */
function unmatchedAction({ unmatched }: RuleSet, direction: Direction): Action | undefined {
  return direction === 'egress' ? unmatched : undefined;
}

/**
 * The policy with the longest prefix that holds the qube's address; for egress `default` where there is none.
 */
export function judgingPolicy(
  ruleSet: RuleSet,
  qube: Address | undefined,
  direction: Direction,
): Policy | undefined {
  let best: Policy | undefined;
  let bestLength = -1;
  for (const policy of ruleSet.policies.values()) {
    if (qube === undefined || policy.name === DEFAULT_POLICY || isForAllQubes(policy.name)) continue;
    if (direction === 'ingress' && !judgesIngress(policy)) continue;
    const length = memberOf(policy.prefixes, qube)?.length ?? -1;
    if (length > bestLength) {
      best = policy;
      bestLength = length;
    }
  }
  return best ?? (direction === 'egress' ? ruleSet.policies.get(DEFAULT_POLICY) : undefined);
}

/** Networks of a policy to try for an address of its own; each try looks at all policies. */
const NETWORKS_MAX = 64;

/**
 * An address that stands for a policy in one family: the policy decides the same for all its addresses,
 * except where names were resolved for a qube. Undefined if the policy has no prefix, or if other policies
 * judge both ends of each of its first NETWORKS_MAX prefixes.
 */
export function addressJudgedBy(ruleSet: RuleSet, policy: Policy, family: Family): Address | undefined {
  const prefixes = columnFor(policy.prefixes, family);
  for (let i = 0; i < Math.min(prefixes.lengths.length, NETWORKS_MAX); i++) {
    const first = prefixAt(prefixes, i);
    for (const words of [first.words, lastOf(first)]) {
      const address = { family, words };
      if (judgingPolicy(ruleSet, address, 'egress') === policy) return address;
    }
  }
  return undefined;
}

function lastOf({ words, length }: Prefix): Uint32Array {
  return words.map((word, i) => (word | ~wordMask(Math.max(0, Math.min(32, length - i * 32)))) >>> 0);
}

interface Decision {
  readonly action: Action;
  readonly rule: RuleOrigin;
}

/**
 * The decision of the first rule in a policy's block that matches. A rule that cannot be read counts if it
 * might match.
 */
function firstMatch(
  ruleSet: RuleSet,
  environment: Environment,
  packet: Packet,
  direction: Direction,
  policy: Policy,
  block: RuleBlock,
  told: Told,
): Decision | undefined {
  const opens = (list: string): boolean =>
    direction === 'egress' && namesOpenedBy(ruleSet.lists, list) !== undefined && told(list);
  const remote = direction === 'egress' ? packet.dst : packet.src;
  const runs = runsOf(policy, direction, block);
  const fits = runs.forms.map(({ match }) => fitOf(match, environment, packet, remote));
  for (let index = 0; index < runs.count; index++) {
    const fit = fits[runs.formOf[index]!]; // a run, here and below
    if (fit === 'no') continue;
    const run = runAt(runs, index);
    const hit = remoteHit(ruleSet, run, remote) ?? toldHit(run, remote, opens);
    if (hit === undefined) continue;
    return {
      action: fit === 'unreadable' ? 'drop' : run.match.action,
      rule: {
        policy: policy.name,
        block,
        run: index,
        index: runs.starts[index]! + hit.offset,
        list: hit.list,
        prefix: hit.prefix,
      },
    };
  }
  return undefined;
}

/**
 * Whether everything in a rule except its remote side fits; `unreadable`: everything that can be read fits.
 */
type Fit = 'yes' | 'no' | 'unreadable';

function fitOf(match: RuleMatch, environment: Environment, packet: Packet, remote: Address | undefined): Fit {
  if (match.expire !== undefined && timeFor(match.action, environment) >= match.expire) return 'no';
  const icmp = packet.dst.family === 4 ? IpProtocol.icmp : IpProtocol.icmp6;
  const hasPorts = packet.proto === IpProtocol.tcp || packet.proto === IpProtocol.udp;
  if (
    match.proto !== undefined &&
    packet.proto !== (match.proto === 'icmp' ? icmp : IpProtocol[match.proto])
  ) {
    return 'no';
  }
  if (match.dns && !(hasPorts && remote !== undefined && isAmong(environment.dns, remote))) return 'no';
  if (match.ports !== undefined && !hasPorts) return 'no';
  if (match.icmpType !== undefined && packet.proto !== icmp) return 'no';
  if (match.dns || match.ports !== undefined) {
    if (packet.port === undefined) return 'unreadable';
    if (match.dns && packet.port !== DNS_PORT) return 'no';
    if (match.ports !== undefined && (packet.port < match.ports.first || packet.port > match.ports.last))
      return 'no';
  }
  if (match.icmpType !== undefined) {
    if (packet.icmpType === undefined) return 'unreadable';
    if (packet.icmpType !== match.icmpType) return 'no';
  }
  return 'yes';
}

function isAmong(addresses: readonly Address[], address: Address): boolean {
  return addresses.some((other) => sameAddress(other, address));
}

/** The match of an address with the remote side of a run. */
interface RemoteHit {
  /** The rule's index within the run. */
  readonly offset: number;
  readonly list: string | undefined;
  readonly prefix: Prefix | undefined;
}

/** A match by a list of names: the rule accepts an address that DNS gave this qube for a name in the list. */
function toldHit({ match, remote }: Run, address: Address | undefined, opens: Told): RemoteHit | undefined {
  if (match.action !== 'accept' || match.dns || remote.kind !== 'list') return undefined;
  if (address === undefined || !opens(remote.list)) return undefined;
  return { offset: 0, list: remote.list, prefix: { ...address, length: bitsOf(address.family) } };
}

function remoteHit(ruleSet: RuleSet, run: Run, address: Address | undefined): RemoteHit | undefined {
  const remote = run.remote;
  switch (remote.kind) {
    case 'any':
      return { offset: 0, list: undefined, prefix: undefined };
    case 'prefixes': {
      const { prefixes } = remote;
      if (address?.family !== prefixes.family) return undefined;
      for (let offset = 0; offset < prefixes.lengths.length; offset++) {
        if (containsAt(prefixes, offset, address.words, 0)) {
          return { offset, list: undefined, prefix: prefixAt(prefixes, offset) };
        }
      }
      return undefined;
    }
    case 'name': {
      const prefix = address && memberOf(resolutionOf(ruleSet, remote.name), address);
      return prefix && { offset: 0, list: undefined, prefix };
    }
    case 'list': {
      const prefix = address && listMember(ruleSet, remote.list, address);
      return prefix && { offset: 0, list: remote.list, prefix };
    }
  }
}

/** The member of a list that holds an address. A list of names stands for all addresses of its names. */
function listMember(ruleSet: RuleSet, name: string, address: Address): Prefix | undefined {
  const list = ruleSet.lists.get(name);
  if (list === undefined) return undefined;
  if (list.kind === 'prefixes') return memberOf(list, address);
  if (list.resolve !== true) return undefined;
  let widest: Prefix | undefined; // in the canonical union, the widest member covers the others
  for (const host of nameTexts(list.names)) {
    const member = memberOf(resolutionOf(ruleSet, host), address);
    if (member !== undefined && member.length < (widest?.length ?? Number.POSITIVE_INFINITY)) widest = member;
  }
  return widest;
}

function memberOf(set: PrefixSet, address: Address): Prefix | undefined {
  const column = columnFor(set, address.family);
  const index = memberContaining(column, address.words);
  return index < 0 ? undefined : prefixAt(column, index);
}
