import { createPrivateKey } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { RuleSet } from '@rulecast/rules';
import { describe, expect, it } from 'vitest';
import { flipped } from '../../test/kit/bytes.ts';
import {
  catalogueDigest,
  catalogueOf,
  manifestFor,
  totalsOf,
  verifyRuleSet,
} from '../src/content/catalogue.ts';
import {
  compareRelease,
  decodeManifest,
  encodeManifest,
  type Manifest,
  manifestHash,
} from '../src/content/manifest.ts';
import type { PartKind } from '../src/content/part.ts';
import { signBytes, signersAmong } from '../src/content/signatures.ts';
import { ProtocolError } from '../src/error.ts';
import { bytesOfHex, hexOf, ruleSetOf } from './part-spec.ts';
import { type PartSpec, type SlowRecord, slowCatalogue } from './slow-encoder.ts';

interface ManifestText extends Omit<Manifest, 'lineage' | 'catalogue'> {
  readonly lineage: string;
  readonly catalogue: string;
}
interface Vectors {
  readonly seed: string;
  readonly publicKey: string;
  readonly manifests: readonly {
    name: string;
    manifest: ManifestText;
    hex: string;
    hash: string;
    signatures: string;
  }[];
  readonly refused: readonly { name: string; hex: string; code: string }[];
  readonly catalogues: readonly (Pick<Manifest, 'parts' | 'prefixes' | 'others' | 'bytes'> & {
    name: string;
    digest: string;
    records: readonly (SlowRecord & { readonly kind: PartKind })[];
  })[];
}
const vectors: Vectors = JSON.parse(
  readFileSync(new URL('../vectors/manifest.json', import.meta.url), 'utf8'),
);

function manifestOf(text: ManifestText): Manifest {
  return { ...text, lineage: bytesOfHex(text.lineage), catalogue: bytesOfHex(text.catalogue) };
}

const LIST: PartSpec = { kind: 'list', name: 'l', prefixes: ['10.0.0.0/8'] };
const OTHER: PartSpec = { kind: 'list', name: 'm', prefixes: ['10.0.0.0/8'] };
const LONGER: PartSpec = { kind: 'list', name: 'l', prefixes: ['10.0.0.0/8', '11.0.0.0/8'] };
const NAMES: PartSpec = { kind: 'names', name: 'l', resolve: false, names: ['a.b'] };
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
    const signatures = bytesOfHex(vector.signatures);
    expect(hexOf(signBytes(bytes, privateKey))).toBe(hexOf(signatures));
    expect(signersAmong([bytesOfHex(vectors.publicKey)], { signatures, content: bytes })).toBe(1);
  });

  //
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

  it('is of one size, however many parts there are', () => {
    const many = Array.from({ length: 300 }, (_, i): PartSpec => ({ ...LIST, name: `l${i}` }));
    for (const specs of [[], [LIST], many]) {
      expect(encodeManifest(manifestFor(ruleSetOf(specs), identity)).length).toBe(104);
    }
  });

  it('is not encoded where it could not be decoded', () => {
    const faulty: readonly Partial<Manifest>[] = [
      { lineage: new Uint8Array(15) },
      { version: 0, previousVersion: 0 },
      { version: 2 ** 53 },
      { previousVersion: 5 },
      { createdAtMs: 1.5 },
      { parts: 65_537 },
      { prefixes: 2 ** 32 },
      { others: -1 },
      { bytes: 2 ** 53 },
      { catalogue: new Uint8Array(31) },
    ];
    const sound = manifestFor(ruleSetOf([LIST]), identity);
    for (const fault of faulty) expect(() => encodeManifest({ ...sound, ...fault })).toThrow(RangeError);
  });
});

