/**
 * The owner of the content dies, whatever it is at: what was in force stays in force and answers, and another
 * one goes on from what was kept.
 */

import { Worker } from 'node:worker_threads';
import { portionOf } from '@rulecast/dns/portion';
import type { SteadyClock } from '@rulecast/protocol';
import type { RuleSet } from '@rulecast/rules';
import { pino } from 'pino';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { temporaryDirectory } from '../../../test/kit/directory.ts';
import type { NameEnforcer } from '../src/apply/names.ts';
import type { SinkRelease } from '../src/apply/sink.ts';
import { ThreadContent } from '../src/content/content.ts';
import { InPlaceHost } from './in-place-content.ts';
import { answersOf, expectEnforces, expectJudges } from './sample.ts';
import {
  chainOf,
  type Peer,
  ScriptedPublisher,
  type ScriptedRelease,
  type ScriptedTransfer,
  sampleReleases,
  snapshotOf,
} from './scripted-publisher.ts';
import { RecordingSink, startedSubscriber } from './started.ts';
import { TestClock } from './test-clock.ts';

afterEach(() => {
  vi.restoreAllMocks();
});

/** Questions of one release: verify, aim, rule set for the sink, compile, flipped. */
const QUESTIONS = 5;

describe('an owner that dies within a release, at its question', () => {
  for (const isStored of [true, false])
    it.each(Array.from({ length: QUESTIONS }, (_, at) => at))(
      `%d, ${isStored ? 'with' : 'without'} a state directory: is followed by another, and nothing opens or closes`,
      async (at) => {
        const publisher = new ScriptedPublisher();
        const { host, content } = killableContent();
        const stateDirectory = isStored ? temporaryDirectory() : undefined;
        const sink = new RecordingSink();
        const subscriber = await startedSubscriber(publisher, { content, stateDirectory, sink });
        const [one, two, three] = sampleReleases(publisher);
        const { peer } = await publisher.greeted();
        await peer.bring(one);
        killOnce(host, at);
        const isTaken = await offered(peer, two, chainOf(one, two));
        expect(isTaken).toBe(at === QUESTIONS - 1); // of the flip it is only told
        expectJudges(subscriber, (isTaken ? two : one).ruleSet);
        // The next owner has no rules to explain by before it has compiled them.
        await vi.waitFor(() => expectEnforces(subscriber, (isTaken ? two : one).ruleSet));
        expect(await offered(peer, three, snapshotOf(three))).toBe(true);
        await expectEnforces(subscriber, three.ruleSet);
      },
    );
});

describe('an owner that dies at what people ask', () => {
  it.each([
    ['a sink', new RecordingSink()],
    ['none', undefined],
  ])(
    'between aim and compile, with %s: is followed by one that puts nothing in force that it was not told',
    async (_, sink) => {
      const publisher = new ScriptedPublisher();
      const { host, content } = killableContent();
      const subscriber = await startedSubscriber(publisher, {
        content,
        bootMode: 'open',
        ...(sink && { sink }),
      });
      const [one, two, three] = sampleReleases(publisher);
      const { peer } = await publisher.greeted();
      await peer.bring(one);
      killAfter(host, 'aim', () => subscriber.stats());
      expect(await offered(peer, two, chainOf(one, two))).toBe(false);
      expectJudges(subscriber, one.ruleSet);
      for (const { ruleSet } of sink?.prepared ?? []) expect(ruleSet).toEqual(one.ruleSet);
      await vi.waitFor(() => expectEnforces(subscriber, one.ruleSet));
      expect(await offered(peer, three, chainOf(one, three))).toBe(true);
      await expectEnforces(subscriber, three.ruleSet);
    },
  );

  it.each([true, false])(
    'while the sink commits, with a state directory: %s: is followed by one that has what came into force',
    async (isStored) => {
      const publisher = new ScriptedPublisher();
      const { host, content } = killableContent();
      const stateDirectory = isStored ? temporaryDirectory() : undefined;
      const sink = new RecordingSink();
      const lines: string[] = [];
      const logger = pino({ level: 'info' }, { write: (line) => void lines.push(JSON.parse(line).msg) });
      const subscriber = await startedSubscriber(publisher, { content, stateDirectory, sink, logger });
      const [one, two, three] = sampleReleases(publisher);
      const { peer } = await publisher.greeted();
      await peer.bring(one);
      sink.onCommit = once(() => deathAtStats(host, content));
      expect(await offered(peer, two, chainOf(one, two))).toBe(true);
      await vi.waitFor(() => expect(lines.at(-1)).toBe('what is in force is loaded again'));
      expect(sink.prepared.at(-1)?.ruleSet).toEqual(two.ruleSet);
      await expectEnforces(subscriber, two.ruleSet);
      expect(await offered(peer, three, chainOf(two, three))).toBe(true);
      await expectEnforces(subscriber, three.ruleSet);
    },
  );

  it('while the sink commits: names follow what packets are judged by', async () => {
    const publisher = new ScriptedPublisher();
    const { host, content } = killableContent();
    const followed: RuleSet[] = [];
    const names: NameEnforcer = {
      isThere: () => true,
      follow: (ruleSet) => Promise.resolve(void followed.push(ruleSet)),
      trouble: () => undefined,
      counters: () => ({}),
    };
    const sink = new RecordingSink();
    await startedSubscriber(publisher, { content, sink, names });
    const [one] = sampleReleases(publisher);
    const { peer } = await publisher.greeted();
    sink.onCommit = once(() => deathAtStats(host, content));
    expect(await offered(peer, one, snapshotOf(one))).toBe(true);
    expect(followed[0]).toEqual(portionOf(one.ruleSet));
  });
});

