import { once } from 'node:events';
import { type List, nameListOf, prefixCount, prefixListOf } from '@rulecast/rules';
import { describe, expect, it } from 'vitest';
import { temporaryDirectory } from '../../../test/kit/directory.ts';
import { ALL_PERMITS } from '../../../test/kit/permits.ts';
import { turns, until } from '../../../test/kit/turns.ts';
import { FakeClock } from '../../sources/test/fake-clock.ts';
import { NAME_LIMITS } from '../src/names/names.ts';
import { dnsResolver, type NameAnswer } from '../src/names/resolve.ts';
import type { Publisher } from '../src/release/publisher.ts';
import type { Release } from '../src/store/store.ts';
import { type DnsName, type DnsRecord, serveDns } from './dns-server.ts';
import { bytesOf, degraded, freshPublisher, prefixes, pushOf, release } from './fresh-publisher.ts';

/** How long a DNS server may take to answer, however busy the machine. */
const PATIENT_MS = 100_000;
/** For one that falls silent later: what it answers before comes in time. */
const IMPATIENT_MS = 2000;
const HOUR_MS = 3_600_000;

function hosts(ttl: number, ...addresses: readonly string[]): DnsName {
  const records = addresses.map((address): DnsRecord => {
    return { type: address.includes(':') ? 'AAAA' : 'A', address, ttl };
  });
  return { records };
}

