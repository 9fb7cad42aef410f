/**
 * A disk in memory that forgets unflushed data, as a `Disk` for the code under test. One seed decides what a
 * crash leaves.
 *
 * Faults it covers: a power cut (each unflushed file is lost, whole, or torn; each unflushed name is the old
 * or the new one; an unflushed directory is there or not), a killed process (nothing is lost, nothing more is
 * done), a flipped bit, a disk that fills up, in the middle of a write too, and one that says that it has
 * flushed what it has not.
 */

import { dirname, join } from 'node:path';
import type { Disk, OpenFile } from '../../packages/subscriber/src/state/disk.ts';
import { Random } from '../kit/random.mjs';

interface SimulatedFile {
  bytes: Buffer;
  /** What a power cut leaves of it at least; undefined where it was never flushed. */
  flushed: Buffer | undefined;
  changedMs: number;
}

type Named = SimulatedFile | 'directory';

/** What is in each file, by its path. */
export type DiskSnapshot = ReadonlyMap<string, Buffer | 'directory'>;

export class SimulatedDisk {
  readonly #random: Random;
  readonly #directory: string;
  #names = new Map<string, Named>();
  /** The names that a power cut leaves at least. */
  #flushedNames = new Map<string, Named>();
  #clockMs = 0; // one more with each change of a name
  #mounts = 0;
  /** What is said to be flushed is not, until the power goes. */
  isLying = false;
  /** Something was said so since the power came. */
  hasLied = false;
  /** How many bytes of files there is room for. */
  capacityBytes = Number.POSITIVE_INFINITY;

  /** With one directory, which is on disk. */
  constructor(seed: number, directory: string) {
    this.#random = new Random(seed);
    this.#directory = directory;
    this.#names.set(directory, 'directory');
    this.#flushedNames.set(directory, 'directory');
  }

