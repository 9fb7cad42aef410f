/**
 * A bounded in-memory byte stream with two ends, to test connections on: each write and read is copied, as in
 * a vchan ring.
 */

import type { ByteStream } from '../src/peer/connection.ts';

class Pipe {
  private readonly ring: Uint8Array;
  private readAt = 0;
  fill = 0;
  private waiting: (() => void)[] = [];

  constructor(capacity: number) {
    this.ring = new Uint8Array(capacity);
  }

  get space(): number {
    return this.ring.length - this.fill;
  }

  write(bytes: Uint8Array): number {
    const count = Math.min(bytes.length, this.space);
    const at = (this.readAt + this.fill) % this.ring.length;
    const first = Math.min(count, this.ring.length - at);
    this.ring.set(bytes.subarray(0, first), at);
    this.ring.set(bytes.subarray(first, count), 0);
    this.fill += count;
    if (count > 0) this.wake();
    return count;
  }

  read(maxBytes: number): Uint8Array {
    const count = Math.min(maxBytes, this.fill, this.ring.length - this.readAt);
    const bytes = this.ring.slice(this.readAt, this.readAt + count);
    this.readAt = (this.readAt + count) % this.ring.length;
    this.fill -= count;
    if (count > 0) this.wake();
    return bytes;
  }

  wait(): Promise<void> {
    return new Promise((resolve) => {
      this.waiting.push(resolve);
    });
  }

  wake(): void {
    const waiting = this.waiting;
    this.waiting = [];
    for (const resolve of waiting) resolve();
  }
}

export class DuplexEnd implements ByteStream {
  private readonly incoming: Pipe;
  private readonly outgoing: Pipe;
  private readonly link: { open: boolean };

  constructor(incoming: Pipe, outgoing: Pipe, link: { open: boolean }) {
    this.incoming = incoming;
    this.outgoing = outgoing;
    this.link = link;
  }

  get state(): 'connected' | 'disconnected' {
    return this.link.open ? 'connected' : 'disconnected';
  }

  dataReady(): number {
    return this.incoming.fill;
  }

  bufferSpace(): number {
    return this.link.open ? this.outgoing.space : 0;
  }

  read(maxBytes: number): Uint8Array {
    return this.incoming.read(maxBytes);
  }

  write(bytes: Uint8Array): number {
    if (!this.link.open) throw new Error('written after the end');
    return this.outgoing.write(bytes);
  }

  async waitReadable(): Promise<void> {
    while (this.dataReady() === 0 && this.link.open) await this.incoming.wait();
  }

  async waitWritable(): Promise<void> {
    while (this.bufferSpace() === 0 && this.link.open) await this.outgoing.wait();
  }

  close(): void {
    this.link.open = false;
    this.incoming.wake();
    this.outgoing.wake();
  }
}

/** Two ends with so many bytes of buffer each way. */
export function duplex(capacity: number): readonly [DuplexEnd, DuplexEnd] {
  const there = new Pipe(capacity);
  const back = new Pipe(capacity);
  const link = { open: true };
  return [new DuplexEnd(back, there, link), new DuplexEnd(there, back, link)];
}
