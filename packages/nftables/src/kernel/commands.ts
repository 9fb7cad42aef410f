/** Commands to nf_tables, each one message of a transaction: they create and delete objects of a table. */

import { HOOK_PRIORITY, SLOW_BUCKETS_LOG2 } from '../limits.ts';
import { type NameSetName, parseNameSetName } from '../plan/name-set.ts';
import { capacityOf, parseClassMapName, parseMapName, parseSetName } from '../plan/plan.ts';
import type { Attribute } from './attributes.ts';
import { doubleWord, type Expression } from './expressions.ts';

/** One message. */
export interface Command {
  readonly type: number;
  readonly flags: number;
  readonly attributes: readonly Attribute[];
  /** It takes the kernel so long that it should come last in its transaction. */
  readonly isSlow?: boolean;
}

/** Messages of nf_tables (subsystem 10). */
const nft = (type: number): number => (10 << 8) | type;
export const NftMessage = {
  newTable: nft(0),
  getTable: nft(1),
  delTable: nft(2),
  newChain: nft(3),
  getChain: nft(4),
  delChain: nft(5),
  newRule: nft(6),
  getRule: nft(7),
  delRule: nft(8),
  newSet: nft(9),
  getSet: nft(10),
  delSet: nft(11),
  newSetElem: nft(12),
  getSetElem: nft(13),
  delSetElem: nft(14),
  newGen: nft(15),
  getGen: nft(16),
  newObj: nft(18),
  getObj: nft(19),
  delObj: nft(20),
  destroySetElem: nft(30), // Linux 6.3
} as const;
export const MessageFlag = { request: 1, ack: 4, dump: 0x300, create: 0x400, append: 0x800 } as const;

/** Flags of a table: it belongs to a socket, and stays when that is closed. */
export const TableFlag = { owner: 2, persist: 4 } as const;
const SetFlag = { interval: 4, map: 8, timeout: 16, noted: 32 } as const;
/** Types of keys and data, as the `nft` program has numbered them. */
const DataType = {
  ip4: 7,
  ip6: 8,
  protocol: 12,
  interface: 20,
  interfaceName: 41,
  verdict: 0xffffff00,
} as const;
/** Bits of each type in a concatenated key's type. */
const TYPE_BITS = 6;
/** The type of a part of a set's user data that is its comment. */
const SET_COMMENT = 7;
export const OBJECT_COUNTER = 1;
export const NF_ACCEPT = 1;
export const FORWARD_HOOK = 2;
export const HOOK_TYPE = 'filter';
/** Where a base chain gets packets, its priority among others, and its type. */
export interface Hook {
  readonly number: number;
  readonly priority: number;
  readonly type: 'filter' | 'nat';
}
/** The hook of releases: forwarded packets. */
const FORWARD: Hook = { number: FORWARD_HOOK, priority: HOOK_PRIORITY, type: HOOK_TYPE };

/** Creates a table, or becomes its owner. */
export function addTable(table: string, isOwned: boolean): Command {
  return created(NftMessage.newTable, table, [2, isOwned ? TableFlag.owner | TableFlag.persist : 0]);
}

/** With all that is in it. */
export function deleteTable(table: string): Command {
  return deleted(NftMessage.delTable, table);
}

export function addChain(table: string, chain: string): Command {
  return created(NftMessage.newChain, table, [3, chain]);
}

/** A base chain, which accepts by default. */
export function addBaseChain(
  table: string,
  chain: string,
  { number, priority, type }: Hook = FORWARD,
): Command {
  const hook: Attribute[] = [
    [1, number],
    [2, priority],
  ];
  return created(NftMessage.newChain, table, [3, chain], [4, hook], [5, NF_ACCEPT], [7, type]);
}

export function deleteChain(table: string, chain: string): Command {
  return deleted(NftMessage.delChain, table, [3, chain]);
}

export function addRule(table: string, chain: string, expressions: readonly Expression[]): Command {
  const list = expressions.map((each): Attribute => [1, each]);
  const made = created(NftMessage.newRule, table, [2, chain], [4, list]);
  return { ...made, flags: made.flags | MessageFlag.append };
}

/** Deletes the rules of a chain. */
export function flushChain(table: string, chain: string): Command {
  return deleted(NftMessage.delRule, table, [2, chain]);
}

export function addCounter(table: string, counter: string): Command {
  return created(NftMessage.newObj, table, [2, counter], [3, OBJECT_COUNTER], [4, []]);
}

export function deleteCounter(table: string, counter: string): Command {
  return deleted(NftMessage.delObj, table, [2, counter], [3, OBJECT_COUNTER]);
}

