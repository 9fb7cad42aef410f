import { readFileSync } from 'node:fs';
import { deflateRawSync } from 'node:zlib';
import {
  canonicalPrefixes,
  comparePrefixAt,
  EMPTY_RULE_SET,
  NO_RULES,
  NO_RUNS,
  nameListOf,
  type Policy,
  PrefixBuilder,
  type Prefixes,
  plainRule,
  prefixListOf,
  type RuleSet,
  RunBuilder,
  ruleAt,
  ruleCount,
} from '@rulecast/rules';
import { describe, expect, it } from 'vitest';
import { flipped } from '../../test/kit/bytes.ts';
import { mulberryWords } from '../../test/kit/random.mjs';
import { prefixSetFrom, runsFrom } from '../../test/kit/rules.ts';
import fc from '../../test/seeded-fast-check.ts';
import { cases, often } from '../../test/thorough.ts';
import {
  applyChain,
  applyDelta,
  applyDeltas,
  decodeChain,
  diffRuleSets,
  encodeChain,
  encodeDelta,
} from '../src/codec/delta.ts';
import { Budget } from '../src/content/budget.ts';
import { canonicalBytes } from '../src/content/canonical.ts';
import { manifestFor, verifyRuleSet } from '../src/content/catalogue.ts';
import { digestOf } from '../src/content/digest.ts';
import { type Part, PartKind, partOfList, partsOf, partText } from '../src/content/part.ts';
import { ProtocolError } from '../src/error.ts';
import { ENTRIES_MAX } from '../src/limits.ts';
import { bytesOfHex, hexOf, ruleSetOf, ruleSetOfParts } from './part-spec.ts';
import { ascii, le, leb128, type PartSpec, slowCanonical, slowDelta, slowPlanes } from './slow-encoder.ts';

interface Vectors {
  readonly deltas: readonly {
    name: string;
    before: readonly PartSpec[];
    after: readonly PartSpec[];
    hex: string;
    decodeOnly?: boolean;
  }[];
  readonly refused: {
    readonly before: readonly PartSpec[];
    readonly deltas: readonly { name: string; hex: string; code: string }[];
  };
}
const vectors: Vectors = JSON.parse(readFileSync(new URL('../vectors/delta.json', import.meta.url), 'utf8'));
/** What is patched by hand. */
const HAND_WRITTEN = new Set(['policy', 'resolutions']);
const identity = { lineage: new Uint8Array(16), epoch: 1, version: 1, previousVersion: 0, createdAtMs: 0 };

/** Rule sets as text, for equality by value. */
function textOf(ruleSet: RuleSet): readonly string[] {
  return partsOf(ruleSet).map((part) => `${partText(part)} ${hexOf(canonicalBytes(part))}`);
}

function encoded(before: RuleSet, after: RuleSet): Uint8Array {
  return encodeDelta(diffRuleSets(before, after));
}

/** Encodes and applies a delta, and checks the result against the expected manifest. */
function expectDelta(before: RuleSet, after: RuleSet): Uint8Array {
  const bytes = encoded(before, after);
  const result = applyDelta(before, bytes);
  verifyRuleSet(manifestFor(after, identity), result);
  expect(diffRuleSets(after, result).changes).toEqual([]);
  return bytes;
}

/** The column with about one in `share` prefixes replaced by others. */
function churned(column: Prefixes, random: () => number, share: number): Prefixes {
  const builder = new PrefixBuilder(column.family);
  for (let i = 0; i < column.lengths.length; i++) {
    if (random() % share !== 0) builder.push(column.words, i, column.lengths[i] ?? 0);
    if (random() % share === 0) pushRandom(builder, random);
  }
  return canonicalPrefixes(builder.build());
}

/** Prefix lengths as blocklists have them: mostly hosts, some networks. */
function pushRandom(builder: PrefixBuilder, random: () => number): void {
  const words = Uint32Array.from([random(), random(), random(), random()]);
  if (builder.family === 4) {
    const length = [32, 32, 32, 24, 24, 22, 19, 28][random() % 8] ?? 32;
    words[0] = ((words[0] ?? 0) & (-1 << (32 - length))) >>> 0;
    builder.push(words, 0, length);
  } else {
    words[0] = 0x2a000000 + (random() % 4096);
    words.fill(0, 2);
    const length = [48, 64, 33, 40][random() % 4] ?? 48;
    words[1] = length === 64 ? (words[1] ?? 0) : ((words[1] ?? 0) & (-1 << (64 - length))) >>> 0;
    builder.push(words, 0, length);
  }
}

