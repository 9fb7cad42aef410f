/** What lies in a depot, read as DEPOT.md says, by nothing that reads it otherwise. */

import { type Dirent, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  applyChain,
  type DepotHead,
  type DepotPage,
  decodeDepotPage,
  decodeManifest,
  deltaFrom,
  isObject,
  isSignedBy,
  manifestHash,
  type ObjectReference,
  objectPath,
  parseRoots,
  type Roots,
  readDepotHead,
  readRoot,
  rootsFrom,
  type Trust,
  verifyRuleSet,
  withRoot,
} from '@rulecast/protocol';
import { EMPTY_RULE_SET, type RuleSet } from '@rulecast/rules';

export interface DepotRelease {
  readonly head: DepotHead;
  readonly page: DepotPage;
  readonly ruleSet: RuleSet;
}

/** Files of a depot, by their paths. */
export type ReadFile = (path: string) => Uint8Array | undefined;

/**
 * The release that a reader finds who holds nothing, or `base`: all is compared with what names it. Throws
 * for a depot that is not whole.
 */
export function releaseIn(
  read: ReadFile,
  trust: Trust,
  base?: { readonly hash: Uint8Array; readonly ruleSet: RuleSet },
): DepotRelease {
  const signed = readDepotHead(read('head') ?? new Uint8Array());
  const { head } = signed;
  const object = (reference: ObjectReference): Uint8Array => {
    const bytes = read(objectPath(reference)) ?? new Uint8Array();
    if (!isObject(bytes, reference)) throw new Error(`${objectPath(reference)} has ${bytes.length} bytes`);
    return bytes;
  };
  const roots = rootsIn(object(head.roots), trust);
  const { root } = roots.at(-1) ?? fail();
  if (!isSignedBy(root, 'freshness', signed)) throw new Error('the head is not signed');
  const page = decodeDepotPage(object(head.page));
  if (Buffer.compare(manifestHash(page.signed.content), head.hash) !== 0) throw new Error('another page');
  for (const delta of page.deltas) object(delta);
  const delta = base && deltaFrom(page, base.hash);
  const stream = delta ? object(delta) : Buffer.concat(page.snapshot.map(object));
  const ruleSet = applyChain(delta ? base.ruleSet : EMPTY_RULE_SET, stream);
  verifyRuleSet(decodeManifest(page.signed.content), ruleSet);
  return { head, page, ruleSet };
}

/** Reads files below a directory. */
export function filesIn(directory: string): ReadFile {
  return (path) => {
    try {
      return readFileSync(join(directory, path));
    } catch {
      return undefined;
    }
  };
}

/** Paths of all files below a directory. */
export function pathsIn(directory: string): readonly string[] {
  const entries: readonly Dirent[] = readdirSync(directory, { withFileTypes: true, recursive: true });
  return entries.filter((entry) => entry.isFile()).map(({ parentPath, name }) => join(parentPath, name));
}

function rootsIn(bytes: Uint8Array, trust: Trust): Roots {
  const all = (parseRoots(Buffer.from(bytes).toString('utf8')) ?? []).map(readRoot);
  const [first = fail(), ...others] = all;
  return others.reduce(withRoot, rootsFrom(trust.rootHash, trust.lineage, first));
}

function fail(): never {
  throw new Error('no root');
}
