/**
 * The demo: a publisher and a firewall as processes of their own, pushes of real lists and a real policy,
 * status and verdicts; and packets: a qube pings the world through the firewall. Everything lives in a
 * temporary directory, and in user, network and mount namespaces of its own, so that it needs no root:
 *
 *   demo, a run ─unshare─▶ the same program, --inside: root there, nobody outside ─▶ network namespaces (enforce/network.mjs)
 *
 * Where the kernel or a missing program does not let it, it says so, and shows the verdicts without packets.
 *
 * @typedef {import('./processes.mjs').Daemon} Daemon
 */

import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { HOSTS, Network } from './enforce/network.mjs';
import { endpointsIn, rulectl, startPublisher, startSubscriberOf, trustOf } from './processes.mjs';
import { openRun } from './run/run.mjs';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const INSIDE = '--inside';
const EXIT_USAGE = 64;
/** Root needs no user namespace, which a chroot would refuse it. */
const NAMESPACES = [...(process.getuid?.() === 0 ? [] : ['--user', '--map-root-user']), '--net', '--mount'];
/** The names of network namespaces lie in /run. */
const WITH_RUN = ['sh', '-ec', 'mount -t tmpfs tmpfs /run; exec "$@"', 'sh'];
/** Settings that refuse namespaces, and their remedies. */
const REFUSALS = /** @type {const} */ ([
  ['kernel/unprivileged_userns_clone', '0', 'kernel.unprivileged_userns_clone=1'],
  ['kernel/apparmor_restrict_unprivileged_userns', '1', 'kernel.apparmor_restrict_unprivileged_userns=0'],
  ['user/max_user_namespaces', '0', 'user.max_user_namespaces=10000'],
]);
const [QUBE, , WORLD] = HOSTS;
const PING = `${QUBE.address4} > ${WORLD.address4} icmp/8`;

const args = process.argv.slice(2);
if (args.length > 0 && args.join() !== INSIDE) {
  process.stderr.write('npm run demo\n');
  process.exit(EXIT_USAGE);
}
process.chdir(ROOT);
process.exit(args.length > 0 ? await play(networkHere()) : await main());

/** Resolves to the exit code. @returns {Promise<number>} */
async function main() {
  openRun();
  const gap = missing();
  if (gap !== undefined) return play(without(gap));
  const own = [...NAMESPACES, ...WITH_RUN, process.execPath, fileURLToPath(import.meta.url), INSIDE];
  const [code] = await once(spawn('unshare', own, { stdio: 'inherit' }), 'exit');
  return code ?? 1;
}

/** Why there are no packets, in words; undefined: nothing speaks against it. @returns {string | undefined} */
function missing() {
  const programs = ['unshare', 'nsenter', 'mount', 'ip', 'ping'];
  const absent = programs.filter((program) => spawnSync(program, ['-V']).error !== undefined);
  if (absent.length > 0)
    return `${absent.join(', ')} not found: install the packages util-linux, iproute2 and iputils-ping`;
  const { status, stderr } = spawnSync('unshare', [...NAMESPACES, ...WITH_RUN, 'true'], { encoding: 'utf8' });
  if (status === 0) return undefined;
  const cure = REFUSALS.find(([setting, value]) => settingOf(setting) === value)?.[2];
  const advice =
    cure === undefined
      ? 'a chroot and some containers have none: try it outside'
      : `as root: sysctl -w ${cure}`;
  return `no user namespace (${stderr.trim()}): ${advice}`;
}

/** @param {string} name */
function settingOf(name) {
  try {
    return readFileSync(`/proc/sys/${name}`, 'utf8').trim();
  } catch {
    return undefined;
  }
}

/** A qube, the firewall and the world. */
function networkHere() {
  try {
    return new Network();
  } catch (error) {
    return without(error instanceof Error ? error.message : String(error));
  }
}

/** @param {string} why @returns {undefined} */
function without(why) {
  say(`Verdicts only, no packets: ${why}`);
}

