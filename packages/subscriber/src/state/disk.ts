/**
 * The file system as the state directory uses it, and its implementation by Node. Every call fails with the
 * error of the file system, whose `code` says why. Written bytes are on disk after `sync` of the file, and
 * its name after `syncDirectory`; before that a crash may lose it, or leave a part.
 *
 * Calls that wait for the disk run in Node's thread pool. The others only change the kernel's memory and are
 * synchronous: a round trip to a thread would wait for other work of this one, such as compiling, and a flush
 * should start before that.
 */

import {
  closeSync,
  constants,
  fsync,
  mkdirSync,
  openSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  writev,
  writevSync,
} from 'node:fs';
import { promisify } from 'node:util';
import { makeDirectory, readOwnFile } from '@rulecast/program/directory';

/** A file that is being written. */
export interface OpenFile {
  /** Appends; writes fewer bytes if the disk is full. */
  writev(chunks: readonly Uint8Array[]): Promise<{ readonly bytesWritten: number }>;
  /** On disk when it resolves. */
  sync(): Promise<void>;
  close(): Promise<void>;
}

export interface Disk {
  /** Makes a directory and its parents, for their owner alone. Throws DirectoryError. */
  makeDirectory(path: string): void;
  /** Likewise before each write, in case somebody removed it. */
  remakeDirectory(path: string): Promise<void>;
  list(directory: string): readonly string[];
  read(path: string): Buffer;
  /** When it was put where it is, in ms since 1970. */
  changedMs(path: string): number;
  /** A file to write from its beginning, created if missing. */
  create(path: string): Promise<OpenFile>;
  /** The names in a directory are on disk when it resolves. */
  syncDirectory(path: string): Promise<void>;
  rename(from: string, to: string): Promise<void>;
  renameNow(from: string, to: string): void;
  /** Removes a file, if it exists. */
  remove(path: string): Promise<void>;
  removeNow(path: string): void;
  /** A file or a directory with all that is in it, if it is there. */
  removeTree(path: string): void;
}

/** So much is copied to the kernel in microseconds. */
const WRITTEN_AT_ONCE_BYTES = 64 * 1024;

const WRITING = constants.O_WRONLY | constants.O_CREAT | constants.O_TRUNC | constants.O_NOFOLLOW;

const flush = promisify(fsync);
const writeAll = promisify(writev);

/** Wraps an open descriptor. */
function openFile(file: number): OpenFile {
  return {
    async writev(chunks) {
      const bytes = chunks.reduce((sum, { length }) => sum + length, 0);
      const isShort = bytes <= WRITTEN_AT_ONCE_BYTES;
      return isShort ? { bytesWritten: writevSync(file, chunks) } : writeAll(file, chunks);
    },
    sync: () => flush(file),
    close: async () => closeSync(file),
  };
}

export const NODE_DISK: Disk = {
  makeDirectory,
  async remakeDirectory(path) {
    mkdirSync(path, { recursive: true, mode: 0o700 });
  },
  list: (directory) => readdirSync(directory),
  read: readOwnFile,
  changedMs: (path) => statSync(path).ctimeMs,
  create: async (path) => openFile(openSync(path, WRITING, 0o600)),
  async syncDirectory(path) {
    const directory = openSync(path, 'r');
    try {
      await flush(directory);
    } finally {
      closeSync(directory);
    }
  },
  rename: async (from, to) => renameSync(from, to),
  renameNow: renameSync,
  remove: async (path) => rmSync(path, { force: true }),
  removeNow: (path) => rmSync(path, { force: true }),
  removeTree: (path) => rmSync(path, { recursive: true, force: true }),
};
