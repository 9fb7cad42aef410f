/**
 * Trust as vectors: trust lines, signatures and thresholds, roots, chains of them, offers against a floor,
 * statements of freshness. This makes `vectors/trust.json`, with keys whose seeds are here. Roots and
 * statements are put together field by field, apart from the code under test.
 */

import { createHash, type KeyObject } from 'node:crypto';
import { keyOfSeed } from '../../test/kit/roots.mjs';
import { encodeManifest } from '../src/content/manifest.ts';
import { publicBytes, signBytes } from '../src/content/signatures.ts';
import { EXPIRE_MAX_SECONDS, VERSION_MAX } from '../src/limits.ts';
import { bytesOfHex, hexOf } from './part-spec.ts';

const LINEAGE = '000102030405060708090a0b0c0d0e0f';
const OTHER_LINEAGE = `ff${LINEAGE.slice(2)}`;
/** The first of January 2027, and of July. */
const [DATE, LATER] = [1_798_761_600, 1_814_400_000];
const NOTHING = '00'.repeat(32);

/** By their public keys, ascending, as roots have them. */
const KEYS = Array.from({ length: 17 }, (_, i) => keyOfSeed(new Uint8Array(32).fill(i + 1))).sort((a, b) =>
  Buffer.compare(publicBytes(a), publicBytes(b)),
);
const keyAt = (at: number): KeyObject => {
  const key = KEYS[at];
  if (key === undefined) throw new RangeError(`there is no key ${at}`);
  return key;
};
const publicOf = (at: number): string => hexOf(publicBytes(keyAt(at)));
const sha256 = (hex: string): string => createHash('sha256').update(bytesOfHex(hex)).digest('hex');
/** A block of signatures over bytes, of keys by their place. */
const signed = (hex: string, ...keys: readonly number[]): string =>
  hexOf(signBytes(bytesOfHex(hex), ...keys.map(keyAt)));

function u64(value: number | bigint): string {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt(value));
  return bytes.toString('hex');
}

const u8 = (value: number): string => value.toString(16).padStart(2, '0');

// ── Roots ──────────────────────────────────────────────────────────────────────────────────────────────────

/** A threshold, and the keys of a role by their place in the root. */
type RawRole = readonly [threshold: number, ...keys: readonly number[]];

interface RawRoot {
  readonly tag?: string;
  readonly lineage?: string;
  readonly number?: number | bigint;
  readonly epochs?: readonly [floor: number | bigint, ceiling: number | bigint];
  readonly refreshBy?: number | bigint;
  /** By their place in KEYS. */
  readonly keys?: readonly number[];
  /** The roles root, release and freshness. */
  readonly roles?: readonly [RawRole, RawRole, RawRole];
}

const SOLE: RawRole = [1, 0];

/** Fields of a root, whatever they say, with spaces between them. */
function rawRoot(said: RawRoot): string {
  const { refreshBy, lineage = LINEAGE, number = 1, epochs = [1, 17], keys = [0] } = said;
  const { tag = refreshBy === undefined ? 'RCR1' : 'RCR2', roles = [SOLE, SOLE, SOLE] } = said;
  return [
    Buffer.from(tag).toString('hex'),
    lineage,
    ...[number, ...epochs].map(u64),
    ...(refreshBy === undefined ? [] : [u64(refreshBy)]),
    u8(keys.length),
    ...keys.map(publicOf),
    ...roles.map(([threshold, ...at]) => [threshold, at.length, ...at].map(u8).join('')),
  ].join(' ');
}

/** What `rawRoot` says, as a vector has it. */
function saidOf(said: RawRoot): RootText {
  const { lineage = LINEAGE, number = 1, epochs = [1, 17], refreshBy, keys = [0] } = said;
  const { roles = [SOLE, SOLE, SOLE] } = said;
  const roleOf = ([threshold, ...at]: RawRole): RoleText => {
    return { threshold, keys: at.map((place) => publicOf(keys[place] ?? -1)) };
  };
  const [root, release, freshness] = [roleOf(roles[0]), roleOf(roles[1]), roleOf(roles[2])];
  const [epochFloor, epochCeiling] = epochs.map(Number) as [number, number];
  const numbers = { number: Number(number), epochFloor, epochCeiling };
  const date = refreshBy === undefined ? {} : { refreshBy: Number(refreshBy) };
  return { lineage, ...numbers, ...date, root, release, freshness };
}

