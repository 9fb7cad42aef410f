/** A packet costs a packet loop nothing of the heap, so that no collection ever holds up a packet. */

import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { beforeAll, describe, expect, it } from 'vitest';

const SCRIPT = fileURLToPath(new URL('packet-loop-heap.mjs', import.meta.url));
/** Room for all that any measure could allocate, so that nothing is collected meanwhile. */
const HEAP_OPTIONS = ['--expose-gc', '--min-semi-space-size=128', '--max-semi-space-size=256'];
/** The smallest thing on the heap, a number, takes more; what Node itself does meanwhile takes less. */
const NOTHING_BYTES = 8;

describe('bytes of heap a call', () => {
  let results: Readonly<Record<string, number>> = {};
  beforeAll(async () => {
    const { stdout } = await promisify(execFile)(process.execPath, [...HEAP_OPTIONS, SCRIPT]);
    results = JSON.parse(stdout);
  });

  it('are seen where there are any', () => {
    expect(results['an object']).toBeGreaterThan(2 * NOTHING_BYTES);
  });

  const calls = ['lookup4', 'lookup6', 'batch of IPv4', 'batch of IPv6', 'packet parsed'];
  const subjects = ['table', 'reader'];
  it.each(subjects.flatMap((subject) => calls.map((call) => `${subject}: ${call}`)))('%s: none', (name) => {
    expect(results[name]).toBeLessThan(NOTHING_BYTES / 2);
  });
});
