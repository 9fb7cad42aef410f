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
  /** By run: what it decides. */
  readonly actions: readonly Action[];
  /** By action: of the runs that are asked by the class of the address, which have none of their own. */
  readonly together: Readonly<Record<Action, Hits>>;
  /** Undefined for `first`, `common` and exceptions. */
  readonly defaultAction: Hits | undefined;
  /** What `defaultAction` counts. */
  readonly base: Action;
}

/** The sum over the rules that use a list; and of those that drop, packets. */
export interface ListHits extends Hits {
  readonly dropped: number;
}

export interface NftHits {
  /** All dropped packets. */
  readonly dropped: Hits;
  readonly policies: readonly PolicyHits[];
  readonly lists: ReadonlyMap<string, ListHits>;
}

/** The kernel's counters by name: packets and bytes. */
export type CounterValues = Readonly<Record<string, readonly [number, number]>>;

/**
 * How many of each kind are told: together no more than the publisher reads pages of. `nftLeftOut` counts
 * those beyond. Our choice.
 */
const TOLD = 8192;

export function hitsFrom(indices: readonly CounterIndex[], values: CounterValues): NftHits {
  const hitsOf = (counter: string | undefined): Hits => {
    const [packets, bytes] = values[counter ?? ''] ?? [0, 0];
    return { packets, bytes };
  };
  const lists = new Map<string, ListHits>();
  const policies = indices.map(
    ({
      policy,
      block,
      direction,
      runs,
      numbers,
      lists: runLists,
      actions,
      together,
      defaultAction,
      base,
    }) => {
      for (const [run, list] of runLists.entries()) {
        if (list === undefined) continue;
        const { packets, bytes } = hitsOf(runs[run]);
        const sum = lists.get(list) ?? NO_HITS;
        lists.set(list, {
          packets: sum.packets + packets,
          bytes: sum.bytes + bytes,
          dropped: sum.dropped + (actions[run] === 'drop' ? packets : 0),
        });
      }
      const last = defaultAction === undefined ? undefined : hitsOf(defaultAction);
      const [accept, drop] = together;
      return {
        policy,
        block,
        direction,
        runs: runs.map(hitsOf),
        numbers,
        actions,
        together: { accept: hitsOf(accept), drop: hitsOf(drop) },
        defaultAction: last,
        base,
      };
    },
  );
  return { dropped: hitsOf(DENIED_COUNTER), policies, lists };
}

const NO_HITS: ListHits = { packets: 0, bytes: 0, dropped: 0 };

/**
 * Sums by names of counters: packets decided and dropped, and those with packets of lists (`list.NAME`), of
 * policies (`policy.NAME`; `unmatched`: of qubes that none names), of both what was accepted and dropped
 * (`accept.list.NAME`, `drop.policy.NAME`), and of rules (`rule.POLICY.N` for egress, `.inN` for ingress, `x`
 * before the number of an exception; in place of the number `accept` or `drop`: of all that are counted
 * together, or `default`).
 */
export function sumsOf({ dropped, policies, lists }: NftHits): Readonly<Record<string, number>> {
  const byPolicy = new Map<string | undefined, Record<Action, number>>();
  const rules: Count[] = [];
  let decided = 0;
  for (const {
    policy,
    block,
    direction,
    runs,
    numbers,
    actions,
    together,
    defaultAction,
    base,
  } of policies) {
    const place = `${policy}.${direction === 'egress' ? '' : 'in'}${block === 'exceptions' ? 'x' : ''}`;
    const own = byPolicy.get(policy) ?? { accept: 0, drop: 0 };
    const add = (what: string | number, action: Action, packets: number): void => {
      own[action] += packets;
      decided += packets;
      if (policy !== undefined) rules.push([`rule.${place}${what}`, packets]);
    };
    for (const action of ['accept', 'drop'] as const) add(action, action, together[action].packets);
    for (const [run, { packets }] of runs.entries()) add(numbers[run] ?? 0, actions[run] ?? 'drop', packets);
    add('default', base, defaultAction?.packets ?? 0);
    byPolicy.set(policy, own);
  }
  const sums = { lists: [] as Count[], policies: [] as Count[] };
  for (const [name, { packets, dropped: drop }] of lists)
    sums.lists.push(...byAction(`list.${name}`, { accept: packets - drop, drop }));
  for (const [name, packets] of byPolicy)
    if (name !== undefined) sums.policies.push(...byAction(`policy.${name}`, packets));
  const unmatched = byPolicy.get(undefined)?.drop ?? 0;
  const told = [sums.lists, sums.policies, rules].map(toldOf);
  const leftOut = told.reduce((sum, counts) => sum + Math.max(0, counts.length - TOLD), 0);
  return {
    nftDecided: decided,
    nftDropped: dropped.packets,
    ...(leftOut > 0 && { nftLeftOut: leftOut }),
    ...(unmatched > 0 && { unmatched }),
    ...Object.fromEntries(told.flatMap((counts) => counts.slice(0, TOLD))),
  };
}

type Count = readonly [name: string, packets: number];

function byAction(name: string, { accept, drop }: Readonly<Record<Action, number>>): readonly Count[] {
  return [
    [name, accept + drop],
    [`accept.${name}`, accept],
    [`drop.${name}`, drop],
  ];
}

/** Those with packets and all lists, those with most first. */
function toldOf(counts: readonly Count[]): readonly Count[] {
  return counts
    .filter(([name, packets]) => packets > 0 || name.startsWith('list.'))
    .sort(([, a], [, b]) => b - a);
}
