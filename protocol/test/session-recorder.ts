/**
 * A session as both sides would hold it, written down byte by byte: six releases over two connections, with
 * every kind of message that a session has, every kind of part, of change and of codec. Keys, times and
 * random numbers are fixed, so that the same code records the same bytes; only deflate may differ between
 * versions of zlib. `vectors/session.json` is what it recorded.
 */

import type { KeyObject } from 'node:crypto';
import type { RuleSet } from '@rulecast/rules';
import { mulberryWords } from '../../test/kit/random.mjs';
import { freshFor, keyOfSeed, rootOf, signedRoot } from '../../test/kit/roots.mjs';
import { diffRuleSets, encodeChain, encodeDelta, encodeSnapshot } from '../src/codec/delta.ts';
import { catalogueOf, manifestFor } from '../src/content/catalogue.ts';
import { encodeManifest, type Manifest, manifestHash } from '../src/content/manifest.ts';
import type { SignedRoot } from '../src/content/root.ts';
import { publicBytes, signBytes } from '../src/content/signatures.ts';
import { formatTrust } from '../src/peer/trust.ts';
import { FrameEncoder } from '../src/wire/frame.ts';
import { encodeMessage, type Message } from '../src/wire/message.ts';
import { hexOf, ruleSetOf } from './part-spec.ts';
import type { PartSpec } from './slow-encoder.ts';

export type Side = 'publisher' | 'subscriber';

/** What one side sends until the other does. */
export interface Turn {
  readonly from: Side;
  readonly hex: string;
}

export interface RecordedRelease {
  readonly epoch: number;
  readonly version: number;
  /** SHA-256 of the manifest. */
  readonly hash: string;
  readonly parts: readonly { kind: number; name: string; count: number; bytes: number; digest: string }[];
}

export interface RecordedSession {
  readonly about: string;
  /** The zlib of the recording process. */
  readonly zlib: string;
  readonly lineage: string;
  /** The trust line of whom the session is with. */
  readonly trust: string;
  readonly connections: readonly (readonly Turn[])[];
  /** The releases that become active, in order. */
  readonly applied: readonly RecordedRelease[];
}

const LINEAGE = Uint8Array.from({ length: 16 }, (_, i) => 0xa0 + i);
const KEY = keyOfSeed(Uint8Array.from({ length: 32 }, (_, i) => i));
const SECOND_KEY = keyOfSeed(Uint8Array.from({ length: 32 }, (_, i) => 255 - i));
const ROOTS = roots();
const CREATED_AT_MS = 1_790_000_000_000;
/** Chunks smaller than a sender would choose, so that streams have several. */
const CHUNK_BYTES = 4000;

interface Release {
  readonly ruleSet: RuleSet;
  readonly manifest: Manifest;
  readonly bytes: Uint8Array;
  readonly hash: Uint8Array;
  readonly signatures: Uint8Array;
}

/** The first root has one key for all; the second lets another one sign releases, too. */
function roots(): readonly [SignedRoot, SignedRoot] {
  const first = rootOf(LINEAGE, KEY);
  const keys = [publicBytes(KEY), publicBytes(SECOND_KEY)].sort(Buffer.compare);
  const second = { ...first, number: 2, roles: { ...first.roles, release: { threshold: 1, keys } } };
  return [signedRoot(first, KEY), signedRoot(second, KEY)];
}

/** Signs releases, each with the manifest before it in view. */
class ReleaseMaker {
  private keys: readonly KeyObject[] = [KEY];
  private last: Manifest | undefined;

  /** From here on another key signs as well. */
  join(key: KeyObject): void {
    this.keys = [...this.keys, key];
  }

  release(parts: readonly PartSpec[], epoch: number, version: number): Release {
    const ruleSet = ruleSetOf(parts);
    const previousVersion = this.last?.epoch === epoch ? this.last.version : 0;
    const createdAtMs = CREATED_AT_MS + version * 1000;
    const identity = { lineage: LINEAGE, epoch, version, previousVersion, createdAtMs };
    const manifest = manifestFor(ruleSet, identity);
    const bytes = encodeManifest(manifest);
    this.last = manifest;
    return {
      ruleSet,
      manifest,
      bytes,
      hash: manifestHash(bytes),
      signatures: signBytes(bytes, ...this.keys),
    };
  }
}

