/** Releases that are good: how they come into force, and what is said of them. */

import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { PARTS_MAX, PROTOCOL_VERSION } from '@rulecast/protocol';
import { Table } from '@rulecast/table';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { temporaryDirectory } from '../../../test/kit/directory.ts';
import type { ApplyReport } from '../src/apply/activator.ts';
import { StateDirectory } from '../src/state/state.ts';
import { expectEnforces, NOW, packetOf, ruleSetOf, sampleRuleSet } from './sample.ts';
import { chainOf, ScriptedPublisher, sampleReleases, snapshotOf } from './scripted-publisher.ts';
import { RecordingSink, startedSubscriber } from './started.ts';

afterEach(() => {
  vi.restoreAllMocks();
});

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}

describe('a good release', () => {
  it('comes into force as a snapshot, a delta and a chain of deltas, each whole', async () => {
    const publisher = new ScriptedPublisher();
    const subscriber = await startedSubscriber(publisher);
    const [one, two, three, four] = sampleReleases(publisher);
    const { peer } = await publisher.greeted();
    await peer.bring(one);
    await expectEnforces(subscriber, one.ruleSet);
    await peer.bring(two, chainOf(one, two));
    await expectEnforces(subscriber, two.ruleSet);
    await peer.bring(four, chainOf(two, three, four));
    await expectEnforces(subscriber, four.ruleSet);
    expect(subscriber.status()).toEqual({
      connected: true,
      publisher: 'dom0',
      epoch: 0,
      version: 4,
      hash: hex(four.hash),
      appliedAtMs: NOW * 1000,
      persisted: false,
      lastError: undefined,
      freshness: 'fresh',
      rootRenewal: 'good',
      freshAgeMs: expect.any(Number),
    });
  });

  it('is named in APPLIED and in the event, with the generation that the table answers with', async () => {
    const publisher = new ScriptedPublisher();
    const subscriber = await startedSubscriber(publisher, { stateDirectory: temporaryDirectory() });
    const reports: ApplyReport[] = [];
    subscriber.events.on('applied', (report) => reports.push(report));
    const { peer } = await publisher.greeted();
    const release = publisher.release(sampleRuleSet(3), { version: 3, epoch: 2 });
    const applied = await peer.bring(release);
    const { generation } = subscriber.lookup(packetOf('egress', '10.137.0.5', '192.0.2.1'));
    expect(applied).toEqual({
      kind: 'applied',
      hash: release.hash,
      epoch: 2,
      version: 3,
      persisted: true,
      generation,
      receiveMs: expect.any(Number),
      verifyMs: expect.any(Number),
      compileMs: expect.any(Number),
      flipMs: expect.any(Number),
    });
    expect(reports).toHaveLength(1);
    expect(reports[0]).toMatchObject({ generation, release: { hash: release.hash, persisted: true } });
    const next = await peer.bring(publisher.release(sampleRuleSet(4), { version: 4, epoch: 2 }));
    expect(next.generation).toBe(generation + 1);
  });

  it('offered again while in force is applied already: no WANT, the same generation, nothing compiled', async () => {
    const publisher = new ScriptedPublisher();
    const subscriber = await startedSubscriber(publisher);
    const release = publisher.release(sampleRuleSet(1), { version: 1 });
    const first = await publisher.greeted();
    const applied = await first.peer.bring(release);
    first.peer.close();
    const { peer } = await publisher.greeted();
    const compile = vi.spyOn(Table.prototype, 'prepare');
    await peer.offer(release);
    expect(await peer.receive('applied')).toEqual({
      ...applied,
      receiveMs: 0,
      verifyMs: 0,
      compileMs: 0,
      flipMs: 0,
    });
    expect(compile).not.toHaveBeenCalled();
    await expectEnforces(subscriber, release.ruleSet);
  });

  it('of a higher epoch comes into force though its version is lower', async () => {
    const publisher = new ScriptedPublisher();
    const subscriber = await startedSubscriber(publisher);
    const { peer } = await publisher.greeted();
    await peer.bring(publisher.release(sampleRuleSet(9), { version: 9 }));
    await peer.bring(publisher.release(sampleRuleSet(1), { version: 1, epoch: 1 }));
    await expectEnforces(subscriber, sampleRuleSet(1));
    expect(subscriber.status()).toMatchObject({ epoch: 1, version: 1 });
  });

  // A first release of lists alone opened what the boot mode had closed.
  it.each([
    ['closed', 'drop'],
    ['open', 'accept'],
  ] as const)('that decides nothing leaves the boot mode: %s', async (bootMode, expected) => {
    const publisher = new ScriptedPublisher();
    const subscriber = await startedSubscriber(publisher, { bootMode });
    const { peer } = await publisher.greeted();
    const packet = packetOf('egress', '10.137.0.5', '192.0.2.1');
    const actions: string[] = [];
    for (const [i, text] of [
      {},
      { lists: { bad: ['192.0.2.0/24'] } },
      { unmatched: 'drop' as const },
      { unmatched: 'accept' as const },
      {},
    ].entries()) {
      await peer.bring(publisher.release(ruleSetOf(text), { version: i + 1 }));
      actions.push(subscriber.lookup(packet).action);
    }
    expect(actions).toEqual([expected, expected, 'drop', 'none', expected]);
    expect(subscriber.status()).toMatchObject({ version: 5 });
  });

  it.each([
    ['closed', ['drop', 'drop', 'drop', 'drop']],
    ['open', ['drop', 'accept', 'drop', 'accept']],
  ] as const)(
    'of first alone drops by it, and leaves the rest to the boot mode: %s',
    async (bootMode, expected) => {
      const publisher = new ScriptedPublisher();
      const subscriber = await startedSubscriber(publisher, { bootMode });
      const { peer } = await publisher.greeted();
      const first = { egress: ['drop dst=@bad'], ingress: ['drop src=@bad'] };
      const alone = ruleSetOf({ lists: { bad: ['192.0.2.0/24'] }, policies: { first } });
      await peer.bring(publisher.release(alone, { version: 1 }));
      const packets = [
        packetOf('egress', '10.137.0.5', '192.0.2.1'),
        packetOf('egress', '10.137.0.5', '192.0.3.1'),
        packetOf('ingress', '192.0.2.1', '10.137.0.5'),
        packetOf('ingress', '192.0.3.1', '10.137.0.5'),
      ];
      expect(packets.map((packet) => subscriber.lookup(packet).action)).toEqual(expected);
      await peer.bring(publisher.release(ruleSetOf({}), { version: 2 }));
      const boot = bootMode === 'open' ? 'accept' : 'drop';
      expect(packets.map((packet) => subscriber.lookup(packet).action)).toEqual(packets.map(() => boot));
    },
  );

  it('may be superseded on offer: only the last one wanted is received', async () => {
    const publisher = new ScriptedPublisher();
    const subscriber = await startedSubscriber(publisher);
    const [one, two] = sampleReleases(publisher);
    const { peer } = await publisher.greeted();
    await peer.offer(one);
    await peer.offer(two);
    expect((await peer.receive('want')).hash).toEqual(one.hash);
    expect((await peer.receive('want')).hash).toEqual(two.hash);
    await peer.transfer(snapshotOf(two));
    expect((await peer.receive('applied')).hash).toEqual(two.hash);
    await expectEnforces(subscriber, two.ruleSet);
  });
});

