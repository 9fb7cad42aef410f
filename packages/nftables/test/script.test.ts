/** The text that nft gets: exactly what a change says, and nothing that somebody else could have chosen. */

import { execFileSync, spawnSync } from 'node:child_process';
import { columnOf } from '@rulecast/rules';
import { describe, expect, it } from 'vitest';
import { commandText } from '../../../test/enforce/nft-text.mjs';
import { randomCase } from '../../table/test/random-rule-set.ts';
import { MessageWriter } from '../src/kernel/attributes.ts';
import type { Command } from '../src/kernel/commands.ts';
import { scriptOf } from '../src/kernel/script.ts';
import { PIECE_COMMANDS } from '../src/limits.ts';
import {
  type ChangeOptions,
  type ChangeWithBody,
  namesOf,
  transition,
  wholeChange,
} from '../src/plan/change.ts';
import { kernelChains } from '../src/plan/lowering.ts';
import { ANY_PACKET } from '../src/plan/matches.ts';
import { type AddressSet, type Plan, policyChain, type Step } from '../src/plan/plan.ts';
import { planOf } from '../src/plan/planner.ts';
import { list, planned, plannedAfter, prefix, ruleSet, scriptText, TABLE } from './sample.ts';

const OPTIONS: ChangeOptions = {
  tag: { release: 'ab'.repeat(32), conditions: 'cd'.repeat(8), mark: 0 },
  downstreamGroup: 2,
  answer: 'reject',
};
/** net.core.wmem_max as Linux has it; a socket gets twice as much. */
const WMEM_MAX = 212_992;
const KEY = '0123456789abcdef';
const COUNTER = 'c0123456789abcdef';

function text({ change, body }: ChangeWithBody): string {
  return scriptText(change, new Uint8Array(Buffer.concat(body)));
}

function linesOf(change: ChangeWithBody): readonly string[] {
  return text(change).replaceAll(` inet ${TABLE} `, ' ').trimEnd().split('\n');
}

function planWith(chain: string, steps: readonly Step[], sets: readonly AddressSet[] = []): Plan {
  const all = {
    sets: new Map(sets.map((set) => [`${set.key}_${set.members.family}`, set])),
    chains: new Map([[chain, steps]]),
  };
  return {
    ...all,
    kernelChains: kernelChains(all, undefined),
    maps: new Map(),
    classMaps: new Map(),
    nameSets: new Map(),
    counters: new Set([COUNTER]),
  };
}

/** First and last addresses of prefixes below. */
const RANGES = [
  ['::1', '::1'],
  ['1:2:3:4:5:6:7::', '1:2:3:4:5:6:7:ffff'],
  ['2001:db8::', '2001:db8:ffff:ffff:ffff:ffff:ffff:ffff'],
  ['ffff:abc:ab:a::', 'ffff:abc:ab:a:ffff:ffff:ffff:ffff'],
  ['ffff:ffff::', 'ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff'],
];
const LOADED = { version: '89abcdef', delta: undefined } as const;
const RULE = { ...ANY_PACKET, action: 'accept', counter: COUNTER } as const;

