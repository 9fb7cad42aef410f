/**
 * Makes and verifies signatures. WIRE.md "Signatures". Code that only passes them on uses signature-block.ts,
 * and needs no cryptography.
 */

import { createHash, createPublicKey, type KeyObject, sign, verify } from 'node:crypto';
import { KEY_ID_BYTES, PUBLIC_KEY_BYTES } from '../limits.ts';
import { blockOf, type Signed, signaturesIn } from './signature-block.ts';

/** Public keys by private key, as asking OpenSSL takes half as long as a signature. */
const shown = new WeakMap<KeyObject, Uint8Array>();

/** The public half of an ed25519 key, 32 bytes. Throws TypeError for any other key. */
export function publicBytes(key: KeyObject): Uint8Array {
  const known = shown.get(key);
  if (known !== undefined) return known;
  const publicKey = key.type === 'private' ? createPublicKey(key) : key;
  const { x } = publicKey.asymmetricKeyType === 'ed25519' ? publicKey.export({ format: 'jwk' }) : {};
  if (x === undefined) throw new TypeError('an ed25519 key was expected');
  const bytes = new Uint8Array(Buffer.from(x, 'base64url'));
  shown.set(key, bytes);
  return bytes;
}

/** The id of a key in signatures: the first 8 bytes of its SHA-256. */
export function keyIdOf(publicKey: Uint8Array): Uint8Array {
  return new Uint8Array(createHash('sha256').update(publicKey).digest().subarray(0, KEY_ID_BYTES));
}

/** Signs bytes with some private keys. The bytes' own tag keeps the signature from meaning anything else. */
export function signBytes(bytes: Uint8Array, ...keys: readonly KeyObject[]): Uint8Array {
  return blockOf(
    keys.map((key) => ({
      id: Buffer.from(keyIdOf(publicBytes(key))),
      signature: sign(null, bytes, key),
    })),
  );
}

/** How many of some keys, each given once, signed the bytes. */
export function signersAmong(keys: readonly Uint8Array[], { signatures, content }: Signed): number {
  const found = signaturesIn(signatures);
  return keys.filter((key) => {
    const id = keyIdOf(key);
    const own = found.find((one) => one.id.equals(id));
    return own !== undefined && verify(null, content, keyObjectOf(key), own.signature);
  }).length;
}

function keyObjectOf(key: Uint8Array): KeyObject {
  if (key.length !== PUBLIC_KEY_BYTES) throw new TypeError(`a public key of ${key.length} bytes`);
  const x = Buffer.from(key).toString('base64url');
  return createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x }, format: 'jwk' });
}
