/** The socket at which a subscriber tells the releases that names are judged by. */

import { randomBytes } from 'node:crypto';
import { resolve } from 'node:path';
import { EXIT_FAILED, PacedLog, ProgramError } from '@rulecast/program';
import { STEADY_CLOCK, systemTurn } from '@rulecast/protocol';
import { type Channel, ChannelClosedError, EndpointError, type Listener, listen } from '@rulecast/vchan';
import type { Logger } from 'pino';
import { TABLE_KEY_BYTES } from '../match/table.ts';
import { type FollowerOptions, NameFollower } from '../pipe/follower.ts';
import type { ProxyOptions } from '../proxy/machine.ts';

/** A subscriber; the second takes the place of the first. */
const WAITING_MAX = 2;
/** How long nobody needs it before it ends. Our choice: a subscriber that starts anew is back by then. */
const UNNEEDED_MS = 10_000;

export interface ReleaseSource extends Pick<ProxyOptions, 'judge' | 'opens' | 'mayBePrivate'> {
  /** Nobody is connected, and no release needs it; only where connecting starts it again. */
  readonly unneeded?: Promise<void>;
  close(): Promise<void>;
}

/** Throws ProgramError where the socket cannot be had. */
export async function followReleases(
  at: { readonly path: string; readonly descriptor?: number | undefined },
  mode: number,
  logger: Logger,
  options: Pick<FollowerOptions, 'nowS' | 'counts' | 'onListen' | 'fault'>,
): Promise<ReleaseSource> {
  const follower = new NameFollower({
    key: () => randomBytes(TABLE_KEY_BYTES),
    ...options,
    turn: systemTurn,
    onTurn: (number) => logger.info({ number }, 'judges names by a release'),
  });
  const paced = new PacedLog(logger, () => STEADY_CLOCK.monotonicMs());
  const listener = await listenAt(at, mode, paced);
  let onUnneeded: (() => void) | undefined;
  let unneeded: Promise<void> | undefined;
  if (at.descriptor !== undefined) {
    unneeded = new Promise<void>((resolve) => {
      onUnneeded = () => {
        logger.info('no release needs names');
        void listener.close(); // who connects from now on starts another
        resolve();
      };
    });
  }
  void serveForever(listener, follower, paced, onUnneeded);
  return {
    ...(unneeded && { unneeded }),
    judge: (asker, name, at, aliases) => follower.judge(asker, name, at, aliases),
    mayBePrivate: (name, at) => follower.mayBePrivate(name, at),
    opens: (asker, name, at, aliases) => follower.opens(asker, name, at, aliases),
    close: () => listener.close(),
  };
}

async function listenAt(
  { path: given, descriptor }: Parameters<typeof followReleases>[0],
  mode: number,
  logger: PacedLog,
): Promise<Listener> {
  const path = resolve(given);
  const onError = (error: Error): void => logger.warn({ err: error }, 'a subscriber could not connect');
  try {
    return await listen(
      { kind: 'unix', path },
      {
        backlog: WAITING_MAX,
        mode,
        onError,
        ...(descriptor !== undefined && { descriptor }),
      },
    );
  } catch (cause) {
    if (cause instanceof EndpointError || (cause instanceof Error && 'code' in cause))
      throw new ProgramError(EXIT_FAILED, `--releases ${path}: ${cause.message}`, { cause });
    throw cause;
  }
}

/** Follows who connects. `onUnneeded` is called once nobody needs it any more. */
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
