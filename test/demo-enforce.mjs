/**
 * The demo of enforcement, as root: a qube and the outside world in network namespaces of their own, and a
 * firewall between them. A ping that works, a push, the ping refused, the reason, a rollback, the ping works.
 * Nothing outside the namespaces is touched.
 */

import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { missingForEnforcement, Network } from './enforce/network.mjs';
import { endpointsIn, rulectl, startPublisher, startSubscriberOf, trustOf } from './processes.mjs';

const NEEDED =
  'It needs root and the packages nftables, iproute2, conntrack, iputils-ping, util-linux and python3.';
const EXIT_MISSING = 1;

/** Runs the demo; resolves to its exit code. @returns {Promise<number>} */
export async function runEnforcementDemo() {
  const missing = missingForEnforcement(['ping']);
  if (missing !== undefined) {
    process.stderr.write(`The demo of enforcement cannot run here: ${missing}. ${NEEDED}\n`);
    return EXIT_MISSING;
  }
  const directory = mkdtempSync(join(tmpdir(), 'rulecast-demo-'));
  const network = new Network();
  /** @type {import('./processes.mjs').Daemon[]} */
  const daemons = [];
  try {
    await play(directory, network, daemons);
  } finally {
    for (const daemon of daemons.reverse()) await daemon.stop();
    await network.close();
    rmSync(directory, { recursive: true, force: true });
  }
  say('All processes ended, the namespaces are gone, nothing is left behind');
  return 0;
}

/** @param {string} directory @param {Network} network @param {import('./processes.mjs').Daemon[]} daemons */
async function play(directory, network, daemons) {
  const { a, world } = network.links;
  say('A qube, the world, and a firewall between them, each in a network namespace of its own');
  process.stdout.write(`qube ${a.address4} ── firewall ── world ${world.address4}\n`);
  const publisher = await startPublisher(directory);
  daemons.push(publisher);
  const enforcer = await startSubscriberOf(
    await trustOf(directory),
    endpointsIn(directory).listen,
    'sys-firewall',
    ['--state', join(directory, 'subscriber'), '--enforce'],
    network.router.prefix,
  );
  daemons.push(enforcer);
  await publisher.logged((line) => line['msg'] === 'subscriber connected');
  say('No release yet: the firewall is closed');
  ping(network, false);
  say('A release that drops what a list names, and accepts all else');
  const list = file(directory, 'blocked.txt', '192.0.2.0/24\n');
  const rules = file(directory, 'default.rules', 'drop dst=@blocked\naccept\n');
  await show(directory, 'push', list, rules);
  ping(network, true);
  say('A push: the list now names the world too');
  file(directory, 'blocked.txt', `192.0.2.0/24\n${world.address4}\n`);
  await show(directory, 'push', list);
  ping(network, false);
  say('Why?');
  await show(directory, 'test', `${a.address4} > ${world.address4} icmp/8`);
  say('Back to what was released first');
  await show(directory, 'rollback', '1', '--yes');
  ping(network, true);
}

/**
 * Pings the world from the qube, shows it, and stops the demo if the outcome is another than expected.
 * @param {Network} network
 * @param {boolean} expected
 */
function ping(network, expected) {
  const { a, world } = network.links;
  process.stdout.write(`$ ping -c 1 ${world.address4}\n`);
  const [program = '', ...args] = [...a.namespace.prefix, 'ping', '-n', '-c', '1', '-W', '2', world.address4];
  const { status, stdout } = spawnSync(program, args, { encoding: 'utf8' });
  const told = stdout.split('\n').filter((line) => /bytes from|Packet filtered|packet loss/.test(line));
  process.stdout.write(`${told.join('\n')}\n`);
  if ((status === 0) !== expected) throw new Error(`the ping was to ${expected ? 'work' : 'fail'}`);
}

/** @param {string} text */
function say(text) {
  process.stdout.write(`\n── ${text}\n`);
}

/** @param {string} directory @param {string} name @param {string} text */
function file(directory, name, text) {
  const path = join(directory, name);
  writeFileSync(path, text);
  return path;
}

/**
 * Runs rulectl as a user would, and shows what it prints.
 * @param {string} directory
 * @param {readonly string[]} args
 */
async function show(directory, ...args) {
  process.stdout.write(`$ rulectl ${args.map((arg) => (/[ >]/.test(arg) ? `'${arg}'` : arg)).join(' ')}\n`);
  const { code, stdout, stderr } = await rulectl(directory, args);
  process.stdout.write(stdout);
  if (code !== 0) throw new Error(`rulectl ended with ${code}: ${stdout}${stderr}`);
}
