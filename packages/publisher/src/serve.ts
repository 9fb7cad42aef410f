/** The publisher's endpoints: accepts channels and runs a session on each, bounded in number. */

import {
  BUSY_RETRY_AFTER_MS,
  CONTROL_CONNECTIONS_MAX,
  Connection,
  ErrorCode,
  type MessageOf,
  ProtocolError,
  RETRY_AFTER_MS,
  SUBSCRIBERS_MAX,
  type WirePacket,
} from '@rulecast/protocol';
import type { Clock } from '@rulecast/sources';
import {
  type Channel,
  ChannelClosedError,
  type CurveServerKeys,
  type Endpoint,
  type Listener,
  listen,
} from '@rulecast/vchan';
import { Bindings } from './bindings.ts';
import { ControlSession } from './control.ts';
import { NameHolders } from './name-holders.ts';
import type { Publisher } from './publisher.ts';
import { PushRoom } from './push-room.ts';
import { type Refusal, SubscriberSession } from './session.ts';
import type { SourcesLink } from './sources-link.ts';
import { WaitingRoom } from './waiting-room.ts';

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

export interface SubscriberOptions {
  /** Keys of ZeroMQ endpoints. */
  readonly curve?: CurveServerKeys | undefined;
  /** What names are bound to; their own sockets are listened on as well. Default: none is. */
  readonly bindings?: Bindings;
}

