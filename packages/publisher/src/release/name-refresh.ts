/**
 * Refreshes names: resolves them again when their time to live ends, and releases changed addresses in
 * batches; less often for names that change again and again.
 *
 *   due ─▶ asked again ─▶ answered ─▶ a batch ─▶ damped ─▶ a release, or nothing changed
 */

import type { RuleSet } from '@rulecast/rules';
import { type Clock, Damper } from '@rulecast/sources';
import type { Logger } from 'pino';
import { changedNames, type FailedName, failedNameText, NAME_LIMITS, type Names } from '../names/names.ts';
import type { Turns } from './turns.ts';

export interface NameRefreshOptions {
  readonly names: Names;
  readonly turns: Turns;
  readonly clock: Clock;
  readonly logger: Logger;
  /** The rule set in force. */
  readonly ruleSet: () => RuleSet;
  /** Whether a release may be made now. */
  readonly mayRelease: () => boolean;
  /**
   * Releases a rule set with what its names stand for now; resolves to why not, or to undefined. Called in
   * turn.
   */
  readonly release: (ruleSet: RuleSet, changed: readonly string[]) => Promise<string | undefined>;
}

/** A wait this long is reported: names are damped. */
const DAMPED_MS = 60_000;
/**
 * Between two rounds of asking for names at least, so that one with thousands of names asks for many of them
 * together.
 */
const PAUSE_MS = 1000;
/** Failed names that the status lists; the rest is counted. */
const FAILED_SHOWN = 8;
const FAILED_CHARS = 128;
const TROUBLE_CHARS = 120;

export class NameRefresh {
  readonly #options: NameRefreshOptions;
  readonly #damper = new Damper();
  #areDamped = false;
  #unschedule: (() => void) | undefined;
  /** The timer for releasing answers while other names are still pending. */
  #cancelRelease: (() => void) | undefined;
  #isClosed = false;
  #failed: readonly FailedName[] = [];
  /** Why the present addresses are not in force. */
  #trouble: string | undefined;

  constructor(options: NameRefreshOptions) {
    this.#options = options;
    this.schedule();
  }

  /** The names of the rule set in force that do not resolve. */
  get failed(): readonly FailedName[] {
    return this.#failed;
  }

  /** Troubles with names, each a sentence. */
  get troubles(): readonly string[] {
    const nowMs = this.#options.clock.monotonicMs();
    const shown = this.#failed.slice(0, FAILED_SHOWN).map((failed) => {
      return failedNameText(failed, nowMs).slice(0, FAILED_CHARS);
    });
    const more = this.#failed.length - shown.length;
    const trouble = this.#trouble === undefined ? [] : [this.#trouble.slice(0, TROUBLE_CHARS)];
    return [...trouble, ...shown, ...(more > 0 ? [`${more} more names do not resolve`] : [])];
  }

  /** A new rule set is in force. These of its names did not resolve. */
  noteFailed(failed: readonly FailedName[]): void {
    this.#failed = failed;
    this.#trouble = undefined;
  }

  /**
   * Asks for the names that are due, off the turn of pushes, and releases what they stand for now, see
   * `#release`. Throws as that does.
   */
  async refresh(): Promise<void> {
    const { names, ruleSet } = this.#options;
    const answered = names.refresh(ruleSet());
    this.schedule(); // for the next ones: these may take long
    await answered;
    this.schedule();
    await this.#release();
  }

  /** Releases the changed addresses, or waits if names change too often. */
  #release(): Promise<void> {
    this.#cancelRelease?.();
    this.#cancelRelease = undefined;
    return this.#options.turns.take(async () => {
      const { names, clock, logger } = this.#options;
      if (this.#isClosed || !this.#options.mayRelease()) return;
      const nowMs = clock.monotonicMs();
      const waitMs = this.#damper.waitMs(nowMs);
      this.#tellDamped(waitMs >= DAMPED_MS);
      if (waitMs > 0) return this.#releaseAfter(waitMs);
      if (!names.isIdle) this.#releaseAfter(NAME_LIMITS.batchMs); // the answers still to come
      const ruleSet = this.#options.ruleSet();
      const { resolutions, failed } = names.resolved(ruleSet);
      this.#failed = failed;
      this.schedule();
      if (resolutions === ruleSet.resolutions) {
        this.#trouble = undefined;
        return;
      }
      this.#damper.spend(nowMs);
      const changed = changedNames(ruleSet.resolutions, resolutions);
      this.#trouble = await this.#options.release(ruleSet, changed);
      if (this.#trouble === undefined) return;
      logger.warn({ names: changed }, `what names stand for is not released: ${this.#trouble}`);
    });
  }

  #tellDamped(areDamped: boolean): void {
    if (areDamped === this.#areDamped) return;
    this.#areDamped = areDamped;
    const text = areDamped
      ? 'names change again and again: what they stand for is released less often'
      : 'names change less often: what they stand for is released at once again';
    this.#options.logger.info(text);
  }

  #releaseAfter(ms: number): void {
    if (this.#isClosed || this.#cancelRelease !== undefined) return;
    this.#cancelRelease = this.#options.clock.after(ms, () => this.#tellFailure(this.#release()));
  }

  /** Sets when names are asked for again, by the rule set in force. */
  schedule(): void {
    this.#unschedule?.();
    this.#unschedule = undefined;
    const { names, clock, ruleSet } = this.#options;
    const dueInMs = this.#isClosed ? undefined : names.dueInMs(ruleSet());
    if (dueInMs === undefined) return;
    this.#unschedule = clock.after(Math.max(dueInMs, PAUSE_MS), () => {
      this.#releaseAfter(NAME_LIMITS.batchMs); // names with an answer wait no longer for others
      this.#tellFailure(this.refresh());
    });
  }

  #tellFailure(work: Promise<void>): void {
    void work.catch((error: unknown) => {
      this.#options.logger.error({ err: error }, 'names were resolved and not released');
      this.schedule();
    });
  }

  /** Stops all questions and releases. */
  close(): void {
    this.#isClosed = true;
    this.#unschedule?.();
    this.#cancelRelease?.();
  }
}
