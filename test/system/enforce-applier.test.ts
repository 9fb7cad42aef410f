/**
 * The applier and the sink in a kernel of their own namespace: every change loads, and what somebody else
 * does is noticed and repaired.
 */

import { createHash } from 'node:crypto';
import {
  applierCommand,
  createNftSink,
  type NftRelease,
  type NftSink,
  type NftSinkOptions,
} from '@rulecast/nftables';
import {
  canonicalPrefixes,
  EMPTY_RULE_SET,
  emptyPolicy,
  PrefixBuilder,
  type Prefixes,
  plainRule,
  prefixListOf,
  prefixSetOf,
  type RuleSet,
  RunBuilder,
} from '@rulecast/rules';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { randomCase } from '../../packages/table/test/random-rule-set.ts';
import { type Namespace, Network } from '../enforce/network.mjs';
import { appliers, sinkIn } from '../enforce/sink.mjs';
import { Random } from '../kit/random.mjs';
import { prefixFrom, prefixSetFrom } from '../kit/rules.ts';
import { enforcementGap } from './namespaces.ts';
import { within } from './scene.ts';

const SOON_MS = 10_000;
/** As docs/explain/enforcement.md says. */
const CHECK_EVERY_MS = 300_000;
/** Beyond the 25 ms between looks at the generation. */
const NOTICED_WITHIN_MS = 200;
const MATCH = plainRule('drop');

let network: Network | undefined;
const sinks: NftSink[] = [];

beforeEach(() => {
  network = enforcementGap() === undefined ? new Network() : undefined;
});

afterEach(async () => {
  for (const sink of sinks.splice(0)) await sink.close();
  await network?.close();
  network = undefined;
});

