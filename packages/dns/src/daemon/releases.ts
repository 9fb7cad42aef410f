/** The socket on which a subscriber sends the releases to judge names by. */

import { randomBytes } from 'node:crypto';
import { resolve } from 'node:path';
import { EXIT_FAILED, PacedLog, ProgramError } from '@rulecast/program';
import { STEADY_CLOCK, systemTurn } from '@rulecast/protocol';
import { type Channel, ChannelClosedError, EndpointError, type Listener, listen } from '@rulecast/vchan';
import type { Logger } from 'pino';
import { TABLE_KEY_BYTES } from '../match/table.ts';
import { type FollowerOptions, NameFollower } from '../pipe/follower.ts';
import type { ProxyOptions, TellOfBlocked } from '../proxy/machine.ts';
import { BlockedNames } from './blocked-names.ts';

/** Connections that may wait; a second subscriber replaces the first. */
const WAITING_MAX = 2;
/** How long it runs without being needed. Our choice: a restarted subscriber is back by then. */
const UNNEEDED_MS = 10_000;
/** How long blocked names are gathered: so few frames a second every reader can handle. Our choice. */
const GATHERED_MS = 200;

export type ReleaseOptions = Pick<FollowerOptions, 'nowS' | 'counts' | 'onListen' | 'fault'>;

interface SocketPlace {
  readonly path: string;
  /** The socket's descriptor, if the service manager has bound it. */
  readonly descriptor: number | undefined;
}

export interface Releases {
  readonly source: Pick<ProxyOptions, 'judge' | 'opens' | 'mayBePrivate'>;
  /** Reports blocked names to the subscriber, if it asked for that. */
  readonly tellOfBlocked: TellOfBlocked;
  /**
   * Accepts releases from now on. A socket bound by the service manager is left once nobody is connected and
   * no release needs this process; a later connection starts another one. Throws ProgramError if the socket
   * cannot be opened.
   */
  serve(at: SocketPlace, mode: number): Promise<ReleaseSocket>;
}

export interface ReleaseSocket {
  /** It is left, or closed. */
  readonly ended: Promise<void>;
  close(): Promise<void>;
}

export function followReleases(logger: Logger, options: ReleaseOptions): Releases {
  const follower = new NameFollower({
    ...options,
    key: () => randomBytes(TABLE_KEY_BYTES),
    turn: systemTurn,
    onTurn: (number) => logger.info({ number }, 'judges names by a release'),
  });
  const blocked = new BlockedNames();
  let isToTell = false;
  const tell = (): void => {
    follower.tellBlocked(() => blocked.take());
    isToTell = !blocked.isEmpty;
    if (isToTell) setTimeout(tell, GATHERED_MS).unref();
  };
  return {
    tellOfBlocked(...question) {
      if (!follower.isWatched) return;
      blocked.add(...question);
      if (!isToTell) setTimeout(tell, GATHERED_MS).unref();
      isToTell = true;
    },
    source: {
      judge: (asker, name, at, aliases) => follower.judge(asker, name, at, aliases),
      mayBePrivate: (name, at) => follower.mayBePrivate(name, at),
      opens: (asker, name, at, aliases) => follower.opens(asker, name, at, aliases),
    },
    async serve(at, mode) {
      const paced = new PacedLog(logger, () => STEADY_CLOCK.monotonicMs());
      const listener = await listenAt(at, mode, paced);
      const onUnneeded = (): void => {
        logger.info('no release needs names');
        void listener.close();
      };
      const ended = serveForever(
        listener,
        follower,
        paced,
        at.descriptor === undefined ? undefined : onUnneeded,
      );
      return { ended, close: () => listener.close() };
    },
  };
}

async function listenAt(at: SocketPlace, mode: number, logger: PacedLog): Promise<Listener> {
  const { descriptor } = at;
  const path = resolve(at.path);
  const onError = (error: Error): void => logger.warn({ err: error }, 'a subscriber could not connect');
  try {
    const options = { backlog: WAITING_MAX, mode, onError, ...(descriptor !== undefined && { descriptor }) };
    return await listen({ kind: 'unix', path }, options);
  } catch (cause) {
    if (cause instanceof EndpointError || (cause instanceof Error && 'code' in cause))
      throw new ProgramError(EXIT_FAILED, `--releases ${path}: ${cause.message}`, { cause });
    throw cause;
  }
}

/**
 * Serves subscribers until the listener closes. `onUnneeded` is called once this program is no longer needed.
 */
async function serveForever(
  listener: Listener,
  follower: NameFollower,
  logger: PacedLog,
  onUnneeded: (() => void) | undefined,
): Promise<void> {
  let connections = 0;
  let timer: NodeJS.Timeout | undefined;
  const look = (): void => {
    clearTimeout(timer);
    if (connections === 0 && !follower.isNeeded && onUnneeded) timer = setTimeout(onUnneeded, UNNEEDED_MS);
  };
  const serve = async (channel: Channel): Promise<void> => {
    connections++;
    look();
    logger.info({}, 'a subscriber is connected');
    try {
      await follower.serve(channel);
      const level = follower.isNeeded ? 'warn' : 'info';
      logger[level]({}, 'the subscriber is gone: what it said last holds');
    } catch (error) {
      logger.error({ err: error }, 'what the subscriber says cannot be followed: what was before holds');
    }
    connections--;
    look();
  };
  try {
    for (look(); ; ) void serve(await listener.accept());
  } catch (error) {
    if (!(error instanceof ChannelClosedError)) throw error;
  }
}
