/**
 * What the kernel does to real packets is the verdict of the reference evaluator, and of the table for those
 * that begin a flow.
 */

import { readFileSync } from 'node:fs';
import type { NftSink } from '@rulecast/nftables';
import {
  beginsFlow,
  DEFAULT_POLICY,
  type Environment,
  emptyPolicy,
  evaluateFlow,
  IpProtocol,
  type PrefixSet,
  parseRule,
  type RuleSet,
  RunBuilder,
} from '@rulecast/rules';
import { Table } from '@rulecast/table';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Journey, journeyText, passed } from '../enforce/journey.ts';
import { address, Network } from '../enforce/network.mjs';
import { randomFirewall } from '../enforce/random-firewall.ts';
import { sinkIn } from '../enforce/sink.mjs';
import { prefixSetFrom } from '../kit/rules.ts';
import { enforcementGap } from './namespaces.ts';

const SEED = 0x5eed06;
const RULE_SETS = 100;
const RULES = 40;
/** Rules for prefixes, which are asked by the class of the address where they are many in a row. */
const MANY_SETS = 30;
const MANY_RULES = 1200;
const PACKETS = 400;

interface PacketCase {
  readonly proto: 'tcp' | 'udp' | 'icmp' | 'gre' | 'sctp';
  readonly dst: string;
  readonly dport?: number;
  readonly type?: number;
}

interface VerdictCase {
  readonly id: string;
  readonly why: string;
  readonly rules: readonly string[];
  readonly packets: readonly PacketCase[];
}

const FIXTURE = new URL('../fixtures/qubes-rules/verdicts.json', import.meta.url);
const cases: readonly VerdictCase[] = JSON.parse(readFileSync(FIXTURE, 'utf8'));
/** Sets that a push refuses whole (docs/contribute/adr/0001), so that there is nothing to enforce. */
const REFUSED = ['V17', 'V22', 'V23', 'V24'];
const PROTOCOLS = { ...IpProtocol, gre: 47, sctp: 132 } as const;
const RESOLUTIONS: ReadonlyMap<string, PrefixSet> = new Map([
  ['yum.qubes-os.org', prefixSetFrom(['193.219.28.150'])],
  ['two.test', prefixSetFrom(['192.0.2.10', '192.0.2.11'])],
  ['v6only.test', prefixSetFrom(['2001:db8::66'])],
]);

let network: Network | undefined;
let sink: NftSink | undefined;
let releases = 0;

describe.skipIf(enforcementGap() !== undefined)('verdicts of the kernel', () => {
  beforeAll(async () => {
    network = await Network.open();
    sink = sinkIn(network);
  });
  afterAll(async () => {
    await sink?.close();
    await network?.close();
  });

  it.each(cases.filter(({ id }) => !REFUSED.includes(id)))('$id $why', async ({ rules, packets }) => {
    const ruleSet = ruleSetOf(rules);
    if (ruleSet === undefined) throw new Error('refused');
    const environment = { now: nowSeconds(), dns: [address('10.139.1.1'), address('10.139.1.2')] };
    await expectSameVerdicts(ruleSet, environment, packets.map(journeyOf));
  });

  it.each(cases.filter(({ id }) => REFUSED.includes(id)))('$id $why: nothing to enforce', ({ rules }) => {
    expect(ruleSetOf(rules)).toBe(undefined);
  });

  it.each([
    [RULE_SETS, 'some', RULES, false],
    [MANY_SETS, 'many', MANY_RULES, true],
  ])(`%i random rule sets of %s rules, ${PACKETS} packets each`, async (sets, _, rules, gathered) => {
    console.log(`seed ${SEED}`);
    const counts = { accept: 0, drop: 0, none: 0 };
    for (let i = 0; i < sets; i++) {
      const { ruleSet, environment, journeys } = randomFirewall(
        SEED + i,
        rules,
        PACKETS,
        nowSeconds(),
        gathered,
      );
      const actions = await expectSameVerdicts(ruleSet, environment, journeys, `seed ${SEED} + ${i}`);
      for (const action of actions) counts[action] += 1;
    }
    console.log('verdicts', counts);
    for (const count of Object.values(counts)) expect(count).toBeGreaterThan(PACKETS);
  });
});

/** Enforces a rule set, sends the packets, and compares the three. */
async function expectSameVerdicts(
  ruleSet: RuleSet,
  environment: Environment,
  journeys: readonly Journey[],
  what = '',
): Promise<readonly ('accept' | 'drop' | 'none')[]> {
  if (network === undefined || sink === undefined) throw new Error('no network');
  const hash = new Uint8Array(32);
  new DataView(hash.buffer).setUint32(0, ++releases);
  await sink.prepare({ hash, ruleSet, environment });
  await sink.commit();
  const table = new Table();
  table.flip(table.prepare(ruleSet, environment));
  network.forgetFlows();
  const expected = journeys.map(({ packet }) => evaluateFlow(ruleSet, environment, packet).action);
  const looked = journeys.map(({ packet }) =>
    beginsFlow(packet) ? table.reader.lookup(packet).action : 'drop',
  );
  expect(looked).toEqual(expected);
  const through = await passed(network, journeys);
  const wrong = journeys.flatMap((journey, index) =>
    through[index] === (expected[index] !== 'drop')
      ? []
      : [`${journeyText(journey)} should ${expected[index]}`],
  );
  expect(wrong, what).toEqual([]);
  return expected;
}

function nowSeconds(): number {
  return Math.floor(Date.now() / 1000);
}

function ruleSetOf(rules: readonly string[]): RuleSet | undefined {
  const runs = new RunBuilder();
  for (const line of rules) {
    const result = parseRule(line, 'egress', nowSeconds());
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

function journeyOf({ proto, dst, dport, type }: PacketCase): Journey {
  const packet = {
    direction: 'egress',
    src: address('10.137.0.5'),
    dst: address(dst),
    proto: PROTOCOLS[proto],
    port: dport,
    icmpType: type,
  } as const;
  return { from: 'a', to: 'world', packet };
}