describe('HELLO', () => {
  it('says what is trusted, held and taken', async () => {
    const publisher = new ScriptedPublisher();
    await startedSubscriber(publisher, { entriesMax: 1000, transferBytesMax: 5000, name: 'sys-net-fw' });
    const release = publisher.release(sampleRuleSet(7), { version: 7, epoch: 3 });
    const first = await publisher.greeted();
    expect(first.hello).toEqual({
      kind: 'hello',
      protocolMin: PROTOCOL_VERSION,
      protocolMax: PROTOCOL_VERSION,
      name: 'sys-net-fw',
      lineage: publisher.trust.lineage,
      root: { hash: publisher.trust.rootHash },
      refused: [],
      limits: { entries: 1000, bytes: 5000, parts: PARTS_MAX },
      capabilities: ['names', 'exceptions', 'unmatched', 'private-rules', 'first', 'pages'],
      nonce: expect.any(Uint8Array),
    });
    await first.peer.bring(release);
    first.peer.close();
    const { hello } = await publisher.greeted();
    expect(hello.holds).toEqual({ hash: release.hash, epoch: 3, version: 7 });
  });

  it('is followed by WANT with what is held as the base', async () => {
    const publisher = new ScriptedPublisher();
    await startedSubscriber(publisher);
    const [one, two] = sampleReleases(publisher);
    const { peer } = await publisher.greeted();
    await peer.offer(one);
    expect(await peer.receive('want')).toEqual({ kind: 'want', hash: one.hash });
    await peer.offer(one);
    await peer.receive('want');
    await peer.bring(one);
    await peer.offer(two);
    expect(await peer.receive('want')).toEqual({ kind: 'want', hash: two.hash, base: one.hash });
  });

  it('is backed by PROOF: the manifest and signature of what is held', async () => {
    const publisher = new ScriptedPublisher();
    await startedSubscriber(publisher);
    const release = publisher.release(sampleRuleSet(1), { version: 1 });
    const { peer } = await publisher.greeted();
    await peer.bring(release);
    await peer.send({ kind: 'prove' });
    expect(await peer.receive('proof')).toEqual({
      kind: 'proof',
      signatures: release.signatures,
      content: release.bytes,
    });
  });
});

