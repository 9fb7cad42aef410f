/**
 * The signer, killed before, within and after each call of the file system that keeps a number: whatever is
 * on disk then, no number is ever signed for two releases, and what was signed once may be signed again.
 */

import type * as Fs from 'node:fs';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { encodeManifest, hexOf, manifestHash } from '@rulecast/protocol';
import { expect, it, vi } from 'vitest';
import { temporaryDirectory } from '../../../test/kit/directory.ts';
import { freshKey, rootOf } from '../../../test/kit/roots.mjs';
import { SignerDesk, type SignerKeys } from '../src/signer/desk.ts';
import { readRecord, writeRecord } from '../src/signer/record.ts';

const { kill, Killed, STEPS } = vi.hoisted(() => ({
  kill: { atStep: Number.POSITIVE_INFINITY, step: 0, within: false, isDead: false },
  /** A killed process does no more: later calls have no effect. */
  Killed: class extends Error {},
  /** Calls that change what is on disk, or make that last. */
  STEPS: ['openSync', 'writeSync', 'writeFileSync', 'fsyncSync', 'closeSync', 'renameSync', 'rmSync'],
}));

vi.mock('node:fs', async (original) => {
  const fs = await original<typeof Fs>();
  const counted = (name: string, call: (...args: unknown[]) => unknown) => {
    return (...args: unknown[]): unknown => {
      if (kill.isDead) throw new Killed();
      kill.step += 1;
      if (kill.step < kill.atStep) return call(...args);
      kill.isDead = true;
      const [first, second, ...rest] = args;
      // A write is cut in the middle; anything else was done, and nobody heard of it.
      if (kill.within) call(first, name.startsWith('write') ? String(second).slice(0, 9) : second, ...rest);
      throw new Killed();
    };
  };
  const wrapped = STEPS.map((name) => [name, counted(name, Reflect.get(fs, name))] as const);
  return { ...fs, ...Object.fromEntries(wrapped) };
});

const LINEAGE = new Uint8Array(16).fill(7);
const KEY = freshKey();
const KEYS: SignerKeys = { lineage: LINEAGE, root: rootOf(LINEAGE, KEY), releaseKeys: [KEY] };

function manifestOf(version: number, createdAtMs: number): Uint8Array {
  const totals = { parts: 0, prefixes: 0, others: 0, bytes: 0, catalogue: new Uint8Array(32) };
  const place = { lineage: LINEAGE, epoch: 1, version, previousVersion: version - 1, createdAtMs };
  return encodeManifest({ ...place, ...totals });
}

/** As it begins with what is on disk. */
function started(directory: string): SignerDesk {
  kill.isDead = false;
  kill.atStep = Number.POSITIVE_INFINITY;
  return new SignerDesk(KEYS, readRecord(directory, KEYS), (record) =>
    writeRecord(directory, LINEAGE, record),
  );
}

it.each([
  ['a line more', false, false],
  ['a line more, within a call', true, false],
  ['a file anew', false, true],
  ['a file anew, within a call', true, true],
] as const)('signs one release under a number, wherever it is killed (%s)', (_, within, isLong) => {
  let killed = 0;
  for (let atStep = 1; ; atStep++) {
    const directory = temporaryDirectory();
    const signed = new Map<number, Set<string>>();
    const sign = (desk: SignerDesk, bytes: Uint8Array, version: number): boolean => {
      if (desk.sign(bytes).kind !== 'signed') return false;
      signed.set(version, (signed.get(version) ?? new Set()).add(hexOf(manifestHash(bytes))));
      return true;
    };
    expect(sign(started(directory), manifestOf(1, 0), 1)).toBe(true);
    const [first = ''] = readFileSync(join(directory, 'last'), 'utf8').split('\n');
    if (isLong) writeFileSync(join(directory, 'last'), `${first}\n`.repeat(250));
    const desk = started(directory);
    Object.assign(kill, { step: 0, atStep, within });
    let isKilled = false;
    try {
      sign(desk, manifestOf(2, 0), 2);
    } catch {
      isKilled = kill.isDead;
      expect(isKilled).toBe(true);
    }
    isKilled ||= kill.isDead;
    killed += isKilled ? 1 : 0;
    // Another release first, then the same again, each by a signer that begins with what is there.
    const isOther = sign(started(directory), manifestOf(2, 1), 2);
    const isSame = sign(started(directory), manifestOf(2, 0), 2);
    expect([...signed.values()].map(({ size }) => size)).toEqual([1, 1]);
    expect(isOther).not.toBe(isSame);
    expect(sign(started(directory), manifestOf(1, 0), 1)).toBe(false);
    expect(sign(started(directory), manifestOf(3, 0), 3)).toBe(true);
    if (!isKilled) break;
  }
  // Open, write, flush, close; or open, close, and of another one also the name, and its flush.
  expect(killed).toBeGreaterThanOrEqual(isLong ? 8 : 4);
});
