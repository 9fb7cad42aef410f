/**
 * The interface of sessions to their server: a publisher, or a reader of its depot. It has releases and their
 * streams, signs which is the newest, and judges proofs of subscribers; sessions know nothing else of it.
 */

import type { Logger } from '@rulecast/program';
import type { Manifest, MessageOf, Signed, SignedRoot, SteadyClock } from '@rulecast/protocol';
import type { Pace } from './pace.ts';
import type { HeldRelease, ReleaseNumber } from './subscribers/entry.ts';
import type { Subscribers } from './subscribers/subscribers.ts';

/** A release to offer. There is one object for each release. */
export interface SessionRelease {
  readonly manifest: Manifest;
  /** As signed; never re-encoded. */
  readonly manifestBytes: Uint8Array;
  readonly signatures: Uint8Array;
  readonly hash: Uint8Array;
  /** The capabilities a subscriber needs to accept it, see Capability. */
  readonly capabilities: readonly string[];
}

/** A transfer of a release. */
export interface SessionTransfer {
  /** The release that the first delta starts from; undefined for a snapshot. */
  readonly base: Uint8Array | undefined;
  readonly stream: Uint8Array;
  /** The id of the stream, of a snapshot that is large enough to be resumed. */
  readonly id: Uint8Array | undefined;
  /** Bytes that the receiver has already. */
  readonly from: number;
}

/**
 * The host's state for the machine of a session. WIRE.md calls this side the publisher, even if it is a
 * relay.
 */
export interface PublisherView {
  readonly name: string;
  readonly lineage: Uint8Array;
  readonly head: SessionRelease | undefined;
  /** A release was proved that is not here, or nothing is here any more: nothing is offered. */
  readonly isBehind: boolean;
  /** Whether the configuration names a subscriber. */
  isNamed(name: string): boolean;
  /** The number of a release that is here, by its hash. */
  numberOf(hash: Uint8Array): ReleaseNumber | undefined;
  /** The hash of a release that is here, in hex. */
  hashOf(number: ReleaseNumber): string | undefined;
  /** The last release of a store that was set aside: what is not above it was in there. */
  readonly after?: ReleaseNumber | undefined;
  /** Whether no release of that number that is not here can have led to the head. */
  rulesOut(number: ReleaseNumber): boolean;
  /** Whether it was released by who may now. */
  isSigned(signed: Signed): boolean;
  /** The roots after a known one; undefined if that is not of this lineage. */
  rootsAfter(known: MessageOf<'hello'>['root']): readonly SignedRoot[] | undefined;
}

export interface SessionHost extends PublisherView {
  /** Paces and logs the effects of sessions. */
  readonly pace: Pace;
  readonly clock: SteadyClock;
  /** Since 1970, for people. */
  nowMs(): number;
  readonly logger: Logger;
  readonly subscribers: Subscribers;
  readonly transfers: {
    /**
     * A transfer of a release, one that was `head`, to a subscriber that holds `base`: deltas, or a snapshot,
     * of which it may have some bytes. `isPlain`: without deflate.
     */
    for(
      release: SessionRelease,
      base: Uint8Array | undefined,
      isPlain: boolean,
      has: MessageOf<'want'>['has'],
    ): Promise<SessionTransfer>;
  };
  /**
   * Signs, for a subscriber's nonce, that a release, one that was `head`, is the newest, or that there is
   * none. Undefined if that cannot be signed; `prove` if the subscriber must first prove the claim in its
   * HELLO.
   */
  attest(
    nonce: Uint8Array,
    release: SessionRelease | undefined,
    subscriber: string,
  ): Promise<Signed | 'prove' | undefined>;
  /** Records a release that a subscriber proved. */
  proved(release: HeldRelease, subscriber: string, proof: Signed): Promise<void>;
  /** Calls it after each change of `head`, until the function that is returned is called. */
  onHead(listener: () => Promise<void>): () => void;
}