describe('the script', () => {
  it('of a whole plan has its base chain in the last transaction, with its tag', () => {
    const { change } = wholeChange(planWith('egress4', [{ kind: 'pass' }]), OPTIONS);
    const { objects, chains, release } = scriptOf(change, TABLE);
    const lines = (commands: Iterable<Command>): readonly string[] =>
      Array.from(commands, (each) => commandText(each).replaceAll(` inet ${TABLE} `, ' '));
    expect(lines(objects)).toEqual([
      'add counter c0000000000000000',
      'add set port_protocols { type inet_proto; }',
      'add element port_protocols { 6, 17 }',
      'add set sources4 { type ifname . ipv4_addr; }',
      'add set sources6 { type ifname . ipv6_addr; }',
      'add chain deny',
      'add chain to_qubes',
      'add chain told',
      'add chain flowless',
      'add chain egress4',
      'add chain egress6',
      'add chain ingress4',
      'add chain ingress6',
      'add rule deny counter name c0000000000000000',
      'add rule deny meta l4proto 6 ct direction reply reject with tcp reset',
      'add rule deny ct direction reply drop',
      'add rule deny tcp flags & syn == 0 reject with tcp reset',
      'add rule deny reject with icmpx admin-prohibited',
      'add rule flowless iifgroup 2 counter name c0000000000000000 drop',
      'add rule flowless oifgroup 2 counter name c0000000000000000 drop',
      'add rule flowless accept',
      'add rule to_qubes ct direction original oifgroup != 2 accept',
      'add rule to_qubes ct direction reply iifgroup != 2 accept',
      'add rule to_qubes ct state new tcp flags & (fin | syn | rst | ack) != syn counter name c0000000000000000 drop',
      'add rule to_qubes meta nfproto ipv4 goto ingress4',
      'add rule to_qubes meta nfproto ipv6 goto ingress6',
      'add rule to_qubes accept',
      'add rule told ct direction original oifgroup != 2 accept',
      'add rule told ct direction reply iifgroup != 2 accept',
      'add rule told ct state new tcp flags & (fin | syn | rst | ack) != syn counter name c0000000000000000 drop',
      'add rule told meta nfproto ipv4 goto ingress4',
      'add rule told meta nfproto ipv6 goto ingress6',
      'add rule told accept',
      `add counter ${COUNTER}`,
      'add chain egress4',
    ]);
    expect(lines(chains)).toEqual(['add rule egress4 goto to_qubes']);
    expect(lines(release)).toEqual([
      `add chain release_${'ab'.repeat(32)}_${'cd'.repeat(8)}_0`,
      'add chain forward { type filter hook forward priority -10; policy accept; }',
      'add rule forward ct state invalid,untracked goto flowless',
      'add rule forward ct direction original iifgroup 2 meta nfproto ipv4 goto egress4',
      'add rule forward ct direction original iifgroup 2 meta nfproto ipv6 goto egress6',
      'add rule forward ct direction reply oifgroup 2 meta nfproto ipv4 goto egress4',
      'add rule forward ct direction reply oifgroup 2 meta nfproto ipv6 goto egress6',
      'add rule forward goto to_qubes',
    ]);
  });

  it.each([
    [4, 'ip'],
    [6, 'ip6'],
  ] as const)('lets what is open by name over IPv%i pass as it came, without a mark', (family, ip) => {
    const set = `n0123456789abcdef_${family}_1024_0123456789abcdef`;
    const step: Step = {
      kind: 'rule',
      action: 'accept',
      protocols: [6],
      ports: [443, 443],
      icmpType: undefined,
      remote: { kind: 'told', set },
      original: false,
      counter: COUNTER,
    };
    const change = wholeChange(planWith(`egress${family}`, [step]), {
      ...OPTIONS,
      tag: { ...OPTIONS.tag, mark: 1 },
    });
    const ports = 'ct original protocol 6 ct reply proto-src 443';
    const rest = `ct original ${ip} saddr . ct reply ${ip} saddr @${set} counter name ${COUNTER} goto told`;
    expect(linesOf(change).filter((line) => line.includes(' told') && line.includes('egress'))).toEqual([
      `add rule egress${family} ct direction original ${ports} iifname . ct original ${ip} saddr @sources${family} ${rest}`,
      `add rule egress${family} ct direction reply ${ports} ${rest}`,
    ]);
    expect(
      linesOf(change).filter((line) => line.startsWith('add rule told') && line.includes('mark')),
    ).toEqual([]);
  });

  it('drops silently where it is told to', () => {
    const lines = linesOf(
      wholeChange(planWith('egress4', []), { ...OPTIONS, answer: 'silent', downstreamGroup: 7 }),
    );
    expect(lines.filter((line) => line.includes('deny') || line.includes('group'))).toEqual([
      'add chain deny',
      'add rule deny counter name c0000000000000000 drop',
      'add rule flowless iifgroup 7 counter name c0000000000000000 drop',
      'add rule flowless oifgroup 7 counter name c0000000000000000 drop',
      'add rule to_qubes ct direction original oifgroup != 7 accept',
      'add rule to_qubes ct direction reply iifgroup != 7 accept',
      'add rule told ct direction original oifgroup != 7 accept',
      'add rule told ct direction reply iifgroup != 7 accept',
      'add rule forward ct direction original iifgroup 7 meta nfproto ipv4 goto egress4',
      'add rule forward ct direction original iifgroup 7 meta nfproto ipv6 goto egress6',
      'add rule forward ct direction reply oifgroup 7 meta nfproto ipv4 goto egress4',
      'add rule forward ct direction reply oifgroup 7 meta nfproto ipv6 goto egress6',
    ]);
  });

  it('lets flows that have the mark of the release pass, and gives it to those that it accepts', () => {
    const plan = planWith('egress4', []);
    const first = { ...OPTIONS, tag: { ...OPTIONS.tag, mark: 1 } };
    const next = { ...first, tag: { ...first.tag, mark: 96 } };
    const marking = (change: ChangeWithBody) => linesOf(change).filter((line) => line.includes('ct label'));
    const labels = (label: number): string[] => [
      `add rule to_qubes ct direction original iifgroup 2 oifgroup != 2 ct state new,established ct label set ${label} accept`,
      `add rule to_qubes ct direction reply oifgroup 2 iifgroup != 2 ct state new,established ct label set ${label} accept`,
      `add rule forward ct direction original iifgroup 2 oifgroup != 2 ct label ${label} accept`,
      `add rule forward ct direction reply oifgroup 2 iifgroup != 2 ct label ${label} accept`,
    ];
    expect(marking(wholeChange(plan, first))).toEqual(labels(32));
    const { release, afterwards } = transition({ plan, tag: first.tag }, plan, next);
    expect(marking(release)).toEqual(labels(127));
    expect(afterwards).toEqual([]);
  });

  it.each<[string, Step, string]>([
    ['e4', RULE, `counter name ${COUNTER} goto to_qubes`],
    ['e4', { ...RULE, action: 'drop' }, `counter name ${COUNTER} goto deny`],
    [
      'e4',
      { ...RULE, protocols: [6], ports: [80, 80] },
      `ct original protocol 6 ct reply proto-src 80 counter name ${COUNTER} goto to_qubes`,
    ],
    [
      'e4',
      { ...RULE, protocols: [6, 17], ports: [0, 65535] },
      `ct original protocol @port_protocols ct reply proto-src 0-65535 counter name ${COUNTER} goto to_qubes`,
    ],
    [
      'e6',
      { ...RULE, protocols: [58], icmpType: 128 },
      `ct original protocol 58 ct original proto-dst 32768-33023 counter name ${COUNTER} goto to_qubes`,
    ],
    [
      'e4',
      { ...RULE, remote: { kind: 'prefix', address: '0a000000', length: 8 } },
      `ct reply ip saddr 10.0.0.0/8 counter name ${COUNTER} goto to_qubes`,
    ],
    [
      'i4',
      { ...RULE, remote: { kind: 'prefix', address: 'ffffffff', length: 32 } },
      `ct original ip saddr 255.255.255.255/32 counter name ${COUNTER} accept`,
    ],
    [
      'i6',
      { ...RULE, remote: { kind: 'prefix', address: `20010db8${'0'.repeat(24)}`, length: 32 } },
      `ct original ip6 saddr 2001:0db8:0000:0000:0000:0000:0000:0000/32 counter name ${COUNTER} accept`,
    ],
    ['e4', { kind: 'dispatch', map: 'de4_32_89abcdef' }, 'ct original ip saddr vmap @de4_32_89abcdef'],
    [
      'e4',
      { kind: 'dispatch', map: 'de4_9_89abcdef' },
      'ct original ip saddr & 255.128.0.0 vmap @de4_9_89abcdef',
    ],
    [
      'i6',
      { kind: 'dispatch', map: 'di6_33_89abcdef' },
      'ct reply ip6 saddr & ffff:ffff:8000:0000:0000:0000:0000:0000 vmap @di6_33_89abcdef',
    ],
    [
      'e4',
      { kind: 'classify', map: `v4_24_9_${KEY}` },
      `ct reply ip saddr & 255.255.255.0 vmap @v4_24_9_${KEY}`,
    ],
    ['i6', { kind: 'classify', map: `v6_128_9_${KEY}` }, `ct original ip6 saddr vmap @v6_128_9_${KEY}`],
    ['e4', { kind: 'jump', chain: `e4_${KEY}` }, `jump e4_${KEY}`],
    ['e4', { kind: 'goto', chain: `e4_${KEY}` }, `goto e4_${KEY}`],
    ['e4', { kind: 'pass' }, 'goto to_qubes'],
    ['i6', { kind: 'pass' }, 'accept'],
    [
      'e4',
      { ...RULE, original: true, remote: { kind: 'prefix', address: '0a8b0101', length: 32 } },
      `ct original ip daddr 10.139.1.1/32 counter name ${COUNTER} goto to_qubes`,
    ],
    [
      'e4',
      {
        ...RULE,
        remote: {
          kind: 'set',
          set: `s${KEY}_4_24_9_89abcdef`,
          except: [`s${KEY}_4_32_4_01234567`, `s${KEY}_4_i_01234567`],
        },
      },
      `ct reply ip saddr & 255.255.255.0 @s${KEY}_4_24_9_89abcdef ct reply ip saddr != @s${KEY}_4_32_4_01234567 ct reply ip saddr != @s${KEY}_4_i_01234567 counter name ${COUNTER} goto to_qubes`,
    ],
  ])('of a step in a chain %s', (place, step, rule) => {
    const chain = `${place}_${KEY}`;
    const { change, ...rest } = wholeChange(planWith(chain, []), OPTIONS);
    const lines = linesOf({ ...rest, change: { ...change, chains: [{ name: chain, steps: [step] }] } });
    expect(lines.filter((line) => line.startsWith(`add rule ${chain} `))).toEqual([
      `add rule ${chain} ${rule}`,
    ]);
  });

  it('writes elements of both families and both kinds of set', () => {
    const v4 = columnOf(['0.0.0.0/32', '9.99.100.255/32', '255.255.255.255/32'].map(prefix), 4);
    const v6 = columnOf(
      ['::1/128', '1:2:3:4:5:6:7::/112', '2001:db8::/32', 'ffff:abc:ab:a::/64', 'ffff:ffff::/32'].map(prefix),
      6,
    );
    const tier = { length: 32, bucketsLog2: 4 };
    const sets: AddressSet[] = [
      { key: KEY, members: v4, layout: { kind: 'hash', tiers: [tier] }, ...LOADED },
      { key: KEY, members: v6, layout: { kind: 'interval' }, ...LOADED },
    ];
    const lines = linesOf(wholeChange(planWith('egress4', [], sets), OPTIONS)).filter((line) =>
      line.includes(`s${KEY}`),
    );
    expect(lines).toEqual([
      `add set s${KEY}_4_32_4_89abcdef { type ipv4_addr; size 12; }`,
      `add set s${KEY}_6_i_89abcdef { type ipv6_addr; flags interval; }`,
      `add element s${KEY}_4_32_4_89abcdef { 0.0.0.0, 9.99.100.255, 255.255.255.255 }`,
      `add element s${KEY}_6_i_89abcdef { ${RANGES.map((ends) => ends.map(whole).join('-')).join(', ')} }`,
    ]);
  });

  it('expands the prefixes of a tier, across words of an address too', () => {
    const v4 = columnOf(['1.2.254.0/23', '1.3.0.0/24', '9.9.9.9/32', '10.0.0.0/31'].map(prefix), 4);
    const v6 = columnOf(['2001:db7:ffff:fffe::/63', '2001:db8::/30', '2001:dc0::/64'].map(prefix), 6);
    const sets: AddressSet[] = [
      {
        key: KEY,
        members: v4,
        layout: {
          kind: 'hash',
          tiers: [
            { length: 24, bucketsLog2: 4 },
            { length: 32, bucketsLog2: 4 },
          ],
        },
        ...LOADED,
      },
      {
        key: KEY,
        members: v6,
        layout: {
          kind: 'hash',
          tiers: [
            { length: 32, bucketsLog2: 4 },
            { length: 65, bucketsLog2: 4 },
          ],
        },
        ...LOADED,
      },
    ];
    const change = wholeChange(planWith('egress4', [], sets), OPTIONS);
    const lines = linesOf(change).filter((line) => line.startsWith('add element s'));
    expect(lines).toEqual([
      `add element s${KEY}_4_24_4_89abcdef { 1.2.254.0, 1.2.255.0, 1.3.0.0 }`,
      `add element s${KEY}_4_32_4_89abcdef { 9.9.9.9, 10.0.0.0, 10.0.0.1 }`,
      `add element s${KEY}_6_32_4_89abcdef { ${['2001:db8::', '2001:db9::', '2001:dba::', '2001:dbb::'].map(whole).join(', ')} }`,
      `add element s${KEY}_6_65_4_89abcdef { ${[
        '2001:db7:ffff:fffe::',
        '2001:db7:ffff:fffe:8000::',
        '2001:db7:ffff:ffff::',
        '2001:db7:ffff:ffff:8000::',
        '2001:dc0::',
        '2001:dc0:0:0:8000::',
      ]
        .map(whole)
        .join(', ')} }`,
    ]);
    expect(change.elementCount).toBe(16);
  });

  it('of a delta is refused by the kernel unless its base is there', () => {
    const rules = (texts: readonly string[]) =>
      ruleSet([{ name: 'default', prefixes: [], egress: ['drop dst=@bad'] }], { bad: list(...texts) });
    const before = planned(rules(['1.1.1.1', '1.1.1.2']));
    const after = plannedAfter(rules(['1.1.1.2', '1.1.1.3']), before);
    const next = { ...OPTIONS, tag: { release: '12'.repeat(32), conditions: '34'.repeat(8), mark: 0 } };
    const [old = ''] = namesOf(before).sets;
    const [set = ''] = namesOf(after).sets;
    const { release, afterwards } = transition({ plan: before, tag: OPTIONS.tag }, after, next);
    const chain = policyChain('egress', 4, 'default');
    const [last = '', counter = ''] = [...after.counters];
    const rules4 = [
      `add rule ${chain} ct reply ip saddr @${set} counter name ${last} goto deny`,
      `add rule ${chain} counter name ${counter} goto deny`,
    ];
    expect(linesOf(release)).toEqual([
      `add set ${set} { type ipv4_addr; size 12; }`,
      `add element ${set} { 1.1.1.2, 1.1.1.3 }`,
      `delete chain release_${'ab'.repeat(32)}_${'cd'.repeat(8)}_0`,
      `add chain release_${'12'.repeat(32)}_${'34'.repeat(8)}_0`,
      `flush chain ${chain}`,
      ...rules4,
    ]);
    expect(afterwards.flatMap(linesOf)).toEqual([
      `delete chain release_${'12'.repeat(32)}_${'34'.repeat(8)}_0`,
      `add chain release_${'12'.repeat(32)}_${'34'.repeat(8)}_0`,
      `delete set ${old}`,
    ]);
  });

  it('carries no name, comment or other text of a rule set', () => {
    const rules = ruleSet(
      [
        {
          name: 'Secret.policy',
          prefixes: ['10.0.0.0/8'],
          egress: ['drop dst=@Secret.list comment=Secret words', 'drop dsthost=secret.example'],
        },
      ],
      { 'Secret.list': list('1.1.1.1', '2.0.0.0/8') },
    );
    expect(text(wholeChange(planned(rules), OPTIONS))).not.toMatch(/secret/i);
  });

  it('of many elements comes in pieces that lose nothing', () => {
    const entries = Array.from({ length: 40_000 }, (_, i) => prefix(`100.100.${i >> 8}.${i & 255}`));
    const members = columnOf(entries, 4);
    const sets: AddressSet[] = [
      { key: KEY, members, layout: { kind: 'hash', tiers: [{ length: 32, bucketsLog2: 16 }] }, ...LOADED },
    ];
    const script = text(wholeChange(planWith('egress4', [], sets), OPTIONS));
    const pieces = [...script.matchAll(/^add element .* s.*\{ (.*) \}$/gm)];
    expect(pieces).toHaveLength(20);
    expect(pieces.flatMap(([, keys = '']) => keys.split(', '))).toEqual(
      entries.map((_, i) => `100.100.${i >> 8}.${i & 255}`),
    );
  });

  // A user namespace has no right to more room than the machine gives everybody.
  it('has rules of which a piece fits into the socket of a user namespace', () => {
    const writer = new MessageWriter();
    const mostBytes = (commands: Iterable<Command>): number =>
      [...commands].reduce((most, { type, flags, attributes }) => {
        writer.clear();
        writer.message(type, flags, 1, 0, () => writer.attributes(attributes));
        return Math.max(most, writer.length);
      }, 0);
    let most = 0;
    for (let seed = 1; seed <= 60; seed++) {
      const { ruleSet: random, environment } = randomCase(seed, 60);
      const { plan } = planOf({ ruleSet: random, environment }, () => undefined);
      const { objects, chains } = scriptOf(wholeChange(plan, OPTIONS).change, TABLE);
      most = Math.max(most, mostBytes(objects), mostBytes(chains));
    }
    expect(most).toBeGreaterThan(300);
    expect(most * PIECE_COMMANDS).toBeLessThan(2 * WMEM_MAX);
  });
});

