import { join } from 'node:path';
import { openIdentity } from '@rulecast/program/identity';
import { decodeManifest, isSignedBy, manifestHash, ProtocolError, partsOf } from '@rulecast/protocol';
import {
  emptyPolicy,
  FIREWALL_CHAINS_MAX,
  nameListOf,
  prefixListOf,
  prefixOf,
  type RuleSet,
  RunBuilder,
} from '@rulecast/rules';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { temporaryDirectory } from '../../../test/kit/directory.ts';
import { cases, often } from '../../../test/thorough.ts';
import { SYSTEM_HOST } from '../src/host.ts';
import { Committer, GuardError } from '../src/release/commit.ts';
import { ReleaseWorker } from '../src/release/worker.ts';
import { Store, StoreError } from '../src/store/store.ts';
import { PUSHED, policyOf, ruleSetOf } from './churn.ts';
import { prefixes } from './fresh-publisher.ts';

/** A committer with a store of its own, whose clock goes on by a second a look. */
function freshCommitter(): {
  readonly committer: Committer;
  readonly store: Store;
  readonly reopen: () => Committer;
} {
  const directory = temporaryDirectory();
  const identity = openIdentity(join(directory, 'identity'));
  const store = new Store(join(directory, 'store'));
  onTestFinished(() => store.close());
  let nowMs = 1_700_000_000_000;
  const reopen = (): Committer =>
    new Committer({
      store,
      encoder: new ReleaseWorker(),
      identity,
      nowMs: () => (nowMs += 1000),
      turn: SYSTEM_HOST.turn,
    });
  return { committer: reopen(), store, reopen };
}

const list = (...texts: readonly string[]) => prefixListOf(prefixes(...texts));
const ONE = ruleSetOf({ a: list('10.0.0.0/8'), b: list('192.0.2.1') });
const TWO = ruleSetOf({ a: list('10.0.0.0/8'), b: list('192.0.2.2') });
const RULE = {
  proto: 'tcp',
  dns: false,
  icmpType: undefined,
  expire: undefined,
  comment: undefined,
} as const;
const THREE = ruleSetOf({ b: list('192.0.2.2') });

function changedVersions({ head }: Committer, store: Store): Readonly<Record<string, number>> {
  const parts = head === undefined ? [] : partsOf(head.ruleSet);
  return Object.fromEntries(parts.map((part) => [part.name, store.changedVersionOf(part)]));
}

describe('a commit', () => {
  it('makes the next version, which names the one before', async () => {
    const { committer } = freshCommitter();
    expect(committer.head).toBeUndefined();
    for (const [i, ruleSet] of [ONE, TWO, THREE, ONE].entries()) {
      const release = await committer.commit(await committer.draft(ruleSet), PUSHED);
      expect(release.manifest).toMatchObject({ epoch: 1, version: i + 1, previousVersion: i });
      expect(committer.head).toBe(release);
      expect(committer.ruleSet).toBe(ruleSet);
    }
  });

  it('is signed, and named by the hash of what is signed', async () => {
    const directory = temporaryDirectory();
    const identity = openIdentity(join(directory, 'identity'));
    const store = new Store(join(directory, 'store'));
    onTestFinished(() => store.close());
    const committer = new Committer({
      store,
      encoder: new ReleaseWorker(),
      identity,
      nowMs: () => 5000,
      turn: SYSTEM_HOST.turn,
    });
    const release = await committer.commit(await committer.draft(ONE), PUSHED);
    expect(
      isSignedBy(identity.root, 'release', {
        signatures: release.signatures,
        content: release.manifestBytes,
      }),
    ).toBe(true);
    expect(release.hash).toEqual(manifestHash(release.manifestBytes));
    expect(decodeManifest(release.manifestBytes)).toEqual(release.manifest);
    expect(release.manifest.lineage).toEqual(identity.lineage);
    expect(release.manifest.createdAtMs).toBe(5000);
  });

  it('keeps the version of the last change of parts that stay', async () => {
    const { committer, store, reopen } = freshCommitter();
    await committer.commit(await committer.draft(ONE), PUSHED);
    expect(changedVersions(committer, store)).toEqual({ a: 1, b: 1 });
    await committer.commit(await committer.draft(TWO), PUSHED);
    expect(changedVersions(committer, store)).toEqual({ a: 1, b: 2 });
    const again = reopen();
    await again.commit(
      await again.draft(ruleSetOf({ ...Object.fromEntries(TWO.lists), c: list('10.1.0.0/16') })),
      PUSHED,
    );
    expect(changedVersions(again, store)).toEqual({ a: 1, b: 2, c: 3 });
  });
});

