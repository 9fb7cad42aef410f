/**
 * What a channel is, and the bounded pieces every implementation is made of.
 *
 * A channel is a two-way ordered byte stream with bounded buffers and non-blocking reads and writes, modelled on
 * Xen's libvchan as Qubes OS uses it: a server side that waits for one client, no half-close, and received bytes that
 * outlive the peer. Whoever writes programs against this interface runs over memory, a Unix socket or a real vchan
 * alike. Backpressure is the channel's own business: a full buffer takes nothing more.
 *
 * ```
 *   waiting ──peer arrives──▶ connected ──close(), peer gone, error──▶ disconnected
 *      └────────────────────────close()──────────────────────────────────▲
 * ```
 */

import type { Endpoint } from './endpoint.ts';

// Our choice.

/** Chunks shorter than this are copied together, so that a queue of one-byte writes is not a queue of objects. */
const SMALL_CHUNK_BYTES = 2_048;
/** What small chunks are copied into: one allocation for at least eight of them. */
const SLAB_BYTES = 16_384;

export type ChannelRole = 'server' | 'client';
export type ChannelState = 'waiting' | 'connected' | 'disconnected';

/** Who is at the other end, as far as the transport honestly knows. */
export interface PeerIdentity {
  /** `memory`, or the endpoint's URL; on the server side followed by `#` and the ordinal of the connection. For logs only. */
  readonly name: string;
  /** The public key, in Z85, of which it proved to have the secret: of a client of a ZeroMQ listener with keys. */
  readonly curveKey?: string;
  /** The qube that qrexec says it is: of a client that qrexec brought. */
  readonly qube?: string;
}

/**
 * One end of a bounded, ordered, two-way byte stream.
 *
 * A reader loops "while nothing is ready and the state is not `disconnected`: await waitReadable()", a writer "write
 * the rest; if some is left: await waitWritable()". Both waits are level-triggered: they look at the state when called
 * and not at past events, so no wake-up can be lost; with several waiters, each looks again after waking.
 */
export interface Channel {
  readonly role: ChannelRole;
  /** Only ever moves from left to right in the picture above. A transport may learn late that its peer has gone. */
  readonly state: ChannelState;
  readonly peer: PeerIdentity;
  /** Upper bound of `dataReady()`. */
  readonly readCapacityBytes: number;
  /** Upper bound of `bufferSpace()`. */
  readonly writeCapacityBytes: number;
  /** Why the channel is disconnected, in words for a log; `undefined` until it is. */
  readonly closeReason: string | undefined;

  /** Bytes that can be read now; still so after the peer disconnected, 0 after our own `close()`. */
  dataReady(): number;

  /** Bytes that `write` would take now; 0 unless connected. */
  bufferSpace(): number;

  /**
   * Takes up to `maxBytes` (a non-negative integer) out of the buffer without blocking: at least one byte if any is
   * ready and `maxBytes` is not 0, possibly fewer than `dataReady()`, because it hands out a received piece as it lies.
   * The caller owns the bytes; they may be a view into a larger ArrayBuffer, so copy them before transferring it.
   * @throws RangeError if `maxBytes` is no non-negative integer.
   */
  read(maxBytes: number): Uint8Array;

  /**
   * Copies as much of `bytes` as fits and returns how many bytes that was, 0 included. Does not block; `bytes` is the
   * caller's again on return.
   * @throws ChannelClosedError once disconnected.
   */
  write(bytes: Uint8Array): number;

  /** Resolves when `dataReady() > 0` or the channel is disconnected, at once if so already. Never rejects. */
  waitReadable(): Promise<void>;

  /** Resolves when `bufferSpace() > 0` or the channel is disconnected, at once if so already. Never rejects. */
  waitWritable(): Promise<void>;

  /**
   * Disconnects both ways; there is no half-close. Bytes accepted by `write` before still reach the peer if it keeps
   * reading; bytes received and not read are dropped. May be called again, to no effect.
   */
  close(): void;
}

/** Hands out the server ends of channels as clients arrive. */
export interface Listener {
  readonly endpoint: Endpoint;
  /**
   * Resolves with the next channel, in order of arrival; several calls may wait, first come first served.
   * @throws ChannelClosedError after `close()`, also if it was already waiting.
   */
  accept(): Promise<Channel>;
  /** Stops listening and closes the channels nobody accepted; accepted ones live on. May be called again. */
  close(): Promise<void>;
}

/** The channel or listener is no longer usable: make a new one. */
export class ChannelClosedError extends Error {
  override readonly name = 'ChannelClosedError';
  readonly code: 'channel_closed' | 'listener_closed';

