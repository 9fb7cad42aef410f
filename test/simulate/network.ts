/**
 * The network between simulated processes: both ends of a connection are real channels of this process, and
 * what is between them carries bytes late, in pieces, not at all, or spoilt.
 *
 *   subscriber ─ channel ═ near ─▶ lane up: wait, delay, pieces ─▶ far ═ channel ─ publisher
 *                          near ◀─ lane down ────────────────────── far
 *
 * An end whose process is gone is never touched again: a killed process closes its connections a moment
 * later, as its kernel does; of one whose power was cut nobody hears anything.
 */

import { ErrorCode, type MessageOf } from '@rulecast/protocol';
import { type Channel, connect, createMemoryPair, parseEndpoint } from '@rulecast/vchan';
import type { Random } from '../kit/random.mjs';
import { air, type Process } from './air.ts';
import { Violation } from './ledger.ts';
import { type Recordings, Relay } from './relay.ts';
import { type Direction, type MachineState, Witness } from './witness.ts';

/** Longest usual way of a piece of bytes. */
const DELAY_MAX_MS = 4;
/** Bytes that go one at a time before what follows goes in small pieces. */
const BYTEWISE_MAX = 1500;
const PIECE_MAX = 300;
const READ_MAX_BYTES = 65_536;
/** HELLO is shorter. */
const HELLO_MAX_BYTES = 4096;
/** What a slow reader takes at a time, and how long it rests then. */
const SIP_BYTES = 512;
const SIP_REST_MS = 1200;

/** More refusals than that in so long are too many. */
const STORM_MAX = 20;
const STORM_MS = 5000;
/** What no stream of a real publisher is refused for, whatever becomes of it on its way. */
const WRONG: ReadonlySet<string> = new Set([
  ErrorCode.badBase,
  ErrorCode.badCanonical,
  ErrorCode.badCount,
  ErrorCode.badDelta,
  ErrorCode.badDigest,
  ErrorCode.badManifest,
  ErrorCode.badRuleSet,
  ErrorCode.badSignature,
]);

/** One direction of a link. */
interface Lane {
  readonly direction: Direction;
  readonly from: Channel;
  readonly to: Channel;
  readonly writer: Process;
  readonly reader: Process;
}

export interface LinkEvents {
  readonly onState: (link: Link, state: MachineState) => void;
  readonly onEnd: (link: Link) => void;
  readonly onFault: (violation: Violation, link: Link) => void;
}

export class Link {
  readonly witness: Witness;
  readonly relay: Relay;
  readonly subscriber: Process;
  readonly publisher: Process;
  /** Nothing passes before. */
  stalledUntilMs = 0;
  /** Each piece takes so much longer, until then. */
  slow = { byMs: 0, untilMs: 0 };
  bytewiseUntilMs = 0;
  /** The subscriber takes little at a time until then. */
  sippingUntilMs = 0;
  /** The next piece has a wrong bit. */
  isSpoiling = false;
  /** The first bytes that the subscriber said. */
  hello: Uint8Array = new Uint8Array();
  isOver = false;
  /** For how long the relay is to answer in the place of the publisher, from the next that it says. */
  freezeMs = 0;
  #isFrozen = false;
  /** When the subscriber refused something. */
  #refusals: readonly number[] = [];
  readonly #near: Channel;
  readonly #far: Channel;
  readonly #random: Random;
  readonly #events: LinkEvents;

