import { createPrivateKey, createPublicKey, generateKeyPairSync } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { flipped } from '../../test/kit/bytes.ts';
import { digestOf } from '../src/content/canonical.ts';
import {
  compareRelease,
  decodeManifest,
  encodeManifest,
  type Manifest,
  manifestFor,
  manifestHash,
  signManifest,
  verifyRuleSet,
  verifySignature,
} from '../src/content/manifest.ts';
import { ProtocolError } from '../src/error.ts';
import { MANIFEST_MAX_BYTES } from '../src/limits.ts';
import { bytesOfHex, hexOf, partOf, ruleSetOf } from './part-spec.ts';
import type { PartSpec } from './slow-encoder.ts';

interface ManifestText extends Omit<Manifest, 'lineage' | 'parts'> {
  readonly lineage: string;
  readonly parts: readonly (Omit<Manifest['parts'][number], 'digest'> & { readonly digest: string })[];
}
interface Vectors {
  readonly seed: string;
  readonly publicKey: string;
  readonly manifests: readonly {
    name: string;
    manifest: ManifestText;
    hex: string;
    hash: string;
    signature: string;
  }[];
  readonly refused: readonly { name: string; hex: string; code: string }[];
}
const vectors: Vectors = JSON.parse(
  readFileSync(new URL('../vectors/manifest.json', import.meta.url), 'utf8'),
);

function manifestOf(text: ManifestText): Manifest {
  const parts = text.parts.map((part) => ({ ...part, digest: bytesOfHex(part.digest) }));
  return { ...text, lineage: bytesOfHex(text.lineage), parts };
}

const LIST: PartSpec = { kind: 'list', name: 'l', prefixes: ['10.0.0.0/8'] };
const OTHER: PartSpec = { kind: 'list', name: 'm', prefixes: ['10.0.0.0/8'] };
const LONGER: PartSpec = { kind: 'list', name: 'l', prefixes: ['10.0.0.0/8', '11.0.0.0/8'] };
const CHANGED: PartSpec = { kind: 'list', name: 'l', prefixes: ['11.0.0.0/8'] };
const identity = {
  lineage: new Uint8Array(16).fill(9),
  epoch: 1,
  version: 5,
  previousVersion: 4,
  createdAtMs: 17,
};

describe('a manifest', () => {
  it.each(vectors.manifests)('has the bytes, hash and signature of the vector: $name', (vector) => {
    const manifest = manifestOf(vector.manifest);
    const bytes = bytesOfHex(vector.hex);
    expect(hexOf(encodeManifest(manifest))).toBe(hexOf(bytes));
    expect(decodeManifest(bytes)).toEqual(manifest);
    expect(hexOf(manifestHash(bytes))).toBe(vector.hash);
    const pkcs8 = Buffer.from(`302e020100300506032b657004220420${vectors.seed}`, 'hex');
    const privateKey = createPrivateKey({ key: pkcs8, format: 'der', type: 'pkcs8' });
    expect(hexOf(signManifest(bytes, privateKey))).toBe(vector.signature);
    const spki = Buffer.from(`302a300506032b6570032100${vectors.publicKey}`, 'hex');
    const publicKey = createPublicKey({ key: spki, format: 'der', type: 'spki' });
    expect(verifySignature(bytes, bytesOfHex(vector.signature), publicKey)).toBe(true);
  });

  it.each(vectors.refused)('is refused: $name', ({ hex, code }) => {
    expect(() => decodeManifest(bytesOfHex(hex))).toThrow(
      expect.objectContaining({ name: 'ProtocolError', code }),
    );
  });

  it('is refused wherever it is cut, and with any bit flipped is refused or another manifest', () => {
    for (const { hex } of vectors.manifests) {
      const bytes = bytesOfHex(hex);
      for (let end = 0; end < bytes.length; end++) {
        expect(() => decodeManifest(bytes.subarray(0, end))).toThrow(ProtocolError);
      }
      for (let bit = 0; bit < bytes.length * 8; bit++) {
        const damaged = flipped(bytes, bit);
        try {
          expect(hexOf(encodeManifest(decodeManifest(damaged)))).toBe(hexOf(damaged));
        } catch (error) {
          if (!(error instanceof ProtocolError)) throw error;
        }
      }
    }
  });

  it('holds 1,024 parts with names of 17 characters, and no byte more than a frame takes', () => {
    const digest = new Uint8Array(32);
    const partsOfLength = (length: number): Manifest['parts'] =>
      Array.from({ length: 1024 }, (_, i) => ({
        kind: 1,
        name: `${i}`.padStart(4, '0').padEnd(length, 'x'),
        count: 1,
        digest,
        changedVersion: 1,
      }));
    expect(encodeManifest({ ...identity, parts: partsOfLength(17) }).length).toBeLessThanOrEqual(
      MANIFEST_MAX_BYTES,
    );
    expect(() => encodeManifest({ ...identity, parts: partsOfLength(18) })).toThrow(RangeError);
    const oneMore = [
      ...partsOfLength(4),
      { kind: 1 as const, name: 'z', count: 1, digest, changedVersion: 1 },
    ];
    expect(() => encodeManifest({ ...identity, parts: oneMore })).toThrow(RangeError);
  });

  it('is not encoded where it could not be decoded', () => {
    const part = { kind: 1 as const, name: 'a', count: 1, digest: new Uint8Array(32), changedVersion: 1 };
    const faulty: readonly Partial<Manifest>[] = [
      { lineage: new Uint8Array(15) },
      { version: 0, previousVersion: 0 },
      { version: 2 ** 53 },
      { previousVersion: 5 },
      { createdAtMs: 1.5 },
      { parts: [part, part] },
      { parts: [{ ...part, count: 2 ** 32 }] },
      { parts: [{ ...part, digest: new Uint8Array(31) }] },
      { parts: [{ ...part, changedVersion: 6 }] },
    ];
    for (const fault of faulty) {
      expect(() => encodeManifest({ ...identity, parts: [part], ...fault })).toThrow(RangeError);
    }
  });

  it('is signed by no other key and for no other bytes', () => {
    const { privateKey, publicKey } = generateKeyPairSync('ed25519');
    const bytes = encodeManifest(manifestFor(ruleSetOf([LIST]), identity));
    const signature = signManifest(bytes, privateKey);
    expect(signature.length).toBe(64);
    expect(verifySignature(bytes, signature, publicKey)).toBe(true);
    expect(verifySignature(bytes.slice(1), signature, publicKey)).toBe(false);
    expect(verifySignature(bytes, signature.slice(1), publicKey)).toBe(false);
    expect(verifySignature(bytes, signature, generateKeyPairSync('ed25519').publicKey)).toBe(false);
    const { publicKey: rsa } = generateKeyPairSync('rsa', { modulusLength: 2048 });
    expect(verifySignature(bytes, signature, rsa)).toBe(false);
  });
});

