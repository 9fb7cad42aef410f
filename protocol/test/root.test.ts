/** Signatures, roots and their chains; test/system/ocaml.test.ts has that a reader in OCaml agrees. */

import { describe, expect, it } from 'vitest';
import { flipped } from '../../test/kit/bytes.ts';
import { freshKey, keyOfSeed, rootOf, signedRoot, soleRoot } from '../../test/kit/roots.mjs';
import {
  encodeRoot,
  isSignedBy,
  type Root,
  readRoot,
  rootsFrom,
  wasSignedBy,
  withRoot,
} from '../src/content/root.ts';
import { joinSignatures, splitSigned } from '../src/content/signature-block.ts';
import { keyIdOf, publicBytes, signBytes, signersAmong } from '../src/content/signatures.ts';
import { ROOTS_MAX, SIGNATURES_MAX } from '../src/limits.ts';
import { formatRoots, parseRoots } from '../src/peer/root-file.ts';
import { trustFault } from '../src/peer/trust.ts';
import { hexOf } from './part-spec.ts';

const LINEAGE = Uint8Array.from({ length: 16 }, (_, i) => i);
const [ONE, TWO, THREE] = [1, 2, 3].map((seed) => keyOfSeed(new Uint8Array(32).fill(seed))) as [
  ReturnType<typeof freshKey>,
  ReturnType<typeof freshKey>,
  ReturnType<typeof freshKey>,
];
const CONTENT = Uint8Array.of(1, 2, 3);
const keysOf = (...keys: readonly ReturnType<typeof freshKey>[]): readonly Uint8Array[] =>
  keys.map(publicBytes).sort(Buffer.compare);

describe('signatures', () => {
  it('are a count, then key ids and signatures, by id', () => {
    const block = signBytes(CONTENT, ONE, TWO);
    expect(block).toHaveLength(1 + 2 * 72);
    expect(block[0]).toBe(2);
    const ids = [block.subarray(1, 9), block.subarray(73, 81)].map(hexOf);
    expect(ids).toEqual(
      keysOf(ONE, TWO)
        .map((key) => hexOf(keyIdOf(key)))
        .sort(),
    );
  });

  //
  it('count for keys that are asked for, once each, and for the bytes they are over', () => {
    const signed = { signatures: signBytes(CONTENT, ONE, TWO, TWO), content: CONTENT };
    expect(signersAmong(keysOf(ONE, TWO, THREE), signed)).toBe(2);
    expect(signersAmong(keysOf(THREE), signed)).toBe(0);
    expect(signersAmong(keysOf(ONE, TWO), { ...signed, content: Uint8Array.of(1, 2, 4) })).toBe(0);
    const stolenId = Uint8Array.from(signed.signatures);
    stolenId.set(keyIdOf(publicBytes(THREE)), 1); // somebody else's signature under an id that is wanted
    expect(signersAmong(keysOf(THREE), { ...signed, signatures: stolenId })).toBe(0);
  });

  it('of several hands become one block', () => {
    const joined = joinSignatures(signBytes(CONTENT, TWO), signBytes(CONTENT, ONE), signBytes(CONTENT, ONE));
    expect(hexOf(joined)).toBe(hexOf(signBytes(CONTENT, ONE, TWO)));
    const many = Array.from({ length: SIGNATURES_MAX + 1 }, () => signBytes(CONTENT, freshKey()));
    expect(() => joinSignatures(...many)).toThrow(RangeError);
  });

  //
  it.each([
    ['nothing behind them', (block: Uint8Array) => block],
    ['one cut off', (block: Uint8Array) => block.subarray(0, -1)],
    ['more than are allowed', () => new Uint8Array(33 * 72 + 9).fill(33, 0, 1)],
    [
      'a key id twice',
      (block: Uint8Array) => Uint8Array.of(2, ...block.subarray(1), ...block.subarray(1), 9),
    ],
  ])('are refused with %s', (_, spoil) => {
    expect(() => splitSigned(spoil(signBytes(CONTENT, ONE)))).toThrow(
      expect.objectContaining({ code: 'bad-message' }),
    );
  });
});

