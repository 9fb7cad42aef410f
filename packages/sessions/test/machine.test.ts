/**
 * Every state of a session's machine with every event of WIRE.md's table: the machine goes where the
 * table says, and does what that says.
 */

import {
  ANSWER_TIMEOUT_MS,
  type Message,
  PUBLISHER_EVENTS,
  PUBLISHER_STATES,
  PUBLISHER_TABLE,
  type PublisherAction,
  type PublisherEvent,
  type PublisherState,
  SILENCE_TIMEOUT_MS,
  TRANSFER_WINDOW_MS,
} from '@rulecast/protocol';
import { describe, expect, it } from 'vitest';
import { deadline, start, step } from '../src/session/machine.ts';
import { WAITING_MAX } from '../src/session/questions.ts';
import type { Effect, EffectOf, Event, Now, State, Step } from '../src/session/state.ts';
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

const FIRST = releaseOf(1, 1);
const SECOND = releaseOf(1, 2);
const THIRD = releaseOf(1, 3);
const ABOVE = releaseOf(1, 9);
const NOTHING = publisherWith([]);
const ONE = publisherWith([FIRST]);
const TWO = publisherWith([FIRST, SECOND]);
const THREE = publisherWith([FIRST, SECOND, THIRD]);

const received = (message: Message, transaction = 0): Event => ({ kind: 'received', message, transaction });
const CLAIMED: Event = { kind: 'claimed', refusal: undefined };

/** Leads a machine through events, each at its moment. */
function led(from: State, ...events: readonly (readonly [Event, Now])[]): State {
  return events.reduce((state, [event, now]) => step(state, event, now).state, from);
}

const AT = 100;
const greeting = start(0);
const claiming = led(greeting, [received(helloOf()), nowAt(AT, NOTHING)]);
const idle = led(claiming, [CLAIMED, nowAt(AT, NOTHING)]);
const ahead = led(greeting, [received(helloOf({ holds: heldOf(ABOVE) })), nowAt(AT, ONE)]);
const proving = led(ahead, [CLAIMED, nowAt(AT, ONE)]);
const offeredOnce = led(idle, [{ kind: 'published' }, nowAt(AT, ONE)]);
const offered = led(offeredOnce, [{ kind: 'published' }, nowAt(AT, TWO)]);
const wanted: Message = { kind: 'want', hash: SECOND.hash, base: FIRST.hash };
const sending = led(
  offered,
  [received(wanted), nowAt(AT, TWO)],
  [{ kind: 'transferBegun', transfer: 1, isChain: true }, nowAt(AT, TWO)],
);
const confirming = led(sending, [{ kind: 'transferSent', transfer: 1 }, nowAt(AT, TWO)]);
const closed = led(idle, [{ kind: 'disconnected' }, nowAt(AT, NOTHING)]);

const STATES: Readonly<Record<PublisherState, State>> = {
  greeting,
  idle,
  proving,
  offered,
  sending,
  confirming,
  closed,
};

/** What is not what it is called in such a state. */
const UNLIKE: Readonly<Partial<Record<PublisherEvent, readonly PublisherState[]>>> = {
  // There is no chain of which a snapshot could be wanted.
  wantSnapshot: ['greeting', 'idle', 'proving', 'offered'],
  // The machine raises it by itself, after WELCOME.
  claimAhead: ['greeting', 'proving', 'offered', 'sending', 'confirming', 'closed'],
};

const other = STRANGE_MESSAGES.map((message) => received(message));
const stale = releaseOf(3, 3);
/** Events of the table, as they come in a state. */
function eventsOf(event: PublisherEvent, state: PublisherState): readonly Event[] {
  const latest = state === 'greeting' || state === 'idle' ? stale : SECOND;
  const older = state === 'offered' ? FIRST : stale;
  switch (event) {
    case 'hello':
      return [received(helloOf())];
    case 'want':
      return [received({ kind: 'want', hash: latest.hash, base: FIRST.hash })];
    case 'wantSnapshot':
      return [received({ kind: 'want', hash: latest.hash, base: undefined })];
    case 'wantOther':
      return [received({ kind: 'want', hash: state === 'proving' ? ABOVE.hash : older.hash })];
    case 'applied':
      return [received(appliedOf(latest))];
    case 'appliedOther':
      return [received(appliedOf(older))];
    case 'nack':
      return (['never', 'later'] as const).map((retry) => received(nackOf(latest.hash, { retry })));
    case 'nackOther':
      return [received(nackOf(state === 'proving' ? ABOVE.hash : older.hash))];
    case 'proof':
      return [received({ kind: 'proof', content: ABOVE.manifestBytes, signatures: ABOVE.signatures })];
    case 'answer':
      return [received(ANSWER, 1)];
    case 'ping':
      return [received({ kind: 'ping', hash: undefined, ageMs: undefined })];
    case 'pong':
      return [received({ kind: 'pong', hash: undefined, ageMs: undefined })];
    case 'bye':
      return [received({ kind: 'bye', code: 'shutting-down', text: '', retryAfterMs: undefined })];
    case 'other':
      return other;
    case 'headChanged':
      return [{ kind: 'published' }];
    case 'transferSent':
    case 'transferFailed':
      return [{ kind: event, transfer: state === 'sending' ? 1 : 0 }];
    case 'timeout':
      return [{ kind: 'tick' }];
    case 'disconnected':
      return [{ kind: 'disconnected' }];
    case 'stop':
      return [{ kind: 'stopped', refusal: { code: 'shutting-down', text: 'the publisher stops' } }];
    case 'claimAhead':
      return [CLAIMED];
  }
}

