/**
 * One process to a state directory: two publishers would each sign a version of their own under one number,
 * and two subscribers would remove each other's releases.
 *
 * The lock is the kernel's, on a file that no other user may open. The kernel frees it with the process,
 * however that ends, so there are no stale locks; no child gets the descriptor. The file and its directory
 * must belong to this user or to root, so that nobody else can lock, replace or remove the file.
 */

import {
  chownSync,
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

/** Another process has locked the directory. */
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

/** To read, as nothing is written: that is all that root may do with a file of another user in a unit. */
const FLAGS = constants.O_RDONLY | constants.O_CREAT | constants.O_NOFOLLOW | O_CLOEXEC;

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
  const file = user === undefined ? opened(path) : openedFor(directory, path);
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

/**
 * Root may be without the right to write in a directory of another user, as in a unit, and with that to give
 * files away: the directory is its own while the file is made.
 */
function openedFor(directory: string, path: string): number {
  try {
    return openSync(path, FLAGS & ~constants.O_CREAT);
  } catch {
    const { uid } = statSync(directory);
    chownSync(directory, process.geteuid?.() ?? uid, -1);
    try {
      return opened(path);
    } finally {
      chownSync(directory, uid, -1);
    }
  }
}

function opened(path: string): number {
  try {
    return openSync(path, FLAGS, 0o600);
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
