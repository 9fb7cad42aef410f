/** Restarts: what was enforced is enforced again without a publisher, and nothing else ever is. */

import { existsSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ErrorCode } from '@rulecast/protocol';
import { describe, expect, it, vi } from 'vitest';
import { temporaryDirectory } from '../../../test/kit/directory.ts';
import { often } from '../../../test/thorough.ts';
import { NODE_DISK } from '../src/state/disk.ts';
import { Shelf } from '../src/state/shelf.ts';
import { StateDirectory, StateError } from '../src/state/state.ts';
import { answersOf, expectEnforces, packetOf, sampleRuleSet } from './sample.ts';
import {
  chainOf,
  ScriptedPublisher,
  type ScriptedRelease,
  sampleReleases,
  sha256,
  snapshotOf,
} from './scripted-publisher.ts';
import { nobody, RecordingSink, startedSubscriber } from './started.ts';
import { TestClock } from './test-clock.ts';

/** After which a second copy is tried again. */
const MEND_MS = 30_000;

const BOOTED = packetOf('egress', '172.16.0.1', '192.0.2.1');

/** A state directory in which the releases were applied one after the other, the first as a snapshot. */
async function stateAfter(
  publisher: ScriptedPublisher,
  ...releases: readonly ScriptedRelease[]
): Promise<string> {
  const stateDirectory = temporaryDirectory();
  const subscriber = await startedSubscriber(publisher, { stateDirectory });
  const { peer } = await publisher.greeted();
  for (const [i, release] of releases.entries()) {
    const before = releases[i - 1];
    await peer.bring(release, before === undefined ? snapshotOf(release) : chainOf(before, release));
  }
  await subscriber.close();
  return stateDirectory;
}

function fileOf(release: ScriptedRelease): string {
  return `${Buffer.from(release.hash).toString('hex')}.release`;
}

describe('a second copy that could not be written', () => {
  // One bad moment of the disk, and until the next release one damaged file was the end of the state.
  it('is written once it can be, and keeps the release where its file is damaged then', async () => {
    const publisher = new ScriptedPublisher();
    const [one] = sampleReleases(publisher);
    const stateDirectory = temporaryDirectory();
    const copy = join(stateDirectory, 'copy', fileOf(one));
    const later: (() => void)[] = [];
    const clock = new TestClock();
    let isFailing = true;
    const subscriber = await startedSubscriber(publisher, {
      stateDirectory,
      disk: {
        ...NODE_DISK,
        async create(path) {
          if (isFailing && path.startsWith(copy)) throw Object.assign(new Error('EIO'), { code: 'EIO' });
          return NODE_DISK.create(path);
        },
      },
      clock: {
        monotonicMs: () => clock.monotonicMs(),
        after(delayMs, work) {
          if (delayMs === MEND_MS) later.push(work);
          return delayMs === MEND_MS ? () => undefined : clock.after(delayMs, work);
        },
      },
    });
    const { peer } = await publisher.greeted();
    await peer.bring(one, snapshotOf(one));
    await vi.waitFor(() => expect(later).toHaveLength(1));
    later.pop()?.(); // in vain, and for once more
    await vi.waitFor(() => expect(later).toHaveLength(1));
    expect(existsSync(copy)).toBe(false);
    isFailing = false;
    later.pop()?.();
    await vi.waitFor(() => expect(existsSync(copy)).toBe(true));
    await subscriber.close();
    expect(later).toEqual([]);
    writeFileSync(join(stateDirectory, fileOf(one)), 'damaged');
    const again = await startedSubscriber(publisher, { stateDirectory, channel: nobody });
    await expectEnforces(again, one.ruleSet);
  });
});

