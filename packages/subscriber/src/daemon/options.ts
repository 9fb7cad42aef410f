/** The command line of `rulecast-subscriber`, and the environment variables that may replace it. */

import { hostname } from 'node:os';
import { defaultEndpoints, programOptions, usageError } from '@rulecast/program';
import { strictYargs } from '@rulecast/program/command-line';

const KERNEL_MIB_MAX = 65_536;
/** 0 is what the kernel's own logs have. */
const LOG_GROUP_MAX = 65_535;
/** Above it a firewall would learn of nothing for longer than what is in force counts as fresh. */
const POLL_MAX_SECONDS = 600;

const ENVIRONMENT = {
  prefix: 'RULECAST',
  options: [
    'trust',
    'connect',
    'curve-key',
    'curve-peer',
    'ca',
    'poll',
    'report-token',
    'state',
    'name',
    'boot',
    'stale',
    'dns',
    'names',
    'names-folder',
    'dns-mode',
    'openings',
    'source',
    'enforce',
    'user',
    'applier-user',
    'iif-group',
    'silent',
    'flow-marks',
    'kernel-mib',
    'log',
    'log-group',
    'log-level',
  ],
};

const cli = strictYargs('rulecast-subscriber', new URL('../../package.json', import.meta.url))
  .usage(
    '$0 --trust LINE|FILE [options]\n\nReceives releases from a publisher and keeps the newest in force.',
  )
  .option('trust', {
    type: 'string',
    requiresArg: true,
    describe:
      'The trust line that rulecast-publisher --print-trust prints, or a file that holds it, or qubesdb:PATH; of several, separated by commas, the first that exists is used',
  })
  .option('connect', {
    type: 'string',
    requiresArg: true,
    array: true,
    default: [defaultEndpoints(process.env).subscribers],
    describe:
      'Endpoint of the publisher, or qubesdb:PATH, or qubesdb:PATH,ENDPOINT (ENDPOINT on a host that is no qube); or the https: address of a mirror of its depot; may be repeated for mirrors, the nearest first',
  })
  .option('ca', {
    type: 'string',
    requiresArg: true,
    describe:
      'File of authorities in PEM that sign certificates of mirrors, in place of those of this system',
  })
  .option('poll', {
    type: 'number',
    requiresArg: true,
    default: 15,
    describe: 'Seconds between two requests to a mirror, a tenth more or less',
  })
  .option('report-token', {
    type: 'string',
    requiresArg: true,
    describe:
      'File of the token (rulectl keys token NAME) for reports through mirrors; without it the publisher does not confirm which release is newest',
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
    defaultDescription: 'the name of this host',
    describe: 'Name shown by rulectl status',
  })
  .option('boot', {
    requiresArg: true,
    choices: ['closed', 'open'] as const,
    default: 'closed' as const,
    describe: 'What packets get before the first release: dropped or accepted',
  })
  .option('stale', {
    requiresArg: true,
    choices: ['keep', 'closed'] as const,
    default: 'keep' as const,
    describe:
      'When the publisher does not confirm that the release is the newest, or its root is overdue: keep enforces it further, closed drops everything until that is over, also after a start',
  })
  .option('dns', {
    type: 'string',
    requiresArg: true,
    default: '10.139.1.1,10.139.1.2',
    describe:
      'Addresses that specialtarget=dns means, separated by commas; a file such as /etc/resolv.conf adds its own, also when it changes',
  })
  .option('names', {
    type: 'string',
    requiresArg: true,
    default: 'off',
    describe:
      'How DNS queries reach rulecast-dns, which starts when a release needs it: auto, queries of qubes to the addresses of --dns, and to the resolvers of Qubes, are routed to it or dropped (with --enforce); router, qubes query addresses of this host; off, a release is refused if a rule uses a list with resolve: firewall',
  })
  .option('names-folder', {
    type: 'string',
    requiresArg: true,
    defaultDescription: '/run/rulecast-dns and /run/rulecast-openings',
    describe:
      'Folder of the sockets: names.sock of rulecast-dns, and openings.sock of the applier, which opens what rules accept by name',
  })
  .option('dns-mode', { choices: ['own', 'router', 'off'] as const, requiresArg: true, hidden: true })
  .option('openings', { type: 'string', requiresArg: true, hidden: true })
  .option('source', {
    type: 'string',
    array: true,
    requiresArg: true,
    default: [] as string[],
    defaultDescription: 'none',
    describe:
      'With --names: an interface and the addresses behind it, eth1=10.0.0.5,fd00::5; names open nothing for other addresses. On Qubes the set allowed of the table qubes has them, too',
  })
  .option('enforce', {
    type: 'boolean',
    default: false,
    describe: 'Enforce releases by nftables, in a table of its own; needs CAP_NET_ADMIN, or root with --user',
  })
  .option('user', {
    type: 'string',
    requiresArg: true,
    describe: 'Become this user once the applier runs; only the applier keeps CAP_NET_ADMIN',
  })
  .option('applier-user', {
    type: 'string',
    requiresArg: true,
    describe: 'User of the applier; without it, root with CAP_NET_ADMIN alone',
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
    describe: 'Drop without an answer; else the sender gets "administratively prohibited"',
  })
  .option('flow-marks', {
    type: 'boolean',
    default: true,
    describe:
      'Mark accepted flows by a connection label, so that each is judged once a release; --no-flow-marks judges every packet',
  })
  .option('kernel-mib', {
    type: 'number',
    requiresArg: true,
    default: 512,
    describe: 'Kernel memory that the tables may take, in MiB',
  })
  .option('log', {
    type: 'boolean',
    default: false,
    describe:
      'With --enforce: keep in memory what is refused, headers and names, for rulectl log, which shows administrators who talks to whom',
  })
  .option('log-group', {
    type: 'number',
    requiresArg: true,
    default: 5310,
    describe: 'Group of NFLOG by which the kernel reports refused packets; only one program can read a group',
  })
  .option('remove', {
    type: 'boolean',
    default: false,
    describe: 'Delete all tables of Rulecast from the kernel, and end; stop the daemon first',
  })
  .option('log-level', {
    requiresArg: true,
    choices: ['trace', 'debug', 'info', 'warn', 'error', 'silent'] as const,
    default: 'info' as const,
    describe: 'Logs are JSON lines on standard error',
  })
  .example('$0 --trust rulecast2:… --state ./firewall', 'Keep what was enforced over restarts')
  .example('$0 --trust publisher.trust --boot open', 'Memory only, open until the first release')
  .example(
    '$0 --trust publisher.trust --connect zmq+tcp:192.0.2.1:4711 --curve-key firewall.key --curve-peer publisher.pub',
    'A publisher on another host, encrypted',
  )
  .example(
    '$0 --trust publisher.trust --state ./firewall --connect https://rules.example/ --report-token fw.token',
    'Releases from a web server, and reports by it',
  )
  .example(
    '$0 --trust publisher.trust --state /var/lib/rulecast --enforce --user rulecast',
    'Enforce by nftables; the part that talks to the network has no privileges',
  )
  .epilogue(
    'Environment: an option that is not given is taken from its variable, such as RULECAST_FLOW_MARKS for --flow-marks, with true or ' +
      'false for a switch. An empty variable is none.\n\n' +
      'Exit codes: 0 stopped by SIGINT or SIGTERM, 1 the state, the file of --dns or QubesDB cannot be used, nothing can be enforced or this process can have no table, 64 usage, 70 a bug, 74 the output ' +
      'cannot be written.',
  );

