/**
 * Counts that lists state in the comments at their head, so that half a download is noticed:
 *
 *     # Entries         : 3 subnets, 768 unique IPs     FireHOL
 *     # Domain count: 42,531                            many others, in words like these
 */

import type { List } from '@rulecast/rules';
import { latin1, lineEndAt, nextLineAt, skipBlanks } from '../text/bytes.ts';
import type { Collector } from './collector.ts';
import type { ListFormatName } from './format.ts';

/** The number of lines in which a header is searched for. */
const HEADER_MAX_LINES = 100;
const LINE_MAX_BYTES = 200;
const COMMENT = /^[#!;]/;
const FIREHOL = /^#\s*Entries\s*:\s*(?:(\d+) subnets, )?(\d+) unique IPs\s*$/;
const COUNT =
  /^[#!;]+\s*(?:number of |total )?(?:unique )?(entries|domains|domain count|hosts|ips|rules)\s*:\s*(\d{1,3}(?:,\d{3})+|\d+)\s*$/i;
/** Formats whose comments may declare counts. */
const FORMATS: ReadonlySet<ListFormatName> = new Set([
  'plain',
  'netset',
  'scored',
  'hosts',
  'adblock',
  'dnsmasq',
]);

/** Adds what the head of a file states to the collector, which has read the file. */
export function readDeclared(collector: Collector, list: List, format: ListFormatName): void {
  if (!FORMATS.has(format) || collector.fault !== undefined) return;
  const { bytes } = collector;
  let at = bytes[0] === 0xef ? 3 : 0;
  for (let line = 1; at < bytes.length && line <= HEADER_MAX_LINES; line++) {
    const end = lineEndAt(bytes, at);
    const from = skipBlanks(bytes, at, end);
    const text = latin1(bytes, from, Math.min(end, from + LINE_MAX_BYTES));
    if (text !== '' && !COMMENT.test(text)) return;
    readLine(collector, list, text, line);
    at = nextLineAt(bytes, end);
  }
}

function readLine(collector: Collector, list: List, text: string, line: number): void {
  const firehol = FIREHOL.exec(text);
  if (firehol !== null) {
    const [, subnets, addresses] = firehol;
    if (subnets !== undefined) {
      const held = collector.entries + collector.rejects.count;
      collector.declared.push({ what: 'subnets', declared: Number(subnets), held, line });
    }
    const held = addressCount(list);
    collector.declared.push({ what: 'unique addresses', declared: Number(addresses), held, line });
    return;
  }
  const [, what, count] = COUNT.exec(text) ?? [];
  if (what === undefined || count === undefined) return;
  const declared = Number(count.replaceAll(',', ''));
  const held = collector.entries + collector.rejects.count + skippedEntries(collector);
  collector.declared.push({
    what: what.toLowerCase().replace('domain count', 'domains'),
    declared,
    held,
    line,
  });
}

/** Lines that were skipped and are no comments. */
function skippedEntries(collector: Collector): number {
  return collector
    .skipped()
    .filter(({ code }) => code !== 'comment' && code !== 'metadata')
    .reduce((sum, { count }) => sum + count, 0);
}

/** The number of IPv4 addresses in a list. */
function addressCount(list: List): number {
  if (list.kind === 'names') return 0;
  let count = 0;
  for (const length of list.v4.lengths) count += 2 ** (32 - length);
  return count;
}
