/** Rows in pages that many programs share: what they answer, also after edits of lists and rules. */

import {
  type Environment,
  emptyPolicy,
  type Packet,
  type Policy,
  plainRule,
  prefixListOf,
  prefixOf,
  prefixSetOf,
  type Rule,
  type RuleSet,
  RunBuilder,
  rulesIn,
  unionPrefixes,
} from '@rulecast/rules';
import { describe, expect, it } from 'vitest';
import { Random } from '../../../test/kit/random.mjs';
import { often } from '../../../test/thorough.ts';
import { Table } from '../src/index.ts';
import { programCount, programField } from '../src/program/origin.ts';
import { ProgramHeader } from '../src/program/program.ts';
import { checkPackets } from './check-packets.ts';
import { imageOf } from './release.ts';

const ENVIRONMENT: Environment = { now: 0, dns: [] };
const QUBES = 60;
const HOSTS = 400;
const QUBE = 0x0a890000;
const HOST = 0x0b000000;
const PORTS = [80, 443, 8080] as const;

const host = (index: number): Rule['remote'] => ({
  kind: 'prefix',
  prefix: prefixOf(4, [HOST + index * 256], 32),
});

/** A rule for a host that all qubes may ask about, for a port, or for none. */
function hostRule(random: Random): Rule {
  const rule = plainRule(random.chance(0.5) ? 'accept' : 'drop');
  const remote = random.chance(0.1)
    ? ({ kind: 'list', list: `l${random.below(2)}` } as const)
    : host(random.below(HOSTS));
  if (random.chance(0.3)) return { ...rule, remote };
  const first = random.pick(PORTS);
  return { ...rule, remote, proto: random.pick(['tcp', 'udp'] as const), ports: { first, last: first } };
}

/** Qubes that have most rules in common, the last of them none for a port; what is unknown has rules too. */
function manyQubes(random: Random): RuleSet {
  const shared = Array.from({ length: HOSTS }, (_, i) => ({ ...hostRule(random), remote: host(i) }));
  const policies = new Map<string, Policy>();
  for (let qube = 0; qube < QUBES; qube++) {
    const rules = new RunBuilder();
    const isPlain = qube === QUBES - 1;
    if (isPlain) for (const { remote } of shared.slice(0, 50)) rules.push({ ...plainRule('drop'), remote });
    for (const rule of isPlain ? [] : shared) if (!random.chance(0.003)) rules.push(rule);
    for (let i = 0; i < 3 && !isPlain; i++) rules.push(hostRule(random));
    const name = qube === 0 ? 'default' : `q${qube}`;
    const prefixes = prefixSetOf(qube === 0 ? [] : [prefixOf(4, [QUBE + qube], 32)]);
    policies.set(name, { ...emptyPolicy(name), prefixes, egress: rules.build() });
  }
  const lists = new Map(
    [0, 1].map((l) => [`l${l}`, prefixListOf(prefixSetOf([prefixOf(4, [HOST + l * 4096], 24)]))] as const),
  );
  return { lists, policies, resolutions: new Map(), unmatched: undefined };
}

function randomPacket(random: Random): Packet {
  const source = random.chance(0.2) ? 0 : random.below(QUBES + 4);
  return {
    direction: 'egress',
    src: source === 0 ? undefined : prefixOf(4, [QUBE + source], 32),
    dst: prefixOf(4, [HOST + random.below(HOSTS + 10) * 256 + (random.chance(0.8) ? 0 : 7)], 32),
    proto: random.pick([6, 17, 1]),
    port: random.pick([...PORTS, 22]),
    icmpType: undefined,
  };
}

function check(table: Table, ruleSet: RuleSet, random: Random, name: string): void {
  const packets = Array.from({ length: 300 }, () => randomPacket(random));
  checkPackets(table, ruleSet, ENVIRONMENT, packets, name);
}

/** Where the pages of each program are, as far as they may be shared. */
function pagesOf(table: Table): readonly number[] {
  const { programs } = imageOf(table);
  const shared = programs[ProgramHeader.sharedPages] ?? -1;
  expect(shared).toBeGreaterThan(0);
  return Array.from({ length: programCount(programs) }, (_, program) => {
    const rows = programField(programs, program, 'rows');
    return [...programs.subarray(rows, rows + shared)];
  }).flat();
}

/** One rule of one qube gives way to another. */
function withOtherRule(ruleSet: RuleSet, random: Random): RuleSet {
  const name = `q${1 + random.below(QUBES - 2)}`;
  const policy = ruleSet.policies.get(name)!; // all but the first have such a name
  const rules = [...rulesIn(policy.egress)];
  rules[random.below(rules.length)] = hostRule(random);
  const built = new RunBuilder();
  for (const rule of rules) built.push(rule);
  return { ...ruleSet, policies: new Map(ruleSet.policies).set(name, { ...policy, egress: built.build() }) };
}

/** One more network in a list, so that there are classes that nobody knew. */
function withNetwork(ruleSet: RuleSet, random: Random): RuleSet {
  const name = `l${random.below(2)}`;
  const list = ruleSet.lists.get(name);
  if (list?.kind !== 'prefixes') throw new TypeError('lists of this test are of prefixes');
  const more = prefixSetOf([prefixOf(4, [HOST + random.below(HOSTS) * 256], random.pick([24, 28, 32]))]);
  const v4 = unionPrefixes(list.v4, more.v4);
  return { ...ruleSet, lists: new Map(ruleSet.lists).set(name, prefixListOf({ v4, v6: list.v6 })) };
}

describe('rows in pages', () => {
  it('are shared, and answer as the evaluator does, through edits of lists and of rules', () => {
    const edits = { lists: 0, rules: 0 };
    for (let seed = 1; seed <= often(2, 20); seed++) {
      const random = new Random(seed);
      let ruleSet = manyQubes(random);
      const table = new Table();
      table.flip(table.prepare(ruleSet, ENVIRONMENT));
      const pages = pagesOf(table);
      expect(new Set(pages).size).toBeLessThan(pages.length / 2);
      check(table, ruleSet, random, `seed ${seed}`);
      for (let step = 0; step < 20; step++) {
        const kind = random.pick(['lists', 'rules'] as const);
        ruleSet = kind === 'lists' ? withNetwork(ruleSet, random) : withOtherRule(ruleSet, random);
        const before = pagesOf(table);
        const prepared = table.prepare(ruleSet, ENVIRONMENT);
        table.flip(prepared);
        if (prepared.isEdit) edits[kind]++;
        // Readers of the generation before look there.
        if (prepared.isEdit && kind === 'lists') expect(pagesOf(table)).toEqual(before);
        check(table, ruleSet, random, `seed ${seed}, step ${step}`);
      }
    }
    expect(edits.lists).toBeGreaterThan(5);
    expect(edits.rules).toBeGreaterThan(5);
  });
});
