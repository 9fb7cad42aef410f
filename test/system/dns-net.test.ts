/** `rulecast-dns-net` among what others made: it takes nothing of theirs away, and does not go among it. */

import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Namespace } from '../enforce/network.mjs';
import { dnsNetCommand } from '../processes.mjs';
import { namespacePrefix } from '../run/run.mjs';
import { enforcementGap } from './namespaces.ts';

const NAME = `${namespacePrefix()}asked`;
const OURS = 'pref 53 fwmark 0x530000/0xff0000 lookup 5353';

let router: Namespace;
let other: Namespace | undefined;

beforeEach(() => {
  router = new Namespace(`${namespacePrefix()}firewall`);
  router.sysctl({ 'net.ipv4.conf.all.rp_filter': 0 });
});

afterEach(async () => {
  try {
    await other?.close();
    net('--remove');
  } finally {
    other = undefined;
    await router.close();
  }
});

const net = (...more: readonly string[]): string => router.run(dnsNetCommand(['--namespace', NAME, ...more]));
const ip = (line: string): string => router.run(['ip', ...line.split(' ')]);
/** What it could have changed on this host; of namespaces its own, as other tests make some meanwhile. */
const state = (): string =>
  ['link show', '-4 rule', '-6 rule', '-4 route show table all', '-6 route show table all']
    .map((line) => ip(line).replace(/^\d+: | (?:mtu|qdisc|state) .*/gm, ''))
    .concat(ip('netns list').match(new RegExp(`^${NAME}\\b.*`, 'm')) ?? [])
    .join('\n');

describe.skipIf(enforcementGap() !== undefined)('rulecast-dns-net', () => {
  it.each([[[]], [['--remove']]])('leaves a namespace alone that somebody else made (%s)', (more) => {
    other = new Namespace(NAME);
    other.nft('table inet rulecast_dns { }\n'); // as an applier has it
    const before = state();
    expect(() => net(...more)).toThrow(/did not make.*--namespace/s);
    expect(state()).toBe(before);
    expect(other.run(['nft', 'list', 'tables'])).toBe('table inet rulecast_dns\n');
  });

  it.each([[[]], [['--remove']]])('leaves a link alone that somebody else made (%s)', (more) => {
    ip('link add rulecast-dns type veth peer name theirs');
    const before = state();
    expect(() => net(...more)).toThrow(/link rulecast-dns.*did not make/s);
    expect(state()).toBe(before);
    ip('link del rulecast-dns');
  });

  it.each([
    ['-4 route add 192.0.2.0/24 dev lo table 5353', /IPv4 routing table 5353 .*192\.0\.2\.0/],
    ['-6 route add default dev lo table 5353', /IPv6 routing table 5353 .*default/],
    ['-4 rule add pref 99 from 192.0.2.1 lookup 5353', /IPv4 rule 99 .*routing table 5353/],
    ['-4 rule add pref 53 from 192.0.2.1 lookup 100', /IPv4 rule 53 .*priority/],
    ['-6 rule add pref 200 fwmark 0x530000/0xff0000 lookup 100', /IPv6 rule 200 .*mark/],
    ['-4 rule add pref 200 fwmark 0x530001 lookup 100', /IPv4 rule 200 .*mark/],
    ['-4 rule add pref 200 fwmark 0x10000/0x10000 lookup 100', /IPv4 rule 200 .*mark/],
  ])('does not go among what somebody else has: ip %s', (line, said) => {
    ip('link set lo up');
    ip(line);
    const before = state();
    expect(() => net()).toThrow(said);
    expect(state()).toBe(before);
    net('--remove'); // takes nothing away that is not its own
    expect(state()).toBe(before);
  });

  it('goes beside what is not in its way', () => {
    const marked = ['fwmark 0x80000/0xff0000', 'not fwmark 0xca6c', 'fwmark 0x1/0xff'];
    for (const [at, mark] of marked.entries()) ip(`-4 rule add pref ${52 - at} ${mark} lookup 100`);
    const before = state();
    net();
    expect(ip('-4 rule')).toContain('53:');
    net('--remove');
    expect(state()).toBe(before);
  });

  it('makes its own anew, whatever of it is gone, and takes all of it away', () => {
    const before = state();
    net();
    const made = state();
    for (const line of ['link del rulecast-dns', `-4 rule del ${OURS}`, `netns del ${NAME}`]) {
      ip(line);
      net();
      expect(state()).toBe(made);
    }
    net('--remove');
    net('--remove');
    expect(state()).toBe(before);
  });
});
