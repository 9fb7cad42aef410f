/**
 * `npm run bench -- dns [--runs N] [--only PARTS] [--names N,…]`, as root: `rulecast-dns` beside dnsmasq and
 * unbound, all with the same upstream, in turn in each round. It keeps no answer, so that the others are
 * measured without a cache, and with one. The client and the upstream are native/dns.c.
 */

import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { antispoofTables, missingForEnforcement, Network } from '../enforce/network.mjs';
import { millionHosts } from '../inputs.mjs';
import {
  ADDRESS,
  CAPTURED,
  cpuUsOf,
  Firewall,
  OPENED,
  residentMb,
  startDnsmasq,
  startUnbound,
  UPSTREAM_PORT,
} from './dns-servers.mjs';
import { grouped, machineLine, median, partsOf, runsOf, table } from './report.mjs';

const PARTS = ['forward', 'busy', 'connect', 'memory'];
const SOURCE = fileURLToPath(new URL('native/dns.c', import.meta.url));
const CLIENT = fileURLToPath(new URL('../enforce/names-client.mjs', import.meta.url));
/** With the neighbour as many as may hold addresses of a list at a time, each with 500 questions a second. */
const QUBES = 63;
const NAMES = 1000;
const FIRST = '10.137.0.5';
const OTHER = '10.137.128.6';
const FLOOD_RATE = 50_000;
const QUIET_RATE = 200;
const CONNECTIONS = 20_000;
/** Below what a qube may ask in a second. */
const CONNECTIONS_AT_ONCE = 450;
const LISTENING = `require('net').createServer((s) => s.on('error', () => {}).end()).listen({ port: 443, backlog: 4096 }, () => console.log('ready'))`;
const SET = 'told';
/** How long a resolver may take to read a million names. */
const READING_MAX_MS = 60_000;

/**
 * @typedef {object} Asked What `dns ask` tells; times in microseconds.
 * @property {number} asked @property {number} answered @property {number} lost @property {number} seconds
 * @property {number} p50 @property {number} p90 @property {number} p99 @property {number} max
 * @property {number} ok @property {number} failed @property {number} noName
 */

/** @param {readonly string[]} args */
export async function run(args) {
  const missing = missingForEnforcement(['dnsmasq', 'unbound', 'cc']);
  if (missing !== undefined) {
    process.stderr.write(`bench dns cannot run here: ${missing}\n`);
    process.exitCode = 1;
    return;
  }
  const [runs, parts] = [runsOf(args, 3), partsOf(args, PARTS)];
  process.stdout.write(machineLine(runs));
  const bench = await Bench.open();
  try {
    if (parts.includes('forward')) await bench.forward(runs);
    if (parts.includes('busy')) await bench.busy(runs);
    if (parts.includes('connect')) await bench.connect();
    if (parts.includes('memory')) await bench.memory(namesOf(args));
  } finally {
    await bench.close();
  }
}

/** A firewall in a network, with an upstream beside it. */
class Bench {
  static async open() {
    const directory = mkdtempSync(join(tmpdir(), 'rulecast-dns-'));
    const program = join(directory, 'dns');
    execFileSync('cc', ['-O2', '-o', program, SOURCE]);
    const network = new Network();
    const { router, links } = network;
    for (const [link, range] of /** @type {const} */ ([
      [links.a, '10.137.0.0/17'],
      [links.b, '10.137.128.0/17'],
      [links.world, '93.184.0.0/16'],
    ]))
      link.namespace.run(['ip', 'route', 'add', 'local', range, 'dev', 'lo']);
    const others = Array.from({ length: QUBES - 1 }, (_, i) => `"vif-a" . 10.137.0.${6 + i}`);
    router.nft(`${antispoofTables()}add element ip qubes allowed { ${others.join(', ')} }\n`);
    await ready(router, [program, 'upstream', '127.0.0.1', `${UPSTREAM_PORT}`]);
    const firewall = await Firewall.start(directory, network);
    const bench = new Bench(directory, program, network, firewall);
    await bench.rules(['never.example']);
    return bench;
  }

