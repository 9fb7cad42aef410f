/**
 * Changes: the steps that bring the kernel's table from one plan to the next, in the applier's form, each
 * change one transaction.
 *
 * A transaction is not atomic for a packet on its way: it sees rules as they were when it entered the base
 * chain, but elements of sets and maps as they are at each lookup. So nothing that a rule in force looks into
 * may change, but without effect:
 *
 *   release:  new objects beside the old ones; all rules that change. The rules of a large set that changes ask
 *             "among the added, or in the set and not among the removed". From here on the new release judges.
 *   fold:     the added go into the large sets, and the removed out of them: no answer changes.
 *   clean-up: rules ask the large sets alone again; what nobody refers to any more goes.
 *
 * Only keys, numbers, columns, and the names of lists that open by name, whose letters are checked: a change
 * has no field that could hold another text from a rule set. The elements lie in the binary body that travels
 * beside it, as columns of prefixes: little-endian words, then lengths. The applier expands them.
 */

import {
  bytesOfLeft,
  leftBetween,
  type Names,
  type NamesLeft,
  PrefixBuilder,
  type Prefixes,
} from '@rulecast/rules';
import { NAMES_LEFT_MAX_BYTES, PROBED_ELEMENTS } from '../limits.ts';
import { loadsOf, newSet } from './layout.ts';
import { type Overlay, overlaidChains } from './lowering.ts';
import {
  type AddressSet,
  type ClassMap,
  type DispatchMap,
  hexAt,
  type Key,
  keyOf,
  type Plan,
  type PlannedNameSet,
  type SetDelta,
  type Step,
  setKey,
  setNames,
} from './plan.ts';

/** The identity of a table's content. */
export interface Tag {
  /** Manifest hash of the release, 64 hex digits. */
  readonly release: string;
  /** Digest of everything else the rules depend on: environment, options, rendering. 16 hex digits. */
  readonly conditions: string;
  /** The mark for flows that it accepts, 1 to 255; 0: none. */
  readonly mark: number;
}

/** Elements of one set, as prefixes in the body: their words, then their lengths. */
export interface Elements {
  readonly set: string;
  /** Byte offset in the body, a multiple of 4. */
  readonly at: number;
  /** The number of prefixes in the body. */
  readonly count: number;
  /**
   * Only those longer than this belong to the set, and not longer than its own length, to which they are
   * expanded. -1: all others.
   */
  readonly above: number;
}

/**
 * Elements of one class map in the body: 1 or 4 words for each network, of the length of the map, then for
 * each the place of its chain, u32.
 */
export interface Verdicts {
  readonly map: string;
  /** Byte offset in the body, a multiple of 4. */
  readonly at: number;
  readonly count: number;
  readonly chains: readonly string[];
}

/** A name set, and the networks of qubes that may have something in it. */
export interface NameSet {
  readonly set: string;
  /** The name of its list, for people who look at the kernel: the only text of a rule set that gets there. */
  readonly list: string;
  /** Whether the release allows the list's names to resolve to private addresses. */
  readonly isPrivate: boolean;
  /** Addresses of 8 or 32 hex digits, host bits zero. */
  readonly qubes: readonly { readonly address: string; readonly length: number }[];
  /** Qubes that have both these addresses: of a set of IPv4, and for the one of IPv6 too. */
  readonly pairs: readonly (readonly [four: string, six: string])[];
  /** For a list whose names changed: which names remain, if known. */
  readonly left?: LeftInBody;
}

/** Which names are left of a list (name-lookup.ts of @rulecast/rules), as columns in the body. */
export interface LeftInBody {
  /** The state that it was in; null: whichever. */
  readonly from: Key | null;
  /** Whether the names are those that left; otherwise all that remain. */
  readonly isOfGone: boolean;
  readonly names: ColumnInBody;
  readonly exceptions: ColumnInBody;
}

export interface ColumnInBody {
  readonly at: number;
  readonly byteCount: number;
}

/** One release of a table. The order in which it is done is in script.ts and tables.ts. */
export interface Change {
  /** `fresh`: another table replaces the one in force. Otherwise the tag that the one in force must have. */
  readonly base: 'fresh' | Tag;
  readonly tag: Tag;
  readonly downstreamGroup: number;
  /** The answer to the sender of a dropped packet. */
  readonly answer: 'reject' | 'silent';
  /** The NFLOG group for refused packets; undefined: they are not logged. */
  readonly logGroup?: number | undefined;
  readonly newCounters: readonly string[];
  readonly newSets: readonly string[];
  readonly newMaps: readonly string[];
  readonly newChains: readonly string[];
  /** With all their steps: new chains, and those that changed. */
  readonly chains: readonly { readonly name: string; readonly steps: readonly Step[] }[];
  readonly removed: readonly Elements[];
  readonly added: readonly Elements[];
  /** Elements of new class maps. */
  readonly verdicts: readonly Verdicts[];
  /** Elements of new maps. */
  readonly keys: readonly { readonly map: string; readonly address: string; readonly chain: string }[];
  /**
   * All name sets of the release, with the qubes that may have something in them; undefined: as they are.
   */
  readonly nameSets?: readonly NameSet[];
  readonly oldMaps: readonly string[];
  readonly oldChains: readonly string[];
  readonly oldSets: readonly string[];
  readonly oldCounters: readonly string[];
}

