/**
 * Verifying off the event loop: the same answers as in place, and what did not change stays the same object.
 */

import { Worker } from 'node:worker_threads';
import {
  decodeManifest,
  diffRuleSets,
  ENTRIES_MAX,
  encodeChain,
  encodeDelta,
  encodeManifest,
  encodeSnapshot,
  leavesIn,
  type Manifest,
  manifestFor,
  ProtocolError,
  partsOf,
} from '@rulecast/protocol';
import {
  atOnce,
  canonicalPrefixes,
  diffPrefixes,
  EMPTY_PREFIX_SET,
  EMPTY_RULE_SET,
  emptyPolicy,
  entryCount,
  type List,
  nameListOf,
  PrefixBuilder,
  type PrefixList,
  parseRule,
  prefixListOf,
  type RuleSet,
  RunBuilder,
} from '@rulecast/rules';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { codeOf } from '../../../test/kit/code.ts';
import { Verifier } from '../src/verify/verifier.ts';
import { type Claim, snapshotStream, verify, verifyPieces } from '../src/verify/verify.ts';
import { InPlaceVerifier } from './in-place-verifier.ts';
import { expectEnforces } from './sample.ts';
import { chainOf, ScriptedPublisher, sampleReleases } from './scripted-publisher.ts';
import { startedSubscriber } from './started.ts';

let verifier = new Verifier();
afterEach(async () => {
  await verifier.close();
  verifier = new Verifier();
});

/** Random hosts by a fixed sequence of numbers. */
function hosts(count: number, seed: number): PrefixList {
  const builder = new PrefixBuilder(4, count);
  let state = seed;
  for (let i = 0; i < count; i++) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0; // Numerical Recipes' quick generator
    builder.push(Uint32Array.of(state), 0, 32);
  }
  return prefixListOf({ v4: canonicalPrefixes(builder.build()), v6: EMPTY_PREFIX_SET.v6 });
}

/** All networks of a length, which a tree says in a few bytes. */
function everyNetwork(length: number): PrefixList {
  const builder = new PrefixBuilder(4, 2 ** length);
  for (let i = 0; i < 2 ** length; i++) builder.push(Uint32Array.of(i * 2 ** (32 - length)), 0, length);
  return prefixListOf({ v4: builder.build(), v6: EMPTY_PREFIX_SET.v6 });
}

/** The list with every `step`-th of its first hundred hosts gone and another come. */
function changedHosts({ lists }: RuleSet, step: number): PrefixList {
  const list = lists.get('hosts');
  if (list?.kind !== 'prefixes') throw new TypeError('no list of prefixes');
  const builder = new PrefixBuilder(4, list.v4.lengths.length);
  for (let i = 0; i < list.v4.lengths.length; i++) {
    const word = list.v4.words[i] ?? 0;
    builder.push(Uint32Array.of(i < 100 && i % step === 0 ? word + 1 : word), 0, 32);
  }
  return prefixListOf({ v4: canonicalPrefixes(builder.build()), v6: list.v6 });
}

/** The list with every second host moved to the next address. */
function everySecond({ lists }: RuleSet): PrefixList {
  const list = lists.get('hosts');
  if (list?.kind !== 'prefixes') throw new TypeError('no list of prefixes');
  const words = list.v4.words.map((word, i) => (i % 2 === 0 ? word : word ^ 1));
  return prefixListOf({ v4: canonicalPrefixes({ ...list.v4, words }), v6: list.v6 });
}

const rules = new RunBuilder();
for (const line of ['drop dst=@hosts', 'accept']) {
  const parsed = parseRule(line, 'egress', 0);
  if (parsed.kind !== 'rule') throw new TypeError(line);
  rules.push(parsed.rule);
}
const POLICY = { ...emptyPolicy('default'), egress: rules.build() };
const KEPT = hosts(500, 3);

function ruleSetOf(list: PrefixList, kept = KEPT): RuleSet {
  return {
    ...EMPTY_RULE_SET,
    lists: new Map([
      ['hosts', list],
      ['kept', kept],
    ]),
    policies: new Map([['default', POLICY]]),
  };
}

function manifestOf(ruleSet: RuleSet, version: number): Manifest {
  const lineage = new Uint8Array(16);
  return manifestFor(ruleSet, { lineage, epoch: 1, version, previousVersion: 0, createdAtMs: 0 });
}

