/**
 * The channel over streams of bytes that the kernel carries: one two-way socket, or a pipe for each
 * direction.
 *
 * ```
 *   write() ─copy─▶ WriteRing ─output.write, one piece at a time─▶ kernel ─'data'─▶ ChunkQueue ─no copy─▶ read()
 *                   capacity        freed when the kernel has it              pauses the input at capacity
 * ```
 * Beyond the two capacities a direction holds what the kernel takes (Linux: 212,992 bytes in a Unix socket,
 * 65,536 in a pipe, unless configured) and `SOCKET_SLACK_BYTES`. A paused input is not looked at: while our
 * read buffer is full, the peer's departure shows only at the next write. A write that finds the peer dead
 * closes a socket, and with it what the kernel still held for us; a peer that closes in an orderly way
 * therefore goes on taking our bytes for a while.
 */
import type { Readable, Writable } from 'node:stream';
import {
  type Channel,
  type ChannelRole,
  type ChannelState,
  channelClosed,
  checkMaxBytes,
  type PeerIdentity,
} from '../channel/channel.ts';
import { ChunkQueue } from '../channel/chunk-queue.ts';
import { WakeUp } from '../channel/wake-up.ts';
import { WriteRing } from '../channel/write-ring.ts';

// Fixed by Node.

/**
 * The most that the receiving side holds beyond its capacity: one read of up to 64 KiB that crossed it, and
 * in the stream below up to its high-water mark (at most 64 KiB) and one more read.
 */
export const SOCKET_SLACK_BYTES = 3 * 65_536;

// Our choice.

/** Pieces large enough that a system call costs little beside its copy, small enough to free space early. */
const MAX_PIECE_BYTES = 131_072;
/**
 * How long a closed channel waits for its peer to receive the rest and close too; a stuck peer costs no more.
 */
export const LINGER_MS = 5_000;
/**
 * A peer that has closed the pipe it reads from is about to close the other one, which may still hold its
 * last bytes.
 */
const LAST_BYTES_MS = 1_000;

/** The byte streams of a channel; for a socket or vchan, the same one twice. Neither has listeners yet. */
export interface Streams {
  readonly input: Readable;
  readonly output: Writable;
}

export interface StreamHooks {
  /** Called once, when the channel is disconnected, by whichever side. */
  readonly onDisconnect?: () => void;
  /** Tells, at once or a little later, why the input has ended; without it, `closed by the peer`. */
  readonly explainEnd?: (tell: (end: StreamEnd) => void) => void;
}

/** How the peer ended the stream. */
export interface StreamEnd {
  readonly reason: string;
  readonly isForbidden: boolean;
}

export class StreamChannel implements Channel {
  readonly role: ChannelRole;
  readonly peer: PeerIdentity;
  readonly readCapacityBytes: number;
  readonly writeCapacityBytes: number;
  readonly #input: Readable;
  readonly #output: Writable;
  readonly #hooks: StreamHooks;
  readonly #received = new ChunkQueue();
  readonly #unsent: WriteRing;
  readonly #readable = new WakeUp();
  readonly #writable = new WakeUp();
  #closeReason: string | undefined;
  #isForbidden = false;
  /** We closed first: received bytes are dropped, unsent ones still go out. */
  #closedHere = false;
  /** A piece of `#unsent` is with the output, which must not be given another before it reports. */
  #sending = false;
  /** In the next turn the buffer of `#unsent` goes, unless something is written before. */
  #isResting = false;
  /** The input has ended, and why is not known yet. */
  #explaining = false;
  /**
   * Destroys the streams of a closed channel, or stops waiting for the last bytes of one whose output is
   * gone.
   */
  #timer: NodeJS.Timeout | undefined;

