/**
 * Scripts: the commands to the kernel for a change, made of validated values alone: numbers, and names whose
 * form was checked. New objects are created first, in pieces, without effect; then one transaction puts them
 * in force and removes unreferenced ones. Elements are added in between (elements.ts).
 */

import type { Family } from '@rulecast/rules';
import { bitsOf } from '@rulecast/rules/columns';
import { CLOSED_TABLE, NO_FLOW_MARK } from '../limits.ts';
import type { Change, ChangeOptions, Tag } from '../plan/change.ts';
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
import {
  addBaseChain,
  addChain,
  addCounter,
  addProtocolSet,
  addRule,
  addSet,
  addSourcesSet,
  addTable,
  type Command,
  deleteChain,
  deleteCounter,
  deleteSet,
  flushChain,
  NftMessage,
} from './commands.ts';
import {
  addLabels,
  byte,
  Ct,
  CtDirection,
  CtState,
  counts,
  ct,
  ctBehind,
  differs,
  type Expression,
  equals,
  half,
  isIn,
  isNotIn,
  isWithin,
  Meta,
  machineWord,
  masked,
  meta,
  NFPROTO,
  Reject,
  reject,
  transport,
  verdict,
  verdictOf,
} from './expressions.ts';
import { labelsOf } from './flow-labels.ts';
import { type LogPlace, logChain, logCommands, refusal, relogCommands } from './log-script.ts';
import { SOURCES_SETS } from './sources.ts';

/**
 * The protocols that have ports, for rules of both. A set without a name in each rule would be an object of
 * its own, and the kernel looks through all of them for a name: 5,800 rules took 3.7 s.
 */
export const PORT_PROTOCOLS_SET = 'port_protocols';
/** The chain that drops packets. */
export const DENY_CHAIN = 'deny';
/** The chain of the hook, and the chain for packets that egress accepted. */
export const BASE_CHAIN = 'forward';
export const NEXT_CHAIN = 'to_qubes';
/** Likewise for packets open by name, without a mark: each packet is judged, so that its interface counts. */
export const TOLD_CHAIN = 'told';
/** The chain for packets that belong to no flow. */
export const FLOWLESS_CHAIN = 'flowless';
const ENTRY_CHAINS = ['egress4', 'egress6', 'ingress4', 'ingress6'];

/** The commands of a change. Between `objects` and `chains`, elements can be put in. */
export interface Script {
  /** Make what nothing refers to, in any pieces. */
  readonly objects: Iterable<Command>;
  /** Write the rules of chains that nothing leads to, in any pieces. */
  readonly chains: Iterable<Command>;
  /** Put all of it in force: one transaction. */
  readonly release: Iterable<Command>;
}

/** The commands of a validated change of a table, which for one that is `fresh` is new and empty. */
export function scriptOf(change: Change, table: string): Script {
  const isNew = new Set(change.newChains);
  const rest = change.chains.filter(({ name }) => !isNew.has(name));
  return {
    objects: objectCommands(change, table),
    chains: ruleCommands(
      change.chains.filter(({ name }) => isNew.has(name)),
      table,
    ),
    release: releaseCommands(change, rest, table),
  };
}

/**
 * The name of an empty chain that carries the tag. A change deletes the chain of its base's tag, so that the
 * kernel refuses the transaction if the base is not what is loaded.
 */
function tagChain({ release, conditions, mark }: Tag): string {
  return `release_${release}_${conditions}_${mark}`;
}

/** Parses the output of `tagChain`. */
export function parseTagChain(name: string): Tag | undefined {
  const match = /^release_([0-9a-f]{64})_([0-9a-f]{16})_(\d{1,3})$/.exec(name);
  if (match === null) return undefined;
  const [, release = '', conditions = '', mark] = match;
  return { release, conditions, mark: Number(mark) };
}

function* objectCommands(change: Change, table: string): Generator<Command> {
  if (change.base === 'fresh') yield* frameCommands(change, table);
  for (const name of change.newCounters) yield addCounter(table, name);
  const lists = new Map(change.nameSets?.map(({ set, list }) => [set, list]));
  for (const name of [...change.newSets, ...change.newMaps]) yield addSet(table, name, lists.get(name));
  for (const name of change.newChains) yield addChain(table, name);
}

