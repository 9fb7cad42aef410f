/** A firewall that reads a mirror whose publisher was restored from a backup, or has a full disk. */

import { readdirSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { nginxGap } from '../kit/nginx.mjs';
import type { LogLine } from '../processes.mjs';
import { isApplied, MirrorHouse } from './mirror-house.ts';
import { fill, smallDisk } from './small-disk.ts';

/** A few releases of some hundred hosts. */
const DISK = '400k';

/** What a firewall had in force, in order; its own session with the mirror says so as well. */
function releasesIn(log: readonly LogLine[]): readonly string[] {
  return log
    .filter((line) => line['msg'] === 'applied' && line['subscriber'] === undefined)
    .map((line) => `${String(line['epoch'])}/${String(line['version'])}`);
}

describe.skipIf(nginxGap() !== undefined)('a publisher behind a mirror', () => {
  it('that was restored from a backup learns by a proof in a report that it is behind, until it is told to go on', async () => {
    const house = new MirrorHouse();
    let publisher = await house.publisher();
    const origin = await house.origin();
    await house.push();
    await publisher.stop();
    house.scene.copy('publisher', 'backup');
    publisher = await house.publisher();
    const firewall = await house.firewall('fw', origin);
    await firewall.logged(isApplied(1));
    await house.push();
    await firewall.logged(isApplied(2));
    await house.push();
    await firewall.logged(isApplied(3));
    const held = releasesIn(firewall.log);
    await publisher.kill();
    house.scene.copy('backup', 'publisher');
    publisher = await house.publisher();

    // No session leads there: only a report can have carried the proof.
    expect(await publisher.logged((line) => line['level'] === 50)).toMatchObject({
      ...{ subscriber: 'fw', epoch: 1, version: 3, head: 1 },
      msg: expect.stringContaining('--as-new-epoch'),
    });
    const { head, subscribers } = await house.scene.control.status();
    expect(head).toMatchObject({ epoch: 1, version: 1 });
    expect(head.degraded).toContainEqual(expect.stringContaining('1/3 was proved'));
    expect(subscribers).toEqual([]);
    await expect
      .poll(() => house.counts())
      .toMatchObject({ synced: 0, refused: 1, refusedBy: [{ code: 'not-newer', count: 1 }] });
    const { ending } = await house.scene.control.push({ list: 'blocked', text: '192.0.2.9\n' });
    expect(ending).toMatchObject({ kind: 'fail', code: 'publisher-behind' });
    expect(releasesIn(firewall.log)).toEqual(held);

    await house.rulectl('rollback', '1', '--as-new-epoch', '--yes');
    const isApplied2 = (version: number) => (line: LogLine) =>
      isApplied(version)(line) && line['epoch'] === 2 && line['subscriber'] === undefined;
    await firewall.logged(isApplied2(2));
    await expect.poll(() => house.counts()).toMatchObject({ synced: 1, refused: 0 });
    expect((await house.scene.control.status()).head.degraded).toEqual([]);
    await firewall.logged(isApplied2(await house.push()));
    expect(releasesIn(firewall.log)).toEqual([...held, '2/2', '2/3']);
  });

  it('whose depot is on a full disk says so and leaves the head there as it is, and goes on once there is room', async (context) => {
    const house = new MirrorHouse();
    if (smallDisk(house.scene, 'depot', DISK) === undefined) return context.skip();
    const publisher = await house.publisher();
    const origin = await house.origin();
    await house.push();
    const firewall = await house.firewall('fw', origin);
    await firewall.logged(isApplied(1));
    const before = house.file('head');
    const free = fill(house.depot, 0);
    const why = 'the depot is not written: ';
    for (const host of [1, 2]) {
      const text = `192.0.2.${host}\n`;
      const { records } = await house.scene.control.push({ list: 'blocked', text, wait: 'released' });
      expect(records).toContainEqual({
        ...{ record: 'warning', code: 'not-published', part: '' },
        reason: expect.stringMatching(/^stored, not published: .*: no space is left on the disk$/),
      });
    }
    expect((await house.scene.control.status()).head).toMatchObject({
      version: 3,
      degraded: [expect.stringContaining(why)],
    });
    expect(house.file('head')).toEqual(before);
    // Nothing half written takes the room that a head needs.
    const names = readdirSync(house.depot, { recursive: true, encoding: 'utf8' });
    expect(names.filter((name) => name.endsWith('.new'))).toEqual([]);
    expect(releasesIn(firewall.log)).toEqual(['1/1']);

    free();
    await publisher.logged((line) => line['msg'] === 'the depot has the newest release again');
    await firewall.logged(isApplied(3));
    expect((await house.scene.control.status()).head.degraded).toEqual([]);
    await firewall.logged(isApplied(await house.push()));
    expect(firewall.log.filter(({ level }) => Number(level) >= 40)).toEqual([]);
  });
});
