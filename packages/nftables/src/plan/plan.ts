/**
 * Plans: the desired content of the kernel, as typed data. A plan is made of a rule set and an environment
 * (planner.ts), compared with the one before it (change.ts).
 *
 *   forward ─ flow from a qube ─▶ egress4 ─ longest source prefix ─▶ e4_KEY: rules, first match, default
 *      │                          (egress6)
 *      └ else, and from there ─ accept ─▶ to_qubes ─ flow to a qube ─▶ ingress4 (ingress6) ─▶ …
 *
 * The chains of the policy `first` are jumped to where egress4 and the others begin, for every qube: they
 * drop or come back.
 *
 * Rules match the flow's data in the connection table, which is the same for all of its packets, there and
 * back: both directions are judged by the same chains, and the replies end with the flow. Packets of no flow
 * are dropped before that. The rest of a flow that the release has accepted on its way from a qube to
 * elsewhere passes before all (flow-marks.ts).
 *
 * There is one base chain, since the kernel lets each see a transaction for itself: a packet between two
 * qubes is judged both ways by one release. Accept ends at `to_qubes`, which ends in the kernel's accept:
 * every other table still judges the packet.
 *
 * Objects are named by digests of their purpose, so that two plans of the same list agree on the name without
 * a record, and so that no text from a rule set reaches `nft` but the names of lists that open by name (name
 * sets have them as comments). The names of maps and sets also contain a digest of their content. The kernel
 * runs the rules of the moment when the packet came, but on the maps and sets of the present, so a change
 * needs a new object. Large sets alone change in place, by steps that change no verdict (change.ts).
 */

import { createHash, hash } from 'node:crypto';
import type {
  Direction,
  Environment,
  Family,
  ListChanges,
  NameSet,
  Prefixes,
  PrefixSet,
  RuleSet,
} from '@rulecast/rules';
import { strideOf } from '@rulecast/rules/columns';

/** The input of a plan. */
export interface PlanSource {
  readonly ruleSet: RuleSet;
  readonly environment: Environment;
  /** The changes of lists by this release, if known: saves comparing them. */
  readonly changes?: ListChanges | undefined;
}

/** 16 hex digits. */
export type Key = string;

/** The key of anything that is identified by a text. */
export function keyOf(text: string): Key {
  return hash('sha256', text).slice(0, 16);
}

/** A digest of an object's content, 8 hex digits. */
export function versionOf(...parts: readonly (string | Uint8Array)[]): string {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(part);
  return hash.digest('hex').slice(0, 8);
}

/** The layout of a column of addresses in the kernel. */
export type Layout =
  /** One interval set. */
  | { readonly kind: 'interval' }
  /** One hash set per length; shorter prefixes are expanded into the next length. Ascending; not empty. */
  | { readonly kind: 'hash'; readonly tiers: readonly Tier[] };

export interface Tier {
  readonly length: number;
  /** log2 of the buckets; the set takes three quarters of that many elements. */
  readonly bucketsLog2: number;
}

/**
 * The number of elements for a hash set: with three quarters of a power of two, the kernel makes exactly that
 * many buckets.
 */
export function capacityOf(bucketsLog2: number): number {
  return 0.75 * 2 ** bucketsLog2;
}

/** A canonical column of prefixes as the rules of several chains use it. */
export interface AddressSet {
  readonly key: Key;
  /** Canonical. */
  readonly members: Prefixes;
  readonly layout: Layout;
  /** Digest of its content when it was loaded, 8 hex digits; a large set that was changed since keeps it. */
  readonly version: string;
  /** The change that makes it from the set of that name, if that has other members. */
  readonly delta: SetDelta | undefined;
}

export interface SetDelta {
  readonly removed: Prefixes;
  readonly added: Prefixes;
}

/** The remote side of a rule. */
export type PlanRemote =
  | { readonly kind: 'any' }
  /** `address` is 8 or 32 hex digits, host bits zero. */
  | { readonly kind: 'prefix'; readonly address: string; readonly length: number }
  /** `except`: sets of which none may hold the address either. */
  | { readonly kind: 'set'; readonly set: string; readonly except: readonly string[] }
  /** Addresses that DNS gave the qube for a name of a list, by the name set of that name (name-set.ts). */
  | { readonly kind: 'told'; readonly set: string };

