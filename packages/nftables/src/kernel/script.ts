/**
 * Scripts: the text that libnftables runs for a change, made of validated values alone: numbers, and names
 * whose form was checked. What makes new objects comes first and has no effect, in pieces; then one
 * transaction puts them in force, and takes away what nobody refers to any more. Elements are no text, but
 * for those of interval sets (elements.ts).
 */

import type { Family } from '@rulecast/rules';
import { FLOW_MARK_MAX, FLOW_MARK_UNIT, HOOK_PRIORITY, NO_FLOW_MARK } from '../limits.ts';
import type { Change, ChangeOptions, Tag } from '../plan/change.ts';
import { capacityOf } from '../plan/layout.ts';
import {
  DENIED_COUNTER,
  type PlanRule,
  parseChainName,
  parseClassMapName,
  parseMapName,
  parseSetName,
  type SetName,
  type Step,
} from '../plan/plan.ts';

/**
 * The protocols that have ports, for rules of both. A set without a name in each rule would be an object of
 * its own, and the kernel looks through all of them for a name: 5,800 rules took 3.7 s.
 */
const PORT_PROTOCOLS_SET = 'port_protocols';
/** Where dropped packets go. */
export const DENY_CHAIN = 'deny';
/** Where packets come in, and where they go on that nothing objects to on their way from a qube. */
export const BASE_CHAIN = 'forward';
export const NEXT_CHAIN = 'to_qubes';
/** Where what is of no flow comes. */
export const FLOWLESS_CHAIN = 'flowless';
/**
 * Lines that are run at once: libnftables takes some 30 µs for each, and nothing may wait for it longer than
 * 25 ms.
 */
const LINES_AT_ONCE = 500;

/** The text of a change. Between `objects` and `chains`, elements can be put in. */
export interface Script {
  /** Makes what nothing refers to; pieces, each a transaction. */
  readonly objects: readonly string[];
  /** Writes the rules of chains that nothing leads to. */
  readonly chains: readonly string[];
  /** Puts all of it in force: one transaction. */
  readonly release: string;
}

/** The text of a validated change of a table, which for one that is `fresh` is new and empty. */
export function scriptOf(change: Change, table: string): Script {
  const t = `inet ${table}`;
  const isNew = new Set(change.newChains);
  const rules = (names: (name: string) => boolean): string[] =>
    change.chains.filter(({ name }) => names(name)).flatMap((chain) => ruleLines(chain, t));
  const isFresh = change.base === 'fresh';
  return {
    objects: piecesOf([...(isFresh ? frameLines(change, t) : []), ...objectLines(change, t)]),
    chains: piecesOf(rules((name) => isNew.has(name))),
    release: textOf([
      ...tagLines(change, t),
      ...change.chains.filter(({ name }) => !isNew.has(name)).map(({ name }) => `flush chain ${t} ${name}`),
      ...rules((name) => !isNew.has(name)),
      ...oldLines(change, t),
    ]),
  };
}

function piecesOf(lines: readonly string[]): readonly string[] {
  const pieces: string[] = [];
  for (let from = 0; from < lines.length; from += LINES_AT_ONCE)
    pieces.push(textOf(lines.slice(from, from + LINES_AT_ONCE)));
  return pieces;
}

function textOf(lines: readonly string[]): string {
  return `${lines.join('\n')}\n`;
}

/**
 * The empty chain whose name is the tag. A change deletes that of its base, so that the kernel refuses the
 * whole transaction where the base is not what is there.
 */
function tagChain({ release, conditions, mark }: Tag): string {
  return `release_${release}_${conditions}_${mark}`;
}

/** Reads what `tagChain` makes. */
export function parseTagChain(name: string): Tag | undefined {
  const match = /^release_([0-9a-f]{64})_([0-9a-f]{16})_(\d{1,3})$/.exec(name);
  if (match === null) return undefined;
  const [, release = '', conditions = '', mark] = match;
  return { release, conditions, mark: Number(mark) };
}

