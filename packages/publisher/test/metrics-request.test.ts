/** METRICS: which samples there are, that sums only grow, and that there are never too many. */

import { PROTOCOL_VERSION, SAMPLES_MAX } from '@rulecast/protocol';
import type { ListStatus } from '@rulecast/sources';
import { parseEndpoint } from '@rulecast/vchan';
import { describe, expect, it, onTestFinished } from 'vitest';
import { turns } from '../../../test/kit/turns.ts';
import { FakeClock } from '../../sources/test/fake-clock.ts';
import type { SourceLists } from '../src/control/parts.ts';
import { countFirewalls } from '../src/daemon/counting.ts';
import { serveControl } from '../src/requests/serve.ts';
import { serveSubscribers } from '../src/sessions/host.ts';
import { freshPublisher, pushOf, release } from './fresh-publisher.ts';
import { recordsOf, ScriptedRulectl } from './scripted-rulectl.ts';
import { ScriptedSubscriber } from './scripted-subscriber.ts';

let houses = 0;

async function house(sources?: SourceLists) {
  const clock = new FakeClock();
  const publisher = freshPublisher({ clock });
  houses += 1;
  const subscribers = parseEndpoint(`memory:metrics-${houses}-subscribers`);
  const control = parseEndpoint(`memory:metrics-${houses}`);
  const sessions = await serveSubscribers(publisher, [subscribers]);
  onTestFinished(() => sessions.close());
  const counting = countFirewalls(publisher, sessions.ask);
  onTestFinished(() => counting.close());
  const served = await serveControl(publisher, [control], sessions.ask, { sources });
  onTestFinished(() => served.close());
  /** Values by family and labels. */
  const metrics = async (): Promise<ReadonlyMap<string, number>> => {
    const rulectl = await ScriptedRulectl.connect(control);
    await rulectl.send({ kind: 'metrics' });
    const answer = await rulectl.answer();
    expect(answer.end).toMatchObject({ kind: 'done', code: 'ok' });
    const rows = recordsOf(answer, 'samples').flatMap(({ family, labels, values }) => {
      expect(values.length).toBeLessThanOrEqual(SAMPLES_MAX);
      const each = labels.length / values.length;
      expect(each).toBeLessThanOrEqual(2);
      return values.map((value, i) => {
        const own = labels.slice(i * each, (i + 1) * each);
        return [[family, ...own].join(' '), value] as const;
      });
    });
    expect(new Set(rows.map(([name]) => name)).size).toBe(rows.length); // none is there twice
    return new Map(rows);
  };
  return { clock, publisher, subscribers, control, metrics };
}

const RULES = {
  'bad.txt': '192.0.2.1\n192.0.2.2\n',
  'f.yaml':
    'unmatched: drop\npolicies: { work: { prefixes: [10.137.0.5], egress: [drop dst=@bad, accept] } }',
};

