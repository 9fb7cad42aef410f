/** The proxy with its sockets: clients and upstreams on loopback, whose addresses are qubes. */

import { randomBytes } from 'node:crypto';
import { createSocket, type Socket as Datagrams } from 'node:dgram';
import { Resolver } from 'node:dns/promises';
import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { parseDocument } from '@rulecast/formats';
import { QUESTIONS_PER_S } from '@rulecast/nftables/capture';
import packet from 'dns-packet';
import { expect, it, onTestFinished } from 'vitest';
import { freePort } from '../../../test/kit/dns.ts';
import type { NameJudge } from '../src/judge/judge.ts';
import { MessageStream } from '../src/message/stream.ts';
import { CONNECTIONS_MAX } from '../src/proxy/limits.ts';
import { DnsServer } from '../src/proxy/server.ts';
import { judgeOf } from './judge-of.ts';

const DOCUMENT = {
  lists: { ads: { names: ['.ads.example'], resolve: 'firewall' } },
  policies: {
    work: { prefixes: ['127.0.0.5'], egress: ['accept dsthost=good.ads.example', 'drop dst=@ads'] },
    home: { prefixes: ['127.0.0.6'], egress: [] },
  },
};

function judge(): NameJudge {
  const text = Buffer.from(JSON.stringify(DOCUMENT));
  const parts = parseDocument('f', text, 0, () => undefined);
  return judgeOf({ ...parts, resolutions: new Map() });
}

interface Upstream {
  readonly port: number;
  readonly asked: string[];
  /** From which each question by datagram came. */
  readonly ports: number[];
}

/**
 * Answers everything with an address; `www.*` with an alias of x.ads.example; `long.*` by datagram cut
 * short.
 */
async function upstream(): Promise<Upstream> {
  const asked: string[] = [];
  const ports: number[] = [];
  const answer = (bytes: Buffer, transport: string): Buffer => {
    const { id = 0, questions = [] } = packet.decode(bytes);
    const name = questions[0]?.name ?? '';
    asked.push(`${transport} ${name.toLowerCase()}`);
    const isCut = transport === 'udp' && name.toLowerCase().startsWith('long.');
    const isAlias = name.toLowerCase().startsWith('www.');
    const answers: packet.Answer[] = isAlias
      ? [
          { type: 'CNAME', name, ttl: 60, data: 'x.ads.example' },
          { type: 'A', name: 'x.ads.example', ttl: 60, data: '93.184.2.7' },
        ]
      : Array.from({ length: isCut ? 0 : 30 }, (_, i) => ({
          type: 'A',
          name,
          ttl: 60,
          data: `93.184.2.${i}`,
        }));
    const flags = packet.RECURSION_DESIRED | (isCut ? packet.TRUNCATED_RESPONSE : 0);
    return packet.encode({
      type: 'response',
      id,
      flags,
      questions,
      answers: transport === 'udp' ? answers.slice(0, 3) : answers,
    });
  };
  const datagrams: Datagrams = createSocket('udp4');
  datagrams.on('message', (bytes, from) => {
    ports.push(from.port);
    datagrams.send(answer(bytes, 'udp'), from.port, from.address);
  });
  datagrams.bind(0, '127.0.0.1');
  await once(datagrams, 'listening');
  const { port } = datagrams.address();
  const streams: Server = createServer((socket) => {
    const stream = new MessageStream();
    socket.on('error', () => undefined);
    socket.on('data', (chunk) => {
      for (const bytes of stream.feed(chunk)) socket.write(framed(answer(Buffer.from(bytes), 'tcp')));
    });
  });
  streams.listen(port, '127.0.0.1');
  await once(streams, 'listening');
  onTestFinished(() => {
    datagrams.close();
    streams.close();
  });
  return { port, asked, ports };
}

function framed(bytes: Uint8Array): Buffer {
  return Buffer.concat([Buffer.from([bytes.length >> 8, bytes.length & 255]), bytes]);
}