const ALL_16 = Array.from({ length: 16 }, (_, i) => i);
const SHARED: RawRoot = { number: 3, keys: [0, 1, 2], roles: [[2, 0, 1, 2], SOLE, [1, 1]] };

const VALID_ROOTS: readonly (readonly [name: string, said: RawRoot])[] = [
  ['one key for every role', {}],
  ['three keys, of which two sign roots', SHARED],
  [
    'as many keys as there may be',
    {
      keys: ALL_16,
      roles: [
        [16, ...ALL_16],
        [1, 0],
        [1, 15],
      ],
    },
  ],
  ['the largest numbers', { number: VERSION_MAX, epochs: [VERSION_MAX, VERSION_MAX] }],
  ['no epoch but 0', { epochs: [0, 0] }],
  ['with a date', { ...SHARED, refreshBy: DATE }],
  ['with the least date', { refreshBy: 1 }],
  ['with the last date', { refreshBy: EXPIRE_MAX_SECONDS }],
];

const WHOLE = rawRoot({});
const DATED = rawRoot({ refreshBy: DATE });

const REFUSED_ROOTS: readonly (readonly [name: string, hex: string])[] = [
  ['nothing', ''],
  ['another tag', rawRoot({ tag: 'RCR3', refreshBy: DATE })],
  ['the tag of a statement', rawRoot({ tag: 'RCF1' })],
  ['cut off in its last role', WHOLE.slice(0, -2)],
  ['a byte behind', `${WHOLE} 00`],
  ['cut off in its last role, with a date', DATED.slice(0, -2)],
  ['a byte behind, with a date', `${DATED} 00`],
  ['number 0', rawRoot({ number: 0 })],
  ['a number of 54 bits', rawRoot({ number: 2n ** 53n })],
  ['a floor above its ceiling', rawRoot({ epochs: [2, 1] })],
  ['a ceiling of 54 bits', rawRoot({ epochs: [1, 2n ** 53n] })],
  ['17 keys', rawRoot({ keys: [...ALL_16, 16], roles: [[17, ...ALL_16, 16], SOLE, SOLE] })],
  ['keys that descend', rawRoot({ keys: [1, 0], roles: [[1, 0, 1], SOLE, SOLE] })],
  ['a key twice', rawRoot({ keys: [0, 0], roles: [[1, 0, 1], SOLE, SOLE] })],
  ['a key without a role', rawRoot({ keys: [0, 1] })],
  ['a role of nobody', rawRoot({ roles: [SOLE, [1], SOLE] })],
  ['a threshold of 0', rawRoot({ roles: [SOLE, [0, 0], SOLE] })],
  ['a threshold above its keys', rawRoot({ roles: [[2, 0], SOLE, SOLE] })],
  ['an index beyond the keys', rawRoot({ roles: [SOLE, SOLE, [1, 1]] })],
  ['indices that descend', rawRoot({ keys: [0, 1], roles: [[1, 1, 0], SOLE, SOLE] })],
  ['an index twice', rawRoot({ keys: [0, 1], roles: [[1, 0, 0], SOLE, [1, 1]] })],
  ['the date 0', rawRoot({ refreshBy: 0 })],
  ['a date after the year 9999', rawRoot({ refreshBy: EXPIRE_MAX_SECONDS + 1 })],
  ['a date of 54 bits', rawRoot({ refreshBy: 2n ** 53n })],
  ['a date under the tag of those without', rawRoot({ tag: 'RCR1', refreshBy: DATE })],
  ['no date under the tag of those with one', rawRoot({ tag: 'RCR2' })],
];

// ── Signatures ─────────────────────────────────────────────────────────────────────────────────────────────

const CONTENT = '010203';

interface Quorum {
  readonly name: string;
  readonly threshold: number;
  /** Public keys of the role. */
  readonly keys: readonly string[];
  readonly signatures: string;
  /** How many of the keys have signed `content`. */
  readonly signers: number;
  readonly isSigned: boolean;
}

function quorum(name: string, [threshold, ...keys]: RawRole, signatures: string, signers: number): Quorum {
  const role = { threshold, keys: keys.map(publicOf) };
  return { name, ...role, signatures, signers, isSigned: signers >= threshold };
}

/** A block with another id in the place of its first. */
const renamed = (block: string, at: number): string =>
  `${block.slice(0, 2)}${sha256(publicOf(at)).slice(0, 16)}${block.slice(18)}`;

