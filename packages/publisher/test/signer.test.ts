/**
 * The signer: a key signs one release a number, whatever dies when; and the publisher, who asks it, stays
 * whole where it does not answer.
 */

import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { openIdentity } from '@rulecast/program/identity';
import { encodeManifest, hexOf, isSignedBy, manifestHash } from '@rulecast/protocol';
import { type Clock, SYSTEM_CLOCK } from '@rulecast/sources';
import type { Endpoint } from '@rulecast/vchan';
import { describe, expect, it, onTestFinished } from 'vitest';
import { childWith } from '../../../test/kit/children.ts';
import { temporaryDirectory } from '../../../test/kit/directory.ts';
import { freshKey, rootOf } from '../../../test/kit/roots.mjs';
import { turns } from '../../../test/kit/turns.ts';
import fc from '../../../test/seeded-fast-check.ts';
import { FakeClock } from '../../sources/test/fake-clock.ts';
import { BehindError } from '../src/release/commit.ts';
import { SignerDesk, type SignerKeys, type SignerRecord } from '../src/signer/desk.ts';
import { SignerLink } from '../src/signer/link.ts';
import { readRecord, recordDirectory, writeRecord } from '../src/signer/record.ts';
import { type SignAnswer, type Signer, SignerError } from '../src/signer/signer.ts';
import { openStateOf } from '../src/store/state.ts';
import { freshPublisher, pushOf, release, SILENT } from './fresh-publisher.ts';

const LINEAGE = new Uint8Array(16).fill(7);
const KEY = freshKey();
const KEYS: SignerKeys = {
  lineage: LINEAGE,
  root: rootOf(LINEAGE, KEY, { epochFloor: 1, epochCeiling: 9 }),
  releaseKeys: [KEY],
};

/** The bytes of a manifest; `content` tells apart what has the same number. */
function manifestOf(epoch: number, version: number, content = 0, previousVersion = version - 1): Uint8Array {
  return encodeManifest({
    lineage: LINEAGE,
    epoch,
    version,
    previousVersion,
    createdAtMs: content,
    parts: 0,
    prefixes: 0,
    others: 0,
    bytes: 0,
    catalogue: new Uint8Array(32),
  });
}

/** A desk whose record is in memory, as it would be on a disk. */
function freshDesk(): {
  readonly desk: SignerDesk;
  readonly kept: SignerRecord[];
  readonly reopen: () => SignerDesk;
} {
  const kept: SignerRecord[] = [];
  const reopen = (): SignerDesk => new SignerDesk(KEYS, kept.at(-1), (record) => kept.push(record));
  return { desk: reopen(), kept, reopen };
}

