/** Lines in as few records as hold them: of a list's entries, and of what changed. CONTROL.md "RECORD". */

import { EDIT_LINES_MAX } from '@rulecast/protocol';

/** What one record holds, beside a bounded number of lines. */
export interface LinesLimit {
  /** Of all lines, with what each costs. */
  readonly bytes: number;
  /** What a line costs besides its own bytes. */
  readonly overheadBytes: number;
}

/** Each line alone has to fit. */
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
