/** The counters in an ANSWER: WIRE.md "ANSWER", by their names in CONTROL.md "record counters". Pure. */

import { COUNTERS_MAX, type RootWatch } from '@rulecast/protocol';
import type { FreshnessWatch } from './freshness-watch.ts';
import type { News } from './news.ts';

type Counter = readonly [name: string, count: number];

/** As many counters as an ANSWER has room for, and where the next begin. */
export interface CounterPage {
  readonly stats: Readonly<Record<string, number>>;
  readonly next: number | undefined;
}

/** Lists whose hits are sent, those with most: a table may have more than people read. Our choice. */
const LISTS_TOLD = 2048;
/** Counters in one answer: with the other fields they fit a control body. */
const PAGE_BYTES = 3000;
/** Bytes of a counter besides its name: the tags of both, and a number of eight bytes. */
const COUNTER_COST_BYTES = 11;

/** Lookups decided: in all, and for the lists that decided most. */
export function lookupCounters(
  lookups: number,
  lists: ReadonlyMap<string, number>,
): Readonly<Record<string, number>> {
  const most = [...lists].sort(([, a], [, b]) => b - a).slice(0, LISTS_TOLD);
  return { lookups, ...Object.fromEntries(most.map(([name, count]) => [`list.${name}`, count])) };
}

/** Whether the release and the root are recent; damage and forks only if there were any. */
export function healthCounters(
  { standing, ageMs }: Pick<FreshnessWatch, 'standing' | 'ageMs'>,
  { renewal }: Pick<RootWatch, 'renewal'>,
  { damageCount, forkCount }: Pick<News, 'damageCount' | 'forkCount'>,
): Readonly<Record<string, number>> {
  return {
    stale: standing === 'stale' ? 1 : 0,
    ...(ageMs === undefined ? {} : { freshAgeMs: Math.round(ageMs) }),
    ...(renewal === 'good' ? {} : { [renewal === 'due' ? 'rootDue' : 'rootOverdue']: 1 }),
    ...(damageCount === 0 ? {} : { stateDamaged: damageCount }),
    ...(forkCount === 0 ? {} : { forks: forkCount }),
  };
}

/** One page for a publisher without support for pages: the totals first, then lists and others with most. */
export function withMost(counters: Readonly<Record<string, number>>): CounterPage {
  const all = Object.entries(counters);
  const parts = all.filter(isOfPart).sort(([, a], [, b]) => b - a);
  const whole = all.filter((one) => !isOfPart(one));
  return { stats: Object.fromEntries(fitting([...whole, ...parts])), next: undefined };
}

/**
 * All counters, in pages, by name. They are read with the first page, which the others belong to: of so many
 * none is read and put in order more than once.
 */
export class CounterPages {
  #all: readonly Counter[] = [];

  /** The page that begins at an index. */
  async page(from: number, read: () => Promise<Readonly<Record<string, number>>>): Promise<CounterPage> {
    if (from === 0 || this.#all.length === 0) this.#all = inOrder(await read());
    const page = fitting(this.#all.slice(from, from + COUNTERS_MAX + 1));
    const next = from + page.length;
    return { stats: Object.fromEntries(page), next: next < this.#all.length ? next : undefined };
  }
}

function inOrder(counters: Readonly<Record<string, number>>): readonly Counter[] {
  return Object.entries(counters).sort(
    (one, other) => Number(isOfPart(one)) - Number(isOfPart(other)) || (one[0] < other[0] ? -1 : 1),
  );
}

/** A counter of a list, a policy or a rule: its name has a dot. */
function isOfPart([name]: Counter): boolean {
  return name.includes('.');
}

/** The first of them that one answer has room for. */
function fitting(counters: readonly Counter[]): readonly Counter[] {
  let left = PAGE_BYTES;
  const end = counters.findIndex(([name], at) => {
    left -= name.length + COUNTER_COST_BYTES;
    return at === COUNTERS_MAX || left < 0;
  });
  return end < 0 ? counters : counters.slice(0, end);
}