function quorums(): readonly Quorum[] {
  const spoilt = signed(CONTENT, 0);
  const others = ALL_16.slice(3);
  return [
    quorum('one of one', [1, 0], signed(CONTENT, 0), 1),
    quorum('one of two', [1, 0, 1], signed(CONTENT, 1), 1),
    quorum('two of three', [2, 0, 1, 2], signed(CONTENT, 0, 2), 2),
    quorum('two of three, and all have signed', [2, 0, 1, 2], signed(CONTENT, 0, 1, 2), 3),
    quorum('two of three, beside others', [2, 0, 1, 2], signed(CONTENT, 0, 2, ...others), 2),
    quorum('one too few', [2, 0, 1, 2], signed(CONTENT, 1), 1),
    quorum('one too few, beside others', [2, 0, 1, 2], signed(CONTENT, 1, ...others), 1),
    quorum('nobody', [1, 0], '00', 0),
    quorum('somebody else', [1, 0], signed(CONTENT, 1), 0),
    quorum('somebody else under an id that is wanted', [1, 0], renamed(signed(CONTENT, 1), 0), 0),
    quorum('one over other bytes', [1, 0], signed('010204', 0), 0),
    quorum('one with a bit flipped', [1, 0], `${spoilt.slice(0, -1)}${spoilt.endsWith('0') ? 1 : 0}`, 0),
  ];
}

/** Blocks that are none, each with bytes behind it. */
function refusedBlocks(): readonly (readonly [name: string, hex: string])[] {
  const two = signed(CONTENT, 0, 1);
  const [first, second] = [two.slice(2, 146), two.slice(146)];
  const ids = Array.from({ length: 33 }, (_, i) => `${u8(i)}${'00'.repeat(71)}`);
  return [
    ['a key id twice', `02${first}${first}${CONTENT}`],
    ['key ids that descend', `02${second}${first}${CONTENT}`],
    ['33 signatures', `21${ids.join('')}${CONTENT}`],
    ['cut off within a signature', two.slice(0, -2)],
  ];
}

// ── Chains ─────────────────────────────────────────────────────────────────────────────────────────────────

interface Link {
  readonly signatures: string;
  readonly content: string;
}

interface Chain {
  readonly name: string;
  /** The trust line. */
  readonly trust: string;
  readonly roots: readonly Link[];
  /** The number of the root in force after all of them; absent where the last may not be taken. */
  readonly inForce?: number;
  readonly code?: 'bad-root';
}

const lineOf = (content: string, lineage = LINEAGE): string => `rulecast2:${lineage}:${sha256(content)}`;

/** A root and who signed it. */
function link(said: RawRoot, ...signers: readonly number[]): Link {
  const content = rawRoot(said);
  return { signatures: signed(content, ...signers), content };
}

function followed(name: string, roots: readonly Link[], inForce: number): Chain {
  return { name, trust: lineOf(roots[0]?.content ?? ''), roots, inForce };
}

function stopped(name: string, roots: readonly Link[], trust = lineOf(roots[0]?.content ?? '')): Chain {
  return { name, trust, roots, code: 'bad-root' };
}

/** Root `number`, whose root role is the key 0 alone. */
const plain = (number: number, said: RawRoot = {}): Link => link({ number, ...said }, 0);

