/**
 * Ends a process without waiting for threads. `process.exit` joins those of the pool, and one that asks a
 * silent resolver (getaddrinfo) blocks in recv(2) for ten seconds.
 */

import { openLog } from './log-stream.ts';

/** Processes that end with this one, such as its signer, have ended by then. Our choice. */
const END_WAITS_MS = 700;

/**
 * Ends this process with exit code 0, once everything it had open is closed: when nothing is left to do, or
 * soon without the rest.
 */
export function endSoon(): void {
  setTimeout(() => void endNow(), END_WAITS_MS).unref(); // nothing is left to do: it is not waited for
}

async function endNow(): Promise<void> {
  const { default: koffi } = await import('koffi');
  const log = await openLog();
  log.end();
  koffi.load('libc.so.6').func('void _exit(int)')(0);
}
