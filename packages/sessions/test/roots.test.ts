/** What a publisher sends of its roots: what the subscriber lacks, before anything else. */

import { type Message, readRoot, type SignedRoot } from '@rulecast/protocol';
import { describe, expect, it } from 'vitest';
import { rootOf, signedRoot, soleRoot } from '../../../test/kit/roots.mjs';
import { deadline, start, step } from '../src/session/machine.ts';
import type { Effect, State } from '../src/session/state.ts';
import { helloOf, LINEAGE, nowAt, publisherWith, releaseOf } from './machine-world.ts';

const { key, root: FIRST } = soleRoot(LINEAGE);
const ROOTS: readonly SignedRoot[] = Array.from({ length: 60 }, (_, i) =>
  i === 0 ? FIRST : signedRoot(rootOf(LINEAGE, key, { number: i + 1 }), key),
);
const HEAD = releaseOf(1, 1);

/** What is done after HELLO, by a publisher with those roots. */
function greeted(count: number, known: { readonly hash: Uint8Array; readonly number?: number }) {
  const roots = ROOTS.slice(0, count);
  const publisher = {
    ...publisherWith([HEAD]),
    rootsAfter: ({ hash, number }: { readonly hash: Uint8Array; readonly number?: number | undefined }) => {
      const at = roots.findIndex((root) => Buffer.from(root.hash).equals(hash));
      return at < 0 ? undefined : roots.slice(number === undefined ? at : at + 1);
    },
  };
  const now = nowAt(0, publisher);
  const hello = helloOf({ root: known });
  const claiming = step(start(0), { kind: 'received', message: hello, transaction: 0 }, now);
  const after = step(claiming.state, { kind: 'claimed', refusal: undefined }, now); // nothing where it is closed
  return { state: after.state, said: [...claiming.effects, ...after.effects].flatMap(sentBy) };
}

function sentBy(effect: Effect): readonly (Message | Extract<Effect, { readonly kind: 'bye' }>)[] {
  if (effect.kind === 'send') return [effect.message];
  return effect.kind === 'bye' ? [effect] : [];
}

function rootsIn(said: ReturnType<typeof greeted>['said']): readonly number[] {
  return said.flatMap((message) => (message.kind === 'root' ? [readRoot(message).root.number] : []));
}

describe('a publisher', () => {
  // P-11
  it('sends the root that a trust line names, and all that come after it, then its head', () => {
    const { said } = greeted(3, { hash: FIRST.hash });
    expect(said.map(({ kind }) => kind)).toEqual(['welcome', 'root', 'root', 'root', 'offer']);
    expect(rootsIn(said)).toEqual([1, 2, 3]);
  });

  it('sends what comes after the root that is known', () => {
    expect(rootsIn(greeted(3, { hash: ROOTS[1]?.hash ?? FIRST.hash, number: 2 }).said)).toEqual([3]);
    expect(rootsIn(greeted(3, { hash: ROOTS[2]?.hash ?? FIRST.hash, number: 3 }).said)).toEqual([]);
  });

  it('sends no more than may wait for a peer, and the rest to the next connection', () => {
    const { said, state } = greeted(60, { hash: FIRST.hash });
    expect(rootsIn(said)).toEqual(Array.from({ length: 48 }, (_, i) => i + 1));
    expect(said.at(-1)).toMatchObject({ kind: 'bye', code: 'more-roots', retryAfterMs: 0 });
    expect(state.kind).toBe('closed' satisfies State['kind']);
    expect(deadline(state)).toBe(Number.POSITIVE_INFINITY);
    const rest = greeted(60, { hash: ROOTS[47]?.hash ?? FIRST.hash, number: 48 });
    expect(rootsIn(rest.said)).toHaveLength(12);
    expect(rest.said.at(-1)).toMatchObject({ kind: 'offer' });
  });

  it('ends with who believes a root that it has not', () => {
    const { said } = greeted(2, { hash: ROOTS[5]?.hash ?? FIRST.hash, number: 6 });
    expect(said).toEqual([expect.objectContaining({ kind: 'bye', code: 'unknown-root' })]);
  });
});
