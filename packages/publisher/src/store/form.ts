/**
 * The format version of a store's rows, and the rows that a store of an older format leaves to its successor.
 * packaging/README.md "From Rulecast 0.2".
 */

import type { Identity } from '@rulecast/program/identity';
import { type Database, type Databases, openDatabases } from './databases.ts';
import { decodeKey, decodeStored, ownManifest, StoreError } from './stored.ts';

/** The last numbers of a store of protocol 1, as the rows of `meta` that its successor takes over. */
export interface StoreLegacy {
  readonly after: Uint8Array;
  readonly behind: Uint8Array | undefined;
  readonly 'behind keys': Uint8Array | undefined;
}

/** A form gets the next number if programs that know the one before cannot read it. */
export const FORM = Buffer.from('rulecast-store 4', 'latin1');
/** The format of protocol 1. Its releases cannot be read any more; all other rows can. */
const FORM_BEFORE = Buffer.from('rulecast-store 3', 'latin1');

/** Why a store that has begun cannot be used; undefined if it can. */
export function formFault(meta: Database<Uint8Array, string>, directory: string): string | undefined {
  if (hasForm(meta, FORM)) return undefined;
  if (!hasForm(meta, FORM_BEFORE))
    return `the store in ${directory} is of another version of Rulecast, whose releases this one cannot read: move it away, then start once with --start-over and push again`;
  return meta.get('head') === undefined
    ? undefined
    : `the store in ${directory} is of Rulecast 0.2, whose releases this version cannot read: with 0.2, save what is in force by rulectl get all, if the upgrade of the package has not; then start this version once with --set-aside, and push that again (packaging/README.md, "From Rulecast 0.2")`;
}

/**
 * Reads what a store of protocol 1 leaves to the next one of its identity; undefined if nothing was ever
 * written to the store. Throws StoreError if it is of another form, without releases, or of another identity.
 */
export function legacyIn(directory: string, identity: Identity): StoreLegacy | undefined {
  let databases: Databases;
  try {
    databases = openDatabases(directory);
  } catch (cause) {
    throw new StoreError(`cannot open the store in ${directory}`, { cause });
  }
  try {
    return legacyOf(databases, directory, identity);
  } finally {
    void databases.close();
  }
}

function legacyOf(
  { meta, releases }: Databases,
  directory: string,
  identity: Identity,
): StoreLegacy | undefined {
  const [begun, head, behind, keys] = ['begun', 'head', 'behind', 'behind keys'].map((name) => {
    const bytes = meta.get(name);
    return bytes && Uint8Array.from(bytes); // LMDB may reuse the bytes that it returns
  });
  if (begun === undefined && head === undefined) return undefined;
  if (!hasForm(meta, FORM_BEFORE) || head === undefined)
    throw new StoreError(
      `the store in ${directory} is not one of Rulecast 0.2 with releases: start without --set-aside`,
    );
  try {
    ownManifest(decodeStored(releases.get([...decodeKey(head)]) ?? Buffer.of()), identity);
    if (behind !== undefined) decodeKey(behind);
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new StoreError(`the store in ${directory} cannot be set aside: ${reason}`, { cause });
  }
  return { after: head, behind, 'behind keys': keys };
}

function hasForm(meta: Database<Uint8Array, string>, form: Uint8Array): boolean {
  return Buffer.compare(meta.get('form') ?? Buffer.of(), form) === 0;
}