describe.skipIf(enforcementGap() !== undefined)('the sink and its applier', () => {
  it('load random rule sets one after the other, each as a change of the one before', async () => {
    const sink = open();
    for (let seed = 1; seed <= 60; seed++) {
      const { ruleSet, environment } = randomCase(seed, 60);
      await load(sink, { hash: hashOf(`random ${seed}`), ruleSet, environment });
      expect(await sink.check(), `seed ${seed}`).toBe(false); // nothing to repair: all elements are as planned
    }
    expect(sink.status().repairs).toBe(0);
  });

  it('take large lists of many lengths through deltas, and through growth beyond their room', async () => {
    const sink = open();
    const random = new Random(5);
    let members = randomMembers(random, 12_000, 0x01000000);
    for (let round = 0; round < 6; round++) {
      await load(sink, releaseOf(`list ${round}`, blocking(members)));
      expect(await sink.check()).toBe(false);
      members = merged(members, randomMembers(random, 2500, 0x20000000 + round * 0x08000000));
    }
  });

  it('start again while what was in force stays, and load it anew whatever was done to it', async () => {
    const release = releaseOf('kept', blocking(randomMembers(new Random(9), 4000, 0x01000000)));
    for (const spoil of [
      '',
      'flush set inet TABLE SET',
      'flush table inet TABLE',
      'delete table inet TABLE',
    ]) {
      const sink = open();
      await load(sink, release);
      expect(sink.status().repairs).toBe(0);
      expect(await sink.check()).toBe(false);
      await sink.close();
      const [set = ''] = /s[0-9a-f]{16}_4_32_\w+/.exec(listing()) ?? [];
      if (spoil !== '') router().nft(`${filled(spoil).replace('SET', set)}\n`);
    }
  });

  it.each([
    ['a rule is added', 'insert rule inet TABLE forward accept'],
    ['a chain is emptied', 'flush chain inet TABLE to_qubes'],
    ['a set is added', 'add set inet TABLE s0123456789abcdef_4_32_4_89abcdef { type ipv4_addr; }'],
    ['the table is deleted', 'delete table inet TABLE'],
    ['all tables are flushed', 'flush ruleset'],
  ])('repair the table within seconds when %s', async (_, command) => {
    const sink = await openUnowned({ flowMarks: false }); // a repair changes marks
    await load(sink, releaseOf('repaired', blocking(hosts('1.2.3.4', '1.2.3.5'))));
    const intact = listing('-s');
    router().nft(`${filled(command)}\n`);
    await eventually('a repair', () => sink.status().repairs === 1);
    await sink.settled();
    expect(listing('-s')).toBe(intact);
  });

  it.each([
    ['was taken out', 'delete element inet TABLE SET { 1.2.3.4 }'],
    ['was put in', 'add element inet TABLE SET { 9.9.9.9 }'],
  ])('repair the table by a check when an element %s', async (_, command) => {
    const sink = await openUnowned({ flowMarks: false }); // a repair changes marks
    await load(sink, releaseOf('repaired', blocking(hosts('1.2.3.4', '1.2.3.5'))));
    const intact = listing('-s');
    const [set = ''] = /s[0-9a-f]{16}_4_\w+/.exec(intact) ?? [];
    router().nft(`${filled(command).replace('SET', set)}\n`);
    expect(await sink.check()).toBe(true);
    expect(listing('-s')).toBe(intact);
    expect(await sink.check()).toBe(false);
  });

  it.each([
    ['was taken out', 'delete element inet TABLE MAP { 10.137.0.5 }'],
    ['was put in', 'add element inet TABLE MAP { 10.137.0.6 : goto CHAIN }'],
  ])('repair the table by a check when a qube %s of those that have a policy', async (_, command) => {
    const sink = await openUnowned({ flowMarks: false }); // a repair changes marks
    const work = {
      ...emptyPolicy('work'),
      prefixes: prefixSetFrom(['10.137.0.5', 'fd00::5', 'fd00::6']),
    };
    const policies = new Map([
      ['work', work],
      ['default', emptyPolicy('default')],
    ]);
    await load(sink, releaseOf('repaired', { ...EMPTY_RULE_SET, policies }));
    expect(await sink.check()).toBe(false);
    const intact = listing('-s');
    const [, map = '', chain = ''] = /map (de4_32_\w+) \{[^}]*10\.137\.0\.5 : goto (\w+)/.exec(intact) ?? [];
    router().nft(`${filled(command).replace('MAP', map).replace('CHAIN', chain)}\n`);
    expect(await sink.check()).toBe(true);
    expect(listing('-s')).toBe(intact);
  });

  it('look at elements every five minutes, unasked, and repair what is lacking', async () => {
    const timers = vi.spyOn(globalThis, 'setInterval');
    const sink = await openUnowned({ flowMarks: false });
    const ticks = timers.mock.calls.filter(([, ms]) => ms === CHECK_EVERY_MS).map(([tick]) => tick);
    timers.mockRestore();
    await load(sink, releaseOf('checked', blocking(hosts('1.2.3.4', '1.2.3.5'))));
    const [set = ''] = /s[0-9a-f]{16}_4_\w+/.exec(listing('-s')) ?? [];
    router().nft(filled(`delete element inet TABLE ${set} { 1.2.3.4 }\n`));
    await pause(NOTICED_WITHIN_MS);
    await sink.settled();
    expect(sink.status().repairs).toBe(0);
    for (const tick of ticks) tick();
    await eventually('a repair', () => sink.status().repairs === 1);
  });

  it('notice what was changed before the table was looked at for the first time', async () => {
    const sink = await openUnowned();
    const release = releaseOf('at once', blocking(hosts('1.2.3.4')));
    await sink.prepare(release);
    await sink.commit();
    router().nft(filled('flush table inet TABLE\n')); // nothing of Node runs between
    await eventually('a repair', () => sink.status().repairs === 1);
  });

  it('repair a set that is too large to be listed when it was emptied', async () => {
    const sink = await openUnowned();
    await load(sink, releaseOf('large', blocking(randomMembers(new Random(3), 50_000, 0x01000000))));
    expect(await sink.check()).toBe(false);
    const [set = ''] = /s[0-9a-f]{16}_4_32_\w+/.exec(listing('-t')) ?? [];
    router().nft(filled(`flush set inet TABLE ${set}\n`));
    expect(await sink.check()).toBe(true);
    expect(await sink.check()).toBe(false);
  });

  it('repair a class map that is too large to be listed when it was emptied', async () => {
    const sink = await openUnowned();
    await load(sink, releaseOf('classes', alternating(40_000)));
    expect(await sink.check()).toBe(false);
    const table = listing('-t');
    const [, map = ''] = /map (\S+) \{[^}]*size [1-9]\d{4}/.exec(table) ?? [];
    router().nft(filled(`flush map inet TABLE ${map}\n`));
    expect(await sink.check()).toBe(true);
    expect(await sink.check()).toBe(false);
  });

  it('leave other tables alone, and are not disturbed by them', async () => {
    const sink = open();
    await load(sink, releaseOf('calm', blocking(hosts('1.2.3.4'))));
    const transactions = await countTransactions();
    router().nft('table ip qubes { chain c { type filter hook forward priority 0; accept; }; }\n');
    router().nft('delete table ip qubes\n');
    expect(await sink.check()).toBe(false);
    await eventually('two transactions', () => transactions() >= 2);
    expect(transactions()).toBe(2); // those above
    expect(sink.status().repairs).toBe(0);
  });

  it('refuse what the kernel refuses, with its words, and keep what was in force', async () => {
    const sink = open();
    await load(sink, releaseOf('kept', blocking(hosts('1.2.3.4'))));
    const kept = listing('-s');
    const other = router().table() === 'rulecast_a' ? 'rulecast_b' : 'rulecast_a';
    const owner = router().spawn(['nft', '-i']); // whose table nobody else may touch
    owner.stdin?.write(`add table inet ${other} { flags owner; }\n`);
    await eventually('the other table', () => router().run(['nft', 'list', 'tables']).includes(other));
    const refused = sink.prepare(releaseOf('refused', EMPTY_RULE_SET));
    await expect(refused).rejects.toThrow('EPERM, operation not permitted');
    await sink.discard();
    expect(listing('-s')).toBe(kept);
    owner.kill('SIGKILL');
    await eventually('its end', () => !router().run(['nft', 'list', 'tables']).includes(other));
    await load(sink, releaseOf('taken', EMPTY_RULE_SET));
    expect(listing('-s')).not.toBe(kept);
  });

  it.each<[string, (sink: NftSink) => Promise<void>]>([
    ['as it is', async () => undefined],
    ['by another applier, where the one that made it is killed', killed],
    ['anew, where a repair took its place', repaired],
  ])('make a release ready where no packet gets to, and put it in force %s', async (_, meanwhile) => {
    const sink = await openUnowned();
    await load(sink, releaseOf('first', blocking(hosts('1.2.3.4'))));
    await sink.prepare(releaseOf('second', blocking(hosts('1.2.3.5'))));
    const both = router().run(['nft', 'list', 'ruleset']);
    expect(both.match(/1\.2\.3\.[45]/g)).toHaveLength(2);
    expect(both.match(/hook forward/g)).toHaveLength(1);
    await meanwhile(sink);
    expect(listing()).toContain('1.2.3.4'); // in force
    await sink.commit();
    expect(listing()).toContain('1.2.3.5');
    await sink.settled();
    expect(await sink.check()).toBe(false);
    await eventually('the end of the other', () => tableCount() === 1);
  });

  it('make a release ready and forget it where it is not taken', async () => {
    const sink = open();
    await load(sink, releaseOf('first', blocking(hosts('1.2.3.4'))));
    const kept = listing('-s');
    await sink.prepare(releaseOf('second', blocking(hosts('1.2.3.5'))));
    await sink.discard();
    await eventually('its end', () => tableCount() === 1);
    expect(listing('-s')).toBe(kept);
    expect(await sink.check()).toBe(false);
  });

  it('build anew in a table that somebody made by that name', async () => {
    const sink = open();
    await load(sink, releaseOf('first', blocking(hosts('1.2.3.4'))));
    const kept = listing('-s').length;
    const other = router().table() === 'rulecast_a' ? 'rulecast_b' : 'rulecast_a';
    router().nft(
      `table inet ${other} { chain egress4 { accept; }; chain mine { type filter hook forward priority 0; }; }\n`,
    );
    await load(sink, releaseOf('second', blocking(hosts('1.2.3.4'))));
    expect(router().table()).toBe(other);
    expect(listing('-s')).toHaveLength(kept);
    expect(await sink.check()).toBe(false);
  });

  it('are not moved by what others do to owned tables, and leave them to the next applier', async () => {
    const said: string[] = [];
    const say = (_: object, text: string): unknown => said.push(text);
    const sink = open({ logger: { info: say, warn: say, error: say } });
    await load(sink, releaseOf('owned', blocking(hosts('1.2.3.4'))));
    const kept = listing('-s');
    router().nft('add table ip other\n');
    router().nft('flush ruleset\n');
    expect(router().run(['nft', 'list', 'tables'])).not.toContain('other');
    for (const command of ['delete table inet TABLE', 'flush table inet TABLE', 'add chain inet TABLE mine'])
      expect(() => router().nft(`${filled(command)}\n`)).toThrow('Operation not permitted');
    expect(listing('-s')).toBe(kept);
    await eventually('a line in the log', () =>
      said.some((text) => text.startsWith('another program changed nftables')),
    );
    await sink.close();
    await load(open(), releaseOf('adopted', blocking(hosts('1.2.3.5'))));
    expect(() => router().nft(filled('delete table inet TABLE\n'))).toThrow('Operation not permitted');
  });

  it('say what the kernel says where they may not change it', async () => {
    const { program, args } = applierCommand();
    const without = ['setpriv', '--bounding-set=-net_admin', '--inh-caps=-net_admin', '--no-new-privs'];
    const command = [...router().prefix, ...without, program, ...args];
    const sink = createNftSink({ applier: { program: command[0] ?? '', args: command.slice(1) } });
    sinks.push(sink);
    await expect(sink.boot(releaseOf('', EMPTY_RULE_SET))).rejects.toThrow('EPERM, operation not permitted');
    expect(sink.trouble()?.text).toBe('nothing is loaded yet');
  });

  it('keep, at boot, the release that the kernel has, and enforce the boot mode where it has none', async () => {
    const boot: NftRelease = { ...releaseOf('', EMPTY_RULE_SET), hash: new Uint8Array(32) };
    const first = open();
    await first.boot(boot);
    expect(listing('-t')).toContain(`release_${'0'.repeat(64)}`);
    await load(first, releaseOf('in force', EMPTY_RULE_SET));
    await first.close();
    const second = open();
    await second.boot(boot);
    expect(listing('-t')).toContain(`release_${Buffer.from(hashOf('in force')).toString('hex')}`);
  });
});