  /** @param {string} directory @param {string} program @param {Network} network @param {Firewall} firewall */
  constructor(directory, program, network, firewall) {
    this.directory = directory;
    this.program = program;
    this.network = network;
    this.firewall = firewall;
  }

  /** @param {readonly string[]} blocked @param {readonly string[]} [args] */
  async rules(blocked, args = []) {
    const egress = [
      'drop dst=@ads',
      'accept specialtarget=dns',
      'accept dst=@updates proto=tcp dstports=443',
    ];
    const policies = {
      a: { prefixes: ['10.137.0.0/17'], egress },
      b: { prefixes: ['10.137.128.0/17'], egress },
    };
    const lists = {
      updates: { names: [`.${OPENED}`], resolve: 'firewall' },
      ads: { file: 'ads.txt', resolve: 'firewall' },
    };
    writeFileSync(join(this.directory, 'ads.txt'), `${blocked.join('\n')}\n`);
    await this.firewall.push('rules.json', JSON.stringify({ lists, policies, unmatched: 'drop' }), args);
  }

  /**
   * @param {{ readonly port: number, readonly address?: string }} server
   * @param {{ readonly from?: 'a' | 'b', readonly first?: string, readonly clients?: number, readonly slots?: number,
   *   readonly rate?: number, readonly seconds: number, readonly domain: string, readonly names?: number }} how
   * @returns {Promise<Asked>}
   */
  async ask(
    { port, address = ADDRESS },
    { from = 'a', first = FIRST, clients = 1, slots = 1, rate = 0, seconds, domain, names = NAMES },
  ) {
    const what = [port, first, clients, slots, rate, seconds, names].map(String);
    const child = this.network.links[from].namespace.spawn([this.program, 'ask', address, ...what, domain]);
    const [line] = await once(createInterface({ input: child.stdout }), 'line');
    return JSON.parse(String(line));
  }

  /** @param {number} runs */
  async forward(runs) {
    const { network, directory, firewall } = this;
    network.router.nft(
      `table inet bench {\n  set ${SET} { type ipv4_addr; flags timeout; timeout 2m; size 65535; }\n}\n`,
    );
    const nftset = `bench#${SET}`;
    const servers = [
      { name: 'rulecast-dns', server: firewall, domain: 'other.example' },
      {
        name: 'dnsmasq, no cache',
        server: await startDnsmasq(network, { port: 5354, cache: 0 }),
        domain: 'other.example',
      },
      {
        name: 'unbound, no cache',
        server: await startUnbound(network, directory, { port: 5355, isCaching: false }),
        domain: 'other.example',
      },
      { name: 'rulecast-dns, opened', server: firewall, domain: OPENED },
      {
        name: 'dnsmasq, no cache, nftset',
        server: await startDnsmasq(network, { port: 5356, cache: 0, nftset }),
        domain: OPENED,
      },
      {
        name: 'dnsmasq, cache',
        server: await startDnsmasq(network, { port: 5357, cache: 10_000 }),
        domain: 'other.example',
      },
      {
        name: 'unbound, cache',
        server: await startUnbound(network, directory, { port: 5358, isCaching: true }),
        domain: 'other.example',
      },
    ];
    /** @type {Map<string, { quiet: Asked, full: Asked, cpuUs: number }[]>} */
    const found = new Map(servers.map(({ name }) => [name, []]));
    for (let i = 0; i <= runs; i++) {
      for (const { name, server, domain } of servers) {
        const quiet = await this.ask(server, { rate: QUIET_RATE, seconds: 1.5, domain });
        const before = cpuUsOf(server.pids);
        const full = await this.ask(server, { clients: QUBES, slots: QUBES, seconds: 2.5, domain });
        if (i > 0) found.get(name)?.push({ quiet, full, cpuUs: cpuUsOf(server.pids) - before }); // the first warms
      }
    }
    for (const { server } of servers) if (server !== firewall) await server.stop();
    const rows = [...found].map(([name, rounds]) => {
      const of = (/** @type {(round: { quiet: Asked, full: Asked, cpuUs: number }) => number} */ value) =>
        median(rounds.map(value));
      return [
        name,
        `${of(({ quiet }) => quiet.p50)}`,
        `${of(({ quiet }) => quiet.p99)}`,
        grouped(of(({ full }) => full.answered / full.seconds)),
        grouped(of(({ full, cpuUs }) => (1e6 * full.answered) / cpuUs)),
        of(({ full, cpuUs }) => cpuUs / full.answered).toFixed(1),
        `${of(({ full }) => full.p50)}`,
        `${rounds.reduce((sum, { full }) => sum + full.answered - full.ok + full.lost, 0)}`,
      ];
    });
    const text = `\nOne qube asks ${QUIET_RATE} a second, then ${QUBES} qubes ask again and again; of ${NAMES} names.\n\n`;
    const head = [
      '',
      'p50, µs',
      'p99, µs',
      'a second',
      'a second of CPU',
      'CPU each, µs',
      'p50 under load, µs',
      'failed or lost',
    ];
    process.stdout.write(text + table(head, rows));
  }

