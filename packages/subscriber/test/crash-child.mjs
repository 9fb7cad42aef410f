/**
 * A subscriber that is killed: applies the releases of a file, counting its steps, and kills itself before
 * the step asked for. Steps are the sink's calls, and every call of the file system by which the state
 * directory changes it or flushes it; a write is cut in the middle of each of its chunks.
 *
 *   node crash-child.mjs INPUT STATE-DIRECTORY STEP          STEP 0: never; then it prints `steps N` at the end
 *
 * INPUT is JSON: the trust line, the root, what a nonce is answered with, and for each release manifest,
 * signature and stream, in base64.
 * Prints `applied VERSION` for each APPLIED.
 */

import { readFileSync, writeSync } from 'node:fs';
import { Connection, PROTOCOL_VERSION, parseTrust } from '@rulecast/protocol';
import { createMemoryPair } from '@rulecast/vchan';
import { pino } from 'pino';
import { createSubscriber } from '../dist/index.js';
import { NODE_DISK } from '../dist/state/disk.js';

const [inputPath = '', stateDirectory = '', stepText = '0'] = process.argv.slice(2);
const input = JSON.parse(readFileSync(inputPath, 'utf8'));
const killStep = Number(stepText);
let step = 0;

/** Counts a step; kills the process instead if it is the one. */
async function at(half) {
  step += 1;
  if (step !== killStep) return;
  await half?.();
  process.kill(process.pid, 'SIGKILL');
  await new Promise(() => undefined); // the signal is on its way: nothing more happens here
}

/** @type {import('../dist/state/disk.js').Disk} */
const disk = {
  ...NODE_DISK,
  async create(path) {
    await at();
    const file = await NODE_DISK.create(path);
    return {
      async writev(chunks) {
        const bytes = Buffer.concat(chunks);
        let start = 0;
        for (const { length } of chunks) {
          const cut = start + (length >> 1);
          await at(() => file.writev([bytes.subarray(0, cut)]));
          start += length;
        }
        return file.writev(chunks);
      },
      async sync() {
        await at();
        return file.sync();
      },
      close: () => file.close(),
    };
  },
  async syncDirectory(path) {
    await at();
    return NODE_DISK.syncDirectory(path);
  },
  async rename(from, to) {
    await at();
    return NODE_DISK.rename(from, to);
  },
};

const trust = parseTrust(input.trust);
if (trust === undefined) throw new Error('no trust line');
const { client, server } = createMemoryPair();
const subscriber = await createSubscriber({
  channel: () => Promise.resolve(client),
  trust,
  name: 'crash',
  logger: pino({ level: 'silent' }),
  stateDirectory,
  disk,
  nonce: () => bytesOf(input.nonce),
  sink: { prepare: () => at(), commit: () => at(), discard: () => Promise.resolve() },
});

const connection = new Connection(server);
const hello = await next('hello');
await connection.send({
  kind: 'welcome',
  protocol: PROTOCOL_VERSION,
  name: 'test',
  lineage: trust.lineage,
  heartbeatMs: 15_000,
});
if (hello.root.number === undefined) {
  const [signatures, content] = [input.root.signatures, input.root.content].map(bytesOf);
  await connection.send({ kind: 'root', signatures, content });
  const fresh = [input.fresh.signatures, input.fresh.content].map(bytesOf);
  await connection.send({ kind: 'fresh', signatures: fresh[0], content: fresh[1] });
}
for (const release of input.releases) {
  const [content, signatures, stream] = [release.manifest, release.signatures, release.stream].map(bytesOf);
  await connection.send({ kind: 'offer', content, signatures });
  await next('want');
  await connection.send({ kind: 'begin', bytes: stream.length, snapshot: release.isSnapshot || undefined });
  await connection.send({ kind: 'chunk', bytes: stream });
  await connection.send({ kind: 'end' });
  const { version } = await next('applied');
  writeSync(1, `applied ${version}\n`);
}
await subscriber.close();
writeSync(1, `steps ${step}\n`);

function bytesOf(text) {
  return Uint8Array.from(Buffer.from(text, 'base64'));
}

async function next(kind) {
  const received = await connection.receive();
  if (received?.message.kind !== kind)
    throw new Error(`${kind} expected: ${JSON.stringify(received?.message)}`);
  return received.message;
}