describe('a restart', () => {
  it('without a publisher enforces the same verdicts', async () => {
    const publisher = new ScriptedPublisher();
    const [one, two, three] = sampleReleases(publisher);
    const stateDirectory = await stateAfter(publisher, one, two, three);
    const sink = new RecordingSink();
    const subscriber = await startedSubscriber(publisher, { stateDirectory, channel: nobody, sink });
    await expectEnforces(subscriber, three.ruleSet);
    expect(subscriber.status()).toMatchObject({
      connected: false,
      epoch: 0,
      version: 3,
      hash: Buffer.from(three.hash).toString('hex'),
      persisted: true,
      lastError: undefined,
    });
    expect(sink.calls).toEqual(['prepare', 'commit']);
    expect(sink.prepared.map(({ hash }) => Buffer.from(hash))).toEqual([Buffer.from(three.hash)]);
  });

  it('tells the publisher what it holds, proves it, needs no snapshot and goes on with a delta', async () => {
    const publisher = new ScriptedPublisher();
    const [one, two, three] = sampleReleases(publisher);
    const stateDirectory = await stateAfter(publisher, one, two);
    const subscriber = await startedSubscriber(publisher, { stateDirectory });
    const { peer, hello } = await publisher.greeted();
    expect(hello.holds).toEqual({ hash: two.hash, epoch: 0, version: 2 });
    await peer.send({ kind: 'prove' });
    const proof = await peer.receive('proof');
    expect({ bytes: proof.content, signatures: proof.signatures }).toEqual({
      bytes: two.bytes,
      signatures: two.signatures,
    });
    await peer.offer(two);
    expect(await peer.receive('applied')).toMatchObject({ version: 2, persisted: true, compileMs: 0 });
    await peer.offer(three);
    expect((await peer.receive('want')).base).toEqual(two.hash);
    await peer.transfer(chainOf(two, three));
    expect((await peer.receive('applied')).persisted).toBe(true);
    await expectEnforces(subscriber, three.ruleSet);
  });

  it('without a state directory starts in boot mode, and APPLIED said persisted false', async () => {
    const publisher = new ScriptedPublisher();
    const [one] = sampleReleases(publisher);
    const first = await startedSubscriber(publisher);
    const { peer } = await publisher.greeted();
    expect((await peer.bring(one)).persisted).toBe(false);
    expect(first.status().persisted).toBe(false);
    await first.close();
    const second = await startedSubscriber(publisher, { channel: nobody, bootMode: 'open' });
    expect(second.lookup(BOOTED)).toMatchObject({ action: 'accept', policy: 'boot' });
    expect(second.status().version).toBeUndefined();
  });

  it('with a directory that cannot be one rejects with StateError', async () => {
    const file = join(temporaryDirectory(), 'file');
    writeFileSync(file, '');
    await expect(startedSubscriber(new ScriptedPublisher(), { stateDirectory: file })).rejects.toThrow(
      StateError,
    );
  });
});

describe('a delta', () => {
  it('costs its own bytes on disk, and a restart finds it', async () => {
    const publisher = new ScriptedPublisher();
    const stateDirectory = temporaryDirectory();
    await startedSubscriber(publisher, { stateDirectory });
    const { peer } = await publisher.greeted();
    let before: ScriptedRelease | undefined;
    for (let version = 1; version <= 12; version++) {
      const release = publisher.release(sampleRuleSet(version), { version });
      const transfer = before === undefined ? snapshotOf(release) : chainOf(before, release);
      await peer.bring(release, transfer);
      const size = statSync(join(stateDirectory, fileOf(release))).size;
      const files = readdirSync(stateDirectory).filter((name) => name.endsWith('.release'));
      expect(files).toHaveLength(version);
      const overhead = 4 + 32 + 4 + 4 + release.signatures.length + release.bytes.length + 32;
      expect(size - overhead).toBe(transfer.begin.bytes);
      const again = await startedSubscriber(publisher, { stateDirectory, channel: nobody });
      await expectEnforces(again, release.ruleSet);
      await again.close();
      before = release;
    }
  });

  it('of a chain of many makes one file again, while the next releases come, and a restart finds it', async () => {
    const publisher = new ScriptedPublisher();
    const stateDirectory = temporaryDirectory();
    const subscriber = await startedSubscriber(publisher, { stateDirectory });
    const { peer } = await publisher.greeted();
    const filesThere = (): number =>
      readdirSync(stateDirectory).filter((name) => name.endsWith('.release')).length;
    let before = publisher.release(sampleRuleSet(1), { version: 1 });
    await peer.bring(before, snapshotOf(before));
    let most = 0;
    for (let version = 2; version <= 140; version++) {
      const release = publisher.release(sampleRuleSet(version), { version });
      await peer.bring(release, chainOf(before, release));
      most = Math.max(most, filesThere());
      before = release;
    }
    expect(most).toBeGreaterThanOrEqual(129);
    await subscriber.close();
    expect(filesThere()).toBeLessThan(13);
    const again = await startedSubscriber(publisher, { stateDirectory, channel: nobody });
    expect(again.status().version).toBe(140);
    await expectEnforces(again, before.ruleSet);
    await again.close();
  });
});

