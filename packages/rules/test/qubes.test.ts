/**
 * What Qubes makes of rule lines and packets, and that we differ exactly where docs/contribute/adr/0001 says
 * so.
 */

import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { prefixFrom as prefix } from '../../../test/kit/rules.ts';
import { evaluate, IpProtocol, type Packet } from '../src/evaluate.ts';
import { DEFAULT_POLICY, emptyPolicy } from '../src/policy.ts';
import { type Address, parseAddress } from '../src/prefix.ts';
import { type PrefixSet, prefixSetOf } from '../src/prefix-set.ts';
import { formatRule } from '../src/rule.ts';
import { parseRule } from '../src/rule-line.ts';
import type { RuleSet } from '../src/rule-set.ts';
import { RunBuilder } from '../src/runs.ts';

const FIXTURES = new URL('../../../test/fixtures/qubes-rules/', import.meta.url);
const ADR = new URL('../../../docs/contribute/adr/0001-where-we-differ-from-qubes.md', import.meta.url);
const NOW = 1_790_000_000;

interface LineCase {
  readonly id: string;
  readonly line: string;
  readonly why: string;
  /** `api` is null where the rule has expired. */
  readonly dom0: { readonly verdict: 'accept' | 'reject'; readonly api?: string | null };
}

interface PacketCase {
  readonly proto: 'tcp' | 'udp' | 'icmp' | 'gre' | 'sctp';
  readonly dst: string;
  readonly dport?: number;
  readonly type?: number;
  readonly verdict: 'accept' | 'drop';
}

interface VerdictCase {
  readonly id: string;
  readonly why: string;
  readonly family: 4 | 6;
  readonly rules: readonly string[];
  readonly packets: readonly PacketCase[];
}

const lines: readonly LineCase[] = JSON.parse(readFileSync(new URL('rule-lines.json', FIXTURES), 'utf8'));
const verdicts: readonly VerdictCase[] = JSON.parse(readFileSync(new URL('verdicts.json', FIXTURES), 'utf8'));

/** The lines that we refuse, with code and column. All others are accepted. */
const REFUSED: Readonly<Record<string, readonly [code: string, column: number]>> = {
  R016: ['empty-line', 1],
  R026: ['ports-without-proto', 15],
  R028: ['icmptype-without-icmp', 25],
  R030: ['bad-action', 8],
  R032: ['bad-action', 8],
  R034: ['duplicate-option', 15],
  R038: ['tab-in-rule', 14],
  R042: ['unknown-option', 15],
  R044: ['bad-proto', 21],
  R052: ['bad-prefix-length', 18],
  R054: ['bad-prefix-length', 18],
  R056: ['bad-address', 18],
  R058: ['bad-address', 18],
  R064: ['bad-prefix-length', 18],
  R066: ['wrong-family', 18],
  R076: ['bad-prefix-length', 18],
  R078: ['bad-address', 18],
  R080: ['bad-address', 18],
  R082: ['bad-address', 18],
  R088: ['bad-label', 23],
  R092: ['unsupported', 23],
  R096: ['name-not-ascii', 23],
  R098: ['bad-label', 23],
  R110: ['name-is-numeric', 23],
  R112: ['second-remote', 28],
  R120: ['bad-proto', 21],
  R122: ['bad-proto', 21],
  R130: ['bad-ports', 34],
  R132: ['bad-ports', 34],
  R134: ['bad-ports', 34],
  R136: ['bad-ports', 34],
  R138: ['bad-ports', 34],
  R140: ['unknown-option', 36],
  R150: ['bad-icmptype', 35],
  R152: ['bad-icmptype', 35],
  R154: ['bad-icmptype', 35],
  R156: ['dns-with-icmp', 26],
  R158: ['bad-specialtarget', 29],
  R160: ['bad-specialtarget', 29],
  R166: ['bad-expire', 22],
  R168: ['bad-expire', 22],
  R172: ['bad-comment', 25],
  R174: ['bad-comment', 32],
  R176: ['bad-comment', 17],
};

/** The lines that we accept and print otherwise than dom0's API does, or that dom0 refuses. */
const PRINTED: Readonly<Record<string, string>> = {
  R048: 'action=drop dst4=1.2.3.0/24',
  R060: 'action=drop dst4=1.2.3.4/32',
  R072: 'action=drop dst6=2001:db8::/64',
  R074: 'action=drop dst4=1.2.3.4/32',
  R086: 'action=accept dsthost=example.com',
  R090: 'action=accept dsthost=example.com',
  R144: 'action=accept specialtarget=dns',
  R162: 'action=accept expire=1',
  R164: `action=accept expire=${NOW + 300}`,
};

/** What the names stood for when the packets were judged. */
const RESOLUTIONS: ReadonlyMap<string, PrefixSet> = new Map([
  ['yum.qubes-os.org', prefixSetOf([prefix('193.219.28.150')])],
  ['two.test', prefixSetOf([prefix('192.0.2.10'), prefix('192.0.2.11')])],
  ['v6only.test', prefixSetOf([prefix('2001:db8::66')])],
]);
const DNS: readonly Address[] = [prefix('10.139.1.1'), prefix('10.139.1.2')];
const PROTOCOLS = { ...IpProtocol, gre: 47, sctp: 132 } as const;

