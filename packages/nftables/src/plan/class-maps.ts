/**
 * Class maps: a longest match in the kernel, as one hash map for each prefix length that is kept. They are asked from the longest on, so what a
 * shorter prefix is expanded to gives way to the longer ones within it.
 */

import { containsAt, type Prefixes, strideOf } from '@rulecast/rules';
import { capacityOf, hashTiers, setLowBits } from './layout.ts';
import type { ClassMap, Tier } from './plan.ts';

export interface ClassMaps {
  /** In the order in which they are asked. */
  readonly maps: readonly ClassMap[];
  /** The chain of all addresses that no map holds; undefined: there is none. */
  readonly otherwise: string | undefined;
}

/** The maps of prefixes, ascending, the shorter one first, from each to the chain of its class. */
export function classMapsOf(prefixes: Prefixes, classOf: Uint32Array, chains: readonly string[]): ClassMaps {
  const everything = prefixes.lengths[0] === 0 ? 1 : 0; // of no bits, and so before all others
  const stride = strideOf(prefixes.family);
  const rest: Prefixes = {
    family: prefixes.family,
    words: prefixes.words.subarray(everything * stride),
    lengths: prefixes.lengths.subarray(everything),
  };
  const classes = classOf.subarray(everything);
  const tiers = rest.lengths.length === 0 ? [] : hashTiers(rest);
  const maps = tiers.map((tier, index) => mapOf(rest, classes, chains, tier, tiers[index - 1]?.length ?? 0));
  const otherwise = everything === 1 ? chains[classOf[0] ?? 0] : undefined;
  return { maps: maps.filter(({ words }) => words.length > 0).reverse(), otherwise };
}

/** A prefix whose networks are being written: of those, so many are written or left to prefixes within it. */
interface Open {
  readonly entry: number;
  done: number;
}

/** The networks of one length, ascending, of the prefixes that are longer than `above` and not longer than that. */
function mapOf(
  { family, words, lengths }: Prefixes,
  classes: Uint32Array,
  chains: readonly string[],
  tier: Tier,
  above: number,
): ClassMap {
  const stride = strideOf(family);
  const room = capacityOf(tier.bucketsLog2);
  const networks = new Uint32Array(room * stride);
  const verdicts = new Uint32Array(room);
  const used = new Map<number, number>(); // the place of a class among those of this map
  let count = 0;
  const copiesOf = (entry: number): number => 2 ** (tier.length - lengths[entry]!); // an entry, here and below
  const write = (open: Open, end: number): void => {
    const own = classes[open.entry]!;
    const verdict = used.get(own) ?? used.size;
    used.set(own, verdict);
    for (; open.done < end; open.done++, count++) {
      for (let w = 0; w < stride; w++) networks[count * stride + w] = words[open.entry * stride + w]!;
      setLowBits(networks, count * stride, tier.length, open.done);
      verdicts[count] = verdict;
    }
  };
  const stack: Open[] = [];
  const close = (): void => {
    const open = stack.pop();
    if (open !== undefined) write(open, copiesOf(open.entry));
  };
  for (let entry = 0; entry < lengths.length; entry++) {
    if (lengths[entry]! <= above || lengths[entry]! > tier.length) continue;
    let outer = stack.at(-1);
    for (
      ;
      outer !== undefined && !containsAt({ family, words, lengths }, outer.entry, words, entry);
      outer = stack.at(-1)
    )
      close();
    if (outer !== undefined) {
      const place = bitsBetween(words, entry * stride, lengths[outer.entry]!, tier.length);
      write(outer, place);
      outer.done = place + copiesOf(entry);
    }
    stack.push({ entry, done: 0 });
  }
  while (stack.length > 0) close();
  return {
    family,
    tier,
    words: networks.slice(0, count * stride),
    verdicts: verdicts.slice(0, count),
    chains: [...used.keys()].map((each) => chains[each] ?? ''),
  };
}

/** The bits [from, to) of the address at `at`, as a number. */
function bitsBetween(words: Uint32Array, at: number, from: number, to: number): number {
  let value = 0;
  for (let bit = from; bit < to; bit++)
    value = value * 2 + ((words[at + (bit >> 5)]! >>> (31 - (bit & 31))) & 1); // a bit of the address
  return value;
}
