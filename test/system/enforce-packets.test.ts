/**
 * Packets that try to look like something else: extension headers, fragments, replies; and what a refused
 * packet is answered.
 */

import type { NftSink } from '@rulecast/nftables';
import {
  DEFAULT_POLICY,
  emptyPolicy,
  evaluateFlow,
  IpProtocol,
  type Policy,
  prefixListOf,
  type RuleSet,
} from '@rulecast/rules';
import { afterEach, describe, expect, it } from 'vitest';
import { fragmentFrames, frameOf, segment } from '../enforce/frames.mjs';
import { ipPacketOf, type Journey, journeyText, passed } from '../enforce/journey.ts';
import { address, Network } from '../enforce/network.mjs';
import { sinkIn } from '../enforce/sink.mjs';
import { prefixSetFrom, runsFrom } from '../kit/rules.ts';
import { enforcementGap } from './namespaces.ts';

const ENVIRONMENT = { now: 1_790_000_000, dns: [] };
const QUBE = { 4: '10.137.0.5', 6: 'fd09:24ef:4179:a::5' } as const;
const REMOTE = { 4: '203.0.113.7', 6: '2001:db8:7::7' } as const;
/** The one member of the list `bad`. */
const LISTED = '203.0.113.66';
const HOP_BY_HOP = 0;
const ROUTING = 43;
const WHOLE_FRAGMENT = 44;
const DESTINATION = 60;
const FIRST_EXTENSION_AT = 14 + 40; // after the Ethernet and the IPv6 header
const LARGE_BYTES = 2400;
const SMALL_BYTES = 64;

let network: Network | undefined;
let sink: NftSink | undefined;
let releases = 0;

afterEach(async () => {
  await sink?.close();
  await network?.close();
  sink = undefined;
  network = undefined;
});

