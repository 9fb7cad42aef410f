/**
 * `rulecast-subscriber`: the subscriber as a process. It verifies, compiles and answers lookups; with --enforce, it also has the
 * kernel enforce what it verified.
 */

import { hostname } from 'node:os';
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
  readSmallFile,
  runProgram,
  stopSignal,
  strictYargs,
  usageError,
} from '@rulecast/program';
import { parseTrust, type Trust } from '@rulecast/protocol';
import { type Address, formatAddress, isPartName, parseAddress } from '@rulecast/rules';
import { TableEngineError } from '@rulecast/table';
import {
  type ConnectOptions,
  connect,
  curvePeerKeys,
  type Endpoint,
  EndpointError,
  needsCurve,
  openCurveKeyPair,
  parseEndpoint,
  readCurveKeyPair,
} from '@rulecast/vchan';
import { type Logger, pino } from 'pino';
import {
  EnforcementError,
  type EnforcementOptions,
  removeEnforcement,
  startEnforcement,
} from './daemon/enforcement.ts';
import { readNameServers, watchNameServers } from './daemon/resolv-conf.ts';
import { createSubscriber, type Subscriber } from './peer/subscriber.ts';
import { StateError } from './state/state.ts';

const KERNEL_MIB_MAX = 65_536;
/** Three seconds: between looks the applier has loads to see to. */
const CHECK_MINUTES_MIN = 0.05;
/** A day. */
const CHECK_MINUTES_MAX = 1440;

/** Of a file with a trust line, which has 85 characters. */
const TRUST_MAX_BYTES = 4096;
const ENVIRONMENT = {
  prefix: 'RULECAST',
  options: [
    'trust',
    'connect',
    'curve-key',
    'curve-peer',
    'state',
    'name',
    'boot',
    'dns',
    'enforce',
    'user',
    'applier-user',
    'iif-group',
    'silent',
    'flow-marks',
    'check-minutes',
    'kernel-mib',
    'unowned',
    'log-level',
  ],
};

const cli = strictYargs('rulecast-subscriber', new URL('../package.json', import.meta.url))
  .usage(
    '$0 --trust LINE|FILE [options]\n\nReceives releases from a publisher and keeps the newest in force.',
  )
  .option('trust', {
    type: 'string',
    requiresArg: true,
    describe: 'The trust line that rulecast-publisher --print-trust prints, or a file that holds it',
  })
  .option('connect', {
    type: 'string',
    requiresArg: true,
    default: defaultEndpoints(process.env).subscribers,
    describe: 'Endpoint of the publisher',
  })
  .option('curve-key', {
    type: 'string',
    requiresArg: true,
    describe: 'File of the secret key of this end, for zmq+tcp: and zmq+ipc:, for its own user alone',
  })
  .option('curve-peer', {
    type: 'string',
    requiresArg: true,
    describe: 'Public key of the publisher, or a file that holds it',
  })
  .option('print-curve', {
    type: 'boolean',
    default: false,
    describe: 'Print the public key of --curve-key FILE, making the file if need be, and exit',
  })
  .option('state', {
    type: 'string',
    requiresArg: true,
    describe: 'Directory that keeps the release in force over restarts; without it nothing is kept',
  })
  .option('name', {
    type: 'string',
    requiresArg: true,
    default: hostname().slice(0, 63),
    describe: 'Name shown by rulectl status',
  })
  .option('boot', {
    requiresArg: true,
    choices: ['closed', 'open'] as const,
    default: 'closed' as const,
    describe: 'What packets get before the first release: dropped or accepted',
  })
  .option('dns', {
    type: 'string',
    requiresArg: true,
    default: '10.139.1.1,10.139.1.2',
    describe:
      'Addresses that specialtarget=dns means, separated by commas, or a file such as /etc/resolv.conf, which is followed',
  })
  .option('enforce', {
    type: 'boolean',
    default: false,
    describe: 'Have nftables enforce it, in a table of its own; needs CAP_NET_ADMIN, or root with --user',
  })
  .option('user', {
    type: 'string',
    requiresArg: true,
    describe: 'Become this user once the applier runs, which alone keeps CAP_NET_ADMIN',
  })
  .option('applier-user', {
    type: 'string',
    requiresArg: true,
    describe: 'Whom the applier runs as; without it, as root with that one capability',
  })
  .option('iif-group', {
    type: 'number',
    requiresArg: true,
    default: 2,
    describe: 'Link group of the interfaces of downstream qubes',
  })
  .option('silent', {
    type: 'boolean',
    default: false,
    describe: 'Drop without an answer; else the sender is told "administratively prohibited"',
  })
  .option('flow-marks', {
    type: 'boolean',
    default: true,
    describe:
      'Mark accepted flows in the upper byte of their connection mark, so that each is judged once a release; --no-flow-marks judges every packet',
  })
  .option('check-minutes', {
    type: 'number',
    requiresArg: true,
    default: 5,
    describe: `Between looks whether the kernel still holds what it should, ${CHECK_MINUTES_MIN} to ${CHECK_MINUTES_MAX}`,
  })
  .option('kernel-mib', {
    type: 'number',
    requiresArg: true,
    default: 512,
    describe: 'Kernel memory that the tables may take, in MiB',
  })
  .option('remove', {
    type: 'boolean',
    default: false,
    describe: 'Delete all tables of Rulecast from the kernel, and end; stop the daemon first',
  })
  .option('unowned', {
    type: 'boolean',
    default: false,
    describe: 'Make tables that other programs may change, too, as on kernels before Linux 6.9',
  })
  .option('log-level', {
    requiresArg: true,
    choices: ['trace', 'debug', 'info', 'warn', 'error', 'silent'] as const,
    default: 'info' as const,
    describe: 'Logs are JSON lines on standard error',
  })
  .example('$0 --trust rulecast1:… --state ./firewall', 'Keep what was enforced over restarts')
  .example('$0 --trust publisher.trust --boot open', 'Memory only, open until the first release')
  .example(
    '$0 --trust publisher.trust --connect zmq+tcp:192.0.2.1:4711 --curve-key firewall.key --curve-peer publisher.pub',
    'A publisher on another host, encrypted',
  )
  .example(
    '$0 --trust publisher.trust --state /var/lib/rulecast --enforce --user rulecast',
    'Enforce by nftables; the part that talks to the network has no privileges',
  )
  .epilogue(
    'Environment: what the command line does not say is taken from RULECAST_TRUST, RULECAST_STATE, RULECAST_FLOW_MARKS and so on, one ' +
      'variable an option, with true or false for switches; an empty one is none.\n\n' +
      'Exit codes: 0 stopped by SIGINT or SIGTERM, 1 the state or the file of --dns cannot be used, nothing can be enforced or this process can have no table, 64 usage, 70 a bug, 74 the output ' +
      'cannot be written.',
  );

