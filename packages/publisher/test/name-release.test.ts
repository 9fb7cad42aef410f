import { once } from 'node:events';
import { describe, expect, it } from 'vitest';
import { FakeClock, turns } from '../../sources/test/fake-clock.ts';
import type { Publisher } from '../src/publisher.ts';
import { dnsResolver } from '../src/resolve.ts';
import type { Release } from '../src/store.ts';
import { type DnsName, type DnsRecord, serveDns } from './dns-server.ts';
import { freshPublisher, prefixes, release, temporaryDirectory } from './fresh-publisher.ts';

const QUICK = { timeoutMs: 150, tries: 1 };
const HOUR_MS = 3_600_000;

function hosts(ttl: number, ...addresses: readonly string[]): DnsName {
  const records = addresses.map((address): DnsRecord => {
    return { type: address.includes(':') ? 'AAAA' : 'A', address, ttl };
  });
  return { records };
}

/** A publisher that asks a DNS server of its own. */
async function house(names: Readonly<Record<string, DnsName>>) {
  const clock = new FakeClock();
  const dns = await serveDns(names);
  const stateDirectory = temporaryDirectory();
  const open = (): Publisher =>
    freshPublisher({ stateDirectory, clock, resolve: dnsResolver([dns.server], QUICK) });
  return { clock, dns, open, publisher: open() };
}

/** The release that comes once time has passed. */
async function nextRelease(publisher: Publisher, clock: FakeClock, ms: number): Promise<Release> {
  const released = once(publisher, 'release');
  clock.advance(ms);
  const [next] = (await released) as [Release];
  return next;
}

/** Lets time pass, and what comes of it: each time that names were asked for is awaited. */
async function pass(publisher: Publisher, clock: FakeClock, ms: number): Promise<void> {
  clock.advance(ms);
  await publisher.refreshNames();
  await turns();
}