function randomColumn(family: 4 | 6, count: number, random: () => number): Prefixes {
  const builder = new PrefixBuilder(family, count);
  for (let i = 0; i < count; i++) pushRandom(builder, random);
  return canonicalPrefixes(builder.build());
}

function listSet(v4: Prefixes, v6: Prefixes): RuleSet {
  return ruleSetOfParts([partOfList('l', prefixListOf({ v4, v6 }))]);
}

function policySet(lines: readonly string[], header: Partial<Policy> = {}): RuleSet {
  const policy: Policy = {
    name: 'p',
    prefixes: prefixSetFrom([]),
    defaultAction: 'drop',
    exceptions: NO_RUNS,
    egress: runsFrom('egress', lines),
    ingress: NO_RULES,
    ...header,
  };
  return ruleSetOfParts([{ kind: PartKind.policy, name: 'p', policy }]);
}

describe('a delta', () => {
  it.each(vectors.deltas)(
    'has the bytes and the effect of the vector: $name',
    ({ before, after, hex, decodeOnly }) => {
      const from = ruleSetOf(before);
      const to = ruleSetOf(after);
      expect(textOf(applyDelta(from, bytesOfHex(hex)))).toEqual(textOf(to));
      if (decodeOnly === true) return;
      expect(hexOf(encoded(from, to))).toBe(hex.replaceAll(' ', ''));
      const hasTwin = !before.some(({ kind }) => HAND_WRITTEN.has(kind));
      if (hasTwin)
        expect(
          slowDelta(before, after)
            .filter((field) => field !== '')
            .join(' '),
        ).toBe(hex);
    },
  );

  //
  it.each(vectors.refused.deltas)('is refused: $name', ({ hex, code }) => {
    expect(() => applyDelta(ruleSetOf(vectors.refused.before), bytesOfHex(hex))).toThrow(
      expect.objectContaining({ name: 'ProtocolError', code }),
    );
  });

  it('is empty where the content is equal, whatever objects hold it', () => {
    for (const { after } of vectors.deltas) {
      expect(diffRuleSets(ruleSetOf(after), ruleSetOf(after)).changes).toEqual([]);
    }
  });

  it('is refused wherever it is cut', () => {
    for (const { before, hex } of vectors.deltas) {
      const from = ruleSetOf(before);
      const bytes = bytesOfHex(hex);
      for (let end = 0; end < bytes.length; end++) {
        expect(() => applyDelta(from, bytes.subarray(0, end))).toThrow(ProtocolError);
      }
    }
  });

  it('with any bit flipped is refused, or makes a rule set that its manifest does not pass unless it is the same', () => {
    let refused = 0;
    let caught = 0;
    for (const { before, after, hex } of vectors.deltas) {
      const from = ruleSetOf(before);
      const wanted = textOf(ruleSetOf(after));
      const manifest = manifestFor(ruleSetOf(after), identity);
      const bytes = bytesOfHex(hex);
      for (let bit = 0; bit < bytes.length * 8; bit++) {
        const damaged = flipped(bytes, bit);
        let result: RuleSet | undefined;
        try {
          result = applyDelta(from, damaged);
          verifyRuleSet(manifest, result);
          expect(textOf(result)).toEqual(wanted);
        } catch (error) {
          if (!(error instanceof ProtocolError)) throw error;
          if (result === undefined) refused++;
          else caught++;
        }
      }
    }
    expect(refused).toBeGreaterThan(500);
    expect(caught).toBeGreaterThan(500);
  });

  it('after others makes what they make one by one, more of them than a transfer has too', () => {
    const states = Array.from({ length: 1100 }, (_, i) =>
      ruleSetOf([{ kind: 'list', name: `l${i % 3}`, prefixes: [`10.${i >> 8}.${i & 255}.0/24`] }]),
    );
    const deltas = states.map((after, i) => encoded(states[i - 1] ?? ruleSetOf([]), after));
    const oneByOne = deltas.reduce((before, delta) => applyDelta(before, delta), ruleSetOf([]));
    const made = applyDeltas(ruleSetOf([]), deltas);
    expect(textOf(made)).toEqual(textOf(oneByOne));
    expect(textOf(made)).toEqual(textOf(states.at(-1) ?? ruleSetOf([])));
    const [first = new Uint8Array()] = deltas;
    expect(() => applyDeltas(made, [first, first])).toThrow(ProtocolError);
  });

  it('keeps the objects of parts that do not change', () => {
    const before = ruleSetOf([
      { kind: 'list', name: 'a', prefixes: ['10.0.0.0/8'] },
      { kind: 'list', name: 'b', prefixes: ['11.0.0.0/8'] },
      { kind: 'policy', name: 'p', defaultAction: 'drop', prefixes: [], egress: ['accept'], ingress: [] },
      { kind: 'resolutions', names: { 'a.example': ['10.0.0.1/32'] } },
    ]);
    const after = { ...before, lists: new Map(before.lists).set('b', nameListOf(['a.example'], false)) };
    const result = applyDelta(before, encoded(before, after));
    expect(result.lists.get('a')).toBe(before.lists.get('a'));
    expect(result.policies.get('p')).toBe(before.policies.get('p'));
    expect(result.resolutions).toBe(before.resolutions);
    expect(result.lists.get('b')).toEqual(after.lists.get('b'));
  });

  it('counts what is added, removed and left in each part', () => {
    const before = ruleSetOf([
      { kind: 'list', name: 'gone', prefixes: ['10.0.0.0/8', '::/0'] },
      { kind: 'list', name: 'l', prefixes: ['10.0.0.0/8', '11.0.0.0/8', '2001:db8::/32'] },
      { kind: 'names', name: 'n', resolve: false, names: ['a.example', 'b.example'] },
      {
        kind: 'policy',
        name: 'p',
        defaultAction: 'drop',
        prefixes: [],
        egress: ['accept', 'drop'],
        ingress: ['drop'],
      },
      { kind: 'resolutions', names: { 'a.example': ['10.0.0.1/32'], 'b.example': [] } },
    ]);
    const after = ruleSetOf([
      { kind: 'list', name: 'l', prefixes: ['10.0.0.0/8', '2001:db9::/32', '2001:dba::/32'] },
      { kind: 'names', name: 'n', resolve: true, names: ['a.example', 'b.example'] },
      { kind: 'names', name: 'new', resolve: false, names: ['a.example'] },
      {
        kind: 'policy',
        name: 'p',
        defaultAction: 'drop',
        prefixes: [],
        egress: ['drop'],
        ingress: ['drop', 'accept'],
      },
      { kind: 'resolutions', names: { 'a.example': ['10.0.0.2/32'], 'b.example': [] } },
    ]);
    const changes = diffRuleSets(before, after).changes.map((change) => {
      const { addedCount, removedCount, unchangedCount } = change;
      return [change.op, partText(change), addedCount, removedCount, unchangedCount];
    });
    expect(changes).toEqual([
      ['remove', 'list gone', 0, 2, 0],
      ['patch', 'list l', 2, 2, 1],
      ['patch', 'names n', 0, 0, 2],
      ['put', 'names new', 1, 0, 0],
      ['patch', 'policy p', 1, 1, 2],
      ['patch', 'resolutions', 1, 1, 1],
    ]);
    expectDelta(before, after);
  });
});

