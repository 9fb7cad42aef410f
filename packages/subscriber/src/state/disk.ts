/**
 * What the state directory needs of a file system, and the file system of Node that gives it. Every call
 * fails with the error of the file system, whose `code` says why. What was written is on disk after `sync` of
 * the file, and its name after `syncDirectory`; before that a crash may lose it, or leave a part.
 */

import { readdirSync, readFileSync, renameSync, rmSync, statSync } from 'node:fs';
import { mkdir, open, rename, rm } from 'node:fs/promises';
import { makeDirectory } from '@rulecast/program/directory';

/** A file that is being written. */
export interface OpenFile {
  /** Appends; fewer bytes than asked for where the disk is full. */
  writev(chunks: readonly Uint8Array[]): Promise<{ readonly bytesWritten: number }>;
  /** On disk when it resolves. */
  sync(): Promise<void>;
  close(): Promise<void>;
}

export interface Disk {
  /** Makes a directory and those above it, for their owner alone. Throws DirectoryError. */
  makeDirectory(path: string): void;
  /** The same once more before each write, for one that somebody removed. */
  remakeDirectory(path: string): Promise<void>;
  list(directory: string): readonly string[];
  read(path: string): Buffer;
  /** When it was put where it is, in ms since 1970. */
  changedMs(path: string): number;
  /** A file to write from its beginning, made where there is none. */
  create(path: string): Promise<OpenFile>;
  /** The names in a directory are on disk when it resolves. */
  syncDirectory(path: string): Promise<void>;
  rename(from: string, to: string): Promise<void>;
  renameNow(from: string, to: string): void;
  /** A file, if it is there. */
  remove(path: string): Promise<void>;
  removeNow(path: string): void;
  /** A file or a directory with all that is in it, if it is there. */
  removeTree(path: string): void;
}

export const NODE_DISK: Disk = {
  makeDirectory,
  async remakeDirectory(path) {
    await mkdir(path, { recursive: true, mode: 0o700 });
  },
  list: (directory) => readdirSync(directory),
  read: (path) => readFileSync(path),
  changedMs: (path) => statSync(path).ctimeMs,
  create: (path) => open(path, 'w', 0o600),
  async syncDirectory(path) {
    const directory = await open(path, 'r');
    try {
      await directory.sync();
    } finally {
      await directory.close();
    }
  },
  rename,
  renameNow: renameSync,
  remove: (path) => rm(path, { force: true }),
  removeNow: (path) => rmSync(path, { force: true }),
  removeTree: (path) => rmSync(path, { recursive: true, force: true }),
};
