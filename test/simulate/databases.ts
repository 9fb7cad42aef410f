/**
 * The publisher's databases in memory, for many starts of a store, one after the other.
 *
 * Faults they cover: a process that ends (what was committed stays; a transaction that waits for its turn is
 * done or not, as the seed says), a disk that fills up, and one that says that it has flushed what it has
 * not. A damaged value is put there by whoever tests it: LMDB has no checksums, so it is one like any other.
 */

import { setImmediate } from 'node:timers/promises';
import type { Database, Databases, KeyRange } from '../../packages/publisher/src/store/databases.ts';
import { Random } from '../kit/random.mjs';
import { fault } from './disk.ts';

type Key = string | readonly number[];
type Value = string | Uint8Array;

const NAMES = ['meta', 'releases', 'notes', 'deltas', 'snapshots', 'subscribers', 'reports'] as const;

/** One named database; replaced, never changed, by a transaction. */
interface Entry {
  readonly key: Key;
  readonly value: Value;
}

export type Contents = Readonly<Record<(typeof NAMES)[number], readonly Entry[]>>;

const NOTHING: Contents = {
  meta: [],
  releases: [],
  notes: [],
  deltas: [],
  snapshots: [],
  subscribers: [],
  reports: [],
};

export class SimulatedDatabases {
  readonly #random: Random;
  #committed = NOTHING;
  #opened = 0;
  #waiting: (() => void)[] = [];
  /** What is committed from now on is said to be on disk, and is not before an honest commit. */
  isLying = false;
  /** What is on disk, where that is older than what is committed. */
  #flushed: Contents | undefined;
  /** How many bytes of keys and values there is room for. */
  capacityBytes = Number.POSITIVE_INFINITY;

  constructor(seed: number) {
    this.#random = new Random(seed);
  }

  /** The process ends: every call through its handles fails from now on. */
  end(): void {
    const waiting = this.#waiting.splice(0);
    const doneCount = this.#random.below(waiting.length + 1);
    for (const commit of waiting.slice(0, doneCount)) commit();
    this.#opened += 1;
  }

  /** The power goes, after the process. Returns whether something is gone that was said to be on disk. */
  cutPower(): boolean {
    if (this.#flushed === undefined) return false;
    this.#committed = this.#flushed;
    this.#flushed = undefined;
    return true;
  }

  /** Everything committed, as a backup has it. */
  get contents(): Contents {
    return this.#committed;
  }

  /** Puts a backup in the place of all that is there; undefined: nothing. No process is to have it open. */
  restore(contents: Contents = NOTHING): void {
    this.#opened += 1;
    this.#flushed = undefined;
    this.#committed = contents;
  }

  /** Flips one bit of one value. Returns where; undefined if there is none. */
  flip(random: Random): string | undefined {
    const name = random.pick(NAMES);
    const entries = this.#committed[name];
    if (entries.length === 0) return undefined;
    const { key, value } = random.pick(entries);
    const bytes = Buffer.from(value);
    const at = random.below(bytes.length);
    bytes[at] = (bytes[at] ?? 0) ^ (1 << random.below(7)); // of text it stays text
    const flipped = typeof value === 'string' ? bytes.toString() : Uint8Array.from(bytes);
    const changed = entries.map((entry) => (entry.key === key ? { key, value: flipped } : entry));
    this.#committed = { ...this.#committed, [name]: changed };
    return `${name} ${String(key)}`;
  }

  get usedBytes(): number {
    let bytes = 0;
    for (const name of NAMES) {
      for (const { key, value } of this.#committed[name]) bytes += 8 * key.length + value.length;
    }
    return bytes;
  }

  /** For one process. */
  open(): Databases {
    const opened = this.#opened;
    const live = (): void => {
      if (opened !== this.#opened) throw fault('EIO', 'this process is no more');
    };
    let isWriting = false;
    const database = <V extends Value, K extends string | number[]>(
      name: (typeof NAMES)[number],
    ): Database<V, K> => {
      const entries = (): readonly { readonly key: K; readonly value: V }[] => {
        live();
        // Each name is opened with one type of values, here and nowhere else.
        return this.#committed[name] as readonly { readonly key: K; readonly value: V }[];
      };
      const replace = (key: K, entry: readonly Entry[]): void => {
        live();
        if (!isWriting) throw new Error('a write outside of a transaction');
        const all: readonly Entry[] = this.#committed[name];
        const at = all.findIndex((other) => compareKeys(other.key, key) >= 0);
        const start = at < 0 ? all.length : at;
        const isThere = at >= 0 && compareKeys(all[at]?.key ?? '', key) === 0;
        const changed = [...all.slice(0, start), ...entry, ...all.slice(isThere ? start + 1 : start)];
        this.#committed = { ...this.#committed, [name]: changed };
      };
      return {
        get: (key) => entries().find((entry) => compareKeys(entry.key, key) === 0)?.value,
        getKeys: (range) => within(entries(), range).map(({ key }) => key),
        getRange: (range) => within(entries(), range),
        put: (key, value) =>
          replace(key, [{ key, value: typeof value === 'string' ? value : value.slice() }]),
        remove: (key) => replace(key, []),
      };
    };
    const transactionSync = (work: () => void): void => {
      live();
      const before = this.#committed;
      isWriting = true;
      try {
        work();
        if (this.usedBytes > this.capacityBytes) throw fault('ENOSPC', 'the databases');
        this.#flushed = this.isLying ? (this.#flushed ?? before) : undefined;
      } catch (error) {
        this.#committed = before;
        throw error;
      } finally {
        isWriting = false;
      }
    };
    return {
      meta: database('meta'),
      releases: database('releases'),
      notes: database('notes'),
      deltas: database('deltas'),
      snapshots: database('snapshots'),
      subscribers: database('subscribers'),
      reports: database('reports'),
      transactionSync,
      transaction: async (work) => {
        const commit = (): void => transactionSync(work);
        this.#waiting.push(commit);
        for (let turns = 1 + this.#random.below(3); turns > 0; turns--) await setImmediate();
        live();
        this.#waiting = this.#waiting.filter((other) => other !== commit);
        commit();
      },
      close: async () => undefined,
    };
  }
}

function within<E extends { readonly key: Key }>(entries: readonly E[], range: KeyRange<Key>): readonly E[] {
  const { start, end, reverse = false, limit } = range;
  const ordered = reverse ? entries.toReversed() : entries;
  const sign = reverse ? -1 : 1;
  const isIn = ({ key }: E): boolean =>
    (start === undefined || sign * compareKeys(key, start) >= 0) &&
    (end === undefined || sign * compareKeys(key, end) < 0);
  return ordered.filter(isIn).slice(0, limit);
}

function compareKeys(one: Key, other: Key): number {
  if (typeof one === 'string' || typeof other === 'string')
    return Buffer.compare(Buffer.from(String(one)), Buffer.from(String(other)));
  for (const [i, number] of one.entries()) {
    const difference = number - (other[i] ?? Number.NEGATIVE_INFINITY);
    if (difference !== 0) return difference;
  }
  return one.length - other.length;
}
