/** What a push may not leave unsaid: what happens to qubes that no policy names. */

import { join } from 'node:path';
import type { PushInput } from '@rulecast/formats';
import { openIdentity } from '@rulecast/program/identity';
import { EMPTY_RULE_SET, emptyPolicy, type RuleSet } from '@rulecast/rules';
import { describe, expect, it } from 'vitest';
import { temporaryDirectory } from '../../../test/kit/directory.ts';
import { ALL_PERMITS } from '../../../test/kit/permits.ts';
import { SYSTEM_HOST } from '../src/host.ts';
import { Committer } from '../src/release/commit.ts';
import type { Publisher } from '../src/release/publisher.ts';
import type { PushOptions } from '../src/release/request.ts';
import { ReleaseWorker } from '../src/release/worker.ts';
import { Store } from '../src/store/store.ts';
import { freshPublisher, prefixes, pushOf } from './fresh-publisher.ts';

const WORK =
  'policies: { work: { prefixes: [10.137.0.5, "fd00::5"], egress: [drop dst4=192.0.2.1, accept] } }';
const SAID_DROP = 'unmatched: drop';

const document = (...lines: readonly string[]): string => `${lines.join('\n')}\n`;
const push = (text: string, input: Partial<PushInput> = {}): PushInput => pushOf({ 'f.yaml': text }, input);

/** What guards say to a push, each by its code, or what became of it. */
async function told(
  publisher: Publisher,
  input: PushInput,
  options: PushOptions = {},
): Promise<readonly string[]> {
  const outcome = await publisher.push(input, options);
  if (outcome.kind !== 'guarded') return [outcome.kind];
  return outcome.refusals.map(({ guard }) => guard);
}

const NOT_SAID = ['unmatched-not-said'];

describe('the first push that brings policies', () => {
  // It opened every qube that it did not name, and the other family of those it named, and nothing said so.
  it('and does not say what happens to other qubes is refused with the lines to choose from', async () => {
    const publisher = freshPublisher();
    const outcome = await publisher.push(push(WORK));
    expect(outcome).toMatchObject({
      kind: 'guarded',
      refusals: [{ guard: 'unmatched-not-said', part: 'unmatched', before: 0, after: 1 }],
    });
    const [refusal] = outcome.kind === 'guarded' ? outcome.refusals : [];
    expect(refusal?.reason).toContain('"unmatched: drop"');
    expect(refusal?.reason).toContain('"unmatched: accept"');
    expect(publisher.head).toBeUndefined();
  });

  it.each([
    ['unmatched: drop', 'drop'],
    ['unmatched: accept', 'accept'],
    ['common: {}\nunmatched: accept', 'accept'],
  ])('is taken with %j', async (line, expected) => {
    const publisher = freshPublisher();
    expect(await told(publisher, push(document(WORK, line)))).toEqual(['released']);
    expect(publisher.head?.ruleSet.unmatched).toBe(expected);
  });

  it.each([
    ['a policy default', pushOf({ 'f.yaml': 'policies: { default: { egress: [accept] } }\n' }), ['released']],
    ['bare rules, which are of default', pushOf({ 'a.rules': 'accept\n' }), ['released']],
    ['bare rules of common', pushOf({ 'a.rules': 'drop\n' }, { policy: 'common' }), NOT_SAID],
    ['common alone', push('common: { egress: [drop] }\n'), NOT_SAID],
    ['first alone, which opens nothing', push('first: { egress: [drop dst4=192.0.2.1] }\n'), ['released']],
    ['what is said alone', push(document(SAID_DROP)), ['released']],
  ])('is judged by what the result says: %s', async (_, input, expected) => {
    expect(await told(freshPublisher(), input)).toEqual(expected);
  });

  it('is refused after lists too, by merge, replace-all and a dry run, and whatever is permitted', async () => {
    const publisher = freshPublisher();
    expect(await told(publisher, pushOf({ 'bad.txt': '192.0.2.1\n' }))).toEqual(['released']);
    expect(await told(publisher, push(WORK, { action: 'merge' }))).toEqual(NOT_SAID);
    expect(await told(publisher, push(WORK, { replaceAll: true }))).toEqual(NOT_SAID);
    expect(await told(publisher, push(WORK), { dryRun: true })).toEqual(NOT_SAID);
    const permits = new Set(['accept-all', 'no-policy', 'drop-all']);
    expect(await told(publisher, push(WORK), { permits })).toEqual(NOT_SAID);
  });

  it('may say it once only', async () => {
    const files = { 'a.yaml': document(WORK, SAID_DROP), 'b.yaml': document(SAID_DROP) };
    expect(await freshPublisher().push(pushOf(files))).toMatchObject({
      kind: 'rejects',
      rejects: [{ file: 'b.yaml', code: 'duplicate-part' }],
    });
  });
});

