/**
 * The table against the reference evaluator, and its batches against single lookups. A run takes a seed of
 * its own, which it prints; RULECAST_SEED repeats one.
 */

import { readdirSync, readFileSync } from 'node:fs';
import { parseRuleLines } from '@rulecast/formats';
import {
  type Environment,
  eachRun,
  emptyPolicy,
  evaluate,
  IpProtocol,
  type Prefixes,
  parsePrefix,
  plainRule,
  prefixAt,
  prefixListOf,
  prefixOf,
  prefixSetOf,
  type Rule,
  type RuleSet,
  RunBuilder,
  type Verdict,
} from '@rulecast/rules';
import { expect, it } from 'vitest';
import { Table, type TableLimits, type TableVerdict } from '../../packages/table/src/index.ts';
import { programCase } from '../../packages/table/test/program-case.ts';
import { edgeAddresses, randomCase, randomPrefix } from '../../packages/table/test/random-rule-set.ts';
import { classBenchRules, defaultPolicyOf } from '../bench/classbench.mjs';
import { seedPolicy } from '../inputs.mjs';
import { Random } from '../kit/random.mjs';
import { anyPackets, type Edges, edgePackets, type OracleBatch, packetAt } from './oracle-packets.ts';

const SEED = Number(process.env['RULECAST_SEED'] ?? Date.now() % 2 ** 31);
const MINUTES = 60_000;
const LOOKUPS = 10_000_000;
/** Packets of one batch: tiles, and a part of one. */
const BATCH = 521;
const BATCHES_PER_SET = 4;
const MAX_RULES = 64;
/** Packets at the edges of a large set; fewer where the evaluator takes ten milliseconds for each. */
const EDGE_PACKETS = 10_000;
const SLOW_EDGE_PACKETS = 4000;
/** Packets of the large sets on which batches and single lookups are compared. */
const MORE_PACKETS = 2 ** 20;
const EVERYWHERE: Environment = { now: 0, dns: [] };

/** A table under test. */
class Subject {
  readonly table: Table;
  /** How often the evaluator said what. */
  readonly seen = { accept: 0, drop: 0, none: 0 };
  private decoded = new Map<number, TableVerdict>();

  constructor(limits: Partial<TableLimits> = {}) {
    this.table = new Table({ limits });
  }

  load(ruleSet: RuleSet, environment: Environment): void {
    this.table.flip(this.table.prepare(ruleSet, environment));
    this.decoded = new Map();
  }

  /**
   * The codes of a batch; fails where single lookups give others, of which each `every`th packet is looked
   * up.
   */
  codes(batch: OracleBatch, what: string, every = 16): Uint32Array {
    const { columns } = batch;
    const codes = new Uint32Array(columns.count);
    this.table.reader.lookupBatch(columns, { codes, generation: 0 });
    for (let i = 0; i < columns.count; i += every) {
      const alone = this.alone(batch, i);
      if (alone !== codes[i]) expect.fail(`${what}, packet ${i}: batch ${codes[i]}, alone ${alone}`);
    }
    return codes;
  }

  /** Fails where a batch's codes are not what the evaluator says. */
  check(ruleSet: RuleSet, environment: Environment, batch: OracleBatch, what: string): void {
    const codes = this.codes(batch, what);
    for (let i = 0; i < codes.length; i++) {
      const verdict = evaluate(ruleSet, environment, packetAt(batch, i));
      this.seen[verdict.action]++;
      const own = this.decode(codes[i] ?? 0);
      if (!isSame(own, verdict)) expect(own, `${what}, packet ${i}`).toEqual(verdict);
    }
  }

  private decode(code: number): TableVerdict {
    const verdict = this.decoded.get(code) ?? this.table.reader.decode(code);
    if (verdict === undefined) throw new TypeError('the table was flipped meanwhile');
    this.decoded.set(code, verdict);
    return verdict;
  }

  private alone({ family, columns }: OracleBatch, i: number): number {
    const { direction, src, dst, protos, details } = columns;
    const [proto, detail] = [protos[i] ?? 0, details[i] ?? 0];
    return family === 4
      ? this.table.reader.lookup4(direction, src?.[i], dst[i] ?? 0, proto, detail)
      : this.table.reader.lookup6(direction, src, i * 4, dst, i * 4, proto, detail);
  }
}

