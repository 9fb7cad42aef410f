/**
 * Both session machines behind a peer that says nearly the right things: a subscriber among releases that are
 * signed and streams that are not, a publisher among subscribers of its own. Whatever is said, what was
 * signed is in force or what was before, and the publisher keeps its head and can tell its status.
 */

import assert from 'node:assert';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import {
  diffRuleSets,
  encodeChain,
  encodeDelta,
  encodeManifest,
  encodeMessage,
  encodeSnapshot,
  FrameEncoder,
  joinReports,
  manifestFor,
  manifestHash,
  PROTOCOL_VERSION,
  signBytes,
} from '@rulecast/protocol';
import { Publisher, serveSubscribers } from '@rulecast/publisher';
import { EMPTY_PREFIX_SET, EMPTY_RULE_SET } from '@rulecast/rules';
import { createSubscriber } from '@rulecast/subscriber';
import { connect, createMemoryPair, parseEndpoint } from '@rulecast/vchan';
import { pino } from 'pino';
import { freshFor, soleRoot, trusting } from '../kit/roots.mjs';
import { MESSAGES } from './decoders.mjs';
import { mutatedDelta, ruleSetOf } from './make.mjs';

/**
 * @typedef {import('./draw.mjs').Draw} Draw
 * @typedef {import('@rulecast/protocol').Message} Message
 * @typedef {import('@rulecast/vchan').Channel} Channel
 */

const LINEAGE = new Uint8Array(16).fill(9);
/** What both ask with: so that what is said of the newest release may be right. */
const NONCE = new Uint8Array(16).fill(8);
const LOGGER = pino({ level: 'silent' });
/** Longer than any pause of a subscriber: each input finds it patient. */
const PATIENCE_MS = 120_000;
/** A hundred years: the longest that a message may say. */
const DURATION_MAX_MS = 3_155_760_000_000;
const BUFFER_BYTES = 1 << 20;
/** Turns of the event loop in which a session hears what was sent, or that the peer went. */
const TURNS = 8;

/**
 * Frames of messages in order, some of them wrong, missing, twice, or of another kind.
 * @param {Draw} draw
 * @param {readonly Message[]} script
 */
function spoken(draw, script) {
  const encoder = new FrameEncoder();
  const frames = [];
  const isCalm = draw.oneIn(2); // then it is the stream alone that may be wrong
  for (const message of script) {
    if (isCalm) {
      const { type, body } = encodeMessage(message);
      frames.push(encoder.frame(type, message.kind === 'query' ? 1 : 0, body));
      continue;
    }
    if (draw.oneIn(24)) continue;
    const { type, body } = draw.oneIn(24) ? draw.of(MESSAGES) : encodeMessage(message);
    const said = draw.oneIn(10) ? draw.mutated(body).subarray(0, 65_512) : body;
    for (let times = draw.oneIn(24) ? 2 : 1; times > 0; times--) {
      frames.push(encoder.frame(type, message.kind === 'query' ? 1 : 0, said));
    }
  }
  const bytes = Buffer.concat(frames);
  return !isCalm && draw.oneIn(16) ? draw.mutated(bytes) : bytes;
}

/**
 * Writes all of it while reading whatever comes; gives up when the peer is gone.
 * @param {Channel} channel
 * @param {Uint8Array} bytes
 */
async function converse(channel, bytes) {
  let at = 0;
  while (at < bytes.length && channel.state === 'connected') {
    try {
      at += channel.write(bytes.subarray(at, at + 65_536));
    } catch {
      return;
    }
    while (channel.dataReady() > 0) channel.read(65_536);
    if (at < bytes.length) await setImmediate();
  }
}

export class SubscriberTarget {
  /** @param {number} ordinal */
  constructor(ordinal) {
    const { key, root, trust } = soleRoot(LINEAGE);
    this.privateKey = key;
    this.root = root;
    this.trust = trust;
    this.name = `fuzzed-${ordinal}`;
    this.nowMs = 1_800_000_000_000;
    this.version = 0;
    /** @type {import('@rulecast/rules').RuleSet} */
    this.ruleSet = EMPTY_RULE_SET;
    /** @type {Uint8Array | undefined} */
    this.hash = undefined;
    /** @type {(channel: Channel) => void} */
    this.give = () => undefined;
    /** @type {() => void} */
    this.noteWanted = () => undefined;
    this.wanted = this.nextWanted();
  }

  /** @returns {Promise<void>} */
  nextWanted() {
    return new Promise((resolve) => {
      this.noteWanted = resolve;
    });
  }