describe.skipIf(enforcementGap() !== undefined)('packets in disguise', () => {
  it.each([
    { egress: ['drop proto=tcp dstports=443', 'drop proto=icmp icmptype=128', 'accept'] },
    { egress: ['accept proto=tcp dstports=443', 'accept proto=icmp icmptype=128', 'drop'] },
    { egress: ['drop proto=udp', 'accept dst6=2001:db8::/32 proto=tcp', 'drop'] },
    { egress: ['accept proto=icmp', 'drop'] },
  ])('extension headers do not hide what the rules ask for: $egress', async ({ egress }) => {
    const ruleSet = await enforce(egress);
    const chains = [
      [],
      [HOP_BY_HOP],
      [DESTINATION],
      [ROUTING],
      [WHOLE_FRAGMENT],
      [HOP_BY_HOP, DESTINATION],
      [DESTINATION, ROUTING, DESTINATION],
      [HOP_BY_HOP, DESTINATION, ROUTING, WHOLE_FRAGMENT, DESTINATION],
      Array.from({ length: 24 }, () => DESTINATION),
    ];
    const contents = [
      [IpProtocol.tcp, 443],
      [IpProtocol.tcp, 80],
      [IpProtocol.udp, 443],
      [IpProtocol.icmp6, 128],
      [IpProtocol.icmp6, 129],
      [47, undefined],
    ] as const;
    const journeys = chains.flatMap((extensions) =>
      contents.map(([proto, detail]) => ({ ...journey(6, proto, detail), extensions })),
    );
    const through = await passed(open(), journeys);
    const wrong = journeys.filter(
      ({ packet }, index) =>
        through[index] !== (evaluateFlow(ruleSet, ENVIRONMENT, packet).action !== 'drop'),
    );
    expect(wrong.map(journeyText)).toEqual([]);
    expect(new Set(through).size).toBe(2);
  });

  it.each([
    { egress: ['accept proto=tcp dstports=443', 'accept proto=udp', 'drop'] },
    { egress: ['drop proto=tcp dstports=443', 'accept'] },
  ])('a header that is longer than its packet passes no rule for ports: $egress', async ({ egress }) => {
    await enforce(egress);
    const { routerMac, hostMac } = open().links.a;
    const frames: Uint8Array[] = [];
    const marks: number[] = [];
    for (const type of [DESTINATION, ROUTING]) {
      const { mark, ip } = ipPacketOf({ ...journey(6, IpProtocol.tcp, 443), extensions: [type] });
      const frame = frameOf(routerMac, hostMac, ip);
      frame[FIRST_EXTENSION_AT + 1] = 255; // its length, in units of 8 bytes
      frames.push(frame);
      marks.push(mark);
    }
    await open().send('a', frames);
    const arrivals = await open().arrived('world');
    expect(marks.filter((mark) => arrivals.has(mark))).toEqual([]);
  });

  it.each([4, 6] as const)(
    'fragments of IPv%i get the verdict of the whole packet, in any order',
    async (family) => {
      await enforce(['drop proto=udp dstports=443', 'drop proto=tcp dstports=443', 'accept']);
      const orders = [
        [0, 1, 2],
        [2, 1, 0],
        [1, 2, 0],
      ];
      for (const proto of [IpProtocol.udp, IpProtocol.tcp]) {
        for (const order of orders) {
          expect(await cameThrough(family, proto, 443, [800, 1600], order)).toBe(false);
          expect(await cameThrough(family, proto, 80, [800, 1600], order)).toBe(true);
        }
      }
    },
  );

  it.each([4, 6] as const)('ports of IPv%i that are split between fragments are read', async (family) => {
    await enforce(['drop proto=tcp dstports=443', 'accept']);
    expect(await cameThrough(family, IpProtocol.tcp, 443, [8, 16], [0, 1, 2], SMALL_BYTES)).toBe(false);
    expect(await cameThrough(family, IpProtocol.tcp, 80, [8, 16], [0, 1, 2], SMALL_BYTES)).toBe(
      family === 4, // of IPv6 the first fragment has to hold all headers (RFC 8200, 4.5), or the kernel drops it
    );
  });

  it.each([4, 6] as const)(
    'a later fragment of IPv%i alone does not pass a rule for ports',
    async (family) => {
      await enforce(['accept proto=udp dstports=53', 'drop proto=udp dstports=443', 'accept']);
      expect(await cameThrough(family, IpProtocol.udp, 53, [800, 1600], [1, 2])).toBe(false);
      expect(await cameThrough(family, IpProtocol.udp, 443, [800, 1600], [1, 2])).toBe(false);
    },
  );

  it.each([4, 6] as const)(
    'replies of IPv%i follow their flow, what nobody asked for is judged',
    async (family) => {
      await enforce(['accept'], ['drop']);
      const [qube, remote] = [address(QUBE[family]), address(REMOTE[family])];
      const asked = { proto: IpProtocol.udp, mark: 0x7001, srcPort: 20_001, dstPort: 53 };
      const reply = { proto: IpProtocol.udp, mark: 0x7002, srcPort: 53, dstPort: 20_001 };
      const unasked = { proto: IpProtocol.udp, mark: 0x7003, srcPort: 53, dstPort: 20_002 };
      await open().send('a', [frameFrom('a', qube, remote, asked)]);
      await open().send('world', [
        frameFrom('world', remote, qube, reply),
        frameFrom('world', remote, qube, unasked),
      ]);
      expect((await open().arrived('world')).has(asked.mark)).toBe(true);
      const arrivals = await open().arrived('a');
      expect([arrivals.has(reply.mark), arrivals.has(unasked.mark)]).toEqual([true, false]);
    },
  );

  it('each run, each list and the default count what they decided, over releases', async () => {
    const rules = ['drop dst=@bad', 'accept proto=tcp', 'drop dst=@bad proto=udp', 'drop proto=icmp'];
    await enforce(rules, ['accept']);
    const sent = [
      journey(4, IpProtocol.tcp, 443),
      journey(6, IpProtocol.tcp, 443),
      journey(6, IpProtocol.icmp6, 128),
      journey(4, IpProtocol.udp, 443),
      journey(4, IpProtocol.udp, 443, LISTED),
    ];
    await passed(open(), sent);
    expect(await hits('egress')).toEqual({ runs: [1, 2, 0, 1], otherwise: 1, dropped: 3, bad: 1 });
    expect(await hits('ingress')).toMatchObject({ runs: [0], otherwise: 0 });
    await enforceNext(['accept proto=udp', ...rules], ['accept']);
    await passed(open(), sent);
    expect(await hits('egress')).toEqual({ runs: [2, 1, 4, 0, 2], otherwise: 1, dropped: 4, bad: 1 });
  });

  it('refuses as Qubes does: ICMP 3/13, and ICMPv6 1/1', async () => {
    await enforce(['drop']);
    for (const proto of [IpProtocol.tcp, IpProtocol.udp]) {
      expect(await answerTo(journey(4, proto, 443))).toEqual([3, 13]);
      expect(await answerTo(journey(6, proto, 443))).toEqual([1, 1]);
    }
  });

  it('qubes are behind the interfaces of another group where it is told so', async () => {
    await enforce(['drop'], ['drop'], { downstreamGroup: 7 });
    const asked = [journey(4, IpProtocol.udp, 443), journey(6, IpProtocol.tcp, 443)];
    expect(await passed(open(), asked)).toEqual([true, true]);
    open().router.run(['ip', 'link', 'set', open().links.a.interface, 'group', '7']);
    expect(await passed(open(), asked)).toEqual([false, false]);
  });

  it('refuses silently where it is told to', async () => {
    await enforce(['drop'], [], { answer: 'silent' });
    for (const family of [4, 6] as const) {
      expect(await answerTo(journey(family, IpProtocol.udp, 443))).toBe(undefined);
    }
  });
});