/** The tag, and where the mark of a release is read and given. */
function tagLines(change: Change, t: string): readonly string[] {
  const add = `add chain ${t} ${tagChain(change.tag)}`;
  if (change.base === 'fresh') return [add, baseChainLine(t), ...baseLines(change, t)];
  const moved = [`delete chain ${t} ${tagChain(change.base)}`, add];
  if (change.base.mark === change.tag.mark) return moved;
  return [...moved, ...chainLines(NEXT_CHAIN, nextRules(change), t), ...baseLines(change, t)];
}

function objectLines(change: Change, t: string): readonly string[] {
  return [
    ...change.newCounters.map((name) => `add counter ${t} ${name}`),
    ...change.newSets.map((name) => newSetLine(name, t)),
    ...change.newMaps.map((name) => newMapLine(name, t)),
    ...change.newChains.map((name) => `add chain ${t} ${name}`),
  ];
}

function ruleLines({ name, steps }: Change['chains'][number], t: string): readonly string[] {
  const place = parseChainName(name);
  if (place === undefined) throw new TypeError(`chain ${name}`);
  return steps
    .flatMap((step) => stepRules(step, place.direction === 'egress', place.family))
    .map((rule) => `add rule ${t} ${name} ${rule}`);
}

function oldLines(change: Change, t: string): readonly string[] {
  return [
    ...change.oldChains.map((name) => `flush chain ${t} ${name}`),
    ...change.oldMaps.map((name) => `delete map ${t} ${name}`),
    ...change.oldChains.map((name) => `delete chain ${t} ${name}`),
    ...change.oldSets.map((name) => `delete set ${t} ${name}`),
    ...change.oldCounters.map((name) => `delete counter ${t} ${name}`),
  ];
}

/** How many rules the kernel has of some chains and of what every plan has. */
export function ruleCount(chains: Iterable<readonly Step[]>, options: ChangeOptions): number {
  let count = 0;
  for (const rules of [denyRules, flowlessRules, nextRules, baseRules]) count += rules(options).length;
  for (const steps of chains) count += steps.length;
  return count;
}

/** What every plan has but the base chain: what follows it, and what happens to dropped packets. */
function frameLines(options: ChangeOptions, t: string): readonly string[] {
  return [
    `add counter ${t} ${DENIED_COUNTER}`,
    `add set ${t} ${PORT_PROTOCOLS_SET} { type inet_proto; elements = { 6, 17 }; }`,
    ...[DENY_CHAIN, NEXT_CHAIN, FLOWLESS_CHAIN, ...ENTRY_CHAINS].map((name) => `add chain ${t} ${name}`),
    ...chainLines(DENY_CHAIN, denyRules(options), t),
    ...chainLines(FLOWLESS_CHAIN, flowlessRules(options), t),
    ...chainLines(NEXT_CHAIN, nextRules(options), t),
  ];
}

const ENTRY_CHAINS = ['egress4', 'egress6', 'ingress4', 'ingress6'];

function baseChainLine(t: string): string {
  return `add chain ${t} ${BASE_CHAIN} { type filter hook forward priority ${HOOK_PRIORITY}; policy accept; }`;
}

function baseLines(options: ChangeOptions, t: string): readonly string[] {
  return chainLines(BASE_CHAIN, baseRules(options), t);
}

function chainLines(chain: string, rules: readonly string[], t: string): readonly string[] {
  return [`flush chain ${t} ${chain}`, ...rules.map((rule) => `add rule ${t} ${chain} ${rule}`)];
}

function denyRules({ answer }: ChangeOptions): readonly string[] {
  const count = `counter name ${DENIED_COUNTER}`;
  return answer === 'reject' ? [count, ...REJECTIONS] : [`${count} drop`];
}

