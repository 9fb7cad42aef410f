/**
 * Limits how often a changing thing is released: at once while changes are rare, and less often the more it
 * changes. A bucket of tokens, one for each release, which fills at a steady rate; so that any time has at
 * most as many as the bucket holds and what was filled in.
 *
 *   tokens left             4 or 3    2      1       none
 *   since the last telling  at once   30 s   2 min   until there is one again
 */

/** 4 at once and 7.5 an hour; at most 11 in any hour, and 12 with a push. Our choice. */
export const DAMPER_LIMITS = {
  tokens: 4,
  /** The time to regain a token. */
  refillMs: 480_000,
  /** Since the last telling, by how many tokens are left, from one on. */
  spacingsMs: [120_000, 30_000, 0, 0],
} as const;

export class Damper {
  #tokens: number = DAMPER_LIMITS.tokens;
  #filledAtMs = 0;
  #toldAtMs = Number.NEGATIVE_INFINITY;

  /** The wait until the next release, by a monotonic clock. */
  waitMs(nowMs: number): number {
    const { refillMs, spacingsMs } = DAMPER_LIMITS;
    const tokens = this.#tokensAt(nowMs);
    if (tokens < 1) return Math.ceil((1 - tokens) * refillMs);
    const spacingMs = spacingsMs[Math.floor(tokens) - 1] ?? 0;
    return Math.max(0, this.#toldAtMs + spacingMs - nowMs);
  }

  /** Takes a token for a release. */
  spend(nowMs: number): void {
    this.#tokens = Math.max(0, this.#tokensAt(nowMs) - 1);
    this.#filledAtMs = nowMs;
    this.#toldAtMs = nowMs;
  }

  #tokensAt(nowMs: number): number {
    const { tokens, refillMs } = DAMPER_LIMITS;
    return Math.min(tokens, this.#tokens + Math.max(0, nowMs - this.#filledAtMs) / refillMs);
  }
}
