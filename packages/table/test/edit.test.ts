import {
  type Address,
  canonicalPrefixes,
  columnOf,
  diffPrefixes,
  EMPTY_RULE_SET,
  type Environment,
  emptyPolicy,
  emptyPrefixes,
  evaluate,
  type Family,
  type Packet,
  type Policy,
  type Prefix,
  PrefixBuilder,
  type Prefixes,
  type PrefixList,
  type PrefixSet,
  plainRule,
  prefixAt,
  prefixListOf,
  prefixOf,
  prefixSetOf,
  type Rule,
  type RuleSet,
  RunBuilder,
  type Runs,
  rulesIn,
  subtractPrefixes,
  unionPrefixes,
} from '@rulecast/rules';
import { describe, expect, it } from 'vitest';
import { Random } from '../../../test/kit/random.mjs';
import { prefixFrom, prefixSetFrom } from '../../../test/kit/rules.ts';
import { often } from '../../../test/thorough.ts';
import { LookupDirection, Table, TableLimitCode, type TableLimits, UNREADABLE } from '../src/index.ts';
import { decidingLists } from './lists.ts';
import {
  edgeAddresses,
  neighbour,
  randomCase,
  randomPacket,
  randomPrefix,
  randomRule,
  randomTime,
} from './random-rule-set.ts';

const ENVIRONMENT: Environment = { now: 1000, dns: [] };
const MATCH = plainRule('drop');
/** Copies of a packet that are looked up at once: some in vectors, and some besides. */
const BATCH = 11;
/** Classes that values of a byte tell apart. */
const BYTE_CLASSES = 256;

/** One policy with a rule for each list, accepting and dropping in turn. */
function byLists(sets: readonly PrefixSet[], more: readonly Rule[] = []): RuleSet {
  const rules = new RunBuilder();
  for (const rule of more) rules.push(rule);
  for (const i of sets.keys()) {
    rules.push({
      ...MATCH,
      action: i % 2 === 0 ? 'drop' : 'accept',
      remote: { kind: 'list', list: `l${i}` },
    });
  }
  const policy = { ...emptyPolicy('default'), egress: rules.build() };
  return { ...EMPTY_RULE_SET, policies: new Map([['default', policy]]), ...listsOf(sets) };
}

function listsOf(sets: readonly PrefixSet[]): Pick<RuleSet, 'lists'> {
  return { lists: new Map(sets.map((set, i) => [`l${i}`, prefixListOf(set)])) };
}

function column(family: Family, ...texts: readonly string[]): Prefixes {
  return canonicalPrefixes(columnOf(texts.map(prefixFrom), family));
}

/** The code of a packet through the engine, and through a batch of it. */
function codesOf(table: Table, { direction, src, dst, proto, port, icmpType }: Packet): readonly number[] {
  const detail = (proto === 6 || proto === 17 ? port : icmpType) ?? UNREADABLE;
  const way = LookupDirection[direction];
  const one =
    dst.family === 4
      ? table.reader.lookup4(way, src?.words[0], dst.words[0] ?? 0, proto, detail)
      : table.reader.lookup6(way, src?.words, 0, dst.words, 0, proto, detail);
  const out = { codes: new Uint32Array(BATCH), generation: 0 };
  const columns = {
    src: src && repeated(src.words),
    dst: repeated(dst.words),
    protos: new Uint8Array(BATCH).fill(proto),
    details: new Int32Array(BATCH).fill(detail),
  };
  table.reader.lookupBatch({ family: dst.family, direction: way, count: BATCH, ...columns }, out);
  return [one, ...new Set(out.codes)];
}

function repeated(words: Uint32Array): Uint32Array {
  return Uint32Array.from({ length: words.length * BATCH }, (_, i) => words[i % words.length] ?? 0);
}

/** Checks a table against the evaluator. */
function checkPacket(
  table: Table,
  ruleSet: RuleSet,
  environment: Environment,
  packet: Packet,
  what: string,
): void {
  const { action, by } = evaluate(ruleSet, environment, packet);
  const expected = {
    action,
    direction: by?.direction,
    policy: by?.policy,
    run: by?.rule?.run,
    list: by?.rule?.list,
  };
  expect(table.reader.lookup(packet), what).toMatchObject(expected);
  if (packet.src !== undefined && packet.src.family !== packet.dst.family) return;
  for (const code of codesOf(table, packet)) expect(table.reader.decode(code), what).toMatchObject(expected);
}

