/** How often things happened since this publisher started, and how long they took in all. */

export interface TallyRow {
  readonly family: string;
  readonly labels: readonly string[];
  readonly value: number;
}

/** Counts by name. All names are ours, so they are few. */
export class Tally {
  readonly #rows = new Map<string, TallyRow>();
  readonly #monotonicMs: () => number;

  constructor(monotonicMs: () => number) {
    this.#monotonicMs = monotonicMs;
  }

  /** Whole milliseconds, and how often: a family `NAME-time`, and one `NAME-count`. */
  took(name: string, ms: number): void {
    this.add(`${name}-count`);
    this.add(`${name}-time`, [], ms);
  }

  /** Measures the time of work that succeeds. */
  async time<T>(name: string, work: () => Promise<T>): Promise<T> {
    const begunMs = this.#monotonicMs();
    const result = await work();
    this.took(name, this.#monotonicMs() - begunMs);
    return result;
  }

  /** `amount` is rounded. */
  add(family: string, labels: readonly string[] = [], amount = 1): void {
    const key = [family, ...labels].join(' ');
    const sum = (this.#rows.get(key)?.value ?? 0) + Math.max(0, Math.round(amount));
    const value = Math.min(Number.MAX_SAFE_INTEGER, sum);
    this.#rows.set(key, { family, labels, value });
  }

  /** By family. */
  rows(): readonly TallyRow[] {
    return [...this.#rows.values()].sort((a, b) => (a.family < b.family ? -1 : 1));
  }
}
