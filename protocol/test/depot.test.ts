/** Heads, pages and reports: literal bytes, every truncation, every limit, and what changed bytes give. */

import { createHmac } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { keyOfSeed, rootOf, signedRoot } from '../../test/kit/roots.mjs';
import fc from '../../test/seeded-fast-check.ts';
import { joinSigned } from '../src/content/signature-block.ts';
import { signBytes } from '../src/content/signatures.ts';
import { compareHead, type DepotHead, encodeDepotHead, readDepotHead } from '../src/depot/head.ts';
import { isObject, objectPath, referenceOf } from '../src/depot/object.ts';
import { type DepotPage, decodeDepotPage, deltaFrom, encodeDepotPage } from '../src/depot/page.ts';
import {
  encodeReport,
  encodeReportAnswer,
  joinReports,
  type Report,
  readReport,
  readReportAnswer,
  splitReports,
  type TokenFor,
  tokenOf,
} from '../src/depot/report.ts';
import { ProtocolError } from '../src/error.ts';
import { DEPOT_HEAD_MAX_BYTES, DEPOT_PAGE_MAX_BYTES, REPORT_MAX_BYTES, REPORTS_MAX } from '../src/limits.ts';
import { hexOf } from './part-spec.ts';

const filled = (length: number, byte: number): Uint8Array => new Uint8Array(length).fill(byte);
const reference = (byte: number, length: number) => ({ sha256: filled(32, byte), length });
const KEY = keyOfSeed(filled(32, 9));
const SECRET = filled(32, 7);
const LINEAGE = filled(16, 0x4c);

const HEAD: DepotHead = {
  lineage: LINEAGE,
  rootNumber: 1,
  rootHash: filled(32, 2),
  roots: reference(3, 4),
  sequence: 5,
  issued: 6,
  expires: 7,
  epoch: 8,
  version: 9,
  hash: filled(32, 10),
  page: reference(11, 12),
};
const u64 = (value: number): string => `${value.toString(16).padStart(2, '0')}${'00'.repeat(7)}`;

function signedHead(head: DepotHead): Uint8Array {
  const content = encodeDepotHead(head);
  return joinSigned({ signatures: signBytes(content, KEY), content });
}

const MANIFEST = signedRoot(rootOf(LINEAGE, KEY), KEY); // any signed bytes
const PAGE: DepotPage = {
  signed: { signatures: MANIFEST.signatures, content: MANIFEST.content },
  capabilities: ['names', 'first'],
  snapshot: [reference(1, 100), reference(2, 20)],
  deltas: [{ base: filled(8, 3), ...reference(4, 5) }],
};

const REPORT: Report = {
  lineage: LINEAGE,
  name: 'fw',
  via: undefined,
  sequence: 3,
  nonce: filled(16, 1),
  held: { epoch: 1, version: 2, hash: filled(32, 5), applyMs: 6, isPersisted: true },
  refused: { hash: filled(32, 7), code: 'over-limit' },
  proof: PAGE.signed,
};
const tokenFor: TokenFor = (name, isRelay) => tokenOf(SECRET, LINEAGE, name, isRelay);

/** What a reader makes of bytes; another exception than its own ends the test. */
function readAs<T>(read: () => T): T | string {
  try {
    return read();
  } catch (error) {
    if (error instanceof ProtocolError) return error.code;
    throw error;
  }
}

describe('a head', () => {
  it('is these bytes, behind its signatures', () => {
    const content = hexOf(encodeDepotHead(HEAD));
    const references = [`${'03'.repeat(32)}04000000`, `${'0b'.repeat(32)}0c000000`];
    expect(content).toBe(
      `52434831${'4c'.repeat(16)}${u64(1)}${'02'.repeat(32)}${references[0]}${[5, 6, 7, 8, 9].map(u64).join('')}${'0a'.repeat(32)}${references[1]}`,
    );
    expect(readDepotHead(signedHead(HEAD)).head).toEqual(HEAD);
  });

  it.each([
    ['root 0', { rootNumber: 0 }],
    ['version 0', { version: 0 }],
    ['an end before its beginning', { expires: 5 }],
    ['an end beyond the year 9999', { expires: 253_402_300_800 }],
  ])('has not %s, written or read', (_, change) => {
    const head = { ...HEAD, ...change };
    expect(() => encodeDepotHead(head)).toThrow(RangeError);
    const bytes = signedHead(HEAD);
    const at = { rootNumber: 93, version: 201, expires: 185 };
    const [[key, value] = ['', 0]] = Object.entries(change);
    Buffer.from(bytes.buffer).writeBigUInt64LE(BigInt(value), at[key as keyof typeof at]);
    expect(readAs(() => readDepotHead(bytes))).toBe('bad-depot');
  });

  it('is ordered by its root first, so that no sequence outruns the next root', () => {
    const heads = [
      { rootNumber: 2, sequence: 1 },
      { rootNumber: 1, sequence: Number.MAX_SAFE_INTEGER },
      { rootNumber: 1, sequence: 4 },
    ];
    expect(heads.toSorted(compareHead)).toEqual(heads.toReversed());
  });

  it('of more bytes than sixteen keys can sign is refused unread', () => {
    const signatures = Uint8Array.of(16, ...filled(16 * 72, 0));
    expect(signatures.length + encodeDepotHead(HEAD).length).toBe(DEPOT_HEAD_MAX_BYTES);
    expect(readAs(() => readDepotHead(filled(DEPOT_HEAD_MAX_BYTES + 1, 0)))).toBe('bad-depot');
  });
});

