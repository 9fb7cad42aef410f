import {
  type Environment,
  eachRun,
  emptyPolicy,
  evaluate,
  IpProtocol,
  NO_RULES,
  type Policy,
  plainRule,
  prefixListOf,
  prefixOf,
  prefixSetOf,
  type Rule,
  type RuleSet,
  RunBuilder,
  runsOfEach,
  type Verdict,
} from '@rulecast/rules';
import { beforeAll, describe, expect, it } from 'vitest';
import { classBenchPackets, classBenchRules, defaultPolicyOf } from '../../../test/bench/classbench.mjs';
import { Random } from '../../../test/kit/random.mjs';
import { often } from '../../../test/thorough.ts';
import { ProtoBit } from '../src/classes/match-checks.ts';
import {
  DEFAULT_TABLE_LIMITS,
  OUTCOMES_MAX,
  PROGRAM_WORDS_MAX,
  reachableLimits,
  TableLimitError,
  type TableLimits,
} from '../src/limits.ts';
import { detailOf, UNREADABLE } from '../src/lookup/verdict.ts';
import { blockPolicy, originOf, programField } from '../src/program/origin.ts';
import { NO_MATCH, NODE_KIND_MASK, NODE_OFFSET_SHIFT } from '../src/program/program.ts';
import { edgePacket, programCase } from './program-case.ts';
import {
  type Compiled,
  classOf,
  compile,
  ProgramEngine,
  programOf,
  protoBitOf,
  type Question,
  rowKind,
} from './program-engine.ts';

const ENVIRONMENT: Environment = { now: 0, dns: [] };
const PLAIN = plainRule('drop');
/** Shapes; a few maps, or none, instead; and predicates one by one. */
const LIMITS: readonly Partial<TableLimits>[] = [{}, { combined: 500 }, { combined: 0 }, { rows: 0 }];
const DETAILS = [UNREADABLE, 0, 1, 52, 53, 54, 79, 80, 81, 1023, 1024, 65534, 65535] as const;

/** What a code says, in the words of the evaluator. */
function worded({ programs }: Compiled, code: number): unknown {
  const { blob, outcomeCount, policyNames } = programs;
  const origin = originOf(blob, outcomeCount, code);
  if (origin === undefined) return { action: 'none' };
  const { block, kind, run, direction } = origin;
  return {
    action: ['none', 'accept', 'drop'][code & 3],
    direction,
    policy: policyNames[origin.policy],
    rulePolicy: block === undefined ? undefined : policyNames[blockPolicy(blob, block)],
    block: kind,
    run: block === undefined ? undefined : run,
  };
}

function expected({ action, by }: Verdict): unknown {
  if (by === undefined) return { action };
  return {
    action,
    direction: by.direction,
    policy: by.policy,
    rulePolicy: by.rule?.policy,
    block: by.rule?.block,
    run: by.rule?.run,
  };
}

let engine: ProgramEngine;
beforeAll(async () => {
  engine = await ProgramEngine.load();
});

interface CheckOptions {
  readonly limits?: Partial<TableLimits>;
  readonly rules?: number;
}

/** Compares engine and evaluator on packets at the edges of seeded rule sets, one by one and many at once. */
function check(seeds: number, packets: number, { limits = {}, rules = 64 }: CheckOptions): void {
  for (let seed = 0; seed < seeds; seed++) {
    const random = new Random(seed);
    const one = programCase(random, rules, random.pick([0.2, 0.5, 0.8, 1]));
    const compiled = compile(one.ruleSet, one.environment, limits);
    const words: number[] = [];
    const codes: number[] = [];
    for (let i = 0; i < packets; i++) {
      const packet = edgePacket(random, one);
      const verdict = evaluate(one.ruleSet, one.environment, packet);
      const program = programOf(compiled, verdict.by?.policy, packet.direction);
      if (program < 0) continue;
      const code = engine.codeOf(compiled, program, packet);
      expect(worded(compiled, code), `seed ${seed}, packet ${i}`).toEqual(expected(verdict));
      const remote = packet.direction === 'egress' ? packet.dst : packet.src;
      words.push(
        program,
        protoBitOf(packet.dst.family, packet.proto),
        detailOf(packet),
        classOf(compiled, remote),
      );
      codes.push(code);
    }
    expect(codes.length > 0 || compiled.outlines.all.length === 0).toBe(true);
    expect([...engine.decideAll(compiled.programs.blob, Int32Array.from(words))], `seed ${seed}`).toEqual(
      codes,
    );
  }
}

