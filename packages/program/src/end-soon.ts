/**
 * The end of a process that waits for no thread. `process.exit` joins those of the pool, and one that asks a
 * resolver which does not answer (getaddrinfo) stands in recv(2) for ten seconds.
 */

import { openLog } from './log-stream.ts';

/** Our choice: whoever is to end with this process, such as its signer, has ended by then. */
const END_WAITS_MS = 700;

/**
 * Ends this process with exit code 0, once all that it had open is closed: when nothing is left to do, or
 * soon without what is left.
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
