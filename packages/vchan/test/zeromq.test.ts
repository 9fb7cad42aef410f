import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect } from 'vitest';
import type { Endpoint } from '../src/endpoint.ts';
import { connect, listen } from '../src/transport.ts';
import { describeChannel, type TestPair } from './conformance.ts';

let directory = '';

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'vchan-zmq-'));
});

afterEach(() => {
  expect(readdirSync(directory)).toEqual([]);
  rmSync(directory, { recursive: true });
});

async function pair(endpoint: Endpoint, bufferBytes: number): Promise<TestPair> {
  const listener = await listen(endpoint, { bufferBytes });
  const client = await connect(listener.endpoint, { bufferBytes });
  const server = await listener.accept();
  return {
    server,
    client,
    acceptedBytes: { min: bufferBytes, max: bufferBytes },
    assertCleanedUp: async () => {
      server.close();
      client.close();
      await listener.close();
    },
  };
}

describeChannel('ZeroMQ ipc', (bufferBytes) =>
  pair({ kind: 'zmq+ipc', path: join(directory, 'pair.sock') }, bufferBytes),
);
describeChannel('ZeroMQ tcp', (bufferBytes) =>
  pair({ kind: 'zmq+tcp', address: '127.0.0.1', port: 0 }, bufferBytes),
);