describe('manifestFor', () => {
  it('keeps the version of the last change of what did not change, within an epoch', () => {
    const first = manifestFor(ruleSetOf([LIST, OTHER]), identity);
    expect(first.parts.map((part) => part.changedVersion)).toEqual([5, 5]);
    const next = { ...identity, version: 6, previousVersion: 5 };
    const second = manifestFor(ruleSetOf([CHANGED, OTHER]), next, first);
    expect(second.parts.map((part) => part.changedVersion)).toEqual([6, 5]);
    expect(second.parts[1]?.digest).toEqual(digestOf(partOf(OTHER)));
    const reopened = { ...identity, epoch: 2, version: 1, previousVersion: 0 };
    const third = manifestFor(ruleSetOf([CHANGED, OTHER]), reopened, second);
    expect(third.parts.map((part) => part.changedVersion)).toEqual([1, 1]);
    expect(decodeManifest(encodeManifest(third))).toEqual(third);
  });
});

describe('verifyRuleSet', () => {
  const manifest = manifestFor(ruleSetOf([LIST, OTHER]), identity);

  it('takes the rule set of the manifest', () => {
    expect(() => verifyRuleSet(manifest, ruleSetOf([OTHER, LIST]))).not.toThrow();
  });

  it.each<[string, readonly PartSpec[], string, string]>([
    ['a missing last part', [LIST], 'bad-rule-set', 'list m'],
    ['a missing first part', [OTHER], 'bad-rule-set', 'list l'],
    ['a part too many', [LIST, OTHER, { ...OTHER, name: 'n' }], 'bad-rule-set', 'list n'],
    ['a part too many in between', [LIST, { ...OTHER, name: 'la' }, OTHER], 'bad-rule-set', 'list la'],
    ['another count', [LONGER, OTHER], 'bad-count', 'list l'],
    ['other content', [CHANGED, OTHER], 'bad-digest', 'list l'],
  ])('refuses %s', (_, specs, code, part) => {
    expect(() => verifyRuleSet(manifest, ruleSetOf(specs))).toThrow(
      expect.objectContaining({ name: 'ProtocolError', code, part }),
    );
  });
});

describe('compareRelease', () => {
  it('orders by epoch, then version', () => {
    const at = (epoch: number, version: number) => ({ epoch, version });
    expect(compareRelease(at(1, 9), at(2, 1))).toBeLessThan(0);
    expect(compareRelease(at(2, 2), at(2, 1))).toBeGreaterThan(0);
    expect(compareRelease(at(2, 2), at(2, 2))).toBe(0);
  });
});