describe('the limit of entries', () => {
  const before = ruleSetOf([
    { kind: 'list', name: 'a', prefixes: ['10.0.0.0/8', '11.0.0.0/8'] },
    { kind: 'list', name: 'b', prefixes: ['10.0.0.0/8', '2001:db8::/32'] },
  ]);

  //
  it.each<[string, PartSpec, number]>([
    ['a list', { kind: 'list', name: 'c', prefixes: ['10.0.0.0/8', '::/0'] }, 6],
    ['names', { kind: 'names', name: 'c', resolve: false, names: ['a.example', 'b.example'] }, 6],
    [
      'the rules and prefixes of a policy',
      {
        kind: 'policy',
        name: 'p',
        defaultAction: 'drop',
        prefixes: ['10.0.0.0/8'],
        egress: ['accept'],
        ingress: ['drop'],
      },
      7,
    ],
    [
      'resolved names and their addresses',
      { kind: 'resolutions', names: { 'a.example': ['10.0.0.1/32'] } },
      6,
    ],
    [
      'a patched list',
      { kind: 'list', name: 'b', prefixes: ['10.0.0.0/8', '12.0.0.0/8', '2001:db8::/32'] },
      5,
    ],
    [
      'patched IPv6',
      { kind: 'list', name: 'b', prefixes: ['10.0.0.0/8', '2001:db8::/32', '2001:db9::/32'] },
      5,
    ],
  ])('counts %s with all that is there', (_, part, total) => {
    const specs: readonly PartSpec[] = [
      { kind: 'list', name: 'a', prefixes: ['10.0.0.0/8', '11.0.0.0/8'] },
      { kind: 'list', name: 'b', prefixes: ['10.0.0.0/8', '2001:db8::/32'] },
    ];
    const after = ruleSetOf([
      ...specs.filter((spec) => !('name' in part && 'name' in spec && spec.name === part.name)),
      part,
    ]);
    const bytes = encoded(before, after);
    expect(textOf(applyDelta(before, bytes, { entriesMax: total }))).toEqual(textOf(after));
    expect(() => applyDelta(before, bytes, { entriesMax: total - 1 })).toThrow(
      expect.objectContaining({ name: 'ProtocolError', code: 'over-limit' }),
    );
  });

  it('does not count what is replaced or removed', () => {
    const after = ruleSetOf([
      { kind: 'list', name: 'c', prefixes: ['10.0.0.0/8', '11.0.0.0/8', '12.0.0.0/8'] },
    ]);
    expect(textOf(applyDelta(before, encoded(before, after), { entriesMax: 3 }))).toEqual(textOf(after));
  });

  it.each(cases([], [65_536]))('of parts is %i', (count) => {
    const none = prefixListOf(prefixSetFrom([]));
    const parts = Array.from({ length: count + 1 }, (_, i) => partOfList(`l${i}`, none));
    const full = ruleSetOfParts(parts.slice(1));
    expect(applyDelta(EMPTY_RULE_SET, encoded(EMPTY_RULE_SET, full)).lists.size).toBe(count);
    expect(() => applyDelta(EMPTY_RULE_SET, encoded(EMPTY_RULE_SET, ruleSetOfParts(parts)))).toThrow(
      expect.objectContaining({ code: 'over-limit' }),
    );
  });
});

