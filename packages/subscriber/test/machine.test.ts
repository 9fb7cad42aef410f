/**
 * The machine of a connection: each event in each state against the protocol's table, and long random lives
 * against a model of what is in force. Time is a number here.
 */

import {
  compareRelease,
  ErrorCode,
  HANDSHAKE_TIMEOUT_MS,
  type Message,
  type MessageOf,
  manifestFor,
  manifestHash,
  NONCES_MAX,
  ProtocolError,
  QUERIES_PER_SECOND_MAX,
  REFUSED_MAX,
  SUBSCRIBER_EVENTS,
  SUBSCRIBER_SESSION_STATES,
  SUBSCRIBER_TABLE,
  type SubscriberAction,
  type SubscriberEvent,
  type SubscriberSessionState,
  TRANSFER_WINDOW_MS,
} from '@rulecast/protocol';
import { EMPTY_RULE_SET } from '@rulecast/rules';
import { describe, expect, it } from 'vitest';
import fc from '../../../test/seeded-fast-check.ts';
import { often } from '../../../test/thorough.ts';
import type { VerifiedOffer } from '../src/apply/offer.ts';
import { judgeOffer } from '../src/peer/judge.ts';
import { deadline, start, step } from '../src/peer/machine.ts';
import {
  type Effect,
  type Event,
  type Figures,
  type Held,
  type Memory,
  NO_MEMORY,
  type Self,
  type State,
  type Step,
} from '../src/peer/states.ts';

const LINEAGE = new Uint8Array(16).fill(1);
const SELF: Self = {
  name: 'fw',
  lineage: LINEAGE,
  limits: { entries: 1000, bytes: 100_000, parts: 10 },
  capabilities: ['names'],
  staleAfterMs: 120_000,
};
const WELCOME: MessageOf<'welcome'> = {
  kind: 'welcome',
  protocol: 2,
  name: 'dom0',
  lineage: LINEAGE,
  heartbeatMs: 1000,
};
const FIGURES: Omit<Figures, 'receiveMs'> = { verifyMs: 1, compileMs: 2, flipMs: 3, generation: 4 };

/** A manifest of a test: three numbers as text. The last tells releases of one number apart. */
function bytesOf(epoch: number, version: number, variant = 0): Uint8Array {
  return new Uint8Array(Buffer.from(`${epoch} ${version} ${variant}`));
}

function offerOf(manifestBytes: Uint8Array): VerifiedOffer {
  const [epoch = 0, version = 0] = Buffer.from(manifestBytes).toString().split(' ').map(Number);
  return {
    hash: manifestHash(manifestBytes),
    manifest: manifestFor(EMPTY_RULE_SET, {
      lineage: LINEAGE,
      epoch,
      version,
      previousVersion: 0,
      createdAtMs: 1,
    }),
    manifestBytes,
    signatures: new Uint8Array(1),
  };
}

function heldOf({ hash, manifest, manifestBytes, signatures }: VerifiedOffer, sinceMs: number): Held {
  const { epoch, version } = manifest;
  return { hash, epoch, version, manifestBytes, signatures, persisted: true, sinceMs };
}

const ONE = offerOf(bytesOf(0, 1));
const TWO = offerOf(bytesOf(0, 2));
const BEGIN: MessageOf<'begin'> = { kind: 'begin', bytes: 10 };

function run(state: State, events: readonly Event[], nowMs = 0): State {
  return events.reduce((before, event) => step(before, event, nowMs).state, state);
}

const ROOT = { hash: new Uint8Array(32).fill(3), number: 4 };
const GREETING = start(SELF, NO_MEMORY, heldOf(ONE, 0), undefined, ROOT, undefined, 0).state;
const TEN: Event = { kind: 'chunk', bytes: new Uint8Array(10) };
const PATHS: Readonly<Record<SubscriberSessionState, readonly Event[]>> = {
  greeting: [],
  idle: [WELCOME],
  wanting: [WELCOME, { kind: 'offer', offer: TWO }],
  receiving: [WELCOME, { kind: 'offer', offer: TWO }, BEGIN],
  draining: [WELCOME, { kind: 'offer', offer: TWO }, { ...BEGIN, bytes: 2 ** 52 }],
  applying: [WELCOME, { kind: 'offer', offer: TWO }, BEGIN, TEN, { kind: 'end' }],
  closed: [WELCOME, { kind: 'disconnected', fault: undefined }],
};

