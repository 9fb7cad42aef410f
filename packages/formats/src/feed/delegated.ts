/**
 * Delegated statistics of the regional registries ("RIR statistics exchange format", version 2 and its
 * extended form):
 *
 *     2|afrinic|20140630|4024|…                           version line: how many records follow
 *     afrinic|*|ipv4|*|2500|summary                       how many of one type
 *     afrinic|ZA|ipv4|196.4.9.0|256|19930101|allocated    IPv4: the value is a count of addresses, not a length
 *     afrinic|ZA|ipv6|2001:4200::|32|20020531|allocated   IPv6: the value is a prefix length
 */

import { newPrefixScratch, parseDottedQuad, parsePrefixBytes } from '@rulecast/rules';
import type { Collector } from '../collect/collector.ts';
import { EntryFilter } from '../collect/filter.ts';
import { latin1, quoteBytes } from '../text/bytes.ts';
import { eachLine } from '../text/lines.ts';

const FIELD_COUNT = 7;
const VERSION = /^\d+(?:\.\d+)?$/;
const TYPES = ['asn', 'ipv4', 'ipv6'] as const;
type RecordType = (typeof TYPES)[number];
const IP4_COUNT_MAX = 2 ** 32;

const scratch = newPrefixScratch();

export function importDelegated(collector: Collector, start: number): void {
  new DelegatedReader(collector).read(start);
}

class DelegatedReader {
  readonly #collector: Collector;
  readonly #filter: EntryFilter;
  readonly #stated: { type: RecordType | 'all'; declared: number; line: number }[] = [];
  readonly #held = { asn: 0, ipv4: 0, ipv6: 0, all: 0 };

  constructor(collector: Collector) {
    this.#collector = collector;
    this.#filter = new EntryFilter(collector.options);
  }

  read(start: number): void {
    const collector = this.#collector;
    const { bytes } = collector;
    eachLine(collector, start, (from, end) => {
      const text = latin1(bytes, from, end);
      if (text.startsWith('#')) collector.skip('comment');
      else if (!this.#readLine(from, text.split('|', FIELD_COUNT))) {
        const shown = quoteBytes(bytes, from, end);
        const reason = `${shown} is no record of a registry: registry|country|ipv4 or ipv6 or asn|start|value|date|status`;
        collector.reject(from, 'bad-record', reason);
      }
    });
    for (const { type, declared, line } of this.#stated) {
      const what = type === 'all' ? 'records' : `${type} records`;
      collector.declared.push({ what, declared, held: this.#held[type], line });
    }
  }

  /** Reads the fields of a line that starts at `from`; false if they are none of a registry. */
  #readLine(from: number, fields: readonly string[]): boolean {
    const [registry = '', country = '', typeText = '', start = '', value = '', date = ''] = fields;
    const type = fields.length < 6 ? undefined : TYPES.find((known) => known === typeText);
    if (type === undefined) {
      if (fields.length < 4 || !VERSION.test(registry)) return false;
      this.#state('all', start);
    } else if (country === '*' && date === 'summary') this.#state(type, value);
    else {
      this.#held[type]++;
      this.#held.all++;
      this.#readRecord(type, from, fields);
    }
    return true;
  }

  #state(type: RecordType | 'all', count: string): void {
    const collector = this.#collector;
    collector.skip('metadata');
    if (/^\d{1,15}$/.test(count)) this.#stated.push({ type, declared: Number(count), line: collector.line });
  }

  #readRecord(type: RecordType, from: number, fields: readonly string[]): void {
    const collector = this.#collector;
    const { bytes } = collector;
    const [registry = '', country = '', , start = '', value = '', , status] = fields;
    const at = from + registry.length + 1 + country.length + 1 + type.length + 1;
    if (type === 'asn') collector.skip('asn');
    else if (status === 'available' || status === 'reserved') collector.skip('unallocated');
    else if (!this.#filter.takes('country', [country])) collector.skip('other-country');
    else if (!(type === 'ipv4' ? this.#useIp4(at, start, value) : this.#useIp6(at, start, value))) {
      const shown = quoteBytes(bytes, at, at + start.length + 1 + value.length);
      const what =
        type === 'ipv4'
          ? 'IPv4 address with a count of addresses that fits behind it'
          : 'IPv6 address with a prefix length behind it';
      collector.reject(at, 'bad-record', `${shown} is no ${what}`);
    }
  }

  #useIp4(at: number, start: string, value: string): boolean {
    const first = parseDottedQuad(this.#collector.bytes, at, at + start.length);
    const count = /^\d{1,10}$/.test(value) ? Number(value) : 0;
    if (first < 0 || count === 0 || first + count > IP4_COUNT_MAX) return false;
    this.#collector.ip4Range(first, first + count - 1, at);
    return true;
  }

  #useIp6(at: number, start: string, value: string): boolean {
    const text = Buffer.from(`${start}/${value}`, 'latin1');
    if (!start.includes(':') || parsePrefixBytes(text, 0, text.length, scratch) !== undefined) return false;
    this.#collector.at = at;
    this.#collector.address(text, 0, text.length);
    return true;
  }
}
