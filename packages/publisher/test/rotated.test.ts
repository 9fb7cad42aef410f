/**
 * A publisher whose keys were rotated, over restarts: what keys signed that may not release any more binds
 * nobody, what others signed does, and it starts whatever there is.
 */

import { cpSync, mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import {
  type Identity,
  openIdentity,
  readRootKey,
  replaceIdentity,
  rootKeyFileOf,
} from '@rulecast/program/identity';
import { idOf, nextRoot, type RootChange } from '@rulecast/program/next-root';
import {
  encodeManifest,
  encodeRoot,
  isSignedBy,
  manifestHash,
  publicBytes,
  readRoot,
  signBytes,
  VERSION_MAX,
  withRoot,
} from '@rulecast/protocol';
import { type Clock, SYSTEM_CLOCK } from '@rulecast/sources';
import { pino } from 'pino';
import { describe, expect, it } from 'vitest';
import { temporaryDirectory } from '../../../test/kit/directory.ts';
import { freshKey } from '../../../test/kit/roots.mjs';
import type { Publisher } from '../src/release/publisher.ts';
import { SignerDesk } from '../src/signer/desk.ts';
import { readRecord, writeRecord } from '../src/signer/record.ts';
import { type SignAnswer, type Signer, SignerError } from '../src/signer/signer.ts';
import { degraded, freshPublisher, pushOf, release } from './fresh-publisher.ts';

const NO_CHANGE: RootChange = { add: {}, remove: [], thresholds: {}, epochCeiling: undefined };

/** A state directory with a backup of its store, and a signer that remembers. */
class House {
  readonly directory = temporaryDirectory();
  readonly #record = join(this.directory, 'record');
  readonly #store = join(this.directory, 'store');
  readonly #backup = join(this.directory, 'backup');
  publisher: Publisher | undefined;

  /** One that has released so many, and has a backup from after `backedUp` of them. */
  static async of(count: number, backedUp: number): Promise<House> {
    const house = new House();
    mkdirSync(house.#record);
    await freshPublisher({ stateDirectory: house.directory }).close();
    for (let i = 1; i <= count; i++) {
      await release(await house.start(), { 'a.txt': `192.0.2.${i}\n` });
      await house.stop();
      if (i === backedUp) cpSync(house.#store, house.#backup, { recursive: true });
    }
    return house;
  }

  get identity(): Identity {
    return openIdentity(this.identityFile);
  }

  get identityFile(): string {
    return join(this.directory, 'identity');
  }

  /** As the daemon starts. */
  async start(
    signer: Signer = this.signer(),
    options: Parameters<typeof freshPublisher>[0] = {},
  ): Promise<Publisher> {
    await this.stop();
    this.publisher = freshPublisher({ stateDirectory: this.directory, signer, ...options });
    await this.publisher.renew();
    return this.publisher;
  }

  async stop(): Promise<void> {
    await this.publisher?.close();
    this.publisher = undefined;
  }

  restore(): void {
    rmSync(this.#store, { recursive: true });
    cpSync(this.#backup, this.#store, { recursive: true });
  }

  signer(): Signer {
    const { identity } = this;
    const desk = new SignerDesk(identity, readRecord(this.#record, identity), (record) =>
      writeRecord(this.#record, identity.lineage, record),
    );
    return { sign: async (bytes) => desk.sign(bytes) };
  }

  /** What somebody who took the publisher over has it sign. */
  async signed(epoch: number, version: number, previousVersion = 0): Promise<void> {
    const totals = { parts: 0, prefixes: 0, others: 0, bytes: 0, catalogue: new Uint8Array(32) };
    const { lineage } = this.identity;
    const place = { lineage, epoch, version, previousVersion, createdAtMs: 0 };
    const answer = await this.signer().sign(encodeManifest({ ...place, ...totals }));
    expect(answer.kind).toBe('signed');
  }

  /** Puts another root in force; `own` are secrets that the publisher gets, or keeps. */
  rotate(change: Partial<RootChange>, own: Identity['keys'] = this.identity.keys): void {
    const { identity } = this;
    const root = nextRoot(identity.root, { ...NO_CHANGE, ...change });
    const content = encodeRoot(root);
    const { key } = readRootKey(rootKeyFileOf(this.identityFile, identity.lineage));
    const next = readRoot({ signatures: signBytes(content, key), content });
    replaceIdentity(this.identityFile, { ...identity, keys: own, roots: withRoot(identity.roots, next) });
  }

  /** As `rulectl keys rotate` does. */
  renewKeys(change: Partial<RootChange> = {}): void {
    const [release, freshness] = [freshKey(), freshKey()];
    const remove = this.identity.keys.map((key) => idOf(publicBytes(key)));
    const add = { release: [publicBytes(release)], freshness: [publicBytes(freshness)] };
    this.rotate({ ...change, add, remove }, [release, freshness]);
  }
}

function isOfNewKeys({ head, identity }: Publisher): boolean {
  if (head === undefined) return false;
  return isSignedBy(identity.root, 'release', { ...head, content: head.manifestBytes });
}

describe('a publisher whose keys are new', () => {
  // It ended with exit 70 at every start: the signer's record stood in the way, and renewing threw that.
  // P-11
  it('starts where an older store was restored, and pushed to, and goes on from there', async () => {
    const house = await House.of(3, 1);
    house.restore();
    const behind = await house.start();
    await expect(behind.push(pushOf({ 'a.txt': '192.0.2.9\n' }))).rejects.toMatchObject({
      code: 'publisher-behind',
    });
    await house.stop();
    house.renewKeys();
    for (const _ of [1, 2]) {
      const publisher = await house.start();
      expect([publisher.behind, isOfNewKeys(publisher)]).toEqual([undefined, true]);
      expect(publisher.head?.manifest).toMatchObject({ epoch: 1, version: 2, previousVersion: 1 });
    }
  });

  it('goes on whatever number the old ones signed, as when the publisher was taken over', async () => {
    const house = await House.of(1, 1);
    await house.signed(17, VERSION_MAX);
    const stuck = await house.start();
    const push = pushOf({ 'a.txt': '192.0.2.9\n' });
    await expect(stuck.push(push)).rejects.toMatchObject({ code: 'publisher-behind' });
    await expect(stuck.push(push, { asNewEpoch: true })).rejects.toMatchObject({
      code: 'epoch-not-granted',
      message: expect.stringMatching(/rulectl keys rotate/),
    });
    expect(degraded(await house.start())).toEqual([expect.stringContaining(`17/${VERSION_MAX} was proved`)]);
    await house.stop();
    house.renewKeys();
    const publisher = await house.start();
    expect([publisher.behind, isOfNewKeys(publisher), degraded(publisher)]).toEqual([undefined, true, []]);
    expect((await release(publisher, { 'a.txt': '192.0.2.2\n' })).manifest).toMatchObject({
      epoch: 1,
      version: 3,
    });
  });

  it('heeds what the old ones signed where one of them may go on to release', async () => {
    const house = await House.of(1, 1);
    const second = freshKey();
    const [first] = house.identity.releaseKeys;
    // Two sign, and either would do: what both signed counts while one of them may.
    house.rotate({ add: { release: [publicBytes(second)] } }, [...house.identity.keys, second]);
    await house.signed(1, 9, 8);
    if (first === undefined) throw new Error('a publisher has a key');
    house.rotate({ remove: [idOf(publicBytes(first))] }, [second, ...house.identity.freshnessKeys]);
    const publisher = await house.start();
    expect(publisher.behind).toEqual({ epoch: 1, version: 9 });
    expect(degraded(publisher)).toEqual([expect.stringContaining('1/9 was proved')]);
    expect(
      (await release(publisher, { 'a.txt': '192.0.2.2\n' }, {}, { asNewEpoch: true })).manifest.epoch,
    ).toBe(2);
  });

  it('forgets a proof by keys that may not release any more, and no other', async () => {
    const house = await House.of(1, 1);
    const [own] = house.identity.releaseKeys;
    if (own === undefined) throw new Error('a publisher has a key');
    const other = freshKey();
    house.rotate({ add: { release: [publicBytes(other)] } }, [...house.identity.keys, other]);
    const prove = async (key: typeof own): Promise<void> => {
      const publisher = await house.start();
      const content = encodeManifest({
        ...(publisher.head?.manifest ?? expect.fail('there is a head')),
        ...{ version: 9, previousVersion: 8 },
      });
      const proof = { content, signatures: signBytes(content, key) };
      await publisher.proved({ hash: manifestHash(content), epoch: 1, version: 9 }, 'fw', proof);
      expect(publisher.behind).toEqual({ epoch: 1, version: 9 });
      await house.stop();
    };
    await prove(own);
    house.rotate({ remove: [idOf(publicBytes(own))] }, [other, ...house.identity.freshnessKeys]);
    expect((await house.start()).behind).toBeUndefined();
    await prove(other);
    house.rotate({ epochCeiling: 33 });
    expect((await house.start()).behind).toEqual({ epoch: 1, version: 9 });
  });

  it.each<[string, SignAnswer | undefined, string]>([
    ['does not answer', undefined, 'root 2 took its keys away'],
    [
      'has signed above all that is granted',
      { kind: 'used', last: { epoch: 17, version: 5, previousVersion: 0 } },
      '17/5 was proved',
    ],
  ])('starts where the signer %s, and says so', async (_, answer, text) => {
    const house = await House.of(1, 1);
    house.renewKeys();
    for (const __ of [1, 2]) {
      const publisher = await house.start({
        sign: async () => answer ?? Promise.reject(new SignerError('no answer')),
      });
      expect([publisher.head?.manifest.version, isOfNewKeys(publisher)]).toEqual([1, false]);
      expect(degraded(publisher)).toEqual([expect.stringContaining(text)]);
    }
  });

  it('that could not be used at the start releases by a push of what is in force', async () => {
    const house = await House.of(1, 1);
    house.renewKeys();
    const signer = house.signer();
    let isDead = true;
    const publisher = await house.start({
      sign: (bytes) => (isDead ? Promise.reject(new SignerError('no answer')) : signer.sign(bytes)),
    });
    expect(degraded(publisher)).toEqual([expect.stringContaining('root 2')]);
    isDead = false;
    expect((await release(publisher, { 'a.txt': '192.0.2.1\n' })).manifest.version).toBe(2);
    expect([isOfNewKeys(publisher), degraded(publisher)]).toEqual([true, []]);
  });
});

describe('a number that was signed', () => {
  it('upon the head and far above it is not passed over, so that numbers do not run out', async () => {
    const house = await House.of(1, 1);
    await house.signed(1, VERSION_MAX - 1, 1);
    const publisher = await house.start();
    const push = pushOf({ 'a.txt': '192.0.2.9\n' });
    await expect(publisher.push(push)).rejects.toMatchObject({ code: 'publisher-behind' });
    const { manifest } = await release(publisher, { 'a.txt': '192.0.2.9\n' }, {}, { asNewEpoch: true });
    expect(manifest).toMatchObject({ epoch: 2, version: 2 });
  });

  it('by keys that were given back again counts again', async () => {
    const house = await House.of(3, 1);
    const before = house.identity;
    house.renewKeys();
    await house.start();
    await house.stop();
    replaceIdentity(house.identityFile, before); // from a backup
    house.restore();
    await expect((await house.start()).push(pushOf({ 'a.txt': '192.0.2.9\n' }))).rejects.toMatchObject({
      code: 'publisher-behind',
    });
  });
});

describe('a publisher whose root asks to be renewed', () => {
  // P-12
  it('says so in its log and its status from thirty days before, until it is', async () => {
    const DAY = 86_400;
    const [start, by] = [1_800_000_000, 1_800_000_000 + 60 * DAY];
    const house = await House.of(1, 1);
    house.rotate({ refreshBy: by });
    let seconds = start;
    let ring: () => void = () => undefined;
    const after: Clock['after'] = (ms, work) => {
      if (ms === 60_000) ring = work;
      return ms === 60_000 ? () => undefined : SYSTEM_CLOCK.after(ms, work);
    };
    const told: string[] = [];
    const logger = pino({}, { write: (line) => void told.push(JSON.parse(line).rootRenewal ?? '') });
    const options = { nowMs: () => seconds * 1000, clock: { ...SYSTEM_CLOCK, after }, logger };
    const publisher = await house.start(house.signer(), options);
    const statusAt = (days: number): readonly string[] => {
      seconds = start + days * DAY;
      const said = degraded(publisher); // whenever it last looked
      ring();
      return said;
    };
    expect(statusAt(29)).toEqual([]);
    const date = new Date(by * 1000).toISOString().slice(0, 19);
    expect(statusAt(30)).toEqual([
      `root 2 is to be renewed by ${date}Z: rulectl keys renew (docs/how-to/keys.md)`,
    ]);
    expect(statusAt(60)).toEqual([
      `root 2 was to be renewed by ${date}Z: rulectl keys renew (docs/how-to/keys.md)`,
    ]);
    expect(told.filter((one) => one !== '')).toEqual(['due', 'overdue']);
    house.rotate({ refreshBy: by + 90 * DAY });
    expect(degraded(await house.start(house.signer(), options))).toEqual([]);
  });
});
