/** DNS by datagram on loopback, as tests ask it. */

import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import packet from 'dns-packet';

/** A port at which no datagrams are taken now. */
export async function freePort(): Promise<number> {
  const socket = createSocket('udp4').bind(0, '127.0.0.1');
  await once(socket, 'listening');
  const { port } = socket.address();
  socket.close();
  return port;
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