export interface ChangeOptions {
  readonly tag: Tag;
  readonly downstreamGroup: number;
  readonly answer: 'reject' | 'silent';
  readonly logGroup?: number | undefined;
}

/** A change with the body that its elements lie in. */
export interface ChangeWithBody {
  readonly change: Change;
  /** In the order of their offsets; views of the caller's columns. */
  readonly body: readonly Uint8Array[];
  readonly elementCount: number;
}

/** The change that puts a plan in force, and those that follow it and change no verdict. */
export interface Transition {
  readonly release: ChangeWithBody;
  readonly afterwards: readonly ChangeWithBody[];
}

/**
 * The objects of the kernel, by name. A set of some name has the same elements wherever it occurs, but for
 * large sets.
 */
interface Objects {
  readonly sets: ReadonlyMap<string, AddressSet>;
  readonly nameSets: Plan['nameSets'];
  readonly maps: ReadonlyMap<string, DispatchMap | ClassMap>;
  readonly chains: ReadonlyMap<string, readonly Step[]>;
  readonly counters: ReadonlySet<string>;
}

const NOTHING: Objects = {
  sets: new Map(),
  nameSets: new Map(),
  maps: new Map(),
  chains: new Map(),
  counters: new Set(),
};

/** A change that loads the whole plan in place of what is there: of `before`, or of something unknown. */
export function wholeChange(plan: Plan, options: ChangeOptions, before?: Plan): ChangeWithBody {
  return difference(NOTHING, objectsOf(plan), { ...options, base: 'fresh', namesOf: before ?? 'unknown' });
}

/**
 * The changes from `before`, which is in the kernel, to `after`, which was planned with the sets of `before`
 * known.
 */
export function transition(
  before: { readonly plan: Plan; readonly tag: Tag },
  after: Plan,
  options: ChangeOptions,
): Transition {
  const old = objectsOf(before.plan);
  const final = objectsOf(after);
  const between = overlaid(after);
  const release = difference(old, between, {
    ...options,
    base: before.tag,
    keepsOld: true,
    namesOf: before.plan,
  });
  const same = { ...options, base: options.tag };
  const fold = foldOf(after, same);
  const cleanUp = difference(union(old, between), final, same);
  return { release, afterwards: [fold, cleanUp].filter(({ change }) => !isIdle(change)) };
}

/** Some elements of each hash set, to check whether the kernel has them. */
export function probesOf(plan: Plan): {
  readonly probes: readonly Elements[];
  readonly classProbes: readonly Verdicts[];
  readonly body: readonly Uint8Array[];
} {
  const body = new Body();
  for (const set of plan.sets.values()) {
    if (set.layout.kind === 'interval') continue;
    const { family, words, lengths } = set.members;
    const step = Math.max(1, lengths.length / PROBED_ELEMENTS);
    const some = new PrefixBuilder(family);
    for (let i = 0; i < lengths.length; i = Math.max(i + 1, Math.floor(i + step))) {
      some.push(words, i, lengths[i]!); // i < length
    }
    body.put('added', set, some.build());
  }
  for (const [name, map] of plan.classMaps) {
    const { length: count } = map.verdicts;
    const stride = map.words.length / count;
    const some = Math.min(count, PROBED_ELEMENTS);
    const words = new Uint32Array(some * stride);
    for (let i = 0; i < some; i++) {
      const at = Math.floor((i * count) / some) * stride;
      words.set(map.words.subarray(at, at + stride), i * stride);
    }
    body.putVerdicts(name, {
      ...map,
      words,
      verdicts: new Uint32Array(some),
      chains: map.chains.slice(0, 1),
    });
  }
  return { probes: body.added, classProbes: body.verdicts, body: body.pieces };
}

/** The elements of a set, as a change has them that loads it. */
export function elementsOf(set: AddressSet): {
  readonly elements: readonly Elements[];
  readonly body: Uint8Array;
} {
  const body = new Body();
  body.put('added', set, set.members);
  return { elements: body.added, body: Buffer.concat(body.pieces) };
}

