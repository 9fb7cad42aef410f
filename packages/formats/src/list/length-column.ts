/**
 * Prefix lengths that stand in a column of their own, as CAIDA's pfx2as has them: `1.0.4.0⇥22⇥38803`. Read as
 * a score they would leave one address of each network. They are told by the addresses, which have no bits
 * beyond them: a port, a score or a category does not know that.
 */

import { bitsOf, newPrefixScratch, parsePrefixBytes } from '@rulecast/rules';
import { ImportFault } from '../collect/options.ts';
import type { Reject } from '../text/reject.ts';
import { sampleLines } from '../text/sample.ts';

/** Our choice: of numbers that are something else, one in hundreds fits its address. */
const LENGTHS_SHARE = 0.5;
/** The number of lines examined. Our choice. */
const LINES_MAX = 200;
const COMMENT = /^(?:#|;|\/\/)/;

/** The column of lengths, and the first network. */
export interface LengthColumn {
  /** From 1; undefined where blanks divide the columns, as in no table that we read. */
  readonly number: number | undefined;
  readonly address: string;
  readonly length: string;
}

/** The column of lengths of a text without CIDRs that starts at `start`; undefined if it has none. */
export function lengthColumnOf(bytes: Uint8Array, start: number): LengthColumn | undefined {
  const columns = new Map<number, { rows: number; first: LengthColumn | undefined }>();
  let lines = 0;
  let rows = 0;
  for (const line of sampleLines(bytes, start)) {
    if (COMMENT.test(line)) continue;
    if (++lines > LINES_MAX) break;
    const delimiter = /[,\t;|]/.exec(line)?.[0];
    const fields = line.split(delimiter ?? /\s+/).map((field) => field.trim().replaceAll('"', ''));
    const entry = fields.findIndex((field) => isNetwork(field, undefined));
    if (entry < 0) continue;
    const address = fields[entry] ?? '';
    if (address.includes('/')) return undefined;
    if (scratch.words.every((word) => word === 0)) continue; // has no bits beyond any number
    rows++;
    for (const [i, length] of fields.entries()) {
      if (i === entry || !/^\d{1,3}$/.test(length) || !isNetwork(address, length)) continue;
      const column = columns.get(i) ?? { rows: 0, first: undefined };
      column.rows++;
      const number = delimiter === undefined ? undefined : i + 1;
      if (Number(length) < bitsOf(scratch.family)) column.first ??= { number, address, length };
      columns.set(i, column);
    }
  }
  for (const { rows: held, first } of columns.values())
    if (first !== undefined && held >= rows * LENGTHS_SHARE) return first;
  return undefined;
}

/** Why a text with such a column is refused; `isTried`: it is read completely with the option. */
export function lengthColumnFault({ number, address, length }: LengthColumn, isTried: boolean): Reject {
  const written = `write ${address}/${length}`;
  const advice = isTried && number !== undefined ? `say length-column: ${number}, or ${written}` : written;
  const reason = `the prefix length of ${address}, ${length}, stands in a column of its own: ${advice}`;
  return { line: 1, column: 1, code: ImportFault.lengthColumn, reason };
}

const scratch = newPrefixScratch();

/** Whether a text is an address or CIDR, with no bits beyond `length` where it is given. */
function isNetwork(address: string, length: string | undefined): boolean {
  const bytes = Buffer.from(length === undefined ? address : `${address}/${length}`, 'latin1');
  return (
    parsePrefixBytes(bytes, 0, bytes.length, scratch) === undefined &&
    (length === undefined || !scratch.hasHostBits)
  );
}
