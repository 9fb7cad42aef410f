/**
 * Class maps: a longest match in the kernel, as one hash map for each prefix length that is kept. Lookups go
 * from the longest to the shortest, so longer prefixes win over the expansions of shorter ones.
 *
 * Maps are never changed. If a few of many networks change class, a patch is looked up just before the map of
 * their length: a small map with the present classes of these networks, even if a shorter prefix gives it.
 * The large ones stay as they are, until patches grow too large.
 *
 *   patch /32 ─▶ map /32 ─▶ map /30 ─▶ patch /24 ─▶ map /24 ─▶ … ─▶ the class of all other addresses
 */

import {
  classFor,
  comparePrefixAt,
  containsAt,
  type MatchClasses,
  PrefixBuilder,
  type Prefixes,
  strideOf,
} from '@rulecast/rules';
import { PATCHED_MAX, SMALL_MEMBERS_MAX } from '../limits.ts';
import { hashTiers, setLowBits, tierOf } from './layout.ts';
import { type ClassMap, capacityOf, classMapName, type Tier } from './plan.ts';

/** Maps that were loaded whole, and the classes they were made from. */
export interface LoadedMaps {
  readonly classes: MatchClasses;
  /** By class: its chain; all that the maps lead to stay for as long as these do. */
  readonly chains: readonly string[];
  /** Ascending. */
  readonly tiers: readonly Tier[];
  readonly maps: readonly NamedMap[];
}

interface NamedMap {
  readonly name: string;
  readonly map: ClassMap;
}

export interface ClassMaps {
  /** In the order of lookups. */
  readonly maps: readonly NamedMap[];
  /** The chain for addresses in no map. */
  readonly otherwise: string;
  /** The maps that later patches build on. */
  readonly loaded: LoadedMaps;
}

/**
 * The maps from the prefixes of some classes to their chains; those that are `loaded` with patches, where
 * that is little.
 */
export function classMapsOf(
  classes: MatchClasses,
  chains: readonly string[],
  loaded?: LoadedMaps,
): ClassMaps {
  const otherwise = chains[classes.classOf[0] ?? 0] ?? '';
  const patches = loaded === undefined ? undefined : patchesOf(loaded, classes, chains);
  if (loaded !== undefined && patches !== undefined)
    return { maps: longestFirst([...patches, ...loaded.maps]), otherwise, loaded };
  const { family, words, lengths } = classes.prefixes;
  // all except the prefix of length 0
  const rest: Prefixes = { family, words: words.subarray(strideOf(family)), lengths: lengths.subarray(1) };
  const tiers = rest.lengths.length === 0 ? [] : hashTiers(rest);
  const maps = tiers
    .map((tier, t) => mapOf(rest, classes.classOf.subarray(1), chains, tier, tiers[t - 1]?.length ?? 0))
    .filter((map) => map.words.length > 0)
    .map(named);
  return { maps: longestFirst(maps), otherwise, loaded: { classes, chains, tiers, maps } };
}

function named(map: ClassMap): NamedMap {
  return { name: classMapName(map), map };
}

/** Sorts by length, longest first, in the order of lookups; equal lengths keep their order. */
function longestFirst(maps: readonly NamedMap[]): readonly NamedMap[] {
  return [...maps].sort((a, b) => b.map.tier.length - a.map.tier.length);
}

// ── Whole maps ─────────────────────────────────────────────────────────────────────────────────────────────

/** A prefix whose networks are being written: `done` of them are written, or left to prefixes within it. */
interface Open {
  readonly entry: number;
  done: number;
}

/**
 * The networks of one length, ascending, of the prefixes that are longer than `above` and not longer than
 * that.
 */