describe('a page', () => {
  it('is a manifest, what the release needs, and where its streams lie', () => {
    const manifest = hexOf(joinSigned(PAGE.signed));
    const length = (manifest.length / 2).toString(16).padStart(4, '0');
    expect(hexOf(encodeDepotPage(PAGE))).toBe(
      `52434931${length.slice(2)}${length.slice(0, 2)}${manifest}02056e616d6573056669727374` +
        `02${'01'.repeat(32)}64000000${'02'.repeat(32)}1400000001${'03'.repeat(8)}${'04'.repeat(32)}05000000`,
    );
    expect(decodeDepotPage(encodeDepotPage(PAGE))).toEqual(PAGE);
  });

  it('leads from a release by the first bytes of its hash', () => {
    expect(deltaFrom(PAGE, Uint8Array.of(...filled(8, 3), ...filled(24, 9)))?.length).toBe(5);
    expect(deltaFrom(PAGE, filled(32, 4))).toBeUndefined();
  });

  it.each([
    ['no snapshot', { snapshot: [] }],
    ['nine pieces', { snapshot: Array.from({ length: 9 }, () => reference(1, 1)) }],
    ['33 deltas', { deltas: Array.from({ length: 33 }, () => ({ base: filled(8, 1), ...reference(1, 1) })) }],
    ['33 capabilities', { capabilities: Array.from({ length: 33 }, (_, i) => `c${i}`) }],
  ])('has not %s', (_, change) => {
    expect(() => encodeDepotPage({ ...PAGE, ...change })).toThrow(RangeError);
  });

  it('is refused unread where it is too long', () => {
    expect(readAs(() => decodeDepotPage(filled(DEPOT_PAGE_MAX_BYTES + 1, 0)))).toBe('bad-depot');
  });
});

describe('an object', () => {
  it('is named by its hash, and is these bytes alone', () => {
    const bytes = Buffer.from('a stream');
    const name = '4d3f0f3c1f6f0f7f';
    const own = referenceOf(bytes);
    expect(objectPath(own)).toMatch(/^o\/([0-9a-f]{2})\/\1[0-9a-f]{62}$/);
    expect(objectPath({ sha256: Buffer.from(name.repeat(4), 'hex') })).toBe(`o/4d/${name.repeat(4)}`);
    expect(isObject(bytes, own)).toBe(true);
    expect(isObject(bytes.subarray(1), own)).toBe(false);
    expect(isObject(Buffer.from('a strean'), own)).toBe(false);
  });
});