/** Both directions of one connection. */
class Tape {
  readonly turns: { from: Side; hex: string }[] = [];
  private readonly encoders = { publisher: new FrameEncoder(), subscriber: new FrameEncoder() };

  say(from: Side, message: Message, transaction = 0): void {
    const { type, body } = encodeMessage(message);
    const hex = hexOf(this.encoders[from].frame(type, transaction, body));
    const last = this.turns.at(-1);
    if (last?.from === from) last.hex += hex;
    else this.turns.push({ from, hex });
  }

  /** What the nonce of HELLO or PING is answered with: this is the newest. */
  fresh(nonce: Uint8Array, root: SignedRoot, { hash, manifest: { epoch, version } }: Release): void {
    this.say('publisher', freshFor(nonce, root, KEY, { epoch, version, hash }));
  }

  root({ signatures, content }: SignedRoot): void {
    this.say('publisher', { kind: 'root', signatures, content });
  }

  offer({ signatures, bytes }: Release): void {
    this.say('publisher', { kind: 'offer', signatures, content: bytes });
  }

  /** WANT to END; `base` is what the first of the deltas starts from. */
  transfer(release: Release, base: Release | undefined, deltas: readonly Uint8Array[]): void {
    const stream = encodeChain(deltas);
    this.say('subscriber', { kind: 'want', hash: release.hash, base: base?.hash });
    const { length: bytes } = stream;
    this.say('publisher', { kind: 'begin', bytes, snapshot: base === undefined ? true : undefined });
    for (let at = 0; at < bytes; at += CHUNK_BYTES) {
      this.say('publisher', { kind: 'chunk', bytes: stream.subarray(at, at + CHUNK_BYTES) });
    }
    this.say('publisher', { kind: 'end' });
  }

  applied({ hash, manifest: { epoch, version } }: Release, generation: number): void {
    this.say('subscriber', {
      kind: 'applied',
      hash,
      epoch,
      version,
      receiveMs: 3,
      verifyMs: 2,
      compileMs: 300,
      flipMs: 0,
      persisted: true,
      generation,
    });
  }
}

function quad(word: number): string {
  return `${word >>> 24}.${(word >>> 16) & 255}.${(word >>> 8) & 255}.${word & 255}`;
}

/** More hosts than a block has, far apart. */
function hosts(): readonly string[] {
  const random = mulberryWords(5);
  const words = Array.from({ length: 4500 }, random).sort((a, b) => a - b);
  return [...new Set(words)].map((word) => `${quad(word)}/32`);
}

const NETWORKS = [
  '2.56.8.0/22 2.56.16.0/21 2.56.24.0/22 2.56.32.0/19 5.1.40.0/21 5.1.48.0/20 31.3.0.0/24 31.3.2.0/23 31.3.8.0/21',
  '2001:678:4::/48 2001:678:5::/48 2001:678:c::/46 2001:678:10::/44 2a00:1f78::/32 2a00:1f79::/32 2a00:1f7a::/31',
]
  .join(' ')
  .split(' ');
const NAMES = [
  'ads.example.com',
  'ads.example.net',
  'ads1.example.com',
  'b.example',
  'xn--mnchen-3ya.example',
];
/** Every option of a rule, and every remote. */
const EGRESS = [
  'action=drop dst=@networks',
  'action=drop dst=@hosts',
  'action=drop dst=@names',
  'action=accept proto=tcp dst4=192.0.2.0/24 dstports=443',
  'action=accept proto=tcp dst4=198.51.100.7/32 dstports=443',
  'action=accept proto=udp dst6=2001:db8::/32 dstports=5000-5010 comment=voice, until the trial ends',
  'action=accept proto=icmp icmptype=8',
  'action=accept specialtarget=dns',
  'action=accept proto=tcp dsthost=update.example dstports=80 expire=1893456000',
  'action=drop',
];
/** Before `common`. */
const EXCEPTIONS = [
  'action=accept dst4=169.254.1.0/24',
  'action=accept proto=tcp dst4=169.254.2.1/32 dstports=80',
];
const INGRESS = ['action=accept proto=tcp src4=10.137.0.0/16 dstports=22', 'action=drop'];

