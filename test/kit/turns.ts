/** Waiting for what happens in this very process, without a clock. */

import { setImmediate } from 'node:timers/promises';
import { expect } from 'vitest';

/** What has not happened after so many turns of the event loop waits for something else. */
const TURNS_MAX = 1000;

/** Lets the event loop poll for I/O `count` times. */
export async function turns(count = 20): Promise<void> {
  for (let i = 0; i < count; i++) await setImmediate();
}

/** Until something holds that needs turns of the event loop and nothing else. */
export async function until(holds: () => boolean): Promise<void> {
  for (let i = 0; i < TURNS_MAX && !holds(); i++) await turns(1);
  expect(holds()).toBe(true);
}
