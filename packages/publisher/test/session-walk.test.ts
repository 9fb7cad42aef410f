/**
 * Random walks: a subscriber that follows the protocol's own table answers as it likes, while releases come
 * at any time. Whatever the order, the publisher sends nothing that the table refuses, offers nothing that
 * was refused for good, and brings the head.
 */

import {
  type Message,
  type SubscriberEvent,
  type SubscriberSessionState,
  stepSubscriber,
} from '@rulecast/protocol';
import { type Endpoint, parseEndpoint } from '@rulecast/vchan';
import { describe, expect, it, onTestFinished } from 'vitest';
import { ALL_PERMITS } from '../../../test/kit/permits.ts';
import { seededNumbers } from '../../../test/kit/random.mjs';
import { turns } from '../../../test/kit/turns.ts';
import { often } from '../../../test/thorough.ts';
import { FakeClock } from '../../sources/test/fake-clock.ts';
import type { Publisher } from '../src/release/publisher.ts';
import { serveSubscribers } from '../src/sessions/host.ts';
import { type Draw, randomHosts } from './churn.ts';
import { freshPublisher, hex, pushOf } from './fresh-publisher.ts';
import { type Held, type Offer, offerOf, ScriptedSubscriber, streamApplied } from './scripted-subscriber.ts';

const PUSHES = 12;

/** A list of hosts, at times so long that a transfer has several CHUNKs. */
function listText(draw: Draw): string {
  const { v4 } = randomHosts(draw, draw(5) === 0 ? 40_000 : 1 + draw(20));
  return Array.from(v4.words, (word) =>
    [word >>> 24, (word >>> 16) & 255, (word >>> 8) & 255, word & 255].join('.'),
  ).join('\n');
}

class Walker {
  private readonly publisher: Publisher;
  private readonly endpoint: Endpoint;
  private readonly draw: Draw;
  private readonly clock: FakeClock;
  private pauseMs = 0; // asked for, and not over yet
  private state: SubscriberSessionState = 'closed';
  private subscriber: ScriptedSubscriber | undefined;
  private held: Held | undefined;
  private readonly refused = new Set<string>();
  private offered: Offer | undefined;
  private begin: Extract<Message, { kind: 'begin' }> | undefined;
  private chunks: Uint8Array[] = [];
  private pushesLeft = PUSHES;
  private readonly pushes: Promise<unknown>[] = [];
  private ruleSet: ScriptedSubscriber['ruleSet'] | undefined;

  constructor(publisher: Publisher, endpoint: Endpoint, clock: FakeClock, draw: Draw) {
    this.publisher = publisher;
    this.clock = clock;
    this.endpoint = endpoint;
    this.draw = draw;
  }

  /** Walks until all releases are made and the last one is held, or refused for good. */
  async run(): Promise<void> {
    this.push();
    await this.connect();
    while (!(await this.isDone())) {
      if (this.pushesLeft > 0 && this.draw(6) === 0) this.push();
      if (this.pushesLeft > 0 && this.draw(25) === 0) {
        await this.connect();
        continue; // a peer that left in the middle may have nothing to wait for now
      }
      const message = await this.next();
      if (message === undefined) throw new Error('the publisher hung up');
      await this.take(message);
    }
  }

  /** What the publisher says next, at the latest when the pause that it was asked for is over. */
  private async next(): Promise<Message | undefined> {
    let isHeard = false;
    const received = this.subscriber?.connection.receive().finally(() => {
      isHeard = true;
    });
    for (; this.pauseMs > 0 && !isHeard; this.pauseMs -= 1) {
      await turns();
      this.clock.advance(1);
    }
    return (await received)?.message;
  }

  private async isDone(): Promise<boolean> {
    if (this.pushesLeft > 0) {
      if (this.isSettled()) this.push(); // else nothing more would come
      return false;
    }
    await Promise.all(this.pushes);
    return this.isSettled();
  }

  /** Whether the head is held or refused, so that the publisher has nothing to send. */
  private isSettled(): boolean {
    const head = hex(this.publisher.head?.hash ?? new Uint8Array());
    const isHeld = this.held !== undefined && hex(this.held.hash) === head;
    return this.state === 'idle' && (isHeld || this.refused.has(head));
  }

