/**
 * What a person should know of how names are answered: told when it begins, and when it has been over for a
 * minute, so that it fills no log however often it happens. Pure.
 */

import type { Client, DnsProxy } from './machine.ts';

/** Our choice: how long after it was seen last something counts as going on. */
const LASTS_MS = 60_000;

/** In the words of `rulectl status --counters`: 1 while it goes on. `dnsDown.1` is the first upstream. */
export type TroubleName = 'dnsCrowded' | 'dnsBeyond' | `dnsDown.${number}`;

type Proxy = Pick<DnsProxy<Client>, 'counts' | 'down'>;

export class Troubles {
  readonly #tell: (name: TroubleName, isOver: boolean) => void;
  readonly #untilMs = new Map<TroubleName, number>();
  #full = 0;
  #refused = 0;

  constructor(tell: (name: TroubleName, isOver: boolean) => void) {
    this.#tell = tell;
  }

  look({ counts, down }: Proxy, nowMs: number): void {
    const seen: TroubleName[] = down.map((index): TroubleName => `dnsDown.${index + 1}`);
    if (counts.full > this.#full) seen.push('dnsCrowded');
    if (counts.refused > this.#refused) seen.push('dnsBeyond');
    [this.#full, this.#refused] = [counts.full, counts.refused];
    for (const name of seen) {
      if (!this.#untilMs.has(name)) this.#tell(name, false);
      this.#untilMs.set(name, nowMs + LASTS_MS);
    }
    for (const [name, untilMs] of this.#untilMs) {
      if (untilMs > nowMs) continue;
      this.#untilMs.delete(name);
      this.#tell(name, true);
    }
  }

  get counters(): Readonly<Record<string, number>> {
    return Object.fromEntries([...this.#untilMs.keys()].map((name) => [name, 1]));
  }
}
