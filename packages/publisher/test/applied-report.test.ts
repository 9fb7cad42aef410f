import { setImmediate } from 'node:timers/promises';
import type { Outcome } from '@rulecast/sessions';
import { describe, expect, it } from 'vitest';
import { turns } from '../../../test/kit/turns.ts';
import { FakeClock } from '../../sources/test/fake-clock.ts';
import { AppliedReport, OutcomeLog } from '../src/control/applied-report.ts';
import type { ControlExchange } from '../src/control/exchange.ts';
import { freshPublisher, release } from './fresh-publisher.ts';

/** A push that waits for `fw`, which is connected, of a release that took two minutes to make. */
async function waiting() {
  const clock = new FakeClock();
  const publisher = freshPublisher({ clock });
  const entry = publisher.subscribers.entry('fw', 0);
  entry.connectedSinceMs = 1;
  const report = new AppliedReport({ wait: 'applied', timeoutMs: 60_000 }, publisher);
  clock.advance(120_000);
  const head = await release(publisher, { 'hosts.txt': '192.0.2.1\n' });
  const told: string[] = [];
  const exchange = {
    untilGone: () => new Promise(() => undefined),
    record: async (record: { readonly record: string; readonly state?: string }) =>
      void told.push(record.state ?? record.record),
  } as unknown as ControlExchange;
  const isOver = report.tell(head, true, exchange).finally(() => report.close());
  const { epoch, version } = head.manifest;
  const settle = async (state: Outcome['state']): Promise<void> => {
    publisher.subscribers.settle({ subscriber: 'fw', state, epoch, version, bytes: 0 });
    await turns();
  };
  const pass = async (seconds: number): Promise<void> => {
    for (let i = 0; i < seconds; i++) {
      await turns();
      clock.advance(1000);
    }
    await turns();
  };
  return { entry, held: { hash: head.hash, epoch, version }, told, isOver, settle, pass };
}

describe('a push that waits', () => {
  // What the release took was taken from the time of subscribers: a busy machine left them none.
  it('gives subscribers their time from the release on, and says now and then that it waits', async () => {
    const { told, isOver, settle, pass } = await waiting();
    await pass(59);
    expect(told).toEqual(Array(29).fill('progress'));
    await settle('applied');
    await isOver;
    expect(told.at(-1)).toBe('applied');
  });

  it('says that it has no answer once that time is over', async () => {
    const { told, isOver, pass } = await waiting();
    await pass(61);
    await isOver;
    expect(told.at(-1)).toBe('timeout');
  });

  // It said "disconnected" and "in force nowhere", and the release was in force a second later.
  it('waits for one whose connection ended, which may be back with the release in force', async () => {
    const { entry, held, told, isOver, settle, pass } = await waiting();
    entry.connectedSinceMs = undefined;
    await settle('disconnected');
    await pass(5);
    expect(told).not.toContain('disconnected');
    Object.assign(entry, { connectedSinceMs: 1, held });
    await pass(3);
    await isOver;
    expect(told.at(-1)).toBe('applied');
  });

  it('gives one up that is not back after ten seconds', async () => {
    const { entry, told, isOver, settle, pass } = await waiting();
    entry.connectedSinceMs = undefined;
    await settle('disconnected');
    await pass(11);
    await isOver;
    expect(told.at(-1)).toBe('disconnected');
  });
});

describe('outcomes that nobody takes yet', () => {
  it('are those of who is waited for, and of each the last of a kind, in order', async () => {
    const publisher = freshPublisher();
    const log = new OutcomeLog(publisher, new Set(['fw']));
    const tell = (subscriber: string, state: Outcome['state'], version: number): void =>
      publisher.subscribers.settle({ subscriber, state, epoch: 1, version, bytes: 0 });
    for (let version = 1; version <= 1000; version++) {
      tell(`stranger-${version}`, 'disconnected', version);
      for (const state of ['applied', 'refused', 'disconnected'] as const) tell('fw', state, version);
    }
    tell('fw', 'applied', 1001);
    const taken: unknown[] = [];
    await setImmediate(); // listeners hear of it after the step that told it
    for (let next = await log.next(0); next !== undefined; next = await log.next(0))
      taken.push([next.state, next.version]);
    expect(taken).toEqual([
      ['refused', 1000],
      ['disconnected', 1000],
      ['applied', 1001],
    ]);
    log.close();
  });
});
