/**
 * Looks what each connected firewall counted, about once a minute: one at a time, evenly over the minute, so
 * that no two hundred answer at once.
 */

import type { RuleSet } from '@rulecast/rules';
import type { Clock } from '@rulecast/sources';
import type { CounterSums } from './sums.ts';

/** Of the counters of one subscriber: 32,768 at most, and ten questions a second. */
export const COUNTER_PAGES_MAX = 512;
/** Between two looks at one firewall. Our choice. */
const LOOK_EVERY_MS = 60_000;
/** Between two looks, however many firewalls there are. Our choice. */
const PAUSE_MIN_MS = 50;
/** What a firewall counted may be as old: then its rules still have the numbers of the release before. */
const SETTLED_AFTER_MS = 2000;

/** A page of counters. */
export interface CounterAnswer {
  readonly stats?: Readonly<Record<string, number>> | undefined;
  readonly '+next'?: number | undefined;
}

export interface CounterPollOptions {
  readonly clock: Clock;
  readonly sums: CounterSums;
  /** Asks for a page. May reject. */
  readonly ask: (subscriber: string, from: number) => Promise<CounterAnswer>;
  /** Those that are connected and answer in pages. */
  readonly connected: () => readonly string[];
  /** Whether a firewall is known. */
  readonly isKnown: (subscriber: string) => boolean;
  /** What is released; undefined before the first release. */
  readonly released: () => RuleSet | undefined;
  /** For how long a firewall has had that in force; undefined: it has not. */
  readonly inForceMs: (subscriber: string) => number | undefined;
}

export class CounterPoll {
  readonly #options: CounterPollOptions;
  #last: string | undefined;
  #cancel: (() => void) | undefined;
  #isClosed = false;

  constructor(options: CounterPollOptions) {
    this.#options = options;
    this.#wait();
  }

  #wait(): void {
    const count = Math.max(1, this.#options.connected().length);
    const pauseMs = Math.max(PAUSE_MIN_MS, Math.floor(LOOK_EVERY_MS / count));
    this.#cancel = this.#options.clock.after(pauseMs, () => {
      void this.#look().then(() => {
        if (!this.#isClosed) this.#wait();
      });
    });
  }

  /** Looks at the next one, in the order of their names. Does not reject. */
  async #look(): Promise<void> {
    const { connected, isKnown, sums, released, inForceMs } = this.#options;
    for (const name of sums.subscribers()) if (!isKnown(name)) sums.forget(name);
    const names = [...connected()].sort();
    const next = names.find((name) => this.#last === undefined || name > this.#last) ?? names[0];
    const ruleSet = released();
    this.#last = next;
    if (next === undefined || ruleSet === undefined) return;
    const wasInForceMs = inForceMs(next) ?? 0;
    const counters = await this.#counters(next);
    const isInForce =
      wasInForceMs > SETTLED_AFTER_MS && released() === ruleSet && inForceMs(next) !== undefined;
    if (counters !== undefined) sums.take(next, { counters, ruleSet, isInForce });
  }

  /** Undefined where they do not all come: the next look has what was missed. */
  async #counters(subscriber: string): Promise<ReadonlyMap<string, number> | undefined> {
    const counters = new Map<string, number>();
    try {
      for (let from = 0, count = 1; ; count++) {
        const { stats, '+next': next } = await this.#options.ask(subscriber, from);
        if (stats === undefined || this.#isClosed) return undefined;
        for (const [name, value] of Object.entries(stats)) counters.set(name, value);
        if (next === undefined || next <= from) return counters;
        if (count === COUNTER_PAGES_MAX) return undefined;
        from = next;
      }
    } catch {
      return undefined; // it is gone, or silent: its status says so
    }
  }

  close(): void {
    this.#isClosed = true;
    this.#cancel?.();
  }
}
