/**
 * A test file as others are, with a directory and a daemon, for run.test.ts to end in the middle: there its
 * last test never ends.
 */

import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type Daemon, startPublisher } from '../processes.mjs';
import { WITNESS } from './witness.ts';

let directory: string;
let publisher: Daemon;

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'rulecast-held-'));
  publisher = await startPublisher(directory);
});

afterAll(async () => {
  await publisher.stop();
  rmSync(directory, { recursive: true, force: true });
});

it('has a publisher', () => {
  expect(readdirSync(directory)).toContain('control.sock');
});

it('is held where a witness looks at it', async () => {
  const isHeld = process.env[WITNESS] !== undefined;
  if (isHeld) {
    writeFileSync(join(directory, 'held'), ''); // what a reporter prints of the test before may come with the end of this one
    await new Promise(() => undefined);
  }
  expect(isHeld).toBe(false);
});
