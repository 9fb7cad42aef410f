/** The publisher's endpoints: accepts channels and runs a session on each, bounded in number. */

import {
  CONTROL_CONNECTIONS_MAX,
  Connection,
  ErrorCode,
  type MessageOf,
  ProtocolError,
  SUBSCRIBERS_MAX,
  type WirePacket,
} from '@rulecast/protocol';
import {
  type Channel,
  ChannelClosedError,
  type CurveServerKeys,
  type Endpoint,
  type Listener,
  listen,
} from '@rulecast/vchan';
import { ControlSession } from './control.ts';
import type { Publisher } from './publisher.ts';
import { SubscriberSession } from './session.ts';
import type { SourcesLink } from './sources-link.ts';

/** Asks a subscriber, by its name, what its live table does to a packet; without one, what it counted. Rejects with ProtocolError. */
export type AskTable = (subscriber: string, packet?: WirePacket) => Promise<MessageOf<'answer'>>;

export interface Served {
  /** Ends what is under way and stops listening. */
  close(): Promise<void>;
}

export interface ServedSubscribers extends Served {
  readonly ask: AskTable;
}

export interface ControlOptions {
  /** Who keeps lists fresh; without it there are no sources to ask about. */
  readonly sources?: SourcesLink | undefined;
  readonly curve?: CurveServerKeys | undefined;
}

/** Serves subscribers on some endpoints. Throws what `listen` throws, having closed what was open. */
export async function serveSubscribers(
  publisher: Publisher,
  endpoints: readonly Endpoint[],
  curve?: CurveServerKeys,
): Promise<ServedSubscribers> {
  const sessions = new Set<SubscriberSession>();
  const byName = new Map<string, SubscriberSession>();
  const onNamed = (session: SubscriberSession, name: string): void => {
    byName.get(name)?.stop(ErrorCode.nameInUse, `another subscriber connected as ${name}`);
    byName.set(name, session);
  };
  const serve = async (channel: Channel): Promise<void> => {
    const connection = new Connection(channel);
    if (sessions.size >= SUBSCRIBERS_MAX) {
      return connection.bye(ErrorCode.tooManyConnections, `at most ${SUBSCRIBERS_MAX} subscribers`);
    }
    const session = new SubscriberSession(connection, publisher, onNamed);
    sessions.add(session);
    try {
      await session.run();
    } finally {
      sessions.delete(session);
      for (const [name, current] of byName) if (current === session) byName.delete(name);
    }
  };
  const stop = (): void => {
    for (const session of sessions) session.stop(ErrorCode.shuttingDown, 'the publisher stops');
  };
  const served = await serveAll(publisher, endpoints, serve, stop, curve);
  const ask: AskTable = async (subscriber, packet) => {
    const session = byName.get(subscriber);
    if (session !== undefined) return session.ask(packet);
    throw new ProtocolError(ErrorCode.noSuchSubscriber, `no subscriber called ${subscriber} is connected`);
  };
  return { ask, close: served.close };
}

/** Serves `rulectl` on one endpoint. */
export async function serveControl(
  publisher: Publisher,
  endpoint: Endpoint,
  ask: AskTable,
  options: ControlOptions = {},
): Promise<Served> {
  const connections = new Set<Connection>();
  const serve = async (channel: Channel): Promise<void> => {
    const connection = new Connection(channel);
    if (connections.size >= CONTROL_CONNECTIONS_MAX) {
      return connection.bye(
        ErrorCode.tooManyConnections,
        `at most ${CONTROL_CONNECTIONS_MAX} requests at once`,
      );
    }
    connections.add(connection);
    await new ControlSession(connection, publisher, ask, options.sources).run();
    connections.delete(connection);
  };
  const stop = (): void => {
    for (const connection of connections) connection.bye(ErrorCode.shuttingDown, 'the publisher stops');
  };
  return serveAll(publisher, [endpoint], serve, stop, options.curve);
}

/** Listens on all endpoints, serves each channel, and can end all of it. */
async function serveAll(
  publisher: Publisher,
  endpoints: readonly Endpoint[],
  serve: (channel: Channel) => Promise<void>,
  stop: () => void,
  curve?: CurveServerKeys,
): Promise<Served> {
  const listeners: Listener[] = [];
  const running = new Set<Promise<void>>();
  const close = async (): Promise<void> => {
    await Promise.all(listeners.map((listener) => listener.close()));
    stop();
    await Promise.all(running);
  };
  try {
    for (const endpoint of endpoints) {
      const onError = (error: Error): void =>
        publisher.logger.warn({ err: error }, 'a connection could not be taken');
      const isZmq = endpoint.kind === 'zmq+tcp' || endpoint.kind === 'zmq+ipc';
      const keys = isZmq && curve !== undefined ? { curve } : {};
      listeners.push(await listen(endpoint, { createDirectory: true, onError, ...keys }));
    }
  } catch (error) {
    await close();
    throw error;
  }
  for (const listener of listeners) {
    const accepting = acceptAll(listener, (channel) => {
      const session = serve(channel).catch((error: unknown) => {
        publisher.logger.error({ err: error, peer: channel.peer.name }, 'a session failed');
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

async function acceptAll(listener: Listener, take: (channel: Channel) => void): Promise<void> {
  try {
    for (;;) take(await listener.accept());
  } catch (error) {
    if (!(error instanceof ChannelClosedError)) throw error;
  }
}