/** Serves subscribers on some endpoints. Throws what `listen` throws, having closed what was open. */
export async function serveSubscribers(
  publisher: Publisher,
  endpoints: readonly Endpoint[],
  options: SubscriberOptions = {},
): Promise<ServedSubscribers> {
  const { curve, bindings = new Bindings([]) } = options;
  publisher.subscribers.showBindings((name) => bindings.shownOf(name));
  const sessions = new Set<SubscriberSession>();
  const holders = new NameHolders<SubscriberSession>();
  const waiting = new WaitingSubscribers(publisher.clock);
  const admit = async (
    session: SubscriberSession,
    name: string,
    owner: string | undefined,
  ): Promise<Refusal | undefined> => {
    const refusal = bindings.refusalOf(name, owner);
    if (refusal !== undefined) return refusal;
    const isBound = owner !== undefined;
    const unboundCount = [...holders.names()].filter((held) => !bindings.isBound(held)).length;
    if (!isBound && holders.holderOf(name) === undefined && unboundCount >= SUBSCRIBERS_MAX) {
      return busy(`at most ${SUBSCRIBERS_MAX} subscribers`);
    }
    if (await holders.claim(name, session, isBound)) return undefined;
    const text = `${name} is connected, and answers`;
    return { code: ErrorCode.nameInUse, text, retryAfterMs: RETRY_AFTER_MS };
  };
  const serve = async (channel: Channel, place: Place): Promise<void> => {
    const owner = place.owner ?? bindings.ownerOf(channel.peer);
    const session = new SubscriberSession(connectionOn(channel, publisher), publisher, async (self, name) => {
      const refusal = await admit(self, name, owner);
      leaveRoom();
      return refusal;
    });
    const leaveRoom = waiting.enter(session, owner);
    sessions.add(session);
    try {
      await session.run();
    } finally {
      leaveRoom();
      sessions.delete(session);
      holders.release(session);
    }
  };
  const stop = (): void => {
    for (const session of sessions)
      session.stop({ code: ErrorCode.shuttingDown, text: 'the publisher stops' });
  };
  const places: Place[] = endpoints.map((endpoint) => ({ endpoint }));
  for (const { name, socket } of bindings.all) {
    if (socket === undefined) continue;
    const { path, mode, group } = socket;
    places.push({ endpoint: { kind: 'unix', path }, owner: name, mode, group });
  }
  const served = await serveAll(publisher, places, serve, stop, curve);
  const ask: AskTable = async (subscriber, packet) => {
    const session = holders.holderOf(subscriber);
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
  const answered = new Set<Connection>();
  const pushRoom = new PushRoom();
  const room = new WaitingRoom(publisher.clock);
  const serve = async (channel: Channel): Promise<void> => {
    const connection = connectionOn(channel, publisher);
    const sayBusy = (text: string): void => {
      const { code, retryAfterMs } = busy(text);
      connection.bye(code, text, retryAfterMs);
    };
    const leaveRoom = room.enter(() => sayBusy(SILENT_TEXT));
    const admits = (): boolean => {
      leaveRoom();
      const hasPlace = answered.size < CONTROL_CONNECTIONS_MAX;
      if (hasPlace) answered.add(connection);
      else sayBusy(`at most ${CONTROL_CONNECTIONS_MAX} requests at once`);
      return hasPlace;
    };
    connections.add(connection);
    await new ControlSession(connection, publisher, ask, pushRoom, options.sources).run(admits);
    leaveRoom();
    answered.delete(connection);
    connections.delete(connection);
  };
  const stop = (): void => {
    for (const connection of connections) connection.bye(ErrorCode.shuttingDown, 'the publisher stops');
  };
  return serveAll(publisher, [{ endpoint }], serve, stop, options.curve);
}

/** Where it is listened, and for whom alone if for one. */
interface Place {
  readonly endpoint: Endpoint;
  readonly owner?: string;
  /** Of a socket file, if not the default. */
  readonly mode?: number;
  readonly group?: number | undefined;
}

/**
 * Connections that have not said HELLO. Those that are known for a bound name already are no part of the crowd: each name has a place of
 * its own here, and its newest connection has that.
 */
class WaitingSubscribers {
  private readonly room: WaitingRoom;
  private readonly bound = new Map<string, SubscriberSession>();

  constructor(clock: Clock) {
    this.room = new WaitingRoom(clock);
  }

  /** Returns what takes it out again. */
  enter(session: SubscriberSession, owner: string | undefined): () => void {
    if (owner === undefined) return this.room.enter(() => session.stop(busy(SILENT_TEXT)));
    this.bound.get(owner)?.stop(busy(`${owner} connected once more before it said HELLO here`));
    this.bound.set(owner, session);
    return () => {
      if (this.bound.get(owner) === session) this.bound.delete(owner);
    };
  }
}

const SILENT_TEXT = 'many others connect, and nothing came from here yet';

/** There is no place now. */
function busy(text: string): Refusal {
  return { code: ErrorCode.tooManyConnections, text, retryAfterMs: BUSY_RETRY_AFTER_MS };
}

/** Listens on all endpoints, serves each channel, and can end all of it. */
async function serveAll(
  publisher: Publisher,
  places: readonly Place[],
  serve: (channel: Channel, place: Place) => Promise<void>,
  stop: () => void,
  curve?: CurveServerKeys,
): Promise<Served> {
  const opened: { readonly listener: Listener; readonly place: Place }[] = [];
  const running = new Set<Promise<void>>();
  const close = async (): Promise<void> => {
    await Promise.all(opened.map(({ listener }) => listener.close()));
    stop();
    await Promise.all(running);
  };
  try {
    for (const place of places) {
      const { endpoint, mode, group } = place;
      const onError = (error: Error): void =>
        publisher.logger.warn({ err: error }, 'a connection could not be taken');
      const isZmq = endpoint.kind === 'zmq+tcp' || endpoint.kind === 'zmq+ipc';
      const keys = isZmq && curve !== undefined ? { curve } : {};
      const access = { ...(mode === undefined ? {} : { mode }), ...(group === undefined ? {} : { group }) };
      const listener = await listen(endpoint, { createDirectory: true, onError, ...keys, ...access });
      opened.push({ listener, place });
    }
  } catch (error) {
    await close();
    throw error;
  }
  for (const { listener, place } of opened) {
    const accepting = acceptAll(listener, (channel) => {
      const session = serve(channel, place).catch((error: unknown) => {
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

function connectionOn(channel: Channel, { clock }: Publisher): Connection {
  return new Connection(channel, { after: (delayMs, work) => clock.after(delayMs, work) });
}