describe('a packed body', () => {
  const lines = Array.from({ length: 40 }, (_, i) => `action=drop dst4=10.0.${i}.0/24`);
  const spec: PartSpec = {
    kind: 'policy',
    name: 'p',
    defaultAction: 'drop',
    prefixes: [],
    egress: lines,
    ingress: [],
  };
  const raw = Buffer.from(slowCanonical(spec, slowPlanes).join(''), 'hex');
  const slowBytes = (part: PartSpec): number => slowCanonical(part).join('').length / 2;
  const deltaOf = (length: number, deflated: Uint8Array): Uint8Array => {
    const body = `01${le(length, 4)}${hexOf(deflated)}`;
    const claim = `50 ${leb128(2 * slowBytes(spec))}`;
    return bytesOfHex(`01 03 03 01 ${ascii('p')} ${claim} ${leb128(body.length / 2)} ${body}`);
  };

  it('inflates to its announced length', () => {
    const result = applyDelta(EMPTY_RULE_SET, deltaOf(raw.length, deflateRawSync(raw)));
    expect(textOf(result)).toEqual(textOf(ruleSetOf([spec])));
  });

  //
  it.each<[string, number, Uint8Array]>([
    ['more than announced', raw.length - 1, deflateRawSync(raw)],
    ['less than announced', raw.length + 1, deflateRawSync(raw)],
    ['nothing', 0, deflateRawSync(raw)],
    ['more than 64 MiB', 64 * 1024 * 1024 + 1, deflateRawSync(Buffer.alloc(64 * 1024 * 1024 + 1))],
    ['bytes after its end', raw.length, Buffer.concat([deflateRawSync(raw), Buffer.of(0)])],
    ['a torn end', raw.length, deflateRawSync(raw).subarray(0, -1)],
    ['no deflate at all', raw.length, Buffer.alloc(40, 0xff)],
  ])('is refused that holds %s', (_, length, deflated) => {
    expect(() => applyDelta(EMPTY_RULE_SET, deltaOf(length, deflated))).toThrow(
      expect.objectContaining({ name: 'ProtocolError', code: 'bad-delta', part: 'policy p' }),
    );
  });
});

