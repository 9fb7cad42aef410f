/**
 * Releases from mirrors of a depot, in place of a publisher: a session within this process, whose other side
 * reads the mirrors. What the subscriber takes of it, and what it refuses, is as with a publisher.
 */

import { DepotFeed, depotHost, type FeedOptions, Reporter } from '@rulecast/depot';
import { PacedLog } from '@rulecast/program';
import { type ByteStream, Connection, ErrorCode } from '@rulecast/protocol';
import { Pace, type SessionHost, SubscriberSession, Subscribers } from '@rulecast/sessions';
import { createMemoryPair } from '@rulecast/vchan';

/** Our choice: three reports may be lost before what is in force is stale. */
const REPORT_EVERY_MS = 300_000;
const STALE_AFTER_MS = 3 * REPORT_EVERY_MS;

export interface MirrorsOptions extends Omit<FeedOptions, 'logger'>, Pick<SessionHost, 'logger' | 'nowMs'> {
  /** Shown in place of the publisher's. */
  readonly name: string;
  /** Of this subscriber; undefined: nobody says what is newest, and nothing is reported. */
  readonly token: Uint8Array | undefined;
  readonly turn: ConstructorParameters<typeof Pace>[0];
}

export interface Mirrors {
  /** Rejects with SourceError where no mirror has a release. */
  readonly channel: () => Promise<ByteStream>;
  /** In place of what is so by session. */
  readonly staleAfterMs: number;
  /** Ends what waits for a mirror. */
  close(): Promise<void>;
}

export function openMirrors({ name, token, turn, ...options }: MirrorsOptions): Mirrors {
  const { trust, clock, logger } = options;
  const { lineage } = trust;
  const feed = new DepotFeed(options);
  const subscribers = new Subscribers(logger);
  const newest = (): Uint8Array | undefined => feed.release?.hash;
  const reporting = { ...options, lineage, subscribers, newest, everyMs: REPORT_EVERY_MS, batchMs: 0 };
  const reporter = token && new Reporter({ ...reporting, token });
  const host = depotHost({ ...options, name, lineage, subscribers, feed, reporter, pace: new Pace(turn) });
  const log = new PacedLog(logger, () => clock.monotonicMs());
  let session: SubscriberSession | undefined;
  feed.on('release', () => session?.published());
  feed.on('roots', () =>
    session?.stop({ code: ErrorCode.moreRoots, text: 'there is another root', retryAfterMs: 0 }),
  );
  feed.start();
  const channel = async (): Promise<ByteStream> => {
    await feed.ready();
    const { server, client } = createMemoryPair();
    session = new SubscriberSession(
      new Connection(server, { after: clock.after }),
      host,
      log,
      async () => undefined,
    );
    session.run().catch((error: unknown) => {
      logger.error({ err: error }, 'the session with the mirrors failed');
      server.close();
    });
    return client;
  };
  return { channel, staleAfterMs: STALE_AFTER_MS, close: () => feed.close() };
}