/** At which an event comes: with the head that was offered, but where there is to be another. */
function momentOf(event: PublisherEvent, state: PublisherState): Now {
  if (event === 'timeout') return nowAt(AT + SILENCE_TIMEOUT_MS, TWO);
  const isUnoffered = ['greeting', 'idle', 'proving'].includes(state);
  if (event === 'headChanged') return nowAt(AT, isUnoffered ? ONE : THREE);
  return nowAt(AT, isUnoffered ? publisherWith([]) : TWO);
}

function actionOf(effects: readonly Effect[], before: PublisherState): PublisherAction {
  const sent = new Set(effects.flatMap((effect) => (effect.kind === 'send' ? [effect.message.kind] : [])));
  const kinds = new Set(effects.map(({ kind }) => kind));
  const notes = Object.assign(
    {},
    ...effects.flatMap((effect) => (effect.kind === 'note' ? [effect.note] : [])),
  );
  if (kinds.has('bye')) return 'bye';
  if (kinds.has('close')) return 'close';
  if (kinds.has('transfer')) return 'transfer';
  if (kinds.has('answered')) return 'answer';
  if (kinds.has('prove')) return 'judge';
  if (notes.diverged === true) return 'diverge';
  for (const kind of ['welcome', 'prove', 'offer', 'abort', 'pong'] as const) if (sent.has(kind)) return kind;
  return notes.receiving === false && before !== 'closed' ? 'record' : 'none';
}

function codeOf(effects: readonly Effect[]): string | undefined {
  return effects.find((effect): effect is EffectOf<'bye'> => effect.kind === 'bye')?.code;
}

const PAIRS = PUBLISHER_STATES.flatMap((state) => PUBLISHER_EVENTS.map((event) => [state, event] as const));

// P-10
describe('a machine', () => {
  it('has a sample of each state', () => {
    for (const name of PUBLISHER_STATES) expect(STATES[name].kind).toBe(name);
    expect(claiming.kind).toBe('claiming');
  });

  it.each(PAIRS.filter(([state, event]) => UNLIKE[event]?.includes(state) !== true))(
    'in %s does at %s what the table says',
    (name, event) => {
      const row = PUBLISHER_TABLE[name][event];
      if (event === 'claimAhead') {
        const { state, effects } = step(ahead, CLAIMED, nowAt(AT, ONE)); // it comes with WELCOME
        expect(state.kind).toBe(row.next);
        expect(effects).toContainEqual({ kind: 'send', message: { kind: 'prove' } });
        return;
      }
      for (const one of eventsOf(event, name)) {
        const now = momentOf(event, name);
        const asked: Event = { kind: 'asked', ticket: 1, about: { question: 'stats' } };
        const sample = name === 'offered' && event === 'headChanged' ? offeredOnce : STATES[name]; // two wait else
        const before = event === 'answer' ? step(sample, asked, now).state : sample;
        const { state, effects } = welcomedAtOnce(step(before, one, now), now);
        const isNothing = row.action === 'never'; // what is not its own brings about nothing
        expect(state.kind).toBe(isNothing ? name : row.next);
        expect(actionOf(effects, name)).toBe(isNothing ? 'none' : row.action);
        if (row.action === 'bye') expect(codeOf(effects)).toBe(row.code ?? 'shutting-down');
      }
    },
  );

  /** HELLO and what the publisher says to the name are one event of the table. */
  function welcomedAtOnce(one: Step, now: Now): Step {
    return one.state.kind === 'claiming' ? step(one.state, CLAIMED, now) : one;
  }

  it.each(PUBLISHER_EVENTS.filter((event) => event !== 'hello' && event !== 'claimAhead'))(
    'that claims a name does at %s what it does while greeting',
    (event) => {
      const row = PUBLISHER_TABLE.greeting[event];
      for (const one of eventsOf(event, 'greeting')) {
        const { state, effects } = step(claiming, one, momentOf(event, 'greeting'));
        const isNothing = row.action === 'never' || row.action === 'none';
        expect(state.kind).toBe(isNothing ? 'claiming' : 'closed');
        if (row.action === 'bye') expect(codeOf(effects)).toBe(row.code ?? 'shutting-down');
      }
    },
  );

  it.each([
    ['which is above the head', releaseOf(1, 3)],
    ['which has the number of the head', { ...releaseOf(1, 1), hash: UNKNOWN_HASH }],
  ])('asks for the proof of a floor %s, whatever is held', (_, floor) => {
    for (const holds of [undefined, heldOf(FIRST)]) {
      const hello = helloOf({ holds, floor: heldOf(floor) });
      const { state } = step(greeting, received(hello), nowAt(AT, ONE));
      expect(step(state, CLAIMED, nowAt(AT, ONE)).state).toMatchObject({
        kind: 'proving',
        claim: heldOf(floor),
      });
    }
  });

  it('offers the head to a floor that is here, and believes no other number of it', () => {
    const said = (version: number): Step =>
      step(greeting, received(helloOf({ floor: { ...heldOf(FIRST), version } })), nowAt(AT, ONE));
    expect(step(said(1).state, CLAIMED, nowAt(AT, ONE)).state.kind).toBe('offered');
    expect(codeOf(said(9).effects)).toBe('bad-message');
  });

  it('that claims a name takes no second HELLO, and ends where the name is not its own', () => {
    const again = step(claiming, received(helloOf({ name: 'other' })), nowAt(AT, NOTHING));
    expect(codeOf(again.effects)).toBe('unexpected-message');
    const refusal = { code: 'name-in-use', text: 'fw answers', retryAfterMs: 5 } as const;
    const refused = step(claiming, { kind: 'claimed', refusal }, nowAt(AT, NOTHING));
    expect(refused.effects).toMatchObject([{ kind: 'log' }, { kind: 'bye', ...refusal }]);
  });
});

