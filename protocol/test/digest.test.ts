import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import {
  type Family,
  NO_RULES,
  NO_RUNS,
  nameListOf,
  namesOf,
  type Policy,
  PrefixBuilder,
  type Prefixes,
  prefixListOf,
  RunBuilder,
  type Runs,
  rulesIn,
} from '@rulecast/rules';
import { describe, expect, it } from 'vitest';
import { mulberryWords } from '../../test/kit/random.mjs';
import { prefixSetFrom, runsFrom } from '../../test/kit/rules.ts';
import fc from '../../test/seeded-fast-check.ts';
import { catalogueDigest, catalogueOf, type PartRecord } from '../src/content/catalogue.ts';
import { columnLeaves, digestOf, nameLeaves, ruleLeaves } from '../src/content/digest.ts';
import { LEAF_ENTRIES } from '../src/content/leaf.ts';
import { PartKind, partOfList } from '../src/content/part.ts';
import { largeList, largeNames, largePolicy, largeResolutions } from './large-parts.ts';
import { hexOf, partOf, ruleSetOf } from './part-spec.ts';
import { type PartSpec, slowCatalogue, slowDigest, slowRecord } from './slow-encoder.ts';

const LARGE = {
  list: largeList(),
  names: largeNames(),
  policy: largePolicy(),
  resolutions: largeResolutions(),
} as const;
const vectors: { readonly large: readonly { kind: keyof typeof LARGE; about: string; digest: string }[] } =
  JSON.parse(readFileSync(new URL('../vectors/canonical.json', import.meta.url), 'utf8'));

type Leaves = ReturnType<typeof columnLeaves>;

/** The hashes of leaves, hex. */
function hashesOf({ ends, hashes }: Leaves): readonly string[] {
  return Array.from(ends, (_, i) => hexOf(hashes.subarray(i * 32, (i + 1) * 32)));
}

/** A canonical column of /32 or /128 addresses: the given low words. */
function columnOf(family: Family, words: readonly number[]): Prefixes {
  const builder = new PrefixBuilder(family);
  for (const word of [...new Set(words)].sort((a, b) => a - b)) {
    const own = family === 4 ? [word] : [0x20010db8, word >>> 16, 0, (word << 16) >>> 0];
    builder.push(Uint32Array.from(own), 0, family === 4 ? 32 : 128);
  }
  return builder.build();
}

describe('digests', () => {
  //
  it.each(vectors.large)('are those of the vector, of several leaves: $about', ({ kind, digest }) => {
    expect(hexOf(digestOf(partOf(LARGE[kind])))).toBe(digest);
    expect(slowDigest(LARGE[kind])).toBe(digest);
  });

  it.each([0, 1, LEAF_ENTRIES.v4, LEAF_ENTRIES.v4 + 1])(
    'of %i addresses are those of the slow twin',
    (count) => {
      const texts = Array.from({ length: count }, (_, i) => `10.${(i * 13) & 255}.${i >> 8}.${i & 255}/32`);
      const spec: PartSpec = { kind: 'list', name: 'l', prefixes: texts };
      expect(hexOf(digestOf(partOf(spec)))).toBe(slowDigest(spec));
    },
  );

  it('of the first and the last address, and of IPv6 that differs in its last bit', () => {
    const spec: PartSpec = {
      kind: 'list',
      name: 'l',
      prefixes: ['0.0.0.0/32', '255.255.255.255/32', '2001:db8::/128', '2001:db8::1/128'],
    };
    expect(hexOf(digestOf(partOf(spec)))).toBe(slowDigest(spec));
    const { v6 } = prefixSetFrom(spec.prefixes);
    expect([...columnLeaves(v6, undefined, 1).ends]).toEqual([1, 2]);
  });

  it('tell apart what is in other places of a policy', () => {
    const lines = ['action=accept'];
    const of = (policy: Partial<Policy>): string => {
      const own = {
        name: 'p',
        prefixes: prefixSetFrom([]),
        defaultAction: 'drop' as const,
        exceptions: NO_RUNS,
      };
      const whole: Policy = { ...own, egress: NO_RULES, ingress: NO_RULES, ...policy };
      return hexOf(digestOf({ kind: PartKind.policy, name: 'p', policy: whole }));
    };
    const egress = runsFrom('egress', lines);
    const all = [
      of({}),
      of({ egress }),
      of({ ingress: runsFrom('ingress', lines) }),
      of({ exceptions: { egress, ingress: NO_RULES } }),
      of({ exceptions: { egress: NO_RULES, ingress: runsFrom('ingress', lines) } }),
      of({ defaultAction: 'accept' }),
      of({ blocked: 'nxdomain' }),
      of({ blocked: 'refused' }),
      of({ unlisted: 'answer' }),
      of({ unlisted: 'nxdomain' }),
      of({ prefixes: prefixSetFrom(['10.0.0.0/8']) }),
    ];
    expect(new Set(all).size).toBe(all.length);
  });
});

