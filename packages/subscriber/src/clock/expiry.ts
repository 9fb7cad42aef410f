/**
 * When the rules of a rule set end: the environment changes then, and the table is compiled anew. Rules that
 * accept and rules that drop end by times of their own (`timeFor` of @rulecast/rules).
 */

import { type Action, type Environment, formsOf, type RuleSet, timeFor } from '@rulecast/rules';

/** The times of both clocks, in seconds since 1970. */
export type Times = Omit<Environment, 'dns'>;

const ACTIONS = ['accept', 'drop'] as const;

/** When rules end, by action, in seconds since 1970: sorted, each once. */
export type Ends = Readonly<Record<Action, readonly number[]>>;

export function endsOf(ruleSet: RuleSet): Ends {
  const ends = { accept: new Set<number>(), drop: new Set<number>() };
  for (const { match } of formsOf(ruleSet.policies.values()))
    if (match.expire !== undefined) ends[match.action].add(match.expire);
  return { accept: sorted(ends.accept), drop: sorted(ends.drop) };
}

/** The expiry times of all rules of one rule set. */
export class Expiries {
  readonly #ends: Ends;

  constructor(ends: Ends) {
    this.#ends = ends;
  }

  /** Whether different rules have ended at the two times. */
  differ(before: Times, after: Times): boolean {
    return ACTIONS.some((action) => this.#ended(action, before) !== this.#ended(action, after));
  }

  /** The latest end of an accept rule that has come, in seconds since 1970; undefined if none has. */
  lastAcceptEnded(times: Times): number | undefined {
    return this.#ends.accept[this.#ended('accept', times) - 1];
  }

  /** Seconds until the next rule ends, as clocks go on evenly; undefined if none will. */
  secondsToNext(times: Times): number | undefined {
    const waits = ACTIONS.flatMap((action) => {
      const end = this.#ends[action][this.#ended(action, times)];
      return end === undefined ? [] : [end - timeFor(action, times)];
    });
    return waits.length === 0 ? undefined : Math.min(...waits);
  }

  /**
   * Whether a clock that is set may still make a difference: a rule has not ended, or one that drops comes
   * back.
   */
  isOpen(times: Times): boolean {
    return this.#ends.drop.length > 0 || this.#ended('accept', times) < this.#ends.accept.length;
  }

  /** The number of expiry times that have passed. */
  #ended(action: Action, times: Times): number {
    const ends = this.#ends[action];
    const time = timeFor(action, times);
    let [low, high] = [0, ends.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((ends[middle] ?? 0) <= time) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

function sorted(ends: ReadonlySet<number>): readonly number[] {
  return [...ends].sort((a, b) => a - b);
}