describe('the desk', () => {
  it('signs any number above, with gaps, and keeps each before', () => {
    const { desk, kept } = freshDesk();
    for (const [epoch, version] of [
      [1, 1],
      [1, 2],
      [1, 9],
      [2, 1],
      [7, 3],
    ] as const) {
      expect(desk.sign(manifestOf(epoch, version)).kind).toBe('signed');
      expect(kept.at(-1)).toMatchObject({
        epoch,
        version,
        hash: hexOf(manifestHash(manifestOf(epoch, version))),
      });
    }
  });

  it('signs the same again, and keeps nothing for that', () => {
    const { desk, kept, reopen } = freshDesk();
    const first = desk.sign(manifestOf(1, 5));
    expect(desk.sign(manifestOf(1, 5))).toEqual(first);
    expect(reopen().sign(manifestOf(1, 5))).toEqual(first);
    expect(kept).toHaveLength(1);
  });

  it.each([
    ['the same number', 1, 5],
    ['a lower number', 1, 4],
    ['a higher one of an epoch before', 0, 9],
  ])('signs nothing else under %s, and says which was the last', (_, epoch, version) => {
    const { kept } = freshDesk();
    const keys = { ...KEYS, root: rootOf(LINEAGE, KEY, { epochCeiling: 9 }) };
    const desk = new SignerDesk(keys, undefined, (record) => kept.push(record));
    desk.sign(manifestOf(1, 5));
    const answer = desk.sign(manifestOf(epoch, version, 1));
    expect(answer).toMatchObject({ kind: 'used', last: { epoch: 1, version: 5, previousVersion: 4 } });
    expect(kept).toHaveLength(1);
  });

  it.each([
    ['no manifest', new Uint8Array(104)],
    ['a root', Buffer.from('RCR1 and so on')],
    ['a manifest and more', new Uint8Array([...manifestOf(1, 1), 0])],
    ['another lineage', manifestOf(1, 1).fill(1, 4, 20)],
    ['an epoch above what the root grants', manifestOf(10, 1)],
  ])('signs nothing that is %s', (_, bytes) => {
    const { desk, kept } = freshDesk();
    expect(() => desk.sign(bytes)).toThrow();
    expect(kept).toEqual([]);
  });

  it('signs nothing that it cannot keep, and the number is free after that', () => {
    let isFull = true;
    const desk = new SignerDesk(KEYS, undefined, () => {
      if (isFull) throw new Error('no space left');
    });
    expect(() => desk.sign(manifestOf(1, 1))).toThrow('no space left');
    isFull = false;
    expect(desk.sign(manifestOf(1, 1, 2)).kind).toBe('signed');
  });

  // Number reuse: what a signature was given for must be the only thing under its number for ever.
  it('that dies before, while or after it keeps a record never signs two releases under a number', () => {
    const step = fc.record({
      epoch: fc.integer({ min: 1, max: 3 }),
      version: fc.integer({ min: 1, max: 4 }),
      content: fc.integer({ min: 0, max: 2 }),
      dies: fc.constantFrom('before', 'after', 'never', 'never'),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
        const disk: SignerRecord[] = [];
        const given = new Map<string, string>();
        const open = (dies: string): SignerDesk =>
          new SignerDesk(KEYS, disk.at(-1), (record) => {
            if (dies === 'before') throw new Error('died');
            disk.push(record);
            if (dies === 'after') throw new Error('died');
          });
        let desk = open('never');
        for (const { epoch, version, content, dies } of steps) {
          if (dies !== 'never') desk = open(dies);
          const bytes = manifestOf(epoch, version, content);
          const hash = hexOf(manifestHash(bytes));
          try {
            if (desk.sign(bytes).kind !== 'signed') continue;
            const before = given.get(`${epoch}/${version}`);
            expect(before ?? hash).toBe(hash);
            given.set(`${epoch}/${version}`, hash);
          } catch (error) {
            if (!(error instanceof Error) || error.message !== 'died') throw error;
            desk = open('never');
          }
        }
      }),
    );
  });
});

describe('the record', () => {
  it('comes back as it was kept, and what a crash left half written does not count', () => {
    const directory = temporaryDirectory();
    expect(readRecord(directory, KEYS)).toBeUndefined();
    const record = { epoch: 2, version: 7, previousVersion: 5, hash: 'ab'.repeat(32) };
    writeRecord(directory, LINEAGE, record);
    writeFileSync(join(directory, 'last.0123456789ab'), '{"epoch":9');
    expect(readRecord(directory, KEYS)).toEqual(record);
    expect(readdirSync(directory)).toEqual(['last', 'reserve']);
  });

  it('is the last of some lines, of which one that was cut off does not count, and goes with the next', () => {
    const directory = temporaryDirectory();
    const text = (): string => readFileSync(join(directory, 'last'), 'utf8');
    const record = (version: number): SignerRecord => ({
      epoch: 2,
      version,
      previousVersion: version - 1,
      hash: 'ab'.repeat(32),
    });
    for (const version of [7, 8, 9]) writeRecord(directory, LINEAGE, record(version));
    const whole = text();
    expect(whole.split('\n')).toHaveLength(4);
    expect(readRecord(directory, KEYS)).toEqual(record(9));
    for (let cut = 1; cut < 20; cut++) {
      writeFileSync(join(directory, 'last'), `${whole}${whole.slice(0, cut)}`);
      expect(readRecord(directory, KEYS)).toEqual(record(9));
    }
    writeRecord(directory, LINEAGE, record(10));
    expect(text().split('\n')).toHaveLength(2);
    expect(readRecord(directory, KEYS)).toEqual(record(10));
    for (let version = 11; version <= 230; version++) writeRecord(directory, LINEAGE, record(version));
    expect(text().length).toBeLessThan(10_000); // it began anew
    expect(readRecord(directory, KEYS)).toEqual(record(230));
  });

  it('with any one byte changed signs what it signed before, or nothing', () => {
    const directory = temporaryDirectory();
    for (const version of [1, 2])
      writeRecord(directory, LINEAGE, { epoch: 1, version, previousVersion: version - 1, hash: 'ab' });
    const bytes = readFileSync(join(directory, 'last'));
    for (let at = 0; at < bytes.length; at++) {
      const spoiled = Buffer.from(bytes);
      spoiled[at] = 0x7f;
      writeFileSync(join(directory, 'last'), spoiled);
      let version: number | undefined;
      try {
        version = readRecord(directory, KEYS)?.version;
      } catch (error) {
        expect(error).toMatchObject({ code: 'identity' });
      }
      expect([undefined, 2]).toContain(version);
    }
  });

  // An identity that took the place of another was refused its first numbers.
  it('is of one lineage', () => {
    const directory = temporaryDirectory();
    writeRecord(directory, LINEAGE, { epoch: 2, version: 7, previousVersion: 5, hash: 'ab'.repeat(32) });
    expect(readRecord(directory, { ...KEYS, lineage: new Uint8Array(16) })).toBeUndefined();
  });

  it.each(['', '{', '[]', 'null', '{"epoch":1}', '{"epoch":-1,"version":1,"previousVersion":0,"hash":""}'])(
    'that is damaged (%j) signs nothing',
    (text) => {
      const directory = temporaryDirectory();
      writeFileSync(join(directory, 'last'), text);
      expect(() => readRecord(directory, KEYS)).toThrow('which number was signed last');
    },
  );
});

