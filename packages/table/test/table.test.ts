import {
  type Action,
  EMPTY_RULE_SET,
  type Environment,
  emptyPolicy,
  evaluate,
  formatRule,
  type List,
  NO_RULES,
  nameListOf,
  type Packet,
  type Policy,
  type Prefix,
  PrefixBuilder,
  parseAddress,
  plainRule,
  prefixListOf,
  prefixOf,
  prefixSetOf,
  type RuleSet,
  RunBuilder,
  ruleAt,
  runsOf,
  type Verdict,
} from '@rulecast/rules';
import { describe, expect, it } from 'vitest';
import { Random } from '../../../test/kit/random.mjs';
import { often } from '../../../test/thorough.ts';
import {
  CODE_ACTION_MASK,
  CodeAction,
  LookupDirection,
  Table,
  TableLimitCode,
  TableLimitError,
  type TableLimits,
  type TableVerdict,
  UNREADABLE,
} from '../src/index.ts';
import { edgeAddresses, randomCase, randomPacket, randomPrefix } from './random-rule-set.ts';

const ENVIRONMENT: Environment = { now: 1000, dns: [] };
const PLAIN = plainRule('drop');

/** A verdict of the evaluator, as the table words it. */
function worded(verdict: Verdict, generation: number): TableVerdict {
  const { action, by } = verdict;
  return {
    action,
    generation,
    direction: by?.direction,
    policy: by?.policy,
    rulePolicy: by?.rule?.policy,
    block: by?.rule?.block,
    run: by?.rule?.run,
    list: by?.rule?.list,
  };
}

/** The code through the forms that allocate nothing. */
function codeOf(table: Table, { direction, src, dst, proto, port, icmpType }: Packet): number {
  const detail = (proto === 6 || proto === 17 ? port : icmpType) ?? UNREADABLE;
  if (dst.family === 4) {
    return table.reader.lookup4(LookupDirection[direction], src?.words[0], dst.words[0] ?? 0, proto, detail);
  }
  return table.reader.lookup6(LookupDirection[direction], src?.words, 0, dst.words, 0, proto, detail);
}

/** Compares a table with the evaluator for random packets; returns how often each outcome was seen. */
function checkPackets(table: Table, seed: number, packets: number, seen: Map<string, number>): void {
  const { ruleSet, environment, prefixes } = randomCase(seed, 64);
  const generation = table.flip(table.prepare(ruleSet, environment));
  const random = new Random(seed ^ 0x5eed);
  const addresses = edgeAddresses([...prefixes, randomPrefix(random, 4), randomPrefix(random, 6)]);
  for (let i = 0; i < packets; i++) {
    const packet = randomPacket(random, addresses);
    const verdict = evaluate(ruleSet, environment, packet);
    const expected = worded(verdict, generation);
    const { by } = verdict;
    const kind = `${verdict.action} ${by?.direction ?? ''} ${by === undefined ? '' : (by.rule?.block ?? (by.policy === undefined ? 'unmatched' : 'default'))}`;
    seen.set(kind, (seen.get(kind) ?? 0) + 1);
    expect(table.reader.lookup(packet), `seed ${seed}, packet ${i}`).toEqual(expected);
    if (packet.src === undefined || packet.src.family === packet.dst.family) {
      expect(table.reader.decode(codeOf(table, packet)), `seed ${seed}, packet ${i}`).toEqual(expected);
    }
    if (i % 8 !== 0) continue;
    const policy = by?.rule && ruleSet.policies.get(by.rule.policy);
    const rule =
      by?.rule &&
      policy &&
      formatRule(ruleAt(runsOf(policy, by.direction, by.rule.block), by.rule.index), by.direction);
    expect(table.explain(packet), `seed ${seed}, packet ${i}`).toEqual({ verdict, rule, generation });
  }
}

/** The hits of all outcomes. */
function countsOf(table: Table): readonly number[] {
  const { none, programs } = table.hits();
  return [
    none,
    ...programs.flatMap(({ defaultAction, exceptions, common, own }) => [
      defaultAction,
      ...exceptions,
      ...common,
      ...own,
    ]),
  ];
}

function address(text: string): Packet['dst'] {
  const parsed = parseAddress(text);
  if (parsed === undefined) throw new TypeError(`no address: ${text}`);
  return parsed;
}

function hosts(count: number): readonly Prefix[] {
  return Array.from({ length: count }, (_, i) => prefixOf(4, [0x0a000000 + i * 3], 32));
}

