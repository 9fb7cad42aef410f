/**
 * That a commit which returns is on disk, whatever becomes of the machine: how LMDB has been opened, as it
 * says itself. No test that ends a process sees that, for what was written stays with the kernel.
 */

import * as lmdb from 'lmdb';
import { afterEach, expect, it, vi } from 'vitest';
import { temporaryDirectory } from '../../../test/kit/directory.ts';
import { openDatabases } from '../src/store/databases.ts';

/** Flags of lmdb.h that let a commit return before it is on disk, or without its root. */
const UNSYNCED = { MDB_NOSYNC: 0x10000, MDB_NOMETASYNC: 0x40000, MDB_MAPASYNC: 0x100000 } as const;
const roots: lmdb.RootDatabase[] = [];

vi.mock('lmdb', async (importOriginal) => {
  const original = await importOriginal<typeof lmdb>();
  const open = (options: lmdb.RootDatabaseOptionsWithPath): lmdb.RootDatabase => {
    const root = original.open(options);
    roots.push(root);
    return root;
  };
  return { ...original, open };
});

afterEach(() => {
  roots.splice(0);
});

/** What LMDB says of itself; neither is in its types. */
function flagsOf(root: lmdb.RootDatabase): number {
  const { env } = root as unknown as { readonly env: { readonly address: number } };
  const { nativeAddon } = lmdb as unknown as {
    readonly nativeAddon: { getEnvFlags(address: number): number };
  };
  return nativeAddon.getEnvFlags(env.address);
}

it('a commit that returns is on disk, as LMDB has it', async () => {
  const databases = openDatabases(temporaryDirectory());
  const [root] = roots;
  if (root === undefined) throw new TypeError('LMDB was opened');
  const flags = flagsOf(root);
  for (const [name, flag] of Object.entries(UNSYNCED)) expect(flags & flag, name).toBe(0);
  await databases.close();
});