/**
 * The options of command line and environment, parsed when this module loads; a wrong one ends the program.
 */
export const argv = programOptions('rulecast-subscriber', cli, {
  repeatable: ['connect'],
  environment: ENVIRONMENT,
  variables: process.env,
});

/** Throws ProgramError `usage`. */
export function checkNumbers(): void {
  const { iifGroup } = argv;
  if (!Number.isInteger(iifGroup) || iifGroup < 0 || iifGroup > 0xffffffff) {
    throw usageError(`--iif-group ${iifGroup}: a link group is a number from 0 to 4294967295`);
  }
  if (!Number.isInteger(argv.kernelMib) || argv.kernelMib < 1 || argv.kernelMib > KERNEL_MIB_MAX)
    throw usageError(`--kernel-mib ${argv.kernelMib}: a number from 1 to ${KERNEL_MIB_MAX}`);
  if (!Number.isInteger(argv.logGroup) || argv.logGroup < 1 || argv.logGroup > LOG_GROUP_MAX)
    throw usageError(`--log-group ${argv.logGroup}: a number from 1 to ${LOG_GROUP_MAX}`);
  if (!Number.isInteger(argv.poll) || argv.poll < 1 || argv.poll > POLL_MAX_SECONDS)
    throw usageError(`--poll ${argv.poll}: a number of seconds from 1 to ${POLL_MAX_SECONDS}`);
  if (argv.log && !argv.enforce)
    throw usageError('--log goes with --enforce: the kernel reports what it refuses');
  if (argv.stale === 'closed' && argv.boot === 'open')
    throw usageError(
      '--stale closed goes with --boot closed: with --boot open, packets would pass before the first release',
    );
}

/** Refuses user options without `--enforce`, as the daemon would otherwise keep its privileges unnoticed. */
export function checkUsers(): void {
  if (argv.user !== undefined && !argv.enforce) {
    throw usageError(`--user ${argv.user} goes with --enforce: without it, start this as that user`);
  }
  if (argv.applierUser !== undefined && argv.user === undefined) {
    throw usageError(`--applier-user ${argv.applierUser} goes with --user NAME, whom the daemon becomes`);
  }
}
