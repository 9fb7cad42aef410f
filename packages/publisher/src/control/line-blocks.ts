/** Packs lines into as few records as possible: a list's entries, or a diff. CONTROL.md "RECORD". */

import { EDIT_LINES_MAX } from '@rulecast/protocol';

/** The size of one record, beside a bounded number of lines. */
export interface LinesLimit {
  /** All lines, with the overhead of each. */
  readonly bytes: number;
  /** Overhead of a line besides its own bytes. */
  readonly overheadBytes: number;
}

/** Each line must fit alone. */
export function* lineBlocks(
  lines: Iterable<string>,
  { bytes: bytesMax, overheadBytes }: LinesLimit,
): Generator<readonly string[]> {
  let block: string[] = [];
  let bytes = 0;
  for (const line of lines) {
    const lineBytes = Buffer.byteLength(line) + overheadBytes;
    if (block.length === EDIT_LINES_MAX || bytes + lineBytes > bytesMax) {
      yield block;
      block = [];
      bytes = 0;
    }
    block.push(line);
    bytes += lineBytes;
  }
  if (block.length > 0) yield block;
}