function egressTo(dst: Address): Packet {
  return { direction: 'egress', src: undefined, dst, proto: 6, port: 443, icmpType: undefined };
}

/** A set with some members gone and some come. */
function changed(random: Random, set: PrefixSet, pool: () => Prefix): PrefixSet {
  const gone: Prefix[] = [];
  for (const { lengths } of [set.v4, set.v6]) {
    const from = lengths === set.v4.lengths ? set.v4 : set.v6;
    if (lengths.length > 0 && random.chance(0.5)) gone.push(prefixAt(from, random.below(lengths.length)));
  }
  const come = Array.from({ length: random.below(3) }, pool);
  const [left, joined] = [prefixSetOf(gone), prefixSetOf(come)];
  const next = (family: 'v4' | 'v6'): Prefixes =>
    unionPrefixes(subtractPrefixes(set[family], left[family]), joined[family]);
  return { v4: next('v4'), v6: next('v6') };
}

/** Prefixes of which a share was seen before; all are, then. */
function poolOf(random: Random, seen: Prefix[], share: number): () => Prefix {
  return () => {
    const prefix = random.chance(share)
      ? random.pick(seen)
      : randomPrefix(random, random.chance(0.5) ? 4 : 6);
    seen.push(prefix);
    return prefix;
  };
}

describe('an edit', () => {
  it('answers like the evaluator at all edges, after any number of edits of any lists, names and DNS addresses', () => {
    const table = new Table();
    let edits = 0;
    for (let seed = 0; seed < often(16, 40); seed++) {
      const first = randomCase(seed, 40);
      let { ruleSet, environment } = first;
      const random = new Random(seed ^ 0xde17a);
      const seen = [...first.prefixes];
      const pool = poolOf(random, seen, 0.4);
      table.flip(table.prepare(ruleSet, environment));
      for (let step = 0; step < 8; step++) {
        const lists = new Map(ruleSet.lists);
        const resolutions = new Map(ruleSet.resolutions);
        for (const [name, list] of lists) {
          if (list.kind === 'prefixes' && random.chance(0.5))
            lists.set(name, prefixListOf(changed(random, list, pool)));
        }
        for (const [name, set] of resolutions)
          if (random.chance(0.3)) resolutions.set(name, changed(random, set, pool));
        if (random.chance(0.2)) environment = { ...environment, dns: [pool()] };
        if (random.chance(0.1)) environment = { ...environment, ...randomTime(random) };
        ruleSet = { ...ruleSet, lists, resolutions };
        const prepared = table.prepare(ruleSet, environment);
        if (prepared.isEdit) edits++;
        if (random.chance(0.2)) table.prepare(first.ruleSet, environment); // and forgotten
        table.flip(
          prepared === table.prepare(ruleSet, environment) ? prepared : table.prepare(ruleSet, environment),
        );
        const addresses = edgeAddresses(seen);
        for (let i = 0; i < 60; i++) {
          checkPacket(
            table,
            ruleSet,
            environment,
            randomPacket(random, addresses),
            `seed ${seed}, step ${step}`,
          );
        }
      }
    }
    expect(edits).toBeGreaterThan(often(60, 150));
  });

  it.each<readonly [string, Family, readonly string[], readonly string[]]>([
    ['the first and the last address', 4, ['10.0.0.0/8'], ['0.0.0.0/32', '10.0.0.0/8', '255.255.255.255/32']],
    ['everything', 4, ['10.0.0.0/30', '10.0.0.8/30'], ['0.0.0.0/0']],
    ['nothing left', 4, ['0.0.0.0/0'], []],
    ['halves for the whole', 4, ['10.0.0.0/16'], ['10.0.0.0/17', '10.0.128.0/17']],
    ['a hole', 4, ['10.0.0.0/16'], ['10.0.0.0/17', '10.0.192.0/18']],
    ['a slot for its part', 4, ['10.1.2.3/32'], ['10.1.0.0/16']],
    ['many slots', 4, ['10.1.2.3/32', '10.7.0.0/17'], ['10.0.0.0/13', '10.8.0.1/32']],
    ['the other half of everything', 4, ['0.0.0.0/1'], ['128.0.0.0/1']],
    ['neighbours on both sides of a slot edge', 4, ['10.0.255.255/32'], ['10.0.255.254/31', '10.1.0.0/32']],
    [
      'IPv6 first and last address',
      6,
      ['2001:db8::/48'],
      ['::/128', 'ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128'],
    ],
    [
      'IPv6 both sides of bit 64',
      6,
      ['2001:db8:0:1::/64'],
      ['2001:db8::ffff:ffff:ffff:ffff/128', '2001:db8:0:1::/65', '2001:db8:0:1:8000::/66'],
    ],
    ['IPv6 everything', 6, ['2001:db8::/32'], ['::/0']],
    ['IPv6 around /64', 6, ['2001:db8::/64'], ['2001:db8::/65', '2001:db8:0:1::/64']],
    ['IPv6 hosts', 6, ['2001:db8::1/128'], ['2001:db8::/127', '2001:db8::ffff/128']],
    ['IPv6 nothing left', 6, ['2001:db8::1/128', 'ffff::/16'], []],
    ['IPv6 short for long', 6, ['2001:db8::1/128', '2001:db8:1::/48'], ['2001:d00::/24']],
  ])('takes %s in and out again', (_, family, fewer, more) => {
    // Lists that stay, below and around it.
    const fixed: PrefixSet = {
      v4: column(4, '10.1.2.0/24', '10.1.255.255/32', '128.0.0.0/1'),
      v6: column(6, '2001:db8::/48', '2001:db8::1/128', '8000::/1'),
    };
    const setOf = (texts: readonly string[]): PrefixSet =>
      family === 4 ? { v4: column(4, ...texts), v6: fixed.v6 } : { v4: fixed.v4, v6: column(6, ...texts) };
    const states = [fewer, more, fewer, more].map(setOf);
    const table = new Table();
    let ruleSet = byLists([fixed, fixed]);
    table.flip(table.prepare(ruleSet, ENVIRONMENT));
    const edges = edgeAddresses(
      [...fewer, ...more, '10.1.2.0/24', '10.1.255.255/32', '2001:db8::/48'].map(prefixFrom),
    );
    for (const set of states) {
      ruleSet = { ...ruleSet, ...listsOf([set, fixed]) };
      const prepared = table.prepare(ruleSet, ENVIRONMENT);
      table.flip(prepared);
      for (const address of edges)
        checkPacket(table, ruleSet, ENVIRONMENT, egressTo(address), address.words.join());
    }
  });
});

