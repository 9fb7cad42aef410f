/**
 * Signs that a release is the newest, for a nonce: the only place that signs with the freshness keys. The
 * publisher holds them, as such a signature is true for one moment only. WIRE.md "Freshness".
 */

import type { Identity } from '@rulecast/program/identity';
import { encodeStatement, HASH_BYTES, publicBytes, type Signed, signBytes } from '@rulecast/protocol';
import type { SessionRelease } from '@rulecast/sessions';

/** The freshness keys, and their root. */
export type Attester = Pick<Identity, 'lineage' | 'rootHash' | 'root' | 'freshnessKeys'>;

/**
 * `head` undefined: nothing is released yet. Returns undefined if too few of the keys are here. The result is
 * not verified: a fleet asks some hundred times a second, and the receiver verifies it.
 */
export function attested(
  attester: Attester,
  nonce: Uint8Array,
  head: SessionRelease | undefined,
): Signed | undefined {
  const { lineage, rootHash } = attester;
  const { epoch, version } = head?.manifest ?? { epoch: 0, version: 0 };
  const hash = head?.hash ?? new Uint8Array(HASH_BYTES);
  return signedForFreshness(
    attester,
    encodeStatement({ nonce, lineage, root: rootHash, epoch, version, hash }),
  );
}

/** Undefined where too few keys of the freshness role are here. */
export function signedForFreshness(
  { root, freshnessKeys }: Pick<Attester, 'root' | 'freshnessKeys'>,
  content: Uint8Array,
): Signed | undefined {
  const { keys, threshold } = root.roles.freshness;
  const here = keys.filter((key) =>
    freshnessKeys.some((own) => Buffer.compare(publicBytes(own), key) === 0),
  ).length;
  return here < threshold ? undefined : { signatures: signBytes(content, ...freshnessKeys), content };
}