  async start() {
    this.subscriber = await createSubscriber({
      channel: (signal) =>
        new Promise((resolve, reject) => {
          const abort = () => reject(new Error('aborted'));
          signal.addEventListener('abort', abort, { once: true });
          this.give = (channel) => {
            signal.removeEventListener('abort', abort);
            resolve(channel);
          };
          this.noteWanted();
        }),
      trust: this.trust,
      name: this.name,
      logger: LOGGER,
      nowMs: () => this.nowMs,
      boot: { bootMs: () => this.nowMs, bootId: 'fuzz' },
      random: () => 0,
      nonce: () => NONCE,
    });
  }

  /** A release after the one in force, and what a publisher would say of it. @param {Draw} draw */
  script(draw) {
    this.version += 1;
    const result = ruleSetOf(draw);
    const identity = { lineage: LINEAGE, epoch: 1, version: this.version, previousVersion: this.version - 1 };
    const manifest = encodeManifest(manifestFor(result, { ...identity, createdAtMs: this.nowMs }));
    const hash = manifestHash(manifest);
    const isChain = this.hash !== undefined && draw.oneIn(2);
    const right = isChain ? encodeDelta(diffRuleSets(this.ruleSet, result)) : encodeSnapshot(result);
    const stream = encodeChain([draw.oneIn(2) ? right : mutatedDelta(draw, right)]);
    /** @type {Message[]} */
    const messages = [
      { kind: 'welcome', protocol: PROTOCOL_VERSION, name: 'fuzz', lineage: LINEAGE, heartbeatMs: 15_000 },
      { kind: 'root', signatures: this.root.signatures, content: this.root.content },
      freshFor(NONCE, this.root, this.privateKey),
      { kind: 'ping' },
      { kind: 'offer', signatures: signBytes(manifest, this.privateKey), content: manifest },
      { kind: 'begin', bytes: stream.length, snapshot: isChain ? undefined : true },
      { kind: 'query', question: 'stats' },
    ];
    for (let at = 0; at < stream.length; at += 65_512) {
      messages.push({ kind: 'chunk', bytes: stream.subarray(at, at + 65_512) });
    }
    messages.push({ kind: 'end' }, { kind: 'ping' });
    return { result, hash, bytes: spoken(draw, messages) };
  }

  /** @param {Draw} draw */
  async run(draw) {
    const { subscriber } = this;
    if (subscriber === undefined) throw new TypeError('it was not started');
    await this.wanted;
    this.wanted = this.nextWanted();
    this.nowMs += PATIENCE_MS;
    const { result, hash, bytes } = this.script(draw);
    const { client, server } = createMemoryPair({ bufferBytes: BUFFER_BYTES });
    this.give(client);
    await converse(server, bytes);
    for (let turn = 0; turn < TURNS; turn++) await setImmediate();
    server.close();
    await this.wanted; // it is done with all of that
    const held = subscriber.status().hash;
    if (held === Buffer.from(hash).toString('hex')) {
      this.hash = hash;
      this.ruleSet = result;
    }
    const expected = this.hash === undefined ? undefined : Buffer.from(this.hash).toString('hex');
    assert.equal(held, expected, 'a release is in force that was not signed');
    subscriber.stats();
  }

  async close() {
    await this.subscriber?.close();
  }
}

const OBJECT = new Uint8Array(100_000);

/** A depot of one object, and reports that are answered by themselves. */
const DEPOT = /** @type {const} @satisfies {import('@rulecast/sessions').RelayHost} */ ({
  head: Uint8Array.of(1),
  object: async ({ length }) => (length === OBJECT.length ? OBJECT : undefined),
  onHead: () => () => undefined,
  takeReports: async (reports) => reports,
});

/** What a relay might say. @param {Draw} draw @returns {readonly Message[]} */
function relayScript(draw) {
  /** @type {Message[]} */
  const messages = [{ kind: 'relay', protocolMin: 2, protocolMax: 2, name: `relay-${draw.below(10)}` }];
  const sha256 = () => new Uint8Array(draw.bytes(32));
  const reports = () => Array.from({ length: draw.below(9) }, () => draw.bytes(draw.below(300)));
  for (let count = draw.below(8); count > 0; count--) {
    messages.push(
      draw.of(
        /** @type {readonly Message[]} */ ([
          { kind: 'fetch', sha256: sha256(), length: draw.of([0, 1, OBJECT.length, 2 ** 40]) },
          { kind: 'reports', bytes: joinReports([draw.bytes(5), ...reports()]) },
          { kind: 'ping' },
          { kind: 'pong' },
        ]),
      ),
    );
  }
  return messages;
}