describe('state that cannot be believed is said and not enforced; the boot mode holds:', () => {
  it('of another key', async () => {
    const foreign = new ScriptedPublisher();
    const stateDirectory = await stateAfter(foreign, sampleReleases(foreign)[0]);
    const publisher = new ScriptedPublisher();
    const subscriber = await startedSubscriber(publisher, { stateDirectory });
    expect(subscriber.lookup(BOOTED)).toMatchObject({ action: 'drop', policy: 'boot' });
    expect(subscriber.status()).toMatchObject({
      version: undefined,
      lastError: { code: ErrorCode.storageFailed, text: expect.stringContaining('key') },
    });
    expect((await publisher.greeted()).hello.holds).toBeUndefined();
  });

  it('of another lineage under the same key', async () => {
    const publisher = new ScriptedPublisher();
    const stateDirectory = await stateAfter(publisher, sampleReleases(publisher)[0]);
    const trust = { ...publisher.trust, lineage: new Uint8Array(16).fill(7) };
    const subscriber = await startedSubscriber(publisher, { stateDirectory, trust, channel: nobody });
    expect(subscriber.lookup(BOOTED).policy).toBe('boot');
    expect(subscriber.status().lastError?.text).toMatch(
      /is of lineage .*give the subscriber an empty --state/,
    );
  });

  it.each([
    [
      'the release file is damaged in both places',
      (path: string) => writeFileSync(path, readFileSync(path).subarray(0, -1)),
    ],
    ['the release file is lost in both places', (path: string) => rmSync(path)],
  ])('%s', async (_title, damage) => {
    const publisher = new ScriptedPublisher();
    const [one] = sampleReleases(publisher);
    const stateDirectory = await stateAfter(publisher, one);
    for (const place of ['', 'copy']) damage(join(stateDirectory, place, fileOf(one)));
    const subscriber = await startedSubscriber(publisher, { stateDirectory });
    expect(subscriber.lookup(BOOTED).policy).toBe('boot');
    expect(subscriber.status()).toMatchObject({ version: undefined, lastError: { code: 'storage-failed' } });
  });

  it.each([
    ['an intact file with other content than its manifest says', 2, 'boot'],
    ['but for the content that its manifest says', 1, 'default'],
  ])('%s', async (_title, contentVersion, policy) => {
    const publisher = new ScriptedPublisher();
    const [one] = sampleReleases(publisher);
    const stateDirectory = temporaryDirectory();
    const unexpected = (what: unknown): never => expect.unreachable(String(what));
    const state = new StateDirectory(stateDirectory, { onDamage: unexpected, onUntidy: unexpected });
    const { hash, bytes: manifestBytes, signatures } = one;
    const content = publisher.release(sampleRuleSet(contentVersion), { version: contentVersion });
    const stream = Buffer.concat(snapshotOf(content).chunks);
    const stored = { hash, base: undefined, manifestBytes, signatures, stream };
    await state.writeRoots([publisher.root]); // else it is refused as signed by nobody
    await state.writeCandidate(stored);
    await state.markActive(stored);
    await state.settled();
    const subscriber = await startedSubscriber(publisher, { stateDirectory, channel: nobody });
    expect(subscriber.lookup(BOOTED).policy).toBe(policy);
    const refused = { version: undefined, lastError: { code: 'storage-failed' } };
    expect(subscriber.status()).toMatchObject(policy === 'boot' ? refused : { version: 1 });
  });

  it('the sink does not take it: discarded, and the publisher may send it again', async () => {
    const publisher = new ScriptedPublisher();
    const [one] = sampleReleases(publisher);
    const stateDirectory = await stateAfter(publisher, one);
    const sink = new RecordingSink();
    sink.onCommit = () => Promise.reject(new Error('busy'));
    const subscriber = await startedSubscriber(publisher, { stateDirectory, sink });
    expect(subscriber.lookup(BOOTED).policy).toBe('boot');
    expect(sink.calls).toEqual(['prepare', 'commit', 'discard']);
    sink.onCommit = () => undefined;
    const { peer } = await publisher.greeted();
    await peer.bring(one);
    await expectEnforces(subscriber, one.ruleSet);
    expect(existsSync(join(stateDirectory, fileOf(one)))).toBe(true);
  });
});