describe('an owner that dies while what was in force before a restart is restored', () => {
  it.each(['restore', 'aim', 'ruleSet', 'compile'])(
    'at its %s: is followed by one that restores it, with --boot open as well',
    async (kind) => {
      const { publisher, one, stateDirectory } = await stoppedSubscriber();
      const { host, content } = killableContent();
      const sink = new RecordingSink();
      killWithin(host, 'restore', kind);
      const subscriber = await startedSubscriber(publisher, { ...OPEN, content, stateDirectory, sink });
      expect(subscriber.status()).toMatchObject({ version: one.manifest.version, persisted: true });
      expectJudges(subscriber, one.ruleSet);
      expect(sink.prepared.at(-1)?.ruleSet).toEqual(one.ruleSet);
      await vi.waitFor(() => expectEnforces(subscriber, one.ruleSet));
    },
  );

  it('at each try: is followed by two that try again, and then the boot mode holds, which is told', async () => {
    const { publisher, stateDirectory } = await stoppedSubscriber();
    const { clock, waits, pass } = stoppedClock();
    const { host, content } = killableContent(clock);
    host.killAt(({ kind }) => kind === 'restore');
    const starting = startedSubscriber(publisher, { content, stateDirectory });
    await vi.waitFor(() => expect(waits()).toEqual([1000])); // none before the second
    pass();
    const { version, lastError } = (await starting).status();
    expect({ version, code: lastError?.code }).toEqual({ version: undefined, code: 'storage-failed' });
  });

  it('before the sink asks for it: is followed by none that gives the boot mode out for it', async () => {
    const { publisher, one, stateDirectory } = await stoppedSubscriber();
    const { host, content } = killableContent();
    const sink = new LateSink(() => deathAtStats(host, content));
    const subscriber = await startedSubscriber(publisher, { ...OPEN, content, stateDirectory, sink });
    for (const { ruleSet } of sink.prepared) expect(ruleSet).toEqual(one.ruleSet);
    expect(sink.prepared).not.toEqual([]);
    expectJudges(subscriber, one.ruleSet);
    await vi.waitFor(() => expectEnforces(subscriber, one.ruleSet));
  });

  it('while the sink commits: leaves what was compiled as it is', async () => {
    const { publisher, one, stateDirectory } = await stoppedSubscriber();
    const { host, content } = killableContent();
    const sink = new RecordingSink();
    sink.onCommit = once(() => deathAtStats(host, content));
    const subscriber = await startedSubscriber(publisher, { ...OPEN, content, stateDirectory, sink });
    expectJudges(subscriber, one.ruleSet);
    await vi.waitFor(() => expectEnforces(subscriber, one.ruleSet));
    expect(sink.prepared.at(-1)?.ruleSet).toEqual(one.ruleSet);
  });
});

describe('a thread that is ended three times', () => {
  it('leaves what was in force, and takes the next delta each time', async () => {
    const { workers } = watchWorkers();
    const publisher = new ScriptedPublisher();
    const subscriber = await startedSubscriber(publisher, { content: new ThreadContent() });
    const releases = sampleReleases(publisher);
    const { peer } = await publisher.greeted();
    await peer.bring(releases[0]);
    for (const [i, next] of releases.slice(1, 4).entries()) {
      const before = releases[i];
      if (before === undefined) throw new Error('there is no release before');
      for (const worker of [...workers]) await worker.terminate();
      workers.clear();
      expectJudges(subscriber, before.ruleSet);
      await peer.bring(next, chainOf(before, next));
      await expectEnforces(subscriber, next.ruleSet);
    }
    expect((await subscriber.hits()).lists.get('bad')).toBeGreaterThan(0);
  });
});

