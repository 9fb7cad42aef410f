/** A publisher's statements of freshness: for every nonce, once, and only if it knows the newest release. */

import {
  ANSWER_TIMEOUT_MS,
  FRESH_EVERY_MS,
  type Message,
  type MessageOf,
  publicBytes,
  readStatement,
  type Signed,
  signBytes,
} from '@rulecast/protocol';
import { describe, expect, it } from 'vitest';
import { freshKey, rootOf } from '../../../test/kit/roots.mjs';
import type { PublisherView } from '../../sessions/src/host.ts';
import { deadline, start, step } from '../../sessions/src/session/machine.ts';
import type { Event, State } from '../../sessions/src/session/state.ts';
import {
  appliedOf,
  heldOf,
  helloOf,
  LINEAGE,
  nackOf,
  nowAt,
  publisherWith,
  ROOT,
  releaseOf,
} from '../../sessions/test/machine-world.ts';
import { type Attester, attested } from '../src/release/attest.ts';

const [FIRST, SECOND, ABOVE] = [releaseOf(1, 1), releaseOf(1, 2), releaseOf(1, 9)];
const NONE = publisherWith([]);
const ONE = publisherWith([FIRST]);
const TWO = publisherWith([FIRST, SECOND]);
const [N1, N2, N3] = [1, 2, 3].map((byte) => new Uint8Array(16).fill(byte));
const SIGNED: Signed = { signatures: Uint8Array.of(0), content: Uint8Array.of(1) };

/** A session, and what it did at each event. */
class Led {
  state: State = start(0);

  do(event: Event, atMs: number, publisher: PublisherView): readonly string[] {
    const { state, effects } = step(this.state, event, nowAt(atMs, publisher));
    this.state = state;
    const told = effects.flatMap((effect): readonly string[] => {
      if (effect.kind === 'send') return [effect.message.kind];
      if (effect.kind !== 'attest') return [];
      return [`attest ${effect.nonce[0]} ${effect.release?.manifest.version ?? 'none'}`];
    });
    expect(deadline(state)).toBeGreaterThan(atMs);
    return told;
  }

  hears(message: Message, atMs: number, publisher: PublisherView): readonly string[] {
    return this.do({ kind: 'received', message, transaction: 0 }, atMs, publisher);
  }

  greeted(hello: Partial<MessageOf<'hello'>>, publisher: PublisherView): readonly string[] {
    this.hears(helloOf(hello), 0, publisher);
    return this.do({ kind: 'claimed', refusal: undefined }, 0, publisher);
  }

  signed(nonce: Uint8Array | undefined, atMs: number, publisher: PublisherView): readonly string[] {
    return this.do({ kind: 'attested', nonce: nonce ?? new Uint8Array(), signed: SIGNED }, atMs, publisher);
  }
}

