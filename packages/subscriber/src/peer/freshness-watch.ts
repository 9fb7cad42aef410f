/**
 * Tracks over all connections whether the release in force is known to be the newest: fresh, unsure, or
 * stale. A stale release stays in force and opens nothing more; it is reported, and shuts the firewall if
 * configured.
 *
 *   fresh ◀──confirmed── unsure (at a start) ──limit──▶ stale ──confirmed──▶ fresh ──limit──▶ stale
 *   fresh ──doubted──▶ unsure
 */

import { Alarm, type SteadyClock } from '@rulecast/protocol';
import type { Named } from './freshness.ts';

/** `unsure`: it has not run for long enough to say more. */
export type Standing = 'fresh' | 'unsure' | 'stale';

export interface FreshnessOptions {
  readonly clock: SteadyClock;
  /** So long after the last confirmation, it is stale. */
  readonly staleAfterMs: number;
  /** Called when the standing changes; `text` is for people. */
  readonly onChange: (standing: Standing, before: Standing, text: string) => void;
}

export class FreshnessWatch {
  #standing: Standing = 'unsure';
  readonly #options: FreshnessOptions;
  readonly #alarm: Alarm;
  #limitMs: number;
  #asOfMs: number | undefined;
  #outdone: Named | undefined; // a newer one that is not here

  constructor(options: FreshnessOptions) {
    this.#options = options;
    this.#alarm = new Alarm(options.clock, () => this.#look());
    this.#limitMs = options.clock.monotonicMs() + options.staleAfterMs;
    this.#alarm.set(this.#limitMs);
  }

  get standing(): Standing {
    return this.#standing;
  }

  /** Milliseconds since the last confirmation; undefined if there was none. */
  get ageMs(): number | undefined {
    if (this.#asOfMs === undefined) return undefined;
    return Math.max(0, this.#options.clock.monotonicMs() - this.#asOfMs);
  }

  /** The release in force was confirmed as the newest at that time. */
  confirmed(asOfMs: number): void {
    this.#outdone = undefined;
    if (this.#asOfMs !== undefined && asOfMs <= this.#asOfMs) return;
    this.#asOfMs = asOfMs;
    this.#limitMs = asOfMs + this.#options.staleAfterMs;
    this.#look();
  }

  /** Confirmations no longer count: unsure, as at a start, until the next one. */
  doubted(): void {
    if (this.#standing !== 'fresh') return;
    this.#limitMs = this.#options.clock.monotonicMs() + this.#options.staleAfterMs;
    this.#alarm.set(this.#limitMs);
    this.#become('unsure', 'it was confirmed under a root that is overdue');
  }

  /** A newer release exists. */
  outdone(by: Named): void {
    this.#outdone = by;
  }

  close(): void {
    this.#alarm.stop();
  }

  #look(): void {
    const isOver = this.#options.clock.monotonicMs() >= this.#limitMs;
    this.#alarm.set(isOver ? Number.POSITIVE_INFINITY : this.#limitMs);
    if (isOver) return this.#become('stale', this.#staleText());
    if (this.#asOfMs !== undefined) this.#become('fresh', 'what is in force is the newest');
  }

  #become(standing: Standing, text: string): void {
    if (standing === this.#standing) return;
    const before = this.#standing;
    this.#standing = standing;
    this.#options.onChange(standing, before, text);
  }

  #staleText(): string {
    const forS = Math.round(this.#options.staleAfterMs / 1000);
    const what = `the publisher has not confirmed for ${forS} s that the release in force is the newest`;
    if (this.#outdone === undefined)
      return `${what}: it is away, or somebody on the way holds its messages back`;
    const { epoch, version } = this.#outdone;
    return `${what}: release ${epoch}/${version} exists, but does not arrive`;
  }
}
