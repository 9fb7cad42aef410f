/** Names that report, as STATUS, METRICS, FORGET and a waiting PUSH tell of them. */

import { Capability, FLEET_STATES, type FleetState, type Message } from '@rulecast/protocol';
import { parseEndpoint } from '@rulecast/vchan';
import { describe, expect, it, onTestFinished } from 'vitest';
import { turns } from '../../../test/kit/turns.ts';
import { FakeClock } from '../../sources/test/fake-clock.ts';
import type { FleetRow, FleetView } from '../src/fleet/view.ts';
import { serveControl } from '../src/requests/serve.ts';
import { degraded, freshPublisher, release } from './fresh-publisher.ts';
import { type Answer, recordsOf, ScriptedRulectl } from './scripted-rulectl.ts';

const HASH = '0123456789abcdef'.repeat(4);
const FILES = { 'hosts.txt': '192.0.2.1\n' };

/** A fleet whose states a test says. */
class FakeFleet implements FleetView {
  readonly trouble = undefined;
  readonly everyMs = 300_000;
  readonly rows = new Map<string, FleetRow>();
  /** The `sinceMs` of each count. */
  readonly asked: (number | undefined)[] = [];
  tell: () => void = () => undefined;

  put(name: string, state: FleetState, more: Partial<FleetRow> = {}): void {
    const held = { epoch: 1, version: 1, hash: HASH };
    const rest = { via: undefined, held, applyMs: 7, isPersisted: true, refused: undefined, heardAtMs: 5 };
    const row = state === 'refused' ? { ...rest, refused: { hash: HASH, code: 'over-limit' } } : rest;
    this.rows.set(name, { name, state, ...row, ...more });
  }

  counts(sinceMs?: number) {
    this.asked.push(sinceMs);
    const count = (state: FleetState): number => this.#of(state).length;
    const [synced, behind, refused, silent] = FLEET_STATES.map(count) as [number, number, number, number];
    const refusedBy = new Map(refused === 0 ? [] : [['over-limit', refused]]);
    const unknown = sinceMs === undefined ? count('unknown') : 0;
    return { synced, behind, refused, silent, unknown, refusedBy };
  }

  odd(most: number): readonly FleetRow[] {
    return [...this.rows.values()].filter(({ state }) => state !== 'synced').slice(0, most);
  }

  async *inState(state: FleetState): AsyncGenerator<FleetRow> {
    yield* this.#of(state);
  }

  find(name: string): FleetRow | undefined {
    return this.rows.get(name);
  }

  forget(name: string): boolean {
    return this.rows.delete(name);
  }

  onChange(listener: () => void): () => void {
    this.tell = listener;
    return () => {
      this.tell = () => undefined;
    };
  }

  #of(wanted: FleetState): readonly FleetRow[] {
    return [...this.rows.values()].filter(({ state }) => state === wanted);
  }
}

let houses = 0;

async function house(withFleet = true) {
  const clock = new FakeClock();
  const publisher = freshPublisher({ clock });
  const fleet = new FakeFleet();
  houses += 1;
  const control = parseEndpoint(`memory:fleet-${houses}`);
  const nobody = () => Promise.reject(new Error('there are no sessions'));
  const served = await serveControl(publisher, [control], nobody, withFleet ? { fleet } : {});
  onTestFinished(() => served.close());
  const greeted = async (capabilities: readonly string[] = [Capability.fleet]) => {
    const rulectl = await ScriptedRulectl.connect(control);
    await rulectl.send({ kind: 'greet', protocolMin: 1, protocolMax: 255, capabilities });
    expect((await rulectl.connection.receive())?.message.kind).toBe('greet');
    return rulectl;
  };
  const ask = async (request: Message): Promise<Answer> => {
    const rulectl = await greeted();
    await rulectl.send(request);
    return rulectl.answer();
  };
  return { clock, publisher, fleet, control, greeted, ask };
}

const STATUS = { kind: 'status', watch: false } as const;

