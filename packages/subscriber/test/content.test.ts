/**
 * The owner of the content dies, whatever it is at: what was in force stays in force and answers, and another
 * one goes on from what was kept.
 */

import { Worker } from 'node:worker_threads';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { temporaryDirectory } from '../../../test/kit/directory.ts';
import { ThreadContent } from '../src/content/content.ts';
import { InPlaceHost } from './in-place-content.ts';
import { expectEnforces, expectJudges } from './sample.ts';
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
        let left = at;
        host.killAt(() => left-- === 0);
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

function killableContent(): { readonly host: InPlaceHost; readonly content: ThreadContent } {
  let host: InPlaceHost | undefined;
  const content = new ThreadContent((onDeath) => {
    host = new InPlaceHost(onDeath);
    return host;
  });
  if (host === undefined) throw new Error('the content has begun no host');
  return { host, content };
}

/** The threads that are sent something from now on, and of what kind. */
function watchWorkers(): { readonly workers: Set<Worker>; readonly kinds: string[] } {
  const workers = new Set<Worker>();
  const kinds: string[] = [];
  const { postMessage } = Worker.prototype;
  vi.spyOn(Worker.prototype, 'postMessage').mockImplementation(function (this: Worker, ...args) {
    workers.add(this);
    kinds.push(args[0].kind);
    return postMessage.apply(this, args);
  });
  return { workers, kinds };
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
