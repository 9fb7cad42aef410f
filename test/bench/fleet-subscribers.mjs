/**
 * Many subscribers in one process, as far as a publisher sees them:
 * `fleet-subscribers.mjs SOCKET COUNT TRUST`.
 * Each says PING as real ones do, takes what it is offered and says APPLIED, without applying it. Tells its
 * parent when all are welcome, and of each release when the last of them has it, with the moment and the
 * bytes of all transfers. Told to come again, once the publisher has gone, all connect at once, and who is
 * not let in tries again as real ones do. Told to sleep, each reads no more once its next transfer has begun.
 */

import { randomBytes } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import {
  Connection,
  decodeManifest,
  HEARTBEAT_MS,
  manifestHash,
  NONCE_BYTES,
  PROTOCOL_VERSION,
  parseTrust,
} from '@rulecast/protocol';
import { connect, parseEndpoint } from '@rulecast/vchan';
import { trusting } from '../kit/roots.mjs';

const [path, count] = [process.argv[2] ?? '', Number(process.argv[3])];
const trusted = trusting(parseTrust(process.argv[4] ?? ''));
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
/** By subscriber, what it holds. @type {(Held | undefined)[]} */
const holds = [];
/** As of a real subscriber: the first wait before another try; it doubles, spread over its upper half. */
const FIRST_WAIT_MS = 100;
/** @typedef {{ readonly hash: Uint8Array, readonly epoch: number, readonly version: number }} Held */

/** @type {(value: unknown) => void} */
let comeAgain = () => undefined;
const again = new Promise((resolve) => {
  comeAgain = resolve;
});
process.on('message', (what) => {
  if (what === 'again') comeAgain(undefined);
  else isSleepy = true;
});

/** @param {number} index */
async function subscribe(index) {
  const connection = new Connection(await connect(parseEndpoint(`unix:${path}`)));
  const versions = { protocolMin: PROTOCOL_VERSION, protocolMax: PROTOCOL_VERSION };
  await connection.send({
    kind: 'hello',
    ...versions,
    ...trusted,
    name: `fw-${index}`,
    holds: holds[index],
    refused: [],
    limits,
    nonce: randomBytes(NONCE_BYTES),
  });
  const first = (await connection.receive())?.message;
  if (first?.kind === 'welcome') return connection;
  connection.close();
  const waitMs = first?.kind === 'bye' ? (first.retryAfterMs ?? 0) : 0;
  throw Object.assign(new Error(`WELCOME was due: ${JSON.stringify(first)}`), { waitMs });
}

/** Until it is let in. @param {number} index @returns {Promise<{ connection: Connection, tries: number }>} */
async function subscribeAgain(index) {
  for (let tries = 1; ; tries++) {
    try {
      return { connection: await subscribe(index), tries };
    } catch (error) {
      const { waitMs = 0 } = /** @type {{ waitMs?: number }} */ (error);
      await pause(Math.max(waitMs, FIRST_WAIT_MS * 2 ** (tries - 1) * (0.5 + Math.random() / 2)));
    }
  }
}

/** @param {Connection} connection @param {number} index */
async function follow(connection, index) {
  /** @type {Held | undefined} */
  let offered;
  let bytes = 0;
  const ping = () =>
    void connection
      .send({ kind: 'ping', hash: holds[index]?.hash, nonce: randomBytes(NONCE_BYTES) })
      .catch(() => undefined);
  let beat = setTimeout(
    () => {
      ping();
      beat = setInterval(ping, HEARTBEAT_MS);
    },
    (HEARTBEAT_MS * index) / count,
  );
  for (;;) {
    const message = (await connection.receive())?.message;
    if (message === undefined) return clearTimeout(beat);
    if (message.kind === 'ping') await connection.send({ kind: 'pong', hash: holds[index]?.hash });
    if (message.kind === 'offer') {
      const { epoch, version } = decodeManifest(message.content);
      offered = { hash: manifestHash(message.content), epoch, version };
      await connection.send({
        kind: 'want',
        hash: offered.hash,
        base: isSleepy ? undefined : holds[index]?.hash,
      });
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
      holds[index] = offered;
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
for (let i = 0; i < count; i++) connections.push(await subscribe(i));
process.send?.({ connected: count });
await Promise.all(connections.map(follow));
await again;
const back = await Promise.all(connections.map((_, index) => subscribeAgain(index)));
process.send?.({ tries: Math.max(...back.map(({ tries }) => tries)) });
await Promise.all(back.map(({ connection }, index) => follow(connection, index)));
await new Promise(() => undefined); // asleep: their connections stay
