/** Nothing is forgotten between `npm run test:system`, CI and `npm run nightly`. */

import { execFile, execFileSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { basename } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { NIGHTLY_SYSTEM, PIECES, shareAsked, shares, THOROUGH } from './nightly.mjs';

const ROOT = fileURLToPath(new URL('..', import.meta.url));

/** The names of the files that `npm run test:system -- ARGS...` runs. */
async function systemFiles(...args: readonly string[]): Promise<readonly string[]> {
  const list = ['node_modules/vitest/vitest.mjs', 'list', '--config', 'vitest.system.config.ts', ...args];
  const { stdout } = await promisify(execFile)(process.execPath, [...list, '--filesOnly', '--json'], {
    cwd: ROOT,
  });
  return (JSON.parse(stdout) as { file: string }[]).map(({ file }) => basename(file)).toSorted();
}

describe('the shares of npm run nightly', () => {
  it('are all of it together, each piece in one of them, at any time', () => {
    expect(new Set(PIECES.map(({ command }) => command)).size).toBe(PIECES.length);
    expect(new Set(shares().flat())).toEqual(new Set(PIECES));
    expect(shares().flat()).toHaveLength(PIECES.length);
    expect(shares()).toEqual(shares());
  });

  it('take about as long as each other, and no more than CI has', () => {
    const seconds = shares().map((pieces) => pieces.reduce((sum, piece) => sum + piece.seconds, 0));
    expect(Math.max(...seconds)).toBeLessThan(2 * Math.min(...seconds));
    expect(Math.max(...seconds)).toBeLessThan(420);
  });

  it('have each file of test/system that npm run test:system leaves out, and no other', async () => {
    const files = readdirSync(`${ROOT}test/system`).filter((name) => name.endsWith('.test.ts'));
    const nightly = Object.keys(NIGHTLY_SYSTEM).map((name) => `${name}.test.ts`);
    const [usual, named] = await Promise.all([systemFiles(), systemFiles(...nightly)]);
    expect([...usual, ...nightly].toSorted()).toEqual(files.toSorted());
    expect(named).toEqual(nightly.toSorted());
  });

  it('have each test that tries more where it is thorough', () => {
    const pattern = "from '.*/(thorough|seeded-fast-check)[.]ts'";
    const where = [
      '--exclude-dir=node_modules',
      '--exclude=seeded-fast-check.ts',
      'packages',
      'protocol',
      'test',
    ];
    const found = execFileSync('grep', ['-rlE', pattern, ...where], { cwd: ROOT, encoding: 'utf8' });
    const users = found.trim().split('\n');
    const pieces = Object.keys(THOROUGH);
    expect(users.filter((file) => !pieces.some((path) => file.startsWith(path)))).toEqual([]);
    expect(pieces.filter((path) => !users.some((file) => file.startsWith(path)))).toEqual([]);
  });

  it.each([
    [[], 0],
    [['--share', '7/20'], 7],
    [['--commit', '0000007f'], 8],
    [['--share', '0/20'], undefined],
    [['--share', '21/20'], undefined],
    [['--share', '7/21'], undefined],
    [['--commit', 'HEAD'], undefined],
    [['--share', '1/20', '--commit', '0000007f'], undefined],
  ])('are asked for by %j: %j', (args, share) => {
    expect(shareAsked(args)).toBe(share);
  });
});
