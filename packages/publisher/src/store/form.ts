/**
 * The form that the rows of a store are in, and what a store of an older form leaves to the one that takes
 * its place. packaging/README.md "From Rulecast 0.2".
 */

import { type Database, type Databases, openDatabases } from './databases.ts';
import { decodeKey, StoreError } from './stored.ts';

/** The last numbers of a store of protocol 1, as the rows of `meta` that its successor takes over. */
export interface StoreLegacy {
  readonly after: Uint8Array;
  readonly behind: Uint8Array | undefined;
  readonly 'behind keys': Uint8Array | undefined;
}

/** A form gets the next number if programs that know the one before cannot read it. */
export const FORM = Buffer.from('rulecast-store 4', 'latin1');
/** Of protocol 1. Its releases cannot be read any more; all other rows can. */
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

/** Reads what a store of protocol 1 leaves. Throws StoreError if that directory holds none with releases. */
export function legacyIn(directory: string): StoreLegacy {
  let databases: Databases;
  try {
    databases = openDatabases(directory);
  } catch (cause) {
    throw new StoreError(`cannot open the store in ${directory}`, { cause });
  }
  const { meta } = databases;
  const [head, behind, keys] = ['head', 'behind', 'behind keys'].map((name) => {
    const bytes = meta.get(name);
    return bytes && Uint8Array.from(bytes); // LMDB may reuse the bytes that it returns
  });
  const isOfProtocol1 = hasForm(meta, FORM_BEFORE);
  void databases.close();
  if (!isOfProtocol1 || head === undefined)
    throw new StoreError(
      `the store in ${directory} is not one of Rulecast 0.2 with releases: start without --set-aside`,
    );
  for (const bytes of [head, behind]) if (bytes !== undefined) decodeKey(bytes); // throws
  return { after: head, behind, 'behind keys': keys };
}

function hasForm(meta: Database<Uint8Array, string>, form: Uint8Array): boolean {
  return Buffer.compare(meta.get('form') ?? Buffer.of(), form) === 0;
}