  /** @param {number} runs */
  async busy(runs) {
    const million = millionHosts(1_000_000, 20).text;
    /** @type {[string, Asked[], string][]} */
    const rows = [
      ['while a million addresses load', [], ''],
      ['quiet', [], ''],
      [`beside one of ${grouped(FLOOD_RATE)} a second`, [], ''],
      ['captured, quiet', [], ''],
      [`captured, beside one of ${grouped(FLOOD_RATE)} a second`, [], ''],
    ];
    const quiet = { from: /** @type {const} */ ('b'), first: OTHER, rate: QUIET_RATE, domain: OPENED };
    for (let i = 0; i < runs; i++) {
      const beganMs = performance.now();
      const loading = this.firewall.push('hosts.txt', million.replace(/^\d+/, `${1 + i}`));
      const loads = this.ask(this.firewall, { ...quiet, seconds: 6 });
      await loading;
      if (rows[0] !== undefined) rows[0][2] = `${((performance.now() - beganMs) / 1000).toFixed(1)} s`;
      rows[0]?.[1].push(await loads);
      for (const [server, at] of /** @type {const} */ ([
        [this.firewall, 1],
        [CAPTURED, 3],
      ])) {
        rows[at]?.[1].push(await this.ask(server, { ...quiet, seconds: 3 }));
        const flood = this.ask(server, { slots: 4, rate: FLOOD_RATE, seconds: 4, domain: OPENED });
        await pause(500);
        const row = rows[at + 1];
        row?.[1].push(await this.ask(server, { ...quiet, seconds: 3 }));
        const { asked, seconds } = await flood;
        if (row !== undefined) row[2] = grouped(asked / seconds);
      }
    }
    const head = ['answers of one qube, opened', 'p50, µs', 'p99, µs', 'the longest', 'lost', ''];
    process.stdout.write('\n');
    process.stdout.write(
      table(
        head,
        rows.map(([what, found, more]) => [
          what,
          .../** @type {const} */ (['p50', 'p99', 'max']).map((key) =>
            grouped(median(found.map((one) => one[key]))),
          ),
          `${found.reduce((sum, one) => sum + one.asked - one.answered, 0)}`,
          more,
        ]),
      ),
    );
  }