describe.skipIf(nftGap() !== undefined)('nft', () => {
  it('takes every construct', () => {
    const before = planned(
      ruleSet(
        [
          {
            name: 'common',
            prefixes: [],
            egress: ['drop dst=@zero', 'accept specialtarget=dns'],
            ingress: ['drop src=@zero'],
          },
          {
            name: 'work',
            prefixes: ['10.0.0.1', '10.0.0.0/8', 'fd00::/64', '::/0'],
            egress: ['accept proto=icmp icmptype=8', 'drop dst=@bad proto=udp dstports=1-2'],
            ingress: ['accept proto=tcp dstports=22'],
          },
          { name: 'default', prefixes: [], egress: ['accept'] },
        ],
        {
          zero: list('0.0.0.0/0', '::/1'),
          bad: list('1.0.0.0/8', '2.0.0.0/9', '3.3.3.3', 'fd00::/8', 'fe00::1', '2001:db8::/32'),
        },
      ),
    );
    const after = planned(ruleSet([{ name: 'default', prefixes: [], egress: ['drop'] }]));
    const first = text(wholeChange(before, { ...OPTIONS, answer: 'silent' }));
    const { release, afterwards } = transition({ plan: before, tag: OPTIONS.tag }, after, OPTIONS);
    const listed = inNamespace(first, text(release), ...afterwards.map(text));
    expect(listed).toContain('chain forward');
    expect(listed).not.toMatch(/set s(?!ources)/);
  });
});