function policySet(policies: readonly Policy[], more: Partial<RuleSet> = {}): RuleSet {
  const byName = new Map(policies.map((policy) => [policy.name, policy]));
  return { lists: new Map(), policies: byName, resolutions: new Map(), unmatched: undefined, ...more };
}

function egressOf(rules: readonly Rule[]): Policy['egress'] {
  const runs = new RunBuilder();
  for (const rule of rules) runs.push(rule);
  return runs.build();
}

function hostRule(word: number, more: Partial<Rule> = {}): Rule {
  return { ...PLAIN, remote: { kind: 'prefix', prefix: prefixOf(4, [word], 32) }, ...more };
}

/** `count` policies of `each` hosts of their own, every third asked for by two policies. */
function manyPolicies(count: number, each: number): readonly Policy[] {
  return Array.from({ length: count }, (_, p) => ({
    ...emptyPolicy(`p${p}`),
    prefixes: prefixSetOf([prefixOf(4, [0xc0a80000 + p], 32)]),
    egress: egressOf(
      Array.from({ length: each }, (__, i) => {
        const word = 0x0a000000 + (i % 3 === 0 ? Math.floor(p / 2) : p) * each * 2 + i;
        const ports = i % 4 === 1 ? { first: 80, last: 443 } : undefined;
        return hostRule(word, { action: i % 2 === 0 ? 'drop' : 'accept', proto: ports && 'tcp', ports });
      }),
    ),
  }));
}

/** Every program's code for every class, protocol and edge of ports, program by program. */
function allCodes({ programs, sets, outlines }: Compiled, blob = programs.blob): number[] {
  const questions: Question[] = [];
  for (let program = 0; program < outlines.all.length; program++) {
    for (let classId = 0; classId < sets.count; classId++) {
      for (const bit of Object.values(ProtoBit)) {
        for (const detail of DETAILS) questions.push([program, classId, bit, detail]);
      }
    }
  }
  return engine.decideEach(blob, questions);
}

function limitOf(make: () => unknown): string {
  try {
    make();
  } catch (error) {
    if (error instanceof TableLimitError) return error.code;
    throw error;
  }
  return 'none';
}

