/** Hits: matches of the rules, computed from the kernel's counters. */

import type { Action, Direction, RuleBlock } from '@rulecast/rules';
import type { CounterIndex } from '../plan/blocks.ts';
import { DENIED_COUNTER } from '../plan/plan.ts';

export interface Hits {
  readonly packets: number;
  readonly bytes: number;
}

/**
 * Packets decided by the rules of one block of a policy in one direction since the applier started. Of an
 * accepted and marked flow only the judged packets count, one a release.
 */
export interface PolicyHits {
  /** Undefined: of qubes that no policy judges. */
  readonly policy: string | undefined;
  /** `exceptions` come before `common`; a policy without them has no such entry. */
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

/**
 * The number of counters sent for lists and policies, and for rules: together no more pages than the
 * publisher reads. `nftLeftOut` counts the rest. Our choice.
 */
const SENT_MAX = 12_288;

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
 * Sums by names of counters: packets decided and dropped, and those with packets of lists (`list.NAME`), of
 * policies (`policy.NAME`; `unmatched`: of qubes that none names), of both what was accepted and dropped
 * (`accept.list.NAME`, `drop.policy.NAME`), and of rules (`rule.POLICY.N` for egress, `.inN` for ingress, `x`
 * before the number of an exception; in place of the number `accept` or `drop`: of all that are counted
 * together, or `default`).
 */
export function sumsOf(
  indices: readonly CounterIndex[],
  values: CounterValues,
): Readonly<Record<string, number>> {
  const packetsOf = (counter: string | undefined): number => values[counter ?? '']?.[0] ?? 0;
  const parts = new Map<string, number>();
  const rules = new Map<string, number>();
  let [decided, unmatched] = [0, 0];
  for (const { policy, block, direction, runs, numbers, lists, actions, ...index } of indices) {
    const place = `${policy}.${direction === 'egress' ? '' : 'in'}${block === 'exceptions' ? 'x' : ''}`;
    const add = (rule: string | number, action: Action, counter: string | undefined, list?: string): void => {
      const packets = packetsOf(counter);
      decided += packets;
      if (policy === undefined) unmatched += packets;
      else rules.set(`rule.${place}${rule}`, packets);
      for (const part of [policy && `policy.${policy}`, list && `list.${list}`])
        if (part !== undefined)
          for (const name of [part, `${action}.${part}`]) parts.set(name, (parts.get(name) ?? 0) + packets);
    };
    const [accept, drop] = index.together;
    add('accept', 'accept', accept);
    add('drop', 'drop', drop);
    for (const [at, run] of runs.entries()) add(numbers[at] ?? 0, actions[at] ?? 'drop', run, lists[at]);
    add('default', index.base, index.defaultAction);
  }
  const found = [parts, rules].map(withPackets);
  const leftOut = found.reduce((sum, counts) => sum + Math.max(0, counts.length - SENT_MAX), 0);
  return {
    nftDecided: decided,
    nftDropped: packetsOf(DENIED_COUNTER),
    ...(leftOut > 0 && { nftLeftOut: leftOut }),
    ...(unmatched > 0 && { unmatched }),
    ...Object.fromEntries(found.flatMap((counts) => counts.slice(0, SENT_MAX))),
  };
}

/** Counters that are not 0, and those of lists, the highest first. */
function withPackets(counts: ReadonlyMap<string, number>): readonly (readonly [string, number])[] {
  return [...counts]
    .filter(([name, packets]) => packets > 0 || name.startsWith('list.'))
    .sort(([, a], [, b]) => b - a);
}
