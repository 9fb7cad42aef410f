/** Sums of firewalls' counters: what adds to them, what does not, and their keys. */

import type { AskTable } from '@rulecast/sessions';
import { describe, expect, it } from 'vitest';
import { until } from '../../../test/kit/turns.ts';
import { FakeClock } from '../../sources/test/fake-clock.ts';
import { CounterSums } from '../src/counts/sums.ts';
import { countFirewalls } from '../src/daemon/counting.ts';
import { freshPublisher, release } from './fresh-publisher.ts';

const HOUR_MS = 3_600_000;

async function ruleSetOf(egress: readonly string[], lists: readonly string[] = ['bad']) {
  const publisher = freshPublisher();
  const entries = lists.map((name) => `${name}: { entries: [192.0.2.0/24] }`).join(', ');
  const rules = egress.map((rule) => `"${rule}"`).join(', ');
  await release(publisher, {
    'rules.yaml': `unmatched: drop\nlists: { ${entries} }\npolicies: { work: { prefixes: [10.137.0.5], default: accept, egress: [${rules}] } }`,
  });
  const ruleSet = publisher.head?.ruleSet;
  if (ruleSet === undefined) throw new Error('nothing was released');
  return ruleSet;
}

function newSums() {
  const clock = new FakeClock();
  const sums = new CounterSums({ nowMs: () => clock.wallMs(), monotonicMs: () => clock.monotonicMs() });
  return { clock, sums };
}

const counted = (values: Readonly<Record<string, number>>) => new Map(Object.entries(values));

