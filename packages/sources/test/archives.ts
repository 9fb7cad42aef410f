/** Archives that usual programs wrote, what they may come to, and whether such programs are here. */

import { accessSync, constants, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import * as zlib from 'node:zlib';
import type { HarvestLimits } from '../src/unpack/harvest.ts';
import { unpack } from '../src/unpack/unpack.ts';

export const AMPLE: HarvestLimits = { maxBytes: 10_000_000, maxMembers: 100 };

export function archivePath(name: string): string {
  return fileURLToPath(new URL(`../../../test/fixtures/archives/${name}`, import.meta.url));
}

export function fixture(name: string): Buffer {
  return readFileSync(archivePath(name));
}

/** Names and texts of the unpacked files. */
export async function unpacked(
  name: string,
  bytes: Uint8Array,
  options: Partial<HarvestLimits> = {},
): Promise<Record<string, string>> {
  const members = await unpack(name, bytes, { ...AMPLE, ...options });
  return Object.fromEntries(members.map((member) => [member.name, Buffer.from(member.bytes).toString()]));
}

/** Whether this Node undoes zstd. */
export const HAS_ZSTD = 'createZstdDecompress' in zlib;

/** Those of some files that can be unpacked here, by their names. */
export function readable<T extends string>(names: readonly T[]): T[] {
  return names.filter((name) => HAS_ZSTD || !name.endsWith('zst'));
}

const reported = new Set<string>();

/** Whether a program is here. Where it is not, that is said once, and in CI it is an error. */
export function isHere(program: string): boolean {
  if (['/usr/bin', '/bin'].some((directory) => canRun(join(directory, program)))) return true;
  if (process.env['CI'] === 'true') throw new Error(`${program} is not here`);
  if (!reported.has(program)) console.warn(`${program} is not here: what needs it is not tested`);
  reported.add(program);
  return false;
}

function canRun(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
