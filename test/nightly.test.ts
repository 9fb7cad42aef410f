/** Nothing is forgotten between `npm run test:system`, CI and `npm run nightly`. */

import { readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { NIGHTLY_SYSTEM, PIECES, shareAsked, shares } from './nightly.mjs';

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

  it('have only files of test/system that are there; npm run test:system has the others', () => {
    const files = readdirSync(fileURLToPath(new URL('system', import.meta.url)));
    for (const name of Object.keys(NIGHTLY_SYSTEM)) expect(files).toContain(`${name}.test.ts`);
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