/** One rule of a policy. */
export interface PlanRule {
  readonly kind: 'rule';
  readonly remote: PlanRemote;
  /** The remote side is what the sender wrote, before DNAT. Only of egress. */
  readonly original: boolean;
  /** IP protocol numbers, of the flow; empty: any. */
  readonly protocols: readonly number[];
  /** Destination ports, both ends inclusive; the protocols are then tcp, udp or both. */
  readonly ports: readonly [number, number] | undefined;
  readonly icmpType: number | undefined;
  readonly action: 'accept' | 'drop';
  readonly counter: string;
}

/** One step of a chain. */
export type Step =
  | PlanRule
  /** Goes to the chain that a map gives for the qube's address, cut to the length of the map. */
  | { readonly kind: 'dispatch'; readonly map: string }
  /** Goes to the chain that a class map gives for the remote address, cut to the length of the map. */
  | { readonly kind: 'classify'; readonly map: string }
  | { readonly kind: 'goto'; readonly chain: string }
  | { readonly kind: 'jump'; readonly chain: string }
  /** No policy judges: as if accepted. */
  | { readonly kind: 'pass' };

/** From the address of a qube, as 8 or 32 hex digits, to its chain. */
export type DispatchMap = ReadonlyMap<string, string>;

/**
 * Maps networks of one length around the remote address to the chains of their classes. Never changed: its
 * name contains a digest of its content.
 */
export interface ClassMap {
  readonly family: Family;
  readonly tier: Tier;
  /** 1 or 4 a network, each network once. */
  readonly words: Uint32Array;
  /** By network: its chain among these. */
  readonly verdicts: Uint32Array;
  readonly chains: readonly string[];
}

/** A name set: the list that it is of, and the qubes that may have something in it. */
export interface PlannedNameSet {
  readonly list: string;
  readonly names: NameSet;
  /** Digest of the list's names, as in the set's name. */
  readonly version: Key;
  /** Whether its names may resolve to private addresses, which then are opened. */
  readonly isPrivate: boolean;
  readonly qubes: Prefixes;
  /** By qube with a policy of its own: its addresses of both families. */
  readonly pairs: readonly PrefixSet[];
}

export interface Plan {
  /** By `setKey`, which names the family too. */
  readonly sets: ReadonlyMap<string, AddressSet>;
  readonly nameSets: ReadonlyMap<string, PlannedNameSet>;
  readonly maps: ReadonlyMap<string, DispatchMap>;
  readonly classMaps: ReadonlyMap<string, ClassMap>;
  readonly chains: ReadonlyMap<string, readonly Step[]>;
  /** The same with a rule for each set of the kernel (lowering.ts). */
  readonly kernelChains: ReadonlyMap<string, readonly Step[]>;
  readonly counters: ReadonlySet<string>;
}

/** An address of a column, as 8 or 32 hex digits. */
export function hexAt(words: Uint32Array, index: number, family: Family): string {
  const stride = strideOf(family);
  const own = [...words.subarray(index * stride, (index + 1) * stride)];
  return own.map((word) => word.toString(16).padStart(8, '0')).join('');
}

// ── Names ──────────────────────────────────────────────────────────────────────────────────────────────────

const DIRECTION_LETTERS = { egress: 'e', ingress: 'i' } as const;

export function setKey(key: Key, family: Family): string {
  return `${key}_${family}`;
}

/** The names of the kernel's sets of a column, in the order of its tiers. */
export function setNames({ key, members, layout, version }: AddressSet): readonly string[] {
  const stem = `s${setKey(key, members.family)}`;
  if (layout.kind === 'interval') return [`${stem}_i_${version}`];
  return layout.tiers.map((tier) => `${stem}_${tier.length}_${tier.bucketsLog2}_${version}`);
}

/** The fields in the name of a set. */
export interface SetName {
  readonly key: Key;
  readonly family: Family;
  /** Undefined: an interval set. */
  readonly tier: Tier | undefined;
  readonly version: string;
}

