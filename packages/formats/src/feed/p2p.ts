/** PeerGuardian text, `name:first-last` with IPv4 addresses; the name may hold colons and dashes. */

import { parseDottedQuad } from '@rulecast/rules';
import type { Collector } from '../collect/collector.ts';
import { latin1, quoteBytes, skipBlanks } from '../text/bytes.ts';
import { eachLine, trimEnd } from '../text/lines.ts';

/** The name and its colon, the first address and its dash, and the last address. */
const LINE = /^(.*:)[^:]*-([^-]*)$/s;

export function importP2p(collector: Collector, start: number): void {
  const { bytes } = collector;
  eachLine(collector, start, (from, end) => {
    const text = latin1(bytes, from, end);
    const [, name, last = ''] = LINE.exec(text) ?? [];
    if (/^(?:#|\/\/)/.test(text)) collector.skip('comment');
    else if (name === undefined) {
      const reason = `${quoteBytes(bytes, from, end)} is no line of PeerGuardian text: name:192.0.2.1-192.0.2.9`;
      collector.reject(from, 'bad-p2p-line', reason);
    } else {
      const dash = end - last.length - 1;
      const firstAt = skipBlanks(bytes, from + name.length, dash);
      const firstEnd = trimEnd(bytes, firstAt, dash);
      const lastAt = skipBlanks(bytes, dash + 1, end);
      const first = parseDottedQuad(bytes, firstAt, firstEnd);
      const final = parseDottedQuad(bytes, lastAt, end);
      if (first >= 0 && first <= final) collector.ip4Range(first, final, firstAt);
      else collector.range(bytes, firstAt, firstEnd, lastAt, end); // it reports the fault
    }
  });
}
