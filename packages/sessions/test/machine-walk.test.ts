/**
 * Any events at all, in any order and at any time: a session's machine throws nothing, contradicts itself in
 * nothing, keeps within its bounds, and leaves nobody without an answer.
 */

import { hexOf, type Message, QUERIES_PER_SECOND_MAX, REFUSED_MAX } from '@rulecast/protocol';
import { describe, expect, it } from 'vitest';
import fc from '../../../test/seeded-fast-check.ts';
import { often } from '../../../test/thorough.ts';
import type { PublisherView, SessionRelease } from '../src/host.ts';
import { deadline, start, step } from '../src/session/machine.ts';
import { WAITING_MAX } from '../src/session/questions.ts';
import type { Effect, Event, State } from '../src/session/state.ts';
import {
  ANSWER,
  appliedOf,
  heldOf,
  helloOf,
  nackOf,
  nowAt,
  publisherWith,
  releaseOf,
  STRANGE_MESSAGES,
  UNKNOWN_HASH,
} from './machine-world.ts';

const RELEASES = Array.from({ length: 6 }, (_, i) => releaseOf(1, i + 1));
const ABOVE = releaseOf(2, 1);
const ALL = [...RELEASES, ABOVE];
/** Questions that may be open: the burst, and what comes to its turn while one has its time. */
const OPEN_MAX = QUERIES_PER_SECOND_MAX / 2 + (5000 / 1000) * (QUERIES_PER_SECOND_MAX / 2) + 1;

const pick = fc.nat({ max: ALL.length - 1 }).map((i) => ALL[i] ?? ABOVE);
const hash = fc.oneof(
  { weight: 8, arbitrary: pick.map((release) => release.hash) },
  { weight: 1, arbitrary: fc.constant(UNKNOWN_HASH) },
);
const anyHash = fc.option(hash, { nil: undefined });
const message: fc.Arbitrary<Message> = fc.oneof(
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('want' as const), hash, base: anyHash }) },
  { weight: 3, arbitrary: pick.map(appliedOf) },
  {
    weight: 3,
    arbitrary: fc
      .record({
        hash,
        retry: fc.constantFrom('never' as const, 'later' as const),
        retryAfterMs: fc.nat(2000),
      })
      .map(({ hash: named, ...fields }) => nackOf(named, fields)),
  },
  {
    weight: 2,
    arbitrary: fc.record({ kind: fc.constantFrom('ping' as const, 'pong' as const), hash: anyHash }),
  },
  { weight: 1, arbitrary: fc.constant(ANSWER) },
  {
    weight: 1,
    arbitrary: pick.map(({ manifestBytes, signatures }) => ({
      kind: 'proof' as const,
      content: manifestBytes,
      signatures,
    })),
  },
  { weight: 1, arbitrary: fc.constantFrom(...STRANGE_MESSAGES, helloOf()) },
);

const event: fc.Arbitrary<Event> = fc.oneof(
  {
    weight: 12,
    arbitrary: fc.record({ kind: fc.constant('received' as const), message, transaction: fc.nat(12) }),
  },
  { weight: 3, arbitrary: fc.constant({ kind: 'published' as const }) },
  {
    weight: 3,
    arbitrary: fc
      .nat(1000)
      .map((ticket) => ({ kind: 'asked' as const, ticket, about: { question: 'stats' as const } })),
  },
  { weight: 2, arbitrary: fc.constant({ kind: 'probed' as const }) },
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant('transferBegun' as const),
      transfer: fc.nat(4),
      isChain: fc.boolean(),
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constantFrom('transferSent' as const, 'transferFailed' as const),
      transfer: fc.nat(4),
    }),
  },
  { weight: 4, arbitrary: fc.constant({ kind: 'tick' as const }) },
  { weight: 1, arbitrary: fc.constant({ kind: 'proved' as const, release: { epoch: 2, version: 1 } }) },
);
/** What ends a session, so that a walk has one of these at its end and not at its beginning. */
const ending: fc.Arbitrary<Event> = fc.constantFrom<Event>(
  { kind: 'disconnected' },
  { kind: 'disconnected', fault: { code: 'bad-magic', text: 'garbage' } },
  { kind: 'stopped', refusal: { code: 'shutting-down', text: 'the publisher stops' } },
  { kind: 'superseded', why: 'reconnected' },
  { kind: 'superseded', why: 'no-answer' },
);