const argv = programOptions('rulecast-subscriber', cli, {
  repeatable: [],
  environment: ENVIRONMENT,
  variables: process.env,
});

await runProgram('rulecast-subscriber', main);

async function main(out: Output): Promise<void> {
  const logger = pino({ name: 'rulecast-subscriber', level: argv.logLevel }, new LogStream(2));
  if (argv.printCurve) return out.line(ownCurveKey());
  if (argv.remove) return removed();
  const endpoint = endpointOf(argv.connect);
  if (!isPartName(argv.name))
    throw usageError(`--name ${argv.name}: 1 to 63 of A-Z a-z 0-9 . _ -, the first a letter or digit`);
  checkNumbers();
  checkUsers();
  try {
    const dns = readDns(argv.dns);
    // Before there are no rights left to read them.
    const trust = readTrust(argv.trust);
    const keys = curveOptions(endpoint);
    const lock = argv.state === undefined ? undefined : await lockDirectory(argv.state);
    const sink = argv.enforce ? await startEnforcement(enforcementOptions(logger)) : undefined;
    const subscriber = await createSubscriber({
      channel: (signal) => connect(endpoint, { signal, ...keys }),
      name: argv.name,
      trust,
      stateDirectory: argv.state,
      bootMode: argv.boot,
      dns,
      logger,
      ...(sink && { sink }),
    });
    const unwatch = argv.dns.includes('/') ? followDns(argv.dns, subscriber, logger) : undefined;
    const stop = stopSignal(); // before anybody is told that it runs, and may end it
    await Promise.race([sink?.enforcing(), stop]);
    logger.info({ connect: argv.connect, version: subscriber.status().version ?? 0 }, 'ready');
    await stop;
    logger.info('stopping');
    unwatch?.();
    await subscriber.close();
    await sink?.close();
    await lock?.release();
  } catch (error) {
    const isExpected =
      error instanceof StateError ||
      error instanceof LockedError ||
      error instanceof EnforcementError ||
      error instanceof TableEngineError ||
      error instanceof DirectoryError;
    throw isExpected ? new ProgramError(EXIT_FAILED, error.message, { cause: error }) : error;
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

function enforcementOptions(logger: Logger): EnforcementOptions {
  return {
    downstreamGroup: argv.iifGroup,
    answer: argv.silent ? 'silent' : 'reject',
    flowMarks: argv.flowMarks,
    kernelMib: argv.kernelMib,
    unowned: argv.unowned,
    user: argv.user,
    applierUser: argv.applierUser,
    checkEveryMs: argv.checkMinutes * 60_000,
    stateDirectory: argv.state,
    logger,
  };
}

function checkNumbers(): void {
  const { iifGroup, checkMinutes } = argv;
  if (!Number.isInteger(iifGroup) || iifGroup < 0 || iifGroup > 0xffffffff) {
    throw usageError(`--iif-group ${iifGroup}: a link group is a number from 0 to 4294967295`);
  }
  if (!Number.isInteger(argv.kernelMib) || argv.kernelMib < 1 || argv.kernelMib > KERNEL_MIB_MAX)
    throw usageError(`--kernel-mib ${argv.kernelMib}: a number from 1 to ${KERNEL_MIB_MAX}`);
  if (!(checkMinutes >= CHECK_MINUTES_MIN && checkMinutes <= CHECK_MINUTES_MAX)) {
    throw usageError(
      `--check-minutes ${checkMinutes}: a number from ${CHECK_MINUTES_MIN} to ${CHECK_MINUTES_MAX}`,
    );
  }
}

/** Who gives up no privileges because an option is missing must not find out later. */
function checkUsers(): void {
  if (argv.user !== undefined && !argv.enforce) {
    throw usageError(`--user ${argv.user} goes with --enforce: without it, start this as that user`);
  }
  if (argv.applierUser !== undefined && argv.user === undefined) {
    throw usageError(`--applier-user ${argv.applierUser} goes with --user NAME, whom the daemon becomes`);
  }
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

/** The keys for an endpoint over ZeroMQ, as the options say. */
function curveOptions(endpoint: Endpoint): Pick<ConnectOptions, 'curve'> {
  const { curveKey, curvePeer } = argv;
  if (curveKey === undefined && curvePeer === undefined) {
    if (needsCurve(endpoint)) {
      throw usageError(
        `--connect ${argv.connect} leaves this machine: it needs --curve-key FILE and --curve-peer KEY`,
      );
    }
    return {};
  }
  if (curveKey === undefined || curvePeer === undefined) {
    throw usageError('--curve-key FILE and --curve-peer KEY go together: each end proves who it is');
  }
  try {
    const [serverKey, ...others] = curvePeerKeys(curvePeer);
    if (serverKey === undefined || others.length > 0)
      throw usageError(`--curve-peer: ${curvePeer} must hold one key`);
    return { curve: { ...readCurveKeyPair(curveKey), serverKey } };
  } catch (error) {
    throw error instanceof EndpointError ? usageError(error.message, { cause: error }) : error;
  }
}

function endpointOf(text: string): ReturnType<typeof parseEndpoint> {
  try {
    return parseEndpoint(text);
  } catch (error) {
    throw error instanceof EndpointError ? usageError(error.message, { cause: error }) : error;
  }
}

function readTrust(text: string | undefined): Trust {
  if (text === undefined)
    throw usageError(
      '--trust LINE or --trust FILE is missing: rulecast-publisher --print-trust prints the line',
    );
  const direct = parseTrust(text);
  if (direct !== undefined) return direct;
  let content: string;
  try {
    content = readSmallFile(text, TRUST_MAX_BYTES).toString('utf8');
  } catch (cause) {
    throw usageError(`--trust: "${text.slice(0, 80)}" is neither a trust line nor a file that can be read`, {
      cause,
    });
  }
  const trust = parseTrust(content);
  if (trust === undefined) throw usageError(`--trust: ${text} does not hold a trust line`);
  return trust;
}

function readDns(text: string): readonly Address[] {
  if (!text.includes('/')) return text.split(',').map(readAddress);
  try {
    return readNameServers(text);
  } catch (cause) {
    // Not a usage error, after which nobody starts this again: at boot such a file may come later.
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new ProgramError(EXIT_FAILED, `--dns: ${text} cannot be read: ${reason}`, { cause });
  }
}

function followDns(file: string, subscriber: Subscriber, logger: Logger): () => void {
  return watchNameServers(file, (addresses) => {
    subscriber
      .setDns(addresses)
      .then(() => logger.info({ dns: addresses.map(formatAddress) }, 'took over the DNS addresses'))
      .catch((error) => logger.error({ err: error }, 'the new DNS addresses could not be taken over'));
  });
}

function readAddress(text: string): Address {
  const address = parseAddress(text.trim());
  if (address === undefined) throw usageError(`--dns: "${text}" is no address`);
  return address;
}