describe('manifestFor', () => {
  it('says the totals and the digest of the catalogue', () => {
    const ruleSet = ruleSetOf([LIST, OTHER]);
    const { digest, parts, prefixes, others, bytes } = catalogueOf(ruleSet);
    const manifest = manifestFor(ruleSet, identity);
    expect(manifest).toEqual({ ...identity, parts, prefixes, others, bytes, catalogue: digest });
    expect(manifest).toMatchObject({ parts: 2, prefixes: 2, others: 0, bytes: 34 });
    expect(decodeManifest(encodeManifest(manifest))).toEqual(manifest);
  });
});

describe('a catalogue', () => {
  //
  it.each(vectors.catalogues)('has the totals and the digest of the vector: $name', (vector) => {
    const { digest, parts, prefixes, others, bytes } = vector;
    const records = vector.records.map((record) => ({ ...record, digest: bytesOfHex(record.digest) }));
    expect(hexOf(catalogueDigest(records))).toBe(digest);
    expect(slowCatalogue(vector.records)).toBe(digest);
    expect(totalsOf(records)).toEqual({ parts, prefixes, others, bytes });
  });
});

describe('verifyRuleSet', () => {
  const manifest = manifestFor(ruleSetOf([LIST, OTHER]), identity);

  it('takes the rule set of the manifest', () => {
    expect(() => verifyRuleSet(manifest, ruleSetOf([OTHER, LIST]))).not.toThrow();
  });

  //
  it.each<[string, readonly PartSpec[], string]>([
    ['a missing last part', [LIST], 'bad-rule-set'],
    ['a missing first part', [OTHER], 'bad-rule-set'],
    ['a part too many', [LIST, OTHER, { ...OTHER, name: 'n' }], 'bad-rule-set'],
    ['another count', [LONGER, OTHER], 'bad-count'],
    ['a part of another kind', [NAMES, OTHER], 'bad-count'],
    ['a part of another name', [LIST, { ...OTHER, name: 'n' }], 'bad-digest'],
    ['other content', [CHANGED, OTHER], 'bad-digest'],
  ])('refuses %s', (_, specs, code) => {
    expect(() => verifyRuleSet(manifest, ruleSetOf(specs))).toThrow(
      expect.objectContaining({ name: 'ProtocolError', code }),
    );
  });

  it('names the part where it is the only one that is another than before, and no part where it may be any', () => {
    const before = ruleSetOf([{ ...LIST, name: 'was' }, OTHER]);
    const partOf = (specs: readonly PartSpec[], old?: RuleSet): string | undefined => {
      try {
        verifyRuleSet(manifest, ruleSetOf(specs), old);
      } catch (error) {
        if (error instanceof ProtocolError && error.code === 'bad-digest') return error.part;
      }
      throw new Error('bad-digest was due');
    };
    expect(partOf([CHANGED, OTHER], before)).toBe(`list ${CHANGED.name}`);
    expect(partOf([CHANGED, OTHER])).toBeUndefined();
    expect(partOf([CHANGED, { ...OTHER, name: 'n' }], before)).toBeUndefined();
  });
});

describe('compareRelease', () => {
  it('orders by epoch, then version', () => {
    const at = (epoch: number, version: number) => ({ epoch, version });
    expect(compareRelease(at(1, 9), at(2, 1))).toBeLessThan(0);
    expect(compareRelease(at(2, 2), at(2, 1))).toBeGreaterThan(0);
    expect(compareRelease(at(2, 2), at(2, 2))).toBe(0);
  });

  // A mutant that compared 32 bits of each was seen by no test of this file.
  it('orders numbers on both sides of 2^32', () => {
    const at = (epoch: number, version: number) => ({ epoch, version });
    expect(compareRelease(at(2 ** 32 - 1, 9), at(2 ** 32, 1))).toBeLessThan(0);
    expect(compareRelease(at(1, 2 ** 32 + 1), at(1, 2 ** 32 - 1))).toBeGreaterThan(0);
    expect(compareRelease(at(1, 2 ** 33), at(1, 0))).toBeGreaterThan(0);
  });
});