describe('the deadline of', () => {
  it.each<[string, State, number, number]>([
    ['a greeting: 10 s', greeting, 10_000, 10_000],
    ['a claim: what is left of the greeting', claiming, 10_000, 10_000],
    ['a proof: 5 s', proving, AT + ANSWER_TIMEOUT_MS, AT + ANSWER_TIMEOUT_MS],
    ['a transfer of which nothing is taken: 15 s', sending, AT + TRANSFER_WINDOW_MS, AT + TRANSFER_WINDOW_MS],
    ['silence: 15 s', idle, AT + SILENCE_TIMEOUT_MS, AT + SILENCE_TIMEOUT_MS],
  ])('%s', (_, state, lastMs, endMs) => {
    const hears = received({ kind: 'pong', hash: undefined, ageMs: undefined });
    const isLeading = state !== greeting && state !== claiming;
    let now = state;
    for (let ms = AT; ms < lastMs; ms = Math.min(deadline(now), lastMs - 1) === ms ? lastMs : deadline(now)) {
      expect(now.kind).toBe(state.kind);
      if (isLeading && state !== idle) now = led(now, [hears, nowAt(ms, TWO)]);
      else now = led(now, [{ kind: 'tick' }, nowAt(ms, NOTHING)]);
      if (deadline(now) >= endMs) break;
    }
    const view = isLeading && state !== idle ? TWO : NOTHING;
    expect(step(now, { kind: 'tick' }, nowAt(endMs - 1, view)).state.kind).toBe(state.kind);
    expect(codeOf(step(now, { kind: 'tick' }, nowAt(endMs, view)).effects)).toBe('timeout');
  });

  // They had a minute: what a busy machine took longer for was refused, and in force a moment later.
  it.each([
    ['an OFFER', offered],
    ['END', confirming],
  ])('%s without an answer is that of silence: it may take as long as PONG comes', (_, state) => {
    const hears = received({ kind: 'pong', hash: undefined, ageMs: undefined });
    let now: State = state;
    for (let ms = AT; ms < AT + 3_600_000; ms += SILENCE_TIMEOUT_MS - 1)
      now = led(now, [{ kind: 'tick' }, nowAt(ms, TWO)], [hears, nowAt(ms, TWO)]);
    expect(now.kind).toBe(state.kind);
    const end = step(now, { kind: 'tick' }, nowAt(AT + 3_600_000 + SILENCE_TIMEOUT_MS, TWO));
    expect(codeOf(end.effects)).toBe('timeout');
  });

  it('nothing is none', () => {
    expect(deadline(closed)).toBe(Number.POSITIVE_INFINITY);
  });
});