/** A signer with the keys of a publisher, which remembers, and fails as it is told. */
function remembering(directory: string): Signer & { fails: 'never' | 'after' } {
  const identity = openIdentity(join(directory, 'identity'));
  let desk: SignerDesk | undefined;
  const place = join(directory, 'record');
  mkdirSync(place, { recursive: true });
  const signer = {
    fails: 'never' as 'never' | 'after',
    async sign(bytes: Uint8Array): Promise<SignAnswer> {
      desk ??= new SignerDesk(identity, readRecord(place, identity), (record) =>
        writeRecord(place, identity.lineage, record),
      );
      const answer = desk.sign(bytes);
      if (signer.fails === 'after') throw new SignerError('the signer did not answer');
      return answer;
    },
  };
  return signer;
}

describe('a publisher', () => {
  it('releases nothing while the signer fails, and passes over the numbers that were lost so', async () => {
    const stateDirectory = temporaryDirectory();
    await freshPublisher({ stateDirectory }).close();
    const signer = remembering(stateDirectory);
    const publisher = freshPublisher({ stateDirectory, signer });
    await release(publisher, { 'a.txt': '192.0.2.1\n' });
    signer.fails = 'after';
    for (const address of ['192.0.2.2', '192.0.2.3', '192.0.2.4']) {
      await expect(publisher.push(pushOf({ 'a.txt': `${address}\n` }))).rejects.toThrow('did not answer');
      expect(publisher.head?.manifest.version).toBe(1);
    }
    signer.fails = 'never';
    const { manifest, signatures, manifestBytes } = await release(publisher, { 'a.txt': '192.0.2.5\n' });
    expect([manifest.version, manifest.previousVersion]).toEqual([3, 1]);
    expect(isSignedBy(publisher.identity.root, 'release', { signatures, content: manifestBytes })).toBe(true);
    expect((await release(publisher, { 'a.txt': '192.0.2.6\n' })).manifest.version).toBe(4);
  });

  it('whose store is older than what was signed is behind, and goes on in a new epoch', async () => {
    const stateDirectory = temporaryDirectory();
    await freshPublisher({ stateDirectory }).close();
    const publisher = freshPublisher({ stateDirectory, signer: remembering(stateDirectory) });
    await release(publisher, { 'a.txt': '192.0.2.1\n' });
    await publisher.close();
    // The same key signed 2 and 3 upon what this store does not have.
    const place = join(stateDirectory, 'record');
    const { lineage } = openIdentity(join(stateDirectory, 'identity'));
    writeRecord(place, lineage, { epoch: 1, version: 3, previousVersion: 2, hash: '00'.repeat(32) });
    const restored = freshPublisher({ stateDirectory, signer: remembering(stateDirectory) });
    await expect(restored.push(pushOf({ 'a.txt': '192.0.2.2\n' }))).rejects.toThrow(BehindError);
    expect(restored.behind).toEqual({ epoch: 1, version: 3 });
    const { manifest } = await release(restored, { 'a.txt': '192.0.2.2\n' }, {}, { asNewEpoch: true });
    expect([manifest.epoch, manifest.version]).toEqual([2, 2]);
  });
});

const SIGNER = fileURLToPath(new URL('../dist/signer-main.js', import.meta.url));

function linkTo(identityFile: string, clock: Clock = SYSTEM_CLOCK): SignerLink {
  const endpoint: Endpoint = { kind: 'exec', command: process.execPath, args: [SIGNER, identityFile] };
  const link = new SignerLink({ endpoint, clock, logger: SILENT, timeoutMs: 60_000 });
  onTestFinished(() => link.close());
  return link;
}

