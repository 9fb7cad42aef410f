/** The next reading of a source: after a success, after a failure, and after a start from the cache. Pure. */

/** The timing of a list or table, as configured. */
export interface Timing {
  readonly intervalMs: number | undefined;
  readonly jitterShare: number;
}

/** Our choice. */
const BACKOFF_FIRST_MS = 30_000; // the fetcher has tried three times within seconds before this counts as one failure
const BACKOFF_MAX_MS = 3_600_000;
const START_SPREAD_MS = 60_000; // feeds that are overdue at a start are spread over this long, or a quarter of their interval

/** An interval longer or shorter by up to `share` of it; `chance` is 0 to 1. */
export function jittered(intervalMs: number, share: number, chance: number): number {
  return Math.max(1, Math.round(intervalMs * (1 + share * (2 * chance - 1))));
}

/** After a success; undefined: only when something changes. */
export function delayAfterSuccess({ intervalMs, jitterShare }: Timing, chance: number): number | undefined {
  return intervalMs === undefined ? undefined : jittered(intervalMs, jitterShare, chance);
}

/**
 * After so many failures in a row: twice as long each time, half of it by chance, and at least what the
 * server asks for; never longer than the interval or an hour, whatever it asks: a Retry-After of years would
 * be the end of a list.
 */
export function delayAfterFailure(
  failures: number,
  { intervalMs }: Timing,
  chance: number,
  retryAfterMs: number | undefined,
): number {
  const mostMs = Math.min(intervalMs ?? BACKOFF_MAX_MS, BACKOFF_MAX_MS);
  const plainMs = Math.min(BACKOFF_FIRST_MS * 2 ** Math.min(failures - 1, 30), mostMs);
  return Math.max(Math.min(retryAfterMs ?? 0, mostMs), Math.round(plainMs * (0.5 + 0.5 * chance)));
}

/**
 * After a start from the cache, whose content is `ageMs` old: feeds that are overdue do not ask all at once.
 */
export function delayAfterCache(timing: Timing, ageMs: number, chance: number): number {
  const intervalMs = timing.intervalMs ?? BACKOFF_MAX_MS;
  const leftMs = jittered(intervalMs, timing.jitterShare, chance) - Math.max(0, ageMs);
  return leftMs > 0 ? leftMs : Math.round(chance * Math.min(START_SPREAD_MS, intervalMs / 4));
}