const policy = (
  name: string,
  egress: readonly string[],
  ingress: readonly string[],
  own: readonly string[],
  exceptions: readonly string[] = [],
): PartSpec => ({
  kind: 'policy',
  name,
  defaultAction: 'drop',
  prefixes: own,
  egress,
  ingress,
  ...(exceptions.length > 0 && { exceptions: { egress: exceptions, ingress: [] } }),
});
const unmatched = (action: 'accept' | 'drop'): PartSpec => ({ kind: 'unmatched', action });
const list = (name: string, prefixes: readonly string[]): PartSpec => ({ kind: 'list', name, prefixes });
const names = (name: string, all: readonly string[], resolve: boolean): PartSpec => ({
  kind: 'names',
  name,
  resolve,
  names: all,
});
const BRIEF: PartSpec = {
  kind: 'names',
  name: 'brief',
  resolve: 'firewall',
  names: ['.brief.example', 'b.a.brief.example'],
  exceptions: ['.a.brief.example', 'c.brief.example'],
};

/** What each release holds. */
function contents(): readonly (readonly PartSpec[])[] {
  const all = hosts();
  const common = policy('common', ['action=drop dst4=169.254.0.0/16'], [], []);
  const work = policy('work', EGRESS, INGRESS, ['10.137.0.5/32', 'fd09:24ef:4179::a89:5/128'], EXCEPTIONS);
  const ghost = policy('ghost', ['action=drop dst=@nowhere'], [], []);
  const resolved = {
    'ads.example.com': ['203.0.113.7/32', '2001:db8:0:7::1/128'],
    'update.example': ['192.0.2.80/32'],
    'b.example': [],
    ...Object.fromEntries(
      Array.from({ length: 8 }, (_, i) => [`host${i}.example`, [`203.0.113.${i * 31 + 8}/32`]]),
    ),
  };
  const first = [
    list('hosts', all),
    list('networks', NETWORKS),
    list('old', ['198.18.0.0/15', '2001:2::/48']),
    BRIEF,
    names('names', NAMES, true),
    common,
    work,
    { kind: 'resolutions', names: resolved } as const,
    unmatched('drop'),
  ];
  // Some of the hosts, at random; one in three of the rest; networks of both families; a name, a rule, an
  // address.
  const random = mulberryWords(11);
  const second = [
    list('hosts', all.filter(() => random() % 50 !== 0).concat('10.1.1.1/32', '10.1.1.2/32', '240.0.0.1/32')),
    list('networks', [...NETWORKS.slice(1, -1), '5.1.64.0/18', '2a00:1f80::/29']),
    list('old', ['198.18.0.0/15', '2001:2::/48']),
    names('names', [...NAMES.slice(1), 'c.example'], true),
    common,
    policy(
      'work',
      [...EGRESS.slice(0, 4), 'action=drop dst4=192.0.2.66/32', ...EGRESS.slice(4)],
      INGRESS,
      ['10.137.0.6/32'],
      EXCEPTIONS.slice(1),
    ),
    {
      kind: 'resolutions',
      names: {
        ...Object.fromEntries(Object.entries(resolved).filter(([name]) => name !== 'b.example')),
        'update.example': ['192.0.2.80/32', '192.0.2.81/32'],
        'c.example': [],
      },
    } as const,
    unmatched('accept'),
  ];
  const third = [
    list(
      'hosts',
      all.filter((_, i) => i % 3 !== 0),
    ),
    names('old', ['old.example'], true),
    names('names', [...NAMES.slice(1), 'c.example'], false),
    common,
    ghost,
  ];
  const fourth = [...third.slice(0, 4), policy('ghost', ['action=drop dst=@old'], [], [])];
  return [first, second, third, fourth];
}

