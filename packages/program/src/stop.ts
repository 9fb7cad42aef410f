/** The signals that ask a program to stop. */

/** Resolves at the first SIGINT or SIGTERM; a second one ends the process at once, as if nobody had asked. */
export function stopSignal(): Promise<void> {
  return new Promise((resolve) => {
    process.once('SIGINT', () => resolve());
    process.once('SIGTERM', () => resolve());
  });
}