function* ruleCommands(chains: Change['chains'], table: string): Generator<Command> {
  for (const { name, steps } of chains) {
    const place = parseChainName(name);
    if (place === undefined) throw new TypeError(`chain ${name}`);
    for (const step of steps)
      for (const rule of stepRules(step, place.direction === 'egress', place.family))
        yield addRule(table, name, rule);
  }
}

function* releaseCommands(change: Change, chains: Change['chains'], table: string): Generator<Command> {
  const { base, tag, oldChains } = change;
  if (base !== 'fresh') yield deleteChain(table, tagChain(base));
  yield addChain(table, tagChain(tag));
  if (base === 'fresh') yield addBaseChain(table, BASE_CHAIN);
  else if (base.mark !== tag.mark) {
    yield* [NEXT_CHAIN, BASE_CHAIN].map((chain) => flushChain(table, chain));
    yield* addRules(table, NEXT_CHAIN, nextRules(change));
  }
  if (base === 'fresh' || base.mark !== tag.mark) yield* addRules(table, BASE_CHAIN, baseRules(change));
  if (base !== 'fresh' && base.release !== tag.release)
    yield* relogCommands(table, ['rule', 'reply', 'tcp-rest', 'flowless'], change, tag.release);
  for (const { name } of chains) yield flushChain(table, name);
  yield* ruleCommands(chains, table);
  for (const name of oldChains) yield flushChain(table, name);
  for (const name of change.oldMaps) yield deleteSet(table, name);
  for (const name of oldChains) yield deleteChain(table, name);
  for (const name of change.oldSets) yield deleteSet(table, name);
  for (const name of change.oldCounters) yield deleteCounter(table, name);
}

/** The number of kernel rules for some chains, and for the frame that every plan has. */
export function ruleCount(chains: Iterable<readonly Step[]>, options: ChangeOptions): number {
  let count = 0;
  for (const rules of [denyRules, flowlessRules, nextRules, toldRules, baseRules])
    count += rules(options).length;
  for (const { type } of refusalCommands('', options)) if (type === NftMessage.newRule) count++;
  for (const steps of chains) for (const step of steps) count += isTold(step) ? 2 : 1;
  return count;
}

// ── What every plan has ────────────────────────────────────────────────────────────────────────────────────

export type Rule = readonly Expression[];

const ACCEPT = verdict('accept');
const DROP = verdict('drop');
const COUNTED_DROP: Rule = [counts(DENIED_COUNTER), DROP];
export const TCP = equals(byte(6));
/** Bits of the byte of a TCP header that has them. */
const TCP_FLAGS_AT = 13;
const TcpFlag = { fin: 1, syn: 2, rst: 4, ack: 16 } as const;

/** The frame except the base chain: the chains behind it, and those for dropped packets. */
function* frameCommands(options: ChangeOptions, table: string): Generator<Command> {
  yield addCounter(table, DENIED_COUNTER);
  yield* addProtocolSet(table, PORT_PROTOCOLS_SET, [6, 17]);
  for (const family of [4, 6] as const) yield addSourcesSet(table, SOURCES_SETS[family], family);
  const chains = [DENY_CHAIN, NEXT_CHAIN, TOLD_CHAIN, FLOWLESS_CHAIN, ...ENTRY_CHAINS];
  for (const name of chains) yield addChain(table, name);
  yield* refusalCommands(table, options);
  yield* addRules(table, DENY_CHAIN, denyRules(options));
  yield* addRules(table, FLOWLESS_CHAIN, flowlessRules(options));
  yield* addRules(table, NEXT_CHAIN, nextRules(options));
  yield* addRules(table, TOLD_CHAIN, toldRules(options));
}

/** The chains that log packets before they are refused. */
function refusalCommands(table: string, options: ChangeOptions): Generator<Command> {
  const endings = { rule: undefined, reply: undefined, 'tcp-rest': COUNTED_DROP, flowless: COUNTED_DROP };
  return logCommands(table, endings, options, options.tag.release);
}