const OLD = ruleSetOf(hosts(400_000, 1));
const NEW = ruleSetOf(hosts(1_000_000, 2));

function claimOf(base: RuleSet, ruleSet: RuleSet, version = 2): { claim: Claim; manifest: Manifest } {
  const manifestBytes = encodeManifest(manifestOf(ruleSet, version));
  const stream = encodeChain([encodeDelta(diffRuleSets(base, ruleSet))]);
  return {
    claim: { base, stream, manifestBytes, entriesMax: ENTRIES_MAX },
    manifest: decodeManifest(manifestBytes),
  };
}

describe('a release of thousands of small parts', () => {
  it('is verified in place, some parts in each turn, and what it makes is the same', async () => {
    let turns = 0;
    const turn = async (): Promise<void> => void turns++;
    const counting = new Verifier({ turn });
    const { claim } = claimOf(manyParts(1000, 1), manyParts(1000, 2));
    const { ruleSet } = await counting.verify(claim);
    expect(turns).toBeGreaterThan((2 * 1000) / 64);
    expectSame(ruleSet, verify(claim).ruleSet);
    await counting.close();
  });

  it.each([1, 2])('has no part in place that takes longer than one may: %i', async (first) => {
    const lists = [hosts(3, 1), everyNetwork(16)]; // a thousand bytes, and a second of work
    const { claim } = claimOf(EMPTY_RULE_SET, ruleSetOf(lists[first - 1]!, lists[2 - first]!));
    const piece = verifyPieces(claim, 2 ** 19);
    expect(codeOf(() => atOnce(piece))).toBe('over-budget');
    expectSame((await verifier.verify(claim)).ruleSet, verify(claim).ruleSet);
  });
});

/** Lists of one host each, and policies that drop it. */
function manyParts(count: number, seed: number): RuleSet {
  const names = Array.from({ length: count }, (_, i) => `part-${i}`);
  const hostOf = (i: number): PrefixList => hosts(1, seed * count + i);
  return {
    ...EMPTY_RULE_SET,
    lists: new Map([['hosts', KEPT], ...names.map((name, i) => [name, hostOf(i)] as const)]),
    policies: new Map(names.map((name) => [name, { ...POLICY, name }])),
  };
}