describe('a report', () => {
  it.each<[string, Partial<Report>]>([
    ['of everything', {}],
    ['of nothing in force', { held: undefined, proof: undefined, refused: undefined }],
    ['that a relay passes on', { via: 'relay-1' }],
    [
      'of what is not kept',
      { held: { ...(REPORT.held as NonNullable<Report['held']>), isPersisted: false } },
    ],
  ])('%s comes back as it was', (_, change) => {
    const report = { ...REPORT, ...change };
    const bytes = encodeReport(report, tokenFor(report.via ?? report.name, report.via !== undefined));
    expect(bytes.length).toBeLessThan(REPORT_MAX_BYTES);
    expect(readReport(bytes, tokenFor)).toEqual(report);
  });

  it('counts by the token of its name alone, or of its relay, and no firewall is a relay', () => {
    for (const token of [tokenFor('other', false), tokenFor('fw', true)])
      expect(readAs(() => readReport(encodeReport(REPORT, token), tokenFor))).toBe('bad-report');
    const relayed = { ...REPORT, via: 'relay-1' };
    for (const token of [tokenFor('fw', true), tokenFor('relay-1', false)])
      expect(readAs(() => readReport(encodeReport(relayed, token), tokenFor))).toBe('bad-report');
  });

  it('with any byte changed is refused before anything but its names is read', () => {
    const bytes = encodeReport(REPORT, tokenFor('fw', false));
    for (let at = 0; at < bytes.length; at++)
      expect(readAs(() => readReport(bytes.with(at, (bytes[at] ?? 0) ^ 1), tokenFor))).toBe('bad-report');
  });

  it.each([
    ['a flag that nobody knows', 16],
    ['kept, and nothing in force', 4],
  ])('has not %s', (_, flags) => {
    const report = { ...REPORT, held: undefined, refused: undefined, proof: undefined };
    const content = encodeReport(report, SECRET).slice(32);
    const spoiled = content.with(content.length - 1, flags);
    const mac = createHmac('sha256', SECRET).update(spoiled).digest();
    expect(readAs(() => readReport(Buffer.concat([mac, spoiled]), () => SECRET))).toBe('bad-report');
    expect(readReport(encodeReport(report, SECRET), () => SECRET)).toEqual(report);
  });
});

describe('an answer', () => {
  it.each([
    ['with a statement', { prove: false, isReplayed: false, sequence: 4, statement: PAGE.signed }],
    ['of a publisher that is behind', { prove: true, isReplayed: false, sequence: 4, statement: undefined }],
    ['to a replay', { prove: false, isReplayed: true, sequence: 9, statement: undefined }],
  ])('%s comes back as it was, to who has the token', (_, answer) => {
    const bytes = encodeReportAnswer(answer, SECRET);
    expect(readReportAnswer(bytes, SECRET)).toEqual(answer);
    expect(readAs(() => readReportAnswer(bytes, filled(32, 8)))).toBe('bad-report');
  });
});

describe('a body of reports', () => {
  it('has each behind its length, be it empty', () => {
    const body = joinReports([Uint8Array.of(1, 2), new Uint8Array(), Uint8Array.of(3)]);
    expect([...body]).toEqual([2, 0, 1, 2, 0, 0, 1, 0, 3]);
    expect(splitReports(body).map((report) => [...report])).toEqual([[1, 2], [], [3]]);
    expect(splitReports(new Uint8Array())).toEqual([]);
  });

  it('has so many at most, and none that is cut', () => {
    const empty = (count: number) => joinReports(Array.from({ length: count }, () => new Uint8Array()));
    expect(splitReports(empty(REPORTS_MAX))).toHaveLength(REPORTS_MAX);
    expect(readAs(() => splitReports(empty(REPORTS_MAX + 1)))).toBe('bad-report');
    for (const cut of [1, 2, 3])
      expect(readAs(() => splitReports(Uint8Array.of(2, 0, 1, 2).subarray(0, cut)))).toBe('bad-report');
  });
});

describe('bytes of others', () => {
  const readers: readonly (readonly [string, Uint8Array, (bytes: Uint8Array) => unknown])[] = [
    ['head', signedHead(HEAD), readDepotHead],
    ['page', encodeDepotPage(PAGE), decodeDepotPage],
    ['report', encodeReport(REPORT, tokenFor('fw', false)), (bytes) => readReport(bytes, tokenFor)],
    [
      'answer',
      encodeReportAnswer({ prove: true, isReplayed: false, sequence: 4, statement: PAGE.signed }, SECRET),
      (bytes) => readReportAnswer(bytes, SECRET),
    ],
  ];

  it.each(readers)('cut anywhere are no %s', (_, bytes, read) => {
    for (let length = 0; length < bytes.length; length++)
      expect(readAs(() => read(bytes.subarray(0, length)))).toMatch(/^bad-(depot|report)$/);
  });

  it.each(readers)('of any kind give a %s or a code, and no other error', (_, bytes, read) => {
    const spoiled = fc
      .array(fc.tuple(fc.nat(bytes.length - 1), fc.nat(255)), { maxLength: 4 })
      .map((changes) => changes.reduce((all, [at, byte]) => all.with(at, byte), Uint8Array.from(bytes)));
    fc.assert(
      fc.property(fc.oneof(spoiled, fc.uint8Array({ maxLength: 600 })), (any) => {
        readAs(() => read(any));
      }),
      { numRuns: 2000 },
    );
  });
});
