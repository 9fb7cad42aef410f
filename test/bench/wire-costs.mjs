/**
 * What a change costs on the wire, and what it costs to come back: the real publisher with its store, in this
 * process, and at the other end of a channel in memory one that takes what it is sent and counts. Bytes are
 * all that the publisher sends from OFFER to END, frames, signature and manifest included.
 */

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import {
  Connection,
  decodeManifest,
  diffRuleSets,
  ENTRIES_MAX,
  encodeDelta,
  manifestHash,
  PARTS_MAX,
  PROTOCOL_VERSION,
  TRANSFER_MAX_BYTES,
} from '@rulecast/protocol';
import { Publisher, serveSubscribers } from '@rulecast/publisher';
import { EMPTY_PREFIX_SET } from '@rulecast/rules';
import { connect, parseEndpoint } from '@rulecast/vchan';
import { pino } from 'pino';
import { trusting } from '../kit/roots.mjs';
import { grouped, ms } from './report.mjs';

/** @typedef {import('@rulecast/rules').RuleSet} RuleSet */
/** @typedef {import('@rulecast/rules').List} List */
/** @typedef {{ hash: Uint8Array, epoch: number, version: number }} Held */

const NAME = 'fw';
/** What is begun for who is away is done by then. */
const AWAY_MS = 3000;

let houses = 0;

/** A publisher with one listener, and how to end both. */
export async function house() {
  const directory = mkdtempSync(join(tmpdir(), 'rulecast-wire-'));
  const publisher = new Publisher({
    stateDirectory: directory,
    name: 'bench',
    resolve: () => Promise.resolve(EMPTY_PREFIX_SET),
    logger: pino({ level: 'silent' }),
  });
  const endpoint = parseEndpoint(`memory:wire-${++houses}`);
  const served = await serveSubscribers(publisher, [endpoint]);
  const close = async () => {
    await served.close();
    await publisher.close();
    rmSync(directory, { recursive: true, force: true });
  };
  return { publisher, endpoint, close };
}

/** Releases lists, and gives what was released. @param {Publisher} publisher @param {ReadonlyMap<string, List>} lists */
export async function released(publisher, lists) {
  await publisher.updateLists(lists);
  const { head } = publisher;
  if (head === undefined) throw new Error('nothing was released');
  return head;
}

/**
 * Connects as one that holds a release, and takes the head.
 * @param {Pick<Awaited<ReturnType<typeof house>>, 'publisher' | 'endpoint'>} of
 * @param {{ holds?: Held | undefined, has?: { stream: Uint8Array, bytes: number } | undefined, most?: number }} [options] `most`:
 *   ends the connection after so many bytes of the stream.
 */
export async function taken({ publisher, endpoint }, { holds, has, most = Number.POSITIVE_INFINITY } = {}) {
  const connection = new Connection(await connect(endpoint));
  const receive = async () => {
    const received = await connection.receive();
    if (received === undefined) throw new Error('the publisher ended the connection');
    return received.message;
  };
  const next = async () => {
    for (;;) {
      const message = await receive();
      if (message.kind === 'ping') await connection.send({ kind: 'pong' });
      else return message;
    }
  };
  await connection.send({
    kind: 'hello',
    protocolMin: PROTOCOL_VERSION,
    protocolMax: PROTOCOL_VERSION,
    name: NAME,
    ...trusting(publisher.identity),
    holds,
    refused: [],
    limits: { entries: ENTRIES_MAX, bytes: TRANSFER_MAX_BYTES, parts: PARTS_MAX },
  });
  await next(); // WELCOME
  const before = connection.bytesReceived;
  const offer = await next();
  if (offer.kind !== 'offer') throw new Error(`OFFER was due, not ${offer.kind}`);
  const hash = manifestHash(offer.content);
  const wantedAt = performance.now();
  await connection.send({ kind: 'want', hash, base: holds?.hash, has });
  const begin = await next();
  if (begin.kind !== 'begin') throw new Error(`BEGIN was due, not ${begin.kind}`);
  const firstMs = performance.now() - wantedAt;
  let bytes = begin.from ?? 0;
  for (let message = await next(); message.kind === 'chunk'; message = await next()) {
    bytes += message.bytes.length;
    if (bytes >= most) break;
  }
  const { epoch, version } = decodeManifest(offer.content);
  if (bytes === begin.bytes) {
    const figures = { receiveMs: 0, verifyMs: 0, compileMs: 0, flipMs: 0 };
    await connection.send({
      kind: 'applied',
      hash,
      epoch,
      version,
      ...figures,
      persisted: true,
      generation: 1,
    });
  }
  const result = {
    begin,
    bytes,
    firstMs,
    wire: connection.bytesReceived - before,
    held: { hash, epoch, version },
  };
  return { ...result, leave: () => connection.close(), connection, next };
}

