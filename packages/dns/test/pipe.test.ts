/** From a subscriber to `rulecast-dns`: portions, what changes of them, frames, and both ends. */

import { parseDocument } from '@rulecast/formats';
import { type ByteStream, encodeSnapshot, type SteadyClock } from '@rulecast/protocol';
import {
  type Address,
  atOnce,
  EMPTY_RULE_SET,
  evaluateName,
  type Names,
  NO_NAMES,
  nameListOf,
  nameSetOfTexts,
  namesOf,
  nameTexts,
  parseAddress,
  type RuleSet,
} from '@rulecast/rules';
import { createMemoryPair } from '@rulecast/vchan';
import { describe, expect, it, onTestFinished } from 'vitest';
import { Random } from '../../../test/kit/random.mjs';
import { often } from '../../../test/thorough.ts';
import { BlockedNames } from '../src/daemon/blocked-names.ts';
import { NameJudge } from '../src/judge/judge.ts';
import { portionOf } from '../src/judge/portion.ts';
import { nameBytes } from '../src/message/name.ts';
import { changedPieces, type PartStep, stepsBetween } from '../src/pipe/change.ts';
import { NameFeed, type NameFeedOptions } from '../src/pipe/feed.ts';
import { NameFollower } from '../src/pipe/follower.ts';
import {
  type Change,
  changePieces,
  FrameReader,
  frameOf,
  type PipeMessage,
  type ReadMessage,
  SAID_MAX_BYTES,
} from '../src/pipe/frame.ts';

const LABELS = ['a', 'b', 'ads', 'x'];
const NAMES = LABELS.flatMap((label) => [`${label}.example`, `${label}.a.example`, `${label}.net`]);
/** These, and what they are below. */
const ABOVE = [...NAMES, 'x.b.a.example', 'example', 'a.example'];
const QUBES = ['10.137.0.5', '10.137.0.6', '10.137.1.1', 'fd09::5'].map(address);

function address(text: string): Address {
  const found = parseAddress(text);
  if (found === undefined) throw new TypeError(text);
  return found;
}

function ruleSetOf(document: object): RuleSet {
  const { lists, policies, unmatched, rejects } = parseDocument(
    'f',
    Buffer.from(JSON.stringify(document)),
    0,
    () => undefined,
  );
  expect(rejects).toEqual([]);
  return { lists, policies, unmatched, resolutions: new Map() };
}

function randomRuleSet(random: Random): RuleSet {
  const rule = (actions = ['accept', 'drop', 'drop']): string =>
    `${random.pick(actions)} ${random.pick([`dsthost=${random.pick(NAMES)}`, 'dst=@l', 'dst=@m', 'dst=@v4', 'dst4=192.0.2.1', ''])}`.trim();
  const rules = (actions?: string[]): readonly string[] =>
    Array.from({ length: random.below(4) }, () => rule(actions));
  const list = (): object => {
    const texts = (most: number): readonly string[] =>
      Array.from({ length: random.below(most) }, () => random.pick(['', '*.', '.']) + random.pick(ABOVE));
    const { names, exceptions } = nameSetOfTexts(texts(7), texts(5));
    return {
      names: [...nameTexts(names)],
      exceptions: [...nameTexts(exceptions)],
      resolve: 'firewall',
      private: random.pick(['true', 'false']),
    };
  };
  const said = (): object => ({
    ...(random.chance(0.5) && { blocked: random.pick(['nxdomain', 'refused', 'null']) }),
    ...(random.chance(0.5) && { unlisted: random.pick(['answer', 'nxdomain']) }),
  });
  return ruleSetOf({
    lists: { l: list(), m: list(), v4: { entries: ['192.0.2.0/24'] } },
    ...(random.chance(0.3) && { first: { egress: rules(['drop']) } }),
    ...(random.chance(0.6) && { common: { ...said(), egress: rules() } }),
    policies: {
      p: {
        prefixes: ['10.137.0.0/24', 'fd09::/64'],
        ...said(),
        egress: rules(),
        exceptions: { egress: rules() },
      },
      ...(random.chance(0.6) && { q: { prefixes: ['10.137.0.6'], egress: rules(), ingress: ['accept'] } }),
      ...(random.chance(0.3) && { default: { egress: rules() } }),
    },
    ...(random.chance(0.5) && { unmatched: random.pick(['accept', 'drop']) }),
  });
}