describe('leaves of sorted columns', () => {
  const words = fc.array(fc.oneof(fc.integer({ min: 0, max: 40 }), fc.nat(0xffff_fffe)), { maxLength: 60 });

  it.each([4, 6] as const)('of IPv%i made from others are those made from nothing', (family) => {
    fc.assert(
      fc.property(words, words, fc.integer({ min: 1, max: 5 }), (kept, added, most) => {
        const before = columnOf(family, [...kept, ...added.slice(0, 3)]);
        columnLeaves(before, undefined, most);
        const next = [...kept.slice(1), ...added];
        const made = columnLeaves(columnOf(family, next), before, most);
        const afresh = columnLeaves(columnOf(family, next), undefined, most);
        expect(made).toEqual(afresh);
      }),
      { numRuns: 500 },
    );
  });

  it('hold no more than they may, and are renewed at most twofold by one change', () => {
    fc.assert(
      fc.property(words, fc.nat(0xffff_fffe), fc.integer({ min: 1, max: 5 }), (some, one, most) => {
        const without = some.filter((word) => word !== one);
        const before = columnLeaves(columnOf(4, without), undefined, most);
        const after = columnLeaves(columnOf(4, [...without, one]), undefined, most);
        const sizes = Array.from(after.ends, (end, i) => end - (after.ends[i - 1] ?? 0));
        expect(Math.max(0, ...sizes)).toBeLessThanOrEqual(most);
        const old = new Set(hashesOf(before));
        const fresh = hashesOf(after).filter((hash) => !old.has(hash));
        expect(fresh.length).toBeLessThanOrEqual(2);
        const next = new Set(hashesOf(after));
        expect(hashesOf(before).filter((hash) => !next.has(hash)).length).toBeLessThanOrEqual(2);
      }),
      { numRuns: 500 },
    );
  });

  //
  it('of names made from others are those made from nothing', () => {
    const name = fc.stringMatching(/^[a-c]{1,3}\.[a-b]{1,2}$/);
    const list = fc.uniqueArray(name, { maxLength: 30 });
    fc.assert(
      fc.property(list, list, fc.integer({ min: 1, max: 4 }), (a, b, most) => {
        const before = namesOf(a);
        nameLeaves(before, undefined, most);
        const next = [...new Set([...a.slice(1), ...b])];
        expect(nameLeaves(namesOf(next), before, most)).toEqual(nameLeaves(namesOf(next), undefined, most));
      }),
      { numRuns: 300 },
    );
  });

  it('of a list of 100,000 are hashed anew only where it changed', () => {
    const random = mulberryWords(5);
    const before = columnOf(
      4,
      Array.from({ length: 100_000 }, () => random()),
    );
    const old = new Set(hashesOf(columnLeaves(before)));
    const all = Array.from(before.words);
    const after = columnOf(4, [...all.slice(0, 500), ...all.slice(501), 0x0102_0304]);
    const fresh = hashesOf(columnLeaves(after, before)).filter((hash) => !old.has(hash));
    expect(old.size).toBeGreaterThan(60);
    expect(fresh.length).toBeLessThanOrEqual(4);
  });
});

