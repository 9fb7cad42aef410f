/**
 * Formats in which an entry stands between other words, one a line, and a row of a table says where:
 *
 *     ExitAddress 192.0.2.1 2026-11-30 10:05:11     tor: what TorDNSEL tells of exits
 *     http://user@evil.example:8080/a?b             urls: the host, whatever of it is meant
 *     192.0.2.1:443     [2001:db8::1]:443           ip-port: likewise
 */

import type { Collector } from '../collect/collector.ts';
import { HASH, SEMICOLON } from '../text/ascii.ts';
import { latin1, quoteBytes } from '../text/bytes.ts';
import { isAddressLike } from '../text/entry.ts';
import { eachLine } from '../text/lines.ts';

interface WordedFormat {
  /** The entry is the first group that took part. Its place is known: patterns have the flag `d`. */
  readonly entry: RegExp;
  /** Lines with data about entries. */
  readonly metadata?: RegExp;
  /** The form of a line, for people. */
  readonly written: string;
}

/** An IPv6 address or a CIDR, which could be a host with a port or a page. */
const ADDRESS = /^[\da-f.:/]+$/i;

/** A path stands behind a scheme only: `192.0.2.0/24` is no page. */
const HOST: WordedFormat = {
  entry:
    /^(?:[a-z][a-z\d+.-]*:\/\/(?:[^/?#\s\\]*@)?(?:\[([^\]\s]+)\]|([^:/?#\s[\]\\@]+))(?::\d{0,5})?(?:[/?#]\S*)?|(?:\[([^\]\s]+)\]|([^:/?#\s[\]\\@]+))(?::\d{1,5})?)(?:\s+#.*)?$/di,
  written: 'http://evil.example/path or 192.0.2.1:443',
};

const WORDED_FORMATS = {
  tor: {
    entry: /^ExitAddress\s+(\S+)(?:\s+\d{4}-\d\d-\d\d\s+[\d:]+)?$/d,
    metadata: /^(?:ExitNode\s+[\dA-F]{40}|(?:Published|LastStatus)\s+\d{4}-\d\d-\d\d\s+[\d:]+)$/,
    written: 'ExitAddress 192.0.2.1 2026-11-30 10:05:11',
  },
  urls: HOST,
  'ip-port': HOST,
} as const satisfies { readonly [format: string]: WordedFormat };

/** The importer of a format of the table. */
export function worded(name: keyof typeof WORDED_FORMATS): (collector: Collector, start: number) => void {
  const { entry, metadata, written }: WordedFormat = WORDED_FORMATS[name];
  return (collector, start) => {
    const { bytes } = collector;
    eachLine(collector, start, (from, end) => {
      const text = latin1(bytes, from, end);
      const [at, to] =
        entry
          .exec(text)
          ?.indices?.slice(1)
          .find((place) => place !== undefined) ?? [];
      if (bytes[from] === HASH || bytes[from] === SEMICOLON) collector.skip('comment');
      else if (metadata?.test(text) === true) collector.skip('metadata');
      else if (at !== undefined && to !== undefined) importHost(collector, from + at, from + to);
      else if (metadata === undefined && ADDRESS.test(text)) collector.address(bytes, from, end);
      else {
        const reason = `${quoteBytes(bytes, from, end)} is no line of the format ${name}: ${written}`;
        collector.reject(from, 'bad-line', reason);
      }
    });
  };
}

/** A name in such a line is that name, without a mark for names below. */
function importHost(collector: Collector, start: number, end: number): void {
  const { bytes, scope } = collector;
  if (isAddressLike(bytes, start, end)) collector.address(bytes, start, end);
  else collector.name(bytes, start, end, scope);
}
