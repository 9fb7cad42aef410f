/**
 * The block of signatures that precedes the signed bytes, in transfers and on disk. WIRE.md "Signatures".
 *
 *   count u8 | (key id 8, signature 64) ...        ids ascend strictly, so that nobody counts twice
 */

import { ErrorCode, ProtocolError } from '../error.ts';
import { KEY_ID_BYTES, SIGNATURE_BYTES, SIGNATURES_MAX } from '../limits.ts';

const ONE_BYTES = KEY_ID_BYTES + SIGNATURE_BYTES;

/** Signed bytes, with the block of their signatures. */
export interface Signed {
  /** Well-formed signatures, not verified. */
  readonly signatures: Uint8Array;
  /** Not parsed. */
  readonly content: Uint8Array;
}

/** The signatures of several blocks over the same bytes; of one key the first. Throws RangeError. */
export function joinSignatures(...blocks: readonly Uint8Array[]): Uint8Array {
  return blockOf(blocks.flatMap(signaturesIn));
}

/** The key ids of a block, in hex. */
export function signersIn(block: Uint8Array): readonly string[] {
  return signaturesIn(block).map(({ id }) => id.toString('hex'));
}

/**
 * Cuts a block from the bytes behind it, both copied. Throws ProtocolError of that code for a block that is
 * none, or with nothing behind it.
 */
export function splitSigned(bytes: Uint8Array, code: ErrorCode = ErrorCode.badMessage): Signed {
  const [count = 0] = bytes;
  const end = 1 + count * ONE_BYTES;
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

/** One signature of a block. */
export interface Signature {
  readonly id: Buffer;
  readonly signature: Buffer;
}

/** The signatures of a block, as views of it. */
export function signaturesIn(block: Uint8Array): readonly Signature[] {
  const bytes = Buffer.from(block.buffer, block.byteOffset, block.length);
  return Array.from({ length: bytes[0] ?? 0 }, (_, i) => {
    const at = 1 + i * ONE_BYTES;
    return {
      id: bytes.subarray(at, at + KEY_ID_BYTES),
      signature: bytes.subarray(at + KEY_ID_BYTES, at + ONE_BYTES),
    };
  });
}

/** The block of some; of one key the first. Throws RangeError for more than a block holds. */
export function blockOf(signatures: readonly Signature[]): Uint8Array {
  const sorted = [...signatures].sort((a, b) => Buffer.compare(a.id, b.id));
  const once = sorted.filter(({ id }, i) => sorted[i - 1]?.id.equals(id) !== true);
  if (once.length > SIGNATURES_MAX)
    throw new RangeError(`${once.length} signatures; the most is ${SIGNATURES_MAX}`);
  return new Uint8Array(
    Buffer.concat([Uint8Array.of(once.length), ...once.flatMap(({ id, signature }) => [id, signature])]),
  );
}
