/**
 * What the log of refused packets costs and shows while one qube is refused as fast as it can send: packets
 * refused in a second with and without it, CPU of who reads, and how many of 30 packets of another qube are
 * seen. A router with the sink alone, and the reader as a process beside it.
 */

import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { EMPTY_RULE_SET, emptyPolicy, IpProtocol } from '@rulecast/rules';
import { frameOf, segment } from '../enforce/frames.mjs';
import { address, missingForEnforcement, Network } from '../enforce/network.mjs';
import { sinkIn } from '../enforce/sink.mjs';
import { grouped, machineLine, median, runsOf, table } from './report.mjs';

const RUNS = 3;
const SECONDS = 10;
const GROUP = 5310;
const BLASTER = fileURLToPath(new URL('../enforce/frame-blaster.py', import.meta.url));
const READER = fileURLToPath(new URL('../enforce/log-reader.mjs', import.meta.url));
/** A round of the blaster. */
const FRAMES = 2048;
const STARTED_MS = 1000;
const NEIGHBOUR = { address: '10.137.128.6', packets: 30, everyS: 0.3 };
const SENDER = `import socket, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for i in range(${NEIGHBOUR.packets}):
  try: s.sendto(b"x", ("203.0.113.7", 1000 + i))
  except OSError: pass
  time.sleep(${NEIGHBOUR.everyS})
`;

/** @param {readonly string[]} args */
export async function run(args) {
  const missing = missingForEnforcement();
  if (missing !== undefined) throw new Error(`the log cannot be measured: ${missing}`);
  const runs = runsOf(args, RUNS);
  process.stdout.write(machineLine(runs));
  const rows = [];
  const hasUlogd = spawnSync('which', ['ulogd']).status === 0;
  if (!hasUlogd) process.stdout.write('ulogd2 is not installed, and not measured\n');
  for (const [name, by] of /** @type {const} */ ([
    ['without a log', undefined],
    ['with --log', Reader],
    ...(hasUlogd ? [/** @type {const} */ (['the same read by ulogd2', Ulogd])] : []),
  ])) {
    /** @type {Awaited<ReturnType<typeof measure>>[]} */
    const measured = [];
    for (let i = 0; i < runs; i++) measured.push(await measure(by));
    const of = (/** @type {keyof typeof measured[number]} */ what) =>
      median(measured.map((one) => one[what]));
    const seen = measured.map((one) => one.seen);
    rows.push([
      name,
      grouped(of('refused')),
      ...(by
        ? [
            grouped(of('read')),
            `${of('cpu').toFixed(2)} %`,
            `${Math.min(...seen)} of ${NEIGHBOUR.packets}`,
            grouped(of('lost')),
          ]
        : ['', '', '', '']),
    ]);
  }
  const head = ['', 'refused a second', 'read', 'CPU of the reader', "neighbour's seen, at worst", 'lost'];
  process.stdout.write(table(head, rows));
}

/** @param {typeof Reader | typeof Ulogd | undefined} by The reader of the log. */
async function measure(by) {
  const network = new Network();
  const { router, links } = network;
  try {
    const reader = await by?.open(router);
    const group = by ? ['--log-group', String(GROUP)] : [];
    const sink = sinkIn(network, by ? { logGroup: GROUP } : {}, group);
    const policies = new Map([['default', emptyPolicy('default')]]); // drops
    const ruleSet = { ...EMPTY_RULE_SET, policies };
    await sink.prepare({ hash: new Uint8Array(32).fill(1), ruleSet, environment: { now: 0, dns: [] } });
    await sink.commit();
    const blaster = links.a.namespace.spawn(['python3', BLASTER, 'eth0', String(SECONDS)]);
    blaster.stdin?.end(floodOf(links.a).join('\n'));
    const sender = links.b.namespace.spawn(['python3', '-c', SENDER]);
    await Promise.all([once(blaster, 'close'), once(sender, 'close')]);
    const refused = (await sink.hits()).dropped.packets / SECONDS;
    const sums = await reader?.end();
    await sink.close();
    return {
      refused,
      read: sums?.packets ?? 0,
      cpu: (sums?.cpuMs ?? 0) / SECONDS / 10,
      seen: reader?.seen ?? 0,
      lost: sums?.lost ?? 0,
    };
  } finally {
    network.removeNamespaces();
  }
}