describe('a draft', () => {
  it('of equal content changes nothing, whether the objects are the same or not', async () => {
    const { committer } = freshCommitter();
    await committer.commit(await committer.draft(ONE), PUSHED);
    for (const same of [ONE, ruleSetOf({ b: list('192.0.2.1'), a: list('10.0.0.0/8') })]) {
      const draft = await committer.draft(same);
      expect(draft).toMatchObject({ changed: false, changes: [] });
      expect(draft.deltaBytes).toHaveLength(0);
    }
  });

  it('of nothing changes nothing before the first release', async () => {
    expect((await freshCommitter().committer.draft(ruleSetOf({}))).changed).toBe(false);
  });

  it('tells what changes and commits nothing by itself', async () => {
    const { committer } = freshCommitter();
    await committer.commit(await committer.draft(ONE), PUSHED);
    const draft = await committer.draft(THREE);
    expect(
      draft.changes.map(({ op, name, addedCount, removedCount }) => [op, name, addedCount, removedCount]),
    ).toEqual([
      ['remove', 'a', 0, 1],
      ['patch', 'b', 1, 1],
    ]);
    expect(draft.warnings.map(({ code, part }) => [code, part])).toEqual([['unused-list', 'b']]);
    expect(committer.head?.manifest.version).toBe(1);
  });
});

// P-22
describe('a rule set that is not sound is refused, and the head stays', () => {
  const tooMany = Array.from({ length: 4097 }, (_, i) => `host-${i}.example`);

  it.each<[string, string, RuleSet]>([
    ['a list that is not there', 'default', ruleSetOf({}, policyOf('default', 'drop dst=@gone'))],
    [
      'names that do not resolve',
      'default',
      ruleSetOf({ n: nameListOf(['a.example'], false) }, policyOf('default', 'drop dst=@n')),
    ],
    [
      'too many names',
      'default',
      ruleSetOf({ n: nameListOf(tooMany, true) }, policyOf('default', 'drop dst=@n')),
    ],
    [
      'a default policy with prefixes',
      'default',
      ruleSetOf({}, { ...emptyPolicy('default'), prefixes: prefixes('10.0.0.1') }),
    ],
    [
      'two policies of one prefix',
      'two',
      ruleSetOf(
        {},
        { ...emptyPolicy('one'), prefixes: prefixes('10.0.0.1') },
        { ...emptyPolicy('two'), prefixes: prefixes('10.0.0.1') },
      ),
    ],
  ])('%s', async (_, part, ruleSet) => {
    const { committer } = freshCommitter();
    const head = await committer.commit(await committer.draft(ONE), PUSHED);
    const refused = committer.draft(ruleSet);
    await expect(refused).rejects.toThrow(GuardError);
    await expect(refused).rejects.toMatchObject({ code: 'guard-refused', part });
    expect(committer.head).toBe(head);
  });

  it.each(cases([], [65_537]))('%i parts', async (count) => {
    const { committer } = freshCommitter();
    const head = await committer.commit(await committer.draft(ONE), PUSHED);
    const lists = Array.from({ length: count }, (_, i) => [`l${i}`, list('10.0.0.0/8')] as const);
    const refused = committer.draft(ruleSetOf(Object.fromEntries(lists)));
    await expect(refused).rejects.toThrow(ProtocolError);
    await expect(refused).rejects.toMatchObject({ code: 'over-limit' });
    expect(committer.head).toBe(head);
    await committer.commit(await committer.draft(ruleSetOf(Object.fromEntries(lists.slice(0, 500)))), PUSHED);
    expect(committer.head?.manifest).toMatchObject({ version: 2, parts: 500 });
  });

  it.each(cases([], [FIREWALL_CHAINS_MAX + 1]))('%i rules, and as many that gather', async (count) => {
    const { committer } = freshCommitter();
    const head = await committer.commit(await committer.draft(ONE), PUSHED);
    const withRules = (port: (i: number) => number): RuleSet => {
      const runs = new RunBuilder();
      for (let i = 0; i < count; i++) {
        const prefix = prefixOf(4, [0x09000000 + i], 32);
        const ports = { first: port(i), last: 65_535 };
        runs.push({
          ...RULE,
          action: i % 2 === 0 ? 'accept' : 'drop',
          ports,
          remote: { kind: 'prefix', prefix },
        });
      }
      const policy = { ...emptyPolicy('default'), egress: runs.build() };
      return { ...ONE, policies: new Map([['default', policy]]) };
    };
    const refused = committer.draft(withRules((i) => i % 65_536));
    await expect(refused).rejects.toMatchObject({ code: 'over-limit' });
    await expect(refused).rejects.toThrow(/gather destinations in lists/);
    expect(committer.head).toBe(head);
    await committer.commit(await committer.draft(withRules((i) => i % 100)), PUSHED);
    expect(committer.head?.manifest.version).toBe(2);
  });

  it('more addresses by name than a kernel is given room for', async () => {
    const { committer } = freshCommitter();
    const names = nameListOf(['a.example'], 'firewall');
    const accepting = (count: number): RuleSet => {
      const runs = new RunBuilder();
      const lists = Array.from({ length: count }, (_, i) => `l${i}`);
      for (const list of lists)
        runs.push({ ...RULE, action: 'accept', ports: undefined, remote: { kind: 'list', list } });
      const policies = new Map([['default', { ...emptyPolicy('default'), egress: runs.build() }]]);
      return { ...ONE, lists: new Map(lists.map((list) => [list, names])), policies };
    };
    await expect(committer.draft(accepting(5))).rejects.toMatchObject({ code: 'over-limit' });
    await expect(committer.draft(accepting(5))).rejects.toThrow(/could hold 655360 addresses .*fewer lists/);
    await committer.commit(await committer.draft(accepting(4)), PUSHED);
    expect(committer.head?.manifest.version).toBe(1);
  });

  it('parts with long names, however many, are not too many', async () => {
    const { committer } = freshCommitter();
    const lists = Array.from(
      { length: often(1000, 10_000) },
      (_, i) => [`l${i}`.padEnd(60, 'x'), list('10.0.0.0/8')] as const,
    );
    await committer.commit(await committer.draft(ruleSetOf(Object.fromEntries(lists))), PUSHED);
    expect(committer.head?.manifest.parts).toBe(lists.length);
    expect(committer.head?.manifestBytes).toHaveLength(104);
  });
});

