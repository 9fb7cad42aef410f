/** `rulectl block`, `allow` and `cut`: rows beside what is pushed, and what they are in a release. */

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type MustReach, parsePacketText } from '@rulecast/formats';
import {
  EMPTY_RULE_SET,
  evaluate,
  evaluateName,
  formatRule,
  namesStandFor,
  parseAddress,
  prefixListOf,
  type RuleSet,
  rulesIn,
  runsOf,
} from '@rulecast/rules';
import { describe, expect, it } from 'vitest';
import { codeOfRejection } from '../../../test/kit/code.ts';
import { temporaryDirectory } from '../../../test/kit/directory.ts';
import { ALL_PERMITS } from '../../../test/kit/permits.ts';
import { FakeClock } from '../../sources/test/fake-clock.ts';
import type { RowRequest } from '../src/blocks/change.ts';
import { baseOf } from '../src/blocks/compile.ts';
import { asks, GUARDS, type Guard } from '../src/guards/table.ts';
import type { ReleaseAudit } from '../src/release/outcome.ts';
import type { Publisher } from '../src/release/publisher.ts';
import type { PushOptions } from '../src/release/request.ts';
import { contentOf } from '../src/release/rules-file.ts';
import { openDatabases } from '../src/store/databases.ts';
import { freshPublisher, prefixes, pushOf, release } from './fresh-publisher.ts';

const DOCUMENT = `lists:
  ads: { names: [ads.example], resolve: firewall }
  bad: { entries: [198.51.100.0/24] }
common: { egress: [drop dst=@bad, drop dst=@ads] }
policies:
  work: { prefixes: [10.137.0.5, "fd09::5"], egress: [accept dst4=203.0.113.0/24] }
  pair: { prefixes: [10.137.0.6, 10.137.0.7], default: accept, ingress: [accept proto=tcp] }
  net: { prefixes: [10.138.0.0/24], default: accept }
unmatched: accept
`;
let now = 1_800_000_000;

async function house(options = {}): Promise<Publisher> {
  now = 1_800_000_000;
  const publisher = freshPublisher({ nowMs: () => now * 1000, ...options });
  await release(publisher, { 'rules.yaml': DOCUMENT });
  return publisher;
}

async function ask(publisher: Publisher, request: RowRequest, options: PushOptions = {}) {
  const outcome = await publisher.blocks.add(request, { by: 'alice', ...options });
  if (outcome.kind === 'guarded')
    return { kind: outcome.refusals.map(({ guard }) => guard).join(' '), notes: [] };
  return { kind: outcome.kind, notes: 'notes' in outcome ? outcome.notes.map(({ code }) => code) : [] };
}

function mustReach(text: string): MustReach {
  const read = parsePacketText(text, 'egress');
  if (read.kind !== 'packet') throw new TypeError(read.reason);
  return { text, packet: read.packet };
}

function verdict(publisher: Publisher, text: string, at = now): string {
  const direction = text.startsWith('in ') ? 'ingress' : 'egress';
  const read = parsePacketText(text.replace(/^in /, ''), direction);
  if (read.kind !== 'packet' || publisher.head === undefined) throw new TypeError(text);
  return evaluate(publisher.head.ruleSet, { now: at, dns: [] }, { ...read.packet, direction }).action;
}

function lines(
  publisher: Publisher,
  policy: string,
  block: 'own' | 'exceptions' = 'exceptions',
): readonly string[] {
  const found = publisher.head?.ruleSet.policies.get(policy);
  if (found === undefined) return [];
  return (['egress', 'ingress'] as const).flatMap((direction) =>
    [...rulesIn(runsOf(found, direction, block))].map((rule) => formatRule(rule, direction)),
  );
}

function askName(publisher: Publisher, asker: string, name: string): string {
  const qube = parseAddress(asker);
  const ruleSet = publisher.head?.ruleSet ?? EMPTY_RULE_SET;
  return evaluateName(ruleSet, { now }, { asker: qube, name, aliases: [] }, namesStandFor).action;
}

const base = (publisher: Publisher): RuleSet => baseOf(publisher.head?.ruleSet ?? EMPTY_RULE_SET);
const rows = (publisher: Publisher): readonly string[] =>
  publisher.blocks.rows.map(({ id, verb, target, qube }) => [id, verb, target, qube].join(' ').trim());

/** Whether what was pushed is as DOCUMENT says it. */
async function expectPushed(publisher: Publisher): Promise<void> {
  const pure = await house();
  expect(base(publisher)).toEqual({ ...base(pure), resolutions: expect.anything() });
}

