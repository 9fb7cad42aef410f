/** The clocks and the random source of this machine, used by default. */

import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { uptime } from 'node:os';
import { NONCE_BYTES } from '@rulecast/protocol';
import type { Clocks } from './clock.ts';

/** Milliseconds since 1970. */
export const systemWallMs = (): number => Date.now();

/** In [0, 1). */
export const systemRandom = (): number => Math.random();

/** Random bytes that cannot be predicted. */
export const systemNonce = (): Uint8Array => new Uint8Array(randomBytes(NONCE_BYTES));

const BOOT_ID_FILE = '/proc/sys/kernel/random/boot_id';

/** Those of this machine; the wall clock is handed in. */
export function systemClocks(wallMs: () => number): Clocks {
  return { wallMs, bootMs: () => uptime() * 1000, bootId: readBootId() };
}

function readBootId(): string | undefined {
  try {
    return readFileSync(BOOT_ID_FILE, 'utf8').trim();
  } catch {
    return undefined; // no Linux, or a container without /proc
  }
}
