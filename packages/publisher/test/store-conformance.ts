/**
 * What the publisher's store must keep, whatever its databases do. Each kind of databases calls
 * `describeStore` with places for them.
 */

import { join } from 'node:path';
import { type Identity, openIdentity } from '@rulecast/program/identity';
import { catalogueOf, encodeDelta, encodeSnapshot, hexOf, partText } from '@rulecast/protocol';
import { prefixListOf } from '@rulecast/rules';
import { describe, expect, it } from 'vitest';
import { temporaryDirectory } from '../../../test/kit/directory.ts';
import { Random, seededNumbers } from '../../../test/kit/random.mjs';
import { SimulatedDatabases } from '../../../test/simulate/databases.ts';
import { SYSTEM_HOST } from '../src/host.ts';
import { Committer } from '../src/release/commit.ts';
import type { Databases } from '../src/store/databases.ts';
import { type Release, type ReleaseNotes, Store, StoreError, type StoreOptions } from '../src/store/store.ts';
import { encodeKey } from '../src/store/stored.ts';
import { Churn, PUSHED, randomHosts, ruleSetOf } from './churn.ts';
import { type DatabaseFault, faultyDatabases } from './faulty-databases.ts';

/** Where databases are, opened by one process after the other. */
export interface StorePlace {
  open(): Databases;
  /** The process ends. */
  end(): Promise<void>;
}

/** A release as it is handed to the store. */
interface Made {
  readonly release: Release;
  readonly delta: Uint8Array;
}

/** So few that old ones go while a test runs. */
const KEPT: StoreOptions = { chainBytes: 1, historyReleases: 5, historyDaily: 0, historyWeekly: 0 };
/** Then come three releases that outweigh what gathers before a snapshot is made, then small ones. */
const BEFORE_COUNT = 4;
const LARGE_COUNT = 3;
const LARGE_HOSTS = 200_000;
const LAST_COUNT = 20;
const NOTES: ReleaseNotes = { ...PUSHED, changedParts: [], changedCount: 0, added: 0, removed: 0 };
const FAULTS: readonly DatabaseFault[] = ['ENOSPC', 'doubtful', 'before', 'after'];

interface History {
  readonly identity: Identity;
  /** The release of version 1 first. */
  readonly made: readonly Made[];
}

let history: Promise<History> | undefined;

/** Releases in a row, made once. */
function madeHistory(): Promise<History> {
  history ??= makeHistory();
  return history;
}

async function makeHistory(): Promise<History> {
  const identity = openIdentity(join(temporaryDirectory(), 'identity'));
  const databases = new SimulatedDatabases(1);
  const committer = new Committer({
    store: new Store('', {}, () => databases.open()),
    encoder: {
      encodeDelta: async (delta) => encodeDelta(delta),
      encodeSnapshot: async (ruleSet) => ({ bytes: encodeSnapshot(ruleSet), sha256: new Uint8Array(32) }),
    },
    identity,
    nowMs: () => 1_700_000_000_000,
    turn: SYSTEM_HOST.turn,
  });
  const churn = new Churn(3, 20);
  const draw = seededNumbers(5);
  const made: Made[] = [];
  for (let version = 1; version <= LAST_COUNT; version++) {
    const isLarge = version > BEFORE_COUNT && version <= BEFORE_COUNT + LARGE_COUNT;
    const draft = await committer.draft(
      isLarge ? ruleSetOf({ hosts: prefixListOf(randomHosts(draw, LARGE_HOSTS)) }) : churn.next(),
    );
    made.push({ release: await committer.commit(draft, PUSHED), delta: draft.deltaBytes });
  }
  return { identity, made };
}

/** A publisher's use of its store, from one start to the next. */
class Keeper {
  readonly #place: StorePlace;
  readonly #history: History;
  #store: Store;
  #databases: Databases;
  #loaded: Release | undefined;
  #acknowledged = 0;
  #begun = 0;

  constructor(place: StorePlace, of: History) {
    this.#place = place;
    this.#history = of;
    this.#databases = place.open();
    this.#store = new Store('', KEPT, () => this.#databases);
  }

