/**
 * Sessions with time, as steps: what comes, and what is sent for it. The replies are written by hand, from
 * WIRE.md; keys, nonces and times are fixed. `vectors/states.json` has them beside every cell of both tables,
 * and the machines of both sides are led through them (packages/subscriber, packages/publisher).
 */

import type { KeyObject } from 'node:crypto';
import { freshFor, keyOfSeed, rootOf, signedRoot } from '../../test/kit/roots.mjs';
import { diffRuleSets, encodeChain, encodeDelta, encodeSnapshot } from '../src/codec/delta.ts';
import { manifestFor } from '../src/content/catalogue.ts';
import { encodeManifest, manifestHash } from '../src/content/manifest.ts';
import type { SignedRoot } from '../src/content/root.ts';
import { publicBytes, signBytes } from '../src/content/signatures.ts';
import { PROTOCOL_VERSION } from '../src/limits.ts';
import { formatTrust } from '../src/peer/trust.ts';
import type { Message, MessageKind, MessageOf } from '../src/wire/message.ts';
import { ruleSetOf } from './part-spec.ts';

/** Fields of a message that is due; it may have others. */
export type Due = { readonly [K in MessageKind]: { readonly kind: K } & Partial<MessageOf<K>> }[MessageKind];

/** What happens at a time, and what is due by it, in its order, what is due before that time included. */
export interface ScriptStep {
  /** Milliseconds since the first step. */
  readonly at: number;
  /** A subscriber has connected by then; or somebody connects to a publisher. */
  readonly connect?: true;
  readonly receive?: Message;
  /** The other side closes. */
  readonly end?: true;
  /** A publisher has a release, by its name, as its head from then on. */
  readonly head?: string;
  readonly send: readonly Due[];
  /** The connection is closed: with BYE of this code, or without one. */
  readonly closed?: string | null;
}

export interface ScriptRelease {
  readonly name: string;
  readonly hash: Uint8Array;
  readonly manifest: Uint8Array;
  readonly signatures: Uint8Array;
  /** A chain of one delta from nothing, and one from the release before. */
  readonly snapshot: Uint8Array;
  readonly chain: Uint8Array;
  readonly capabilities: readonly string[];
}

export interface SessionScript {
  readonly name: string;
  /** Duties, by number. */
  readonly shows: readonly string[];
  readonly steps: readonly ScriptStep[];
}

const LINEAGE = Uint8Array.from({ length: 16 }, (_, i) => 0xb0 + i);
const OTHER_LINEAGE = new Uint8Array(16).fill(0x0f);
/** Signs all, and may. */
const KEY: KeyObject = keyOfSeed(new Uint8Array(32).fill(0x11));
/** A thief's. */
const STRANGER = keyOfSeed(new Uint8Array(32).fill(0x22));
export const ROOT: SignedRoot = signedRoot(rootOf(LINEAGE, KEY, { epochCeiling: 5 }), KEY);
const TWO_KEYS = { threshold: 1, keys: [KEY, STRANGER].map(publicBytes).sort(Buffer.compare) };
/** Not signed by the keys of the root before. */
const STOLEN = signedRoot(
  rootOf(LINEAGE, KEY, { number: 2, roles: { ...ROOT.root.roles, root: TWO_KEYS } }),
  STRANGER,
);
const STRANGE = signedRoot(rootOf(OTHER_LINEAGE, KEY), KEY);
export const TRUST: string = formatTrust({ lineage: LINEAGE, rootHash: ROOT.hash });
/** What a subscriber of the scripts is, beside what HELLO says. */
export const SUBSCRIBER = {
  name: 'fw',
  limits: { entries: 1000, bytes: 100_000, parts: 65_536 },
  staleAfterMs: 120_000,
} as const;

/** The nonce that a subscriber asks with as its first, second, … */
export function nonceOf(ordinal: number): Uint8Array {
  return new Uint8Array(16).fill(ordinal);
}

interface Numbers {
  readonly epoch?: number;
  readonly version: number;
  readonly lineage?: Uint8Array;
  readonly key?: KeyObject;
}