describe('deltas of lists', () => {
  it.each([1, 2, 3])('follow the churn of 10,000 prefixes of both families (seed %i)', (seed) => {
    const random = mulberryWords(seed);
    let before = listSet(randomColumn(4, 10_000, random), randomColumn(6, 2000, random));
    expectDelta(EMPTY_RULE_SET, before);
    for (const share of [1000, 100, 10, 2]) {
      const list = before.lists.get('l');
      if (list?.kind !== 'prefixes') throw new TypeError('a list of prefixes was expected');
      const after = listSet(churned(list.v4, random, share), churned(list.v6, random, share));
      expectDelta(before, after);
      before = after;
    }
  });

  it('are smaller than what changed as text, and whole where nearly all changed', () => {
    const random = mulberryWords(7);
    const column = randomColumn(4, 10_000, random);
    const v6 = randomColumn(6, 0, random);
    const small = expectDelta(listSet(column, v6), listSet(churned(column, random, 200), v6));
    expect(small.length).toBeLessThan(600);
    expect(small[1]).toBe(2);
    const other = randomColumn(4, 10_000, random);
    expect(expectDelta(listSet(column, v6), listSet(other, v6))[1]).toBe(1);
  });

  it('follow any change of names', () => {
    const name = fc.stringMatching(/^[a-c]{1,3}\.[a-b]{1,2}$/);
    const who = fc.constantFrom(false, true, 'firewall' as const, 'firewall-private' as const);
    const list = fc.tuple(fc.uniqueArray(name, { maxLength: 30 }), who);
    fc.assert(
      fc.property(list, list, (a, b) => {
        const [before, after] = [a, b].map(([names, resolve]) =>
          ruleSetOfParts([partOfList('n', nameListOf(names, resolve))]),
        );
        if (before !== undefined && after !== undefined) expectDelta(before, after);
      }),
    );
  });
});

describe('a patch of few prefixes in a long list', () => {
  const many = Array.from({ length: 500 }, (_, i) => `10.${i >> 8}.${i & 255}.0/24`);
  const many6 = Array.from({ length: 500 }, (_, i) => `2001:db8:${i.toString(16)}::/48`);

  /** Members in the order of a delta, canonical or not. */
  function column(family: 4 | 6, members: readonly string[]): Prefixes {
    const { v4, v6 } = prefixSetFrom(members);
    return family === 4 ? v4 : v6;
  }

  /** The list with some members put in as they are, whatever they cover. */
  function withMembers(family: 4 | 6, members: readonly string[], added: readonly string[]): RuleSet {
    const before = column(family, members);
    const builder = new PrefixBuilder(family);
    const extra = added.map((text) => column(family, [text]));
    let i = 0;
    const pushBelow = (limit: Prefixes | undefined): void => {
      for (; i < before.lengths.length; i++) {
        if (limit !== undefined && comparePrefixAt(before, i, limit, 0) >= 0) return;
        builder.push(before.words, i, before.lengths[i] ?? 0);
      }
    };
    for (const one of extra) {
      pushBelow(one);
      builder.push(one.words, 0, one.lengths[0] ?? 0);
    }
    pushBelow(undefined);
    const empty = prefixSetFrom([]);
    const set = family === 4 ? { ...empty, v4: builder.build() } : { ...empty, v6: builder.build() };
    return ruleSetOfParts([
      { kind: PartKind.prefixList, name: 'l', list: { kind: 'prefixes', v4: set.v4, v6: set.v6 } },
    ]);
  }

  it.each([
    [4, ['9.0.0.0/8', '10.1.250.0/24', '11.0.0.0/8'], true],
    [6, ['2001:db7::/32', '2001:db9::/32'], true],
    [4, ['10.0.0.0/23'], false], // holds the first two
    [4, ['10.0.0.128/25'], false], // lies in the first
    [4, ['10.0.77.1/32'], false], // lies in one in the middle
    [4, ['10.1.243.255/32'], false], // lies in the last
    [4, ['0.0.0.0/0'], false], // holds all
    [6, ['2001:db8:64::/47'], false],
    [6, ['2001:db8:1f3::1/128'], false],
  ] as const)('IPv%d with %j is taken only if none covers another', (family, added, isSound) => {
    const members = family === 4 ? many : many6;
    const before = withMembers(family, members, []);
    const after = withMembers(family, members, added);
    const delta = encoded(before, after);
    if (isSound) expect(textOf(applyDelta(before, delta))).toEqual(textOf(after));
    else expect(() => applyDelta(before, delta)).toThrow(/lies within another, or holds one/);
  });

  // A list of one address that became a million was encoded twice, and its publisher waited for both.
  it.each([
    [1, 1024, 1],
    [2, 1024, 2],
    [2, 2048, 1],
  ])(
    'put lists whole where next to nothing stays, whatever a patch would save: of %i, %i more',
    (stay, come, op) => {
      const random = mulberryWords(13);
      const hosts = Array.from(
        { length: stay + come },
        () => `${random() & 127}.${random() & 255}.${random() & 255}.7`,
      );
      const [before, after] = [hosts.slice(0, stay), hosts].map((some) =>
        ruleSetOfParts([partOfList('l', prefixListOf(prefixSetFrom(some)))]),
      );
      if (before === undefined || after === undefined) throw new Error('two were made');
      expect(expectDelta(before, after)[1]).toBe(op);
    },
  );
});