function isSame(own: TableVerdict, { action, by }: Verdict): boolean {
  return (
    own.action === action &&
    own.direction === by?.direction &&
    own.policy === by?.policy &&
    own.rulePolicy === by?.rule?.policy &&
    own.run === by?.rule?.run &&
    own.list === by?.rule?.list
  );
}

it(
  'table and evaluator agree on 10^7 lookups in random sets of at most 64 rules',
  () => {
    console.log(`seed ${SEED}`);
    const limits: readonly Partial<TableLimits>[] = [
      {},
      { rows: 0 },
      { combined: 0, pairs: 40 },
      { combined: 30 },
    ];
    const subjects = limits.map((own) => new Subject(own));
    let [lookups, sets] = [0, 0];
    for (let seed = SEED; lookups < LOOKUPS; seed++) {
      const random = new Random(seed);
      const { ruleSet, environment, addresses } = anyCase(random, seed);
      const subject = random.pick(subjects);
      subject.load(ruleSet, environment);
      sets++;
      for (let b = 0; b < BATCHES_PER_SET; b++) {
        const batch = anyPackets(
          random,
          addresses,
          random.pick(['egress', 'ingress', 'both'] as const),
          BATCH,
        );
        subject.check(ruleSet, environment, batch, `seed ${seed}, batch ${b}`);
        lookups += BATCH;
      }
    }
    const seen = subjects.map(({ seen }) => ({ ...seen }));
    console.log(`${lookups} lookups in ${sets} sets; ${JSON.stringify(seen)}`);
    for (const { accept, drop, none } of seen) {
      for (const count of [accept, drop, none]) expect(count).toBeGreaterThan(LOOKUPS / 200);
    }
  },
  15 * MINUTES,
);

/**
 * Either kind of random rule set: few rules on prefixes of any length, or many that overlap in ports and
 * protocols.
 */
function anyCase(random: Random, seed: number): ReturnType<typeof programCase> {
  if (random.chance(0.5)) return programCase(random, MAX_RULES, random.pick([0.2, 0.5, 0.8, 1]));
  const { ruleSet, environment, prefixes } = randomCase(seed, MAX_RULES);
  const addresses = edgeAddresses([...prefixes, randomPrefix(random, 4), randomPrefix(random, 6)]);
  return { ruleSet, environment, addresses };
}

interface LargeSet {
  readonly ruleSet: RuleSet;
  readonly edges: readonly Edges[];
  readonly families: readonly (4 | 6)[];
  readonly packets: number;
}

const PLAIN = plainRule('drop');

function hostRule(word: number, length: number, more: Partial<Rule>): Rule {
  return { ...PLAIN, remote: { kind: 'prefix', prefix: prefixOf(4, [word], length) }, ...more };
}

/** A `default` policy of these rules, and where its edges are. */
function largeSet(rules: readonly Rule[]): LargeSet {
  return {
    ruleSet: defaultPolicyOf(rules),
    edges: rules.map(edgesOf),
    families: [4],
    packets: SLOW_EDGE_PACKETS,
  };
}

function edgesOf({ remote, proto, ports }: Rule): Edges {
  const prefix = remote.kind === 'prefix' ? remote.prefix : undefined;
  return { prefix, proto: IpProtocol[proto ?? 'tcp'], ports };
}

/** 2^18 rules: hosts, one in ten with protocol and ports, one in a thousand for any address. */
function mostlyHosts(random: Random): LargeSet {
  const rules = Array.from({ length: 2 ** 18 }, () => {
    const action = random.pick(['accept', 'drop'] as const);
    const first = random.below(65_000);
    const ports = { first, last: first + random.below(3) * 100 };
    const asked = { action, proto: random.pick(['tcp', 'udp'] as const), ports };
    if (random.chance(0.001)) return { ...PLAIN, ...asked };
    const [word, length] = [0x0a000000 + random.below(2 ** 22), random.pick([28, 30, 32, 32, 32])];
    return hostRule(word, length, random.chance(0.1) ? asked : { action });
  });
  return largeSet(rules);
}

/** 2^18 rules that differ from the next one in action and destination. */
function alternating(): LargeSet {
  const rules = Array.from({ length: 2 ** 18 }, (_, i) =>
    hostRule(0xac100000 + i * 4, 30, { action: i % 2 === 0 ? 'drop' : 'accept' }),
  );
  return largeSet([...rules, { ...PLAIN, action: 'accept' }]);
}