describe('a question', () => {
  const asked = (ticket: number): Event => ({ kind: 'asked', ticket, about: { question: 'stats' } });

  it('beyond those that may wait is refused, and all that wait are told at the end', () => {
    let state = idle;
    const effects: Effect[] = [];
    for (let ticket = 1; ticket <= 10 + WAITING_MAX + 1; ticket++) {
      const next = step(state, asked(ticket), nowAt(AT, NOTHING));
      state = next.state;
      effects.push(...next.effects);
    }
    expect(effects.filter(({ kind }) => kind === 'query')).toHaveLength(10);
    expect(effects.at(-1)).toMatchObject({ kind: 'unanswered', error: { code: 'rate-limited' } });
    const end = step(state, { kind: 'disconnected' }, nowAt(AT, NOTHING)).effects;
    const told = end.filter(({ kind }) => kind === 'unanswered');
    expect(told).toHaveLength(10 + WAITING_MAX);
    for (const one of told) expect(one).toMatchObject({ error: { code: 'disconnected' } });
  });

  it('to a session without a name, or with none any more, is refused at once', () => {
    for (const state of [greeting, claiming, closed]) {
      expect(step(state, asked(3), nowAt(AT, NOTHING)).effects).toMatchObject([
        { kind: 'unanswered', ticket: 3, error: { code: 'not-ready' } },
      ]);
    }
  });
});

describe('a probe', () => {
  it('is answered at once before WELCOME, and after the end', () => {
    for (const state of [greeting, claiming]) {
      expect(step(state, { kind: 'probed' }, nowAt(AT, NOTHING)).effects).toEqual([
        { kind: 'alive', isAlive: true },
      ]);
    }
    expect(step(closed, { kind: 'probed' }, nowAt(AT, NOTHING)).effects).toEqual([
      { kind: 'alive', isAlive: false },
    ]);
  });

  it('costs one PING however many ask, and ends with PONG, in 2 s, or with the session', () => {
    const once = step(idle, { kind: 'probed' }, nowAt(AT, NOTHING));
    expect(once.effects).toMatchObject([{ kind: 'send', message: { kind: 'ping' } }]);
    expect(step(once.state, { kind: 'probed' }, nowAt(AT, NOTHING)).effects).toEqual([]);
    const ends: [Event, number, boolean][] = [
      [received({ kind: 'pong', hash: undefined, ageMs: undefined }), AT + 1, true],
      [{ kind: 'tick' }, AT + 2000, false],
      [{ kind: 'disconnected' }, AT + 1, false],
    ];
    for (const [event, ms, isAlive] of ends) {
      const told = step(once.state, event, nowAt(ms, NOTHING)).effects.filter(({ kind }) => kind === 'alive');
      expect(told).toEqual([{ kind: 'alive', isAlive }]);
    }
    expect(step(once.state, { kind: 'tick' }, nowAt(AT + 1999, NOTHING)).effects).toEqual([]);
  });
});

describe('a release', () => {
  it('that the publisher cannot stand for, being behind, is not offered', () => {
    const behind = publisherWith([FIRST], true);
    expect(step(idle, { kind: 'published' }, nowAt(AT, behind)).state.kind).toBe('idle');
  });

  // A peer that changed its word about what is in force was once offered again what it had just been offered.
  it('waits while two are not answered', () => {
    expect(step(offered, { kind: 'published' }, nowAt(AT, THREE)).effects).toEqual([]);
    const want: Message = { kind: 'want', hash: FIRST.hash, base: undefined };
    expect(actionOf(step(offered, received(want), nowAt(AT, THREE)).effects, 'offered')).toBe('offer');
  });

  it('that waits for an answer is not offered again, whatever PONG says', () => {
    const holding = led(offered, [received(appliedOf(FIRST)), nowAt(AT, TWO)]);
    const pongs = [SECOND.hash, UNKNOWN_HASH, undefined].map((hash): Message => ({ kind: 'pong', hash }));
    let state = holding;
    for (const message of pongs) {
      const next = step(state, received(message), nowAt(AT, TWO));
      expect(next.effects.filter(({ kind }) => kind === 'send')).toEqual([]);
      state = next.state;
    }
    expect(state.kind).toBe('offered');
  });

  it('refused with later is offered again after the time that was asked for', () => {
    const nack = nackOf(SECOND.hash, { retry: 'later', retryAfterMs: 1234 });
    const { state } = step(confirming, received(nack), nowAt(AT, TWO));
    expect(deadline(state)).toBe(AT + 1234);
    expect(step(state, { kind: 'tick' }, nowAt(AT + 1233, TWO)).state.kind).toBe('idle');
    expect(step(state, { kind: 'tick' }, nowAt(AT + 1234, TWO)).state.kind).toBe('offered');
  });
});