describe('deltas of policies', () => {
  const LINES = [
    ...Array.from({ length: 12 }, (_, i) => `action=drop dst4=10.0.${i}.0/24`),
    ...Array.from(
      { length: 6 },
      (_, i) => `action=accept dst4=10.1.${i}.0/24 proto=tcp dstports=80-${80 + (i % 2)}`,
    ),
    ...Array.from({ length: 4 }, (_, i) => `action=drop dst6=2001:db8:${i}::/48`),
    'action=accept dsthost=a.example',
    'action=accept dsthost=b.example expire=1790000000',
    'action=drop dst=@bad',
    'action=drop dst=@worse comment=since autumn',
    'action=accept proto=icmp icmptype=8',
    'action=accept proto=udp specialtarget=dns',
    'action=accept',
  ];
  const rules = fc.array(fc.constantFrom(...LINES), { maxLength: 40 });

  it('follow any change of rules, repeated ones too', () => {
    fc.assert(
      fc.property(rules, rules, (a, b) => {
        expectDelta(policySet(a), policySet(b));
      }),
      { numRuns: often(60, 300) },
    );
  });

  it('follow any change of exceptions and rules together', () => {
    const few = fc.array(fc.constantFrom(...LINES), { maxLength: 4 });
    const said = fc.record(
      {
        blocked: fc.constantFrom('nxdomain', 'refused', 'null'),
        unlisted: fc.constantFrom('answer', 'nxdomain'),
      },
      { requiredKeys: [] },
    );
    fc.assert(
      fc.property(few, few, few, few, fc.boolean(), said, (a, b, c, d, accepts, names) => {
        const before = policySet(a, { exceptions: { egress: runsFrom('egress', c), ingress: NO_RULES } });
        const after = policySet(b, {
          exceptions: {
            egress: runsFrom('egress', d),
            ingress: runsFrom('ingress', accepts ? ['accept'] : []),
          },
          defaultAction: accepts ? 'accept' : 'drop',
          ...names,
        });
        expectDelta(before, after);
        expectDelta(after, before);
      }),
      { numRuns: often(60, 300) },
    );
  });

  it('leave the bytes of a policy without exceptions as they are', () => {
    const [part] = partsOf(policySet(['accept']));
    expect(part && hexOf(canonicalBytes(part)).slice(0, 8)).toBe(ascii('RCQ1'));
  });

  it('follow edits at random places', () => {
    const edit = fc.record({
      at: fc.nat(40),
      drop: fc.nat(3),
      insert: fc.array(fc.constantFrom(...LINES), { maxLength: 3 }),
    });
    fc.assert(
      fc.property(rules, fc.array(edit, { maxLength: 4 }), (lines, edits) => {
        const edited = [...lines];
        for (const { at, drop, insert } of edits) edited.splice(at, drop, ...insert);
        expectDelta(policySet(lines), policySet(edited));
      }),
      { numRuns: often(60, 300) },
    );
  });

  it('follow a change of prefixes and default action alone', () => {
    const before = policySet(['accept'], { prefixes: prefixSetFrom(['10.0.0.1/32']) });
    const after = policySet(['accept'], {
      prefixes: prefixSetFrom(['10.0.0.1/32', 'fd00::1/128']),
      defaultAction: 'accept',
    });
    expectDelta(before, after);
    expect(diffRuleSets(before, after).changes.map(({ op, addedCount }) => [op, addedCount])).toEqual([
      ['patch', 0],
    ]);
  });

  it('of 20,000 rules with a hundred edits drop and insert no rule too many, and name each once', () => {
    const random = mulberryWords(11);
    const before = manyRules(Array.from({ length: 20_000 }, (_, i) => i * 7));
    const numbers = Array.from({ length: 20_000 }, (_, i) => i * 7);
    for (let i = 0; i < 50; i++) numbers.splice(random() % numbers.length, 1);
    for (let i = 0; i < 50; i++) numbers.splice(random() % numbers.length, 0, 1_000_000 + i);
    const after = manyRules(numbers);
    const [change] = diffRuleSets(before, after).changes;
    expect(change).toMatchObject({ op: 'patch', addedCount: 50, removedCount: 50 });
    expect(expectDelta(before, after).length).toBeLessThan(1500);
  });

  it('keep the order of rules that moved', () => {
    const numbers = Array.from({ length: 500 }, (_, i) => i);
    const moved = [...numbers.slice(100), ...numbers.slice(0, 100)];
    const [before, after] = [manyRules(numbers), manyRules(moved)];
    expect(diffRuleSets(before, after).changes[0]).toMatchObject({
      addedCount: 100,
      removedCount: 100,
      unchangedCount: 400,
    });
    const result = applyDelta(before, encoded(before, after)).policies.get('p');
    const egress = result?.egress ?? NO_RULES;
    expect(ruleCount(egress)).toBe(500);
    expect(ruleAt(egress, 400)).toEqual(ruleAt(before.policies.get('p')?.egress ?? NO_RULES, 0));
  });

  it('put policies whole where a patch would be longer, and patch them where it would be shorter', () => {
    // A whole policy of this size deflates to less than the raw patch, whose bytes are in the vectors (35).
    const whole = expectDelta(policySet(['accept']), policySet(['drop dst4=10.0.0.0/8', 'accept']));
    expect(whole[1]).toBe(1);
    expect(whole.length).toBeLessThan(35);
    const numbers = Array.from({ length: 400 }, (_, i) => i);
    expect(expectDelta(manyRules(numbers), manyRules(numbers.slice(1)))[1]).toBe(2);
  });
});