const NACK: MessageOf<'nack'> = {
  kind: 'nack',
  hash: TWO.hash,
  code: 'not-newer',
  text: '',
  retry: 'never',
  keeps: ONE.hash,
};
const REFUSED = {
  kind: 'refused',
  blame: 'host',
  code: ErrorCode.sinkFailed,
  text: 'nft',
  part: undefined,
  entry: undefined,
} as const;
const EVENTS: Readonly<Record<SubscriberEvent, Event>> = {
  welcome: WELCOME,
  offer: { kind: 'offer', offer: TWO },
  offerActive: { kind: 'offerActive', generation: 9 },
  offerRefused: { kind: 'offerRefused', nack: NACK, isForGood: true },
  begin: BEGIN,
  chunk: { kind: 'chunk', bytes: new Uint8Array(5) },
  end: { kind: 'end' },
  abort: { kind: 'abort', code: 'superseded', text: '' },
  unsupported: { kind: 'unsupported', hash: TWO.hash, capabilities: ['names'], text: 'told' },
  root: { kind: 'root', number: 5 },
  fresh: { kind: 'fresh', ask: undefined, fault: undefined },
  query: { kind: 'query', packet: undefined, refused: undefined, from: undefined, transaction: 3 },
  prove: { kind: 'prove' },
  ping: { kind: 'ping' },
  pong: { kind: 'pong' },
  bye: { kind: 'bye', code: 'x', text: '' },
  other: { kind: 'other' },
  applied: { kind: 'applied', held: heldOf(TWO, 0), figures: FIGURES },
  refused: REFUSED,
  overBudget: { kind: 'overBudget' },
  timeout: { kind: 'timeout' },
  disconnected: { kind: 'disconnected', fault: undefined },
  stop: { kind: 'stop', reason: { code: ErrorCode.shuttingDown, text: '' } },
};

/** What is done by an action: kinds of effects, and of the message where one is sent. */
const DONE: Readonly<Record<Exclude<SubscriberAction, 'never'>, readonly string[]>> = {
  none: [],
  want: ['want'],
  applied: ['applied'],
  nack: ['nack'],
  receive: ['stage'],
  store: ['keep'],
  apply: ['apply'],
  answer: ['ask'],
  tell: [], // its people, by a complaint
  trust: ['trusted'],
  learn: [], // where it is news, see freshness.test.ts
  proof: ['proof'],
  pong: ['pong'],
  bye: ['bye'],
  close: ['close'],
};
/** Told to people, made ready, or put away beside it. */
const ASIDE = new Set(['complain', 'welcomed', 'drop']);

function doneBy(effects: readonly Effect[]): readonly string[] {
  return effects
    .map((effect) => (effect.kind === 'send' ? effect.message.kind : effect.kind))
    .filter((kind) => !ASIDE.has(kind));
}