describe('leaves of rules', () => {
  const LINES = [
    ...Array.from({ length: 12 }, (_, i) => `action=drop dst4=10.0.${i}.0/24`),
    ...Array.from({ length: 4 }, (_, i) => `action=drop dst6=2001:db8:${i}::/48`),
    'action=accept dsthost=a.example',
    'action=drop dst=@bad',
    'action=accept proto=tcp dstports=80-81',
  ];
  const limits = { least: 2, most: 6, mask: 3 };
  const lines = fc.array(fc.constantFrom(...LINES), { maxLength: 60 });

  function rulesOf(all: Runs): readonly string[] {
    return Array.from(rulesIn(all), (rule) => JSON.stringify(rule));
  }

  it('hold every rule once, and as many as they may', () => {
    fc.assert(
      fc.property(lines, (texts) => {
        const all = runsFrom('egress', texts);
        const { ends } = ruleLeaves(all, undefined, limits);
        const sizes = Array.from(ends, (end, i) => end - (ends[i - 1] ?? 0));
        expect(ends.at(-1) ?? 0).toBe(rulesOf(all).length);
        expect(Math.max(0, ...sizes)).toBeLessThanOrEqual(limits.most);
        expect(sizes.slice(0, -1).every((size) => size >= limits.least)).toBe(true);
      }),
      { numRuns: 300 },
    );
  });

  it('are of the rules alone, and begin again where a leaf ends', () => {
    fc.assert(
      fc.property(lines, lines, (head, tail) => {
        const all = ruleLeaves(runsFrom('egress', [...head, ...tail]), undefined, limits);
        const at = [...all.ends].findIndex((end) => end >= head.length);
        const rest = [...head, ...tail].slice(all.ends[at] ?? head.length + tail.length);
        const after = ruleLeaves(runsFrom('egress', rest), undefined, limits);
        expect(hashesOf(all).slice(at + 1)).toEqual(at < 0 ? hashesOf(all) : hashesOf(after));
      }),
      { numRuns: 300 },
    );
  });

  //
  it('after others are those of the rules alone', () => {
    const some = fc.array(fc.constantFrom(...LINES), { maxLength: 8 });
    const many = Array.from({ length: 80 }, (_, i) => LINES[(i * 5) % LINES.length] ?? '');
    fc.assert(
      fc.property(lines, some, some, lines, (head, gone, come, tail) => {
        const [before, alone] = [gone, come].map((middle) =>
          runsFrom('egress', [...many, ...head, ...middle, ...tail]),
        );
        if (before === undefined || alone === undefined) throw new TypeError('two of them');
        ruleLeaves(before, undefined, limits);
        expect(ruleLeaves({ ...alone }, before, limits)).toEqual(ruleLeaves(alone, undefined, limits));
      }),
      { numRuns: 100 },
    );
  });

  it('of 20,000 rules differ by few where one rule is put in', () => {
    const many = (insert: boolean): Runs => {
      const builder = new RunBuilder();
      const [rule] = rulesIn(runsFrom('egress', ['action=drop']));
      if (rule === undefined) throw new TypeError('one line, one rule');
      for (let i = 0; i < 20_000; i++) {
        if (insert && i === 7000) builder.pushPrefix(rule, 4, Uint32Array.of(0x01000000), 0, 32);
        builder.pushPrefix(rule, 4, Uint32Array.of(0x0a00_0000 + i * 3), 0, 32);
      }
      return builder.build();
    };
    const before = new Set(hashesOf(ruleLeaves(many(false))));
    const after = hashesOf(ruleLeaves(many(true)));
    expect(before.size).toBeGreaterThan(20);
    expect(after.filter((hash) => !before.has(hash)).length).toBeLessThanOrEqual(4);
  });
});