export class PublisherTarget {
  async start() {
    this.directory = mkdtempSync(join(tmpdir(), 'rulecast-fuzz-'));
    this.publisher = new Publisher({
      stateDirectory: this.directory,
      name: 'fuzz',
      logger: LOGGER,
      resolve: () => Promise.resolve(EMPTY_PREFIX_SET),
    });
    this.endpoint = parseEndpoint('memory:fuzz');
    for (const text of ['192.0.2.1\n', '192.0.2.1\n192.0.2.3\n', '192.0.2.3\n2001:db8::/32\n']) {
      await this.publisher.push({
        action: 'replace',
        list: undefined,
        policy: undefined,
        replaceAll: false,
        files: [{ name: 'hosts.txt', role: 'pushed', bytes: Buffer.from(text) }],
      });
    }
    this.served = await serveSubscribers(this.publisher, [this.endpoint], { relays: DEPOT });
    this.head = this.publisher.head;
  }

  /**
   * What a subscriber might say, in an order that might be. @param {Draw} draw @returns {readonly Message[]}
   */
  script(draw) {
    const { publisher, head } = this;
    if (publisher === undefined || head === undefined) throw new TypeError('it was not started');
    const { hash, manifest, manifestBytes, signatures } = head;
    const other = draw.oneIn(4) ? new Uint8Array(draw.bytes(32)) : hash;
    const number = () => draw.of([0, 1, 3, manifest.version, 2 ** 32, Number.MAX_SAFE_INTEGER]);
    const held = { hash: other, epoch: number(), version: number() };
    if (draw.oneIn(4)) return relayScript(draw);
    /** @type {Message[]} */
    const messages = [
      {
        kind: 'hello',
        protocolMin: 2,
        protocolMax: 2,
        name: `fw-${draw.below(40)}`,
        ...trusting(publisher.identity),
        ...(draw.oneIn(8) ? { lineage: NONCE } : {}),
        ...(draw.oneIn(8) ? { root: { hash: other } } : {}),
        holds: draw.oneIn(3) ? held : undefined,
        refused: draw.oneIn(8) ? [other] : [],
        limits: { entries: draw.oneIn(8) ? 1 : 1000, bytes: 100_000, parts: 1024 },
        nonce: draw.oneIn(2) ? NONCE : undefined,
      },
    ];
    const ms = () => draw.of([0, 1, 1000, DURATION_MAX_MS]);
    const timings = { receiveMs: ms(), verifyMs: ms(), compileMs: ms(), flipMs: ms() };
    for (let count = draw.below(8); count > 0; count--) {
      messages.push(
        draw.of(
          /** @type {readonly Message[]} */ ([
            { kind: 'want', hash: other, base: draw.oneIn(2) ? hash : undefined },
            { kind: 'applied', ...held, ...timings, persisted: false, generation: number() },
            { kind: 'nack', hash: other, code: 'bad-delta', text: 'x', retry: 'later', retryAfterMs: 0 },
            { kind: 'nack', hash: other, code: 'bad-rule-set', text: 'x', retry: 'never' },
            { kind: 'proof', signatures, content: manifestBytes },
            { kind: 'ping', hash: other, ageMs: ms() },
            { kind: 'ping', nonce: NONCE },
            { kind: 'pong' },
            { kind: 'answer', ok: true, generation: number() },
          ]),
        ),
      );
    }
    return messages;
  }

  /** @param {Draw} draw */
  async run(draw) {
    const { publisher, endpoint, head } = this;
    if (publisher === undefined || endpoint === undefined) throw new TypeError('it was not started');
    const channel = await connect(endpoint);
    for (const message of this.script(draw)) {
      await converse(channel, spokenAlone(draw, message, channel));
      for (let turn = draw.below(3); turn > 0; turn--) await setImmediate();
    }
    channel.close();
    for (let turn = 0; turn < TURNS; turn++) await setImmediate();
    assert.equal(publisher.head, head, 'the head is another');
    for (const record of publisher.subscriberRecords()) {
      encodeMessage({ kind: 'record', record });
    }
  }

  async close() {
    await this.served?.close();
    await this.publisher?.close();
    if (this.directory !== undefined) rmSync(this.directory, { recursive: true, force: true });
  }
}

/** @type {WeakMap<Channel, FrameEncoder>} */
const encoders = new WeakMap();

/**
 * One message of a conversation, perhaps a wrong one.
 * @param {Draw} draw
 * @param {Message} message
 * @param {Channel} channel
 */
function spokenAlone(draw, message, channel) {
  const encoder = encoders.get(channel) ?? new FrameEncoder();
  encoders.set(channel, encoder);
  const { type, body } = draw.oneIn(24) ? draw.of(MESSAGES) : encodeMessage(message);
  const frame = encoder.frame(type, 0, draw.oneIn(12) ? draw.mutated(body).subarray(0, 65_512) : body);
  return draw.oneIn(40) ? draw.mutated(frame) : frame;
}
