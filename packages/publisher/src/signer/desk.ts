/**
 * The requests to the signing process, one line at a time. Pure but for its arguments: the keys, and the
 * record of the last signed number.
 *
 *   sign ─▶ a manifest of ours? ─▶ above the last? ─▶ kept, on disk ─▶ signed ─▶ answer
 *                                  the same hash?  ───────────────────▶ signed
 *                                  else                                 used, and which was the last
 *
 * A number recorded but never answered is a gap, and no more. So a key signs one release a number, whatever
 * crashes. It protects the key and the numbers; the publisher judges a release's content.
 */

import type { Identity } from '@rulecast/program/identity';
import {
  compareRelease,
  decodeManifest,
  hexOf,
  keyIdOf,
  type Manifest,
  manifestHash,
  ProtocolError,
  publicBytes,
  signBytes,
} from '@rulecast/protocol/signing';
import type { SignAnswer, SignedNumber } from './signer.ts';

/** The last release that was signed. */
export interface SignerRecord extends SignedNumber {
  /** The hash of its manifest, in hex. */
  readonly hash: string;
}

/** The release keys, with their lineage and root. */
export type SignerKeys = Pick<Identity, 'lineage' | 'root' | 'releaseKeys'>;

/** A request that can never be signed, whatever was signed before. */
export class UnsignableError extends Error {}

export class SignerDesk {
  readonly #keys: SignerKeys;
  readonly #keep: (record: SignerRecord) => void;
  #last: SignerRecord | undefined;

  /** `last` is the stored record; `keep` returns when a record is on disk, or throws. */
  constructor(keys: SignerKeys, last: SignerRecord | undefined, keep: (record: SignerRecord) => void) {
    this.#keys = keys;
    this.#last = last;
    this.#keep = keep;
  }

  /** Throws UnsignableError, and what keeping throws; then nothing is signed. */
  sign(bytes: Uint8Array): SignAnswer {
    const { epoch, version, previousVersion } = this.#manifestIn(bytes);
    const hash = hexOf(manifestHash(bytes));
    const last = this.#last;
    const isRepeated = last?.hash === hash;
    if (last !== undefined && !isRepeated && compareRelease({ epoch, version }, last) <= 0) {
      return { kind: 'used', last: { ...last } };
    }
    if (!isRepeated) {
      const keys = this.#keys.releaseKeys.map((key) => hexOf(keyIdOf(publicBytes(key))));
      const record = { epoch, version, previousVersion, hash, keys };
      this.#keep(record);
      this.#last = record;
    }
    return { kind: 'signed', signatures: signBytes(bytes, ...this.#keys.releaseKeys) };
  }

  #manifestIn(bytes: Uint8Array): Manifest {
    let manifest: Manifest;
    try {
      manifest = decodeManifest(bytes);
    } catch (cause) {
      if (!(cause instanceof ProtocolError)) throw cause;
      throw new UnsignableError('what is to be signed is no manifest', { cause });
    }
    const { lineage, root } = this.#keys;
    if (!Buffer.from(manifest.lineage).equals(lineage)) {
      throw new UnsignableError('what is to be signed is of another lineage');
    }
    if (manifest.epoch < root.epochFloor || manifest.epoch > root.epochCeiling) {
      throw new UnsignableError(`the root does not grant epoch ${manifest.epoch}`);
    }
    return manifest;
  }
}
