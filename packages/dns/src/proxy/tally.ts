/** Counts events by key, for a bounded number of keys. */

/** Our choice: more than a firewall has qubes, or lists in rules. Those counted first stay. */
const KEYS_MAX = 4096;

export class Tally {
  readonly #counts = new Map<string, number>();

  add(key: string): void {
    const count = this.#counts.get(key);
    if (count !== undefined || this.#counts.size < KEYS_MAX) this.#counts.set(key, (count ?? 0) + 1);
  }

  /** The keys with most events, most first. */
  most(count: number): readonly (readonly [key: string, count: number])[] {
    return [...this.#counts].sort(([, a], [, b]) => b - a).slice(0, count);
  }
}
