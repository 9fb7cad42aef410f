/** Listens on endpoints: serves each incoming channel, and can end all of it. */

import { PacedLog } from '@rulecast/program';
import { Connection, type SteadyClock } from '@rulecast/protocol';
import {
  type Channel,
  ChannelClosedError,
  type CurveServerKeys,
  type Endpoint,
  type Listener,
  listen,
} from '@rulecast/vchan';
import type { SessionHost } from '../host.ts';
import type { Binding } from './bindings.ts';

export interface Service {
  /** Ends connections and stops listening. */
  close(): Promise<void>;
}

/**
 * Channels of an endpoint that have arrived and are not served yet: as many as Node has the kernel keep, and
 * so hands over at once. Our choice.
 */
const ARRIVED_MAX = 512;

/** An endpoint to listen on, and its owner, if it is for one subscriber alone. */
export interface ListenAddress {
  readonly endpoint: Endpoint;
  readonly owner?: string;
  /** Mode of the socket file, if not the default. */
  readonly mode?: number;
  readonly group?: number | undefined;
}

/** The shared endpoints, and the subscribers' own sockets. */
export function placesOf(
  endpoints: readonly Endpoint[],
  bound: readonly Binding[],
): readonly ListenAddress[] {
  const own = bound.flatMap(({ name, socket }): readonly ListenAddress[] => {
    if (socket === undefined) return [];
    const { path, mode, group } = socket;
    return [{ endpoint: { kind: 'unix', path }, owner: name, mode, group }];
  });
  return [...endpoints.map((endpoint) => ({ endpoint })), ...own];
}

/** Listens on all endpoints, serves channels at the common pace, and can end all of it. */
export async function serveAll(
  { logger: log, pace, clock }: Pick<SessionHost, 'logger' | 'pace' | 'clock'>,
  places: readonly ListenAddress[],
  serve: (channel: Channel, place: ListenAddress) => Promise<void>,
  stop: () => void,
  curve?: CurveServerKeys,
): Promise<Service> {
  const opened: { readonly listener: Listener; readonly place: ListenAddress }[] = [];
  const running = new Set<Promise<void>>();
  const logger = new PacedLog(log, () => clock.monotonicMs());
  let isClosed = false;
  const close = async (): Promise<void> => {
    isClosed = true;
    await Promise.all(opened.map(({ listener }) => listener.close()));
    stop();
    await Promise.all(running);
  };
  try {
    for (const place of places) {
      const { endpoint, mode, group } = place;
      const onError = (error: Error): void => logger.warn({ err: error }, 'a connection could not be taken');
      const isZmq = endpoint.kind === 'zmq+tcp' || endpoint.kind === 'zmq+ipc';
      const keys = isZmq && curve !== undefined ? { curve } : {};
      const access = { ...(mode === undefined ? {} : { mode }), ...(group === undefined ? {} : { group }) };
      const common = { createDirectory: true, backlog: ARRIVED_MAX, onError };
      const listener = await listen(endpoint, { ...common, ...keys, ...access });
      opened.push({ listener, place });
    }
  } catch (error) {
    await close();
    throw error;
  }
  for (const { listener, place } of opened) {
    const accepting = acceptAll(listener, async (channel) => {
      await pace.step();
      if (isClosed) return channel.close();
      const session = serve(channel, place).catch((error: unknown) => {
        logger.error({ err: error, peer: channel.peer.name }, 'a session failed');
        channel.close();
      });
      running.add(session);
      void session.finally(() => running.delete(session));
    });
    running.add(accepting);
    void accepting.finally(() => running.delete(accepting));
  }
  return { close };
}

async function acceptAll(listener: Listener, take: (channel: Channel) => Promise<void>): Promise<void> {
  try {
    for (;;) await take(await listener.accept());
  } catch (error) {
    if (!(error instanceof ChannelClosedError)) throw error;
  }
}

export function connectionOn(channel: Channel, clock: SteadyClock): Connection {
  return new Connection(channel, { after: (delayMs, work) => clock.after(delayMs, work) });
}
