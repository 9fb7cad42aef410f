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
import { indexIn, latin1, quoteBytes } from '../text/bytes.ts';
import { eachLine } from '../text/lines.ts';

const BAR = 0x7c;
const COLON = 0x3a;
const HASH = 0x23;
const ZERO = 0x30;

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
  readonly #fields = new Int32Array(FIELD_COUNT + 1); // where each begins; the last is one past the end

  constructor(collector: Collector) {
    this.#collector = collector;
    this.#filter = new EntryFilter(collector.options);
  }

  read(start: number): void {
    const collector = this.#collector;
    eachLine(collector, start, (from, end) => {
      if (collector.bytes[from] === HASH) collector.skip('comment');
      else this.#readLine(from, end);
    });
    for (const { type, declared, line } of this.#stated) {
      const what = type === 'all' ? 'records' : `${type} records`;
      collector.declared.push({ what, declared, held: this.#held[type], line });
    }
  }

  #readLine(from: number, end: number): void {
    const collector = this.#collector;
    const count = this.#split(from, end);
    const type = count < 6 ? undefined : this.#recordType();
    if (type !== undefined && !(this.#is(1, '*') && this.#is(5, 'summary'))) {
      this.#held[type]++;
      this.#held.all++;
      this.#readRecord(type);
    } else if (type !== undefined) this.#state(type, this.#text(4));
    else if (count >= 4 && VERSION.test(this.#text(0))) this.#state('all', this.#text(3));
    else {
      const shown = quoteBytes(collector.bytes, from, end);
      const reason = `${shown} is no record of a registry: registry|country|ipv4 or ipv6 or asn|start|value|date|status`;
      collector.reject(from, 'bad-record', reason);
    }
  }

  #recordType(): RecordType | undefined {
    return TYPES.find((type) => this.#is(2, type));
  }

  #state(type: RecordType | 'all', count: string): void {
    const collector = this.#collector;
    collector.skip('metadata');
    if (/^\d{1,15}$/.test(count)) this.#stated.push({ type, declared: Number(count), line: collector.line });
  }

  #readRecord(type: RecordType): void {
    const collector = this.#collector;
    const fields = this.#fields;
    const { bytes } = collector;
    if (type === 'asn') {
      collector.skip('asn');
      return;
    }
    if (this.#is(6, 'available') || this.#is(6, 'reserved')) {
      collector.skip('unallocated');
      return;
    }
    const other = this.#filter.country(bytes, fields[1]!, fields[2]! - 1);
    if (other !== undefined) collector.skip(other);
    else if (type === 'ipv4') this.#readIp4();
    else this.#readIp6();
  }

  #readIp4(): void {
    const collector = this.#collector;
    const fields = this.#fields;
    const start = fields[3]!; // FIELD_COUNT + 1 fields
    const first = parseDottedQuad(collector.bytes, start, fields[4]! - 1);
    const count = this.#count(4);
    if (first < 0 || count === 0 || first + count > IP4_COUNT_MAX) {
      const shown = quoteBytes(collector.bytes, start, fields[5]! - 1);
      const reason = `${shown} is no IPv4 address with a count of addresses that fits behind it`;
      collector.reject(start, 'bad-record', reason);
    } else collector.ip4Range(first, first + count - 1, start);
  }

  #readIp6(): void {
    const collector = this.#collector;
    const fields = this.#fields;
    const start = fields[3]!; // FIELD_COUNT + 1 fields
    const end = fields[5]! - 1;
    const text = Buffer.from(`${this.#text(3)}/${this.#text(4)}`, 'latin1');
    const isIp6 =
      parsePrefixBytes(text, 0, text.length, scratch) === undefined &&
      indexIn(text, COLON, 0, text.length) >= 0;
    if (isIp6) {
      collector.at = start;
      collector.address(text, 0, text.length);
      return;
    }
    const reason = `${quoteBytes(collector.bytes, start, end)} is no IPv6 address with a prefix length behind it`;
    collector.reject(start, 'bad-record', reason);
  }

  /** Finds the fields of a line; returns how many there are, at most FIELD_COUNT. Missing ones are empty. */
  #split(from: number, end: number): number {
    const fields = this.#fields;
    const { bytes } = this.#collector;
    let count = 0;
    let at = from;
    while (count < FIELD_COUNT && at <= end) {
      fields[count++] = at;
      const bar = indexIn(bytes, BAR, at, end);
      at = (bar < 0 ? end : bar) + 1;
    }
    for (let i = count; i <= FIELD_COUNT; i++) fields[i] = i === count ? at : end + 1;
    return count;
  }

  /** Whether a field is this word; no string is made of it. */
  #is(index: number, word: string): boolean {
    const { bytes } = this.#collector;
    const start = this.#fields[index]!; // index < FIELD_COUNT
    if (this.#fields[index + 1]! - 1 - start !== word.length) return false;
    for (let i = 0; i < word.length; i++) if (bytes[start + i] !== word.charCodeAt(i)) return false;
    return true;
  }

  /** A field that is a number of at most ten digits; 0 if it is none. */
  #count(index: number): number {
    const { bytes } = this.#collector;
    const start = this.#fields[index]!; // index < FIELD_COUNT
    const end = this.#fields[index + 1]! - 1;
    if (end <= start || end - start > 10) return 0;
    let value = 0;
    for (let at = start; at < end; at++) {
      const digit = bytes[at]! - ZERO; // at < end <= length
      if (digit < 0 || digit > 9) return 0;
      value = value * 10 + digit;
    }
    return value;
  }

  #text(index: number): string {
    const start = this.#fields[index]!; // index < FIELD_COUNT
    return latin1(this.#collector.bytes, start, Math.max(start, this.#fields[index + 1]! - 1));
  }
}