/** What a message is once it went over a stream that cuts it anywhere. */
function carried(message: PipeMessage, random: Random): ReadMessage {
  const bytes = frameOf(message);
  const reader = new FrameReader(1 << 20);
  const read: ReadMessage[] = [];
  for (let at = 0; at < bytes.length; ) {
    const size = 1 + random.below(random.chance(0.5) ? 7 : 5000);
    read.push(...reader.feed(bytes.slice(at, at + size)));
    at += size;
  }
  const [only] = read;
  if (only === undefined || read.length > 1) throw new Error(`${read.length} messages`);
  return only;
}

function changeOf(message: ReadMessage): Change {
  if (message.kind !== 'change') throw new TypeError(message.kind);
  return atOnce(changePieces(message.body));
}

// R-99
it('carries any rule set to any other, and each question between is judged by one of them whole', () => {
  let edits = 0;
  for (let seed = 1; seed <= often(20, 400); seed++) {
    const random = new Random(seed);
    let ruleSet = randomRuleSet(random);
    let portion = portionOf(ruleSet);
    const steps = NameJudge.of(portion, new Uint8Array(16));
    const judge = run(steps, () => undefined);
    if (typeof judge === 'string') throw new TypeError(judge);
    for (let round = 0; round < 4; round++) {
      const next = randomRuleSet(random);
      const change = { number: 1, isWhole: false, steps: stepsBetween(portion, portionOf(next)) };
      const there = changeOf(carried({ kind: 'change', change }, random));
      const changed = atOnce(changedPieces(portion, there.steps));
      expect(encodeSnapshot(changed.ruleSet)).toEqual(encodeSnapshot(portionOf(next)));
      edits += changed.edits.size;
      const questions = Array.from({ length: 12 }, () => {
        const [asker, name] = [random.pick(QUBES), random.pick(NAMES)];
        const aliases = Array.from({ length: random.below(2) }, () => random.pick(NAMES));
        const by = (of: RuleSet): unknown => {
          const { action, answer, policy, rule } = evaluateName(of, { now: 0 }, { asker, name, aliases });
          return {
            action,
            answer,
            policy,
            list: rule?.list,
            block: rule?.block,
            isPrivate: hasPrivate(of, name),
          };
        };
        const fast = (): unknown => {
          const { action, answer, policy, rule } = judge.judge(
            asker,
            nameBytes(name),
            0,
            aliases.map(nameBytes),
            { now: 0 },
          );
          const isPrivate = judge.mayBePrivate(nameBytes(name), 0);
          return { action, answer, policy, list: rule?.list, block: rule?.block, isPrivate };
        };
        return { fast, before: by(ruleSet), after: by(next) };
      });
      const outcome = run(judge.follow(changed.ruleSet, changed.edits), () => {
        const answers = questions.map(({ fast }) => fast());
        const wholes = [questions.map(({ before }) => before), questions.map(({ after }) => after)];
        expect(wholes).toContainEqual(answers);
      });
      expect(outcome).toBe('done');
      expect(questions.map(({ fast }) => fast())).toEqual(questions.map(({ after }) => after));
      [ruleSet, portion] = [next, changed.ruleSet];
    }
  }
  expect(edits).toBeGreaterThan(10);
});

/** How long the longest entry is that stands for a name; 0: none does. */
function nearest(names: Names, name: string): number {
  const lengths = [...nameTexts(names)].map((entry) => {
    const isSelf = entry.replace(/^\./, '') === name;
    const isBelow = /^\*?\./.test(entry) && name.endsWith(entry.replace('*', ''));
    return isSelf || isBelow ? entry.replace(/^\*?\./, '').length : 0;
  });
  return Math.max(0, ...lengths);
}

/** Whether a list of private names has a name: slow, and obvious. */
function hasPrivate({ lists }: RuleSet, name: string): boolean {
  return [...lists.values()].some(
    (list) =>
      list.kind === 'names' &&
      list.resolve === 'firewall-private' &&
      nearest(list.names, name) > nearest(list.exceptions, name),
  );
}

