/**
 * What generations out of sight decided: readers may count in their counters until they look away, and what
 * they counted for goes on in the generations after them.
 *
 *   sums │ counters replaced first ─ succession ─▶ counters replaced next ─ succession ─▶ … ─▶ those in force
 *
 * Once no reader can be in the first ones, they are added to the sums, which take the next step.
 */

import type { Pieces } from '@rulecast/rules';
import { type Made, type RunPairs, type Succession, successionPieces } from '../edit/succession.ts';
import type { Image } from '../image/header.ts';
import { listsOf, sumHits } from './hits.ts';

/** Counters that others take the place of. */
export interface Replaced {
  readonly image: Image;
  /** The generation that took their place, and how many outcomes that has. */
  readonly since: number;
  readonly nextCount: number;
  readonly succession: Succession;
  /** By outcome, its list. */
  readonly lists: ReadonlyMap<number, string>;
  /** What they counted, once no reader can be in them. */
  hits: Float64Array | undefined;
}

/**
 * What is to be known of the counters in force before those of another generation take their place; `isEdit`:
 * most outcomes are what they were. In pieces, so that the flip only takes it over.
 */
export function* replacedPieces(
  before: Made,
  after: Made,
  isEdit: boolean,
  known: RunPairs,
): Pieces<Replaced> {
  const { generation: since, places } = after.image;
  return {
    image: before.image,
    since,
    nextCount: places.outcomeCount,
    succession: yield* successionPieces(before, after, isEdit, known),
    lists: listsOf(before),
    hits: undefined,
  };
}

/** What was decided so far. */
interface Sums {
  /** By outcome of some generation. */
  hits: Float64Array;
  /** By list, and altogether: what outcomes decided that this generation has not. */
  readonly lists: Map<string, number>;
  gone: number;
}

export class PastHits {
  readonly #sums: Sums = { hits: new Float64Array(0), lists: new Map(), gone: 0 }; // by outcome of the first of those replaced, or of that in force
  #replaced: readonly Replaced[] = [];

  /** Other counters have taken the place of these, which were in force. */
  replace(one: Replaced): void {
    this.#replaced = [...this.#replaced, one];
  }

  /** Keeps what counters have of which `isGone` says, by `since`, that their memory is about to be free. */
  keep(isGone: (since: number) => boolean): void {
    for (const one of this.#replaced)
      if (one.hits === undefined && isGone(one.since)) one.hits = sumHits(one.image);
    for (let [first] = this.#replaced; first?.hits !== undefined; [first] = this.#replaced) {
      carry(this.#sums, first);
      this.#replaced = this.#replaced.slice(1);
    }
  }

  /** With what those in force have. */
  upTo(image: Image): Sums {
    const { hits, lists, gone } = this.#sums;
    const sums: Sums = { hits: hits.slice(), lists: new Map(lists), gone };
    for (const one of this.#replaced) carry(sums, one);
    add(sums, sumHits(image));
    return sums;
  }
}

/** `hits` are of the same generation. */
function add(sums: Sums, hits: Float64Array): void {
  if (sums.hits.length === 0) sums.hits = hits.slice();
  else for (let outcome = 0; outcome < hits.length; outcome++) sums.hits[outcome]! += hits[outcome]!; // of one length
}

/** Adds what replaced counters have, and takes the step to those after them. */
function carry(
  sums: Sums,
  { image, nextCount, succession: { pairs, restStays }, lists, ...one }: Replaced,
): void {
  add(sums, one.hits ?? sumHits(image));
  const { hits } = sums;
  const moved: number[] = [];
  for (let i = 0; i < pairs.length; i += 2) {
    moved.push(hits[pairs[i]!]!); // in pairs of outcomes, as below
    hits[pairs[i]!] = 0;
  }
  const lose = (outcome: number, count: number): void => {
    sums.gone += count;
    const list = lists.get(outcome);
    if (list !== undefined) sums.lists.set(list, (sums.lists.get(list) ?? 0) + count);
  };
  if (!restStays) {
    for (let outcome = 0; outcome < hits.length; outcome++)
      if (hits[outcome]! > 0) lose(outcome, hits[outcome]!); // below the length
    sums.hits = new Float64Array(nextCount);
  }
  for (let i = 0; i < moved.length; i++) {
    const next = pairs[i * 2 + 1]!; // likewise
    if (next < 0) lose(pairs[i * 2]!, moved[i]!);
    else sums.hits[next]! += moved[i]!;
  }
}
