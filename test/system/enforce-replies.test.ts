/**
 * Replies follow their flow: they end with the release that forbids it, at once, and none is lost of a flow
 * that goes on.
 */

import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { NftSink, NftSinkOptions } from '@rulecast/nftables';
import { emptyPolicy, IpProtocol } from '@rulecast/rules';
import { afterEach, describe, expect, it } from 'vitest';
import { arrivalCounts, blast, countArrivals } from '../enforce/blast.ts';
import { frameOf, segment } from '../enforce/frames.mjs';
import { address, type Namespace, Network } from '../enforce/network.mjs';
import { sinkIn } from '../enforce/sink.mjs';
import { runsFrom } from '../kit/rules.ts';
import { enforcementGap } from './namespaces.ts';

const CHATTER = fileURLToPath(new URL('../enforce/chatter.mjs', import.meta.url));
const QUBE = '10.137.0.5';
const QUBE6 = 'fd09:24ef:4179:a::5';
const REMOTE = '203.0.113.7';
const REMOTE6 = '2001:db8:7::7';
const FLOWS = 20_000;
/** Flooded at a time: a round of the blaster. */
const FLOODED = 2048;
const FIRST_PORT = 10_000;
const RELEASES = 100;

let network: Network | undefined;
let sink: NftSink | undefined;
let releases = 0;

afterEach(async () => {
  await sink?.close();
  await network?.close();
  sink = undefined;
  network = undefined;
});

describe.skipIf(enforcementGap() !== undefined)('replies', () => {
  it.each<[string, NftSinkOptions]>([
    ['', {}],
    [', with flow marks off', { flowMarks: false }],
  ])(`of ${FLOWS} flows end with the switch that forbids them%s`, async (_, options) => {
    await start(options);
    await enforce(['accept']);
    const ports = Array.from({ length: FLOWS }, (_unused, index) => FIRST_PORT + index);
    await open().send('a', [
      ...ports.map((port) => datagram('a', QUBE, REMOTE, port, 443)),
      datagram('a', QUBE6, REMOTE6, FIRST_PORT, 443, IpProtocol.icmp6),
    ]);
    countArrivals(open().links.a.namespace, [QUBE]);
    const replies = ports.slice(0, FLOODED).map((port) => datagram('world', REMOTE, QUBE, 443, port));
    const flood = blast(open(), 'world', replies);
    while (arrived() < FLOODED) await new Promise(setImmediate);
    await enforce(['drop proto=udp', 'accept']);
    const passed = arrived();
    while (((await sink?.hits())?.dropped.packets ?? 0) < FLOODED) await new Promise(setImmediate);
    await flood.stop();
    expect(arrived()).toBe(passed);
  });

  it.each<[string, NftSinkOptions]>([
    ['', {}],
    [', with flow marks off', { flowMarks: false }],
  ])(
    `of a flow whose qube is silent go on over ${RELEASES} releases, without a loss%s`,
    async (_, options) => {
      await start(options);
      await enforce(['accept']);
      await open().send('a', [datagram('a', QUBE, REMOTE, FIRST_PORT, 443)]);
      countArrivals(open().links.a.namespace, [QUBE]);
      const stream = blast(open(), 'world', [datagram('world', REMOTE, QUBE, 443, FIRST_PORT)]);
      for (let i = 0; i < RELEASES; i++)
        await enforce(i % 2 === 0 ? ['accept proto=udp', 'drop'] : ['accept']);
      const sent = await stream.stop();
      expect(sent).toBeGreaterThan(RELEASES);
      expect(arrived()).toBe(sent);
    },
  );

  it('of what an ingress policy forbids end too', async () => {
    await start();
    await enforce(['accept'], ['accept']);
    await open().send('world', [datagram('world', REMOTE, QUBE, 443, FIRST_PORT)]);
    const answer = (): Promise<boolean> => comes('a', QUBE, REMOTE, FIRST_PORT, 443);
    expect(await answer()).toBe(true);
    await enforce(['drop'], ['accept']);
    expect(await answer()).toBe(true); // egress rules are not about it
    await enforce(['accept'], ['drop']);
    expect(await answer()).toBe(false);
  });

  it.each([
    ['world', '198.18.0.2'],
    ['b', '10.137.128.6'],
  ] as const)('and both sides of a TCP connection to %s are told by a reset', async (host, dst) => {
    network = new Network();
    sink = sinkIn(network);
    await enforce(['accept']);
    const { a, [host]: other } = network.links;
    const server = new Talker(other.namespace, 'serve', dst);
    await server.says('listening');
    const client = new Talker(a.namespace, 'call', dst);
    await Promise.all([server.says('up'), client.says('up')]);
    await enforce(['drop']);
    await Promise.all([server.says('ECONNRESET'), client.says('ECONNRESET')]);
  });
});

