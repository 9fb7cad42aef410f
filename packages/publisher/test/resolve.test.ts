import { EMPTY_PREFIX_SET } from '@rulecast/rules';
import { describe, expect, it } from 'vitest';
import { addressesOf, dnsResolver, withFixedNames } from '../src/names/resolve.ts';
import { type DnsName, type DnsRecord, type Misbehaviour, serveDns } from './dns-server.ts';
import { prefixes } from './fresh-publisher.ts';

/** For servers that answer, however busy the machine. */
const PATIENT = { timeoutMs: 100_000, tries: 1 };
/** For servers that are silent: long enough for the other question of the two. */
const IMPATIENT = { timeoutMs: 2000, tries: 1 };

function a(address: string, ttl = 60): DnsRecord {
  return { type: address.includes(':') ? 'AAAA' : 'A', address, ttl };
}

// A name of the Internet that stood for 127.0.0.1 or for a host of the network beside became an address of a
// rule.
describe('a name of the Internet', () => {
  async function resolved(name: string, addresses: readonly string[], privateZones: readonly string[] = []) {
    const dns = await serveDns({ [name]: { records: addresses.map((address) => a(address)) } });
    return dnsResolver([dns.server], { ...PATIENT, privateZones })(name);
  }

  it('stands for private addresses where a rule says so', async () => {
    const dns = await serveDns({ 'a.example': { records: [a('192.168.1.1')] } });
    const resolve = dnsResolver([dns.server], PATIENT);
    expect(await resolve('a.example', true)).toEqual({ ...prefixes('192.168.1.1'), ttlMs: 60_000 });
    await expect(resolve('a.example', false)).rejects.toThrow('private=true');
  });

  it('does not stand for private addresses', async () => {
    const mixed = await resolved('a.example', ['93.184.2.1', '127.0.0.1', '10.139.1.1', '0.0.0.0']);
    expect(mixed).toEqual({ ...prefixes('93.184.2.1'), ttlMs: 60_000 });
    const { failed, ...rest } = await resolved('a.example', ['192.168.1.1', '2600:db8::1']);
    expect(rest).toEqual({ ...prefixes('2600:db8::1'), ttlMs: 60_000 });
    expect(failed).toMatchObject({
      family: 'v4',
      reason: expect.stringMatching(/^it resolves to 192.168.1.1, a private address/),
    });
  });

  it.each(['127.0.0.1', '0.0.0.0', '10.0.0.1', '169.254.1.1', '::1', 'fd00::1', '::ffff:127.0.0.1'])(
    'fails where it stands for %s alone',
    async (address) => {
      await expect(resolved('a.example', [address])).rejects.toThrow('dns: private-zones:');
    },
  );

  it.each<[string, readonly string[]]>([
    ['nas', []],
    ['nas.lan', []],
    ['updates.internal', []],
    ['git.corp.example', ['corp.example']],
    ['corp.example', ['corp.example']],
  ])('is not %s, by its name or by %j', async (name, zones) => {
    expect(addressesOf(await resolved(name, ['10.0.0.1'], zones))).toEqual(prefixes('10.0.0.1'));
  });

  it('is one that only ends like a private zone', async () => {
    await expect(resolved('notcorp.example', ['10.0.0.1'], ['corp.example'])).rejects.toThrow('private');
  });
});