export function addRules(table: string, chain: string, rules: readonly Rule[]): readonly Command[] {
  return rules.map((rule) => addRule(table, chain, rule));
}

/**
 * The rules that drop, answering as Qubes does: ICMP 3/13, ICMPv6 1/1. A TCP connection in progress is reset,
 * so that its owner learns at once; the sender of any other reply gets no answer.
 */
function denyRules({ answer, logGroup }: ChangeOptions): readonly Rule[] {
  const logging: readonly Rule[] = [
    [...goes('original'), verdict('jump', logChain('rule'))],
    [...goes('reply'), verdict('jump', logChain('reply'))],
  ];
  const first = logGroup === undefined ? [] : logging;
  if (answer === 'silent') return [...first, COUNTED_DROP];
  return [
    ...first,
    [counts(DENIED_COUNTER)],
    [meta(Meta.protocol), TCP, ...goes('reply'), reject(Reject.tcpReset)],
    [...goes('reply'), DROP],
    [...tcpFlags(TcpFlag.syn), equals(byte(0)), reject(Reject.tcpReset)],
    [reject(Reject.adminProhibited)],
  ];
}

function nextRules(options: ChangeOptions): readonly Rule[] {
  const { downstreamGroup, tag } = options;
  const group = machineWord(downstreamGroup);
  const { fin, syn, rst, ack } = TcpFlag;
  return [
    ...(tag.mark === NO_FLOW_MARK
      ? []
      : outwardPaths(downstreamGroup).map((path): Rule => [...path, ...markingRule(tag.mark)])),
    [...goes('original'), meta(Meta.outGroup), differs(group), ACCEPT],
    [...goes('reply'), meta(Meta.inGroup), differs(group), ACCEPT],
    // The rest of a TCP connection that nobody follows: no connection begins so.
    [
      ...isOfState(CtState.new),
      ...tcpFlags(fin | syn | rst | ack),
      differs(byte(syn)),
      ...refusal('tcp-rest', COUNTED_DROP, options),
    ],
    ...([4, 6] as const).map((family): Rule => [...isOf(family), verdict('goto', `ingress${family}`)]),
    [ACCEPT],
  ];
}

/**
 * Adds a flow's mark. ICMP errors about a flow (`related`) are excluded: they match the flow, whatever their
 * destination.
 */
export function markingRule(mark: number): Rule {
  return [...isOfState(CtState.new | CtState.established), ...addLabels(labelsOf([mark])), ACCEPT];
}

function toldRules(options: ChangeOptions): readonly Rule[] {
  return nextRules({ ...options, tag: { ...options.tag, mark: NO_FLOW_MARK } });
}

function baseRules({ downstreamGroup, tag }: ChangeOptions): readonly Rule[] {
  const group = machineWord(downstreamGroup);
  const label = labelsOf([tag.mark]);
  const known: Rule = [ct(Ct.labels), masked(label), differs(new Uint8Array(label.length)), ACCEPT];
  const ways: readonly Rule[] = [
    [...goes('original'), meta(Meta.inGroup), equals(group)],
    [...goes('reply'), meta(Meta.outGroup), equals(group)],
  ];
  return [
    ...(tag.mark === NO_FLOW_MARK
      ? []
      : outwardPaths(downstreamGroup).map((path): Rule => [...path, ...known])),
    [...isOfState(CtState.invalid | CtState.untracked), verdict('goto', FLOWLESS_CHAIN)],
    ...ways.flatMap((way) =>
      ([4, 6] as const).map((family): Rule => [...way, ...isOf(family), verdict('goto', `egress${family}`)]),
    ),
    [verdict('goto', NEXT_CHAIN)],
  ];
}

/** Packets without a flow match no key of a flow, so they would pass all rules. */
function flowlessRules(options: ChangeOptions): readonly Rule[] {
  const isOurs = equals(machineWord(options.downstreamGroup));
  const ends = refusal('flowless', COUNTED_DROP, options);
  return [...[Meta.inGroup, Meta.outGroup].map((key): Rule => [meta(key), isOurs, ...ends]), [ACCEPT]];
}