describe('STATUS of names that report', () => {
  it('counts all of them, and names at most 20 that are not synced', async () => {
    const { fleet, ask, publisher } = await house();
    await release(publisher, FILES);
    for (let i = 0; i < 30; i++) fleet.put(`fw-${i}`, 'synced');
    fleet.put('bad', 'refused', { via: 'site-3' });
    for (let i = 0; i < 25; i++) fleet.put(`away-${i}`, 'silent');
    fleet.put('new', 'unknown', { held: undefined, applyMs: undefined, heardAtMs: undefined });
    const answer = await ask(STATUS);
    expect(recordsOf(answer, 'fleet')).toEqual([
      {
        ...{ record: 'fleet', everyMs: 300_000, version: 1, synced: 30, behind: 0, refused: 1 },
        ...{ silent: 25, unknown: 1, refusedBy: [{ code: 'over-limit', count: 1 }] },
      },
    ]);
    const members = recordsOf(answer, 'member');
    expect(members).toHaveLength(20);
    expect(members[0]).toEqual({
      ...{ record: 'member', name: 'bad', state: 'refused', via: 'site-3', epoch: 1, version: 1, hash: HASH },
      ...{ applyMs: 7, persisted: true, refusal: { hash: HASH, code: 'over-limit' }, heardAtMs: 5 },
    });
  });

  it('tells all in one state, and nothing else', async () => {
    const { fleet, ask } = await house();
    for (let i = 0; i < 1000; i++) fleet.put(`away-${i}`, i % 2 === 0 ? 'silent' : 'synced');
    fleet.put('new', 'unknown', { held: undefined, applyMs: undefined, heardAtMs: undefined });
    const { records, end } = await ask({ ...STATUS, state: 'silent' });
    expect(end).toMatchObject({ kind: 'done', code: 'ok' });
    expect(records.map(({ record }) => record)).toEqual(['fleet', ...Array(500).fill('member')]);
    const unknown = recordsOf(await ask({ ...STATUS, state: 'unknown' }), 'member');
    expect(unknown).toEqual([{ record: 'member', name: 'new', state: 'unknown' }]);
  });

  it('is not sent to a rulectl that does not know the records', async () => {
    const { fleet, greeted } = await house();
    fleet.put('fw', 'silent');
    const rulectl = await greeted([Capability.requests]);
    await rulectl.send(STATUS);
    expect((await rulectl.answer()).records.map(({ record }) => record)).toEqual(['head']);
  });

  it('where none report says so to who asks for them', async () => {
    const { ask } = await house(false);
    expect((await ask(STATUS)).records.map(({ record }) => record)).toEqual(['head']);
    expect((await ask({ ...STATUS, state: 'silent' })).end).toMatchObject({ code: 'bad-input' });
  });

  it('that is watched comes again when they change, and not more than once a second', async () => {
    const { fleet, greeted, clock } = await house();
    fleet.put('fw', 'behind');
    const rulectl = await greeted();
    await rulectl.send({ ...STATUS, watch: true });
    const batch = async () => {
      await rulectl.record('head');
      const { synced } = await rulectl.record('fleet');
      if (synced === 0) await rulectl.record('member');
      await rulectl.record('end');
      return synced;
    };
    expect(await batch()).toBe(0);
    fleet.put('fw', 'synced');
    fleet.tell();
    await turns();
    clock.advance(999);
    await turns();
    expect(fleet.asked).toHaveLength(1);
    clock.advance(1);
    expect(await batch()).toBe(1);
    rulectl.connection.close();
    await turns();
    clock.advance(1000);
    await turns();
    fleet.tell(); // nobody listens any more
    await turns();
    expect(fleet.asked).toHaveLength(2);
  });
});

describe('METRICS of names that report', () => {
  it('has how many are how, those of no state too, and why they refuse', async () => {
    const { fleet, ask } = await house();
    fleet.put('fw', 'synced');
    for (const name of ['bad', 'worse']) fleet.put(name, 'refused');
    const answer = await ask({ kind: 'metrics' });
    const rows = recordsOf(answer, 'samples').filter(({ family }) => family.startsWith('fleet-'));
    expect(rows).toEqual([
      { record: 'samples', family: 'fleet-names', labels: [...FLEET_STATES], values: [1, 0, 2, 0, 0] },
      { record: 'samples', family: 'fleet-refused', labels: ['over-limit'], values: [2] },
    ]);
  });
});

describe('FORGET of a name that reports', () => {
  it('forgets what it reported, and what is known of it as a subscriber', async () => {
    const { fleet, ask, publisher } = await house();
    for (const name of ['fw', 'both', 'configured']) fleet.put(name, 'silent');
    publisher.subscribers.entry('both', 0);
    publisher.subscribers.expect(['configured']);
    const forget = async (name: string) => (await ask({ kind: 'forget', name })).end;
    expect(await forget('fw')).toMatchObject({ code: 'forgotten', text: 'what fw reported is forgotten' });
    expect(await forget('fw')).toMatchObject({ code: 'no-such-subscriber' });
    expect(await forget('both')).toMatchObject({ code: 'forgotten' });
    expect(publisher.subscribers.find('both')).toBeUndefined();
    expect(await forget('configured')).toMatchObject({ code: 'forgotten' });
    expect(await forget('configured')).toMatchObject({ code: 'bad-input' });
    expect(fleet.rows.size).toBe(0);
  });
});

