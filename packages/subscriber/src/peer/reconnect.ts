/** When to connect again. Pure. */

/** First wait before connecting again; doubles up to the longest, and is spread over its upper half. */
const FIRST_MS = 100;
const LONGEST_MS = 15_000;
/** Each call that the qrexec policy refuses may show a window to the user. */
const FORBIDDEN_MS = 300_000;

/** The next wait, before random spread. */
export interface Backoff {
  readonly waitMs: number;
}

export const FIRST_BACKOFF: Backoff = { waitMs: FIRST_MS };

/** The previous attempt to connect. */
export interface Attempt {
  /** Whether the right publisher answered, so that the waits start over. */
  readonly welcomed: boolean;
  /** The pause that the publisher asked for. */
  readonly retryAfterMs: number | undefined;
  /** Somebody between here and the publisher does not allow it. */
  readonly isForbidden: boolean;
}

/** The wait after an attempt, and what follows it; `chance` is in [0, 1). */
export function afterAttempt(
  backoff: Backoff,
  { welcomed, retryAfterMs = 0, isForbidden }: Attempt,
  chance: number,
): { readonly delayMs: number; readonly backoff: Backoff } {
  const { waitMs } = welcomed ? FIRST_BACKOFF : backoff;
  const leastMs = isForbidden ? FORBIDDEN_MS : retryAfterMs;
  const delayMs = Math.max(leastMs, waitMs * (0.5 + chance / 2));
  return { delayMs, backoff: { waitMs: Math.min(LONGEST_MS, waitMs * 2) } };
}
