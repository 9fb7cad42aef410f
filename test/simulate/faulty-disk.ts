/**
 * Any disk, with one fault at a step: for the real one as for the simulated one. Steps are the calls by which
 * a disk is changed or flushed.
 *
 * Faults it covers: a call that fails (ENOSPC, EIO), a write cut short, a process that ends before a call or
 * in the middle of a write and does nothing more, and a slow disk (each call takes a few turns of the event
 * loop, as its seed says).
 */

import type { Disk, OpenFile } from '../../packages/subscriber/src/state/disk.ts';
import { Random } from '../kit/random.mjs';
import { turns } from '../kit/turns.ts';
import { fault } from './disk.ts';

export type DiskFault = 'ENOSPC' | 'EIO' | 'short' | 'end';

export interface FaultyDisk extends Disk {
  /** The steps so far. */
  readonly steps: number;
  /** Whether the fault came. */
  readonly isHit: boolean;
}

export interface DiskFaults {
  /** Which step fails, from 1; none by default. */
  readonly step?: number;
  readonly fault?: DiskFault;
  /** For a slow disk: the seed of each call's duration. */
  readonly slowSeed?: number;
}

export function faultyDisk(disk: Disk, { step = 0, fault: kind = 'EIO', slowSeed }: DiskFaults): FaultyDisk {
  const random = slowSeed === undefined ? undefined : new Random(slowSeed);
  let steps = 0;
  let isEnded = false;

  /** Whether the step of a write is the one to be cut. Throws if another is the one to fail. */
  const check = (path: string, isWrite = false): boolean => {
    if (isEnded) throw fault('EIO', 'this process is no more');
    if (++steps !== step) return false;
    isEnded = kind === 'end';
    if (isWrite && kind !== 'EIO') return true;
    throw fault(kind === 'ENOSPC' ? 'ENOSPC' : 'EIO', path);
  };
  const wait = async (): Promise<void> => {
    if (random !== undefined) await turns(random.below(4));
  };
  const watched = (path: string, file: OpenFile): OpenFile => ({
    async writev(chunks) {
      await wait();
      if (!check(path, true)) return file.writev(chunks);
      const bytes = Buffer.concat(chunks);
      const written = await file.writev([bytes.subarray(0, bytes.length >> 1)]);
      if (kind === 'short') return written;
      throw fault(kind === 'ENOSPC' ? 'ENOSPC' : 'EIO', path);
    },
    async sync() {
      await wait();
      check(path);
      await file.sync();
    },
    close: () => file.close(),
  });

  return {
    get steps() {
      return steps;
    },
    get isHit() {
      return step > 0 && steps >= step;
    },
    makeDirectory: (path) => disk.makeDirectory(path),
    async remakeDirectory(path) {
      check(path);
      await disk.remakeDirectory(path);
    },
    list: (path) => disk.list(path),
    read: (path) => disk.read(path),
    changedMs: (path) => disk.changedMs(path),
    async create(path) {
      await wait();
      check(path);
      return watched(path, await disk.create(path));
    },
    async syncDirectory(path) {
      await wait();
      check(path);
      await disk.syncDirectory(path);
    },
    async rename(from, to) {
      await wait();
      check(to);
      await disk.rename(from, to);
    },
    renameNow(from, to) {
      check(to);
      disk.renameNow(from, to);
    },
    async remove(path) {
      check(path);
      await disk.remove(path);
    },
    removeNow(path) {
      check(path);
      disk.removeNow(path);
    },
    removeTree(path) {
      check(path);
      disk.removeTree(path);
    },
  };
}
