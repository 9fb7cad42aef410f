/** Which claims of HELLO are to be proved, and that nothing is offered before what comes of that is known. */

import { describe, expect, it } from 'vitest';
import type { PublisherView, SessionRelease } from '../src/host.ts';
import { start, step } from '../src/session/machine.ts';
import type { Event, State } from '../src/session/state.ts';
import { heldOf, helloOf, nowAt, publisherWith, releaseOf, UNKNOWN_HASH } from './machine-world.ts';

const HEAD = releaseOf(2, 5);
const PAST = [releaseOf(1, 3), releaseOf(2, 4), HEAD];
const PASSING = [releaseOf(1, 3), releaseOf(2, 6, 0), releaseOf(2, 9, 6)];
const HERE = publisherWith(PAST);

/** What is sent of it. */
function sent(
  state: State,
  event: Event,
  publisher: PublisherView,
): { readonly next: State; readonly kinds: readonly string[] } {
  const { state: next, effects } = step(state, event, nowAt(1, publisher));
  return { next, kinds: effects.flatMap((one) => (one.kind === 'send' ? [one.message.kind] : [])) };
}

function greeted(claim: SessionRelease | { epoch: number; version: number }, publisher: PublisherView) {
  const holds = 'manifest' in claim ? heldOf(claim) : { ...claim, hash: UNKNOWN_HASH };
  const hello: Event = { kind: 'received', message: helloOf({ holds }), transaction: 0 };
  return sent(sent(start(0), hello, publisher).next, { kind: 'claimed', refusal: undefined }, publisher);
}

describe('a claim', () => {
  it.each([
    ['the head', HEAD, ['welcome']],
    ['one before it', PAST[1] ?? HEAD, ['welcome', 'offer']],
    ['a later number', { epoch: 2, version: 6 }, ['welcome', 'prove']],
    ['a later epoch', { epoch: 3, version: 1 }, ['welcome', 'prove']],
    ['the number of the head, and another', { epoch: 2, version: 5 }, ['welcome', 'prove']],
    ['the number of one before it, and another', { epoch: 2, version: 4 }, ['welcome', 'prove']],
    ['one from before all that is kept', { epoch: 2, version: 1 }, ['welcome', 'offer']],
    ['another one of an epoch that is over', { epoch: 1, version: 3 }, ['welcome', 'offer']],
  ] as const)('of %s', (_, claim, kinds) => {
    expect(greeted(claim, HERE).kinds).toEqual(kinds);
  });

  it.each([
    ['between two that follow each other', { epoch: 2, version: 7 }, ['welcome', 'prove']],
    ['below the first of its epoch', { epoch: 2, version: 5 }, ['welcome', 'prove']],
    ['of an epoch that is over', { epoch: 1, version: 4 }, ['welcome', 'offer']],
  ] as const)('of a number %s', (_, claim, kinds) => {
    expect(greeted(claim, publisherWith(PASSING)).kinds).toEqual(kinds);
  });

  // A push that was under way was offered, and the firewall took it for what comes after its own.
  it('that is proved is followed by no offer until it is known what comes of that', () => {
    const strange = releaseOf(2, 9);
    const proving = greeted(strange, HERE).next;
    const { signatures, manifestBytes: content } = strange;
    const proof: Event = {
      kind: 'received',
      message: { kind: 'proof', signatures, content },
      transaction: 0,
    };
    const judging = sent(proving, proof, HERE);
    const more = publisherWith([...PAST, releaseOf(2, 10)]);
    const published = sent(judging.next, { kind: 'published' }, more);
    const behind = publisherWith([...PAST, releaseOf(2, 10)], true);
    const known = sent(published.next, { kind: 'proved', release: { epoch: 2, version: 9 } }, behind);
    expect([...judging.kinds, ...published.kinds, ...known.kinds]).toEqual([]);
    const above = publisherWith([...PAST, releaseOf(3, 11)]);
    expect(sent(known.next, { kind: 'published' }, above).kinds).toEqual(['offer']);
  });
});
