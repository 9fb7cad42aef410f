/**
 * Whether a file has come to rest: it may be written in place, with pauses, and half a file is another list.
 * The file's times tell how long ago it was written; if they cannot be right, it is looked at twice.
 *
 *   written ─── quietMs ───▶ whole                 its last line has an end
 *           ─── unfinishedMs ───▶ whole            it has none
 *   written, then moved to its place (or its owner or mode set): whole at once
 */

import type { Stats } from 'node:fs';
import type { RestConfig } from '@rulecast/formats';
import type { Clock } from '../clock.ts';

interface Seen {
  readonly signature: string;
  /** By a monotonic clock. */
  readonly sinceMs: number;
}

export class FileRest {
  readonly config: RestConfig;
  readonly #clock: Clock;
  /** Files that had not rested at the last full look, by path. */
  #before: ReadonlyMap<string, Seen> = new Map();
  #seen = new Map<string, Seen>();

  constructor(config: RestConfig, clock: Clock) {
    this.config = config;
    this.#clock = clock;
  }

  /** A look at all files begins; what is not seen in it is forgotten with the next. */
  begin(): void {
    this.#before = this.#seen;
    this.#seen = new Map();
  }

  /** The time until a file has rested for `restMs` if it is not written to; 0: it has. */
  leftMs(path: string, stats: Stats, restMs: number): number {
    // A write sets both times alike; a later change of mode or name sets one only. Within one tick of the
    // system's clock they cannot be told apart.
    if (restMs === 0 || stats.ctimeMs > stats.mtimeMs) return 0;
    const ageMs = this.#clock.wallMs() - stats.mtimeMs;
    const signature = `${stats.ino} ${stats.size} ${stats.mtimeMs}`;
    const nowMs = this.#clock.monotonicMs();
    const known = this.#before.get(path);
    const { sinceMs } = known?.signature === signature ? known : { sinceMs: nowMs };
    const restedMs = Math.max(ageMs, nowMs - sinceMs);
    if (restedMs >= restMs) return 0;
    this.#seen.set(path, { signature, sinceMs });
    return Math.ceil(restMs - restedMs);
  }
}
