/** List expressions, against sets of single addresses. */

import { type List, nameListOf } from '@rulecast/rules';
import { describe, expect, it } from 'vitest';
import fc from '../../../test/seeded-fast-check.ts';
import { evaluateExpression, sameList, unionLists } from '../src/lists/expression.ts';
import { entriesOf, listOf } from './list-of.ts';

/** Prefixes of 192.0.2.0/28, so that every address can be looked at. */
const prefixes = fc
  .array(fc.tuple(fc.nat(15), fc.integer({ min: 28, max: 32 })), { maxLength: 8 })
  .map((pairs) =>
    pairs.map(([host, length]) => `192.0.2.${host & (0xf0 | (0xff << (32 - length)))}/${length}`),
  );

function addressesIn(entries: readonly string[]): ReadonlySet<number> {
  const found = new Set<number>();
  for (const entry of entries) {
    const [, host = '0', length = '32'] = /\.(\d+)\/(\d+)$/.exec(entry) ?? [];
    for (let i = 0; i < 2 ** (32 - Number(length)); i++) found.add(Number(host) + i);
  }
  return found;
}

const NAMES = ['a.example', 'b.example', 'c.example', 'd.example'];
const names = fc.subarray(NAMES);

describe('evaluateExpression', () => {
  it('of addresses agrees with sets of single addresses', () => {
    fc.assert(
      fc.property(
        fc.constantFrom('union', 'intersect'),
        fc.array(prefixes, { minLength: 1, maxLength: 4 }),
        fc.array(prefixes, { maxLength: 2 }),
        (operator, operands, minus) => {
          const sets = operands.map(addressesIn);
          const taken = minus.map(addressesIn);
          const expected = Array.from({ length: 16 }, (_, host) => host).filter((host) => {
            const isIn =
              operator === 'union' ? sets.some((set) => set.has(host)) : sets.every((set) => set.has(host));
            return isIn && !taken.some((set) => set.has(host));
          });
          const list = evaluateExpression({
            operator: operator as 'union' | 'intersect',
            operands: operands.map((entries) => listOf(...entries)),
            minus: minus.map((entries) => listOf(...entries)),
            aggregate: false,
          });
          expect([...addressesIn(entriesOf(list) ?? [])].sort((a, b) => a - b)).toEqual(expected);
        },
      ),
    );
  });

  it('of names agrees with sets of names', () => {
    const nameList = (entries: readonly string[]) => nameListOf(entries, false);
    fc.assert(
      fc.property(fc.array(names, { minLength: 1, maxLength: 3 }), names, (operands, minus) => {
        const lists = operands.map(nameList);
        const union = evaluateExpression({
          operator: 'union',
          operands: lists,
          minus: [nameList(minus)],
          aggregate: false,
        });
        const both = evaluateExpression({
          operator: 'intersect',
          operands: lists,
          minus: [nameList(minus)],
          aggregate: false,
        });
        const left = NAMES.filter((name) => !minus.includes(name));
        expect(entriesOf(union)).toEqual(
          left.filter((name) => operands.some((operand) => operand.includes(name))),
        );
        expect(entriesOf(both)).toEqual(
          left.filter((name) => operands.every((operand) => operand.includes(name))),
        );
      }),
    );
  });

  it('is none of addresses and names together', () => {
    const [a, b] = [listOf('192.0.2.1'), listOf('a.example')];
    expect(
      evaluateExpression({ operator: 'union', operands: [a, b], minus: [], aggregate: false }),
    ).toMatchObject({ kind: 'unsayable', code: 'mixed-list' });
    expect(
      evaluateExpression({ operator: 'union', operands: [a], minus: [b], aggregate: false }),
    ).toMatchObject({ kind: 'unsayable', code: 'mixed-list' });
  });

  it('of names looks below suffixes, and takes lists of minus together', () => {
    const named = (...entries: readonly string[]) => nameListOf(entries, 'firewall');
    const evaluated = (
      operator: 'union' | 'intersect',
      operands: readonly List[],
      ...minus: readonly List[]
    ) => entriesOf(evaluateExpression({ operator, operands, minus, aggregate: false }));
    const ads = named('.ads.example', 'a.example');
    expect(evaluated('intersect', [ads, named('www.ads.example', '*.example')])).toEqual([
      'a.example',
      '.ads.example',
      'www.ads.example',
    ]);
    expect(evaluated('union', [ads, named('www.ads.example')], named('*.ads.example'))).toEqual([
      'a.example',
      'ads.example',
    ]);
    expect(evaluated('union', [ads], named('www.ads.example'), named('.ads.example'))).toEqual(['a.example']);
  });

  it('excepts what is taken out of a suffix, and what operands except', () => {
    const named = (entries: readonly string[], exceptions: readonly string[] = []) =>
      nameListOf(entries, 'firewall', exceptions);
    const evaluated = (
      operator: 'union' | 'intersect',
      operands: readonly List[],
      ...minus: readonly List[]
    ) => entriesOf(evaluateExpression({ operator, operands, minus, aggregate: false }));
    const ads = named(['.ads.example']);
    expect(evaluated('union', [ads], named(['a.example', 'www.ads.example']))).toEqual([
      '.ads.example',
      '!www.ads.example',
    ]);
    const fine = named(['.fine.ads.example'], ['bad.fine.ads.example']);
    expect(evaluated('union', [ads], fine)).toEqual([
      '.ads.example',
      'bad.fine.ads.example',
      '!.fine.ads.example',
    ]);
    const holed = named(['.ads.example'], ['.fine.ads.example', 'x.ads.example']);
    expect(evaluated('union', [holed, named(['.x.ads.example'])])).toEqual([
      '.ads.example',
      '.x.ads.example',
      '!.fine.ads.example',
    ]);
    expect(evaluated('intersect', [holed, named(['*.ads.example'], ['y.ads.example'])])).toEqual([
      '*.ads.example',
      '!.fine.ads.example',
      '!x.ads.example',
      '!y.ads.example',
    ]);
  });

  it('takes an allow list out of a block list, whitelist over blacklist', () => {
    const list = evaluateExpression({
      operator: 'union',
      operands: [listOf('192.0.2.0/30', '2001:db8::/126')],
      minus: [listOf('192.0.2.1'), listOf('2001:db8::2/127')],
      aggregate: false,
    });
    expect(entriesOf(list)).toEqual(['192.0.2.0/32', '192.0.2.2/31', '2001:db8::/127']);
  });
});