describe('a session', () => {
  // P-9
  it('says what is newest before it offers that', () => {
    const led = new Led();
    expect(led.greeted({ nonce: N1 }, ONE)).toEqual(['welcome', 'attest 1 1']);
    expect(led.do({ kind: 'published' }, 1, TWO)).toEqual([]); // it waits for what is being signed
    expect(led.signed(N1, 2, TWO)).toEqual(['fresh', 'offer']);
  });

  it('says that there is nothing where nothing is', () => {
    const led = new Led();
    expect(led.greeted({ nonce: N1 }, NONE)).toEqual(['welcome', 'attest 1 none']);
    expect(led.signed(N1, 1, NONE)).toEqual(['fresh']);
  });

  it('says nothing to whom asks nothing', () => {
    expect(new Led().greeted({}, ONE)).toEqual(['welcome', 'offer']);
  });

  // P-9
  it('answers the last of the nonces, each once, and once in five seconds', () => {
    const led = new Led();
    led.greeted({ nonce: N1, holds: heldOf(FIRST) }, ONE);
    const ping = (nonce: Uint8Array | undefined): Message => ({ kind: 'ping', hash: FIRST.hash, nonce });
    led.signed(N1, 1, ONE);
    expect(led.hears(ping(N2), 2, ONE)).toEqual(['pong']);
    expect(led.hears(ping(N3), 3, ONE)).toEqual(['pong']);
    expect(led.do({ kind: 'tick' }, FRESH_EVERY_MS - 1, ONE)).toEqual([]);
    expect(deadline(led.state)).toBe(FRESH_EVERY_MS);
    expect(led.do({ kind: 'tick' }, FRESH_EVERY_MS, ONE)).toContain('attest 3 1');
    expect(led.signed(N3, FRESH_EVERY_MS, ONE)).toEqual(['fresh']);
    led.hears({ kind: 'pong', hash: FIRST.hash }, 2 * FRESH_EVERY_MS, ONE);
    expect(led.do({ kind: 'tick' }, 2 * FRESH_EVERY_MS, ONE)).not.toContain('attest 3 1');
  });

  it('gives up what is not signed in time, offers all the same, and says nothing of it later', () => {
    const led = new Led();
    led.greeted({ nonce: N1 }, ONE);
    expect(deadline(led.state)).toBe(ANSWER_TIMEOUT_MS);
    expect(led.do({ kind: 'tick' }, ANSWER_TIMEOUT_MS, ONE)).toContain('offer');
    expect(led.signed(N1, ANSWER_TIMEOUT_MS + 1, ONE)).toEqual([]);
  });

  it('offers all the same what cannot be signed', () => {
    const led = new Led();
    led.greeted({ nonce: N1 }, ONE);
    const nonce = N1 ?? new Uint8Array();
    expect(led.do({ kind: 'attested', nonce, signed: undefined }, 1, ONE)).toEqual(['offer']);
  });

  // P-9
  it('of a publisher that is behind says nothing, and does not wait for it', () => {
    const led = new Led();
    const behind = publisherWith([FIRST], true);
    expect(led.greeted({ nonce: N1 }, behind)).toEqual(['welcome']);
    expect(led.hears({ kind: 'ping', nonce: N2 }, 6000, behind)).toEqual(['pong', 'ping']);
  });

  it('says nothing while a claim is to be proved, and until that is known', () => {
    const led = new Led();
    expect(led.greeted({ nonce: N1, holds: heldOf(ABOVE) }, ONE)).toEqual(['welcome', 'prove']);
    expect(led.hears({ kind: 'ping', nonce: N2 }, 1, ONE)).toEqual(['pong']);
    const { signatures, manifestBytes: content } = ABOVE;
    expect(led.hears({ kind: 'proof', signatures, content }, 2, ONE)).toEqual([]);
    expect(led.hears({ kind: 'ping', nonce: N3 }, 3, ONE)).toEqual(['pong']); // it is being noted
    const release = { epoch: 1, version: 9 };
    expect(led.do({ kind: 'proved', release }, 4, publisherWith([FIRST], true))).toEqual([]);
  });

  it('says what is newest to whom cannot prove what it claims', () => {
    const led = new Led();
    led.greeted({ nonce: N1, holds: heldOf(ABOVE) }, ONE);
    const refused = led.hears(nackOf(ABOVE.hash, { code: 'unknown-release', retry: 'later' }), 1, ONE);
    expect(refused).toEqual(['offer', 'attest 1 1']);
  });

  it('has the claim of HELLO proved before it offers anything, where that is the answer to its nonce', () => {
    const led = new Led();
    const nonce = N1 ?? new Uint8Array();
    expect(led.greeted({ nonce, holds: heldOf(FIRST), floor: heldOf(SECOND) }, TWO)).toEqual([
      'welcome',
      'attest 1 2',
    ]);
    expect(led.do({ kind: 'attested', nonce, signed: 'prove' }, 1, TWO)).toEqual(['prove']);
    expect(led.state).toMatchObject({ kind: 'proving', claim: heldOf(SECOND) });
    const { signatures, manifestBytes: content } = SECOND;
    expect(led.hears({ kind: 'proof', signatures, content }, 2, TWO)).toEqual([]);
    expect(led.do({ kind: 'proved', release: { epoch: 1, version: 2 } }, 3, TWO)).toEqual(['offer']);
  });

  it('has nothing proved by who has nothing, or has an OFFER to answer', () => {
    const wanted = (led: Led, nonce: Uint8Array | undefined, atMs: number, publisher: PublisherView) =>
      led.do({ kind: 'attested', nonce: nonce ?? new Uint8Array(), signed: 'prove' }, atMs, publisher);
    const empty = new Led();
    empty.greeted({ nonce: N1 }, ONE);
    expect(wanted(empty, N1, 1, ONE)).toEqual(['offer']);
    empty.hears({ kind: 'ping', nonce: N2 }, 5001, ONE);
    expect(wanted(empty, N2, 5002, ONE)).toEqual([]);
  });

  it('has that proved which was taken since HELLO', () => {
    const nonce = N1 ?? new Uint8Array();
    const upgraded = new Led();
    upgraded.greeted({ holds: heldOf(FIRST) }, TWO);
    upgraded.hears({ kind: 'want', hash: SECOND.hash }, 1, TWO);
    upgraded.do({ kind: 'transferBegun', transfer: 1, isChain: false }, 2, TWO);
    upgraded.do({ kind: 'transferSent', transfer: 1 }, 3, TWO);
    upgraded.hears(appliedOf(SECOND), 4, TWO);
    const ping = { kind: 'ping', hash: SECOND.hash, nonce } as const;
    expect(upgraded.hears(ping, 5, TWO)).toContain('attest 1 2');
    expect(upgraded.do({ kind: 'attested', nonce, signed: 'prove' }, 6, TWO)).toEqual(['prove']);
    expect(upgraded.state).toMatchObject({ kind: 'proving', claim: heldOf(SECOND) });
  });

  it('answers while a release is sent and applied', () => {
    const led = new Led();
    led.greeted({}, ONE);
    led.hears({ kind: 'want', hash: FIRST.hash }, 1, ONE);
    expect(led.hears({ kind: 'ping', nonce: N1 }, 2, ONE)).toEqual(['pong', 'attest 1 1']);
    expect(led.signed(N1, 3, ONE)).toEqual(['fresh']);
    led.do({ kind: 'transferBegun', transfer: 1, isChain: false }, 4, ONE);
    led.do({ kind: 'transferSent', transfer: 1 }, 5, ONE);
    led.hears({ kind: 'ping', nonce: N2 }, 6, ONE);
    led.hears(appliedOf(FIRST), 7, ONE);
    expect(led.do({ kind: 'tick' }, 2 + FRESH_EVERY_MS, ONE)).toContain('attest 2 1');
  });
});

