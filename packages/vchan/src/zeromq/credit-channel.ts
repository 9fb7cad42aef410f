/**
 * A channel over a transport of messages, bounded by credit: a byte may be written only if the other end has
 * room for it.
 *
 * ```
 *   write() ─costs credit─▶ WriteRing ─FLOW, one at a time─▶ transport ─FLOW─▶ ChunkQueue ─▶ read()
 *      ▲                                                                                       │
 *      └───────────────────────── credit, in the next FLOW the other way ◀─────────────────────┘
 * ```
 * Closing takes two messages, because a transport that is shut with unread bytes in it may throw away what it
 * has yet to send:
 *
 * ```
 *   close() ── FLOW …, CLOSE ──▶ disconnected; reads on, answers ── CLOSE ──▶ end
 * ```
 * At any time credit + bytes on their way + bytes ready + bytes read and not granted back = the smaller of
 * both ends' buffers. So a writer's space says nothing about the transport's queues, and everything it has
 * accepted can be sent at once, also after `close`.
 */
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
import {
  CLOSE_CODE,
  type CloseCode,
  encodeClose,
  encodeFlow,
  MAX_PIECE_BYTES,
  type ZmqMessage,
} from './message.ts';

/** The way of a channel to its peer. */
export interface MessageLink {
  /**
   * Sends one message after all earlier ones, and owns it. Resolves when the transport has it, with `false`
   * if the peer is gone or `end` was called; called again only then. Never rejects.
   */
  send(message: Uint8Array): Promise<boolean>;
  /**
   * Called once, last: nothing more is sent, and received messages are ignored. The peer has received
   * everything, or is gone or stuck; then a message may still wait in `send`, which gives it up.
   */
  end(): void;
}

// Our choice.

/**
 * How long a closed channel waits for its peer to receive the next message, and then to answer; a stuck peer
 * costs no more.
 */
const LINGER_MS = 5_000;

export class CreditChannel implements Channel {
  readonly role: ChannelRole;
  readonly peer: PeerIdentity;
  readonly readCapacityBytes: number;
  readonly writeCapacityBytes: number;
  readonly #link: MessageLink;
  readonly #received = new ChunkQueue();
  /** Accepted and not yet in a message; has room for all that credit allows. */
  readonly #unsent: WriteRing;
  readonly #readable = new WakeUp();
  readonly #writable = new WakeUp();
  /** Bytes that may still be written. */
  #creditBytes: number;
  /** In messages that were sent, and not granted back: no grant may be larger. */
  #awayBytes = 0;
  /** Bytes that the peer may still send us. */
  #grantedBytes: number;
  /** Read by our reader, and not granted to the peer yet. */
  #owedBytes = 0;
  #closeReason: string | undefined;
  #closeCode: CloseCode | undefined;
  #grantTimer: NodeJS.Immediate | undefined;
  /** Runs from our `close()` to the peer's CLOSE; restarts whenever the transport accepts a message. */
  #lingerTimer: NodeJS.Timeout | undefined;
  #pumping = false;
  /** Whether the peer's CLOSE has come. */
  #peerDone = false;
  #ended = false;

  constructor(
    role: ChannelRole,
    peer: PeerIdentity,
    link: MessageLink,
    readCapacityBytes: number,
    peerCapacityBytes: number,
  ) {
    this.role = role;
    this.peer = peer;
    this.#link = link;
    this.readCapacityBytes = readCapacityBytes;
    // A write buffer of the peer's size takes memory here, so our own capacity limits it.
    this.writeCapacityBytes = Math.min(peerCapacityBytes, readCapacityBytes);
    this.#unsent = new WriteRing(this.writeCapacityBytes);
    this.#creditBytes = this.writeCapacityBytes;
    this.#grantedBytes = readCapacityBytes;
  }

  get state(): ChannelState {
    return this.#closeReason === undefined ? 'connected' : 'disconnected';
  }

  get closeReason(): string | undefined {
    return this.#closeReason;
  }

  dataReady(): number {
    return this.#received.byteCount;
  }

  bufferSpace(): number {
    return this.#closeReason === undefined ? this.#creditBytes : 0;
  }

