/** Reads entries, addresses, CIDRs and ranges, in any format, into the columns of a list. */

import {
  canonicalPrefixes,
  formatPrefix,
  newPrefixScratch,
  type Prefix,
  PrefixBuilder,
  type PrefixSet,
  parsePrefixBytes,
  prefixOf,
} from '@rulecast/rules';
import { indexIn, quoteBytes, skipBlanks } from './bytes.ts';
import {
  type EntryFault,
  EntryFaultCode,
  type HostBits,
  hostBitsFault,
  isShortPrefix,
  prefixFault,
  readIp4,
  SHORT_LENGTHS,
  type ShortLengths,
  type TokenEnd,
} from './entry.ts';
import { ip4BlockLength, ip4BlockSize, type PrefixSink, splitRange } from './range.ts';

const DASH = 0x2d;
const SLASH = 0x2f;

export interface EntryReaderOptions {
  /** Default `reject`. */
  readonly hostBits?: HostBits | undefined;
  /** Whether `canonical` will be called. */
  readonly keepsPieces?: boolean;
  /** The number of IPv4 prefixes to make room for. */
  readonly expected?: number;
  /** Shorter prefixes are `short`. */
  readonly shortLengths?: ShortLengths | undefined;
}

/** Reads address entries and keeps their prefixes; make one per list. */
export class EntryReader {
  /** The end of the entry read last. */
  end = 0;
  /** That entry in normal form, if it was a CIDR and is so short that few mean it. */
  short: string | undefined;
  readonly shortLengths: ShortLengths;
  /** The prefixes read. Only the tight loops of plain lists push here themselves. */
  readonly v4: PrefixBuilder;
  readonly v6 = new PrefixBuilder(6);
  readonly #first = newPrefixScratch();
  readonly #last = newPrefixScratch();
  readonly #masksHostBits: boolean;
  #pieces: Prefix[] | undefined; // of the present entry, if there is a listener

  constructor(options: EntryReaderOptions = {}) {
    const { hostBits = 'reject', keepsPieces = false, expected, shortLengths = SHORT_LENGTHS } = options;
    this.shortLengths = shortLengths;
    this.#masksHostBits = hostBits === 'mask';
    this.#pieces = keepsPieces ? [] : undefined;
    this.v4 = new PrefixBuilder(4, expected);
  }

  /** The number of prefixes kept. */
  get count(): number {
    return this.v4.count + this.v6.count;
  }

  /** The prefixes kept, canonical. */
  prefixes(): PrefixSet {
    return { v4: canonicalPrefixes(this.v4.build()), v6: canonicalPrefixes(this.v6.build()) };
  }

