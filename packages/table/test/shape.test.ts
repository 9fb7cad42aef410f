/** Programs of records with shapes, against the evaluator; program.test.ts has those of nodes. */

import {
  type Environment,
  emptyPolicy,
  type Policy,
  type Prefix,
  plainRule,
  prefixListOf,
  prefixOf,
  prefixSetOf,
  type RuleSet,
  RunBuilder,
  unionPrefixes,
} from '@rulecast/rules';
import { describe, expect, it } from 'vitest';
import { Random } from '../../../test/kit/random.mjs';
import { often } from '../../../test/thorough.ts';
import { openImage } from '../src/image/header.ts';
import { Table } from '../src/index.ts';
import { ControlField } from '../src/memory/control.ts';
import { TableMemory } from '../src/memory/memory.ts';
import { ProgramHeader } from '../src/program/program.ts';
import { checkPackets } from './check-packets.ts';
import { edgeAddresses, randomCase, randomPacket } from './random-rule-set.ts';
import { ENVIRONMENT } from './release.ts';

/** Whether the programs in force have shapes. */
function isShaped(table: Table): boolean {
  const { views } = new TableMemory(table.handle().memory);
  const { programs } = openImage(views, views.words[ControlField.header]!, undefined); // the control block is there
  return programs[ProgramHeader.shapeless] !== 0;
}

/** Compares a table with the evaluator, for random packets at the edges of prefixes. */
function checkEdges(
  table: Table,
  ruleSet: RuleSet,
  environment: Environment,
  prefixes: readonly Prefix[],
  seed: number,
  count: number,
): void {
  const random = new Random(seed);
  const addresses = edgeAddresses(prefixes);
  const packets = Array.from({ length: count }, () => randomPacket(random, addresses));
  checkPackets(table, ruleSet, environment, packets, `seed ${seed}`);
}

/** Compiles a rule set within a limit, which decides whether it has shapes; its answers are the same. */
function checkShaped(ruleSet: RuleSet, combined: number, expected: boolean, prefix: Prefix): void {
  const table = new Table({ limits: { combined } });
  table.flip(table.prepare(ruleSet, ENVIRONMENT));
  expect(isShaped(table)).toBe(expected);
  checkEdges(table, ruleSet, ENVIRONMENT, [prefix], 3, 200);
}