it('unionLists joins many lists to what joining them one by one gives', () => {
  fc.assert(
    fc.property(fc.array(prefixes, { minLength: 1, maxLength: 9 }), (operands) => {
      const joined = unionLists(operands.map((entries) => listOf(...entries)));
      expect(entriesOf(joined)).toEqual(entriesOf(listOf(...operands.flat())));
    }),
  );
});

describe('sameList', () => {
  it.each([
    [['192.0.2.1'], ['192.0.2.1/32'], true],
    [['192.0.2.1'], ['192.0.2.2'], false],
    [['192.0.2.0/31'], ['192.0.2.0/30'], false],
    [['2001:db8::1'], ['2001:db8::1'], true],
    [['2001:db8::1'], ['2001:db8::2'], false],
    [['a.example'], ['A.example.'], true],
    [['a.example'], ['b.example'], false],
    [['192.0.2.1'], ['a.example'], false],
    [[], [], true],
  ])('%j and %j: %s', (a, b, same) => {
    expect(sameList(listOf(...a), listOf(...b))).toBe(same);
  });

  it('tells whether rules may use names', () => {
    const names = nameListOf(['a.example'], false);
    expect(sameList(names, { ...names })).toBe(true);
    expect(sameList(names, { ...names, resolve: true })).toBe(false);
    expect(sameList(undefined, names)).toBe(false);
    expect(sameList(undefined, undefined)).toBe(true);
  });
});
