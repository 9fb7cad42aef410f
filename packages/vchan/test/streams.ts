/** Seeded bytes, and the two loops that every user of a channel writes: send all, receive until. */
import type { Channel } from '../src/channel.ts';

/** An endless sequence of unsigned 32-bit words (xorshift32); the same seed, not 0, gives the same words. */
function seededWords(seed: number): () => number {
  let word = seed;
  return () => {
    word ^= word << 13;
    word ^= word >>> 17;
    word ^= word << 5;
    return word >>> 0;
  };
}

export function seededBytes(seed: number, byteCount: number): Uint8Array {
  const next = seededWords(seed);
  const words = new Uint32Array(Math.ceil(byteCount / 4));
  for (let i = 0; i < words.length; i++) words[i] = next();
  return new Uint8Array(words.buffer, 0, byteCount);
}

/** Writes all of `bytes` in pieces of seeded sizes up to `maxPieceBytes`, waiting whenever the channel is full. */
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

/** Reads `byteCount` bytes in reads of seeded sizes, or fewer if the channel is disconnected and empty before. */
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

/** Lets the event loop poll for I/O `count` times. */
export async function turns(count: number): Promise<void> {
  for (let i = 0; i < count; i++) await new Promise((resolve) => setImmediate(resolve));
}

/** Lets the event loop poll for I/O until `condition` holds, or fails after ten seconds. */
export async function until(condition: () => boolean): Promise<void> {
  const deadlineMs = performance.now() + 10_000;
  while (!condition()) {
    if (performance.now() > deadlineMs) throw new Error(`waited in vain for ${condition.toString()}`);
    await turns(1);
  }
}

/**
 * Writes from the endless repetition of `source` until nothing more is taken: not at once, and not after many turns of
 * the event loop either, in which everything local that could move has moved; `idleMs` more for what moves in another
 * process. Returns how many bytes were taken.
 */
export async function fill(channel: Channel, source: Uint8Array, idleMs = 0): Promise<number> {
  let taken = 0;
  let movedMs = performance.now();
  for (let idleTurns = 0; idleTurns < 50 || performance.now() < movedMs + idleMs; idleTurns++) {
    for (;;) {
      const count = channel.write(source.subarray(taken % source.length));
      if (count === 0) break;
      taken += count;
      idleTurns = 0;
      movedMs = performance.now();
    }
    await turns(1);
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
