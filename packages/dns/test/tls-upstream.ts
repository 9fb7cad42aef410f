/** An upstream over TLS on loopback, with certificates of an authority that only tests trust. */

import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import type { Socket } from 'node:net';
import { createServer, type TLSSocket } from 'node:tls';
import { fileURLToPath } from 'node:url';
import packet from 'dns-packet';
import { onTestFinished } from 'vitest';
import { framed, MessageStream } from '../src/message/stream.ts';
import type { DnsUpstream } from '../src/proxy/upstream.ts';

export const pem = (name: string): string =>
  readFileSync(fileURLToPath(new URL(`../../../test/fixtures/tls/${name}.pem`, import.meta.url)), 'utf8');

export interface TlsUpstream {
  readonly at: DnsUpstream;
  readonly asked: packet.DecodedPacket[];
  readonly sizes: number[];
  connections: number;
}

type Answering = (socket: TLSSocket, answer: Uint8Array, name: string, reset: () => void) => void;

/** An upstream that has an answer for each question; what it does with it, it is told. */
export async function tlsUpstream(
  answering: Answering = (socket, answer) => socket.write(answer),
  certificate = 'dns',
  name = 'dns.example',
): Promise<TlsUpstream> {
  const server = createServer({ cert: pem(certificate), key: pem('key') });
  const seen = { asked: [] as packet.DecodedPacket[], sizes: [] as number[], connections: 0 };
  const sockets = new Set<TLSSocket>();
  const below = new Map<number | undefined, Socket>();
  server.on('connection', (socket: Socket) => below.set(socket.remotePort, socket));
  server.on('secureConnection', (socket) => {
    seen.connections++;
    sockets.add(socket);
    const stream = new MessageStream();
    socket.on('error', () => undefined);
    socket.on('data', (chunk) => {
      for (const bytes of stream.feed(chunk)) {
        const question = packet.decode(Buffer.from(bytes));
        const [asked] = question.questions ?? [];
        seen.asked.push(question);
        seen.sizes.push(bytes.length);
        const answers = [{ type: 'A' as const, name: asked?.name ?? '', ttl: 60, data: '93.184.2.7' }];
        const opt = { type: 'OPT' as const, name: '.' as const, udpPayloadSize: 1232, flags: 0 };
        const options = [
          { code: 12, type: 12, data: Buffer.alloc(300) },
          { code: 65_001, data: Buffer.from('x') },
        ];
        const additionals = [{ ...opt, options }] as unknown as packet.Answer[];
        const { id = 0, questions = [] } = question;
        const answer = packet.encode({ type: 'response', id, questions, answers, additionals });
        const reset = (): void => void below.get(socket.remotePort)?.resetAndDestroy();
        answering(socket, framed(answer), (asked?.name ?? '').toLowerCase(), reset);
      }
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') throw new TypeError('no port');
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return Object.assign(seen, { at: { address: '127.0.0.1', port: address.port, tlsName: name } });
}
