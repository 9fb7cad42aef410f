/**
 * Entries anywhere in a text, found as an option says: `pattern` by a pattern, `all-addresses` every address,
 * CIDR and range. The rest is counted: lines without a find, and other addresses.
 */

import type { Collector } from '../collect/collector.ts';
import { importJson, place } from '../json/values.ts';
import { latin1, quoteBytes } from '../text/bytes.ts';
import { eachLine } from '../text/lines.ts';
import { addressesIn, type Finder, type TextPlace } from '../text/within.ts';

/** The start of a comment. */
const COMMENT = /(?:^|\s)(?:#|;|\/\/)/;

/** Uses the finds of a pattern in each line. */
export function importFound(collector: Collector, start: number, find: Finder): void {
  const { bytes } = collector;
  eachLine(collector, start, (from, end) => {
    const text = latin1(bytes, from, end);
    if (COMMENT.exec(text)?.index === 0) {
      collector.skip('comment');
      return;
    }
    const found = find(text);
    if (found.length === 0) collector.skip('other-line');
    for (const [at, to] of found) collector.entry(bytes, from + at, from + to);
    let next = 0;
    for (const address of addressesIn(text)) {
      while ((found[next]?.[1] ?? address.end) < address.end) next++;
      if ((found[next]?.[0] ?? text.length) > address.start) collector.skip('other-column');
    }
  });
}

/** Uses each address in the lines of a file, except in comments. */
export function importAddresses(collector: Collector, start: number): void {
  eachLine(collector, start, (from, end) => {
    const text = latin1(collector.bytes, from, end);
    const comment = COMMENT.exec(text)?.index ?? text.length;
    if (comment === 0) collector.skip('comment');
    else if (!useAddresses(collector, { text: collector.bytes, start: from, end }, from + comment))
      collector.skip('other-line');
  });
}

/** Uses each address in the strings and keys of a JSON file. */
export function importJsonAddresses(collector: Collector, start: number): void {
  importJson(collector, start, 'sequence', (source) => {
    const { tape } = source;
    for (let value = 0; value < tape.count && !collector.isFull; value++) {
      if (tape.kind(value) !== 'string') continue;
      place(source, value);
      useAddresses(collector, tape.text(value), Number.POSITIVE_INFINITY);
    }
  });
}

/** Uses the addresses before `limit`; returns whether there are any. */
function useAddresses(collector: Collector, { text, start, end }: TextPlace, limit: number): boolean {
  let hasAny = false;
  for (const address of addressesIn(latin1(text, start, end))) {
    const [from, to] = [start + address.start, start + address.end];
    hasAny = true;
    if (from >= limit) collector.skip('other-column');
    else if (address.role === 'excepted') collector.skip('exception');
    else if (address.role === 'entry') collector.address(text, from, to);
    else {
      const reason = `${quoteBytes(text, from, to)} is the mask of the address before it: write CIDRs`;
      collector.refuse(text, { code: 'mask', at: from, reason });
    }
  }
  return hasAny;
}
