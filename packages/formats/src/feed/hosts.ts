/**
 * Hosts files (hosts(5)) that block names by giving them an address of nowhere:
 *
 *     line = address blanks name [blanks name]… [# comment]
 *
 * Names with an address of somewhere are sent there and not blocked, so they are skipped, as are those of the
 * machine itself.
 */

import { newPrefixScratch, parsePrefixBytes } from '@rulecast/rules';
import type { Collector } from '../collect/collector.ts';
import { indexIn, latin1, quoteBytes, skipBlanks } from '../text/bytes.ts';
import { eachLine, trimEnd, wordEnd } from '../text/lines.ts';

const HASH = 0x23;
const PERCENT = 0x25;

/**
 * Names that hosts files give to the machine itself and to groups of its link, and the address that some
 * write as a name.
 */
const LOCAL_NAMES: ReadonlySet<string> = new Set([
  'localhost',
  'localhost.localdomain',
  'localhost4',
  'localhost6',
  'local',
  'broadcasthost',
  'loopback',
  'ip6-localhost',
  'ip6-loopback',
  'ip6-localnet',
  'ip6-mcastprefix',
  'ip6-allnodes',
  'ip6-allrouters',
  'ip6-allhosts',
  '0.0.0.0',
]);
const LOCAL_NAME_MAX_BYTES = 21; // of localhost.localdomain

const scratch = newPrefixScratch();

export function importHosts(collector: Collector, start: number): void {
  eachLine(collector, start, (from, end) => {
    if (collector.bytes[from] === HASH) collector.skip('comment');
    else if (!importHostsLine(collector, from, end)) refuseLine(collector, from, end);
  });
}

/**
 * Uses one line; false, having done nothing, if it does not start with an address and a name. A line of one
 * name is taken too.
 */
export function importHostsLine(collector: Collector, from: number, lineEnd: number): boolean {
  const { bytes } = collector;
  const hash = indexIn(bytes, HASH, from, lineEnd);
  const end = hash < 0 ? lineEnd : trimEnd(bytes, from, hash);
  const addressEnd = wordEnd(bytes, from, end);
  const zone = indexIn(bytes, PERCENT, from, addressEnd);
  const isAddress = parsePrefixBytes(bytes, from, zone < 0 ? addressEnd : zone, scratch) === undefined;
  if (addressEnd === end) {
    if (isAddress) return false;
    collector.name(bytes, from, end, collector.scope);
    return true;
  }
  if (!isAddress) return false;
  const isNowhere = isNullAddress();
  for (let at = skipBlanks(bytes, addressEnd, end); at < end; ) {
    const nameEnd = wordEnd(bytes, at, end);
    if (isLocalName(bytes, at, nameEnd)) collector.skip('local-name');
    else if (isNowhere) collector.name(bytes, at, nameEnd);
    else collector.skip('redirect');
    at = skipBlanks(bytes, nameEnd, end);
  }
  return true;
}

function refuseLine(collector: Collector, from: number, end: number): void {
  const shown = quoteBytes(collector.bytes, from, end);
  const reason = `${shown} is no line of a hosts file: write 0.0.0.0 and a name`;
  collector.reject(from, 'bad-hosts-line', reason);
}

/**
 * Whether the address in `scratch` leads nowhere or to the machine itself: 0.0.0.0/8, 127.0.0.0/8, ::, ::1,
 * 255.255.255.255.
 */
function isNullAddress(): boolean {
  const { words } = scratch;
  const first = words[0]!; // always four words
  if (scratch.family === 4) return first >>> 24 === 0 || first >>> 24 === 127 || first === 0xffffffff;
  return first === 0 && words[1] === 0 && words[2] === 0 && words[3]! <= 1; // likewise
}

function isLocalName(bytes: Uint8Array, start: number, end: number): boolean {
  return end - start <= LOCAL_NAME_MAX_BYTES && LOCAL_NAMES.has(latin1(bytes, start, end).toLowerCase());
}