/** The ways of a flow from a qube to elsewhere, there and back: only such flows are marked. */
function outwardPaths(downstreamGroup: number): readonly Rule[] {
  const group = machineWord(downstreamGroup);
  return [
    [...goes('original'), meta(Meta.inGroup), equals(group), meta(Meta.outGroup), differs(group)],
    [...goes('reply'), meta(Meta.outGroup), equals(group), meta(Meta.inGroup), differs(group)],
  ];
}

/** Makes the table, which is not there, that lets nothing pass from or to downstream qubes. */
export function* closedCommands(isOwned: boolean, place: LogPlace): Generator<Command> {
  const table = CLOSED_TABLE;
  const isOurs = equals(machineWord(place.downstreamGroup));
  const ends = [reject(Reject.adminProhibited)];
  yield addTable(table, isOwned);
  yield* logCommands(table, { closed: ends }, place);
  yield addBaseChain(table, BASE_CHAIN);
  for (const key of [Meta.inGroup, Meta.outGroup])
    yield addRule(table, BASE_CHAIN, [meta(key), isOurs, ...refusal('closed', ends, place)]);
}

export function goes(direction: keyof typeof CtDirection): Rule {
  return [ct(Ct.direction), equals(byte(CtDirection[direction]))];
}

export function isOf(family: Family): Rule {
  return [meta(Meta.family), equals(byte(NFPROTO[family]))];
}

/** Matches flows in any of these states. */
export function isOfState(states: number): Rule {
  return [ct(Ct.state), masked(machineWord(states)), differs(machineWord(0))];
}

/** Loads these TCP flags of a packet for a comparison. */
function tcpFlags(flags: number): Rule {
  return [meta(Meta.protocol), TCP, transport(TCP_FLAGS_AT, 1), masked(byte(flags))];
}

// ── Rules ──────────────────────────────────────────────────────────────────────────────────────────────────

export function setNameOf(name: string): SetName {
  const parsed = parseSetName(name);
  if (parsed === undefined) throw new TypeError(`set ${name}`);
  return parsed;
}

function isTold(step: Step): boolean {
  return step.kind === 'rule' && step.remote.kind === 'told';
}

/** One rule; two for addresses open by name, one for each direction, as replies come by any interface. */
function stepRules(step: Step, isEgress: boolean, family: Family): readonly Rule[] {
  if (step.kind !== 'rule' || step.remote.kind !== 'told') return [stepRule(step, isEgress, family)];
  return [
    [...goes('original'), ...planRule(step, isEgress, family, CAME_BY[family])],
    [...goes('reply'), ...planRule(step, isEgress, family)],
  ];
}

function stepRule(step: Step, isEgress: boolean, family: Family): Rule {
  switch (step.kind) {
    case 'rule':
      return planRule(step, isEgress, family);
    case 'dispatch': {
      const direction = isEgress ? 'original' : 'reply';
      return [
        ...address(direction, family, parseMapName(step.map)?.length ?? bitsOf(family)),
        verdictOf(step.map),
      ];
    }
    case 'classify': {
      const length = parseClassMapName(step.map)?.tier.length ?? bitsOf(family);
      return [...address(isEgress ? 'reply' : 'original', family, length), verdictOf(step.map)];
    }
    case 'goto':
    case 'jump':
      return [verdict(step.kind, step.chain)];
    case 'pass':
      return [acceptance(isEgress)];
  }
}

/** `also` is tested after the cheap conditions. */
function planRule(rule: PlanRule, isEgress: boolean, family: Family, also: Rule = []): Rule {
  const out: Expression[] = [];
  const { protocols, ports, icmpType, remote } = rule;
  const [protocol, other] = protocols;
  if (protocol !== undefined) out.push(PROTOCOL, other === undefined ? equals(byte(protocol)) : HAS_PORTS);
  if (ports !== undefined) {
    const [first, last] = ports;
    out.push(PORT, first === last ? equals(half(first)) : isWithin(half(first), half(last)));
  }
  // For an ICMP flow: the type is the upper byte, the code the lower.
  if (icmpType !== undefined) out.push(ICMP, isWithin(half(icmpType * 256), half(icmpType * 256 + 255)));
  out.push(...also, ...remoteOf(rule, isEgress, family), counts(rule.counter));
  const accepts = remote.kind === 'told' ? verdict('goto', TOLD_CHAIN) : acceptance(isEgress);
  out.push(rule.action === 'accept' ? accepts : DENY);
  return out;
}

