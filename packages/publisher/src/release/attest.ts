/**
 * Says of a release that it is the newest, to whoever asked with a nonce: the one place where the keys of
 * freshness sign. They lie with the publisher, for what they sign is true at one moment only. WIRE.md
 * "Freshness".
 */

import type { Identity } from '@rulecast/program/identity';
import { encodeStatement, HASH_BYTES, publicBytes, type Signed, signBytes } from '@rulecast/protocol';
import type { SessionRelease } from '@rulecast/sessions';

/** Whose keys sign, and under which root. */
export type Attester = Pick<Identity, 'lineage' | 'rootHash' | 'root' | 'freshnessKeys'>;

/**
 * `head` undefined: that there is none. Undefined where too few of the keys are here. It is not verified: a
 * fleet asks some hundred times a second, and whoever asked verifies it.
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
