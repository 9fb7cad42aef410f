/**
 * `rulecast-subscriber`: the subscriber as a process. It verifies, compiles and answers lookups; with
 * --enforce, the kernel enforces the release too.
 */

import { existsSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import type { NameFeed } from '@rulecast/dns/feed';
import type { AskPlans } from '@rulecast/nftables';
import {
  DirectoryError,
  EXIT_FAILED,
  goneOptions,
  type Output,
  openLog,
  ProgramError,
  runProgram,
  serviceManager,
  stopSignal,
  usageError,
} from '@rulecast/program';
import { LockedError, lockDirectory } from '@rulecast/program/lock';
import { readTrust } from '@rulecast/program/trust';
import { STEADY_CLOCK } from '@rulecast/protocol';
import { type Address, formatAddress, isPartName } from '@rulecast/rules';
import { TableEngineError } from '@rulecast/table';
import { Garbage } from '@rulecast/threads';
import { connect, EndpointError, openCurveKeyPair } from '@rulecast/vchan';
import { type Logger, pino } from 'pino';
import { RefusedError } from './apply/commit.ts';
import type { NameEnforcer } from './apply/names.ts';
import { ThreadContent } from './content/content.ts';
import { dnsSettings, followDns, readDns } from './daemon/dns.ts';
import {
  EnforcementError,
  type EnforcementOptions,
  removeEnforcement,
  startEnforcement,
  uidOf,
} from './daemon/enforcement.ts';
import { type NamesSettings, namesSettings, namesWarnings } from './daemon/names.ts';
import { argv, checkNumbers, checkUsers } from './daemon/options.ts';
import { QubesDbError, valueFrom } from './daemon/qubesdb.ts';
import { openUpstream, placesIn } from './daemon/upstream.ts';
import { createSubscriber, type Subscriber } from './peer/subscriber.ts';
import type { RefusedLog } from './refused/refused-log.ts';
import { StateError } from './state/state.ts';

/** Beside the socket while `rulecast-dns` runs, as its unit has it. */
const RUNNING = 'running';
/** Made by tmpfiles.d for the unit, which may make nothing in /run. */
const FIRST_ANSWERS = '/run/rulecast-first';
await runProgram('rulecast-subscriber', main);

async function main(out: Output): Promise<void> {
  const log = await openLog();
  const logger = pino({ name: 'rulecast-subscriber', level: argv.logLevel }, log);
  const onText = (text: string): void => log.write(text);
  if (argv.printCurve) return out.line(ownCurveKey());
  if (argv.remove) return removed();
  const manager = serviceManager(process.env, (error) => {
    logger.warn({ err: error }, 'the service manager could not be told');
  });
  const places = placesIn(argv.connect.map((place) => placed('connect', place, logger)));
  if (!isPartName(argv.name))
    throw usageError(`--name ${argv.name}: 1 to 63 of A-Z a-z 0-9 . _ -, the first a letter or digit`);
  checkNumbers();
  checkUsers();
  const naming = namesSettings(argv);
  for (const text of namesWarnings(argv)) logger.warn(text);
  for (const text of goneOptions('rulecast-subscriber', argv)) logger.warn(text);
  try {
    const dnsOf = dnsSettings(argv.dns);
    const dns = readDns(dnsOf);
    // Before there are no rights left to read them.
    const trust = readTrust(argv.trust && placed('trust', argv.trust, logger));
    const upstream = await openUpstream(places, trust, logger, onText);
    const lock =
      argv.state === undefined
        ? undefined
        : lockDirectory(argv.state, argv.user === undefined ? undefined : uidOf(argv.user));
    const content = new ThreadContent();
    const askPlans: AskPlans = async (kind, asks) =>
      (await content.ask('plans', { question: { kind, ...asks } })) as never; // of that kind
    const { sink, refused } = argv.enforce
      ? await startEnforcement({ ...enforcementOptions(logger, naming), onText, askPlans })
      : { sink: undefined, refused: undefined };
    const names = naming && (await startNames(naming, refused, logger));
    const subscriber = await createSubscriber({
      ...upstream.options,
      name: argv.name,
      trust,
      stateDirectory: argv.state,
      bootMode: argv.boot,
      staleMode: argv.stale,
      dns,
      logger,
      content,
      ...(sink && { sink }),
      ...(refused && { refused }),
      ...(names && { names }),
    });
    const garbage = new Garbage();
    garbage.sweepSoon(); // after restoring from disk
    subscriber.events.on('applied', () => garbage.sweepSoon());
    const unwatch = followDns(dnsOf, dns, (addresses) => takeDns(addresses, subscriber, logger));
    const stop = stopSignal(); // before the program is announced as running, and may be stopped
    upstream.warn(subscriber.status().version);
    logger.info({ connect: upstream.text, version: subscriber.status().version ?? 0 }, 'ready');
    manager.ready();
    await stop;
    manager.stopping();
    logger.info('stopping');
    unwatch?.();
    await names?.close(); // first: a commit may wait for it
    await upstream.close(); // first: the subscriber may wait for it
    await subscriber.close();
    await sink?.close();
    lock?.release();
  } catch (error) {
    if (error instanceof RefusedError) throw cannotEnforce(error);
    const isExpected =
      error instanceof StateError ||
      error instanceof LockedError ||
      error instanceof EnforcementError ||
      error instanceof TableEngineError ||
      error instanceof DirectoryError;
    throw isExpected ? new ProgramError(EXIT_FAILED, error.message, { cause: error }) : error;
  }
}

function cannotEnforce(cause: RefusedError): ProgramError {
  const text = `nothing can be enforced here: ${cause.message}: docs/explain/enforcement.md says what is needed`;
  return new ProgramError(EXIT_FAILED, text, { cause });
}

/** An option's value, which may be in QubesDB: there, a missing one is no usage error, as dom0 may set it. */
function placed(option: string, places: string, logger: Logger): string {
  const firstAnswers = process.getuid?.() === 0 ? FIRST_ANSWERS : undefined;
  try {
    const value = valueFrom(places, { firstAnswers, onOtherAnswer: (text) => logger.warn(text) });
    if (value !== undefined) return value;
    throw usageError(`--${option}: none of ${places} exists: write it there, or name another place`);
  } catch (error) {
    if (!(error instanceof QubesDbError || error instanceof DirectoryError)) throw error;
    throw new ProgramError(EXIT_FAILED, error.message, { cause: error });
  }
}

async function removed(): Promise<void> {
  try {
    await removeEnforcement();
  } catch (error) {
    if (!(error instanceof EnforcementError)) throw error;
    throw new ProgramError(EXIT_FAILED, error.message, { cause: error });
  }
}

function enforcementOptions(
  logger: Logger,
  naming: NamesSettings | undefined,
): Omit<EnforcementOptions, 'onText' | 'askPlans'> {
  return {
    downstreamGroup: argv.iifGroup,
    answer: argv.silent ? 'silent' : 'reject',
    flowMarks: argv.flowMarks,
    kernelMib: argv.kernelMib,
    openings: naming?.openings && resolve(naming.openings),
    sources: argv.source,
    logGroup: argv.log ? argv.logGroup : undefined,
    capturesDns: naming?.mode === 'auto',
    user: argv.user,
    applierUser: argv.applierUser,
    stateDirectory: argv.state,
    logger,
    onLost: (text) => {
      logger.fatal(`${text}; what the kernel holds stays: start this service anew, as its unit does`);
      process.exit(EXIT_FAILED);
    },
  };
}

/** Has `rulecast-dns` follow; it may come later, and go. */
async function startNames(
  { mode, socket, isGiven, isOnDemand }: NamesSettings,
  refused: RefusedLog | undefined,
  logger: Logger,
): Promise<NameEnforcer & Pick<NameFeed, 'close'>> {
  const { NameFeed } = await import('@rulecast/dns/feed');
  const path = resolve(socket);
  const feed = new NameFeed({
    channel: (signal) => connect({ kind: 'unix', path }, { signal }),
    clock: STEADY_CLOCK,
    ...(mode === 'router' && { listenGroup: argv.iifGroup }),
    ...(refused && { onBlocked: (names, lost) => refused.takeNames(names, lost) }),
    onStanding: (text, isFollowing) => logger[isFollowing ? 'info' : 'warn']({ names: path }, text),
    ...(isOnDemand && { isRunning: () => existsSync(join(dirname(path), RUNNING)) }),
  });
  return Object.assign(feed, { isThere: () => isGiven || existsSync(path) });
}

/** The key to give to the publisher; makes the key file if need be. */
function ownCurveKey(): string {
  if (argv.curveKey === undefined) throw usageError('--print-curve goes with --curve-key FILE');
  try {
    return openCurveKeyPair(argv.curveKey).publicKey;
  } catch (error) {
    throw error instanceof EndpointError ? usageError(error.message, { cause: error }) : error;
  }
}

function takeDns(addresses: readonly Address[], subscriber: Subscriber, logger: Logger): void {
  subscriber
    .setDns(addresses)
    .then(() => logger.info({ dns: addresses.map(formatAddress) }, 'took over the DNS addresses'))
    .catch((error) => logger.error({ err: error }, 'the new DNS addresses could not be taken over'));
}
