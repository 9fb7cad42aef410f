/**
 * What goes wrong with the disk of a simulated process, for a time: slow, failing, said to have failed, or
 * gone in the middle of a call, with the process. What a disk forgets is the business of disk.ts and
 * databases.ts.
 */

import type { Databases } from '../../packages/publisher/src/store/databases.ts';
import type { Disk, OpenFile } from '../../packages/subscriber/src/state/disk.ts';
import type { Random } from '../kit/random.mjs';
import { air } from './air.ts';
import { fault } from './disk.ts';

/** Longest usual call. */
const CALL_MS = 3;

export class Troubles {
  /** Each call takes up to so much longer, until then. */
  slow = { byMs: 0, untilMs: 0 };
  /** Calls fail with EIO until then, this share of them. */
  failing = { share: 0, untilMs: 0 };
  /** Which call from now on is the last of the process; 0: none. */
  crashIn = 0;
  /** Which call from now on is said to have failed, and is done all the same; 0: none. */
  doubtfulIn = 0;
  /** When a call failed last. */
  hitAtMs = Number.NEGATIVE_INFINITY;
  readonly #random: Random;
  readonly #crash: () => void;
  readonly #onDoubt: () => void;

  constructor(random: Random, crash: () => void, onDoubt: () => void) {
    this.#random = random;
    this.#crash = crash;
    this.#onDoubt = onDoubt;
  }

  heal(): void {
    this.slow = { byMs: 0, untilMs: 0 };
    this.failing = { share: 0, untilMs: 0 };
    this.crashIn = 0;
    this.doubtfulIn = 0;
  }

  async wait(): Promise<void> {
    const extraMs = air.nowMs < this.slow.untilMs ? this.slow.byMs * this.#random.below(100) * 0.01 : 0;
    await air.sleep(this.#random.below(100) * 0.01 * CALL_MS + extraMs);
  }

  /** Throws where the call fails; then nothing of it is done. */
  check(path: string): void {
    if (this.crashIn > 0 && --this.crashIn === 0) {
      this.#crash();
      throw fault('EIO', 'this process is no more');
    }
    if (air.nowMs >= this.failing.untilMs || !this.#random.chance(this.failing.share)) return;
    this.hitAtMs = air.nowMs;
    throw fault('EIO', path);
  }

  /** Throws where the call is said to have failed, after it. */
  doubt(path: string): void {
    if (this.doubtfulIn === 0 || --this.doubtfulIn > 0) return;
    this.hitAtMs = air.nowMs;
    this.#onDoubt();
    throw fault('EIO', `${path}, which is done`);
  }
}

/** A disk in trouble. */
export function troubledDisk(disk: Disk, troubles: Troubles): Disk {
  const later = async <T>(path: string, work: () => Promise<T>): Promise<T> => {
    await troubles.wait();
    troubles.check(path);
    const done = await work();
    troubles.doubt(path);
    return done;
  };
  const now = <T>(path: string, work: () => T): T => {
    troubles.check(path);
    const done = work();
    troubles.doubt(path);
    return done;
  };
  const file = (path: string, opened: OpenFile): OpenFile => ({
    writev: (chunks) => later(path, () => opened.writev(chunks)),
    sync: () => later(path, () => opened.sync()),
    close: () => opened.close(),
  });
  return {
    ...disk,
    remakeDirectory: (path) => later(path, () => disk.remakeDirectory(path)),
    create: async (path) => file(path, await later(path, () => disk.create(path))),
    syncDirectory: (path) => later(path, () => disk.syncDirectory(path)),
    rename: (from, to) => later(to, () => disk.rename(from, to)),
    renameNow: (from, to) => now(to, () => disk.renameNow(from, to)),
    remove: (path) => later(path, () => disk.remove(path)),
    removeNow: (path) => now(path, () => disk.removeNow(path)),
    removeTree: (path) => now(path, () => disk.removeTree(path)),
  };
}

/** Databases in trouble: a transaction that is the last of a process is done or not. */
export function troubledDatabases(databases: Databases, troubles: Troubles, random: Random): Databases {
  const transactionSync = (work: () => void): void => {
    const isDone = troubles.crashIn === 1 && random.chance(0.5);
    if (isDone) databases.transactionSync(work);
    troubles.check('the databases');
    databases.transactionSync(work);
    troubles.doubt('the databases');
  };
  return {
    ...databases,
    transactionSync,
    transaction: async (work) => {
      await troubles.wait();
      transactionSync(work);
    },
  };
}
