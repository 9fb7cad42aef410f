import { describe, expect, it } from 'vitest';
import {
  PUBLISHER_EVENTS,
  PUBLISHER_STATES,
  PUBLISHER_TABLE,
  type PublisherEvent,
  type PublisherState,
  SUBSCRIBER_EVENTS,
  SUBSCRIBER_SESSION_STATES,
  SUBSCRIBER_TABLE,
  type SubscriberEvent,
  type SubscriberSessionState,
  stepPublisher,
  stepSubscriber,
} from '../src/peer/session.ts';

describe('session tables', () => {
  it.each(PUBLISHER_EVENTS)('publisher: nothing happens at %s when closed', (event) => {
    expect(PUBLISHER_TABLE.closed[event]).toEqual({ next: 'closed', action: 'none' });
  });

  it.each(SUBSCRIBER_EVENTS)('subscriber: nothing happens at %s when closed', (event) => {
    expect(SUBSCRIBER_TABLE.closed[event]).toEqual({ next: 'closed', action: 'none' });
  });

  it.each(PUBLISHER_STATES.filter((state) => state !== 'closed'))('publisher: %s can be ended', (state) => {
    expect(stepPublisher(state, 'bye')).toEqual({ next: 'closed', action: 'close' });
    expect(stepPublisher(state, 'disconnected')).toEqual({ next: 'closed', action: 'close' });
    expect(stepPublisher(state, 'timeout')).toEqual({ next: 'closed', action: 'bye', code: 'timeout' });
    expect(stepPublisher(state, 'other').code).toBe('unexpected-message');
    expect(stepPublisher(state, 'stop')).toEqual({ next: 'closed', action: 'bye' });
  });

  it.each(SUBSCRIBER_SESSION_STATES.filter((state) => state !== 'closed'))(
    'subscriber: %s can be ended',
    (state) => {
      expect(stepSubscriber(state, 'bye')).toEqual({ next: 'closed', action: 'close' });
      expect(stepSubscriber(state, 'disconnected')).toEqual({ next: 'closed', action: 'close' });
      expect(stepSubscriber(state, 'timeout')).toEqual({ next: 'closed', action: 'bye', code: 'timeout' });
      expect(stepSubscriber(state, 'other').code).toBe('unexpected-message');
      expect(stepSubscriber(state, 'stop')).toEqual({ next: 'closed', action: 'bye' });
    },
  );

  it('stays closed only by ending: no other state is a trap, and each is reachable', () => {
    for (const states of [reachable(PUBLISHER_TABLE, 'greeting'), reachable(PUBLISHER_TABLE, 'confirming')]) {
      for (const state of PUBLISHER_STATES) if (state !== 'greeting') expect(states).toContain(state);
    }
    for (const states of [reachable(SUBSCRIBER_TABLE, 'greeting'), reachable(SUBSCRIBER_TABLE, 'draining')]) {
      for (const state of SUBSCRIBER_SESSION_STATES)
        if (state !== 'greeting') expect(states).toContain(state);
    }
  });

  it('calls an impossible event our own mistake', () => {
    expect(() => stepPublisher('greeting', 'transferSent')).toThrow('publisher: transferSent while greeting');
    expect(() => stepSubscriber('idle', 'applied')).toThrow('subscriber: applied while idle');
  });
});

function reachable<State extends string>(
  table: Readonly<Record<State, Readonly<Record<string, { readonly next: State }>>>>,
  start: State,
): ReadonlySet<State> {
  const seen = new Set<State>([start]);
  for (const state of seen) {
    for (const { next } of Object.values<{ readonly next: State }>(table[state])) seen.add(next);
  }
  return seen;
}

/** A message of the model; `release` is a number in place of a hash. */
type ModelMessage = readonly [kind: string, release: number];

/** Both ends and what is between them. Copied for every step. */
interface World {
  publisher: PublisherState;
  subscriber: SubscriberSessionState;
  /** Oldest first. */
  up: ModelMessage[];
  down: ModelMessage[];
  head: number;
  /** The release offered last, 0 before. */
  offered: number;
  /** Messages of the running transfer that were sent: BEGIN, CHUNK. */
  sent: number;
  /**
   * Whether the last transfer of the last offer is a chain of deltas, and whether the subscriber wants one.
   */
  isChain: boolean;
  wantsChain: boolean;
  claimChecked: boolean;
  active: number;
  wanted: number;
  refused: number[];
  /** How often things may still go wrong. */
  failures: number;
}

const HEAD_MAX = 4;
/** What the subscriber claims when it is ahead of the publisher. */
const AHEAD = 100;

function start(active: number): World {
  return {
    publisher: 'greeting',
    subscriber: 'greeting',
    up: [['hello', active]],
    down: [],
    head: 1,
    offered: 0,
    sent: 0,
    isChain: false,
    wantsChain: false,
    claimChecked: active !== AHEAD,
    active,
    wanted: 0,
    refused: [],
    failures: 3,
  };
}

type Step = readonly [name: string, run: (world: World) => void];

/** What happens by itself: deliveries, and what each end does next. */
function progressSteps(world: World): Step[] {
  const steps: Step[] = [];
  if (world.up.length > 0) steps.push(['to publisher', deliverUp]);
  if (world.down.length > 0) steps.push(['to subscriber', deliverDown]);
  if (world.publisher === 'idle' && !world.claimChecked) {
    steps.push(['claimAhead', (w) => publisherEvent(w, 'claimAhead', 0)]);
  } else if (['idle', 'offered'].includes(world.publisher) && world.head !== world.offered) {
    steps.push(['headChanged', (w) => publisherEvent(w, 'headChanged', 0)]);
  }
  if (world.publisher === 'sending') steps.push(['pump', pump]);
  if (world.subscriber === 'applying') {
    steps.push(['applied', (w) => subscriberEvent(w, 'applied', w.wanted)]);
  }
  return steps;
}

