/** A DNS upstream for tests. */

import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import packet from 'dns-packet';
import { onTestFinished } from 'vitest';

/** Answers every name with an address. Its port. */
export async function answersAll(): Promise<number> {
  const socket = createSocket('udp4').bind(0, '127.0.0.1');
  onTestFinished(() => void socket.close());
  socket.on('message', (bytes, from) => {
    const { id = 0, questions = [] } = packet.decode(bytes);
    const answers = questions.map(({ name }) => ({ type: 'A', name, ttl: 60, data: '93.184.2.7' }) as const);
    socket.send(packet.encode({ type: 'response', id, questions, answers }), from.port, from.address);
  });
  await once(socket, 'listening');
  return socket.address().port;
}