describe('sums of counters', () => {
  it('grow by what a firewall counted between two looks, and by nothing of the first look', async () => {
    const { sums } = newSums();
    const ruleSet = await ruleSetOf(['drop dst=@bad']);
    const look = (subscriber: string, drop: number, judged: number) =>
      sums.take(subscriber, {
        counters: counted({ nftDecided: judged, 'drop.list.bad': drop, 'drop.policy.work': drop }),
        ruleSet,
        isInForce: true,
      });
    look('fw-a', 1000, 5000);
    look('fw-a', 1007, 5010);
    look('fw-b', 50, 60);
    look('fw-b', 53, 70);
    expect(sums.of('list', 'bad')).toEqual({ accept: 0, drop: 10 });
    expect(sums.of('policy', 'work')).toEqual({ accept: 0, drop: 10 });
    expect(sums.whole('fw-a').get('nftDecided')).toBe(10);
    expect(sums.whole('fw-b').get('nftDecided')).toBe(10);
  });

  it('are never lower after a firewall counts anew, and have what it counted since', async () => {
    const { sums } = newSums();
    const ruleSet = await ruleSetOf(['drop dst=@bad']);
    for (const [drop, sum] of [
      [100, 0],
      [140, 40],
      [5, 45],
      [undefined, 45],
      [8, 53],
    ] as const) {
      const counters = counted(drop === undefined ? {} : { 'drop.list.bad': drop });
      sums.take('fw', { counters, ruleSet, isInForce: true });
      expect(sums.of('list', 'bad').drop).toBe(sum);
    }
  });

  it('are kept of lists and policies that are released, whatever a firewall says, and of no others', async () => {
    const { sums, clock } = newSums();
    const [both, one] = [await ruleSetOf(['drop'], ['bad', 'worse']), await ruleSetOf(['drop'])];
    const said = {
      'drop.list.bad': 1,
      'drop.list.worse': 1,
      'drop.list.made-up': 1,
      'drop.policy.none': 1,
      x: 1,
      dnsCrowded: 1, // a flag
      dnsMadeUp: 1,
      dnsOtherFamily: 1,
    };
    for (const factor of [1, 2])
      sums.take('fw', {
        counters: counted(Object.fromEntries(Object.entries(said).map(([name, n]) => [name, n * factor]))),
        ruleSet: both,
        isInForce: true,
      });
    const dropped = () => ['bad', 'worse', 'made-up'].map((list) => sums.of('list', list).drop);
    expect(dropped()).toEqual([1, 1, 0]);
    expect(sums.of('policy', 'none')).toEqual({ accept: 0, drop: 0 });
    expect([...sums.whole('fw').keys()]).toEqual(['dnsOtherFamily']);
    expect([...sums.questions()]).toEqual([['other-family', 1]]);
    clock.advance(HOUR_MS);
    sums.take('fw', { counters: counted(said), ruleSet: one, isInForce: true }); // one went, and the firewall began anew
    expect(dropped()).toEqual([2, 0, 0]);
  });

  it('of rules begin anew where a release changed their policy, so that no number is taken for another', async () => {
    const { sums } = newSums();
    const before = await ruleSetOf(['drop dst4=192.0.2.1', 'drop proto=tcp dstports=443']);
    const after = await ruleSetOf([
      'drop dst4=198.51.100.1 proto=udp',
      'drop dst4=192.0.2.1',
      'drop proto=tcp dstports=443',
    ]);
    const look = (ruleSet: typeof before, rules: Readonly<Record<string, number>>, isInForce = true) =>
      sums.take('fw', { counters: counted(rules), ruleSet, isInForce });
    look(before, { 'rule.work.1': 10, 'rule.work.2': 1000 });
    look(before, { 'rule.work.1': 10, 'rule.work.2': 1001 });
    look(after, { 'rule.work.1': 10, 'rule.work.2': 1003 }, false); // which numbers it means is not known
    look(after, { 'rule.work.2': 11, 'rule.work.3': 1004 });
    look(after, { 'rule.work.2': 12, 'rule.work.3': 1006, 'rule.work.indefault': 1 }); // that accepts
    look(before, { 'rule.work.2': 1007 }, false); // as it was, by a rollback
    look(before, { 'rule.work.1': 12, 'rule.work.2': 1007 });
    const found = sums.since(HOUR_MS).rules.map(({ rule, ruleIndex, packets }) => [rule, ruleIndex, packets]);
    expect(found).toEqual([
      ['action=drop proto=tcp dstports=443-443', 2, 3],
      ['action=drop dst4=192.0.2.1/32', 1, 1],
    ]);
  });

  it('of rules go on over releases that leave their policy as it is, and while one is not in force', async () => {
    const { sums } = newSums();
    const ruleSet = await ruleSetOf(['drop']);
    const look = (packets: number, isInForce: boolean) =>
      sums.take('fw', {
        counters: counted({ 'rule.work.1': packets }),
        ruleSet: { ...ruleSet, policies: new Map(ruleSet.policies) },
        isInForce,
      });
    look(5, true);
    look(7, true);
    look(8, false);
    look(9, true);
    expect(sums.since(HOUR_MS).rules.map(({ packets }) => packets)).toEqual([4]);
  });

  it('of rules begin with the first look at which their numbers are known', async () => {
    const { sums } = newSums();
    const ruleSet = await ruleSetOf(['drop']);
    for (const [packets, isInForce] of [
      [500, false],
      [600, true],
      [601, true],
    ] as const)
      sums.take('fw', { counters: counted({ 'rule.work.1': packets }), ruleSet, isInForce });
    expect(sums.since(HOUR_MS).rules.map(({ packets }) => packets)).toEqual([1]);
  });

  it('take no counter for new of a firewall that leaves some out', async () => {
    const { sums } = newSums();
    const ruleSet = await ruleSetOf(['drop dst=@bad']);
    for (const more of [{}, { 'drop.list.bad': 900 }, { 'drop.list.bad': 901 }])
      sums.take('fw', { counters: counted({ nftLeftOut: 3, ...more }), ruleSet, isInForce: true });
    expect(sums.of('list', 'bad')).toEqual({ accept: 0, drop: 1 });
  });

  it('are kept by hours for two days, whatever the wall clock is set to', async () => {
    const { sums, clock } = newSums();
    const ruleSet = await ruleSetOf(['drop dst=@bad']);
    let drop = 0;
    const look = (more: number) => {
      drop += more;
      sums.take('fw', { counters: counted({ 'drop.list.bad': drop }), ruleSet, isInForce: true });
    };
    const dropped = (sinceMs: number) => sums.since(sinceMs).lists[0]?.[1];
    look(0);
    look(1);
    clock.advance(HOUR_MS);
    clock.jumpWall(-10 * HOUR_MS);
    look(10);
    clock.advance(HOUR_MS);
    look(100);
    clock.advance(60_000);
    expect(dropped(0)).toBe(100);
    expect(dropped(HOUR_MS / 2)).toBe(110); // with the whole of the hour in which it begins
    expect(dropped(3 * HOUR_MS)).toBe(111);
    for (let hour = 0; hour < 48; hour++) {
      clock.advance(HOUR_MS);
      look(0);
      look(1000);
    }
    expect(dropped(100 * HOUR_MS)).toBe(48_000);
    clock.advance(5 * HOUR_MS);
    expect(sums.since(HOUR_MS).lists).toEqual([]); // nothing was counted since
  });
});