describe('a damaged state', () => {
  // One byte was boot mode, 1,194 times of 1,194.
  //
  it('with any one file damaged or lost, of whatever byte or length, gives the release that was in force', async () => {
    const publisher = new ScriptedPublisher();
    const [one, two, three] = sampleReleases(publisher);
    const stateDirectory = await stateAfter(publisher, one, two, three);
    const files = readdirSync(stateDirectory, { recursive: true, encoding: 'utf8' }).filter(
      (name) => !name.endsWith('copy'),
    );
    expect(files).toHaveLength(12);
    const whole = new Map(files.map((name) => [name, readFileSync(join(stateDirectory, name))]));
    let count = 0;
    for (const [name, bytes] of whole) {
      // Each bit and each length is for state.test.ts: here, each is a start.
      for (const damaged of damagesOf(bytes, often(97, 5))) {
        for (const [other, content] of whole) writeFileSync(join(stateDirectory, other), content);
        if (damaged === undefined) rmSync(join(stateDirectory, name));
        else writeFileSync(join(stateDirectory, name), damaged);
        const subscriber = await startedSubscriber(publisher, { stateDirectory, channel: nobody });
        expect(subscriber.status(), `${name}, damage ${count}`).toMatchObject({ version: 3 });
        expect(subscriber.lookup(packetOf('egress', '10.137.0.5', '203.0.113.3')).policy).toBe('work');
        if (damaged !== undefined && !name.endsWith('clock'))
          expect(subscriber.status().lastError).toMatchObject({ code: 'storage-failed' });
        await subscriber.close();
        count += 1;
      }
    }
    console.log(`${count} damages`);
    const subscriber = await startedSubscriber(publisher, { stateDirectory, channel: nobody });
    await expectEnforces(subscriber, three.ruleSet);
  }, 900_000);

  /** Each `step`th byte changed, each `step`th length, and the file gone. */
  function* damagesOf(bytes: Buffer, step: number): Generator<Buffer | undefined> {
    for (let at = 0; at < bytes.length; at += step) {
      const changed = Buffer.from(bytes);
      changed[at] = (changed[at] ?? 0) ^ 0x10;
      yield changed;
      yield bytes.subarray(0, at);
    }
    yield undefined;
  }

  /** Files as a version before leaves them: the form of the mark, and of releases. */
  async function marked(directories: readonly string[], form: number): Promise<void> {
    for (const directory of directories) {
      const shelf = new Shelf(directory, () => undefined, NODE_DISK);
      const mark = shelf.readNote('active')?.replace('rulecast-active 5', `rulecast-active ${form}`) ?? '';
      await shelf.writeNote('active', mark);
      for (const file of readdirSync(directory).filter((name) => name.endsWith('.release'))) {
        const bytes = readFileSync(join(directory, file)).subarray(0, -32);
        bytes.write('RCS3', 'latin1');
        writeFileSync(join(directory, file), Buffer.concat([bytes, sha256(bytes)]));
      }
    }
  }
  const OPEN = ['egress', '10.137.0.9', '198.51.100.200'] as const;

  it.each([3, 4])(
    'of Rulecast 0.2 or before (mark %i) stays as it is, drops all whatever the boot mode is, and is taken over by the next release',
    async (form) => {
      const publisher = new ScriptedPublisher();
      const [one, two] = sampleReleases(publisher);
      const stateDirectory = await stateAfter(publisher, one);
      const directories = [stateDirectory, join(stateDirectory, 'copy')];
      await marked(directories, form);
      const files = () =>
        directories.flatMap((directory) =>
          readdirSync(directory, { withFileTypes: true }).flatMap((entry) =>
            entry.isFile() && entry.name !== 'clock' ? readFileSync(join(directory, entry.name), 'hex') : [],
          ),
        );
      const before = files();
      for (let start = 0; start < 2; start++) {
        const subscriber = await startedSubscriber(publisher, {
          stateDirectory,
          channel: nobody,
          bootMode: 'open',
        });
        expect(subscriber.status().version).toBeUndefined();
        expect(subscriber.status().lastError?.text).toMatch(/is of Rulecast 0\.2 or before.*push again/);
        expect(subscriber.lookup(packetOf(...OPEN)).action).toBe('drop');
        await subscriber.close();
      }
      expect(files()).toEqual(before);

      const subscriber = await startedSubscriber(publisher, { stateDirectory, bootMode: 'open' });
      const { peer, hello } = await publisher.greeted();
      const { epoch, version } = one.manifest;
      expect([hello.holds, hello.floor]).toEqual([
        undefined,
        form === 4 ? { hash: one.hash, epoch, version } : undefined,
      ]);
      if (form === 4) {
        await peer.offer(publisher.release(sampleRuleSet(2), { epoch, version }));
        expect(await peer.receive('nack')).toMatchObject({ code: 'forked' });
      }
      await peer.bring(two);
      await subscriber.close();
      await expectEnforces(
        await startedSubscriber(publisher, { stateDirectory, channel: nobody }),
        two.ruleSet,
      );
      expect(readdirSync(stateDirectory)).not.toContain(fileOf(one));
    },
  );

  it('whose copy alone is of Rulecast 0.2, for a crash came before it, goes on', async () => {
    const publisher = new ScriptedPublisher();
    const [one] = sampleReleases(publisher);
    const stateDirectory = await stateAfter(publisher, one);
    await marked([join(stateDirectory, 'copy')], 4);
    const subscriber = await startedSubscriber(publisher, { stateDirectory, channel: nobody });
    await expectEnforces(subscriber, one.ruleSet);
  });

  it('a mark of another lineage beside the own one is neither floor nor in force', async () => {
    const publisher = new ScriptedPublisher();
    const [one, two, three] = sampleReleases(publisher);
    const stateDirectory = await stateAfter(publisher, one, two);
    const copy = new Shelf(join(stateDirectory, 'copy'), () => undefined, NODE_DISK);
    const own = copy.readNote('active') ?? '';
    await copy.writeNote('active', own.replace('4c'.repeat(16), 'ab'.repeat(16)));
    rmSync(join(stateDirectory, fileOf(two))); // so that both places are looked at
    const subscriber = await startedSubscriber(publisher, { stateDirectory });
    await expectEnforces(subscriber, two.ruleSet);
    const { peer } = await publisher.greeted();
    await peer.offer(one);
    expect(await peer.receive('nack')).toMatchObject({ code: 'not-newer' });
    await peer.bring(three, chainOf(two, three));
    await subscriber.close();
    expect(readFileSync(join(stateDirectory, 'copy', 'active'), 'latin1')).not.toContain('abab');
  });

  it.each(['writes on', 'is lost'])(
    'that %s in both places gives the newest release before it, says so, keeps the floor, and is brought up to date',
    async (how) => {
      const publisher = new ScriptedPublisher();
      const [one, two, three, four] = sampleReleases(publisher);
      const stateDirectory = await stateAfter(publisher, one, two, three);
      for (const place of ['', 'copy']) {
        const path = join(stateDirectory, place, fileOf(three));
        if (how === 'is lost') rmSync(path);
        else writeFileSync(path, 'rubbish');
      }
      for (let start = 0; start < 2; start++) {
        const subscriber = await startedSubscriber(publisher, { stateDirectory, channel: nobody });
        await expectEnforces(subscriber, two.ruleSet);
        expect(subscriber.status().lastError?.text).toBe(
          'release 0/3, the newest that was in force, is damaged in both places: 0/2 is in force until 0/3 or a newer one comes',
        );
        await subscriber.close();
      }
      const subscriber = await startedSubscriber(publisher, { stateDirectory });
      const { peer, hello } = await publisher.greeted();
      expect(hello).toMatchObject({ holds: { version: 2 }, floor: { hash: three.hash, version: 3 } });
      await peer.send({ kind: 'prove' });
      expect(await peer.receive('proof')).toMatchObject({
        content: three.bytes,
        signatures: three.signatures,
      });
      for (const [old, code] of [
        [one, 'not-newer'],
        [publisher.release(sampleRuleSet(9), { version: 3 }), 'forked'],
      ] as const) {
        await peer.offer(old);
        expect(await peer.receive('nack')).toMatchObject({ code, retry: 'never' });
      }
      await peer.bring(three, chainOf(two, three));
      await expectEnforces(subscriber, three.ruleSet);
      await peer.bring(four, chainOf(three, four));
      await subscriber.close();
      await expectEnforces(
        await startedSubscriber(publisher, { stateDirectory, channel: nobody }),
        four.ruleSet,
      );
    },
  );

  it('without any mark gives the newest release that is whole, and not what nobody signed', async () => {
    const publisher = new ScriptedPublisher();
    const [one, two] = sampleReleases(publisher);
    const stateDirectory = await stateAfter(publisher, one, two);
    for (const place of ['', 'copy']) writeFileSync(join(stateDirectory, place, 'active'), 'rubbish');
    const stranger = new ScriptedPublisher();
    const [, , foreign] = sampleReleases(stranger);
    const foreignDirectory = await stateAfter(stranger, foreign);
    writeFileSync(
      join(stateDirectory, fileOf(foreign)),
      readFileSync(join(foreignDirectory, fileOf(foreign))),
    );
    const subscriber = await startedSubscriber(publisher, { stateDirectory });
    await expectEnforces(subscriber, two.ruleSet);
    const { peer } = await publisher.greeted();
    await peer.offer(one);
    expect(await peer.receive('nack')).toMatchObject({ code: 'not-newer', retry: 'never' });
  });
});