/**
 * One entry more, of one of the lists, to a subscriber that is there.
 * @param {Awaited<ReturnType<typeof house>>} at
 * @param {ReadonlyMap<string, List>} change
 */
export async function pushedTo({ publisher, endpoint }, change) {
  const first = await taken({ publisher, endpoint });
  first.leave();
  await pause(100);
  const start = performance.now();
  await released(publisher, change);
  const commitMs = performance.now() - start;
  const taking = await taken({ publisher, endpoint }, { holds: first.held });
  taking.leave();
  return { wire: taking.wire, commitMs };
}

/**
 * Releases of lists one after the other, and what one is sent that held the first: as one that was away, and
 * as one that nobody knows.
 * @param {string} name
 * @param {readonly ReadonlyMap<string, List>[]} versions
 */
export async function caughtUp(name, versions) {
  const { publisher, endpoint, close } = await house();
  const [first, ...rest] = versions;
  if (first === undefined) throw new Error('no version of a list');
  const from = await released(publisher, first);
  const held = await taken({ publisher, endpoint });
  held.leave();
  await pause(100);
  for (const version of rest) await released(publisher, version);
  const { head } = publisher;
  if (head === undefined) throw new Error('nothing was released');
  await pause(AWAY_MS);
  const away = await taken({ publisher, endpoint }, { holds: held.held });
  away.leave();
  const chain = [...publisher.store.pastReleases()]
    .slice(0, -1)
    .reduce((sum, { deltaBytes }) => sum + deltaBytes, 0);
  const direct = encodeDelta(diffRuleSets(from.ruleSet, head.ruleSet)).length;
  await close();
  return [
    name,
    grouped(rest.length),
    grouped(chain),
    grouped(direct),
    grouped(away.begin.bytes),
    (away.begin.bytes / direct).toFixed(3),
    ms(away.firstMs),
    ms(await unknownMs(versions)),
  ];
}

/** The same to one that was never here. @param {readonly ReadonlyMap<string, List>[]} versions */
async function unknownMs(versions) {
  const { publisher, endpoint, close } = await house();
  /** @type {Held | undefined} */
  let holds;
  for (const version of versions) {
    const { hash, manifest } = await released(publisher, version);
    holds ??= { hash, epoch: manifest.epoch, version: manifest.version };
  }
  const { firstMs, leave } = await taken({ publisher, endpoint }, { holds });
  leave();
  await close();
  return firstMs;
}

export const CAUGHT_UP_HEAD = [
  'releases since',
  'how many',
  'chain, bytes',
  'direct, bytes',
  'sent, bytes',
  'of direct',
  'WANT to BEGIN, was away, ms',
  'never seen, ms',
];

/** A snapshot that is cut after a share of it, and gone on with. @param {ReadonlyMap<string, List>} lists @param {number} share */
export async function cut(lists, share) {
  const { publisher, endpoint, close } = await house();
  await released(publisher, lists);
  const whole = await taken({ publisher, endpoint });
  whole.leave();
  await pause(100);
  const first = await taken({ publisher, endpoint }, { most: whole.begin.bytes * share });
  first.leave();
  await pause(100);
  const { stream } = first.begin;
  const rest = await taken({ publisher, endpoint }, { has: stream && { stream, bytes: first.bytes } });
  rest.leave();
  await close();
  return [
    `${(100 * share).toFixed(0)} %`,
    grouped(whole.wire),
    grouped(first.wire + whole.wire),
    ((first.wire + whole.wire) / whole.wire).toFixed(2),
    grouped(first.wire + rest.wire),
    ((first.wire + rest.wire) / whole.wire).toFixed(2),
  ];
}

export const CUT_HEAD = ['cut after', 'snapshot, bytes', 'begun anew', 'times', 'gone on with', 'times'];
