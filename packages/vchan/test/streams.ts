/** Seeded bytes, and the two loops that every user of a channel writes: send all, receive until. */
import { onTestFinished, vi } from 'vitest';
import { seededWords } from '../../../test/kit/random.mjs';
import { turns } from '../../../test/kit/turns.ts';
import type { Channel } from '../src/channel/channel.ts';

export function seededBytes(seed: number, byteCount: number): Uint8Array {
  const next = seededWords(seed);
  const words = new Uint32Array(Math.ceil(byteCount / 4));
  for (let i = 0; i < words.length; i++) words[i] = next();
  return new Uint8Array(words.buffer, 0, byteCount);
}

/**
 * Writes all of `bytes` in pieces of seeded sizes up to `maxPieceBytes`, waiting whenever the channel is
 * full.
 */
export async function sendAll(channel: Channel, bytes: Uint8Array, maxPieceBytes = 100_000): Promise<void> {
  const next = seededWords(bytes.length + 1);
  let sent = 0;
  while (sent < bytes.length) {
    const piece = bytes.subarray(sent, sent + 1 + (next() % maxPieceBytes));
    const taken = channel.write(piece);
    sent += taken;
    if (taken < piece.length) await channel.waitWritable();
  }
}

/**
 * Reads `byteCount` bytes in reads of seeded sizes, or fewer if the channel is disconnected and empty before.
 */
export async function receive(
  channel: Channel,
  byteCount: number,
  maxReadBytes = 100_000,
): Promise<Uint8Array> {
  const next = seededWords(byteCount + 7);
  const received = new Uint8Array(byteCount);
  let count = 0;
  while (count < byteCount) {
    while (channel.dataReady() === 0 && channel.state === 'connected') await channel.waitReadable();
    const bytes = channel.read(Math.min(byteCount - count, 1 + (next() % maxReadBytes)));
    if (bytes.length === 0) break;
    received.set(bytes, count);
    count += bytes.length;
  }
  return received.subarray(0, count);
}

/** Drops everything until the channel is disconnected and empty; returns how many bytes came. */
export async function drain(channel: Channel): Promise<number> {
  let count = 0;
  for (;;) {
    while (channel.dataReady() === 0 && channel.state === 'connected') await channel.waitReadable();
    const bytes = channel.read(1_048_576);
    if (bytes.length === 0) return count;
    count += bytes.length;
  }
}

/**
 * The shortest time after which a channel gives something up; a shorter timer is for trying again, and no
 * transfer ends without it.
 */
const PATIENCE_LEAST_MS = 500;

/** Until the end of the test nobody's patience ends, unless the test moves the time. */
export function stopTimers(): void {
  const { setTimeout: start, clearTimeout: clear } = globalThis;
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  const { setTimeout: startStopped, clearTimeout: clearStopped } = globalThis;
  const running = new Set<NodeJS.Timeout>();
  vi.spyOn(globalThis, 'setTimeout').mockImplementation((callback, ms, ...args) => {
    if (ms === undefined || ms >= PATIENCE_LEAST_MS) return startStopped(callback, ms, ...args);
    const timer = start(callback, ms, ...args);
    running.add(timer);
    return timer;
  });
  vi.spyOn(globalThis, 'clearTimeout').mockImplementation((timer) => {
    if (typeof timer === 'object' && running.has(timer)) clear(timer);
    else clearStopped(timer);
  });
  onTestFinished(() => void vi.useRealTimers());
}

/** For waiting while timers stand still. */
const { setTimeout: realSetTimeout, clearTimeout: realClearTimeout } = globalThis;
/** Ends a test that hangs, however busy the machine: shorter than the time that a test has. */
const IN_VAIN_MS = 180_000;
/**
 * What happens in this process has happened after so many turns; other processes need a processor, which is
 * theirs then.
 */
const SPUN_TURNS = 100;
const PAUSE_MS = 2;

/** Lets the event loop poll for I/O until `condition` holds. */
export async function until(condition: () => boolean): Promise<void> {
  let inVain = false;
  const timer = realSetTimeout(() => {
    inVain = true;
  }, IN_VAIN_MS);
  for (let turn = 0; !condition(); turn++) {
    if (inVain) throw new Error(`waited in vain for ${condition.toString()}`);
    if (turn < SPUN_TURNS) await turns(1);
    else await new Promise((resolve) => realSetTimeout(resolve, PAUSE_MS));
  }
  realClearTimeout(timer);
}

/**
 * Writes from the endless repetition of `source` until nothing more is taken: not at once, and not after many
 * turns of the event loop either, in which everything local that could move has moved, while whatever else
 * carries the bytes is `stuck`. Returns how many bytes were taken.
 */
export async function fill(
  channel: Channel,
  source: Uint8Array,
  stuck: () => boolean = () => true,
): Promise<number> {
  let taken = 0;
  for (let idleTurns = 0; idleTurns < 50; idleTurns++) {
    for (;;) {
      const count = channel.write(source.subarray(taken % source.length));
      if (count === 0) break;
      taken += count;
      idleTurns = 0;
    }
    await turns(1);
    if (!stuck()) idleTurns = 0;
  }
  return taken;
}

/** Whether `bytes` is the beginning of the endless repetition of `source`. */
export function repeats(bytes: Uint8Array, source: Uint8Array): boolean {
  for (let at = 0; at < bytes.length; at += source.length) {
    const part = bytes.subarray(at, at + source.length);
    if (Buffer.compare(part, source.subarray(0, part.length)) !== 0) return false;
  }
  return true;
}

/** Equality of long byte strings without a comparison per element in the test framework. */
export function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0;
}
