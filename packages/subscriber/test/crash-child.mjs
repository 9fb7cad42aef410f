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
import fileSystem from 'node:fs/promises';
import { syncBuiltinESMExports } from 'node:module';
import { Connection, PROTOCOL_VERSION, parseTrust } from '@rulecast/protocol';
import { createMemoryPair } from '@rulecast/vchan';
import { pino } from 'pino';

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

const { open, rename } = fileSystem;
Object.assign(fileSystem, {
  async open(...args) {
    await at();
    const handle = await open(...args);
    const writev = handle.writev.bind(handle);
    const sync = handle.sync.bind(handle);
    return Object.assign(handle, {
      async writev(chunks) {
        const bytes = Buffer.concat(chunks);
        let start = 0;
        for (const { length } of chunks) {
          const cut = start + (length >> 1);
          await at(() => writev([bytes.subarray(0, cut)]));
          start += length;
        }
        return writev(chunks);
      },
      async sync() {
        await at();
        return sync();
      },
    });
  },
  async rename(...args) {
    await at();
    return rename(...args);
  },
});
syncBuiltinESMExports(); // before the subscriber is loaded
const { createSubscriber } = await import('../dist/index.js');

const trust = parseTrust(input.trust);
if (trust === undefined) throw new Error('no trust line');
const { client, server } = createMemoryPair();
const subscriber = await createSubscriber({
  channel: () => Promise.resolve(client),
  trust,
  name: 'crash',
  logger: pino({ level: 'silent' }),
  stateDirectory,
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
