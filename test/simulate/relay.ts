/**
 * Somebody on the way of one connection who speaks frames, with right numbers and checksums, and has no key:
 * says again what was said to anybody, brings what was said to another session, changes what is in a stream,
 * or lets nothing through and answers for the publisher.
 *
 *   publisher ─ bytes ─▶ passes on, and counts frames ─▶ subscriber      as long as nothing is forged
 *             ─ bytes ─▶ frames ─▶ forges ─▶ frames of its own ─▶        from then on
 */

import {
  encodeMessage,
  type Frame,
  FrameDecoder,
  FrameEncoder,
  MessageType,
  ProtocolError,
} from '@rulecast/protocol';
import type { Random } from '../kit/random.mjs';

/** What is forged of the next frames that pass. */
export type Forgery = 'replay' | 'strange-fresh' | 'forged-stream';

interface Recorded extends Frame {
  /** Which connection it was of. */
  readonly relay: Relay;
}

/** Frames that are remembered, of each kind. */
const RECORDED_MAX = 24;
const RECORDED_BYTES_MAX = 4096;
/** What a publisher says that is of no use to anybody later. */
const FORGETTABLE: ReadonlySet<number> = new Set([MessageType.ping, MessageType.pong]);

/** What publishers said to anybody in one house. */
export class Recordings {
  readonly count: (event: 'frame forged' | 'publisher played') => void;
  readonly #byType = new Map<number, Recorded[]>();

  constructor(count: Recordings['count']) {
    this.count = count;
  }

  add(frame: Recorded): void {
    if (frame.body.length > RECORDED_BYTES_MAX || FORGETTABLE.has(frame.type)) return;
    const all = this.#byType.get(frame.type) ?? [];
    this.#byType.set(frame.type, [...all, { ...frame, body: frame.body.slice() }].slice(-RECORDED_MAX));
  }

  any(random: Random): Recorded | undefined {
    const types = [...this.#byType.values()];
    return types.length === 0 ? undefined : random.pick(random.pick(types));
  }

  /** Something of that type that was said to others. */
  ofOthers(type: number, own: Relay, random: Random): Recorded | undefined {
    const all = (this.#byType.get(type) ?? []).filter(({ relay }) => relay !== own);
    return all.length === 0 ? undefined : random.pick(all);
  }
}

export class Relay {
  /** Something was forged: what is refused is no fault of the publisher. */
  hasForged = false;
  readonly #random: Random;
  readonly #recordings: Recordings;
  readonly #down = new FrameDecoder();
  readonly #up = new FrameDecoder();
  /** What came down; the encoder numbers what goes on in its place. */
  #frames = 0;
  #encoder: FrameEncoder | undefined;
  #pending: Forgery[] = [];
  /** What comes is no frames, and goes on as it is. */
  #isLost = false;
  /** It answers in the place of the publisher. */
  #isPublisher = false;

  constructor(random: Random, recordings: Recordings) {
    this.#random = random;
    this.#recordings = recordings;
  }

  /** Forges the next message that passes. */
  forge(forgery: Forgery): void {
    this.#pending.push(forgery);
  }

  /** The bytes for the subscriber, in place of the publisher's. */
  pass(bytes: Uint8Array): Uint8Array {
    if (this.#isLost) return bytes;
    const { frames, isLost } = framesIn(this.#down, bytes);
    this.#isLost = isLost;
    this.#frames += frames.length;
    for (const frame of frames) this.#recordings.add({ ...frame, relay: this });
    const encoder = this.#encoder;
    if (encoder !== undefined) return Buffer.concat(frames.flatMap((frame) => this.#forged(frame, encoder)));
    if (this.#pending.length === 0 || isLost || this.#down.partial) return bytes;
    this.#encoder = new FrameEncoder(this.#frames);
    return Buffer.concat([bytes, ...this.#inserted(this.#encoder)]);
  }

  /** Hears the subscriber. What it is answered from here; nothing where the publisher does that. */
  hear(bytes: Uint8Array): Uint8Array {
    if (this.#isLost) return new Uint8Array();
    const { frames, isLost } = framesIn(this.#up, bytes);
    this.#isLost = isLost;
    const encoder = this.#encoder;
    if (!this.#isPublisher || encoder === undefined) return new Uint8Array();
    const { type, body } = encodeMessage({ kind: 'pong' });
    const pings = frames.filter((frame) => frame.type === MessageType.ping);
    return Buffer.concat(pings.map(({ transaction }) => encoder.frame(type, transaction, body)));
  }

  /** From now on it answers, and nothing else is to pass. False in the middle of a frame. */
  takePlace(): boolean {
    if (this.#isLost || (this.#encoder === undefined && this.#down.partial)) return false;
    this.#encoder ??= new FrameEncoder(this.#frames);
    this.hasForged = true;
    this.#isPublisher = true;
    this.#recordings.count('publisher played');
    return true;
  }

  #forged(frame: Frame, encoder: FrameEncoder): readonly Uint8Array[] {
    const { type, transaction } = frame;
    return [encoder.frame(type, transaction, this.#body(frame)), ...this.#inserted(encoder)];
  }

  #body({ type, body }: Frame): Uint8Array {
    const isDue = type === MessageType.chunk && this.#pending.includes('forged-stream');
    if (!isDue) return body;
    this.#done('forged-stream');
    const forged = body.slice();
    const at = this.#random.below(body.length);
    forged[at] = (forged[at] ?? 0) ^ (1 << this.#random.below(8));
    return forged;
  }

  #inserted(encoder: FrameEncoder): readonly Uint8Array[] {
    return this.#pending.flatMap((forgery) => {
      const recorded = this.#recordedFor(forgery);
      if (recorded === undefined) return [];
      this.#done(forgery);
      return [encoder.frame(recorded.type, recorded.transaction, recorded.body)];
    });
  }

  #recordedFor(forgery: Forgery): Recorded | undefined {
    switch (forgery) {
      case 'replay':
        return this.#recordings.any(this.#random);
      case 'strange-fresh':
        return this.#recordings.ofOthers(MessageType.fresh, this, this.#random);
      case 'forged-stream':
        return undefined;
    }
  }

  #done(forgery: Forgery): void {
    this.#pending = this.#pending.filter((other) => other !== forgery);
    this.hasForged = true;
    this.#recordings.count('frame forged');
  }
}

/** The frames that end in these bytes; `isLost`: they are none. */
function framesIn(
  decoder: FrameDecoder,
  bytes: Uint8Array,
): { readonly frames: readonly Frame[]; readonly isLost: boolean } {
  const frames: Frame[] = [];
  try {
    decoder.feed(Uint8Array.from(bytes));
    for (let frame = decoder.next(); frame !== undefined; frame = decoder.next()) frames.push(frame);
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error;
    return { frames, isLost: true };
  }
  return { frames, isLost: false };
}