describe('what is said of other qubes', () => {
  async function said(line = SAID_DROP): Promise<Publisher> {
    const publisher = freshPublisher();
    expect(await told(publisher, push(document(WORK, line)))).toEqual(['released']);
    return publisher;
  }

  it('stays where a push does not name it', async () => {
    const publisher = await said();
    expect(await told(publisher, push(WORK.replace('192.0.2.1', '192.0.2.2')))).toEqual(['released']);
    expect(await told(publisher, pushOf({ 'a.rules': 'drop\n' }, { policy: 'work' }))).toEqual(['drop-all']);
    expect(publisher.head?.ruleSet.unmatched).toBe('drop');
  });

  it('is not taken away while there are policies', async () => {
    const publisher = await said();
    expect(await told(publisher, push(document(SAID_DROP), { action: 'withdraw' }))).toEqual(NOT_SAID);
    expect(await told(publisher, push(WORK, { replaceAll: true }))).toEqual(NOT_SAID);
    const other = push(document('unmatched: accept'), { action: 'withdraw' });
    expect(await told(publisher, other)).toEqual(['rejects']); // it is not there
    expect(publisher.head?.ruleSet.unmatched).toBe('drop');
  });

  it('goes where policies.default judges those qubes', async () => {
    const publisher = await said();
    const byDefault = document('policies: { default: { egress: [accept proto=tcp dstports=443] } }');
    expect(await told(publisher, push(byDefault))).toEqual(['accept-all']);
    expect(await told(publisher, push(byDefault), { permits: new Set(['accept-all']) })).toEqual([
      'released',
    ]);
    expect(await told(publisher, push(document(SAID_DROP), { action: 'withdraw' }))).toEqual(['released']);
    expect(publisher.head?.ruleSet.unmatched).toBeUndefined();
  });

  it('is opened with a permit only', async () => {
    const publisher = await said();
    const open = push(document('unmatched: accept'));
    expect(await told(publisher, open)).toEqual(['accept-all']);
    expect(await told(publisher, open, { permits: new Set(['accept-all']) })).toEqual(['released']);
    expect(await told(publisher, push(document(SAID_DROP)))).toEqual(['released']); // to close is free
  });

  it('counts first as no policy where the last one goes', async () => {
    const publisher = await said();
    expect(await told(publisher, push('first: { egress: [drop dst4=192.0.2.7] }\n'))).toEqual(['released']);
    expect(await told(publisher, push(WORK, { action: 'withdraw' }))).toEqual(['no-policy']);
  });

  it('is there where the last policy goes, and that with a permit only', async () => {
    const publisher = await said();
    const last = push(WORK, { action: 'withdraw' });
    expect(await told(publisher, last)).toEqual(['no-policy']);
    expect(await told(publisher, last, { permits: new Set(['no-policy']) })).toEqual(['released']);
    expect(publisher.head?.ruleSet).toMatchObject({ policies: new Map(), unmatched: 'drop' });
    const nothing = push(document(SAID_DROP), { action: 'withdraw' });
    expect(await told(publisher, nothing, { permits: new Set(['no-policy']) })).toEqual(NOT_SAID);
  });
});

