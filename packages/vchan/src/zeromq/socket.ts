/**
 * The common part of DEALER and ROUTER: options, retries of sends, and when all arrived messages are read.
 */

import { isIPv6 } from 'node:net';
import type * as zmq from 'zeromq';
import type { ZmqEndpoint } from '../channel/endpoint.ts';
import { errorCodeOf } from '../stream/socket-file.ts';
import type { CurveClientKeys, CurveServerKeys } from './curve.ts';
import { MAX_MESSAGE_BYTES } from './message.ts';

// Fixed by ZeroMQ.

/** CURVE's overhead for a message (33 bytes), with room to spare: it counts towards the limit. */
const CURVE_OVERHEAD_BYTES = 64;

// Our choice.

/** How long a closed socket tries to send its queue; a stuck peer costs no more. */
const LINGER_MS = 5_000;
/** Long enough that a short stop of a virtual machine is no death. */
export const HEARTBEAT_MS = 2_000;
/** In heartbeats: silence that long ends a connection. */
const HEARTBEAT_TIMEOUT_COUNT = 3;
/**
 * Messages in ZeroMQ's queues, each way, for one peer: 2 MiB of the largest. Credit limits the bytes of peers
 * that respect it; this is for a peer that does not, while this process is busy. The rest waits in the
 * kernel, and so at the peer.
 */
const HIGH_WATER_MESSAGE_COUNT = 32;
/**
 * Turns of the event loop without a message, after which all that had arrived of a lost connection has been
 * read.
 */
const DRAINED_TURN_COUNT = 20;
/** A full queue empties within a turn or two; later than that the peer is slow. */
const RETRY_TURN_COUNT = 10;
export const RETRY_MS = 5;

export interface ConnectZmqOptions {
  readonly bufferBytes: number | undefined;
  readonly timeoutMs: number;
  readonly signal: AbortSignal | undefined;
  readonly curve: CurveClientKeys | undefined;
  /** Milliseconds between heartbeats; three without an answer end the connection. Default 2,000. */
  readonly heartbeatMs?: number;
}

export interface ListenZmqOptions {
  readonly bufferBytes: number | undefined;
  readonly backlog: number;
  readonly mode: number;
  readonly createDirectory: boolean;
  readonly onError: (error: Error) => void;
  readonly curve: CurveServerKeys | undefined;
  /** Milliseconds between heartbeats; three without an answer end the connection. Default 2,000. */
  readonly heartbeatMs?: number;
}

export function socketOptions(endpoint: ZmqEndpoint, heartbeatMs: number) {
  return {
    linger: LINGER_MS,
    maxMessageSize: MAX_MESSAGE_BYTES + CURVE_OVERHEAD_BYTES,
    sendHighWaterMark: HIGH_WATER_MESSAGE_COUNT,
    receiveHighWaterMark: HIGH_WATER_MESSAGE_COUNT,
    // A send that cannot be done at once fails and is tried again here. Waiting inside zeromq.js takes one
    // send at a time, and may overlook that a message has arrived meanwhile (it asks for events, whose signal
    // ZeroMQ gives once).
    sendTimeout: 0,
    ipv6: endpoint.kind === 'zmq+tcp' && isIPv6(endpoint.address),
    heartbeatInterval: heartbeatMs,
    heartbeatTimeout: HEARTBEAT_TIMEOUT_COUNT * heartbeatMs,
    heartbeatTimeToLive: HEARTBEAT_TIMEOUT_COUNT * heartbeatMs,
  };
}

export function zmqAddress(endpoint: ZmqEndpoint): string {
  if (endpoint.kind === 'zmq+ipc') return `ipc://${endpoint.path}`;
  const { address, port } = endpoint;
  return `tcp://${isIPv6(address) ? `[${address}]` : address}:${port === 0 ? '*' : port}`;
}

/**
 * Sends as soon as there is room in ZeroMQ's queue, unless the peer is gone by then, or the caller gave up.
 */
export async function sendPatiently<M extends zmq.MessageLike | zmq.MessageLike[]>(
  socket: zmq.Socket & zmq.Writable<M>,
  message: M,
  isGivenUp: () => boolean,
): Promise<'sent' | 'lost' | 'given-up'> {
  for (let attempt = 0; !socket.closed; attempt++) {
    try {
      await socket.send(message);
      return 'sent';
    } catch (error) {
      if (errorCodeOf(error) !== 'EAGAIN') return 'lost';
    }
    if (isGivenUp()) return 'given-up';
    if (attempt < RETRY_TURN_COUNT) await nextTurn();
    else await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
  }
  return 'given-up';
}

/**
 * Resolves when no message has arrived for some turns. Asking the socket itself would swallow the signal of
 * the next one.
 */
export async function drained(messageCount: () => number): Promise<void> {
  let seenCount = messageCount();
  for (let turn = 0; turn < DRAINED_TURN_COUNT; turn++) {
    await nextTurn();
    if (messageCount() === seenCount) continue;
    seenCount = messageCount();
    turn = 0;
  }
}

function nextTurn(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}