function chains(): readonly Chain[] {
  const [first, dated] = [plain(1), plain(1, { refreshBy: DATE })];
  const other: RawRole = [1, 1];
  /** All roles of key 1. */
  const replaced = (...signers: readonly number[]): Link =>
    link({ number: 2, keys: [0, 1], roles: [other, [1, 0], other] }, ...signers);
  const shared = (number: number, ...signers: readonly number[]): Link =>
    link({ ...SHARED, number }, ...signers);
  const forged = plain(2, { refreshBy: DATE });
  return [
    followed('the first', [first], 1),
    followed('the first, with a date', [dated], 1),
    followed('RCR1 after RCR1', [first, plain(2)], 2),
    followed('RCR2 after RCR1', [first, plain(2, { refreshBy: DATE })], 2),
    followed('RCR1 after RCR2', [dated, plain(2)], 2),
    followed('RCR2 after RCR2, with a later date', [dated, plain(2, { refreshBy: LATER })], 2),
    followed(
      'RCR2 after RCR2, with an earlier date',
      [plain(1, { refreshBy: LATER }), plain(2, { refreshBy: DATE })],
      2,
    ),
    followed('from a root in the middle', [plain(7), plain(8, { refreshBy: DATE }), plain(9)], 9),
    followed('to another root key, which both have signed', [first, replaced(0, 1)], 2),
    followed('from one root key to two of three', [first, shared(2, 0, 1)], 2),
    followed('from two of three to two of three', [shared(3, 0, 1), shared(4, 1, 2)], 4),
    followed('with higher epochs', [first, plain(2, { epochs: [5, 5] }), plain(3, { epochs: [5, 21] })], 3),
    stopped('another root than the trust line names', [first], lineOf(plain(2).content)),
    stopped('the root of another lineage than the trust line', [first], lineOf(first.content, OTHER_LINEAGE)),
    stopped('a first root that its own root role has not signed', [link({}, 1)]),
    stopped('a first root that nobody has signed', [link({})]),
    stopped('a root that only the root role before has signed', [first, replaced(0)]),
    stopped('a root that only its own root role has signed', [first, replaced(1)]),
    stopped('one of two that have to sign the next', [shared(3, 0, 1), shared(4, 1)]),
    stopped('two that sign the next, one of them before', [
      shared(3, 0, 1),
      link({ number: 4, keys: [0, 1, 3], roles: [[2, 1, 2], SOLE, SOLE] }, 1, 3),
    ]),
    stopped('a root that a release key has signed', [
      link({ keys: [0, 1], roles: [[1, 0], other, other] }, 0),
      link({ number: 2, keys: [0, 1], roles: [[1, 0], other, other] }, 1),
    ]),
    stopped('a number left out', [first, plain(3)]),
    stopped('the same root again', [first, first]),
    stopped('a number below', [plain(7), plain(6)]),
    stopped('another lineage', [first, plain(2, { lineage: OTHER_LINEAGE })]),
    stopped('a lower floor of epochs', [plain(1, { epochs: [5, 9] }), plain(2, { epochs: [4, 9] })]),
    stopped('a date that was put off by nobody who may', [
      dated,
      { ...forged, content: rawRoot({ number: 2, refreshBy: LATER }) },
    ]),
    stopped('a date that was taken out by nobody who may', [
      dated,
      { ...forged, content: rawRoot({ number: 2 }) },
    ]),
    stopped('a root that does not decode', [
      first,
      { ...forged, content: rawRoot({ number: 2, refreshBy: 0 }) },
    ]),
  ];
}

// ── Dates ──────────────────────────────────────────────────────────────────────────────────────────────────

/** Seconds since 1970: what the clocks show, and whether the root is overdue by that. */
const RENEWALS = [
  ['no date', undefined, DATE, DATE, 'good'],
  ['long before', DATE, DATE - 2_592_001, DATE - 2_592_001, 'good'],
  ['thirty days before', DATE, DATE - 2_592_000, DATE - 2_592_000, 'due'],
  ['a second before', DATE, DATE - 1, DATE - 1, 'due'],
  ['at the date', DATE, DATE, DATE, 'overdue'],
  ['long after', DATE, LATER, LATER, 'overdue'],
  ['one of two clocks is past', DATE, DATE - 1, LATER, 'due'],
  ['one of two clocks begins in 1970, and the other is past', DATE, 0, LATER, 'due'],
  ['both clocks begin in 1970', DATE, 0, 0, 'good'],
  ['the least date', 1, 1, 1, 'overdue'],
] as const;

// ── Offers ─────────────────────────────────────────────────────────────────────────────────────────────────

interface RawManifest {
  readonly lineage?: string;
  readonly epoch?: number;
  readonly version: number;
  readonly bytes?: number;
}

function manifest({ lineage = LINEAGE, epoch = 5, version, bytes = 0 }: RawManifest): string {
  const empty = { parts: 0, prefixes: 0, others: 0, bytes, catalogue: new Uint8Array(32) };
  const number = { lineage: bytesOfHex(lineage), epoch, version, previousVersion: 0 };
  return hexOf(encodeManifest({ ...number, createdAtMs: 0, ...empty }));
}

const released = (said: RawManifest, ...signers: readonly number[]): Link => {
  const content = manifest(said);
  return { signatures: signed(content, ...signers), content };
};

/** The root in force: key 1 releases, key 0 signs roots, key 2 had to do with the root before. */
const OFFERING: RawRoot = { number: 2, epochs: [4, 6], keys: [0, 1], roles: [SOLE, [1, 1], SOLE] };