/** One side of chatter.mjs. */
class Talker {
  private readonly said = new Set<string>();
  private readonly heard: (() => void)[] = [];

  constructor(namespace: Namespace, side: 'serve' | 'call', host: string) {
    const { stdout } = namespace.spawn([process.execPath, CHATTER, side, host, '8080']);
    if (stdout === null) throw new Error('no standard output');
    createInterface({ input: stdout }).on('line', (line) => {
      this.said.add(line);
      for (const wake of this.heard.splice(0)) wake();
    });
  }

  async says(word: string): Promise<void> {
    while (!this.said.has(word)) await new Promise<void>((resolve) => this.heard.push(resolve));
  }
}

function open(): Network {
  if (network === undefined) throw new Error('no network');
  return network;
}

async function start(options: NftSinkOptions = {}): Promise<void> {
  network = await Network.open();
  sink = sinkIn(network, options);
}

/** Packets to the qube that were counted there. */
function arrived(): number {
  return arrivalCounts(open().links.a.namespace)[0] ?? 0;
}

/** Puts rules in force for every qube. */
async function enforce(egress: readonly string[], ingress: readonly string[] = []): Promise<void> {
  const hash = new Uint8Array(32);
  new DataView(hash.buffer).setUint32(0, ++releases);
  const prefixes = { v4: { family: 4, words: new Uint32Array(1), lengths: new Uint8Array(1) } } as const;
  const everyone = {
    ...emptyPolicy('everyone'),
    prefixes: { ...emptyPolicy('everyone').prefixes, ...prefixes },
    egress: runsFrom('egress', egress),
    ingress: runsFrom('ingress', ingress),
  };
  const policies = new Map([
    ['everyone', everyone],
    ['default', { ...emptyPolicy('default'), egress: runsFrom('egress', egress) }],
  ]);
  const ruleSet = { lists: new Map(), policies, resolutions: new Map(), unmatched: undefined };
  await sink?.prepare({ hash, ruleSet, environment: { now: 0, dns: [] } });
  await sink?.commit();
}

let marks = 0;

function datagram(
  from: 'a' | 'world',
  src: string,
  dst: string,
  srcPort: number,
  dstPort: number,
  proto: number = IpProtocol.udp,
): Uint8Array {
  const { routerMac, hostMac } = open().links[from];
  const ends = { src: address(src), dst: address(dst), proto };
  const payload = segment(ends.src, ends.dst, proto, { mark: ++marks, srcPort, dstPort, icmpType: 128 });
  return frameOf(routerMac, hostMac, { ...ends, payload });
}

/** Sends a datagram; whether it came to the other side. */
async function comes(
  from: 'a' | 'world',
  src: string,
  dst: string,
  srcPort: number,
  dstPort: number,
): Promise<boolean> {
  await open().send(from, [datagram(from, src, dst, srcPort, dstPort)]);
  return (await open().arrived(from === 'a' ? 'world' : 'a')).has(marks);
}