describe('the commit order', () => {
  /** What can be seen of table, disk and sink at each step. */
  //
  it('is compile, prepare, candidate on disk, commit, flip, mark: each sees the one before done and the next not', async () => {
    const publisher = new ScriptedPublisher();
    const directory = temporaryDirectory();
    const sink = new RecordingSink();
    const subscriber = await startedSubscriber(publisher, { stateDirectory: directory, sink });
    const [one, two] = sampleReleases(publisher);
    const { peer } = await publisher.greeted();
    await peer.bring(one);

    const steps: unknown[] = [];
    const before = subscriber.lookup(packetOf('egress', '10.137.0.5', '192.0.2.1')).generation;
    const note = (step: string): void => {
      steps.push({
        step,
        flipped: subscriber.lookup(packetOf('egress', '10.137.0.5', '192.0.2.1')).generation > before,
        files: readdirSync(directory).filter((name) => name.startsWith(hex(two.hash))),
        marked: readFileSync(join(directory, 'active'), 'utf8').includes(hex(two.bytes)),
      });
    };
    sink.onPrepare = () => note('sink.prepare');
    sink.onCommit = () => note('sink.commit');
    const { prepare } = Table.prototype;
    vi.spyOn(Table.prototype, 'prepare').mockImplementation(function (this: Table, ...args) {
      note('compile');
      return prepare.apply(this, args);
    });
    const { draft, writeCandidate, markActive } = StateDirectory.prototype;
    vi.spyOn(StateDirectory.prototype, 'draft').mockImplementation(async function (
      this: StateDirectory,
      ...args
    ) {
      note('draft');
      await draft.apply(this, args);
      note('drafted');
    });
    vi.spyOn(StateDirectory.prototype, 'writeCandidate').mockImplementation(async function (
      this: StateDirectory,
      ...args
    ) {
      note('candidate');
      await writeCandidate.apply(this, args);
    });
    vi.spyOn(StateDirectory.prototype, 'markActive').mockImplementation(async function (
      this: StateDirectory,
      ...args
    ) {
      note('mark');
      await markActive.apply(this, args);
    });
    await peer.bring(two, chainOf(one, two));
    note('APPLIED');

    const [drafted, written] = [[`${hex(two.hash)}.release.part`], [`${hex(two.hash)}.release`]];
    expect(steps).toEqual([
      { step: 'draft', flipped: false, files: [], marked: false },
      { step: 'drafted', flipped: false, files: drafted, marked: false },
      { step: 'candidate', flipped: false, files: drafted, marked: false },
      { step: 'sink.prepare', flipped: false, files: written, marked: false },
      { step: 'compile', flipped: false, files: written, marked: false },
      { step: 'sink.commit', flipped: false, files: written, marked: false },
      { step: 'mark', flipped: true, files: written, marked: false },
      { step: 'APPLIED', flipped: true, files: written, marked: true },
    ]);
  });

  it('shows the sink each release once, prepared then committed', async () => {
    const publisher = new ScriptedPublisher();
    const sink = new RecordingSink();
    await startedSubscriber(publisher, { sink });
    const [one, two] = sampleReleases(publisher);
    const { peer } = await publisher.greeted();
    expect(sink.calls).toEqual([]);
    await peer.bring(one);
    await peer.bring(two, chainOf(one, two));
    expect(sink.calls).toEqual(['prepare', 'commit', 'prepare', 'commit']);
    expect(sink.prepared.map(({ hash }) => hex(hash))).toEqual([hex(one.hash), hex(two.hash)]);
    expect(sink.prepared[1]?.ruleSet.lists.get('bad')).toEqual(two.ruleSet.lists.get('bad'));
    expect(sink.prepared[1]?.environment.now).toBe(NOW);
  });
});

describe('a reader in a worker thread', () => {
  it('sees every flip, from boot mode on', async () => {
    const publisher = new ScriptedPublisher();
    const subscriber = await startedSubscriber(publisher);
    const worker = new Worker(new URL('table-reader.mjs', import.meta.url), {
      workerData: subscriber.handle(),
    });
    try {
      const packet = packetOf('egress', '10.137.0.5', '203.0.113.2');
      const look = async (): Promise<unknown> => {
        const answer = once(worker, 'message');
        worker.postMessage(packet);
        return (await answer)[0];
      };
      expect(await look()).toEqual(subscriber.lookup(packet));
      const [one, two, three] = sampleReleases(publisher);
      const { peer } = await publisher.greeted();
      await peer.bring(one);
      expect(await look()).toMatchObject({ action: 'accept', policy: 'work' });
      await peer.bring(two, chainOf(one, two));
      expect(await look()).toMatchObject({ action: 'drop', policy: 'work', list: 'bad' });
      await peer.bring(three, chainOf(two, three));
      expect(await look()).toEqual(subscriber.lookup(packet));
    } finally {
      await worker.terminate();
    }
  });
});