interface Numbered {
  readonly epoch: number;
  readonly version: number;
  readonly hash: string;
}

interface OfferCase {
  readonly name: string;
  /** The release in force, whichever keys may release now. */
  readonly floor?: Link;
  /** What FRESH said is the newest, in this connection and not too long ago. */
  readonly stated?: Numbered;
  readonly offer: Link;
  /** Absent: it is wanted, for all that is said here. */
  readonly code?: string;
  readonly retry?: 'later' | 'never';
}

function offers(): readonly OfferCase[] {
  const [floor, none] = [released({ version: 7 }, 1), { epoch: 0, version: 0, hash: NOTHING }];
  const of = (said: RawManifest): Link => released(said, 1);
  const statedOf = (epoch: number, version: number): Numbered => {
    return { epoch, version, hash: sha256(manifest({ epoch, version })) };
  };
  const wanted = (name: string, offer: Link, said: Partial<OfferCase>): OfferCase => {
    return { name, ...said, offer };
  };
  const nacked = (
    name: string,
    code: string,
    retry: 'later' | 'never',
    offer: Link,
    said: Partial<OfferCase> = { floor },
  ): OfferCase => ({ name, ...said, offer, code, retry });
  const unread = { signatures: signed('00', 1), content: '00' };
  const [foreign, taken] = [
    released({ lineage: OTHER_LINEAGE, version: 1 }, 1),
    released({ version: VERSION_MAX }, 2),
  ];
  return [
    wanted('above the floor', of({ version: 8 }), { floor }),
    wanted('far above the floor', of({ version: VERSION_MAX }), { floor }),
    wanted('the floor itself', floor, { floor }),
    wanted('the floor, with another signature beside it', released({ version: 7 }, 1, 2), { floor }),
    wanted('of a later epoch, and a lower version', of({ epoch: 6, version: 1 }), { floor }),
    nacked('below the floor', 'not-newer', 'never', of({ version: 6 })),
    nacked('of an earlier epoch, and a higher version', 'not-newer', 'never', of({ epoch: 4, version: 9 })),
    nacked('another of the number of the floor', 'forked', 'never', of({ version: 7, bytes: 1 })),
    nacked('of an epoch below those granted', 'epoch-not-granted', 'later', of({ epoch: 3, version: 8 }), {}),
    nacked('of an epoch above those granted', 'epoch-not-granted', 'later', of({ epoch: 7, version: 1 })),
    nacked('of another lineage', 'wrong-lineage', 'never', of({ lineage: OTHER_LINEAGE, version: 8 })),
    nacked('that nobody signed', 'bad-signature', 'later', released({ version: 8 })),
    nacked('that a root key signed', 'bad-signature', 'later', released({ version: 8 }, 0)),
    nacked('that nobody signed, and is none', 'bad-signature', 'later', { signatures: '00', content: '00' }),
    nacked('that does not decode', 'bad-manifest', 'never', unread),
    nacked('beside a floor of another lineage', 'wrong-lineage', 'never', of({ version: 8 }), {
      floor: foreign,
    }),
    wanted('below a floor of keys that were taken away', of({ version: 1 }), { floor: taken, stated: none }),
    wanted('without a floor, where there was nothing', of({ version: 1 }), { stated: none }),
    wanted('without a floor, the newest', of({ version: 3 }), { stated: statedOf(5, 3) }),
    wanted('without a floor, above the newest', of({ version: 4 }), { stated: statedOf(5, 3) }),
    nacked('without a floor, below the newest', 'not-fresh', 'later', of({ version: 2 }), {
      stated: statedOf(5, 3),
    }),
    nacked('without a floor, of an earlier epoch than the newest', 'not-fresh', 'later', of({ version: 2 }), {
      stated: statedOf(6, 1),
    }),
    nacked(
      'without a floor, another of the number of the newest',
      'forked',
      'later',
      of({ version: 3, bytes: 1 }),
      { stated: statedOf(5, 3) },
    ),
    nacked('without a floor, where nothing was stated', 'not-fresh', 'later', of({ version: 8 }), {}),
    nacked(
      'beside a floor of keys that were taken away, where nothing was stated',
      'not-fresh',
      'later',
      of({ version: 8 }),
      { floor: taken },
    ),
    nacked('above the floor, and below the newest', 'not-fresh', 'later', of({ version: 8 }), {
      floor,
      stated: statedOf(5, 9),
    }),
  ];
}

