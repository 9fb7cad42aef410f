/** The newest release of a depot: what brings it, and what mirrors cannot do. */

import {
  applyChain,
  type DepotHead,
  formatRoots,
  objectPath,
  referenceOf,
  verifyRuleSet,
} from '@rulecast/protocol';
import { EMPTY_RULE_SET } from '@rulecast/rules';
import { describe, expect, it, onTestFinished } from 'vitest';
import { freshKey, rootOf, signedRoot, soleRoot } from '../../../test/kit/roots.mjs';
import type { Publisher } from '../../publisher/src/release/publisher.ts';
import { WORK_IN_PLACE } from '../../publisher/src/release/worker.ts';
import { freshPublisher, hex } from '../../publisher/test/fresh-publisher.ts';
import { FakeClock } from '../../sources/test/fake-clock.ts';
import { DepotFeed, type FeedOptions } from '../src/index.ts';
import { type Files, headOf, MemorySource, releases, withHead, write } from './depot-rig.ts';

function newPublisher(): Publisher {
  return freshPublisher({ workHost: WORK_IN_PLACE });
}

interface Said {
  readonly level: string;
  readonly fields: object;
  readonly text: string;
}

function feedOf(publisher: Publisher, sources: readonly MemorySource[], options: Partial<FeedOptions> = {}) {
  const clock = new FakeClock();
  const said: Said[] = [];
  const say = (level: string) => (fields: object, text: string) => void said.push({ level, fields, text });
  const { lineage, rootHash } = publisher.identity;
  const feed = new DepotFeed({
    sources,
    trust: { lineage, rootHash },
    clock,
    random: () => 0.5,
    logger: { info: say('info'), warn: say('warn') },
    pollMs: 15_000,
    ...options,
  });
  feed.start();
  onTestFinished(() => feed.close());
  /** Time passes, and what was asked then is answered. */
  const pass = async (ms: number): Promise<void> => {
    await polled();
    clock.advance(ms);
    await polled();
  };
  /** All mirrors wait for their next poll. */
  const polled = (): Promise<void> =>
    expect
      .poll(() => clock.pendingMs.filter((due) => due <= 60_000), { interval: 1 })
      .toHaveLength(sources.length) as Promise<void>;
  return { feed, clock, said, pass, polled };
}

/** Takes a release as a subscriber does, and says which it is. */
async function taken(feed: DepotFeed, base?: Publisher['head']): Promise<string> {
  const { release } = feed;
  if (release === undefined) return 'nothing';
  const { base: from, stream } = await feed.stream(release, base?.hash);
  verifyRuleSet(release.manifest, applyChain(from && base ? base.ruleSet : EMPTY_RULE_SET, stream));
  return `${release.manifest.version} from ${from ? base?.manifest.version : 'nothing'}`;
}

describe('a feed', () => {
  it('has the newest release for who has nothing, and by a delta for who has one of before', async () => {
    const publisher = newPublisher();
    const first = await releases(publisher, 1);
    await releases(publisher, 3, 300);
    const { feed } = feedOf(publisher, [new MemorySource(await write(publisher))]);
    await feed.ready();
    expect(hex(feed.release?.hash ?? new Uint8Array())).toBe(hex(publisher.head?.hash ?? new Uint8Array()));
    expect(await taken(feed)).toBe('4 from nothing');
    expect(await taken(feed, first)).toBe('4 from 1');
    expect(feed.roots.map(({ hash }) => hex(hash))).toEqual(
      publisher.identity.roots.map(({ hash }) => hex(hash)),
    );
    expect(feed.trouble).toBeUndefined();
  });

  it('takes the next release at the next poll, or at once where the source hears of it', async () => {
    const publisher = newPublisher();
    await releases(publisher, 1);
    const files = await write(publisher);
    const source = new MemorySource(files);
    const { feed, clock, polled, pass } = feedOf(publisher, [source]);
    await polled();
    expect(clock.pendingMs).toEqual([15_000]);
    await releases(publisher, 1, 201);
    await write(publisher, files);
    await pass(15_000);
    expect(feed.release?.manifest.version).toBe(2);
    await releases(publisher, 1, 202);
    await write(publisher, files);
    source.onHeads?.();
    await expect.poll(() => feed.release?.manifest.version).toBe(3);
  });

  it('keeps one object of one release, whatever becomes of its page', async () => {
    const publisher = newPublisher();
    await releases(publisher, 3);
    const source = new MemorySource(await write(publisher));
    const { feed, pass, polled } = feedOf(publisher, [source]);
    await polled();
    const before = feed.release;
    const heard: string[] = [];
    feed.on('release', () => heard.push('release'));
    const keys = publisher.identity.freshnessKeys;
    const { sequence } = headOf(source.files);
    source.files = withHead(source.files, { sequence: sequence + 1 }, ...keys);
    await pass(15_000);
    const page = Uint8Array.from(source.files.get(objectPath(headOf(source.files).page)) ?? []);
    page[page.length - 1] = 0;
    const other = referenceOf(page);
    source.files = withHead(source.files, { sequence: sequence + 2, page: other }, ...keys);
    source.files.set(objectPath(other), page);
    await pass(15_000);
    expect(source.asked.filter((path) => path === objectPath(other))).toHaveLength(1);
    expect(feed.release).toBe(before);
    expect(heard).toEqual([]);
  });

  it('reads each stream once for all who want it, and lets it go after a minute', async () => {
    const publisher = newPublisher();
    await releases(publisher, 3);
    const source = new MemorySource(await write(publisher));
    const { feed, clock } = feedOf(publisher, [source]);
    await feed.ready();
    const before = source.asked.length;
    await Promise.all([taken(feed), taken(feed), taken(feed)]);
    await taken(feed);
    const pieces = source.asked.length - before;
    expect(pieces).toBeLessThanOrEqual(2);
    clock.advance(60_000);
    await taken(feed);
    expect(source.asked.slice(before).filter((path) => path !== 'head')).toHaveLength(pieces * 2);
    expect(clock.pendingMs.length).toBeGreaterThan(0);
    await feed.close();
    expect(clock.pendingMs).toEqual([]); // else the process goes on for a minute
  });
});

