/**
 * The output of `ipset save` (ipset(8)): `create NAME TYPE …` and `add NAME ELEMENT …`. Elements that hold
 * for certain ports or interfaces only are skipped, as are those that are exceptions (`nomatch`).
 */

import type { Collector } from '../collect/collector.ts';
import { EntryFilter } from '../collect/filter.ts';
import { indexIn, latin1, quoteBytes, skipBlanks } from '../text/bytes.ts';
import { eachLine, wordEnd } from '../text/lines.ts';

const COMMA = 0x2c;
const HASH = 0x23;

const ADD: ReadonlySet<string> = new Set(['add', '-A']);
const OTHER: ReadonlySet<string> = new Set([
  'create',
  '-N',
  'flush',
  '-F',
  'destroy',
  '-X',
  'swap',
  'rename',
  'COMMIT',
]);

export function importIpsetSave(collector: Collector, start: number): void {
  const { bytes } = collector;
  const filter = new EntryFilter(collector.options);
  eachLine(collector, start, (from, end) => {
    const commandEnd = wordEnd(bytes, from, end);
    const command = latin1(bytes, from, commandEnd);
    if (bytes[from] === HASH) collector.skip('comment');
    else if (OTHER.has(command)) collector.skip('metadata');
    else if (ADD.has(command)) importElement(collector, filter, skipBlanks(bytes, commandEnd, end), end);
    else {
      const shown = quoteBytes(bytes, from, end);
      collector.reject(from, 'bad-ipset-line', `${shown} is no line of ipset save: add NAME 192.0.2.0/24`);
    }
  });
}

function importElement(collector: Collector, filter: EntryFilter, from: number, end: number): void {
  const { bytes } = collector;
  const setEnd = wordEnd(bytes, from, end);
  const start = skipBlanks(bytes, setEnd, end);
  const elementEnd = wordEnd(bytes, start, end);
  const other = filter.set(latin1(bytes, from, setEnd));
  if (other !== undefined) collector.skip(other);
  else if (start === end) collector.reject(from, 'bad-ipset-line', 'add without an element');
  else if (indexIn(bytes, COMMA, start, elementEnd) >= 0) collector.skip('partial');
  else if (elementEnd < end && /(?:^|\s)nomatch(?:\s|$)/.test(latin1(bytes, elementEnd, end)))
    collector.skip('exception');
  else collector.address(bytes, start, elementEnd);
}
