/** Upstreams over TLS on loopback, with certificates of an authority of their own; dns-packet reads them. */

import { randomBytes } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { createServer } from 'node:net';
import packet from 'dns-packet';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { freePort } from '../../../test/kit/dns.ts';
import { DnsServer } from '../src/proxy/server.ts';
import { pem, type TlsUpstream, tlsUpstream } from './tls-upstream.ts';

const AUTHORITY = pem('dns-authority');
/** Whom Node trusts. */
const NODE = '';

/** A proxy before upstreams, its port, and what it says of them. */
async function proxyBefore(upstreams: readonly TlsUpstream[], ca = AUTHORITY) {
  const port = await freePort();
  const told: string[] = [];
  const server = await DnsServer.listen({
    listen: [{ address: '127.0.0.1', port }],
    upstreams: upstreams.map(({ at }) => at),
    ...(ca !== NODE && { upstreamCa: ca }),
    tellOfUpstream: (index, why) => told.push(`${index}: ${why ?? 'again'}`),
    nowMs: () => performance.now(),
    randomBytes,
    judge: () => ({ answer: 'answer' }),
    mayBePrivate: () => false,
  });
  onTestFinished(() => server.close());
  return { server, port, told };
}

const EDNS = { type: 'OPT', name: '.', udpPayloadSize: 1232, flags: 0, options: [] } as never;

/** Asks by datagram. */
async function ask(port: number, name: string, additionals: packet.Answer[] = []) {
  const socket = createSocket('udp4').bind(0, '127.0.0.1');
  await once(socket, 'listening');
  const questions = [{ type: 'A' as const, name }];
  const flags = packet.RECURSION_DESIRED;
  socket.send(packet.encode({ type: 'query', id: 77, flags, questions, additionals }), port, '127.0.0.1');
  const [bytes] = await once(socket, 'message');
  socket.close();
  return packet.decode(bytes) as packet.DecodedPacket & { readonly rcode: string };
}

const codesOf = ({ additionals }: packet.DecodedPacket): unknown =>
  additionals?.map((opt) => opt.type === 'OPT' && opt.options.map(({ code }) => code));

