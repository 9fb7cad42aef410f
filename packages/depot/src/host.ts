/** Serves sessions from a depot: the publisher's side of them, without a key. */

import {
  compareRelease,
  ErrorCode,
  hexOf,
  isSignedBy,
  ProtocolError,
  RESUMED_MIN_BYTES,
  rootsAfter,
} from '@rulecast/protocol';
import type { SessionHost, SessionTransfer } from '@rulecast/sessions';
import type { DepotFeed } from './feed.ts';
import type { Reporter } from './reporter.ts';

export interface DepotHostOptions
  extends Pick<SessionHost, 'name' | 'lineage' | 'subscribers' | 'pace' | 'clock' | 'nowMs' | 'logger'> {
  readonly feed: Pick<DepotFeed, 'release' | 'roots' | 'stream' | 'on' | 'off'>;
  /** Undefined: no freshness is sent. */
  readonly reporter: Reporter | undefined;
}

export function depotHost({ feed, reporter, ...options }: DepotHostOptions): SessionHost {
  return {
    ...options,
    get head() {
      return feed.release;
    },
    isBehind: false,
    isNamed: () => false,
    numberOf: (hash) =>
      feed.release && Buffer.compare(feed.release.hash, hash) === 0 ? feed.release.manifest : undefined,
    hashOf: (number) =>
      feed.release && compareRelease(feed.release.manifest, number) === 0
        ? hexOf(feed.release.hash)
        : undefined,
    rulesOut: () => false, // a depot has no history
    isSigned: (signed) => feed.roots.slice(-1).some(({ root }) => isSignedBy(root, 'release', signed)),
    rootsAfter: (known) => rootsAfter(feed.roots, known),
    transfers: {
      async for(release, base, isPlain, has): Promise<SessionTransfer> {
        if (isPlain)
          throw new ProtocolError(ErrorCode.unsupported, 'a depot has nothing for who inflates nothing');
        const { id, ...made } = await feed.stream(release, base);
        if (id === undefined || made.stream.length < RESUMED_MIN_BYTES)
          return { ...made, id: undefined, from: 0 };
        const isKept =
          has !== undefined && Buffer.compare(has.stream, id) === 0 && has.bytes <= made.stream.length;
        return { ...made, id, from: isKept ? has.bytes : 0 };
      },
    },
    attest: async (nonce, _, name) => reporter?.attest(nonce, name),
    proved: async (_, name, proof) => reporter?.prove(name, proof),
    onHead: (listener) => {
      feed.on('release', listener);
      return () => void feed.off('release', listener);
    },
  };
}
