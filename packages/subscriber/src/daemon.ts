/** `rulecast-subscriber`: the subscriber as a process, without a sink: it verifies, compiles and answers lookups. */

import { readFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { defaultEndpoints, parseTrust, type Trust } from '@rulecast/protocol';
import { type Address, isPartName, parseAddress } from '@rulecast/rules';
import { connect, EndpointError, parseEndpoint } from '@rulecast/vchan';
import { pino } from 'pino';
import yargs from 'yargs';
import { hideBin } from 'yargs/helpers';
import { StateError } from './state.ts';
import { createSubscriber } from './subscriber.ts';

/** Documented in `--help`. */
const EXIT_USAGE = 64;
const EXIT_FAILED = 1;

const argv = yargs(hideBin(process.argv))
  .scriptName('rulecast-subscriber')
  .usage(
    '$0 --trust LINE|FILE [options]\n\nReceives releases from a publisher and keeps the newest in force.',
  )
  .option('trust', {
    type: 'string',
    demandOption: true,
    describe: 'The trust line that rulecast-publisher --print-trust prints, or a file that holds it',
  })
  .option('connect', {
    type: 'string',
    default: defaultEndpoints(process.env).subscribers,
    describe: 'Endpoint of the publisher',
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
    describe: 'Addresses that specialtarget=dns means, separated by commas',
  })
  .option('log-level', {
    choices: ['trace', 'debug', 'info', 'warn', 'error', 'silent'] as const,
    default: 'info' as const,
    describe: 'Logs are JSON lines on standard error',
  })
  .example('$0 --trust rulecast1:… --state ./firewall', 'Keep what was enforced over restarts')
  .example('$0 --trust publisher.trust --boot open', 'Memory only, open until the first release')
  .epilogue('Exit codes: 0 stopped by SIGINT or SIGTERM, 1 the state cannot be used, 64 usage.')
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
  const endpoint = endpointOf(argv.connect);
  if (!isPartName(argv.name))
    usageError(`--name ${argv.name}: 1 to 63 of A-Z a-z 0-9 . _ -, the first a letter or digit`);
  try {
    const subscriber = await createSubscriber({
      channel: (signal) => connect(endpoint, { signal }),
      name: argv.name,
      trust: readTrust(argv.trust),
      stateDirectory: argv.state,
      bootMode: argv.boot,
      dns: argv.dns.split(',').map(readAddress),
      logger,
    });
    const stop = stopSignal(); // before anybody is told that it runs, and may end it
    logger.info({ connect: argv.connect, version: subscriber.status().version ?? 0 }, 'ready');
    await stop;
    logger.info('stopping');
    await subscriber.close();
  } catch (error) {
    if (!(error instanceof StateError)) throw error;
    process.stderr.write(`rulecast-subscriber: ${error.message}\n`);
    process.exitCode = EXIT_FAILED;
  }
}

function usageError(message: string): never {
  process.stderr.write(`rulecast-subscriber: ${message}\nTry rulecast-subscriber --help\n`);
  process.exit(EXIT_USAGE);
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

function readAddress(text: string): Address {
  return parseAddress(text.trim()) ?? usageError(`--dns: "${text}" is no address`);
}

function stopSignal(): Promise<void> {
  return new Promise((resolve) => {
    process.once('SIGINT', () => resolve());
    process.once('SIGTERM', () => resolve());
  });
}
