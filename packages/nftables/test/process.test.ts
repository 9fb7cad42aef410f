/** Appliers that end at their start, one after the other: pauses, and what is said of them. */

import { afterEach, describe, expect, it, vi } from 'vitest';
import { ApplierClient, ApplierError } from '../src/apply/client.ts';
import { RESPAWN_LONGEST_MS, RESPAWN_MS } from '../src/limits.ts';

const ENDS = { program: process.execPath, args: ['-e', '0'] };

afterEach(() => {
  vi.restoreAllMocks();
});

describe('an applier that ends at its start each time', () => {
  it('is started again after pauses that double up to the longest, and is said to be gone once', async () => {
    const timers = vi.spyOn(globalThis, 'setTimeout');
    const errors: string[] = [];
    const client = clientOf(errors);
    const pauses = (): readonly unknown[] => timers.mock.calls.map(([, ms]) => ms).filter(isPause);
    await expect.poll(() => pauses().length, { timeout: 20_000 }).toBeGreaterThanOrEqual(5);
    await client.close();
    expect(pauses().slice(0, 5)).toEqual([2, 4, 8, 8, 8].map((times) => times * RESPAWN_MS));
    expect(errors).toEqual(['the nftables applier is gone: it ended with 0; the rules stay']);
  });

  it('fails what it is asked, by ApplierError', async () => {
    const client = clientOf([]);
    await expect(client.ask({ kind: 'discard' }, 'applied')).rejects.toThrow(ApplierError);
    await client.close();
  });
});

function clientOf(errors: string[]): ApplierClient {
  const ignore = (): void => undefined;
  return new ApplierClient(ENDS, {
    onRestart: ignore,
    onNotice: ignore,
    onUnpaired: ignore,
    onCaptured: ignore,
    onError: (text) => errors.push(text),
    onText: ignore,
    onLost: ignore,
  });
}

function isPause(ms: unknown): boolean {
  return typeof ms === 'number' && ms % RESPAWN_MS === 0 && ms > RESPAWN_MS && ms <= RESPAWN_LONGEST_MS;
}