/** 2^18 networks of 4 addresses each side by side, in so many lists in turn. */
function denseSets(listCount: number): PrefixSet[] {
  const builders = Array.from({ length: listCount }, () => new PrefixBuilder(4));
  for (let i = 0; i < 2 ** 18; i++) builders[(i * 7919) % listCount]?.push4(0xac100000 + i * 4, 30);
  return builders.map((builder) => ({ v4: canonicalPrefixes(builder.build()), v6: emptyPrefixes(6) }));
}

it('an edit loses no node for which memory had to grow', () => {
  const table = new Table();
  const hosts = new PrefixBuilder(4);
  const ruleSetOf = (): RuleSet => byLists([{ v4: canonicalPrefixes(hosts.build()), v6: emptyPrefixes(6) }]);
  hosts.push4(0x0a000000, 32);
  const policies = ruleSetOf().policies;
  table.flip(table.prepare({ ...ruleSetOf(), policies }, ENVIRONMENT));
  const before = table.stats().reservedBytes;
  const words: number[] = [];
  for (let step = 0; step < 24; step++) {
    // Each slot gets a node, of more bytes than are there beyond the end.
    for (let host = 0; host < 120 * 128; host++) {
      const word = (0x1000 + step * 120 + (host >> 7)) * 0x10000 + (host & 127) * 0x200;
      words.push(word);
      hosts.push4(word, 32);
    }
    const prepared = table.prepare({ ...ruleSetOf(), policies }, ENVIRONMENT);
    expect(prepared.isEdit).toBe(true);
    table.flip(prepared);
  }
  expect(table.stats().reservedBytes).toBeGreaterThan(before);
  expect(new Set(decidingLists(table, 4, Uint32Array.from(words)))).toEqual(new Set(['l0']));
});

