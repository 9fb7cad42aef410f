/** Archives that usual programs wrote, and what they may come to. */

import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { type UnpackOptions, unpack } from '../src/unpack/unpack.ts';

export const AMPLE: UnpackOptions = { maxBytes: 10_000_000, maxMembers: 100 };

export function archivePath(name: string): string {
  return fileURLToPath(new URL(`../../../test/fixtures/archives/${name}`, import.meta.url));
}

export function fixture(name: string): Buffer {
  return readFileSync(archivePath(name));
}

/** Names and texts of what comes out. */
export async function unpacked(
  name: string,
  bytes: Uint8Array,
  options: Partial<UnpackOptions> = {},
): Promise<Record<string, string>> {
  const members = await unpack(name, bytes, { ...AMPLE, ...options });
  return Object.fromEntries(members.map((member) => [member.name, Buffer.from(member.bytes).toString()]));
}
