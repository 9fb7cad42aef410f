/** The log of refused packets, of a real kernel: what it says of each, of whom, and what it leaves out. */

import { type ChildProcess, execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { NftSink } from '@rulecast/nftables';
import { emptyPolicy, IpProtocol, type RuleSet } from '@rulecast/rules';
import { afterEach, describe, expect, it } from 'vitest';
import { frameOf, type IpPacket, segment } from '../enforce/frames.mjs';
import { address, Network } from '../enforce/network.mjs';
import { sinkIn } from '../enforce/sink.mjs';
import { temporaryDirectory } from '../kit/directory.ts';
import { prefixSetFrom, runsFrom } from '../kit/rules.ts';
import { enforcementGap } from './namespaces.ts';
import { within } from './scene.ts';

const READER = fileURLToPath(new URL('../enforce/log-reader.mjs', import.meta.url));
const GROUP = 5310;
const LOGGED = ['--log-group', String(GROUP)];
const ENVIRONMENT = { now: 1_790_000_000, dns: [] };
const QUBE = { 4: '10.137.0.5', 6: 'fd09:24ef:4179:a::5' } as const;
const REMOTE = { 4: '203.0.113.7', 6: '2001:db8:7::7' } as const;
const HEX = {
  4: { qube: '0a890005', remote: 'cb007107' },
  6: { qube: 'fd0924ef4179000a0000000000000005', remote: '20010db8000700000000000000000007' },
} as const;
const SOON_MS = 10_000;
const NEIGHBOUR = '10.137.128.6';
const FIN = 1;
const ACK = 16;

let network: Network | undefined;
let sink: NftSink | undefined;
let reader: Reader | undefined;

afterEach(async () => {
  reader?.child.kill('SIGKILL');
  await sink?.close();
  await network?.close();
  [reader, sink, network] = [undefined, undefined, undefined];
});

describe.skipIf(enforcementGap() !== undefined)('the log of the kernel', () => {
  it.each([4, 6] as const)(
    'says of packets over IPv%i whose they are, and why each is refused',
    async (family) => {
      await enforce(['accept proto=tcp dstports=443', 'drop'], ['drop']);
      const icmp = family === 4 ? { proto: 1, icmpType: 8 } : { proto: 58, icmpType: 128 };
      await send('a', family, { proto: IpProtocol.udp, srcPort: 20_000, dstPort: 53 });
      await send('a', family, icmp);
      await send('a', family, { proto: IpProtocol.tcp, srcPort: 20_001, dstPort: 443, tcpFlags: FIN }); // of nothing
      await send('world', family, { proto: IpProtocol.udp, srcPort: 53, dstPort: 20_009 });
      await send('world', family, { proto: IpProtocol.tcp, srcPort: 443, dstPort: 20_008, tcpFlags: ACK });
      const own = { ...HEX[family], release: '01'.repeat(8), interface: 'vif-a' };
      expect(await open().logged(5)).toMatchObject([
        { ...own, reason: 'rule', direction: 'egress', proto: 17, port: 53 },
        { ...own, reason: 'rule', direction: 'egress', ...icmp },
        { ...own, reason: 'flowless', direction: 'egress', proto: 6, port: 443 },
        { ...own, reason: 'rule', direction: 'ingress', proto: 17, port: 20_009 },
        { ...own, reason: 'tcp-rest', direction: 'ingress', proto: 6, port: 20_008 },
      ]);
      expect(await open().end()).toMatchObject({ packets: 5, lost: 0 });
    },
  );

  it('says of a reply whose flow it is of, and which release refuses it', async () => {
    await enforce(['accept'], ['drop']);
    const reply = { proto: IpProtocol.udp, srcPort: 53, dstPort: 20_000 };
    await send('a', 4, { proto: IpProtocol.udp, srcPort: 20_000, dstPort: 53 });
    await send('world', 4, reply);
    await release(2, ['drop'], ['drop']);
    await send('world', 4, reply);
    const flow = { reason: 'rule', direction: 'egress', proto: 17, port: 53, ...HEX[4] };
    expect(await open().logged(1)).toMatchObject([{ ...flow, release: '02'.repeat(8) }]);
    expect(await open().end()).toMatchObject({ packets: 1, lost: 0 });
  });

  it.each([
    ['another one is refused all the time', 'a', QUBE[4], REMOTE[4]],
    ['another one is refused what it sends to it', 'a', QUBE[4], NEIGHBOUR],
    ['the world is refused what it sends to it', 'world', REMOTE[4], NEIGHBOUR],
  ] as const)('hides nothing of a qube where %s', async (_, sender, from, to) => {
    await enforce(['drop'], ['drop']);
    const { routerMac, hostMac } = net().links[sender];
    const flood = Array.from({ length: 500 }, (_unused, at) =>
      frameOf(routerMac, hostMac, packet(from, to, { proto: 17, srcPort: 10_000 + at, dstPort: 9 })),
    );
    await net().stream(sender, flood, 20_000);
    for (let at = 0; at < 15; at++)
      await sendAs('b', NEIGHBOUR, REMOTE[4], {
        proto: IpProtocol.udp,
        srcPort: 30_000 + at,
        dstPort: 443,
      });
    const isOfOther = ({ interface: link, direction }: Line): boolean =>
      link === 'vif-b' && direction === 'egress';
    expect(await open().logged(15, isOfOther)).toHaveLength(15);
    const sent = await net().stopStream(sender);
    const { packets = 0, lost } = await open().end();
    expect(lost).toBe(0);
    expect(packets - 15).toBeLessThan(sent / 2);
  });

  it('has no more of an interface where a qube makes up its addresses', async () => {
    await enforce(['drop'], []);
    const { routerMac, hostMac } = net().links.a;
    const flood = Array.from({ length: 500 }, (_, at) => {
      const from = `10.137.${1 + (at >> 7)}.${at & 127}`;
      return frameOf(routerMac, hostMac, packet(from, REMOTE[4], { proto: 17, srcPort: 9, dstPort: 9 }));
    });
    await net().send('a', flood);
    await open().logged(200);
    expect((await open().end()).packets).toBeLessThan(450);
  });

  it('says that all is closed where its table was taken away', async () => {
    network = await Network.open();
    await net().router.withoutOwners();
    await start();
    await release(1, ['accept'], []);
    net().router.nft('flush ruleset\n');
    const asked = { proto: IpProtocol.udp, srcPort: 20_000, dstPort: 53 };
    let isOver = false;
    const logged = open()
      .logged(1)
      .finally(() => {
        isOver = true;
      });
    while (!isOver) await send('a', 4, asked); // until it is closed
    const [first] = await logged;
    expect(first).toMatchObject({ ...HEX[4], reason: 'closed', release: '', direction: 'egress', port: 53 });
  });

  it('is read without any thread of the pool', async () => {
    const held = join(temporaryDirectory(), 'held');
    execFileSync('mkfifo', [held]);
    network = await Network.open();
    await start(held);
    await release(1, ['drop'], []);
    await send('a', 4, { proto: IpProtocol.udp, srcPort: 20_000, dstPort: 53 });
    expect(await open().logged(1)).toHaveLength(1);
    expect(open().isPoolFree).toBe(false);
  });

  it('is read by nobody else, and what cannot be had is said before any release', async () => {
    await enforce(['drop'], []);
    const other = net().router.spawn([process.execPath, READER, String(GROUP), '2']);
    const [code] = await within(once(other, 'exit'), SOON_MS, 'an end of the second reader');
    expect(code).not.toBe(0);
  });
});

function net(): Network {
  if (network === undefined) throw new Error('no network');
  return network;
}

function open(): Reader {
  if (reader === undefined) throw new Error('nothing is read');
  return reader;
}

/** A network whose router has one release in force, and its log is read. */
async function enforce(egress: readonly string[], ingress: readonly string[]): Promise<void> {
  network = await Network.open();
  await start();
  await release(1, egress, ingress);
}

/** `held`: a pipe that holds the one thread of the reader's pool. */
async function start(held?: string): Promise<void> {
  reader = await Reader.open(net(), held);
  sink = sinkIn(net(), { logGroup: GROUP }, LOGGED);
}

async function release(number: number, egress: readonly string[], ingress: readonly string[]): Promise<void> {
  const everyone = {
    ...emptyPolicy('everyone'),
    prefixes: prefixSetFrom(['0.0.0.0/0', '::/0']),
    egress: runsFrom('egress', egress, ENVIRONMENT.now),
    ingress: runsFrom('ingress', ingress, ENVIRONMENT.now),
  };
  const policies = new Map([['everyone', everyone]]);
  const ruleSet: RuleSet = { lists: new Map(), policies, resolutions: new Map(), unmatched: undefined };
  await sink?.prepare({ hash: new Uint8Array(32).fill(number), ruleSet, environment: ENVIRONMENT });
  await sink?.commit();
}

interface Content {
  readonly proto: number;
  readonly srcPort?: number;
  readonly dstPort?: number;
  readonly icmpType?: number;
  readonly tcpFlags?: number;
}

let marks = 0;

function packet(from: string, to: string, { proto, ...content }: Content): IpPacket {
  const [src, dst] = [address(from), address(to)];
  return { src, dst, proto, payload: segment(src, dst, proto, { ...content, mark: ++marks }) };
}

/** From the qube to the remote address, or back. */
async function send(host: 'a' | 'world', family: 4 | 6, content: Content): Promise<void> {
  const [from, to] = host === 'a' ? [QUBE[family], REMOTE[family]] : [REMOTE[family], QUBE[family]];
  await sendAs(host, from, to, content);
}

async function sendAs(host: 'a' | 'b' | 'world', from: string, to: string, content: Content): Promise<void> {
  const { routerMac, hostMac } = net().links[host];
  await net().send(host, [frameOf(routerMac, hostMac, packet(from, to, content))]);
}

/** A line of log-reader.mjs. */
interface Line {
  readonly ready?: true;
  readonly pool?: 'free';
  readonly interface?: string;
  readonly direction?: 'egress' | 'ingress';
  readonly packets?: number;
  readonly lost?: number;
}

class Reader {
  readonly child: ChildProcess;
  readonly #lines: Line[] = [];
  #came: () => void = () => undefined;

  static async open(of: Network, held?: string): Promise<Reader> {
    const command = ['env', 'UV_THREADPOOL_SIZE=1', process.execPath, READER, String(GROUP), '2'];
    const opened = new Reader(of.router.spawn(held === undefined ? command : [...command, held]));
    await opened.#first(1, ({ ready }) => ready === true);
    return opened;
  }

  private constructor(child: ChildProcess) {
    this.child = child;
    if (child.stdout === null) throw new Error('no standard output');
    createInterface({ input: child.stdout }).on('line', (line) => {
      this.#lines.push(JSON.parse(line));
      this.#came();
    });
  }

  /** Whether something came through that waits for the pool. */
  get isPoolFree(): boolean {
    return this.#lines.some(({ pool }) => pool === 'free');
  }

  /** The first so many packets, of some. */
  logged(count: number, isMeant: (line: Line) => boolean = () => true): Promise<readonly Line[]> {
    return this.#first(count, (line) => line.interface !== undefined && isMeant(line));
  }

  /** Ends it, and gives its sums. */
  async end(): Promise<Line> {
    this.child.stdin?.end();
    const [sums] = await this.#first(1, ({ packets }) => packets !== undefined);
    return sums ?? {};
  }

  async #first(count: number, isMeant: (line: Line) => boolean): Promise<readonly Line[]> {
    for (;;) {
      const found = this.#lines.filter(isMeant);
      if (found.length >= count) return found.slice(0, count);
      const next = new Promise<void>((resolve) => {
        this.#came = resolve;
      });
      await within(next, SOON_MS, `${count} lines, of which ${found.length} came`);
    }
  }
}