function open(): Network {
  if (network === undefined) throw new Error('no network');
  return network;
}

/** A network whose router has one release in force: these rules for every qube. */
async function enforce(
  egress: readonly string[],
  ingress: readonly string[] = [],
  options: { readonly answer?: 'silent'; readonly downstreamGroup?: number } = {},
): Promise<RuleSet> {
  network = await Network.open();
  sink = sinkIn(network, options);
  return enforceNext(egress, ingress);
}

/** Puts another release in force there. */
async function enforceNext(egress: readonly string[], ingress: readonly string[]): Promise<RuleSet> {
  const prefixes = prefixSetFrom(['0.0.0.0/0', '::/0']);
  const everyone: Policy = {
    ...emptyPolicy('everyone'),
    prefixes,
    egress: runsFrom('egress', egress, ENVIRONMENT.now),
    ingress: runsFrom('ingress', ingress, ENVIRONMENT.now),
  };
  const policies = new Map([
    ['everyone', everyone],
    [DEFAULT_POLICY, emptyPolicy(DEFAULT_POLICY)],
  ]);
  const lists = new Map([['bad', prefixListOf(prefixSetFrom([LISTED]))]]);
  const ruleSet = { lists, policies, resolutions: new Map(), unmatched: undefined };
  await sink?.prepare({ hash: new Uint8Array(32).fill(++releases), ruleSet, environment: ENVIRONMENT });
  await sink?.commit();
  return ruleSet;
}

/**
 * Packets that the policy `everyone` decided in a direction, by run, and that were dropped, in all and by the
 * list.
 */
async function hits(direction: 'egress' | 'ingress') {
  if (sink === undefined) throw new Error('nothing is enforced');
  const { policies, dropped, lists } = await sink.hits();
  const { runs = [], defaultAction } =
    policies.find((policy) => policy.policy === 'everyone' && policy.direction === direction) ?? {};
  return {
    runs: runs.map(({ packets }) => packets),
    otherwise: defaultAction?.packets,
    dropped: dropped.packets,
    bad: lists.get('bad')?.packets,
  };
}

function journey(
  family: 4 | 6,
  proto: number,
  detail: number | undefined,
  dst: string = REMOTE[family],
): Journey {
  const isIcmp = proto === IpProtocol.icmp || proto === IpProtocol.icmp6;
  const packet = {
    direction: 'egress',
    src: address(QUBE[family]),
    dst: address(dst),
    proto,
    port: isIcmp ? undefined : detail,
    icmpType: isIcmp ? detail : undefined,
  } as const;
  return { from: 'a', to: 'world', packet };
}

function frameFrom(
  host: 'a' | 'world',
  src: ReturnType<typeof address>,
  dst: ReturnType<typeof address>,
  { proto, ...content }: { proto: number; mark: number; srcPort: number; dstPort: number },
): Uint8Array {
  const { routerMac, hostMac } = open().links[host];
  return frameOf(routerMac, hostMac, { src, dst, proto, payload: segment(src, dst, proto, content) });
}

let identification = 0;

/** Sends some fragments of a large packet, in an order; whether any part of it came through. */
async function cameThrough(
  family: 4 | 6,
  proto: number,
  port: number,
  cuts: readonly number[],
  order: readonly number[],
  dataBytes = LARGE_BYTES,
): Promise<boolean> {
  const { routerMac, hostMac } = open().links.a;
  const { mark, ip } = ipPacketOf(journey(family, proto, port), dataBytes);
  const fragments = fragmentFrames(routerMac, hostMac, ip, cuts, ++identification);
  const frames = order.map((index) => fragments[index] ?? new Uint8Array(0));
  await open().send('a', frames);
  return (await open().arrived('world')).has(mark);
}

/** Type and code of the ICMP error that a packet gets; undefined where there is none. */
async function answerTo(asked: Journey): Promise<readonly [number, number] | undefined> {
  const { routerMac, hostMac } = open().links.a;
  const { mark, ip } = ipPacketOf(asked);
  await open().send('a', [frameOf(routerMac, hostMac, ip)]);
  expect((await open().arrived('world')).has(mark)).toBe(false);
  const frame = (await open().arrived('a')).get(mark)?.frame;
  if (frame === undefined) return undefined;
  const at = 14 + (ip.src.family === 4 ? 20 : 40);
  return [frame[at] ?? -1, frame[at + 1] ?? -1];
}
