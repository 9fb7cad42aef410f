/** `rulecast-publisher`: the publisher as a process. Reads the command line, opens the endpoints, stops in order. */

import { homedir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { PublisherConfig } from '@rulecast/formats';
import {
  DirectoryError,
  defaultEndpoints,
  EXIT_FAILED,
  LockedError,
  LogStream,
  lockDirectory,
  type Output,
  ProgramError,
  programOptions,
  runProgram,
  stateHome,
  stopSignal,
  strictYargs,
  usageError,
} from '@rulecast/program';
import { formatTrust } from '@rulecast/protocol';
import { isPartName } from '@rulecast/rules';
import { ProxyError } from '@rulecast/sources';
import { EndpointError, EndpointInUseError, openCurveKeyPair } from '@rulecast/vchan';
import { pino } from 'pino';
import { readConfigFile } from './daemon/config-file.ts';
import { type Settings, SettingsError, settingsOf } from './daemon/settings.ts';
import { SourcesLink } from './daemon/sources-link.ts';
import { dnsResolver, withFixedNames } from './names/resolve.ts';
import { Publisher } from './release/publisher.ts';
import { serveControl } from './requests/serve.ts';
import { serveSubscribers } from './session/serve.ts';
import { AuditLog } from './store/audit-log.ts';
import { type Identity, IdentityError, readIdentity } from './store/identity.ts';
import { openState } from './store/state.ts';
import { STORE_DEFAULTS, StoreError, type StoreOptions } from './store/store.ts';

/** EX_CONFIG of sysexits.h, as `--help` says. */
const EXIT_CONFIG = 78;
/** How long a publisher that is just starting may take to make its identity, and how often to look. */
const IDENTITY_WAIT_MS = 10_000;
const IDENTITY_LOOK_MS = 50;
const DAY_MS = 86_400_000;
const MIB = 2 ** 20;

const owner = { uid: process.getuid?.() ?? 0, home: homedir() };
const defaults = {
  ...defaultEndpoints(process.env),
  state: join(stateHome(process.env, owner), 'publisher'),
};

const cli = strictYargs('rulecast-publisher', new URL('../package.json', import.meta.url))
  .usage('$0 [options]\n\nKeeps the rule set of one lineage and carries it to its subscribers.')
  .option('config', {
    type: 'string',
    requiresArg: true,
    describe: 'Configuration file: where to listen, and the lists to keep fresh. Options here override it',
  })
  .option('state', {
    type: 'string',
    requiresArg: true,
    defaultDescription: defaults.state,
    describe: 'Directory of the identity and the store',
  })
  .option('listen', {
    type: 'string',
    requiresArg: true,
    array: true,
    defaultDescription: defaults.subscribers,
    describe: 'Endpoint for subscribers; may be given again',
  })
  .option('control', {
    type: 'string',
    requiresArg: true,
    defaultDescription: defaults.control,
    describe: 'Endpoint for rulectl',
  })
  .option('name', {
    type: 'string',
    requiresArg: true,
    defaultDescription: 'publisher',
    describe: 'Name that subscribers see',
  })
  .option('resolve', {
    type: 'string',
    requiresArg: true,
    array: true,
    default: [] as string[],
    describe: 'NAME=ADDRESS[,ADDRESS]: answers this name without DNS; may be given again',
  })
  .option('dns-server', {
    type: 'string',
    requiresArg: true,
    array: true,
    describe: 'Ask this server instead of those of resolv.conf',
  })
  .option('private-zone', {
    type: 'string',
    requiresArg: true,
    array: true,
    default: [] as string[],
    describe: 'Names of this zone may stand for private addresses; may be given again',
  })
  .option('curve-key', {
    type: 'string',
    requiresArg: true,
    describe: 'File of the secret key of zmq+tcp: and zmq+ipc: endpoints, for their own user alone',
  })
  .option('curve-peer', {
    type: 'string',
    requiresArg: true,
    array: true,
    describe: 'Public key of a subscriber to admit, or a file of such keys; may be given again',
  })
  .option('curve-control-peer', {
    type: 'string',
    requiresArg: true,
    array: true,
    describe: 'Likewise, of a rulectl to admit at the control endpoint',
  })
  .option('print-curve', {
    type: 'boolean',
    default: false,
    describe: 'Print the public key of --curve-key FILE, making the file if need be, and exit',
  })
  .option('print-trust', {
    type: 'boolean',
    default: false,
    describe:
      'Print the trust line for subscribers, of a publisher that has started or is just starting, and exit',
  })
  .option('init', {
    type: 'boolean',
    default: false,
    describe: 'Make the identity and an empty store where there are none, print the trust line, and exit',
  })
  .option('start-over', {
    type: 'boolean',
    default: false,
    describe:
      'Once, where the store is lost and the identity is not: begin with an empty store, in a new epoch',
  })
  .option('auto-epoch', {
    type: 'boolean',
    default: false,
    describe:
      'Where a subscriber proves a newer release, go on by itself in a new epoch with the content that is here',
  })
  .option('archive-days', {
    type: 'number',
    requiresArg: true,
    default: STORE_DEFAULTS.historyAgeMs / DAY_MS,
    describe: 'Releases can be gone back to for so long after they were replaced, …',
  })
  .option('archive-releases', {
    type: 'number',
    requiresArg: true,
    default: STORE_DEFAULTS.historyReleases,
    describe: '… at most so many, …',
  })
  .option('archive-mib', {
    type: 'number',
    requiresArg: true,
    default: STORE_DEFAULTS.historyBytes / MIB,
    describe:
      '… and of so many MiB; snapshots take about as much again. However many come, the last of each of 14 days and of each week stays',
  })
  .option('wire-history-mib', {
    type: 'number',
    requiresArg: true,
    default: STORE_DEFAULTS.chainBytes / MIB,
    describe: 'Deltas are kept for subscribers up to so many MiB, however old they are',
  })
  .option('log-level', {
    requiresArg: true,
    choices: ['trace', 'debug', 'info', 'warn', 'error', 'silent'] as const,
    default: 'info' as const,
    describe: 'Logs are JSON lines on standard error',
  })
  .example('$0 --state ./publisher', 'Listen where rulectl and subscribers of this host look')
  .example('$0 --state ./publisher --init', 'Make its state before the first start')
  .example('$0 --state ./publisher --print-trust', 'The line to give to rulecast-subscriber --trust')
  .example(
    '$0 --config /etc/rulecast/publisher.yaml',
    'Keep lists fresh; rulectl config check FILE checks it',
  )
  .example('$0 --listen unix:/run/rulecast/fw.sock?buffer=256KiB', 'Another endpoint, larger buffers')
  .example(
    '$0 --listen zmq+tcp:192.0.2.1:4711 --curve-key publisher.key --curve-peer firewall.pub',
    'Beyond this host, encrypted, for the subscribers whose public keys firewall.pub holds',
  )
  .epilogue(
    'Environment: feeds are fetched through the proxy of https_proxy, http_proxy or all_proxy (a URL, or "qubes" for the update proxy of ' +
      'Qubes at 127.0.0.1:8082), except from the hosts of no_proxy; NODE_EXTRA_CA_CERTS names a file of further certificates to trust.\n\n' +
      'Names in rules are asked for again when their time to live ends (30 s to 1 h). One that does not resolve keeps its addresses: in ' +
      'drop rules for good, in accept rules for 24 h. Private addresses of names of the Internet are left out.\n\n' +
      'Exit codes: 0 stopped by SIGINT or SIGTERM, 1 the state or an endpoint cannot be used, 64 usage, 70 a bug, 74 the output cannot be ' +
      'written, 78 the configuration is refused.',
  );

const argv = programOptions('rulecast-publisher', cli, {
  repeatable: ['listen', 'resolve', 'dns-server', 'private-zone', 'curve-peer', 'curve-control-peer'],
  variables: process.env,
});

await runProgram('rulecast-publisher', main);

async function main(out: Output): Promise<void> {
  const logger = pino({ name: 'rulecast-publisher', level: argv.logLevel }, new LogStream(2));
  try {
    if (argv.printCurve) {
      if (argv.curveKey === undefined) throw usageError('--print-curve goes with --curve-key FILE');
      return out.line(openCurveKeyPair(argv.curveKey).publicKey);
    }
    const config = argv.config === undefined ? undefined : readConfig(argv.config);
    const settings = settingsOf(argv, config, argv.config, defaults);
    if (!isPartName(settings.name))
      throw usageError(`--name ${settings.name}: 1 to 63 of A-Z a-z 0-9 . _ -, the first a letter or digit`);
    if (argv.printTrust) return out.line(formatTrust(await identityOnceThere(settings.identityFile)));
    const resolve = withFixedNames(settings.fixedNames, dnsResolver(settings.dnsServers, settings));
    const lock = await lockDirectory(settings.stateDirectory);
    if (argv.init) {
      const { identity, store } = openState(settings, Date.now());
      await store.close();
      out.line(formatTrust(identity));
      return await lock.release();
    }
    const { startOver, autoEpoch } = argv;
    const audit = new AuditLog({ stateDirectory: settings.stateDirectory, logger });
    const publisher = new Publisher({
      ...settings,
      resolve,
      logger,
      startOver,
      autoEpoch,
      audit: (entry) => audit.add(entry),
      ...storeOptions(),
    });
    const sources = config === undefined ? undefined : newSources(publisher, config, settings, audit);
    const sessions = await serveSubscribers(publisher, settings.listen, settings);
    const control = await serveControl(publisher, settings.control, sessions.ask, {
      sources,
      curve: settings.controlCurve,
    });
    const { epoch, version } = publisher.head?.manifest ?? { epoch: 0, version: 0 };
    const stop = stopSignal(); // before anybody is told that it runs, and may end it
    logger.info({ epoch, version, listen: settings.listenTexts, control: settings.controlText }, 'ready');
    await sources?.start();
    await stop;
    logger.info('stopping');
    await control.close();
    await sources?.close();
    await sessions.close();
    await publisher.close();
    await audit.close();
    await lock.release();
  } catch (error) {
    throw endOf(error);
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

/** What a person can do something about, as the end of the program; anything else as it is. */
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
    error instanceof StoreError ||
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

/** What is kept of the past, as the options say. */
function storeOptions(): StoreOptions {
  for (const option of ['archive-days', 'archive-releases', 'archive-mib', 'wire-history-mib'] as const) {
    const value: unknown = argv[option];
    if (typeof value === 'number' && value >= 0 && value <= Number.MAX_SAFE_INTEGER / DAY_MS) continue;
    throw usageError(`--${option}: write a number, 0 or more`);
  }
  return {
    historyAgeMs: argv.archiveDays * DAY_MS,
    historyReleases: argv.archiveReleases,
    historyBytes: argv.archiveMib * MIB,
    chainBytes: argv.wireHistoryMib * MIB,
  };
}

function causeText(error: Error): string {
  return error.cause instanceof Error ? ` (${error.cause.message})` : '';
}
