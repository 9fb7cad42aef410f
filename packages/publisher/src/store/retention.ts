/**
 * The releases to keep. By bytes: the newest, whose deltas are sent. By age, within fixed bounds of number
 * and bytes: those of a month, for rollback. Of older ones: the last of each day and week. Pure.
 */

import { STEPS_MAX } from '@rulecast/protocol';
import type { HistoryEntry } from './stored.ts';

/** A release is kept while it is within the chains or within the history; the head always is. */
export interface StoreOptions {
  /**
   * Chains: the newest releases, as many as one transfer has deltas, whose deltas are at most this many
   * bytes.
   */
  readonly chainBytes?: number;
  /** History: releases that were the head within this time, in milliseconds, … */
  readonly historyAgeMs?: number | undefined;
  /** … at most so many of them, … */
  readonly historyReleases?: number;
  /** … and of so many bytes of manifests and deltas. Snapshots come on top: about as much again. */
  readonly historyBytes?: number;
  /** However many and large releases are: the last one of each of so many days, … */
  readonly historyDaily?: number;
  /** … and of so many weeks, within `historyAgeMs`. */
  readonly historyWeekly?: number;
}

/** All options, with their values. */
export type Retention = { readonly [K in keyof StoreOptions]-?: number };

const DAY_MS = 86_400_000;
const WEEK_MS = 7 * DAY_MS;
const FIRST_MONDAY_MS = 4 * DAY_MS; // 5 January 1970
/** The head, and as many before it as one transfer has deltas: nobody can be sent a longer chain. */
const CHAIN_RELEASES = STEPS_MAX + 1;

/** Our choice; the configuration can set another age by `history:`. */
const STORE_DEFAULTS = {
  /** No chain that outweighs a snapshot is sent, and a snapshot of a million entries is 1.7 MB. */
  chainBytes: 64 * 2 ** 20,
  /** A month: a fault of weeks ago can still be rolled back. */
  historyAgeMs: 30 * 86_400_000,
  /** Every ten minutes for a month. A start reads as many manifests. */
  historyReleases: 4096,
  historyBytes: 256 * 2 ** 20,
  /**
   * Each takes a snapshot and the deltas from there at most: some 4 MB where lists hold a million entries.
   */
  historyDaily: 14,
  historyWeekly: 53,
} as const satisfies Retention;

/** The limits, with the default for each one missing. */
export function retentionOf(options: StoreOptions): Retention {
  return {
    chainBytes: options.chainBytes ?? STORE_DEFAULTS.chainBytes,
    historyAgeMs: options.historyAgeMs ?? STORE_DEFAULTS.historyAgeMs,
    historyReleases: options.historyReleases ?? STORE_DEFAULTS.historyReleases,
    historyBytes: options.historyBytes ?? STORE_DEFAULTS.historyBytes,
    historyDaily: options.historyDaily ?? STORE_DEFAULTS.historyDaily,
    historyWeekly: options.historyWeekly ?? STORE_DEFAULTS.historyWeekly,
  };
}

/**
 * The entries of a history, oldest first, that are within the limits. A release ages from the time of its
 * successor.
 */
export function retained(
  history: readonly HistoryEntry[],
  nowMs: number,
  limits: Retention,
): readonly HistoryEntry[] {
  const newest = newestFrom(history, nowMs, limits);
  const older = history.slice(0, newest).filter((entry, i) => {
    const next = history[i + 1]?.createdAtMs ?? nowMs;
    const isOfPeriod = (periodMs: number, count: number): boolean => {
      const periodsAgo = periodAt(nowMs, periodMs) - periodAt(entry.createdAtMs, periodMs);
      return periodAt(next, periodMs) !== periodAt(entry.createdAtMs, periodMs) && periodsAgo < count;
    };
    if (nowMs - entry.createdAtMs > limits.historyAgeMs) return false;
    return isOfPeriod(DAY_MS, limits.historyDaily) || isOfPeriod(WEEK_MS, limits.historyWeekly);
  });
  return [...older, ...history.slice(newest)];
}

/** The day, or the week from Monday on, of UTC. */
function periodAt(atMs: number, periodMs: number): number {
  return Math.floor((atMs - FIRST_MONDAY_MS) / periodMs);
}

/** The index of the oldest release that is within the limits with all that are newer. */
function newestFrom(history: readonly HistoryEntry[], nowMs: number, limits: Retention): number {
  let bytes = 0;
  let deltaBytes = 0;
  for (let i = history.length - 1; i >= 0; i--) {
    const entry = history[i]!; // i is in range
    bytes += entry.bytes;
    const count = history.length - i;
    const replacedAtMs = history[i + 1]?.createdAtMs ?? nowMs;
    const isOnWire = count <= CHAIN_RELEASES && deltaBytes <= limits.chainBytes;
    const isInHistory =
      count <= limits.historyReleases &&
      bytes <= limits.historyBytes &&
      nowMs - replacedAtMs <= limits.historyAgeMs;
    if (!isOnWire && !isInHistory && count > 1) return i + 1;
    deltaBytes += entry.deltaBytes; // a chain from this release does not hold its own delta
  }
  return 0;
}
