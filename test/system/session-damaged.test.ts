/**
 * A session that arrives damaged, cut short or forged never crashes a subscriber and never puts another rule
 * set in force. A recorded session of a real publisher is fed to subscribers in this process.
 */

import { cpSync } from 'node:fs';
import { FRAME_HEADER_BYTES, FrameDecoder, FrameEncoder, MessageType, parseTrust } from '@rulecast/protocol';
import { bitsOf, type Packet, parseAddress } from '@rulecast/rules';
import { createSubscriber, type Subscriber } from '@rulecast/subscriber';
import { type Channel, createMemoryPair } from '@rulecast/vchan';
import { pino } from 'pino';
import { beforeEach, describe, expect, it } from 'vitest';
import { flipped } from '../kit/bytes.ts';
import { seededNumbers } from '../kit/random.mjs';
import { Gateway } from './gateway.ts';
import { Scene } from './scene.ts';

const SEED = 0x5eed04;
/** Subscribers at work at once: each waits a little before it connects again. */
const TARGETS = 32;
const BITS = [0, 1, 2, 3, 4, 5, 6, 7] as const;
/** What the checksum keeps and nothing else in the header looks at. */
const TYPE_AT = 5;
const TRANSACTION_AT: readonly number[] = [8, 9, 10, 11];
/**
 * Names, heartbeats, and a statement to another nonce than this subscriber's, which asks for none: it knows a
 * floor.
 */
const HARMLESS: ReadonlySet<number> = new Set([MessageType.welcome, MessageType.fresh]);
const STREAM_FAULTS = new Set([
  'bad-transfer',
  'bad-base',
  'bad-delta',
  'bad-count',
  'bad-digest',
  'over-limit',
]);
const OLD_MARKER = '10.0.0.1';
const NEW_MARKER = '10.0.0.2';

interface Fed {
  readonly isNew: boolean;
  /** Codes of the subscriber's errors. */
  readonly codes: readonly string[];
}

let scene: Scene;
let session: Buffer;
let oldHash: string;
let newHash: string;
let trustLine: string;

beforeEach(async () => {
  scene = new Scene();
  const { control } = scene;
  const front = scene.path('front.sock');
  await scene.publisher();
  let subscriber = await scene.subscriber('firewall');
  await control.push({ list: 'blocked', text: `192.0.2.0/24\n${OLD_MARKER}\n` });
  await control.pushText('default.rules', 'drop dst=@blocked\naccept\n');
  ({ hash: oldHash = '' } = await control.synced('firewall'));
  await subscriber.stop();
  scene.copy('firewall', 'good');
  await control.push({ list: 'blocked', text: `192.0.2.0/24\n${NEW_MARKER}\n`, wait: 'released' });
  const recorder = await Gateway.open(front, scene.path('subscribers.sock'));
  scene.onClose(() => recorder.close());
  subscriber = await scene.subscriber('firewall', `unix:${front}`);
  ({ hash: newHash = '' } = await control.synced('firewall'));
  await subscriber.kill();
  session = Buffer.concat(recorder.recorded[0] ?? []);
  trustLine = await scene.trustLine();
});

