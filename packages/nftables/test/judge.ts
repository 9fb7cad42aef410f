/**
 * Judges the first packet of a flow by a plan, step by step as the kernel does: to test that a plan means
 * what its rule set means.
 */

import { type Direction, memberContaining } from '@rulecast/rules';
import { type ClassMap, entryChain, type Plan, type PlanRule, parseMapName } from '../src/plan/plan.ts';

/** What a plan can see of a packet. */
export interface SeenPacket {
  /** 8 or 32 hex digits, of one family. */
  readonly src: string;
  readonly dst: string;
  readonly protocol: number;
  /** Port of the destination; undefined if the protocol has none. */
  readonly port: number | undefined;
  readonly icmpType: number | undefined;
  /** What the sender wrote, where it is not `dst`, after DNAT. */
  readonly originalDst?: string;
}

/** `none`: the direction lets it pass without a rule or a default that says so. */
export type PlanVerdict = 'accept' | 'drop' | 'none';

/** What one direction does with a packet. */
export function judgeDirection(plan: Plan, direction: Direction, packet: SeenPacket): PlanVerdict {
  const family = packet.src.length === 8 ? 4 : 6;
  const qube = direction === 'egress' ? packet.src : packet.dst;
  const remote = direction === 'egress' ? packet.dst : packet.src;
  const view: View = { plan, packet, qube, remote, remoteWords: wordsOf(remote) };
  return judgeChain(view, entryChain(direction, family)) ?? 'none';
}

interface View {
  readonly plan: Plan;
  readonly packet: SeenPacket;
  readonly qube: string;
  readonly remote: string;
  readonly remoteWords: Uint32Array;
}

/** Undefined: the chain ends without a verdict, and the one that jumped there goes on. */
function judgeChain(view: View, name: string): PlanVerdict | undefined {
  for (const step of view.plan.chains.get(name) ?? []) {
    switch (step.kind) {
      case 'rule':
        if (matches(view, step)) return step.action;
        break;
      case 'dispatch': {
        const chain = view.plan.maps.get(step.map)?.get(cut(view.qube, parseMapName(step.map)?.length ?? 0));
        if (chain !== undefined) return judgeChain(view, chain);
        break;
      }
      case 'classify': {
        const chain = classOf(view, step.map);
        if (chain !== undefined) return judgeChain(view, chain);
        break;
      }
      case 'goto':
        return judgeChain(view, step.chain);
      case 'jump': {
        const verdict = judgeChain(view, step.chain);
        if (verdict !== undefined) return verdict;
        break;
      }
      case 'pass':
        return 'none';
    }
  }
  return undefined;
}

function classOf({ plan, remote }: View, name: string): string | undefined {
  const map = plan.classMaps.get(name);
  if (map === undefined) throw new TypeError(`no class map ${name}`);
  return chainsIn(map).get(wordsOf(cut(remote, map.tier.length)).join());
}

const known = new WeakMap<ClassMap, ReadonlyMap<string, string>>();

/** By network, its words joined. Throws TypeError where one is there twice, which the kernel would refuse. */
function chainsIn(map: ClassMap): ReadonlyMap<string, string> {
  const before = known.get(map);
  if (before !== undefined) return before;
  const stride = map.family === 4 ? 1 : 4;
  const chains = new Map<string, string>();
  for (const [i, verdict] of map.verdicts.entries())
    chains.set(map.words.subarray(i * stride, (i + 1) * stride).join(), map.chains[verdict] ?? '');
  if (chains.size < map.verdicts.length) throw new TypeError('a network is there twice');
  known.set(map, chains);
  return chains;
}

function matches(view: View, rule: PlanRule): boolean {
  const { protocol, port, icmpType } = view.packet;
  if (rule.protocols.length > 0 && !rule.protocols.includes(protocol)) return false;
  if (rule.ports !== undefined && !(port !== undefined && port >= rule.ports[0] && port <= rule.ports[1]))
    return false;
  if (rule.icmpType !== undefined && rule.icmpType !== icmpType) return false;
  const remote = rule.original ? (view.packet.originalDst ?? view.packet.dst) : view.remote;
  switch (rule.remote.kind) {
    case 'any':
      return true;
    case 'prefix':
      return cut(remote, rule.remote.length) === rule.remote.address;
    case 'told':
      return false; // nobody was told anything
    case 'set': {
      const set = view.plan.sets.get(rule.remote.set);
      const words = rule.original ? wordsOf(remote) : view.remoteWords;
      return set !== undefined && memberContaining(set.members, words) >= 0;
    }
  }
}

/** The first `length` bits of an address in hex, the others zero. */
function cut(hex: string, length: number): string {
  const whole = length >> 2;
  if (whole >= hex.length) return hex;
  const kept = Number.parseInt(hex[whole] ?? '0', 16) & (0xf0 >> (length & 3)) & 15;
  return hex.slice(0, whole) + kept.toString(16) + '0'.repeat(hex.length - whole - 1);
}

function wordsOf(hex: string): Uint32Array {
  return Uint32Array.from({ length: hex.length / 8 }, (_, w) =>
    Number.parseInt(hex.slice(w * 8, w * 8 + 8), 16),
  );
}
