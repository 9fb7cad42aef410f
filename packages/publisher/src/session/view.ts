/** The publisher, as its sessions see it: only to look at. */

import { hexOf, isSignedBy, type MessageOf, type Roots, type SignedRoot } from '@rulecast/protocol';
import type { Publisher } from '../release/publisher.ts';
import type { PublisherView } from './state.ts';

export function viewOf(publisher: Publisher): PublisherView {
  const { name, identity, store } = publisher;
  return {
    name,
    lineage: identity.lineage,
    get head() {
      return publisher.head;
    },
    get isBehind() {
      return publisher.behind !== undefined;
    },
    isNamed: (subscriber) =>
      publisher.subscribers.isConfigured && publisher.subscribers.expected().has(subscriber),
    numberOf: (hash) => store.index.numberOf(hexOf(hash)),
    hashOf: (number) => store.index.hashOf(number),
    after: store.after && { epoch: store.after[0], version: store.after[1] },
    rulesOut: (number) => store.index.rulesOut(number),
    isSigned: (signed) => isSignedBy(identity.root, 'release', signed),
    rootsAfter: (known) => rootsAfter(identity.roots, known),
  };
}

/**
 * The roots that somebody lacks who knows that one; undefined where it is none of these. Whoever says no
 * number has not seen it.
 */
function rootsAfter(
  roots: Roots,
  { hash, number }: MessageOf<'hello'>['root'],
): readonly SignedRoot[] | undefined {
  const at = roots.findIndex((root) => Buffer.from(root.hash).equals(hash));
  return at < 0 ? undefined : roots.slice(number === undefined ? at : at + 1);
}