function egressTo(dst: string, more: Partial<Packet> = {}): Packet {
  return {
    direction: 'egress',
    src: undefined,
    dst: address(dst),
    proto: 6,
    port: 443,
    icmpType: undefined,
    ...more,
  };
}

function byDefault(egress: Policy['egress'], more: Partial<RuleSet> = {}): RuleSet {
  return {
    ...EMPTY_RULE_SET,
    policies: new Map([['default', { ...emptyPolicy('default'), egress }]]),
    ...more,
  };
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

describe('a table', () => {
  it('answers none before the first flip', () => {
    const table = new Table();
    expect(table.reader.lookup(egressTo('192.0.2.1'))).toEqual(worded({ action: 'none', by: undefined }, 0));
    expect(table.explain(egressTo('192.0.2.1')).verdict).toEqual({ action: 'none', by: undefined });
  });

  it('answers and explains random packets at the edges of random rule sets as the evaluator does', () => {
    const table = new Table();
    const seen = new Map<string, number>();
    for (let seed = 0; seed < often(30, 400); seed++) checkPackets(table, seed, 500, seen);
    const kinds = ['egress', 'ingress'].flatMap((direction) =>
      ['exceptions', 'common', 'own', 'default'].flatMap((block) => [
        `accept ${direction} ${block}`,
        `drop ${direction} ${block}`,
      ]),
    );
    for (const kind of ['none  ', 'drop egress unmatched', ...kinds]) {
      expect(seen.get(kind) ?? 0, kind).toBeGreaterThan(often(4, 300));
    }
  });

  it('gives a batch the codes and the hits of single lookups', () => {
    const table = new Table();
    const { ruleSet, environment, prefixes } = randomCase(11, 64);
    const generation = table.flip(table.prepare(ruleSet, environment));
    const random = new Random(3);
    for (const family of [4, 6] as const) {
      const addresses = edgeAddresses(prefixes).filter((one) => one.family === family);
      for (const direction of ['egress', 'ingress', 'both'] as const) {
        const packets = Array.from({ length: 300 }, () => ({
          ...randomPacket(random, addresses),
          direction,
          src: random.pick(addresses),
        }));
        const out = { codes: new Uint32Array(300), generation: -1 };
        const before = countsOf(table);
        table.reader.lookupBatch(
          {
            family,
            direction: LookupDirection[direction],
            count: packets.length,
            src: Uint32Array.from(packets.flatMap(({ src }) => [...src.words])),
            dst: Uint32Array.from(packets.flatMap(({ dst }) => [...dst.words])),
            protos: Uint8Array.from(packets, ({ proto }) => proto),
            details: Int32Array.from(
              packets,
              ({ proto, port, icmpType }) => (proto === 6 || proto === 17 ? port : icmpType) ?? UNREADABLE,
            ),
          },
          out,
        );
        expect(out.generation).toBe(generation);
        const after = countsOf(table);
        expect([...out.codes]).toEqual(packets.map((packet) => codeOf(table, packet)));
        const single = countsOf(table).map((count, i) => count - (after[i] ?? 0));
        expect(after.map((count, i) => count - (before[i] ?? 0))).toEqual(single);
      }
    }
  });

  it.each([
    ['one run', 1],
    ['as many runs', 2 ** 18],
  ])('takes 2^18 rules in one policy, %s', (_, runCount) => {
    const actionOf = (i: number): Action => (runCount === 1 || i % 2 === 0 ? 'drop' : 'accept');
    const rules = new RunBuilder();
    const word = new Uint32Array(1);
    const { remote: _any, ...match } = PLAIN;
    for (let i = 0; i < 2 ** 18; i++) {
      word[0] = 0xac100000 + i * 4;
      rules.pushPrefix({ ...match, action: actionOf(i) }, 4, word, 0, 30);
    }
    rules.push({ ...PLAIN, action: 'accept' });
    const ruleSet = byDefault(rules.build());
    const table = new Table();
    table.flip(table.prepare(ruleSet, ENVIRONMENT));
    expect(table.stats()).toMatchObject({ runs: runCount + 1, entries: 2 ** 18 });
    for (let i = 0; i < 2 ** 18; i++) {
      const code = table.reader.lookup4(LookupDirection.egress, undefined, 0xac100000 + i * 4 + 3, 6, 443);
      if ((code & CODE_ACTION_MASK) !== CodeAction[actionOf(i)]) expect.fail(`rule ${i}`);
    }
    for (const dst of ['172.16.0.0', '172.31.255.255', '172.15.255.255', '172.32.0.0', '172.20.1.2']) {
      expect(table.explain(egressTo(dst)).verdict).toEqual(evaluate(ruleSet, ENVIRONMENT, egressTo(dst)));
    }
  });

  it.each([true, false])(
    'takes another word for unmatched qubes, and other exceptions, many prefixes: %s',
    (isLarge) => {
      const many = prefixListOf(prefixSetOf(isLarge ? hosts(20_000) : hosts(2)));
      const work = (exception: string): Policy => {
        const rules = new RunBuilder();
        rules.push({
          ...PLAIN,
          action: 'accept',
          remote: { kind: 'prefix', prefix: { ...address(exception), length: 32 } },
        });
        const prefixes = prefixSetOf([{ ...address('10.137.0.5'), length: 32 }]);
        return { ...emptyPolicy('work'), prefixes, exceptions: { egress: rules.build(), ingress: NO_RULES } };
      };
      const common = new RunBuilder();
      common.push({ ...PLAIN, remote: { kind: 'list', list: 'bad' } });
      const table = new Table();
      const src = address('10.137.0.5');
      for (const [unmatched, exception] of [
        ['drop', '192.0.2.1'],
        ['accept', '192.0.2.1'], // the same policies: an edit would have left the old word in force
        ['accept', '192.0.2.9'], // an exception of as many prefixes: an edit
        [undefined, '192.0.2.9'],
        ['drop', '192.0.2.9'],
      ] as const) {
        const ruleSet: RuleSet = {
          lists: new Map([['bad', many]]),
          policies: new Map([
            ['common', { ...emptyPolicy('common'), egress: common.build() }],
            ['work', work(exception)],
          ]),
          resolutions: new Map(),
          unmatched,
        };
        table.flip(table.prepare(ruleSet, ENVIRONMENT));
        for (const dst of ['192.0.2.1', '192.0.2.9', '10.0.0.0', '203.0.113.1']) {
          for (const packet of [egressTo(dst), egressTo(dst, { src })]) {
            expect(table.explain(packet).verdict).toEqual(evaluate(ruleSet, ENVIRONMENT, packet));
          }
        }
      }
    },
  );

  it('counts what exceptions, common and the word for unmatched qubes decide', () => {
    const rules = new RunBuilder();
    rules.push({ ...PLAIN, action: 'accept', remote: { kind: 'list', list: 'good' } });
    const common = new RunBuilder();
    common.push({ ...PLAIN, proto: 'udp' });
    const good = prefixListOf(prefixSetOf([{ ...address('192.0.2.0'), length: 24 }]));
    const prefixes = prefixSetOf([{ ...address('10.137.0.5'), length: 32 }]);
    const exceptions = { egress: rules.build(), ingress: NO_RULES };
    const ruleSet = (unmatched: 'accept' | 'drop'): RuleSet => ({
      lists: new Map([['good', good]]),
      policies: new Map([
        ['work', { ...emptyPolicy('work'), prefixes, exceptions }],
        ['common', { ...emptyPolicy('common'), egress: common.build() }],
      ]),
      resolutions: new Map(),
      unmatched,
    });
    for (const [unmatched, none, byDefault] of [
      ['drop', 0, 1],
      ['accept', 1, 0],
    ] as const) {
      const table = new Table();
      table.flip(table.prepare(ruleSet(unmatched), ENVIRONMENT));
      table.reader.lookup(egressTo('192.0.2.1', { src: address('10.137.0.5') }));
      table.reader.lookup(egressTo('192.0.2.1'));
      table.reader.lookup(egressTo('192.0.2.1', { proto: 17 }));
      expect(table.hits()).toEqual({
        generation: 1,
        none,
        programs: [
          { policy: 'work', direction: 'egress', defaultAction: 0, exceptions: [1], common: [0], own: [] },
          {
            policy: undefined,
            direction: 'egress',
            defaultAction: byDefault,
            exceptions: [],
            common: [1],
            own: [],
          },
        ],
        lists: new Map([['good', 1]]),
      });
    }
  });

  it('counts hits per run, default action and list', () => {
    const list = prefixListOf(prefixSetOf([{ ...address('192.0.2.0'), length: 24 }]));
    const rules = new RunBuilder();
    rules.push({ ...PLAIN, remote: { kind: 'list', list: 'bad' } });
    rules.push({ ...PLAIN, action: 'accept', proto: 'udp' });
    const ruleSet = byDefault(rules.build(), { lists: new Map([['bad', list]]) });
    const table = new Table();
    table.flip(table.prepare(ruleSet, ENVIRONMENT));
    for (const dst of ['192.0.2.1', '192.0.2.2', '198.51.100.1']) table.reader.lookup(egressTo(dst));
    table.reader.lookup(egressTo('198.51.100.1', { proto: 17 }));
    table.reader.lookup(egressTo('198.51.100.1', { direction: 'ingress' }));
    table.explain(egressTo('192.0.2.1'));
    expect(table.hits()).toEqual({
      generation: 1,
      none: 1,
      programs: [
        { policy: 'default', direction: 'egress', defaultAction: 1, exceptions: [], common: [], own: [2, 1] },
      ],
      lists: new Map([['bad', 2]]),
    });
    expect(table.stats().hits).toBe(5);
    for (let i = 0; i < 3; i++) table.flip(table.prepare(ruleSet, ENVIRONMENT));
    table.reader.lookup(egressTo('192.0.2.1'));
    expect(table.hits().lists).toEqual(new Map([['bad', 3]]));
    expect(table.hits().programs[0]?.own).toEqual([3, 1]); // the rules are the same, and so are their counters
    const policies = new Map(
      [...ruleSet.policies].map(([name, policy]) => [name, { ...policy, ingress: policy.egress }]),
    );
    table.flip(table.prepare({ ...ruleSet, policies }, ENVIRONMENT));
    table.reader.lookup(egressTo('192.0.2.1'));
    expect(table.hits().lists).toEqual(new Map([['bad', 4]]));
    expect(table.hits().programs[0]?.own).toEqual([4, 1]); // also where all is compiled anew
  });

  it('gives addresses that no rule tells apart one class', () => {
    const rules = new RunBuilder();
    for (const text of ['10.0.0.0', '10.0.1.0']) {
      rules.push({ ...PLAIN, remote: { kind: 'prefix', prefix: { ...address(text), length: 24 } } });
    }
    const table = new Table();
    table.flip(table.prepare(byDefault(rules.build()), ENVIRONMENT));
    expect(table.stats()).toMatchObject({ classes: 2, boundaries4: 1, boundaries6: 0 });
  });

  it('flips to what was prepared last and to nothing else', () => {
    const table = new Table();
    const first = table.prepare(EMPTY_RULE_SET, ENVIRONMENT);
    const second = table.prepare(EMPTY_RULE_SET, ENVIRONMENT);
    expect(() => table.flip(first)).toThrow(TypeError);
    expect(table.flip(second)).toBe(1);
    expect(() => table.flip(second)).toThrow(TypeError);
    expect(table.stats().generation).toBe(1);
  });

  it('follows lists that come, change, become names and go, and is what a compile anew would be', () => {
    const lists = [0, 1, 2].map((i) =>
      prefixListOf(prefixSetOf([prefixOf(4, [i * 0x01000000], 8), prefixOf(6, [0x20010000, i, 0, 0], 64)])),
    );
    const rules = new RunBuilder();
    for (const list of ['a', 'b']) rules.push({ ...PLAIN, remote: { kind: 'list', list } });
    const base = byDefault(rules.build());
    const withLists = (...entries: [string, List | undefined][]): RuleSet => ({
      ...base,
      lists: new Map(entries.flatMap(([name, list]) => (list === undefined ? [] : [[name, list] as const]))),
    });
    const named = withLists(['a', nameListOf(['a.example', 'b.example'], true)]);
    const table = new Table();
    for (const ruleSet of [
      withLists(['a', lists[0]]),
      withLists(['a', lists[1]], ['b', lists[0]]),
      withLists(['b', lists[0]]),
      withLists(['a', lists[0]], ['b', lists[0]]),
      { ...named, resolutions: new Map([['b.example', prefixSetOf([prefixOf(4, [0x02000000], 8)])]]) },
      EMPTY_RULE_SET,
      withLists(['a', lists[2]]),
    ]) {
      table.flip(table.prepare(ruleSet, ENVIRONMENT));
      const anew = new Table();
      anew.flip(anew.prepare(ruleSet, ENVIRONMENT));
      for (const dst of ['0.0.0.1', '1.0.0.1', '2.0.0.1', '3.0.0.1', '2001::1', '2001:0:0:2::1']) {
        const { verdict } = table.explain(egressTo(dst));
        expect(verdict).toEqual(evaluate(ruleSet, ENVIRONMENT, egressTo(dst)));
        expect(anew.explain(egressTo(dst)).verdict).toEqual(verdict);
      }
    }
  });

  it('leaves the rule set as it was, also where a list is a view of a larger buffer', () => {
    const words = new Uint32Array(1024).map((_, i) => i * 65536);
    const lengths = new Uint8Array(1024).fill(16);
    const list = prefixListOf({
      v4: { family: 4, words: words.subarray(100, 900), lengths: lengths.subarray(100, 900) },
      v6: new PrefixBuilder(6).build(),
    });
    const rules = new RunBuilder();
    rules.push({ ...PLAIN, remote: { kind: 'list', list: 'a' } });
    for (const prefix of hosts(100)) rules.push({ ...PLAIN, remote: { kind: 'prefix', prefix } });
    const ruleSet = byDefault(rules.build(), { lists: new Map([['a', list]]) });
    const before = structuredClone(ruleSet);
    const table = new Table();
    table.flip(table.prepare(ruleSet, ENVIRONMENT));
    table.flip(table.prepare({ ...ruleSet, unmatched: 'drop' }, ENVIRONMENT));
    expect(ruleSet).toEqual(before);
    expect(words.length).toBe(1024);
  });

  it('grows with its content, and answers the same from the grown buffers', () => {
    const small = byDefault(NO_RULES, {});
    const table = new Table();
    table.flip(table.prepare(small, ENVIRONMENT));
    const before = table.stats().reservedBytes;
    const hosts = new PrefixBuilder(4);
    for (let i = 0; i < 100_000; i++) hosts.push4(i * 40_000, 32);
    const rules = new RunBuilder();
    rules.push({ ...PLAIN, action: 'accept', remote: { kind: 'list', list: 'l' } });
    const lists = new Map([['l', prefixListOf({ v4: hosts.build(), v6: new PrefixBuilder(6).build() })]]);
    table.flip(table.prepare(byDefault(rules.build(), { lists }), ENVIRONMENT));
    expect(table.stats().reservedBytes).toBeGreaterThan(before + 600_000);
    for (let i = 0; i < 100_000; i += 7) {
      const actions = [0, 1].map(
        (step) => table.reader.lookup4(0, undefined, i * 40_000 + step, 6, 1) & CODE_ACTION_MASK,
      );
      expect(actions).toEqual([CodeAction.accept, CodeAction.drop]);
    }
  });
});

describe('limits of a table', () => {
  const rules = new RunBuilder();
  for (let i = 0; i < 8; i++) {
    rules.push({
      ...PLAIN,
      action: i % 2 === 0 ? 'accept' : 'drop',
      proto: 'tcp',
      remote: { kind: 'prefix', prefix: { ...address('10.0.0.0'), length: 15 - i } },
    });
  }
  const ruleSet = byDefault(rules.build());

  it.each([
    ['outcomes', TableLimitCode.outcomes, 10], // eight runs, the default action, and none
    ['classes', TableLimitCode.classes, 9], // that of no predicate too
    ['classMembers', TableLimitCode.classMembers, 36], // 1 + … + 8
  ] as const)('%s: what fits exactly is taken, one less refused and nothing changed', (name, code, exact) => {
    const prepare = (limits: Partial<TableLimits>): unknown => {
      const table = new Table({ limits });
      try {
        return table.prepare(ruleSet, ENVIRONMENT);
      } finally {
        expect(table.reader.lookup(egressTo('10.0.0.1')).action).toBe('none');
      }
    };
    expect(limitOf(() => prepare({ [name]: exact }))).toBe('none');
    expect(limitOf(() => prepare({ [name]: exact - 1 }))).toBe(code);
  });

  it('an image larger than the reserved space is refused, and the one in force goes on', () => {
    const table = new Table({ maxBytes: 2 ** 17 });
    table.flip(table.prepare(byDefault(NO_RULES), ENVIRONMENT));
    expect(limitOf(() => table.prepare(ruleSet, ENVIRONMENT))).toBe(TableLimitCode.bytes);
    expect(table.reader.lookup(egressTo('10.0.0.1'))).toMatchObject({ action: 'drop', generation: 1 });
    expect(table.flip(table.prepare(byDefault(NO_RULES), ENVIRONMENT))).toBe(2);
  });
});
