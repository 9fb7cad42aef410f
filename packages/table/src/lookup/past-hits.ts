/**
 * The hits of former generations: readers may count there until they see a flip, and the runs they count for
 * continue in the following generations.
 *
 *   sums │ counters replaced first ─ succession ─▶ counters replaced next ─ succession ─▶ … ─▶ those in force
 *
 * Once no reader can be in the first ones, they are added to the sums, which take the next step.
 */

import type { Image } from '../image/header.ts';
import { listsOf, sumHits } from './hits.ts';
import { type Contents, type Succession, successionOf } from './succession.ts';

/** Counters that were replaced by others. */
export interface FormerCounters {
  readonly image: Image;
  /** The generation that took their place, and how many outcomes that has. */
  readonly since: number;
  readonly nextCount: number;
  readonly succession: Succession;
  /** By outcome, its list. */
  readonly lists: ReadonlyMap<number, string>;
  /** Their counts, once no reader can be in them. */
  hits: Float64Array | undefined;
}

/**
 * Prepares the succession of the counters in force to those of another generation, so that the flip only
 * stores it.
 */
export function formerCounters(before: Contents, after: Contents): FormerCounters {
  const { generation: since, places } = after.image;
  return {
    image: before.image,
    since,
    nextCount: places.outcomeCount,
    succession: successionOf(before, after),
    lists: listsOf(before),
    hits: undefined,
  };
}

/** The hits so far. */
interface Sums {
  /** By outcome of some generation. */
  hits: Float64Array;
  /** By list, and altogether: what outcomes decided that this generation has not. */
  readonly lists: Map<string, number>;
  gone: number;
}

export class PastHits {
  readonly #sums: Sums = { hits: new Float64Array(0), lists: new Map(), gone: 0 }; // by outcome of the first of those replaced, or of that in force
  #former: readonly FormerCounters[] = [];

  /** Adds counters that were in force and have been replaced. */
  replace(one: FormerCounters): void {
    this.#former = [...this.#former, one];
  }

  /** Saves the counts of generations whose memory is about to be free, as `isGone` tells by `since`. */
  keep(isGone: (since: number) => boolean): void {
    for (const one of this.#former)
      if (one.hits === undefined && isGone(one.since)) one.hits = sumHits(one.image);
    for (let [first] = this.#former; first?.hits !== undefined; [first] = this.#former) {
      carry(this.#sums, first);
      this.#former = this.#former.slice(1);
    }
  }

  /** The sums with the counters in force added. */
  upTo(image: Image): Sums {
    const { hits, lists, gone } = this.#sums;
    const sums: Sums = { hits: hits.slice(), lists: new Map(lists), gone };
    for (const one of this.#former) carry(sums, one);
    add(sums, sumHits(image));
    return sums;
  }
}

/** `hits` are of the same generation. */
function add(sums: Sums, hits: Float64Array): void {
  if (sums.hits.length === 0) sums.hits = hits.slice();
  else for (let outcome = 0; outcome < hits.length; outcome++) sums.hits[outcome]! += hits[outcome]!; // of one length
}

/** Adds the counts of former counters, and maps the sums to their successors. */
function carry(sums: Sums, { image, nextCount, succession, lists, hits }: FormerCounters): void {
  add(sums, hits ?? sumHits(image));
  const next = new Float64Array(nextCount);
  for (const [outcome, count] of sums.hits.entries()) {
    if (count === 0) continue;
    const to = succession[outcome]!; // of one length
    if (to >= 0) {
      next[to]! += count; // below the next count
      continue;
    }
    sums.gone += count;
    const list = lists.get(outcome);
    if (list !== undefined) sums.lists.set(list, (sums.lists.get(list) ?? 0) + count);
  }
  sums.hits = next;
}
