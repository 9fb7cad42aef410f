/**
 * Whether what is encoded may be deflated: readers without inflate are sent the same parts in other forms.
 * Encoding is synchronous, so that the choice is made once, where it begins, and not handed down to each
 * column.
 */

import { deflateRawSync } from 'node:zlib';
import { roomFor } from '../bytes/inflate.ts';

let isPermitted = true;

/** What `encode` makes, with nothing deflated in it. */
export function withoutDeflate<T>(encode: () => T): T {
  const before = isPermitted;
  isPermitted = false;
  try {
    return encode();
  } finally {
    isPermitted = before;
  }
}

/** RFC 1951 at a level of zlib's; undefined where nothing may be deflated. */
export function deflated(bytes: Uint8Array, level?: number): Uint8Array | undefined {
  if (!isPermitted) return undefined;
  return deflateRawSync(bytes, {
    chunkSize: roomFor(bytes.length),
    ...(level === undefined ? {} : { level }),
  });
}