describe('the process', () => {
  it('makes the identity, and shows all of it but the keys that sign releases', async () => {
    const file = join(temporaryDirectory(), 'identity');
    const link = linkTo(file);
    expect(await link.identity()).toBeUndefined();
    expect(existsSync(file)).toBe(false);
    const made = await link.make();
    const { releaseKeys, keys, ...own } = openIdentity(file);
    expect(made).toMatchObject({
      lineage: own.lineage,
      root: own.root,
      rootHash: own.rootHash,
      hasRootKey: true,
    });
    expect(made.releaseKeys).toEqual([]);
    expect(releaseKeys).toHaveLength(1);
    expect(made.keys).toHaveLength(keys.length - 1);
  });

  it('says what it is for to whoever calls it by hand', () => {
    const { status, stdout } = spawnSync(process.execPath, [SIGNER, '--help'], { encoding: 'utf8' });
    expect([status, stdout]).toEqual([0, expect.stringMatching(/^rulecast-signer IDENTITY\n/)]);
    for (const args of [[], ['a', 'b']]) {
      const wrong = spawnSync(process.execPath, [SIGNER, ...args], { encoding: 'utf8' });
      expect([wrong.status, wrong.stderr]).toEqual([
        64,
        expect.stringContaining('it takes the identity file'),
      ]);
    }
  });

  it('that is killed is started again, and goes on where it was', async () => {
    const directory = temporaryDirectory();
    const file = join(directory, 'identity');
    const link = linkTo(file);
    const state = await openStateOf(link, { stateDirectory: directory }, 0);
    const publisher = freshPublisher({ stateDirectory: directory, state, signer: link });
    await release(publisher, { 'a.txt': '192.0.2.1\n' });
    process.kill(childWith(file), 'SIGKILL');
    await release(publisher, { 'a.txt': '192.0.2.2\n' });
    expect(publisher.head?.manifest.version).toBe(2);
    const { signatures, manifestBytes } = publisher.head ?? {};
    expect(
      signatures &&
        manifestBytes &&
        isSignedBy(state.identity.root, 'release', { signatures, content: manifestBytes }),
    ).toBe(true);
    expect(readRecord(recordDirectory(file), state.identity)).toMatchObject({
      version: 2,
      previousVersion: 1,
    });
  });

  it('that hangs fails the push, of which nothing is done, and another takes its place', async () => {
    const directory = temporaryDirectory();
    const file = join(directory, 'identity');
    const starting = linkTo(file);
    const state = await openStateOf(starting, { stateDirectory: directory }, 0);
    starting.close();
    const clock = new FakeClock();
    const link = linkTo(file, clock);
    await link.identity();
    const publisher = freshPublisher({ stateDirectory: directory, state, signer: link });
    const pid = childWith(file);
    process.kill(pid, 'SIGSTOP');
    let refusal: unknown;
    const push = publisher.push(pushOf({ 'a.txt': '192.0.2.1\n' })).catch((error: unknown) => {
      refusal = error;
    });
    while (refusal === undefined) {
      await turns();
      clock.advance(1000);
    }
    await push;
    expect(refusal).toMatchObject({
      code: 'signer-failed',
      message: 'the signer did not answer within 60 s',
    });
    expect(publisher.head).toBeUndefined();
    process.kill(pid, 'SIGKILL');
    await release(publisher, { 'a.txt': '192.0.2.1\n' });
    expect(publisher.head?.manifest.version).toBe(1);
  });

  it.each([
    ['an answer that is none', 'echo {}'],
    ['no answer', 'exit 3'],
    ['more than one', 'printf \'{"signatures":"00"}\\nx\\n\'; cat'],
    ['no end of it', 'yes | tr -d "\\n"'],
  ])('that gives %s signs nothing', async (_, script) => {
    const endpoint: Endpoint = { kind: 'exec', command: 'sh', args: ['-c', `read line; ${script}`] };
    const link = new SignerLink({ endpoint, clock: SYSTEM_CLOCK, logger: SILENT });
    onTestFinished(() => link.close());
    await expect(link.sign(manifestOf(1, 1))).rejects.toThrow(SignerError);
  });

  it('is the only one: a second one waits for the first to end', async () => {
    const file = join(temporaryDirectory(), 'identity');
    const [first, second] = [linkTo(file), linkTo(file)];
    await first.make();
    const asked = second.identity();
    first.close();
    expect((await asked)?.releaseKeys).toEqual([]);
  });
});
