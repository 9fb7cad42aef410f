/** Growing pauses after failures in a row: of streams that do not verify, and of content threads that die. */

import type { After } from '@rulecast/protocol';

/** Our choice: one failure costs nothing, and those without an end a try each minute. */
const PAUSES_MS = [0, 1000, 4000, 16_000] as const;
export const LONGEST_PAUSE_MS = 60_000;

/** The pause after one more failure; `failures`: how many there were in a row before it. */
export function pauseMsAfter(failures: number): number {
  return PAUSES_MS[failures] ?? LONGEST_PAUSE_MS;
}

/** Resolves after a time, or when the signal is aborted. */
export function sleep(after: After, ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve();
    const done = (): void => {
      cancel();
      signal.removeEventListener('abort', done);
      resolve();
    };
    const cancel = after(ms, done);
    signal.addEventListener('abort', done, { once: true });
  });
}