/** A policy with a rule for each number: `drop` to the /30 of that number in 172.0.0.0/8. */
function manyRules(numbers: readonly number[]): RuleSet {
  const builder = new RunBuilder();
  const rule = plainRule('drop');
  for (const number of numbers) builder.pushPrefix(rule, 4, Uint32Array.of(0xac000000 + number * 4), 0, 30);
  const policy: Policy = {
    name: 'p',
    prefixes: prefixSetFrom([]),
    defaultAction: 'accept',
    exceptions: NO_RUNS,
    egress: builder.build(),
    ingress: NO_RULES,
  };
  return ruleSetOfParts([{ kind: PartKind.policy, name: 'p', policy }]);
}

describe('deltas of resolutions', () => {
  it('follow any change', () => {
    const addresses = fc.subarray(['10.0.0.1/32', '10.0.0.2/32', '2001:db8::1/128']);
    const names = fc.dictionary(
      fc.constantFrom('a.example', 'b.example', 'c.example', 'd.example'),
      addresses,
      { minKeys: 1 },
    );
    fc.assert(
      fc.property(names, names, (a, b) => {
        expectDelta(
          ruleSetOf([{ kind: 'resolutions', names: a }]),
          ruleSetOf([{ kind: 'resolutions', names: b }]),
        );
      }),
    );
  });

  it('come and go as a part', () => {
    const some = ruleSetOf([{ kind: 'resolutions', names: { 'a.example': [] } }]);
    expect(textOf(applyDelta(some, expectDelta(some, EMPTY_RULE_SET)))).toEqual([]);
    expect(diffRuleSets(some, EMPTY_RULE_SET).changes.map(({ op }) => op)).toEqual(['remove']);
  });
});

describe('what is said of unmatched qubes', () => {
  const states = (['drop', 'accept', undefined] as const).map((unmatched) => ({
    ...EMPTY_RULE_SET,
    unmatched,
  }));

  it('comes, changes and goes as a part', () => {
    for (const before of states) for (const after of states) expectDelta(before, after);
  });

  //
  it('accepts by the byte 1 alone', () => {
    for (let byte = 0; byte < 256; byte++) {
      const bytes = bytesOfHex(`01 03 05 00 02 0a 01 ${le(byte, 1)}`);
      if (byte > 1) expect(() => applyDelta(EMPTY_RULE_SET, bytes)).toThrow(ProtocolError);
      else expect(applyDelta(EMPTY_RULE_SET, bytes).unmatched).toBe(byte === 1 ? 'accept' : 'drop');
    }
  });
});