/** A publisher that asks a DNS server of its own. */
async function house(names: Readonly<Record<string, DnsName>>, timeoutMs = PATIENT_MS) {
  const clock = new FakeClock();
  const dns = await serveDns(names);
  const stateDirectory = temporaryDirectory();
  const open = (): Publisher =>
    freshPublisher({ stateDirectory, clock, resolve: dnsResolver([dns.server], { timeoutMs, tries: 1 }) });
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
      'a.example': hosts(60, '91.189.2.1', '2620:fe::1'),
      'b.example': hosts(62, '91.189.2.2'),
      'c.example': hosts(600, '91.189.2.3'),
    });
    const far = Array.from({ length: 5000 }, (_, i) => `10.${i >> 8}.${i & 255}.0/24`).join('\n');
    await release(publisher, {
      'far.txt': far,
      'x.rules': ['a', 'b', 'c'].map((name) => `accept dsthost=${name}.example`).join('\n'),
    });
    dns.zone.set('a.example', hosts(60, '91.189.2.11', '2620:fe::1'));
    dns.zone.set('b.example', hosts(60, '91.189.2.12'));
    dns.zone.set('c.example', hosts(60, '91.189.2.13')); // its time has not come
    dns.questions.length = 0;
    const next = await nextRelease(publisher, clock, 70_000);
    expect(next.manifest).toMatchObject({ version: 2, previousVersion: 1 });
    expect(next.ruleSet.resolutions).toEqual(
      new Map([
        ['a.example', prefixes('91.189.2.11', '2620:fe::1')],
        ['b.example', prefixes('91.189.2.12')],
        ['c.example', prefixes('91.189.2.3')],
      ]),
    );
    expect(dns.questions.some((question) => question.includes('c.example'))).toBe(false);
    const [past] = publisher.store.pastReleases();
    expect(past?.notes).toMatchObject({ cause: 'names', detail: 'a.example, b.example' });
    expect(past?.deltaBytes).toBeLessThan(120);
  });

  it('that stand for the same make no release, and go on being asked for', async () => {
    const { clock, dns, publisher } = await house({ 'a.example': hosts(60, '91.189.2.1') });
    await release(publisher, { 'x.rules': 'accept dsthost=a.example\n' });
    for (let i = 0; i < 3; i++) await pass(publisher, clock, 70_000);
    expect(publisher.head?.manifest.version).toBe(1);
    expect(dns.questions.filter((question) => question.startsWith('udp A '))).toHaveLength(4);
    dns.zone.set('a.example', hosts(60, '91.189.2.2'));
    expect((await nextRelease(publisher, clock, 70_000)).manifest.version).toBe(2);
  });

  it('that did not resolve at the push do so later, by themselves', async () => {
    const { clock, dns, publisher } = await house({});
    await release(publisher, { 'x.rules': 'drop dsthost=a.example\n' });
    expect(degraded(publisher)).toEqual([
      'a.example does not resolve (no such name): its rules match nothing',
    ]);
    dns.zone.set('a.example', hosts(60, '91.189.2.1'));
    const next = await nextRelease(publisher, clock, 5000);
    expect(next.ruleSet.resolutions).toEqual(new Map([['a.example', prefixes('91.189.2.1')]]));
    expect(degraded(publisher)).toEqual([]);
  });

  it('that fail age out of accept rules as one release, and stay in drop rules', async () => {
    const { clock, dns, publisher } = await house({
      'a.example': hosts(60, '91.189.2.1'),
      'b.example': hosts(60, '91.189.2.2'),
      'c.example': hosts(60, '91.189.2.3'),
    });
    const rules = 'accept dsthost=a.example\naccept dsthost=b.example\ndrop dsthost=c.example\naccept\n';
    await release(publisher, { 'x.rules': rules });
    for (const name of dns.zone.keys()) dns.zone.set(name, { A: 'servfail', AAAA: 'servfail' });
    for (let hour = 0; hour < 24; hour++) await pass(publisher, clock, HOUR_MS - 1);
    expect(publisher.head?.manifest.version).toBe(1);
    expect(degraded(publisher)).toHaveLength(3);
    expect(degraded(publisher)[0]).toBe(
      'a.example does not resolve for 22 h (the DNS server failed, SERVFAIL): its rules keep the addresses they had',
    );
    await pass(publisher, clock, HOUR_MS);
    expect(publisher.head?.manifest.version).toBe(2);
    expect(publisher.head?.ruleSet.resolutions).toEqual(new Map([['c.example', prefixes('91.189.2.3')]]));
    expect(degraded(publisher)[0]).toMatch(/: its accept rules match nothing any more$/);
    expect(degraded(publisher)[2]).toMatch(/: its rules keep the addresses they had$/);
  });

  it('are not aged by a wall clock that is set, not even by years', async () => {
    const { clock, dns, publisher } = await house({ 'a.example': hosts(3600, '91.189.2.1') });
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
    const { clock, dns, open, publisher } = await house(
      { 'a.example': hosts(60, '91.189.2.1') },
      IMPATIENT_MS,
    );
    await release(publisher, { 'x.rules': 'accept dsthost=a.example\n' });
    await publisher.close();
    dns.zone.set('a.example', { A: 'silent', AAAA: 'silent' });
    const after = open();
    await pass(after, clock, 2000);
    expect(after.head?.manifest.version).toBe(1);
    expect(after.head?.ruleSet.resolutions).toEqual(new Map([['a.example', prefixes('91.189.2.1')]]));
    expect(degraded(after)).toEqual([
      'a.example does not resolve (the DNS server does not answer): its rules keep the addresses they had',
    ]);
    dns.zone.set('a.example', hosts(60, '91.189.2.2'));
    expect((await nextRelease(after, clock, 5000)).manifest.version).toBe(2);
  });

  it('do not keep a publisher from closing', async () => {
    const { clock, dns, publisher } = await house({ 'a.example': hosts(60, '91.189.2.1') }, IMPATIENT_MS);
    await release(publisher, { 'x.rules': 'accept dsthost=a.example\n' });
    dns.zone.set('a.example', { A: 'silent', AAAA: 'silent' });
    clock.advance(70_000);
    const refreshed = publisher.refreshNames();
    await publisher.close();
    await refreshed;
    expect(clock.pendingMs).toEqual([]);
  });
});

/** A resolver that asks nobody until a test says what it answers; what it was asked is kept. */
class Silence {
  readonly asked: string[] = [];
  answer: ((name: string) => NameAnswer) | undefined;
  private readonly waiting: ((error: Error) => void)[] = [];

  readonly resolve = async (name: string): Promise<NameAnswer> => {
    this.asked.push(name);
    if (this.answer !== undefined) return this.answer(name);
    return new Promise((_, reject) => this.waiting.push(reject));
  };

  /** Fails the waiting questions, as if the server did not answer. */
  end(): void {
    for (const reject of this.waiting.splice(0)) reject(new Error('the DNS server does not answer'));
  }
}

/** A publisher whose names nobody answers for. */
function silentHouse() {
  const clock = new FakeClock();
  const dns = new Silence();
  return { clock, dns, publisher: freshPublisher({ clock, resolve: dns.resolve }) };
}

/** Lets a push wait for its names as long as it may. */
async function waited<T>(clock: FakeClock, work: Promise<T>): Promise<T> {
  await until(() => clock.pendingMs.includes(NAME_LIMITS.bringMs));
  clock.advance(NAME_LIMITS.bringMs);
  return work;
}

function rulesFor(action: string, count: number): string {
  return Array.from({ length: count }, (_, i) => `${action} dsthost=host-${i}.example\n`).join('');
}

