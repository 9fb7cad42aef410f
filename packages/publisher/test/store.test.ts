import { spawn, spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { type Identity, openIdentity } from '@rulecast/program/identity';
import { applyDelta, encodeSnapshot, ProtocolError, STEPS_MAX, verifyRuleSet } from '@rulecast/protocol';
import { formatPrefixAt, type Prefixes, prefixListOf, type RuleSet } from '@rulecast/rules';
import { type Database, open } from 'lmdb';
import { describe, expect, it, onTestFinished } from 'vitest';
import { temporaryDirectory } from '../../../test/kit/directory.ts';
import { seededNumbers } from '../../../test/kit/random.mjs';
import { cases, often } from '../../../test/thorough.ts';
import { SYSTEM_HOST } from '../src/host.ts';
import { Committer } from '../src/release/commit.ts';
import { ReleaseWorker } from '../src/release/worker.ts';
import { type Release, Store, StoreError, type StoreOptions } from '../src/store/store.ts';
import { Churn, PUSHED, randomHosts, ruleSetOf } from './churn.ts';
import { hex, prefixes } from './fresh-publisher.ts';

/** A directory with an identity and a store that is filled, closed and reopened. */
class StoreDirectory {
  readonly path = temporaryDirectory();
  readonly identity: Identity = openIdentity(join(this.path, 'identity'));
  readonly storePath = join(this.path, 'store');

  open(options: StoreOptions = {}): Store {
    const store = new Store(this.storePath, options);
    onTestFinished(() => store.close());
    return store;
  }

  /** Makes the store that goes with the identity, as a first start does. */
  async begin(): Promise<void> {
    const store = new Store(this.storePath);
    if (store.isNew) store.begin(1);
    await store.close();
  }

  /** Commits rule sets one after the other, then closes the store. */
  async fill(ruleSets: Iterable<RuleSet>, options: StoreOptions = {}): Promise<readonly Release[]> {
    const store = new Store(this.storePath, options);
    const committer = this.committerOf(store);
    const releases: Release[] = [];
    for (const ruleSet of ruleSets)
      releases.push(await committer.commit(await committer.draft(ruleSet), PUSHED));
    await store.close();
    return releases;
  }

  committerOf(store: Store, nowMs = (): number => 1_700_000_000_000): Committer {
    return new Committer({
      store,
      encoder: new ReleaseWorker(),
      identity: this.identity,
      nowMs,
      turn: SYSTEM_HOST.turn,
    });
  }

  /** The head that a new process would load. */
  async reopened(
    identity: Identity = this.identity,
    options: StoreOptions = {},
  ): Promise<Release | undefined> {
    const store = new Store(this.storePath, options);
    try {
      return store.load(identity);
    } finally {
      await store.close();
    }
  }

  /** Looks into the closed store, or changes it, behind the back of the code under test. */
  async raw<T>(
    database: string | undefined,
    work: (raw: Database<Uint8Array>) => T | Promise<T>,
  ): Promise<T> {
    const root = open<Uint8Array>({
      path: this.storePath,
      encoding: 'binary',
      noSubdir: false,
      cache: false,
    });
    try {
      return await work(
        database === undefined ? root : root.openDB<Uint8Array>({ name: database, encoding: 'binary' }),
      );
    } finally {
      await root.close();
    }
  }
}

function churn(count: number, entries: number, seed = 7): readonly RuleSet[] {
  const source = new Churn(seed, entries);
  return Array.from({ length: count }, () => source.next());
}

const LARGE: RuleSet[] = [];
const drawLarge = seededNumbers(11);

/**
 * Lists that share nothing, so that each delta is about as large as a snapshot: 400 kB. Always the same ones.
 */
function largeRuleSets(count: number): readonly RuleSet[] {
  while (LARGE.length < count)
    LARGE.push(ruleSetOf({ hosts: prefixListOf(randomHosts(drawLarge, 200_000)) }));
  return LARGE.slice(0, count);
}

function expectSame(actual: RuleSet | undefined, expected: RuleSet | undefined): void {
  if (actual === undefined || expected === undefined) throw new Error('a rule set is missing');
  expect(Buffer.compare(encodeSnapshot(actual), encodeSnapshot(expected))).toBe(0);
}

describe('a store', () => {
  it('has no head before the first release', async () => {
    expect(await new StoreDirectory().reopened()).toBeUndefined();
  });

  it('gives the release back after a reopening, as it was signed', async () => {
    const directory = new StoreDirectory();
    const [release] = await directory.fill(churn(1, 100));
    const loaded = await directory.reopened();
    expect(loaded?.manifest).toEqual(release?.manifest);
    expect(loaded?.manifestBytes).toEqual(release?.manifestBytes);
    expect(loaded?.signatures).toEqual(release?.signatures);
    expect(loaded?.hash).toEqual(release?.hash);
    expectSame(loaded?.ruleSet, release?.ruleSet);
  });

  it('gives the last of 200 changes of a list of 5,000 back', async () => {
    const directory = new StoreDirectory();
    const releases = await directory.fill(churn(200, 5000));
    const loaded = await directory.reopened();
    expect(loaded?.manifest.version).toBe(200);
    expectSame(loaded?.ruleSet, releases.at(-1)?.ruleSet);
  });

  it('goes on from where it was, whichever commits it was reopened between', async () => {
    const directory = new StoreDirectory();
    for (const [i, ruleSet] of churn(12, 300).entries()) {
      const [release] = await directory.fill([ruleSet]);
      expect(release?.manifest).toMatchObject({ version: i + 1, previousVersion: i });
    }
    const store = directory.open();
    const head = store.load(directory.identity);
    expect(store.index.newerThan({ epoch: 1, version: 4 })).toEqual({ count: 8, sinceMs: 1_700_000_000_000 });
    expect(head?.manifest.version).toBe(12);
  });
});

describe('chains', () => {
  it('lead from every release in the history to the head', async () => {
    const directory = new StoreDirectory();
    const releases = await directory.fill(churn(30, 400));
    const store = directory.open();
    const head = store.load(directory.identity);
    if (head === undefined) throw new Error('no head');
    for (const release of releases) {
      const chain = store.chainFrom(hex(release.hash), Number.MAX_SAFE_INTEGER);
      expect(chain).toHaveLength(30 - release.manifest.version);
      const ruleSet = (chain ?? []).reduce((before, delta) => applyDelta(before, delta), release.ruleSet);
      verifyRuleSet(head.manifest, ruleSet);
    }
    expect(store.index.head?.hash).toBe(hex(head.hash));
  });

  it('do not start at a release that is unknown', async () => {
    const directory = new StoreDirectory();
    await directory.fill(churn(3, 100));
    const store = directory.open();
    store.load(directory.identity);
    expect(store.chainFrom('00'.repeat(32), Number.MAX_SAFE_INTEGER)).toBeUndefined();
    expect(store.index.ofHash('00'.repeat(32))).toBeUndefined();
  });

  it('are given up just when they outweigh the limit', async () => {
    const directory = new StoreDirectory();
    const [first] = await directory.fill(churn(4, 100));
    const store = directory.open();
    store.load(directory.identity);
    const hash = hex(first?.hash ?? new Uint8Array());
    const bytes = (store.chainFrom(hash, Number.MAX_SAFE_INTEGER) ?? []).reduce(
      (sum, d) => sum + d.length,
      0,
    );
    expect(store.chainFrom(hash, bytes)).toHaveLength(3);
    expect(store.chainFrom(hash, bytes - 1)).toBeUndefined();
  });

  it('are given up where they lead through a far larger release, which no subscriber would make', async () => {
    const directory = new StoreDirectory();
    const [small, smaller] = churn(2, 100);
    const [large] = largeRuleSets(1);
    if (small === undefined || smaller === undefined || large === undefined) throw new Error('no rule set');
    const releases = await directory.fill([small, large, smaller]);
    const store = directory.open();
    store.load(directory.identity);
    const [first, second] = releases.map(({ hash }) => hex(hash));
    expect(store.chainFrom(first ?? '', Number.MAX_SAFE_INTEGER)).toBeUndefined();
    expect(store.chainFrom(second ?? '', Number.MAX_SAFE_INTEGER)).toHaveLength(1);
  });

  // P-20
  it('are given up where their steps together take more work than a snapshot', async () => {
    const directory = new StoreDirectory();
    const [large] = largeRuleSets(1);
    if (large === undefined) throw new Error('no rule set');
    const [name, list] = [...large.lists][0] ?? [];
    if (list?.kind !== 'prefixes' || name === undefined) throw new Error('no list of prefixes');
    // Each step goes through 200,000 entries: 0.1 million units, of 15 that base and result pay for.
    const steps = Array.from({ length: 160 }, (_, i) => ({
      ...large,
      lists: new Map([[name, { ...list, v4: firstOf(list.v4, 200_000 - i) }]]),
    }));
    const releases = await directory.fill(steps);
    const store = directory.open();
    store.load(directory.identity);
    const chainOf = (i: number) => store.chainFrom(hex(releases[i]?.hash ?? new Uint8Array()), 2 ** 30);
    expect(chainOf(0)).toBeUndefined();
    expect(chainOf(30)).toHaveLength(129);
  });
});

function firstOf({ family, words, lengths }: Prefixes, count: number): Prefixes {
  return { family, words: words.subarray(0, count), lengths: lengths.subarray(0, count) };
}

/** Nothing but the head is on the wire, and nothing but the head in the archive, unless a test says more. */
const NO_HISTORY = { chainBytes: 0, historyReleases: 1, historyDaily: 0, historyWeekly: 0 } as const;

describe('snapshots', () => {
  it('are written when the deltas since the last outweigh two, and let old deltas go, never what a load needs', async () => {
    const directory = new StoreDirectory();
    const releases: Release[] = [];
    const snapshots: string[] = []; // their keys after each release
    for (const ruleSet of largeRuleSets(8)) {
      releases.push(...(await directory.fill([ruleSet], NO_HISTORY)));
      const keys = await directory.raw('snapshots', (raw) => [...raw.getKeys({})]);
      snapshots.push(JSON.stringify(keys));
      // Four deltas of 400 kB or less: the third or fourth after the last snapshot is beyond 1 MiB.
      if (releases.length !== 4) expect(keys).toHaveLength(releases.length < 4 ? 0 : 1);
      expectSame((await directory.reopened())?.ruleSet, ruleSet);
    }
    expect(new Set(snapshots.slice(4)).size).toBeGreaterThan(1); // the older goes when the next is there
    const store = directory.open(NO_HISTORY);
    store.load(directory.identity);
    const known = releases.map((release) => store.index.ofHash(hex(release.hash)) !== undefined);
    expect(known).toHaveLength(8);
    expect(known[0]).toBe(false);
    expect(known.at(-1)).toBe(true);
    expect(known).toEqual([...known].sort()); // the oldest went, and only they
    for (const [i, release] of releases.entries()) {
      const chain = store.chainFrom(hex(release.hash), Number.MAX_SAFE_INTEGER);
      expect(chain === undefined).toBe(!known[i]);
    }
  });

  // Regression: a push of a first million waited until it was encoded once more.
  it('are not written for a list that came whole upon a small one: another would weigh as much', async () => {
    const directory = new StoreDirectory();
    const [small, large] = [10, 700_000].map((count) =>
      ruleSetOf({ hosts: prefixListOf(randomHosts(seededNumbers(count), count)) }),
    );
    if (small === undefined || large === undefined) throw new Error('two were made');
    const snapshots = (): Promise<number> => directory.raw('snapshots', (raw) => raw.getKeysCount({}));
    await directory.fill([small, large]);
    expect(await snapshots()).toBe(0);
    await directory.fill([small]);
    await directory.fill([large]);
    expect(await snapshots()).toBe(1);
    expectSame((await directory.reopened())?.ruleSet, large);
  });

  // Small changes of many parts once kept every manifest ever signed: only bytes of deltas were counted.
  it.each(cases([], [2200]))('are written, and old releases pruned, after many: %i', async (count) => {
    const directory = new StoreDirectory();
    const ruleSets = Array.from({ length: count }, (_, i) =>
      ruleSetOf({ hosts: prefixListOf(prefixes(`10.0.${i >> 8}.${i & 255}`)) }),
    );
    const releases = await directory.fill(ruleSets, { ...NO_HISTORY, chainBytes: 2 ** 26 });
    expect(await directory.raw('releases', (raw) => raw.getKeysCount({}))).toBe(STEPS_MAX + 1);
    expect(await directory.raw('notes', (raw) => raw.getKeysCount({}))).toBe(STEPS_MAX + 1);
    expect(await directory.raw('snapshots', (raw) => raw.getKeysCount({}))).toBe(2);
    expect(await directory.raw('deltas', (raw) => raw.getKeysCount({}))).toBeLessThanOrEqual(2 * STEPS_MAX);
    const store = directory.open();
    expectSame(store.load(directory.identity)?.ruleSet, ruleSets.at(-1));
    const farthest = releases.at(-1 - STEPS_MAX);
    expect(store.chainFrom(hex(farthest?.hash ?? new Uint8Array()), Number.MAX_SAFE_INTEGER)).toHaveLength(
      STEPS_MAX,
    );
    expect(store.index.ofHash(hex(releases[0]?.hash ?? new Uint8Array()))).toBeUndefined();
  });

  it('without pruning leave the whole history to start from', async () => {
    const directory = new StoreDirectory();
    const releases = await directory.fill(largeRuleSets(5));
    const store = directory.open();
    store.load(directory.identity);
    expect(store.chainFrom(hex(releases[0]?.hash ?? new Uint8Array()), Number.MAX_SAFE_INTEGER)).toHaveLength(
      4,
    );
  });
});

describe('the archive', () => {
  const DAY_MS = 86_400_000;
  /** Only what is new counts, and nothing of older days and weeks. */
  const NEWEST = { historyDaily: 0, historyWeekly: 0 } as const;

  /** Commits rule sets, a day apart, and gives the versions that are kept after each. */
  async function keptVersions(
    ruleSets: readonly RuleSet[],
    options: StoreOptions,
  ): Promise<readonly (readonly number[])[]> {
    const directory = new StoreDirectory();
    const store = directory.open(options);
    const kept: (readonly number[])[] = [];
    let nowMs = 1_700_000_000_000;
    const committer = directory.committerOf(store, () => nowMs);
    for (const ruleSet of ruleSets) {
      await committer.commit(await committer.draft(ruleSet), PUSHED);
      kept.push([...store.pastReleases()].map(({ manifest }) => manifest.version));
      nowMs += DAY_MS;
    }
    return kept;
  }

  it('keeps as many releases as it may, and the wire history no more', async () => {
    const kept = await keptVersions(churn(6, 100), { ...NEWEST, chainBytes: 0, historyReleases: 3 });
    expect(kept).toEqual([[1], [2, 1], [3, 2, 1], [4, 3, 2], [5, 4, 3], [6, 5, 4]]);
  });

  it('keeps a release for its time from when the next took its place', async () => {
    const kept = await keptVersions(churn(6, 100), { ...NEWEST, chainBytes: 0, historyAgeMs: 2 * DAY_MS });
    expect(kept.at(-1)).toEqual([6, 5, 4, 3]); // version 3 was the head until 2 days ago
    const less = await keptVersions(churn(6, 100), {
      ...NEWEST,
      chainBytes: 0,
      historyAgeMs: 2 * DAY_MS - 1,
    });
    expect(less.at(-1)).toEqual([6, 5, 4]);
  });

  it('keeps releases up to its bytes', async () => {
    const sizes = new StoreDirectory();
    const releases = await sizes.fill(churn(4, 100));
    let bytes = 0;
    for (const { manifest, manifestBytes, signatures } of releases.slice(1)) {
      const delta = await sizes.raw('deltas', (raw) => raw.get([1, manifest.version] as never)?.length);
      bytes += (delta ?? 0) + manifestBytes.length + signatures.length;
    }
    const kept = await keptVersions(churn(4, 100), { ...NEWEST, chainBytes: 0, historyBytes: bytes });
    expect(kept.at(-1)).toEqual([4, 3, 2]);
    const less = await keptVersions(churn(4, 100), { ...NEWEST, chainBytes: 0, historyBytes: bytes - 1 });
    expect(less.at(-1)).toEqual([4, 3]);
  });

  // 7.8 releases a minute filled it in 9 h, and what was older was gone.
  it('keeps the last release of each day and week, however many come, and rebuilds it', async () => {
    const options = { chainBytes: 0, historyReleases: 3, historyDaily: 4, historyWeekly: 3 };
    const directory = new StoreDirectory();
    let nowMs = Date.UTC(2026, 0, 5); // a Monday
    const store = directory.open(options);
    const committer = directory.committerOf(store, () => nowMs);
    const ruleSets = churn(30 * 4, 100); // four a day, until 3 February, a Tuesday
    const releases: Release[] = [];
    for (const ruleSet of ruleSets) {
      releases.push(await committer.commit(await committer.draft(ruleSet), PUSHED));
      nowMs += DAY_MS / 4;
    }
    const lastOf = (day: number): number => day * 4;
    const expected = [120, 119, 118, lastOf(29), lastOf(28), lastOf(27), lastOf(21)];
    const versionsIn = (from: Store): readonly number[] =>
      [...from.pastReleases()].map(({ manifest }) => manifest.version);
    expect(versionsIn(store)).toEqual(expected);
    const worker = new ReleaseWorker();
    onTestFinished(() => worker.close());
    for (const { manifest, ruleSet, hash } of releases) {
      const recipe = store.recipe(manifest.version);
      expect(recipe !== undefined).toBe(expected.includes(manifest.version));
      if (recipe !== undefined) expectSame(await worker.rebuild(recipe), ruleSet);
      const chain = store.chainFrom(hex(hash), Number.MAX_SAFE_INTEGER);
      expect(chain?.length).toBe(manifest.version >= 118 ? 120 - manifest.version : undefined);
    }
    expect(store.index.newerThan({ epoch: 1, version: lastOf(21) })).toMatchObject({
      count: 120 - lastOf(21),
    });
    await store.close();
    const again = directory.open(options);
    expectSame(again.load(directory.identity)?.ruleSet, ruleSets.at(-1));
    expect(versionsIn(again)).toEqual(expected);
  });

  it('lets go of the deltas and snapshots that nothing needs which is kept', async () => {
    const options = { chainBytes: 0, historyReleases: 2, historyDaily: 2, historyWeekly: 0 };
    const directory = new StoreDirectory();
    let nowMs = Date.UTC(2026, 0, 5);
    const store = directory.open(options);
    const committer = directory.committerOf(store, () => nowMs);
    const made = largeRuleSets(often(10, 24));
    for (const ruleSet of made) {
      await committer.commit(await committer.draft(ruleSet), PUSHED);
      nowMs += DAY_MS / 4;
    }
    await store.close();
    const count = (name: string): Promise<number> => directory.raw(name, (raw) => raw.getKeysCount({}));
    expect(await count('releases')).toBe(3); // the newest two, and the last of the day before
    expect(await count('snapshots')).toBeLessThanOrEqual(2);
    expect(await count('deltas')).toBeLessThanOrEqual(8);
    expect((await directory.reopened())?.manifest.version).toBe(made.length);
  });

  it('keeps for longer what the wire history has', async () => {
    const kept = await keptVersions(churn(4, 100), { ...NEWEST, historyAgeMs: 0, historyReleases: 1 });
    expect(kept.at(-1)).toEqual([4, 3, 2, 1]);
  });

  it.each([
    ['small changes', () => churn(40, 300), { chainBytes: 0, historyReleases: 7 }],
    ['large changes, with snapshots between', () => largeRuleSets(9), { chainBytes: 0, historyReleases: 4 }],
    ['everything', () => largeRuleSets(7), {}],
  ] as const)('rebuilds each release it keeps: %s', async (_title, make, options) => {
    const directory = new StoreDirectory();
    const releases = await directory.fill(make(), options);
    const store = directory.open(options);
    store.load(directory.identity);
    const worker = new ReleaseWorker();
    onTestFinished(() => worker.close());
    const oldest = store.index.oldestVersion ?? 0;
    for (const release of releases) {
      const { version } = release.manifest;
      const recipe = store.recipe(version);
      expect(recipe !== undefined).toBe(version >= oldest);
      if (recipe !== undefined) expectSame(await worker.rebuild(recipe), release.ruleSet);
    }
    expect(store.recipe(releases.length + 1)).toBeUndefined();
    expect(releases.length - oldest + 1).toBe('historyReleases' in options ? options.historyReleases : 7);
  });

  it('notices damage when it rebuilds, and gives no other rule set', async () => {
    const directory = new StoreDirectory();
    await directory.fill(churn(6, 200));
    const delta = await directory.raw('deltas', (raw) => Buffer.from(raw.get([1, 3] as never) ?? ''));
    delta[delta.length - 1] = (delta.at(-1) ?? 0) ^ 0x55;
    const manifest = await directory.raw('releases', (raw) => Buffer.from(raw.get([1, 2] as never) ?? ''));
    const digestAt = manifest.length - 20;
    manifest[digestAt] = (manifest[digestAt] ?? 0) ^ 1;
    const store = directory.open();
    const intact = store.load(directory.identity);
    expect(intact?.manifest.version).toBe(6);
    await directory.raw('releases', (raw) => raw.put([1, 2] as never, manifest));
    await directory.raw('deltas', (raw) => raw.put([1, 3] as never, delta));
    const worker = new ReleaseWorker();
    onTestFinished(() => worker.close());
    for (const version of [2, 3, 4]) {
      const recipe = store.recipe(version);
      if (recipe === undefined) throw new Error('no recipe');
      await expect(worker.rebuild(recipe), `version ${version}`).rejects.toThrow(ProtocolError);
    }
    const first = store.recipe(1);
    if (first !== undefined) await worker.rebuild(first);
  });

  it('says what made each release and what it changed, and does without where that is lost', async () => {
    const directory = new StoreDirectory();
    await directory.fill(churn(3, 100));
    await directory.raw('notes', (raw) => raw.put([1, 2] as never, Buffer.from('{"cause":"push"')));
    await directory.raw('notes', (raw) => raw.remove([1, 1] as never));
    const store = directory.open();
    store.load(directory.identity);
    const notes = [...store.pastReleases()].map((past) => past.notes);
    expect(notes[0]).toMatchObject({ ...PUSHED, changedCount: expect.any(Number) });
    expect(notes[0]?.added).toBeGreaterThan(0);
    for (const lost of notes.slice(1)) {
      expect(lost).toEqual({
        cause: 'unknown',
        detail: '',
        changedParts: [],
        changedCount: 0,
        added: 0,
        removed: 0,
      });
    }
  });
});

describe('a store of another version of Rulecast', () => {
  it('is refused with what to do, and stays as it is', async () => {
    const directory = new StoreDirectory();
    await directory.fill(churn(2, 20));
    const form = await directory.raw(undefined, (raw) => Buffer.from(raw.get('form') ?? ''));
    for (const other of [undefined, Buffer.from('rulecast-store 1')]) {
      await directory.raw(undefined, (raw) =>
        other === undefined ? raw.remove('form') : raw.put('form', other),
      );
      await expect(directory.reopened()).rejects.toThrow(
        /is of another version of Rulecast, .* --start-over/,
      );
    }
    await directory.raw(undefined, (raw) => raw.put('form', form));
    expect((await directory.reopened())?.manifest.version).toBe(2);
  });
});

describe('a damaged store is refused, and never gives a wrong rule set', () => {
  /** What a load of a damaged store comes to. */
  async function outcome(directory: StoreDirectory, intact: RuleSet): Promise<'refused' | 'same' | 'wrong'> {
    try {
      const loaded = await directory.reopened();
      if (loaded === undefined) return 'wrong';
      return Buffer.compare(encodeSnapshot(loaded.ruleSet), encodeSnapshot(intact)) === 0 ? 'same' : 'wrong';
    } catch (error) {
      if (error instanceof StoreError) return 'refused';
      throw error;
    }
  }

  /** Flips one bit of each of some bytes of a value, one at a time, and loads. */
  async function flipEach(
    directory: StoreDirectory,
    database: string | undefined,
    key: unknown,
  ): Promise<void> {
    const intact = (await directory.reopened())?.ruleSet;
    if (intact === undefined) throw new Error('no head');
    const original = await directory.raw(database, (raw) => Buffer.from(raw.get(key as string) ?? ''));
    expect(original.length).toBeGreaterThan(0);
    const step = Math.max(1, Math.floor(original.length / often(8, 24)));
    const outcomes: string[] = [];
    for (let at = 0; at < original.length; at += step) {
      const damaged = Buffer.from(original);
      damaged[at] = (damaged[at] ?? 0) ^ (1 << (at & 7));
      await directory.raw(database, (raw) => raw.put(key as string, damaged));
      outcomes.push(await outcome(directory, intact));
    }
    expect(outcomes).not.toContain('wrong');
    // A deflated or bit-packed body has a bit here and there that means nothing.
    expect(outcomes.filter((each) => each === 'refused').length).toBeGreaterThanOrEqual(outcomes.length - 2);
    await directory.raw(database, (raw) => raw.put(key as string, original));
    expect(await outcome(directory, intact)).toBe('same');
  }

  it.each([1, 3, 5])('a byte of the delta of version %i of 5', async (version) => {
    const directory = new StoreDirectory();
    await directory.fill(churn(5, 200));
    await flipEach(directory, 'deltas', [1, version]);
  });

  it('a byte of the snapshot', async () => {
    const directory = new StoreDirectory();
    let key: unknown;
    for (const ruleSet of largeRuleSets(5)) {
      if (key !== undefined) break; // a snapshot of the head: no later delta puts its list anew
      await directory.fill([ruleSet]);
      [key] = await directory.raw('snapshots', (raw) => [...raw.getKeys({})]);
    }
    await flipEach(directory, 'snapshots', key);
  });

  it('a byte of where the head is', async () => {
    const directory = new StoreDirectory();
    await directory.fill(churn(5, 200));
    await flipEach(directory, undefined, 'head');
  });

  it('a byte of the signature or the manifest of the head', async () => {
    const directory = new StoreDirectory();
    await directory.fill(churn(5, 200));
    const original = await directory.raw('releases', (raw) => Buffer.from(raw.get([1, 5]) ?? ''));
    // The first 32 bytes are numbers that only accounts are kept with.
    for (let at = 32; at < original.length; at += 5) {
      const damaged = Buffer.from(original);
      damaged[at] = (damaged[at] ?? 0) ^ 0x10;
      await directory.raw('releases', (raw) => raw.put([1, 5], damaged));
      await expect(directory.reopened(), `byte ${at}`).rejects.toThrow(StoreError);
    }
  });

  it.each([
    ['deltas', [1, 3]],
    ['releases', [1, 5]],
  ])('%s without %j', async (database, key) => {
    const directory = new StoreDirectory();
    await directory.fill(churn(5, 200));
    await directory.raw(database, (raw) => raw.remove(key));
    await expect(directory.reopened()).rejects.toThrow(StoreError);
  });

  it.each([
    ['releases', [1, 5], new Uint8Array(10)],
    ['deltas', [1, 5], new Uint8Array(0)],
    [undefined, 'head', new Uint8Array(15)],
  ])('%s with a value cut off at %j', async (database, key, value) => {
    const directory = new StoreDirectory();
    await directory.fill(churn(5, 200));
    await directory.raw(database, (raw) => raw.put(key, Buffer.from(value)));
    await expect(directory.reopened()).rejects.toThrow(StoreError);
  });

  it('a delta that belongs to another release', async () => {
    const directory = new StoreDirectory();
    await directory.fill(churn(5, 200));
    await directory.raw('deltas', (raw) => raw.put([1, 4], Buffer.from(raw.get([1, 3]) ?? '')));
    await expect(directory.reopened()).rejects.toThrow(StoreError);
  });
});

describe('a store of another identity', () => {
  it('is refused by its lineage', async () => {
    const directory = new StoreDirectory();
    await directory.fill(churn(2, 50));
    const stranger = openIdentity(join(directory.path, 'stranger'));
    await expect(directory.reopened(stranger)).rejects.toThrow(/another lineage/);
    await expect(directory.reopened(stranger)).rejects.toThrow(StoreError);
  });

  it('is refused by its key, where only the lineage is the same', async () => {
    const directory = new StoreDirectory();
    await directory.fill(churn(2, 50));
    const { root, roots } = openIdentity(join(directory.path, 'stranger'));
    const forger = { ...directory.identity, root, roots };
    await expect(directory.reopened(forger)).rejects.toThrow(/not signed by this identity/);
  });

  it('in a place that is no directory cannot be opened', () => {
    expect(() => new Store(join(new StoreDirectory().path, 'identity'))).toThrow(StoreError);
  });
});

describe('a process that is killed', () => {
  const CHILD = fileURLToPath(new URL('./commit-child.mjs', import.meta.url));

  /** Runs commits in a process; kills it once it printed `killAfter` versions. Gives what it printed. */
  async function runCommits(
    directory: StoreDirectory,
    count: number,
    killAfter: number | 'itself',
  ): Promise<{ readonly printed: readonly number[]; readonly signal: NodeJS.Signals | null }> {
    const end = killAfter === 'itself' ? ['die'] : [];
    await directory.begin();
    const child = spawn(process.execPath, [CHILD, directory.path, String(count), ...end], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const exited = new Promise<NodeJS.Signals | null>((resolve) => {
      child.on('exit', (_code, signal) => resolve(signal));
    });
    const printed: number[] = [];
    for await (const line of createInterface(child.stdout)) {
      printed.push(Number(line));
      if (printed.length === killAfter) child.kill('SIGKILL');
    }
    return { printed, signal: await exited };
  }

  /** The version whose content a release has, by its first entry. */
  function contentVersion(release: Release | undefined): number {
    const list = release?.ruleSet.lists.get('blocked');
    if (list?.kind !== 'prefixes') throw new Error('no list');
    expect(list.v4.lengths).toHaveLength(200);
    return Number(formatPrefixAt(list.v4, 0).split('.')[1]);
  }

  it('right after a commit resolved has it on disk', async () => {
    const directory = new StoreDirectory();
    for (const version of [1, 2, 3]) {
      const { printed, signal } = await runCommits(directory, 1, 'itself');
      expect({ printed, signal }).toEqual({ printed: [version], signal: 'SIGKILL' });
      const head = await directory.reopened();
      expect(head?.manifest.version).toBe(version);
      expect(contentVersion(head)).toBe(version);
    }
  });

  it('right after it noted what it is behind has that on disk', async () => {
    const directory = new StoreDirectory();
    const child = fileURLToPath(new URL('./behind-child.mjs', import.meta.url));
    expect(spawnSync(process.execPath, [child, directory.storePath]).signal).toBe('SIGKILL');
    expect(directory.open().behind).toEqual([8, 9]); // it was not: LMDB committed in a later turn
  });

  it('at any time of 50 commits loses none that resolved, and leaves a whole head', async () => {
    const draw = seededNumbers(5);
    for (let round = 0; round < often(2, 6); round++) {
      const directory = new StoreDirectory();
      const { printed, signal } = await runCommits(directory, 50, 1 + draw(40));
      expect(signal).toBe('SIGKILL');
      const head = await directory.reopened();
      const version = head?.manifest.version ?? 0;
      expect(version).toBeGreaterThanOrEqual(printed.at(-1) ?? 0);
      expect(contentVersion(head)).toBe(version);
      const [next] = await directory.fill(churn(1, 20));
      expect(next?.manifest.previousVersion).toBe(version);
    }
  });
});