  /** Each address is connected to as soon as it is told. */
  async connect() {
    const { links } = this.network;
    await ready(links.world.namespace, [process.execPath, '-e', LISTENING]);
    const client = links.a.namespace.spawn([process.execPath, CLIENT]);
    const lines = createInterface({ input: client.stdout });
    /** @type {Record<string, number>} */
    const seen = {};
    for (let from = 0; from < CONNECTIONS; from += CONNECTIONS_AT_ONCE) {
      const second = pause(1000);
      const count = Math.min(CONNECTIONS_AT_ONCE, CONNECTIONS - from);
      client.stdin.write(`${JSON.stringify({ server: ADDRESS, domain: OPENED, from, count })}\n`);
      const [line] = await once(lines, 'line');
      for (const [what, count] of Object.entries(JSON.parse(String(line))))
        seen[what] = (seen[what] ?? 0) + Number(count);
      await second;
    }
    client.kill('SIGKILL');
    process.stdout.write(
      `\n${grouped(CONNECTIONS)} connections right after the answer: ${JSON.stringify(seen)}\n`,
    );
  }

  /** @param {readonly number[]} counts */
  async memory(counts) {
    process.stdout.write(
      '\nResident with so many names blocked, and how long until the last of them was.\n\n',
    );
    const rows = [];
    for (const count of counts) {
      const names = Array.from({ length: count }, (_, i) => `host-${i}.ads-${i % 997}.example`);
      const ours = await this.blocks('rulecast-dns', names, async () => {
        await this.rules(names, ['--no-wait']);
        return { ...this.firewall, pids: [this.firewall.dnsPid], stop: async () => undefined };
      });
      const dnsmasq = await this.blocks('dnsmasq', names, () => {
        const file = join(this.directory, 'dnsmasq.conf');
        writeFileSync(file, names.map((name) => `address=/${name}/\n`).join(''));
        return startDnsmasq(this.network, { port: 5361, cache: 0, file });
      });
      const unbound = await this.blocks('unbound', names, () => {
        const file = join(this.directory, 'blocked.conf');
        writeFileSync(file, names.map((name) => `local-zone: "${name}" always_nxdomain\n`).join(''));
        return startUnbound(this.network, this.directory, { port: 5362, isCaching: false, file });
      });
      rows.push(ours, dnsmasq, unbound);
    }
    process.stdout.write(table(['blocked', 'MB', 'seconds'], rows));
  }

  /** @param {string} what @param {readonly string[]} names @param {() => Promise<import('./dns-servers.mjs').Resolver>} start */
  async blocks(what, names, start) {
    const beganMs = performance.now();
    const server = await start();
    await this.blocking(server, names);
    const seconds = ((performance.now() - beganMs) / 1000).toFixed(1);
    const mb = residentMb(server.pids[0] ?? 0).toFixed(0);
    await server.stop();
    return [`${grouped(names.length)} names, ${what}`, mb, seconds];
  }

  /** Resolves once it blocks the last of them. @param {{ readonly port: number }} server @param {readonly string[]} names */
  async blocking(server, names) {
    const untilMs = performance.now() + READING_MAX_MS;
    while (!this.isBlocking(server, names.at(-1) ?? '')) {
      if (performance.now() > untilMs) throw new Error('a resolver does not block');
      await pause(200);
    }
  }

  /** @param {{ readonly port: number }} server @param {string} name */
  isBlocking({ port }, name) {
    try {
      const dig = ['dig', '+tries=1', '+time=1', '-p', `${port}`, `@${ADDRESS}`, name];
      return this.network.links.a.namespace.run(dig).includes('NXDOMAIN');
    } catch {
      return false; // it is still reading
    }
  }

  async close() {
    await this.firewall.stop();
    await this.network.close();
    rmSync(this.directory, { recursive: true, force: true });
  }
}

/** @param {readonly string[]} args */
function namesOf(args) {
  const at = args.indexOf('--names');
  return at < 0 ? [1, 100_000, 1_000_000] : (args[at + 1] ?? '').split(',').map(Number);
}

/** @param {import('../enforce/network.mjs').Namespace} namespace @param {readonly string[]} command */
async function ready(namespace, command) {
  await once(createInterface({ input: namespace.spawn(command).stdout }), 'line');
}