/** Reads the name of a set; undefined if we would not name one so. */
export function parseSetName(name: string): SetName | undefined {
  const match = /^s([0-9a-f]{16})_([46])_(?:i|(0|[1-9]\d{0,2})_([1-9]\d?))_([0-9a-f]{8})$/.exec(name);
  if (match === null) return undefined;
  const [, key = '', familyText, lengthText, logText, version = ''] = match;
  const family = familyText === '4' ? 4 : 6;
  if (lengthText === undefined) return { key, family, tier: undefined, version };
  const tier = { length: Number(lengthText), bucketsLog2: Number(logText) };
  return tier.length <= (family === 4 ? 32 : 128) ? { key, family, tier, version } : undefined;
}

/** The chain of a direction and family that finds the policy. */
export function entryChain(direction: Direction, family: Family): string {
  return `${direction}${family}`;
}

/** The chain of a policy. */
export function policyChain(direction: Direction, family: Family, policy: string): string {
  return `${DIRECTION_LETTERS[direction]}${family}_${keyOf(policy)}`;
}

/** A chain that is named by its content, or by where it belongs. */
export function partChain(direction: Direction, family: Family, text: string): string {
  return `${DIRECTION_LETTERS[direction]}${family}_${keyOf(`part ${text}`)}`;
}

/** The name of a map with some keys, in any order. */
export function mapName(direction: Direction, family: Family, length: number, keys: DispatchMap): string {
  const content = [...keys].map((key) => key.join()).sort();
  return `d${DIRECTION_LETTERS[direction]}${family}_${length}_${versionOf(content.join())}`;
}

/** The fields in the name of a map, or of a chain below one. */
export interface PlaceName {
  readonly direction: Direction;
  readonly family: Family;
}

/** Reads the name of a map; undefined if we would not name one so. */
export function parseMapName(name: string): (PlaceName & { readonly length: number }) | undefined {
  const match = /^d([ei])([46])_([1-9]\d{0,2})_[0-9a-f]{8}$/.exec(name);
  if (match === null) return undefined;
  const family = match[2] === '4' ? 4 : 6;
  const length = Number(match[3]);
  if (length > (family === 4 ? 32 : 128)) return undefined;
  return { direction: match[1] === 'e' ? 'egress' : 'ingress', family, length };
}

/** The name of a class map: its length, its size, and a digest of its content. */
export function classMapName({ family, tier, words, verdicts, chains }: ClassMap): string {
  const hash = createHash('sha256').update(chains.join());
  for (const { buffer, byteOffset, byteLength } of [words, verdicts])
    hash.update(new Uint8Array(buffer, byteOffset, byteLength));
  return `v${family}_${tier.length}_${tier.bucketsLog2}_${hash.digest('hex').slice(0, 16)}`;
}

/** Reads the name of a class map; undefined if we would not name one so. */
export function parseClassMapName(
  name: string,
): { readonly family: Family; readonly tier: Tier } | undefined {
  const match = /^v([46])_([1-9]\d{0,2})_([1-9]\d?)_[0-9a-f]{16}$/.exec(name);
  if (match === null) return undefined;
  const family = match[1] === '4' ? 4 : 6;
  const tier = { length: Number(match[2]), bucketsLog2: Number(match[3]) };
  return tier.length <= (family === 4 ? 32 : 128) ? { family, tier } : undefined;
}

/** Reads the name of a chain that is no base chain; undefined if we would not name one so. */
export function parseChainName(name: string): PlaceName | undefined {
  const match = /^(?:(egress|ingress)([46])|([ei])([46])_[0-9a-f]{16})$/.exec(name);
  if (match === null) return undefined;
  const direction = (match[1] ?? match[3] ?? '').startsWith('e') ? 'egress' : 'ingress';
  return { direction, family: (match[2] ?? match[4]) === '4' ? 4 : 6 };
}

/** Counts every dropped packet. */
export const DENIED_COUNTER = 'c0000000000000000';

export function isCounterName(name: string): boolean {
  return /^c[0-9a-f]{16}$/.test(name);
}