describe('a large release', () => {
  it('is verified in the thread as it is in place, and keeps the parts that did not change', async () => {
    const { claim, manifest } = claimOf(OLD, NEW);
    verifier.expect(manifest, manifestOf(OLD, 1));
    const { ruleSet } = await verifier.verify(claim);
    expectSame(ruleSet, verify(claim).ruleSet);
    expect([...ruleSet.lists.keys()]).toEqual(['hosts', 'kept']);
    expect(ruleSet.lists.get('kept')).toBe(OLD.lists.get('kept'));
    expect(ruleSet.policies.get('default')).toBe(OLD.policies.get('default'));
    expect(ruleSet.resolutions).toBe(OLD.resolutions);
  });

  it('goes to the thread without the lists of its base that it puts anew or takes away', async () => {
    let sent: readonly (readonly [string, number])[] = [];
    const post = Worker.prototype.postMessage;
    const posted = vi.spyOn(Worker.prototype, 'postMessage').mockImplementation(function (
      this: Worker,
      message: { readonly claim: Claim },
      moved,
    ) {
      sent = [...message.claim.base.lists].map(([name, list]) => [name, entryCount(list)]);
      post.call(this, message, moved);
    });
    try {
      const names = nameListOf(['a.example', 'b.example'], false);
      const withLists = (base: RuleSet, lists: Readonly<Record<string, List>>): RuleSet => {
        return { ...base, lists: new Map([...base.lists, ...Object.entries(lists)]) };
      };
      const before = withLists(OLD, { gone: hosts(9, 9), names, same: names });
      const after = withLists(NEW, { same: names });
      const { claim } = claimOf(before, after);
      const { ruleSet } = await verifier.verify(claim);
      expectSame(ruleSet, after);
      expect(ruleSet.lists.get('same')).toBe(names);
      expect(sent).toEqual([
        ['hosts', 0],
        ['kept', 500],
        ['gone', 0],
        ['names', 0],
        ['same', 2],
      ]);

      const patched = claimOf(NEW, ruleSetOf(everySecond(NEW)));
      expectSame((await verifier.verify(patched.claim)).ruleSet, ruleSetOf(everySecond(NEW)));
      expect(new Map(sent).get('hosts')).toBe(entryCount(NEW.lists.get('hosts') ?? names));
    } finally {
      posted.mockRestore();
    }
  });

  it('from nothing is whole, and the base is left as it was', async () => {
    const { claim } = claimOf(EMPTY_RULE_SET, NEW);
    expectSame((await verifier.verify(claim)).ruleSet, NEW);
    const again = claimOf(NEW, OLD);
    expectSame((await verifier.verify(again.claim)).ruleSet, OLD);
    expectSame(NEW, ruleSetOf(hosts(1_000_000, 2))); // its memory went nowhere
  });

  // The first change of 2^18 rules took 0.5 s to verify, for all leaves were hashed once more.
  it('brings the leaves of what it hashed along, so that a delta upon it hashes its own alone', async () => {
    const many = new RunBuilder();
    for (let i = 0; i < 40_000; i++) {
      const parsed = parseRule(`drop dst4=10.${i >> 8}.${i & 255}.${i % 7}`, 'egress', 0);
      if (parsed.kind === 'rule') many.push(parsed.rule);
    }
    const policies = new Map([['default', { ...POLICY, egress: many.build() }]]);
    const large = { ...NEW, policies };
    const { ruleSet } = await verifier.verify(claimOf(EMPTY_RULE_SET, large).claim);
    const [[hosts] = [], , policy = []] = partsOf(large).map(leavesIn); // 'hosts', 'kept', 'default'
    const [ownHosts, ownKept, ownPolicy] = partsOf(ruleSet).map(leavesIn);
    expect(hosts?.ends.length).toBeGreaterThan(500);
    expect(policy[2]?.ends.length).toBeGreaterThan(16);
    expect([ownHosts, ownPolicy]).toEqual([[hosts, undefined], structuredClone(policy)]); // no Buffers
    expect(ownKept).toEqual([undefined, undefined]); // few are sooner hashed than told
  });

  it.each([
    ['another release', (claim: Claim) => ({ ...claim, stream: snapshotStream(OLD) }), 'bad-count'],
    ['too much', (claim: Claim) => ({ ...claim, entriesMax: 1000 }), 'over-limit'],
    [
      'not sound',
      () => {
        const broken = { ...NEW, lists: new Map([['other', hosts(1_000_000, 2)]]) };
        return claimOf(EMPTY_RULE_SET, broken).claim;
      },
      'bad-rule-set',
    ],
    [
      'cut off',
      (claim: Claim) => ({
        ...claim,
        stream: encodeChain([encodeSnapshot(NEW).subarray(0, 1_000_000)]),
      }),
      'bad-delta',
    ],
  ] as const)('is refused with the code it has in place: %s', async (_title, change, code) => {
    const { claim } = claimOf(EMPTY_RULE_SET, NEW);
    const broken = change(claim);
    expect(codeOf(() => verify(broken))).toBe(code);
    const refusal = await verifier.verify(broken).catch((error: unknown) => error);
    expect(refusal).toBeInstanceOf(ProtocolError);
    expect(refusal).toMatchObject({ code });
    const good = await verifier.verify(claim); // and the next one is taken
    expectSame(good.ruleSet, NEW);
  });

  // All of it had 40 s: on a busy machine a large release was refused for good.
  it('says now and then that it goes on, however long all of it takes', () => {
    let steps = 0;
    const { claim } = claimOf(EMPTY_RULE_SET, ruleSetOf(everyNetwork(18)));
    verify(claim, () => void steps++);
    expect(steps).toBeGreaterThan(2);
    expect(steps).toBeLessThan(100);
  });

  it('is given up once its thread stands still, and the next is verified', async () => {
    const hasty = new Verifier({ deadlineMs: 1 });
    const { claim } = claimOf(EMPTY_RULE_SET, NEW);
    await expect(hasty.verify(claim)).rejects.toMatchObject({ code: 'timeout' });
    await expect(
      hasty.verify(claimOf(EMPTY_RULE_SET, ruleSetOf(hosts(100, 2))).claim),
    ).resolves.toBeDefined();
    await hasty.close();
  });

  it('that ends the thread is a failure of its own, and the next is verified', async () => {
    const { claim } = claimOf(EMPTY_RULE_SET, NEW);
    const broken = { ...claim, base: { ...EMPTY_RULE_SET, lists: [['x', undefined]] } };
    await expect(verifier.verify(broken as unknown as Claim)).rejects.toThrow(TypeError);
    expectSame((await verifier.verify(claim)).ruleSet, NEW);
  });

  it('may come in a short stream, which is refused where it is not what was signed', async () => {
    const large = claimOf(EMPTY_RULE_SET, ruleSetOf(everyNetwork(15), hosts(3, 1))).claim;
    expect(large.stream.length).toBeLessThan(1000);
    expect((await verifier.verify(large)).ruleSet.lists.get('hosts')).toBeDefined();
    const honest = claimOf(EMPTY_RULE_SET, ruleSetOf(hosts(10, 2))).claim;
    await expect(verifier.verify({ ...honest, stream: large.stream })).rejects.toMatchObject({
      code: 'bad-count',
    });
  });

  // A mutant that compared only what came from nothing was seen by no test of this file.
  it('is refused where a delta makes another rule set of as many entries than was signed', async () => {
    const base = ruleSetOf(hosts(10, 3));
    const [signed, other] = [hosts(12, 4), hosts(12, 5)].map((list) => claimOf(base, ruleSetOf(list)).claim);
    if (signed === undefined || other === undefined) throw new TypeError('there are two');
    await expect(verifier.verify({ ...signed, stream: other.stream })).rejects.toMatchObject({
      code: 'bad-digest',
    });
  });

  it('tells what the last delta did to a list, where that was verified in place', async () => {
    const base = ruleSetOf(hosts(1000, 3));
    const after = [ruleSetOf(changedHosts(base, 5)), ruleSetOf(changedHosts(base, 7))] as const;
    const { claim } = claimOf(base, after[0]);
    const { ruleSet, changes } = await verifier.verify(claim);
    const [was, is] = [base, ruleSet].map(({ lists }) => lists.get('hosts'));
    if (was?.kind !== 'prefixes' || is?.kind !== 'prefixes') throw new TypeError('no list of prefixes');
    const difference = { v4: diffPrefixes(was.v4, is.v4), v6: diffPrefixes(was.v6, is.v6) };
    expect([...changes]).toEqual([['hosts', { before: was, after: is, ...difference }]]);
    expect(changes.get('hosts')?.before).toBe(was);
    expect(changes.get('hosts')?.after).toBe(is);
    const steps = [diffRuleSets(base, after[0]), diffRuleSets(after[0], after[1])].map(encodeDelta);
    const two = {
      ...claim,
      stream: encodeChain(steps),
      manifestBytes: encodeManifest(manifestOf(after[1], 3)),
    };
    const chained = await verifier.verify(two);
    expectSame(chained.ruleSet, after[1]);
    expect(chained.changes.get('hosts')?.before).not.toBe(was);
  });

  it('says nothing of changes that the thread found, whose lists are copies', async () => {
    const base = ruleSetOf(hosts(1_300_000, 3));
    const after = ruleSetOf(changedHosts(base, 5));
    const { claim } = claimOf(base, after);
    const { ruleSet, changes } = await verifier.verify(claim);
    expectSame(ruleSet, after);
    expect(changes.size).toBe(0);
  });

  it('is encoded in the thread as it is in place', async () => {
    expect(Buffer.compare(await verifier.snapshot(NEW), snapshotStream(NEW))).toBe(0);
  });
});

describe('a verifier that is handed in', () => {
  it('takes the place of the thread', async () => {
    const publisher = new ScriptedPublisher();
    const inPlace = new InPlaceVerifier();
    const verified = vi.spyOn(inPlace, 'verify');
    const subscriber = await startedSubscriber(publisher, { verifier: inPlace });
    const [one, two] = sampleReleases(publisher);
    const { peer } = await publisher.greeted();
    await peer.bring(one);
    await peer.bring(two, chainOf(one, two));
    expect(verified).toHaveBeenCalledTimes(2);
    expectEnforces(subscriber, two.ruleSet);
  });
});

/** By their bytes: a matcher would look at each of a million numbers for a microsecond. */
function expectSame(actual: RuleSet, expected: RuleSet): void {
  expect(Buffer.compare(snapshotStream(actual), snapshotStream(expected))).toBe(0);
}