// A DNS server that answers nothing froze all releases: with 900 dead names each took 165 s.
describe('names that nobody answers for', () => {
  it('keep their own push waiting for five seconds, and no other release at all', async () => {
    const { clock, dns, publisher } = silentHouse();
    const dead = publisher.push(pushOf({ 'x.rules': rulesFor('accept', 900) }));
    await until(() => dns.asked.length > 0);
    await release(publisher, { 'hosts.txt': '91.189.2.1\n' }); // while that one waits
    const outcome = await waited(clock, dead);
    expect(outcome).toMatchObject({ kind: 'released', head: { manifest: { version: 2 } } });
    expect(outcome.kind === 'released' && outcome.failedNames).toHaveLength(900);
    for (let minute = 0; minute < 3; minute++) {
      clock.advance(60_000);
      await release(publisher, { 'hosts.txt': `91.189.2.${2 + minute}\n` });
    }
    const batch = new Map([['hosts', prefixListOf(prefixes('198.51.100.1'))]]);
    expect((await publisher.updateLists(batch)).refused.size).toBe(0);
    expect(await publisher.rollback(3, {})).toMatchObject({ kind: 'released' });
  });

  it('do not leave a drop rule without an address, unless that is permitted', async () => {
    const { clock, publisher } = silentHouse();
    const rules = { 'x.rules': 'accept dsthost=a.example\ndrop dsthost=b.example\naccept\n' };
    expect(await waited(clock, publisher.push(pushOf(rules)))).toMatchObject({
      kind: 'guarded',
      refusals: [
        {
          guard: 'unresolved',
          part: 'policy default',
          after: 1,
          reason: expect.stringContaining(
            'drop dsthost=b.example would match nothing, for its name has no address (no answer within 5 s)',
          ),
        },
      ],
    });
    expect(publisher.head).toBeUndefined();
    const outcome = await waited(clock, publisher.push(pushOf(rules), { permits: new Set(['unresolved']) }));
    expect(outcome).toMatchObject({ kind: 'released' });
    expect(outcome.kind === 'released' && outcome.failedNames.map(({ name }) => name)).toEqual([
      'a.example',
      'b.example',
    ]);
    // What is so already refuses no push of something else, nor of the same policy.
    for (const files of [
      { 'hosts.txt': '91.189.2.1\n' },
      { 'x.rules': `drop dst4=91.189.2.1\n${rules['x.rules']}` },
    ]) {
      expect(await publisher.push(pushOf(files))).toMatchObject({ kind: 'released' });
    }
  });

  it.each([
    ['of its own', 'egress: [drop dsthost=b.example]', 'drop dsthost=b.example'],
    ['among its exceptions', 'exceptions: { egress: [drop dsthost=b.example] }', 'drop dsthost=b.example'],
    ['of ingress', 'ingress: [drop srchost=b.example]', 'drop srchost=b.example'],
    [
      'in both, once',
      'exceptions: { egress: [drop dsthost=b.example] }, egress: [drop dsthost=b.example]',
      'drop dsthost=b.example',
    ],
  ])('do not leave a policy with a drop rule without an address %s', async (_where, rules, told) => {
    const { clock, publisher } = silentHouse();
    const document = `policies: { work: { prefixes: [10.137.0.5], ${rules} } }\nunmatched: drop\n`;
    const permits = new Set([...ALL_PERMITS].filter((code) => code !== 'unresolved'));
    const outcome = await waited(clock, publisher.push(pushOf({ 'w.yaml': document }), { permits }));
    expect(outcome).toMatchObject({
      kind: 'guarded',
      refusals: [{ part: 'policy work', after: 1, reason: expect.stringContaining(told) }],
    });
  });

  it('leave a list of names of which one has an address, and refuse one of which none has', async () => {
    const { clock, dns, publisher } = silentHouse();
    dns.answer = () => ({ ...prefixes('91.189.2.1'), ttlMs: 60_000 });
    const house = (names: string) =>
      pushOf({
        'h.yaml': `lists: { hosts: { names: [${names}], resolve: true } }\npolicies: { default: { egress: [drop dst=@hosts, accept] } }\n`,
      });
    expect(await publisher.push(house('a.example'))).toMatchObject({ kind: 'released' });
    dns.answer = undefined;
    expect(await waited(clock, publisher.push(house('a.example, b.example')))).toMatchObject({
      kind: 'released',
    });
    expect(await waited(clock, publisher.push(house('c.example')))).toMatchObject({
      kind: 'guarded',
      refusals: [
        {
          reason: expect.stringContaining(
            'drop dst=@hosts would match nothing, for none of the names of list hosts has an address',
          ),
        },
      ],
    });
  });

  it('hold up a list of a source that would leave a drop rule without an address, and no other list', async () => {
    const { clock, dns, publisher } = silentHouse();
    dns.answer = () => ({ ...prefixes('91.189.2.1'), ttlMs: 60_000 });
    await release(publisher, {
      'h.yaml':
        'lists: { hosts: { names: [a.example], resolve: true } }\npolicies: { default: { egress: [drop dst=@hosts, accept] } }\n',
    });
    dns.answer = undefined;
    const batch = new Map<string, List>([
      ['hosts', nameListOf(['b.example'], true)],
      ['other', prefixListOf(prefixes('198.51.100.1'))],
    ]);
    const { refused } = await waited(clock, publisher.updateLists(batch));
    expect([...refused].map(([name, { code }]) => [name, code])).toEqual([['hosts', 'names-not-resolved']]);
    expect(publisher.head?.ruleSet.lists.has('other')).toBe(true);
    expect(publisher.head?.ruleSet.resolutions.has('a.example')).toBe(true);
  });

  it('are asked for in the background, and answers are released without waiting for the others', async () => {
    const { clock, dns, publisher } = silentHouse();
    await waited(clock, publisher.push(pushOf({ 'x.rules': rulesFor('accept', 40) })));
    dns.end();
    dns.answer = (name) => {
      if (name !== 'host-39.example') throw new Error('SERVFAIL');
      return { ...prefixes('91.189.2.9'), ttlMs: 60_000 };
    };
    const next = await nextRelease(publisher, clock, 10_000);
    expect(next.ruleSet.resolutions).toEqual(new Map([['host-39.example', prefixes('91.189.2.9')]]));
  });

  it('are not asked for at all where there are too many of them', async () => {
    const { dns, publisher } = silentHouse();
    const names = Array.from({ length: 4097 }, (_, i) => `host-${i}.example`).join('\n');
    const document =
      'lists: { hosts: { file: hosts.txt, resolve: true } }\npolicies: { default: { egress: [drop dst=@hosts, accept] } }\n';
    const files = [
      { name: 'h.yaml', role: 'pushed' as const, bytes: bytesOf(document) },
      { name: 'hosts.txt', role: 'referenced' as const, bytes: bytesOf(names) },
    ];
    await expect(publisher.push(pushOf({}, { files }))).rejects.toThrow('4097 names');
    expect(dns.asked).toEqual([]);
  });
});

