/** Hits: what the rules matched, put together from the kernel's counters. */

import type { Action, Direction, RuleBlock } from '@rulecast/rules';
import type { CounterIndex } from '../plan/blocks.ts';
import { DENIED_COUNTER } from '../plan/plan.ts';

export interface Hits {
  readonly packets: number;
  readonly bytes: number;
}

/**
 * What the rules of one block of a policy in one direction decided since the applier was started: packets,
 * but of a flow that is accepted and marked only those that were judged, one a release.
 */
export interface PolicyHits {
  /** Undefined: of qubes that no policy judges. */
  readonly policy: string | undefined;
  /** `exceptions` come before `common`; a policy without any has no such entry. */
  readonly block: RuleBlock;
  readonly direction: Direction;
  /** By run, from 0. */
  readonly runs: readonly Hits[];
  /** By run: the number of its first rule in the block, from 1. */
  readonly numbers: readonly number[];
  /** By action: of the runs that are asked by the class of the address, which have none of their own. */
  readonly together: Readonly<Record<Action, Hits>>;
  /** Undefined for `first`, `common` and exceptions. */
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

/** How many of each kind are told: a hundred pages of answers, of which people read the first. Our choice. */
const SHOWN = 2048;

export function hitsFrom(indices: readonly CounterIndex[], values: CounterValues): NftHits {
  const hitsOf = (counter: string | undefined): Hits => {
    const [packets, bytes] = values[counter ?? ''] ?? [0, 0];
    return { packets, bytes };
  };
  const lists = new Map<string, Hits>();
  const policies = indices.map(
    ({ policy, block, direction, runs, numbers, lists: runLists, together, defaultAction }) => {
      for (const [run, list] of runLists.entries()) {
        if (list === undefined) continue;
        lists.set(list, sum(lists.get(list) ?? NO_HITS, hitsOf(runs[run])));
      }
      const last = defaultAction === undefined ? undefined : hitsOf(defaultAction);
      const [accept, drop] = together;
      return {
        policy,
        block,
        direction,
        runs: runs.map(hitsOf),
        numbers,
        together: { accept: hitsOf(accept), drop: hitsOf(drop) },
        defaultAction: last,
      };
    },
  );
  return { dropped: hitsOf(DENIED_COUNTER), policies, lists };
}

const NO_HITS: Hits = { packets: 0, bytes: 0 };

function sum(a: Hits, b: Hits): Hits {
  return { packets: a.packets + b.packets, bytes: a.bytes + b.bytes };
}

/**
 * Sums for people, by names of counters: packets decided and dropped, and those with most
 * packets of lists (`list.NAME`), of policies (`policy.NAME`; `unmatched`: of qubes that none names) and of
 * rules (`rule.POLICY.N` for egress, `.inN` for ingress, `x` before the number of an exception; `accept` or
 * `drop` in place of the number: of all that are counted together).
 */
export function sumsOf({ dropped, policies, lists }: NftHits): Readonly<Record<string, number>> {
  const byPolicy = new Map<string, number>();
  const byRule = new Map<string, number>();
  let decided = 0;
  for (const { policy, block, direction, runs, numbers, together, defaultAction } of policies) {
    const place = `${direction === 'egress' ? '' : 'in'}${block === 'exceptions' ? 'x' : ''}`;
    let own = defaultAction?.packets ?? 0;
    for (const [action, { packets }] of Object.entries(together)) {
      own += packets;
      byRule.set(`rule.${policy}.${place}${action}`, packets);
    }
    for (const [run, { packets }] of runs.entries()) {
      own += packets;
      byRule.set(`rule.${policy}.${place}${numbers[run]}`, packets);
    }
    const name = policy === undefined ? 'unmatched' : `policy.${policy}`;
    byPolicy.set(name, (byPolicy.get(name) ?? 0) + own);
    decided += own;
  }
  const byList = [...lists].map(([name, { packets }]) => [`list.${name}`, packets] as const);
  return {
    nftDecided: decided,
    nftDropped: dropped.packets,
    ...most(byList, 0),
    ...most(byPolicy, 1),
    ...most(byRule, 1),
  };
}

/** Those with most packets, and not fewer than `least`. */
function most(counts: Iterable<readonly [string, number]>, least: number): Readonly<Record<string, number>> {
  const some = [...counts].filter(([, packets]) => packets >= least);
  return Object.fromEntries(some.sort(([, a], [, b]) => b - a).slice(0, SHOWN));
}