describe('edits of large tables', () => {
  it.each([
    [1, often(100, 400)],
    [30, often(20, 60)],
    [1000, often(3, 6)],
  ])('of %i changes, %i times, give what a full compile gives', (changes, times) => {
    const random = new Random(changes);
    const sets = denseSets(250);
    const table = new Table();
    let ruleSet = byLists(sets);
    table.flip(table.prepare(ruleSet, ENVIRONMENT));
    const touched: Address[] = [];
    for (let step = 0; step < times; step++) {
      // Networks change lists: they leave one, and join another in part.
      for (let i = 0; i < changes; i++) {
        const [from, to] = [random.below(250), random.below(250)];
        const source = sets[from] ?? sets[0];
        const target = sets[to] ?? sets[0];
        if (source === undefined || target === undefined || source.v4.lengths.length === 0) continue;
        const network = prefixAt(source.v4, random.below(source.v4.lengths.length));
        sets[from] = { ...source, v4: subtractPrefixes(source.v4, columnOf([network], 4)) };
        const part = prefixOf(4, [(network.words[0] ?? 0) + random.below(4)], 30 + random.below(3));
        const after = sets[to] ?? target;
        sets[to] = { ...after, v4: unionPrefixes(after.v4, columnOf([part], 4)) };
        if (touched.length < 4000) touched.push(network, part);
      }
      ruleSet = { ...ruleSet, ...listsOf(sets) };
      const before = table.stats().classes;
      const prepared = table.prepare(ruleSet, ENVIRONMENT);
      // Parts that overlap make classes; once those do not fit a byte, nodes are made anew with wider
      // values.
      const isWidened = before <= BYTE_CLASSES && prepared.sizes.classes > BYTE_CLASSES;
      expect(prepared.isEdit, `step ${step}`).toBe(!isWidened);
      table.flip(prepared);
    }
    const full = new Table();
    full.flip(full.prepare(ruleSet, ENVIRONMENT));
    expect(table.stats()).toMatchObject({
      entries: full.stats().entries,
      boundaries4: full.stats().boundaries4,
    });
    const words: number[] = [];
    for (const address of touched) {
      for (const step of [-1, 1] as const) words.push(neighbour(address, step).words[0] ?? 0);
      words.push(address.words[0] ?? 0, (address.words[0] ?? 0) + 2, (address.words[0] ?? 0) + 4);
    }
    for (let i = 0; i < 200_000; i++) words.push(0xac100000 + random.below(2 ** 20));
    const [edited, anew] = [table, full].map((one) => decidingLists(one, 4, Uint32Array.from(words)));
    expect(edited).toEqual(anew);
  });

  it('use no more memory after a change and its reverse', () => {
    const table = new Table();
    const sets = denseSets(3);
    const [first] = sets;
    if (first === undefined) throw new TypeError('no list');
    const ruleSets = [byLists(sets)];
    const { policies } = ruleSets[0] ?? EMPTY_RULE_SET;
    const hosts = Array.from({ length: 300 }, (_, i) => prefixOf(4, [0x0a000000 + i * 1_000_003], 32));
    const v6 = canonicalPrefixes(
      columnOf(
        Array.from({ length: 50 }, (_, i) => prefixOf(6, [0x20010db8, i * 77], 64)),
        6,
      ),
    );
    const other = { v4: unionPrefixes(first.v4, canonicalPrefixes(columnOf(hosts, 4))), v6 };
    ruleSets.push({ ...byLists([other, ...sets.slice(1)]), policies });
    const live: number[] = [];
    for (let round = 0; round < 40; round++) {
      for (const ruleSet of ruleSets) {
        const prepared = table.prepare(ruleSet, ENVIRONMENT);
        expect(prepared.isEdit).toBe(round > 0 || ruleSet !== ruleSets[0]);
        table.flip(prepared);
        if (round % 3 === 0) table.prepare(ruleSets[0] ?? EMPTY_RULE_SET, ENVIRONMENT); // and forgotten
      }
      live.push(table.stats().liveBytes);
    }
    expect(new Set(live.slice(4)).size).toBeLessThanOrEqual(2); // with and without something forgotten
    // There are no readers, so at the flip all is free again except one spare directory for each family.
    expect(Math.max(...live.slice(4))).toBeLessThan(table.stats().bytes + 2 * 2 ** 18 + 1024);
    expect(table.stats().reservedBytes).toBeLessThan(table.stats().bytes * 2);
  });
});