  /** Takes over connected streams, in the turn in which they were connected. */
  constructor(
    role: ChannelRole,
    peer: PeerIdentity,
    streams: Streams,
    bufferBytes: number,
    hooks: StreamHooks = {},
  ) {
    this.role = role;
    this.peer = peer;
    this.readCapacityBytes = bufferBytes;
    this.writeCapacityBytes = bufferBytes;
    this.#unsent = new WriteRing(bufferBytes);
    this.#input = streams.input;
    this.#output = streams.output;
    this.#hooks = hooks;
    const { input, output } = streams;
    input.on('data', (chunk) => this.#onData(chunk));
    input.on('end', () => this.#onEnd());
    input.on('error', (error) => this.#onGone(error.message));
    input.on('close', () => {
      if (!this.#explaining) this.#onGone('closed by the peer');
    });
    if (Object.is(output, input)) return;
    output.on('error', (error) => this.#onOutputLost(error.message));
    output.on('close', () => this.#onOutputLost('closed by the peer'));
  }

  get state(): ChannelState {
    return this.#closeReason === undefined ? 'connected' : 'disconnected';
  }

  get closeReason(): string | undefined {
    return this.#closeReason;
  }

  get isForbidden(): boolean {
    return this.#isForbidden;
  }

  dataReady(): number {
    return Math.min(this.#received.byteCount, this.readCapacityBytes);
  }

  bufferSpace(): number {
    return this.#closeReason === undefined ? this.#unsent.spaceBytes : 0;
  }

  read(maxBytes: number): Uint8Array {
    checkMaxBytes(maxBytes);
    const bytes = this.#received.take(Math.min(maxBytes, this.readCapacityBytes));
    if (this.#input.isPaused() && this.#received.byteCount < this.readCapacityBytes) this.#input.resume();
    return bytes;
  }

  write(bytes: Uint8Array): number {
    if (this.#closeReason !== undefined) throw channelClosed(this.peer, this.#closeReason);
    const taken = this.#unsent.append(bytes);
    if (!this.#sending) this.#send();
    return taken;
  }

  waitReadable(): Promise<void> {
    if (this.#received.byteCount > 0 || this.#closeReason !== undefined) return Promise.resolve();
    return this.#readable.wait();
  }

  waitWritable(): Promise<void> {
    if (this.#unsent.spaceBytes > 0 || this.#closeReason !== undefined) return Promise.resolve();
    return this.#writable.wait();
  }

  close(): void {
    this.#received.clear();
    if (this.#closeReason !== undefined) return;
    this.#closedHere = true;
    this.#disconnect('closed here');
    // The peer must not die of a broken pipe before it has read our last bytes, so its own go to nowhere
    // meanwhile.
    this.#input.resume();
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#destroy(), LINGER_MS);
    if (!this.#sending) this.#send();
  }

  #onData(chunk: Buffer): void {
    if (this.#closedHere) return;
    // The stream makes a fresh buffer for each read and lets go of it; a plain view hides Buffer's own
    // slice().
    this.#received.appendOwned(new Uint8Array(chunk.buffer, chunk.byteOffset, chunk.byteLength));
    if (this.#received.byteCount >= this.readCapacityBytes) this.#input.pause();
    this.#readable.wake();
  }

  #onEnd(): void {
    // A peer that sends no more does not read either: there is no half-close.
    this.#output.destroy();
    const { explainEnd } = this.#hooks;
    this.#explaining = explainEnd !== undefined;
    if (explainEnd === undefined) this.#onGone('closed by the peer');
    else
      explainEnd(({ reason, isForbidden }) => {
        this.#isForbidden = isForbidden;
        this.#onGone(reason);
      });
  }

  #onGone(reason: string): void {
    this.#destroy();
    this.#unsent.clear();
    if (this.#closeReason === undefined) this.#disconnect(reason);
  }

  /** Only with two streams: the peer reads no more. Its last bytes are still worth waiting for. */
  #onOutputLost(reason: string): void {
    if (this.#closedHere || this.#input.destroyed || this.#input.readableEnded) return;
    this.#timer ??= setTimeout(() => this.#onGone(reason), LAST_BYTES_MS);
  }

  #disconnect(reason: string): void {
    this.#closeReason = reason;
    this.#readable.wake();
    this.#writable.wake();
    this.#hooks.onDisconnect?.();
  }

  #destroy(): void {
    clearTimeout(this.#timer);
    this.#input.destroy();
    this.#output.destroy();
  }

  #send(): void {
    const piece = this.#unsent.peek(MAX_PIECE_BYTES);
    if (piece.length === 0) {
      if (this.#closedHere) this.#output.end();
      return;
    }
    this.#sending = true;
    this.#output.write(piece, (error) => {
      // On an error the stream reports 'error' or 'close' as well, which cleans up; until then nothing more
      // is sent.
      if (error) return;
      this.#sending = false;
      if (this.#unsent.pendingBytes === 0) return;
      this.#unsent.consume(piece.length);
      this.#send();
      this.#writable.wake();
      if (this.#unsent.pendingBytes === 0) this.#rest();
    });
  }

  /** A stream that goes on fills the buffer again in this turn. */
  #rest(): void {
    if (this.#isResting) return;
    this.#isResting = true;
    setImmediate(() => {
      this.#isResting = false;
      this.#unsent.rest();
    });
  }
}