describe('block', () => {
  it('drops an address for all qubes, both ways, whoever judges them, and ends by its rule', async () => {
    const publisher = await house();
    const asked = { verb: 'block', target: '203.0.113.7', seconds: 3600, comment: 'seen' } as const;
    expect(await ask(publisher, asked)).toEqual({ kind: 'released', notes: [] });
    expect(lines(publisher, 'first', 'own')).toEqual([
      'action=drop expire=1800003600 dst4=203.0.113.7/32 comment=rulectl block 1: seen',
      'action=drop expire=1800003600 src4=203.0.113.7/32 comment=rulectl block 1: seen',
    ]);
    for (const qube of ['10.137.0.5', '10.137.0.6', '10.138.0.9', '10.139.0.1']) {
      expect(verdict(publisher, `${qube} > 203.0.113.7 tcp/443`)).toBe('drop');
      expect(verdict(publisher, `in 203.0.113.7 > ${qube} tcp/22`)).toBe('drop');
    }
    expect(verdict(publisher, '10.137.0.5 > 203.0.113.7 tcp/443', now + 3600)).toBe('accept');
    await expectPushed(publisher);
  });

  it('drops for one qube ahead of its exceptions, and ingress only where its policy judges that', async () => {
    const publisher = await house();
    await ask(publisher, { verb: 'block', target: '203.0.113.0/24', qube: '10.137.0.5' });
    expect(lines(publisher, 'work')).toEqual(['action=drop dst4=203.0.113.0/24 comment=rulectl block 1']);
    expect(verdict(publisher, '10.137.0.5 > 203.0.113.7 tcp/443')).toBe('drop');
    expect(verdict(publisher, '10.137.0.6 > 203.0.113.7 tcp/443')).toBe('accept');
    expect(verdict(publisher, 'in 203.0.113.7 > 10.137.0.5 tcp/22')).toBe('none'); // its default would drop the rest
    await release(publisher, {
      'rules.yaml': DOCUMENT.replace('203.0.113.0/24]', '$&, ingress: [accept proto=tcp]'),
    });
    expect(verdict(publisher, 'in 203.0.113.7 > 10.137.0.5 tcp/22')).toBe('drop');
    expect(verdict(publisher, 'in 203.0.114.7 > 10.137.0.5 tcp/22')).toBe('accept');
  });

  it('takes a name with all below it, by one list for each end', async () => {
    const publisher = await house();
    await ask(publisher, { verb: 'block', target: 'Tracker.example.' });
    await ask(publisher, { verb: 'block', target: 'other.example' });
    await ask(publisher, { verb: 'block', target: 'brief.example', seconds: 60 });
    for (const name of ['tracker.example', 'a.b.tracker.example', 'other.example', 'x.brief.example'])
      expect(askName(publisher, '10.138.0.9', name), name).toBe('drop');
    expect(askName(publisher, '10.138.0.9', 'example')).not.toBe('drop');
    const lists = [...(publisher.head?.ruleSet.lists.keys() ?? [])].filter((name) =>
      name.startsWith('rulectl'),
    );
    expect(lists.sort()).toEqual(['rulectl.block.0', 'rulectl.block.1800000060']);
    expect(lines(publisher, 'first', 'own')).toContain(
      'action=drop dst=@rulectl.block.0 comment=rulectl block 2 and 1 more',
    );
    await expectPushed(publisher);
  });

  it('takes a list, which then cannot be taken away', async () => {
    const publisher = await house();
    await ask(publisher, { verb: 'block', target: '@bad' });
    expect(lines(publisher, 'first', 'own')).toEqual([
      'action=drop dst=@bad comment=rulectl block 1',
      'action=drop src=@bad comment=rulectl block 1',
    ]);
    await ask(publisher, { verb: 'block', target: '@ads' });
    expect(lines(publisher, 'first', 'own')).toContain('action=drop dst=@ads comment=rulectl block 2');
    const without = publisher.push(
      pushOf({ 'r.yaml': 'unmatched: accept\npolicies: {}\n' }, { replaceAll: true }),
      {
        permits: ALL_PERMITS,
      },
    );
    await expect(without).rejects.toThrow(
      /block @(bad|ads) \(row \d\) needs list \1.* rulectl blocks --remove \d/,
    );
  });
});

