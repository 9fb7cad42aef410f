import { setImmediate } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { OutcomeLog } from '../src/control/applied-report.ts';
import type { Outcome } from '../src/subscribers/subscribers.ts';
import { freshPublisher } from './fresh-publisher.ts';

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