/** The protocol of the flow. */
export const PROTOCOL = ct(Ct.protocol, CtDirection.original);
export const HAS_PORTS = isIn(PORT_PROTOCOLS_SET);
const PORT = ct(Ct.srcPort, CtDirection.reply);
const ICMP = ct(Ct.dstPort, CtDirection.original);
/** Behind the address of the qube, the one that replies come from: a pair, as name sets have them. */
const TOLD = {
  4: ctBehind(Ct.src4, CtDirection.reply, 4),
  6: ctBehind(Ct.src6, CtDirection.reply, 6),
} as const;
/** The interface that a packet came by, and who began its flow: a pair, as `sources` has them. */
const CAME_BY = {
  4: [meta(Meta.inName), ctBehind(Ct.src4, CtDirection.original, 6), isIn(SOURCES_SETS[4])],
  6: [meta(Meta.inName), ctBehind(Ct.src6, CtDirection.original, 6), isIn(SOURCES_SETS[6])],
} as const;
const DENY = verdict('goto', DENY_CHAIN);
const NEXT = verdict('goto', NEXT_CHAIN);

/** The end of an accept: packets that egress accepts are judged as ingress next. */
function acceptance(isEgress: boolean): Expression {
  return isEgress ? NEXT : ACCEPT;
}

function remoteOf({ remote, original }: PlanRule, isEgress: boolean, family: Family): Rule {
  // The address that a flow went to is the one that replies come from: `original` is from before DNAT.
  const side = original ? 'before' : isEgress ? 'reply' : 'original';
  switch (remote.kind) {
    case 'any':
      return [];
    case 'prefix': {
      if (remote.length === 32 && family === 4)
        return [...address(side, family, 32), equals(Number.parseInt(remote.address, 16))];
      const bytes = Uint8Array.from(Buffer.from(remote.address, 'hex'));
      // A prefix of whole bytes needs no mask: only those bytes are loaded.
      if (remote.length % 8 === 0 && remote.length > 0)
        return [...address(side, family, bitsOf(family)), equals(bytes.subarray(0, remote.length / 8))];
      return [...address(side, family, remote.length), equals(bytes)];
    }
    case 'told':
      return [...address('original', family, bitsOf(family)), TOLD[family], isIn(remote.set)];
    case 'set': {
      const asked = (set: string): Rule =>
        address(side, family, setNameOf(set).tier?.length ?? bitsOf(family));
      const { set, except } = remote;
      return [...asked(set), isIn(set), ...except.flatMap((each): Rule => [...asked(each), isNotIn(each)])];
    }
  }
}

/**
 * The first bits of an address of a flow: of its initiator, of the replying side, or of its destination
 * before translation.
 */
function address(side: 'original' | 'reply' | 'before', family: Family, length: number): Rule {
  const whole = ADDRESSES[`${side}${family}`];
  return length === bitsOf(family) ? [whole] : [whole, masked(maskOf(family, length))];
}

const ADDRESSES = {
  original4: ct(Ct.src4, CtDirection.original),
  original6: ct(Ct.src6, CtDirection.original),
  reply4: ct(Ct.src4, CtDirection.reply),
  reply6: ct(Ct.src6, CtDirection.reply),
  before4: ct(Ct.dst4, CtDirection.original),
  before6: ct(Ct.dst6, CtDirection.original),
} as const;

function maskOf(family: Family, length: number): Uint8Array {
  const bytes = bitsOf(family) / 8;
  return Uint8Array.from({ length: bytes }, (_, at) => 0xff00 >> Math.max(0, Math.min(8, length - at * 8)));
}
