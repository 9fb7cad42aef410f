/**
 * A publisher's state: its identity and its store, which belong together. Numbers are used once: an identity
 * whose store is lost releases no more, and a store whose identity is lost gets no other.
 *
 *   identity   store        then
 *   none       none, empty  first start: the store is made, then the identity
 *   there      begun        goes on
 *   there      none, empty  refused; with `startOver` a new epoch above all that were, of which the first
 *                           release has policies
 *   there      of protocol 1  refused; with `setAside` an empty one takes its place, and goes on above it,
 *                           likewise
 *   none       releases     refused
 */

import { closeSync, existsSync, fsyncSync, openSync, renameSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { type Identity, IdentityError, openIdentity, readIdentity } from '@rulecast/program/identity';
import type { Databases } from './databases.ts';
import { legacyIn, type StoreLegacy } from './form.ts';
import { type Release, Store, StoreError, type StoreOptions } from './store.ts';

export interface StateOptions extends StoreOptions {
  /** Holds the store. */
  readonly stateDirectory: string;
  /** Default: `identity` in the state directory. */
  readonly identityFile?: string | undefined;
  /** Makes an empty store for an identity that has lost its own; its first release opens a new epoch. */
  readonly startOver?: boolean | undefined;
  /** Sets a store of protocol 1 aside, and goes on with an empty one in its epoch, above its last number. */
  readonly setAside?: boolean | undefined;
  /** Opens or makes the databases of the store; default LMDB, in a directory below. */
  readonly databases?: ((directory: string) => Databases) | undefined;
}

/** The name of a store of protocol 1 once it is set aside. */
const ASIDE = 'store-before-0.3';

/** Holds the identity, and makes it. Both may reject. */
export interface IdentityKeeper {
  identity(): Promise<Identity | undefined>;
  make(): Promise<Identity>;
}

export interface State {
  readonly identity: Identity;
  readonly store: Store;
  /** Whether a new store was made for an existing identity. */
  readonly startedOver: boolean;
  /** The newest release, if it is loaded already. */
  readonly head?: Release | undefined;
}

/**
 * Opens the state, or makes it where there is none. Throws IdentityError and StoreError; then nothing was
 * made.
 */
export function openState(options: StateOptions, nowMs: number): State {
  const identityFile = identityFileOf(options);
  const found = readIdentity(identityFile);
  const begun = openStore(options, found, nowMs);
  try {
    return { ...begun, identity: found ?? openIdentity(identityFile) };
  } catch (error) {
    void begun.store.close();
    throw error;
  }
}

/** Like openState, with an identity that a keeper holds. Rejects also with the keeper's errors. */
export async function openStateOf(
  keeper: IdentityKeeper,
  options: StateOptions,
  nowMs: number,
): Promise<State> {
  const found = await keeper.identity();
  const begun = openStore(options, found, nowMs);
  try {
    return { ...begun, identity: found ?? (await keeper.make()) };
  } catch (error) {
    void begun.store.close();
    throw error;
  }
}

function identityFileOf({ stateDirectory, identityFile }: StateOptions): string {
  return identityFile ?? join(stateDirectory, 'identity');
}

/** The store of an identity; without one, an empty store for the identity to be made. */
function openStore(
  options: StateOptions,
  found: Identity | undefined,
  nowMs: number,
): Omit<State, 'identity'> {
  const { stateDirectory, startOver = false, setAside = false, databases } = options;
  const identityFile = identityFileOf(options);
  const directory = join(stateDirectory, 'store');
  if (setAside && found === undefined)
    throw new IdentityError(
      `--set-aside goes on with an identity, and the identity file ${identityFile} is missing: restore it from a backup`,
    );
  const legacy = setAside && found ? setStoreAside(stateDirectory, found) : undefined;
  const isLost = legacy === undefined && databases === undefined && !hasData(directory);
  if (found !== undefined && !startOver && isLost) throw lostStore(identityFile, stateDirectory);
  const store = new Store(directory, options, databases);
  try {
    if (legacy !== undefined) store.beginAfter(legacy);
    const startedOver = begin(store, stateDirectory, found, identityFile, startOver, nowMs);
    return { store, startedOver: startedOver || legacy !== undefined };
  } catch (error) {
    void store.close();
    throw error;
  }
}

/**
 * Gives a store of protocol 1 another name, and returns what it leaves. After a crash, in which the next one
 * may have been made and not begun, it has that name already. Throws StoreError; then nothing was changed.
 */
function setStoreAside(stateDirectory: string, identity: Identity): StoreLegacy {
  const directory = join(stateDirectory, 'store');
  const aside = join(stateDirectory, ASIDE);
  const legacy = hasData(directory) ? legacyIn(directory, identity) : undefined;
  if (legacy === undefined) {
    const earlier = hasData(aside) ? legacyIn(aside, identity) : undefined;
    if (earlier !== undefined) return earlier;
    throw new StoreError(`there is no store in ${directory}: start without --set-aside`);
  }
  if (existsSync(aside))
    throw new StoreError(`${aside} is there already, and the store would get that name: move it away`);
  renameSync(directory, aside);
  const parent = openSync(stateDirectory, 'r');
  try {
    fsyncSync(parent);
  } finally {
    closeSync(parent);
  }
  return legacy;
}

/** Begins the store; true if that opened a new epoch for an existing identity. */
function begin(
  store: Store,
  stateDirectory: string,
  identity: Identity | undefined,
  identityFile: string,
  startOver: boolean,
  nowMs: number,
): boolean {
  const directory = join(stateDirectory, 'store');
  if (identity === undefined && store.hasReleases) {
    throw new IdentityError(
      `the store in ${directory} has releases, and the identity file ${identityFile} that signed them is missing: restore it from a backup, or move the store away to start a new lineage, which every subscriber must be told to trust`,
    );
  }
  if (startOver && store.hasReleases) {
    throw new StoreError(
      `the store in ${directory} has releases: start without --start-over, which is for a lost store`,
    );
  }
  if (identity === undefined) {
    if (store.isNew) store.begin(1);
    return false;
  }
  if (!store.isNew) return false;
  if (!startOver) throw lostStore(identityFile, stateDirectory);
  store.begin(epochAboveAll(identity, nowMs), true);
  return true;
}

/**
 * An epoch above all that were. Epochs are counted from 1, or taken from a clock, so the present time is
 * above them unless the clock was set back. If the root's ceiling is lower, it is the ceiling; a subscriber
 * can prove whether that was used before.
 */
function epochAboveAll({ root }: Identity, nowMs: number): number {
  return Math.min(root.epochCeiling, Math.max(2, Math.floor(nowMs / 1000)));
}

function hasData(directory: string): boolean {
  try {
    return statSync(join(directory, 'data.mdb')).size > 0;
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return false;
    throw new StoreError(`cannot open the store in ${directory}`, { cause });
  }
}

function lostStore(identityFile: string, stateDirectory: string): StoreError {
  const directory = join(stateDirectory, 'store');
  const aside = join(stateDirectory, ASIDE);
  if (existsSync(aside))
    return new StoreError(
      `the store of the identity ${identityFile} was set aside as ${aside}, and ${directory} is missing or empty: start once with --set-aside, and push again; if there was another since then, restore it from a backup`,
    );
  return new StoreError(
    `the identity ${identityFile} has no store: ${directory} is missing or empty, and an empty one would give version numbers again that were given before. Restore it from a backup, or start once with --start-over: the next push then opens a new epoch`,
  );
}