describe('each event in each state', () => {
  const pairs = SUBSCRIBER_SESSION_STATES.flatMap((state) =>
    SUBSCRIBER_EVENTS.map((event) => [state, event] as const),
  );

  //
  it.each(pairs)('%s, %s: goes where the table says, and does what it says', (kind, event) => {
    const before = run(GREETING, PATHS[kind]);
    expect(before.kind).toBe(kind);
    const { next, action } = SUBSCRIBER_TABLE[kind][event];
    if (action === 'never') {
      expect(() => step(before, EVENTS[event], 0)).toThrow(`subscriber: ${event} while ${kind}`);
      return;
    }
    // In `receiving` no byte of ten has come: END finds a stream that is short, which is `refused`.
    const isShort = kind === 'receiving' && event === 'end';
    const { state, effects } = step(before, EVENTS[event], 0);
    expect(state.kind).toBe(isShort ? SUBSCRIBER_TABLE[next].refused.next : next);
    expect(doneBy(effects)).toEqual(isShort ? ['nack'] : DONE[action]);
  });

  it('a release in force that is not enforced is no APPLIED', () => {
    const troubled = run(GREETING, [
      ...PATHS.applying,
      { kind: 'trouble', text: 'not enforced: nobody blocks' },
    ]);
    const { state, effects } = step(troubled, EVENTS.applied, 0);
    const said = { kind: 'nack', hash: TWO.hash, code: 'sink-failed', retry: 'later', keeps: undefined };
    expect(effects).toMatchObject([{ kind: 'complain' }, { kind: 'send', message: said }]);
    const enforced = run(state, [{ kind: 'trouble', text: undefined }]);
    expect(step(enforced, { kind: 'ping' }, 0).effects).toMatchObject([
      { kind: 'send', message: { kind: 'pong', hash: TWO.hash } },
    ]);
  });

  it('END of all that was announced is applied', () => {
    const { state, effects } = step(run(GREETING, [...PATHS.receiving, TEN]), { kind: 'end' }, 0);
    expect(state.kind).toBe('applying');
    expect(effects).toEqual([{ kind: 'apply', offer: TWO, base: ONE.hash }]);
  });
});

const NO_ANSWER = { kind: 'none', text: 'the rules are not to be had' } as const;

/** About a packet, or the counters. */
function question(transaction: number): Event {
  const packet = { direction: 'egress', dst: new Uint8Array(4), proto: 6 } as const;
  return {
    kind: 'query',
    packet: transaction % 2 ? packet : undefined,
    refused: undefined,
    from: undefined,
    transaction,
  };
}

it('questions of any kind wait within a bound, and make room once they are answered or fail', () => {
  let state: State = run(GREETING, PATHS.idle);
  const ask = (transaction: number): string | undefined => {
    const next = step(state, question(transaction), transaction * 1000);
    state = next.state;
    return next.effects[0]?.kind;
  };
  for (let at = 0; at < QUERIES_PER_SECOND_MAX; at++) expect(ask(at)).toBe('ask');
  expect([ask(20), ask(21)]).toEqual(['send', 'send']);
  state = step(state, { kind: 'answered', transaction: 1, answer: NO_ANSWER }, 0).state;
  expect([ask(23), ask(24)]).toEqual(['ask', 'send']);
});

describe('a state has its own fields and no others:', () => {
  const open = ['floor', 'held', 'kind', 'known', 'memory', 'self', 'trouble'];
  const linked = [...open, 'askedCount', 'figures', 'pulse', 'queries', 'refusedPages'];
  const fields: Readonly<Record<SubscriberSessionState, readonly string[]>> = {
    greeting: [...open, 'untilMs'],
    idle: linked,
    wanting: [...linked, 'want'],
    receiving: [...linked, 'transfer', 'window'],
    draining: [...linked, 'window'],
    applying: [...linked, 'isChain', 'offer', 'receiveMs'],
    closed: ['applying', 'kind', 'memory', 'retryAfterMs', 'welcomed'],
  };

  it.each(SUBSCRIBER_SESSION_STATES)('%s, and all it leads to', (kind) => {
    for (const event of SUBSCRIBER_EVENTS) {
      if (SUBSCRIBER_TABLE[kind][event].action === 'never') continue;
      const { state } = step(run(GREETING, PATHS[kind]), EVENTS[event], 0);
      expect(Object.keys(state).sort()).toEqual([...fields[state.kind]].sort());
    }
  });
});