describe('a root', () => {
  const sole = rootOf(LINEAGE, ONE, { epochFloor: 1, epochCeiling: 17 });
  const shared: Root = {
    ...sole,
    number: 3,
    roles: {
      root: { threshold: 2, keys: keysOf(ONE, TWO, THREE) },
      release: { threshold: 1, keys: keysOf(TWO) },
      freshness: { threshold: 1, keys: keysOf(THREE) },
    },
  };

  it('with one bit flipped is another that has no signature, or none at all', () => {
    const { content, signatures } = signedRoot(shared, ONE, TWO);
    for (let bit = 0; bit < content.length * 8; bit += 3) {
      const change = { signatures, content: flipped(content, bit) };
      try {
        expect(isSignedBy(readRoot(change).root, 'root', change)).toBe(false);
      } catch (error) {
        expect(error).toMatchObject({ code: 'bad-root' });
      }
    }
  });

  const role = { threshold: 1, keys: keysOf(ONE) };
  it.each<[string, Partial<Root>]>([
    ['number 0', { number: 0 }],
    ['a floor above its ceiling', { epochFloor: 18 }],
    ['a number of 54 bits', { epochCeiling: 2 ** 53 }],
    ['a role of nobody', { roles: { ...sole.roles, release: { threshold: 0, keys: [] } } }],
    ['the date 0', { refreshBy: 0 }],
    ['half a second', { refreshBy: 1.5 }],
    ['a date after the year 9999', { refreshBy: 253_402_300_800 }],
    ['a threshold of 0', { roles: { ...sole.roles, root: { ...role, threshold: 0 } } }],
    ['a threshold above its keys', { roles: { ...sole.roles, root: { ...role, threshold: 2 } } }],
    ['a key twice', { roles: { ...sole.roles, root: { threshold: 2, keys: [...role.keys, ...role.keys] } } }],
  ])('cannot be made with %s', (_, said) => {
    expect(() => encodeRoot({ ...sole, ...said })).toThrow(RangeError);
  });
});

describe('a chain of roots', () => {
  const first = soleRoot(LINEAGE, ONE);
  const next = (key = ONE, said: Partial<Root> = {}) => rootOf(LINEAGE, key, { number: 2, ...said });
  const begun = rootsFrom(first.trust.rootHash, LINEAGE, first.root);

  it('goes on to other keys that the ones before have let in', () => {
    const roots = withRoot(begun, signedRoot(next(TWO), ONE, TWO));
    const released = { signatures: signBytes(CONTENT, ONE), content: CONTENT };
    expect(isSignedBy(roots[1]?.root ?? next(), 'release', released)).toBe(false);
    expect(wasSignedBy(roots, 'release', released)).toBe(true);
  });

  it('never lowers the floor of epochs, and ends', () => {
    const fifth = signedRoot(rootOf(LINEAGE, ONE, { epochFloor: 5 }), ONE);
    const high = rootsFrom(fifth.hash, LINEAGE, fifth);
    expect(() => withRoot(high, signedRoot(next(ONE, { epochFloor: 4 }), ONE))).toThrow(/floor/);
    const long = Array.from({ length: ROOTS_MAX }, () => first.root);
    expect(() => withRoot(long, signedRoot(next(), ONE))).toThrow(`${ROOTS_MAX} roots`);
  });

  it('is kept as text', () => {
    const roots = withRoot(begun, signedRoot(next(TWO), ONE, TWO));
    const text = formatRoots(roots);
    expect(text).toMatch(/^rulecast-roots 1\n(?:[A-Za-z0-9+/=]+\n){2}$/);
    expect(parseRoots(text)?.map(readRoot)).toEqual(roots);
    for (const other of ['', 'rulecast-roots 2\n', `${text}AA==\n`])
      expect(parseRoots(other)).toBeUndefined();
  });
});

describe('a trust line', () => {
  const line = `rulecast2:${'0f'.repeat(16)}:${'a1'.repeat(32)}`;

  it('is told apart from one of Rulecast 0.1, which somebody has to replace', () => {
    expect(trustFault(`rulecast1:${'0f'.repeat(16)}:${'A'.repeat(43)}\n`)).toContain('of Rulecast 0.1');
    expect(trustFault(line.slice(1))).toBe('no trust line');
  });
});