function mapOf(
  prefixes: Prefixes,
  classes: Uint32Array,
  chains: readonly string[],
  tier: Tier,
  above: number,
): ClassMap {
  const { words, lengths } = prefixes;
  const into = new MapBuilder(prefixes.family, tier, chains);
  const copiesOf = (entry: number): number => 2 ** (tier.length - lengths[entry]!); // an entry, here and below
  const write = (open: Open, end: number): void => {
    for (; open.done < end; open.done++) into.add(words, open.entry, open.done, classes[open.entry]!);
  };
  const stack: Open[] = [];
  const close = (): void => {
    const open = stack.pop();
    if (open !== undefined) write(open, copiesOf(open.entry));
  };
  for (let entry = 0; entry < lengths.length; entry++) {
    const length = lengths[entry]!;
    if (length <= above || length > tier.length) continue;
    while (stack.length > 0 && !containsAt(prefixes, stack.at(-1)?.entry ?? 0, words, entry)) close();
    if (length === tier.length && stack.length === 0) {
      into.add(words, entry, 0, classes[entry]!); // as most are
      continue;
    }
    const outer = stack.at(-1);
    if (outer !== undefined) {
      const place = bitsBetween(words, entry * strideOf(prefixes.family), lengths[outer.entry]!, tier.length);
      write(outer, place);
      outer.done = place + copiesOf(entry);
    }
    stack.push({ entry, done: 0 });
  }
  while (stack.length > 0) close();
  return into.build();
}

/** Gathers the networks of a map with their chains. */
class MapBuilder {
  readonly #tier: Tier;
  readonly #chains: readonly string[];
  readonly #stride: 1 | 4;
  readonly #words: Uint32Array;
  readonly #verdicts: Uint32Array;
  /** By class: the index of its chain among those of this map, from 1. */
  readonly #placeOf: Uint32Array;
  readonly #used: string[] = [];
  #count = 0;

  /** For as many networks as the tier has room for. */
  constructor(family: Prefixes['family'], tier: Tier, chains: readonly string[]) {
    const room = capacityOf(tier.bucketsLog2);
    this.#tier = tier;
    this.#chains = chains;
    this.#stride = strideOf(family);
    this.#words = new Uint32Array(room * this.#stride);
    this.#verdicts = new Uint32Array(room);
    this.#placeOf = new Uint32Array(chains.length);
  }