/** 2^18 drops that are one run, then accept. */
function seedSet(): LargeSet {
  const { runs } = parseRuleLines(new TextEncoder().encode(seedPolicy()), 'egress', 0);
  const policy = { ...emptyPolicy('default'), egress: runs };
  const [run] = eachRun(runs);
  if (run?.remote.kind !== 'prefixes') throw new TypeError('the first run has prefixes');
  return {
    ruleSet: {
      lists: new Map(),
      policies: new Map([['default', policy]]),
      resolutions: new Map(),
      unmatched: undefined,
    },
    edges: memberEdges(run.remote.prefixes, 'tcp'),
    families: [4],
    packets: SLOW_EDGE_PACKETS,
  };
}

/** Lists that people publish, each asked for by three rules; every other list overlaps others of its kind. */
function realLists(): LargeSet {
  const folder = new URL('../fixtures/lists/', import.meta.url);
  const runs = new RunBuilder();
  const lists: RuleSet['lists'] = new Map(
    readdirSync(folder).map((file) => {
      const tokens = readFileSync(new URL(file, folder), 'utf8').split(/[^0-9a-fA-F.:/]+/);
      const prefixes = tokens.filter((token) => /[.:]/.test(token)).map(parsePrefix);
      return [file, prefixListOf(prefixSetOf(prefixes.filter((prefix) => typeof prefix !== 'string')))];
    }),
  );
  const edges: Edges[] = [];
  for (const [list, members] of lists) {
    const ports = { first: list.length * 40, last: list.length * 1000 };
    runs.push({ ...PLAIN, remote: { kind: 'list', list }, proto: 'tcp', ports, action: 'accept' });
    runs.push({ ...PLAIN, remote: { kind: 'list', list }, proto: 'udp' });
    if (members.kind !== 'prefixes') continue;
    edges.push(...memberEdges(members.v4, 'tcp', ports), ...memberEdges(members.v6, 'tcp', ports));
  }
  for (const list of lists.keys()) runs.push({ ...PLAIN, remote: { kind: 'list', list }, action: 'accept' });
  const policy = { ...emptyPolicy('default'), egress: runs.build() };
  const ruleSet = {
    lists,
    policies: new Map([['default', policy]]),
    resolutions: new Map(),
    unmatched: undefined,
  };
  return { ruleSet, edges, families: [4, 6], packets: EDGE_PACKETS };
}

function memberEdges(members: Prefixes, proto: 'tcp', ports?: Edges['ports']): Edges[] {
  return Array.from(members.lengths, (_, i) => ({
    prefix: prefixAt(members, i),
    proto: IpProtocol[proto],
    ports,
  }));
}

it.each<readonly [string, (random: Random) => LargeSet]>([
  ['2^18 rules for hosts and networks, with protocols, ports and wildcards among them', mostlyHosts],
  ['2^18 rules of alternating action', alternating],
  ['2^18 rules that are one run', seedSet],
  ['real lists', realLists],
  ['63,000 rules like ClassBench’s acl', (random) => largeSet(classBenchRules('acl', 63_000, random.word()))],
  ['63,000 rules like ClassBench’s fw', (random) => largeSet(classBenchRules('fw', 63_000, random.word()))],
  ['63,000 rules like ClassBench’s ipc', (random) => largeSet(classBenchRules('ipc', 63_000, random.word()))],
])(
  'they agree at the edges of large sets, batches and single lookups on 2^20 packets more: %s',
  (name, make) => {
    console.log(`seed ${SEED}: ${name}`);
    const random = new Random(SEED);
    const { ruleSet, edges, families, packets } = make(random);
    const subject = new Subject();
    subject.load(ruleSet, EVERYWHERE);
    for (const family of families) {
      const own = edges.filter(({ prefix }) => prefix === undefined || prefix.family === family);
      const count = packets / families.length;
      subject.check(ruleSet, EVERYWHERE, edgePackets(random, own, family, count), `seed ${SEED}`);
      for (let rest = MORE_PACKETS / families.length; rest > 0; rest -= 2 ** 16) {
        subject.codes(edgePackets(random, own, family, 2 ** 16), `seed ${SEED}`, 1);
      }
    }
  },
  15 * MINUTES,
);