/** The ids in the table under a heading of the record. */
function idsUnder(heading: string): readonly string[] {
  const section = readFileSync(ADR, 'utf8')
    .split(/^## /m)
    .find((text) => text.startsWith(heading));
  if (section === undefined) throw new Error(`no heading ${heading}`);
  return [...section.matchAll(/^\| ([RV][0-9]+) \|/gm)].map((match) => match[1] ?? '');
}

/** A rule set with the rules in the default policy; undefined if one of them is refused. */
function ruleSetOf(rules: readonly string[]): RuleSet | undefined {
  const runs = new RunBuilder();
  for (const line of rules) {
    const result = parseRule(line, 'egress', NOW);
    if (result.kind === 'fault') return undefined;
    runs.push(result.rule);
  }
  const policy = { ...emptyPolicy(DEFAULT_POLICY), egress: runs.build() };
  return {
    lists: new Map(),
    policies: new Map([[policy.name, policy]]),
    resolutions: RESOLUTIONS,
    unmatched: undefined,
  };
}

function packetOf(packet: PacketCase): Packet {
  const dst = parseAddress(packet.dst);
  if (dst === undefined) throw new Error(packet.dst);
  return {
    direction: 'egress',
    src: parseAddress('10.137.0.5'),
    dst,
    proto: PROTOCOLS[packet.proto],
    port: packet.dport,
    icmpType: packet.type,
  };
}

function verdictsOf(ruleSet: RuleSet, packets: readonly PacketCase[]): readonly string[] {
  return packets.map((packet) => evaluate(ruleSet, { now: NOW, dns: DNS }, packetOf(packet)).action);
}

describe('rule lines of Qubes', () => {
  it('are all here', () => {
    expect(lines.length).toBe(93);
    expect(new Set(lines.map((each) => each.id)).size).toBe(93);
  });

  it.each(lines)('$id $why: accepted, or refused with code and column', ({ id, line }) => {
    const result = parseRule(line, 'egress', NOW);
    const refused = REFUSED[id];
    if (refused === undefined) expect(result.kind).toBe('rule');
    else expect(result).toMatchObject({ kind: 'fault', code: refused[0], column: refused[1] });
  });

  it.each(lines.filter(({ id }) => REFUSED[id] === undefined))(
    '$id $why: printed as dom0 prints it, or as listed',
    ({ id, line, dom0 }) => {
      const result = parseRule(line, 'egress', NOW);
      const printed = result.kind === 'rule' ? formatRule(result.rule, 'egress') : result.reason;
      expect(printed).toBe(PRINTED[id] ?? dom0.api);
      expect(parseRule(printed, 'egress', NOW)).toEqual(result);
    },
  );

  it('are accepted as by dom0 but for those that the record names', () => {
    const differing = lines.filter(
      ({ line, dom0 }) => (parseRule(line, 'egress', NOW).kind === 'rule') !== (dom0.verdict === 'accept'),
    );
    expect(differing.map(({ id }) => id)).toEqual(idsUnder('Lines that are refused here or there'));
  });

  it('are printed as by dom0 but for those that the record names', () => {
    const differing = lines.filter(({ line, dom0 }) => {
      const result = parseRule(line, 'egress', NOW);
      return (
        dom0.verdict === 'accept' && result.kind === 'rule' && formatRule(result.rule, 'egress') !== dom0.api
      );
    });
    expect(differing.map(({ id }) => id)).toEqual(idsUnder('Lines that are printed differently'));
  });
});

describe('verdicts of the Qubes firewall', () => {
  it('are all here', () => {
    expect(verdicts.length).toBe(24);
  });

  const recorded = new Set(idsUnder('Verdicts'));

  it.each(verdicts.filter(({ id }) => !recorded.has(id)))(
    '$id $why: ours for every packet',
    ({ rules, packets }) => {
      const ruleSet = ruleSetOf(rules);
      expect(ruleSet && verdictsOf(ruleSet, packets)).toEqual(packets.map((packet) => packet.verdict));
    },
  );

  it.each(['V17', 'V22', 'V23', 'V24'])('%s is refused whole', (id) => {
    expect(ruleSetOf(verdicts.find((each) => each.id === id)?.rules ?? [])).toBe(undefined);
  });

  it.each([
    ['V20', ['accept', 'drop']],
    ['V21', ['accept']],
  ])('%s judges its packets by the rules that hold: %s', (id, expected) => {
    const set = verdicts.find((each) => each.id === id);
    const ruleSet = set && ruleSetOf(set.rules);
    expect(ruleSet && verdictsOf(ruleSet, set.packets)).toEqual(expected);
  });

  it('differ from ours only where the record says so', () => {
    const differing = verdicts.filter(({ rules, packets }) => {
      const ruleSet = ruleSetOf(rules);
      return (
        ruleSet === undefined ||
        verdictsOf(ruleSet, packets).join() !== packets.map((packet) => packet.verdict).join()
      );
    });
    expect(differing.map(({ id }) => id)).toEqual([...recorded]);
  });
});