function nextRules({ downstreamGroup, tag }: ChangeOptions): readonly string[] {
  const value = tag.mark * FLOW_MARK_UNIT;
  const others = 0xffffffff - FLOW_MARK_BITS;
  // An error message about a flow (`related`) is judged as the flow, and says nothing of where it goes.
  const marking = `ct state new,established ct mark set ct mark & ${others} | ${value} accept`;
  return [
    ...(tag.mark === NO_FLOW_MARK ? [] : outwardPaths(downstreamGroup).map((path) => `${path} ${marking}`)),
    `ct direction original oifgroup != ${downstreamGroup} accept`,
    `ct direction reply iifgroup != ${downstreamGroup} accept`,
    // The rest of a TCP connection that nobody follows: no connection begins so.
    `ct state new tcp flags & (fin | syn | rst | ack) != syn counter name ${DENIED_COUNTER} drop`,
    'meta nfproto ipv4 goto ingress4',
    'meta nfproto ipv6 goto ingress6',
    'accept',
  ];
}

function baseRules({ downstreamGroup, tag }: ChangeOptions): readonly string[] {
  const value = tag.mark * FLOW_MARK_UNIT;
  const known = `ct mark & ${FLOW_MARK_BITS} == ${value} accept`;
  return [
    ...(tag.mark === NO_FLOW_MARK ? [] : outwardPaths(downstreamGroup).map((path) => `${path} ${known}`)),
    `ct state invalid,untracked goto ${FLOWLESS_CHAIN}`,
    ...['original iifgroup', 'reply oifgroup'].flatMap((way) =>
      [4, 6].map(
        (family) => `ct direction ${way} ${downstreamGroup} meta nfproto ipv${family} goto egress${family}`,
      ),
    ),
    `goto ${NEXT_CHAIN}`,
  ];
}

/** No key of a flow matches what is of none, so that it would pass all rules. */
function flowlessRules({ downstreamGroup }: ChangeOptions): readonly string[] {
  const denied = `counter name ${DENIED_COUNTER} drop`;
  return [`iifgroup ${downstreamGroup} ${denied}`, `oifgroup ${downstreamGroup} ${denied}`, 'accept'];
}

/** The ways of a flow from a qube to elsewhere, there and back: only such flows are marked. */
function outwardPaths(group: number): readonly string[] {
  return [
    `ct direction original iifgroup ${group} oifgroup != ${group}`,
    `ct direction reply oifgroup ${group} iifgroup != ${group}`,
  ];
}

const FLOW_MARK_BITS = FLOW_MARK_UNIT * FLOW_MARK_MAX;

/**
 * As Qubes does: ICMP 3/13, ICMPv6 1/1. A TCP connection in progress is reset, so that whoever waits for it
 * learns at once; of any other reply the sender learns nothing.
 */
const REJECTIONS = [
  'meta l4proto 6 ct direction reply reject with tcp reset',
  'ct direction reply drop',
  'tcp flags & syn == 0 reject with tcp reset',
  'reject with icmpx admin-prohibited',
];

function newSetLine(name: string, t: string): string {
  const { family, tier } = setNameOf(name);
  const type = family === 4 ? 'ipv4_addr' : 'ipv6_addr';
  const shape = tier === undefined ? 'flags interval;' : `size ${0.75 * 2 ** tier.bucketsLog2};`;
  return `add set ${t} ${name} { type ${type}; ${shape} }`;
}

function newMapLine(name: string, t: string): string {
  const classes = parseClassMapName(name);
  if (classes !== undefined) {
    const type = classes.family === 4 ? 'ipv4_addr' : 'ipv6_addr';
    return `add map ${t} ${name} { type ${type} : verdict; size ${capacityOf(classes.tier.bucketsLog2)}; }`;
  }
  const type = parseMapName(name)?.family === 4 ? 'ipv4_addr' : 'ipv6_addr';
  return `add map ${t} ${name} { type ${type} : verdict; }`;
}

export function setNameOf(name: string): SetName {
  const parsed = parseSetName(name);
  if (parsed === undefined) throw new TypeError(`set ${name}`);
  return parsed;
}

