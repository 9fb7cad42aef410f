import { readFileSync } from 'node:fs';
import { EMPTY_RULE_SET, eachRun, emptyPolicy, nameListOf, type Policy, runsOfEach } from '@rulecast/rules';
import { describe, expect, it } from 'vitest';
import { flipped } from '../../test/kit/bytes.ts';
import { runsFrom } from '../../test/kit/rules.ts';
import { bytesOfWords, wordsOfBytes } from '../src/bytes/words.ts';
import { canonicalBytes, canonicalLength, decodeCanonical } from '../src/content/canonical.ts';
import { digestOf } from '../src/content/digest.ts';
import { PartKind, partCount, partOfList, partsOf, partText } from '../src/content/part.ts';
import { ProtocolError } from '../src/error.ts';
import { bytesOfHex, hexOf, partOf, ruleSetOf } from './part-spec.ts';
import { type PartSpec, slowCanonical, slowDigest } from './slow-encoder.ts';

interface Vectors {
  readonly parts: readonly { name: string; part: PartSpec; hex: string; digest: string }[];
  readonly refused: readonly { name: string; kind: keyof typeof KINDS; hex: string; code: string }[];
}
const KINDS = { list: 1, names: 2, policy: 3, resolutions: 4, unmatched: 5 } as const;
const vectors: Vectors = JSON.parse(
  readFileSync(new URL('../vectors/canonical.json', import.meta.url), 'utf8'),
);
const samples = vectors.parts.map(({ hex, part }) => ({ id: partOf(part), bytes: bytesOfHex(hex) }));

/** Decodes; returns undefined if the bytes are refused, and lets any other exception pass. */
function decoded(id: Parameters<typeof decodeCanonical>[0], bytes: Uint8Array): Uint8Array | undefined {
  try {
    return canonicalBytes(decodeCanonical(id, bytes));
  } catch (error) {
    if (error instanceof ProtocolError) return undefined;
    throw error;
  }
}

describe('canonical bytes', () => {
  //
  it.each(vectors.parts)('are those of the vector: $name', ({ part, hex, digest }) => {
    const value = partOf(part);
    expect(hexOf(canonicalBytes(value))).toBe(hex.replaceAll(' ', ''));
    expect(
      slowCanonical(part)
        .filter((field) => field !== '')
        .join(' '),
    ).toBe(hex);
    expect(canonicalLength(value)).toBe(bytesOfHex(hex).length);
    expect(hexOf(digestOf(value))).toBe(digest);
    expect(slowDigest(part)).toBe(digest);
    expect(decodeCanonical(value, bytesOfHex(hex))).toEqual(value);
  });

  //
  it.each(vectors.refused)('are refused: $name', ({ kind, hex, code }) => {
    const id = { kind: KINDS[kind], name: kind === 'resolutions' || kind === 'unmatched' ? '' : 'x' };
    expect(() => decodeCanonical(id, bytesOfHex(hex))).toThrow(
      expect.objectContaining({ name: 'ProtocolError', code, part: partText(id) }),
    );
  });

  //
  it('are refused wherever they are cut', () => {
    for (const { id, bytes } of samples) {
      for (let end = 0; end < bytes.length; end++)
        expect(decoded(id, bytes.subarray(0, end))).toBeUndefined();
    }
  });

  it('with any bit flipped are refused or are the bytes of another value', () => {
    let refused = 0;
    for (const { id, bytes } of samples) {
      for (let bit = 0; bit < bytes.length * 8; bit++) {
        const damaged = flipped(bytes, bit);
        const again = decoded(id, damaged);
        if (again === undefined) refused++;
        else expect(hexOf(again)).toBe(hexOf(damaged));
      }
    }
    expect(refused).toBeGreaterThan(1000);
  });

  it('swap the words of a big-endian host', () => {
    const words = Uint32Array.from([0x01020304, 0xfffefdfc]);
    const swapped = bytesOfWords(words, false);
    expect(hexOf(swapped)).toBe(
      hexOf(bytesOfWords(words, true).slice().reverse()).replace(/(.{8})(.{8})/, '$2$1'),
    );
    expect(wordsOfBytes(swapped, false)).toEqual(words);
    expect(words).toEqual(Uint32Array.from([0x01020304, 0xfffefdfc]));
  });

  it('are not made of a comment that no line holds', () => {
    const part = (egress: Policy['egress']) =>
      ({
        kind: PartKind.policy,
        name: 'p',
        policy: { ...emptyPolicy('p'), egress },
      }) as const;
    const [run] = eachRun(runsFrom('egress', ['drop dst4=10.0.0.0/8']));
    if (run === undefined) throw new TypeError('one line, one run');
    const commented = runsOfEach([{ ...run, match: { ...run.match, comment: 'a\nb' } }]);
    expect(() => canonicalBytes(part(commented))).toThrow(RangeError);
  });
});

describe('digests', () => {
  it('are computed once for each value, whatever the part is called', () => {
    const list = nameListOf(['a.example'], false);
    expect(digestOf(partOfList('one', list))).toBe(digestOf(partOfList('two', list)));
  });
});

describe('parts', () => {
  it('are sorted by kind and name, and count entries, rules and names', () => {
    const ruleSet = ruleSetOf([
      { kind: 'resolutions', names: { 'b.example': [], 'a.example': ['10.0.0.1/32'] } },
      {
        kind: 'policy',
        name: 'p',
        defaultAction: 'drop',
        prefixes: [],
        egress: ['accept', 'drop'],
        ingress: ['drop'],
      },
      { kind: 'list', name: 'b', prefixes: ['10.0.0.0/8', '2001:db8::/32'] },
      { kind: 'names', name: 'c', resolve: false, names: ['a.example'] },
      { kind: 'list', name: 'B', prefixes: [] },
    ]);
    expect(partsOf(ruleSet).map((part) => `${partText(part)} ${partCount(part)}`)).toEqual([
      'list B 0',
      'list b 2',
      'names c 1',
      'policy p 3',
      'resolutions 2',
    ]);
    expect(partsOf(EMPTY_RULE_SET)).toEqual([]);
  });
});
