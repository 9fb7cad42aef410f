/** Counts, ages, times, bytes, as people read them. Pure. */

const SECOND_MS = 1000;
const MINUTE_MS = 60 * SECOND_MS;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;
/** The text for an absent value. */
export const NOTHING = '-';

/** `1,234,567`, whatever the locale. */
export function formatCount(count: number): string {
  return String(count).replace(/\B(?=(?:\d{3})+$)/g, ',');
}

/** `3 s`, `2 min`, `5 h`, `12 d`; never negative, clocks of two machines differ. */
export function formatAge(ms: number): string {
  if (ms < MINUTE_MS) return `${Math.max(0, Math.floor(ms / SECOND_MS))} s`;
  if (ms < HOUR_MS) return `${Math.floor(ms / MINUTE_MS)} min`;
  if (ms < 2 * DAY_MS) return `${Math.floor(ms / HOUR_MS)} h`;
  return `${formatCount(Math.floor(ms / DAY_MS))} d`;
}

/** `312 ms`, `1.25 s`, `75.0 s`. */
export function formatDuration(ms: number): string {
  if (ms < SECOND_MS) return `${ms} ms`;
  return `${(ms / SECOND_MS).toFixed(ms < 10 * SECOND_MS ? 2 : 1)} s`;
}

/** `812 B`, `4.7 kB`, `1.75 MB`: decimal units. */
export function formatBytes(bytes: number): string {
  if (bytes < 1000) return `${bytes} B`;
  if (bytes < 1_000_000) return `${(bytes / 1000).toFixed(1)} kB`;
  return `${formatCount(Math.floor(bytes / 1_000_000))}.${String(Math.floor((bytes % 1_000_000) / 10_000)).padStart(2, '0')} MB`;
}

/** `1 rule`, `2,000 rules`. */
export function formatAmount(count: number, one: string, many = `${one}s`): string {
  return `${formatCount(count)} ${count === 1 ? one : many}`;
}

/** `2026-07-01 12:30:05Z`: the same in every time zone; `-` for what no calendar has. */
export function formatTime(ms: number): string {
  if (Number.isNaN(new Date(ms).getTime())) return NOTHING;
  return `${new Date(ms).toISOString().slice(0, 19).replace('T', ' ')}Z`;
}