  constructor(code: ChannelClosedError['code'], message: string) {
    super(message);
    this.code = code;
  }
}

export type ChannelConnectErrorCode =
  | 'nobody_listens'
  | 'no_permission'
  | 'busy'
  | 'aborted'
  | 'timeout'
  | 'connect_failed';

/** No connection came about: try again later, or start the other side; the message says which. */
export class ChannelConnectError extends Error {
  override readonly name = 'ChannelConnectError';
  readonly code: ChannelConnectErrorCode;

  constructor(code: ChannelConnectErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

/** The error of a write to a disconnected channel; `reason` is the channel's `closeReason`. */
export function channelClosed(peer: PeerIdentity, reason: string | undefined): ChannelClosedError {
  const why = reason ?? 'disconnected';
  return new ChannelClosedError('channel_closed', `channel to ${peer.name} takes no more bytes: ${why}`);
}

/** @throws RangeError if `maxBytes` is no non-negative integer. */
export function checkMaxBytes(maxBytes: number): void {
  if (!Number.isSafeInteger(maxBytes) || maxBytes < 0) {
    throw new RangeError(`read of ${maxBytes} bytes: must be a non-negative integer`);
  }
}

/** The promise that all waiters of one condition share until it is next met. */
export class WakeUp {
  #waiting: Promise<void> | undefined;
  #resolve: (() => void) | undefined;

  /** A promise of the next `wake()`. The caller has just seen, in this same turn, that the condition is not met. */
  wait(): Promise<void> {
    this.#waiting ??= new Promise((resolve) => {
      this.#resolve = resolve;
    });
    return this.#waiting;
  }

  wake(): void {
    this.#resolve?.();
    this.#waiting = undefined;
    this.#resolve = undefined;
  }
}

interface Chunk {
  bytes: Uint8Array;
  next: Chunk | undefined;
}

const NO_BYTES = new Uint8Array(0);

/**
 * A queue of received bytes as a list of chunks, so that a reader gets them without another copy. The queue counts,
 * its owner bounds. No byte handed out is ever written again.
 */
export class ChunkQueue {
  #first: Chunk | undefined;
  #last: Chunk | undefined;
  #byteCount = 0;
  /** Where small chunks go; `[0, #slabUsed)` has been appended, perhaps also handed out. */
  #slab: Uint8Array = NO_BYTES;
  #slabUsed = 0;

  get byteCount(): number {
    return this.#byteCount;
  }

  /** Appends bytes that the queue owns from now on; nobody else may write to them. */
  appendOwned(bytes: Uint8Array): void {
    if (bytes.length === 0) return;
    if (bytes.length < SMALL_CHUNK_BYTES) this.#appendSmall(bytes);
    else this.#link(bytes);
  }

  /** Appends a copy of `bytes`. */
  appendCopy(bytes: Uint8Array): void {
    if (bytes.length === 0) return;
    if (bytes.length < SMALL_CHUNK_BYTES) this.#appendSmall(bytes);
    // Uint8Array.from and slice of a Buffer would give a Buffer, and its slice() is a view: a trap for the reader.
    else this.#link(new Uint8Array(bytes));
  }

  /** Takes 1..`maxBytes` bytes, all from the first chunk; none if the queue is empty or `maxBytes` is 0. */
  take(maxBytes: number): Uint8Array {
    const first = this.#first;
    if (first === undefined || maxBytes === 0) return NO_BYTES;
    const chunk = first.bytes;
    if (chunk.length <= maxBytes) {
      this.#first = first.next;
      if (this.#first === undefined) this.#last = undefined;
      this.#byteCount -= chunk.length;
      return chunk;
    }
    first.bytes = chunk.subarray(maxBytes);
    this.#byteCount -= maxBytes;
    return chunk.subarray(0, maxBytes);
  }

  clear(): void {
    this.#first = undefined;
    this.#last = undefined;
    this.#byteCount = 0;
    this.#slab = NO_BYTES;
    this.#slabUsed = 0;
  }

  #link(bytes: Uint8Array): void {
    const chunk: Chunk = { bytes, next: undefined };
    if (this.#last === undefined) this.#first = chunk;
    else this.#last.next = chunk;
    this.#last = chunk;
    this.#byteCount += bytes.length;
  }

  #appendSmall(bytes: Uint8Array): void {
    if (this.#slabUsed + bytes.length > this.#slab.length) {
      this.#slab = new Uint8Array(SLAB_BYTES);
      this.#slabUsed = 0;
    }
    const begin = this.#slabUsed;
    this.#slab.set(bytes, begin);
    this.#slabUsed += bytes.length;
    const last = this.#last;
    // Within a slab the last chunk ends where the slab's free part begins: nothing else is appended to a slab.
    if (last?.bytes.buffer === this.#slab.buffer) {
      last.bytes = this.#slab.subarray(last.bytes.byteOffset, this.#slabUsed);
      this.#byteCount += bytes.length;
    } else {
      this.#link(this.#slab.subarray(begin, this.#slabUsed));
    }
  }
}

