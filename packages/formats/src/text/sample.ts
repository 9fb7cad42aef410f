/** The beginning of a file, from which its format is detected. */

import { CR, LF, SPACE, TAB } from './ascii.ts';
import { lineEndAt, nextLineAt } from './bytes.ts';

/** How much of a file is looked at: headers are long, but not this long. */
export const SAMPLE_BYTES = 64 * 1024;
/** Longest part of a line that is looked at. */
const LINE_MAX_BYTES = 1024;

/** The start of the content, behind a byte order mark and blank lines. */
export function contentStart(bytes: Uint8Array): number {
  let at = bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf ? 3 : 0;
  for (; at < bytes.length; at++) {
    const byte = bytes[at];
    if (byte !== LF && byte !== CR && byte !== SPACE && byte !== TAB) break;
  }
  return at;
}

/**
 * The lines of the sample that are not blank, trimmed. A line that the sample cuts is left out, unless it is
 * the only one.
 */
export function* sampleLines(bytes: Uint8Array, start: number): Generator<string> {
  const limit = Math.min(bytes.length, start + SAMPLE_BYTES);
  const decoder = new TextDecoder();
  for (let at = start; at < limit; ) {
    const end = lineEndAt(bytes, at);
    if (end > limit && at > start) return;
    const text = decoder.decode(bytes.subarray(at, Math.min(end, at + LINE_MAX_BYTES))).trim();
    if (text !== '') yield text;
    at = nextLineAt(bytes, end);
  }
}
