/** When to connect again. Pure. */

/** First wait before connecting again; doubles up to the longest, and is spread over its upper half. */
const FIRST_MS = 100;
const LONGEST_MS = 15_000;
/** Each call that a policy refuses may be a window on somebody's screen. */
const FORBIDDEN_MS = 300_000;

/** How long the next wait is, before it is spread. */
export interface Backoff {
  readonly waitMs: number;
}

export const FIRST_BACKOFF: Backoff = { waitMs: FIRST_MS };

/** What is known of the attempt before. */
export interface Attempt {
  /** The publisher is there, and the right one: the waits begin anew. */
  readonly welcomed: boolean;
  /** How long it asked to be left alone. */
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