// ── Statements ─────────────────────────────────────────────────────────────────────────────────────────────

interface StatementSpec {
  readonly nonce: string;
  readonly lineage: string;
  readonly root: string;
  readonly epoch: number;
  readonly version: number;
  readonly hash: string;
}

const [NONCE, SECOND_NONCE] = ['a1', 'a2'].map((byte) => byte.repeat(16)) as [string, string];
/** The root of OFFERING, with a freshness key of its own. */
const STATING: RawRoot = { ...OFFERING, keys: [0, 1, 2], roles: [SOLE, [1, 1], [1, 2]] };
const HEAD = released({ version: 7 }, 1).content;
const SAID: StatementSpec = {
  nonce: NONCE,
  lineage: LINEAGE,
  root: sha256(rawRoot(STATING)),
  epoch: 5,
  version: 7,
  hash: sha256(HEAD),
};

function rawStatement(
  said: Omit<StatementSpec, 'version'> & { version: number | bigint },
  tag = 'RCF1',
): string {
  const { nonce, lineage, root, epoch, version, hash } = said;
  return [Buffer.from(tag).toString('hex'), nonce, lineage, root, u64(epoch), u64(version), hash].join(' ');
}

function statementVectors(): TrustVectors['statements'] {
  const valid = [
    ['of a release', SAID],
    ['of nothing', { ...SAID, epoch: 0, version: 0, hash: NOTHING }],
    ['of the last number', { ...SAID, epoch: VERSION_MAX, version: VERSION_MAX }],
  ] as const;
  const whole = rawStatement(SAID);
  const refused = [
    ['nothing', ''],
    ['cut off', whole.slice(0, -2)],
    ['a byte behind', `${whole} 00`],
    ['another tag', rawStatement(SAID, 'RCF2')],
    ['a number of 54 bits', rawStatement({ ...SAID, version: 2n ** 53n })],
    ['a root', WHOLE],
    ['a manifest', HEAD],
  ] as const;
  return {
    valid: valid.map(([name, statement]) => ({ name, statement, hex: rawStatement(statement) })),
    invalid: refused.map(([name, hex]) => ({ name, hex })),
    root: link(STATING, 0),
    nonces: [NONCE, SECOND_NONCE],
    floor: { epoch: 5, version: 7, hash: sha256(HEAD) },
    judged: judged(),
  };
}

/** How statements that answer one of two nonces are judged, under a floor. */
function judged(): TrustVectors['statements']['judged'] {
  const stated = (name: string, said: Partial<StatementSpec>, outcome: string, ...signers: number[]) => {
    const content = rawStatement({ ...SAID, ...said });
    return { name, signatures: signed(content, ...(signers.length === 0 ? [2] : signers)), content, outcome };
  };
  const unsigned = rawStatement(SAID);
  return [
    stated('that the floor is the newest', {}, 'believed'),
    stated('to the later nonce', { nonce: SECOND_NONCE }, 'believed'),
    stated('that a later release is', { version: 8, hash: sha256(manifest({ version: 8 })) }, 'believed'),
    stated('that a release of a later epoch is', { epoch: 6, version: 1, hash: NOTHING }, 'believed'),
    stated('with the signature of a stranger beside it', {}, 'believed', 2, 3),
    stated('that a release below the floor is', { version: 6 }, 'not-newer'),
    stated('that there is none', { epoch: 0, version: 0, hash: NOTHING }, 'not-newer'),
    stated('another of the number of the floor', { hash: NOTHING }, 'forked'),
    stated('to a nonce that nobody asked with', { nonce: '00'.repeat(16) }, 'not-asked'),
    stated('of another lineage', { lineage: OTHER_LINEAGE }, 'bad-signature'),
    stated('under another root', { root: sha256(WHOLE) }, 'bad-signature'),
    stated('signed by the release key', {}, 'bad-signature', 1),
    stated('signed by the root key', {}, 'bad-signature', 0),
    { name: 'signed by nobody', signatures: '00', content: unsigned, outcome: 'bad-signature' },
    {
      name: 'cut off',
      signatures: signed(unsigned.slice(0, -2), 2),
      content: unsigned.slice(0, -2),
      outcome: 'not-asked',
    },
  ];
}

// ── All ────────────────────────────────────────────────────────────────────────────────────────────────────