describe('an edit that does not fit', () => {
  it('is refused with a code before the flip, and the next one is taken', () => {
    const maxBytes = 5 * 2 ** 18; // two directories of a family each, and a quarter of that more
    const table = new Table({ maxBytes });
    const before = byLists([prefixSetFrom(['10.0.0.0/8', '2001:db8::/48'])]);
    table.flip(table.prepare(before, ENVIRONMENT));
    // Two boundaries in each of 40,000 slots: a node each, of 16 bytes and more, besides a directory.
    const scattered = prefixSetOf(
      Array.from({ length: 40_000 }, (_, i) => prefixOf(4, [0x20000000 + i * 65_536 + 7], 32)),
    );
    const many = { v4: scattered.v4, v6: emptyPrefixes(6) };
    const large = { ...before, ...listsOf([many]) };
    const grown = {
      ...before,
      ...listsOf([prefixSetFrom(['10.0.0.0/9', '32.0.0.7/32'])]),
    };
    const edges = edgeAddresses(['10.0.0.0/8', '10.0.0.0/9', '32.0.0.7/32', '2001:db8::/48'].map(prefixFrom));
    const check = (ruleSet: RuleSet): void => {
      for (const address of edges)
        checkPacket(table, ruleSet, ENVIRONMENT, egressTo(address), address.words.join());
    };
    const live = table.stats().liveBytes;
    for (let round = 0; round < 3; round++) {
      expect(() => table.prepare(large, ENVIRONMENT)).toThrow(
        expect.objectContaining({ code: TableLimitCode.bytes, limit: maxBytes }),
      );
      check(before);
    }
    expect(table.stats()).toMatchObject({ generation: 1 });
    const prepared = table.prepare(grown, ENVIRONMENT);
    expect(prepared.isEdit).toBe(true);
    table.flip(prepared);
    check(grown);
    expect(table.stats().liveBytes).toBeLessThan(live + 2 * 2 ** 18 + 1024);
  });
});

