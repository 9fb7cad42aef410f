/**
 * Many subscribers in one process, as far as a publisher sees them: `fleet-subscribers.mjs SOCKET COUNT`.
 * Each says PING as real ones do, takes what it is offered and says APPLIED, without applying it. Tells its
 * parent when all are welcome, and of each release when the last of them has it, with the moment and the
 * bytes of all transfers. Told to sleep, each reads no more once its next transfer has begun.
 */

import { randomBytes } from 'node:crypto';
import {
  Connection,
  decodeManifest,
  HEARTBEAT_MS,
  manifestHash,
  NONCE_BYTES,
  PROTOCOL_VERSION,
} from '@rulecast/protocol';
import { connect, parseEndpoint } from '@rulecast/vchan';

const [path, count] = [process.argv[2] ?? '', Number(process.argv[3])];
const limits = { entries: 16_777_216, bytes: 268_435_456, parts: 65_536 };
const applied = /** @type {const} */ ({
  receiveMs: 1,
  verifyMs: 1,
  compileMs: 1,
  flipMs: 1,
  persisted: true,
});
/** By the version of a release, how many have it, and what it took. @type {Map<number, { have: number, bytes: number }>} */
const releases = new Map();
let isSleepy = false;
let asleep = 0;

process.on('message', () => {
  isSleepy = true;
});

/** @param {string} name */
async function subscribe(name) {
  const connection = new Connection(await connect(parseEndpoint(`unix:${path}`)));
  const versions = { protocolMin: PROTOCOL_VERSION, protocolMax: PROTOCOL_VERSION };
  await connection.send({
    kind: 'hello',
    ...versions,
    name,
    refused: [],
    limits,
    nonce: randomBytes(NONCE_BYTES),
  });
  const first = (await connection.receive())?.message;
  if (first?.kind !== 'welcome') throw new Error(`WELCOME was due: ${JSON.stringify(first)}`);
  return connection;
}

/** @param {Connection} connection @param {number} index */
async function follow(connection, index) {
  /** @type {Uint8Array | undefined} */
  let held;
  /** @type {{ hash: Uint8Array, epoch: number, version: number } | undefined} */
  let offered;
  let bytes = 0;
  const ping = () =>
    void connection
      .send({ kind: 'ping', hash: held, nonce: randomBytes(NONCE_BYTES) })
      .catch(() => undefined);
  setTimeout(
    () => {
      ping();
      setInterval(ping, HEARTBEAT_MS);
    },
    (HEARTBEAT_MS * index) / count,
  );
  for (;;) {
    const message = (await connection.receive())?.message;
    if (message === undefined) return;
    if (message.kind === 'ping') await connection.send({ kind: 'pong', hash: held });
    if (message.kind === 'offer') {
      const { epoch, version } = decodeManifest(message.content);
      offered = { hash: manifestHash(message.content), epoch, version };
      await connection.send({ kind: 'want', hash: offered.hash, base: isSleepy ? undefined : held });
    }
    if (message.kind === 'begin') {
      bytes = message.bytes;
      if (isSleepy) {
        asleep += 1;
        if (asleep === count) process.send?.({ asleep });
        return;
      }
    }
    if (message.kind === 'end' && offered !== undefined) {
      held = offered.hash;
      await connection.send({ kind: 'applied', ...offered, ...applied, generation: offered.version });
      note(offered.version, bytes);
    }
  }
}

/** @param {number} version @param {number} bytes */
function note(version, bytes) {
  const release = releases.get(version) ?? { have: 0, bytes: 0 };
  releases.set(version, release);
  release.have += 1;
  release.bytes += bytes;
  if (release.have < count) return;
  process.send?.({ version, atMs: performance.timeOrigin + performance.now(), bytes: release.bytes });
  releases.delete(version);
}

/** @type {Connection[]} */
const connections = [];
for (let i = 0; i < count; i++) connections.push(await subscribe(`fw-${i}`));
process.send?.({ connected: count });
await Promise.all(connections.map(follow));
await new Promise(() => undefined); // asleep: their connections stay
