/**
 * Trust lines: what a subscriber must be told, out of band, to know its publisher: the lineage and the public
 * key.
 *
 *   rulecast1:<lineage, 32 hex digits>:<ed25519 public key, 43 base64url characters>
 */

import { createPublicKey, type KeyObject } from 'node:crypto';

const TRUST_LINE = /^rulecast1:([0-9a-f]{32}):([A-Za-z0-9_-]{43})$/;

export interface Trust {
  /** 16 bytes, made with the key. */
  readonly lineage: Uint8Array;
  /** The ed25519 public key that signs the lineage's manifests. */
  readonly publicKey: KeyObject;
}

/** The trust line of a lineage; it holds no secret. */
export function formatTrust(trust: Trust): string {
  const key = trust.publicKey.export({ format: 'jwk' }).x;
  if (key === undefined) throw new TypeError('an ed25519 public key was expected');
  return `rulecast1:${Buffer.from(trust.lineage).toString('hex')}:${key}`;
}

/** Reads a trust line; surrounding white space is ignored. Undefined if it is none. */
export function parseTrust(text: string): Trust | undefined {
  const match = TRUST_LINE.exec(text.trim());
  if (match?.[1] === undefined || match[2] === undefined) return undefined;
  const publicKey = createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x: match[2] }, format: 'jwk' });
  return { lineage: new Uint8Array(Buffer.from(match[1], 'hex')), publicKey };
}