describe('allow', () => {
  it('accepts for one qube, ahead of everything but first', async () => {
    const publisher = await house();
    expect(
      await ask(publisher, { verb: 'allow', target: '198.51.100.7', qube: 'work', seconds: 60 }),
    ).toEqual({
      kind: 'released',
      notes: [],
    });
    expect(verdict(publisher, '10.137.0.5 > 198.51.100.7 tcp/443')).toBe('accept'); // in common @bad
    expect(verdict(publisher, '10.137.0.5 > 198.51.100.7 tcp/443', now + 60)).toBe('drop');
    expect(verdict(publisher, '10.138.0.9 > 198.51.100.7 tcp/443')).toBe('drop');
    await ask(publisher, { verb: 'block', target: '192.0.2.9' });
    await ask(publisher, { verb: 'allow', target: '192.0.2.9', qube: 'work' });
    expect(verdict(publisher, '10.137.0.5 > 192.0.2.9 tcp/443')).toBe('drop');
  });

  it('opens a name by the own DNS of the firewall', async () => {
    const publisher = await house();
    await ask(publisher, { verb: 'allow', target: 'ads.example', qube: 'fd09::5', seconds: 60 });
    expect(askName(publisher, '10.137.0.5', 'x.ads.example')).toBe('accept');
    expect(askName(publisher, '10.138.0.9', 'ads.example')).toBe('drop');
    expect(lines(publisher, 'work')).toEqual([
      'action=accept expire=1800000060 dst=@rulectl.allow.fd090000000000000000000000000005.1800000060 comment=rulectl allow 1',
    ]);
  });

  it('of one thing that is blocked, too, the newest decides', async () => {
    const publisher = await house();
    const target = '203.0.113.7';
    const decided = () => verdict(publisher, `10.137.0.5 > ${target} tcp/443`);
    for (const verb of ['block', 'allow', 'block'] as const) {
      await ask(publisher, { verb, target, qube: 'work' });
      expect(decided(), verb).toBe(verb === 'allow' ? 'accept' : 'drop');
    }
    expect(rows(publisher)).toEqual([`2 allow ${target} 10.137.0.5`, `1 block ${target} 10.137.0.5`]);
  });
});

describe('cut', () => {
  it.each([
    ['of its own policy, by either of its addresses', '10.137.0.5', []],
    ['of the policy of its name', 'work', []],
    ['that a policy names beside others', '10.137.0.6', ['one-address']],
    ['of the network of a policy', '10.138.0.3', ['one-address']],
    ['that no policy names', '10.139.0.1', ['one-address']],
    ['of IPv6', 'fd99::1', ['one-address']],
  ])('takes a qube off the network: %s', async (_, qube, notes) => {
    const publisher = await house();
    const address = qube === 'work' ? '10.137.0.5' : qube;
    const other = address.includes(':') ? '2001:db8::1' : '192.0.2.1';
    publisher.setMustReach([mustReach(`${address} > ${other} tcp/22`)]);
    expect(await ask(publisher, { verb: 'cut', qube, seconds: 600 })).toEqual({
      kind: 'released',
      notes: [...notes, 'ends-by-release'],
    });
    for (const text of [`${address} > ${other} tcp/22`, `in ${other} > ${address} tcp/22`]) {
      expect(verdict(publisher, text)).toBe('drop');
      expect(verdict(publisher, text, now + 10_000)).toBe('drop'); // by a release alone
    }
    if (address === '10.137.0.5') expect(verdict(publisher, 'fd09::5 > 2001:db8::1 tcp/22')).toBe('drop');
    if (address === '10.137.0.6') {
      expect(verdict(publisher, '10.137.0.7 > 192.0.2.1 tcp/22')).toBe('accept');
      expect(verdict(publisher, 'in 192.0.2.1 > 10.137.0.7 tcp/22')).toBe('accept');
    }
    expect(publisher.warnings.filter(({ part }) => part.startsWith('rulectl'))).toEqual([]);
    await expectPushed(publisher);
  });

  it('gives the qube back when it ends, whatever guards would say', async () => {
    const clock = new FakeClock();
    const publisher = await house({ clock });
    await ask(publisher, { verb: 'cut', qube: '10.138.0.3', seconds: 600 });
    await clock.advance(599_000);
    expect(verdict(publisher, '10.138.0.3 > 192.0.2.1 tcp/22')).toBe('drop');
    now += 600;
    await clock.advance(60_000);
    await publisher.idle();
    expect(verdict(publisher, '10.138.0.3 > 192.0.2.1 tcp/22')).toBe('accept');
    expect(rows(publisher)).toEqual([]);
    const [{ notes } = { notes: undefined }] = publisher.store.pastReleases();
    expect(notes).toMatchObject({ cause: 'blocks', detail: 'ended: cut 10.138.0.3' });
    await expectPushed(publisher);
  });

  it('does not end early where the clock is set forward, and has an end where it is set back', async () => {
    const clock = new FakeClock();
    const publisher = await house({ clock });
    const isCut = () => verdict(publisher, '10.138.0.3 > 192.0.2.1 tcp/22') === 'drop';
    await ask(publisher, { verb: 'cut', qube: '10.138.0.3', seconds: 600 });
    now += 3600;
    await release(publisher, { 'r.yaml': DOCUMENT.replace('203.0.113.0/24]', '203.0.113.0/25]') });
    await clock.advance(540_000);
    await publisher.idle();
    expect(isCut()).toBe(true);
    await clock.advance(60_000);
    await publisher.idle();
    expect(isCut()).toBe(false);
    await ask(publisher, { verb: 'cut', qube: '10.138.0.3', seconds: 600 });
    now -= 300;
    await clock.advance(600_000);
    await publisher.idle();
    expect(isCut()).toBe(true);
    now += 900;
    await clock.advance(60_000);
    await publisher.idle();
    expect(isCut()).toBe(false);
  });

  it('ends after its time at the latest where the publisher starts with a clock in 1970', async () => {
    const stateDirectory = temporaryDirectory();
    const before = await house({ stateDirectory });
    await ask(before, { verb: 'cut', qube: '10.138.0.3', seconds: 600 });
    await before.close();
    const clock = new FakeClock();
    now = 0;
    const publisher = freshPublisher({ stateDirectory, clock, nowMs: () => now * 1000 });
    now = 1_800_000_900;
    await clock.advance(540_000);
    await publisher.idle();
    expect(rows(publisher)).toHaveLength(1);
    await clock.advance(60_000);
    await publisher.idle();
    expect(rows(publisher)).toEqual([]);
    await expectPushed(publisher);
  });

  it('is refused where firewalls are in their boot mode: a first policy would end that', async () => {
    const publisher = freshPublisher();
    const cut = () => publisher.blocks.add({ verb: 'cut', qube: '10.137.0.5' });
    expect(await codeOfRejection(cut())).toBe('bad-input');
    expect((await publisher.blocks.add({ verb: 'block', target: '192.0.2.1' })).kind).toBe('released');
    expect(await codeOfRejection(cut())).toBe('bad-input');
  });
});