describe('resolving by DNS', () => {
  it('gives the addresses of both families, each once, and the shortest time to live', async () => {
    const records = [a('93.184.2.2', 300), a('93.184.2.1', 300), a('93.184.2.1', 300), a('2600:db8::1', 120)];
    const dns = await serveDns({ 'a.example': { records } });
    const { ttlMs, ...set } = await dnsResolver([dns.server], PATIENT)('a.example');
    expect(set).toEqual(prefixes('93.184.2.1', '93.184.2.2', '2600:db8::1'));
    expect(ttlMs).toBe(120_000);
  });

  it.each([
    [5, 300, 300],
    [300, 5, 300],
    [300, 300, 5],
  ])(
    'follows aliases of %i and %i seconds to an address of %i, which hold as long as the shortest',
    async (...ttls) => {
      const dns = await serveDns({
        'a.example': { records: [{ type: 'CNAME', to: 'b.example', ttl: ttls[0] }] },
        'b.example': { records: [{ type: 'CNAME', to: 'c.example', ttl: ttls[1] }] },
        'c.example': { records: [a('93.184.2.1', ttls[2]), a('2600:db8::1', ttls[2])] },
      });
      const { ttlMs, ...set } = await dnsResolver([dns.server], PATIENT)('a.example');
      expect(set).toEqual(prefixes('93.184.2.1', '2600:db8::1'));
      expect(ttlMs).toBe(5000);
    },
  );

  it('asks the server each time, and hears of other addresses at once', async () => {
    const dns = await serveDns({ 'a.example': { records: [a('93.184.2.1', 3600)] } });
    const resolve = dnsResolver([dns.server], PATIENT);
    expect(addressesOf(await resolve('a.example'))).toEqual(prefixes('93.184.2.1'));
    dns.zone.set('a.example', { records: [a('93.184.2.2', 3600)] });
    expect(addressesOf(await resolve('a.example'))).toEqual(prefixes('93.184.2.2'));
    expect(dns.questions.filter((question) => question === 'udp A a.example')).toHaveLength(2);
  });

  it('asks by TCP for an answer that UDP cuts short', async () => {
    const records = Array.from({ length: 200 }, (_, i) => a(`93.184.2.${i}`));
    const dns = await serveDns({ 'a.example': { records, isLong: true } });
    const answer = await dnsResolver([dns.server], PATIENT)('a.example');
    expect(answer.v4.lengths).toHaveLength(200);
    expect(dns.questions).toContain('tcp A a.example');
  });

  it('takes a name of one family as it is', async () => {
    const dns = await serveDns({
      'four.example': { records: [a('93.184.2.1')] },
      'six.example': { records: [a('2600:db8::1')] },
      'odd.example': { records: [a('93.184.2.1')], AAAA: 'nxdomain' },
    });
    const resolve = dnsResolver([dns.server], PATIENT);
    expect(await resolve('four.example')).toEqual({ ...prefixes('93.184.2.1'), ttlMs: 60_000 });
    expect(await resolve('six.example')).toEqual({ ...prefixes('2600:db8::1'), ttlMs: 60_000 });
    expect(await resolve('odd.example')).toEqual({ ...prefixes('93.184.2.1'), ttlMs: 60_000 });
  });

  it.each<[Misbehaviour, string]>([
    ['servfail', 'the DNS server failed, SERVFAIL'],
    ['refused', 'the DNS server refuses'],
    ['silent', 'the DNS server does not answer'],
  ])('says which family does not answer: %s', async (AAAA, reason) => {
    const dns = await serveDns({ 'a.example': { records: [a('93.184.2.1')], AAAA } });
    const answer = await dnsResolver([dns.server], AAAA === 'silent' ? IMPATIENT : PATIENT)('a.example');
    expect(answer).toEqual({ ...prefixes('93.184.2.1'), ttlMs: 60_000, failed: { family: 'v6', reason } });
  });

  it.each<[string, DnsName | undefined, string]>([
    ['that does not exist', undefined, 'no such name'],
    ['without addresses', { records: [] }, 'no addresses'],
    [
      'whose alias leads nowhere',
      { records: [{ type: 'CNAME', to: 'gone.example', ttl: 60 }] },
      'no addresses',
    ],
    ['that the server fails on', { A: 'servfail', AAAA: 'servfail' }, 'the DNS server failed, SERVFAIL'],
    ['that is refused', { A: 'refused', AAAA: 'refused' }, 'the DNS server refuses'],
    [
      'of one family that fails and one that is not there',
      { A: 'servfail', records: [] },
      'the DNS server failed, SERVFAIL',
    ],
    ['that nobody answers for', { A: 'silent', AAAA: 'silent' }, 'the DNS server does not answer'],
  ])('fails for a name %s', async (_, name, reason) => {
    const dns = await serveDns(name === undefined ? {} : { 'a.example': name });
    const timing = name?.A === 'silent' ? IMPATIENT : PATIENT;
    await expect(dnsResolver([dns.server], timing)('a.example')).rejects.toThrow(reason);
  });

  it('fails for an answer that is none, and where no server is', async () => {
    const dns = await serveDns({ 'a.example': { A: 'garbage', AAAA: 'garbage' } });
    await expect(dnsResolver([dns.server], IMPATIENT)('a.example')).rejects.toThrow(/DNS server/);
    const { server } = await serveDns({});
    const away = server.replace('127.0.0.1', '127.0.0.9');
    await expect(dnsResolver([away], IMPATIENT)('a.example')).rejects.toThrow(/DNS server/);
  });

  it('refuses a server that is no address', () => {
    expect(() => dnsResolver(['dns.example'])).toThrow(TypeError);
  });
});

describe('fixed names', () => {
  const OLD = prefixes('93.184.2.1');
  const NEW = prefixes('93.184.2.2', '2600:db8::2');

  it('answer without asking, and leave other names to the resolver', async () => {
    const asked: string[] = [];
    const resolve = withFixedNames(
      new Map([
        ['fixed.example', OLD],
        ['none.example', EMPTY_PREFIX_SET],
      ]),
      (name) => {
        asked.push(name);
        return Promise.resolve(NEW);
      },
    );
    expect(await resolve('fixed.example')).toBe(OLD);
    expect(await resolve('none.example')).toBe(EMPTY_PREFIX_SET);
    expect(await resolve('other.example')).toBe(NEW);
    expect(asked).toEqual(['other.example']);
  });
});
