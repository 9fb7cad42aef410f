/** Hits: what the rules matched, put together from the kernel's counters. */

import type { Direction, RuleBlock } from '@rulecast/rules';
import { DENIED_COUNTER } from './plan.ts';
import type { CounterIndex } from './planner.ts';

export interface Hits {
  readonly packets: number;
  readonly bytes: number;
}

/**
 * What the rules of one block of a policy in one direction decided since the applier was started: packets, but of a flow that is accepted and
 * marked only those that were judged, one a release.
 */
export interface PolicyHits {
  /** Undefined: of qubes that no policy judges. */
  readonly policy: string | undefined;
  /** `exceptions` come before `common`; a policy without any has no such entry. */
  readonly block: RuleBlock;
  readonly direction: Direction;
  /** By run, from 0. */
  readonly runs: readonly Hits[];
  /** Of the runs that are asked by the class of the address, which have none of their own. */
  readonly together: Hits;
  /** Undefined for `common` and exceptions. */
  readonly defaultAction: Hits | undefined;
}

export interface NftHits {
  /** All dropped packets. */
  readonly dropped: Hits;
  readonly policies: readonly PolicyHits[];
  /** By list: the sum over the rules that use it. */
  readonly lists: ReadonlyMap<string, Hits>;
}

/** The kernel's counters by name: packets and bytes. */
export type CounterValues = Readonly<Record<string, readonly [number, number]>>;

/** Lists whose hits are shown, and the longest name that a counter of a QUERY has room for. */
const LISTS_SHOWN = 24;
const LIST_NAME_MAX = 27;

export function hitsFrom(indices: readonly CounterIndex[], values: CounterValues): NftHits {
  const hitsOf = (counter: string | undefined): Hits => {
    const [packets, bytes] = values[counter ?? ''] ?? [0, 0];
    return { packets, bytes };
  };
  const lists = new Map<string, Hits>();
  const policies = indices.map(
    ({ policy, block, direction, runs, lists: runLists, together, defaultAction }) => {
      for (const [run, list] of runLists.entries()) {
        if (list === undefined) continue;
        lists.set(list, sum(lists.get(list) ?? NO_HITS, hitsOf(runs[run])));
      }
      const last = defaultAction === undefined ? undefined : hitsOf(defaultAction);
      const all = together.map(hitsOf).reduce(sum, NO_HITS);
      return { policy, block, direction, runs: runs.map(hitsOf), together: all, defaultAction: last };
    },
  );
  return { dropped: hitsOf(DENIED_COUNTER), policies, lists };
}

const NO_HITS: Hits = { packets: 0, bytes: 0 };

function sum(a: Hits, b: Hits): Hits {
  return { packets: a.packets + b.packets, bytes: a.bytes + b.bytes };
}

/** Sums for people, by names of at most 32 characters: decided and dropped packets, and `list.NAME` of the lists with most hits. */
export function sumsOf({ dropped, policies, lists }: NftHits): Readonly<Record<string, number>> {
  let decided = 0;
  for (const { runs, together, defaultAction } of policies) {
    for (const run of runs) decided += run.packets;
    decided += together.packets + (defaultAction?.packets ?? 0);
  }
  const sums: Record<string, number> = { nftDecided: decided, nftDropped: dropped.packets };
  const shown = [...lists]
    .filter(([name]) => name.length <= LIST_NAME_MAX)
    .sort(([, a], [, b]) => b.packets - a.packets)
    .slice(0, LISTS_SHOWN);
  for (const [name, { packets }] of shown) sums[`list.${name}`] = packets;
  return sums;
}