function releaseOf(
  name: string,
  prefixes: readonly string[],
  { epoch = 1, version, lineage = LINEAGE, key = KEY }: Numbers,
  before: readonly string[] = [],
): ScriptRelease {
  const setOf = (all: readonly string[]) =>
    ruleSetOf([
      ...(all.length === 0 ? [] : [{ kind: 'list', name: 'bad', prefixes: all } as const]),
      { kind: 'unmatched', action: 'drop' },
    ]);
  const ruleSet = setOf(prefixes);
  const identity = { lineage, epoch, version, previousVersion: version - 1, createdAtMs: 1_790_000_000_000 };
  const manifest = encodeManifest(manifestFor(ruleSet, identity));
  return {
    name,
    hash: manifestHash(manifest),
    manifest,
    signatures: signBytes(manifest, key),
    snapshot: encodeChain([encodeSnapshot(ruleSet)]),
    chain: encodeChain([encodeDelta(diffRuleSets(setOf(before), ruleSet))]),
    capabilities: ['unmatched'],
  };
}

const FIRST_LIST = ['192.0.2.0/24', '198.51.100.7/32'];
const SECOND_LIST = ['192.0.2.0/24', '198.51.100.7/32', '203.0.113.0/25'];
const SPOILED_LIST = ['192.0.2.0/24', '198.51.100.7/32', '203.0.113.128/25'];
const FIRST = releaseOf('first', FIRST_LIST, { version: 1 });
const SECOND = releaseOf('second', SECOND_LIST, { version: 2 }, FIRST_LIST);
/** As many prefixes of as many bytes, others than were signed. */
const SPOILED = releaseOf('spoiled', SPOILED_LIST, { version: 2 }, FIRST_LIST);
const THIRD = releaseOf('third', FIRST_LIST, { version: 3 }, SECOND_LIST);
const FORK = releaseOf('fork of the second', ['10.0.0.0/8'], { version: 2 });
const ABOVE = releaseOf('above', FIRST_LIST, { version: 9 });
const OF_A_LATER_EPOCH = releaseOf('of epoch 6', FIRST_LIST, { epoch: 6, version: 1 });
const OF_ANOTHER_LINEAGE = releaseOf('of another lineage', FIRST_LIST, {
  version: 2,
  lineage: OTHER_LINEAGE,
});
export const RELEASES = [FIRST, SECOND, THIRD, FORK, ABOVE, OF_A_LATER_EPOCH, OF_ANOTHER_LINEAGE] as const;

// ── What is said ───────────────────────────────────────────────────────────────────────────────────────────

const WELCOME: MessageOf<'welcome'> = {
  kind: 'welcome',
  protocol: PROTOCOL_VERSION,
  name: 'mgmt',
  lineage: LINEAGE,
  heartbeatMs: 60_000,
};
const root = ({ signatures, content }: SignedRoot = ROOT): Message => ({ kind: 'root', signatures, content });
const offer = ({ signatures, manifest }: ScriptRelease): MessageOf<'offer'> => ({
  kind: 'offer',
  signatures,
  content: manifest,
});
const numbersOf = ({ manifest }: ScriptRelease): { epoch: number; version: number } => {
  const view = new DataView(manifest.buffer, manifest.byteOffset);
  return { epoch: Number(view.getBigUint64(20, true)), version: Number(view.getBigUint64(28, true)) };
};
const heldOf = (release: ScriptRelease) => ({ hash: release.hash, ...numbersOf(release) });
/** The answer to the nonce of that ordinal: a release is the newest, or there is none. */
const fresh = (ordinal: number, release?: ScriptRelease, key = KEY, under = ROOT): Message =>
  freshFor(nonceOf(ordinal), under, key, release === undefined ? {} : heldOf(release));
const begin = (stream: Uint8Array, isSnapshot = true): Message => ({
  kind: 'begin',
  bytes: stream.length,
  ...(isSnapshot ? { snapshot: true } : {}),
});
const chunk = (bytes: Uint8Array): Message => ({ kind: 'chunk', bytes });
const END: Message = { kind: 'end' };
const applied = (release: ScriptRelease): Due => ({ kind: 'applied', ...heldOf(release) });
const want = ({ hash }: ScriptRelease, base?: ScriptRelease): Due => ({
  kind: 'want',
  hash,
  base: base?.hash,
});
const nack = (
  { hash }: ScriptRelease,
  code: string,
  retry: 'never' | 'later',
  retryAfterMs?: number,
): Due => ({ kind: 'nack', hash, code, retry, retryAfterMs });
const ask = (ordinal: number): Due => ({ kind: 'ping', nonce: nonceOf(ordinal) });