// ── Rules ──────────────────────────────────────────────────────────────────────────────────────────────────

function stepRules(step: Step, isEgress: boolean, family: Family): readonly string[] {
  switch (step.kind) {
    case 'rule':
      return [ruleText(step, isEgress, family)];
    case 'dispatch': {
      const length = parseMapName(step.map)?.length ?? 0;
      const field = `ct ${isEgress ? 'original' : 'reply'} ${family === 4 ? 'ip' : 'ip6'} saddr`;
      return [`${maskedField(field, family, length)} vmap @${step.map}`];
    }
    case 'classify': {
      const field = `ct ${isEgress ? 'reply' : 'original'} ${family === 4 ? 'ip' : 'ip6'} saddr`;
      return [
        `${maskedField(field, family, parseClassMapName(step.map)?.tier.length ?? 0)} vmap @${step.map}`,
      ];
    }
    case 'goto':
    case 'jump':
      return [`${step.kind} ${step.chain}`];
    case 'pass':
      return [acceptance(isEgress)];
  }
}

function ruleText(rule: PlanRule, isEgress: boolean, family: Family): string {
  const parts: string[] = [];
  const { protocols, ports, icmpType } = rule;
  if (protocols.length === 1) parts.push(`ct original protocol ${protocols[0]}`);
  else if (protocols.length > 1) parts.push(`ct original protocol @${PORT_PROTOCOLS_SET}`);
  if (ports !== undefined)
    parts.push(`ct reply proto-src ${ports[0] === ports[1] ? ports[0] : ports.join('-')}`);
  // Of an ICMP flow: the type in the upper byte, the code in the lower.
  if (icmpType !== undefined) parts.push(`ct original proto-dst ${icmpType * 256}-${icmpType * 256 + 255}`);
  parts.push(remoteText(rule, isEgress, family));
  parts.push(
    `counter name ${rule.counter}`,
    rule.action === 'accept' ? acceptance(isEgress) : `goto ${DENY_CHAIN}`,
  );
  return parts.filter((part) => part !== '').join(' ');
}

/** What egress accepts goes on to be judged as ingress. */
function acceptance(isEgress: boolean): string {
  return isEgress ? `goto ${NEXT_CHAIN}` : 'accept';
}

function remoteText({ remote, original }: PlanRule, isEgress: boolean, family: Family): string {
  const ip = family === 4 ? 'ip' : 'ip6';
  // The address that a flow went to is the one that replies come from: `original daddr` is from before DNAT.
  const field = original ? `ct original ${ip} daddr` : `ct ${isEgress ? 'reply' : 'original'} ${ip} saddr`;
  switch (remote.kind) {
    case 'any':
      return '';
    case 'prefix':
      return `${field} ${addressText(remote.address)}/${remote.length}`;
    case 'set':
      return [setText(field, '', remote.set), ...remote.except.map((set) => setText(field, '!= ', set))].join(
        ' ',
      );
  }
}

function setText(field: string, operator: string, set: string): string {
  const { family, tier } = setNameOf(set);
  return `${maskedField(field, family, tier?.length ?? (family === 4 ? 32 : 128))} ${operator}@${set}`;
}

function maskedField(field: string, family: Family, length: number): string {
  const bits = family === 4 ? 32 : 128;
  if (length === bits) return field;
  let hex = '';
  for (let bit = 0; bit < bits; bit += 4) {
    const ones = Math.max(0, Math.min(4, length - bit));
    hex += ((0xf0 >> ones) & 15).toString(16);
  }
  return `${field} & ${addressText(hex)}`;
}

/** An address of 8 or 32 hex digits as nft reads it. */
export function addressText(hex: string): string {
  if (hex.length === 8) return (hex.match(/../g) ?? []).map((pair) => Number.parseInt(pair, 16)).join('.');
  return (hex.match(/..../g) ?? []).join(':');
}