describe('an upstream over TLS', () => {
  it('is asked by one connection, padded, and answers in any order', async () => {
    const held: (() => void)[] = [];
    const one = await tlsUpstream((socket, answer, name) => {
      held.push(() => socket.write(answer));
      if (name !== 'last.example') return;
      for (const say of held.reverse()) say();
    });
    const plain = createSocket('udp4').bind(one.at.port, '127.0.0.1');
    onTestFinished(() => void plain.close());
    plain.on('message', () => one.asked.push({ id: -1 } as packet.DecodedPacket));
    const { server, port, told } = await proxyBefore([one]);
    const names = ['a.example', 'with-edns.example', 'much-longer-than-that-one.example'];
    const asking = names.map((name) => ask(port, name, name === 'with-edns.example' ? [EDNS] : []));
    await expect.poll(() => one.asked.length).toBe(names.length);
    const answers = await Promise.all([...asking, ask(port, 'last.example')]);
    for (const [at, name] of [...names, 'last.example'].entries()) {
      expect(answers[at]).toMatchObject({ id: 77, rcode: 'NOERROR', questions: [{ name }] });
      expect(answers[at]?.answers).toMatchObject([{ data: '93.184.2.7' }]);
    }
    // OPT is for the way to us, and its padding is; who sent none gets none.
    expect(answers.map(codesOf)).toEqual([[], [[65_001]], [], []]);
    expect(one.sizes).toEqual([128, 128, 128, 128]);
    expect(one.asked.map(codesOf)).toEqual([[[12]], [[12]], [[12]], [[12]]]);
    expect(new Set(one.asked.map(({ id }) => id)).size).toBe(4);
    expect([one.connections, told]).toEqual([1, []]);
    expect(server.counts).toMatchObject({ questions: 4, answered: 4, failed: 0 });
  });

  it.each([
    ['has a certificate for another name', 'dns', 'other.example', AUTHORITY, /altnames.*other\.example/],
    ['has a certificate that has expired', 'dns-expired', 'dns.example', AUTHORITY, /expired/],
    ['has a certificate of nobody who is trusted', 'dns', 'dns.example', pem('stranger'), /unable to verify/],
    ['is trusted by an authority that Node does not have', 'dns', 'dns.example', NODE, /unable to verify/],
  ])('is asked nothing where it %s, and the next one is', async (_, certificate, name, ca, why) => {
    vi.stubEnv('NODE_TLS_REJECT_UNAUTHORIZED', '0'); // which is not for us
    onTestFinished(() => void vi.unstubAllEnvs());
    const wrong = await tlsUpstream(undefined, certificate, name);
    const alone = await proxyBefore([wrong], ca);
    const refused = await ask(alone.port, 'a.example', [EDNS]);
    expect([refused.rcode, codesOf(refused)]).toEqual(['SERVFAIL', [[15]]]);
    expect(alone.told).toEqual([expect.stringMatching(why)]);
    expect(wrong.asked).toEqual([]);
    if (ca !== AUTHORITY) return;
    const right = await tlsUpstream();
    const both = await proxyBefore([wrong, right]);
    expect(await ask(both.port, 'a.example')).toMatchObject({ rcode: 'NOERROR' });
    expect([wrong.asked.length, right.asked.length]).toEqual([0, 1]);
  });

  it('that says nothing is given up, and the next one asked', async () => {
    const [silent, right] = [await tlsUpstream(() => undefined), await tlsUpstream()];
    const { port } = await proxyBefore([silent, right]);
    expect(await ask(port, 'a.example')).toMatchObject({ rcode: 'NOERROR' });
    expect([silent.asked.length, right.asked.length]).toEqual([1, 1]);
  });

  it.each([
    ['in the middle of an answer', (answer: Uint8Array) => answer.subarray(0, 20)],
    ['before an answer', () => new Uint8Array(0)],
    [
      'after an answer that is none',
      (answer: Uint8Array) => Uint8Array.of(0, 3, ...answer.subarray(2, 4), 0),
    ],
  ])('that resets the connection %s is asked again', async (_, part) => {
    let resets = 0;
    const one = await tlsUpstream((socket, answer, _name, reset) => {
      if (resets++ > 0) socket.write(answer);
      else socket.write(part(answer), reset);
    });
    const { port, server } = await proxyBefore([one]);
    expect(await ask(port, 'a.example')).toMatchObject({ rcode: 'NOERROR' });
    expect([one.connections, one.asked.length]).toEqual([2, 2]);
    expect(await ask(port, 'b.example')).toMatchObject({ rcode: 'NOERROR' });
    expect([one.connections, server.counts.failed]).toEqual([2, 0]);
  });

  it('where nobody listens is said once, and when it is there again', async () => {
    const one = await tlsUpstream();
    const away = { ...one, at: { ...one.at, port: await freePort() } };
    const { port, told } = await proxyBefore([away, one]);
    for (let i = 0; i < 5; i++) expect(await ask(port, 'a.example')).toMatchObject({ rcode: 'NOERROR' });
    expect(told).toEqual([expect.stringContaining('0: connect ECONNREFUSED')]);
    expect(one.connections).toBe(1);
  });

  it('is never asked without it', async () => {
    const port = await freePort();
    const datagrams = createSocket('udp4').bind(port, '127.0.0.1');
    const listening = createServer().listen(port, '127.0.0.1');
    onTestFinished(() => {
      datagrams.close();
      listening.close();
    });
    const first: number[] = [];
    datagrams.on('message', () => first.push(-1));
    listening.on('connection', (socket) => {
      socket.on('error', () => undefined);
      socket.on('data', ([byte = 0]) => {
        first.push(byte);
        socket.destroy();
      });
    });
    const at = { address: '127.0.0.1', port, tlsName: 'dns.example' };
    const { port: own } = await proxyBefore([{ at, asked: [], sizes: [], connections: 0 }]);
    expect(await ask(own, 'a.example')).toMatchObject({ rcode: 'SERVFAIL' });
    expect(new Set(first)).toEqual(new Set([0x16])); // a handshake of TLS
    expect(first.length).toBeGreaterThan(1);
  });
});
