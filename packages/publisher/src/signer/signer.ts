/**
 * A signer of releases, as the publisher calls it: the keys themselves, or a process that has them (link.ts).
 */

import type { Identity } from '@rulecast/program/identity';
import { ErrorCode, hexOf, keyIdOf, type Root, signBytes } from '@rulecast/protocol/signing';

/** A number that was signed, with that of the release before it. */
export interface SignedNumber {
  readonly epoch: number;
  readonly version: number;
  readonly previousVersion: number;
  /** Ids of the keys that signed, hex; absent: nobody knows, and so it counts under every root. */
  readonly keys?: readonly string[] | undefined;
}

/** Whether as many of the keys that signed a release may still do so under a root as have to. */
export function countsUnder({ roles }: Pick<Root, 'roles'>, keys: readonly string[] | undefined): boolean {
  const { keys: allowed, threshold } = roles.release;
  return (
    keys === undefined || allowed.filter((key) => keys.includes(hexOf(keyIdOf(key)))).length >= threshold
  );
}

export type SignAnswer =
  | { readonly kind: 'signed'; readonly signatures: Uint8Array }
  /** Another release was signed under this number or a later one; `last` is the latest. */
  | { readonly kind: 'used'; readonly last: SignedNumber };

export interface Signer {
  /** Signs the bytes of a manifest. Rejects with SignerError; then the signature may exist, and is lost. */
  sign(manifestBytes: Uint8Array): Promise<SignAnswer>;
}

/** The signer does not answer, refuses, or cannot be had. */
export class SignerError extends Error {
  readonly code = ErrorCode.signerFailed;
}

/** Signs with the keys of an identity in this process, whatever was signed before. */
export function keySigner({ releaseKeys }: Pick<Identity, 'releaseKeys'>): Signer {
  return {
    sign: async (bytes) => ({ kind: 'signed', signatures: signBytes(bytes, ...releaseKeys) }),
  };
}
