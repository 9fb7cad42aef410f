/** Resolvers for bench dns, each a process of its own in the router of a network, all with one upstream. */

import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { dnsmasqCommand, unboundCommand } from '../kit/forwarders.mjs';
import {
  dnsNetCommand,
  endpointsIn,
  PERMITTED,
  rulectl,
  startDns,
  startPublisher,
  startSubscriberOf,
  trustOf,
} from '../processes.mjs';

const LISTENING = fileURLToPath(new URL('../enforce/listening.py', import.meta.url));
export const UPSTREAM_PORT = 5300;
export const ADDRESS = '10.138.0.1';
/** Whom qubes ask that do not ask us. */
export const CAPTURED = { address: '10.139.1.1', port: 53 };
/** The name whose addresses are opened, by ours and by dnsmasq's nftset. */
export const OPENED = 'deb.example';
const SETTLED_MS = 500;

/**
 * @typedef {object} Resolver
 * @property {number} port
 * @property {readonly number[]} pids What answers, and what opens.
 * @property {() => Promise<void>} stop
 */

/**
 * The firewall that qubes have: publisher, subscriber with its applier, and `rulecast-dns`, which is asked at
 * an address of its own, and is who answers for CAPTURED.
 */
export class Firewall {
  port = 5353;
  /** @type {import('../processes.mjs').Daemon[]} */
  #daemons = [];

  /** @param {string} directory @param {import('../enforce/network.mjs').Network} network */
  static async start(directory, { router }) {
    const namespace = `${router.name}-dns`;
    const net = (/** @type {readonly string[]} */ ...more) =>
      router.run(dnsNetCommand(['--namespace', namespace, ...more]));
    net();
    const firewall = new Firewall(directory, () => net('--remove'));
    const [names, openings] = [join(directory, 'names.sock'), join(directory, 'openings.sock')];
    const publisher = await startPublisher(directory);
    const listen = ['--listen', `${ADDRESS}:${firewall.port}`, '--upstream', `127.0.0.1:${UPSTREAM_PORT}`];
    const launch = ['nsenter', `--net=/run/netns/${namespace}`, 'python3', LISTENING, ...router.prefix];
    const dns = await startDns(['--releases', names, '--openings', openings, ...listen], launch);
    const own = [
      '--state',
      join(directory, 'firewall'),
      '--enforce',
      ...['--names', 'auto', '--names-folder', directory, '--dns', CAPTURED.address],
    ];
    const { listen: at } = endpointsIn(directory);
    const subscriber = await startSubscriberOf(await trustOf(directory), at, 'firewall', own, router.prefix);
    firewall.#daemons = [subscriber, dns, publisher];
    return firewall;
  }

  /** @param {string} directory @param {() => void} removed */
  constructor(directory, removed) {
    this.directory = directory;
    this.removed = removed;
  }

  /** `rulecast-dns`, and the applier, which is a child of the subscriber. */
  get pids() {
    const [subscriber, dns] = this.#daemons.map(({ process }) => process.pid ?? 0);
    return [dns ?? 0, ...childrenOf(subscriber ?? 0)];
  }

  get dnsPid() {
    return this.#daemons[1]?.process.pid ?? 0;
  }

  /** @param {string} name @param {string} text @param {readonly string[]} [args] */
  async push(name, text, args = []) {
    const path = join(this.directory, name);
    writeFileSync(path, text);
    const { code, stdout, stderr } = await rulectl(this.directory, [
      'push',
      path,
      '--yes',
      ...PERMITTED,
      ...args,
    ]);
    if (code !== 0) throw new Error(`rulectl push ${name} ended with ${code}: ${stdout}${stderr}`);
  }

  async stop() {
    for (const daemon of this.#daemons) await daemon.kill();
    this.removed();
  }
}

/**
 * @param {import('../enforce/network.mjs').Network} network
 * @param {{ readonly port: number, readonly cache: number, readonly nftset?: string, readonly file?: string }} options
 */
export function startDnsmasq(network, { port, cache, nftset, file }) {
  return started(
    network,
    port,
    dnsmasqCommand({ address: ADDRESS, port, upstreamPort: UPSTREAM_PORT }, [
      ...[`--cache-size=${cache}`, '--dns-forward-max=4096', `--conf-file=${file ?? '/dev/null'}`],
      ...(nftset === undefined ? [] : [`--nftset=/${OPENED}/4#inet#${nftset}`]),
    ]),
  );
}

/**
 * @param {import('../enforce/network.mjs').Network} network
 * @param {string} directory
 * @param {{ readonly port: number, readonly isCaching: boolean, readonly file?: string }} options
 */
export function startUnbound(network, directory, { port, isCaching, file }) {
  const include = file === undefined ? '' : `  include: ${file}\n`;
  const where = { address: ADDRESS, port, upstreamPort: UPSTREAM_PORT };
  return started(
    network,
    port,
    unboundCommand(where, join(directory, `unbound-${port}.conf`), {
      server: `  outgoing-range: 4096\n  num-queries-per-thread: 4096\n${include}`,
      zone: `  forward-no-cache: ${isCaching ? 'no' : 'yes'}\n`,
    }),
  );
}

/**
 * @param {import('../enforce/network.mjs').Network} network
 * @param {number} port
 * @param {readonly string[]} command
 * @returns {Promise<Resolver>}
 */
async function started({ router }, port, command) {
  const child = router.spawn(command);
  await pause(SETTLED_MS);
  if (child.exitCode !== null) throw new Error(`${command.join(' ')} ended with ${child.exitCode}`);
  return {
    port,
    pids: [child.pid ?? 0],
    stop: async () => {
      child.kill('SIGKILL');
    },
  };
}

/** @param {number} pid @returns {readonly number[]} */
function childrenOf(pid) {
  return readdirSync(`/proc/${pid}/task`).flatMap((task) => {
    const text = readFileSync(`/proc/${pid}/task/${task}/children`, 'utf8').trim();
    return text === '' ? [] : text.split(' ').map(Number);
  });
}

/** User and system time that processes have taken, in microseconds; Linux counts hundredths of a second. @param {readonly number[]} pids */
export function cpuUsOf(pids) {
  let ticks = 0;
  for (const pid of pids) {
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? [];
    ticks += Number(fields[11]) + Number(fields[12]);
  }
  return 10_000 * ticks;
}

/** Resident now. @param {number} pid */
export function residentMb(pid) {
  return Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1000;
}
