/** The parts of an answer that concern only the hop from the upstream to us, and not the qube. */

import type { MessageReader } from './message.ts';
import { OPTION_BYTES, PADDING_OPTION } from './wire.ts';

/** The offset, in a header, of the number of records in the last section. */
const ADDITIONAL_AT = 10;

/**
 * An answer's bytes without the OPT data for the hop to us: without OPT if the qube sent none (RFC 6891
 * §6.1.1), else without its padding. In place, and only if OPT is the last record.
 */
export function withoutOurs(
  { bytes, opt, recordCount, dataStarts, owners }: MessageReader,
  hasOpt: boolean,
): Uint8Array {
  if (opt < 0 || opt + 1 < recordCount) return bytes;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  if (!hasOpt) {
    view.setUint16(ADDITIONAL_AT, view.getUint16(ADDITIONAL_AT) - 1);
    return bytes.subarray(0, owners[opt]!); // of a record that was read
  }
  const start = dataStarts[opt]!; // likewise
  let kept = start;
  for (let at = start; at < bytes.length; ) {
    const end = at + OPTION_BYTES + view.getUint16(at + 2);
    if (view.getUint16(at) !== PADDING_OPTION) {
      bytes.copyWithin(kept, at, end);
      kept += end - at;
    }
    at = end;
  }
  view.setUint16(start - 2, kept - start);
  return bytes.subarray(0, kept);
}
