/**
 * The fuzzer finds what it looks for: faults that are made on purpose, each told with the input that did it.
 */

import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { enforcementGap } from './namespaces.ts';

const MAIN = fileURLToPath(new URL('../fuzz/main.mjs', import.meta.url));
/** The input at which faults are planted is among them. */
const INPUTS = '3000';

function fuzzed(...args: readonly string[]): Promise<{ readonly code: number; readonly stdout: string }> {
  return new Promise((resolve) => {
    const inputs = args.includes('--inputs') ? [] : ['--inputs', INPUTS];
    execFile(process.execPath, [MAIN, ...inputs, ...args], (error, stdout) => {
      resolve({ code: error === null ? 0 : Number(error.code), stdout });
    });
  });
}

it('without a fault it says how much was tried, and ends with 0', async () => {
  const { code, stdout } = await fuzzed();
  expect(stdout).toMatch(/^3000 inputs of seed 1 in \d+ s: no fault; \d+ MiB at most\n$/);
  expect(code).toBe(0);
});

it.each([
  ['crash', /^crash: input 2345 of seed 1\nSIGABRT/],
  ['uncaught', /^crash: input 2345 of seed 1\nexit code 1\n[\s\S]*planted/],
  ['wrong', /^wrong: input 2345 of seed 1\nTypeError: planted/],
  ['stall', /^stall: input 2345 of seed 1\n\d+ ms of /],
  ['memory', /^memory: input 2345 of seed 1\n\d+ MiB more/],
])('%s at an input is found there, and ends it with 1', async (plant, expected) => {
  const { code, stdout } = await fuzzed('--plant', plant);
  expect(stdout).toMatch(expected);
  expect(stdout).toMatch(/^again: npm run fuzz -- --target peers --seed 1 --input 2345$/m);
  expect(code).toBe(1);
});

it('that is planted is found again by its number alone', async () => {
  const { code, stdout } = await fuzzed('--plant', 'wrong', '--input', '2345');
  expect(stdout).toMatch(/^wrong: input 2345 of seed 1/);
  expect(code).toBe(1);
});

it.each([['--seed'], ['--inputs', 'many'], ['--colour', '1']])(
  '%s %s is refused with the usage',
  async (...args) => {
    const { code, stdout } = await fuzzed(...args);
    expect(stdout).toMatch(/^npm run fuzz -- /);
    expect(code).toBe(64);
  },
);

describe.skipIf(enforcementGap() !== undefined)('requests to the applier', () => {
  const requests = '150';

  it('that are nearly right are answered within the memory that was given', async () => {
    const { code, stdout } = await fuzzed('--target', 'applier', '--inputs', requests);
    expect(stdout).toMatch(/^150 requests of seed 1: no fault; \d+ taken, \d+ MiB of the kernel at most\n$/);
    expect(Number(/ (\d+) taken/.exec(stdout)?.[1])).toBeGreaterThan(10);
    expect(code).toBe(0);
  });

  it('are told where they take more', async () => {
    const { code, stdout } = await fuzzed('--target', 'applier', '--inputs', requests, '--plant', 'memory');
    expect(stdout).toMatch(/^\d+ MiB of the kernel: input \d+ of seed 1 /);
    expect(stdout).toMatch(/^again: npm run fuzz -- --target applier --seed 1 --input \d+$/m);
    expect(code).toBe(1);
  });
});
