/**
 * Writes without blocking: as much as the kernel accepts at once. A blocking write would hold up the process
 * until somebody reads, and one in a thread of the pool would hold up its end, which waits for that thread.
 * Other processes may have the same open file, so its flags stay as they are.
 *
 *   file              write(2)
 *   pipe, terminal    opened once more, O_NONBLOCK; not permitted: poll(2), then at most PIPE_BUF
 *   socket            send(2), MSG_DONTWAIT
 */

import { constants, fstatSync, openSync, writeSync } from 'node:fs';

// Fixed by Linux.

const MSG_DONTWAIT = 0x40;
const MSG_NOSIGNAL = 0x4000;
const POLLOUT = 0x4;
/** A pipe that poll(2) reports as writable has room for so many bytes. */
const PIPE_BUF_BYTES = 4096;
const EAGAIN = 11;

/**
 * Writes from bytes[at] on; returns how many bytes were accepted, 0 if there is no room now. Throws Error if
 * nothing can be written any more.
 */
export type NowOrNever = (bytes: Uint8Array, at: number) => number;

/** The way for a descriptor that this process has. Rejects with Error for one that it has not. */
export async function nowOrNever(fd: number): Promise<NowOrNever> {
  const stat = fstatSync(fd);
  if (stat.isSocket()) return await overSocket(fd);
  if (!stat.isFIFO() && !stat.isCharacterDevice()) return (bytes, at) => writeSync(fd, bytes, at);
  let own: number;
  try {
    own = openSync(`/proc/self/fd/${fd}`, constants.O_WRONLY | constants.O_NONBLOCK | constants.O_NOCTTY);
  } catch {
    return await whenReady(fd); // another user's, such as the pipe of a caller that used su
  }
  return (bytes, at) => {
    try {
      return writeSync(own, bytes, at);
    } catch (error) {
      if (error instanceof Error && 'code' in error && error.code === 'EAGAIN') return 0;
      throw error;
    }
  };
}

async function overSocket(fd: number): Promise<NowOrNever> {
  const { default: koffi } = await import('koffi');
  const send = koffi.load('libc.so.6').func('int64_t send(int, const void *, size_t, int)');
  return (bytes, at) => {
    const piece = bytes.subarray(at);
    const sent = Number(send(fd, piece, piece.length, MSG_DONTWAIT | MSG_NOSIGNAL));
    if (sent >= 0) return sent;
    if (koffi.errno() === EAGAIN) return 0;
    throw new Error(`send failed: error ${koffi.errno()}`);
  };
}

async function whenReady(fd: number): Promise<NowOrNever> {
  const { default: koffi } = await import('koffi');
  const poll = koffi.load('libc.so.6').func('int poll(void *, unsigned long, int)');
  const asked = Int32Array.of(fd, POLLOUT); // struct pollfd
  return (bytes, at) => {
    asked[1] = POLLOUT; // and no answer
    if (poll(asked, 1, 0) !== 1) return 0;
    return writeSync(fd, bytes, at, Math.min(PIPE_BUF_BYTES, bytes.length - at));
  };
}