/**
 * The bytes accepted and not yet taken by the transport, in one circular buffer of fixed size.
 *
 * ```
 *   |......[head ── pending ── head + pending)......|      or wrapped:  |──)..........[head ──|
 * ```
 */
export class WriteRing {
  readonly capacityBytes: number;
  /** Made at the first write: an idle channel costs no buffer. */
  #ring: Uint8Array = NO_BYTES;
  #head = 0;
  #pendingBytes = 0;

  constructor(capacityBytes: number) {
    this.capacityBytes = capacityBytes;
  }

  get pendingBytes(): number {
    return this.#pendingBytes;
  }

  get spaceBytes(): number {
    return this.capacityBytes - this.#pendingBytes;
  }

  /** Copies what fits of `bytes` and returns how many bytes that was. */
  append(bytes: Uint8Array): number {
    const count = Math.min(bytes.length, this.spaceBytes);
    if (count === 0) return 0;
    if (this.#ring.length === 0) this.#ring = new Uint8Array(this.capacityBytes);
    const tail = (this.#head + this.#pendingBytes) % this.capacityBytes;
    const beforeWrap = Math.min(count, this.capacityBytes - tail);
    this.#ring.set(bytes.subarray(0, beforeWrap), tail);
    if (beforeWrap < count) this.#ring.set(bytes.subarray(beforeWrap, count), 0);
    this.#pendingBytes += count;
    return count;
  }

  /** The oldest pending bytes that lie in one piece, at most `maxBytes`; a view, valid until they are consumed. */
  peek(maxBytes: number): Uint8Array {
    const end = Math.min(this.#head + Math.min(this.#pendingBytes, maxBytes), this.capacityBytes);
    return this.#ring.subarray(this.#head, end);
  }

  /** Frees the oldest `byteCount` pending bytes. */
  consume(byteCount: number): void {
    this.#head = (this.#head + byteCount) % this.capacityBytes;
    this.#pendingBytes -= byteCount;
  }

  /** Drops what is pending, and the buffer. A view given out by `peek` keeps its bytes. */
  clear(): void {
    this.#ring = NO_BYTES;
    this.#head = 0;
    this.#pendingBytes = 0;
  }
}

interface AcceptWaiter {
  readonly resolve: (channel: Channel) => void;
  readonly reject: (error: ChannelClosedError) => void;
}

/** Matches arriving channels with `accept()` calls; holds at most `backlog` channels that nobody has accepted. */
export class AcceptQueue {
  readonly #listenerName: string;
  readonly #backlog: number;
  readonly #channels: Channel[] = [];
  readonly #waiters: AcceptWaiter[] = [];
  #closed = false;

  /** @throws RangeError if `backlog` is no positive integer. */
  constructor(listenerName: string, backlog: number) {
    if (!Number.isSafeInteger(backlog) || backlog < 1) {
      throw new RangeError(`backlog of ${backlog} channels: must be a positive integer`);
    }
    this.#listenerName = listenerName;
    this.#backlog = backlog;
  }

  get full(): boolean {
    return this.#closed || this.#channels.length >= this.#backlog;
  }

  /** Takes over a channel. Call only while not `full`. */
  add(channel: Channel): void {
    const waiter = this.#waiters.shift();
    if (waiter === undefined) this.#channels.push(channel);
    else waiter.resolve(channel);
  }

  next(): Promise<Channel> {
    if (this.#closed) return Promise.reject(this.#closedError());
    const channel = this.#channels.shift();
    if (channel !== undefined) return Promise.resolve(channel);
    return new Promise((resolve, reject) => {
      this.#waiters.push({ resolve, reject });
    });
  }

  /** Rejects whoever waits, closes the channels nobody accepted. */
  close(): void {
    this.#closed = true;
    for (const waiter of this.#waiters.splice(0)) waiter.reject(this.#closedError());
    for (const channel of this.#channels.splice(0)) channel.close();
  }

  #closedError(): ChannelClosedError {
    return new ChannelClosedError('listener_closed', `listener on ${this.#listenerName} is closed`);
  }
}