describe('looks at what firewalls counted', () => {
  type Page = Awaited<ReturnType<AskTable>>;

  /** A release with one rule, and firewalls that have had it in force for a while. */
  async function rig(
    names: readonly string[],
    ask: (name: string, from: number | undefined) => Promise<Partial<Page>>,
  ) {
    const { clock, sums } = newSums();
    const publisher = freshPublisher();
    const policy = 'policies: { work: { prefixes: [10.137.0.5], egress: [drop dst=@bad] } }';
    await release(publisher, { 'bad.txt': '192.0.2.1\n', 'f.yaml': `unmatched: drop\n${policy}` });
    const { subscribers, head } = publisher;
    if (head === undefined) throw new Error('nothing was released');
    const { epoch, version } = head.manifest;
    for (const name of names)
      Object.assign(subscribers.entry(name, clock.wallMs()), {
        connectedSinceMs: clock.wallMs(),
        capabilities: ['pages'],
        held: { epoch, version, hash: head.hash },
      });
    const asking: AskTable = async (name, about) => ({
      kind: 'answer',
      ok: true,
      ...(await ask(name, about.question === 'stats' ? about['+from'] : undefined)),
    });
    const nowMs = (): number => clock.wallMs();
    const counting = countFirewalls({ clock, sums, nowMs, subscribers, head }, asking);
    /** The next one is looked at, and the one after waited for. */
    const look = async (): Promise<void> => {
      clock.advance(60_000);
      await until(() => clock.pendingMs.length > 0);
    };
    return { clock, sums, counting, look, subscribers };
  }

  it('come once a minute, one at a time, evenly over it', async () => {
    const asked: string[] = [];
    let answer: () => void = () => undefined;
    const { clock, counting } = await rig(['c', 'a', 'b'], (name) => {
      asked.push(name);
      return new Promise((resolve) => {
        answer = () => resolve({ stats: {} });
      });
    });
    for (let step = 0; step < 7; step++) {
      expect(clock.pendingMs).toEqual([20_000]);
      clock.advance(20_000);
      expect(clock.pendingMs).toEqual([]); // the next waits for the answer
      answer();
      await until(() => clock.pendingMs.length > 0);
    }
    expect(asked).toEqual(['a', 'b', 'c', 'a', 'b', 'c', 'a']);
    counting.close();
    expect(clock.pendingMs).toEqual([]);
  });

  it.each<[string, (from: number | undefined) => Promise<Partial<Page>>]>([
    ['fails', () => Promise.reject(new Error('gone'))],
    ['says nothing', async () => ({})],
    ['has pages without an end', async (from = 0) => ({ stats: { nftDecided: from }, '+next': from + 1 })],
  ])('take nothing of a firewall that %s, and go on', async (_what, ask) => {
    const { sums, look } = await rig(['fw'], (_name, from) => ask(from));
    await look();
    await look();
    expect(sums.subscribers()).toEqual([]);
  });

  it('put pages together, and forget firewalls that are not known any more', async () => {
    let drop = 5;
    const pages = () => [{ stats: { nftDecided: drop }, '+next': 1 }, { stats: { 'drop.list.bad': drop } }];
    const { sums, look, subscribers } = await rig(['fw'], async (_name, from = 0) => pages()[from] ?? {});
    await look();
    drop = 8;
    await look();
    expect(sums.whole('fw').get('nftDecided')).toBe(3);
    expect(sums.of('list', 'bad')).toEqual({ accept: 0, drop: 3 });
    subscribers.entry('fw', 0).connectedSinceMs = undefined;
    expect(subscribers.forget('fw')).toBe('forgotten');
    await look();
    expect(sums.subscribers()).toEqual([]);
    expect(sums.of('list', 'bad')).toEqual({ accept: 0, drop: 3 });
  });

  it.each([-10 * HOUR_MS, 0, 10 * HOUR_MS])(
    'know rules after the wall clock was set by %i ms',
    async (ms) => {
      let drop = 0;
      const { clock, sums, look } = await rig(['fw'], async () => ({ stats: { 'rule.work.1': ++drop } }));
      clock.jumpWall(ms);
      await look();
      await look();
      expect(sums.since(HOUR_MS).rules.map(({ packets }) => packets)).toEqual([1]);
    },
  );
});
