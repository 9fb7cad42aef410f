/**
 * What a host program gets of the table that a subscriber keeps: readers in its threads, hits, sizes, and the
 * table's own options.
 */

import { openReader, READER_SLOTS } from '@rulecast/table';
import { describe, expect, it } from 'vitest';
import { packetOf } from './sample.ts';
import { chainOf, ScriptedPublisher, sampleReleases, snapshotOf } from './scripted-publisher.ts';
import { startedSubscriber } from './started.ts';

const BAD = packetOf('egress', '10.137.0.5', '198.51.100.7');
const GOOD = packetOf('egress', '10.137.0.5', '192.0.2.1');

describe('a host of a subscriber', () => {
  it('sees what all its readers asked, by run and by list, over releases', async () => {
    const publisher = new ScriptedPublisher();
    const subscriber = await startedSubscriber(publisher);
    const [one, two] = sampleReleases(publisher);
    const { peer } = await publisher.greeted();
    await peer.bring(one);
    const readers = [openReader(subscriber.handle()), openReader(subscriber.handle())];
    const look = (): void => {
      for (const reader of readers) for (const packet of [BAD, GOOD, GOOD]) reader.lookup(packet);
      subscriber.lookup(BAD);
    };
    look();
    expect((await subscriber.hits()).lists.get('bad')).toBe(3);
    await peer.bring(two, chainOf(one, two));
    look();
    expect((await subscriber.hits()).lists.get('bad')).toBe(6);
    const { programs } = await subscriber.hits();
    const work = programs.find(({ policy, direction }) => policy === 'work' && direction === 'egress');
    expect(work?.own[0]).toBe(6); // the second release changed other rules
    expect((await subscriber.hits()).generation).toBe((await subscriber.stats()).generation);
    for (const reader of readers) reader.close();
  });

  it('frees the slots of readers whose threads died', async () => {
    const subscriber = await startedSubscriber(new ScriptedPublisher());
    const readers = Array.from({ length: READER_SLOTS - 1 }, () => openReader(subscriber.handle()));
    expect(() => openReader(subscriber.handle())).toThrow(RangeError);
    await subscriber.evictReader(readers[9]?.slot ?? -1);
    expect(openReader(subscriber.handle()).slot).toBe(readers[9]?.slot);
  });

  it('goes on judging by what was in force last when the subscriber is closed', async () => {
    const publisher = new ScriptedPublisher();
    const subscriber = await startedSubscriber(publisher);
    const [one] = sampleReleases(publisher);
    const { peer } = await publisher.greeted();
    await peer.bring(one);
    const reader = openReader(subscriber.handle());
    await subscriber.close();
    expect(reader.lookup(BAD)).toMatchObject({ action: 'drop', list: 'bad' });
    reader.close();
  });

  it('chooses the limits of the table; a release beyond them is refused, and what was in force stays', async () => {
    const publisher = new ScriptedPublisher();
    const subscriber = await startedSubscriber(publisher, {
      table: { limits: { outcomes: 6 } },
    });
    const { generation } = await subscriber.stats();
    const [one] = sampleReleases(publisher); // seven runs alone are more outcomes than that
    const { peer } = await publisher.greeted();
    await peer.offer(one);
    await peer.receive('want');
    await peer.transfer(snapshotOf(one));
    expect(await peer.receive('nack')).toMatchObject({ code: 'compile-failed', retry: 'later' });
    expect((await subscriber.stats()).generation).toBe(generation);
    expect(subscriber.lookup(GOOD)).toMatchObject({ action: 'drop', policy: 'boot', generation });
  });
});