/**
 * A set or a map of addresses, which has the form that its name says; `list` is what a name set is of. Throws
 * TypeError for another name.
 */
export function addSet(table: string, name: string, list = ''): Command {
  const named = parseNameSetName(name);
  if (named !== undefined) return addNameSet(table, name, named, list);
  const set = parseSetName(name);
  const map = parseClassMapName(name) ?? parseMapName(name);
  const { family } = set ?? map ?? {};
  if (family === undefined) throw new TypeError(`set ${name}`);
  const tier = set?.tier ?? (map !== undefined && 'tier' in map ? map.tier : undefined);
  const isInterval = set !== undefined && tier === undefined;
  const flags = (isInterval ? SetFlag.interval : 0) | (map === undefined ? 0 : SetFlag.map);
  const size: readonly Attribute[] = tier === undefined ? [] : [[1, capacityOf(tier.bucketsLog2)]];
  const verdicts: readonly Attribute[] = map === undefined ? [] : [[6, DataType.verdict]];
  const type = family === 4 ? DataType.ip4 : DataType.ip6;
  const made = setOf(table, name, flags, type, family === 4 ? 4 : 16, ...verdicts, [9, size]);
  return { ...made, isSlow: (tier?.bucketsLog2 ?? 0) >= SLOW_BUCKETS_LOG2 };
}

/**
 * A set of pairs of addresses, each with a timeout. Its size is twice the limit of openings: the kernel
 * counts ended elements until it removes them, and also those being replaced.
 */
function addNameSet(table: string, name: string, { family, size }: NameSetName, list: string): Command {
  const type = family === 4 ? DataType.ip4 : DataType.ip6;
  const pair = type * 2 ** TYPE_BITS + type;
  const comment = Uint8Array.of(SET_COMMENT, list.length + 1, ...Buffer.from(list, 'latin1'), 0);
  const said: readonly Attribute[] = list === '' ? [] : [[13, comment]];
  return setOf(table, name, SetFlag.timeout, pair, family === 4 ? 8 : 32, [9, [[1, size * 2]]], ...said);
}

/**
 * A set that rules note interfaces in, or addresses of a family, each with the interface that it came by;
 * what is not noted again for so long is forgotten.
 */
export function addNotedSet(
  table: string,
  name: string,
  family: 4 | 6 | undefined,
  { size, milliseconds }: { readonly size: number; readonly milliseconds: number },
): Command {
  const address = { none: 0, 4: DataType.ip4, 6: DataType.ip6 }[family ?? 'none'];
  const type = address * 2 ** TYPE_BITS + DataType.interface;
  const bytes = { none: 4, 4: 8, 6: 20 }[family ?? 'none'];
  const room: readonly Attribute[] = [[1, size]];
  const flags = SetFlag.timeout | SetFlag.noted;
  return setOf(table, name, flags, type, bytes, [9, room], [11, doubleWord(milliseconds)]);
}

/** The type of a key: the name of an interface, and an address. */
export function sourceType(family: 4 | 6): number {
  return DataType.interfaceName * 2 ** TYPE_BITS + (family === 4 ? DataType.ip4 : DataType.ip6);
}

/** A set of pairs of interface and address. */
export function addSourcesSet(table: string, name: string, family: 4 | 6): Command {
  return setOf(table, name, 0, sourceType(family), family === 4 ? 20 : 32);
}

/** A set of IP protocols, with its elements. */
export function addProtocolSet(
  table: string,
  name: string,
  protocols: readonly number[],
): readonly Command[] {
  const elements = protocols.map((each): Attribute => [1, [[1, [[1, Uint8Array.of(each)]]]]]);
  return [
    setOf(table, name, 0, DataType.protocol, 1),
    created(NftMessage.newSetElem, table, [2, name], [3, elements]),
  ];
}

function setOf(
  table: string,
  name: string,
  flags: number,
  type: number,
  keyBytes: number,
  ...more: readonly Attribute[]
): Command {
  const key: readonly Attribute[] = [
    [4, type],
    [5, keyBytes],
  ];
  // The last attribute is an id in the transaction, which is required; sets are referred to by name.
  return created(NftMessage.newSet, table, [2, name], [3, flags], ...key, ...more, [10, 1]);
}

export function deleteSet(table: string, name: string): Command {
  return deleted(NftMessage.delSet, table, [2, name]);
}

function created(type: number, table: string, ...attributes: readonly Attribute[]): Command {
  return { type, flags: MessageFlag.create, attributes: [[1, table], ...attributes] };
}

function deleted(type: number, table: string, ...attributes: readonly Attribute[]): Command {
  return { type, flags: 0, attributes: [[1, table], ...attributes] };
}