describe('subscribers that report instead', () => {
  it('are not missed, unless nothing is heard of them there either', async () => {
    const { publisher } = await house();
    publisher.subscribers.expect(['fw', 'gone']);
    publisher.subscribers.leaveOut((name) => name === 'fw');
    expect([...publisher.subscribers.expected()]).toEqual(['gone']);
    expect(degraded(publisher)).toContain('not connected: gone');
    publisher.subscribers.entry('fw', 0).connectedSinceMs = 1;
    expect([...publisher.subscribers.expected()]).toEqual(['fw', 'gone']);
  });
});

describe('a push that waits for a share of those that report', () => {
  const WAIT = { wait: 'applied', share: 90, timeoutMs: 60_000, require: [] } as const;

  /** Pushes, and lets time pass until there is an answer, `meanwhile` being called each second. */
  async function pushed(
    { clock, greeted, fleet }: Awaited<ReturnType<typeof house>>,
    meanwhile: (second: number) => void = () => undefined,
    fields: Parameters<ScriptedRulectl['sendPush']>[1] = WAIT,
  ) {
    const rulectl = await greeted();
    await rulectl.sendPush(FILES, fields);
    let answer: Answer | undefined;
    const answering = rulectl.answer().then((whole) => {
      answer = whole;
    });
    let seconds = 0;
    while (answer === undefined && seconds < 100) {
      await turns();
      if (answer !== undefined || fleet.asked.length === 0) continue;
      clock.advance(1000);
      seconds += 1;
      meanwhile(seconds);
    }
    await answering;
    if (answer === undefined) throw new Error('no answer');
    const [told] = recordsOf(answer, 'fleet');
    return { told, seconds, answer };
  }

  it('ends when so many have it, of those heard in the last day, and tells all counts', async () => {
    const here = await house();
    for (let i = 0; i < 10; i++) here.fleet.put(`fw-${i}`, 'behind');
    const { told, seconds, answer } = await pushed(here, (second) => {
      if (second <= 9) here.fleet.put(`fw-${second}`, 'synced');
    });
    expect(told).toMatchObject({ synced: 9, behind: 1, refused: 0, silent: 0, unknown: 0, version: 1 });
    expect(seconds).toBeLessThan(12);
    expect(answer.end).toMatchObject({ kind: 'done', code: 'released' });
    const progress = recordsOf(answer, 'progress').filter(({ stage }) => stage === 'reporting');
    expect(progress[0]).toEqual({ record: 'progress', stage: 'reporting', done: 0, total: 10 });
    const day = here.publisher.nowMs() - 86_400_000;
    for (const since of here.fleet.asked) expect(Math.abs((since ?? 0) - day)).toBeLessThan(60_000);
  });

  it('ends at once where so many refuse it that they cannot', async () => {
    const here = await house();
    for (let i = 0; i < 10; i++) here.fleet.put(`fw-${i}`, i < 2 ? 'refused' : 'behind');
    const { told, seconds } = await pushed(here);
    expect([told?.refused, told?.synced]).toEqual([2, 0]);
    expect(seconds).toBeLessThan(10);
  });

  it.each([
    ['are too few', ['behind']],
    ['were never heard', []],
  ] as const)('ends when its time is over where they %s', async (_what, states) => {
    const here = await house();
    for (const state of states) here.fleet.put('fw', state);
    const { told, seconds } = await pushed(here);
    expect(told).toMatchObject({ synced: 0, behind: states.length });
    expect(seconds).toBeGreaterThan(50);
  });

  it('is refused before anything is released where none report', async () => {
    const { control, publisher } = await house(false);
    const { end } = await ScriptedRulectl.push(control, FILES, WAIT);
    expect(end).toMatchObject({ kind: 'fail', code: 'bad-input' });
    expect(publisher.head).toBeUndefined();
  });

  it('without a share tells where they are, and does not wait', async () => {
    const here = await house();
    here.fleet.put('fw', 'behind');
    const { told, seconds } = await pushed(here, undefined, { ...WAIT, share: undefined });
    expect(told).toMatchObject({ synced: 0, behind: 1 });
    expect(seconds).toBeLessThan(10);
  });
});
