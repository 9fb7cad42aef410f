import { expect, it } from 'vitest';
import { prefixFrom } from '../../../test/kit/rules.ts';
import { aggregatePrefixes } from '../src/list.ts';
import { isSpecialPurpose, specialPurposeSpace } from '../src/special-purpose.ts';

function isSpecial(text: string): boolean {
  const prefix = prefixFrom(text);
  return isSpecialPurpose(prefix.family, prefix.words, prefix.length);
}

it.each([
  ['224.0.0.0/3', true],
  ['240.0.0.0/4', true],
  ['255.255.255.255/32', true],
  ['10.137.0.0/16', true],
  ['100.127.255.255/32', true],
  ['100.128.0.0/32', false],
  ['192.0.0.0/16', false], // holds some of it
  ['192.0.0.0/2', false],
  ['128.0.0.0/1', false],
  ['0.0.0.0/0', false],
  ['0.0.0.0/7', false],
  ['8.8.8.8/32', false],
  ['192.175.48.1/32', false], // in the registry, and globally reachable
  ['::/0', false],
  ['::1/128', true],
  ['8000::/1', true],
  ['fc00::/7', true],
  ['2000::/3', false],
  ['2001:db8::/32', true],
  ['2001:4860::/32', false],
])('of %s, all is special-purpose: %s', (text, expected) => {
  expect(isSpecial(text)).toBe(expected);
});

it('the space is joined where its prefixes adjoin: a prefix within it lies within one of them', () => {
  const { v4, v6 } = specialPurposeSpace();
  expect(aggregatePrefixes(v4)).toEqual(v4);
  expect(aggregatePrefixes(v6)).toEqual(v6);
});