/** Datagrams of flows that differ. @param {import('../enforce/network.mjs').Link} link */
function floodOf({ routerMac, hostMac, address4 }) {
  const [src, dst] = [address(address4), address('203.0.113.9')];
  return Array.from({ length: FRAMES }, (_, at) => {
    const content = { mark: at, srcPort: 10_000 + at, dstPort: 9 };
    const payload = segment(src, dst, IpProtocol.udp, content);
    return Buffer.from(frameOf(routerMac, hostMac, { src, dst, proto: IpProtocol.udp, payload })).toString(
      'hex',
    );
  });
}

class Reader {
  #child;
  #lines;
  /** Packets of the neighbour. */
  seen = 0;
  /** @type {{ packets: number, lost: number, cpuMs: number } | undefined} */
  #sums;

  /** @param {import('../enforce/network.mjs').Namespace} router */
  static async open(router) {
    const reader = new Reader(router.spawn([process.execPath, READER, String(GROUP), '2']));
    await once(reader.#lines, 'line');
    return reader;
  }

  /** @param {import('node:child_process').ChildProcess} child */
  constructor(child) {
    this.#child = child;
    if (child.stdout === null) throw new Error('no standard output');
    this.#lines = createInterface({ input: child.stdout });
    this.#lines.on('line', (line) => {
      const said = JSON.parse(line);
      if (said.interface === 'vif-b') this.seen += 1;
      if (said.packets !== undefined) this.#sums = said;
    });
  }

  async end() {
    this.#child.stdin?.end();
    await once(this.#child, 'close');
    return this.#sums;
  }
}

/** Debian's, which writes a line for each packet. */
class Ulogd {
  #child;
  #folder;
  seen = 0;

  /** @param {import('../enforce/network.mjs').Namespace} router */
  static async open(router) {
    const folder = mkdtempSync(join(tmpdir(), 'rulecast-bench-'));
    const plugins = [
      'inppkt_NFLOG',
      'raw2packet_BASE',
      'filter_IFINDEX',
      'filter_IP2STR',
      'filter_PRINTPKT',
      'output_LOGEMU',
    ];
    const loaded = plugins.map((each) => `plugin="ulogd_${each}.so"`).join('\n');
    const stack = 'stack=log1:NFLOG,base1:BASE,ifi1:IFINDEX,ip2str1:IP2STR,print1:PRINTPKT,emu1:LOGEMU';
    const read = `[log1]\ngroup=${GROUP}\n[emu1]\nfile="${join(folder, 'packets')}"\nsync=1\n`;
    const config = join(folder, 'ulogd.conf');
    writeFileSync(config, `[global]\nlogfile="${join(folder, 'log')}"\n${loaded}\n${stack}\n${read}`);
    const ulogd = new Ulogd(router.spawn(['ulogd', '-c', config]), folder);
    await pause(STARTED_MS);
    return ulogd;
  }

  /** @param {import('node:child_process').ChildProcess} child @param {string} folder */
  constructor(child, folder) {
    this.#child = child;
    this.#folder = folder;
  }

  async end() {
    const [onCpuNs = '0'] = readFileSync(`/proc/${this.#child.pid}/schedstat`, 'latin1').split(' ');
    const ended = once(this.#child, 'close');
    this.#child.kill('SIGTERM');
    await ended;
    const lines = readFileSync(join(this.#folder, 'packets'), 'latin1').trim().split('\n');
    rmSync(this.#folder, { recursive: true });
    this.seen = lines.filter((line) => line.includes('IN=vif-b ')).length;
    return { packets: lines.length, lost: 0, cpuMs: Number(onCpuNs) / 1e6 };
  }
}
