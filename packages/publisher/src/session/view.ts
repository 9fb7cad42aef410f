/** The publisher, as its sessions see it: only to look at. */

import { hexOf, verifySignature } from '@rulecast/protocol';
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
    numberOf: (hash) => store.numberOf(hexOf(hash)),
    hashOf: (number) => store.hashOf(number),
    isSigned: ({ manifest, signature }) => verifySignature(manifest, signature, identity.publicKey),
  };
}