describe('a recorded session', () => {
  it('changes nothing when it is cut short anywhere, and everything when it is whole', async () => {
    const ends = new Set(framesOf(session).map(({ end }) => end));
    const cases = Array.from(session.keys(), (length) => session.subarray(0, length));
    const results = await feedAll(cases);
    for (const [length, { isNew, codes }] of results.entries()) {
      expect(isNew, `${length} bytes`).toBe(false);
      const inOrder = length === 0 || ends.has(length);
      expect(codes, `${length} bytes`).toEqual(inOrder ? [] : ['truncated']);
    }
    expect(await feedAll([session])).toEqual([{ isNew: true, codes: [] }]);
    console.log(`${cases.length} truncations of a session of ${session.length} bytes`);
  });

  it('is refused with any one bit flipped', async () => {
    const cases = Array.from({ length: session.length * 8 }, (_, bit) => flipped(session, bit));
    const results = await feedAll(cases);
    for (const [bit, { isNew, codes }] of results.entries()) {
      expect(isNew, `bit ${bit}`).toBe(false);
      expect(codes, `bit ${bit}`).toHaveLength(1);
    }
    console.log(`${cases.length} flips, refused as`, tally(results));
  });

  it('brings the signed release or none with any one bit flipped behind a right checksum', async () => {
    const forgeries = framesOf(session).flatMap(({ start, end, type }) =>
      [TYPE_AT, ...TRANSACTION_AT, ...bodyOf({ start, end })].flatMap((byte) =>
        (HARMLESS.has(type) ? [byte % 8] : BITS).map((bit) => ({
          type,
          byte,
          bytes: resealed(flipped(session, (start + byte) * 8 + bit)),
        })),
      ),
    );
    const results = await feedAll(forgeries.map(({ bytes }) => bytes));
    const brought: string[] = [];
    for (const [index, { type, byte, bytes }] of forgeries.entries()) {
      const { isNew, codes } = results[index] ?? { isNew: false, codes: [] };
      const isHarmless = HARMLESS.has(type) || TRANSACTION_AT.includes(byte);
      if (isNew && !isHarmless) brought.push(`byte ${byte} of message ${type}`);
      // Where END became a message that asks for nothing, the transfer is one that was cut short in order.
      const hasEnd = framesOf(bytes).some((frame) => frame.type === MessageType.end);
      if (!isNew && hasEnd) expect(codes.length, `case ${index}`).toBeGreaterThan(0);
    }
    const count = results.filter(({ isNew }) => isNew).length;
    console.log(`${results.length} forgeries, ${count} harmless, the others refused as`, tally(results));
    expect(brought).toEqual([]);
    expect(count).toBeGreaterThan(100);
  });
});

/** Feeds each case to a subscriber that holds the old release; results in the order of the cases. */
async function feedAll(cases: readonly Uint8Array[]): Promise<readonly Fed[]> {
  const results: Fed[] = [];
  const next = seededNumbers(SEED);
  const order = [...cases.keys()];
  for (let i = order.length - 1; i > 0; i--) {
    // Shuffled: cases that end before WELCOME make a subscriber wait longer each time.
    const j = next(i + 1);
    [order[i], order[j]] = [order[j] ?? 0, order[i] ?? 0];
  }
  let made = 0;
  const work = async (worker: number): Promise<void> => {
    let target = await Target.start(worker, made++);
    for (let index = order.pop(); index !== undefined; index = order.pop()) {
      const result = await target.feed(cases[index] ?? new Uint8Array(0));
      results[index] = result;
      // One that refused a stream waits before it takes another, and takes no delta for that release: what
      // comes next is not to be hidden behind that.
      if (!result.isNew && !result.codes.some((code) => STREAM_FAULTS.has(code))) continue;
      await target.close();
      target = await Target.start(worker, made++);
    }
    await target.close();
  };
  await Promise.all(Array.from({ length: Math.min(TARGETS, cases.length) }, (_, worker) => work(worker)));
  return results;
}

/** A subscriber in this process, with the old release in force. */
class Target {
  private subscriber: Subscriber | undefined;
  private readonly codes: string[] = [];
  private give: (channel: Channel) => void = () => undefined;
  private wanted: Promise<void>;
  private noteWanted: () => void = () => undefined;

  private constructor() {
    this.wanted = this.nextWanted();
  }

  static async start(worker: number, ordinal: number): Promise<Target> {
    const directory = scene.path(`target-${worker}-${ordinal}`);
    cpSync(scene.path('good'), directory, { recursive: true });
    const trust = parseTrust(trustLine);
    if (trust === undefined) throw new TypeError('no trust line');
    const target = new Target();
    target.subscriber = await createSubscriber({
      channel: (signal) => target.request(signal),
      trust,
      name: 'target',
      logger: pino({ level: 'silent' }),
      stateDirectory: directory,
      random: () => 0,
    });
    target.subscriber.events.on('refused', ({ code }) => target.codes.push(code));
    expect(target.subscriber.status().hash).toBe(oldHash);
    return target;
  }

