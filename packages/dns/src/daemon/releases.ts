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

/** Throws ProgramError where the socket cannot be had. */
export async function followReleases(
  path: string,
  mode: number,
  logger: Logger,
  { nowS, counts }: Pick<FollowerOptions, 'nowS' | 'counts'>,
): Promise<Pick<ProxyOptions, 'judge' | 'opens' | 'mayBePrivate'> & { close(): Promise<void> }> {
  const follower = new NameFollower({
    key: () => randomBytes(TABLE_KEY_BYTES),
    nowS,
    counts,
    turn: systemTurn,
    onTurn: (number) => logger.info({ number }, 'judges names by a release'),
  });
  const paced = new PacedLog(logger, () => STEADY_CLOCK.monotonicMs());
  const listener = await listenAt(resolve(path), mode, paced);
  void serveForever(listener, follower, paced);
  return {
    judge: (asker, name, at, aliases) => follower.judge(asker, name, at, aliases),
    mayBePrivate: (name, at) => follower.mayBePrivate(name, at),
    opens: (asker, name, at, aliases) => follower.opens(asker, name, at, aliases),
    close: () => listener.close(),
  };
}

async function listenAt(path: string, mode: number, logger: PacedLog): Promise<Listener> {
  const onError = (error: Error): void => logger.warn({ err: error }, 'a subscriber could not connect');
  try {
    return await listen({ kind: 'unix', path }, { backlog: WAITING_MAX, mode, onError });
  } catch (cause) {
    if (cause instanceof EndpointError || (cause instanceof Error && 'code' in cause))
      throw new ProgramError(EXIT_FAILED, `--releases ${path}: ${cause.message}`, { cause });
    throw cause;
  }
}

async function serveForever(listener: Listener, follower: NameFollower, logger: PacedLog): Promise<void> {
  for (;;) {
    let channel: Channel;
    try {
      channel = await listener.accept();
    } catch (error) {
      if (error instanceof ChannelClosedError) return;
      throw error;
    }
    logger.info({}, 'a subscriber is connected');
    follower.serve(channel).then(
      () => logger.warn({}, 'the subscriber is gone: what it said last holds'),
      (error) =>
        logger.error({ err: error }, 'what the subscriber says cannot be followed: what was before holds'),
    );
  }
}
