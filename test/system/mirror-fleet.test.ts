/**
 * Firewalls by a site's cache, and others behind a relay of that site, through what happens in a year:
 * releases, another root, and a restart of everything.
 */

import { describe, expect, it } from 'vitest';
import { nginxGap, startSite } from '../kit/nginx.mjs';
import { type Daemon, startRelay, startSubscriberOf } from '../processes.mjs';
import { isApplied, MirrorHouse } from './mirror-house.ts';

const BY_SITE = Array.from({ length: 20 }, (_, i) => `fw-${i}`);
const BY_RELAY = Array.from({ length: 5 }, (_, i) => `behind-${i}`);
/** How many are started at the same time. */
const AT_ONCE = 5;

describe.skipIf(nginxGap() !== undefined)('a fleet', () => {
  it('has each release by a site and a relay, under another root too, and after a restart of everything', async () => {
    const house = new MirrorHouse();
    let publisher = await house.publisher();
    const origin = await house.origin();
    const where = { origin: origin.port, tls: house.tls };
    const site = house.keep(await startSite(house.scene.path('site'), where));
    await house.push();
    const listen = `unix:${house.scene.path('relay.sock')}`;
    const trust = await house.scene.trustLine();
    const behind = async (name: string): Promise<Daemon> =>
      house.scene.keep(await startSubscriberOf(trust, listen, name, ['--state', house.scene.path(name)]));
    const startRelayed = async (): Promise<Daemon> => {
      const from = ['--from', site.url, '--ca', house.tls.certificate, '--poll', '1'];
      const own = ['--name', 'relay', '--report-token', await house.token('relay', '--relay')];
      return house.scene.keep(await startRelay([...from, '--listen', listen, '--trust', trust, ...own]));
    };
    const startAll = async (): Promise<readonly Daemon[]> => {
      const starts = [
        ...BY_SITE.map((name) => () => house.firewall(name, site, origin)),
        ...BY_RELAY.map((name) => () => behind(name)),
      ];
      const all: Daemon[] = [await startRelayed()];
      for (let i = 0; i < starts.length; i += AT_ONCE)
        all.push(...(await Promise.all(starts.slice(i, i + AT_ONCE).map((start) => start()))));
      return all;
    };
    const haveAll = async ([, ...firewalls]: readonly Daemon[], version: number): Promise<void> => {
      await Promise.all(firewalls.map((firewall) => firewall.logged(isApplied(version))));
      const synced = async (): Promise<unknown> => {
        const counts = await house.counts();
        return [counts['version'], counts['synced']];
      };
      await expect.poll(synced, { interval: 500, timeout: 60_000 }).toEqual([version, firewalls.length]);
    };
    let daemons = await startAll();
    await haveAll(daemons, 1);
    const objects = origin.served().filter(({ path }) => path.startsWith('/o/'));
    expect(objects.length).toBe(new Set(objects.map(({ path }) => path)).size); // one for all firewalls
    await haveAll(daemons, await house.push());

    await publisher.stop();
    await house.rotate(); // other keys for releases and freshness
    publisher = await house.publisher();
    await haveAll(daemons, await house.push());

    await Promise.all([...daemons, publisher].map((daemon) => daemon.stop()));
    for (const nginx of [site, origin]) await nginx.stop();
    await house.publisher();
    await house.origin(origin.port);
    house.keep(await startSite(site.directory, { ...where, port: site.port }));
    daemons = await startAll();
    await haveAll(daemons, await house.push());
    expect(daemons.flatMap(({ log }) => log.filter(({ level }) => Number(level) >= 50))).toEqual([]);
  });
});
