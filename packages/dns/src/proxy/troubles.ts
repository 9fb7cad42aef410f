/**
 * Troubles with answering names that a person should know: logged when one begins, and when it has been over
 * for a minute, so that the log stays small. Pure.
 */

import type { ProxyCounts } from './machine.ts';
import type { Upstreams } from './upstreams.ts';

/** Our choice: how long after it was seen last something counts as going on. */
const LASTS_MS = 60_000;

/** `name`: that of its counter. `dnsDown.1` is the first upstream. */
export type TellOfTrouble = (name: string, isOver: boolean) => void;

/** The figures of a proxy that show troubles. */
interface Observed {
  readonly counts: Pick<ProxyCounts, 'full' | 'refused'>;
  readonly upstreams: Pick<Upstreams, 'down'>;
}

export class Troubles {
  readonly #tell: TellOfTrouble | undefined;
  readonly #untilMs = new Map<string, number>();
  #full = 0;
  #refused = 0;

  constructor(tell: TellOfTrouble | undefined) {
    this.#tell = tell;
  }

  look({ counts, upstreams }: Observed, nowMs: number): void {
    const seen = upstreams.down.map((index) => `dnsDown.${index + 1}`);
    if (counts.full > this.#full) seen.push('dnsCrowded');
    if (counts.refused > this.#refused) seen.push('dnsBeyond');
    [this.#full, this.#refused] = [counts.full, counts.refused];
    for (const name of seen) {
      if (!this.#untilMs.has(name)) this.#tell?.(name, false);
      this.#untilMs.set(name, nowMs + LASTS_MS);
    }
    for (const [name, untilMs] of this.#untilMs) {
      if (untilMs > nowMs) continue;
      this.#untilMs.delete(name);
      this.#tell?.(name, true);
    }
  }

  /** 1 for each present trouble. */
  get counters(): Readonly<Record<string, number>> {
    return Object.fromEntries([...this.#untilMs.keys()].map((name) => [name, 1]));
  }
}