describe('owners that die', () => {
  it('before the first release are followed by one that explains as before', async () => {
    const { host, content } = killableContent();
    const subscriber = await startedSubscriber(new ScriptedPublisher(), { content });
    const verdicts = async () => (await answersOf(subscriber)).map(({ verdict }) => verdict);
    const before = await verdicts();
    killOnce(host);
    await expect(subscriber.stats()).rejects.toMatchObject({ code: 'died' });
    await vi.waitFor(async () => expect(await verdicts()).toEqual(before));
  });

  it.each(['restore', 'compile'])(
    'at each %s are followed by others with pauses, told once, while what is in force stays',
    async (kind) => {
      const { clock, waits, pass } = stoppedClock();
      const publisher = new ScriptedPublisher();
      const { host, content } = killableContent(clock);
      const lines: string[] = [];
      const logger = pino({ level: 'info' }, { write: (line) => void lines.push(JSON.parse(line).msg) });
      const subscriber = await startedSubscriber(publisher, { content, logger });
      const [one] = sampleReleases(publisher);
      const { peer } = await publisher.greeted();
      await peer.bring(one);
      lines.length = 0;
      let isFirst = true;
      host.killAt((question) => {
        const isKilled = isFirst || question.kind === kind;
        isFirst = false;
        return isKilled;
      });
      await expect(subscriber.stats()).rejects.toMatchObject({ code: 'died' });
      for (const pauseMs of [1000, 4000, 16_000, 60_000, 60_000]) {
        await vi.waitFor(() => expect(waits()).toEqual([pauseMs]));
        await expect(subscriber.hits()).rejects.toThrow('the rules are being loaded again');
        expectJudges(subscriber, one.ruleSet);
        pass();
      }
      await vi.waitFor(() => expect(waits()).toEqual([60_000]));
      expect(subscriber.status().lastError?.text).toMatch('the thread that has the rules died');
      host.killAt(() => false);
      pass();
      await vi.waitFor(() => expectEnforces(subscriber, one.ruleSet));
      await vi.waitFor(() => expect(lines.at(-1)).toBe('what is in force is loaded again'));
      expect(lines.filter((line) => line.startsWith('the thread that has the rules died'))).toHaveLength(1);
      expect(lines.length).toBeLessThanOrEqual(3);
    },
  );

  it('with a minute between them are followed by others at once', async () => {
    const { clock, waits, pass } = stoppedClock();
    const publisher = new ScriptedPublisher();
    const { host, content } = killableContent(clock);
    const subscriber = await startedSubscriber(publisher, { content });
    const [one] = sampleReleases(publisher);
    const { peer } = await publisher.greeted();
    await peer.bring(one);
    for (let times = 0; times < 3; times++) {
      pass(60_001);
      killOnce(host);
      await expect(subscriber.stats()).rejects.toMatchObject({ code: 'died' });
      await vi.waitFor(() => expectEnforces(subscriber, one.ruleSet));
      expect(waits()).toEqual([]);
    }
  });

  it('are no reason to wait for a pause when it closes', async () => {
    const { clock, waits } = stoppedClock();
    const { host, content } = killableContent(clock);
    const subscriber = await startedSubscriber(new ScriptedPublisher(), { content });
    host.killAt(() => true);
    await expect(subscriber.stats()).rejects.toMatchObject({ code: 'died' });
    await vi.waitFor(() => expect(waits()).toEqual([1000]));
    await subscriber.close();
    expect(waits()).toEqual([]);
  });
});

describe('a thread that cannot begin', () => {
  it('dies, and is followed by another after a pause, which has the rules', async () => {
    const { workers, kinds, spoil } = watchWorkers();
    const { clock, waits, pass } = stoppedClock();
    const publisher = new ScriptedPublisher();
    const subscriber = await startedSubscriber(publisher, { content: new ThreadContent({ clock }) });
    const [one, two] = sampleReleases(publisher);
    const { peer } = await publisher.greeted();
    await peer.bring(one);
    await subscriber.stats();
    spoil('begin');
    for (const worker of [...workers]) await worker.terminate();
    await vi.waitFor(() => expect(waits()).toEqual([1000]), { timeout: 10_000 });
    expectJudges(subscriber, one.ruleSet);
    const before = kinds.length;
    pass();
    await peer.bring(two, chainOf(one, two));
    expect(kinds.slice(before, before + 2)).toEqual(['begin', 'restore']);
    await expectEnforces(subscriber, two.ruleSet);
  });
});

describe('a thread that dies while nobody asks it', () => {
  it('is followed by another at once, which has the rules', async () => {
    const { workers, kinds } = watchWorkers();
    const publisher = new ScriptedPublisher();
    const subscriber = await startedSubscriber(publisher, { content: new ThreadContent() });
    const [one] = sampleReleases(publisher);
    const { peer } = await publisher.greeted();
    await peer.bring(one);
    await subscriber.stats();
    const before = kinds.length;
    for (const worker of [...workers]) await worker.terminate();
    await vi.waitFor(() => expect(kinds.slice(before)).toContain('flipped'), { timeout: 10_000 });
    expect(kinds.slice(before, before + 2)).toEqual(['begin', 'restore']);
    await expectEnforces(subscriber, one.ruleSet);
  });
});

