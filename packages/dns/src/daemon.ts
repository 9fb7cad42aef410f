/**
 * `rulecast-dns`: the proxy as a process. It judges names by the releases of a subscriber, or by a rule set
 * document on this machine.
 */

import { randomBytes, X509Certificate } from 'node:crypto';
import { setImmediate } from 'node:timers/promises';
import {
  EXIT_FAILED,
  openLog,
  ProgramError,
  readSmallFile,
  runProgram,
  serviceManager,
  stopSignal,
} from '@rulecast/program';
import { type Logger, pino } from 'pino';
import { type BlockedLine, blockedLog } from './daemon/blocked-log.ts';
import { drawnAhead } from './daemon/chance.ts';
import {
  argv,
  blockedLogShare,
  listenEndpoints,
  socketsOf,
  sourceOf,
  upstreamFile,
  upstreamsOf,
} from './daemon/options.ts';
import { Places } from './daemon/places.ts';
import { followReleases, type ReleaseOptions } from './daemon/releases.ts';
import { judgeOfFile, RulesError } from './daemon/rules.ts';
import type { NameJudge } from './judge/judge.ts';
import type { ProxyOptions } from './proxy/machine.ts';
import { DnsServer } from './proxy/server.ts';

/** The source of verdicts on names. */
type Source = Pick<ProxyOptions, 'judge' | 'opens' | 'mayBePrivate'>;

/** Ten times the usual size of a system's certificates. */
const CERTIFICATES_MAX_BYTES = 4_194_304;

const TROUBLES: Readonly<Record<string, string>> = {
  dnsDown: 'an upstream does not answer: others are asked in its place',
  dnsCrowded:
    'there is no room for all addresses that qubes are told: answers go without some, or are SERVFAIL',
  dnsBeyond: 'a qube asks more than may wait, or more than 500 questions a second: some are not answered',
};

await runProgram('rulecast-dns', main);

async function main(): Promise<void> {
  const logger = pino({ name: 'rulecast-dns', level: argv.logLevel }, await openLog());
  const manager = serviceManager(process.env, (error) => {
    logger.warn({ err: error }, 'the service manager could not be told');
  });
  const [listen, sockets, file] = [listenEndpoints(), socketsOf(), upstreamFile()];
  const upstreams = upstreamsOf();
  const asked = (): readonly string[] =>
    file === undefined ? argv.upstream : places.upstreams.map(({ address }) => address);
  const oneOf = blockedLogShare();
  const { kind, path, descriptor } = sourceOf();
  const upstreamCa = argv.upstreamCa === undefined ? undefined : certificatesOf(argv.upstreamCa);
  const mode = Number.parseInt(argv.releasesMode, 8);
  const releaseOptions: ReleaseOptions = {
    nowS,
    counts: () => ({ ...places.counters, ...server.counters }),
    onListen: (group) => places.listenFor(group),
    fault: () => places.fault,
  };
  const releases = kind === 'releases' ? followReleases(logger, releaseOptions) : undefined;
  const source = releases?.source ?? (await followFile(path, logger));
  const log = (line: BlockedLine): void => logger.info(line, 'blocked');
  const blockedInLog =
    oneOf === undefined ? undefined : blockedLog({ oneOf, random: Math.random, nowMs, log });
  const server = await DnsServer.listen({
    listen,
    sockets,
    upstreams,
    ...(upstreamCa !== undefined && { upstreamCa }),
    tellOfUpstream: (index, reason) => {
      const upstream = asked()[index];
      if (reason === undefined) logger.info({ upstream }, 'the upstream is connected to again');
      else logger.warn({ upstream, reason }, 'the upstream cannot be connected to');
    },
    tellOfTrouble: (name, isOver) => {
      const [kind = '', number] = name.split('.');
      const fields = number === undefined ? {} : { upstream: asked()[Number(number) - 1] };
      logger[isOver ? 'info' : 'warn'](
        fields,
        `${TROUBLES[kind]}${isOver ? ': no more, for a minute now' : ''}`,
      );
    },
    ...source,
    ...(argv.openings !== undefined && { openings: argv.openings }),
    randomBytes: drawnAhead(randomBytes),
    nowMs,
    tellOfBlocked(...question) {
      blockedInLog?.(...question);
      releases?.tellOfBlocked(...question);
    },
  });
  const places = new Places(server, { listen, isInNamespace: sockets.length > 0, upstreams, file, logger });
  const socket = await releases?.serve({ path, descriptor }, mode);
  const stop = stopSignal(); // before the program is announced as running, and may be stopped
  logger.info({ listen: argv.listen, upstream: asked(), [kind]: path }, 'ready');
  manager.ready();
  await Promise.race([stop, socket?.ended ?? stop]);
  manager.stopping();
  logger.info({ ...server.counts }, 'stopping');
  places.close();
  await server.close();
  await socket?.close();
  process.exit(0); // whatever is being read
}

/** The text of a file of certificates. Throws ProgramError if it has none, or anything else. */
function certificatesOf(file: string): string {
  try {
    const text = readSmallFile(file, CERTIFICATES_MAX_BYTES).toString('latin1');
    const all = text.match(/-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g) ?? [];
    for (const one of all) new X509Certificate(one);
    if (all.length > 0) return all.join('\n');
    throw new TypeError('it has no certificates as PEM');
  } catch (error) {
    const said = error instanceof Error ? error.message : String(error);
    throw new ProgramError(EXIT_FAILED, `--upstream-ca ${file}: ${said}`, { cause: error });
  }
}

function nowMs(): number {
  return performance.now();
}

function nowS(): number {
  return Math.floor(Date.now() / 1000);
}

/** The rule set document of this machine, read again at SIGHUP. */
async function followFile(file: string, logger: Logger): Promise<Source> {
  let judge = await firstJudge(file);
  let [isReading, isAsked] = [false, false];
  process.on('SIGHUP', async () => {
    isAsked = true; // however often, while one is read: once more
    if (isReading) return;
    isReading = true;
    while (isAsked) {
      isAsked = false;
      judge = (await nextJudge(file, logger)) ?? judge;
    }
    isReading = false;
  });
  return {
    judge: (asker, name, at, aliases) => judge.judge(asker, name, at, aliases, { now: nowS() }),
    mayBePrivate: (name, at) => judge.mayBePrivate(name, at),
  };
}

/** The judge of the document, made while questions are answered. */
async function newJudge(file: string): Promise<NameJudge> {
  const steps = judgeOfFile(file, nowS());
  for (;;) {
    const { done, value } = steps.next();
    if (done === true) return value;
    await setImmediate();
  }
}

async function firstJudge(file: string): Promise<NameJudge> {
  try {
    return await newJudge(file);
  } catch (error) {
    if (!(error instanceof RulesError)) throw error;
    throw new ProgramError(EXIT_FAILED, error.message, { cause: error });
  }
}

/** Undefined if the document cannot be read: the one before stays. */
async function nextJudge(file: string, logger: Logger): Promise<NameJudge | undefined> {
  try {
    const judge = await newJudge(file);
    logger.info({ rules: file }, 'the rules were read again');
    return judge;
  } catch (error) {
    const said = error instanceof Error ? error.message : String(error);
    logger.error({ rules: file, reason: said }, 'the rules cannot be used: those before hold');
    return undefined;
  }
}