describe('what is signed', () => {
  const key = freshKey();
  const { roles } = rootOf(LINEAGE, ROOT.key);
  const freshness = { threshold: 1, keys: [publicBytes(key)] };
  const root = { ...ROOT.root.root, roles: { ...roles, freshness } };
  const attester = (freshnessKeys: Attester['freshnessKeys']): Attester => ({
    lineage: LINEAGE,
    rootHash: ROOT.root.hash,
    root,
    freshnessKeys,
  });
  const nonce = new Uint8Array(16).fill(1);

  // P-9
  it('is nonce, lineage, root and head, by the keys of freshness', () => {
    const signed = attested(attester([key]), nonce, SECOND);
    const number = { epoch: 1, version: 2, hash: SECOND.hash };
    expect(readStatement(signed?.content ?? new Uint8Array())).toEqual({
      nonce,
      lineage: LINEAGE,
      root: ROOT.root.hash,
      ...number,
    });
    expect(signed?.signatures).toEqual(signBytes(signed?.content ?? new Uint8Array(), key));
    expect(
      readStatement(attested(attester([key]), nonce, undefined)?.content ?? new Uint8Array()),
    ).toMatchObject({
      epoch: 0,
      version: 0,
      hash: new Uint8Array(32),
    });
  });

  it.each([
    ['no key', []],
    ['the key of releases', [ROOT.key]],
  ])('with %s is nothing', (_, keys) => {
    expect(attested(attester(keys), nonce, FIRST)).toBeUndefined();
  });
});
