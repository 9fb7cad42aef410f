/**
 * Scored tables: an address or CIDR, blanks or a separator, and a number: how bad it is, or how many lists
 * name it.
 *
 *     line = entry (blank | "," | ";" | "|")… number [blank anything]
 */

import type { Collector } from '../collect/collector.ts';
import { latin1, quoteBytes } from '../text/bytes.ts';
import { EntryFaultCode } from '../text/entry.ts';
import { eachLine } from '../text/lines.ts';
import { addressBehind } from '../text/within.ts';

/** The entry, what divides it from the rest, and the number, if the rest begins with one. */
const LINE = /^([^ \t,;|]*)([ \t,;|]*)(?:(\d+(?:\.\d*)?|\.\d+)(?=$|[ \t,;|#]))?/;

export function importScored(collector: Collector, start: number): void {
  const { bytes, options } = collector;
  const minScore = options.minScore ?? Number.NEGATIVE_INFINITY;
  eachLine(collector, start, (from, end) => {
    const text = latin1(bytes, from, end);
    if (text.startsWith('#') || text.startsWith(';')) {
      collector.skip('comment');
      return;
    }
    const [, entry = '', divider = '', score] = LINE.exec(text) ?? [];
    const at = from + entry.length + divider.length;
    const other = score === undefined ? undefined : addressBehind(bytes, at, end);
    if (score === undefined) {
      const reason = `${quoteBytes(bytes, from, end)} has no number behind the address`;
      collector.reject(at, 'no-score', reason);
    } else if (other !== undefined) {
      const reason = `a second address, ${quoteBytes(bytes, other.start, other.end)}: write one entry a line`;
      collector.reject(other.start, EntryFaultCode.secondAddress, reason);
    } else if (Number(score) < minScore) collector.skip('low-score');
    else collector.address(bytes, from, from + entry.length);
  });
}
