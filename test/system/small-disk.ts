/** A small disk of its own, which takes root. */

import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { eventually } from '../enforce/enforcer.ts';
import type { Scene } from './scene.ts';

/**
 * Mounts one of a `size` as mount(8) takes it, in a directory that it makes; undefined, having said why,
 * where that cannot be done and need not be.
 */
export function smallDisk(scene: Scene, name: string, size: string): string | undefined {
  const path = scene.path(name);
  mkdirSync(path);
  try {
    run('mount', '-t', 'tmpfs', '-o', `size=${size},mode=755`, 'tmpfs', path);
  } catch (error) {
    if (process.env['CI'] === 'true') throw error;
    console.log(`not run: mounting a small disk takes root (${String(error).trim()})`);
    return undefined;
  }
  // The signer of a publisher that was killed ends by itself, and has its lock there until then.
  scene.onClose(() => eventually(async () => isUnmounted(path)));
  return path;
}

/** Runs a program of the system. Throws if it fails. */
function run(program: string, ...args: readonly string[]): void {
  execFileSync(program, args, { stdio: 'pipe' });
}

function isUnmounted(path: string): boolean {
  return spawnSync('umount', [path]).status === 0;
}

/** Fills a disk up to `leftBytes`; gives back what frees it again. */
export function fill(disk: string, leftBytes: number): () => void {
  const ballast = join(disk, 'ballast');
  const { bavail, bsize } = statfsSync(disk);
  writeFileSync(ballast, Buffer.alloc(Number(bavail) * Number(bsize) - leftBytes, 0x5a));
  return () => rmSync(ballast);
}
