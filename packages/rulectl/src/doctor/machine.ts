/** The machine that `rulectl doctor` runs on. */

import { spawnSync } from 'node:child_process';
import { readFileSync, realpathSync, type Stats, statfsSync, statSync } from 'node:fs';
import { release } from 'node:os';
import type { FileState, Machine } from './finding.ts';

/** A program that takes longer counts as failed. */
const RUN_TIMEOUT_MS = 10_000;
/** 64 qubes that each hold all that they may, as `nft` lists it, and then some. */
const OUTPUT_MAX_BYTES = 67_108_864;
const FILE_MAX_BYTES = 1_048_576;
const PERMISSIONS = 0o777;

export function thisMachine(nowMs: number): Machine {
  return {
    text: (path) =>
      ifThere(() => (statSync(path).size > FILE_MAX_BYTES ? undefined : readFileSync(path, 'utf8'))),
    state: (path) => ifThere(() => stateOf(statSync(path))),
    target: (path) => ifThere(() => realpathSync(path)),
    freeBytes: (path) =>
      ifThere(() => {
        const { bavail, bsize } = statfsSync(path);
        return bavail * bsize;
      }),
    run(program, ...args) {
      const { status, stdout } = spawnSync(program, args, {
        encoding: 'utf8',
        timeout: RUN_TIMEOUT_MS,
        maxBuffer: OUTPUT_MAX_BYTES,
      });
      return { status: status ?? undefined, stdout: stdout ?? '' };
    },
    nowMs,
    kernel: release(),
    node: process.versions.node,
  };
}

function stateOf(stats: Stats): FileState {
  const kind = stats.isFile()
    ? 'file'
    : stats.isDirectory()
      ? 'folder'
      : stats.isSocket()
        ? 'socket'
        : stats.isCharacterDevice()
          ? 'device'
          : 'other';
  return { kind, mode: stats.mode & PERMISSIONS };
}

function ifThere<T>(look: () => T): T | undefined {
  try {
    return look();
  } catch {
    return undefined;
  }
}
