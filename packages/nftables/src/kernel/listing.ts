/** The content of our table, read back from the kernel. */

import { createHash } from 'node:crypto';
import { HOOK_PRIORITY } from '../limits.ts';
import type { Tag } from '../plan/change.ts';
import { parseNameSetName } from '../plan/name-set.ts';
import {
  DENIED_COUNTER,
  hexAt,
  isCounterName,
  mapName,
  parseClassMapName,
  parseMapName,
  parseSetName,
} from '../plan/plan.ts';
import { attribute, attributesOf, textOf, within } from './attributes.ts';
import { FORWARD_HOOK, HOOK_TYPE, NF_ACCEPT, NftMessage, OBJECT_COUNTER } from './commands.ts';
import { isLogChain } from './log-script.ts';
import type { Netlink } from './netlink.ts';
import {
  BASE_CHAIN,
  DENY_CHAIN,
  FLOWLESS_CHAIN,
  NEXT_CHAIN,
  parseTagChain,
  setNameOf,
  TOLD_CHAIN,
} from './script.ts';

/** The content of the table. */
export interface KernelState {
  /** Undefined: no table, or none of ours. */
  readonly tag: Tag | undefined;
  readonly exists: boolean;
  /** Whether the base chains are as we make them. */
  readonly framed: boolean;
  readonly sets: readonly string[];
  readonly chains: readonly string[];
  readonly maps: readonly string[];
  readonly counters: readonly string[];
  /** In all chains. */
  readonly rules: number;
  /** Requested maps whose elements differ from the digest in their name. */
  readonly spoiledMaps: readonly string[];
  /** Hash sets and class maps that lack an element that was asked for. */
  readonly lackingSets: readonly string[];
  /**
   * A digest of chains, rules, sets and names of counters; 16 hex digits. It changes unless only elements
   * changed.
   */
  readonly fingerprint: string;
  /** On request: words in the body, and for an interval set the end flags after them. */
  readonly elements: readonly { readonly set: string; readonly at: number; readonly count: number }[];
}

/**
 * Looks at a table, at the elements of some of its sets, which are the body, and of some of its maps; `turn`
 * is awaited now and then. Rejects with NativeError.
 */
export async function lookAtTable(
  netlink: Netlink,
  table: string,
  elementsOf: readonly string[],
  contentOf: readonly string[],
  turn: () => Promise<void>,
): Promise<{ readonly state: KernelState; readonly body: readonly Uint8Array[] }> {
  const { chains, isHooked, rules, sets, counters, fingerprint } = await structureOf(netlink, table, turn);
  const tags = chains.map(parseTagChain).filter((tag) => tag !== undefined);
  const body: Uint8Array[] = [];
  const elements: { set: string; at: number; count: number }[] = [];
  let at = 0;
  const addressSets = sets.filter((name) => parseSetName(name) !== undefined);
  for (const set of addressSets.filter((name) => elementsOf.includes(name))) {
    const { family, tier } = setNameOf(set);
    const { keys, ends } = netlink.elements(table, set, family);
    elements.push({ set, at, count: ends.length });
    body.push(new Uint8Array(keys.buffer));
    if (tier === undefined) body.push(ends, new Uint8Array(-ends.length & 3));
    at = body.reduce((sum, { length }) => sum + length, 0);
    await turn();
  }
  const maps = sets.filter(
    (name) => parseMapName(name) !== undefined || parseClassMapName(name) !== undefined,
  );
  const state: KernelState = {
    tag: tags.length === 1 ? tags[0] : undefined,
    exists: true,
    framed: isHooked && FRAME_CHAINS.every((name) => chains.includes(name)),
    sets: sets.filter((name) => parseSetName(name) !== undefined || parseNameSetName(name) !== undefined),
    chains: chains.filter((name) => parseTagChain(name) === undefined && !isFrameChain(name)),
    maps,
    counters: counters.filter((name) => isCounterName(name) && name !== DENIED_COUNTER),
    rules,
    spoiledMaps: maps.filter((map) => contentOf.includes(map) && !isAsNamed(netlink, table, map)),
    lackingSets: [],
    fingerprint,
    elements,
  };
  return { state, body };
}

/** The attribute with a set's number of elements, which the kernel sends from Linux 6.16 on. */
const SET_COUNT = 20;
const FRAME_CHAINS: readonly string[] = [DENY_CHAIN, FLOWLESS_CHAIN, NEXT_CHAIN, TOLD_CHAIN, BASE_CHAIN];

function isFrameChain(name: string): boolean {
  return FRAME_CHAINS.includes(name) || isLogChain(name);
}

/** The state without a table. */
export const NO_TABLE: KernelState = {
  tag: undefined,
  exists: false,
  framed: false,
  sets: [],
  chains: [],
  maps: [],
  counters: [],
  rules: 0,
  spoiledMaps: [],
  lackingSets: [],
  fingerprint: '',
  elements: [],
};

/** All but elements and counts. */
async function structureOf(netlink: Netlink, table: string, turn: () => Promise<void>) {
  const hash = createHash('sha256');
  const found = { chains: [] as string[], sets: [] as string[], counters: [] as string[], rules: 0 };
  let isHooked = false;
  /** Reads the messages of one kind about the table, whose name is their first attribute. */
  const read = async (type: number, asked: number, take: (body: Buffer) => void): Promise<void> => {
    let bodies: Buffer[] = [];
    const start = (): ((body: Buffer) => void) => {
      bodies = [];
      return (body) => textOf(attribute(body, 1)) === table && bodies.push(Buffer.from(body.subarray(4)));
    };
    await netlink.all(type, [[1, table], ...(asked === 0 ? [] : [[3, asked] as const])], start, turn);
    for (const body of bodies) take(body);
  };
  await read(NftMessage.getChain, 0, (body) => {
    const name = textOf(within(body, 3));
    found.chains.push(name);
    if (name === BASE_CHAIN) isHooked = isOurHook(body);
    hash.update(body);
  });
  await read(NftMessage.getSet, 0, (body) => {
    found.sets.push(textOf(within(body, 2)));
    for (const { type, value } of attributesOf(body)) if (type !== SET_COUNT) hash.update(value);
  });
  await read(NftMessage.getObj, OBJECT_COUNTER, (body) => {
    found.counters.push(textOf(within(body, 2)));
    hash.update(found.counters.at(-1) ?? '');
  });
  await read(NftMessage.getRule, 0, (body) => {
    found.rules++;
    hash.update(body);
  });
  return { ...found, isHooked, fingerprint: hash.digest('hex').slice(0, 16) };
}

/** Whether a chain has packets come into it as our base chain has. */
function isOurHook(chain: Buffer): boolean {
  const hook = within(chain, 4);
  return (
    within(hook, 1)?.readUInt32BE(0) === FORWARD_HOOK &&
    within(hook, 2)?.readInt32BE(0) === HOOK_PRIORITY &&
    within(chain, 5)?.readUInt32BE(0) === NF_ACCEPT &&
    textOf(within(chain, 7)) === HOOK_TYPE
  );
}

/** Whether a map has the elements that its name is a digest of. */
function isAsNamed(netlink: Netlink, table: string, map: string): boolean {
  const name = parseMapName(map);
  if (name === undefined) return false;
  const { keys, chains } = netlink.elements(table, map, name.family);
  const found = new Map(chains.map((chain, index) => [hexAt(keys, index, name.family), chain]));
  return mapName(name.direction, name.family, name.length, found) === map;
}