  get store(): Store {
    return this.#store;
  }

  get databases(): Databases {
    return this.#databases;
  }

  /** Another process begins on the same place, whose transaction `at` has a fault. */
  async restart(at = 0, fault: DatabaseFault = 'ENOSPC'): Promise<{ readonly isHit: boolean }> {
    await this.#place.end();
    const databases = faultyDatabases(this.#place.open(), at, fault);
    this.#databases = databases;
    this.#store = new Store('', KEPT, () => databases);
    this.#loaded = this.#store.load(this.#history.identity);
    return databases;
  }

  changedVersions(): Readonly<Record<string, number>> {
    const parts = this.#loaded === undefined ? [] : catalogueOf(this.#loaded.ruleSet).records;
    return Object.fromEntries(parts.map((part) => [partText(part), this.#store.changedVersionOf(part)]));
  }

  /** Makes of the store one from before, which had the version of each part of the head in a row. */
  async toRows(): Promise<void> {
    await this.restart();
    const { meta } = this.#databases;
    const parts = this.changedVersions();
    this.#databases.transactionSync(() => {
      void meta.remove('changed');
      for (const [part, version] of Object.entries(parts))
        void meta.put(`changed ${part}`, encodeKey([1, version]));
    });
  }

  /** Keys of the parts' versions, old and new. */
  get changedKeys(): readonly string[] {
    return [...this.#databases.meta.getKeys({})].filter((key) => key.startsWith('changed'));
  }

  /** Commits the next release. Whether that was acknowledged. */
  async commit(): Promise<boolean> {
    const next = this.#history.made[this.#acknowledged];
    if (next === undefined) throw new Error('no more releases are made');
    this.#begun = this.#acknowledged + 1;
    const head = this.#store.index.head?.hash;
    try {
      await this.#store.commit(next.release, next.delta, NOTES, async () =>
        encodeSnapshot(next.release.ruleSet),
      );
    } catch (error) {
      expect(error).toBeInstanceOf(StoreError);
      expect(this.#store.index.head?.hash).toBe(head);
      return false;
    }
    this.#acknowledged += 1;
    return true;
  }

  async commitTo(version: number): Promise<void> {
    while (this.#acknowledged < version) expect(await this.commit()).toBe(true);
  }

  /** A start without faults finds what was acknowledged, or what was begun, and all that is kept is whole. */
  async expectKept(): Promise<void> {
    await this.restart();
    const loaded = this.#loaded;
    const version = loaded?.manifest.version ?? 0;
    expect([this.#acknowledged, this.#begun]).toContain(version);
    this.#acknowledged = version;
    if (loaded === undefined) return;
    const expected = this.#history.made[version - 1]?.release;
    expect(loaded.hash).toEqual(expected?.hash);
    expect(this.changedVersions()).toEqual(changedBy(this.#history.made.slice(0, version)));
    for (const { manifest } of this.#store.pastReleases()) {
      const recipe = this.#store.recipe(manifest.version);
      expect(Buffer.from(recipe?.manifestBytes ?? [])).toEqual(
        Buffer.from(this.#history.made[manifest.version - 1]?.release.manifestBytes ?? []),
      );
    }
  }
}

/** By part of the last release: the version that gave it its content, by comparing all of them. */
function changedBy(made: readonly Made[]): Readonly<Record<string, number>> {
  let versions = new Map<string, { readonly digest: string; readonly version: number }>();
  for (const { release } of made) {
    const { version } = release.manifest;
    versions = new Map(
      catalogueOf(release.ruleSet).records.map((part) => {
        const digest = hexOf(part.digest);
        const before = versions.get(partText(part));
        return [partText(part), before?.digest === digest ? before : { digest, version }];
      }),
    );
  }
  return Object.fromEntries([...versions].map(([part, { version }]) => [part, version]));
}

export function describeStore(
  name: string,
  makePlace: (seed: number) => StorePlace,
  seeds: readonly number[],
): void {
  describe(`a store on ${name}`, () => {
    describe.each(seeds)('with seed %i', (seed) => {
      const keeper = async (): Promise<Keeper> => new Keeper(makePlace(seed), await madeHistory());
      describeFaults(keeper);
      describeKeys(keeper);
      describeDamage(keeper, new Random(seed));
    });
  });
}

type MakeKeeper = () => Promise<Keeper>;

function describeFaults(make: MakeKeeper): void {
  it('that is empty has no head, at any number of starts', async () => {
    const keeper = await make();
    await keeper.expectKept();
    expect(keeper.store.isNew).toBe(true);
  });

  it('gives back what was acknowledged, through a snapshot and while old releases go', async () => {
    const keeper = await make();
    await keeper.commitTo(BEFORE_COUNT);
    await keeper.expectKept();
    await keeper.commitTo(LAST_COUNT);
    expect([...keeper.databases.snapshots.getKeys({})]).toHaveLength(1);
    expect([...keeper.databases.deltas.getKeys({})].length).toBeLessThan(LAST_COUNT - BEFORE_COUNT);
    await keeper.expectKept();
  });

  it.each(FAULTS)('keeps the head and goes on where a transaction has the fault %s', async (fault) => {
    const keeper = await make();
    await keeper.commitTo(BEFORE_COUNT);
    for (let at = 1; at <= 3; at++) {
      const databases = await keeper.restart(at, fault);
      for (let i = 1; i <= at; i++) expect(await keeper.commit()).toBe(i < at);
      expect(databases.isHit).toBe(true);
      // After a refusal the same process goes on; where it cannot know what is on disk, it gives no number.
      expect(await keeper.commit()).toBe(fault === 'ENOSPC');
      await keeper.expectKept();
      expect(await keeper.commit()).toBe(true);
      await keeper.expectKept();
    }
  });
}

function describeKeys(make: MakeKeeper): void {
  it('has one value for the versions of all parts', async () => {
    const keeper = await make();
    await keeper.commitTo(LAST_COUNT);
    await keeper.expectKept();
    expect(keeper.changedKeys).toEqual(['changed']);
  });

  it.each([...FAULTS, undefined])(
    'reads the rows of a store from before, also after the fault %s',
    async (fault) => {
      const keeper = await make();
      await keeper.commitTo(BEFORE_COUNT);
      await keeper.toRows();
      await keeper.expectKept();
      if (fault !== undefined) {
        await keeper.restart(1, fault);
        expect(await keeper.commit()).toBe(false);
        await keeper.expectKept();
      }
      expect(await keeper.commit()).toBe(true);
      await keeper.expectKept();
      expect(keeper.changedKeys).toEqual(['changed']);
    },
  );

  it.each([
    ['is damaged', (bytes: Uint8Array) => bytes.subarray(8)],
    ['is of another release', (bytes: Uint8Array) => new Uint8Array(bytes.length)],
  ])('starts where the value of all versions %s, which are for people', async (_, spoil) => {
    const keeper = await make();
    await keeper.commitTo(2);
    const { meta } = keeper.databases;
    const spoilt = spoil(Uint8Array.from(meta.get('changed') ?? []));
    keeper.databases.transactionSync(() => void meta.put('changed', spoilt));
    await keeper.restart();
    expect(new Set(Object.values(keeper.changedVersions()))).toEqual(new Set([2]));
    expect(await keeper.commit()).toBe(true);
  });

  it('has its first epoch, what it is behind, and subscribers on disk once they are stored', async () => {
    const keeper = await make();
    keeper.store.begin(7);
    keeper.store.noteBehind([8, 9], ['00000000000000ab', '1200000000000000']);
    await keeper.store.storeSubscribers(
      new Map([
        ['one', 'first'],
        ['two', 'second'],
      ]),
    );
    await keeper.store.storeSubscribers(new Map([['one', undefined]]));
    await keeper.restart();
    expect([keeper.store.isNew, keeper.store.firstEpoch, keeper.store.behind]).toEqual([false, 7, [8, 9]]);
    expect(keeper.store.behindKeys).toEqual(['00000000000000ab', '1200000000000000']);
    keeper.store.noteBehind([8, 10]);
    expect([keeper.store.behind, keeper.store.behindKeys]).toEqual([[8, 10], undefined]);
    expect([...keeper.store.storedSubscribers()]).toEqual([['two', 'second']]);
  });

  it('keeps what it is behind as it was where it cannot be written', async () => {
    const keeper = await make();
    keeper.store.noteBehind([8, 9], ['00000000000000ab', '1200000000000000']);
    await keeper.restart(1, 'ENOSPC');
    expect(() => keeper.store.noteBehind([10, 1])).toThrow(StoreError);
    expect(keeper.store.behind).toEqual([8, 9]);
    await keeper.restart();
    expect(keeper.store.behind).toEqual([8, 9]);
  });
}

function describeDamage(make: MakeKeeper, random: Random): void {
  it.each(['releases', 'deltas'] as const)(
    'finds a flipped bit of what the head is made of in %s, at each start until it is mended',
    async (name) => {
      const keeper = await make();
      await keeper.commitTo(LAST_COUNT);
      const database = keeper.databases[name];
      const key = [...database.getKeys({})].at(-1) ?? [];
      const whole = Uint8Array.from(database.get(key) ?? []);
      const damaged = whole.slice();
      const first = name === 'releases' ? 32 : 0; // the numbers that are first in a release prove nothing
      const at = first + random.below(whole.length - first);
      damaged[at] = (damaged[at] ?? 0) ^ (1 << random.below(8));
      keeper.databases.transactionSync(() => void database.put(key, damaged));
      await expect(keeper.expectKept()).rejects.toThrow(StoreError);
      await expect(keeper.expectKept()).rejects.toThrow(StoreError);
      keeper.databases.transactionSync(() => void keeper.databases[name].put(key, whole));
      await keeper.expectKept();
    },
  );

  // One damaged manifest of long ago once kept the publisher from starting.
  it('starts where releases before the head are damaged, and knows those no more', async () => {
    const keeper = await make();
    await keeper.commitTo(BEFORE_COUNT);
    const headHash = keeper.store.index.head?.hash;
    const { releases } = keeper.databases;
    const [first = [], second = []] = [...releases.getKeys({})];
    const own = Uint8Array.from(releases.get(first) ?? []);
    keeper.databases.transactionSync(() => {
      void releases.put(first, own.subarray(0, own.length - 1));
      void releases.put(second, own); // whole, and in another one's place
    });
    await keeper.restart();
    expect(keeper.store.index.head?.hash).toBe(headHash);
    expect(keeper.store.damagedCount).toBe(2);
    expect([1, 2, 3].map((version) => keeper.store.recipe(version)?.version)).toEqual([
      undefined,
      undefined,
      3,
    ]);
    expect(await keeper.commit()).toBe(true);
    await keeper.restart();
    expect([keeper.store.damagedCount, keeper.store.index.oldestVersion]).toEqual([2, 3]);
  });

  it.each(['begun', 'behind', 'head'])('finds that %s is beyond all numbers', async (name) => {
    const keeper = await make();
    keeper.store.begin(1);
    keeper.store.noteBehind([8, 9], ['00000000000000ab', '1200000000000000']);
    await keeper.commitTo(2);
    const { meta } = keeper.databases;
    const damaged = Uint8Array.from(meta.get(name) ?? []);
    damaged[7] = 0x80; // such an epoch no release could be given
    keeper.databases.transactionSync(() => void meta.put(name, damaged));
    await expect(keeper.restart()).rejects.toThrow(StoreError);
  });

  it('starts where notes are damaged, on which nothing depends', async () => {
    const keeper = await make();
    await keeper.commitTo(2);
    const { notes } = keeper.databases;
    keeper.databases.transactionSync(() => {
      for (const key of [...notes.getKeys({})]) void notes.put(key, Uint8Array.of(random.below(256)));
    });
    await keeper.expectKept();
  });
}