describe('a claim', () => {
  const of = ({ hash, epoch, version }: Held) => ({ hash, epoch, version });
  const [older, newer] = [heldOf(ONE, 0), heldOf(TWO, 0)];

  it.each([
    ['what is held, which is the floor', newer, newer, { holds: of(newer), floor: undefined }],
    ['the floor, whose release is lost', older, newer, { holds: of(older), floor: of(newer) }],
    ['the floor alone', undefined, newer, { holds: undefined, floor: of(newer) }],
    ['nothing', undefined, undefined, { holds: undefined, floor: undefined }],
  ] as const)('is %s, and can be proved', (_, held, floor, said) => {
    const { state, effects } = start(SELF, NO_MEMORY, held, floor, ROOT, undefined, 0);
    expect(effects).toMatchObject([{ message: { kind: 'hello', ...said } }]);
    const proof = step(step(state, WELCOME, 0).state, { kind: 'prove' }, 0).effects;
    const { signatures, manifestBytes: content } = newer;
    expect(proof).toEqual(
      floor === undefined
        ? []
        : [
            expect.objectContaining({ message: { kind: 'proof', signatures, content } }),
            expect.objectContaining({ kind: 'complain', code: ErrorCode.publisherBehind }),
          ],
    );
  });
});

describe('an end', () => {
  const welcomed = (event: Event) => {
    const { state } = step(run(GREETING, [WELCOME]), event, 0);
    return state.kind === 'closed' && state.welcomed;
  };

  it('has the waits begin anew where the publisher was there, but for what failed here', () => {
    expect(welcomed({ kind: 'disconnected', fault: undefined })).toBe(true);
    const reason = { code: ErrorCode.storageFailed, text: 'cannot keep a root' };
    expect(welcomed({ kind: 'stop', reason })).toBe(false);
  });
});

describe('a deadline', () => {
  it.each([
    ['greeting', HANDSHAKE_TIMEOUT_MS],
    ['receiving', TRANSFER_WINDOW_MS],
    ['draining', TRANSFER_WINDOW_MS],
  ] as const)('of %s ends the session, and not before', (kind, afterMs) => {
    const slow = { ...WELCOME, heartbeatMs: 1_000_000 };
    const [, ...rest] = PATHS[kind];
    const state = run(GREETING, PATHS[kind].length === 0 ? [] : [slow, ...rest]);
    expect(deadline(state)).toBe(afterMs);
    expect(step(state, { kind: 'tick' }, afterMs - 1)).toEqual({ state, effects: [] });
    const end = step(state, { kind: 'tick' }, afterMs);
    expect(end.state.kind).toBe('closed');
    expect(end.effects).toContainEqual({ kind: 'bye', code: 'timeout', text: `timeout while ${kind}` });
  });

  //
  it('of a heartbeat sends PING; three without a word end the session', () => {
    let state = run(GREETING, PATHS.applying);
    const sent: string[][] = [];
    while (state.kind !== 'closed') {
      const nowMs = deadline(state);
      const next = step(state, { kind: 'tick' }, nowMs);
      state = next.state;
      sent.push([String(nowMs), ...doneBy(next.effects)]);
    }
    expect(sent).toEqual([
      ['1000', 'ping'],
      ['2000', 'ping'],
      ['3000', 'ping'],
      ['3000', 'bye'],
    ]);
  });
});

describe('the end of a connection', () => {
  it('leaves a release to be applied, and what refuses it is told', () => {
    const cut = step(run(GREETING, PATHS.applying), { kind: 'disconnected', fault: undefined }, 0);
    expect(cut.effects).toEqual([{ kind: 'close' }]);
    const { code, text } = REFUSED;
    expect(step(cut.state, REFUSED, 0).effects).toEqual([{ kind: 'complain', code, text }]);
  });
});

// ── Random lives ───────────────────────────────────────────────────────────────────────────────────────────