/** What the world may do to them. */
function surprises(world: World): Step[] {
  const steps: Step[] = [];
  if (world.head < HEAD_MAX) {
    steps.push([
      'release',
      (w) => {
        w.head += 1;
      },
    ]);
  }
  if (world.failures === 0) return steps;
  const failing = (run: (w: World) => void) => (w: World) => {
    w.failures -= 1;
    run(w);
  };
  if (world.publisher === 'sending') {
    steps.push(['transferFailed', failing((w) => publisherEvent(w, 'transferFailed', 0))]);
  }
  if (world.subscriber === 'receiving' || world.subscriber === 'applying') {
    steps.push(['later', failing((w) => subscriberEvent(w, 'refused', w.wanted))]);
    steps.push([
      'never',
      failing((w) => {
        w.refused.push(w.wanted);
        subscriberEvent(w, 'refused', w.wanted);
      }),
    ]);
  }
  if (world.subscriber === 'applying' && world.wantsChain) {
    steps.push(['overBudget', failing((w) => subscriberEvent(w, 'overBudget', w.wanted))]);
  }
  return steps;
}

function pump(w: World): void {
  w.sent += 1;
  if (w.sent === 1) w.down.push(['begin', w.offered]);
  else if (w.sent === 2) w.down.push(['chunk', 0]);
  else {
    publisherEvent(w, 'transferSent', 0);
    w.down.push(['end', 0]);
  }
}

function deliverUp(w: World): void {
  const [said, release] = w.up.shift() ?? ['other', 0];
  const kind = said === 'wantSnapshot' && !(w.isChain && release === w.offered) ? 'want' : said;
  const answers = ['want', 'applied', 'nack'].includes(kind);
  if (kind.startsWith('want') && release === w.offered) w.isChain = said === 'want';
  publisherEvent(w, (answers && release !== w.offered ? `${kind}Other` : kind) as PublisherEvent, release);
}

function deliverDown(w: World): void {
  const [kind, release] = w.down.shift() ?? ['other', 0];
  if (kind === 'begin') expect(release).toBe(w.wanted);
  let event = kind;
  if (kind === 'offer' && release === w.active) event = 'offerActive';
  else if (kind === 'offer' && w.refused.includes(release)) event = 'offerRefused';
  subscriberEvent(w, event as SubscriberEvent, release);
}

function publisherEvent(w: World, event: PublisherEvent, release: number): void {
  const { next, action } = stepPublisher(w.publisher, event);
  w.publisher = next;
  if (action === 'welcome') w.down.push(['welcome', 0]);
  else if (action === 'prove') w.down.push(['prove', 0]);
  else if (action === 'judge' || action === 'diverge') w.claimChecked = true;
  else if (action === 'offer') {
    w.offered = w.head;
    w.isChain = false;
    w.down.push(['offer', w.head]);
  } else if (action === 'transfer') w.sent = 0;
  else if (action === 'abort') w.down.push(['abort', 0]);
  // A NACK with `later` is offered again: here, whatever was refused and is not refused for ever.
  const nacked = event === 'nack' && (action === 'abort' || action === 'record');
  if (nacked && !w.refused.includes(release)) w.offered = 0;
}

function subscriberEvent(w: World, event: SubscriberEvent, release: number): void {
  const { next, action } = stepSubscriber(w.subscriber, event);
  w.subscriber = next;
  if (action === 'want') {
    w.wanted = release;
    w.wantsChain = event !== 'overBudget' && w.active > 0;
    w.up.push([w.wantsChain ? 'want' : 'wantSnapshot', release]);
  } else if (action === 'applied') {
    w.active = release;
    w.up.push(['applied', release]);
  } else if (action === 'nack') w.up.push(['nack', event === 'abort' ? w.wanted : release]);
  else if (action === 'proof') w.up.push(w.failures > 0 ? ['proof', 0] : ['nack', w.active]);
}

/** Every world that can come about; calls `look` on each. */
function explore(first: World, look: (world: World, path: readonly string[]) => void): number {
  const queue: [World, readonly string[]][] = [[first, []]];
  const seen = new Set([JSON.stringify(first)]);
  for (const [world, path] of queue) {
    look(world, path);
    for (const [name, run] of [...progressSteps(world), ...surprises(world)]) {
      const next = structuredClone(world);
      run(next);
      const key = JSON.stringify(next);
      if (seen.has(key)) continue;
      seen.add(key);
      queue.push([next, [...path, name]]);
    }
  }
  return seen.size;
}

//
describe('both machines against each other', () => {
  it.each([
    ['new', 0],
    ['at the head', 1],
    ['ahead', AHEAD],
  ])('neither refuse the other nor deadlock, whatever comes between: subscriber %s', (_, active) => {
    const settledStates = new Set<string>();
    const count = explore(start(active), (world, path) => {
      const where = `${path.join(', ')}: ${JSON.stringify(world)}`;
      expect(world.publisher, where).not.toBe('closed');
      expect(world.subscriber, where).not.toBe('closed');
      expect(world.up.length + world.down.length, where).toBeLessThan(12);
      if (progressSteps(world).length > 0) return;
      // Nothing moves any more: then the subscriber has the head, or has refused it for ever.
      expect([world.publisher, world.subscriber], where).toEqual(['idle', 'idle']);
      expect(world.active === world.head || world.refused.includes(world.head), where).toBe(true);
      settledStates.add(`${world.head} ${world.active}`);
    });
    expect(count).toBeGreaterThan(1000);
    expect(settledStates).toContain(`${HEAD_MAX} ${HEAD_MAX}`);
  });
});