/** Resolves to the exit code. @param {Network | undefined} network @returns {Promise<number>} */
async function play(network) {
  const directory = mkdtempSync(join(tmpdir(), 'rulecast-demo-'));
  /** @type {Map<string, Daemon>} */
  const daemons = new Map();
  /** @type {(name: string, daemon: Daemon) => void} */
  let keep = () => undefined;
  const ended = new Promise((_, reject) => {
    keep = (name, daemon) => {
      daemons.set(name, daemon);
      daemon.process.once('exit', () => reject(new Error(`the ${name} ended`)));
    };
  });
  try {
    await Promise.race([scenes(directory, network, keep), ended]);
  } catch (error) {
    process.stderr.write(`\nThe demo failed: ${error instanceof Error ? error.message : error}\n`);
    for (const [name, { log }] of daemons)
      process.stderr.write(`The last line of the ${name}: ${JSON.stringify(log.at(-1))}\n`);
    return 1; // the run ends whatever still runs
  }
  for (const daemon of [...daemons.values()].reverse()) await daemon.stop();
  rmSync(directory, { recursive: true, force: true });
  say('All processes ended, nothing is left behind');
  return 0;
}

/**
 * What is shown, in its order; throws where something else happens.
 * @param {string} directory @param {Network | undefined} network @param {(name: string, daemon: Daemon) => void} keep
 */
async function scenes(directory, network, keep) {
  /** @param {string[]} args */
  const show = (...args) => shown(directory, args);
  say('A publisher (the management qube) and a subscriber (the firewall), each a process of its own');
  const publisher = await startPublisher(directory);
  keep('publisher', publisher);
  const { listen } = endpointsIn(directory);
  const own = ['--state', join(directory, 'subscriber'), ...(network === undefined ? [] : ['--enforce'])];
  const trust = await trustOf(directory);
  const firewall = await startSubscriberOf(trust, listen, 'sys-firewall', own, network?.router.prefix);
  keep('subscriber', firewall);
  process.stdout.write(`publisher pid ${publisher.process.pid}, subscriber pid ${firewall.process.pid}\n`);
  await publisher.logged((line) => line['msg'] === 'subscriber connected');
  if (network !== undefined) {
    say(
      `A qube ${QUBE.address4} ── the firewall ── the world ${WORLD.address4}: without a release it is closed`,
    );
    ping(network, false);
  }
  say('Push three real lists and the policies of three qubes: the first release, a snapshot');
  await show('push', 'examples/firewall.yaml');
  ping(network, false);
  say('Why? Asked of the live table in the firewall');
  await show('test', PING);
  say('Push a changed list, which the qube may reach: the second release, a delta');
  const office = join(directory, 'office.txt');
  writeFileSync(office, `198.51.100.0/24\n2001:db8:0:1::/64\n${WORLD.address4}\n`);
  await show('push', office);
  ping(network, true);
  await show('test', PING);
  say('Back to what was released first');
  await show('rollback', '1', '--yes');
  ping(network, false);
  say('What is in force');
  await show('status');
  say('What packets get');
  await show('test', '10.137.0.5 > 198.51.100.7 tcp/443');
  await show('test', '10.137.0.6 > 5.3.0.1 tcp/443');
  await show('test', '10.137.0.9 > 192.0.2.1 icmp/8', '10.137.0.9 > 192.0.2.1 udp/9');
}

/**
 * Pings the world from the qube, if there is a network, and shows it. Throws where the outcome is another
 * than expected.
 * @param {Network | undefined} network @param {boolean} expected
 */
function ping(network, expected) {
  if (network === undefined) return;
  process.stdout.write(`$ ping -c 1 ${WORLD.address4}    # in the qube\n`);
  const [program = '', ...words] = network.links.a.namespace.prefix;
  const command = [...words, 'ping', '-n', '-c', '1', '-W', '2', WORLD.address4];
  const { status, stdout } = spawnSync(program, command, { encoding: 'utf8' });
  const told = stdout.split('\n').filter((line) => /bytes from|Packet filtered|packet loss/.test(line));
  process.stdout.write(`${told.join('\n')}\n`);
  if ((status === 0) !== expected) throw new Error(`the ping was to be ${expected ? 'answered' : 'refused'}`);
}

/** @param {string} text */
function say(text) {
  process.stdout.write(`\n── ${text}\n`);
}

/**
 * Runs rulectl as a user would, and shows what it prints. Throws if it fails.
 * @param {string} directory @param {readonly string[]} args
 */
async function shown(directory, args) {
  process.stdout.write(`$ rulectl ${args.map((arg) => (/[ >]/.test(arg) ? `'${arg}'` : arg)).join(' ')}\n`);
  const { code, stdout, stderr } = await rulectl(directory, args);
  process.stdout.write(stdout);
  if (code !== 0) throw new Error(`rulectl ended with ${code}: ${stderr}`);
}