/** Records the session. */
export function recordSession(zlib: string): RecordedSession {
  const maker = new ReleaseMaker();
  const [one, two, three, four] = contents().map((parts, i) => maker.release(parts, 1, i + 1));
  if (one === undefined || two === undefined || three === undefined || four === undefined)
    throw new TypeError('four releases were expected');
  maker.join(SECOND_KEY);
  const renewed = maker.release(contents()[1] ?? [], 2, 3);
  const connections = [firstConnection(one, two, three, four), secondConnection(four, renewed, three)];
  return {
    about:
      'A session of two connections, as PROTOCOL.md says it, turn by turn. "applied" lists the releases that become active. ' +
      'Recorded with fixed keys (the private key of manifest.json) and times; another zlib may deflate to other bytes.',
    zlib,
    lineage: hexOf(LINEAGE),
    trust: formatTrust({ lineage: LINEAGE, rootHash: ROOTS[0].hash }),
    connections,
    applied: [one, two, four, renewed].map(recordedRelease),
  };
}

function recordedRelease({ ruleSet, hash, manifest: { epoch, version } }: Release): RecordedRelease {
  return {
    epoch,
    version,
    hash: hexOf(hash),
    parts: catalogueOf(ruleSet).records.map((record) => ({ ...record, digest: hexOf(record.digest) })),
  };
}

function delta(before: Release, after: Release): Uint8Array {
  return encodeDelta(diffRuleSets(before.ruleSet, after.ruleSet));
}

/** A nonce for each session: no two are equal. */
function nonceOf(ordinal: number): Uint8Array {
  return Uint8Array.from({ length: 16 }, (_, i) => ordinal * 16 + i);
}

const LIMITS = { entries: 100_000, bytes: 10_000_000, parts: 100 } as const;

/**
 * A subscriber that has nothing but its trust line: a snapshot, a delta, a release that is refused, an
 * aborted transfer, a chain; questions meanwhile.
 */
function firstConnection(one: Release, two: Release, three: Release, four: Release): readonly Turn[] {
  const tape = new Tape();
  tape.say('subscriber', {
    kind: 'hello',
    protocolMin: 2,
    protocolMax: 2,
    name: 'sys-firewall',
    lineage: LINEAGE,
    root: { hash: ROOTS[0].hash, number: undefined },
    holds: undefined,
    refused: [],
    limits: LIMITS,
    nonce: nonceOf(1),
  });
  tape.say('publisher', {
    kind: 'welcome',
    protocol: 2,
    name: 'mgmt',
    lineage: LINEAGE,
    heartbeatMs: 15_000,
  });
  tape.root(ROOTS[0]);
  tape.fresh(nonceOf(1), ROOTS[0], one);
  tape.offer(one);
  tape.transfer(one, undefined, [encodeSnapshot(one.ruleSet)]);
  tape.applied(one, 1);
  questions(tape, one);
  tape.say('subscriber', { kind: 'ping', hash: one.hash, ageMs: 75_000, nonce: nonceOf(2) });
  tape.say('publisher', { kind: 'pong', hash: one.hash });
  tape.fresh(nonceOf(2), ROOTS[0], one);
  tape.offer(two);
  tape.transfer(two, one, [delta(one, two)]);
  tape.applied(two, 2);
  tape.offer(three);
  tape.transfer(three, two, [delta(two, three)]);
  tape.say('subscriber', {
    kind: 'nack',
    hash: three.hash,
    code: 'bad-rule-set',
    text: 'policy ghost names the list nowhere, which does not exist',
    part: 'policy ghost',
    entry: 0,
    retry: 'never',
    retryAfterMs: undefined,
    keeps: two.hash,
  });
  tape.offer(four);
  abortedTransfer(tape, four, two);
  tape.offer(four);
  tape.transfer(four, two, [delta(two, three), delta(three, four)]);
  tape.applied(four, 3);
  tape.say('publisher', { kind: 'bye', code: 'shutting-down', text: 'bis später', retryAfterMs: 1000 });
  return tape.turns;
}