/** The names that the kernel has of a plan. */
export function namesOf(plan: Plan): {
  readonly sets: readonly string[];
  readonly maps: readonly string[];
  readonly chains: readonly string[];
  readonly counters: readonly string[];
} {
  const { sets, nameSets, maps, chains, counters } = objectsOf(plan);
  return {
    sets: [...sets.keys(), ...nameSets.keys()],
    maps: [...maps.keys()],
    chains: [...chains.keys()],
    counters: [...counters],
  };
}

// ── Objects ────────────────────────────────────────────────────────────────────────────────────────────────

function objectsOf(plan: Plan): Objects {
  return lowered(plan, new Map(), plan.kernelChains);
}

/**
 * The objects of a plan before its large sets are changed: what they lack and what they have too much is in
 * sets of its own.
 */
function overlaid(plan: Plan): Objects {
  const overlays = new Map<string, Overlay>();
  for (const [key, set] of plan.sets)
    if (set.delta !== undefined) overlays.set(key, overlayOf(set, set.delta));
  return lowered(plan, overlays, overlaidChains(plan, overlays));
}

function overlayOf({ key, members: { family } }: AddressSet, delta: SetDelta): Overlay {
  const of = (what: keyof Overlay): AddressSet | undefined =>
    delta[what].lengths.length === 0
      ? undefined
      : newSet(keyOf(`${what} ${setKey(key, family)}`), delta[what]);
  return { added: of('added'), removed: of('removed') };
}

function lowered(
  plan: Plan,
  overlays: ReadonlyMap<string, Overlay>,
  chains: ReadonlyMap<string, readonly Step[]>,
): Objects {
  const sets = new Map<string, AddressSet>();
  for (const [key, set] of plan.sets) {
    const { added, removed } = overlays.get(key) ?? {};
    for (const each of [set, added, removed]) {
      if (each !== undefined) for (const name of setNames(each)) sets.set(name, each);
    }
  }
  const maps = new Map<string, DispatchMap | ClassMap>([...plan.maps, ...plan.classMaps]);
  return { sets, nameSets: plan.nameSets, maps, chains, counters: plan.counters };
}

function union(a: Objects, b: Objects): Objects {
  return {
    sets: new Map([...a.sets, ...b.sets]),
    nameSets: new Map([...a.nameSets, ...b.nameSets]),
    maps: new Map([...a.maps, ...b.maps]),
    chains: new Map([...a.chains, ...b.chains]),
    counters: new Set([...a.counters, ...b.counters]),
  };
}

// ── Differences ────────────────────────────────────────────────────────────────────────────────────────────

interface DifferenceOptions extends ChangeOptions {
  readonly base: 'fresh' | Tag;
  /** Objects that the second plan lacks stay. */
  readonly keepsOld?: boolean;
  /** The plan whose lists are compared, to send which names remain; absent: no list changes. */
  readonly namesOf?: Plan | 'unknown';
}

function difference(
  from: Objects,
  to: Objects,
  { keepsOld = false, namesOf: before, ...options }: DifferenceOptions,
  body = new Body(),
): ChangeWithBody {
  const fresh = <T>(a: ReadonlyMap<string, unknown>, b: ReadonlyMap<string, T>): string[] =>
    [...b.keys()].filter((name) => !a.has(name));
  const old = (a: ReadonlyMap<string, unknown>, b: ReadonlyMap<string, unknown>): string[] =>
    keepsOld ? [] : fresh(b, a);
  const newSets = fresh(from.sets, to.sets);
  for (const set of new Set(newSets.map((name) => to.sets.get(name)))) {
    if (set !== undefined) body.put('added', set, set.members);
  }
  const newMaps = fresh(from.maps, to.maps);
  const keys: Change['keys'][number][] = [];
  for (const map of newMaps) {
    const elements = to.maps.get(map);
    if (elements === undefined) continue;
    if ('tier' in elements) body.putVerdicts(map, elements);
    else for (const [address, chain] of elements) keys.push({ map, address, chain });
  }
  const chains = [...to.chains].filter(([name, steps]) => !sameSteps(from.chains.get(name), steps));
  const change: Change = {
    ...options,
    newCounters: [...to.counters].filter((name) => !from.counters.has(name)),
    newSets: [...newSets, ...fresh(from.nameSets, to.nameSets)],
    newMaps,
    newChains: fresh(from.chains, to.chains),
    chains: chains.map(([name, steps]) => ({ name, steps })),
    removed: body.removed,
    added: body.added,
    verdicts: body.verdicts,
    keys,
    ...(to !== NOTHING && { nameSets: nameSetsOf(to.nameSets, before && leftPut(body, before)) }),
    oldMaps: old(from.maps, to.maps),
    oldChains: old(from.chains, to.chains),
    oldSets: [...old(from.sets, to.sets), ...old(from.nameSets, to.nameSets)],
    oldCounters: keepsOld ? [] : [...from.counters].filter((name) => !to.counters.has(name)),
  };
  return { change, body: body.pieces, elementCount: body.elementCount };
}

