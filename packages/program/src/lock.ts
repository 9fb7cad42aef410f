/**
 * One process to a state directory: two publishers would each sign a version of their own under one number,
 * and two subscribers would remove each other's releases.
 *
 * The lock is the kernel's, on a file that nobody else may open. The kernel frees it with the process,
 * however that ends, so no stale lock is ever left; no child gets the descriptor. A file of this process'
 * user or of root in a directory of theirs is nobody else's to lock, replace or take away.
 */

import {
  closeSync,
  constants,
  fchmodSync,
  fchownSync,
  fstatSync,
  openSync,
  type Stats,
  statSync,
} from 'node:fs';
import { join } from 'node:path';
import koffi from 'koffi';
import { DirectoryError, makeDirectory } from './directory.ts';

/** Another process has the directory. */
export class LockedError extends Error {
  readonly code = 'locked';
}

export interface DirectoryLock {
  release(): void;
}

const NAME = 'lock';
// Fixed by Linux.
const O_CLOEXEC = 0o2000000;
const LOCK_EX_NB = 2 | 4;
const EWOULDBLOCK = 11;

const flock = koffi.load('libc.so.6').func('int flock(int, int)');

/**
 * Takes a directory for this process, making it (mode 0700) if need be.
 *
 * @param user Whom it may belong to, beside the user of this process and root. Throws LockedError and
 *   DirectoryError.
 */
export function lockDirectory(directory: string, user?: number): DirectoryLock {
  makeDirectory(directory);
  checkOwner(directory, statSync(directory), user);
  const path = join(directory, NAME);
  const file = opened(path);
  try {
    const stat = fstatSync(file);
    checkOwner(path, stat, user);
    if ((stat.mode & 0o777) !== 0o600) fchmodSync(file, 0o600);
    if (user !== undefined && stat.uid !== user) fchownSync(file, user, -1);
    if (flock(file, LOCK_EX_NB) !== 0) throw refusal(directory, koffi.errno());
  } catch (error) {
    closeSync(file);
    throw error;
  }
  return { release: () => closeSync(file) };
}

function opened(path: string): number {
  try {
    const flags = constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW | O_CLOEXEC;
    return openSync(path, flags, 0o600);
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new DirectoryError(`${path} cannot be opened by this user: ${why}`, { cause });
  }
}

function checkOwner(path: string, { uid }: Stats, user: number | undefined): void {
  const own = process.geteuid?.();
  if (uid === own || uid === 0 || uid === user) return;
  throw new DirectoryError(
    `${path} belongs to the user with id ${uid}, and this process runs as ${own}: chown it, or run as its owner`,
  );
}

function refusal(directory: string, errno: number): Error {
  if (errno === EWOULDBLOCK)
    return new LockedError(`another publisher or subscriber uses ${directory}: stop it first`);
  return new DirectoryError(`${directory} cannot be locked: error ${errno}`);
}
