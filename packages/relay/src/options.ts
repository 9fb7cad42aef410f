/** The command line of `rulecast-relay`. */

import { hostname } from 'node:os';
import { programOptions, usageError } from '@rulecast/program';
import { strictYargs } from '@rulecast/program/command-line';

/** As of a subscriber. */
const POLL_MAX_SECONDS = 600;

const cli = strictYargs('rulecast-relay', new URL('../package.json', import.meta.url))
  .usage(
    '$0 --from ENDPOINT --listen ENDPOINT --trust LINE|FILE --report-token FILE [options]\n\nPasses releases of a depot or a publisher on to subscribers, without a signing key: where they cannot reach the publisher, or are many at one site.',
  )
  .option('from', {
    type: 'string',
    requiresArg: true,
    array: true,
    default: [] as string[],
    defaultDescription: 'none',
    describe:
      'The https: address of a mirror, or an endpoint of the publisher, which announces releases at once; may be given again, the nearest first',
  })
  .option('listen', {
    type: 'string',
    requiresArg: true,
    array: true,
    default: [] as string[],
    defaultDescription: 'none',
    describe: 'Endpoint for subscribers; may be given again',
  })
  .option('trust', {
    type: 'string',
    requiresArg: true,
    describe: 'The trust line that rulecast-publisher --print-trust prints, or a file that holds it',
  })
  .option('name', {
    type: 'string',
    requiresArg: true,
    default: hostname().slice(0, 63),
    defaultDescription: 'the name of this host',
    describe: 'Name that rulectl status shows as via, and for which the token was made',
  })
  .option('report-token', {
    type: 'string',
    requiresArg: true,
    describe:
      'File of the token of this name (rulectl keys token NAME --relay), which vouches for all behind it',
  })
  .option('ca', {
    type: 'string',
    requiresArg: true,
    describe: 'File of authorities in PEM that sign certificates of mirrors, in place of those of Node',
  })
  .option('poll', {
    type: 'number',
    requiresArg: true,
    default: 15,
    describe: 'Seconds between two requests to a mirror, a tenth more or less',
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
  .option('curve-client', {
    type: 'string',
    requiresArg: true,
    array: true,
    default: [] as string[],
    defaultDescription: 'none',
    describe: 'Public key of a subscriber to admit, or a file of such keys; may be given again',
  })
  .option('print-curve', {
    type: 'boolean',
    default: false,
    describe: 'Print the public key of --curve-key FILE, making the file if need be, and exit',
  })
  .option('log-level', {
    requiresArg: true,
    choices: ['trace', 'debug', 'info', 'warn', 'error', 'silent'] as const,
    default: 'info' as const,
    describe: 'Logs are JSON lines on standard error',
  })
  .example(
    '$0 --from https://rules.example/ --listen unix:/run/rulecast-relay/fw.sock --trust publisher.trust --report-token relay.token',
    'Subscribers of this host, by a web server',
  )
  .example(
    '$0 --from zmq+tcp:192.0.2.1:4711 --curve-key relay.key --curve-peer publisher.pub --listen qrexec:/run/rulecast/qrexec.sock --trust publisher.trust --report-token relay.token',
    'Qubes of this machine, by a session',
  )
  .epilogue(
    'Exit codes: 0 stopped by SIGINT or SIGTERM, 1 an endpoint or a file cannot be used, 64 usage, 70 a bug, 74 the output cannot be written.',
  );

/** The command line, parsed when this module loads; a wrong one ends the program. */
export const argv = programOptions('rulecast-relay', cli, {
  repeatable: ['from', 'listen', 'curve-client'],
  variables: process.env,
});

/** Throws ProgramError `usage`. */
export function checkOptions(): void {
  if (argv.from.length === 0)
    throw usageError('--from is missing: write the address of a mirror, or of the publisher');
  if (argv.listen.length === 0) throw usageError('--listen is missing: write an endpoint');
  if (!Number.isInteger(argv.poll) || argv.poll < 1 || argv.poll > POLL_MAX_SECONDS)
    throw usageError(`--poll ${argv.poll}: a number of seconds from 1 to ${POLL_MAX_SECONDS}`);
}