describe('a catalogue', () => {
  const specs: readonly PartSpec[] = [
    { kind: 'list', name: 'b', prefixes: ['10.0.0.0/8'] },
    { kind: 'list', name: 'a', prefixes: ['11.0.0.0/8', '2001:db8::/32'] },
    { kind: 'names', name: 'n', resolve: false, names: ['a.example'] },
    {
      kind: 'policy',
      name: 'p',
      defaultAction: 'drop',
      prefixes: [],
      egress: ['action=accept'],
      ingress: [],
    },
    { kind: 'resolutions', names: { 'a.example': ['10.0.0.1/32'] } },
    { kind: 'unmatched', action: 'drop' },
  ];

  it('has a record of each part, sorted, and their totals', () => {
    const { records, digest, ...rest } = catalogueOf(ruleSetOf(specs));
    const slow = specs.map(slowRecord).sort((x, y) => x.kind - y.kind || (x.name < y.name ? -1 : 1));
    expect(records.map((record) => ({ ...record, digest: hexOf(record.digest) }))).toEqual(slow);
    const bytes = slow.reduce((sum, record) => sum + record.bytes, 0);
    expect(rest).toMatchObject({ parts: 6, prefixes: 3, others: 4, bytes });
    expect(hexOf(digest)).toBe(slowCatalogue(slow));
  });

  it('takes the very records of what did not change', () => {
    const before = ruleSetOf(specs);
    const after = { ...before, lists: new Map(before.lists) };
    after.lists.set('c', nameListOf(['b.example'], false));
    const [old, next] = [catalogueOf(before), catalogueOf(after, before)];
    const made = next.records.filter((record) => !old.records.includes(record));
    expect(made.map(({ name }) => name)).toEqual(['c']);
    expect(next.digest).toEqual(catalogueOf({ ...after }).digest);
  });

  it('of any records is that of the slow twin, after any change', () => {
    const record = fc.record({
      kind: fc.constantFrom(1 as const, 3 as const),
      name: fc.stringMatching(/^[a-c]{1,3}$/),
      count: fc.nat(9),
      bytes: fc.nat(9),
    });
    fc.assert(
      fc.property(fc.array(record, { maxLength: 20 }), fc.nat(20), (some, at) => {
        const byKey = new Map(some.map((one) => [`${one.kind} ${one.name}`, one]));
        const sorted = [...byKey].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, one]) => one);
        const records = sorted.map(
          (one): PartRecord => ({ ...one, digest: new Uint8Array(32).fill(one.count) }),
        );
        const slow = (all: readonly PartRecord[]): string =>
          slowCatalogue(all.map((one) => ({ ...one, digest: hexOf(one.digest) })));
        expect(hexOf(catalogueDigest(records))).toBe(slow(records));
        const fewer = records.filter((_, i) => i !== at);
        expect(hexOf(catalogueDigest(fewer))).toBe(slow(fewer));
        expect(catalogueDigest(records, 2)).toEqual(
          catalogueDigest(
            records.map((one) => ({ ...one })),
            2,
          ),
        );
      }),
      { numRuns: 200 },
    );
  });

  it('of nothing has no leaf', () => {
    const bytes = Buffer.concat([Buffer.from('RDC1'), Buffer.alloc(8)]);
    expect(hexOf(catalogueDigest([]))).toBe(createHash('sha256').update(bytes).digest('hex'));
  });

  it('knows a list of prefixes from one that has the same words', () => {
    const { v4, v6 } = prefixSetFrom(['10.0.0.0/8']);
    const longer = { ...v4, words: v4.words.slice(), lengths: Uint8Array.of(9) };
    expect(digestOf(partOfList('l', prefixListOf({ v4, v6 })))).not.toEqual(
      digestOf(partOfList('l', prefixListOf({ v4: longer, v6 }))),
    );
  });
});