  constructor(
    ends: { readonly near: Channel; readonly far: Channel },
    processes: { readonly subscriber: Process; readonly publisher: Process },
    random: Random,
    recordings: Recordings,
    events: LinkEvents,
  ) {
    this.relay = new Relay(random, recordings);
    this.#near = ends.near;
    this.#far = ends.far;
    this.subscriber = processes.subscriber;
    this.publisher = processes.publisher;
    this.#random = random;
    this.#events = events;
    this.witness = new Witness(
      (state) => events.onState(this, state),
      (nack) => this.#refused(nack),
    );
    const { subscriber, publisher } = this;
    void this.#carry({
      direction: 'up',
      from: ends.near,
      to: ends.far,
      writer: subscriber,
      reader: publisher,
    });
    void this.#carry({
      direction: 'down',
      from: ends.far,
      to: ends.near,
      writer: publisher,
      reader: subscriber,
    });
  }

  /** Ends it at both ends, the publisher's so much later. */
  cut(laterMs = 0): void {
    if (this.isOver) return;
    this.isOver = true;
    this.#close(this.#near, this.subscriber);
    air.after(laterMs, () => {
      this.#close(this.#far, this.publisher);
      this.witness.end();
      this.#events.onEnd(this);
    });
  }

  /** The relay stops answering. */
  thaw(): void {
    this.freezeMs = 0;
    if (this.#isFrozen) this.cut();
  }

  #freeze(): void {
    this.#isFrozen = true;
    this.#close(this.#far, this.publisher);
    this.witness.publisherGone();
    air.after(this.freezeMs, () => this.thaw());
  }

  /** One of the processes is gone; `isSilent`: nobody hears of it. */
  gone(isSilent: boolean): void {
    if (this.#isFrozen && this.subscriber.isAlive) return;
    if (!isSilent) {
      air.after(this.#random.below(20), () => this.cut());
      return;
    }
    // The other end hears nothing more, and says into nothing, until it gives up.
    this.stalledUntilMs = Number.POSITIVE_INFINITY;
    const other = this.subscriber.isAlive ? this.#near : this.#far;
    void this.#awaitEnd(other);
  }

  /** The subscriber refuses something: nothing that a publisher sends is wrong, nor sent again and again. */
  #refused({ code, text }: MessageOf<'nack'>): void {
    this.#refusals = [...this.#refusals.filter((atMs) => atMs > air.nowMs - STORM_MS), air.nowMs];
    const name = this.subscriber.name;
    if (this.#refusals.length > STORM_MAX) {
      this.#events.onFault(
        new Violation('storm', `${name} refused ${STORM_MAX} offers in ${STORM_MS} ms: ${text}`),
        this,
      );
    }
    if (WRONG.has(code) && !this.relay.hasForged)
      this.#events.onFault(new Violation('wrong-stream', `${name} refused: ${code}: ${text}`), this);
  }

  async #awaitEnd(end: Channel): Promise<void> {
    while (end.state === 'connected' && !this.isOver) {
      await end.waitReadable();
      if (end.state === 'connected') await air.sleep(500);
    }
    this.cut();
  }

  #close(end: Channel, process: Process): void {
    if (process.isAlive) end.close();
  }

  async #carry(lane: Lane): Promise<void> {
    const { direction, from, to, writer, reader } = lane;
    for (;;) {
      await from.waitReadable();
      await this.#open();
      if (this.isOver || !writer.isAlive || (this.#isFrozen && direction === 'down')) return;
      const isSipping = direction === 'down' && air.nowMs < this.sippingUntilMs;
      if (isSipping) await air.sleep(SIP_REST_MS);
      const bytes = from.read(isSipping ? SIP_BYTES : READ_MAX_BYTES);
      if (bytes.length === 0) {
        if (from.state === 'connected') continue;
        await air.sleep(this.#delayMs());
        return this.cut();
      }
      this.witness.see(direction, 'said', bytes);
      if (direction === 'up' && this.hello.length < HELLO_MAX_BYTES)
        this.hello = Buffer.concat([this.hello, bytes]);
      const answer = direction === 'up' ? this.relay.hear(bytes) : undefined;
      const passing = direction === 'up' ? bytes : this.relay.pass(bytes);
      await air.sleep(this.#delayMs());
      await this.#open();
      if (this.isOver) return;
      if (this.#isFrozen) {
        if (answer === undefined) return;
        await this.#deliver(
          { direction: 'down', from: to, to: from, writer: reader, reader: writer },
          answer,
        );
        continue;
      }
      if (!reader.isAlive) return;
      await this.#deliver(lane, this.#spoilt(passing));
      if (direction === 'down' && this.freezeMs > 0 && this.relay.takePlace()) return this.#freeze();
      if (to.state === 'disconnected') return this.cut();
    }
  }

  async #deliver({ direction, to, reader }: Lane, bytes: Uint8Array): Promise<void> {
    for (let at = 0; at < bytes.length; ) {
      if (this.isOver || !reader.isAlive || to.state === 'disconnected') return;
      const isBytewise = air.nowMs < this.bytewiseUntilMs;
      const most = !isBytewise ? bytes.length : at < BYTEWISE_MAX ? 1 : 1 + this.#random.below(PIECE_MAX);
      const piece = bytes.subarray(at, at + most);
      const taken = to.write(piece);
      if (taken > 0) this.witness.see(direction, 'heard', piece.subarray(0, taken));
      at += taken;
      if (taken === 0) await to.waitWritable();
      else if (isBytewise) await air.sleep(0.01);
    }
  }

  #spoilt(bytes: Uint8Array): Uint8Array {
    if (!this.isSpoiling) return bytes;
    this.isSpoiling = false;
    const spoilt = Uint8Array.from(bytes);
    if (spoilt.length === 0) return spoilt;
    const at = this.#random.below(bytes.length);
    spoilt[at] = (spoilt[at] ?? 0) ^ (1 << this.#random.below(8));
    return spoilt;
  }

  #delayMs(): number {
    const extraMs = air.nowMs < this.slow.untilMs ? this.slow.byMs * this.#random.below(100) * 0.01 : 0;
    return 0.05 + (this.#random.below(1000) / 1000) * DELAY_MAX_MS + extraMs;
  }

  async #open(): Promise<void> {
    while (this.stalledUntilMs > air.nowMs && !this.isOver)
      await air.sleep(Math.min(1000, this.stalledUntilMs - air.nowMs));
  }
}

/** A connection that somebody else opens and says a subscriber's HELLO on, and nothing more. */
export async function impersonate(
  endpoint: string,
  hello: Uint8Array,
  forMs: number,
): Promise<'refused' | 'done'> {
  let channel: Channel;
  try {
    channel = await connect(parseEndpoint(endpoint));
  } catch {
    return 'refused';
  }
  channel.write(hello);
  const endMs = air.nowMs + forMs;
  while (air.nowMs < endMs && channel.state === 'connected') {
    channel.read(READ_MAX_BYTES);
    await air.sleep(250);
  }
  channel.close();
  return 'done';
}

/** Connects a subscriber to an endpoint of a publisher. Rejects where nobody listens. */
export async function link(
  endpoint: string,
  processes: { readonly subscriber: Process; readonly publisher: Process },
  bufferBytes: number,
  random: Random,
  recordings: Recordings,
  events: LinkEvents,
): Promise<{ readonly channel: Channel; readonly link: Link }> {
  const far = await air.asWorld(() => connect(parseEndpoint(endpoint)));
  const { client, server } = createMemoryPair({ bufferBytes });
  const made = air.asWorld(() => new Link({ near: server, far }, processes, random, recordings, events));
  return { channel: client, link: made };
}
