/** Whether bytes end in the middle of a line, and so may be incomplete. */

import { detectListFormat, isJsonFormat, type ListFormatName } from '@rulecast/formats';
import { contentOf, SNIFF_BYTES } from '../unpack/magic.ts';

const LF = 0x0a;
const CR = 0x0d;

/**
 * The number, from 1, of a last line without an end; undefined where there is none, or where the content
 * itself shows its end: JSON, and what is compressed. `name` is a hint at the format, if that is not stated.
 */
export function openLine(
  name: string,
  bytes: Uint8Array,
  stated: ListFormatName | undefined,
): number | undefined {
  const last = bytes.at(-1);
  if (last === undefined || last === LF || last === CR) return undefined;
  if (contentOf(bytes.subarray(0, SNIFF_BYTES)).kind !== 'plain') return undefined;
  if (isJsonFormat(stated ?? detectListFormat(name, bytes))) return undefined;
  let line = 1;
  for (let at = bytes.indexOf(LF); at >= 0; at = bytes.indexOf(LF, at + 1)) line++;
  return line;
}
