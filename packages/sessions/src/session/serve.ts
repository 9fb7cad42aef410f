/**
 * The endpoints of subscribers: a session on each channel, bounded in number, each name held by one of them.
 */

import { PacedLog } from '@rulecast/program';
import {
  ErrorCode,
  type MessageOf,
  ProtocolError,
  RETRY_AFTER_MS,
  type SteadyClock,
  SUBSCRIBERS_MAX,
} from '@rulecast/protocol';
import type { Channel, CurveServerKeys, Endpoint, PeerIdentity } from '@rulecast/vchan';
import { connectionOn, type ListenAddress, placesOf, type Service, serveAll } from '../admission/accept.ts';
import { Bindings } from '../admission/bindings.ts';
import { NameHolders } from '../admission/name-holders.ts';
import { PendingConnections } from '../admission/pending.ts';
import { busy, type Refusal, SILENT } from '../admission/refusal.ts';
import type { SessionHost } from '../host.ts';
import { Announcer } from './announce.ts';
import { type RelayHost, RelaySession, RelaySessions } from './relay.ts';
import { SubscriberSession } from './session.ts';
import type { Question } from './state.ts';

/**
 * Asks a subscriber, by its name: the verdict of its live table on a packet, its counters, `from` the first
 * one of a page if it supports pages, or its refused packets. Rejects with ProtocolError.
 */
export type AskTable = (subscriber: string, about: Question) => Promise<MessageOf<'answer'>>;

export interface ServedSubscribers extends Service {
  readonly ask: AskTable;
  /** Ends all sessions; subscribers reconnect at once: what WELCOME told them has changed. */
  restart(): void;
}

export interface SubscriberOptions {
  /** Keys of ZeroMQ endpoints. */
  readonly curve?: CurveServerKeys | undefined;
  /** The bindings of names; it also listens on their own sockets. Default: none. */
  readonly bindings?: Bindings;
  /** Sessions at once of names that are bound to nothing; default SUBSCRIBERS_MAX. */
  readonly places?: number;
  /** The depot for relays; default: none. */
  readonly relays?: RelayHost | undefined;
}

/** Serves subscribers on some endpoints. Throws what `listen` throws, after closing those already open. */
export async function serveSessions(
  publisher: SessionHost,
  endpoints: readonly Endpoint[],
  options: SubscriberOptions = {},
): Promise<ServedSubscribers> {
  const { curve, bindings = new Bindings([]), places = SUBSCRIBERS_MAX, relays } = options;
  publisher.subscribers.showBindings((name) => bindings.shownOf(name));
  const sessions = new Set<SubscriberSession>();
  const relaying = new RelaySessions(publisher, relays);
  const holders = new NameHolders<SubscriberSession | RelaySession>((name) => bindings.isBound(name));
  publisher.subscribers.leaveOut((name) => holders.holderOf(name) instanceof RelaySession);
  const pending = new PendingSubscribers(publisher.clock);
  const logOf = pacedLogs(publisher);
  const admit = async (
    session: SubscriberSession | RelaySession,
    name: string,
    owner: string | undefined,
    peer: PeerIdentity,
  ): Promise<Refusal | undefined> => {
    const refusal = bindings.refusalOf(name, owner, peer);
    if (refusal !== undefined) return refusal;
    const isBound = owner !== undefined;
    if (!isBound && holders.holderOf(name) === undefined && holders.unboundCount >= places) {
      return busy(`all ${places} places of this publisher for subscribers are taken`);
    }
    if (await holders.claim(name, session, isBound)) return undefined;
    const text = `${name} is connected, and answers`;
    return { code: ErrorCode.nameInUse, text, retryAfterMs: RETRY_AFTER_MS };
  };
  const serve = async (channel: Channel, place: ListenAddress): Promise<void> => {
    const owner = place.owner ?? bindings.ownerOf(channel.peer);
    const connection = connectionOn(channel, publisher.clock);
    const session = new SubscriberSession(connection, publisher, logOf(owner), async (self, name) => {
      const refusal = await admit(self, name, owner, channel.peer);
      leave();
      return refusal;
    });
    const leave = pending.add(session, owner);
    sessions.add(session);
    let relay: MessageOf<'relay'> | undefined;
    try {
      relay = await session.run();
    } finally {
      leave();
      sessions.delete(session);
      holders.release(session);
    }
    if (relay === undefined) return;
    await relaying.serve(connection, relay, logOf(owner), {
      admit: (one, name) => {
        const leave = pending.add(one, owner); // while the holder of the name is probed
        return admit(one, name, owner, channel.peer).finally(leave);
      },
      release: (one) => holders.release(one),
      isBound: owner !== undefined,
    });
  };
  const endAll = (refusal: Refusal): void => {
    for (const session of [...sessions, ...relaying.all]) session.stop(refusal);
  };
  const stop = (): void => endAll({ code: ErrorCode.shuttingDown, text: 'the publisher stops' });
  const listened = placesOf(endpoints, bindings.all);
  const served = await serveAll(publisher, listened, serve, stop, curve);
  const announcer = new Announcer(sessions, publisher.pace);
  const unheed = publisher.onHead(() => announcer.tell());
  const ask: AskTable = async (subscriber, about) => {
    const session = holders.holderOf(subscriber);
    if (session instanceof SubscriberSession) return session.ask(about);
    throw new ProtocolError(ErrorCode.noSuchSubscriber, `no subscriber called ${subscriber} is connected`);
  };
  const close = (): Promise<void> => {
    unheed();
    return served.close();
  };
  return {
    ask,
    close,
    restart: () => endAll({ code: ErrorCode.moreRoots, text: 'there is another root', retryAfterMs: 0 }),
  };
}

/** The log of a connection: of a bound name its own, all others share one. */
function pacedLogs({ logger, clock }: SessionHost): (owner: string | undefined) => PacedLog {
  const nowMs = (): number => clock.monotonicMs();
  const logs = new Map<string | undefined, PacedLog>();
  return (owner) => {
    const log = logs.get(owner) ?? new PacedLog(logger, nowMs);
    logs.set(owner, log);
    return log;
  };
}

type Stoppable = Pick<SubscriberSession | RelaySession, 'stop'>;

/**
 * Connections that have not said HELLO or RELAY, or whose name is not theirs yet. Those that are known for a
 * bound name already are no part of the crowd: each name has a place of its own here, and its newest
 * connection has that.
 */
class PendingSubscribers {
  readonly #pending: PendingConnections;
  readonly #bound = new Map<string, Stoppable>();

  constructor(clock: SteadyClock) {
    this.#pending = new PendingConnections(clock);
  }

  /** Returns a function that removes it. */
  add(session: Stoppable, owner: string | undefined): () => void {
    if (owner === undefined) return this.#pending.add(() => session.stop(SILENT));
    this.#bound.get(owner)?.stop(busy(`${owner} connected once more before it said HELLO here`));
    this.#bound.set(owner, session);
    return () => {
      if (this.#bound.get(owner) === session) this.#bound.delete(owner);
    };
  }
}