describe('a store that cannot be written', () => {
  it('leaves the head and the next version as they were', async () => {
    const { committer, store } = freshCommitter();
    const head = await committer.commit(await committer.draft(ONE), PUSHED);
    const commit = vi.spyOn(store, 'commit').mockRejectedValueOnce(new StoreError('the disk is full'));
    await expect(committer.commit(await committer.draft(TWO), PUSHED)).rejects.toThrow(StoreError);
    expect(committer.head).toBe(head);
    await expect(committer.commit(await committer.draft(TWO), PUSHED)).resolves.toMatchObject({
      manifest: { version: 2 },
    });
    expect(commit).toHaveBeenCalledTimes(2);
  });

  it('leaves the epoch to be opened by the next request', async () => {
    const { committer, store } = freshCommitter();
    await committer.commit(await committer.draft(ONE), PUSHED);
    committer.noteBehind({ epoch: 1, version: 9 });
    vi.spyOn(store, 'commit').mockRejectedValueOnce(new StoreError('the disk is full'));
    const draft = await committer.draft(TWO);
    await expect(committer.commitInNewEpoch(draft, PUSHED)).rejects.toThrow(StoreError);
    expect(committer).toMatchObject({ head: { manifest: { epoch: 1 } }, behind: { epoch: 1, version: 9 } });
    expect((await committer.commitInNewEpoch(draft, PUSHED)).manifest.epoch).toBe(2);
  });
});

describe('a committer that is behind a proved release', () => {
  // It gave the next number of its old state, and opened an epoch by itself: old content was released for
  // new.
  it('gives no number, over restarts too, until an epoch is opened above all that was proved', async () => {
    const { committer, store, reopen } = freshCommitter();
    await committer.commit(await committer.draft(ONE), PUSHED);
    const head = await committer.commit(await committer.draft(TWO), PUSHED);
    expect(committer.noteBehind({ epoch: 4, version: 1000 })).toBe(true);
    for (const each of [committer, reopen()]) {
      expect(each.behind).toEqual({ epoch: 4, version: 1000 });
      const refused = each.commit(await each.draft(THREE), PUSHED);
      await expect(refused).rejects.toMatchObject({
        code: 'publisher-behind',
        message: expect.stringMatching(
          /proved release 4\/1000 and this publisher has 1\/2: .*--as-new-epoch/,
        ),
      });
      expect(each.head?.hash).toEqual(head.hash);
    }
    const release = await committer.commitInNewEpoch(await committer.draft(TWO), PUSHED);
    expect(release.manifest).toMatchObject({ epoch: 5, version: 3, previousVersion: 0 });
    expect(changedVersions(committer, store)).toEqual({ a: 3, b: 3 });
    const again = reopen();
    expect(again).toMatchObject({ behind: undefined, head: { hash: release.hash } });
    const next = await again.commit(await again.draft(ONE), PUSHED);
    expect(next.manifest).toMatchObject({ epoch: 5, version: 4, previousVersion: 3 });
  });

  it('gives none where there is no head either, and then the first of a new epoch', async () => {
    const { committer } = freshCommitter();
    committer.noteBehind({ epoch: 2, version: 7 });
    await expect(committer.commit(await committer.draft(ONE), PUSHED)).rejects.toThrow(/has nothing/);
    const first = await committer.commitInNewEpoch(await committer.draft(ONE), PUSHED);
    expect(first.manifest).toMatchObject({ epoch: 3, version: 1, previousVersion: 0 });
  });

  it('is so by the newest release proved, and not by one below an epoch that is open', async () => {
    const { committer } = freshCommitter();
    await committer.commit(await committer.draft(ONE), PUSHED);
    expect(committer.noteBehind({ epoch: 1, version: 12 })).toBe(true);
    expect(committer.noteBehind({ epoch: 1, version: 9 })).toBe(false);
    expect(committer.behind).toEqual({ epoch: 1, version: 12 });
    await committer.commitInNewEpoch(await committer.draft(ONE), PUSHED);
    expect(committer.noteBehind({ epoch: 1, version: 50 })).toBe(false);
    expect(committer.behind).toBeUndefined();
    expect(committer.noteBehind({ epoch: 2, version: 50 })).toBe(true);
    expect((await committer.commitInNewEpoch(await committer.draft(ONE), PUSHED)).manifest.epoch).toBe(3);
  });
});
