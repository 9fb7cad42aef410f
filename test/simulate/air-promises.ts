/** `node:timers/promises` in simulated time: bundle.mjs puts it in its place. */

import { air } from './air.ts';

export function setTimeout<T>(delayMs: number, value?: T): Promise<T | undefined> {
  return air.sleep(Math.max(1, delayMs)).then(() => value);
}

export function setImmediate<T>(value?: T): Promise<T | undefined> {
  return new Promise((resolve) => air.immediate(() => resolve(value)));
}
