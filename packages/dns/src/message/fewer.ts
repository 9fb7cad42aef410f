/** Answers with fewer addresses: no more is told of a name than its qube may use. */

import { type MessageReader, Section } from './message.ts';
import { Flag } from './wire.ts';
import { Cursor, EDNS_BYTES } from './writer.ts';

/**
 * Writes an answer that ends with the last of `most` addresses of a type, as it is so far: names point back
 * alone. It says no more that anybody has vouched for it. The bytes used of `out`, which has
 * MESSAGE_MAX_BYTES; 0: it has no more addresses than that.
 */
export function writeFewer(answer: MessageReader, type: number, most: number, out: Uint8Array): number {
  let [left, kept] = [most, 0];
  for (; kept < answer.recordCount && answer.sections[kept] === Section.answer; kept++)
    if (answer.types[kept] === type && left-- === 0) break;
  if (left >= 0) return 0;
  const writer = new Cursor(out);
  writer.header(answer.id, answer.flags & ~Flag.authenticData, kept, 0, answer.opt < 0 ? 0 : 1);
  writer.bytes(answer.bytes.subarray(writer.at, answer.owners[kept]!)); // of the first that is left out
  if (answer.opt >= 0) writer.opt(EDNS_BYTES, answer.isDnssecOk);
  return writer.at;
}
