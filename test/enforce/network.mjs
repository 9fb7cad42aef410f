/**
 * A firewall and its surroundings in network namespaces of their own, as Qubes builds them; nothing outside
 * them is touched.
 *
 *   qube a ── vif-a ┐
 *                   router ── uplink ── world        vif-a and vif-b are in group 2, as the interfaces of downstream qubes
 *   qube b ── vif-b ┘
 *
 * Qubes and world take any frame (a pump reads them all, frame-pump.py), so addresses can be anything that a
 * router forwards: the router sends the networks of a qube there, and all else to the world.
 */

import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { IpProtocol, parseAddress } from '@rulecast/rules';
import { namespacePrefix } from '../run/run.mjs';
import { frameOf, segment } from './frames.mjs';
import { qubesDnat, qubesMasquerade } from './qubes-tables.mjs';

const PUMP = fileURLToPath(new URL('./frame-pump.py', import.meta.url));
const IP = 'ip';
const PROGRAMS = [IP, 'nft', 'nsenter', 'conntrack', 'python3'];
/** What qubes have for resolvers. */
const ASKED = ['10.139.1.1', '10.139.1.2'];
/** The group of the interfaces that lead to downstream qubes (vif-route-qubes sets it). */
const QUBES_GROUP = 2;
const LONGEST_COMMAND_MS = 120_000;
const LOOK_EVERY_MS = 20;
/** Marks of echo requests, apart from those of the tests, which count from 1. */
const FIRST_ECHO_MARK = 0xf0000000;

/**
 * @typedef {'a' | 'b' | 'world'} HostName
 * @typedef {object} Link Where a host of the network is attached to the router.
 * @property {Namespace} namespace Of the host.
 * @property {string} interface Name of the router's interface.
 * @property {Uint8Array} routerMac
 * @property {Uint8Array} hostMac
 * @property {string} address4 Of the host.
 * @property {string} address6
 * @property {string} router4 Of the router, on this link.
 * @property {string} router6
 */

/** Each host, its addresses, the networks that lead to it, and the router's interface that leads there. */
export const HOSTS = /** @type {const} */ ([
  {
    name: 'a',
    interface: 'vif-a',
    address4: '10.137.0.5',
    address6: 'fd09:24ef:4179:a::5',
    networks: ['10.137.0.0/17', 'fd09:24ef:4179:a::/64'],
    router4: '10.138.0.1',
    router6: 'fd09:24ef:4179:ffff::1',
  },
  {
    name: 'b',
    interface: 'vif-b',
    address4: '10.137.128.6',
    address6: 'fd09:24ef:4179:b::6',
    networks: ['10.137.128.0/17', 'fd09:24ef:4179:b::/64'],
    router4: '10.138.0.2',
    router6: 'fd09:24ef:4179:ffff::2',
  },
  {
    name: 'world',
    interface: 'uplink',
    address4: '198.18.0.2',
    address6: '2001:db8:ffff::2',
    networks: ['0.0.0.0/0', '::/0'],
    router4: '198.18.0.1',
    router6: '2001:db8:ffff::1',
  },
]);

const ROUTER_SETTINGS = {
  'net.ipv4.conf.all.rp_filter': 0, // senders use any source address
  'net.ipv4.conf.default.rp_filter': 0,
  'net.ipv4.conf.all.send_redirects': 0,
  'net.ipv4.conf.default.send_redirects': 0,
  'net.ipv4.icmp_ratelimit': 0, // each refused packet is answered, so that answers can be counted
  'net.ipv6.icmp.ratelimit': 0,
  'net.ipv6.conf.default.accept_dad': 0, // addresses are usable at once
};

/**
 * What this machine lacks to enforce rules in namespaces of its own, in words; undefined where it lacks
 * nothing.
 * @param {readonly string[]} [programs] What is needed besides.
 * @returns {string | undefined}
 */
export function missingForEnforcement(programs = []) {
  if (process.getuid?.() !== 0) return 'it needs root';
  const absent = [...PROGRAMS, ...programs].filter((program) => spawnSync('which', [program]).status !== 0);
  if (absent.length > 0) return `not installed: ${absent.join(', ')}`;
  const probe = `${namespacePrefix()}${process.pid}-probe`;
  const made = spawnSync(IP, ['netns', 'add', probe], { encoding: 'utf8' });
  if (made.status !== 0) return `no network namespace can be made: ${made.stderr.trim()}`;
  const nft = spawnSync(IP, ['netns', 'exec', probe, 'nft', 'list', 'tables'], { encoding: 'utf8' });
  spawnSync(IP, ['netns', 'del', probe]);
  return nft.status === 0 ? undefined : `nft does not work: ${nft.stderr.trim()}`;
}

