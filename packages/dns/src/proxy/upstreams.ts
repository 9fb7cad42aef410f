/**
 * Chooses the upstream: the first of those that answer, so that questions do not wait for a dead one.
 *
 *     up ── several questions in a row unanswered, and nothing heard since ──▶ down for a pause
 *     ▲                                                                        │ it is over: one question
 *     └────────────────────────────── any answer ──────────────────────────────┤
 *                                                                              └──▶ down, twice as long
 *
 * Where all are down they are asked in turn, as if none was.
 */

import { DOWN_LONGEST_MS, DOWN_MS, UNANSWERED_MAX } from './limits.ts';

interface State {
  /** In a row, while it is up. */
  unanswered: number;
  heardMs: number;
  /** 0: it is up. */
  pauseMs: number;
  /** When the pause began. */
  sinceMs: number;
}

export class Upstreams {
  readonly #states: readonly State[];
  /** Questions that each did not answer, since the start. */
  readonly unanswered: number[];

  constructor(count: number) {
    const state = { unanswered: 0, heardMs: Number.NEGATIVE_INFINITY, pauseMs: 0, sinceMs: 0 };
    this.#states = Array.from({ length: count }, () => ({ ...state }));
    this.unanswered = this.#states.map(() => 0);
  }

  get count(): number {
    return this.#states.length;
  }

  /** The upstreams that are down, by index. */
  get down(): readonly number[] {
    // an existing upstream
    return [...this.#states.keys()].filter((upstream) => this.#states[upstream]!.pauseMs > 0);
  }

  /** The upstream to ask first. */
  first(nowMs: number): number {
    return this.#oneOf(0, this.#states.length, nowMs);
  }

  /** The upstream to ask after another one failed. */
  after(upstream: number, nowMs: number): number {
    return this.#oneOf(upstream + 1, this.#states.length - 1, nowMs);
  }

  #oneOf(start: number, count: number, nowMs: number): number {
    const inTurn = Array.from({ length: Math.max(1, count) }, (_, i) => (start + i) % this.#states.length);
    return inTurn.find((upstream) => this.#takes(upstream, nowMs)) ?? inTurn[0] ?? 0;
  }

  /** Whether to ask an upstream; one that is down is asked once for each pause. */
  #takes(upstream: number, nowMs: number): boolean {
    const state = this.#states[upstream]!; // an existing upstream
    if (state.pauseMs === 0) return true;
    const passedMs = nowMs - state.sinceMs;
    if (passedMs >= 0 && passedMs < state.pauseMs) return false; // a clock that was set back ends a pause
    state.sinceMs = nowMs;
    state.pauseMs = Math.min(DOWN_LONGEST_MS, state.pauseMs * 2);
    return true;
  }

  /** It answered, whatever. */
  heard(upstream: number, nowMs: number): void {
    const state = this.#states[upstream]!; // an existing upstream
    Object.assign(state, { unanswered: 0, heardMs: nowMs, pauseMs: 0 });
  }

  /** It did not answer a question asked at that time. */
  missed(upstream: number, askedMs: number, nowMs: number): void {
    this.unanswered[upstream]!++; // an existing upstream
    const state = this.#states[upstream]!; // likewise
    const isHeardSince = state.heardMs >= askedMs && state.heardMs <= nowMs;
    if (state.pauseMs > 0 || isHeardSince || ++state.unanswered < UNANSWERED_MAX) return;
    Object.assign(state, { unanswered: 0, pauseMs: DOWN_MS, sinceMs: nowMs });
  }
}
