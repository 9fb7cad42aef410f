/**
 * The interface of a channel.
 *
 * A channel is a two-way ordered byte stream with bounded buffers and non-blocking reads and writes, modelled
 * on Xen's libvchan as Qubes OS uses it: a server side that waits for one client, no half-close, and received
 * bytes that outlive the peer. Programs written for this interface run over memory, a Unix socket or a real
 * vchan alike. The channel itself applies backpressure: a full buffer accepts no more.
 *
 * ```
 *   waiting ──peer arrives──▶ connected ──close(), peer gone, error──▶ disconnected
 *      └────────────────────────close()──────────────────────────────────▲
 * ```
 */

import type { Endpoint } from './endpoint.ts';

export type ChannelRole = 'server' | 'client';
export type ChannelState = 'waiting' | 'connected' | 'disconnected';

/** The identity of the peer, as far as the transport can prove it. */
export interface PeerIdentity {
  /**
   * `memory`, or the endpoint's URL; on the server side followed by `#` and the ordinal of the connection.
   * For logs only.
   */
  readonly name: string;
  /**
   * The public key, in Z85, of which it proved to have the secret: of a client of a ZeroMQ listener with
   * keys.
   */
  readonly curveKey?: string;
  /** The qube that qrexec says it is: of a client that qrexec brought. */
  readonly qube?: string;
  /** The service that it called; policy decides who may. */
  readonly service?: string;
  /** The argument of the call: the peer's own choice, unless the policy allows only that one. */
  readonly argument?: string;
}

/**
 * One end of a bounded, ordered, two-way byte stream.
 *
 * A reader loops "while nothing is ready and the state is not `disconnected`: await waitReadable()", a writer
 * "write the rest; if some is left: await waitWritable()". Both waits are level-triggered: they look at the
 * state when called and not at past events, so no wake-up can be lost; with several waiters, each looks again
 * after waking.
 */
export interface Channel {
  readonly role: ChannelRole;
  /**
   * Only ever moves from left to right in the picture above. A transport may learn late that its peer has
   * gone.
   */
  readonly state: ChannelState;
  readonly peer: PeerIdentity;
  /** Upper bound of `dataReady()`. */
  readonly readCapacityBytes: number;
  /** Upper bound of `bufferSpace()`. */
  readonly writeCapacityBytes: number;
  /** Why the channel is disconnected, in words for a log; `undefined` until it is. */
  readonly closeReason: string | undefined;
  /**
   * Whether a policy between the ends forbids the connection, as qrexec's may; absent if the transport has
   * none.
   */
  readonly isForbidden?: boolean;

  /** Bytes that can be read now; still so after the peer disconnected, 0 after our own `close()`. */
  dataReady(): number;

  /** Bytes that `write` would take now; 0 unless connected. */
  bufferSpace(): number;

  /**
   * Takes up to `maxBytes` (a non-negative integer) out of the buffer without blocking: at least one byte if
   * any is ready and `maxBytes` is not 0, possibly fewer than `dataReady()`, because it hands out a received
   * piece as it lies. The caller owns the bytes; they may be a view into a larger ArrayBuffer, so copy them
   * before transferring it.
   * @throws RangeError if `maxBytes` is no non-negative integer.
   */
  read(maxBytes: number): Uint8Array;

  /**
   * Copies as much of `bytes` as fits and returns how many bytes that was, 0 included. Does not block;
   * `bytes` is the caller's again on return.
   * @throws ChannelClosedError once disconnected.
   */
  write(bytes: Uint8Array): number;

  /** Resolves when `dataReady() > 0` or the channel is disconnected, at once if so already. Never rejects. */
  waitReadable(): Promise<void>;

  /**
   * Resolves when `bufferSpace() > 0` or the channel is disconnected, at once if so already. Never rejects.
   */
  waitWritable(): Promise<void>;

  /**
   * Disconnects both ways; there is no half-close. Bytes accepted by `write` before still reach the peer if
   * it keeps reading; bytes received and not read are dropped. May be called again, to no effect.
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
  /**
   * Stops listening and closes channels that were not accepted; accepted ones live on. May be called again.
   */
  close(): Promise<void>;
}

/** The channel or listener is no longer usable: make a new one. */
export class ChannelClosedError extends Error {
  override readonly name = 'ChannelClosedError';
  readonly code: 'channel-closed' | 'listener-closed';

  constructor(code: ChannelClosedError['code'], message: string) {
    super(message);
    this.code = code;
  }
}

export type ChannelConnectErrorCode =
  | 'nobody-listens'
  | 'no-permission'
  | 'busy'
  | 'aborted'
  | 'timeout'
  | 'connect-failed';

/** The connection failed: try again later, or start the other side; the message says which. */
export class ChannelConnectError extends Error {
  override readonly name = 'ChannelConnectError';
  readonly code: ChannelConnectErrorCode;

  constructor(code: ChannelConnectErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

/** The error of an attempt that its caller ended. */
export function abortedError(url: string, signal: AbortSignal | undefined): ChannelConnectError {
  return new ChannelConnectError('aborted', `connecting to ${url} was aborted`, { cause: signal?.reason });
}

/** The error of a write to a disconnected channel; `reason` is the channel's `closeReason`. */
export function channelClosed(peer: PeerIdentity, reason: string | undefined): ChannelClosedError {
  const why = reason ?? 'disconnected';
  return new ChannelClosedError('channel-closed', `channel to ${peer.name} takes no more bytes: ${why}`);
}

/** @throws RangeError if `maxBytes` is no non-negative integer. */
export function checkMaxBytes(maxBytes: number): void {
  if (!Number.isSafeInteger(maxBytes) || maxBytes < 0) {
    throw new RangeError(`read of ${maxBytes} bytes: must be a non-negative integer`);
  }
}