  read(maxBytes: number): Uint8Array {
    checkMaxBytes(maxBytes);
    const bytes = this.#received.take(maxBytes);
    if (bytes.length > 0 && this.#closeReason === undefined) this.#owe(bytes.length);
    return bytes;
  }

  write(bytes: Uint8Array): number {
    if (this.#closeReason !== undefined) throw channelClosed(this.peer, this.#closeReason);
    const taken = this.#unsent.append(bytes.subarray(0, this.#creditBytes));
    this.#creditBytes -= taken;
    if (taken > 0) this.#startPump();
    return taken;
  }

  waitReadable(): Promise<void> {
    if (this.#received.byteCount > 0 || this.#closeReason !== undefined) return Promise.resolve();
    return this.#readable.wait();
  }

  waitWritable(): Promise<void> {
    if (this.#creditBytes > 0 || this.#closeReason !== undefined) return Promise.resolve();
    return this.#writable.wait();
  }

  close(): void {
    this.#received.clear();
    if (this.#closeReason !== undefined) return;
    this.#hangUp(CLOSE_CODE.closed, 'closed here');
  }

  /**
   * Takes a message from the peer, or `undefined` for something that is none; a peer that breaks the rules is
   * told so.
   */
  receive(message: ZmqMessage | undefined): void {
    if (message?.kind === 'close') {
      this.#onClose(message.code);
      return;
    }
    if (this.#closeReason !== undefined) return;
    if (message?.kind !== 'flow') {
      this.#refuse('the peer sent a malformed message');
      return;
    }
    const { grantBytes, bytes } = message;
    if (bytes.length > this.#grantedBytes || grantBytes > this.#awayBytes) {
      this.#refuse(
        bytes.length > this.#grantedBytes ? 'the peer exceeded its credit' : 'the peer granted too much',
      );
      return;
    }
    if (bytes.length > 0) {
      this.#grantedBytes -= bytes.length;
      this.#received.appendOwned(new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.length));
      this.#readable.wake();
    }
    if (grantBytes > 0) {
      this.#awayBytes -= grantBytes;
      this.#creditBytes += grantBytes;
      this.#writable.wake();
    }
  }

  /** The peer is gone: nothing can be sent any more, not even what waits for room in the transport. */
  lost(reason: string): void {
    this.#closeCode = undefined;
    this.#unsent.clear();
    if (this.#closeReason === undefined) this.#disconnect(reason);
    this.#end();
  }

  #onClose(code: CloseCode): void {
    this.#peerDone = true;
    if (this.#closeReason === undefined) {
      this.#unsent.clear();
      const isProtocol = code === CLOSE_CODE.protocol;
      this.#hangUp(
        CLOSE_CODE.closed,
        isProtocol ? 'the peer says we broke the protocol' : 'closed by the peer',
      );
    }
    this.#endIfDone();
  }

  #refuse(reason: string): void {
    this.#unsent.clear();
    this.#hangUp(CLOSE_CODE.protocol, reason);
  }

  /** Disconnects here, and sends CLOSE after everything else. */
  #hangUp(code: CloseCode, reason: string): void {
    this.#closeCode = code;
    this.#disconnect(reason);
    this.#linger();
    this.#startPump();
  }

  #linger(): void {
    if (this.#ended) return;
    clearTimeout(this.#lingerTimer);
    this.#lingerTimer = setTimeout(() => this.lost('no answer'), LINGER_MS);
  }

  #disconnect(reason: string): void {
    this.#closeReason = reason;
    clearImmediate(this.#grantTimer);
    this.#readable.wake();
    this.#writable.wake();
  }

  #owe(byteCount: number): void {
    this.#owedBytes += byteCount;
    // Half a buffer is worth a message of its own at once; less may travel with bytes written in this turn.
    if (2 * this.#owedBytes >= this.readCapacityBytes) this.#startPump();
    else this.#grantTimer ??= setImmediate(() => this.#startPump());
  }

  #startPump(): void {
    if (this.#pumping) return;
    this.#pumping = true;
    // Later in this turn, so that many small writes make one message.
    queueMicrotask(() => void this.#pump());
  }

  async #pump(): Promise<void> {
    for (;;) {
      const piece = this.#unsent.peek(MAX_PIECE_BYTES);
      const grantBytes = this.#closeReason === undefined ? this.#owedBytes : 0;
      if (piece.length === 0 && grantBytes === 0) break;
      const message = encodeFlow(grantBytes, piece);
      this.#unsent.consume(piece.length);
      this.#awayBytes += piece.length;
      this.#owedBytes -= grantBytes;
      this.#grantedBytes += grantBytes;
      clearImmediate(this.#grantTimer);
      this.#grantTimer = undefined;
      if (!(await this.#link.send(message))) this.lost('connection lost');
      else if (this.#closeReason !== undefined) this.#linger();
    }
    this.#pumping = false;
    if (this.#closeCode !== undefined) void this.#sendClose(this.#closeCode);
    this.#endIfDone();
  }

  /** Sends CLOSE, after everything else. */
  async #sendClose(code: CloseCode): Promise<void> {
    this.#closeCode = undefined;
    this.#pumping = true;
    await this.#link.send(encodeClose(code));
    this.#pumping = false;
    this.#linger();
    this.#endIfDone();
  }

  #endIfDone(): void {
    if (this.#peerDone && !this.#pumping && this.#closeCode === undefined) this.#end();
  }

  #end(): void {
    if (this.#ended) return;
    this.#ended = true;
    clearTimeout(this.#lingerTimer);
    this.#link.end();
  }
}