const query = (name: string, id: number): Buffer =>
  packet.encode({ type: 'query', id, flags: packet.RECURSION_DESIRED, questions: [{ type: 'A', name }] });

/** The proxy, at a port of both kinds that is free. */
async function proxyBefore(
  ...ports: readonly number[]
): Promise<{ readonly server: DnsServer; readonly port: number }> {
  const one = judge();
  for (;;) {
    const port = await freePort();
    const server = await DnsServer.listen({
      listen: [{ address: '127.0.0.1', port }],
      upstreams: ports.map((upstreamPort) => ({ address: '127.0.0.1', port: upstreamPort })),
      nowMs: () => performance.now(),
      randomBytes,
      judge: (asker, name, at, aliases) => one.judge(asker, name, at, aliases, { now: 0 }),
      mayBePrivate: (name, at) => one.mayBePrivate(name, at),
    }).catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'EADDRINUSE') return undefined;
      throw error;
    });
    if (server === undefined) continue;
    onTestFinished(() => server.close());
    return { server, port };
  }
}

/** Asks by datagram as the qube of an address. */
async function ask(port: number, from: string, name: string): Promise<packet.DecodedPacket> {
  const socket = createSocket('udp4').bind(0, from);
  await once(socket, 'listening');
  socket.send(query(name, 77), port, '127.0.0.1');
  const [bytes] = await once(socket, 'message');
  socket.close();
  return packet.decode(bytes);
}

async function connected(port: number, localAddress: string): Promise<Socket> {
  const socket = connect({ port, host: '127.0.0.1', localAddress });
  socket.on('error', () => undefined);
  onTestFinished(() => void socket.destroy());
  await once(socket, 'connect');
  return socket;
}

const rcodeOf = (message: object): unknown => ('rcode' in message ? message.rcode : undefined);

it('blocks for one qube and answers another, by datagram', async () => {
  const { port: upstreamPort, asked } = await upstream();
  const { server, port } = await proxyBefore(upstreamPort);
  expect(rcodeOf(await ask(port, '127.0.0.5', 'a.ads.example'))).toBe('NXDOMAIN');
  expect(asked).toEqual([]);
  const seen = await ask(port, '127.0.0.6', 'a.Ads.example');
  expect([rcodeOf(seen), seen.answers?.length, seen.id]).toEqual(['NOERROR', 3, 77]);
  expect(seen.questions?.[0]?.name).toBe('a.Ads.example');
  expect((await ask(port, '127.0.0.5', 'good.ads.example')).answers).toHaveLength(3);
  expect(rcodeOf(await ask(port, '127.0.0.5', 'www.example'))).toBe('NXDOMAIN'); // an alias
  expect((await ask(port, '127.0.0.6', 'www.example')).answers).toHaveLength(2);
  expect(asked).toEqual(
    ['a.ads.example', 'good.ads.example', 'www.example', 'www.example'].map((name) => `udp ${name}`),
  );
  expect(server.counts).toMatchObject({ questions: 5, blocked: 2, answered: 3 });
});

it('answers questions of one connection, whole where a datagram is cut', async () => {
  const { port: upstreamPort, asked } = await upstream();
  const { port } = await proxyBefore(upstreamPort);
  const cut = await ask(port, '127.0.0.6', 'long.example');
  expect([cut.flag_tc, cut.answers?.length]).toEqual([true, 0]);
  const socket = await connected(port, '127.0.0.5');
  const both = Buffer.concat([framed(query('long.example', 1)), framed(query('b.ads.example', 2))]);
  socket.write(both.subarray(0, 40));
  socket.write(both.subarray(40));
  const stream = new MessageStream();
  const answers = new Map<number | undefined, packet.DecodedPacket>();
  while (answers.size < 2) {
    const [chunk] = await once(socket, 'data');
    for (const bytes of stream.feed(chunk)) {
      const message = packet.decode(Buffer.from(bytes));
      answers.set(message.id, message);
    }
  }
  expect(answers.get(1)?.answers).toHaveLength(30);
  expect(rcodeOf(answers.get(2) ?? {})).toBe('NXDOMAIN');
  expect(asked).toEqual(['udp long.example', 'tcp long.example']);
});