describe('metrics', () => {
  it('of a publisher without a release say so, and have every sum that alerts look at', async () => {
    const { metrics, publisher } = await house();
    const found = await metrics();
    expect(found.get('start-time')).toBe(publisher.startedAtMs);
    expect(found.has('head-version')).toBe(false);
    expect(found.get('releases push')).toBe(0);
    expect(found.get('refusals shrunk')).toBe(0);
    expect([found.get('degraded behind'), found.get('degraded names')]).toEqual([0, 0]);
    expect(found.get(`build unknown ${PROTOCOL_VERSION}`)).toBe(1);
  });

  it('have the release, what made it, what was refused, and who asked', async () => {
    const { metrics, publisher } = await house();
    await release(publisher, RULES);
    await publisher.push(pushOf({ 'bad.txt': '# nothing\n' }));
    await publisher.push(pushOf({ 'bad.txt': '# nothing\n' }), { dryRun: true }); // refuses nothing
    await metrics();
    const found = await metrics();
    expect(Object.fromEntries(found)).toMatchObject({
      'head-version': 1,
      'head-entries': 2,
      'head-rules': 2,
      'head-lists': 1,
      'head-policies': 1,
      'releases push': 1,
      'refusals empty': 1,
      'commit-count': 1,
      'list-entries bad': 2,
      'list-packets bad drop': 0,
      'policy-packets work accept': 0,
      'control-requests metrics ok': 1,
      'left-out lists': 0,
    });
  });

  it('add up what firewalls count, and lose nothing where one begins anew', async () => {
    const { metrics, publisher, subscribers, clock } = await house();
    await release(publisher, RULES);
    const firewall = await ScriptedSubscriber.greet(subscribers, 'fw', { capabilities: ['pages'] });
    const look = async (stats: Readonly<Record<string, number>>): Promise<void> => {
      for (let leftMs = 60_000; leftMs > 0; leftMs -= 5000) {
        await firewall.pong();
        await turns();
        clock.advance(5000);
      }
      let next = await firewall.connection.receive();
      while (next?.message.kind !== 'query') next = await firewall.connection.receive(); // offers, pings
      await firewall.send({ kind: 'answer', ok: true, stats }, next.transaction);
      await turns();
    };
    const shown = async () => {
      const found = await metrics();
      return ['list-packets bad drop', 'subscriber-dropped-packets fw', 'subscriber-stale fw'].map((name) =>
        found.get(name),
      );
    };
    expect(await shown()).toEqual([0, undefined, undefined]);
    await look({ 'drop.list.bad': 70, nftDropped: 80, stale: 0, dnsHeard: 5, dnsHeardMs: 100 });
    expect(await shown()).toEqual([0, 0, 0]);
    const log = { refusedKept: 3, refusedLost: 0 };
    const names = { nftOpen: 7, dnsHeard: 6, dnsHeardMs: 125 };
    await look({ 'drop.list.bad': 75, nftDropped: 86, stale: 1, ...log, ...names });
    expect(await shown()).toEqual([5, 6, 1]);
    const more = [
      'subscriber-log-off fw',
      'subscriber-names-open fw',
      'dns-upstream-count',
      'dns-upstream-time',
    ];
    const then = await metrics();
    expect(more.map((name) => then.get(name))).toEqual([0, 7, 1, 25]);
    await look({ 'drop.list.bad': 2, nftDropped: 3, stale: 0, refusedKept: 3, refusedLost: 4, logOff: 1 });
    expect(await shown()).toEqual([7, 9, 0]);
    const found = await metrics();
    expect([found.get('subscriber-log-off fw'), found.get('log-lost')]).toEqual([1, 4]);
  });

  it('are fewer than ten thousand, however many firewalls, lists and policies there are', async () => {
    const status = { fetchedAtMs: 1, intervalMs: 1, refusalCount: 1, trouble: undefined, state: 'ok' };
    const statuses = Array.from({ length: 1000 }, (_, i) => ({ name: `list-${i}`, ...status }));
    const { metrics, publisher } = await house({
      status: () => statuses as unknown as readonly ListStatus[], // what metrics look at
      list: () => undefined,
      refresh: () => Promise.reject(new Error('nobody asks')),
      degraded: { configuration: [], rules: [], lists: [] },
    });
    const lists = Array.from({ length: 1000 }, (_, i) => [`list-${i}.txt`, '192.0.2.1\n'] as const);
    const policies = Array.from(
      { length: 300 },
      (_, i) => `policy-${i}: { prefixes: [10.1.${i >> 8}.${i & 255}], egress: [accept dst=@list-${i}] }`,
    );
    await release(publisher, {
      ...Object.fromEntries(lists),
      'f.yaml': `unmatched: drop\npolicies:\n  ${policies.join('\n  ')}\n`,
    });
    const ruleSet = publisher.head?.ruleSet;
    if (ruleSet === undefined) throw new Error('nothing is released');
    const counted = ['nftDecided', 'nftDropped', 'nftRepairs', 'stale', 'refusedKept', 'nftOpen'];
    const counters = new Map(counted.map((name) => [name, 1]));
    for (let i = 0; i < 2000; i++) {
      const one = publisher.subscribers.entry(`fw-${i}`, 1);
      Object.assign(one, { held: { epoch: 1, version: 1, hash: new Uint8Array(32) }, appliedAtMs: 1 });
      publisher.sums.take(`fw-${i}`, { counters, ruleSet, isInForce: true });
    }
    publisher.subscribers.expect(['fw-1999']);
    const found = await metrics();
    expect(found.size).toBeLessThan(10_000);
    expect(found.get('left-out subscribers')).toBe(2000 - 200);
    expect(found.get('left-out policies')).toBe(300 - 100);
    expect(found.get('left-out lists')).toBe(1000 - 960);
    expect(found.get('subscriber-expected fw-1999')).toBe(1); // those that are expected come first
    expect([...found.keys()].filter((name) => name.startsWith('subscriber-expected '))).toHaveLength(200);
  });
});