function run<T>(steps: Generator<undefined, T>, between: () => void): T {
  for (;;) {
    between();
    const { done, value } = steps.next();
    if (done === true) return value;
  }
}

const ADS: RuleSet = portionOf(
  ruleSetOf({
    lists: { ads: { names: ['ads.example'], resolve: 'firewall' } },
    policies: { default: { egress: ['drop dst=@ads'] } },
  }),
);
const edit = (removed: readonly string[], added: readonly string[], list = 'ads'): PartStep => ({
  op: 'edit',
  list,
  names: { removed: namesOf(removed), added: namesOf(added) },
  exceptions: { removed: NO_NAMES, added: NO_NAMES },
});
const put: PartStep = { op: 'put', part: { kind: 2, name: 'ads', list: nameListOf([], 'firewall') } };

it.each([
  ['an edit of a list that is not there', [edit([], ['b.example'], 'other')]],
  ['a name removed that is not there', [edit(['b.example'], [])]],
  ['a name added that is there', [edit([], ['ads.example'])]],
  ['two edits of one list', [edit([], ['b.example']), edit([], ['c.example'])]],
  ['an edit of what was just put', [put, edit([], ['c.example'])]],
  ['a policy removed that is not there', [{ op: 'remove', id: { kind: 3, name: 'p' } }]],
] satisfies readonly (readonly [string, readonly PartStep[]])[])('refuses %s', (_, steps) => {
  expect(() => atOnce(changedPieces(ADS, steps))).toThrow();
});

it.each([
  ['a frame that is too long', 'ffffffff01'],
  ['a frame of no kind', '0000000009'],
  ['a question with something in it', '010000000200'],
  ['a number cut short', '0300000003010203'],
  ['a change without a number', '05000000010000000001'],
  ['neither whole nor not', '05000000010100000002'],
  ['a step of no kind', '0600000001010000000103'],
  ['a part of no kind', '09000000010100000001000901 61'],
  ['resolutions', '08000000010100000001000400'],
  ['a policy without a name', '08000000010100000001000300'],
  ['canonical bytes that are cut short', '0d0000000101000000010102016105000000'],
  ['a counter of another name', '0e00000004057374616c650100000000000000'],
  ['a counter that is given twice', '1c0000000405646e734162010000000000000005646e7341620200000000000000'],
  ['a group cut short', '0300000005020000'],
  ['a counter cut short', '0c0000000405646e73416201000000000000'],
  ['keys that are none', '1500000001010000000102016101000000ff000000000000000000000000'],
  ['an edit without exceptions', '0c000000010100000001020161 0000000000000000'],
])('refuses %s', (_, hex) => {
  const reader = new FrameReader(1000);
  expect(() => {
    for (const message of reader.feed(Buffer.from(hex.replaceAll(' ', ''), 'hex')))
      if (message.kind === 'change') atOnce(changePieces(message.body));
  }).toThrow();
});

it('carries one more name alone, whatever other lists there are, and one that is new beside them', () => {
  const many = Array.from({ length: 10_000 }, (_, i) => `n${i}.example`);
  const withLists = (lists: object, ...rules: readonly string[]): RuleSet =>
    portionOf(
      ruleSetOf({ lists, policies: { default: { egress: ['drop dst=@ads', 'drop dst=@few', ...rules] } } }),
    );
  const [ads, one, two] = [many, ['a.example'], ['a.example', 'b.example']].map((names) => ({
    names,
    resolve: 'firewall',
  }));
  const before = withLists({ ads, few: one });
  const bytesTo = (after: RuleSet): number => {
    const steps = stepsBetween(before, after);
    expect(steps).not.toEqual([]);
    return frameOf({ kind: 'change', change: { number: 2, isWhole: false, steps } }).length;
  };
  expect(bytesTo(withLists({ ads, few: two }))).toBeLessThan(50);
  expect(bytesTo(withLists({ ads, few: one, more: two }, 'drop dst=@more'))).toBeLessThan(300);
});

it('carries counters', () => {
  const counts = { dnsQuestions: 2 ** 53 - 1, 'dnsQube.fd09--5': 1 };
  expect(carried({ kind: 'counts', counts }, new Random(1))).toEqual({ kind: 'counts', counts });
});

