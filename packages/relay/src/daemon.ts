/**
 * `rulecast-relay`: serves subscribers by a depot, without a key. It trusts only keys reached from its trust
 * line, and its token vouches for the reports of all subscribers behind it.
 *
 *   mirrors, publisher ─▶ feed ─▶ host ─▶ sessions ◀─ subscribers
 *                     ◀─ reporter ◀───────┘
 */

import { once } from 'node:events';
import { DepotFeed, type DepotSource, depotHost, HttpSource, isMirrorUrl, Reporter } from '@rulecast/depot';
import {
  EXIT_FAILED,
  endSoon,
  type Output,
  openLog,
  ProgramError,
  runProgram,
  serviceManager,
  stopSignal,
  usageError,
} from '@rulecast/program';
import { IdentityError } from '@rulecast/program/identity';
import { readReportKey } from '@rulecast/program/report-key';
import { readAuthorities, readTrust } from '@rulecast/program/trust';
import { STEADY_CLOCK, systemTurn } from '@rulecast/protocol';
import { isPartName } from '@rulecast/rules';
import { Pace, Subscribers, serveSessions } from '@rulecast/sessions';
import {
  type CurveClientKeys,
  type CurveServerKeys,
  connect,
  curvePeerKeys,
  EndpointError,
  EndpointInUseError,
  needsCurve,
  openCurveKeyPair,
  parseEndpoint,
  readCurveKeyPair,
} from '@rulecast/vchan';
import { pino } from 'pino';
import { argv, checkOptions } from './options.ts';
import { SessionSource } from './session-source.ts';

/** Reports of a second go in one message: a firewall believes only its last four nonces, one each 5 s. */
const BATCH_MS = 1000;

await runProgram('rulecast-relay', main);

async function main(out: Output): Promise<void> {
  const log = await openLog();
  const logger = pino({ name: 'rulecast-relay', level: argv.logLevel }, log);
  try {
    if (argv.printCurve) {
      if (argv.curveKey === undefined) throw usageError('--print-curve goes with --curve-key FILE');
      return out.line(openCurveKeyPair(argv.curveKey).publicKey);
    }
    checkOptions();
    const { name, reportToken } = argv;
    if (!isPartName(name))
      throw usageError(`--name ${name}: 1 to 63 of A-Z a-z 0-9 . _ -, the first a letter or digit`);
    if (reportToken === undefined)
      throw usageError(`--report-token FILE is missing: rulectl keys token ${name} --relay makes it`);
    const trust = readTrust(argv.trust);
    const token = readReportKey(reportToken);
    const endpoints = argv.listen.map(parseEndpoint);
    const curve = serverKeys();
    const sources = argv.from.map((from) => sourceOf(from, name, (text) => log.write(text)));
    for (const from of argv.from)
      if (/^http:/i.test(from))
        logger.warn({ from }, 'not encrypted: anybody on the way can read the rules: write https:');
    const world = { clock: STEADY_CLOCK, random: Math.random, nowMs: Date.now, logger };
    const feed = new DepotFeed({ ...world, sources, trust, pollMs: argv.poll * 1000 });
    const subscribers = new Subscribers(logger);
    const { lineage } = trust;
    const reporter = new Reporter({
      ...world,
      sources,
      lineage,
      token,
      via: name,
      everyMs: 0,
      batchMs: BATCH_MS,
      subscribers,
      newest: () => feed.release?.hash,
    });
    const pace = new Pace(systemTurn);
    const host = depotHost({ ...world, feed, name, lineage, reporter, subscribers, pace });
    const manager = serviceManager(process.env, (error) => {
      logger.warn({ err: error }, 'the service manager could not be told');
    });
    const stop = stopSignal();
    manager.ready();
    // before the first release no client can be greeted, as the roots are unknown
    const first = once(feed, 'release');
    feed.start();
    await Promise.race([first, stop]);
    const served = feed.release && (await serveSessions(host, endpoints, { curve }));
    feed.on('roots', () => served?.restart());
    if (served !== undefined) logger.info({ from: argv.from, listen: argv.listen }, 'ready');
    await stop;
    manager.stopping();
    logger.info('stopping');
    await served?.close();
    await feed.close();
    endSoon(); // without waiting for requests to mirrors
  } catch (error) {
    throw endOf(error);
  }
}

function sourceOf(from: string, relay: string, onText: (text: string) => void): DepotSource {
  const clock = STEADY_CLOCK;
  if (isMirrorUrl(from)) return new HttpSource(from, { ca: readAuthorities(argv.ca), clock });
  const endpoint = parseEndpoint(from);
  if (needsCurve(endpoint) && argv.curvePeer === undefined)
    throw usageError(`--from ${from} leaves this machine: it needs --curve-key FILE and --curve-peer KEY`);
  const isZmq = endpoint.kind === 'zmq+tcp' || endpoint.kind === 'zmq+ipc';
  const keys = isZmq && argv.curvePeer !== undefined ? { curve: clientKeys(argv.curvePeer) } : {};
  return new SessionSource({ name: from, relay, clock, open: () => connect(endpoint, { ...keys, onText }) });
}

function ownKeys(): ReturnType<typeof readCurveKeyPair> {
  if (argv.curveKey !== undefined) return readCurveKeyPair(argv.curveKey);
  throw usageError('--curve-peer and --curve-client go with --curve-key FILE: each end proves who it is');
}

function clientKeys(peer: string): CurveClientKeys {
  const [serverKey, ...others] = curvePeerKeys(peer);
  if (serverKey === undefined || others.length > 0)
    throw usageError(`--curve-peer: ${peer} must hold one key`);
  return { ...ownKeys(), serverKey };
}

function serverKeys(): CurveServerKeys | undefined {
  if (argv.curveClient.length === 0) return undefined;
  return {
    secretKey: ownKeys().secretKey,
    clientKeys: [...new Set(argv.curveClient.flatMap(curvePeerKeys))],
  };
}

/** An error that the user can mend, as a message that ends the program; any other error unchanged. */
function endOf(error: unknown): unknown {
  const isCannot = error instanceof EndpointError && error.code === 'cannot-listen';
  if (error instanceof EndpointError && !isCannot) return usageError(error.message, { cause: error });
  if (isCannot || error instanceof IdentityError || error instanceof EndpointInUseError)
    return new ProgramError(EXIT_FAILED, error.message, { cause: error });
  return error;
}
