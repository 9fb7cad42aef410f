/** A moment as people write it. Days and times are in UTC, as those that `rulectl history` shows. Pure. */

export const MOMENT_HELP =
  'A time is yesterday, today, 2026-11-30, "2026-11-30 14:05", or so long ago: 90m, 2h, 3d, 1w. It is in UTC, and a day means its beginning.';

const DAY_MS = 86_400_000;
const UNIT_MS: ReadonlyMap<string | undefined, number> = new Map([
  ['s', 1000],
  ['m', 60_000],
  ['min', 60_000],
  ['h', 3_600_000],
  ['d', DAY_MS],
  ['w', 7 * DAY_MS],
]);

/** Milliseconds since 1970, not below 0; undefined for text that is no moment. */
export function parseMoment(text: string, nowMs: number): number | undefined {
  const span = parseSpan(text);
  if (span !== undefined) return Math.max(0, nowMs - span);
  const today = nowMs - (nowMs % DAY_MS);
  if (text === 'today') return today;
  return text === 'yesterday' ? today - DAY_MS : parseDate(text);
}

/** Milliseconds; undefined for text that is no span of time. */
export function parseSpan(text: string): number | undefined {
  const [, count, unit] = /^(\d{1,6}) ?(s|m|min|h|d|w)$/.exec(text) ?? [];
  const unitMs = UNIT_MS.get(unit);
  return unitMs && Number(count) * unitMs;
}

function parseDate(text: string): number | undefined {
  const [, day, minute = '00:00', second = ':00'] =
    /^(\d{4}-\d\d-\d\d)(?:[ T](\d\d:\d\d)(:\d\d)?Z?)?$/.exec(text) ?? [];
  const iso = `${day}T${minute}${second}.000Z`;
  const ms = Date.parse(iso);
  // The thirtieth of February would be a day in March.
  return ms >= 0 && new Date(ms).toISOString() === iso ? ms : undefined;
}