/** Name sets as a request has them. */
export function nameSetsOf(
  sets: Plan['nameSets'],
  leftOf: (each: PlannedNameSet) => LeftInBody | undefined = () => undefined,
): readonly NameSet[] {
  return [...sets].map(([set, each]) => {
    const { list, isPrivate, qubes, pairs } = each;
    const left = leftOf(each);
    return {
      set,
      list,
      isPrivate,
      pairs: pairs.map(({ v4, v6 }) => [hexAt(v4.words, 0, 4), hexAt(v6.words, 0, 6)] as const),
      qubes: Array.from(qubes.lengths, (length, i) => ({
        address: hexAt(qubes.words, i, qubes.family),
        length,
      })),
      ...(left !== undefined && { left }),
    };
  });
}

/** Puts the remaining names of each changed list into a body: once for both families, if there is room. */
function leftPut(body: Body, before: Plan | 'unknown'): (each: PlannedNameSet) => LeftInBody | undefined {
  const known = before === 'unknown' ? undefined : before.nameSets.values();
  const former = known && new Map([...known].map((each) => [each.list, each]));
  const put = new Map<string, LeftInBody | undefined>();
  let room = NAMES_LEFT_MAX_BYTES;
  return ({ list, names, version }) => {
    if (put.has(list)) return put.get(list);
    const was = former?.get(list);
    const from = was?.version ?? null;
    const isOther = from === null ? former === undefined : from !== version;
    const left = isOther ? leftBetween(was?.names, names, room) : undefined;
    if (left !== undefined) room -= bytesOfLeft(left);
    put.set(list, left && { from, ...columnsPut(body, left) });
    return put.get(list);
  };
}

function columnsPut(body: Body, { isOfGone, names: set }: NamesLeft): Omit<LeftInBody, 'from'> {
  const column = ({ bytes }: Names): ColumnInBody => ({ at: body.putBytes(bytes), byteCount: bytes.length });
  return { isOfGone, names: column(set.names), exceptions: column(set.exceptions) };
}

function foldOf(plan: Plan, options: DifferenceOptions): ChangeWithBody {
  const body = new Body();
  for (const set of plan.sets.values()) {
    if (set.delta === undefined) continue;
    body.put('removed', set, set.delta.removed);
    body.put('added', set, set.delta.added);
  }
  return difference(NOTHING, NOTHING, options, body);
}

function isIdle(change: Change): boolean {
  const { chains, removed, added, oldMaps, oldChains, oldSets, oldCounters } = change;
  return [chains, removed, added, oldMaps, oldChains, oldSets, oldCounters].every(
    (list) => list.length === 0,
  );
}

/** Gathers the elements that a change carries. */
class Body {
  readonly added: Elements[] = [];
  readonly removed: Elements[] = [];
  readonly pieces: Uint8Array[] = [];
  readonly verdicts: Verdicts[] = [];
  elementCount = 0;
  #bytes = 0;

  /** Elements for the sets of a column, of prefixes none of which is longer than its last tier. */
  put(to: 'added' | 'removed', set: AddressSet, members: Prefixes): void {
    const { layout } = set;
    const count = members.lengths.length;
    if (count === 0) return;
    const at = this.#bytes;
    const names = setNames(set);
    const loads = layout.kind === 'interval' ? [count] : loadsOf(members, layout.tiers);
    for (const [index, load] of loads.entries()) {
      const above = layout.kind === 'interval' ? -1 : (layout.tiers[index - 1]?.length ?? -1);
      if (load > 0) this[to].push({ set: names[index] ?? '', at, count, above });
      this.elementCount += load;
    }
    this.#append(new Uint8Array(members.words.buffer, members.words.byteOffset, members.words.byteLength));
    this.#append(members.lengths);
    this.#append(new Uint8Array(-count & 3));
  }

  putVerdicts(map: string, { words, verdicts, chains }: ClassMap): void {
    const count = verdicts.length;
    this.verdicts.push({ map, at: this.#bytes, count, chains });
    this.elementCount += count;
    for (const { buffer, byteOffset, byteLength } of [words, verdicts])
      this.#append(new Uint8Array(buffer, byteOffset, byteLength));
  }

  /** Appends bytes and returns their offset. */
  putBytes(bytes: Uint8Array): number {
    const at = this.#bytes;
    this.#append(bytes);
    this.#append(new Uint8Array(-bytes.length & 3));
    return at;
  }

  #append(piece: Uint8Array): void {
    if (piece.length === 0) return;
    this.pieces.push(piece);
    this.#bytes += piece.length;
  }
}

function sameSteps(before: unknown, after: readonly Step[]): boolean {
  if (before === after) return true;
  if (!Array.isArray(before) || before.length !== after.length) return false;
  return JSON.stringify(before) === JSON.stringify(after);
}
