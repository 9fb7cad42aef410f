/** Lines of a text file, for readers that take one at a time. */

import { isBlank, latin1, lineEndAt, lineFault, nextLineAt, skipBlanks } from './bytes.ts';
import type { FormatLimits } from './limits.ts';
import type { RejectLog } from './reject.ts';

/** The text, and the state of its reader. */
export interface LineSink {
  readonly bytes: Uint8Array;
  readonly limits: FormatLimits;
  /**
   * Whether a NUL byte is anywhere, which makes its line unreadable; most files have none, and need no look
   * at each line.
   */
  readonly hasNul: boolean;
  readonly rejects: RejectLog;
  /** The line begun last, from 1. */
  readonly line: number;
  /** Whether nothing more is wanted. */
  readonly isFull: boolean;
  beginLine(start: number): void;
}

/**
 * Gives each line that is not blank, without the blanks around it, until the sink is full. Lines that nobody
 * could read are rejected.
 */
export function eachLine(sink: LineSink, start: number, visit: (from: number, end: number) => void): void {
  const { bytes } = sink;
  for (let at = start; at < bytes.length && !sink.isFull; ) {
    const lineEnd = lineEndAt(bytes, at);
    sink.beginLine(at);
    const from = skipBlanks(bytes, at, lineEnd);
    if (from < lineEnd && isReadable(sink, at, lineEnd)) visit(from, trimEnd(bytes, from, lineEnd));
    at = nextLineAt(bytes, lineEnd);
  }
}

/** Whether the line last begun, bytes[start, end), is readable; rejects it if not. */
export function isReadable(sink: LineSink, start: number, end: number): boolean {
  const { bytes, limits, line } = sink;
  if (!sink.hasNul && end - start <= limits.lineBytes) return true;
  const fault = lineFault(bytes, start, end, line, limits);
  if (fault !== undefined) sink.rejects.add(fault);
  return fault === undefined;
}

/** The end of bytes[start, end) without blanks there. */
export function trimEnd(bytes: Uint8Array, start: number, end: number): number {
  let to = end;
  while (to > start && isBlank(bytes[to - 1])) to--;
  return to;
}

/** The end of the word that starts at `start`: at a blank, or at `end`. */
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