/** A table that lets each qube send by its own addresses alone, as `antispoof` of Qubes does. */
export function antispoofTables() {
  const qubes = HOSTS.filter(({ name }) => name !== 'world');
  const table = (
    /** @type {'ip' | 'ip6'} */ family,
    /** @type {'ipv4_addr' | 'ipv6_addr'} */ type,
    /** @type {readonly string[]} */ addresses,
    /** @type {string} */ some,
  ) => `table ${family} qubes {
  set allowed { type ifname . ${type}; elements = { ${qubes.map((qube, i) => `"${qube.interface}" . ${addresses[i]}`).join(', ')} } }
  chain antispoof {
    iifname . ${family} saddr @allowed accept
    counter drop
  }
  chain prerouting {
    type filter hook prerouting priority raw; policy accept;
    iifgroup 2 ${some}goto antispoof
  }
}
`;
  const [four, six] = [qubes.map(({ address4 }) => address4), qubes.map(({ address6 }) => address6)];
  return table('ip', 'ipv4_addr', four, '') + table('ip6', 'ipv6_addr', six, 'ip6 saddr != fe80::/10 ');
}

export class Namespace {
  /** @type {Set<import('node:child_process').ChildProcess>} */
  #children = new Set();
  /** @type {string} */
  name;

  /** @param {string} name */
  constructor(name) {
    this.name = name;
    execFileSync(IP, ['netns', 'add', name]);
  }

  /** What to put before a command so that it runs inside. @returns {readonly string[]} */
  get prefix() {
    return ['nsenter', `--net=/run/netns/${this.name}`];
  }

  /**
   * Runs a command inside; returns its standard output. Throws with its standard error if it fails.
   * @param {readonly string[]} command
   * @param {string} [input] Its standard input.
   */
  run(command, input = '') {
    const [program = '', ...args] = [...this.prefix, ...command];
    const { status, stdout, stderr, error } = spawnSync(program, args, {
      input,
      encoding: 'utf8',
      maxBuffer: 2 ** 30,
      timeout: LONGEST_COMMAND_MS,
    });
    if (status === 0) return stdout;
    throw new Error(`${command.join(' ')}: ${stderr.trim() || (error?.message ?? `status ${status}`)}`);
  }

