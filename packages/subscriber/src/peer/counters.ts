/** The counters of an ANSWER, by their names in WIRE.md "ANSWER". Pure. */

import { COUNTERS_MAX } from '@rulecast/protocol';

/** Lists whose hits the publisher is told, and the longest name that fits a counter of `list.NAME`. */
const LISTS_SHOWN = 24;
const LIST_NAME_MAX = 27;

/** What lookups decided: in all, and by list where most of it was. */
export function lookupCounters(
  lookups: number,
  lists: ReadonlyMap<string, number>,
): Readonly<Record<string, number>> {
  const shown = [...lists]
    .filter(([name]) => name.length <= LIST_NAME_MAX)
    .sort(([, a], [, b]) => b - a)
    .slice(0, LISTS_SHOWN)
    .map(([name, count]) => [`list.${name}`, count]);
  return { lookups, ...Object.fromEntries(shown) };
}

/**
 * As many as an answer has room for, and `skipped` beside them: those of the whole, then those of lists,
 * policies and rules with most, whose names have a dot.
 */
export function boundedCounters(
  counters: Readonly<Record<string, number>>,
): Readonly<Record<string, number>> {
  const isOfPart = ([name]: readonly [string, number]): boolean => name.includes('.');
  const all = Object.entries(counters);
  const parts = all.filter(isOfPart).sort(([, a], [, b]) => b - a);
  const whole = all.filter((one) => !isOfPart(one));
  return Object.fromEntries([...whole, ...parts].slice(0, COUNTERS_MAX - 1));
}