function router(): Namespace {
  if (network === undefined) throw new Error('no network');
  return network.router;
}

function open(options: NftSinkOptions = {}): NftSink {
  if (network === undefined) throw new Error('no network');
  const sink = sinkIn(network, options);
  sinks.push(sink);
  return sink;
}

async function openUnowned(options: NftSinkOptions = {}): Promise<NftSink> {
  await router().withoutOwners();
  return open(options);
}

async function load(sink: NftSink, release: NftRelease): Promise<void> {
  await sink.prepare(release);
  await sink.commit();
  await sink.settled();
}

async function killed(sink: NftSink): Promise<void> {
  for (const pid of appliers()) process.kill(pid, 'SIGKILL');
  await sink.settled();
}

async function repaired(sink: NftSink): Promise<void> {
  router().nft(filled('insert rule inet TABLE forward accept\n'));
  await eventually('a repair', () => sink.status().repairs === 1);
}

function tableCount(): number {
  return (
    router()
      .run(['nft', 'list', 'tables'])
      .match(/rulecast_[ab]$/gm)?.length ?? 0
  );
}

function listing(...flags: readonly string[]): string {
  return router()
    .run(['nft', ...flags, 'list', 'table', 'inet', router().table()])
    .replace(/rulecast_[ab]/, 'rulecast');
}

