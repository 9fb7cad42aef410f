/**
 * `rulecast-publisher`: the publisher as a process. Reads the command line, opens the endpoints, stops in
 * order.
 */

import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import type { PublisherConfig } from '@rulecast/formats';
import {
  DirectoryError,
  EXIT_FAILED,
  endSoon,
  goneOptions,
  mapLargeBlocks,
  type Output,
  openLog,
  ProgramError,
  runProgram,
  serviceManager,
  stopSignal,
  usageError,
} from '@rulecast/program';
import { type Identity, IdentityError, readIdentity } from '@rulecast/program/identity';
import { LockedError, lockDirectory } from '@rulecast/program/lock';
import { formatTrust, SUBSCRIBERS_MAX } from '@rulecast/protocol';
import { inTurns, isPartName } from '@rulecast/rules';
import { Pace, type Service } from '@rulecast/sessions';
import { ProxyError, SYSTEM_CLOCK } from '@rulecast/sources';
import { EndpointError, EndpointInUseError, openCurveKeyPair } from '@rulecast/vchan';
import { type Logger, pino } from 'pino';
import type { House } from './control/parts.ts';
import { readConfigFile } from './daemon/config-file.ts';
import { countFirewalls } from './daemon/counting.ts';
import { openMirror } from './daemon/mirror.ts';
import { argv, defaults, version as programVersion } from './daemon/options.ts';
import { placesFor } from './daemon/places.ts';
import { type Settings, SettingsError, settingsOf } from './daemon/settings.ts';
import { SourcesLink } from './daemon/sources-link.ts';
import { DepotError } from './depot/files.ts';
import { SYSTEM_HOST } from './host.ts';
import { dnsResolver, withFixedNames } from './names/resolve.ts';
import { Publisher } from './release/publisher.ts';
import { serveRequests } from './requests/serve.ts';
import { serveSubscribers } from './sessions/host.ts';
import { SignerLink } from './signer/link.ts';
import { SignerError } from './signer/signer.ts';
import { AuditLog } from './store/audit-log.ts';
import { openStateOf } from './store/state.ts';
import { StoreError } from './store/store.ts';

/** EX_CONFIG of sysexits.h, as `--help` says. */
const EXIT_CONFIG = 78;
/** The time that a starting publisher gets to create its identity, and the interval of looks. */
const IDENTITY_WAIT_MS = 10_000;
const IDENTITY_LOOK_MS = 50;

await runProgram('rulecast-publisher', main);

async function main(out: Output): Promise<void> {
  const log = await openLog();
  const logger = pino({ name: 'rulecast-publisher', level: argv.logLevel }, log);
  try {
    if (argv.printCurve) {
      if (argv.curveKey === undefined) throw usageError('--print-curve goes with --curve-key FILE');
      return out.line(openCurveKeyPair(argv.curveKey).publicKey);
    }
    for (const text of goneOptions('rulecast-publisher', argv)) logger.warn(text);
    const config = argv.config === undefined ? undefined : readConfig(argv.config);
    const settings = settingsOf(argv, config, argv.config, defaults);
    if (!isPartName(settings.name))
      throw usageError(`--name ${settings.name}: 1 to 63 of A-Z a-z 0-9 . _ -, the first a letter or digit`);
    if (argv.printTrust) return out.line(formatTrust(await identityOnceThere(settings.identityFile)));
    const signer = new SignerLink({
      endpoint: settings.signer,
      clock: SYSTEM_CLOCK,
      logger,
      onText: (text) => log.write(text),
    });
    const resolve = withFixedNames(settings.fixedNames, dnsResolver(settings.dnsServers, settings));
    const lock = lockDirectory(settings.stateDirectory);
    const { startOver, setAside } = argv;
    if (startOver && setAside)
      throw usageError('--start-over is for a store that is lost, --set-aside for one that is there');
    if (argv.init) {
      const { identity, store } = await openStateOf(signer, { ...settings, setAside }, Date.now());
      await store.close();
      signer.close();
      out.line(formatTrust(identity));
      return lock.release();
    }
    const manager = serviceManager(process.env, (error) => {
      logger.warn({ err: error }, 'the service manager could not be told');
    });
    const audit = new AuditLog({ stateDirectory: settings.stateDirectory, logger, nowMs: Date.now });
    const { control, open } = await listenForControl(settings, logger);
    const state = await openStateOf(signer, { ...settings, startOver, setAside }, Date.now());
    const head = await inTurns(state.store.loadPieces(state.identity), SYSTEM_HOST.turn);
    const publisher = new Publisher({
      ...settings,
      state: { ...state, head },
      signer,
      resolve,
      logger,
      startOver,
      audit: (entry) => audit.add(entry),
    });
    await mapLargeBlocks();
    await publisher.renew();
    const sources = config === undefined ? undefined : newSources(publisher, config, settings, audit);
    const mirror = await openMirror(publisher, config?.depot, settings.fleet);
    const own = { places: placesOf(settings, logger), relays: mirror.relays };
    const sessions = await serveSubscribers(publisher, settings.listen, { ...settings, ...own });
    const counting = countFirewalls(publisher, sessions.ask);
    open({ publisher, ask: sessions.ask, sources, ...mirror, version: programVersion });
    const { epoch, version } = publisher.head?.manifest ?? { epoch: 0, version: 0 };
    const stop = stopSignal(); // before the program is announced as running, and may be stopped
    logger.info({ epoch, version, listen: settings.listenTexts, control: settings.controlTexts }, 'ready');
    manager.ready();
    if (sources === undefined) publisher.rules.name(undefined); // without it, its parts may be pushed
    await sources?.start();
    await stop;
    manager.stopping();
    logger.info('stopping');
    await control.close();
    counting.close();
    await sources?.close();
    await sessions.close();
    await mirror.close();
    await publisher.close();
    signer.close();
    await audit.close();
    lock.release();
    endSoon(); // whatever is being resolved
  } catch (error) {
    throw endOf(error);
  }
}