const moment = fc.record({
  /** What answers the machine's own doings more often than chance would. */
  isFitting: fc.boolean(),
  event,
  waitMs: fc.oneof(fc.nat(50), fc.nat(6000)),
  isPublished: fc.nat(5).map((n) => n === 0),
  isSending: fc.boolean(),
  sentBytes: fc.nat(100_000),
});

/** One session, watched: its callers, its offers, and its effects. */
class Watched {
  state: State = start(0);
  nowMs = 0;
  bytesSent = 0;
  headCount = 0;
  isBehind = false;
  readonly #waiting = new Set<number>();
  readonly #offered = new Set<string>();
  readonly #refused = new Set<string>();
  #lastTicket = 0;
  #isProbed = false;
  #hasName = false;
  #goodbyes = 0;

  get publisher(): PublisherView {
    return publisherWith(RELEASES.slice(0, this.headCount), this.isBehind);
  }

  feed(given: Event, isSending = false): void {
    const one: Event = given.kind === 'asked' ? { ...given, ticket: ++this.#lastTicket } : given;
    if (one.kind === 'asked') this.#waiting.add(one.ticket);
    if (one.kind === 'probed') this.#isProbed = true;
    const before = frozen(this.state);
    const now = nowAt(this.nowMs, this.publisher, { bytesSent: this.bytesSent, isSending });
    const { state, effects } = step(before, one, now);
    this.state = state;
    expect(deadline(state)).toBeGreaterThan(this.nowMs);
    this.#checkBounds();
    this.#checkEffects(before, effects);
    for (const effect of effects) this.#take(effect);
  }

  #checkBounds(): void {
    const { state } = this;
    if (state.kind === 'offered') {
      expect(state.unanswered.length).toBeGreaterThan(0);
      expect(state.unanswered.length).toBeLessThanOrEqual(2);
    }
    if (!('peer' in state)) return;
    const { refused, questions } = state.peer;
    expect(refused.length).toBeLessThanOrEqual(REFUSED_MAX);
    expect(questions.waiting.length).toBeLessThanOrEqual(WAITING_MAX);
    expect(questions.open.length).toBeLessThanOrEqual(OPEN_MAX);
  }

