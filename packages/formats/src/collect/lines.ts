/** Lines of a text file, for the importers that read one after the other. */

import { isBlank, latin1, lineEndAt, lineFault, nextLineAt, skipBlanks } from '../text/bytes.ts';
import type { Collector } from './collector.ts';

/**
 * Gives each line that is not blank, without the blanks around it, until the collector is full. Lines that nobody could
 * read are rejected.
 */
export function eachLine(
  collector: Collector,
  start: number,
  visit: (from: number, end: number) => void,
): void {
  const { bytes, limits } = collector;
  for (let at = start; at < bytes.length && !collector.isFull; ) {
    const lineEnd = lineEndAt(bytes, at);
    collector.beginLine(at);
    const from = skipBlanks(bytes, at, lineEnd);
    if (from < lineEnd) {
      const isReadable = !collector.hasNul && lineEnd - at <= limits.lineBytes;
      const fault = isReadable ? undefined : lineFault(bytes, at, lineEnd, collector.line, limits);
      if (fault !== undefined) collector.rejects.add(fault);
      else visit(from, trimEnd(bytes, from, lineEnd));
    }
    at = nextLineAt(bytes, lineEnd);
  }
}

/** The end of bytes[start, end) without blanks there. */
export function trimEnd(bytes: Uint8Array, start: number, end: number): number {
  let to = end;
  while (to > start && isBlank(bytes[to - 1])) to--;
  return to;
}

/** Where the word that starts at `start` ends: at a blank, or at `end`. */
export function wordEnd(bytes: Uint8Array, start: number, end: number): number {
  let at = start;
  while (at < end && !isBlank(bytes[at])) at++;
  return at;
}

/** The words of bytes[start, end), between blanks. */
export function latin1Words(bytes: Uint8Array, start: number, end: number): string[] {
  const text = latin1(bytes, start, end);
  return text.split(/[ \t]+/).filter((word) => word !== '');
}
