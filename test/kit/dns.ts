/** DNS by datagram on loopback, as tests ask it. */

import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { createServer } from 'node:net';
import packet from 'dns-packet';
import { onTestFinished } from 'vitest';

/** A port at which neither datagrams nor connections are taken now. */
export async function freePort(): Promise<number> {
  for (;;) {
    const socket = createSocket('udp4').bind(0, '127.0.0.1');
    await once(socket, 'listening');
    const { port } = socket.address();
    const isFree = await takesConnections(port);
    socket.close();
    if (isFree) return port;
  }
}

function takesConnections(port: number): Promise<boolean> {
  const server = createServer();
  return new Promise((resolve) => {
    server.once('error', () => resolve(false));
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
  });
}

/** What somebody at a port answers when asked for the address of a name. */
export async function rcodeOf(port: number, name: string): Promise<unknown> {
  const socket = createSocket('udp4');
  const questions = [{ type: 'A', name } as const];
  socket.send(packet.encode({ type: 'query', id: 1, questions }), port, '127.0.0.1');
  const [bytes] = await once(socket, 'message');
  socket.close();
  return (packet.decode(bytes) as { readonly rcode?: string }).rcode;
}

/** A resolver until the test is over, which has one address for every name; resolves to its port. */
export async function openResolver(address: string): Promise<number> {
  const socket = createSocket('udp4').bind(0, '127.0.0.1');
  socket.on('message', (bytes, { port }) => {
    const { id, questions = [] } = packet.decode(bytes);
    const answers = questions.flatMap(({ type, name }) =>
      type === 'A' ? [{ type, name, ttl: 60, data: address } as const] : [],
    );
    const flags = packet.RECURSION_AVAILABLE;
    socket.send(
      packet.encode({ type: 'response', ...(id !== undefined && { id }), flags, questions, answers }),
      port,
      '127.0.0.1',
    );
  });
  onTestFinished(() => void socket.close());
  await once(socket, 'listening');
  return socket.address().port;
}
