/**
 * The vectors of whom to believe: that today's recorder makes them, and that what is decoded, counted and
 * followed here is as they say. What a session does with offers and statements is held against them where
 * sessions are (packages/subscriber/test/trust.test.ts). `RULECAST_RECORD=1` records them anew.
 */

import { readFileSync, writeFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { freshKey, rootOf } from '../../test/kit/roots.mjs';
import { renewalOf } from '../src/content/renewal.ts';
import {
  encodeRoot,
  isSignedBy,
  type Role,
  type Root,
  type Roots,
  readRoot,
  rootsFrom,
  withRoot,
} from '../src/content/root.ts';
import { splitSigned } from '../src/content/signature-block.ts';
import { signersAmong } from '../src/content/signatures.ts';
import { encodeStatement, readStatement } from '../src/content/statement.ts';
import { formatTrust, parseTrust } from '../src/peer/trust.ts';
import { bytesOfHex, hexOf } from './part-spec.ts';
import { recordTrust, type TrustVectors } from './trust-recorder.ts';

const VECTOR = new URL('../vectors/trust.json', import.meta.url);
if (process.env['RULECAST_RECORD'] === '1')
  writeFileSync(VECTOR, `${JSON.stringify(recordTrust(), undefined, 1)}\n`);
const vectors: TrustVectors = JSON.parse(readFileSync(VECTOR, 'utf8'));
const { lines, signatures, roots, chains, renewals, statements } = vectors;

const SOLE = rootOf(new Uint8Array(16), freshKey());

/** Content with its signatures, as in a message. */
function signedOf({ signatures: block, content }: { readonly signatures: string; readonly content: string }) {
  return { signatures: bytesOfHex(block), content: bytesOfHex(content) };
}

function roleOf({ threshold, keys }: { readonly threshold: number; readonly keys: readonly string[] }): Role {
  return { threshold, keys: keys.map(bytesOfHex) };
}

it('the vectors are what is recorded today', () => {
  expect(vectors).toEqual(JSON.parse(JSON.stringify(recordTrust())));
});

describe('a trust line', () => {
  it.each(lines.valid)('is read: $name', ({ line, lineage, root }) => {
    const trust = parseTrust(line);
    expect(trust).toEqual({ lineage: bytesOfHex(lineage), rootHash: bytesOfHex(root) });
    expect(trust && formatTrust(trust)).toBe(line.trim());
  });

  it.each(lines.invalid)('is none: $name', ({ line }) => {
    expect(parseTrust(line)).toBeUndefined();
  });
});

describe('signatures', () => {
  it.each(signatures.judged)('count: $name', ({ keys, threshold, signatures: block, signers, isSigned }) => {
    const signed = signedOf({ signatures: block, content: signatures.content });
    const role = roleOf({ threshold, keys });
    expect(signersAmong(role.keys, signed)).toBe(signers);
    const roles = { root: role, release: role, freshness: role };
    expect(isSignedBy({ ...SOLE, roles }, 'root', signed)).toBe(isSigned);
    expect(splitSigned(Buffer.concat([signed.signatures, signed.content]))).toEqual(signed);
  });

  it.each(signatures.refused)('are refused: $name', ({ hex, code }) => {
    expect(() => splitSigned(bytesOfHex(hex))).toThrow(expect.objectContaining({ code }));
  });
});

describe('a root', () => {
  it.each(roots.valid)('is written and read: $name', ({ root: said, hex, hash }) => {
    const { lineage, number, epochFloor, epochCeiling, refreshBy } = said;
    const numbers = { number, epochFloor, epochCeiling, refreshBy };
    const roles = {
      root: roleOf(said.root),
      release: roleOf(said.release),
      freshness: roleOf(said.freshness),
    };
    const wanted: Root = { lineage: bytesOfHex(lineage), ...numbers, roles };
    expect(hexOf(encodeRoot(wanted))).toBe(hexOf(bytesOfHex(hex)));
    const read = readRoot(signedOf({ signatures: '00', content: hex }));
    expect(read.root).toEqual(wanted);
    expect(hexOf(read.hash)).toBe(hash);
  });

  it.each(roots.valid)('is refused cut off anywhere: $name', ({ hex }) => {
    const content = bytesOfHex(hex);
    for (let length = 0; length < content.length; length++) {
      const cut = { signatures: Uint8Array.of(0), content: content.subarray(0, length) };
      expect(() => readRoot(cut), `${length} bytes`).toThrow(expect.objectContaining({ code: 'bad-root' }));
    }
  });

  it.each(roots.refused)('is refused: $name', ({ hex, code }) => {
    const signed = signedOf({ signatures: '00', content: hex });
    expect(() => readRoot(signed)).toThrow(expect.objectContaining({ code }));
  });
});

describe('a chain of roots', () => {
  it.each(chains)('$name', ({ trust: line, roots: links, inForce, code }) => {
    const trust = parseTrust(line);
    if (trust === undefined) throw new Error(`no trust line: ${line}`);
    const take = (chain: Roots, link: (typeof links)[number]): Roots => {
      const next = readRoot(signedOf(link));
      return chain.length === 0 ? rootsFrom(trust.rootHash, trust.lineage, next) : withRoot(chain, next);
    };
    const before = links.slice(0, -1).reduce(take, []);
    const [last] = links.slice(-1);
    if (last === undefined) throw new Error('a chain of nothing');
    if (code === undefined) expect(take(before, last).at(-1)?.root.number).toBe(inForce);
    else expect(() => take(before, last)).toThrow(expect.objectContaining({ code }));
  });
});

describe('a date', () => {
  it.each(renewals)('$name: $renewal', ({ refreshBy, earliest, latest, renewal }) => {
    expect(renewalOf({ refreshBy }, { earliest, latest })).toBe(renewal);
  });
});

describe('a statement', () => {
  it.each(statements.valid)('is written and read: $name', ({ statement, hex }) => {
    const { nonce, lineage, root, epoch, version, hash } = statement;
    const [bytes, of, under, which] = [nonce, lineage, root, hash].map(bytesOfHex) as [
      Uint8Array,
      Uint8Array,
      Uint8Array,
      Uint8Array,
    ];
    const wanted = { nonce: bytes, lineage: of, root: under, epoch, version, hash: which };
    expect(hexOf(encodeStatement(wanted))).toBe(hexOf(bytesOfHex(hex)));
    expect(readStatement(bytesOfHex(hex))).toEqual(wanted);
  });

  it.each(statements.invalid)('is none: $name', ({ hex }) => {
    expect(readStatement(bytesOfHex(hex))).toBeUndefined();
  });
});