describe('a mirror', () => {
  const NOT_BELIEVED: readonly (readonly [
    string,
    (head: DepotHead) => Partial<DepotHead>,
    boolean,
    string,
  ])[] = [
    [
      'nobody signed',
      ({ sequence }) => ({ sequence: sequence + 2 ** 40 }),
      false,
      'is not signed by keys of freshness',
    ],
    [
      'is of another lineage',
      () => ({ lineage: new Uint8Array(16) }),
      true,
      'its head is of another lineage',
    ],
    [
      'is of another root',
      () => ({ rootHash: new Uint8Array(32) }),
      true,
      'of another root than the one in force',
    ],
    [
      'claims a root that is not there',
      () => ({ rootNumber: 2, rootHash: new Uint8Array(32) }),
      true,
      'of another root',
    ],
    [
      'names a release that its page is not of',
      () => ({ hash: new Uint8Array(32) }),
      true,
      'of another release than',
    ],
  ];

  it.each(NOT_BELIEVED)('with a head that %s hides no good one', async (_, change, isSigned, text) => {
    const publisher = newPublisher();
    await releases(publisher, 2);
    const files = await write(publisher);
    const keys = isSigned ? publisher.identity.freshnessKeys : [freshKey()];
    const forged = withHead(
      files,
      { sequence: headOf(files).sequence + 9, ...change(headOf(files)) },
      ...keys,
    );
    const { feed, said, polled } = feedOf(publisher, [
      new MemorySource(forged, 'forged'),
      new MemorySource(files, 'good'),
    ]);
    await polled();
    expect(await taken(feed)).toBe('2 from nothing');
    expect(said.map((one) => one.text)).toEqual([expect.stringContaining(text)]);
    expect(said[0]?.fields).toEqual({ mirror: 'forged' });
  });

  it('that hangs holds up no other', async () => {
    const publisher = newPublisher();
    await releases(publisher, 2);
    const files = await write(publisher);
    const hanging = new MemorySource(files, 'hanging');
    hanging.instead = (path) => (path === 'head' ? new Promise(() => undefined) : undefined);
    const { feed } = feedOf(publisher, [hanging, new MemorySource(files, 'good')]);
    await feed.ready();
    expect(await taken(feed)).toBe('2 from nothing');
  });

  it('that names an object and never brings it holds up no head of another', async () => {
    const publisher = newPublisher();
    await releases(publisher, 1);
    const files = await write(publisher);
    const good = new MemorySource(files, 'good');
    const hanging = new MemorySource(files, 'hanging');
    const { feed, pass, clock, polled } = feedOf(publisher, [good, hanging]);
    await polled();
    await releases(publisher, 1, 201);
    hanging.files = await write(publisher, new Map(files));
    hanging.instead = (path) => (path === 'head' ? undefined : new Promise(() => undefined));
    for (let i = 0; i < 3; i++) await pass(15_000);
    clock.advance(15_000); // the far one shows a head, and nothing else
    await expect.poll(() => hanging.asked.some((path) => path.startsWith('o/'))).toBe(true);
    good.files = hanging.files;
    clock.advance(15_000);
    await expect.poll(() => feed.release?.manifest.version).toBe(2);
  });

  it('with the head of a thief that names an endless page has none of it read', async () => {
    const publisher = newPublisher();
    await releases(publisher, 1);
    const files = await write(publisher);
    const endless = { sha256: new Uint8Array(32), length: 0xffff_ffff };
    const change = { sequence: headOf(files).sequence + 1, page: endless };
    const source = new MemorySource(withHead(files, change, ...publisher.identity.freshnessKeys));
    const { said, polled } = feedOf(publisher, [source]);
    await polled();
    expect(said[0]?.text).toContain('its page exceeds ');
    expect(source.asked).not.toContain(objectPath(endless));
  });

  it('with an older head changes nothing', async () => {
    const publisher = newPublisher();
    await releases(publisher, 1);
    const old = new Map(await write(publisher));
    await releases(publisher, 1, 201);
    const files = await write(publisher, new Map(old));
    const source = new MemorySource(files);
    const { feed, pass, polled } = feedOf(publisher, [source]);
    await polled();
    source.files = new Map([...files, ['head', old.get('head') ?? new Uint8Array()]]);
    await pass(15_000);
    expect(feed.release?.manifest.version).toBe(2);
  });

  it.each([
    ['spoiled in a cache', 'again', '3 from 2', 1],
    ['spoiled there', 'other', '3 from 2', 2],
    ['spoiled everywhere', 'snapshot', '3 from nothing', 4],
  ])('with a delta %s is passed by: %s', async (_, where, outcome, tries) => {
    const publisher = newPublisher();
    const base = await releases(publisher, 2);
    await releases(publisher, 1, 202);
    const files = await write(publisher);
    const sources = [new MemorySource(files, 'first'), new MemorySource(files, 'second')];
    const { feed, polled } = feedOf(publisher, sources);
    await polled();
    const release = feed.release;
    if (release === undefined) throw new Error('no release');
    const asked: string[] = [];
    for (const source of sources) {
      source.instead = (path, isAgain) => {
        asked.push(path);
        const isGood =
          asked.filter((one) => one === path).length > tries ||
          path !== asked[0] ||
          (where === 'again' && isAgain);
        return isGood ? undefined : Uint8Array.from(files.get(path) ?? []).fill(7);
      };
    }
    expect(await taken(feed, base)).toBe(outcome);
    expect(asked.filter((path) => path === asked[0])).toHaveLength(where === 'snapshot' ? 4 : tries + 1);
  });

  it('whose snapshot is spoiled as well gives nothing, and says what it tried', async () => {
    const publisher = newPublisher();
    await releases(publisher, 2);
    const source = new MemorySource(await write(publisher));
    const { feed, polled } = feedOf(publisher, [source]);
    await polled();
    source.instead = () => Uint8Array.of(1);
    await expect(taken(feed)).rejects.toThrow('memory: an object does not match its hash');
    source.instead = () => undefined;
    expect(await taken(feed)).toBe('2 from nothing');
  });

  it('is asked less often while it fails, and as often as before once it is well', async () => {
    const publisher = newPublisher();
    await releases(publisher, 1);
    const source = new MemorySource(await write(publisher));
    source.fault = 'connection refused';
    const { feed, clock, pass, polled, said } = feedOf(publisher, [source]);
    await expect(feed.ready()).rejects.toThrow('memory: connection refused');
    expect(feed.trouble).toBe('memory: connection refused');
    for (const waitMs of [30_000, 60_000, 60_000]) {
      await polled();
      expect(clock.pendingMs).toEqual([waitMs]);
      await pass(waitMs);
    }
    source.fault = undefined;
    await pass(60_000);
    expect(clock.pendingMs).toEqual([15_000]);
    expect(feed.trouble).toBeUndefined();
    expect(said.map(({ level, text }) => `${level} ${text}`)).toEqual([
      'warn memory: connection refused',
      'info the mirror is well again',
    ]);
  });

  it('that is not the nearest is asked each fourth time, and at once where the nearer fails', async () => {
    const publisher = newPublisher();
    await releases(publisher, 1);
    const files = await write(publisher);
    const [near, far] = [new MemorySource(files, 'near'), new MemorySource(new Map(files), 'far')];
    const { feed, clock, pass, polled } = feedOf(publisher, [near, far]);
    const heads = () => [near, far].map(({ asked }) => asked.filter((path) => path === 'head').length);
    await polled();
    expect(heads()).toEqual([1, 1]);
    for (let i = 0; i < 4; i++) await pass(15_000);
    expect(heads()).toEqual([5, 2]);
    expect(far.asked.filter((path) => path !== 'head')).toEqual([]);
    await releases(publisher, 1, 300);
    await write(publisher, far.files);
    near.fault = 'connection refused';
    await pass(15_000);
    expect(heads()[1]).toBe(3);
    expect(clock.pendingMs).toEqual([15_000, 30_000]);
    expect(await taken(feed)).toBe('2 from nothing');
  });

  it('spreads its polls over a fifth of their time', async () => {
    const publisher = newPublisher();
    await releases(publisher, 1);
    const files = await write(publisher);
    for (const [chance, waitMs] of [
      [0, 13_500],
      [0.5, 15_000],
      [0.75, 15_750],
    ] as const) {
      const { clock, polled } = feedOf(publisher, [new MemorySource(files)], { random: () => chance });
      await polled();
      expect(clock.pendingMs.map(Math.round)).toEqual([waitMs]);
    }
  });

  it('whose head stands still is said to, after as long as a head counts, until it moves', async () => {
    const publisher = newPublisher();
    await releases(publisher, 1);
    const source = new MemorySource(await write(publisher));
    const { feed, pass, said } = feedOf(publisher, [source]);
    for (let i = 0; i < 19; i++) await pass(15_000);
    expect(feed.trouble).toBeUndefined();
    await pass(15_000);
    expect(feed.trouble).toBe('no mirror has a newer head');
    const { sequence } = headOf(source.files);
    source.files = withHead(source.files, { sequence: sequence + 1 }, ...publisher.identity.freshnessKeys);
    await pass(15_000);
    expect(feed.trouble).toBeUndefined();
    expect(said.map(({ text }) => text)).toEqual([
      'no mirror has a newer head: the publisher is away, or somebody on the way holds newer ones back',
      'there are newer heads again',
    ]);
  });
});

