/** The programs of the system that tests need, and programs that are none of its. */

import { accessSync, chmodSync, constants, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import * as zlib from 'node:zlib';
import { temporaryDirectory } from '../../../test/kit/directory.ts';

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

/** Whether this Node undoes zstd itself. */
export const HAS_ZSTD = 'createZstdDecompress' in zlib;

/** Those of some files that can be unpacked here, by their names. */
export function readable<T extends string>(names: readonly T[]): T[] {
  return names.filter((name) => {
    if (name.endsWith('bz2')) return isHere('bzip2');
    return !name.endsWith('zst') || HAS_ZSTD || isHere('zstd');
  });
}

/** A directory with a program of that name, which is a script of the shell. */
export function directoryWith(program: string, script: string): string {
  const directory = temporaryDirectory();
  chmodSync(directory, 0o755); // whoever runs it is another user where we are root
  writeFileSync(join(directory, program), `#!/bin/sh\n${script}\n`, { mode: 0o755 });
  return directory;
}