describe('a row', () => {
  it.each([
    [{ verb: 'block', target: 'a b' }, 'bad-input', /is no address, prefix, host name or @LIST/],
    [{ verb: 'block', target: '1.2.3' }, 'bad-input', /is no address/],
    [{ verb: 'block', target: '*.x.example' }, 'bad-input', /a name means all below it/],
    [{ verb: 'block', target: 'co.uk' }, 'bad-input', /public suffix/],
    [{ verb: 'block', target: '@nothing' }, 'no-such-part', /there is no list nothing/],
    [{ verb: 'block', target: '@' }, 'no-such-part', /there is no list/],
    [{ verb: 'block', target: 'x.example', qube: 'wrok' }, 'bad-input', /no policy: did you mean work\?/],
    [{ verb: 'allow', target: 'x.example', qube: 'pair' }, 'bad-input', /not for one address alone/],
    [
      { verb: 'allow', target: 'x.example', qube: '10.138.0.9' },
      'bad-input',
      /policy net judges it, and others\. .*prefixes: \["10\.138\.0\.9"\], egress: \["action=accept dsthost=x\.example"\].*in net/,
    ],
    [
      { verb: 'block', target: '192.0.2.1', qube: '10.139.0.1' },
      'bad-input',
      /no policy judges it.*drop dst4=192\.0\.2\.1\/32/,
    ],
    [{ verb: 'block', target: '192.0.2.1', comment: 'é' }, 'bad-input', /a comment cannot hold/],
  ] as const)('is refused: %o', async (request, code, text) => {
    const publisher = await house();
    const asked = publisher.blocks.add(request);
    await expect(asked).rejects.toMatchObject({ code, message: expect.stringMatching(text) });
    expect(publisher.head?.manifest.version).toBe(1);
    expect(rows(publisher)).toEqual([]);
  });

  it('of one address of a policy leaves those of its other address', async () => {
    const publisher = await house();
    await ask(publisher, { verb: 'cut', qube: 'fd09::5' });
    await ask(publisher, { verb: 'block', target: '203.0.113.7', qube: 'work' });
    await ask(publisher, { verb: 'allow', target: '203.0.113.8', qube: 'fd09::5' });
    expect(lines(publisher, 'work').map((line) => line.replace(/.* comment=/, ''))).toEqual([
      'rulectl cut 1',
      'rulectl allow 3',
      'rulectl block 2',
      'rulectl cut 1',
    ]);
    expect(verdict(publisher, '10.137.0.5 > 203.0.113.9 tcp/443')).toBe('drop');
    await expectPushed(publisher);
  });

  it('of the same is one, with the later end', async () => {
    const publisher = await house();
    const target = '192.0.2.1';
    await ask(publisher, { verb: 'block', target, seconds: 600, comment: 'a' });
    expect(await ask(publisher, { verb: 'block', target: '192.0.2.1/32', seconds: 60 })).toEqual({
      kind: 'unchanged',
      notes: ['same'],
    });
    expect(await ask(publisher, { verb: 'block', target, seconds: 900 })).toEqual({
      kind: 'released',
      notes: ['same'],
    });
    expect(await ask(publisher, { verb: 'block', target })).toEqual({ kind: 'released', notes: ['same'] });
    expect(publisher.blocks.rows).toEqual([
      { id: 3, verb: 'block', target, at: now, by: 'alice', comment: 'a' },
    ]);
    await ask(publisher, { verb: 'cut', qube: '10.139.0.1', seconds: 60 });
    expect((await ask(publisher, { verb: 'cut', qube: '10.139.0.1' })).kind).toBe('released');
    expect(publisher.blocks.rows.at(-1)?.until).toBeUndefined();
  });

  it('is one of 1,000 at most, and of 64 lists of names', async () => {
    const publisher = await house();
    for (let i = 0; i < 64; i++)
      await ask(publisher, { verb: 'block', target: `n${i}.example`, seconds: 60 + i });
    expect(
      await codeOfRejection(publisher.blocks.add({ verb: 'block', target: 'm.example', seconds: 1 })),
    ).toBe('over-limit');
    expect((await ask(publisher, { verb: 'block', target: 'm.example', seconds: 60 })).kind).toBe('released');
    const many = Array.from(
      { length: 1000 },
      (_, i) =>
        ({ id: i + 1, verb: 'block', target: `192.0.${i >> 8}.${i & 255}`, at: now, by: '' }) as const,
    );
    publisher.store.putRows({ next: 1001, rows: many });
    expect(await codeOfRejection(publisher.blocks.add({ verb: 'block', target: '203.0.113.1' }))).toBe(
      'over-limit',
    );
  });

  it('is removed by its number, which no other row gets', async () => {
    const publisher = await house();
    for (const target of ['192.0.2.1', '192.0.2.2', '192.0.2.3'])
      await ask(publisher, { verb: 'block', target });
    expect(await codeOfRejection(publisher.blocks.remove([2, 9]))).toBe('no-such-part');
    expect((await publisher.blocks.remove([2, 3], { by: 'bob' })).kind).toBe('released');
    await ask(publisher, { verb: 'block', target: '192.0.2.4' });
    expect(rows(publisher)).toEqual(['1 block 192.0.2.1', '4 block 192.0.2.4']);
    expect((await publisher.blocks.remove('all')).kind).toBe('released');
    expect((await publisher.blocks.remove('all')).kind).toBe('unchanged');
    expect(publisher.head?.ruleSet.policies.has('first')).toBe(false);
    await expectPushed(publisher);
  });

  it('changes nothing by a dry run, nor against another version', async () => {
    const publisher = await house();
    expect((await ask(publisher, { verb: 'block', target: '192.0.2.1' }, { dryRun: true })).kind).toBe(
      'planned',
    );
    expect((await ask(publisher, { verb: 'block', target: '192.0.2.1' }, { ifVersion: 7 })).kind).toBe(
      'version-moved',
    );
    expect(rows(publisher)).toEqual([]);
    expect(publisher.head?.manifest.version).toBe(1);
  });

  it('is in the audit log, with who asked', async () => {
    const audited: ReleaseAudit[] = [];
    const publisher = await house({ audit: (entry: ReleaseAudit) => audited.push(entry) });
    await ask(publisher, { verb: 'block', target: 'x.example', seconds: 60, comment: 'odd' });
    await publisher.blocks.remove([1], { by: 'bob' });
    expect(audited.slice(1).map(({ cause, by, reason }) => `${cause} ${by} ${reason}`)).toEqual([
      'blocks alice block x.example until 2027-01-15T08:01:00Z: odd',
      'blocks bob removed: block x.example',
    ]);
  });
});

