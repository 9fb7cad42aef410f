/** The simulator itself: one seed is one run, what must be found is found, and what once failed does not. */

import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { beforeAll, describe, expect, it } from 'vitest';
import { temporaryDirectory } from '../kit/directory.ts';
import { bundle } from './bundle.mjs';

const MAIN = fileURLToPath(new URL('main.mjs', import.meta.url));
let file = '';

beforeAll(async () => {
  // Beside node_modules, where what it imports is found.
  file = fileURLToPath(
    new URL(`../../node_modules/.cache/rulecast/test-${process.pid}.mjs`, import.meta.url),
  );
  await bundle(file);
});

/** What it says, and 1 where something failed. */
function simulate(...args: readonly string[]): { readonly code: number; readonly text: string } {
  const env = { ...process.env, TMPDIR: temporaryDirectory() };
  try {
    const text = execFileSync(process.execPath, [MAIN, '--file', file, '--no-shrink', ...args], {
      env,
      encoding: 'utf8',
    });
    return { code: 0, text };
  } catch (error) {
    if (!(error instanceof Error) || !('stdout' in error)) throw error;
    return { code: 1, text: String(error.stdout) };
  }
}

const traceOf = (text: string): string | undefined => /^trace ([0-9a-f ]+)$/m.exec(text)?.[1];

describe('the simulator', () => {
  it('does the same again for the same seed, and other things for another', () => {
    const run = (seed: number) => traceOf(simulate('--seed', `${seed}`, '--hours', '0.1', '--hash').text);
    const first = run(3);
    expect(first).toMatch(/^[0-9a-f]{64}$/);
    expect(run(3)).toBe(first);
    expect(run(4)).not.toBe(first);
  });

  it('has all agree where nothing goes wrong', () => {
    const { code, text } = simulate('--seed', '1', '--hours', '0.5', '--faults', 'none');
    expect(text).toContain(' 0 faults ');
    expect(code).toBe(0);
  });

  it('finds what is expected of restored backups and of two publishers with one key', () => {
    const faults = 'publisher-restored,publisher-twin,cut';
    const { code, text } = simulate('--seed', '1', '--hours', '1', '--faults', faults);
    expect(text).toMatch(/expected violations [1-9]\d* and [1-9]\d* times$/m);
    expect(code).toBe(0);
  });
});
