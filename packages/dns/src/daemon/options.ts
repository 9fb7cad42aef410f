/** The command line of `rulecast-dns`. */

import { passedSockets, programOptions, usageError } from '@rulecast/program';
import { strictYargs } from '@rulecast/program/command-line';
import { formatAddress, parseAddress } from '@rulecast/rules';
import { DNS_PORT, type DnsEndpoint, type DnsUpstream } from '../proxy/upstream.ts';

const RESOLV_CONF = '/etc/resolv.conf';
const TLS_PORT = 853;
/** A name that a certificate can be for: of letters, so that it is no address. */
const TLS_NAME =
  /^(?=.{1,253}$)(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?$/i;
const PORT_MAX = 65_535;

/** `RULECAST_RELEASES` for `--releases`, and so on, as a unit says them. */
const ENVIRONMENT = {
  prefix: 'RULECAST',
  options: [
    'releases',
    'releases-mode',
    'openings',
    'rules',
    'listen',
    'upstream',
    'upstream-ca',
    'log-blocked',
    'log-level',
  ],
};

const cli = strictYargs('rulecast-dns', new URL('../../package.json', import.meta.url))
  .usage(
    '$0 --releases SOCKET [--listen ADDRESS] [--upstream ADDRESS]\n\nAnswers DNS, and blocks names for each qube by the release in force. A subscriber with --names auto or router sends it the release; without one it can read a rule set document. Before it answers a name that rules accept, it has the addresses opened.',
  )
  .option('releases', {
    type: 'string',
    requiresArg: true,
    describe:
      'Path of the Unix socket where a subscriber sends releases; until the first, each query is answered SERVFAIL. Not needed if the service manager has bound it (rulecast-dns-names.socket): then it ends once no release needs it',
  })
  .option('releases-mode', {
    type: 'string', // else yargs makes a number of it, which is not one of the words
    choices: ['600', '660'] as const,
    requiresArg: true,
    default: '600' as const,
    describe: 'Mode of that socket: 600 lets in processes of the same user, 660 those of its group as well',
  })
  .option('openings', {
    type: 'string',
    requiresArg: true,
    describe:
      'With --releases: Unix socket of the applier of rulecast-subscriber, openings.sock, which opens addresses before they are answered; without it, names that rules accept are answered SERVFAIL',
  })
  .option('rules', {
    type: 'string',
    requiresArg: true,
    describe: 'Rule set document to use in place of releases; read again at SIGHUP',
  })
  .option('listen', {
    type: 'string',
    array: true,
    requiresArg: true,
    default: [],
    describe:
      'Address to listen at, by UDP and TCP; may be repeated. Without it, the sockets that the service manager has bound (rulecast-dns.socket)',
  })
  .option('upstream', {
    type: 'string',
    array: true,
    requiresArg: true,
    default: [],
    defaultDescription: RESOLV_CONF,
    describe:
      'Resolver to forward queries to, or a file such as /etc/resolv.conf, whose changes are followed; may be repeated, the next one is asked if one fails. tls://ADDRESS[:PORT]#NAME is asked only over TLS, with a certificate for NAME; then all must be tls://',
  })
  .option('upstream-ca', {
    type: 'string',
    requiresArg: true,
    describe:
      'File of authorities in PEM that sign certificates of upstreams over TLS, in place of those of Node',
  })
  .option('log-blocked', {
    type: 'string', // else yargs makes a number of an address
    requiresArg: true,
    describe:
      'Log one in so many blocked queries, chosen at random, with qube, name and list, at most ten a second; without it none, as queries are private',
  })
  .option('log-level', {
    choices: ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const,
    requiresArg: true,
    default: 'info' as const,
    describe: 'Logs are JSON lines on standard error; without --log-blocked they hold no queried name',
  })
  .example(
    '$0 --releases /run/rulecast/names.sock --listen 10.0.0.1 --upstream 9.9.9.9',
    'Beside rulecast-subscriber --names router --names-folder /run/rulecast',
  )
  .example(
    '$0 --releases /run/rulecast/names.sock --openings /run/rulecast/openings.sock --listen 10.0.0.1 --upstream 9.9.9.9',
    'Beside one with --enforce, to accept by name',
  )
  .example('$0 --rules names.yaml --listen 10.0.0.1 --upstream 9.9.9.9', 'For the hosts behind a router')
  .example(
    '$0 --rules names.yaml --listen 10.0.0.1 --upstream tls://9.9.9.9#dns.quad9.net --upstream tls://[2620:fe::fe]#dns.quad9.net',
    'Upstreams over TLS',
  )
  .example('$0 --rules names.yaml --listen 127.0.0.1:5353 --upstream [2620:fe::fe]:53', 'Other ports')
  .epilogue(
    'Environment: an option that is not given is taken from its variable, such as RULECAST_LISTEN for --listen. An empty variable is none.\n\nExit codes: 0 stopped by SIGINT or SIGTERM, 1 the document is refused, or an address or the socket cannot be had, 64 usage, 70 a bug, 74 the output cannot be written.',
  );

/** The command line, parsed when this module loads; a wrong one ends the program. */
export const argv = programOptions('rulecast-dns', cli, {
  repeatable: ['listen', 'upstream'],
  environment: ENVIRONMENT,
  variables: process.env,
});

/** Read once: they are taken out of the environment. */
const PASSED = passedSockets(process.env, process.pid);
/** FileDescriptorName= of the socket on which a subscriber sends releases. */
const NAMES_SOCKET = 'names';

/** The source of verdicts; `descriptor`: the socket, if the service manager has bound it. */
interface JudgedBy {
  readonly kind: 'releases' | 'rules';
  readonly path: string;
  readonly descriptor?: number;
}

/** Throws ProgramError `usage` unless it is one thing. */
export function sourceOf(): JudgedBy {
  const { releases, rules, openings } = argv;
  const passed = PASSED.find(({ name }) => name === NAMES_SOCKET);
  if (passed !== undefined && rules === undefined)
    return { kind: 'releases', path: releases ?? `${NAMES_SOCKET}.sock`, descriptor: passed.descriptor };
  if (openings !== undefined && releases === undefined)
    throw usageError(`--openings ${openings} goes with --releases SOCKET: only releases open addresses`);
  if (releases !== undefined && rules === undefined) return { kind: 'releases', path: releases };
  if (rules !== undefined && releases === undefined) return { kind: 'rules', path: rules };
  throw usageError('write --releases SOCKET or --rules FILE, by which names are judged');
}

/** One of how many blocked questions is logged; undefined: none. Throws ProgramError `usage`. */
export function blockedLogShare(): number | undefined {
  const text = argv.logBlocked;
  if (text === undefined || /^[1-9]\d{0,8}$/.test(text)) return text === undefined ? undefined : Number(text);
  throw usageError(
    `--log-blocked ${text}: write a whole number, 1 for each blocked question, 100 for one of a hundred`,
  );
}

/**
 * The sockets for questions that the service manager has bound. Throws ProgramError `usage` if there is no
 * way to ask this program.
 */
export function socketsOf(): readonly number[] {
  const sockets = PASSED.filter(({ name }) => name !== NAMES_SOCKET).map(({ descriptor }) => descriptor);
  const isStarted = sockets.length < PASSED.length; // by a subscriber, for which it may listen nowhere yet
  if (isStarted) return sockets;
  if (sockets.length === 0 && argv.listen.length === 0)
    throw usageError(
      'write --listen ADDRESS; or start rulecast-dns.socket, which passes it the queries of qubes to their resolvers',
    );
  return sockets;
}

/** The endpoints of --listen. Throws ProgramError `usage`. */
export function listenEndpoints(): readonly DnsEndpoint[] {
  return argv.listen.map((text) => knownEndpoint('listen', text));
}

/** The file that names the upstreams; undefined: they are options. Throws ProgramError `usage`. */
export function upstreamFile(): string | undefined {
  const [file = RESOLV_CONF, ...others] = argv.upstream;
  if (!argv.upstream.some((text) => text.startsWith('/')))
    return argv.upstream.length === 0 ? file : undefined;
  if (others.length > 0)
    throw usageError(`--upstream: write a file alone, or addresses: ${argv.upstream.join(' ')}`);
  return file;
}

/** The upstreams given as options. Throws ProgramError `usage`. */
export function upstreamsOf(): readonly DnsUpstream[] {
  const texts = upstreamFile() === undefined ? argv.upstream : [];
  const upstreams = texts.map(
    (text): DnsUpstream => (text.startsWith('tls:') ? tlsUpstreamOf(text) : knownEndpoint('upstream', text)),
  );
  const overTls = upstreams.filter(({ tlsName }) => tlsName !== undefined);
  if (overTls.length > 0 && overTls.length < upstreams.length)
    throw usageError(
      '--upstream: write all of them with tls://, or none: somebody who cuts the way to one over TLS could read the queries that then go to the others',
    );
  if (argv.upstreamCa !== undefined && overTls.length === 0)
    throw usageError(`--upstream-ca ${argv.upstreamCa} goes with --upstream tls://ADDRESS#NAME`);
  return upstreams;
}

function knownEndpoint(option: 'listen' | 'upstream', text: string): DnsEndpoint {
  const endpoint = endpointOf(text, DNS_PORT);
  if (endpoint !== undefined) return endpoint;
  throw usageError(
    `--${option} ${text}: write an IP address, and behind it a port if it is not 53, as in 192.0.2.1:5353 or [2001:db8::1]:5353${option === 'upstream' ? ', or tls://192.0.2.1#NAME' : ''}`,
  );
}

/** `tls://`, an endpoint, and `#` with the name behind it. */
function tlsUpstreamOf(text: string): DnsUpstream {
  const [, at = '', tlsName = ''] = /^tls:\/\/([^#]*)#(.*)$/.exec(text) ?? [];
  const endpoint = endpointOf(at, TLS_PORT);
  if (endpoint !== undefined && TLS_NAME.test(tlsName)) return { ...endpoint, tlsName };
  throw usageError(
    `--upstream ${text}: write tls://, its IP address, a port behind it if it is not 853, and # with the name that its certificate is for, as in tls://9.9.9.9#dns.quad9.net`,
  );
}

/** `192.0.2.1`, `192.0.2.1:53`, `2001:db8::1` or `[2001:db8::1]:53`. */
function endpointOf(text: string, usualPort: number): DnsEndpoint | undefined {
  const match = /^(?:\[([^\]]+)\]|([^:]+))(?::(\d{1,5}))?$/.exec(text);
  const address = parseAddress(match?.[1] ?? match?.[2] ?? text);
  const port = Number(match?.[3] ?? usualPort);
  if (address === undefined || port < 1 || port > PORT_MAX) return undefined;
  return { address: formatAddress(address), port };
}
