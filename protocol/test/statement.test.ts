/** Statements of freshness: their bytes, and that a signature of one is valid for nothing else. */

import { describe, expect, it } from 'vitest';
import { rootOf, signedRoot, soleRoot } from '../../test/kit/roots.mjs';
import { decodeManifest } from '../src/content/manifest.ts';
import { encodeRoot, isSignedBy, readRoot } from '../src/content/root.ts';
import { signBytes } from '../src/content/signatures.ts';
import { encodeStatement, readStatement, type Statement } from '../src/content/statement.ts';
import { STATEMENT_BYTES, VERSION_MAX } from '../src/limits.ts';
import { hexOf } from './part-spec.ts';

const LINEAGE = new Uint8Array(16).fill(0x4c);
const STATEMENT: Statement = {
  nonce: new Uint8Array(16).fill(1),
  lineage: LINEAGE,
  root: new Uint8Array(32).fill(2),
  epoch: 3,
  version: VERSION_MAX,
  hash: new Uint8Array(32).fill(4),
};

describe('a statement', () => {
  it('is a tag, the nonce, who, under which root, and which release', () => {
    const bytes = encodeStatement(STATEMENT);
    const [ones, twos, fours] = ['01', '02', '04'].map((byte) => byte.repeat(32));
    const numbers = `0300000000000000${'ff'.repeat(6)}1f00`;
    expect(hexOf(bytes)).toBe(`52434631${ones?.slice(32)}${'4c'.repeat(16)}${twos}${numbers}${fours}`);
    expect(bytes).toHaveLength(STATEMENT_BYTES);
    expect(readStatement(bytes)).toEqual(STATEMENT);
  });

  it.each([
    ['cut off', (bytes: Uint8Array) => bytes.subarray(0, -1)],
    ['with a byte more', (bytes: Uint8Array) => Uint8Array.of(...bytes, 0)],
    ['with another tag', (bytes: Uint8Array) => bytes.with(3, 0x32)],
    ['with a number beyond 2^53 - 1', (bytes: Uint8Array) => bytes.with(75, 1)],
    ['of nothing', () => new Uint8Array()],
  ])('is none %s', (_, spoil) => {
    expect(readStatement(spoil(encodeStatement(STATEMENT)))).toBeUndefined();
  });

  it('signed by a key of every role is no release and no root, nor are those statements', () => {
    const { key, root } = soleRoot(LINEAGE);
    const content = encodeStatement(STATEMENT);
    const signed = { signatures: signBytes(content, key), content };
    expect(isSignedBy(root.root, 'release', signed)).toBe(true); // one key, so its tag alone keeps it apart
    expect(() => decodeManifest(content)).toThrow(expect.objectContaining({ code: 'bad-manifest' }));
    expect(() => readRoot(signed)).toThrow(expect.objectContaining({ code: 'bad-root' }));
    expect(readStatement(encodeRoot(rootOf(LINEAGE, key)))).toBeUndefined();
    expect(readStatement(signedRoot(rootOf(LINEAGE, key), key).content)).toBeUndefined();
  });
});
