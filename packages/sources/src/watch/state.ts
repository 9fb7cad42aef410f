/**
 * The present state of a path: a signature to compare, and the directories in which a change of it would
 * show. Each part of the path counts: a rename may replace any of them, and each may be a link.
 */

import type { BigIntStats } from 'node:fs';
import { lstat, readdir, readlink, stat } from 'node:fs/promises';
import { join, parse, resolve, sep } from 'node:path';
import { WATCH_LIMITS } from './limits.ts';

/** A directory, and the names in it that matter. Another directory under the same path is another place. */
export interface Place {
  readonly directory: string;
  /** Identity of the directory: device and inode. */
  readonly identity: string;
  readonly names: Set<string>;
}

export interface PathState {
  /** Differs if the content may differ; undefined if there is nothing to read. */
  readonly signature: string | undefined;
  /** By path and identity. */
  readonly places: ReadonlyMap<string, Place>;
  /**
   * The directory to watch with everything below it: the path with its links resolved, if that is a
   * directory.
   */
  readonly tree: { readonly directory: string; readonly identity: string } | undefined;
}

/** The state of a path. Never throws: a path that cannot be examined counts as missing. */
export async function stateOf(path: string): Promise<PathState> {
  const places = new Map<string, Place>();
  const end = await walk(resolve(path), places);
  if (end === undefined) return { signature: undefined, places, tree: undefined };
  if (!end.stats.isDirectory()) return { signature: signatureOf(end.stats), places, tree: undefined };
  const signature = await treeSignature(end.path, places);
  return { signature, places, tree: { directory: end.path, identity: identityOf(end.stats) } };
}

interface End {
  /** Without links. */
  readonly path: string;
  readonly stats: BigIntStats;
}

/** Follows a path part by part, noting each directory on the way; undefined where it ends before its end. */
async function walk(path: string, places: Map<string, Place>): Promise<End | undefined> {
  const { root } = parse(path);
  let directory = root;
  let parts = path.slice(root.length).split(sep).filter(Boolean);
  let stats = await lstatOf(root);
  for (let links = 0; parts.length > 0; ) {
    const [name = '', ...rest] = parts;
    if (stats === undefined || !stats.isDirectory()) return undefined;
    note(places, directory, identityOf(stats), name);
    const next = join(directory, name);
    stats = await lstatOf(next);
    if (stats === undefined) return undefined;
    if (!stats.isSymbolicLink()) {
      directory = next;
      parts = rest;
      continue;
    }
    const target = await readlink(next).catch(() => undefined);
    if (target === undefined || ++links > WATCH_LIMITS.links) return undefined;
    const to = resolve(directory, target);
    parts = [...to.slice(root.length).split(sep).filter(Boolean), ...rest];
    directory = root;
    stats = await lstatOf(root);
  }
  return stats === undefined ? undefined : { path: directory, stats };
}

function note(places: Map<string, Place>, directory: string, identity: string, name: string): void {
  const key = `${identity} ${directory}`;
  const place = places.get(key);
  if (place === undefined) places.set(key, { directory, identity, names: new Set([name]) });
  else place.names.add(name);
}

/**
 * Signature of all files in and below a directory; links to files there count as files, links to directories
 * and out of it do not.
 */
async function treeSignature(directory: string, places: Map<string, Place>): Promise<string> {
  const entries = await readdir(directory, { withFileTypes: true, recursive: true }).catch(() => []);
  const lines: string[] = [];
  for (const entry of entries) {
    const path = join(entry.parentPath, entry.name);
    if (entry.isSymbolicLink()) {
      const end = await walk(path, places);
      if (end?.stats.isFile() && end.path.startsWith(directory + sep))
        lines.push(`${path} ${signatureOf(end.stats)}`);
    } else if (entry.isFile()) {
      const stats = await stat(path, { bigint: true }).catch(() => undefined);
      if (stats !== undefined) lines.push(`${path} ${signatureOf(stats)}`);
    }
  }
  return lines.sort().join('\n');
}

function signatureOf({ dev, ino, size, mtimeNs, ctimeNs }: BigIntStats): string {
  return `${dev} ${ino} ${size} ${mtimeNs} ${ctimeNs}`;
}

function identityOf({ dev, ino }: BigIntStats): string {
  return `${dev}:${ino}`;
}

function lstatOf(path: string): Promise<BigIntStats | undefined> {
  return lstat(path, { bigint: true }).catch(() => undefined);
}