  /** Adds the network with the first bits of entry `at`, and then `copy`. */
  add(words: Uint32Array, at: number, copy: number, own: number): void {
    const to = this.#count++ * this.#stride;
    for (let w = 0; w < this.#stride; w++) this.#words[to + w] = words[at * this.#stride + w]!; // a prefix of the caller's
    if (copy > 0) setLowBits(this.#words, to, this.#tier.length, copy);
    if (this.#placeOf[own] === 0) this.#placeOf[own] = this.#used.push(this.#chains[own] ?? '');
    this.#verdicts[this.#count - 1] = this.#placeOf[own]! - 1; // a class of the caller's
  }

  build(): ClassMap {
    return {
      family: this.#stride === 1 ? 4 : 6,
      tier: this.#tier,
      words: this.#words.slice(0, this.#count * this.#stride),
      verdicts: this.#verdicts.slice(0, this.#count),
      chains: this.#used,
    };
  }
}

/** The bits [from, to) of the address at `at`, as a number. */
function bitsBetween(words: Uint32Array, at: number, from: number, to: number): number {
  let value = 0;
  for (let bit = from; bit < to; bit++)
    value = value * 2 + ((words[at + (bit >> 5)]! >>> (31 - (bit & 31))) & 1); // a bit of the address
  return value;
}

// ── Patches ────────────────────────────────────────────────────────────────────────────────────────────────

/**
 * Patches in front of loaded maps, so that together they give the present classes. Undefined if there are few
 * prefixes anyway, if the patches would be large, or if the maps lead to chains that are gone. A network of a
 * map is patched if a prefix that it comes from, then or now, has another chain. It gets the chain of the
 * longest present prefix that holds it, up to the map's length: even if that prefix is shorter than those of
 * the map, as no later map would give another answer.
 */
function patchesOf(
  loaded: LoadedMaps,
  classes: MatchClasses,
  chains: readonly string[],
): readonly NamedMap[] | undefined {
  if (loaded.classes.prefixes.lengths.length <= SMALL_MEMBERS_MAX) return undefined;
  const known = new Set(chains);
  if (!loaded.maps.every(({ map }) => map.chains.every((chain) => known.has(chain)))) return undefined;
  const changed = changedPrefixes(loaded, classes, chains);
  if (changed === undefined) return undefined;
  const { family } = classes.prefixes;
  const longest = changed.lengths.reduce((most, length) => Math.max(most, length), 0);
  const lengths = loaded.tiers.map(({ length }) => length);
  if (longest > (lengths.at(-1) ?? 0)) lengths.push(longest);
  const patches: NamedMap[] = [];
  let total = 0;
  for (const [t, length] of lengths.entries()) {
    const networks = expanded(changed, lengths[t - 1] ?? 0, length, PATCHED_MAX - total);
    if (networks === undefined) return undefined;
    const count = networks.lengths.length;
    total += count;
    if (count === 0) continue;
    const into = new MapBuilder(family, tierOf(length, count), chains);
    const order = [...networks.lengths.keys()].sort((a, b) => comparePrefixAt(networks, a, networks, b));
    for (const [place, at] of order.entries()) {
      const isAgain = place > 0 && comparePrefixAt(networks, order[place - 1] ?? 0, networks, at) === 0;
      if (!isAgain) into.add(networks.words, at, 0, classFor(classes, networks, at));
    }
    patches.push(named(into.build()));
  }
  return patches;
}

/** Prefixes with another chain than in the loaded maps; undefined: too many. */
function changedPrefixes(
  loaded: LoadedMaps,
  classes: MatchClasses,
  chains: readonly string[],
): Prefixes | undefined {
  const { prefixes: now, classOf } = classes;
  const { prefixes: then, classOf: classThen } = loaded.classes;
  const changed = new PrefixBuilder(now.family);
  const chainNow = (at: number): string | undefined => chains[classOf[at] ?? 0];
  const chainThen = (at: number): string | undefined => loaded.chains[classThen[at] ?? 0];
  const [alike, fromEnd] = alikeEnds(loaded, classes, chains);
  const [thenEnd, nowEnd] = [then.lengths.length - fromEnd, now.lengths.length - fromEnd];
  let i = alike;
  let j = alike;
  while (i < thenEnd || j < nowEnd) {
    const order = i === thenEnd ? 1 : j === nowEnd ? -1 : comparePrefixAt(then, i, now, j);
    if (changed.count > PATCHED_MAX) return undefined;
    if (order > 0)
      changed.push(now.words, j, now.lengths[j]!); // j < length, and i below
    else if (order === 0 && chainNow(j) !== chainThen(i)) changed.push(now.words, j, now.lengths[j]!);
    else if (order < 0 && chains[classFor(classes, then, i)] !== chainThen(i))
      changed.push(then.words, i, then.lengths[i]!);
    if (order <= 0) i++;
    if (order >= 0) j++;
  }
  return changed.build();
}

/**
 * How many first and last prefixes lead to the same chains; the prefix of length 0 is the first, and left
 * out.
 */
function alikeEnds(
  loaded: LoadedMaps,
  { prefixes, classOf }: MatchClasses,
  chains: readonly string[],
): readonly [number, number] {
  const then = loaded.classes;
  const isSameClass = Uint8Array.from(chains, (chain, own) => (chain === loaded.chains[own] ? 1 : 0));
  const isAlike = (i: number, j: number): boolean =>
    classOf[j] === then.classOf[i] &&
    isSameClass[classOf[j]!] === 1 && // within both
    comparePrefixAt(then.prefixes, i, prefixes, j) === 0;
  const least = Math.min(then.classOf.length, classOf.length);
  let head = 1;
  while (head < least && isAlike(head, head)) head++;
  let tail = 0;
  while (tail < least - head && isAlike(then.classOf.length - 1 - tail, classOf.length - 1 - tail)) tail++;
  return [head, tail];
}

/**
 * The networks of a length of prefixes that are longer than `above`, and not longer than that; undefined:
 * more than `most`.
 */
function expanded(prefixes: Prefixes, above: number, length: number, most: number): Prefixes | undefined {
  const { family, words, lengths } = prefixes;
  const stride = strideOf(family);
  const networks = new PrefixBuilder(family);
  for (let at = 0; at < lengths.length; at++) {
    const own = lengths[at]!; // at < length
    if (own <= above || own > length) continue;
    const copies = 2 ** (length - own);
    if (networks.count + copies > most) return undefined;
    for (let copy = 0; copy < copies; copy++) {
      const network = words.slice(at * stride, (at + 1) * stride);
      setLowBits(network, 0, length, copy);
      networks.push(network, 0, length);
    }
  }
  return networks.build();
}
