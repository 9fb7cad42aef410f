/** Commands to nf_tables, each one message of a transaction: what makes and deletes objects of a table. */

import { HOOK_PRIORITY, SLOW_BUCKETS_LOG2 } from '../limits.ts';
import { capacityOf } from '../plan/layout.ts';
import { parseClassMapName, parseMapName, parseSetName } from '../plan/plan.ts';
import type { Attribute } from './attributes.ts';
import type { Expression } from './expressions.ts';

/** One message. */
export interface Command {
  readonly type: number;
  readonly flags: number;
  readonly attributes: readonly Attribute[];
  /** Takes the kernel so long that it should be the last of its transaction. */
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

/** Of a table: it belongs to a socket, and stays when that is closed. */
export const TableFlag = { owner: 2, persist: 4 } as const;
const SetFlag = { interval: 4, map: 8 } as const;
/** Types of keys and data, as the `nft` program has numbered them. */
const DataType = { ip4: 7, ip6: 8, protocol: 12, verdict: 0xffffff00 } as const;
export const OBJECT_COUNTER = 1;
export const NF_ACCEPT = 1;
export const FORWARD_HOOK = 2;
export const HOOK_TYPE = 'filter';

/** Makes a table, or takes it over. */
export function addTable(table: string, isOwned: boolean): Command {
  return command(NftMessage.newTable, MessageFlag.create, [
    [1, table],
    [2, isOwned ? TableFlag.owner | TableFlag.persist : 0],
  ]);
}

/** With all that is in it. */
export function deleteTable(table: string): Command {
  return command(NftMessage.delTable, 0, [[1, table]]);
}

export function addChain(table: string, chain: string): Command {
  return command(NftMessage.newChain, MessageFlag.create, [
    [1, table],
    [3, chain],
  ]);
}

/** A chain that packets come into which are forwarded, and that accepts. */
export function addBaseChain(table: string, chain: string): Command {
  const hook: Attribute[] = [
    [1, FORWARD_HOOK],
    [2, HOOK_PRIORITY],
  ];
  return command(NftMessage.newChain, MessageFlag.create, [
    [1, table],
    [3, chain],
    [4, hook],
    [5, NF_ACCEPT],
    [7, HOOK_TYPE],
  ]);
}

export function deleteChain(table: string, chain: string): Command {
  return command(NftMessage.delChain, 0, [
    [1, table],
    [3, chain],
  ]);
}

export function addRule(table: string, chain: string, expressions: readonly Expression[]): Command {
  return command(NftMessage.newRule, MessageFlag.create | MessageFlag.append, [
    [1, table],
    [2, chain],
    [4, expressions.map((each): Attribute => [1, each])],
  ]);
}

/** Deletes the rules of a chain. */
export function flushChain(table: string, chain: string): Command {
  return command(NftMessage.delRule, 0, [
    [1, table],
    [2, chain],
  ]);
}

export function addCounter(table: string, counter: string): Command {
  return command(NftMessage.newObj, MessageFlag.create, [...counterOf(table, counter), [4, []]]);
}

export function deleteCounter(table: string, counter: string): Command {
  return command(NftMessage.delObj, 0, counterOf(table, counter));
}

function counterOf(table: string, counter: string): readonly Attribute[] {
  return [
    [1, table],
    [2, counter],
    [3, OBJECT_COUNTER],
  ];
}

/** A set or a map of addresses, which has the form that its name says. Throws TypeError for another name. */
export function addSet(table: string, name: string): Command {
  const set = parseSetName(name);
  const map = parseClassMapName(name) ?? parseMapName(name);
  const { family } = set ?? map ?? {};
  if (family === undefined) throw new TypeError(`set ${name}`);
  const tier = set?.tier ?? (map !== undefined && 'tier' in map ? map.tier : undefined);
  const isInterval = set !== undefined && tier === undefined;
  const made = command(NftMessage.newSet, MessageFlag.create, [
    [1, table],
    [2, name],
    [3, (isInterval ? SetFlag.interval : 0) | (map === undefined ? 0 : SetFlag.map)],
    [4, family === 4 ? DataType.ip4 : DataType.ip6],
    [5, family === 4 ? 4 : 16],
    ...(map === undefined ? [] : [[6, DataType.verdict] as const]),
    [9, tier === undefined ? [] : [[1, capacityOf(tier.bucketsLog2)]]],
    [10, 1], // told from others of the same transaction by its name
  ]);
  return { ...made, isSlow: (tier?.bucketsLog2 ?? 0) >= SLOW_BUCKETS_LOG2 };
}

/** A set of IP protocols, with its elements. */
export function addProtocolSet(
  table: string,
  name: string,
  protocols: readonly number[],
): readonly Command[] {
  const elements = protocols.map((each): Attribute => [1, [[1, [[1, Uint8Array.of(each)]]]]]);
  const set: Attribute[] = [
    [1, table],
    [2, name],
  ];
  return [
    command(NftMessage.newSet, MessageFlag.create, [...set, [3, 0], [4, DataType.protocol], [5, 1], [10, 1]]),
    command(NftMessage.newSetElem, MessageFlag.create, [...set, [3, elements]]),
  ];
}

export function deleteSet(table: string, name: string): Command {
  return command(NftMessage.delSet, 0, [
    [1, table],
    [2, name],
  ]);
}

function command(type: number, flags: number, attributes: readonly Attribute[]): Command {
  return { type, flags, attributes };
}