  /** The disk as one process sees it: until the next crash, after which every call of it fails. */
  mount(): Disk {
    const mount = this.#mounts;
    const live = (): void => {
      if (mount !== this.#mounts) throw fault('EIO', 'this process is no more');
    };
    return {
      makeDirectory: (path) => this.#makeDirectory(live, path),
      remakeDirectory: async (path) => this.#makeDirectory(live, path),
      list: (path) => this.#list(live, path),
      read: (path) => Buffer.from(this.#file(live, path).bytes),
      changedMs: (path) => this.#file(live, path).changedMs,
      create: async (path) => this.#create(live, path),
      syncDirectory: async (path) => this.#syncDirectory(live, path),
      rename: async (from, to) => this.#rename(live, from, to),
      renameNow: (from, to) => this.#rename(live, from, to),
      remove: async (path) => this.#remove(live, path),
      removeNow: (path) => this.#remove(live, path),
      removeTree: (path) => this.#remove(live, path),
    };
  }

  /** The process is killed: what it wrote stays. */
  kill(): void {
    this.#mounts += 1;
  }

  /** The power goes: what was not flushed may be lost or torn. */
  cutPower(): void {
    this.#mounts += 1;
    this.hasLied = false;
    const files = new Set<SimulatedFile>();
    const names = new Map<string, Named>();
    for (const path of [...new Set([...this.#names.keys(), ...this.#flushedNames.keys()])].sort()) {
      const now = this.#names.get(path);
      const before = this.#flushedNames.get(path);
      const node = this.#random.chance(0.5) ? now : before;
      if (node === undefined || (dirname(path) !== '/' && !names.has(dirname(path)))) continue;
      names.set(path, node);
      if (node !== 'directory') files.add(node);
    }
    for (const file of files) file.bytes = this.#afterPowerCut(file);
    for (const file of files) file.flushed = file.bytes;
    this.#names = names;
    this.#flushedNames = new Map(names);
  }

  #afterPowerCut({ bytes, flushed }: SimulatedFile): Buffer {
    if (flushed?.equals(bytes)) return bytes;
    switch (this.#random.below(4)) {
      case 0:
        return flushed ?? Buffer.alloc(0);
      case 1:
        return bytes;
      case 2: // torn
        return Buffer.from(bytes.subarray(0, this.#random.below(bytes.length + 1)));
      default: {
        // The length is known, and blocks of it were never written.
        const holed = Buffer.from(bytes);
        return holed.fill(0, this.#random.below(bytes.length + 1));
      }
    }
  }

  /** Flips one bit of a file, on disk too. */
  flip(path: string): void {
    const file = this.#file(() => undefined, path);
    const bytes = Buffer.from(file.bytes);
    const at = this.#random.below(bytes.length);
    bytes[at] = (bytes[at] ?? 0) ^ (1 << this.#random.below(8));
    file.bytes = bytes;
    file.flushed = bytes;
  }

  /** Paths of files, in order. */
  files(): readonly string[] {
    return [...this.#names]
      .flatMap(([path, node]) => (node === 'directory' || node.bytes.length === 0 ? [] : path))
      .sort();
  }

  /** The present content, as a backup has it. */
  snapshot(): DiskSnapshot {
    return new Map(
      [...this.#names].map(([path, node]) => [path, node === 'directory' ? node : Buffer.from(node.bytes)]),
    );
  }

  /** Puts a backup in the place of all that is there, on disk; undefined: nothing. */
  restore(snapshot: DiskSnapshot | undefined): void {
    this.#mounts += 1;
    this.hasLied = false;
    this.#names = new Map([[this.#directory, 'directory']]);
    for (const [path, bytes] of snapshot ?? []) {
      const node: Named =
        bytes === 'directory' ? bytes : { bytes, flushed: bytes, changedMs: ++this.#clockMs };
      this.#names.set(path, node);
    }
    this.#flushedNames = new Map(this.#names);
  }

  get usedBytes(): number {
    const files = new Set([...this.#names.values()].filter((node) => node !== 'directory'));
    return [...files].reduce((sum, { bytes }) => sum + bytes.length, 0);
  }

  #makeDirectory(live: () => void, path: string): void {
    live();
    if (this.#names.get(path) === 'directory') return;
    if (this.#names.has(path)) throw fault('EEXIST', path);
    if (path !== '/') this.#makeDirectory(live, dirname(path));
    this.#names.set(path, 'directory');
  }

  #list(live: () => void, directory: string): readonly string[] {
    live();
    if (this.#names.get(directory) !== 'directory') throw fault('ENOENT', directory);
    return [...this.#names.keys()]
      .filter((path) => path !== directory && dirname(path) === directory)
      .map((path) => path.slice(join(directory, '/').length));
  }

  #file(live: () => void, path: string): SimulatedFile {
    live();
    const node = this.#names.get(path);
    if (node === undefined) throw fault('ENOENT', path);
    if (node === 'directory') throw fault('EISDIR', path);
    return node;
  }

  #create(live: () => void, path: string): OpenFile {
    live();
    if (this.#names.get(dirname(path)) !== 'directory') throw fault('ENOENT', path);
    const found = this.#names.get(path);
    if (found === 'directory') throw fault('EISDIR', path);
    const file = found ?? { bytes: Buffer.alloc(0), flushed: undefined, changedMs: ++this.#clockMs };
    file.bytes = Buffer.alloc(0);
    this.#names.set(path, file);
    return {
      writev: async (chunks) => {
        live();
        const bytes = Buffer.concat(chunks);
        const roomBytes = Math.max(0, this.capacityBytes - this.usedBytes);
        if (roomBytes === 0 && bytes.length > 0) throw fault('ENOSPC', path);
        const bytesWritten = Math.min(bytes.length, roomBytes);
        file.bytes = Buffer.concat([file.bytes, bytes.subarray(0, bytesWritten)]);
        return { bytesWritten };
      },
      sync: async () => {
        live();
        if (this.#lies()) return;
        file.flushed = file.bytes;
      },
      close: async () => undefined,
    };
  }

  #lies(): boolean {
    this.hasLied ||= this.isLying;
    return this.isLying;
  }

  #syncDirectory(live: () => void, directory: string): void {
    live();
    if (this.#lies()) return;
    for (const path of new Set([...this.#names.keys(), ...this.#flushedNames.keys()])) {
      if (path === directory || dirname(path) !== directory) continue;
      const node = this.#names.get(path);
      if (node === undefined) this.#flushedNames.delete(path);
      else this.#flushedNames.set(path, node);
    }
  }

  #rename(live: () => void, from: string, to: string): void {
    const file = this.#file(live, from);
    file.changedMs = ++this.#clockMs;
    this.#names.delete(from);
    this.#names.set(to, file);
  }

  #remove(live: () => void, path: string): void {
    live();
    for (const name of [...this.#names.keys()]) {
      if (name === path || name.startsWith(`${path}/`)) this.#names.delete(name);
    }
  }
}

/** An error such as the file system gives. */
export function fault(code: string, text: string): Error {
  return Object.assign(new Error(`${code}: ${text}`), { code });
}
