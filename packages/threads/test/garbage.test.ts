import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { Garbage } from '../src/garbage.ts';

const MIB = 1024 * 1024;

/** A thread with so many bytes in arrays, of which a collection leaves some; and how often one was made. */
class Arrays {
  bytes = 0;
  held = 0;
  collections = 0;
  readonly garbage = new Garbage(
    () => this.bytes,
    () => {
      this.bytes = this.held;
      this.collections++;
    },
  );
}

describe('what large arrays leave behind', () => {
  it('is collected once it is more than 4 MiB, and not before', () => {
    const arrays = new Arrays();
    arrays.bytes = 4 * MIB;
    arrays.garbage.sweep();
    expect(arrays.collections).toBe(0);

    arrays.bytes++;
    arrays.garbage.sweep();
    expect(arrays.collections).toBe(1);
  });

  it('does not count what is held, however much', () => {
    const arrays = new Arrays();
    arrays.bytes = arrays.held = 100 * MIB;
    arrays.garbage.sweep();
    for (let i = 0; i < 10; i++) arrays.garbage.sweep();
    expect(arrays.collections).toBe(1);

    arrays.bytes = 105 * MIB;
    arrays.garbage.sweep();
    expect(arrays.collections).toBe(2);
  });

  it('is collected at once where that is asked, and counted from there', () => {
    const arrays = new Arrays();
    arrays.bytes = MIB;
    arrays.garbage.collect();
    expect([arrays.collections, arrays.bytes]).toEqual([1, 0]);

    arrays.bytes = arrays.held = 100 * MIB;
    arrays.garbage.collect();
    arrays.garbage.sweep();
    expect(arrays.collections).toBe(2);
  });

  it('is counted from where others have collected', () => {
    const arrays = new Arrays();
    arrays.bytes = arrays.held = 100 * MIB;
    arrays.garbage.sweep();
    arrays.bytes = 20 * MIB;
    arrays.garbage.sweep();
    arrays.bytes = 25 * MIB;
    arrays.garbage.sweep();
    expect(arrays.collections).toBe(2);
  });

  it('is swept once a while after it was asked for, however often', async () => {
    vi.useFakeTimers();
    onTestFinished(() => void vi.useRealTimers());
    const arrays = new Arrays();
    arrays.bytes = 100 * MIB;
    for (let i = 0; i < 3; i++) arrays.garbage.sweepSoon();
    expect(arrays.collections).toBe(0);
    vi.runAllTimers();
    expect(arrays.collections).toBe(1);
    arrays.bytes = 200 * MIB;
    arrays.garbage.sweepSoon();
    vi.runAllTimers();
    expect(arrays.collections).toBe(2);
  });

  it('is given back by V8 itself, in this process, before the sweep returns', () => {
    const garbage = new Garbage();
    const before = process.memoryUsage().arrayBuffers;
    for (let i = 0; i < 4; i++) {
      for (let j = 0; j < 4; j++) new Uint8Array(16 * MIB).fill(1);
      expect(process.memoryUsage().arrayBuffers - before).toBeGreaterThanOrEqual(16 * MIB); // V8 may have taken some by itself

      garbage.sweep();
      expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(MIB);
    }
  });

  it('is collected whichever thread made it', async () => {
    const garbage = new Garbage();
    const make = `const bytes = new Uint8Array(${16 * MIB});
      require('node:worker_threads').parentPort.postMessage(bytes, [bytes.buffer]);`;
    const worker = new Worker(make, { eval: true });
    const before = process.memoryUsage().external;
    const exit = once(worker, 'exit'); // it may come right behind the message
    await once(worker, 'message');
    await exit;
    expect(process.memoryUsage().external - before).toBeGreaterThanOrEqual(16 * MIB);

    garbage.sweep();
    expect(process.memoryUsage().external - before).toBeLessThan(MIB);
  });
});
