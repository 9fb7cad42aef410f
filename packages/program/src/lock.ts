/**
 * One process to a state directory: two publishers would each sign a version of their own under one number,
 * and two subscribers would remove each other's releases.
 *
 * The lock is an abstract Unix socket named after the directory's device and inode. The kernel frees it with
 * the process, however that ends, so no stale lock is ever left. It holds within one network namespace.
 */

import { statSync } from 'node:fs';
import { createServer } from 'node:net';
import { makeDirectory } from './directory.ts';

/** Another process has the directory. */
export class LockedError extends Error {
  readonly code = 'locked';
}

export interface DirectoryLock {
  release(): Promise<void>;
}

/**
 * Takes a directory for this process, making it (mode 0700) if need be. Rejects with LockedError and
 * DirectoryError.
 */
export async function lockDirectory(directory: string): Promise<DirectoryLock> {
  makeDirectory(directory);
  const { dev, ino } = statSync(directory);
  const server = createServer((socket) => socket.destroy());
  await new Promise<void>((resolve, reject) => {
    server.once('error', (cause: NodeJS.ErrnoException) => {
      const taken = cause.code === 'EADDRINUSE';
      reject(
        taken
          ? new LockedError(`another publisher or subscriber uses ${directory}: stop it first`, { cause })
          : cause,
      );
    });
    server.listen({ path: `\0rulecast-state-${dev}-${ino}` }, resolve);
  });
  server.unref();
  return { release: () => new Promise((resolve) => server.close(() => resolve())) };
}
