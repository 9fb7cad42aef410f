/**
 * Signatures: who signed some bytes, as one block that travels and is kept before them. PROTOCOL.md
 * "Signatures".
 *
 *   count u8 | (key id 8, signature 64) ...        ids ascend strictly, so that nobody counts twice
 */

import { createHash, createPublicKey, type KeyObject, sign, verify } from 'node:crypto';
import { ErrorCode, ProtocolError } from '../error.ts';
import { KEY_ID_BYTES, PUBLIC_KEY_BYTES, SIGNATURE_BYTES, SIGNATURES_MAX } from '../limits.ts';

const ONE_BYTES = KEY_ID_BYTES + SIGNATURE_BYTES;

/** Bytes, and the block of those who signed them. */
export interface Signed {
  /** Well formed; whose they are, and whether they verify, is another question. */
  readonly signatures: Uint8Array;
  /** Not looked into. */
  readonly content: Uint8Array;
}

/** Public halves by key: to ask for one takes longer than to sign. */
const publicHalves = new WeakMap<KeyObject, Uint8Array>();

/**
 * An ed25519 key as its 32 bytes, of which the public half is looked at; nobody may write to them. Throws
 * TypeError for any other.
 */
export function publicBytes(key: KeyObject): Uint8Array {
  const known = publicHalves.get(key) ?? publicHalfOf(key);
  publicHalves.set(key, known);
  return known;
}

function publicHalfOf(key: KeyObject): Uint8Array {
  const publicKey = key.type === 'private' ? createPublicKey(key) : key;
  const { x } = publicKey.asymmetricKeyType === 'ed25519' ? publicKey.export({ format: 'jwk' }) : {};
  if (x === undefined) throw new TypeError('an ed25519 key was expected');
  return new Uint8Array(Buffer.from(x, 'base64url'));
}

/** What a key is called where it signs: the first 8 bytes of its SHA-256. */
export function keyIdOf(publicKey: Uint8Array): Uint8Array {
  return new Uint8Array(createHash('sha256').update(publicKey).digest().subarray(0, KEY_ID_BYTES));
}

/**
 * The block of some private keys over bytes, whose own tag keeps the signature from meaning anything else.
 */
export function signBytes(bytes: Uint8Array, ...keys: readonly KeyObject[]): Uint8Array {
  return blockOf(
    keys.map((key) => ({
      id: Buffer.from(keyIdOf(publicBytes(key))),
      signature: sign(null, bytes, key),
    })),
  );
}

/** The signatures of several blocks over the same bytes; of one key the first. Throws RangeError. */
export function joinSignatures(...blocks: readonly Uint8Array[]): Uint8Array {
  return blockOf(blocks.flatMap(signaturesIn));
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

/** The key ids of a block, in hex. */
export function signersIn(block: Uint8Array): readonly string[] {
  return signaturesIn(block).map(({ id }) => id.toString('hex'));
}

/** How long the block is that some bytes begin with. */
export function signaturesBytes(bytes: Uint8Array): number {
  return 1 + (bytes[0] ?? 0) * ONE_BYTES;
}

/**
 * Cuts a block from the bytes behind it, both copied. Throws ProtocolError of that code for a block that is
 * none, or with nothing behind it.
 */
export function splitSigned(bytes: Uint8Array, code: ErrorCode = ErrorCode.badMessage): Signed {
  const [count = 0] = bytes;
  const end = signaturesBytes(bytes);
  if (count > SIGNATURES_MAX || bytes.length <= end) {
    throw new ProtocolError(
      code,
      `${bytes.length} bytes do not hold ${count} signatures, and what is signed`,
    );
  }
  const signatures = Uint8Array.from(bytes.subarray(0, end));
  const ids = signaturesIn(signatures).map(({ id }) => id);
  for (const [i, id] of ids.entries()) {
    const before = ids[i - 1];
    if (before === undefined || Buffer.compare(before, id) < 0) continue;
    throw new ProtocolError(code, 'key ids do not ascend');
  }
  return { signatures, content: Uint8Array.from(bytes.subarray(end)) };
}

/** The block, and what is signed behind it. */
export function joinSigned({ signatures, content }: Signed): Uint8Array {
  const bytes = new Uint8Array(signatures.length + content.length);
  bytes.set(signatures);
  bytes.set(content, signatures.length);
  return bytes;
}

interface Signature {
  readonly id: Buffer;
  readonly signature: Buffer;
}

function signaturesIn(block: Uint8Array): readonly Signature[] {
  const bytes = Buffer.from(block.buffer, block.byteOffset, block.length);
  return Array.from({ length: bytes[0] ?? 0 }, (_, i) => {
    const at = 1 + i * ONE_BYTES;
    return {
      id: bytes.subarray(at, at + KEY_ID_BYTES),
      signature: bytes.subarray(at + KEY_ID_BYTES, at + ONE_BYTES),
    };
  });
}

function blockOf(signatures: readonly Signature[]): Uint8Array {
  const sorted = [...signatures].sort((a, b) => Buffer.compare(a.id, b.id));
  const once = sorted.filter(({ id }, i) => sorted[i - 1]?.id.equals(id) !== true);
  if (once.length > SIGNATURES_MAX)
    throw new RangeError(`${once.length} signatures; the most is ${SIGNATURES_MAX}`);
  return new Uint8Array(
    Buffer.concat([Uint8Array.of(once.length), ...once.flatMap(({ id, signature }) => [id, signature])]),
  );
}

function keyObjectOf(key: Uint8Array): KeyObject {
  if (key.length !== PUBLIC_KEY_BYTES) throw new TypeError(`a public key of ${key.length} bytes`);
  const x = Buffer.from(key).toString('base64url');
  return createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x }, format: 'jwk' });
}