  private nextWanted(): Promise<void> {
    return new Promise((resolve) => {
      this.noteWanted = resolve;
    });
  }

  private request(signal: AbortSignal): Promise<Channel> {
    return new Promise((resolve, reject) => {
      const abort = (): void => reject(new Error('aborted'));
      this.give = (channel) => {
        signal.removeEventListener('abort', abort);
        resolve(channel);
      };
      signal.addEventListener('abort', abort, { once: true });
      this.noteWanted();
    });
  }

  /** Sends it bytes and the end; resolves when it is done with them and wants the next connection. */
  async feed(bytes: Uint8Array): Promise<Fed> {
    await this.wanted;
    this.codes.length = 0;
    this.wanted = this.nextWanted();
    const { client, server } = createMemoryPair();
    expect(server.write(bytes)).toBe(bytes.length);
    server.close();
    this.give(client);
    await this.wanted;
    return { isNew: this.enforcesNew(), codes: [...this.codes] };
  }

  /** Whether the new release is in force. Anything but the old or the new one, whole, fails. */
  private enforcesNew(): boolean {
    const { subscriber } = this;
    if (subscriber === undefined) throw new TypeError('unreachable: it was started');
    const { hash } = subscriber.status();
    expect([oldHash, newHash]).toContain(hash);
    const isNew = hash === newHash;
    const actions = [OLD_MARKER, NEW_MARKER].map((dst) => subscriber.lookup(packetTo(dst)).action);
    expect(actions).toEqual(isNew ? ['accept', 'drop'] : ['drop', 'accept']);
    return isNew;
  }

  async close(): Promise<void> {
    await this.subscriber?.close();
  }
}

function packetTo(dst: string): Packet {
  const [from, to] = [parseAddress('10.137.0.5'), parseAddress(dst)];
  if (from === undefined || to === undefined || bitsOf(to.family) !== 32) throw new TypeError(dst);
  return { direction: 'egress', src: from, dst: to, proto: 6, port: 443, icmpType: undefined };
}

interface Lying {
  readonly start: number;
  readonly end: number;
  readonly type: number;
}

/** Where the bytes of a frame's body are in it. */
function bodyOf({ start, end }: Pick<Lying, 'start' | 'end'>): readonly number[] {
  return Array.from({ length: end - start - FRAME_HEADER_BYTES }, (_, i) => FRAME_HEADER_BYTES + i);
}

function framesOf(bytes: Buffer): readonly Lying[] {
  const decoder = new FrameDecoder();
  decoder.feed(bytes);
  const frames: Lying[] = [];
  let start = 0;
  for (let frame = decoder.next(); frame !== undefined; frame = decoder.next()) {
    const end = start + FRAME_HEADER_BYTES + frame.body.length;
    frames.push({ start, end, type: frame.type });
    start = end;
  }
  return frames;
}

/** The same frames, which lie where those of the session do, with right checksums. */
function resealed(bytes: Buffer): Buffer {
  const encoder = new FrameEncoder();
  return Buffer.concat(
    framesOf(session).map(({ start, end }) => {
      const body = bytes.subarray(start + FRAME_HEADER_BYTES, end);
      return Buffer.from(encoder.frame(bytes[start + 5] ?? 0, bytes.readUInt32LE(start + 8), body));
    }),
  );
}

function tally(results: readonly Fed[]): Readonly<Record<string, number>> {
  const counts: Record<string, number> = {};
  for (const { isNew, codes } of results) {
    if (!isNew) counts[codes.join(' ')] = (counts[codes.join(' ')] ?? 0) + 1;
  }
  return counts;
}
