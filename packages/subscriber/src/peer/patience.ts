/**
 * Streams that did not verify, in a row: what stands between a channel that spoils them and a processor that
 * verifies them again and again. They refuse no release, for nobody signed them. PROTOCOL.md "Transfers".
 */

import { hexOf } from '@rulecast/protocol';

/**
 * How long nothing is wanted after the first such stream, the second, and so on; the last holds for all that
 * follow.
 */
const PAUSES_MS = [0, 1000, 4000, 16_000, 60_000] as const;
const LONGEST_MS = 60_000;

export class Patience {
  readonly #nowMs: () => number;
  #failures = 0;
  #pauseMs = 0;
  #sinceMs = 0;
  /** The release, hex, whose chain of deltas did not lead to it. */
  #failedChain: string | undefined;

  /** @param nowMs A clock that nobody sets. */
  constructor(nowMs: () => number) {
    this.#nowMs = nowMs;
  }

  /** Notes a stream of a release that did not verify. Returns how long nothing is to be offered. */
  failed(hash: Uint8Array, isChain: boolean): number {
    this.#pauseMs = PAUSES_MS[this.#failures] ?? LONGEST_MS;
    this.#sinceMs = this.#nowMs();
    this.#failures += 1;
    if (isChain) this.wantSnapshot(hash);
    return this.#pauseMs;
  }

  /** Takes no more chains for that release. */
  wantSnapshot(hash: Uint8Array): void {
    this.#failedChain = hexOf(hash);
  }

  /** Whether only a snapshot of it will do. */
  needsSnapshot(hash: Uint8Array): boolean {
    return this.#failedChain === hexOf(hash);
  }

  /** What is left of the pause. */
  get leftMs(): number {
    return Math.max(0, this.#pauseMs - (this.#nowMs() - this.#sinceMs));
  }

  /** A stream made its release: the channel is good. */
  verified(): void {
    this.#failures = 0;
    this.#pauseMs = 0;
    this.#failedChain = undefined;
  }
}
