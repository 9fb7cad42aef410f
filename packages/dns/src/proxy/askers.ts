/**
 * The state of each asking qube: its waiting questions, and how many more it may ask. A forgotten qube starts
 * anew.
 */

import { QUESTIONS_PER_S } from '@rulecast/nftables/capture';
import { ASKERS_MAX } from './limits.ts';

export interface Asker {
  waiting: number;
  tokens: number;
  atMs: number;
}

export class Askers {
  readonly #all = new Map<string, Asker>();

  /** Undefined: too many qubes have waiting questions. */
  at(key: string, nowMs: number): Asker | undefined {
    const known = this.#all.get(key);
    if (known !== undefined) {
      const earned = (Math.max(0, nowMs - known.atMs) * QUESTIONS_PER_S) / 1000;
      known.tokens = Math.min(QUESTIONS_PER_S, known.tokens + earned);
      known.atMs = nowMs;
      return known;
    }
    if (this.#all.size >= ASKERS_MAX && !this.#forgetIdle(nowMs)) return undefined;
    const asker = { waiting: 0, tokens: QUESTIONS_PER_S, atMs: nowMs };
    this.#all.set(key, asker);
    return asker;
  }

  /** One more question of a qube waits, or one less. */
  count(key: string, more: 1 | -1): void {
    const asker = this.#all.get(key);
    if (asker !== undefined) asker.waiting += more;
  }

  /** Forgets idle qubes; false if there were none. */
  #forgetIdle(nowMs: number): boolean {
    const before = this.#all.size;
    for (const [key, { waiting, tokens, atMs }] of this.#all) {
      const isFull = tokens + ((nowMs - atMs) * QUESTIONS_PER_S) / 1000 >= QUESTIONS_PER_S;
      if (waiting === 0 && isFull) this.#all.delete(key);
    }
    return this.#all.size < before;
  }
}
