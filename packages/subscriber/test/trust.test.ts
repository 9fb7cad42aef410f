/** What a session makes of the offers and statements of protocol/vectors/trust.json. */

import { readFileSync } from 'node:fs';
import { decodeManifest, isSignedBy, manifestHash, readRoot, type Signed } from '@rulecast/protocol';
import { describe, expect, it } from 'vitest';
import type { TrustVectors } from '../../../protocol/test/trust-recorder.ts';
import { checkGranted, Floor, markOf, type VerifiedOffer, verifySigned } from '../src/apply/offer.ts';
import { ask, judgeFresh, type Named, NOTHING_KNOWN } from '../src/peer/freshness.ts';
import { type Judge, judgeOffer } from '../src/peer/judge.ts';
import { NO_MEMORY, type State } from '../src/peer/states.ts';

const LIMITS = { entries: 1000, bytes: 1000, parts: 10 };

const { offers, statements }: TrustVectors = JSON.parse(
  readFileSync(new URL('../../../protocol/vectors/trust.json', import.meta.url), 'utf8'),
);

function bytesOf(hex: string): Uint8Array {
  return new Uint8Array(Buffer.from(hex.replaceAll(' ', ''), 'hex'));
}

function signedOf(link: { readonly signatures: string; readonly content: string }): Signed {
  return { signatures: bytesOf(link.signatures), content: bytesOf(link.content) };
}

describe('an offer', () => {
  const { root } = readRoot(signedOf(offers.root));
  const isReleased = (signed: Signed): boolean => isSignedBy(root, 'release', signed);

  /** The release in force; any key may have signed it. */
  function inForce({ signatures, content }: Signed): VerifiedOffer {
    const [hash, manifest] = [manifestHash(content), decodeManifest(content)];
    return { hash, manifest, manifestBytes: content, signatures };
  }

  it.each(offers.judged)('$name: $code', ({ floor: held, stated, offer, code, retry }) => {
    const floor = new Floor({ lineage: root.lineage, rootHash: new Uint8Array(32) }, isReleased);
    if (held !== undefined) floor.mark = markOf(inForce(signedOf(held)));
    const newest = stated && { ...stated, hash: bytesOf(stated.hash), asOfMs: 0, had: undefined };
    const state: State = {
      kind: 'greeting',
      self: { name: 'a', lineage: root.lineage, limits: LIMITS, capabilities: [], staleAfterMs: 1000 },
      memory: NO_MEMORY,
      held: undefined,
      floor: floor.mark,
      trouble: undefined,
      known: { ...NOTHING_KNOWN, newest },
      untilMs: 0,
    };
    const judge: Judge = {
      verifyOffer(bytes, signatures) {
        const verified = verifySigned(bytes, signatures, root.lineage, isReleased);
        checkGranted(verified.manifest.epoch, root);
        floor.check(verified);
        return verified;
      },
      floor: () => floor.standing,
      generation: () => 0,
    };
    const event = judgeOffer({ kind: 'offer', ...signedOf(offer) }, state, judge, 0);
    const nack = event.kind === 'offerRefused' ? event.nack : undefined;
    expect([event.kind, nack?.code, nack?.retry]).toEqual([
      code === undefined ? 'offer' : 'offerRefused',
      code,
      retry,
    ]);
  });
});

describe('a statement', () => {
  const { root, hash } = readRoot(signedOf(statements.root));
  const { epoch, version } = statements.floor;
  const floor: Named = { epoch, version, hash: bytesOf(statements.floor.hash) };
  const known = statements.nonces.reduce(
    (before, nonce) => ask(before, bytesOf(nonce), undefined, floor, 0),
    NOTHING_KNOWN,
  );

  it.each(statements.judged)('$name: $outcome', ({ signatures, content, outcome }) => {
    const fresh = { kind: 'fresh', ...signedOf({ signatures, content }) } as const;
    const event = judgeFresh(fresh, known, {
      lineage: root.lineage,
      root: hash,
      isFreshness: (signed) => isSignedBy(root, 'freshness', signed),
      floor,
      sinceMs: 0,
    });
    const found = event.ask === undefined ? 'not-asked' : (event.fault?.code ?? 'believed');
    expect(found).toBe(outcome);
  });
});
