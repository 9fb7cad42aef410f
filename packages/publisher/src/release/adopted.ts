/**
 * A release that comes back from a subscriber, judged as a subscriber judges an offer: nothing of it is asked
 * for, and no room made, before the identity's own root vouches for its manifest. Pure. PROTOCOL.md "ADOPT".
 */

import type { Identity } from '@rulecast/program/identity';
import {
  decodeManifest,
  ENTRIES_MAX,
  ErrorCode,
  entriesIn,
  isSignedBy,
  type Manifest,
  ProtocolError,
  type Signed,
  wasSignedBy,
} from '@rulecast/protocol';

/** A manifest that was judged, and the stream that is said to make it. */
export interface Adoptable {
  readonly signed: Signed;
  readonly manifest: Manifest;
  /** A chain of deltas from nothing; it may be gone once it was verified. */
  readonly stream: Uint8Array;
}

/**
 * The manifest. Throws ProtocolError: `bad-signature`, `bad-manifest`, `wrong-lineage`, `epoch-not-granted`
 * or `over-limit`.
 */
export function checkAdoptable(
  { lineage, root, roots }: Pick<Identity, 'lineage' | 'root' | 'roots'>,
  signed: Signed,
): Manifest {
  if (!isSignedBy(root, 'release', signed)) {
    const text = wasSignedBy(roots, 'release', signed)
      ? `it was signed by keys that may not release any more, by root ${root.number}: whoever has them may have made it. Start the publisher with --start-over, and push what shall be in force`
      : 'it is not signed by this identity: the identity file is another one than that which released it, or older';
    throw new ProtocolError(ErrorCode.badSignature, text);
  }
  const manifest = decodeManifest(signed.content);
  if (!Buffer.from(manifest.lineage).equals(lineage))
    throw new ProtocolError(ErrorCode.wrongLineage, 'it is of another lineage');
  const { epochFloor, epochCeiling } = root;
  if (manifest.epoch < epochFloor || manifest.epoch > epochCeiling) {
    const text = `it is of epoch ${manifest.epoch}, and root ${root.number} grants ${epochFloor} to ${epochCeiling}`;
    throw new ProtocolError(ErrorCode.epochNotGranted, text);
  }
  const entries = entriesIn(manifest);
  if (entries > ENTRIES_MAX) {
    const text = `it has ${entries} entries and rules; the most is ${ENTRIES_MAX}`;
    throw new ProtocolError(ErrorCode.overLimit, text);
  }
  return manifest;
}
