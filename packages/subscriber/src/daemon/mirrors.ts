/**
 * Releases from mirrors of a depot, in place of a publisher: a session within this process, whose other side
 * reads the mirrors. The subscriber accepts and refuses the same as with a publisher.
 */

import { DepotFeed, depotHost, type FeedOptions, HttpSource, isMirrorUrl, Reporter } from '@rulecast/depot';
import { EXIT_FAILED, PacedLog, ProgramError, usageError } from '@rulecast/program';
import { IdentityError } from '@rulecast/program/identity';
import { readReportKey } from '@rulecast/program/report-key';
import { readAuthorities } from '@rulecast/program/trust';
import { type ByteStream, Connection, ErrorCode, type SteadyClock } from '@rulecast/protocol';
import { isPartName } from '@rulecast/rules';
import { Pace, type SessionHost, SubscriberSession, Subscribers } from '@rulecast/sessions';
import { createMemoryPair } from '@rulecast/vchan';

/** Three reports may be lost before the release in force counts as stale. Our choice. */
const REPORT_EVERY_MS = 300_000;
const STALE_AFTER_MS = 3 * REPORT_EVERY_MS;

/** Files named on the command line. */
export interface MirrorFiles {
  readonly ca: string | undefined;
  readonly reportToken: string | undefined;
}

/** The mirrors, from their URLs and the options of the command line. Throws ProgramError. */
export function readMirrors(
  urls: readonly string[],
  { ca, reportToken }: MirrorFiles,
  clock: SteadyClock,
  logger: MirrorsOptions['logger'],
): Pick<MirrorsOptions, 'name' | 'sources' | 'token'> {
  const wrong = urls.find((url) => !isMirrorUrl(url));
  if (wrong !== undefined)
    throw usageError(`--connect ${wrong}: beside a mirror only mirrors go, each as https://rules.example/`);
  const certificates = readAuthorities(ca);
  const sources = urls.map((url) => new HttpSource(url, { ca: certificates, clock }));
  for (const { name } of sources.filter((source) => source.name.startsWith('http:')))
    logger.warn({ mirror: name }, 'not encrypted: anybody on the way can read or withhold releases');
  const host = new URL(urls[0] ?? '').hostname;
  return {
    name: isPartName(host) ? host : 'mirror',
    sources,
    token: reportToken === undefined ? undefined : readToken(reportToken),
  };
}

function readToken(path: string): Uint8Array {
  try {
    return readReportKey(path);
  } catch (error) {
    if (!(error instanceof IdentityError)) throw error;
    throw new ProgramError(EXIT_FAILED, `--report-token: ${error.message}`, { cause: error });
  }
}

export interface MirrorsOptions extends Omit<FeedOptions, 'logger'>, Pick<SessionHost, 'logger' | 'nowMs'> {
  /** Shown in place of the publisher's. */
  readonly name: string;
  /** The report token of this subscriber; undefined: no freshness is confirmed, and nothing is reported. */
  readonly token: Uint8Array | undefined;
  readonly turn: ConstructorParameters<typeof Pace>[0];
}

export interface Mirrors {
  /** Rejects with SourceError where no mirror has a release. */
  readonly channel: () => Promise<ByteStream>;
  /** Overrides the value for sessions. */
  readonly staleAfterMs: number;
  /** Aborts requests to mirrors. */
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
  feed.on('roots', () => {
    reporter?.restart();
    session?.stop({ code: ErrorCode.moreRoots, text: 'there is another root', retryAfterMs: 0 });
  });
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