describe('a chain', () => {
  const states = [
    EMPTY_RULE_SET,
    ruleSetOf([{ kind: 'list', name: 'l', prefixes: ['10.0.0.0/8'] }]),
    ruleSetOf([{ kind: 'list', name: 'l', prefixes: ['11.0.0.0/8', '2001:db8::/32'] }]),
    ruleSetOf([{ kind: 'names', name: 'l', resolve: false, names: ['a.example'] }]),
  ];
  const steps = states.slice(1).map((state, i) => encoded(states[i] ?? EMPTY_RULE_SET, state));

  it('applies its deltas in order', () => {
    const bytes = encodeChain(steps);
    expect(decodeChain(bytes)).toEqual(steps);
    expect(textOf(applyChain(EMPTY_RULE_SET, bytes))).toEqual(textOf(states[3] ?? EMPTY_RULE_SET));
  });

  it.each([
    [16_000, undefined],
    [19_000, 'over-budget'],
  ])('through %i names of 247 bytes, which few bytes say, ends: %s', (count, code) => {
    const long = `${'a'.repeat(63)}.${'b'.repeat(63)}.${'c'.repeat(63)}.${'d'.repeat(46)}`;
    const texts = Array.from({ length: count }, (_, i) => `x${100_000 + i}.${long}`);
    const lists = new Map([['names', nameListOf(texts, false)]]);
    const large = { ...EMPTY_RULE_SET, lists };
    const result = states[1] ?? EMPTY_RULE_SET;
    const bytes = encodeChain([encoded(EMPTY_RULE_SET, large), encodeDelta(diffRuleSets(large, result))]);
    const budget = new Budget(EMPTY_RULE_SET, manifestFor(result, identity), ENTRIES_MAX);
    const apply = (): RuleSet => applyChain(EMPTY_RULE_SET, bytes, budget);
    if (code === undefined) expect(textOf(apply())).toEqual(textOf(result));
    else expect(apply).toThrow(expect.objectContaining({ code }));
  });

  it('has literal bytes', () => {
    const bytes = bytesOfHex('01 00 03 aabbcc');
    expect(decodeChain(bytes)).toEqual([bytesOfHex('00'), bytesOfHex('aabbcc')]);
    expect(encodeChain([bytesOfHex('00'), bytesOfHex('aabbcc')])).toEqual(bytes);
  });

  //
  it('has one to 1,024 deltas', () => {
    const empty = new Uint8Array(0);
    expect(decodeChain(encodeChain(Array(1024).fill(empty)))).toHaveLength(1024);
    expect(() => encodeChain([])).toThrow(RangeError);
    expect(() => encodeChain(Array(1025).fill(empty))).toThrow(RangeError);
    expect(() => decodeChain(empty)).toThrow(expect.objectContaining({ code: 'bad-delta' }));
    expect(() => decodeChain(new Uint8Array(1025))).toThrow(expect.objectContaining({ code: 'over-limit' }));
  });

  it('is refused wherever it is cut, and with bytes too many', () => {
    const bytes = encodeChain(steps);
    const ends = new Set<number>();
    steps.reduce((end, step) => {
      ends.add(end + 1 + step.length); // between two deltas, which is a chain of less
      return end + 1 + step.length;
    }, 0);
    for (let end = 0; end < bytes.length; end++) {
      if (ends.has(end)) expect(decodeChain(bytes.subarray(0, end)).length).toBeLessThan(steps.length);
      else expect(() => decodeChain(bytes.subarray(0, end))).toThrow(ProtocolError);
    }
    expect(() => applyChain(EMPTY_RULE_SET, Buffer.concat([bytes, Buffer.of(0)]))).toThrow(ProtocolError);
  });
});

describe('digests after a delta', () => {
  it('are those of the same content made afresh', () => {
    const random = mulberryWords(3);
    const column = randomColumn(4, 3000, random);
    const none = randomColumn(6, 0, random);
    const before = listSet(column, none);
    const after = listSet(churned(column, random, 20), none);
    const result = applyDelta(before, encoded(before, after));
    const digests = (ruleSet: RuleSet): readonly string[] =>
      partsOf(ruleSet).map((part: Part) => hexOf(digestOf(part)));
    expect(digests(result)).toEqual(digests(after));
    expect(digests(result)).not.toEqual(digests(before));
  });
});
