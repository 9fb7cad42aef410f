/** The publisher, as the sessions of its subscribers see it. */

import { hexOf, isSignedBy, rootsAfter } from '@rulecast/protocol';
import {
  type ServedSubscribers,
  type SessionHost,
  type SubscriberOptions,
  serveSessions,
} from '@rulecast/sessions';
import type { Endpoint } from '@rulecast/vchan';
import type { Publisher } from '../release/publisher.ts';

/** Serves subscribers on some endpoints. Throws what `listen` throws, after closing those already open. */
export function serveSubscribers(
  publisher: Publisher,
  endpoints: readonly Endpoint[],
  options: SubscriberOptions = {},
): Promise<ServedSubscribers> {
  return serveSessions(hostOf(publisher), endpoints, options);
}

export function hostOf(publisher: Publisher): SessionHost {
  const { name, identity, store, pace, clock, logger, subscribers, transfers } = publisher;
  return {
    name,
    lineage: identity.lineage,
    pace,
    clock,
    logger,
    subscribers,
    transfers,
    get head() {
      return publisher.head;
    },
    get isBehind() {
      return publisher.behind !== undefined;
    },
    isNamed: (subscriber) => subscribers.isConfigured && subscribers.expected().has(subscriber),
    numberOf: (hash) => store.index.numberOf(hexOf(hash)),
    hashOf: (number) => store.index.hashOf(number),
    after: store.after && { epoch: store.after[0], version: store.after[1] },
    rulesOut: (number) => store.index.rulesOut(number),
    isSigned: (signed) => isSignedBy(identity.root, 'release', signed),
    rootsAfter: (known) => rootsAfter(identity.roots, known),
    nowMs: () => publisher.nowMs(),
    attest: (nonce, release) => publisher.attest(nonce, release),
    proved: (release, subscriber, proof) => publisher.proved(release, subscriber, proof),
    onHead: (listener) => {
      publisher.on('release', listener);
      return () => publisher.off('release', listener);
    },
  };
}