/** A command about the table in force. */
function filled(command: string): string {
  return command.replace('TABLE', router().table());
}

/** Counts the transactions of the namespace from now on. */
async function countTransactions(): Promise<() => number> {
  const monitor = router().spawn(['sh', '-c', 'exec nft monitor 2>/dev/null']);
  let text = '';
  monitor.stdout?.on('data', (bytes: Buffer) => {
    text += bytes.toString();
  });
  const count = (): number => text.split('# new generation').length - 1;
  for (let tries = 0; count() === 0; tries++) {
    if (tries === 100) throw new Error('nft monitor says nothing');
    router().nft('add table inet seen\ndelete table inet seen\n'); // until it listens
    await pause(50);
  }
  await pause(200);
  const before = count();
  return () => count() - before;
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** Looks again and again until something holds. */
async function eventually(what: string, holds: () => boolean): Promise<void> {
  const looking = new AbortController();
  const look = async (): Promise<void> => {
    while (!holds() && !looking.signal.aborted) await pause(20);
  };
  try {
    await within(look(), SOON_MS, what);
  } finally {
    looking.abort();
  }
}

function hashOf(text: string): Uint8Array {
  return new Uint8Array(createHash('sha256').update(text).digest());
}

function hosts(...texts: readonly string[]): Prefixes {
  return prefixSetFrom(texts).v4;
}

function releaseOf(name: string, ruleSet: RuleSet): NftRelease {
  return { hash: hashOf(name), ruleSet, environment: { now: 0, dns: [] } };
}

function blocking(v4: Prefixes): RuleSet {
  const runs = new RunBuilder();
  runs.push({ ...MATCH, remote: { kind: 'list', list: 'bad' } });
  const policy = { ...emptyPolicy('default'), egress: runs.build(), defaultAction: 'accept' } as const;
  const list = prefixListOf({ v4, v6: prefixSetOf([]).v6 });
  return { ...EMPTY_RULE_SET, lists: new Map([['bad', list]]), policies: new Map([['default', policy]]) };
}

/** Rules for hosts that accept and drop by turns, so that they are asked by the class of the address. */
function alternating(count: number): RuleSet {
  const runs = new RunBuilder();
  for (let i = 0; i < count; i++) {
    const remote = {
      kind: 'prefix',
      prefix: prefixFrom(`10.${i >> 16}.${(i >> 8) & 255}.${i & 255}`),
    } as const;
    runs.push({ ...plainRule(i % 2 === 0 ? 'accept' : 'drop'), remote });
  }
  const policy = { ...emptyPolicy('default'), egress: runs.build() };
  return { ...EMPTY_RULE_SET, policies: new Map([['default', policy]]) };
}

/** Members of lengths as blocklists have them, in 2^26 addresses from `first` on. */
function randomMembers(random: Random, count: number, first: number): Prefixes {
  const builder = new PrefixBuilder(4, count);
  for (let i = 0; i < count; i++) {
    const length = random.pick([32, 32, 32, 32, 24, 24, 24, 23, 22, 21, 28, 27, 30]);
    const word = first + (random.word() >>> 6);
    builder.push4((word & (0xffffffff << (32 - length))) >>> 0, length);
  }
  return canonicalPrefixes(builder.build());
}

function merged(a: Prefixes, b: Prefixes): Prefixes {
  const both = new PrefixBuilder(4);
  for (const { words, lengths } of [a, b]) {
    for (const [i, length] of lengths.entries()) both.push(words, i, length);
  }
  return canonicalPrefixes(both.build());
}