function questions(tape: Tape, active: Release): void {
  tape.say('publisher', { kind: 'ping', hash: active.hash, ageMs: 5_000_000_000 });
  const packet = { direction: 'egress', dst: Uint8Array.of(2, 56, 9, 1), proto: 6, port: 443 } as const;
  tape.say('publisher', { kind: 'query', question: 'test', packet }, 7);
  tape.say('publisher', { kind: 'query', question: 'stats', packet: undefined }, 0xffff_fffe);
  tape.say('subscriber', { kind: 'pong', hash: active.hash, ageMs: 70_000 });
  const nothing = {
    verdict: undefined,
    hash: undefined,
    version: undefined,
    epoch: undefined,
    generation: undefined,
    stats: undefined,
    code: undefined,
    text: undefined,
  };
  const verdict = {
    action: 'drop',
    direction: 'egress',
    policy: 'work',
    rulePolicy: 'work',
    rule: 'action=drop dst=@networks',
    ruleIndex: 0,
    run: 0,
    list: 'networks',
    prefix: '2.56.8.0/22',
  } as const;
  tape.say(
    'subscriber',
    {
      kind: 'answer',
      ...nothing,
      ok: true,
      verdict,
      hash: active.hash,
      version: 1,
      epoch: 1,
      generation: 1,
    },
    7,
  );
  tape.say(
    'subscriber',
    { kind: 'answer', ...nothing, ok: false, code: 'rate-limited', text: '20 a second' },
    0xffff_fffe,
  );
}

function abortedTransfer(tape: Tape, release: Release, base: Release): void {
  tape.say('subscriber', { kind: 'want', hash: release.hash, base: base.hash });
  tape.say('publisher', { kind: 'begin', bytes: 5000 });
  tape.say('publisher', { kind: 'chunk', bytes: Uint8Array.of(2, 0, 0, 0) });
  tape.say('publisher', { kind: 'abort', code: 'internal', text: 'the store could not be read' });
  tape.say('subscriber', {
    kind: 'nack',
    hash: release.hash,
    code: 'internal',
    text: 'the transfer was aborted',
    part: undefined,
    entry: undefined,
    retry: 'later',
    retryAfterMs: 0,
    keeps: base.hash,
  });
}

/**
 * The publisher was restored from a backup: the subscriber proves what it holds, and gets a new epoch, whole.
 */
function secondConnection(held: Release, renewed: Release, refused: Release): readonly Turn[] {
  const tape = new Tape();
  const { hash, signatures, bytes: manifest } = held;
  tape.say('subscriber', {
    kind: 'hello',
    protocolMin: 1,
    protocolMax: 3,
    name: 'sys-firewall',
    lineage: LINEAGE,
    root: { hash: ROOTS[0].hash, number: 1 },
    holds: { hash, epoch: 1, version: 4 },
    refused: [refused.hash],
    limits: LIMITS,
    nonce: nonceOf(3),
  });
  tape.say('publisher', {
    kind: 'welcome',
    protocol: 2,
    name: 'mgmt',
    lineage: LINEAGE,
    heartbeatMs: 15_000,
  });
  tape.root(ROOTS[1]);
  tape.say('publisher', { kind: 'prove' });
  tape.say('subscriber', { kind: 'proof', signatures, content: manifest });
  tape.say('subscriber', { kind: 'ping', hash, ageMs: 90_000, nonce: nonceOf(4) }); // behind, it answered none
  tape.say('publisher', { kind: 'pong', hash: renewed.hash });
  tape.fresh(nonceOf(4), ROOTS[1], renewed);
  tape.offer(renewed);
  tape.transfer(renewed, undefined, [encodeSnapshot(renewed.ruleSet)]);
  tape.applied(renewed, 1);
  tape.say('subscriber', { kind: 'bye', code: 'shutting-down', text: '', retryAfterMs: undefined });
  return tape.turns;
}