describe('names of the head', () => {
  it('are asked for when their time to live ends, and what changed is one small release', async () => {
    const { clock, dns, publisher } = await house({
      'a.example': hosts(60, '192.0.2.1', '2001:db8::1'),
      'b.example': hosts(62, '192.0.2.2'),
      'c.example': hosts(600, '192.0.2.3'),
    });
    const far = Array.from({ length: 5000 }, (_, i) => `10.${i >> 8}.${i & 255}.0/24`).join('\n');
    await release(publisher, {
      'far.txt': far,
      'x.rules': ['a', 'b', 'c'].map((name) => `accept dsthost=${name}.example`).join('\n'),
    });
    dns.zone.set('a.example', hosts(60, '192.0.2.11', '2001:db8::1'));
    dns.zone.set('b.example', hosts(60, '192.0.2.12'));
    dns.zone.set('c.example', hosts(60, '192.0.2.13')); // its time has not come
    dns.questions.length = 0;
    const next = await nextRelease(publisher, clock, 70_000);
    expect(next.manifest).toMatchObject({ version: 2, previousVersion: 1 });
    expect(next.ruleSet.resolutions).toEqual(
      new Map([
        ['a.example', prefixes('192.0.2.11', '2001:db8::1')],
        ['b.example', prefixes('192.0.2.12')],
        ['c.example', prefixes('192.0.2.3')],
      ]),
    );
    expect(dns.questions.some((question) => question.includes('c.example'))).toBe(false);
    const [past] = publisher.store.pastReleases();
    expect(past?.notes).toMatchObject({ cause: 'names', detail: 'a.example, b.example' });
    expect(past?.deltaBytes).toBeLessThan(120);
  });

  it('that stand for the same make no release, and go on being asked for', async () => {
    const { clock, dns, publisher } = await house({ 'a.example': hosts(60, '192.0.2.1') });
    await release(publisher, { 'x.rules': 'accept dsthost=a.example\n' });
    for (let i = 0; i < 3; i++) await pass(publisher, clock, 70_000);
    expect(publisher.head?.manifest.version).toBe(1);
    expect(dns.questions.filter((question) => question.startsWith('udp A '))).toHaveLength(4);
    dns.zone.set('a.example', hosts(60, '192.0.2.2'));
    expect((await nextRelease(publisher, clock, 70_000)).manifest.version).toBe(2);
  });

  it('that did not resolve at the push do so later, by themselves', async () => {
    const { clock, dns, publisher } = await house({});
    await release(publisher, { 'x.rules': 'drop dsthost=a.example\n' });
    expect(publisher.degraded).toEqual([
      'a.example does not resolve (no such name): its rules match nothing',
    ]);
    dns.zone.set('a.example', hosts(60, '192.0.2.1'));
    const next = await nextRelease(publisher, clock, 5000);
    expect(next.ruleSet.resolutions).toEqual(new Map([['a.example', prefixes('192.0.2.1')]]));
    expect(publisher.degraded).toEqual([]);
  });

  it('that fail age out of accept rules as one release, and stay in drop rules', async () => {
    const { clock, dns, publisher } = await house({
      'a.example': hosts(60, '192.0.2.1'),
      'b.example': hosts(60, '192.0.2.2'),
      'c.example': hosts(60, '192.0.2.3'),
    });
    const rules = 'accept dsthost=a.example\naccept dsthost=b.example\ndrop dsthost=c.example\naccept\n';
    await release(publisher, { 'x.rules': rules });
    for (const name of dns.zone.keys()) dns.zone.set(name, { A: 'servfail', AAAA: 'servfail' });
    for (let hour = 0; hour < 24; hour++) await pass(publisher, clock, HOUR_MS - 1);
    expect(publisher.head?.manifest.version).toBe(1);
    expect(publisher.degraded).toHaveLength(3);
    expect(publisher.degraded[0]).toBe(
      'a.example does not resolve for 22 h (the DNS server failed, SERVFAIL): its rules keep the addresses they had',
    );
    await pass(publisher, clock, HOUR_MS);
    expect(publisher.head?.manifest.version).toBe(2);
    expect(publisher.head?.ruleSet.resolutions).toEqual(new Map([['c.example', prefixes('192.0.2.3')]]));
    expect(publisher.degraded[0]).toMatch(/: its accept rules match nothing any more$/);
    expect(publisher.degraded[2]).toMatch(/: its rules keep the addresses they had$/);
  });

  it('are not aged by a wall clock that is set, not even by years', async () => {
    const { clock, dns, publisher } = await house({ 'a.example': hosts(3600, '192.0.2.1') });
    await release(publisher, { 'x.rules': 'accept dsthost=a.example\n' });
    dns.zone.clear();
    dns.questions.length = 0;
    clock.jumpWall(20 * 365 * 24 * HOUR_MS);
    await pass(publisher, clock, 1000);
    clock.jumpWall(-40 * 365 * 24 * HOUR_MS);
    await pass(publisher, clock, 1000);
    expect(dns.questions).toEqual([]);
    expect(publisher.head?.manifest.version).toBe(1);
  });

  it('keep their addresses over a restart without DNS, and are asked for again at once', async () => {
    const { clock, dns, open, publisher } = await house({ 'a.example': hosts(60, '192.0.2.1') });
    await release(publisher, { 'x.rules': 'accept dsthost=a.example\n' });
    await publisher.close();
    dns.zone.set('a.example', { A: 'silent', AAAA: 'silent' });
    const after = open();
    await pass(after, clock, 2000);
    expect(after.head?.manifest.version).toBe(1);
    expect(after.head?.ruleSet.resolutions).toEqual(new Map([['a.example', prefixes('192.0.2.1')]]));
    expect(after.degraded).toEqual([
      'a.example does not resolve (the DNS server does not answer): its rules keep the addresses they had',
    ]);
    dns.zone.set('a.example', hosts(60, '192.0.2.2'));
    expect((await nextRelease(after, clock, 5000)).manifest.version).toBe(2);
  });

  it('do not keep a push waiting', async () => {
    const { clock, dns, publisher } = await house({ 'a.example': hosts(60, '192.0.2.1') });
    await release(publisher, { 'x.rules': 'accept dsthost=a.example\n' });
    dns.zone.set('a.example', { A: 'silent', AAAA: 'silent' });
    clock.advance(60_000 - 2000); // due soon, for a refresh; a release may use it as it is
    const refreshed = publisher.refreshNames();
    const order: string[] = [];
    await Promise.all([
      refreshed.then(() => order.push('names')),
      release(publisher, { 'hosts.txt': '192.0.2.9\n' }).then(() => order.push('push')),
    ]);
    expect(order).toEqual(['push', 'names']);
  });

  it('do not keep a publisher from closing', async () => {
    const { clock, dns, publisher } = await house({ 'a.example': hosts(60, '192.0.2.1') });
    await release(publisher, { 'x.rules': 'accept dsthost=a.example\n' });
    dns.zone.set('a.example', { A: 'silent', AAAA: 'silent' });
    clock.advance(70_000);
    const refreshed = publisher.refreshNames();
    await publisher.close();
    await refreshed;
    expect(clock.pendingMs).toEqual([]);
  });

  it('that change on and on make one release each time', async () => {
    const { clock, dns, publisher } = await house({ 'a.example': hosts(30, '192.0.2.0') });
    await release(publisher, { 'x.rules': 'accept dsthost=a.example\n' });
    for (let i = 1; i <= 20; i++) {
      dns.zone.set('a.example', hosts(30, `192.0.2.${i}`));
      expect((await nextRelease(publisher, clock, 40_000)).manifest.version).toBe(1 + i);
    }
  });
});
