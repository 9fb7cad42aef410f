import { describe, expect, it } from 'vitest';
import { faultsOf, takenFromAir } from '../edges.mjs';

describe('what a file takes from the air', () => {
  it.each([
    ["import { readFileSync } from 'node:fs';", 'node:fs'],
    ["import {\n  open,\n} from 'node:fs/promises';", 'node:fs/promises'],
    ["export { connect } from 'node:net';", 'node:net'],
    ["const { createSocket } = await import('node:dgram');", 'node:dgram'],
    ["import 'node:child_process';", 'node:child_process'],
    ["import { setTimeout as passed } from 'node:timers/promises';", 'node:timers/promises'],
    ["import { randomBytes } from 'node:crypto';", 'randomBytes'],
    ['const now = Date.now();', 'Date.now'],
    ['const nowMs = options.nowMs ?? Date.now;', 'Date.now'],
    ['const now = new Date();', 'new Date()'],
    ['const ms = performance.now();', 'performance.now'],
    ['const chance = Math.random();', 'Math.random'],
    ['setTimeout(work, 5);', 'setTimeout'],
    ['setInterval(work, 5);', 'setInterval'],
    ['setImmediate(work);', 'setImmediate'],
  ])('%s', (text, what) => {
    expect(takenFromAir(text)).toContain(what);
  });

  it.each([
    ["import type { Stats } from 'node:fs';"],
    ["import { createHash } from 'node:crypto';"],
    ['const shown = new Date(nowMs).toISOString();'],
    ['/** Milliseconds since 1970; default Date.now. */'],
    ['clock.after(5, work); // in place of setTimeout'],
    ['const { wallMs, random } = machine;'],
  ])('is nothing: %s', (text) => {
    expect(takenFromAir(text)).toEqual([]);
  });
});

describe('the edges', () => {
  const clock = ['a/src/clock.ts', 'export const nowMs = (): number => Date.now();'] as const;

  it('may, and nobody else', () => {
    const files = new Map([clock, ['a/src/peer.ts', 'const since = Date.now() + Math.random();']]);
    expect(faultsOf(files, { 'a/src/clock.ts': 'the clock' })).toEqual([
      expect.stringContaining('a/src/peer.ts takes Date.now'),
      expect.stringContaining('a/src/peer.ts takes Math.random'),
    ]);
  });

  it.each([
    ['is not there', new Map()],
    ['takes nothing', new Map([['a/src/clock.ts', 'export const nowMs = 0;']])],
  ])('are no longer named for a file that %s', (_, files) => {
    expect(faultsOf(files, { 'a/src/clock.ts': 'the clock' })).toHaveLength(1);
  });
});