describe('what is pushed', () => {
  /** One row of each kind, in whatever state the publisher is. */
  async function everyRow(options = {}): Promise<Publisher> {
    const publisher = await house(options);
    await ask(publisher, { verb: 'block', target: '203.0.113.7' });
    await ask(publisher, { verb: 'block', target: 'tracker.example', qube: 'work' });
    await ask(publisher, { verb: 'allow', target: '@bad', qube: 'work' });
    await ask(publisher, { verb: 'cut', qube: '10.137.0.6' });
    await ask(publisher, { verb: 'cut', qube: '10.138.0.3' });
    return publisher;
  }
  function expectInForce(publisher: Publisher): void {
    expect(verdict(publisher, '10.138.0.9 > 203.0.113.7 tcp/443')).toBe('drop');
    expect(askName(publisher, '10.137.0.5', 'tracker.example')).toBe('drop');
    expect(verdict(publisher, '10.137.0.5 > 198.51.100.7 tcp/443')).toBe('accept');
    expect(verdict(publisher, '10.137.0.6 > 192.0.2.1 tcp/443')).toBe('drop');
    expect(verdict(publisher, '10.138.0.3 > 192.0.2.1 tcp/443')).toBe('drop');
  }

  it('is what it was, with rows of every kind in force', async () => {
    const publisher = await everyRow();
    expectInForce(publisher);
    await expectPushed(publisher);
  });

  it('is told without rows, of any version', async () => {
    const publisher = await everyRow();
    const pure = await (await house()).history.changes(0, 1, {});
    const version = publisher.head?.manifest.version ?? 0;
    for (const to of [version, version - 1])
      expect(await publisher.history.changes(0, to, { pushed: true })).toEqual(pure);
    expect(publisher.blocks.rowsIn('work').map(({ id }) => id)).toEqual([2, 3]);
    expect(publisher.blocks.rowsIn(undefined)).toHaveLength(5);
  });

  it.each([
    ['the same push', {}, 'unchanged'],
    ['--replace-all', { replaceAll: true }, 'unchanged'],
    ['--merge', { action: 'merge' }, 'unchanged'],
  ] as const)('again by %s makes no release', async (_, input, kind) => {
    const publisher = await everyRow();
    expect((await publisher.push(pushOf({ 'rules.yaml': DOCUMENT }, input))).kind).toBe(kind);
    expectInForce(publisher);
  });

  it('is withdrawn as if there were no rows', async () => {
    const publisher = await everyRow();
    const net = 'policies: { net: { prefixes: [10.138.0.0/24] } }\n';
    const outcome = await publisher.push(pushOf({ 'r.yaml': net }, { action: 'withdraw' }), {
      permits: ALL_PERMITS,
    });
    expect(outcome.kind).toBe('released');
    expect(base(publisher).policies.has('net')).toBe(false);
    expect(verdict(publisher, '10.138.0.3 > 192.0.2.1 tcp/443')).toBe('drop');
    const again = await publisher.push(pushOf({ 'r.yaml': net }, { action: 'withdraw' }), {
      permits: ALL_PERMITS,
    });
    expect(again.kind).toBe('rejects');
  });

  it('may not take the policy away that a block stands in', async () => {
    const publisher = await everyRow();
    const two = DOCUMENT.replace('10.137.0.5, "fd09::5"', '10.137.0.5, 10.137.0.9');
    const pushed = publisher.push(pushOf({ 'r.yaml': two }), { permits: ALL_PERMITS });
    await expect(pushed).rejects.toThrow(
      /allow @bad for 10\.137\.0\.5 \(row 3\) stands in the policy of that address alone, which would be gone: keep that, or rulectl blocks --remove 3,2/,
    );
    expectInForce(publisher);
  });

  it('may name an address that is cut off, in another policy', async () => {
    const publisher = await everyRow();
    await release(publisher, {
      'r.yaml': DOCUMENT.replace('10.138.0.0/24', '10.138.0.0/24, 10.137.0.6').replace('10.137.0.6, ', ''),
    });
    expectInForce(publisher);
    await publisher.blocks.remove('all');
    expect(verdict(publisher, '10.137.0.6 > 192.0.2.1 tcp/443')).toBe('accept');
    expect(base(publisher).policies.get('pair')?.prefixes.v4.lengths).toHaveLength(1);
  });

  it.each([
    ['a comment', 'common: { egress: [drop dst4=192.0.2.1 comment=rulectl block 3] }\n'],
    ['a list', 'lists: { rulectl.block.0: { entries: [192.0.2.1] } }\n'],
    ['a policy', 'policies: { rulectl.cut.10.137.0.5: { prefixes: [10.137.0.5] } }\n'],
  ])('may not be taken for a row: %s', async (_, text) => {
    const publisher = await house();
    const outcome = await publisher.push(pushOf({ 'r.yaml': text }), { permits: ALL_PERMITS });
    expect(outcome.kind === 'rejects' && outcome.rejects.map(({ code }) => code)).toEqual([
      'rows-of-rulectl',
    ]);
  });

  it('comes back by a rollback, whole or in part, and rows stay as they are', async () => {
    const publisher = await everyRow();
    const version = publisher.head?.manifest.version ?? 0;
    await publisher.blocks.remove([3]);
    await release(publisher, { 'r.yaml': DOCUMENT.replace('203.0.113.0/24]', '203.0.113.0/25]') });
    expect((await publisher.rollback(version, { policy: 'work' }, { permits: ALL_PERMITS })).kind).toBe(
      'released',
    );
    expect(rows(publisher)).toHaveLength(4);
    expect(verdict(publisher, '10.137.0.5 > 198.51.100.7 tcp/443')).toBe('drop'); // row 3 does not come back
    await expectPushed(publisher);
    expect((await publisher.rollback(1, {}, { permits: ALL_PERMITS })).kind).toBe('unchanged');
    expect(askName(publisher, '10.137.0.5', 'tracker.example')).toBe('drop');
    expect(await codeOfRejection(publisher.rollback(version, { policy: 'rulectl.cut.10.138.0.3' }))).toBe(
      'no-such-part',
    );
  });

  it('goes on with its rows over a restart', async () => {
    const stateDirectory = temporaryDirectory();
    const before = await everyRow({ stateDirectory });
    const head = before.head?.hash;
    await before.close();
    const publisher = freshPublisher({ stateDirectory, nowMs: () => now * 1000 });
    expect(publisher.head?.hash).toEqual(head);
    expect(rows(publisher)).toHaveLength(5);
    expectInForce(publisher);
    expect((await publisher.push(pushOf({ 'rules.yaml': DOCUMENT }))).kind).toBe('unchanged');
    await publisher.blocks.remove('all');
    await expectPushed(publisher);
  });

  it('is not said to be left by a rollback, where it is a rules file', async () => {
    const publisher = freshPublisher({ nowMs: () => now * 1000 });
    const { files } = pushOf({ 'rules.yaml': DOCUMENT });
    publisher.rules.name('/rules.yaml');
    expect((await publisher.takeRules(files, contentOf(files))).kind).toBe('released');
    await ask(publisher, { verb: 'block', target: '192.0.2.1' });
    await ask(publisher, { verb: 'cut', qube: '10.137.0.6' });
    await ask(publisher, { verb: 'allow', target: '192.0.2.1', qube: 'work' });
    expect(publisher.rules.isLeft).toBe(false);
    const other = pushOf({ 'rules.yaml': DOCUMENT.replace('default: accept, ingress', 'ingress') });
    expect((await publisher.takeRules(other.files, contentOf(other.files))).kind).toBe('released');
    expect(publisher.rules.isLeft).toBe(false);
    expect(verdict(publisher, '10.137.0.6 > 192.0.2.1 tcp/443')).toBe('drop');
    await publisher.blocks.remove('all');
    expect(publisher.rules.isLeft).toBe(false);
  });

  it('keeps lists that rows use, whatever sources deliver', async () => {
    const publisher = await everyRow();
    const delivered = await publisher.updateLists(
      new Map([
        ['bad', undefined],
        ['new', prefixListOf(prefixes('192.0.2.9'))],
      ]),
    );
    expect([...delivered.refused.keys()]).toEqual(['bad']);
    expectInForce(publisher);
    expect(base(publisher).lists.has('new')).toBe(true);
  });
});

