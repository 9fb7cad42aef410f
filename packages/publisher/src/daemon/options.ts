/** The command line of `rulecast-publisher`, and the default paths. */

import { homedir } from 'node:os';
import { join } from 'node:path';
import { defaultEndpoints, programOptions, stateHome } from '@rulecast/program';
import { strictYargs, versionIn } from '@rulecast/program/command-line';

const owner = { uid: process.getuid?.() ?? 0, home: homedir() };
/** Paths and endpoints if none are given. */
export const defaults = {
  ...defaultEndpoints(process.env),
  state: join(stateHome(process.env, owner), 'publisher'),
};

const packageFile = new URL('../../package.json', import.meta.url);
export const version = versionIn(packageFile);

const cli = strictYargs('rulecast-publisher', packageFile)
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
    array: true,
    defaultDescription: defaults.control,
    describe: 'Endpoint for rulectl; may be given again',
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
  .option('signer', {
    type: 'string',
    requiresArg: true,
    defaultDescription: 'a process of its own',
    describe: 'Endpoint of the process with the signing keys, if a service manager starts it',
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
    describe: 'The same for rulectl at the control endpoint',
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
      'Once, if the store is lost and the identity is not: begin with an empty store, in a new epoch; nothing is released before policies are pushed',
  })
  .option('set-aside', {
    type: 'boolean',
    default: false,
    describe:
      'Once, if the store is of Rulecast 0.2: give it another name, and go on with an empty one that counts on from its last number; nothing is released before policies are pushed',
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
  .example('$0 --config /etc/rulecast/publisher.yaml', 'Keep lists fresh; rulectl check FILE checks it')
  .example('$0 --listen unix:/run/rulecast/fw.sock?buffer=256KiB', 'Another endpoint, larger buffers')
  .example(
    '$0 --listen zmq+tcp:192.0.2.1:4711 --curve-key publisher.key --curve-peer firewall.pub',
    'Beyond this host, encrypted, for the subscribers whose public keys firewall.pub holds',
  )
  .epilogue(
    'Environment: feeds are fetched through the proxy of https_proxy, http_proxy or all_proxy, except from the hosts of no_proxy. A proxy ' +
      'is a URL, or "qubes", the update proxy of Qubes at 127.0.0.1:8082. NODE_EXTRA_CA_CERTS names a file of further certificates.\n\n' +
      'Names in rules are resolved again when their time to live ends (30 s to 1 h). One that does not resolve keeps its addresses: in ' +
      'drop rules for good, in accept rules for 24 h. Private addresses of names of the Internet are left out.\n\n' +
      'Exit codes: 0 stopped by SIGINT or SIGTERM, 1 the state or an endpoint cannot be used, 64 usage, 70 a bug, 74 the output cannot be ' +
      'written, 78 the configuration is refused.',
  );

/** The command line, parsed when this module loads; a wrong one ends the program. */
export const argv = programOptions('rulecast-publisher', cli, {
  repeatable: [
    'listen',
    'control',
    'resolve',
    'dns-server',
    'private-zone',
    'curve-peer',
    'curve-control-peer',
  ],
  variables: process.env,
});
