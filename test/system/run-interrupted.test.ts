/**
 * Nothing that a run makes outlives it: neither that of the demo, nor of a bench, nor of the tests. Those as
 * root are in test/system.
 */

import { describe, expect, it } from 'vitest';
import { NOTHING, Witness } from '../run/witness.ts';

const EXIT_CODES = { SIGHUP: 129, SIGINT: 130, SIGTERM: 143 } as const;

describe('the demo leaves nothing behind', () => {
  // ^C left its directory, and both daemons' files in it.
  it.each([
    ['each a process of its own', 'SIGTERM'],
    ['publisher pid', 'SIGINT'],
    ['$ rulectl push examples/firewall.yaml', 'SIGTERM'],
    ['Push a changed list', 'SIGINT'],
    ['$ rulectl status', 'SIGTERM'],
    ['What packets get', 'SIGINT'],
  ] as const)('at "%s" by %s', async (moment, signal) => {
    const demo = new Witness(['test/demo.mjs']);
    await demo.prints(moment);
    expect(await demo.end(signal)).toBe(EXIT_CODES[signal]);
    expect(demo.leftovers()).toEqual(NOTHING);
  });

  it.each(['SIGINT', 'SIGHUP'] as const)('by %s to all of it, as a terminal sends it', async (signal) => {
    const demo = new Witness(['test/demo.mjs']);
    await demo.prints('publisher pid');
    expect(await demo.endAll(signal)).toBe(EXIT_CODES[signal]);
    expect(demo.leftovers()).toEqual(NOTHING);
  });

  it('by SIGKILL', async () => {
    const demo = new Witness(['test/demo.mjs']);
    await demo.prints('publisher pid');
    expect(await demo.end('SIGKILL')).toBe('SIGKILL');
    expect(demo.leftovers()).toEqual(NOTHING);
  });
});

it('before it has made anything, a run ends as any process does', async () => {
  const demo = new Witness(['test/demo.mjs']);
  await demo.end('SIGTERM');
  expect(demo.leftovers()).toEqual(NOTHING);
});

it('a run that fails leaves nothing behind', async () => {
  const failing = new Witness([
    '--input-type=module',
    '-e',
    `import { spawn } from 'node:child_process';
     import { mkdtempSync } from 'node:fs';
     import { tmpdir } from 'node:os';
     import { openRun } from './test/run/run.mjs';
     openRun();
     mkdtempSync(tmpdir() + '/forgotten-');
     spawn('sleep', ['1000'], { detached: true });
     throw new Error('on purpose');`,
  ]);
  expect(await failing.ended()).toBe(1);
  expect(failing.leftovers()).toEqual(NOTHING);
});

it.each(['SIGINT', 'SIGTERM', 'SIGKILL'] as const)('a bench leaves nothing behind by %s', async (signal) => {
  const bench = new Witness(['test/bench/main.mjs', 'stalls']);
  await bench.makes('control.sock');
  await bench.end(signal);
  expect(bench.leftovers()).toEqual(NOTHING);
});

it.each(['SIGINT', 'SIGTERM', 'SIGKILL'] as const)('the tests leave nothing behind by %s', async (signal) => {
  const tests = new Witness(['node_modules/vitest/vitest.mjs', 'run', 'test/run/held.test.ts']);
  await tests.makes('held');
  await (signal === 'SIGINT' ? tests.endAll(signal) : tests.end(signal)); // ^C reaches the workers as well
  expect(tests.leftovers()).toEqual(NOTHING);
});