it('damaged rows are no rows that were lost: the store is not opened', async () => {
  const stateDirectory = temporaryDirectory();
  const before = await house({ stateDirectory });
  await ask(before, { verb: 'block', target: '192.0.2.1' });
  await before.close();
  const databases = openDatabases(join(stateDirectory, 'store'));
  databases.transactionSync(() => void databases.meta.put('blocks', Buffer.from('{"next":2,"rows":[{}]}')));
  await databases.close();
  expect(() => freshPublisher({ stateDirectory })).toThrow(/rows of rulectl blocks are damaged/);
});

describe('guards', () => {
  const dropAll = { verb: 'block', target: '0.0.0.0/0' } as const;
  const must = mustReach('10.137.0.5 > 203.0.113.7 tcp/443');

  it.each(['push', 'admin'] as const)('of the role %s ask what the table says', async (role) => {
    const publisher = await house();
    publisher.setMustReach([must]);
    expect((await ask(publisher, { verb: 'block', target: '203.0.113.0/24' }, { role })).kind).toBe(
      'unreachable',
    );
    expect((await ask(publisher, { verb: 'block', target: 'com.example' }, { role })).kind).toBe('released');
    const open = { verb: 'allow', target: '0.0.0.0/1', qube: 'work' } as const;
    expect((await ask(publisher, open, { role })).kind).toBe('accept-all');
    expect((await ask(publisher, { ...open, target: '192.0.2.0/24' }, { role })).kind).toBe('released');
    expect((await ask(publisher, { verb: 'cut', qube: 'work' }, { role })).kind).toBe('released');
    await ask(publisher, { verb: 'cut', qube: '10.138.0.3' }, { role });
    const back = await publisher.blocks.remove('all', { role });
    expect(back.kind).toBe(role === 'admin' ? 'released' : 'guarded');
  });

  it('are asked whether anything is accepted any more, and by nothing that has ended', async () => {
    const publisher = freshPublisher({ nowMs: () => now * 1000 });
    await release(publisher, {
      'r.yaml': 'policies: { all: { prefixes: [0.0.0.0/0], default: accept } }\nunmatched: drop\n',
    });
    const both = { ...dropAll, seconds: 60 };
    expect((await ask(publisher, both)).kind).toBe('released'); // IPv6 of nobody is named, and passes the policy
    publisher.setMustReach([mustReach('10.137.0.5 > 192.0.2.1 tcp/443')]);
    now += 61;
    const pushed = await publisher.push(pushOf({ 'a.txt': '192.0.2.1\n' }), { role: 'push' });
    expect(pushed.kind).toBe('released'); // though half of IPv4 is accepted again with it
    const closing = await publisher.push(
      pushOf({ 'r.yaml': 'policies: { all: { prefixes: [0.0.0.0/0] } }\nunmatched: drop\n' }),
      { role: 'push' },
    );
    expect(closing.kind === 'guarded' && closing.refusals.map(({ guard }) => guard)).toContain('unreachable');
  });

  it('ask of a push what is behind rows, which would be there when they end', async () => {
    const publisher = await house();
    const closed = DOCUMENT.replace('default: accept, ingress', 'ingress');
    await release(publisher, { 'r.yaml': closed });
    await ask(publisher, { verb: 'cut', qube: '10.137.0.6', seconds: 60 });
    const open = closed
      .replace('10.137.0.6, 10.137.0.7', '10.137.0.7')
      .replace('10.138.0.0/24', '10.0.0.0/8');
    const outcome = await publisher.push(pushOf({ 'r.yaml': open }), { role: 'push' });
    expect(
      outcome.kind === 'guarded' && outcome.refusals.map(({ guard, part }) => `${guard} ${part}`),
    ).toContain('accept-all policy net');
    publisher.setMustReach([mustReach('10.137.0.6 > 203.0.113.7 tcp/443')]);
    await release(publisher, { 'r.yaml': DOCUMENT }, {}, { role: 'admin' });
    const fed = publisher.updateLists(new Map([['bad', prefixListOf(prefixes('203.0.113.7'))]]));
    expect([...(await fed).refused]).toEqual([['bad', expect.objectContaining({ code: 'unreachable' })]]);
  });

  it('ask as docs/reference/block-now.md says', () => {
    const document = readFileSync(new URL('../../../docs/reference/block-now.md', import.meta.url), 'utf8');
    const told = Array.from(document.matchAll(/^\| .+ \|$/gm), ([line]) =>
      line.split('|').map((cell) => cell.trim()),
    );
    const ROWS = [
      ['mustReach'],
      ['dropAll'],
      ['opened', 'newPolicies'],
      ['unresolved'],
      ['unsupported'],
    ] as const;
    const named = new Set<Guard>(ROWS.flat());
    const rest = GUARDS.filter((guard) => !named.has(guard));
    const cells = [...ROWS, rest].map((guards) =>
      (['block', 'allow', 'cut', 'unblock', 'ended'] as const).map((way) => {
        const [push, admin] = (['push', 'admin'] as const).map((role) =>
          guards.some((guard) => asks(guard, way, role)),
        );
        return admin === true ? 'everybody' : push === true ? 'role `push`' : 'nobody';
      }),
    );
    expect(told.slice(-cells.length).map((row) => row.slice(2, -1))).toEqual(cells);
  });
});