/** Dies at its question after so many others. */
function killOnce(host: InPlaceHost, after = 0): void {
  let left = after;
  host.killAt(() => left-- === 0);
}

/** Somebody asks something once the owner is at such a question, and it dies at that. */
function killAfter(host: InPlaceHost, kind: string, ask: () => Promise<unknown>): void {
  let isAsked = false;
  host.killAt((question) => {
    if (isAsked) {
      host.killAt(() => false);
      return true;
    }
    isAsked = question.kind === kind;
    if (isAsked) void ask().catch(() => undefined);
    return false;
  });
}

/** Dies once at the first question of a kind, from the first of another kind on. */
function killWithin(host: InPlaceHost, from: string, kind: string): void {
  let isWithin = false;
  host.killAt((question) => {
    isWithin ||= question.kind === from;
    if (!isWithin || question.kind !== kind) return false;
    host.killAt(() => false);
    return true;
  });
}

/** Resolves when the next owner has begun with what is in force by then. */
async function deathAtStats(host: InPlaceHost, content: ThreadContent): Promise<void> {
  killOnce(host);
  await expect(content.ask('stats', {})).rejects.toMatchObject({ code: 'died' });
  await content.ask('stats', {});
}

const OPEN = { bootMode: 'open' } as const;

/** What one left on disk that was stopped with a release in force. */
async function stoppedSubscriber() {
  const publisher = new ScriptedPublisher();
  const stateDirectory = temporaryDirectory();
  const subscriber = await startedSubscriber(publisher, { stateDirectory });
  const [one] = sampleReleases(publisher);
  const { peer } = await publisher.greeted();
  await peer.bring(one);
  await subscriber.close();
  return { publisher, one, stateDirectory };
}

/** Something happens before the first rule set is asked for. */
class LateSink extends RecordingSink {
  readonly #before: () => Promise<void>;

  constructor(before: () => Promise<void>) {
    super();
    this.#before = once(before);
  }

  override async prepare(release: SinkRelease): Promise<void> {
    await this.#before();
    await super.prepare(release);
  }
}

function once(work: () => Promise<void>): () => Promise<void> {
  let isDone = false;
  return async () => {
    if (isDone) return;
    isDone = true;
    await work();
  };
}

/** Waits that are over when a test says so. */
function stoppedClock() {
  const timers = new Map<() => void, number>();
  let nowMs = 1000;
  const clock: SteadyClock = {
    monotonicMs: () => nowMs,
    after: (delayMs, work) => {
      timers.set(work, delayMs);
      return () => void timers.delete(work);
    },
  };
  const pass = (ms = 0): void => {
    nowMs += ms;
    for (const work of [...timers.keys()]) work();
  };
  return { clock, waits: () => [...timers.values()], pass };
}

function killableContent(clock: SteadyClock = new TestClock()): {
  readonly host: InPlaceHost;
  readonly content: ThreadContent;
} {
  let host: InPlaceHost | undefined;
  const startHost = (onDeath: () => void): InPlaceHost => {
    host = new InPlaceHost(onDeath);
    return host;
  };
  const content = new ThreadContent({ startHost, clock });
  if (host === undefined) throw new Error('the content has begun no host');
  return { host, content };
}

/**
 * The threads that get messages from now on, and the kinds of these. `spoil`: makes the next such message
 * fail.
 */
function watchWorkers(): {
  readonly workers: Set<Worker>;
  readonly kinds: string[];
  readonly spoil: (kind: string) => void;
} {
  const workers = new Set<Worker>();
  const kinds: string[] = [];
  let spoilt = '';
  const { postMessage } = Worker.prototype;
  vi.spyOn(Worker.prototype, 'postMessage').mockImplementation(function (this: Worker, message, moved) {
    workers.add(this);
    kinds.push(message.kind);
    const isSpoilt = message.kind === spoilt;
    if (isSpoilt) spoilt = '';
    return postMessage.call(this, isSpoilt ? { ...message, options: undefined } : message, moved);
  });
  const spoil = (kind: string): void => {
    spoilt = kind;
  };
  return { workers, kinds, spoil };
}

/** Whether it is taken, and not refused. */
async function offered(peer: Peer, release: ScriptedRelease, transfer: ScriptedTransfer): Promise<boolean> {
  try {
    await peer.bring(release, transfer);
    return true;
  } catch (error) {
    if (error instanceof Error && error.message.includes('"nack"')) return false;
    throw error;
  }
}
