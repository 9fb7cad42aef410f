/**
 * dnsmasq configurations (dnsmasq(8)) that block names:
 *
 *     server=/name/[name/]…        no server is asked: the name is unknown       local= means the same
 *     address=/name/[name/]…[null] the name has no address, or that of nowhere   null = 0.0.0.0, ::, 127.0.0.1, ::1 or #
 *
 * A name with another server or address is sent there; `server=/name/#` is an exception. Names mean all below
 * them as well, and `*.name` that alone.
 */

import { KeyByte } from '@rulecast/rules';
import type { Collector } from '../collect/collector.ts';
import { DOT, EQUALS, HASH, SLASH, STAR } from '../text/ascii.ts';
import { indexIn, latin1, quoteBytes, skipBlanks } from '../text/bytes.ts';
import { eachLine, trimEnd } from '../text/lines.ts';

const SETTING = /^[a-z][a-z0-9-]*$/;
const NULL_ADDRESSES: ReadonlySet<string> = new Set(['', '#', '0.0.0.0', '::', '127.0.0.1', '::1']);

export function importDnsmasq(collector: Collector, start: number): void {
  eachLine(collector, start, (from, end) => {
    if (collector.bytes[from] === HASH) collector.skip('comment');
    else importSetting(collector, from, end);
  });
}

function importSetting(collector: Collector, from: number, lineEnd: number): void {
  const { bytes } = collector;
  const equals = indexIn(bytes, EQUALS, from, lineEnd);
  const key = latin1(bytes, from, trimEnd(bytes, from, equals < 0 ? lineEnd : equals));
  if (!SETTING.test(key)) {
    const shown = quoteBytes(bytes, from, lineEnd);
    collector.reject(from, 'bad-dnsmasq-line', `${shown} is no setting of dnsmasq: write server=/name/`);
    return;
  }
  const blocks = key === 'address' ? 'address' : key === 'server' || key === 'local' ? 'server' : undefined;
  const at = equals < 0 ? lineEnd : skipBlanks(bytes, equals + 1, lineEnd);
  if (blocks === undefined || bytes[at] !== SLASH) {
    collector.skip('directive');
    return;
  }
  const hash = indexIn(bytes, HASH, at, lineEnd);
  const isNote = hash > 0 && bytes[hash - 1] !== SLASH; // a # after a blank starts a comment
  importNames(collector, blocks, at + 1, isNote ? trimEnd(bytes, at, hash) : lineEnd);
}

/** Names with a slash behind each, then what they are given. */
function importNames(collector: Collector, setting: 'server' | 'address', start: number, end: number): void {
  const { bytes } = collector;
  const last = bytes.lastIndexOf(SLASH, end - 1);
  if (last < start) {
    collector.reject(start, 'bad-dnsmasq-line', 'no slash behind the name: write server=/name/');
    return;
  }
  const target = latin1(bytes, last + 1, end);
  if (setting === 'server' && target === '#') collector.skip('exception');
  else if (setting === 'server' ? target !== '' : !NULL_ADDRESSES.has(target)) collector.skip('redirect');
  else {
    for (let at = start; at <= last; ) {
      const nameEnd = indexIn(bytes, SLASH, at, last + 1);
      importName(collector, at, nameEnd);
      at = nameEnd + 1;
    }
  }
}

function importName(collector: Collector, start: number, end: number): void {
  const { bytes } = collector;
  if (start === end || bytes[start] === HASH)
    collector.skip('directive'); // names without a dot; all names
  else if (bytes[start] !== STAR)
    collector.name(bytes, bytes[start] === DOT ? start + 1 : start, end, KeyByte.both);
  else if (bytes[start + 1] === DOT) collector.name(bytes, start + 2, end, KeyByte.below);
  else collector.skip('pattern');
}