describe('a state directory of another lineage', () => {
  // Every release was refused as not newer, for ever and without a hint.
  //
  it('is left as it is, and both ends are told what to do', async () => {
    const old = new ScriptedPublisher();
    const stateDirectory = await stateAfter(old, ...sampleReleases(old));
    const publisher = new ScriptedPublisher(new Uint8Array(16).fill(7));
    const subscriber = await startedSubscriber(publisher, { stateDirectory });
    expect(subscriber.lookup(BOOTED).policy).toBe('boot');
    const advice = /state directory is of lineage [0-9a-f]{32}, .*give the subscriber an empty --state/;
    expect(subscriber.status().lastError?.text).toMatch(advice);
    const { peer } = await publisher.greeted();
    const [one] = sampleReleases(publisher);
    await peer.offer(one);
    expect(await peer.receive('nack')).toMatchObject({
      code: 'wrong-lineage',
      text: expect.stringMatching(advice),
      retry: 'never',
    });
    await subscriber.close();
    const again = await startedSubscriber(old, { stateDirectory, channel: nobody });
    expect(again.status().version).toBe(4);
  });
});

describe.each([['the release file is lost and its mark is not', /\.release$/]])(
  'after %s',
  (_title, lostFiles) => {
    async function lost(): Promise<{
      readonly publisher: ScriptedPublisher;
      readonly stateDirectory: string;
      readonly releases: ReturnType<typeof sampleReleases>;
    }> {
      const publisher = new ScriptedPublisher();
      const releases = sampleReleases(publisher);
      const stateDirectory = await stateAfter(publisher, releases[0], releases[1]);
      for (const place of ['', 'copy']) {
        for (const name of readdirSync(join(stateDirectory, place))) {
          if (lostFiles.test(name)) rmSync(join(stateDirectory, place, name));
        }
      }
      return { publisher, stateDirectory, releases };
    }

    //
    it('an older release is refused though it is signed, and so is an equal version of other content', async () => {
      const { publisher, stateDirectory, releases } = await lost();
      const subscriber = await startedSubscriber(publisher, { stateDirectory });
      const before = await answersOf(subscriber);
      const { peer } = await publisher.greeted();
      for (const [old, code] of [
        [releases[0], 'not-newer'],
        [publisher.release(sampleRuleSet(9), { version: 2 }), 'forked'],
      ] as const) {
        await peer.offer(old);
        expect(await peer.receive('nack')).toMatchObject({ hash: old.hash, code, retry: 'never' });
      }
      expect(subscriber.status().lastError).toMatchObject({
        code: 'forked',
        text: expect.stringContaining('two publishers use one key'),
      });
      expect(await answersOf(subscriber)).toEqual(before);
    });

    // It was refused as not newer, so the firewall stayed in boot mode until the next push.
    //
    it('the very release that was in force is taken again, and kept again', async () => {
      const { publisher, stateDirectory, releases } = await lost();
      const subscriber = await startedSubscriber(publisher, { stateDirectory });
      const { peer } = await publisher.greeted();
      expect((await peer.bring(releases[1])).persisted).toBe(true);
      await expectEnforces(subscriber, releases[1].ruleSet);
      await subscriber.close();
      const again = await startedSubscriber(publisher, { stateDirectory, channel: nobody });
      await expectEnforces(again, releases[1].ruleSet);
    });

    it('a newer one is taken', async () => {
      const { publisher, stateDirectory, releases } = await lost();
      const subscriber = await startedSubscriber(publisher, { stateDirectory });
      const { peer } = await publisher.greeted();
      await peer.bring(releases[2]);
      await expectEnforces(subscriber, releases[2].ruleSet);
    });
  },
);