const LINE = `rulecast2:${LINEAGE}:${'a1'.repeat(32)}`;

function lineVectors(): TrustVectors['lines'] {
  const valid = [
    ['bare', LINE],
    ['with white space around it', ` \t${LINE}\r\n`],
  ] as const;
  const invalid = [
    ['nothing', ''],
    ['a digit short', LINE.slice(0, -1)],
    ['a digit more', `${LINE}0`],
    ['capital digits', LINE.toUpperCase().replace('RULECAST', 'rulecast')],
    ['of protocol 1 of old', LINE.replace('2:', '1:')],
    ['white space within', LINE.replace(/:(?=a)/, ': ')],
    ['two of them', `${LINE} ${LINE}`],
    ['two of them, one a line', `${LINE}\n${LINE}`],
    ['without its lineage', `rulecast2:${'a1'.repeat(32)}`],
    ['no hexadecimal digit', `${LINE.slice(0, -1)}g`],
  ] as const;
  return {
    valid: valid.map(([name, line]) => ({ name, line, lineage: LINEAGE, root: 'a1'.repeat(32) })),
    invalid: invalid.map(([name, line]) => ({ name, line })),
  };
}

interface Refused {
  readonly name: string;
  readonly hex: string;
  readonly code: string;
}

interface RoleText {
  readonly threshold: number;
  readonly keys: readonly string[];
}

interface RootText {
  readonly lineage: string;
  readonly number: number;
  readonly epochFloor: number;
  readonly epochCeiling: number;
  readonly refreshBy?: number;
  readonly root: RoleText;
  readonly release: RoleText;
  readonly freshness: RoleText;
}

/** `vectors/trust.json`; bytes are hexadecimal digits. */
export interface TrustVectors {
  readonly about: string;
  /** Duties of WIRE.md. */
  readonly duties: readonly string[];
  readonly lines: {
    readonly valid: readonly { name: string; line: string; lineage: string; root: string }[];
    readonly invalid: readonly { name: string; line: string }[];
  };
  readonly signatures: {
    readonly content: string;
    readonly judged: readonly Quorum[];
    readonly refused: readonly Refused[];
  };
  readonly roots: {
    readonly valid: readonly { name: string; root: RootText; hex: string; hash: string }[];
    readonly refused: readonly Refused[];
  };
  readonly chains: readonly Chain[];
  /** In seconds since 1970. */
  readonly renewals: readonly {
    name: string;
    refreshBy?: number | undefined;
    earliest: number;
    latest: number;
    renewal: string;
  }[];
  readonly offers: { readonly root: Link; readonly judged: readonly OfferCase[] };
  readonly statements: {
    readonly valid: readonly { name: string; statement: StatementSpec; hex: string }[];
    readonly invalid: readonly { name: string; hex: string }[];
    readonly root: Link;
    /** What was asked with, the oldest first, while the floor was in force. */
    readonly nonces: readonly string[];
    readonly floor: Numbered;
    readonly judged: readonly (Link & { name: string; outcome: string })[];
  };
}

/** Duties of readers that these vectors show. */
const SHOWN = [1, 20, 21, 22, 23, 24, 26, 27, 31, 32, 33, 41, 42, 43];

/** The whole file. */
export function recordTrust(): TrustVectors {
  return {
    about:
      'Whom to believe. WIRE.md "Trust line", "Signatures", "Roots", "Offers" and "Freshness". Spaces in hex separate fields. A chain is taken root by root; where it has a code, that is what the last is refused with.',
    duties: SHOWN.map((number) => `R-${number}`),
    lines: lineVectors(),
    signatures: {
      content: CONTENT,
      judged: quorums(),
      refused: refusedBlocks().map(([name, hex]) => ({ name, hex, code: 'bad-message' })),
    },
    roots: {
      valid: VALID_ROOTS.map(([name, said]) => {
        const hex = rawRoot(said);
        return { name, root: saidOf(said), hex, hash: sha256(hex) };
      }),
      refused: REFUSED_ROOTS.map(([name, hex]) => ({ name, hex, code: 'bad-root' })),
    },
    chains: chains(),
    renewals: RENEWALS.map(([name, refreshBy, earliest, latest, renewal]) => {
      return { name, refreshBy, earliest, latest, renewal };
    }),
    offers: { root: link(OFFERING, 0), judged: offers() },
    statements: statementVectors(),
  };
}
