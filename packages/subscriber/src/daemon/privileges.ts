/**
 * Becomes a user without rights, for good, by calling the C library. Node's own functions refuse to if
 * io_uring might be in use, as its threads would keep the rights, and so never work with a libuv of the
 * system, such as Debian's. This file checks for io_uring itself.
 */

import koffi from 'koffi';

export interface Identity {
  readonly uid: number;
  readonly gid: number;
  /** All supplementary groups. */
  readonly groups: readonly number[];
}

/** Signs of whether libuv uses io_uring. */
export interface UringHints {
  readonly uvVersion: string;
  /** It is not Node's own, in which nothing but the variable turns it on. */
  readonly isShared: boolean;
  /** UV_USE_IO_URING */
  readonly variable: string | undefined;
}

/** From this minor version of libuv 1 to before that, io_uring is in use unless a variable says no. */
const URING_SINCE = 45;
const URING_UNTIL = 49;

/** Whether something may go on with the rights that this process had. */
export function mayUseUring({ uvVersion, isShared, variable }: UringHints): boolean {
  if (variable !== undefined) return variable !== '0';
  const [major, minor = 0] = uvVersion.split('.').map(Number);
  return isShared && !(major === 1 && (minor < URING_SINCE || minor >= URING_UNTIL));
}

/**
 * No saved id, no group and no capability is left to come back with, in any thread. Throws Error where
 * something would be.
 */
export function becomeForGood({ uid, gid, groups }: Identity): void {
  const built: Readonly<Record<string, unknown>> = process.config.variables;
  const hints = {
    uvVersion: process.versions.uv,
    isShared: String(built['node_shared_libuv']) !== 'false',
    variable: process.env['UV_USE_IO_URING'],
  };
  if (mayUseUring(hints)) {
    throw new Error(
      `libuv ${hints.uvVersion} may use io_uring, which would keep the rights of root: set UV_USE_IO_URING=0`,
    );
  }
  const libc = koffi.load('libc.so.6');
  const set = (name: string, parameters: string, ...values: readonly unknown[]): void => {
    if (libc.func(`int ${name}(${parameters})`)(...values) === 0) return;
    throw new Error(`${name} failed: error ${koffi.errno()}`);
  };
  set('setgroups', 'size_t, const uint32_t *', groups.length, Uint32Array.from(groups));
  set('setresgid', 'uint32_t, uint32_t, uint32_t', gid, gid, gid);
  set('setresuid', 'uint32_t, uint32_t, uint32_t', uid, uid, uid);
  const ids = [process.getuid?.(), process.geteuid?.(), process.getgid?.(), process.getegid?.()];
  const isRoot = uid === 0 || libc.func('int setresuid(uint32_t, uint32_t, uint32_t)')(0, 0, 0) === 0;
  if (isRoot || ids.join() !== [uid, uid, gid, gid].join())
    throw new Error('the rights of root could not be dropped');
}
