/** The names of name sets, and how elements say of which name they are. */

import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { nameLabelOf, nameSetName, parseNameSetName } from '../src/plan/name-set.ts';

describe('the name of a name set', () => {
  it.each([4, 6] as const)('of IPv%i is read as it was written', (family) => {
    const name = { key: '0123456789abcdef', family, size: 65_536, version: '89abcdef89abcdef' };
    expect(nameSetName(name)).toBe(`n0123456789abcdef_${family}_65536_89abcdef89abcdef`);
    expect(parseNameSetName(nameSetName(name))).toEqual(name);
  });

  it.each([
    'n0123456789abcdef_4_65537_89abcdef89abcdef', // more than any has
    'n0123456789abcdef_4_0_89abcdef89abcdef',
    'n0123456789abcdef_4_01_89abcdef89abcdef',
    'n0123456789abcdef_5_1_89abcdef89abcdef',
    'n0123456789abcdef_4_1_89abcdef89abcde',
    'n0123456789abcdef_4_1_89abcdef89abcdef\n',
    's0123456789abcdef_4_i_89abcdef',
  ])('is not %j', (name) => {
    expect(parseNameSetName(name)).toBeUndefined();
  });
});

describe('the label of an element', () => {
  it.each(['a', '_x-1.example', `${'a'.repeat(63)}.${'b'.repeat(63)}`])('is the name %s itself', (name) => {
    expect(nameLabelOf(name)).toBe(name);
  });

  it.each(['', 'A', 'a"b', 'a\nb', 'a b', 'é', 'a\u0000', '*.example', 'a.'.repeat(64)])(
    'is a digest where the name is %j',
    (name) => {
      expect(nameLabelOf(name)).toBe(createHash('sha256').update(name, 'latin1').digest('hex'));
    },
  );
});
