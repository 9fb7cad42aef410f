/**
 * Scripts: the text that `nft -f -` runs for a change, made of validated values alone: numbers, and names whose form was checked.
 *
 * Within a transaction, new objects come first, then elements, then rules and keys, then what nobody refers to any more goes.
 */

import type { Family } from '@rulecast/rules';
import type { Change, ChangeOptions, Elements, Tag } from './change.ts';
import { FLOW_MARK_MAX, FLOW_MARK_UNIT, HOOK_PRIORITY, NO_FLOW_MARK, TABLE } from './limits.ts';
import {
  DENIED_COUNTER,
  type PlanRule,
  parseChainName,
  parseMapName,
  parseSetName,
  type SetName,
  type Step,
} from './plan.ts';

const T = `inet ${TABLE}`;
/** Where dropped packets go. */
export const DENY_CHAIN = 'deny';
/** Where packets come in, and where they go on that nothing objects to on their way from a qube. */
export const BASE_CHAIN = 'forward';
export const NEXT_CHAIN = 'to_qubes';
/** Where the rest of an accepted flow comes, and what is of no flow. */
export const KNOWN_CHAIN = 'known';
export const FLOWLESS_CHAIN = 'flowless';
/** Bytes of text made at a time. */
const CHUNK_BYTES = 262_144;
/** Longest text of one element, its separator included. */
const ELEMENT_MAX_BYTES = 48;

/** The text of a validated change, in pieces. Take each before asking for the next: they share memory. */
export function* scriptOf(change: Change, body: Uint8Array): Generator<Uint8Array> {
  yield Buffer.from(headText(change));
  for (const elements of change.removed) yield* elementText('delete', elements, body);
  for (const elements of change.added) yield* elementText('add', elements, body);
  yield Buffer.from(tailText(change));
}

/**
 * The empty chain whose name is the tag. A change deletes that of its base, so that the kernel refuses the whole transaction where
 * the base is not what is there.
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

function headText(change: Change): string {
  const lines: string[] = [];
  // Added so that there is one to delete: `destroy` needs nft 1.0.7.
  if (change.base === 'fresh') lines.push(`add table ${T}`, `delete table ${T}`, `add table ${T}`);
  else lines.push(`delete chain ${T} ${tagChain(change.base)}`);
  lines.push(`add chain ${T} ${tagChain(change.tag)}`);
  if (change.base === 'fresh' || change.takenOver) lines.push(...frameLines(change), ...gateLines(change));
  else if (change.base.mark !== change.tag.mark) lines.push(...gateLines(change));
  for (const name of change.newCounters) lines.push(`add counter ${T} ${name}`);
  for (const name of change.newSets) lines.push(newSetLine(name));
  for (const name of change.newMaps) lines.push(newMapLine(name));
  for (const name of change.newChains) lines.push(`add chain ${T} ${name}`);
  const isNew = new Set(change.newChains);
  for (const { name } of change.chains) if (!isNew.has(name)) lines.push(`flush chain ${T} ${name}`);
  for (const name of change.oldChains) lines.push(`flush chain ${T} ${name}`);
  for (const name of change.takenOver ? new Set(change.keys.map(({ map }) => map)) : [])
    lines.push(`flush map ${T} ${name}`);
  return `${lines.join('\n')}\n`;
}

function tailText(change: Change): string {
  const lines: string[] = [];
  for (const { name, steps } of change.chains) {
    const place = parseChainName(name);
    if (place === undefined) throw new TypeError(`chain ${name}`);
    for (const step of steps) {
      for (const rule of stepRules(step, place.direction === 'egress', place.family))
        lines.push(`add rule ${T} ${name} ${rule}`);
    }
  }
  for (const { map, address, chain } of change.keys)
    lines.push(`add element ${T} ${map} { ${addressText(address)} : goto ${chain} }`);
  for (const name of change.oldMaps) lines.push(`delete map ${T} ${name}`);
  for (const name of change.oldChains) lines.push(`delete chain ${T} ${name}`);
  for (const name of change.oldSets) lines.push(`delete set ${T} ${name}`);
  for (const name of change.oldCounters) lines.push(`delete counter ${T} ${name}`);
  return `${lines.join('\n')}\n`;
}

/** How many rules the kernel has of some chains and of what every plan has. */
export function ruleCount(chains: Iterable<readonly Step[]>, options: ChangeOptions): number {
  let count = 0;
  for (const rules of [denyRules, knownRules, flowlessRules, nextRules, baseRules])
    count += rules(options).length;
  for (const steps of chains) count += steps.length;
  return count;
}

