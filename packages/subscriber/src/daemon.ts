/**
 * `rulecast-subscriber`: the subscriber as a process. It verifies, compiles and answers lookups; with --enforce, it also has the
 * kernel enforce what it verified.
 */

import { readFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { defaultEndpoints, parseTrust, type Trust } from '@rulecast/protocol';
import { type Address, formatAddress, isPartName, parseAddress } from '@rulecast/rules';
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
import yargs from 'yargs';
import { hideBin } from 'yargs/helpers';
import { EnforcementError, type EnforcementOptions, startEnforcement } from './enforcement.ts';
import { readNameServers, watchNameServers } from './resolv-conf.ts';
import { StateError } from './state.ts';
import { createSubscriber, type Subscriber } from './subscriber.ts';

/** Documented in `--help`. */
const EXIT_USAGE = 64;
const EXIT_FAILED = 1;
/** A day. */
const CHECK_MINUTES_MAX = 1440;

const argv = yargs(hideBin(process.argv))
  .scriptName('rulecast-subscriber')
  .usage(
    '$0 --trust LINE|FILE [options]\n\nReceives releases from a publisher and keeps the newest in force.',
  )
  .option('trust', {
    type: 'string',
    describe: 'The trust line that rulecast-publisher --print-trust prints, or a file that holds it',
  })
  .option('connect', {
    type: 'string',
    default: defaultEndpoints(process.env).subscribers,
    describe: 'Endpoint of the publisher',
  })
  .option('curve-key', {
    type: 'string',
    describe: 'File of the secret key of this end, for zmq+tcp: and zmq+ipc:, for its own user alone',
  })
  .option('curve-peer', {
    type: 'string',
    describe: 'Public key of the publisher, or a file that holds it',
  })
  .option('print-curve', {
    type: 'boolean',
    default: false,
    describe: 'Print the public key of --curve-key FILE, making the file if need be, and exit',
  })
  .option('state', {
    type: 'string',
    describe: 'Directory that keeps the release in force over restarts; without it nothing is kept',
  })
  .option('name', {
    type: 'string',
    default: hostname().slice(0, 63),
    describe: 'Name shown by rulectl status',
  })
  .option('boot', {
    choices: ['closed', 'open'] as const,
    default: 'closed' as const,
    describe: 'What packets get before the first release: dropped or accepted',
  })
  .option('dns', {
    type: 'string',
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
    implies: 'enforce',
    describe: 'Become this user once the applier runs, which alone keeps CAP_NET_ADMIN',
  })
  .option('applier-user', {
    type: 'string',
    implies: 'user',
    describe: 'Whom the applier runs as; without it, as root with that one capability',
  })
  .option('iif-group', {
    type: 'number',
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
    default: 5,
    describe: 'Between looks whether the kernel still holds what it should',
  })
  .option('nft', { type: 'string', default: 'nft', describe: 'The nft program' })
  .option('conntrack', { type: 'string', default: 'conntrack', describe: 'The conntrack program' })
  .option('ip', { type: 'string', default: 'ip', describe: 'The ip program' })
  .option('log-level', {
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
    'Exit codes: 0 stopped by SIGINT or SIGTERM, 1 the state cannot be used or nothing can be enforced, 64 usage.',
  )
  .strict()
  .fail((message, error) => {
    if (error) throw error;
    usageError(message);
  })
  .parseSync();

await main();

async function main(): Promise<void> {
  const logger = pino(
    { name: 'rulecast-subscriber', level: argv.logLevel },
    pino.destination({ fd: 2, sync: true }),
  );
  if (argv.printCurve) return printCurve();
  const endpoint = endpointOf(argv.connect);
  if (!isPartName(argv.name))
    usageError(`--name ${argv.name}: 1 to 63 of A-Z a-z 0-9 . _ -, the first a letter or digit`);
  checkNumbers();
  try {
    const dns = readDns(argv.dns);
    // Before there are no rights left to read them.
    const trust = readTrust(argv.trust ?? usageError('Missing required argument: trust'));
    const keys = curveOptions(endpoint);
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
    logger.info({ connect: argv.connect, version: subscriber.status().version ?? 0 }, 'ready');
    await stop;
    logger.info('stopping');
    unwatch?.();
    await subscriber.close();
    await sink?.close();
  } catch (error) {
    if (!(error instanceof StateError || error instanceof EnforcementError)) throw error;
    process.stderr.write(`rulecast-subscriber: ${error.message}\n`);
    process.exitCode = EXIT_FAILED;
  }
}

function enforcementOptions(logger: Logger): EnforcementOptions {
  return {
    downstreamGroup: argv.iifGroup,
    answer: argv.silent ? 'silent' : 'reject',
    flowMarks: argv.flowMarks,
    nft: argv.nft,
    conntrack: argv.conntrack,
    ip: argv.ip,
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
    usageError(`--iif-group ${iifGroup}: a link group is a number from 0 to 4294967295`);
  }
  if (!(checkMinutes > 0 && checkMinutes <= CHECK_MINUTES_MAX)) {
    usageError(`--check-minutes ${checkMinutes}: above 0, at most ${CHECK_MINUTES_MAX}`);
  }
}

function usageError(message: string): never {
  process.stderr.write(`rulecast-subscriber: ${message}\nTry rulecast-subscriber --help\n`);
  process.exit(EXIT_USAGE);
}

/** Makes the key file if need be, and prints the key to give to the publisher. */
function printCurve(): void {
  const file = argv.curveKey ?? usageError('--print-curve goes with --curve-key FILE');
  try {
    process.stdout.write(`${openCurveKeyPair(file).publicKey}\n`);
  } catch (error) {
    if (error instanceof EndpointError) usageError(error.message);
    throw error;
  }
}

/** The keys for an endpoint over ZeroMQ, as the options say. */
function curveOptions(endpoint: Endpoint): Pick<ConnectOptions, 'curve'> {
  const { curveKey, curvePeer } = argv;
  if (curveKey === undefined && curvePeer === undefined) {
    if (needsCurve(endpoint)) {
      usageError(
        `--connect ${argv.connect} leaves this machine: it needs --curve-key FILE and --curve-peer KEY`,
      );
    }
    return {};
  }
  if (curveKey === undefined || curvePeer === undefined) {
    usageError('--curve-key FILE and --curve-peer KEY go together: each end proves who it is');
  }
  try {
    const [serverKey, ...others] = curvePeerKeys(curvePeer);
    if (serverKey === undefined || others.length > 0)
      usageError(`--curve-peer: ${curvePeer} must hold one key`);
    return { curve: { ...readCurveKeyPair(curveKey), serverKey } };
  } catch (error) {
    if (error instanceof EndpointError) usageError(error.message);
    throw error;
  }
}

function endpointOf(text: string): ReturnType<typeof parseEndpoint> {
  try {
    return parseEndpoint(text);
  } catch (error) {
    if (error instanceof EndpointError) usageError(error.message);
    throw error;
  }
}

function readTrust(text: string): Trust {
  const direct = parseTrust(text);
  if (direct !== undefined) return direct;
  let content: string;
  try {
    content = readFileSync(text, 'utf8');
  } catch {
    usageError(`--trust: "${text.slice(0, 80)}" is neither a trust line nor a file that can be read`);
  }
  return parseTrust(content) ?? usageError(`--trust: ${text} does not hold a trust line`);
}

function readDns(text: string): readonly Address[] {
  if (!text.includes('/')) return text.split(',').map(readAddress);
  try {
    return readNameServers(text);
  } catch {
    usageError(`--dns: ${text} cannot be read`);
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
  return parseAddress(text.trim()) ?? usageError(`--dns: "${text}" is no address`);
}

function stopSignal(): Promise<void> {
  return new Promise((resolve) => {
    process.once('SIGINT', () => resolve());
    process.once('SIGTERM', () => resolve());
  });
}
