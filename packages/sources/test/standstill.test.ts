/** A feed that answers and says the same for ever: nobody may look after it any more. */

import { afterEach, describe, expect, it } from 'vitest';
import { temporaryDirectory } from '../../../test/kit/directory.ts';
import { type RigOptions, SourceRig } from './source-rig.ts';

const HOUR_MS = 3_600_000;
const URL = 'https://feeds.example/a';
const list = (more: string): string => `lists:\n  a: { url: '${URL}', interval: 1h${more} }`;

let rig: SourceRig | undefined;
afterEach(async () => {
  await rig?.sources.close();
  rig = undefined;
});

async function started(config = list(''), options: RigOptions = {}): Promise<SourceRig> {
  rig = new SourceRig(temporaryDirectory(), config, options);
  rig.network.set(URL, '# 1\n192.0.2.1\n');
  await rig.start();
  return rig;
}

/** Hour by hour, each with another comment in the feed, as of a job that still runs. */
async function pass(feed: SourceRig, hours: number): Promise<void> {
  for (let hour = 0; hour < hours; hour++) {
    feed.network.set(URL, `# ${feed.clock.wallMs()}\n192.0.2.1\n`);
    await feed.pass(HOUR_MS, HOUR_MS / 4);
  }
}

describe('a feed of the same entries', () => {
  it('is told of after ten intervals, whatever its comments say, and stays', async () => {
    const feed = await started();
    await pass(feed, 9);
    expect(feed.status('a').standstill).toBeUndefined();
    await pass(feed, 2);
    expect(feed.status('a')).toMatchObject({
      state: 'ok',
      count: 1,
      trouble: undefined,
      standstill: { code: 'unchanged', reason: expect.stringContaining('unchanged for 10 intervals') },
    });
    expect(feed.consumer.batches).toHaveLength(1);
  });

  it('is told of no more once it says something else', async () => {
    const feed = await started();
    await pass(feed, 12);
    feed.network.set(URL, '192.0.2.1\n192.0.2.9\n');
    await feed.refresh();
    expect(feed.status('a').standstill).toBeUndefined();
  });

  it('is told of since the moment at which it had been so for ten intervals', async () => {
    const feed = await started();
    const atMs = feed.clock.wallMs();
    await pass(feed, 15);
    const told = feed.status('a').standstill?.atMs ?? 0;
    expect(told - atMs).toBeGreaterThan(9 * HOUR_MS);
    expect(told - atMs).toBeLessThanOrEqual(10 * HOUR_MS);
  });

  it.each([
    ['max-unchanged: 4h', 5, true],
    ['max-unchanged: 12h', 11, false],
    ['max-unchanged: off', 40, false],
  ])('with %s, after %i h: %s', async (more, hours, isTold) => {
    const feed = await started(list(`, ${more}`));
    await pass(feed, hours);
    expect(feed.status('a').standstill !== undefined).toBe(isTold);
  });

  it('is counted over a restart, whatever the wall clock is set to', async () => {
    const feed = await started();
    await pass(feed, 8);
    feed.clock.jumpWall(-400 * 24 * HOUR_MS);
    rig = await feed.restart(list(''), HOUR_MS);
    await rig.sources.start(rig.consumer.lists);
    expect(rig.status('a').standstill).toBeUndefined();
    await pass(rig, 3);
    expect(rig.status('a').standstill?.code).toBe('unchanged');
  });

  it('is counted from now on by a publisher that finds no such count', async () => {
    const feed = await started();
    await pass(feed, 8);
    rig = new SourceRig(temporaryDirectory(), list(''), {
      consumer: feed.consumer,
      network: feed.network.restarted(feed.clock),
      clock: feed.clock,
    });
    await feed.sources.close();
    await rig.sources.start(rig.consumer.lists);
    await pass(rig, 5);
    expect(rig.status('a').standstill).toBeUndefined();
  });
});

describe('what is not told of', () => {
  it('a feed that fails: that is told instead', async () => {
    const feed = await started();
    await pass(feed, 9);
    feed.network.set(URL, '<!DOCTYPE html><html></html>');
    await feed.pass(4 * HOUR_MS, HOUR_MS / 4);
    expect(feed.status('a')).toMatchObject({ state: 'failing', standstill: undefined });
  });

  it('a list without a feed', async () => {
    const feed = await started('lists:\n  a: { entries: [192.0.2.1] }');
    await feed.pass(100 * HOUR_MS, HOUR_MS);
    expect(feed.status('a')).toMatchObject({ state: 'ok', standstill: undefined });
  });
});