  #checkEffects(before: State, effects: readonly Effect[]): void {
    const ends = effects.filter(({ kind }) => kind === 'bye' || kind === 'close');
    const isEnd = before.kind !== 'closed' && this.state.kind === 'closed';
    expect(ends).toHaveLength(isEnd ? 1 : 0);
    const last = effects.findIndex(({ kind }) => kind === 'bye' || kind === 'close');
    const after = last < 0 ? [] : effects.slice(last);
    expect(after.filter(({ kind }) => kind === 'send' || kind === 'query' || kind === 'transfer')).toEqual(
      [],
    );
    if (before.kind === 'closed') {
      expect(effects.filter(({ kind }) => kind !== 'alive' && kind !== 'unanswered')).toEqual([]);
    }
    for (const kind of ['transfer', 'claim', 'enter', 'prove', 'alive'] as const) {
      expect(effects.filter((effect) => effect.kind === kind).length).toBeLessThanOrEqual(1);
    }
    const sent = effects.flatMap((effect) => (effect.kind === 'send' ? [effect.message.kind] : []));
    for (const kind of new Set(sent)) {
      const most = kind === 'ping' ? 2 : 1; // a heartbeat, and one for who wants the name
      expect(sent.filter((other) => other === kind).length).toBeLessThanOrEqual(most);
    }
  }

  #take(effect: Effect): void {
    switch (effect.kind) {
      case 'send':
        if (effect.message.kind === 'offer') this.#checkOffer();
        return;
      case 'enter':
        this.#hasName = true;
        return;
      case 'refuse':
        this.#refused.add(effect.hash);
        return;
      case 'transfer':
        expect(this.#offered).toContain(hexOf(effect.release.hash));
        return;
      case 'answered':
      case 'unanswered':
        expect(this.#waiting.delete(effect.ticket), 'answered twice').toBe(true);
        return;
      case 'alive':
        this.#isProbed = false;
        return;
      case 'settle':
        if (effect.outcome.state === 'disconnected') this.#goodbyes += 1;
        return;
      default:
        return;
    }
  }

  #checkOffer(): void {
    const head = this.publisher.head as SessionRelease; // there is one, as it was offered
    const own = hexOf(head.hash);
    expect(this.isBehind, 'offered while behind').toBe(false);
    expect(this.#refused, 'offered what was refused for good').not.toContain(own);
    this.#offered.add(own);
  }

  /** What the machine waits for, if anything. */
  fitting(): Event | undefined {
    const { state } = this;
    switch (state.kind) {
      case 'greeting':
        return { kind: 'received', message: helloOf({ holds: this.holds, refused: [] }), transaction: 0 };
      case 'claiming':
        return { kind: 'claimed', refusal: undefined };
      case 'offered': {
        const { release } = state.offer;
        const base = state.peer.held?.hash;
        return { kind: 'received', message: { kind: 'want', hash: release.hash, base }, transaction: 0 };
      }
      case 'sending':
        if (state.window === undefined) {
          return { kind: 'transferBegun', transfer: state.transfer, isChain: state.transfer % 2 === 1 };
        }
        return { kind: 'transferSent', transfer: state.transfer };
      case 'confirming':
        return { kind: 'received', message: appliedOf(state.offer.release), transaction: 0 };
      default:
        return undefined;
    }
  }

  holds: ReturnType<typeof heldOf> | undefined;

  checkEnd(): void {
    expect(this.state.kind).toBe('closed');
    expect([...this.#waiting], 'nobody was answered').toEqual([]);
    expect(this.#isProbed).toBe(false);
    expect(this.#goodbyes).toBe(this.#hasName ? 1 : 0);
  }
}

/** A state that nobody can write to. */
function frozen<T>(value: T): T {
  if (typeof value !== 'object' || value === null || ArrayBuffer.isView(value) || Object.isFrozen(value))
    return value;
  Object.freeze(value);
  for (const part of Object.values(value)) frozen(part);
  return value;
}

describe('a session that anything happens to', () => {
  it('throws nothing, contradicts itself in nothing, and answers everybody', () => {
    const reached = new Set<string>();
    const holds = fc.option(pick.map(heldOf), { nil: undefined });
    fc.assert(
      fc.property(
        holds,
        fc.boolean(),
        fc.array(moment, { maxLength: 60 }),
        ending,
        (held, isBehind, moments, end) => {
          const watched = new Watched();
          watched.holds = held;
          for (const { isFitting, event: any, waitMs, isPublished, isSending, sentBytes } of moments) {
            watched.nowMs += waitMs;
            watched.bytesSent += sentBytes;
            if (isPublished && watched.headCount < RELEASES.length) {
              watched.headCount += 1;
              watched.feed({ kind: 'published' });
            }
            if (any.kind === 'proved') watched.isBehind = isBehind;
            watched.feed((isFitting ? watched.fitting() : undefined) ?? any, isSending);
            reached.add(watched.state.kind);
          }
          watched.feed(end);
          watched.feed(end); // and nothing of it matters any more
          watched.checkEnd();
        },
      ),
      { numRuns: often(1500, 30_000) },
    );
    for (const kind of ['idle', 'proving', 'offered', 'sending', 'confirming'])
      expect(reached).toContain(kind);
  });

  it('does something in time by its deadline alone: each is met, and none is missed twice', () => {
    fc.assert(
      fc.property(fc.array(moment, { maxLength: 30 }), (moments) => {
        const watched = new Watched();
        for (const { isFitting, event: any } of moments) {
          watched.feed((isFitting ? watched.fitting() : undefined) ?? any);
        }
        for (let rings = 0; watched.state.kind !== 'closed'; rings++) {
          expect(rings).toBeLessThan(500); // a peer that says nothing is gone in 15 s
          watched.nowMs = deadline(watched.state);
          watched.feed({ kind: 'tick' });
        }
        expect(watched.nowMs).toBeLessThanOrEqual(15_000);
        watched.checkEnd();
      }),
      { numRuns: often(300, 5000) },
    );
  });
});
