/** The connection table as `conntrack -L` prints it, and what finds a flow again. */

import { describe, expect, it } from 'vitest';
import { cutsFor } from '../src/cuts.ts';
import { markOf, matchArguments, parseFlow, Routes } from '../src/flows.ts';
import type { Flow, FlowMatch } from '../src/message.ts';

function exact({ src, dst, protocol, srcPort, dstPort }: Flow): FlowMatch {
  return { src, dst, exact: { protocol, srcPort, dstPort } };
}

function routes(): Routes {
  const known = new Routes();
  known.add('00000000', 0, false);
  known.add('0a890000', 16, false);
  known.add('0a890005', 32, true);
  known.add('00000000000000000000000000000000', 0, false);
  known.add('fd0000000000000000000000000000a0', 124, true);
  return known;
}

const TCP =
  'tcp      6 431999 ESTABLISHED src=10.137.0.5 dst=203.0.113.1 sport=40000 dport=443 src=203.0.113.1 dst=198.18.0.1 sport=443 dport=50000 [ASSURED] mark=0 use=1';

describe('a flow', () => {
  it('is read with the side that is a qube, and where it goes after DNAT', () => {
    expect(parseFlow(TCP, routes())).toEqual({
      protocol: 6,
      src: '0a890005',
      dst: 'cb007101',
      srcPort: 40_000,
      dstPort: 443,
      seenDst: 'cb007101',
      seenPort: 443,
      fromQube: true,
      toQube: false,
    });
    const dns =
      'udp      17 29 src=10.137.0.5 dst=10.139.1.1 sport=4000 dport=53 [UNREPLIED] src=10.137.0.5 dst=198.18.0.1 sport=5353 dport=4000 mark=0 use=1';
    expect(parseFlow(dns, routes())).toMatchObject({
      dst: '0a8b0101',
      dstPort: 53,
      seenDst: '0a890005',
      seenPort: 5353,
      toQube: true,
    });
  });

  it('of ICMP carries type, code and identifier', () => {
    const ping =
      'icmp     1 29 src=10.137.0.5 dst=1.1.1.1 type=8 code=0 id=77 src=1.1.1.1 dst=10.137.0.5 type=0 code=0 id=77 mark=0 use=1';
    const flow = parseFlow(ping, routes());
    expect(flow).toMatchObject({ protocol: 1, srcPort: 77, dstPort: 2048 });
    expect(flow && matchArguments(exact(flow))).toEqual(
      '-f ipv4 -p 1 --orig-src 10.137.0.5 --orig-dst 1.1.1.1 --icmp-type 8 --icmp-code 0 --icmp-id 77'.split(
        ' ',
      ),
    );
  });

  it('of IPv6 is read and found again', () => {
    const line =
      'udp      17 29 src=fd00::a5 dst=2001:db8::1:2 sport=1 dport=2 src=2001:db8::1:2 dst=fd00::a5 sport=2 dport=1 mark=0 use=1';
    const flow = parseFlow(line, routes());
    expect(flow).toMatchObject({ src: 'fd0000000000000000000000000000a5', fromQube: true });
    expect(flow && matchArguments(exact(flow)).slice(0, 8)).toEqual([
      '-f',
      'ipv6',
      '-p',
      '17',
      '--orig-src',
      'fd00:0000:0000:0000:0000:0000:0000:00a5',
      '--orig-dst',
      '2001:0db8:0000:0000:0000:0000:0001:0002',
    ]);
  });

  it.each([
    [0, 'mark=0'],
    [0, 'mark=16777215'],
    [1, 'mark=16777216'],
    [255, 'mark=4294967295'],
    [0, ''],
  ])('has our mark %i where it says "%s"', (mark, text) => {
    expect(markOf(TCP.replace('mark=0', text))).toBe(mark);
  });

  it.each([
    '',
    'conntrack v1.4.8 (conntrack-tools): 3 flow entries have been shown.',
    'tcp      6 431999 ESTABLISHED src=10.137.0.5 dst=203.0.113.1 sport=1 dport=2',
    'tcp      x 1 src=1.1.1.1 dst=2.2.2.2 src=2.2.2.2 dst=1.1.1.1',
    'tcp      6 1 src=1.1.1 dst=2.2.2.2 src=2.2.2.2 dst=1.1.1.1',
    'tcp      6 1 src=-p dst=2.2.2.2 src=2.2.2.2 dst=1.1.1.1',
    'tcp      6 1 src=1:2:3:4:5:6:7:8:9 dst=::1 src=::1 dst=::2',
  ])('is no line like "%s"', (line) => {
    expect(parseFlow(line, routes())).toBeUndefined();
  });

  it('is of a qube by the longest route', () => {
    const known = routes();
    expect(known.isDownstream('0a890005')).toBe(true);
    expect(known.isDownstream('0a890006')).toBe(false);
    known.add('0a890006', 32, false);
    known.add('0a890006', 32, true); // two routes of one prefix: one of them downstream
    expect(known.isDownstream('0a890006')).toBe(true);
  });
});

describe('cuts', () => {
  const flow = (src: string, dst: string, srcPort: number, fromQube = true): Flow => ({
    protocol: 6,
    src,
    dst,
    srcPort,
    dstPort: 443,
    seenDst: dst,
    seenPort: 443,
    fromQube,
    toQube: !fromQube,
  });
  const ten = (src: string, dst: string, fromQube = true) =>
    Array.from({ length: 10 }, (_, i) => flow(src, dst, i, fromQube));
  const [a, b, x, y] = ['0a890005', '0a890006', '01010101', '02020202'];

  it.each<[string, readonly Flow[], readonly Flow[], readonly FlowMatch[]]>([
    ['nothing where nothing is forbidden', [], ten(a, x), []],
    ['a sender whose flows are all forbidden at once', [...ten(a, x), ...ten(a, y)], ten(b, x), [{ src: a }]],
    [
      'a pair of addresses at once, if the sender may do something else',
      ten(a, x),
      ten(a, y),
      [{ src: a, dst: x }],
    ],
    [
      'few flows one by one',
      [flow(a, x, 1)],
      [],
      [{ src: a, dst: x, exact: { protocol: 6, srcPort: 1, dstPort: 443 } }],
    ],
    [
      'one flow of a pair that may do others',
      [flow(a, x, 99)],
      ten(a, x),
      [{ src: a, dst: x, exact: { protocol: 6, srcPort: 99, dstPort: 443 } }],
    ],
    ['flows from outside one by one', ten(x, a, false).slice(0, 9), [], ten(x, a).slice(0, 9).map(exact)],
  ])('delete %s', (_, forbidden, allowed, expected) => {
    expect(cutsFor([...forbidden, ...allowed], new Set(forbidden))).toEqual(expected);
  });
});