it('carries what was blocked, of whom and by what', () => {
  const rule = { policy: 'common', block: 'common', list: 'ads' } as const;
  const names = [
    { count: 3, qube: address('10.137.0.5'), name: 'ads.example', policy: 'work', rule },
    {
      count: 1,
      qube: address('fd09::5'),
      name: 'b.example',
      policy: undefined,
      rule: { ...rule, list: undefined },
    },
    { count: 2, qube: address('10.137.0.6'), name: 'c.example', policy: 'default', rule: undefined },
  ];
  const message = { kind: 'blocked', lost: 4, names } as const;
  expect(carried(message, new Random(2))).toEqual(message);
  expect(carried({ kind: 'watch' }, new Random(3))).toEqual({ kind: 'watch' });
});

it('gathers what is blocked, counts it, and has room for so much', () => {
  const blocked = new BlockedNames();
  const by = { policy: 'work', rule: undefined };
  const add = (name: string, qube = '10.137.0.5'): void => blocked.add(qube, nameBytes(name), 0, by);
  for (let i = 0; i < 300; i++) add(`${'n'.repeat(60)}.${i}.example`);
  add(`${'n'.repeat(60)}.0.example`);
  add('a.example', 'nobody');
  const told: string[] = [];
  let lost = 0;
  while (!blocked.isEmpty) {
    const taken = blocked.take();
    expect(frameOf({ kind: 'blocked', ...taken }).length).toBeLessThan(SAID_MAX_BYTES);
    expect(taken.names.length).toBeGreaterThan(0);
    told.push(...taken.names.map(({ name, count }) => `${name} ${count}`));
    lost += taken.lost;
  }
  expect([told.length, lost]).toEqual([256, 45]);
  expect(told[0]).toBe(`${'n'.repeat(60)}.0.example 2`);
  const long = 'x'.repeat(60);
  for (let i = 10; i < 30; i++) add(`${long}.${long}.${long}.${long}.${i}`);
  while (!blocked.isEmpty)
    expect(frameOf({ kind: 'blocked', ...blocked.take() }).length).toBeLessThan(SAID_MAX_BYTES);
});

// The length of a text is a byte: a qube that asked for such a name broke the pipe.
it('tells of a name that is longer as text, as far as there is room', () => {
  const blocked = new BlockedNames();
  const labels = [63, 63, 63, 61].flatMap((length) => [length, ...Array<number>(length).fill(1)]);
  const by = { policy: 'p'.repeat(63), rule: undefined };
  for (let at = 0; at < 8; at++) blocked.add(`fd09:24ef:4179::${at}`, Uint8Array.of(...labels, 0), 0, by);
  let told = 0;
  while (!blocked.isEmpty) {
    const { names, lost } = blocked.take();
    expect(carried({ kind: 'blocked', names, lost }, new Random(4))).toEqual({
      kind: 'blocked',
      names,
      lost,
    });
    expect(names[0]?.name).toBe(`${'\\001'.repeat(63)}.`);
    told += names.length;
  }
  expect(told).toBe(8);
});

it('reads any bytes to a message or a coded error, and any message that lost or gained bytes', () => {
  const random = new Random(1);
  const frames = [
    stepsBetween(EMPTY_RULE_SET, ADS),
    [edit(['ads.example'], ['b.example', '.c.example'])],
  ].map((steps) => frameOf({ kind: 'change', change: { number: 1, isWhole: false, steps } }));
  const names = [{ count: 1, qube: address('fd09::5'), name: 'b.example', policy: 'work', rule: undefined }];
  frames.push(frameOf({ kind: 'blocked', lost: 0, names }));
  const seen = new Set<string>();
  for (let i = 0; i < often(3000, 300_000); i++) {
    const bytes = Uint8Array.from(random.pick(frames));
    for (let flips = random.below(4); flips >= 0; flips--)
      bytes[random.below(bytes.length)] = random.below(256);
    const reader = new FrameReader(10_000);
    try {
      for (const message of reader.feed(
        bytes.subarray(0, random.chance(0.8) ? bytes.length : random.below(bytes.length)),
      ))
        if (message.kind === 'change')
          seen.add(
            `taken by ${atOnce(changedPieces(ADS, atOnce(changePieces(message.body)).steps)).edits.size}`,
          );
    } catch (error) {
      seen.add(String((error as { readonly code?: unknown }).code));
    }
  }
  expect([...seen].sort()).toEqual([
    'bad-base',
    'bad-canonical',
    'bad-message',
    'over-limit',
    'taken by 0',
    'taken by 1',
  ]);
});

