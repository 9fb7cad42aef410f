/** The simulator itself: one seed is one run, what must be found is found, and what once failed does not. */

import { execFileSync } from 'node:child_process';
import { rmSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { temporaryDirectory } from '../kit/directory.ts';
import { bundle } from '../simulate/bundle.mjs';
import { FAULTS } from '../simulate/plan.ts';
import { cases, isThorough, often } from '../thorough.ts';

/** The faults that there were when some houses were found: by others their plans would be others. */
const LATER: readonly string[] = [
  'replay',
  'strange-fresh',
  'forged-stream',
  'freeze',
  'subscriber-disk-doubtful',
  'subscriber-fsync-lies',
  'subscriber-releases-lost',
  'publisher-commit-doubtful',
  'publisher-fsync-lies',
  'publisher-rotated',
];
const OLD = FAULTS.filter((fault) => !LATER.includes(fault)).join(',');
const LOST_ON_BOTH_SIDES = ['--faults', 'subscriber-releases-lost,publisher-restored'];
const RESTORED_AND_ROTATED = ['--faults', 'publisher-restored,publisher-rotated'];
/** Houses that once failed, why, and with which faults. */
const FOUND = [
  [4, 'a proof that could not be written was forgotten, and numbers were given again', ['--faults', OLD]],
  [5, 'a wrong bit in a small key of the store made epochs that no manifest holds', ['--faults', OLD]],
  [1, 'who had lost its releases, and not its floor, could prove nothing', LOST_ON_BOTH_SIDES],
  [1, 'a publisher that was behind never started again once its keys were rotated', RESTORED_AND_ROTATED],
] as const;
const MAIN = fileURLToPath(new URL('../simulate/main.mjs', import.meta.url));
let file = '';

beforeAll(async () => {
  // Beside node_modules, where what it imports is found.
  file = fileURLToPath(
    new URL(`../../node_modules/.cache/rulecast/test-${process.pid}.mjs`, import.meta.url),
  );
  await bundle(file);
});

afterAll(() => {
  for (const path of [file, wrongFile()]) rmSync(path, { force: true });
});

/** A bundle with a fault in it. */
function wrongFile(): string {
  return file.replace('.mjs', '-wrong.mjs');
}

/** What it says, and its exit code. */
function simulate(...args: readonly string[]): Said {
  return simulateIn(file, '--no-shrink', ...args);
}

interface Said {
  readonly code: number;
  readonly text: string;
}

/** Likewise, for a bundled file. */
function simulateIn(bundled: string, ...args: readonly string[]): Said {
  const env = { ...process.env, TMPDIR: temporaryDirectory() };
  try {
    const text = execFileSync(process.execPath, [MAIN, '--file', bundled, ...args], {
      env,
      encoding: 'utf8',
      stdio: 'pipe',
    });
    return { code: 0, text };
  } catch (error) {
    if (!(error instanceof Error) || !('stdout' in error && 'stderr' in error && 'status' in error))
      throw error;
    return { code: Number(error.status), text: `${error.stdout}${error.stderr}` };
  }
}

const traceOf = (text: string): string | undefined => /^trace ([0-9a-f ]+)$/m.exec(text)?.[1];
const whatOf = (text: string): string | undefined => /^seed 1: [a-z-]+/m.exec(text)?.[0];

describe('the simulator', () => {
  it('does the same again for the same seed, and other things for another', () => {
    const run = (seed: number) => traceOf(simulate('--seed', `${seed}`, '--hours', '0.1', '--hash').text);
    const first = run(3);
    expect(first).toMatch(/^[0-9a-f]{64}$/);
    expect(run(3)).toBe(first);
    expect(run(4)).not.toBe(first);
  });

  it('has all agree where nothing goes wrong', () => {
    const { code, text } = simulate('--seed', '1', '--hours', `${often(0.1, 0.5)}`, '--faults', 'none');
    expect(text).toContain(' 0 faults ');
    expect(code).toBe(0);
  });

  it('does not run without a fault that it does not know', () => {
    const { code, text } = simulate('--faults', 'cut,cuts');
    expect(code).toBe(1);
    expect(text).toContain('there is no fault cuts');
  });

  if (isThorough)
    it('has nobody go over to the other branch where a backup was restored, or two publishers use one key', () => {
      const faults = 'publisher-restored,publisher-twin,cut';
      const { code, text } = simulate('--seed', '1', '--hours', '1', '--faults', faults);
      expect(text).toMatch(/numbers given twice: twin [1-9]\d*, restored [1-9]\d*$/m);
      expect(code).toBe(0);
    });

  it.each(cases([], FOUND))('finds nothing in house %i, where %s', (seed, _, faults) => {
    const { code, text } = simulate('--seed', `${seed}`, '--hours', '0.5', ...faults);
    expect(text).toMatch(/simulated hours per second/);
    expect(code).toBe(0);
  });

  it('says which seed fails, and how few actions it takes', async () => {
    const wrong = wrongFile();
    await bundle(wrong, (path, text) =>
      path.endsWith('/release/publisher.ts')
        ? text.replace(
            'await this.history.ruleSetOf(version)',
            "await Promise.reject(new TypeError('wrong'))",
          )
        : text,
    );
    const { code, text } = simulateIn(wrong, '--seed', '1', '--hours', '0.1', '--faults', 'none');
    expect(code).toBe(1);
    expect(text).toContain('again: npm run simulate -- --seed 1 --hours 0.1');
    const [, few, all, only = ''] = /it takes (\d+) of (\d+) actions: .* --only ([\d,]+)$/m.exec(text) ?? [];
    expect(Number(few)).toBeLessThan(Number(all) / 2);
    const again = simulateIn(
      wrong,
      '--no-shrink',
      '--seed',
      '1',
      '--hours',
      '0.1',
      '--faults',
      'none',
      '--only',
      only,
    );
    expect(again.code).toBe(1);
    expect(whatOf(again.text)).toBe(whatOf(text));
  });
});