  /** Starts a command inside; it is killed with the namespace. @param {readonly string[]} command */
  spawn(command) {
    const [program = '', ...args] = [...this.prefix, ...command];
    const child = spawn(program, args, { stdio: ['pipe', 'pipe', 'inherit'] });
    this.#children.add(child);
    child.once('exit', () => this.#children.delete(child));
    return child;
  }

  /** Loads an nft script. @param {string} script */
  nft(script) {
    this.run(['nft', '-f', '-'], script);
  }

  /** @param {Readonly<Record<string, string | number>>} settings */
  sysctl(settings) {
    const writes = Object.entries(settings).map(
      ([name, value]) => `echo ${value} > /proc/sys/${name.replaceAll('.', '/')}`,
    );
    this.run(['sh', '-e'], writes.join('\n'));
  }

  /** The name of the table of Rulecast that is in force; of those that packets come into. */
  table() {
    // In one listing: another one may be on its way out, and gone at the next question.
    const listing = this.run(['nft', '-t', 'list', 'ruleset', 'inet']);
    const tables = listing.split(/^table inet /m).filter((table) => /^rulecast_[ab] /.test(table));
    return tables.find((table) => table.includes('chain forward {'))?.slice(0, 'rulecast_a'.length) ?? '';
  }

  /** Tables of ours that are made from now on have no owner, as before Linux 6.9. */
  async withoutOwners() {
    this.spawn(['nft', '-i']).stdin.write('add table inet rulecast_probe_owner { flags owner; }\n');
    while (!this.run(['nft', 'list', 'tables']).includes('rulecast_probe_owner')) await pause(LOOK_EVERY_MS);
  }

  close() {
    for (const child of this.#children) child.kill('SIGKILL');
    spawnSync(IP, ['netns', 'del', this.name]);
  }
}

let networks = 0;

/**
 * @typedef {object} NetworkOptions
 * @property {string} [resolver] As in a net qube: what leaves to the world gets the router's address, and DNS
 *   asked of 10.139.1.1 and .2 goes to this resolver. Default: neither.
 * @property {boolean} [forwarding] Whether the router forwards from the start. Default true.
 *
 * @typedef {object} Arrival Frames of one mark that came to a host.
 * @property {number} count
 * @property {number} firstMs Of the first, in milliseconds of CLOCK_MONOTONIC (`monotonicMs`).
 * @property {number} lastMs
 * @property {Uint8Array} frame The first one, whole.
 */

export class Network {
  /** @type {Namespace} */
  router;
  /** @type {Readonly<Record<HostName, Link>>} */
  links;
  /** @type {Map<HostName, Pump>} */
  #pumps = new Map();
  #echoes = 0;

  /**
   * Makes everything. Close it, also where the test failed.
   * @param {NetworkOptions} [options]
   * @returns {Promise<Network>}
   */
  static async open(options = {}) {
    const network = new Network(options);
    await network.startPumps();
    return network;
  }

  /** Without pumps: it carries only what real programs send. @param {NetworkOptions} [options] */
  constructor({ resolver, forwarding = true } = {}) {
    const base = `${namespacePrefix()}${process.pid}-${++networks}`;
    this.router = new Namespace(`${base}-router`);
    this.router.sysctl(ROUTER_SETTINGS);
    this.router.run(['ip', 'link', 'set', 'lo', 'up']);
    const [a, b, world] = HOSTS.map((host, index) => attach(this.router, base, host, index));
    if (a === undefined || b === undefined || world === undefined) throw new Error('three hosts');
    this.links = { a, b, world };
    if (resolver !== undefined) this.router.nft(qubesMasquerade(4) + qubesDnat(4, ASKED, [resolver]));
    if (forwarding) this.startForwarding();
  }

  startForwarding() {
    this.router.sysctl({ 'net.ipv4.ip_forward': 1, 'net.ipv6.conf.all.forwarding': 1 });
  }

  /** Resolves when every host takes in all frames. */
  async startPumps() {
    for (const { name } of HOSTS) this.#pumps.set(name, new Pump(this.links[name]));
    await Promise.all([...this.#pumps.values()].map((pump) => pump.ask({ do: 'drain' })));
  }

  /** @param {HostName} host */
  #pump(host) {
    const pump = this.#pumps.get(host);
    if (pump === undefined) throw new TypeError('this network has no pumps');
    return pump;
  }

  /**
   * Sends frames from a host, one after the other; resolves when the router is done with all of them and what
   * it let through is at the receivers.
   * @param {HostName} from
   * @param {readonly Uint8Array[]} frames
   */
  async send(from, frames) {
    const last = echoRequest(this.links[from], FIRST_ECHO_MARK + ++this.#echoes);
    await this.#pump(from).ask({ do: 'send', frames: frames.map(hexOf), last: hexOf(last) });
  }

  /**
   * The frames that came to a host since the last time, by their marks.
   * @param {HostName} at
   * @returns {Promise<ReadonlyMap<number, Arrival>>}
   */
  async arrived(at) {
    const { seen = {} } = await this.#pump(at).ask({ do: 'drain' });
    /** @type {Map<number, Arrival>} */
    const arrivals = new Map();
    for (const [mark, [count, firstNs, lastNs, hex]] of Object.entries(seen)) {
      const frame = Buffer.from(hex, 'hex');
      arrivals.set(Number(mark), { count, firstMs: firstNs / 1e6, lastMs: lastNs / 1e6, frame });
    }
    return arrivals;
  }

  /**
   * Sends frames over and over until `stopStream`.
   * @param {HostName} from
   * @param {readonly Uint8Array[]} frames
   * @param {number} rate Frames a second.
   */
  async stream(from, frames, rate) {
    await this.#pump(from).ask({ do: 'stream', frames: frames.map(hexOf), rate });
  }

  /**
   * Ends the stream, and waits as `send` does. Resolves to the count of frames sent; each went out equally
   * often.
   * @param {HostName} from
   */
  async stopStream(from) {
    const { sent = 0 } = await this.#pump(from).ask({ do: 'stop' });
    await this.send(from, []);
    return sent;
  }

  /** Forgets all flows. */
  forgetFlows() {
    this.router.run(['conntrack', '-F']);
  }

  async close() {
    await Promise.all([...this.#pumps.values()].map((pump) => pump.close()));
    this.removeNamespaces();
  }

  /** Does what `close` does without pumps. */
  removeNamespaces() {
    for (const { namespace } of Object.values(this.links)) namespace.close();
    this.router.close();
  }
}

/** Now, on the clock of `Arrival`. */
export function monotonicMs() {
  return Number(process.hrtime.bigint()) / 1e6;
}

/** An address of the caller's own writing. @param {string} text */
export function address(text) {
  const parsed = parseAddress(text);
  if (parsed === undefined) throw new TypeError(text);
  return parsed;
}

/**
 * @param {Namespace} router @param {string} base @param {(typeof HOSTS)[number]} host @param {number} index
 * @returns {Link}
 */
function attach(router, base, host, index) {
  const namespace = new Namespace(`${base}-${host.name}`);
  const routerMac = Uint8Array.of(2, 0, 0, 0, index, 1);
  const hostMac = Uint8Array.of(2, 0, 0, 0, index, 2);
  namespace.sysctl({ 'net.ipv6.conf.default.accept_dad': 0 });
  const { interface: dev, address4, address6, router4, router6 } = host;
  const [network4, network6] = host.networks;
  router.run(
    ['ip', '-batch', '-'],
    `link add ${dev} address ${macText(routerMac)} type veth peer name eth0 address ${macText(hostMac)} netns ${namespace.name}
link set ${dev} group ${host.name === 'world' ? 0 : QUBES_GROUP} up
addr add ${router4}/32 dev ${dev}
addr add ${router6}/128 dev ${dev} nodad
neigh add ${address4} lladdr ${macText(hostMac)} dev ${dev}
neigh add ${address6} lladdr ${macText(hostMac)} dev ${dev}
route add ${address4}/32 dev ${dev}
route add ${address6}/128 dev ${dev}
route add ${network4} via ${address4} dev ${dev} onlink
route add ${network6} via ${address6} dev ${dev} onlink
`,
  );
  namespace.run(
    ['ip', '-batch', '-'],
    `link set lo up
link set eth0 up
addr add ${address4}/32 dev eth0
addr add ${address6}/128 dev eth0 nodad
neigh add ${router4} lladdr ${macText(routerMac)} dev eth0
neigh add ${router6} lladdr ${macText(routerMac)} dev eth0
route add ${router4}/32 dev eth0
route add ${router6}/128 dev eth0
route add default via ${router4} dev eth0 onlink
route add default via ${router6} dev eth0 onlink
`,
  );
  return { namespace, interface: dev, routerMac, hostMac, address4, address6, router4, router6 };
}

/**
 * What a pump answers; which fields, depends on what it was asked.
 * @typedef {object} PumpAnswer
 * @property {number} [sent]
 * @property {Readonly<Record<string, readonly [count: number, firstNs: number, lastNs: number, hex: string]>>}
 *   [seen]
 * @property {string} [error]
 */

/** frame-pump.py on a host's interface. */
class Pump {
  #child;
  /** @type {{ resolve(answer: PumpAnswer): void, reject(error: Error): void }[]} */
  #asked = [];

  /** @param {Link} link */
  constructor({ namespace }) {
    this.#child = namespace.spawn(['python3', PUMP, 'eth0']);
    const { stdout } = this.#child;
    if (stdout === null) throw new Error('no standard output');
    createInterface({ input: stdout }).on('line', (line) => {
      /** @type {PumpAnswer} */
      const answer = JSON.parse(line);
      const asked = this.#asked.shift();
      if (answer.error === undefined) asked?.resolve(answer);
      else asked?.reject(new Error(answer.error));
    });
    this.#child.once('exit', () => {
      for (const asked of this.#asked.splice(0)) asked.reject(new Error('a frame pump ended'));
    });
  }

  /** @param {Readonly<Record<string, unknown>>} command @returns {Promise<PumpAnswer>} */
  ask(command) {
    return new Promise((resolve, reject) => {
      this.#asked.push({ resolve, reject });
      this.#child.stdin?.write(`${JSON.stringify(command)}\n`);
    });
  }

  async close() {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const ended = once(this.#child, 'exit');
    this.#child.stdin?.end();
    await ended;
  }
}

/** @param {Link} link @param {number} mark */
function echoRequest(link, mark) {
  const src = address(link.address4);
  const dst = address(link.router4);
  const payload = segment(src, dst, IpProtocol.icmp, { mark, icmpType: 8 });
  return frameOf(link.routerMac, link.hostMac, { src, dst, proto: IpProtocol.icmp, payload });
}

/** @param {Uint8Array} bytes */
function hexOf(bytes) {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('hex');
}

/** @param {Uint8Array} mac */
function macText(mac) {
  return [...mac].map((byte) => byte.toString(16).padStart(2, '0')).join(':');
}
