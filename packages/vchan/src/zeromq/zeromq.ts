/**
 * Channels over ZeroMQ (RFC 23/ZMTP), for machines that have no vchan between them: a DEALER for each client,
 * one ROUTER for a listener. ZeroMQ carries messages, reconnects silently and queues without telling; a
 * channel wants none of it, so
 *
 * - room is counted in bytes of credit between the two ends (`credit-channel.ts`), never by ZeroMQ's queues;
 * - a DEALER serves one connection: it never connects twice, and its first message is a HELLO with a fresh
 *   connection id. The ROUTER, to which a second connection is another peer, refuses one that begins with
 *   anything else;
 * - heartbeats notice a machine that is gone, and a ROUTER, which is told nothing, asks whether its peers are
 *   still there.
 *
 * A ROUTER cannot disconnect one peer: one that breaks the rules is sent CLOSE, and ignored from then on.
 * Only messages well over `MAX_MESSAGE_BYTES` make ZeroMQ itself drop the connection. Unbinding would cut all
 * connections, so that a closed listener keeps a TCP port until its accepted channels are closed too; a
 * socket file goes at once.
 */
import { AcceptQueue } from '../channel/accept-queue.ts';
import { abortedError, type Channel, type Listener } from '../channel/channel.ts';
import {
  checkBufferBytes,
  checkSocketPath,
  checkTcpAddress,
  EndpointError,
  EndpointInUseError,
  formatEndpoint,
  needsCurve,
  type ZmqEndpoint,
} from '../channel/endpoint.ts';
import { checkTimeout } from '../stream/socket.ts';
import { checkSocketMode, errorCodeOf, textOf } from '../stream/socket-file.ts';
import { checkClientKeys, checkServerKeys } from './curve.ts';
import { DealerLink } from './dealer.ts';
import { ZmqListener } from './router.ts';
import type { ConnectZmqOptions, ListenZmqOptions } from './socket.ts';

/**
 * Connects, and resolves when the listener has answered.
 * @throws ChannelConnectError; EndpointError for address, path and keys; RangeError for a bad option.
 */
export async function connectZmq(endpoint: ZmqEndpoint, options: ConnectZmqOptions): Promise<Channel> {
  checkZmqEndpoint(endpoint, options.curve !== undefined);
  if (endpoint.kind === 'zmq+tcp' && endpoint.port === 0) {
    throw new EndpointError('bad-address', `${formatEndpoint(endpoint)}: port 0 is for listening only`);
  }
  checkTimeout(options.timeoutMs);
  const bufferBytes = checkBufferBytes(options.bufferBytes ?? endpoint.bufferBytes);
  if (options.curve !== undefined) checkClientKeys(options.curve);
  const url = formatEndpoint(endpoint);
  if (options.signal?.aborted) throw abortedError(url, options.signal);
  const dealer = new DealerLink(endpoint, bufferBytes, options);
  return dealer.connect(options.timeoutMs, options.signal);
}

/**
 * Listens. A socket file that nobody listens on is replaced. Main thread only, for the mode of a socket file.
 * @throws EndpointInUseError; EndpointError for address, path and keys; RangeError for a bad option.
 */
export async function listenZmq(endpoint: ZmqEndpoint, options: ListenZmqOptions): Promise<Listener> {
  checkZmqEndpoint(endpoint, options.curve !== undefined);
  const bufferBytes = checkBufferBytes(options.bufferBytes ?? endpoint.bufferBytes);
  checkSocketMode(options.mode);
  if (options.curve !== undefined) checkServerKeys(options.curve);
  const url = formatEndpoint(endpoint);
  const arrived = new AcceptQueue(url, options.backlog);
  const listener = new ZmqListener(endpoint, arrived, bufferBytes, options);
  try {
    await listener.bind();
    return listener;
  } catch (cause) {
    await listener.close();
    if (cause instanceof EndpointError || cause instanceof EndpointInUseError) throw cause;
    if (errorCodeOf(cause) === 'EADDRINUSE') {
      const message = `${url} is in use: stop the other process or choose another port`;
      throw new EndpointInUseError('in-use', message, { cause });
    }
    throw new EndpointError('cannot-listen', `cannot listen on ${url}: ${textOf(cause)}`, { cause });
  }
}

function checkZmqEndpoint(endpoint: ZmqEndpoint, hasKeys: boolean): void {
  if (endpoint.kind === 'zmq+ipc') {
    checkSocketPath(endpoint.path);
    return;
  }
  checkTcpAddress(endpoint.address, endpoint.port);
  if (hasKeys || !needsCurve(endpoint)) return;
  throw new EndpointError(
    'needs-curve',
    `${formatEndpoint(endpoint)} leaves this machine, where anybody could read or speak: give curve keys, or use 127.0.0.1 or [::1]`,
  );
}
