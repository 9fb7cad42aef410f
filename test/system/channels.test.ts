/**
 * Whole sessions, snapshot and delta, over every channel that serves many in one process, with small and
 * large buffers.
 */

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Publisher, serveSubscribers } from '@rulecast/publisher';
import { createSubscriber } from '@rulecast/subscriber';
import { connect, parseEndpoint } from '@rulecast/vchan';
import { pino } from 'pino';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { pushOf } from '../../packages/publisher/test/fresh-publisher.ts';
import { churned, millionHosts, textOf } from '../inputs.mjs';

const BUFFERS = ['4KiB', '64KiB', '1MiB'];
/** More than a channel holds, but for the largest buffer. */
const HOSTS = millionHosts(50_000, 5);

let directory: string;

beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'rulecast-channels-'));
  process.env.VCHAN_SOCKET_DIR = directory;
  process.env.VCHAN_DOMAIN = '0';
});

afterAll(() => {
  delete process.env.VCHAN_SOCKET_DIR;
  delete process.env.VCHAN_DOMAIN;
  rmSync(directory, { recursive: true, force: true });
});

const BRIDGE = fileURLToPath(new URL('../bridge.mjs', import.meta.url));

/**
 * An address of this machine that no other living process makes of its id: two runs at once are not in each
 * other's way.
 */
const OWN_LOOPBACK = `127.${[16, 8, 0].map((shift) => (process.pid >> shift) & 255).join('.')}`;

/** Where the publisher listens and, but for `exec`, the subscriber connects. */
const CHANNELS = {
  memory: () => 'memory:session',
  unix: () => `unix:${directory}/session.sock`,
  'zmq+ipc': () => `zmq+ipc:${directory}/session.zmq`,
  'zmq+tcp': () => `zmq+tcp:${OWN_LOOPBACK}:35771`,
  vchan: () => 'vchan:0:35771',
  exec: () => `unix:${directory}/exec.sock`,
};

const CASES = Object.entries(CHANNELS).flatMap(([name, url]) =>
  BUFFERS.map((buffer) => [name, buffer, url] as const),
);

it.each(CASES)(
  'a snapshot and a delta come into force over %s with %s buffers',
  async (name, buffer, url) => {
    const logger = pino({ level: 'silent' });
    const stateDirectory = mkdtempSync(join(directory, 'state-'));
    const resolve = async (): Promise<never> => Promise.reject(new Error('no names here'));
    const publisher = new Publisher({ stateDirectory, name: 'publisher', resolve, logger });
    const endpoint = parseEndpoint(`${url()}?buffer=${buffer}`);
    const served = await serveSubscribers(publisher, [endpoint]);
    const bridged = `exec:${process.execPath}?arg=${BRIDGE}&arg=${url()}&buffer=${buffer}`;
    const far = name === 'exec' ? parseEndpoint(bridged) : endpoint;
    const subscriber = await createSubscriber({
      channel: (signal) => connect(far, { signal }),
      trust: publisher.identity,
      name: 'fw',
      logger,
    });
    try {
      const texts = [HOSTS.text, textOf(churned(HOSTS.words, 500, 3))];
      for (const text of texts) {
        const applied = new Promise((settle) => subscriber.events.once('applied', settle));
        expect((await publisher.push(pushOf({ 'hosts.txt': text }))).kind).toBe('released');
        await applied;
        expect(subscriber.status().hash).toBe(Buffer.from(publisher.head?.hash ?? []).toString('hex'));
      }
    } finally {
      await subscriber.close();
      await served.close();
      await publisher.close();
    }
  },
);