describe('programs', () => {
  it.each<readonly [string, CheckOptions]>([
    ['as they are by default', {}],
    ['where there are rows for some programs only', { limits: { rows: 200 } }],
    ['where predicates of a class are looked at one by one', { limits: { rows: 0 } }],
    ['where shapes are not made, nor maps for classes', { limits: { combined: 0 } }],
    ['where shapes are not made, and maps for few classes', { limits: { combined: 100 } }],
    ['where there are neither rows nor such maps', { limits: { combined: 0, rows: 0 } }],
    ['of many rules', { rules: 400 }],
    ['of many rules in few maps', { rules: 400, limits: { combined: 2000 } }],
    ['of many rules that are not combined', { rules: 400, limits: { combined: 0 } }],
  ])('decide as the evaluator does: %s', (_, options) => {
    check(often(3, 30), 120, options);
  });

  it.each(['acl', 'fw', 'ipc'] as const)(
    'decide as the evaluator does: rules like ClassBench’s %s',
    (family) => {
      const rules = classBenchRules(family, often(500, 1500), 7);
      const ruleSet = defaultPolicyOf(rules);
      const { dst, protos, details } = classBenchPackets(rules, often(500, 2000), 8);
      const variants = [{}, { combined: 0 }, { rows: 0 }].map((limits) =>
        compile(ruleSet, ENVIRONMENT, limits),
      );
      for (const [i, word] of dst.entries()) {
        const proto = protos[i] ?? 0;
        const packet = {
          direction: 'egress' as const,
          src: undefined,
          dst: { family: 4 as const, words: Uint32Array.of(word) },
          proto,
          port: proto === IpProtocol.icmp ? undefined : details[i],
          icmpType: details[i],
        };
        const verdict = expected(evaluate(ruleSet, ENVIRONMENT, packet));
        for (const compiled of variants) {
          expect(worded(compiled, engine.codeOf(compiled, 0, packet)), `packet ${i}`).toEqual(verdict);
        }
      }
    },
  );

  it('are decided alike one by one and in tiles, with a program for all and with one for each packet', () => {
    for (let seed = 0; seed < often(4, 40); seed++) {
      const random = new Random(seed);
      const { ruleSet, environment } = programCase(
        random,
        random.pick([8, 64, 500]),
        random.pick([0, 0.5, 1]),
      );
      const compiled = compile(ruleSet, environment, random.pick(LIMITS));
      const { blob } = compiled.programs;
      const programCount = compiled.outlines.all.length;
      const count = 1 + random.below(400);
      const column = (next: () => number): Int32Array => Int32Array.from({ length: count }, next);
      const classes = column(() => random.below(compiled.sets.count));
      const protos = Uint8Array.from({ length: count }, () => random.pick([1, 6, 17, 58, 47]));
      const details = column(() => random.pick(DETAILS));
      const mixed = column(() => random.below(programCount + 1) - 1);
      for (const programs of [mixed, random.below(programCount), -1]) {
        for (const family of [4, 6] as const) {
          const icmp = family === 4 ? IpProtocol.icmp : IpProtocol.icmp6;
          const tiles = engine.decideTiles(blob, { programs, classes, protos, icmp, details });
          const programAt = (i: number): number =>
            typeof programs === 'number' ? programs : (programs[i] ?? -1);
          const questions = Array.from(classes, (classId, i): Question => {
            const bit = protoBitOf(family, protos[i] ?? 0);
            return [Math.max(programAt(i), 0), classId, bit, details[i] ?? 0];
          });
          const one = engine.decideEach(blob, questions).map((code, i) => (programAt(i) < 0 ? 0 : code));
          expect([...tiles], `seed ${seed}`).toEqual(one);
        }
      }
    }
  });

  it('give equal answers whether many classes have rows, a table of classes or one of predicates', () => {
    const ruleSet = policySet(manyPolicies(60, 200));
    const shaped = compile(ruleSet, ENVIRONMENT);
    const tables = compile(ruleSet, ENVIRONMENT, { combined: 0 });
    const members = compile(ruleSet, ENVIRONMENT, { rows: 0 });
    const kinds = (compiled: Compiled): readonly string[] =>
      compiled.outlines.all.map((_, program) => rowKind(compiled.programs.blob, program));
    expect(new Set(kinds(shaped))).toEqual(new Set(['rows']));
    expect(new Set(kinds(tables))).toEqual(new Set(['classes']));
    expect(new Set(kinds(members))).toEqual(new Set(['members']));
    const [random, words] = [new Random(1), [] as number[]];
    for (let i = 0; i < 20_000; i++) {
      words.push(
        random.below(60),
        random.pick(Object.values(ProtoBit)),
        random.pick(DETAILS),
        random.below(tables.sets.count),
      );
    }
    const packets = Int32Array.from(words);
    const codes = engine.decideAll(tables.programs.blob, packets);
    for (const other of [members, shaped])
      expect([...engine.decideAll(other.programs.blob, packets)]).toEqual([...codes]);
    const own = compile(policySet(manyPolicies(60, 200).slice(0, 1)), ENVIRONMENT);
    expect(kinds(own)).toEqual(['rows']);
    // Policy 0 alone answers as among the others.
    for (const [i, { remote }] of Array.from(
      { length: 200 },
      (_, r) => [r, hostRule(0x0a000000 + r)] as const,
    )) {
      const dst = remote.kind === 'prefix' ? remote.prefix : prefixOf(4, [0], 0);
      const packet = {
        direction: 'egress',
        src: undefined,
        dst,
        proto: 6,
        port: 80,
        icmpType: undefined,
      } as const;
      expect(engine.codeOf(tables, 0, packet), `host ${i}`).toBe(engine.codeOf(own, 0, packet));
    }
  });

  it('of equal rules share all but their records', () => {
    const [first] = manyPolicies(1, 200);
    const qubes = (count: number): RuleSet =>
      policySet(
        Array.from({ length: count }, (_, p) => ({
          ...emptyPolicy(`p${p}`),
          prefixes: prefixSetOf([prefixOf(4, [0xc0a80000 + p], 32)]),
          egress: first?.egress ?? NO_RULES,
        })),
      );
    const [one, many] = [1, 500].map((count) => compile(qubes(count), ENVIRONMENT).programs.usedWords);
    expect((many ?? 0) - (one ?? 0)).toBe(499 * (16 + 8));
  });

  it('keep `common` once where it would multiply classes and programs', () => {
    const common = {
      ...emptyPolicy('common'),
      egress: egressOf(
        Array.from({ length: 20_000 }, (_, i) =>
          hostRule(0xac100000 + i, { action: i % 2 === 0 ? 'drop' : 'accept' }),
        ),
      ),
    };
    const { programs, ...compiled } = compile(policySet([common, ...manyPolicies(100, 20)]), ENVIRONMENT);
    expect(programs.usedWords).toBeLessThan(200_000);
    const packet = { direction: 'egress', src: undefined, proto: 6, port: 80, icmpType: undefined } as const;
    const verdictTo = (program: number, word: number): unknown =>
      worded(
        { programs, ...compiled },
        engine.codeOf({ programs, ...compiled }, program, { ...packet, dst: prefixOf(4, [word], 32) }),
      );
    const by = { direction: 'egress', policy: 'p7' };
    expect(verdictTo(7, 0xac100003)).toEqual({
      ...by,
      action: 'accept',
      rulePolicy: 'common',
      block: 'common',
      run: 3,
    });
    expect(verdictTo(7, 0x0a000000 + 7 * 40 + 2)).toEqual({
      ...by,
      action: 'drop',
      rulePolicy: 'p7',
      block: 'own',
      run: 2,
    });
    expect(verdictTo(7, 1)).toEqual({
      ...by,
      action: 'drop',
      rulePolicy: undefined,
      block: undefined,
      run: undefined,
    });
  });

  it('of many rules for any address decide as the evaluator does at the edges of pages of ports', () => {
    const edges = [
      0, 1, 63, 64, 65, 255, 256, 257, 511, 512, 513, 1023, 1024, 65_279, 65_280, 65_281, 65_534, 65_535,
    ];
    for (let seed = 0; seed < 20; seed++) {
      const random = new Random(seed);
      const rules = Array.from({ length: 24 + random.below(40) }, () => {
        const [a, b] = [random.pick(edges), random.pick(edges)];
        const ports = { first: Math.min(a, b), last: random.chance(0.5) ? Math.min(a, b) : Math.max(a, b) };
        const proto = random.pick([undefined, 'tcp', 'udp'] as const);
        return { ...PLAIN, action: random.pick(['accept', 'drop'] as const), proto, ports };
      });
      const ruleSet = policySet([{ ...emptyPolicy('default'), egress: egressOf(rules) }]);
      const compiled = compile(ruleSet, ENVIRONMENT);
      const details = [UNREADABLE, ...edges.flatMap((edge) => [edge - 1, edge, edge + 1])];
      for (const detail of details.filter((one) => one >= UNREADABLE && one <= 65_535)) {
        for (const proto of [1, 6, 17, 47]) {
          const known = detail < 0 ? undefined : detail;
          const dst = prefixOf(4, [1], 32);
          const packet = {
            direction: 'egress',
            src: undefined,
            dst,
            proto,
            port: known,
            icmpType: known,
          } as const;
          const verdict = expected(evaluate(ruleSet, ENVIRONMENT, packet));
          const code = engine.codeOf(compiled, 0, packet);
          expect(worded(compiled, code), `seed ${seed}, ${proto} ${detail}`).toEqual(verdict);
          const words = Int32Array.of(0, protoBitOf(4, proto), detail, 0);
          expect(engine.decideAll(compiled.programs.blob, words)[0]).toBe(code);
        }
      }
    }
  });

  it('go on from `common` to a policy’s own rules as the evaluator does, one by one and in tiles', () => {
    const wildcards = (count: number, first: number): readonly Rule[] =>
      Array.from({ length: count }, (_, i) => ({
        ...PLAIN,
        action: i % 2 === 0 ? 'accept' : 'drop',
        proto: i % 3 === 0 ? 'udp' : 'tcp',
        ports: { first: first + i * 40, last: first + i * 40 + 60 },
      }));
    const hosts = Array.from({ length: 12_000 }, (_, i) =>
      hostRule(0x0a000000 + i, i % 5 === 0 ? { proto: 'tcp', ports: { first: 80, last: 443 } } : {}),
    );
    const common = {
      ...emptyPolicy('common'),
      egress: egressOf([...hosts.slice(0, 6000), ...wildcards(3, 0), ...hosts.slice(6000)]),
    };
    const own = manyPolicies(200, 20).map((policy, p) => {
      const more = new RunBuilder();
      more.pushRules(policy.egress);
      for (const rule of wildcards([0, 2, 40][p % 3] ?? 0, 60)) more.push(rule);
      return { ...policy, egress: more.build() };
    });
    const ruleSet = policySet([common, ...own]);
    const compiled = compile(ruleSet, ENVIRONMENT);
    const { blob } = compiled.programs;
    for (const program of own.keys()) expect(programField(blob, program, 'noMatch')).toBeLessThan(0); // there is more
    const random = new Random(6);
    const packets = Array.from({ length: 600 }, () => ({
      program: random.below(own.length),
      dst: prefixOf(4, [0x0a000000 + random.below(random.pick([300, 13_000]))], 32),
      proto: random.pick([1, 6, 6, 17, 47]),
      detail: random.pick([UNREADABLE, 0, 50, 61, 80, 101, 443, random.below(2000)]),
    }));
    const classes = Int32Array.from(packets, ({ dst }) => classOf(compiled, dst));
    const protos = Uint8Array.from(packets, ({ proto }) => proto);
    const details = Int32Array.from(packets, ({ detail }) => detail);
    const programs = Int32Array.from(packets, ({ program }) => program);
    const codes = engine.decideTiles(blob, { programs, classes, protos, icmp: IpProtocol.icmp, details });
    for (const [i, { program, dst, proto, detail }] of packets.entries()) {
      const known = detail < 0 ? undefined : detail;
      const src = prefixOf(4, [0xc0a80000 + program], 32);
      const packet = { direction: 'egress', src, dst, proto, port: known, icmpType: known } as const;
      const verdict = expected(evaluate(ruleSet, ENVIRONMENT, packet));
      expect(worded(compiled, codes[i] ?? 0), `packet ${i}`).toEqual(verdict);
      expect(engine.codeOf(compiled, program, packet), `packet ${i}`).toBe(codes[i]);
    }
    for (const program of [0, 1, 2]) {
      const columns = { programs: program, classes, protos, icmp: IpProtocol.icmp, details };
      const questions = packets.map(
        ({ proto, detail }, i): Question => [program, classes[i] ?? 0, protoBitOf(4, proto), detail],
      );
      expect([...engine.decideTiles(blob, columns)]).toEqual(engine.decideEach(blob, questions));
    }
  });
});