/** What every plan has: the base chain, what follows it, and what happens to dropped packets. */
function frameLines(options: ChangeOptions): readonly string[] {
  return [
    `add counter ${T} ${DENIED_COUNTER}`,
    `add chain ${T} ${DENY_CHAIN}`,
    `add chain ${T} ${NEXT_CHAIN}`,
    `add chain ${T} ${KNOWN_CHAIN}`,
    `add chain ${T} ${FLOWLESS_CHAIN}`,
    `add chain ${T} ${BASE_CHAIN} { type filter hook forward priority ${HOOK_PRIORITY}; policy accept; }`,
    ...ENTRY_CHAINS.map((name) => `add chain ${T} ${name}`),
    ...chainLines(DENY_CHAIN, denyRules(options)),
    ...chainLines(KNOWN_CHAIN, knownRules(options)),
    ...chainLines(FLOWLESS_CHAIN, flowlessRules(options)),
  ];
}

const ENTRY_CHAINS = ['egress4', 'egress6', 'ingress4', 'ingress6'];

/** Where the mark of a release is read and given. */
function gateLines(options: ChangeOptions): readonly string[] {
  return [...chainLines(NEXT_CHAIN, nextRules(options)), ...chainLines(BASE_CHAIN, baseRules(options))];
}

function chainLines(chain: string, rules: readonly string[]): readonly string[] {
  return [`flush chain ${T} ${chain}`, ...rules.map((rule) => `add rule ${T} ${chain} ${rule}`)];
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
  const known = `ct mark & ${FLOW_MARK_BITS} == ${value} jump ${KNOWN_CHAIN}`;
  return [
    ...(tag.mark === NO_FLOW_MARK ? [] : [known]),
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

function knownRules({ downstreamGroup }: ChangeOptions): readonly string[] {
  return outwardPaths(downstreamGroup).map((path) => `${path} accept`);
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
 * As Qubes does: ICMP 3/13, ICMPv6 1/1. A TCP connection in progress is reset, so that whoever waits for it learns at once; of any other
 * reply the sender learns nothing.
 */
const REJECTIONS = [
  'meta l4proto 6 ct direction reply reject with tcp reset',
  'ct direction reply drop',
  'tcp flags & syn == 0 reject with tcp reset',
  'reject with icmpx admin-prohibited',
];

function newSetLine(name: string): string {
  const { family, tier } = setNameOf(name);
  const type = family === 4 ? 'ipv4_addr' : 'ipv6_addr';
  const shape = tier === undefined ? 'flags interval;' : `size ${0.75 * 2 ** tier.bucketsLog2};`;
  return `add set ${T} ${name} { type ${type}; ${shape} }`;
}

function newMapLine(name: string): string {
  const type = parseMapName(name)?.family === 4 ? 'ipv4_addr' : 'ipv6_addr';
  return `add map ${T} ${name} { type ${type} : verdict; }`;
}

function setNameOf(name: string): SetName {
  const parsed = parseSetName(name);
  if (parsed === undefined) throw new TypeError(`set ${name}`);
  return parsed;
}

// ── Rules ────────────────────────────────────────────────────────────────────────────────────────────────────────────

function stepRules(step: Step, isEgress: boolean, family: Family): readonly string[] {
  switch (step.kind) {
    case 'rule':
      return [ruleText(step, isEgress, family)];
    case 'dispatch': {
      const length = parseMapName(step.map)?.length ?? 0;
      const field = `ct ${isEgress ? 'original' : 'reply'} ${family === 4 ? 'ip' : 'ip6'} saddr`;
      return [`${maskedField(field, family, length)} vmap @${step.map}`];
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
  else if (protocols.length > 1) parts.push(`ct original protocol { ${protocols.join(', ')} }`);
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
function addressText(hex: string): string {
  if (hex.length === 8) return (hex.match(/../g) ?? []).map((pair) => Number.parseInt(pair, 16)).join('.');
  return (hex.match(/..../g) ?? []).join(':');
}

// ── Elements ─────────────────────────────────────────────────────────────────────────────────────────────────────────

/** `add` or `delete element` for one set, in pieces: the prefixes of its tier, each expanded to the length of the tier. */
function* elementText(verb: 'add' | 'delete', elements: Elements, body: Uint8Array): Generator<Uint8Array> {
  const { set, at, count, above } = elements;
  const { family, tier } = setNameOf(set);
  const stride = family === 4 ? 1 : 4;
  const words = wordsAt(body, at, count * stride);
  const lengthsAt = at + count * stride * 4;
  const out = Buffer.allocUnsafe(CHUNK_BYTES);
  let used = out.write(`${verb} element ${T} ${set} {`, 'latin1');
  for (let i = 0; i < count; i++) {
    const length = body[lengthsAt + i]!; // the body holds `count` lengths
    if (tier !== undefined && (length <= above || length > tier.length)) continue;
    const copies = tier === undefined ? 1 : 2 ** (tier.length - length);
    for (let copy = 0; copy < copies; copy++) {
      if (used > CHUNK_BYTES - ELEMENT_MAX_BYTES) {
        yield out.subarray(0, used);
        used = 0;
      }
      if (copy > 0 && tier !== undefined) step(words, i * stride, tier.length);
      used = family === 4 ? writeIp4(out, used, words[i]!) : writeIp6(out, used, words, i * 4); // i < count
      if (tier === undefined) {
        out[used++] = 0x2f; // '/'
        used = writeDecimal(out, used, length);
      }
      out[used++] = 0x2c; // ','
    }
  }
  out[used - 1] = 0x7d; // '}' for the last comma: no set is named without an element
  out[used++] = 0x0a;
  yield out.subarray(0, used);
}

/** A copy, since expanding counts in it. */
function wordsAt(body: Uint8Array, at: number, count: number): Uint32Array {
  const bytes = body.buffer.slice(body.byteOffset + at, body.byteOffset + at + count * 4);
  return new Uint32Array(bytes);
}

/** Goes to the next network of a length; the caller knows that it is within the prefix. */
function step(words: Uint32Array, at: number, length: number): void {
  let carry = 2 ** ((32 - (length & 31)) & 31);
  for (let w = at + ((length - 1) >> 5); w >= at && carry > 0; w--) {
    const sum = words[w]! + carry; // w is within the address
    words[w] = sum;
    carry = sum > 0xffffffff ? 1 : 0;
  }
}

function writeIp4(out: Uint8Array, at: number, word: number): number {
  let next = writeDecimal(out, at, word >>> 24);
  out[next++] = 0x2e; // '.'
  next = writeDecimal(out, next, (word >>> 16) & 255);
  out[next++] = 0x2e;
  next = writeDecimal(out, next, (word >>> 8) & 255);
  out[next++] = 0x2e;
  return writeDecimal(out, next, word & 255);
}

/** A number below 1000. */
function writeDecimal(out: Uint8Array, at: number, value: number): number {
  let next = at;
  if (value >= 100) out[next++] = 0x30 + Math.floor(value / 100);
  if (value >= 10) out[next++] = 0x30 + (Math.floor(value / 10) % 10);
  out[next++] = 0x30 + (value % 10);
  return next;
}

const HEX_DIGITS = Buffer.from('0123456789abcdef');

/** Eight groups; a tail of zeros as `::`, which most prefixes have. */
function writeIp6(out: Uint8Array, at: number, words: Uint32Array, first: number): number {
  const group = (g: number): number => {
    const word = words[first + (g >> 1)]!; // four words from `first`
    return (g & 1) === 0 ? word >>> 16 : word & 0xffff;
  };
  let groups = 8;
  while (groups > 0 && group(groups - 1) === 0) groups--;
  let next = at;
  for (let g = 0; g < groups; g++) {
    if (g > 0) out[next++] = 0x3a; // ':'
    const value = group(g);
    for (let shift = value > 0xfff ? 12 : value > 0xff ? 8 : value > 15 ? 4 : 0; shift >= 0; shift -= 4) {
      out[next++] = HEX_DIGITS[(value >> shift) & 15]!; // 16 digits
    }
  }
  if (groups < 7) {
    out[next++] = 0x3a;
    out[next++] = 0x3a;
  } else if (groups === 7) {
    out[next++] = 0x3a;
    out[next++] = 0x30; // '::' may not stand for a single group in RFC 5952
  }
  return next;
}