  private push(): void {
    this.pushesLeft -= 1;
    const action = this.draw(2) === 0 ? 'replace' : 'merge';
    this.pushes.push(
      this.publisher.push(pushOf({ 'hosts.txt': listText(this.draw) }, { action }), { permits: ALL_PERMITS }),
    );
  }

  private async connect(): Promise<void> {
    this.subscriber?.channel.close();
    this.subscriber = await ScriptedSubscriber.greet(this.endpoint, 'fw', {
      holds: this.held,
      refused: [...this.refused].map((hash) => new Uint8Array(Buffer.from(hash, 'hex'))),
    });
    this.state = 'idle';
  }

  private step(event: SubscriberEvent): void {
    const { next, action } = stepSubscriber(this.state, event);
    if (action === 'bye' || action === 'close') throw new Error(`${event} while ${this.state}`);
    this.state = next;
  }

  private async take(message: Message): Promise<void> {
    switch (message.kind) {
      case 'offer':
        return this.answerOffer(offerOf(message));
      case 'begin':
        this.step('begin');
        this.begin = message;
        this.chunks = [];
        return this.maybeRefuse(8);
      case 'chunk':
        this.step('chunk');
        this.chunks.push(Uint8Array.from(message.bytes));
        return this.maybeRefuse(6);
      case 'end':
        this.step('end');
        if (this.state === 'applying') await this.finish();
        return;
      case 'abort':
        expect(this.state).toBe('draining');
        return this.step('abort');
      default:
        throw new Error(`${message.kind} was not due`);
    }
  }

  private async answerOffer(offer: Offer): Promise<void> {
    expect(this.refused.has(hex(offer.hash)), 'offered again what was refused for good').toBe(false);
    this.offered = offer;
    if (this.pushesLeft > 0 && this.draw(5) === 0) {
      this.step('offerRefused');
      await this.nack(offer);
      return;
    }
    this.step('offer');
    await this.subscriber?.want(offer, this.held?.hash);
  }

  private async maybeRefuse(oneIn: number): Promise<void> {
    if (this.state !== 'receiving' || this.offered === undefined) return;
    if (this.pushesLeft === 0 || this.draw(oneIn) !== 0) return;
    this.step('refused');
    await this.nack(this.offered);
  }

  private async finish(): Promise<void> {
    const { subscriber, offered, begin } = this;
    if (subscriber === undefined || offered === undefined || begin === undefined)
      throw new Error('END of nothing');
    if (begin.snapshot !== true) {
      expect(this.held).toBeDefined();
      if (this.draw(4) === 0) {
        this.step('overBudget');
        await subscriber.send({ kind: 'want', hash: offered.hash, base: undefined });
        return;
      }
    }
    const ruleSet = streamApplied(offered, begin, Buffer.concat(this.chunks), this.ruleSet);
    if (this.pushesLeft > 0 && this.draw(5) === 0) {
      this.step('refused');
      await this.nack(offered);
      return;
    }
    this.step('applied');
    await subscriber.applied(offered, ruleSet);
    this.held = subscriber.held;
    this.ruleSet = ruleSet;
  }

  private async nack(offer: Offer): Promise<void> {
    const never = this.draw(3) === 0;
    if (never) this.refused.add(hex(offer.hash));
    const retryAfterMs = this.draw(3);
    if (!never) this.pauseMs = retryAfterMs + 1;
    await this.subscriber?.nack(offer, never ? { retry: 'never' } : { retry: 'later', retryAfterMs });
  }
}

describe('a session', () => {
  it.each(Array.from({ length: often(3, 24) }, (_, i) => i + 1))(
    'brings the head whatever the subscriber does, seed %i',
    async (seed) => {
      const clock = new FakeClock();
      const publisher = freshPublisher({ clock });
      const endpoint = parseEndpoint(`memory:walk-${seed}?buffer=4KiB`);
      const served = await serveSubscribers(publisher, [endpoint]);
      onTestFinished(() => served.close());
      await new Walker(publisher, endpoint, clock, seededNumbers(seed * 7919)).run();
      expect(publisher.head?.manifest.version).toBe(PUSHES);
    },
  );
});
