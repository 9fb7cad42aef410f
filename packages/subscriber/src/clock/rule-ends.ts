/**
 * Rules that end while they are in force: the table is then compiled anew. The two clocks of clock.ts are
 * read every few seconds while a rule has still to end. The latest expiry of an accept rule is stored, so
 * that none comes back in this boot.
 */

import type { After } from '@rulecast/protocol';
import type { Logger } from 'pino';
import type { FirewallClock, StoredClock } from './clock.ts';
import { type Ends, Expiries, type Times } from './expiry.ts';

export interface RuleEndsOptions {
  readonly clock: FirewallClock;
  /** Milliseconds since 1970. */
  readonly nowMs: () => number;
  readonly after: After;
  readonly logger: Logger;
  /** The release in force, if there is one. */
  readonly active: () =>
    | { readonly facts: { readonly ends: Ends }; readonly manifest: { readonly createdAtMs: number } }
    | undefined;
  /** The times that the table in force was compiled for. */
  readonly compiledFor: () => Times;
  /** Compiles the rule set in force for the present times. If that rejects, the table is unchanged. */
  readonly compile: () => Promise<void>;
  /** Stores the clock's state for a restart. */
  readonly store: (clock: StoredClock) => Promise<void>;
}

/** Wait before compiling for an expired rule again, if that failed. */
const RETRY_MS = 1000;
/**
 * Between looks at the clocks, while a rule may end: no timer runs through suspend, or notices that a clock
 * was set.
 */
const LOOK_MS = 5000;
/** So far apart, the clocks are worth a word: more than they drift in a month. */
const CLOCKS_APART_MS = 60_000;

export class RuleEnds {
  readonly #options: RuleEndsOptions;
  #expiries: { readonly of: Ends; readonly ends: Expiries } | undefined;
  #cancel: () => void = () => undefined;
  #areClocksApart = false;
  #isStopped = false;
  #storing: Promise<void> = Promise.resolve(); // the last write of the clock

  constructor(options: RuleEndsOptions) {
    this.#options = options;
  }

  /**
   * Looks at the clocks when the next rule ends, and every few seconds while a clock that is set may end one
   * or bring one back.
   */
  schedule(leastMs = 0): void {
    this.#cancel();
    const { ends, times } = this.#expiring();
    const compiledFor = this.#options.compiledFor();
    if (ends?.isOpen(compiledFor) !== true || this.#isStopped) return;
    const waitMs =
      (ends.secondsToNext(times) ?? Number.POSITIVE_INFINITY) * 1000 - (this.#options.nowMs() % 1000);
    const delayMs = ends.differ(compiledFor, times) ? 0 : Math.min(LOOK_MS, waitMs);
    this.#cancel = this.#options.after(Math.max(leastMs, delayMs), () => void this.#look());
  }

  /** Compiles again if rules have ended since the table in force was compiled. */
  async #look(): Promise<void> {
    this.#compareClocks();
    const { compiledFor, compile, logger } = this.#options;
    const { ends, times } = this.#expiring();
    try {
      if (ends?.differ(compiledFor(), times) === true) await compile();
      this.schedule();
    } catch (error) {
      logger.error({ err: error }, 'compiling for an expired rule failed; the table is as it was');
      this.schedule(RETRY_MS);
    }
  }

  /**
   * When the rules in force end, and what time it is for them. Accept rules that have ended are noted, and
   * stay so in this boot.
   */
  #expiring(): { readonly ends: Expiries | undefined; readonly times: Times } {
    const { clock } = this.#options;
    const active = this.#options.active();
    const times = clock.times(active?.manifest.createdAtMs);
    if (active === undefined) return { ends: undefined, times };
    const of = active.facts.ends;
    if (this.#expiries?.of !== of) this.#expiries = { of, ends: new Expiries(of) };
    const { ends } = this.#expiries;
    if (clock.noteEnded(ends.lastAcceptEnded(times) ?? 0)) void this.storeClock();
    return { ends, times };
  }

  /**
   * Stores the clock's state. A failure is logged, as a restarted process would then count anew until the
   * next boot. Does not reject.
   */
  storeClock(): Promise<void> {
    const { clock, store, logger } = this.#options;
    this.#storing = this.#storing
      .then(async () => {
        const { stored } = clock;
        if (stored !== undefined) await store(stored);
      })
      .catch((error: unknown) => {
        logger.warn({ err: error }, 'what rules have ended cannot be kept over a restart');
      });
    return this.#storing;
  }

  /** Logs when the clocks diverge, and when they agree again. */
  #compareClocks(): void {
    const { clock, logger } = this.#options;
    const { aheadMs } = clock;
    const areApart = Math.abs(aheadMs) > CLOCKS_APART_MS;
    if (areApart === this.#areClocksApart) return;
    this.#areClocksApart = areApart;
    if (!areApart) return logger.info({ aheadMs }, 'the wall clock agrees again with the time since boot');
    logger.warn(
      { aheadMs },
      'the wall clock was set: until the next boot, rules with expire= that accept end by the later of it and the time since boot, those that drop by the earlier',
    );
  }

  /** Stops looking. */
  stop(): void {
    this.#isStopped = true;
    this.#cancel();
  }

  /** Stops, and resolves when the clock is stored, or logged as not stored. */
  async close(): Promise<void> {
    this.stop();
    await this.#storing;
  }
}