describe('limits of programs', () => {
  const ruleSet = policySet(manyPolicies(3, 20));
  const whole = compile(ruleSet, ENVIRONMENT);

  it('words: what fits exactly is taken, one less refused', () => {
    const { usedWords } = whole.programs;
    expect(limitOf(() => compile(ruleSet, ENVIRONMENT, { lists: usedWords }))).toBe('none');
    expect(limitOf(() => compile(ruleSet, ENVIRONMENT, { lists: usedWords - 1 }))).toBe('programs-too-large');
  });

  it('outcomes: what fits exactly is taken, one less refused', () => {
    const outcomes = whole.programs.runCount + whole.outlines.all.length + 1; // with no label to spare
    expect(whole.programs.outcomeCount).toBeGreaterThan(outcomes);
    expect(compile(ruleSet, ENVIRONMENT, { outcomes }).programs.outcomeCount).toBe(outcomes);
    expect(limitOf(() => compile(ruleSet, ENVIRONMENT, { outcomes: outcomes - 1 }))).toBe(
      'too-many-outcomes',
    );
  });

  it('outcomes: 2^24 are taken, and no more whatever the limit', () => {
    const runs = 2 ** 16 - 1; // with a default 2^16 outcomes a policy; 255 policies and 2^16 - 2 more runs are 2^24 - 1 outcomes
    const rules = Array.from({ length: runs }, (_, i) =>
      hostRule(i, { action: i % 2 === 0 ? 'drop' : 'accept' }),
    );
    const common = { ...emptyPolicy('common'), egress: egressOf(rules) };
    const policies = (count: number): readonly Policy[] =>
      Array.from({ length: count }, (_, p) => ({
        ...emptyPolicy(`p${p}`),
        prefixes: prefixSetOf([prefixOf(4, [0xc0a80000 + p], 32)]),
      }));
    const limits = { outcomes: 2 ** 30 };
    const { programs } = compile(policySet([common, ...policies(255)]), ENVIRONMENT, limits);
    expect(programs.outcomeCount).toBe(255 * 2 ** 16 + 1);
    const last = programs.outcomeCount - 1;
    expect(originOf(programs.blob, programs.outcomeCount, (last << 2) | 1)).toMatchObject({
      policy: 255,
      run: runs - 1,
    });
    const shorter = { ...common, egress: runsOfEach([...eachRun(common.egress)].slice(1)) };
    expect(limitOf(() => compile(policySet([shorter, ...policies(256)]), ENVIRONMENT, limits))).toBe('none');
    expect(limitOf(() => compile(policySet([common, ...policies(256)]), ENVIRONMENT, limits))).toBe(
      'too-many-outcomes',
    );
  });

  it.each([
    ['rows', 3 * whole.sets.count],
    ['pairs', 60],
  ] as const)('%s: beyond, programs look at predicates one by one, with equal answers', (name, enough) => {
    const room = whole.sets.count + (whole.sets.count >> 3) + 64;
    const exact = name === 'rows' ? 3 * room : enough;
    const kinds = (limit: number): readonly string[] => {
      const compiled = compile(ruleSet, ENVIRONMENT, { [name]: limit });
      expect(allCodes(compiled)).toEqual(allCodes(whole));
      return [0, 1, 2].map((program) => rowKind(compiled.programs.blob, program));
    };
    expect(kinds(exact)).toEqual(['rows', 'rows', 'rows']);
    expect(kinds(exact - 1)).toEqual(['rows', 'rows', 'members']);
    expect(kinds(0)).toEqual(['members', 'members', 'members']);
  });

  it('combined: beyond, overlapping networks are compared at lookup, with equal answers and fewer words', () => {
    const nested = egressOf(
      Array.from({ length: 256 }, (_, i) => ({
        ...PLAIN,
        action: i % 3 === 0 ? ('accept' as const) : ('drop' as const),
        proto: i % 2 === 0 ? ('tcp' as const) : ('udp' as const),
        ports: { first: i * 100, last: i * 100 + 250 },
        remote: { kind: 'prefix' as const, prefix: prefixOf(4, [0x0a000000], 32 - (i % 16)) },
      })),
    );
    const set = policySet([{ ...emptyPolicy('default'), egress: nested }]);
    const combined = compile(set, ENVIRONMENT);
    const compared = compile(set, ENVIRONMENT, { combined: 0 });
    expect(allCodes(compared)).toEqual(allCodes(combined));
    expect(compared.programs.usedWords).toBeLessThan(combined.programs.usedWords);
    for (let limit = 1; limit < combined.programs.usedWords; limit *= 2) {
      const some = compile(set, ENVIRONMENT, { combined: limit });
      expect(allCodes(some), `${limit} words`).toEqual(allCodes(combined));
    }
  });

  it('combined: beyond, hosts in many lists of many rules take few words, with equal answers', () => {
    // Each host is in half of 24 lists, so in a class of its own with a map of its own.
    const random = new Random(4);
    const hosts = Array.from({ length: 2000 }, (_, i) => prefixOf(4, [0x0a000000 + i], 32));
    const names = Array.from({ length: 24 }, (_, l) => `l${l}`);
    const lists = new Map(
      names.map((name) => [name, prefixListOf(prefixSetOf(hosts.filter(() => random.chance(0.5))))]),
    );
    const rules = Array.from({ length: 24 * 50 }, (_, i) => ({
      ...PLAIN,
      action: i % 3 === 0 ? ('accept' as const) : ('drop' as const),
      remote: { kind: 'list' as const, list: `l${i % 24}` },
      proto: 'tcp' as const,
      ports: { first: i * 50, last: i * 50 + random.below(200) },
    }));
    const set = policySet([{ ...emptyPolicy('default'), egress: egressOf(rules) }], { lists });
    const [whole, few] = [{}, { combined: 5000 }].map((limits) => compile(set, ENVIRONMENT, limits));
    if (whole === undefined || few === undefined) throw new TypeError('two of them');
    expect(few.programs.usedWords * 10).toBeLessThan(whole.programs.usedWords);
    const words = Array.from({ length: 20_000 }, () => [
      0,
      ProtoBit.tcp,
      random.chance(0.05) ? UNREADABLE : random.below(65_536),
      random.below(whole.sets.count),
    ]).flat();
    const packets = Int32Array.from(words);
    const codes = engine.decideAll(whole.programs.blob, packets);
    expect([...engine.decideAll(few.programs.blob, packets)]).toEqual([...codes]);
  });

  it.each([
    ['lists', PROGRAM_WORDS_MAX],
    ['outcomes', OUTCOMES_MAX],
  ] as const)('%s: are at most what the layout of programs reaches', (name, most) => {
    for (const asked of [1, most - 1, most]) {
      expect(reachableLimits({ ...DEFAULT_TABLE_LIMITS, [name]: asked })[name]).toBe(asked);
    }
    expect(reachableLimits({ ...DEFAULT_TABLE_LIMITS, [name]: most + 1 })[name]).toBe(most);
    expect(reachableLimits(DEFAULT_TABLE_LIMITS)).toEqual(DEFAULT_TABLE_LIMITS);
  });

  it('the largest offset leaves room for the rest of a reference, the largest code for nothing that matches', () => {
    const reference = ((PROGRAM_WORDS_MAX - 1) << NODE_OFFSET_SHIFT) | NODE_KIND_MASK;
    expect(reference).toBe((PROGRAM_WORDS_MAX - 1) * 4 + 3);
    expect(NO_MATCH).toBeGreaterThanOrEqual(OUTCOMES_MAX * 4 - 1); // an outcome and an action
  });

  it('classes: what fits exactly is taken, one less refused', () => {
    const count = whole.sets.count;
    const members = whole.sets.firstMember(count);
    expect(limitOf(() => compile(ruleSet, ENVIRONMENT, { classes: count }))).toBe('none');
    expect(limitOf(() => compile(ruleSet, ENVIRONMENT, { classes: count - 1 }))).toBe('too-many-classes');
    expect(limitOf(() => compile(ruleSet, ENVIRONMENT, { classMembers: members }))).toBe('none');
    expect(limitOf(() => compile(ruleSet, ENVIRONMENT, { classMembers: members - 1 }))).toBe(
      'classes-too-large',
    );
  });
});