describe('what an edit is', () => {
  const set = prefixSetFrom(['10.0.0.0/24', '2001:db8::/48']);
  const other = prefixSetFrom(['10.0.1.0/24', '2001:db8::/48']);
  const none = prefixSetOf([]);
  const base = byLists([set, other]);
  const isEdit = (before: RuleSet, after: RuleSet, now = ENVIRONMENT.now): boolean => {
    const table = new Table();
    table.flip(table.prepare(before, ENVIRONMENT));
    const prepared = table.prepare(after, { ...ENVIRONMENT, now });
    table.flip(prepared);
    for (const text of ['10.0.0.1/32', '10.0.1.1/32', '10.0.2.1/32', '2001:db8::1/128']) {
      checkPacket(table, after, prepared.environment, egressTo(prefixFrom(text)), text);
    }
    return prepared.isEdit;
  };
  const byRules = (...texts: readonly string[]): RuleSet =>
    byLists(
      [set],
      texts.map((text) => ({
        ...MATCH,
        action: 'accept',
        remote: { kind: 'prefix', prefix: prefixFrom(text) },
      })),
    );
  /** The rules in a policy of their own, too. */
  const twice = (ruleSet: RuleSet): RuleSet => {
    const policy = ruleSet.policies.get('default') ?? emptyPolicy('default');
    const own = { ...policy, name: 'own', prefixes: set };
    return { ...ruleSet, policies: new Map([...ruleSet.policies, ['own', own]]) };
  };
  const expiring = byLists(
    [set, other],
    [{ ...MATCH, action: 'accept', expire: 2000, remote: { kind: 'any' } }],
  );

  it.each<readonly [string, boolean, RuleSet, RuleSet, number]>([
    ['nothing changed', true, base, base, 1000],
    ['a list changed', true, base, { ...base, ...listsOf([other, other]) }, 1000],
    ['a list became empty', true, base, { ...base, ...listsOf([set, none]) }, 1000],
    ['a list went away', true, base, { ...base, ...listsOf([set]) }, 1000],
    ['a list that no rule uses came', true, base, { ...base, ...listsOf([set, other, set]) }, 1000],
    [
      'a rule for everything came into a policy that asks about addresses only',
      false,
      base,
      byLists([set, other], [{ ...MATCH, action: 'drop', remote: { kind: 'any' } }]),
      1000,
    ],
    [
      'a rule for a list that no rule asked about came',
      false,
      { ...base, ...listsOf([set, other, set]) },
      byLists([set, other, set]),
      1000,
    ],
    [
      'a rule for a list went',
      true,
      byLists([set, other]),
      { ...byLists([set]), ...listsOf([set, other]) },
      1000,
    ],
    [
      'rules came to a run and left it',
      true,
      byRules('10.0.0.0/24', '10.0.2.0/25'),
      byRules('10.0.1.0/24', '10.0.0.0/24'),
      1000,
    ],
    [
      'rules of one run became two runs',
      true,
      byRules('10.0.0.0/24'),
      byRules('10.0.0.0/24', '2001:db8::/48'),
      1000,
    ],
    [
      'a run that another equals changed',
      true,
      twice(byRules('10.0.0.0/24')),
      twice(byRules('10.0.1.0/24')),
      1000,
    ],
    ['time went by', true, expiring, expiring, 1999],
    ['a rule expired', false, expiring, expiring, 2000],
    ['time went back', false, expiring, expiring, 999],
  ])('%s: %s', (_, expected, before, after, now) => {
    expect(isEdit(before, after, now)).toBe(expected);
  });

  it('a list that was empty is compiled in full', () => {
    const empty = byLists([set, none]);
    expect(isEdit(empty, { ...empty, ...listsOf([set, other]) })).toBe(false);
  });

  const listOf = (...texts: readonly string[]): PrefixList => prefixListOf(prefixSetFrom(texts));
  const from = listOf('10.0.4.0/24', '10.0.6.0/24');
  const to = listOf('10.0.5.0/24', '10.0.6.0/24');
  const known = { v4: diffPrefixes(from.v4, to.v4), v6: diffPrefixes(from.v6, to.v6) };
  const nothing = { removed: new Uint32Array(0), added: columnOf([], 4) };
  it.each([
    ['takes changes that its caller knows without comparing', { before: from, after: to, ...known }],
    [
      'takes a prefix that left and joined at once as one that stayed',
      { before: from, after: to, ...known, v4: { removed: Uint32Array.of(0, 1), added: to.v4 } },
    ],
    ['compares where changes are from another list', { before: to, after: to, ...known, v4: nothing }],
    ['compares where changes are to another list', { before: from, after: from, ...known, v4: nothing }],
  ])('%s', (_, change) => {
    const before = { ...base, lists: new Map([...base.lists, ['l0', from]]) };
    const after = { ...base, lists: new Map([...base.lists, ['l0', to]]) };
    const table = new Table();
    table.flip(table.prepare(before, ENVIRONMENT));
    const prepared = table.prepare(after, ENVIRONMENT, new Map([['l0', change]]));
    expect(prepared.isEdit).toBe(true);
    table.flip(prepared);
    for (const text of ['10.0.3.255/32', '10.0.4.1/32', '10.0.5.1/32', '10.0.6.1/32', '10.0.7.0/32']) {
      checkPacket(table, after, ENVIRONMENT, egressTo(prefixFrom(text)), text);
    }
  });

  it('makes classes that no address had before, with programs that know them', () => {
    const random = new Random(5);
    let sets = Array.from({ length: 12 }, (_, i) => prefixSetOf([prefixOf(4, [i << 24], 8)]));
    let ruleSet = byLists(sets);
    const table = new Table();
    table.flip(table.prepare(ruleSet, ENVIRONMENT));
    const seen: Prefix[] = [];
    let full = 0;
    for (let step = 0; step < 60; step++) {
      sets = sets.map((before) => {
        const host = prefixOf(4, [random.below(12) << 24], 20 + random.below(12));
        seen.push(host);
        return { ...before, v4: unionPrefixes(before.v4, columnOf([host], 4)) };
      });
      ruleSet = { ...ruleSet, ...listsOf(sets) };
      const prepared = table.prepare(ruleSet, ENVIRONMENT);
      if (!prepared.isEdit) full++;
      table.flip(prepared);
      for (const address of edgeAddresses(seen.slice(-24))) {
        checkPacket(table, ruleSet, ENVIRONMENT, egressTo(address), `step ${step}`);
      }
    }
    expect(table.stats().classes).toBeGreaterThan(100);
    expect([1, 2]).toContain(full); // where values of a byte are not enough any more
  });
});