it('is understood by a resolver of others (c-ares)', async () => {
  const { port } = await proxyBefore((await upstream()).port);
  const resolver = new Resolver();
  resolver.setServers([`127.0.0.1:${port}`]);
  resolver.setLocalAddress('127.0.0.5');
  await expect(resolver.resolve4('x.ads.example')).rejects.toMatchObject({ code: 'ENOTFOUND' });
  expect(await resolver.resolve4('long.example')).toHaveLength(30);
});

it("asks each question from a port of its own, which is nobody's after the answer", async () => {
  const { port: upstreamPort, ports } = await upstream();
  const { port } = await proxyBefore(upstreamPort);
  for (let i = 0; i < 60; i++) await ask(port, '127.0.0.6', 'a.example');
  expect(ports).toHaveLength(60);
  expect(new Set(ports).size).toBeGreaterThan(56); // of some 28,000, drawn at random
  const after = createSocket('udp4').bind(ports.at(-1), '127.0.0.1');
  await once(after, 'listening');
  after.close();
});

it('goes on after upstreams where nobody listens, time and again', async () => {
  const { port: upstreamPort, asked } = await upstream();
  const { port } = await proxyBefore(await freePort(), upstreamPort);
  for (let i = 0; i < 20; i++) expect((await ask(port, '127.0.0.6', 'a.example')).answers).toHaveLength(3);
  expect(asked).toHaveLength(20);
});

it('asks the next upstream where nobody listens', async () => {
  const { port: upstreamPort, asked } = await upstream();
  const { port } = await proxyBefore(await freePort(), upstreamPort);
  expect((await ask(port, '127.0.0.6', 'a.example')).answers).toHaveLength(3);
  expect(asked).toEqual(['udp a.example']);
});

it('takes so many connections of a qube, and others of another', async () => {
  const { port } = await proxyBefore((await upstream()).port);
  for (let i = 0; i < CONNECTIONS_MAX; i++) await connected(port, '127.0.0.5');
  const refused = await connected(port, '127.0.0.5');
  if (!refused.closed) await once(refused, 'close');
  const other = await connected(port, '127.0.0.6');
  other.write(framed(query('a.example', 1)));
  const [chunk] = await once(other, 'data');
  expect(chunk.length).toBeGreaterThan(12);
});

it('ends a connection that asks beyond its rate, and no other', async () => {
  const { server, port } = await proxyBefore((await upstream()).port);
  const [one, other] = [await connected(port, '127.0.0.5'), await connected(port, '127.0.0.6')];
  one.resume(); // it reads its answers
  const questions = Array.from({ length: 50 * QUESTIONS_PER_S }, (_, i) => framed(query('a.ads.example', i)));
  one.write(Buffer.concat(questions));
  if (!one.closed) await once(one, 'close');
  expect(server.counts).toMatchObject({ refused: 1 });
  expect(server.counts.blocked).toBeGreaterThanOrEqual(QUESTIONS_PER_S);
  other.write(framed(query('a.example', 1)));
  const [chunk] = await once(other, 'data');
  expect(chunk.length).toBeGreaterThan(12);
});

it('is refused an address that is taken, and leaves nothing open', async () => {
  const { port: upstreamPort } = await upstream();
  const { port } = await proxyBefore(upstreamPort);
  const again = DnsServer.listen({
    listen: [{ address: '127.0.0.1', port }],
    upstreams: [],
    nowMs: () => 0,
    randomBytes,
    judge: () => ({ answer: 'answer' }),
    mayBePrivate: () => false,
  });
  await expect(again).rejects.toMatchObject({ code: 'EADDRINUSE' });
});