/** Writes steps down; a step that says nothing of the time is at that of the one before. */
class Script {
  readonly steps: ScriptStep[] = [];
  #at = 0;

  at(ms: number): this {
    this.#at = ms;
    return this;
  }

  #step(what: Omit<ScriptStep, 'at' | 'send'>, send: readonly Due[]): this {
    this.steps.push({ at: this.#at, ...what, send });
    return this;
  }

  connect(...send: readonly Due[]): this {
    return this.#step({ connect: true }, send);
  }

  receive(message: Message, ...send: readonly Due[]): this {
    return this.#step({ receive: message }, send);
  }

  head(release: ScriptRelease, ...send: readonly Due[]): this {
    return this.#step({ head: release.name }, send);
  }

  /** Nothing but time. */
  wait(ms: number, ...send: readonly Due[]): this {
    return this.at(ms).#step({}, send);
  }

  end(): this {
    return this.#step({ end: true, closed: null }, []);
  }

  /** What was last brings about the end. */
  closed(code: string | null): this {
    const last = this.steps.pop();
    if (last === undefined) throw new TypeError('nothing has happened');
    this.steps.push({ ...last, closed: code });
    return this;
  }
}

// ── Subscribers ────────────────────────────────────────────────────────────────────────────────────────────

/** HELLO, WELCOME and ROOT of a subscriber that has nothing but its trust line. */
function opened(): Script {
  const hello: Due = {
    kind: 'hello',
    lineage: LINEAGE,
    root: { hash: ROOT.hash },
    refused: [],
    nonce: nonceOf(1),
  };
  return new Script().connect(hello).receive(WELCOME).receive(root());
}

/** … that has taken the first release. */
function enforcing(): Script {
  return opened()
    .receive(fresh(1, FIRST))
    .receive(offer(FIRST), want(FIRST))
    .receive(begin(FIRST.snapshot))
    .receive(chunk(FIRST.snapshot))
    .receive(END, applied(FIRST));
}

function subscriberScript(name: string, shows: readonly string[], script: Script): SessionScript {
  return { name, shows, steps: script.steps };
}

const QUERY: Message = { kind: 'query', question: 'stats' };

export const SUBSCRIBER_SCRIPTS: readonly SessionScript[] = [
  subscriberScript(
    'a first release, and a delta to the next',
    ['R-33'],
    enforcing()
      .receive(offer(FIRST), applied(FIRST))
      .receive(offer(SECOND), want(SECOND, FIRST))
      .receive(begin(SECOND.chain, false))
      .receive(chunk(SECOND.chain))
      .receive(END, applied(SECOND))
      .end()
      .at(50)
      .connect({
        kind: 'hello',
        root: { hash: ROOT.hash, number: 1 },
        holds: heldOf(SECOND),
        nonce: nonceOf(2),
      }),
  ),
  subscriberScript(
    'nothing is taken before a statement by one that has nothing',
    ['R-33', 'R-42'],
    opened()
      .receive(offer(FIRST), nack(FIRST, 'not-fresh', 'later', 5000))
      .receive(fresh(1, FIRST))
      .receive(offer(FIRST), want(FIRST)),
  ),
  subscriberScript(
    'a bad FRESH uses its nonce up at the fourth try, and says nothing',
    ['R-32'],
    opened()
      .receive(fresh(1, FIRST, STRANGER))
      .receive(fresh(1, FIRST, KEY, STRANGE))
      .receive(fresh(1, FIRST, STRANGER))
      .receive(offer(FIRST), nack(FIRST, 'not-fresh', 'later', 5000))
      .receive(fresh(1, FIRST, STRANGER))
      .receive(fresh(1, FIRST))
      .receive(offer(FIRST), nack(FIRST, 'not-fresh', 'later', 5000))
      .wait(5000, ask(2))
      .receive(fresh(2, FIRST))
      .receive(offer(FIRST), want(FIRST)),
  ),
  subscriberScript(
    'a FRESH below the floor, and one of its number and another hash, use their nonces up',
    ['R-31', 'R-32'],
    enforcing()
      .receive(offer(SECOND), want(SECOND, FIRST))
      .receive(begin(SECOND.chain, false))
      .receive(chunk(SECOND.chain))
      .receive(END, applied(SECOND))
      .wait(5000, ask(2))
      .receive(fresh(2, FIRST))
      .receive(fresh(2, ABOVE))
      .receive(offer(THIRD), want(THIRD, SECOND))
      .wait(10_000, ask(3))
      .receive(fresh(3, FORK))
      .receive(fresh(3, ABOVE))
      .receive(offer(THIRD), want(THIRD, SECOND))
      .wait(15_000, ask(4))
      .receive(fresh(4, ABOVE))
      .receive(offer(THIRD), nack(THIRD, 'not-fresh', 'later', 5000)),
  ),
  subscriberScript(
    'three bad FRESHs leave a nonce to its answer',
    ['R-32'],
    opened()
      .receive(fresh(1, FIRST, STRANGER))
      .receive(fresh(1, FIRST, STRANGER))
      .receive(fresh(1, FIRST, STRANGER))
      .receive(fresh(1, FIRST))
      .receive(offer(FIRST), want(FIRST)),
  ),
  subscriberScript(
    'an attack: replies of before, signatures of others, numbers given twice, streams that are spoiled, another root',
    ['R-32', 'R-42', 'R-43', 'R-49', 'R-50', 'R-51'],
    enforcing()
      .receive(fresh(1, SECOND)) // the nonce was answered: no second answer counts
      .receive(
        offer({ ...SECOND, signatures: signBytes(SECOND.manifest, STRANGER) }),
        nack(SECOND, 'bad-signature', 'later'),
      )
      .receive(offer(OF_ANOTHER_LINEAGE), nack(OF_ANOTHER_LINEAGE, 'wrong-lineage', 'never'))
      .receive(offer(OF_A_LATER_EPOCH), nack(OF_A_LATER_EPOCH, 'epoch-not-granted', 'later'))
      .receive(offer(SECOND), want(SECOND, FIRST))
      .receive(begin(SPOILED.chain, false))
      .receive(chunk(SPOILED.chain))
      .receive(END, nack(SECOND, 'bad-digest', 'later', 0))
      .receive(offer(SECOND), want(SECOND))
      .receive(begin(SECOND.snapshot))
      .receive(chunk(new Uint8Array(SECOND.snapshot.length)))
      .receive(END, nack(SECOND, 'bad-delta', 'later', 1000))
      .at(400)
      .receive(offer(SECOND), nack(SECOND, 'bad-transfer', 'later', 600))
      .at(1000)
      .receive(offer(SECOND), want(SECOND))
      .receive(begin(SECOND.snapshot))
      .receive(chunk(SECOND.snapshot))
      .receive(END, applied(SECOND))
      .receive(offer(FIRST), nack(FIRST, 'not-newer', 'never'))
      .receive(offer(FORK), nack(FORK, 'forked', 'never'))
      .receive(offer(FORK), nack(FORK, 'forked', 'never'))
      .wait(5000, ask(2))
      .receive(fresh(2, FIRST)) // below what is enforced: people are told, nothing is sent
      .receive(root(STOLEN))
      .closed('bad-root'),
  ),
  subscriberScript(
    'a root of another lineage',
    ['R-16'],
    new Script().connect({ kind: 'hello' }).receive(WELCOME).receive(root(STRANGE)).closed('bad-root'),
  ),
  subscriberScript(
    'a WELCOME of another lineage',
    ['R-16'],
    new Script()
      .connect({ kind: 'hello' })
      .receive({ ...WELCOME, lineage: OTHER_LINEAGE })
      .closed('wrong-lineage'),
  ),
  subscriberScript(
    'a WELCOME in a version that was not offered',
    ['R-16'],
    new Script()
      .connect({ kind: 'hello' })
      .receive({ ...WELCOME, protocol: PROTOCOL_VERSION + 1 })
      .closed('no-common-version'),
  ),
  subscriberScript(
    'an OFFER of the number that was stated, with another hash, and one below it',
    ['R-42'],
    enforcing()
      .wait(5000, ask(2))
      .receive(fresh(2, THIRD))
      .receive(offer(SECOND), nack(SECOND, 'not-fresh', 'later', 5000))
      .wait(10_000, ask(3))
      .receive(fresh(3, FORK))
      .receive(offer(SECOND), nack(SECOND, 'forked', 'later', 5000))
      .receive(offer(THIRD), want(THIRD, FIRST)),
  ),
  subscriberScript(
    'what was refused for good is refused again, and HELLO names it',
    ['R-45'],
    enforcing()
      .receive(offer(OF_ANOTHER_LINEAGE), nack(OF_ANOTHER_LINEAGE, 'wrong-lineage', 'never'))
      .receive(offer(OF_ANOTHER_LINEAGE), nack(OF_ANOTHER_LINEAGE, 'wrong-lineage', 'never'))
      .end()
      .at(50)
      .connect({
        kind: 'hello',
        refused: [OF_ANOTHER_LINEAGE.hash],
        holds: heldOf(FIRST),
        nonce: nonceOf(2),
      }),
  ),
  subscriberScript(
    'BEGIN of more than there is room for, whose CHUNKs are thrown away',
    ['R-46'],
    enforcing()
      .receive(offer(SECOND), want(SECOND, FIRST))
      .receive({ kind: 'begin', bytes: 100_001, snapshot: true }, nack(SECOND, 'over-limit', 'later', 0))
      .receive(chunk(SECOND.snapshot))
      .receive(END)
      .receive(offer(SECOND), want(SECOND, FIRST)),
  ),
  subscriberScript(
    'a chain where a snapshot was wanted',
    ['R-46'],
    opened()
      .receive(fresh(1, FIRST))
      .receive(offer(FIRST), want(FIRST))
      .receive(begin(FIRST.snapshot, false), nack(FIRST, 'bad-base', 'later', 0)),
  ),
  subscriberScript(
    'a stream that goes on where none was cut',
    ['R-46'],
    opened()
      .receive(fresh(1, FIRST))
      .receive(offer(FIRST), want(FIRST))
      .receive(
        { kind: 'begin', bytes: 60, snapshot: true, stream: nonceOf(9), from: 10 },
        nack(FIRST, 'bad-transfer', 'later', 0),
      ),
  ),
  subscriberScript(
    'a CHUNK beyond what was announced',
    ['R-46'],
    opened()
      .receive(fresh(1, FIRST))
      .receive(offer(FIRST), want(FIRST))
      .receive(begin(FIRST.snapshot))
      .receive(chunk(FIRST.snapshot))
      .receive(chunk(nonceOf(1)), nack(FIRST, 'bad-transfer', 'later', 0))
      .receive({ kind: 'abort', code: 'internal', text: '' }),
  ),
  subscriberScript(
    'an END before all has come',
    ['R-46'],
    opened()
      .receive(fresh(1, FIRST))
      .receive(offer(FIRST), want(FIRST))
      .receive(begin(FIRST.snapshot))
      .receive(chunk(FIRST.snapshot.subarray(1)))
      .receive(END, nack(FIRST, 'bad-transfer', 'later', 0)),
  ),
  subscriberScript(
    'an ABORT is answered with its code',
    ['R-35'],
    opened()
      .receive(fresh(1, FIRST))
      .receive(offer(FIRST), want(FIRST))
      .receive(begin(FIRST.snapshot))
      .receive({ kind: 'abort', code: 'superseded', text: '' }, nack(FIRST, 'superseded', 'later')),
  ),
  subscriberScript(
    'a snapshot below 2 MiB that is cut begins anew',
    ['R-35'],
    opened()
      .receive(fresh(1, FIRST))
      .receive(offer(FIRST), want(FIRST))
      .receive({ kind: 'begin', bytes: FIRST.snapshot.length, snapshot: true, stream: nonceOf(9) })
      .receive(chunk(FIRST.snapshot.subarray(0, 9)))
      .end()
      .at(50)
      .connect({ kind: 'hello', nonce: nonceOf(2) })
      .receive(WELCOME)
      .receive(fresh(2, FIRST))
      .receive(offer(FIRST), { ...want(FIRST), has: undefined } as Due),
  ),
  subscriberScript(
    'a message that has no place',
    ['R-35'],
    enforcing().receive(END).closed('unexpected-message'),
  ),
  subscriberScript(
    'nothing within 10 s of connecting',
    ['R-53'],
    new Script().connect({ kind: 'hello' }).wait(9999).wait(10_000).closed('timeout'),
  ),
  subscriberScript(
    'the heartbeat of WELCOME counts: PINGs at it, and silence for three of them',
    ['R-30', 'R-53'],
    new Script()
      .connect({ kind: 'hello' })
      .receive({ ...WELCOME, heartbeatMs: 2000 })
      .receive(root())
      .wait(2000, { kind: 'ping', nonce: undefined })
      .at(3100)
      .receive({ kind: 'pong' })
      .wait(4999, { kind: 'ping', nonce: undefined })
      .wait(5000, ask(2)) // the next beat is counted from it
      .wait(9099, { kind: 'ping', nonce: undefined }, { kind: 'ping', nonce: undefined })
      .wait(9100)
      .closed('timeout'),
  ),
  subscriberScript(
    'a transfer of which less than 64 KiB come in 15 s',
    ['R-53'],
    opened()
      .receive(fresh(1, FIRST))
      .receive(offer(FIRST), want(FIRST))
      .at(100)
      .receive({ kind: 'begin', bytes: 90_000, snapshot: true })
      .at(4999)
      .receive(chunk(new Uint8Array(65_512)))
      .wait(15_099, ask(2), ask(3), ask(4))
      .wait(15_100)
      .closed('timeout'),
  ),
  subscriberScript(
    'a publisher without an answer to a nonce keeps it away for a minute at most',
    ['R-7'],
    new Script()
      .connect({ kind: 'hello' })
      .receive(WELCOME)
      .receive({ kind: 'bye', code: 'shutting-down', text: '', retryAfterMs: 300_000 })
      .closed(null)
      .at(60_000)
      .connect({ kind: 'hello' }),
  ),
  subscriberScript(
    'a PING, a PROVE and what the head needs',
    ['R-35'],
    enforcing()
      .receive({ kind: 'ping' }, { kind: 'pong', hash: FIRST.hash })
      .receive({ kind: 'unsupported', hash: SECOND.hash, capabilities: ['names'], text: '' })
      .receive({ kind: 'prove' }, { kind: 'proof', content: FIRST.manifest }),
  ),
  subscriberScript(
    'twenty questions a second',
    ['R-35'],
    Array.from({ length: 20 })
      .reduce<Script>((script) => script.receive(QUERY, { kind: 'answer', ok: true }), enforcing())
      .receive(QUERY, { kind: 'answer', ok: false, code: 'rate-limited' }),
  ),
];

// ── Publishers ─────────────────────────────────────────────────────────────────────────────────────────────

const helloOf = (fields: Partial<MessageOf<'hello'>> = {}): Message => ({
  kind: 'hello',
  protocolMin: PROTOCOL_VERSION,
  protocolMax: PROTOCOL_VERSION,
  name: 'fw',
  lineage: LINEAGE,
  root: { hash: ROOT.hash, number: 1 },
  refused: [],
  limits: SUBSCRIBER.limits,
  ...fields,
});
const said = (release: ScriptRelease): Message => ({
  kind: 'applied',
  ...heldOf(release),
  ...{ receiveMs: 1, verifyMs: 1, compileMs: 1, flipMs: 1, persisted: true, generation: 1 },
});
const refusal = (
  { hash }: ScriptRelease,
  retry: 'never' | 'later',
  retryAfterMs?: number,
): MessageOf<'nack'> => ({
  kind: 'nack',
  hash,
  code: 'compile-failed',
  text: '',
  retry,
  ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
});
const wanted = ({ hash }: ScriptRelease, base?: ScriptRelease): Message => ({
  kind: 'want',
  hash,
  ...(base === undefined ? {} : { base: base.hash }),
});
const OFFERED = (release: ScriptRelease): Due => offer(release);
const welcome: Due = { kind: 'welcome', protocol: PROTOCOL_VERSION, lineage: LINEAGE, heartbeatMs: 5000 };
const snapshotSent = ({ snapshot }: ScriptRelease): readonly Due[] => [
  { kind: 'begin', bytes: snapshot.length, snapshot: true },
  { kind: 'chunk', bytes: snapshot },
  { kind: 'end' },
];
const chainSent = ({ chain }: ScriptRelease): readonly Due[] => [
  { kind: 'begin', bytes: chain.length, snapshot: undefined },
  { kind: 'chunk', bytes: chain },
  { kind: 'end' },
];
const pingWith = (ordinal: number, { hash }: ScriptRelease): Message => ({
  kind: 'ping',
  hash,
  nonce: nonceOf(ordinal),
});
const pong: Due = { kind: 'pong' };
const beat: Due = { kind: 'ping' };
const heard: Message = { kind: 'pong' };

/** A publisher whose head is the first release, and who has said HELLO. */
function greeted(fields: Partial<MessageOf<'hello'>> = {}, ...send: readonly Due[]): Script {
  return new Script()
    .head(FIRST)
    .connect()
    .receive(helloOf(fields), welcome, ...send);
}

export const PUBLISHER_SCRIPTS: readonly SessionScript[] = [
  {
    name: 'a first release, and a delta to the next',
    shows: ['P-9'],
    steps: new Script()
      .head(FIRST)
      .connect()
      .receive(
        helloOf({ root: { hash: ROOT.hash }, nonce: nonceOf(1) }),
        welcome,
        root() as Due,
        fresh(1, FIRST) as Due,
        OFFERED(FIRST),
      )
      .receive(wanted(FIRST), ...snapshotSent(FIRST))
      .receive(said(FIRST))
      .head(SECOND, OFFERED(SECOND))
      .receive(wanted(SECOND, FIRST), ...chainSent(SECOND))
      .receive(wanted(SECOND), ...snapshotSent(SECOND)) // the chain was over its budget
      .receive(said(SECOND)).steps,
  },
  {
    name: 'who has the head is offered nothing',
    shows: ['P-10'],
    steps: greeted({ holds: heldOf(FIRST) }).wait(4999).steps,
  },
  {
    name: 'a nonce is answered once, and once in 5 s',
    shows: ['P-9'],
    steps: greeted({ holds: heldOf(FIRST), nonce: nonceOf(1) }, fresh(1, FIRST) as Due)
      .at(1000)
      .receive(pingWith(2, FIRST), pong)
      .at(2000)
      .receive(pingWith(3, FIRST), pong) // takes the place of the one before
      .wait(5000, fresh(3, FIRST) as Due, beat).steps,
  },
  {
    name: 'no third OFFER before an answer',
    shows: ['P-10'],
    steps: greeted({}, OFFERED(FIRST))
      .head(SECOND, OFFERED(SECOND))
      .head(THIRD)
      .receive(refusal(FIRST, 'later', 0), OFFERED(THIRD))
      .receive(wanted(SECOND))
      .receive(wanted(THIRD), ...snapshotSent(THIRD)).steps,
  },
  {
    name: 'after NACK with later it is offered again, when that says',
    shows: ['P-10'],
    steps: greeted({}, OFFERED(FIRST))
      .receive(refusal(FIRST, 'later', 700))
      .wait(699)
      .wait(700, OFFERED(FIRST)).steps,
  },
  {
    name: '… or after 30 s',
    shows: ['P-10'],
    steps: greeted({}, OFFERED(FIRST))
      .receive(refusal(FIRST, 'later'))
      .at(10_000)
      .receive(heard, beat, beat)
      .at(20_000)
      .receive(heard, beat, beat)
      .wait(29_999, beat)
      .wait(30_000, OFFERED(FIRST), beat).steps,
  },
  {
    name: 'after NACK with never it is not, and the next release is',
    shows: ['P-10'],
    steps: greeted({}, OFFERED(FIRST))
      .receive(refusal(FIRST, 'never'))
      .wait(4999)
      .head(SECOND, OFFERED(SECOND)).steps,
  },
  {
    name: 'a claim above the head that is proved: nothing is offered, nothing stated',
    shows: ['P-1', 'P-2'],
    steps: greeted({ holds: heldOf(ABOVE), nonce: nonceOf(1) }, { kind: 'prove' })
      .receive({ kind: 'proof', signatures: ABOVE.signatures, content: ABOVE.manifest })
      .receive(pingWith(2, FIRST), pong).steps,
  },
  {
    name: 'a claim that somebody else has signed: the head is offered',
    shows: ['P-2', 'P-4'],
    steps: greeted({ holds: heldOf(ABOVE) }, { kind: 'prove' }).receive(
      { kind: 'proof', signatures: signBytes(ABOVE.manifest, STRANGER), content: ABOVE.manifest },
      OFFERED(FIRST),
    ).steps,
  },
  {
    name: 'a claim without a proof: the head is offered',
    shows: ['P-4'],
    steps: greeted({ holds: heldOf(ABOVE) }, { kind: 'prove' }).receive(
      { ...refusal(ABOVE, 'later'), code: 'unknown-release' },
      OFFERED(FIRST),
    ).steps,
  },
  {
    name: 'a claim, and no answer to PROVE within 5 s',
    shows: ['P-1', 'R-53'],
    steps: greeted({ holds: heldOf(ABOVE) }, { kind: 'prove' })
      .wait(4999)
      .wait(5000)
      .closed('timeout').steps,
  },
  {
    name: 'another number for a release of its own',
    shows: ['P-10'],
    steps: new Script()
      .head(FIRST)
      .connect()
      .receive(helloOf({ holds: { ...heldOf(FIRST), version: 4 } }))
      .closed('bad-message').steps,
  },
  {
    name: 'another lineage',
    shows: ['P-10'],
    steps: new Script()
      .head(FIRST)
      .connect()
      .receive(helloOf({ lineage: OTHER_LINEAGE }))
      .closed('wrong-lineage').steps,
  },
  {
    name: 'a root that it has not',
    shows: ['P-10'],
    steps: new Script()
      .head(FIRST)
      .connect()
      .receive(helloOf({ root: { hash: STRANGE.hash, number: 1 } }))
      .closed('unknown-root').steps,
  },
  {
    name: 'no version in common',
    shows: ['P-10'],
    steps: new Script()
      .head(FIRST)
      .connect()
      .receive(helloOf({ protocolMin: PROTOCOL_VERSION + 1, protocolMax: PROTOCOL_VERSION + 1 }))
      .closed('no-common-version').steps,
  },
  {
    name: 'a subscriber that lacks what the head needs',
    shows: ['P-8'],
    steps: greeted(
      { capabilities: ['names'] },
      { kind: 'unsupported', hash: FIRST.hash, capabilities: ['unmatched'] },
    )
      .receive(heard)
      .wait(4999).steps,
  },
  {
    name: 'an ANSWER that nobody waits for, then BYE',
    shows: ['P-10'],
    steps: greeted({ holds: heldOf(FIRST) })
      .receive({ kind: 'answer', ok: true })
      .receive({ kind: 'bye', code: 'shutting-down', text: '' })
      .closed(null).steps,
  },
  {
    name: 'APPLIED with another number',
    shows: ['P-10'],
    steps: greeted({}, OFFERED(FIRST))
      .receive({ ...said(FIRST), version: 4 } as Message)
      .closed('bad-message').steps,
  },
  {
    name: 'an answer about a release that was not offered',
    shows: ['P-10'],
    steps: greeted({}, OFFERED(FIRST)).receive(refusal(SECOND, 'later')).closed('unexpected-message').steps,
  },
  {
    name: 'nothing within 10 s of connecting',
    shows: ['R-53'],
    steps: new Script().connect().wait(9999).wait(10_000).closed('timeout').steps,
  },
  {
    name: 'silence for three heartbeats',
    shows: ['R-53'],
    steps: greeted({ holds: heldOf(FIRST) })
      .wait(14_999, beat, beat)
      .wait(15_000)
      .closed('timeout').steps,
  },
];