describe('roots in a depot', () => {
  /** A depot of a lineage whose root key is known, with a head of each root. */
  async function rotated() {
    const publisher = newPublisher();
    await releases(publisher, 1);
    const files = await write(publisher);
    const { key, root: first, trust } = soleRoot(publisher.identity.lineage);
    const next = freshKey();
    const second = signedRoot(rootOf(trust.lineage, next, { number: 2 }), key, next);
    const headUnder = (
      roots: readonly (typeof first)[],
      sequence: number,
      signer = roots.length === 1 ? key : next,
    ): Files => {
      const text = Buffer.from(formatRoots(roots));
      const last = roots.at(-1) ?? first;
      const change = {
        rootNumber: last.root.number,
        rootHash: last.hash,
        roots: referenceOf(text),
        sequence,
      };
      return withHead(files, change, signer).set(objectPath(referenceOf(text)), text);
    };
    return { publisher, trust, key, first, second, headUnder };
  }

  it('are followed, and a head of the root before counts no more, whatever its sequence', async () => {
    const { publisher, trust, first, second, headUnder } = await rotated();
    const source = new MemorySource(headUnder([first], 5));
    const { feed, pass, polled, said } = feedOf(publisher, [source], { trust });
    await polled();
    expect(feed.roots).toHaveLength(1);
    let told = 0;
    feed.on('roots', () => told++);
    source.files = headUnder([first, second], 1);
    await pass(15_000);
    expect([feed.roots.length, told, said]).toEqual([2, 1, []]);
    source.files = headUnder([first], 2 ** 50);
    await pass(15_000);
    expect(said.map(({ text }) => text)).toEqual([
      'memory: its head is of another root than the one in force',
    ]);
    expect(feed.roots).toHaveLength(2);
  });

  it('lead from any root that is trusted', async () => {
    const { publisher, first, second, headUnder } = await rotated();
    const trust = { lineage: publisher.identity.lineage, rootHash: second.hash };
    const { feed } = feedOf(publisher, [new MemorySource(headUnder([first, second], 1))], { trust });
    await feed.ready();
    expect(feed.roots.map(({ hash }) => hex(hash))).toEqual([hex(second.hash)]);
  });

  it.each([
    ['nobody trusts', 'its roots lack the trusted one'],
    ['its own keys alone have signed', 'bad-root|have not signed it'],
  ])('that %s are not followed', async (what, text) => {
    const { publisher, trust, first, headUnder } = await rotated();
    const stranger = freshKey();
    const forged = signedRoot(rootOf(trust.lineage, stranger, { number: 2 }), stranger);
    const chain = what === 'nobody trusts' ? [forged] : [first, forged];
    const { feed } = feedOf(publisher, [new MemorySource(headUnder(chain, 1, stranger))], { trust });
    await expect(feed.ready()).rejects.toThrow(new RegExp(text));
    expect(feed.roots).toEqual([]);
  });
});