/** What may come next; what would end every life at once is left out. */
type Move =
  | { readonly kind: 'offer'; readonly epochs: number; readonly versions: number; readonly variant: number }
  | { readonly kind: 'badOffer' | 'offerHeld' }
  | { readonly kind: 'begin'; readonly bytes: number; readonly isChain: boolean; readonly isWrong: boolean }
  | { readonly kind: 'chunk'; readonly bytes: number | 'rest' }
  | {
      readonly kind: 'outcome';
      readonly of: 'applied' | 'signed' | 'stream' | 'host' | 'nobody' | 'overBudget';
    }
  | {
      readonly kind:
        | 'end'
        | 'abort'
        | 'unsupported'
        | 'root'
        | 'prove'
        | 'ping'
        | 'pong'
        | 'query'
        | 'answer'
        | 'noRoom';
    }
  | { readonly kind: 'fresh'; readonly at: number; readonly versions: number | undefined }
  | { readonly kind: 'wait'; readonly ms: number }
  | { readonly kind: 'trouble'; readonly isThere: boolean }
  | { readonly kind: 'disconnect' | 'stop' | 'bye' | 'other' };

const MOVE: fc.Arbitrary<Move> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant('offer' as const),
      epochs: fc.constantFrom(0, 0, 0, -1, 1),
      versions: fc.constantFrom(-1, 0, 1, 1, 2),
      variant: fc.nat(1),
    }),
  },
  {
    weight: 5,
    arbitrary: fc.record({
      kind: fc.constant('begin' as const),
      bytes: fc.constantFrom(0, 3, 3, 100_000, 200_000),
      isChain: fc.boolean(),
      isWrong: fc.constantFrom(false, false, false, true),
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant('chunk' as const),
      bytes: fc.constantFrom<(number | 'rest')[]>(1, 65_000, 'rest', 'rest'),
    }),
  },
  {
    weight: 5,
    arbitrary: fc.record({
      kind: fc.constant('outcome' as const),
      of: fc.constantFrom('applied', 'applied', 'signed', 'stream', 'host', 'nobody', 'overBudget'),
    }),
  },
  {
    weight: 8,
    arbitrary: fc.record({
      kind: fc.constantFrom(
        'end',
        'abort',
        'prove',
        'ping',
        'pong',
        'query',
        'answer',
        'noRoom',
        'offerHeld',
      ),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant('wait' as const),
      ms: fc.constantFrom(0, 1, 100, 900, 900, 4000),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant('fresh' as const),
      at: fc.nat(NONCES_MAX),
      versions: fc.constantFrom(undefined, -1, 0, 0, 1, 2),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('unsupported' as const) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('root' as const) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('trouble' as const), isThere: fc.boolean() }) },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constantFrom('disconnect', 'stop', 'bye', 'other', 'badOffer') }),
  },
) as fc.Arbitrary<Move>;

/** A subscriber around the machine, as session.ts and the activator are, with a memory in place of a disk. */
class World {
  nowMs = 0;
  held: Held | undefined = heldOf(ONE, 0);
  trouble: string | undefined;
  state: State;
  /** Room made, and what of it is filled. */
  staged: { readonly bytes: number; filled: number } | undefined;
  applying: VerifiedOffer | undefined;
  asked: number[] = [];
  nonces = 0;
  offered = 0;
  answered = 0;
  /** What was wanted and acted on, each to be answered once more. */
  begun = 0;
  reached = new Set<string>();

  constructor() {
    this.state = this.#connected(NO_MEMORY);
  }

