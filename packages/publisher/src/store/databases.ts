/**
 * The store's interface to a database, and its LMDB implementation: sorted keys, and atomic transactions that
 * are on disk once done.
 */

import { statSync } from 'node:fs';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { makeDirectory } from '@rulecast/program/directory';
import { open } from 'lmdb';
import { dataFileFault } from './data-file.ts';

export interface KeyRange<Key> {
  readonly start?: Key;
  /** Not included. */
  readonly end?: Key;
  /** From the start down. */
  readonly reverse?: boolean;
  readonly limit?: number;
}

/** Keys in order, numbers by value, text by its bytes. Values that are handed out are not to be changed. */
export interface Database<Value, Key> {
  get(key: Key): Value | undefined;
  getKeys(range: KeyRange<Key>): Iterable<Key>;
  getRange(range: KeyRange<Key>): Iterable<{ readonly key: Key; readonly value: Value }>;
  /** Within a transaction. */
  put(key: Key, value: Value): unknown;
  /** Within a transaction. */
  remove(key: Key): unknown;
}

export interface Databases {
  readonly meta: Database<Uint8Array, string>;
  readonly releases: Database<Uint8Array, number[]>;
  readonly notes: Database<Uint8Array, number[]>;
  readonly deltas: Database<Uint8Array, number[]>;
  readonly snapshots: Database<Uint8Array, number[]>;
  readonly subscribers: Database<string, string>;
  readonly reports: Database<Uint8Array, string>;
  /** On disk when it returns. Throws what `work` throws, or why the disk refuses; then nothing is done. */
  transactionSync(work: () => void): void;
  /** The same in a later turn of the event loop. */
  transaction(work: () => void): Promise<unknown>;
  /** Size on disk; undefined if that is unknown. */
  readonly bytes?: number | undefined;
  close(): Promise<void>;
}

/** Opens or makes them in a directory. Throws errors of any class. */
export function openDatabases(directory: string): Databases {
  makeDirectory(directory);
  const fault = dataFileFault(join(directory, 'data.mdb'));
  if (fault !== undefined)
    throw new Error(`${fault}; restore it from a backup, or move it away to start an empty store`);
  const root = open<Uint8Array, string>({
    path: directory,
    encoding: 'binary',
    noSubdir: false,
    cache: false,
    overlappingSync: false, // a commit that returns is on disk
  });
  return {
    meta: root,
    releases: root.openDB<Uint8Array, number[]>({ name: 'releases', encoding: 'binary' }),
    notes: root.openDB<Uint8Array, number[]>({ name: 'notes', encoding: 'binary' }),
    deltas: root.openDB<Uint8Array, number[]>({ name: 'deltas', encoding: 'binary' }),
    snapshots: root.openDB<Uint8Array, number[]>({ name: 'snapshots', encoding: 'binary' }),
    subscribers: root.openDB<string, string>({ name: 'subscribers', encoding: 'string' }),
    reports: root.openDB<Uint8Array, string>({ name: 'reports', encoding: 'binary' }),
    transactionSync(work) {
      root.transactionSync(() => {
        work(); // and nothing is given back: for a promise, such as that of `put`, LMDB would commit later
      });
    },
    transaction: (work) => root.transaction(work),
    get bytes() {
      return statSync(join(directory, 'data.mdb'), { throwIfNoEntry: false })?.size;
    },
    async close() {
      await setImmediate(); // closing in the turn in which it was opened never ends
      await root.close();
    },
  };
}
