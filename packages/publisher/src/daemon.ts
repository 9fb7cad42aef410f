/** `rulecast-publisher`: the publisher as a process. Reads the command line, opens the endpoints, stops in order. */

import { join } from 'node:path';
import { defaultEndpoints, formatTrust } from '@rulecast/protocol';
import {
  bitsOf,
  isPartName,
  type PrefixSet,
  parseAddress,
  parseHostName,
  prefixOf,
  prefixSetOf,
} from '@rulecast/rules';
import { EndpointError, EndpointInUseError, parseEndpoint } from '@rulecast/vchan';
import { pino } from 'pino';
import yargs from 'yargs';
import { hideBin } from 'yargs/helpers';
import { IdentityError, openIdentity } from './identity.ts';
import { LockedError, lockDirectory } from './lock.ts';
import { Publisher } from './publisher.ts';
import { dnsResolver, withFixedNames } from './resolve.ts';
import { serveControl, serveSubscribers } from './serve.ts';
import { StoreError } from './store.ts';

/** Documented in `--help`. */
const EXIT_USAGE = 64;
const EXIT_FAILED = 1;

const endpoints = defaultEndpoints(process.env);

const argv = yargs(hideBin(process.argv))
  .scriptName('rulecast-publisher')
  .usage('$0 [options]\n\nKeeps the rule set of one lineage and carries it to its subscribers.')
  .option('state', {
    type: 'string',
    default: '/var/lib/rulecast/publisher',
    describe: 'Directory of the identity and the store',
  })
  .option('listen', {
    type: 'string',
    array: true,
    default: [endpoints.subscribers],
    describe: 'Endpoint for subscribers; may be given again',
  })
  .option('control', { type: 'string', default: endpoints.control, describe: 'Endpoint for rulectl' })
  .option('name', { type: 'string', default: 'publisher', describe: 'Name that subscribers see' })
  .option('resolve', {
    type: 'string',
    array: true,
    default: [] as string[],
    describe: 'NAME=ADDRESS[,ADDRESS]: answers this name without DNS; may be given again',
  })
  .option('dns-server', {
    type: 'string',
    array: true,
    describe: 'Ask this server instead of those of resolv.conf',
  })
  .option('print-trust', {
    type: 'boolean',
    default: false,
    describe: 'Print the trust line for subscribers, making the identity if need be, and exit',
  })
  .option('log-level', {
    choices: ['trace', 'debug', 'info', 'warn', 'error', 'silent'] as const,
    default: 'info' as const,
    describe: 'Logs are JSON lines on standard error',
  })
  .example('$0 --state ./publisher', 'Listen where rulectl and subscribers of this host look')
  .example('$0 --state ./publisher --print-trust', 'The line to give to rulecast-subscriber --trust')
  .example('$0 --listen unix:/run/rulecast/fw.sock?buffer=256KiB', 'Another endpoint, larger buffers')
  .epilogue(
    'Exit codes: 0 stopped by SIGINT or SIGTERM, 1 the state or an endpoint cannot be used, 64 usage.',
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
    { name: 'rulecast-publisher', level: argv.logLevel },
    pino.destination({ fd: 2, sync: true }),
  );
  if (!isPartName(argv.name))
    usageError(`--name ${argv.name}: 1 to 63 of A-Z a-z 0-9 . _ -, the first a letter or digit`);
  try {
    if (argv.printTrust) {
      process.stdout.write(`${formatTrust(openIdentity(join(argv.state, 'identity')))}\n`);
      return;
    }
    const resolve = withFixedNames(fixedNames(argv.resolve), dnsResolver(argv.dnsServer));
    const lock = await lockDirectory(argv.state);
    const publisher = new Publisher({ stateDirectory: argv.state, name: argv.name, resolve, logger });
    const sessions = await serveSubscribers(publisher, argv.listen.map(parseEndpoint));
    const control = await serveControl(publisher, parseEndpoint(argv.control), sessions.ask);
    const { epoch, version } = publisher.head?.manifest ?? { epoch: 0, version: 0 };
    const stop = stopSignal(); // before anybody is told that it runs, and may end it
    logger.info({ epoch, version, listen: argv.listen, control: argv.control }, 'ready');
    await stop;
    logger.info('stopping');
    await control.close();
    await sessions.close();
    await publisher.close();
    await lock.release();
  } catch (error) {
    if (error instanceof EndpointError) usageError(error.message);
    const expected =
      error instanceof IdentityError ||
      error instanceof StoreError ||
      error instanceof LockedError ||
      error instanceof EndpointInUseError;
    if (!expected) throw error;
    process.stderr.write(`rulecast-publisher: ${error.message}${causeText(error)}\n`);
    process.exitCode = EXIT_FAILED;
  }
}

function causeText(error: Error): string {
  return error.cause instanceof Error ? ` (${error.cause.message})` : '';
}

function usageError(message: string): never {
  process.stderr.write(`rulecast-publisher: ${message}\nTry rulecast-publisher --help\n`);
  process.exit(EXIT_USAGE);
}

function stopSignal(): Promise<void> {
  return new Promise((resolve) => {
    process.once('SIGINT', () => resolve());
    process.once('SIGTERM', () => resolve());
  });
}

function fixedNames(options: readonly string[]): ReadonlyMap<string, PrefixSet> {
  const fixed = new Map<string, PrefixSet>();
  for (const option of options) {
    const [nameText = '', addresses = ''] = option.split('=', 2);
    const parsed = parseHostName(nameText);
    if (parsed.kind === 'fault') usageError(`--resolve ${option}: "${nameText}" is no host name`);
    const prefixes = addresses.split(',').map((text) => {
      const address = parseAddress(text) ?? usageError(`--resolve ${option}: "${text}" is no address`);
      return prefixOf(address.family, address.words, bitsOf(address.family));
    });
    fixed.set(parsed.name, prefixSetOf(prefixes));
  }
  return fixed;
}