// A thousand names of 30 s made 7.8 releases a minute, and filled the archive in 9 h.
describe('names that change on and on', () => {
  it('make at most 12 releases an hour, however many they are, and none is lost', async () => {
    const clock = new FakeClock();
    const answers = Array.from({ length: 128 }, (_, i) => ({ ...prefixes(`91.189.2.${i}`), ttlMs: 30_000 }));
    const counts = new Map<string, number>();
    const resolve = async (name: string): Promise<NameAnswer> => {
      const count = counts.get(name) ?? 0;
      counts.set(name, count + 1);
      return answers[count] ?? prefixes();
    };
    const publisher = freshPublisher({ clock, resolve });
    await release(publisher, { 'x.rules': rulesFor('accept', 1_000) });
    for (let passedMs = 0; passedMs < HOUR_MS; passedMs += 5000) {
      clock.advance(5000);
      await publisher.idle();
    }
    expect(publisher.head?.manifest.version).toBeLessThanOrEqual(12);
    expect(publisher.head?.manifest.version).toBeGreaterThan(4);
    expect(counts.get('host-0.example')).toBeGreaterThan(90);
    const held = publisher.head?.ruleSet.resolutions.get('host-0.example');
    expect(held === undefined ? 0 : prefixCount(held)).toBeGreaterThan(5); // of the ten minutes before
  }, 120_000);

  it('are released at once as long as they do so now and then', async () => {
    const { clock, dns, publisher } = await house({ 'a.example': hosts(600, '91.189.2.0') });
    await release(publisher, { 'x.rules': 'accept dsthost=a.example\n' });
    for (let i = 1; i <= 10; i++) {
      dns.zone.set('a.example', hosts(600, `91.189.2.${i}`));
      const next = await nextRelease(publisher, clock, 700_000);
      expect(next.manifest.version).toBe(1 + i);
      expect(next.ruleSet.resolutions).toEqual(new Map([['a.example', prefixes(`91.189.2.${i}`)]]));
    }
  });
});