/**
 * Serves `rulectl` from the start, as loading a million names takes seconds. `open` hands over what requests
 * are answered from.
 */
async function listenForControl(
  { control: endpoints, controlCurve: curve, operators }: Settings,
  logger: Logger,
): Promise<{ readonly control: Service; readonly open: (house: House) => void }> {
  let open: (house: House) => void = () => undefined;
  const house = new Promise<House>((resolve) => {
    open = resolve;
  });
  const host = { ...SYSTEM_HOST, logger, pace: new Pace(SYSTEM_HOST.turn) };
  return { control: await serveRequests(host, endpoints, house, { curve, operators }), open };
}

/** Places for subscribers; logs a warning if the limit of open files leaves too few. */
function placesOf({ bindings }: Settings, logger: Logger): number {
  const places = placesFor(limitsOfProcess(), bindings.all.length);
  if (places < SUBSCRIBERS_MAX) {
    const text = `there is room for ${places} subscribers, and not ${SUBSCRIBERS_MAX}: raise the limit of open files (LimitNOFILE= of the unit, ulimit -n)`;
    logger.warn({ places }, text);
  }
  return places;
}

/** Undefined if the kernel does not tell. */
function limitsOfProcess(): string | undefined {
  try {
    return readFileSync('/proc/self/limits', 'utf8');
  } catch {
    return undefined;
  }
}

/** The identity of a publisher, which may be making it just now. Makes none. Throws IdentityError. */
async function identityOnceThere(file: string): Promise<Identity> {
  for (let waitedMs = 0; waitedMs <= IDENTITY_WAIT_MS; waitedMs += IDENTITY_LOOK_MS) {
    const identity = readIdentity(file);
    if (identity !== undefined) return identity;
    await sleep(IDENTITY_LOOK_MS);
  }
  throw new IdentityError(
    `there is no identity file ${file}: is --state that of your publisher? Its first start makes one, and so does --init`,
  );
}

/** An error that the user can mend, as a message that ends the program; any other error unchanged. */
function endOf(error: unknown): unknown {
  if (error instanceof EndpointError && error.code === 'needs-curve') {
    return usageError(`${error.message} (--curve-key FILE with --curve-peer or --curve-control-peer)`);
  }
  const isEndpoint = error instanceof EndpointError && error.code !== 'cannot-listen';
  if (isEndpoint || error instanceof SettingsError) return usageError(error.message, { cause: error });
  if (error instanceof EndpointError) {
    const isForbidden = /\b(?:EACCES|EPERM|EROFS)\b/.test(causeText(error));
    const hint = isForbidden ? ': name a place for this user with --listen and --control' : '';
    return failed(`${error.message}${hint}`, error);
  }
  const isExpected =
    error instanceof IdentityError ||
    error instanceof SignerError ||
    error instanceof StoreError ||
    error instanceof DepotError ||
    error instanceof LockedError ||
    error instanceof DirectoryError ||
    error instanceof ProxyError ||
    error instanceof EndpointInUseError;
  if (!isExpected) return error;
  const why = error instanceof DirectoryError ? '' : causeText(error);
  return failed(`${error.message}${why}`, error);
}

function failed(message: string, cause: Error): ProgramError {
  return new ProgramError(EXIT_FAILED, message, { cause });
}

/** The configuration. Throws ProgramError with every fault of it. */
function readConfig(file: string): PublisherConfig {
  const read = readConfigFile(file);
  if (read.kind === 'config') return read.config;
  const faults = read.rejects.map(
    ({ line, column, code, reason }) => `\n${file}:${line}:${column}: ${code}: ${reason}`,
  );
  const text = `the configuration is refused (${read.rejectCount} at fault):${faults.join('')}`;
  throw new ProgramError(EXIT_CONFIG, text);
}

function newSources(
  publisher: Publisher,
  config: PublisherConfig,
  settings: Settings,
  audit: AuditLog,
): SourcesLink {
  const { stateDirectory, peers } = settings;
  return new SourcesLink({ publisher, config, configFile: argv.config, stateDirectory, peers, audit });
}

function causeText(error: Error): string {
  return error.cause instanceof Error ? ` (${error.cause.message})` : '';
}