function runsFrom(rules: readonly Rule[]): Runs {
  const runs = new RunBuilder();
  for (const rule of rules) runs.push(rule);
  return runs.build();
}

describe('an edit of rules', () => {
  /** A rule set with a rule that came, went or gave way to another, in some block of some policy. */
  function withOtherRule(random: Random, ruleSet: RuleSet, rule: () => Rule): RuleSet {
    const policy = random.pick([...ruleSet.policies.values()]);
    const isReserved = ['default', 'common', 'first'].includes(policy.name);
    const direction = policy.name !== 'default' && random.chance(0.3) ? 'ingress' : 'egress';
    const stands = !isReserved && random.chance(0.3) ? policy.exceptions : policy;
    const rules = [...rulesIn(stands[direction])];
    const at = random.below(rules.length + 1);
    rules.splice(at, random.below(2), ...Array.from({ length: random.below(3) }, rule));
    const runs = { egress: stands.egress, ingress: stands.ingress, [direction]: runsFrom(rules) };
    const other = stands === policy ? { ...policy, ...runs } : { ...policy, exceptions: runs };
    return { ...ruleSet, policies: new Map([...ruleSet.policies, [policy.name, other]]) };
  }

  it.each<readonly [string, Partial<TableLimits>]>([
    ['with shapes', {}],
    ['with lists and maps', { combined: 0 }],
  ])('answers like the evaluator at all edges, after any number of them: %s', (_, limits) => {
    let edits = 0;
    let steps = 0;
    for (let seed = 0; seed < often(12, 60); seed++) {
      const first = randomCase(seed, seed % 3 === 0 ? 200 : 40);
      const { environment } = first;
      let { ruleSet } = first;
      const random = new Random(seed ^ 0x5e7);
      const seen = [...first.prefixes];
      const pool = poolOf(random, seen, 0.5);
      // Rules that never end; those that do are compiled.
      const rule = (): Rule => ({ ...randomRule(random, pool), expire: undefined });
      const table = new Table({ limits });
      table.flip(table.prepare(ruleSet, environment));
      for (let step = 0; step < 12; step++) {
        const before = ruleSet;
        for (let i = random.below(3); i >= 0; i--) ruleSet = withOtherRule(random, ruleSet, rule);
        if (random.chance(0.3)) {
          const lists = new Map(ruleSet.lists);
          for (const [name, list] of lists)
            if (list.kind === 'prefixes' && random.chance(0.5))
              lists.set(name, prefixListOf(changed(random, list, pool)));
          ruleSet = { ...ruleSet, lists };
        }
        if (random.chance(0.2)) table.prepare(withOtherRule(random, before, rule), environment); // and forgotten
        const prepared = table.prepare(ruleSet, environment);
        const addresses = edgeAddresses(seen);
        for (let i = 0; i < 10; i++)
          checkPacket(
            table,
            before,
            environment,
            randomPacket(random, addresses),
            `seed ${seed}, before step ${step}`,
          );
        steps++;
        if (prepared.isEdit) edits++;
        table.flip(prepared);
        for (let i = 0; i < 60; i++)
          checkPacket(
            table,
            ruleSet,
            environment,
            randomPacket(random, addresses),
            `seed ${seed}, step ${step}`,
          );
      }
    }
    expect(edits / steps).toBeGreaterThan(0.3);
  });

  const host = (i: number, at: number): Rule => ({
    ...MATCH,
    action: i % 2 === 0 ? 'accept' : 'drop',
    proto: i % 3 === 0 ? 'tcp' : undefined,
    ports: i % 3 === 0 ? { first: 443, last: 443 } : undefined,
    remote: { kind: 'prefix', prefix: prefixOf(4, [at], 32) },
  });

  // A rule that came beside the only list had no effect, or batches answered with codes that there are not.
  it.each(['10.0.0.0/8', '10.0.0.0/16', '10.0.0.0/24', '10.0.0.1/32'])(
    'brings a third class to a table of two: %s',
    (text) => {
      const only: Rule = { ...MATCH, remote: { kind: 'list', list: 'l0' } };
      const more: Rule = { ...MATCH, remote: { kind: 'prefix', prefix: prefixFrom(text) } };
      const ruleSetOf = (rules: readonly Rule[]): RuleSet => ({
        ...byLists([prefixSetFrom(['10.1.0.0/24'])]),
        policies: new Map([['default', { ...emptyPolicy('default'), egress: runsFrom(rules) }]]),
      });
      const table = new Table();
      table.flip(table.prepare(ruleSetOf([only]), ENVIRONMENT));
      const after = ruleSetOf([only, more]);
      table.flip(table.prepare(after, ENVIRONMENT));
      for (const address of ['9.255.255.255/32', '10.0.0.1/32', '10.1.0.1/32', '10.1.1.0/32', '11.0.0.0/32'])
        checkPacket(table, after, ENVIRONMENT, egressTo(prefixFrom(address)), address);
    },
  );

  it('that makes rows for all of many policies is compiled in full', () => {
    const everywhere = prefixSetOf([prefixOf(4, [0], 1), prefixOf(4, [0x80000000], 1)]);
    const policies = (count: number, common: readonly Rule[]): RuleSet['policies'] =>
      new Map([
        ['common', { ...emptyPolicy('common'), egress: runsFrom(common) }],
        ...Array.from({ length: count }, (_, p): [string, Policy] => {
          const hosts = Array.from({ length: 50 }, (__, i) => host(i, 0x0a000000 + p * 50 + i));
          const prefixes = prefixSetOf([prefixOf(4, [0xc0a80000 + p], 32)]);
          return [`p${p}`, { ...emptyPolicy(`p${p}`), prefixes, egress: runsFrom(hosts) }];
        }),
      ]);
    const asked: Rule = { ...MATCH, proto: 'tcp', remote: { kind: 'list', list: 'l0' } };
    const other: Rule = { ...asked, ports: { first: 443, last: 443 } };
    for (const [count, isPlaced] of [
      [10, true],
      [60, false],
    ] as const) {
      const table = new Table();
      const ruleSetOf = (common: readonly Rule[]): RuleSet => ({
        ...EMPTY_RULE_SET,
        lists: new Map([['l0', prefixListOf(everywhere)]]),
        policies: policies(count, common),
      });
      table.flip(table.prepare(ruleSetOf([asked]), ENVIRONMENT));
      expect(table.prepare(ruleSetOf([asked, other]), ENVIRONMENT).isEdit, `${count} policies`).toBe(
        isPlaced,
      );
    }
  });

  it('keeps up with rules that come one by one at one place, and loses no hit', () => {
    let rules = Array.from({ length: 300 }, (_, i) => host(i, 0x0a000000 + i));
    const ruleSetOf = (): RuleSet => ({
      ...EMPTY_RULE_SET,
      policies: new Map([['default', { ...emptyPolicy('default'), egress: runsFrom(rules) }]]),
    });
    const table = new Table();
    table.flip(table.prepare(ruleSetOf(), ENVIRONMENT));
    let full = 0;
    for (let i = 0; i < 120; i++) {
      rules = rules.toSpliced(150, 0, host(i + 1, 0x0a010000 + i));
      const prepared = table.prepare(ruleSetOf(), ENVIRONMENT);
      if (!prepared.isEdit) full++;
      const { hits } = table.stats();
      table.flip(prepared);
      expect(table.stats().hits).toBe(hits);
      for (const rule of [rules[149], rules[150], rules[151], rules[299], rules[0]]) {
        if (rule?.remote.kind !== 'prefix') throw new TypeError('a rule for a host');
        const { prefix } = rule.remote;
        const packet = { ...egressTo(prefix), proto: 6, port: 443 };
        checkPacket(table, ruleSetOf(), ENVIRONMENT, packet, `insert ${i}`);
        table.reader.lookup(packet);
      }
      const own = table.hits().programs[0]?.own ?? [];
      const byRun = runsFrom(rules);
      expect(own.length).toBe(byRun.count);
      expect(table.stats().runs).toBe(byRun.count);
    }
    expect(full).toBeLessThan(20);
  });
});
