/** The sockets at which qubes ask by datagram, and who the kernel says they are. */

import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { formatAddress } from '@rulecast/rules';
import { expect, it, onTestFinished, vi } from 'vitest';
import { freePort } from '../../../test/kit/dns.ts';
import { QuestionSocket, type SocketClient } from '../src/proxy/datagrams.ts';
import { portIn } from '../src/proxy/native.ts';
import { Watch } from '../src/proxy/watch.ts';

const FROM_NOBODY = 'from port 0';

// As a raw socket sends it, which only root has.
vi.mock('../src/proxy/native.ts', async (original) => {
  const native = await original<typeof import('../src/proxy/native.ts')>();
  const receiveFrom: typeof native.receiveFrom = (fd, into, from) => {
    const count = native.receiveFrom(fd, into, from);
    if (Buffer.from(into.subarray(0, Math.max(0, count))).toString() === FROM_NOBODY) from.fill(0, 2, 4);
    return count;
  };
  return { ...native, receiveFrom };
});

interface Taken {
  readonly client: SocketClient;
  readonly text: string;
}

async function listening(address: string): Promise<{ readonly port: number; readonly taken: Taken[] }> {
  const watch = new Watch();
  const port = await freePort();
  const taken: Taken[] = [];
  const socket = QuestionSocket.at({ address, port }, watch, (client, bytes) => {
    const text = Buffer.from(bytes).toString();
    taken.push({ client, text });
    client.reply(Buffer.from(`${text}, ${taken.length}`));
  });
  onTestFinished(() => {
    socket.close();
    watch.close();
  });
  return { port, taken };
}

/** What is answered, from a socket of its own. */
async function said(text: string, port: number, from: string, to: string): Promise<string> {
  const socket = createSocket(from.includes(':') ? 'udp6' : 'udp4').bind(0, from);
  onTestFinished(() => void socket.close());
  await once(socket, 'listening');
  socket.send(text, port, to);
  const [bytes] = await once(socket, 'message');
  return String(bytes);
}

it('answers each where it asked from, by address and port', async () => {
  const { port, taken } = await listening('127.0.0.1');
  const asked = Array.from({ length: 200 }, (_, i) =>
    said(`${i}`, port, `127.0.0.${5 + (i % 3)}`, '127.0.0.1'),
  );
  for (const [i, text] of (await Promise.all(asked)).entries()) expect(text).toMatch(new RegExp(`^${i}, `));
  expect(taken).toHaveLength(200);
  for (const { client, text } of taken) expect(client.askerKey).toBe(`127.0.0.${5 + (Number(text) % 3)}`);
});

it('knows a qube of IPv4 at a socket of both families as it does elsewhere', async () => {
  const { port, taken } = await listening('::');
  expect(await said('four', port, '127.0.0.6', '127.0.0.1')).toBe('four, 1');
  expect(await said('six', port, '::1', '::1')).toBe('six, 2');
  expect(taken.map(({ client: { asker, askerKey } }) => [formatAddress(asker), askerKey])).toEqual([
    ['127.0.0.6', '127.0.0.6'],
    ['::1', '::1'],
  ]);
});

// Nothing can be sent there: that threw, and ended the process.
it('takes nothing from port 0, and goes on', async () => {
  const { port, taken } = await listening('127.0.0.1');
  const socket = createSocket('udp4');
  onTestFinished(() => void socket.close());
  socket.send(FROM_NOBODY, port, '127.0.0.1');
  await once(socket, 'listening');
  expect(await said('next', port, '127.0.0.6', '127.0.0.1')).toBe('next, 1');
  expect(taken).toHaveLength(1);
});

it('reads a port as the kernel writes it', () => {
  expect(portIn(Buffer.from([2, 0, 0x14, 0xe9, 127, 0, 0, 1]))).toBe(5353);
});