describe('a rule set in force that does not say it', () => {
  const LEGACY: RuleSet = {
    ...EMPTY_RULE_SET,
    policies: new Map([['work', { ...emptyPolicy('work'), prefixes: prefixes('10.137.0.5') }]]),
  };

  /** A publisher over a store of before. */
  async function before(): Promise<Publisher> {
    const stateDirectory = temporaryDirectory();
    const identity = openIdentity(join(stateDirectory, 'identity'));
    const store = new Store(join(stateDirectory, 'store'));
    const committer = new Committer({
      store,
      encoder: new ReleaseWorker(),
      identity,
      nowMs: () => 1,
      turn: SYSTEM_HOST.turn,
    });
    await committer.commit(await committer.draft(LEGACY), { cause: 'push', detail: '' });
    await store.close();
    return freshPublisher({ stateDirectory });
  }

  it('keeps its meaning, with a warning at each push', async () => {
    const publisher = await before();
    for (const address of ['192.0.2.1', '192.0.2.2']) {
      const outcome = await publisher.push(pushOf({ 'bad.txt': `${address}\n` }));
      if (outcome.kind !== 'released') return expect.fail(outcome.kind);
      expect(outcome.draft.warnings.map(({ code }) => code)).toContain('unmatched-not-said');
      expect(outcome.head?.ruleSet.unmatched).toBeUndefined();
    }
  });

  it('is mended by a push that says it, and not unmended', async () => {
    const publisher = await before();
    expect(await told(publisher, push(document(SAID_DROP)))).toEqual(['released']);
    expect(await told(publisher, push(document(SAID_DROP), { action: 'withdraw' }))).toEqual(NOT_SAID);
  });

  it('comes back by no rollback, for that would open what is closed, and what it says of a part does', async () => {
    const publisher = await before();
    await told(publisher, push(document(SAID_DROP)));
    expect(await publisher.rollback(1, {}, { permits: ALL_PERMITS })).toMatchObject({
      kind: 'guarded',
      refusals: [{ guard: 'unmatched-not-said' }],
    });
    expect(await told(publisher, push(WORK), { permits: ALL_PERMITS })).toEqual(['released']);
    expect(await publisher.rollback(1, { policy: 'work' }, { permits: ALL_PERMITS })).toMatchObject({
      kind: 'released',
    });
    expect(publisher.head?.ruleSet.unmatched).toBe('drop');
  });
});

describe('exceptions', () => {
  it('stay where bare rules are pushed, and are merged and withdrawn like rules', async () => {
    const publisher = freshPublisher();
    const exceptions = (rules: string) =>
      document(`policies: { work: { prefixes: [10.137.0.5], exceptions: { egress: [${rules}] } } }`);
    const runs = () => publisher.head?.ruleSet.policies.get('work');
    const policy = push(document(exceptions('accept dst4=192.0.2.1').trim(), SAID_DROP));
    expect(await told(publisher, policy)).toEqual(['released']);
    const rules = pushOf({ 'a.rules': 'accept dst4=192.0.2.7\n' }, { policy: 'work' });
    expect(await told(publisher, rules)).toEqual(['released']);
    expect([runs()?.exceptions.egress.count, runs()?.egress.count]).toEqual([1, 1]);
    const more = push(exceptions('accept dst=192.0.2.2'.replace('dst=', 'dst4=')), { action: 'merge' });
    expect(await told(publisher, more)).toEqual(['released']);
    expect(runs()?.exceptions.egress.lengths).toEqual(new Uint8Array([32, 32]));
    const fewer = push(exceptions('accept dst4=192.0.2.1'), { action: 'withdraw' });
    expect(await told(publisher, fewer)).toEqual(['released']);
    expect(runs()?.exceptions.egress.lengths).toEqual(new Uint8Array([32]));
    expect(runs()?.egress.count).toBe(1);
  });

  it('that accept everything make a policy one that does', async () => {
    const publisher = freshPublisher();
    expect(await told(publisher, push(document(WORK, SAID_DROP)))).toEqual(['released']);
    const opened = WORK.replace('egress:', 'exceptions: { egress: [accept] }, egress:');
    expect(await told(publisher, push(opened))).toEqual(['accept-all']);
  });
});