  #connected(memory: Memory): State {
    this.staged = undefined;
    this.asked = [];
    this.offered = 0;
    this.answered = 0;
    this.begun = 0;
    return this.#checked(start(SELF, memory, this.held, undefined, ROOT, this.trouble, this.nowMs));
  }

  move(move: Move): void {
    if (move.kind === 'wait') return this.#pass(move.ms);
    const event = this.#eventOf(move);
    if (event !== undefined) this.take(event);
  }

  take(event: Event): void {
    this.reached.add(`${this.state.kind} ${event.kind}`);
    const { kind } = this.state;
    if (event.kind.startsWith('offer')) this.offered += 1;
    if (kind === 'wanting' && (event.kind === 'begin' || event.kind === 'abort')) this.begun += 1;
    if (event.kind === 'applied') this.held = event.held;
    const next = step(this.state, event, this.nowMs);
    must(
      next.state.kind === 'closed' || next.state.known.asks.length <= NONCES_MAX,
      'nonces without a bound',
    );
    const isTold = event.kind === 'refused' && next.effects.every((effect) => effect.kind === 'complain');
    if (kind === 'closed') must(isTold || next.effects.length === 0, 'something is done after the end');
    this.state = this.#checked(next);
  }

  #pass(ms: number): void {
    const untilMs = this.nowMs + ms;
    for (let ticks = 0; deadline(this.state) <= untilMs; ticks++) {
      must(ticks < 20, 'a deadline that is not met');
      this.nowMs = Math.max(this.nowMs, deadline(this.state));
      this.take({ kind: 'tick', nonce: new Uint8Array(16).fill(this.nonces++) });
    }
    this.nowMs = untilMs;
  }

  /** The next connection, once what was being applied is settled. */
  reconnect(): void {
    if (this.state.kind !== 'closed' || this.applying !== undefined) return;
    this.state = this.#connected(this.state.memory);
    this.take(WELCOME);
  }

  #eventOf(move: Exclude<Move, { readonly kind: 'wait' }>): Event | undefined {
    const { state } = this;
    switch (move.kind) {
      case 'badOffer':
        return this.#judged(new Uint8Array([255]));
      case 'offerHeld':
        return this.held && this.#judged(this.held.manifestBytes);
      case 'offer': {
        const epoch = Math.max(0, (this.held?.epoch ?? 0) + move.epochs);
        return this.#judged(
          bytesOf(epoch, Math.max(0, (this.held?.version ?? 1) + move.versions), move.variant),
        );
      }
      case 'fresh': {
        if (state.kind === 'closed' || state.kind === 'greeting') return undefined;
        const ask = state.known.asks[move.at];
        if (ask === undefined || move.versions === undefined) {
          const fault = { code: ErrorCode.notNewer, text: 'older' };
          return { kind: 'fresh', ask, fault: ask && fault };
        }
        const { epoch = 0, version = 0 } = this.held ?? {};
        const number = { epoch, version: Math.max(0, version + move.versions) };
        const { hash } = offerOf(bytesOf(number.epoch, number.version));
        return { kind: 'fresh', ask, newest: { ...number, hash, asOfMs: ask.atMs, had: ask.had } };
      }
      case 'begin': {
        if (state.kind !== 'wanting') return undefined;
        const isChain = move.isChain && state.want.base !== undefined;
        const snapshot = isChain ? undefined : true;
        return { kind: 'begin', bytes: move.isWrong ? 2 ** 52 : move.bytes, snapshot };
      }
      case 'chunk':
        if (state.kind !== 'receiving' && state.kind !== 'draining') return undefined;
        return { kind: 'chunk', bytes: new Uint8Array(move.bytes === 'rest' ? this.#rest() : move.bytes) };
      case 'end':
        if (state.kind !== 'receiving' && state.kind !== 'draining') return undefined;
        return { kind: 'end' };
      case 'abort':
        return ['wanting', 'receiving', 'draining'].includes(state.kind)
          ? { kind: 'abort', code: 'superseded', text: '' }
          : undefined;
      case 'unsupported':
        return state.kind === 'greeting' ? undefined : EVENTS.unsupported;
      case 'root':
        return state.kind === 'idle' ? EVENTS.root : undefined;
      case 'noRoom':
        return state.kind === 'receiving' ? REFUSED : undefined;
      case 'outcome':
        return this.#outcome(move.of);
      case 'query':
        return question(this.asked.length);
      case 'answer': {
        const transaction = this.asked.shift();
        return transaction === undefined ? undefined : { kind: 'answered', transaction, answer: NO_ANSWER };
      }
      case 'trouble':
        this.trouble = move.isThere ? 'not enforced' : undefined;
        return { kind: 'trouble', text: this.trouble };
      case 'prove':
        return state.kind === 'idle' ? { kind: 'prove' } : undefined;
      case 'disconnect':
        return { kind: 'disconnected', fault: undefined };
      case 'stop':
        return { kind: 'stop', reason: { code: ErrorCode.shuttingDown, text: '' } };
      case 'bye':
        return { kind: 'bye', code: 'x', text: '', retryAfterMs: 5 };
      default:
        return { kind: move.kind };
    }
  }

  /** What is still to come, as far as a chunk goes; at least a byte. */
  #rest(): number {
    const { bytes, filled } = this.staged ?? { bytes: 1, filled: 0 };
    return Math.min(65_512, Math.max(1, bytes - filled));
  }

  /** The floor of a subscriber, in place of a signature. */
  #judged(manifest: Uint8Array): Event | undefined {
    if (this.state.kind !== 'idle' && this.state.kind !== 'wanting') return undefined;
    const verifyOffer = (bytes: Uint8Array): VerifiedOffer => {
      if (bytes[0] === 255) throw new ProtocolError(ErrorCode.badSignature, 'signed by nobody');
      const offer = offerOf(bytes);
      if (this.held === undefined || compareRelease(offer.manifest, this.held) > 0) return offer;
      throw new ProtocolError(ErrorCode.notNewer, 'is not newer');
    };
    const message = { kind: 'offer', content: manifest, signatures: new Uint8Array(1) } as const;
    return judgeOffer(
      message,
      this.state,
      { verifyOffer, floor: () => this.held, generation: () => 1 },
      this.nowMs,
    );
  }

  #outcome(of: Extract<Move, { readonly kind: 'outcome' }>['of']): Event | undefined {
    const { applying, state } = this;
    if (applying === undefined) return undefined;
    const isChain = state.kind === 'applying' && state.isChain;
    if (of === 'overBudget' && !isChain) return undefined;
    this.applying = undefined;
    if (of === 'applied') return { kind: 'applied', held: heldOf(applying, this.nowMs), figures: FIGURES };
    if (of === 'overBudget') return { kind: 'overBudget' };
    return { ...REFUSED, blame: of === 'nobody' ? undefined : of };
  }

  // ── What must hold after each step ───────────────────────────────────────────────────────────────────────

  #checked({ state, effects }: Step): State {
    for (const effect of effects) this.#check(effect, state);
    if (state.kind === 'closed') return state;
    const { memory } = state;
    must(state.held === this.held, 'what is held is not what is in force');
    must(memory.refusals.length <= REFUSED_MAX, 'more refusals than a HELLO names');
    must(memory.patience.untilMs - this.nowMs <= 60_000, 'a pause of more than a minute');
    if (state.kind === 'greeting') return state;
    must(deadline(state) <= this.nowMs + WELCOME.heartbeatMs, 'no deadline within a heartbeat');
    must(state.askedCount === this.asked.length, 'questions are not counted');
    must(state.askedCount <= QUERIES_PER_SECOND_MAX, 'too many questions at once');
    const isOwed = state.kind === 'receiving' || state.kind === 'applying';
    must(this.answered === this.offered + this.begun - (isOwed ? 1 : 0), 'an answer too many or too few');
    must((this.applying !== undefined) === (state.kind === 'applying'), 'what is applied is not waited for');
    if (state.kind !== 'receiving') return state;
    const { bytes, receivedBytes } = state.transfer;
    must(this.staged?.bytes === bytes && this.staged.filled === receivedBytes, 'other bytes than are kept');
    must(bytes <= SELF.limits.bytes, 'room for more than is taken here');
    return state;
  }

  #check(effect: Effect, state: State): void {
    switch (effect.kind) {
      case 'stage':
        this.staged = { bytes: effect.bytes, filled: 0 };
        return;
      case 'drop':
        this.staged = undefined;
        return;
      case 'keep':
        if (this.staged === undefined) throw new Error('bytes are kept for which no room was made');
        this.staged.filled += effect.bytes.length;
        return must(this.staged.filled <= this.staged.bytes, 'bytes are kept beyond the room for them');
      case 'apply':
        must(
          this.staged !== undefined && this.staged.filled === this.staged.bytes,
          'a stream that is not whole',
        );
        must(this.held === undefined || compareRelease(effect.offer.manifest, this.held) > 0, 'not newer');
        this.applying = effect.offer;
        this.staged = undefined;
        return;
      case 'ask':
        this.asked.push(effect.transaction);
        return;
      case 'bye':
      case 'close':
        return must(state.kind === 'closed', `${effect.kind}, and it goes on`);
      case 'send':
        return this.#checkClaims(effect.message);
      case 'learned':
        must(state.kind !== 'closed' && state.known.newest === effect.newest, 'what is not the newest');
        return must(
          !effect.isInForce ||
            effect.newest.version <= (this.held?.version ?? 0) ||
            this.isEpochAbove(effect),
          'what is in force is older than what is newest',
        );
      case 'welcomed':
      case 'trusted':
      case 'complain':
        return; // nothing that could be wrong
    }
  }

  isEpochAbove({ newest }: Extract<Effect, { readonly kind: 'learned' }>): boolean {
    return newest.epoch < (this.held?.epoch ?? 0);
  }

  /** Nothing is claimed but what is so. */
  #checkClaims(message: Message): void {
    const { held } = this;
    switch (message.kind) {
      case 'hello':
        return must(isSame(message.holds?.hash, held?.hash), 'HELLO');
      case 'ping':
      case 'pong':
        must(isSame(message.hash, this.trouble === undefined ? held?.hash : undefined), message.kind);
        return must((message.ageMs ?? 0) >= 0, 'an age below 0');
      case 'applied':
        must(isSame(message.hash, held?.hash), 'APPLIED');
        must(this.trouble === undefined, 'APPLIED of what is not enforced');
        must(message.epoch === held?.epoch && message.version === held.version, 'APPLIED of another number');
        this.answered += 1;
        return;
      case 'want':
        must(message.base === undefined || isSame(message.base, held?.hash), 'a base that is not held');
        this.answered += 1;
        return;
      case 'nack':
        // One that was said before is said again as it was.
        must(
          message.keeps === undefined || message.retry === 'never' || isSame(message.keeps, held?.hash),
          'NACK',
        );
        this.answered += 1;
        return;
      case 'answer':
        return must(!message.ok || isSame(message.hash, held?.hash), 'ANSWER');
      case 'proof':
        return must(isSame(message.content, held?.manifestBytes), 'PROOF');
      default:
        throw new Error(`a subscriber never sends ${message.kind}`);
    }
  }
}

