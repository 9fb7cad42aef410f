/**
 * Scalars of a configuration: durations, shares, sizes and counts, as people write them. Each parser returns
 * the value, or advice on what to write.
 */

/** The value, or the reason why there is none. */
export type ValueResult<T> =
  | { readonly kind: 'value'; readonly value: T }
  | { readonly kind: 'fault'; readonly reason: string };

const UNIT_MS: Readonly<Record<string, number>> = {
  s: 1000,
  m: 60_000,
  min: 60_000,
  h: 3_600_000,
  d: 86_400_000,
  w: 604_800_000,
};
const UNIT_BYTES: Readonly<Record<string, number>> = {
  B: 1,
  kB: 1000,
  MB: 1_000_000,
  GB: 1_000_000_000,
  KiB: 1024,
  MiB: 1_048_576,
  GiB: 1_073_741_824,
};

/** `90s`, `15m`, `6h`, `2d`, `1w` in milliseconds, within bounds that are milliseconds too. */
export function readDuration(text: string, minMs: number, maxMs: number): ValueResult<number> {
  const [, digits, unit] = /^(\d{1,9}) ?(s|m|min|h|d|w)$/.exec(text) ?? [];
  const unitMs = unit === undefined ? undefined : UNIT_MS[unit];
  if (digits === undefined || unitMs === undefined) {
    return fault('write a number and a unit: 90s, 15m, 6h, 2d or 1w');
  }
  const ms = Number(digits) * unitMs;
  if (ms < minMs || ms > maxMs)
    return fault(`write a duration from ${printDuration(minMs)} to ${printDuration(maxMs)}`);
  return { kind: 'value', value: ms };
}

/** Parses a word with a fixed value, or else by `parse`. */
export function orWord<T>(
  text: string,
  word: string,
  value: T,
  parse: (text: string) => ValueResult<T>,
): ValueResult<T> {
  return text === word ? { kind: 'value', value } : parse(text);
}

/** `5%` as 0.05; from 0 to `max`, which is a share too. */
export function readShare(text: string, max: number): ValueResult<number> {
  const [, digits] = /^(\d{1,6}(?:\.\d{1,3})?) ?%$/.exec(text) ?? [];
  if (digits === undefined) return fault('write a percentage: 5%');
  const share = Number(digits) / 100;
  return share <= max ? { kind: 'value', value: share } : fault(`write at most ${printShare(max)}`);
}

/** A share as people write it. */
export function printShare(share: number): string {
  return `${share * 100}%`;
}

/** `65536`, `64MiB` or `10MB` in bytes, at most `max`. */
export function readSize(text: string, max: number): ValueResult<number> {
  const [, digits, unit = 'B'] = /^(\d{1,12}) ?(B|kB|MB|GB|KiB|MiB|GiB)?$/.exec(text) ?? [];
  const unitBytes = UNIT_BYTES[unit];
  if (digits === undefined || unitBytes === undefined) {
    return fault('write a size: 65536, 64MiB or 10MB');
  }
  const bytes = Number(digits) * unitBytes;
  return bytes >= 1 && bytes <= max ? { kind: 'value', value: bytes } : fault(`write 1 to ${max} bytes`);
}

/** A whole number within bounds; `1,000` and `1_000` are 1000. */
export function readCount(text: string, min: number, max: number): ValueResult<number> {
  const digits = text.replaceAll(/(?<=\d)[_,](?=\d{3}(?:\D|$))/g, '');
  const value = /^\d{1,15}$/.test(digits) ? Number(digits) : Number.NaN;
  if (value >= min && value <= max) return { kind: 'value', value };
  return fault(`write a whole number from ${min} to ${max}`);
}

export function fault(reason: string): { readonly kind: 'fault'; readonly reason: string } {
  return { kind: 'fault', reason };
}

/** The duration in its largest whole unit. */
function printDuration(ms: number): string {
  for (const unit of ['w', 'd', 'h', 'm']) {
    const unitMs = UNIT_MS[unit] ?? 1;
    if (ms >= unitMs && ms % unitMs === 0) return `${ms / unitMs}${unit}`;
  }
  return `${ms / 1000}s`;
}