/** An IPv6 prefix with all of its groups, four digits each, as we write it. */
function whole(text: string): string {
  const [address = '', length] = text.split('/');
  const [head = '', tail = ''] = address.split('::');
  if (!text.includes('::')) return address.replace(/\w+/g, (group) => group.padStart(4, '0'));
  const groups = (part: string): readonly string[] => (part === '' ? [] : part.split(':'));
  const zeros = new Array<string>(8 - groups(head).length - groups(tail).length).fill('0');
  const all = [...groups(head), ...zeros, ...groups(tail)].map((group) => group.padStart(4, '0'));
  return `${all.join(':')}${length === undefined ? '' : `/${length}`}`;
}

/** Why nft cannot be run here, printed; throws where CI=true. */
function nftGap(): string | undefined {
  const probe = spawnSync('unshare', ['-n', 'nft', 'list', 'tables'], { encoding: 'utf8' });
  if (probe.status === 0) return undefined;
  const gap = `nft in a network namespace: ${probe.error?.message ?? probe.stderr.trim()}`;
  if (process.env['CI'] === 'true' && process.getuid?.() === 0) throw new Error(gap);
  console.log(`skipped: ${gap}`);
  return gap;
}

/** Runs scripts one after the other in a namespace of their own; the table as it is then. */
function inNamespace(...scripts: readonly string[]): string {
  const run = scripts.map((script) => `nft -f - <<'END'\n${script}END\n`).join(' ');
  return execFileSync('unshare', ['-n', 'sh', '-ec', `${run}\nnft list table inet ${TABLE}`], {
    encoding: 'utf8',
  });
}