/** As `expect`, which is too slow for so many. */
function must(is: boolean, what: string): void {
  if (!is) throw new Error(what);
}

function isSame(a: Uint8Array | undefined, b: Uint8Array | undefined): boolean {
  return a === undefined || b === undefined ? a === b : Buffer.compare(a, b) === 0;
}

describe('whatever comes, for however long', () => {
  //
  it('throws nothing, meets every deadline, keeps its bounds, never goes down, and claims what is so', () => {
    const reached = new Set<string>();
    fc.assert(
      fc.property(fc.array(MOVE, { minLength: 60, maxLength: 160 }), (moves) => {
        const world = new World();
        world.take(WELCOME);
        for (const move of moves) {
          const before = world.held;
          world.reconnect();
          world.move(move);
          must(
            before === undefined || (world.held !== undefined && compareRelease(world.held, before) >= 0),
            'it went down',
          );
        }
        for (const pair of world.reached) reached.add(pair);
      }),
      { numRuns: often(3000, 20_000) },
    );
    const met = SUBSCRIBER_SESSION_STATES.filter((kind) => kind !== 'greeting').flatMap((kind) =>
      SUBSCRIBER_EVENTS.filter((event) => {
        const { action, code } = SUBSCRIBER_TABLE[kind][event];
        return kind !== 'closed' && action !== 'never' && code === undefined;
      }).map((event) => `${kind} ${event}`),
    );
    expect(met.filter((pair) => !reached.has(pair))).toEqual([]);
  });
});
