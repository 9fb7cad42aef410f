import { readdirSync, readFileSync } from 'node:fs';
import {
  canonicalPrefixes,
  columnOf,
  EMPTY_RULE_SET,
  emptyPolicy,
  type Family,
  memberContaining,
  type Prefix,
  type PrefixSet,
  parsePrefix,
  plainRule,
  prefixListOf,
  prefixSetOf,
  type RuleSet,
  RunBuilder,
} from '@rulecast/rules';
import { describe, expect, it } from 'vitest';
import { Random } from '../../../test/kit/random.mjs';
import { Table } from '../src/index.ts';
import { decidingLists } from './lists.ts';
import { edgeAddresses } from './random-rule-set.ts';

const LISTS = new URL('../../../test/fixtures/lists/', import.meta.url);
const ENVIRONMENT = { now: 0, dns: [] };

/** Whatever reads as a prefix in the files of lists that people publish, a set for each file that has any. */
function realSets(): readonly PrefixSet[] {
  const sets: PrefixSet[] = [];
  for (const name of readdirSync(LISTS).sort()) {
    const text = readFileSync(new URL(name, LISTS), 'utf8');
    const prefixes: Prefix[] = [];
    for (const token of text.split(/[^0-9a-fA-F.:/]+/)) {
      if (!/[.:]/.test(token)) continue;
      const prefix = parsePrefix(token);
      if (typeof prefix !== 'string') prefixes.push(prefix);
    }
    if (prefixes.length > 0) sets.push(prefixSetOf(prefixes));
  }
  return sets;
}

function ruleSetOf(sets: readonly PrefixSet[]): RuleSet {
  const rules = new RunBuilder();
  for (const i of sets.keys()) {
    rules.push({
      ...plainRule(i % 2 === 0 ? 'drop' : 'accept'),
      remote: { kind: 'list', list: `l${i}` },
    });
  }
  const policy = { ...emptyPolicy('default'), egress: rules.build() };
  const lists = new Map(sets.map((set, i) => [`l${i}`, prefixListOf(set)]));
  return { ...EMPTY_RULE_SET, policies: new Map([['default', policy]]), lists };
}

describe('real lists', () => {
  const sets = realSets();

  it('are enough to mean something', () => {
    const count = sets.reduce((sum, { v4, v6 }) => sum + v4.lengths.length + v6.lengths.length, 0);
    expect(sets.length).toBeGreaterThan(5);
    expect(count).toBeGreaterThan(1000);
  });

  it.each([4, 6] as const)(
    'decides about each IPv%i edge by the first list that a search finds it in',
    (family) => {
      const table = new Table();
      table.flip(table.prepare(ruleSetOf(sets), ENVIRONMENT));
      checkLists(table, sets, family);
      // The lists shifted by one, as an edit.
      const shifted = [...sets.slice(1), ...sets.slice(0, 1)];
      const { policies } = ruleSetOf(sets);
      table.flip(table.prepare({ ...ruleSetOf(shifted), policies }, ENVIRONMENT));
      checkLists(table, shifted, family);
    },
  );
});

function checkLists(table: Table, sets: readonly PrefixSet[], family: Family): void {
  const random = new Random(1);
  const columns = sets.map(({ v4, v6 }) => (family === 4 ? v4 : v6));
  const sample: Prefix[] = [];
  for (const { words, lengths } of columns) {
    const stride = family === 4 ? 1 : 4;
    for (let i = 0; i < Math.min(300, lengths.length); i++) {
      const at = random.below(lengths.length);
      sample.push({ family, words: words.slice(at * stride, (at + 1) * stride), length: lengths[at] ?? 0 });
    }
  }
  const addresses = edgeAddresses([...sample, ...ends(family)]);
  const words = Uint32Array.from(addresses.flatMap((address) => [...address.words]));
  const expected = addresses.map((address) => {
    const list = columns.findIndex((column) => memberContaining(column, address.words) >= 0);
    return list < 0 ? undefined : `l${list}`;
  });
  expect(decidingLists(table, family, words)).toEqual(expected);
}

function ends(family: Family): readonly Prefix[] {
  const everything = canonicalPrefixes(
    columnOf([{ family, words: new Uint32Array(family === 4 ? 1 : 4), length: 0 }], family),
  );
  return [{ family, words: everything.words, length: 0 }];
}