  /** The prefixes of the entry that was read last, separated by spaces. */
  canonical(): string {
    return (this.#pieces ?? []).map(formatPrefix).join(' ');
  }

  /**
   * Reads the entry that starts at `start` and ends at `limit` or at `tokenEnd`. Keeps nothing of a faulty
   * one.
   */
  read(bytes: Uint8Array, start: number, limit: number, tokenEnd: TokenEnd): EntryFault | undefined {
    return this.#read(bytes, start, limit, tokenEnd, this.#keep);
  }

  /** The fault of an entry; keeps nothing. */
  check(bytes: Uint8Array, start: number, limit: number, tokenEnd: TokenEnd): EntryFault | undefined {
    return this.#read(bytes, start, limit, tokenEnd, keepNothing);
  }

  /**
   * Reads bytes[start, end) if it is one address or CIDR without peculiarities, as nearly all entries are.
   * Returns false and keeps nothing for any other, which is for `read`.
   */
  readWhole(bytes: Uint8Array, start: number, end: number): boolean {
    const first = this.#first;
    if (!readIp4(bytes, start, end, first) && parsePrefixBytes(bytes, start, end, first) !== undefined)
      return false;
    const { family, words, length, hasHostBits } = first;
    if (hasHostBits || isShortPrefix(family, words, length, this.shortLengths)) return false;
    if (family === 4)
      this.v4.push4(words[0]!, length); // always four words
    else this.v6.push(words, 0, length);
    return true;
  }

  /** Reads a range whose ends are in two fields. Keeps nothing of a faulty one. */
  readEnds(
    bytes: Uint8Array,
    start: number,
    end: number,
    lastStart: number,
    lastEnd: number,
  ): EntryFault | undefined {
    this.#begin();
    const fault = parsePrefixBytes(bytes, start, end, this.#first);
    if (fault !== undefined) return prefixFault(bytes, start, end, fault);
    const hasSlash = (from: number, to: number): boolean => indexIn(bytes, SLASH, from, to) >= 0;
    if (hasSlash(start, end)) return slashFault(bytes, start, end);
    if (hasSlash(lastStart, lastEnd)) return slashFault(bytes, lastStart, lastEnd);
    return this.#readLast(bytes, start, lastStart, lastEnd, this.#keep);
  }

  /** Keeps the IPv4 addresses from `first` to `last`, which is not below it. */
  keepIp4Range(first: number, last: number): void {
    this.#begin();
    for (let from = first; from <= last; ) {
      const length = ip4BlockLength(from, last);
      this.v4.push4(from, length);
      this.#pieces?.push(prefixOf(4, [from], length));
      from += ip4BlockSize(length);
    }
  }

  #begin(): void {
    this.short = undefined;
    if (this.#pieces !== undefined) this.#pieces = [];
  }

  readonly #keep: PrefixSink = (family, words, length) => {
    (family === 4 ? this.v4 : this.v6).push(words, 0, length);
    this.#pieces?.push(prefixOf(family, words, length));
  };

  #read(
    bytes: Uint8Array,
    start: number,
    limit: number,
    tokenEnd: TokenEnd,
    emit: PrefixSink,
  ): EntryFault | undefined {
    this.#begin();
    const end = tokenEnd(bytes, start, limit, true);
    const fault = parsePrefixBytes(bytes, start, end, this.#first);
    const dash = skipBlanks(bytes, end, limit);
    this.end = end;
    if (fault !== undefined) return prefixFault(bytes, start, end, fault);
    if (dash < limit && bytes[dash] === DASH)
      return this.#readRange(bytes, start, dash, limit, tokenEnd, emit);
    if (this.#first.hasHostBits && !this.#masksHostBits) return hostBitsFault(bytes, start, end);
    const { family, words, length } = this.#first;
    if (isShortPrefix(family, words, length, this.shortLengths))
      this.short = formatPrefix(prefixOf(family, words, length));
    emit(family, words, length);
    return undefined;
  }

  #readRange(
    bytes: Uint8Array,
    start: number,
    dash: number,
    limit: number,
    tokenEnd: TokenEnd,
    emit: PrefixSink,
  ): EntryFault | undefined {
    const lastStart = skipBlanks(bytes, dash + 1, limit);
    const end = tokenEnd(bytes, lastStart, limit, true);
    this.end = end;
    if (indexIn(bytes, SLASH, start, end) >= 0) return slashFault(bytes, start, end);
    const more = skipBlanks(bytes, end, limit);
    const third = more < limit && bytes[more] === DASH ? skipBlanks(bytes, more + 1, limit) : limit;
    const thirdEnd = tokenEnd(bytes, third, limit, true);
    if (third < limit && parsePrefixBytes(bytes, third, thirdEnd, this.#last) === undefined) {
      const reason = `${quoteBytes(bytes, third, thirdEnd)} is a third end of the range: write one range a line`;
      return { code: EntryFaultCode.range, at: third, reason };
    }
    return this.#readLast(bytes, start, lastStart, end, emit);
  }

  /** Reads the end of a range whose start is in `first`; `start` is where the range begins. */
  #readLast(
    bytes: Uint8Array,
    start: number,
    lastStart: number,
    end: number,
    emit: PrefixSink,
  ): EntryFault | undefined {
    const first = this.#first;
    const last = this.#last;
    if (parsePrefixBytes(bytes, lastStart, end, last) !== undefined) {
      const reason = `${quoteBytes(bytes, lastStart, end)} does not end the range: write both ends whole, as 192.0.2.1-192.0.2.9`;
      return { code: EntryFaultCode.range, at: lastStart, reason };
    }
    if (first.family !== last.family) {
      const reason = `${quoteBytes(bytes, start, end)}: one end of the range is IPv4, the other IPv6`;
      return { code: EntryFaultCode.mixed, at: start, reason };
    }
    if (first.family === 6 && holdsMappedBlock(first.words, last.words)) {
      const reason = `${quoteBytes(bytes, start, end)} runs over ::ffff:0:0/96, which means all of IPv4: write what is below and above it as two ranges`;
      return { code: EntryFaultCode.mappedRange, at: start, reason };
    }
    if (splitRange(first.family, first.words, last.words, emit)) return undefined;
    const reason = `${quoteBytes(bytes, start, end)} ends before it starts: swap its ends if that is what is meant`;
    return { code: EntryFaultCode.reversed, at: start, reason };
  }
}

function keepNothing(): void {}

function slashFault(bytes: Uint8Array, start: number, end: number): EntryFault {
  const reason = `${quoteBytes(bytes, start, end)}: the ends of a range are addresses, without a prefix length`;
  return { code: EntryFaultCode.range, at: start, reason };
}

/** Whether ::ffff:0:0/96 would be one of the prefixes of an IPv6 range. */
function holdsMappedBlock(first: Uint32Array, last: Uint32Array): boolean {
  if (first[0] !== 0 || first[1] !== 0 || first[2]! > 0xffff) return false; // four words
  let found = false;
  splitRange(6, first, last, (_family, words, length) => {
    if (length === 96 && words[0] === 0 && words[1] === 0 && words[2] === 0xffff) found = true;
  });
  return found;
}