describe('programs with shapes', () => {
  it('answer as the evaluator does, for random rule sets at the edges of their prefixes', () => {
    let shaped = 0;
    const seeds = often(20, 200);
    for (let seed = 1; seed <= seeds; seed++) {
      const { ruleSet, environment, prefixes } = randomCase(seed, 500);
      const table = new Table();
      table.flip(table.prepare(ruleSet, environment));
      if (isShaped(table)) shaped++;
      checkEdges(table, ruleSet, environment, prefixes, seed, 300);
    }
    expect(shaped).toBeGreaterThan(seeds / 2);
  });

  it('take classes that edits bring, as a full compile does', () => {
    let edits = 0;
    for (let seed = 1; seed <= 6; seed++) {
      const random = new Random(seed);
      let { ruleSet } = randomCase(seed, 500);
      const { environment, prefixes } = randomCase(seed, 500);
      const all = [...prefixes];
      const table = new Table();
      table.flip(table.prepare(ruleSet, environment));
      for (let step = 0; step < 8; step++) {
        const lists = new Map(ruleSet.lists);
        for (const name of ['l0', 'l1', 'l2']) {
          const list = lists.get(name);
          if (list?.kind !== 'prefixes') continue;
          const more = prefixOf(4, [random.word()], 8 + random.below(25));
          all.push(more);
          lists.set(name, prefixListOf({ v4: unionPrefixes(list.v4, prefixSetOf([more]).v4), v6: list.v6 }));
        }
        ruleSet = { ...ruleSet, lists };
        const prepared = table.prepare(ruleSet, environment);
        if (prepared.isEdit && isShaped(table)) edits++;
        table.flip(prepared);
        checkEdges(table, ruleSet, environment, all, seed * 100 + step, 60);
      }
    }
    expect(edits).toBeGreaterThan(10);
  });

  it.each([
    ['few runs ask for a port', 3, 3, true],
    ['many do, for few ports', 200, 30, true],
    ['ports are cut into as many classes as a shape may have', 508, 508, true],
    ['ports are cut into more classes', 509, 509, false],
  ])('are made where %s', (_, runs, ports, expected) => {
    const ruleSet = portRules(runs, ports);
    const table = new Table();
    table.flip(table.prepare(ruleSet, ENVIRONMENT));
    expect(isShaped(table)).toBe(expected);
    const { prefixes } = randomCase(1, 8);
    checkEdges(table, ruleSet, ENVIRONMENT, [...prefixes, prefixOf(4, [0x0a000000], 28)], 5, 200);
  });

  it('are not made where they would take more than they may', () => {
    const rules = new RunBuilder();
    for (let i = 0; i < 600; i++) {
      const port = (i * 7) % 100;
      const remote = { kind: 'list' as const, list: `l${i % 300}` };
      rules.push({ ...plainRule('accept'), proto: 'tcp', ports: { first: port, last: port }, remote });
    }
    const list = prefixListOf(prefixSetOf([prefixOf(4, [0x0a000000], 8)]));
    const lists = new Map(Array.from({ length: 300 }, (_, i) => [`l${i}`, list] as const));
    const ruleSet = ofDefault(rules.build(), lists);
    checkShaped(ruleSet, 2 ** 22, true, prefixOf(4, [0x0a000000], 8));
    checkShaped(ruleSet, 100, false, prefixOf(4, [0x0a000000], 8));
  });

  it('are not made where too many runs would be looked at for them, however few words they take', () => {
    const list = prefixListOf(prefixSetOf([prefixOf(4, [0x0a000000], 8)]));
    const remote = { kind: 'list' as const, list: 'l' };
    const policies = new Map<string, Policy>();
    for (let qube = 0; qube < 40; qube++) {
      // All but one, which keeps each from being another's twin, hold in one class.
      const rules = new RunBuilder();
      for (let i = 0; i < 3000; i++)
        rules.push({
          ...plainRule('accept'),
          proto: 'tcp',
          ports: { first: 80 + (i % 2), last: 81 },
          remote,
        });
      rules.push({ ...plainRule('accept'), proto: 'udp', ports: { first: qube, last: qube } });
      const prefixes = prefixSetOf([prefixOf(4, [0x0a890000 + qube], 32)]);
      policies.set(`q${qube}`, { ...emptyPolicy(`q${qube}`), prefixes, egress: rules.build() });
    }
    const ruleSet = { lists: new Map([['l', list]]), policies, resolutions: new Map(), unmatched: undefined };
    checkShaped(ruleSet, 8000, true, prefixOf(4, [0x0a890000], 24));
    checkShaped(ruleSet, 7000, false, prefixOf(4, [0x0a890000], 24));
  });

  it('are not made where there is room for none, and no program has need of one', () => {
    // Pages of port classes beside shapes are not those beside nodes: once one kind was read as the other.
    const rules = new RunBuilder();
    for (const port of [80, 443, 8080])
      rules.push({ ...plainRule('accept'), proto: 'tcp', ports: { first: port, last: port } });
    const ruleSet = ofDefault(rules.build());
    checkShaped(ruleSet, 0, false, prefixOf(4, [0x0a000000], 8));
  });
});

function ofDefault(egress: Policy['egress'], lists: RuleSet['lists'] = new Map()): RuleSet {
  const policy = { ...emptyPolicy('default'), egress };
  return { lists, policies: new Map([['default', policy]]), resolutions: new Map(), unmatched: undefined };
}

/** So many runs, each for a host, that ask for so many ports, no two of which touch. */
function portRules(runs: number, ports: number): RuleSet {
  const rules = new RunBuilder();
  for (let i = 0; i < runs; i++) {
    const port = 1 + (i % ports) * 2;
    const remote = { kind: 'prefix' as const, prefix: prefixOf(4, [0x0a000000 + i], 32) };
    const action = i % 3 === 0 ? ('drop' as const) : ('accept' as const);
    rules.push({ ...plainRule(action), proto: 'tcp', ports: { first: port, last: port }, remote });
  }
  return ofDefault(rules.build());
}
