/**
 * What serves sessions, as they see it: a publisher, or a reader of what one has written. It has releases and
 * their streams, says what is newest, and judges what subscribers prove; sessions know nothing else of it.
 */

import type { Logger } from '@rulecast/program';
import type { Manifest, MessageOf, Signed, SignedRoot, SteadyClock } from '@rulecast/protocol';
import type { Pace } from './pace.ts';
import type { HeldRelease, ReleaseNumber } from './subscribers/entry.ts';
import type { Subscribers } from './subscribers/subscribers.ts';

/** A release as it is offered. Of one release there is one object. */
export interface SessionRelease {
  readonly manifest: Manifest;
  /** As signed; never re-encoded. */
  readonly manifestBytes: Uint8Array;
  readonly signatures: Uint8Array;
  readonly hash: Uint8Array;
  /** What a subscriber must know to take it, see Capability. */
  readonly capabilities: readonly string[];
}

/** What brings a release to somebody. */
export interface SessionTransfer {
  /** The release that the first delta starts from; undefined for a snapshot. */
  readonly base: Uint8Array | undefined;
  readonly stream: Uint8Array;
  /** What names these bytes, of a snapshot that is large enough to be resumed. */
  readonly id: Uint8Array | undefined;
  /** How many of them the receiver has. */
  readonly from: number;
}

/** What the machine of a session looks at. WIRE.md calls this side the publisher, whoever it is. */
export interface PublisherView {
  readonly name: string;
  readonly lineage: Uint8Array;
  readonly head: SessionRelease | undefined;
  /** A release was proved that is not here, or nothing is here any more: nothing is offered. */
  readonly isBehind: boolean;
  /** Whether the configuration names a subscriber. */
  isNamed(name: string): boolean;
  /** Of a release that is here, by its hash. */
  numberOf(hash: Uint8Array): ReleaseNumber | undefined;
  /** Of a release that is here, in hex. */
  hashOf(number: ReleaseNumber): string | undefined;
  /** The last release of a store that was set aside: what is not above it was in there. */
  readonly after?: ReleaseNumber | undefined;
  /** Whether no release of that number that is not here can have led to the head. */
  rulesOut(number: ReleaseNumber): boolean;
  /** Whether it was released by who may now. */
  isSigned(signed: Signed): boolean;
  /** The roots that come after one; undefined where that is none of this lineage's. */
  rootsAfter(known: MessageOf<'hello'>['root']): readonly SignedRoot[] | undefined;
}

export interface SessionHost extends PublisherView {
  /** What comes of sessions is paced by it, and logged. */
  readonly pace: Pace;
  readonly clock: SteadyClock;
  /** Since 1970, for people. */
  nowMs(): number;
  readonly logger: Logger;
  readonly subscribers: Subscribers;
  readonly transfers: {
    /**
     * Brings a release, one that was `head`, to somebody who has `base`: deltas, or a snapshot, of which it
     * has some bytes. `isPlain`: nothing of it is deflated.
     */
    for(
      release: SessionRelease,
      base: Uint8Array | undefined,
      isPlain: boolean,
      has: MessageOf<'want'>['has'],
    ): Promise<SessionTransfer>;
  };
  /**
   * Signs for a subscriber's nonce that a release, one that was `head`, is the newest, or that there is none;
   * undefined where that cannot be signed, `prove` where it has to prove first what its HELLO claims.
   */
  attest(
    nonce: Uint8Array,
    release: SessionRelease | undefined,
    subscriber: string,
  ): Promise<Signed | 'prove' | undefined>;
  /** Takes up what a subscriber proved. */
  proved(release: HeldRelease, subscriber: string, proof: Signed): Promise<void>;
  /** Calls it after each change of `head`, until the function that is returned is called. */
  onHead(listener: () => Promise<void>): () => void;
}
