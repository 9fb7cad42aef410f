/**
 * The checks of an offer before any of it is requested: signed by a trusted key, of the trusted lineage, and
 * newer than any release that was in force.
 */

import {
  compareRelease,
  decodeManifest,
  ErrorCode,
  FORK_HASH_CHARS,
  hexOf,
  type Manifest,
  manifestHash,
  ProtocolError,
  type Root,
  type Signed,
  type Trust,
} from '@rulecast/protocol';
import type { ActiveMark } from '../state/state.ts';

/** A manifest whose signature and lineage were checked. */
export interface VerifiedOffer {
  readonly hash: Uint8Array;
  readonly manifest: Manifest;
  readonly manifestBytes: Uint8Array;
  readonly signatures: Uint8Array;
}

/** Checks that a manifest is of the trusted lineage and signed, however old. Throws ProtocolError. */
export function verifySigned(
  manifestBytes: Uint8Array,
  signatures: Uint8Array,
  lineage: Uint8Array,
  isBelieved: (signed: Signed) => boolean,
): VerifiedOffer {
  if (!isBelieved({ signatures, content: manifestBytes })) {
    throw new ProtocolError(ErrorCode.badSignature, 'the manifest is not signed by release keys of the root');
  }
  const manifest = decodeManifest(manifestBytes);
  if (!Buffer.from(manifest.lineage).equals(lineage)) {
    throw new ProtocolError(ErrorCode.wrongLineage, 'the manifest is of another lineage');
  }
  return { hash: manifestHash(manifestBytes), manifest, manifestBytes, signatures };
}

/** Throws ProtocolError `epoch-not-granted` for an epoch that the root in force does not grant. */
export function checkGranted(epoch: number, root: Root | undefined): void {
  if (root !== undefined && epoch >= root.epochFloor && epoch <= root.epochCeiling) return;
  const granted = root && `root ${root.number} grants epochs ${root.epochFloor} to ${root.epochCeiling}`;
  throw new ProtocolError(
    ErrorCode.epochNotGranted,
    `a release of epoch ${epoch}, and ${granted ?? 'no root'}`,
  );
}

/** The mark of a release once it is in force. */
export function markOf({ hash, manifest, manifestBytes, signatures }: VerifiedOffer): ActiveMark {
  const { lineage, epoch, version } = manifest;
  return { lineage, hash, epoch, version, manifestBytes, signatures };
}

/** The floor: a release below it is refused. */
export class Floor {
  readonly #trust: Trust;
  readonly #isReleased: (signed: Signed) => boolean;
  /**
   * The newest release ever in force, on this side's word: nothing older is taken, and of its age only
   * itself.
   */
  mark: ActiveMark | undefined;
  /**
   * The lineage, hex, that the state directory is of, where that is not the trusted one: then nothing is
   * taken.
   */
  #foreign: string | undefined;

  /** `isReleased` tells whether a present release key signed something. */
  constructor(trust: Trust, isReleased: (signed: Signed) => boolean) {
    this.#trust = trust;
    this.#isReleased = isReleased;
  }

  /** The mark, unless its key has lost the right to release: then it may be a thief's, and is no floor. */
  get standing(): ActiveMark | undefined {
    if (this.mark === undefined) return undefined;
    const { signatures, manifestBytes } = this.mark;
    return this.#isReleased({ signatures, content: manifestBytes }) ? this.mark : undefined;
  }

  /** The state directory is of another lineage than the trusted one. Returns that in words. */
  refuseAll(lineage: Uint8Array): string {
    this.#foreign = hexOf(lineage);
    return this.#foreignText(this.#foreign);
  }

  /**
   * Throws ProtocolError for what may not follow. The very release of the floor may come again, if its file
   * was lost.
   */
  check({ hash, manifest }: VerifiedOffer): void {
    if (this.#foreign !== undefined)
      throw new ProtocolError(ErrorCode.wrongLineage, this.#foreignText(this.#foreign));
    const floor = this.standing;
    if (floor === undefined || Buffer.from(floor.hash).equals(hash)) return;
    const { epoch, version } = manifest;
    if (!Buffer.from(floor.lineage).equals(manifest.lineage)) {
      const reason = `the release that was in force here is of lineage ${hexOf(floor.lineage)}: give the subscriber an empty --state for another publisher`;
      throw new ProtocolError(ErrorCode.wrongLineage, reason);
    }
    const order = compareRelease(manifest, floor);
    if (order === 0) {
      const [own, other] = [floor.hash, hash].map((bytes) => hexOf(bytes).slice(0, FORK_HASH_CHARS));
      const reason = `release ${epoch}/${version} (${other}) differs from the release of that number which was in force here (${own}): two publishers use one key; stop one`;
      throw new ProtocolError(ErrorCode.forked, reason);
    }
    if (order > 0) return;
    const reason = `release ${epoch}/${version} is not newer than ${floor.epoch}/${floor.version}, which was in force`;
    throw new ProtocolError(ErrorCode.notNewer, reason);
  }

  #foreignText(lineage: string): string {
    return `the state directory is of lineage ${lineage}, and the trust line of ${hexOf(this.#trust.lineage)}: they do not match; give the subscriber an empty --state for the new publisher, or the old trust line`;
  }
}
