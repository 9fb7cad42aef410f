import { describe, expect, it } from 'vitest';
import fc from '../../../test/seeded-fast-check.ts';
import { HOST_NAME_MAX_BYTES, isPartName, NameFault, parseHostName } from '../src/name.ts';
import { hostNameArbitrary } from './arbitrary.ts';

/** A name of `count` characters: labels of 50 and what is left. */
function nameOf(count: number): string {
  return `${'a'.repeat(49)}.`
    .repeat(6)
    .slice(0, count - 1)
    .concat('z');
}

//
describe('host names', () => {
  it.each([
    ['example.com', 'example.com'],
    ['EXAMPLE.Com', 'example.com'],
    ['example.com.', 'example.com'],
    ['localhost', 'localhost'],
    ['_dmarc.example.com', '_dmarc.example.com'],
    ['a-b--c.d', 'a-b--c.d'],
    ['xn--bcher-kva.example', 'xn--bcher-kva.example'],
    ['1.2.3.4.example', '1.2.3.4.example'],
    ['3com', '3com'],
    ['0xg', '0xg'],
    ['a'.repeat(63), 'a'.repeat(63)],
    [nameOf(HOST_NAME_MAX_BYTES), nameOf(HOST_NAME_MAX_BYTES)],
    [`${nameOf(HOST_NAME_MAX_BYTES)}.`, nameOf(HOST_NAME_MAX_BYTES)],
  ])('%s is %s', (text, name) => {
    expect(parseHostName(text)).toEqual({ kind: 'name', name });
  });

  it.each([
    ['', NameFault.empty],
    ['.', NameFault.empty],
    ['..', NameFault.label],
    ['.example', NameFault.label],
    ['a..b', NameFault.label],
    ['example.com..', NameFault.label],
    ['-a.example', NameFault.label],
    ['a-.example', NameFault.label],
    ['a.example-', NameFault.label],
    ['a b', NameFault.label],
    ['a\tb', NameFault.label],
    ['a,b', NameFault.label],
    ['*.example', NameFault.label],
    ['example.com:443', NameFault.label],
    ['a'.repeat(64), NameFault.label],
    [nameOf(HOST_NAME_MAX_BYTES + 1), NameFault.long],
    ['bücher.example', NameFault.ascii],
    ['-ü', NameFault.ascii],
    ['1', NameFault.numeric],
    ['1.2.3', NameFault.numeric],
    ['010.0.0.1', NameFault.numeric],
    ['1.2.3.4.5', NameFault.numeric],
    ['example.1', NameFault.numeric],
    ['1.2.3.', NameFault.numeric],
    ['0x7f000001', NameFault.numeric],
    ['a.0X7F', NameFault.numeric],
    ['0x', NameFault.numeric],
  ])('%j is refused as %s', (text, fault) => {
    expect(parseHostName(text)).toEqual({ kind: 'fault', fault });
  });

  it('the normal form is its own normal form', () => {
    fc.assert(
      fc.property(hostNameArbitrary, fc.boolean(), fc.boolean(), (name, upper, dot) => {
        const text = (upper ? name.toUpperCase() : name) + (dot ? '.' : '');
        expect(parseHostName(text)).toEqual({ kind: 'name', name });
      }),
    );
  });

  it('any other text gives a fault and never throws', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        const result = parseHostName(text);
        if (result.kind === 'name') expect(parseHostName(result.name)).toEqual(result);
        else expect(Object.values(NameFault)).toContain(result.fault);
      }),
    );
  });
});

describe('names of lists and policies', () => {
  it.each(['a', '7', 'Blocked.v2_x-1', 'x'.repeat(63)])('%s is one', (text) => {
    expect(isPartName(text)).toBe(true);
  });

  it.each(['', '.a', '-a', '_a', 'a b', 'a/b', 'ä', 'a\n', 'x'.repeat(64)])('%j is none', (text) => {
    expect(isPartName(text)).toBe(false);
  });
});
