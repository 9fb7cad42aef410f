/** PeerGuardian text, `name:first-last` with IPv4 addresses; the name may hold colons and dashes. */

import { parseDottedQuad } from '@rulecast/rules';
import type { Collector } from '../collect/collector.ts';
import { lastIndexIn, quoteBytes, skipBlanks } from '../text/bytes.ts';
import { eachLine, trimEnd } from '../text/lines.ts';

const COLON = 0x3a;
const DASH = 0x2d;
const HASH = 0x23;
const SLASH = 0x2f;

export function importP2p(collector: Collector, start: number): void {
  const { bytes } = collector;
  eachLine(collector, start, (from, end) => {
    const isComment = bytes[from] === HASH || (bytes[from] === SLASH && bytes[from + 1] === SLASH);
    if (isComment) collector.skip('comment');
    else importLine(collector, from, end);
  });
}

function importLine(collector: Collector, from: number, end: number): void {
  const { bytes } = collector;
  const dash = lastIndexIn(bytes, DASH, from, end);
  const colon = lastIndexIn(bytes, COLON, from, dash);
  if (colon < 0) {
    const reason = `${quoteBytes(bytes, from, end)} is no line of PeerGuardian text: name:192.0.2.1-192.0.2.9`;
    collector.reject(from, 'bad-p2p-line', reason);
    return;
  }
  const firstStart = skipBlanks(bytes, colon + 1, dash);
  const firstEnd = trimEnd(bytes, firstStart, dash);
  const lastStart = skipBlanks(bytes, dash + 1, end);
  const first = parseDottedQuad(bytes, firstStart, firstEnd);
  const last = parseDottedQuad(bytes, lastStart, end);
  if (first >= 0 && first <= last) collector.ip4Range(first, last, firstStart);
  else collector.range(bytes, firstStart, firstEnd, lastStart, end); // which says what is wrong
}