/** A clock that a test moves. */
class Clock implements SteadyClock {
  nowMs = 0;
  readonly #timers = new Map<() => void, number>();
  monotonicMs(): number {
    return this.nowMs;
  }
  readonly after = (delayMs: number, work: () => void): (() => void) => {
    this.#timers.set(work, this.nowMs + delayMs);
    return () => void this.#timers.delete(work);
  };
  async pass(ms: number): Promise<void> {
    for (const untilMs = this.nowMs + ms; ; ) {
      await settled();
      const next = Math.min(...this.#timers.values());
      if (next > untilMs) {
        this.nowMs = untilMs;
        return;
      }
      this.nowMs = Math.max(this.nowMs, next);
      for (const [work, atMs] of [...this.#timers])
        if (atMs <= this.nowMs && this.#timers.delete(work)) work();
    }
  }
}

async function settled(): Promise<void> {
  for (let i = 0; i < 30; i++) await new Promise((resolve) => setImmediate(resolve));
}

/** As the followers of this file were told last, and what they say. */
let listened: number | undefined;
let fault = '';

function follower(
  opens?: () => number,
  turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve)),
): NameFollower {
  return new NameFollower({
    key: () => new Uint8Array(16),
    nowS: () => 0,
    turn,
    onTurn: () => undefined,
    onListen: async (group) => {
      listened = group;
    },
    fault: () => fault,
    counts: () => ({ dnsQuestions: 3, 'dnsList.ads': 2, ...(opens && { dnsOpens: opens() }) }),
  });
}

/** A feed, and its other end: none, one that follows, or one that is silent. */
function house(
  there: NameFollower | 'silent' | 'none' = 'none',
  isRunning?: () => boolean,
  listenGroup?: number,
  onBlocked?: NameFeedOptions['onBlocked'],
): {
  readonly clock: Clock;
  readonly feed: NameFeed;
  readonly told: string[];
  there: NameFollower | 'silent' | 'none';
  end: () => void;
  faults: string[];
  /** How often it was connected to. */
  calls: number;
} {
  const clock = new Clock();
  const told: string[] = [];
  const faults: string[] = [];
  const world: { there: NameFollower | 'silent' | 'none'; end: () => void; calls: number } = {
    there,
    end: () => undefined,
    calls: 0,
  };
  const feed = new NameFeed({
    channel: async (): Promise<ByteStream> => {
      const { there } = world;
      world.calls++;
      if (there === 'none') throw new Error('nobody listens');
      const { server, client } = createMemoryPair({ bufferBytes: 4096 });
      world.end = () => server.close();
      if (there !== 'silent') there.serve(server).catch((error) => faults.push(error.message));
      return client;
    },
    clock,
    ...(isRunning && { isRunning }),
    ...(listenGroup !== undefined && { listenGroup }),
    ...(onBlocked !== undefined && { onBlocked }),
    onStanding: (text) => told.push(text),
  });
  onTestFinished(async () => {
    const closed = feed.close();
    await clock.pass(60_000);
    await closed;
  });
  return Object.assign(world, { clock, feed, told, faults });
}

const blocking = (...names: readonly string[]): RuleSet =>
  ruleSetOf({
    lists: { ads: { names, resolve: 'firewall' } },
    policies: { default: { egress: ['drop dst=@ads', 'accept'] } },
  });
const answerOf = (by: NameFollower, name: string): string | undefined =>
  by.judge(address('10.137.0.5'), nameBytes(name), 0, [])?.answer;

describe('a feed and a follower', () => {
  it('follow release after release, and the follower keeps the last when the feed goes', async () => {
    const dns = follower();
    const world = house(dns);
    await settled();
    expect(answerOf(dns, 'a.example')).toBeUndefined();
    await world.feed.follow(blocking('a.example'));
    expect([answerOf(dns, 'a.example'), answerOf(dns, 'b.example')]).toEqual(['nxdomain', 'answer']);
    expect(world.feed.trouble()).toBeUndefined();
    await world.feed.follow(blocking('*.b.example', 'c.example'));
    expect(['a.example', 'b.example', 'x.b.example'].map((name) => answerOf(dns, name))).toEqual([
      'answer',
      'answer',
      'nxdomain',
    ]);
    await world.clock.pass(2_000);
    expect(world.feed.counters()).toEqual({ dnsQuestions: 3, 'dnsList.ads': 2 });
    world.end();
    world.there = 'none';
    await settled();
    expect(answerOf(dns, 'x.b.example')).toBe('nxdomain');
    expect(world.feed.counters()).toEqual({}); // of nobody
    expect(world.feed.trouble()?.text).toContain('does not block its names: ');
  });

  it('say that nothing is opened where the applier is not reached and rules accept by name', async () => {
    let opens = 0;
    const world = house(follower(() => opens));
    const accepting = (remote: string): RuleSet =>
      ruleSetOf({
        lists: { updates: { names: ['a.example'], resolve: 'firewall' } },
        policies: { default: { egress: [`accept ${remote}`] } },
      });
    await settled();
    const followed = world.feed.follow(accepting('dst=@updates')); // for as long as a commit waits
    await world.clock.pass(30_000);
    await followed;
    expect(world.feed.trouble()?.text).toContain('does not reach the applier');
    expect(world.feed.counters()).toEqual({ dnsQuestions: 3, 'dnsList.ads': 2 });
    await world.clock.pass(4_000);
    expect(world.feed.trouble()?.forMs).toBeGreaterThan(30_000);
    await world.feed.follow(accepting('dst=@updates')); // what is missing for so long is not waited for again
    opens = 1;
    await world.clock.pass(2_000);
    expect(world.feed.trouble()).toBeUndefined();
    opens = 0;
    await world.feed.follow(accepting('dst4=192.0.2.1'));
    await world.clock.pass(2_000);
    expect(world.feed.trouble()).toBeUndefined(); // nothing is to be opened
    // A commit waits for the applier to be reached, as it is a moment after the start.
    let isFollowed = false;
    const resolved = world.feed.follow(accepting('dst=@resolved')).then(() => {
      isFollowed = true;
    });
    await world.clock.pass(500);
    expect([isFollowed, world.feed.trouble()?.text]).toEqual([
      false,
      expect.stringContaining('does not reach the applier'),
    ]);
    opens = 1;
    await world.clock.pass(2_400); // it is asked what it has each two seconds
    expect(isFollowed).toBe(true);
    await resolved;
    expect(world.feed.trouble()).toBeUndefined();
  });

  it('say that names are not judged where nobody listens, and say all of it to who comes', async () => {
    const world = house();
    await world.clock.pass(10);
    await world.feed.follow(blocking('a.example'));
    await world.clock.pass(5_000);
    expect(world.feed.trouble()).toEqual({
      text: 'rulecast-dns does not block its names: nobody listens',
      forMs: 5_000,
    });
    const first = follower();
    world.there = first;
    await world.clock.pass(31_000);
    expect(answerOf(first, 'a.example')).toBe('nxdomain');
    expect(world.feed.trouble()).toBeUndefined();
    const second = follower();
    world.there = second;
    world.end(); // as if it had died
    await world.clock.pass(2_000);
    expect(answerOf(second, 'a.example')).toBe('nxdomain');
    await world.feed.follow(ruleSetOf({ unmatched: 'drop' }));
    expect(answerOf(second, 'a.example')).toBe('answer');
  });

  it('wait no longer for one that is silent, drop it, and need none for a release without such names', async () => {
    const world = house('silent');
    await settled();
    let isFollowed = false;
    const followed = world.feed.follow(blocking('a.example')).then(() => {
      isFollowed = true;
    });
    await world.clock.pass(29_000);
    expect(isFollowed).toBe(false);
    expect(world.feed.trouble()?.text).toContain('it has not taken this release yet');
    world.there = 'none';
    await world.clock.pass(3_000);
    await followed;
    expect(world.told).toContain('it has said nothing for 30 s');
    void world.feed.follow(ruleSetOf({ policies: { default: { egress: ['drop'] } } }));
    expect(world.feed.trouble()).toBeUndefined();
  });

  // A commit waited 3 s: on a busy machine the release was refused, and in force a moment later.
  it('wait for one that is slow, as long as it says that it goes on', async () => {
    let isAllowed = false;
    const world = house();
    const dns = follower(undefined, async () => {
      while (!isAllowed) await new Promise<void>((resolve) => world.clock.after(1_000, resolve));
    });
    world.there = dns;
    await world.clock.pass(2_000);
    let isFollowed = false;
    const followed = world.feed.follow(blocking('a.example')).then(() => {
      isFollowed = true;
    });
    await world.clock.pass(300_000);
    expect([isFollowed, answerOf(dns, 'a.example'), world.faults]).toEqual([false, undefined, []]);
    isAllowed = true;
    await world.clock.pass(1_000);
    await followed;
    expect([answerOf(dns, 'a.example'), world.feed.trouble()]).toEqual(['nxdomain', undefined]);
  });

  it('go on with the newest of many, larger than what the stream holds at once', async () => {
    const dns = follower();
    const world = house(dns);
    await settled();
    const many = (of: number): RuleSet =>
      blocking(...Array.from({ length: 3000 }, (_, i) => `n${i * of}.example`));
    const followed = [1, 2, 3].map((of) => world.feed.follow(many(of)));
    for (let i = 0; i < 40; i++) await settled();
    await Promise.all(followed);
    expect(['n8997.example', 'n2.example'].map((name) => answerOf(dns, name))).toEqual([
      'nxdomain',
      'answer',
    ]);
    expect(world.faults).toEqual([]);
  });

  it('connect while a release needs it, and end the stream once it has forgotten the names', async () => {
    const dns = follower();
    const world = house(dns, () => false);
    const plain = ruleSetOf({ unmatched: 'drop' });
    await world.feed.follow(plain);
    await world.clock.pass(60_000);
    expect([world.calls, world.feed.trouble()]).toEqual([0, undefined]);
    await world.feed.follow(blocking('a.example'));
    expect([world.calls, answerOf(dns, 'a.example')]).toEqual([1, 'nxdomain']);
    await world.feed.follow(plain);
    expect(answerOf(dns, 'a.example')).toBe('answer');
    await world.clock.pass(60_000);
    expect(world.calls).toBe(1);
    expect(world.told.at(-1)).toBe('no release in force needs rulecast-dns');
    // Needed again at once, and not, and again.
    for (const name of ['b.example', 'c.example', 'd.example']) {
      await Promise.all([world.feed.follow(plain), world.feed.follow(blocking(name))]);
      expect([answerOf(dns, name), world.feed.trouble()]).toEqual(['nxdomain', undefined]);
    }
    await world.feed.follow(plain);
    await settled();
    await world.feed.follow(blocking('e.example'));
    expect(answerOf(dns, 'e.example')).toBe('nxdomain');
  });

  it('say whose hosts ask it, and why nobody does, for which no commit waits', async () => {
    const dns = follower();
    const world = house(dns, undefined, 2);
    fault = 'port 53 is taken';
    onTestFinished(() => {
      fault = '';
    });
    await settled();
    await world.feed.follow(blocking('a.example'));
    expect([listened, answerOf(dns, 'a.example')]).toEqual([2, 'nxdomain']);
    await world.clock.pass(5_000);
    expect(world.feed.trouble()).toEqual({
      text: 'rulecast-dns is not asked: port 53 is taken',
      forMs: 5_000,
    });
    expect(dns.isNeeded).toBe(true);
    await world.feed.follow(ruleSetOf({ unmatched: 'drop' }));
    expect([world.feed.trouble(), dns.isNeeded]).toEqual([undefined, true]); // of no release, but of hosts
    await world.feed.follow(blocking('a.example'));
    fault = '';
    await world.clock.pass(2_000);
    expect(world.feed.trouble()).toBeUndefined();
    const next = house(dns);
    await next.feed.follow(ruleSetOf({ unmatched: 'drop' }));
    expect([listened, dns.isNeeded]).toEqual([undefined, false]);
  });

  it('tell what is blocked where that is asked for, and nobody else', async () => {
    const told: string[] = [];
    const dns = follower();
    const rule = { policy: 'default', block: 'own', list: 'ads' } as const;
    const names = [{ count: 2, qube: address('10.137.0.5'), name: 'a.example', policy: 'default', rule }];
    const silent = house(dns);
    await settled();
    await silent.feed.follow(blocking('a.example'));
    expect(dns.isWatched).toBe(false);
    dns.tellBlocked(() => ({ names, lost: 0 }));
    const watching = house(dns, undefined, undefined, (blocked, lost) =>
      told.push(`${blocked.map(({ name, count }) => `${name} ${count}`)} ${lost}`),
    );
    await settled();
    await watching.feed.follow(blocking('a.example'));
    expect(dns.isWatched).toBe(true);
    dns.tellBlocked(() => ({ names, lost: 3 }));
    await settled();
    expect([told, watching.faults, silent.faults]).toEqual([['a.example 2 3'], [], []]);
    watching.end();
    await settled();
    expect(dns.isWatched).toBe(false);
    dns.tellBlocked(() => ({ names, lost: 0 }));
  });

  it('tell no more than is read, so that what is blocked ends no pipe', async () => {
    const dns = follower();
    const { server, client } = createMemoryPair({ bufferBytes: 4096 });
    const served = dns.serve(server);
    client.write(frameOf({ kind: 'watch' }));
    await settled();
    const one = { count: 1, qube: address('10.137.0.5'), policy: 'default', rule: undefined };
    const names = Array.from({ length: 5 }, (_, at) => ({ ...one, name: `${'n'.repeat(200)}${at}` }));
    let taken = 0;
    for (let at = 0; at < 9; at++)
      dns.tellBlocked(() => {
        taken += names.length;
        return { names, lost: 0 };
      });
    expect([taken, server.state]).toEqual([5, 'connected']);
    client.close();
    await served;
    dns.tellBlocked(() => ({ names, lost: taken++ }));
    expect(taken).toBe(6);
  });

  it('relieve one that runs with names of an earlier feed, once, and start none for that', async () => {
    const dns = follower();
    const earlier = house(dns);
    await settled();
    await earlier.feed.follow(blocking('a.example'));
    earlier.end();
    earlier.there = 'none';
    const world = house(dns, () => true);
    await world.feed.follow(ruleSetOf({ unmatched: 'drop' }));
    expect(answerOf(dns, 'a.example')).toBe('answer');
    await world.clock.pass(60_000);
    expect([world.calls, world.faults]).toEqual([1, []]);
  });

  it('wait between attempts where nobody is there any more, and need nobody then', async () => {
    const world = house('none', () => false);
    await world.feed.follow(blocking('a.example'));
    await world.clock.pass(60_000);
    expect(world.calls).toBeLessThan(10);
    expect(world.feed.trouble()?.forMs).toBe(60_000);
    await world.feed.follow(ruleSetOf({ unmatched: 'drop' }));
    await world.clock.pass(10);
    const { calls } = world;
    await world.clock.pass(60_000);
    expect([world.calls, world.feed.trouble()]).toEqual([calls, undefined]);
    const followed = world.feed.follow(blocking('a.example'));
    await world.clock.pass(100);
    await followed;
    expect(world.feed.trouble()?.forMs).toBe(100); // as long as it is needed, and no longer
  });

  it('a follower refuses what it cannot follow, and goes on with what it had', async () => {
    const dns = follower();
    const pair = createMemoryPair();
    const served = dns.serve(pair.server);
    const send = (steps: readonly PartStep[], isWhole: boolean): void => {
      pair.client.write(frameOf({ kind: 'change', change: { number: 1, isWhole, steps } }));
    };
    send(stepsBetween(EMPTY_RULE_SET, ADS), true);
    await settled();
    expect(answerOf(dns, 'ads.example')).toBe('nxdomain');
    send([{ op: 'remove', id: { kind: 2, name: 'ads' } }], false);
    await expect(served).rejects.toThrow('uses list ads, which does not exist');
    expect(answerOf(dns, 'ads.example')).toBe('nxdomain');
    const other = createMemoryPair();
    const again = dns.serve(other.server);
    other.client.write(frameOf({ kind: 'change', change: { number: 2, isWhole: false, steps: [] } }));
    await expect(again).rejects.toThrow('a change of a release that is not known here');
  });
});
