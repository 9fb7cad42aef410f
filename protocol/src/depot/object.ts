/**
 * Objects of a depot: files that never change, each named by the SHA-256 of its bytes. DEPOT.md "Files".
 *
 *   reference   SHA-256 32 | length u32
 */

import { createHash } from 'node:crypto';
import type { ByteReader } from '../bytes/reader.ts';
import type { ByteWriter } from '../bytes/writer.ts';
import { HASH_BYTES } from '../limits.ts';

/** Which bytes, wherever they lie. */
export interface ObjectReference {
  /** 32 bytes. */
  readonly sha256: Uint8Array;
  readonly length: number;
}

export function referenceOf(bytes: Uint8Array): ObjectReference {
  return { sha256: new Uint8Array(createHash('sha256').update(bytes).digest()), length: bytes.length };
}

/** Whether these are the bytes that a reference names. */
export function isObject(bytes: Uint8Array, { sha256, length }: ObjectReference): boolean {
  return bytes.length === length && Buffer.compare(referenceOf(bytes).sha256, sha256) === 0;
}

/** The path of an object below a depot, with `/` between folders. */
export function objectPath({ sha256 }: Pick<ObjectReference, 'sha256'>): string {
  const name = Buffer.from(sha256).toString('hex');
  return `o/${name.slice(0, 2)}/${name}`;
}

export function writeReference(writer: ByteWriter, { sha256, length }: ObjectReference): void {
  writer.bytes(sha256);
  writer.u32(length);
}

export function readReference(reader: ByteReader): ObjectReference {
  return { sha256: reader.bytes(HASH_BYTES).slice(), length: reader.u32() };
}
