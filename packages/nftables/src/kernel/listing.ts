/** What the kernel holds of our table, read back as libnftables lists it. */

import { createHash } from 'node:crypto';
import { HOOK_PRIORITY } from '../limits.ts';
import type { Tag } from '../plan/change.ts';
import {
  DENIED_COUNTER,
  isCounterName,
  mapName,
  parseClassMapName,
  parseMapName,
  parseSetName,
} from '../plan/plan.ts';
import { OutputFlag, type OutputFlags } from './native.ts';
import { BASE_CHAIN, DENY_CHAIN, FLOWLESS_CHAIN, NEXT_CHAIN, parseTagChain } from './script.ts';

/** What the table holds. */
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
  /** Maps among those asked for that have other elements than their name says. */
  readonly spoiledMaps: readonly string[];
  /** Hash sets and class maps that lack an element that was asked for. */
  readonly lackingSets: readonly string[];
  /**
   * Of the listing without elements and counts; 16 hex digits. Equal as long as nobody changed anything but
   * elements.
   */
  readonly fingerprint: string;
  /** Only where asked for: words in the body, and for an interval set the lengths after them. */
  readonly elements: readonly { readonly set: string; readonly at: number; readonly count: number }[];
}

/** Runs a command that lists something. Throws NativeError. */
export type List = (command: string, flags?: OutputFlags) => string;

/**
 * Looks at a table, at the elements of some of its sets, which are the body, and of some of its maps. Throws
 * NativeError.
 */
export function lookAtTable(
  table: string,
  list: List,
  elementsOf: readonly string[],
  contentOf: readonly string[],
): { readonly state: KernelState; readonly body: readonly Uint8Array[] } {
  const text = list(`list table inet ${table}`, OutputFlag.structure);
  const names = (kind: string): string[] =>
    [...text.matchAll(new RegExp(`^\\t${kind} (\\S+) \\{`, 'gm'))].map((match) => match[1] ?? '');
  const chains = names('chain');
  const sets = names('set').filter((name) => parseSetName(name) !== undefined);
  const tags = chains.map(parseTagChain).filter((tag) => tag !== undefined);
  const body: Uint8Array[] = [];
  const elements: { set: string; at: number; count: number }[] = [];
  let at = 0;
  for (const set of sets.filter((name) => elementsOf.includes(name))) {
    const columns = readElements(set, list(`list set inet ${table} ${set}`));
    elements.push({ set, at, count: columns.count });
    for (const bytes of columns.bytes) {
      body.push(bytes);
      at += bytes.length;
    }
  }
  const maps = names('map').filter(
    (name) => parseMapName(name) !== undefined || parseClassMapName(name) !== undefined,
  );
  const state: KernelState = {
    tag: tags.length === 1 ? tags[0] : undefined,
    exists: true,
    framed: text.includes(HOOK) && FRAME_CHAINS.every((name) => chains.includes(name)),
    sets,
    chains: chains.filter((name) => parseTagChain(name) === undefined && !FRAME_CHAINS.includes(name)),
    maps,
    counters: names('counter').filter((name) => isCounterName(name) && name !== DENIED_COUNTER),
    rules: rulesIn(text),
    spoiledMaps: maps.filter(
      (map) => contentOf.includes(map) && !isAsNamed(map, list(`list map inet ${table} ${map}`)),
    ),
    lackingSets: [],
    fingerprint: createHash('sha256').update(text).digest('hex').slice(0, 16),
    elements,
  };
  return { state, body };
}

/** Packets and bytes of every counter of a table. Throws NativeError. */
export function readCounters(table: string, list: List): Record<string, readonly [number, number]> {
  const counters: Record<string, readonly [number, number]> = {};
  const pattern = /^\tcounter (c[0-9a-f]{16}) \{\n\t\tpackets (\d+) bytes (\d+)/gm;
  for (const match of list(`list counters table inet ${table}`).matchAll(pattern)) {
    counters[match[1] ?? ''] = [Number(match[2]), Number(match[3])];
  }
  return counters;
}

const FRAME_CHAINS: readonly string[] = [DENY_CHAIN, FLOWLESS_CHAIN, NEXT_CHAIN, BASE_CHAIN];
/** The base chain as `nft list` prints its first lines. */
const HOOK = `\tchain ${BASE_CHAIN} {\n\t\ttype filter hook forward priority filter - ${-HOOK_PRIORITY}; policy accept;\n`;

/** Where there is none. */
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

/** How many rules a listing of a table has: a line each, twice indented, in a chain. */
function rulesIn(text: string): number {
  let rules = 0;
  for (const [, lines = ''] of text.matchAll(/^\tchain \S+ \{\n((?:\t\t.*\n)*)\t\}$/gm))
    rules += [...lines.matchAll(/^\t\t(?!type )/gm)].length;
  return rules;
}

/** Whether a map has the elements that its name is a digest of. */
function isAsNamed(map: string, listing: string): boolean {
  const name = parseMapName(map);
  if (name === undefined) return false;
  const keys = new Map<string, string>();
  for (const [, address = '', chain = ''] of listing.matchAll(/(\S+) : goto (\w+)/g)) {
    const words = name.family === 4 ? [ip4Word(address)] : ip6Words(address);
    keys.set(words.map((word) => word.toString(16).padStart(8, '0')).join(''), chain);
  }
  return mapName(name.direction, name.family, name.length, keys) === map;
}

/** The elements of a set in the order that nft lists them in: words, and for an interval set the lengths. */
function readElements(
  set: string,
  listing: string,
): { readonly count: number; readonly bytes: readonly Uint8Array[] } {
  const name = parseSetName(set);
  const text = /elements = \{([^}]*)\}/.exec(listing)?.[1] ?? '';
  const words: number[] = [];
  const lengths: number[] = [];
  for (const element of text.matchAll(/[^\s,]+/g)) {
    const [address = '', length] = element[0].split('/');
    if (name?.family === 6) words.push(...ip6Words(address));
    else words.push(ip4Word(address));
    lengths.push(length === undefined ? (name?.family === 6 ? 128 : 32) : Number(length));
  }
  const { length: count } = lengths;
  const bytes = [new Uint8Array(Uint32Array.from(words).buffer)];
  if (name?.tier === undefined) bytes.push(Uint8Array.from(lengths), new Uint8Array(-count & 3));
  return { count, bytes };
}

function ip4Word(text: string): number {
  let word = 0;
  for (const octet of text.split('.')) word = word * 256 + Number(octet);
  return word;
}

/** Of an address as the kernel's library prints it: RFC 5952, perhaps with a dotted tail. */
function ip6Words(text: string): readonly number[] {
  const dotted = text.includes('.') ? text.slice(text.lastIndexOf(':') + 1) : undefined;
  const tail = dotted === undefined ? undefined : ip4Word(dotted);
  const plain =
    tail === undefined
      ? text
      : `${text.slice(0, text.lastIndexOf(':') + 1)}${(tail >>> 16).toString(16)}:${(tail & 0xffff).toString(16)}`;
  const [head = '', rest] = plain.split('::');
  const groupsOf = (part: string): number[] =>
    part === '' ? [] : part.split(':').map((group) => Number.parseInt(group, 16));
  const before = groupsOf(head);
  const after = rest === undefined ? [] : groupsOf(rest);
  const groups = [...before, ...new Array<number>(8 - before.length - after.length).fill(0), ...after];
  return [0, 2, 4, 6].map((g) => (groups[g] ?? 0) * 65_536 + (groups[g + 1] ?? 0));
}
