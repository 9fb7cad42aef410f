/**
 * Rule sets written as text, and the packets that tell them apart: what every test of this folder applies and
 * asks.
 */

import {
  type Action,
  type Address,
  type Environment,
  evaluate,
  type List,
  NO_RULES,
  type Packet,
  type Policy,
  parseAddress,
  prefixListOf,
  type RuleSet,
} from '@rulecast/rules';
import type { Explanation } from '@rulecast/table';
import { expect } from 'vitest';
import { prefixSetFrom, runsFrom } from '../../../test/kit/rules.ts';
import type { Subscriber } from '../src/peer/subscriber.ts';

/** Seconds since 1970 of the sample environment. */
export const NOW = 1_700_000_000;
export const DNS = addressOf('10.139.1.1');
export const ENVIRONMENT: Environment = { now: NOW, dns: [DNS] };

export interface PolicyText {
  readonly prefixes?: readonly string[];
  readonly defaultAction?: Action;
  readonly egress?: readonly string[];
  readonly ingress?: readonly string[];
  /** Egress that comes before `common`. */
  readonly exceptions?: readonly string[];
}

export interface RuleSetText {
  readonly lists?: Readonly<Record<string, readonly string[]>>;
  readonly policies?: Readonly<Record<string, PolicyText>>;
  readonly unmatched?: Action;
}

export function ruleSetOf(text: RuleSetText): RuleSet {
  const lists = new Map<string, List>();
  for (const [name, entries] of Object.entries(text.lists ?? {})) {
    lists.set(name, prefixListOf(prefixSetFrom(entries)));
  }
  const policies = new Map<string, Policy>();
  for (const [name, policy] of Object.entries(text.policies ?? {})) {
    policies.set(name, {
      name,
      prefixes: prefixSetFrom(policy.prefixes ?? []),
      defaultAction: policy.defaultAction ?? 'drop',
      exceptions: { egress: runsFrom('egress', policy.exceptions ?? [], NOW), ingress: NO_RULES },
      egress: runsFrom('egress', policy.egress ?? [], NOW),
      ingress: runsFrom('ingress', policy.ingress ?? [], NOW),
    });
  }
  return { lists, policies, resolutions: new Map(), unmatched: text.unmatched };
}

export function addressOf(text: string): Address {
  const address = parseAddress(text);
  if (address === undefined) throw new TypeError(text);
  return address;
}

const WORK: PolicyText = {
  prefixes: ['10.137.0.0/24', 'fd09:24ef:4179::/64'],
  egress: ['drop dst=@bad', 'accept specialtarget=dns', 'accept proto=tcp dstports=443', 'drop'],
  ingress: ['drop src=@bad', 'accept proto=tcp dstports=22 src4=10.138.0.0/16', 'drop proto=icmp'],
};

/**
 * What `bad` holds in the sample release of a version: each version differs from the one before by two
 * entries.
 */
export function badEntries(version: number): readonly string[] {
  return [
    '198.51.100.0/24',
    '2001:db8:bad::/48',
    `203.0.113.${version % 256}`,
    `2001:db8::${version.toString(16)}`,
  ];
}

/** The rule set of the sample release of a version. */
export function sampleRuleSet(version: number): RuleSet {
  return ruleSetOf({
    lists: { bad: badEntries(version) },
    policies: { work: WORK, default: { defaultAction: version % 2 === 0 ? 'accept' : 'drop' } },
  });
}

/** One that is refused: a rule uses a list that is not there. */
export function faultyRuleSet(): RuleSet {
  return ruleSetOf({ policies: { work: WORK } });
}

export function packetOf(
  direction: Packet['direction'],
  src: string,
  dst: string,
  proto = 6,
  port: number | undefined = 443,
): Packet {
  return { direction, src: addressOf(src), dst: addressOf(dst), proto, port, icmpType: undefined };
}

const QUBES = ['10.137.0.5', '10.138.0.9', 'fd09:24ef:4179::5', 'fd00::9'] as const;
const REMOTES = [
  '198.51.100.7',
  '203.0.113.1',
  '203.0.113.2',
  '203.0.113.3',
  '203.0.113.4',
  '2001:db8:bad::1',
  '2001:db8::1',
  '2001:db8::2',
  '2001:db8::3',
  '192.0.2.1',
  '10.139.1.1',
  '10.139.1.2',
] as const;

/** Packets of every verdict that the sample releases give, of both families and directions. */
export function samplePackets(): readonly Packet[] {
  const packets: Packet[] = [];
  for (const qube of QUBES) {
    for (const remote of REMOTES) {
      if (qube.includes(':') !== remote.includes(':')) continue;
      for (const [proto, port] of [
        [6, 443],
        [6, 22],
        [17, 53],
        [6, undefined],
        [1, undefined],
      ] as const) {
        packets.push({ ...packetOf('egress', qube, remote, proto), port });
        packets.push({ ...packetOf('ingress', remote, qube, proto), port });
        packets.push({ ...packetOf('both', qube, remote, proto), port });
      }
    }
  }
  return packets;
}

/** Expects that a subscriber judges the sample packets as the reference evaluator does. */
export async function expectEnforces(
  subscriber: Pick<Subscriber, 'lookup' | 'explain'>,
  ruleSet: RuleSet,
  environment: Environment = ENVIRONMENT,
): Promise<void> {
  const expected = samplePackets().map((packet) => evaluate(ruleSet, environment, packet));
  const explained = await Promise.all(samplePackets().map((packet) => subscriber.explain(packet)));
  expect(explained.map(({ verdict }) => verdict)).toEqual(expected);
  expectJudges(subscriber, ruleSet, environment);
}

/** The same of lookups alone, which go on when a subscriber is closed. */
export function expectJudges(
  subscriber: Pick<Subscriber, 'lookup'>,
  ruleSet: RuleSet,
  environment: Environment = ENVIRONMENT,
): void {
  const expected = samplePackets().map((packet) => evaluate(ruleSet, environment, packet));
  const looked = samplePackets().map((packet) => {
    const { action, policy, direction } = subscriber.lookup(packet);
    return { action, policy, direction };
  });
  expect(looked).toEqual(
    expected.map(({ action, by }) => ({ action, policy: by?.policy, direction: by?.direction })),
  );
}

/** The verdicts of a subscriber on the sample packets, to compare with later. */
export function answersOf(subscriber: Pick<Subscriber, 'explain'>): Promise<readonly Explanation[]> {
  return Promise.all(samplePackets().map((packet) => subscriber.explain(packet)));
}
