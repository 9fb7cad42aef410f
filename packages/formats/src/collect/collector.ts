/**
 * What the importers of all formats give their entries to: it reads addresses, ranges and names, decides the kind of the list,
 * applies the filters, keeps rejects and counts what is skipped.
 *
 * An importer says where it is (`line`, `lineStart`, and `at` where the text of a value is not that of the file) and
 * hands over bytes; nothing here makes a string for each address.
 */

import {
  aggregatePrefixes,
  canonicalPrefixes,
  formatPrefix,
  type List,
  nameListOf,
  newPrefixScratch,
  type Prefix,
  PrefixBuilder,
  type PrefixScratch,
  parsePrefixBytes,
  prefixOf,
} from '@rulecast/rules';
import type { ListText } from '../lines/list.ts';
import { asBuffer, ColumnCounter, quoteBytes } from '../text/bytes.ts';
import {
  bareTokenEnd,
  type EntryFault,
  EntryFaultCode,
  EntryReader,
  isAddressLike,
  isShortPrefix,
  readIp4,
  readName,
  type ShortPrefixes,
  withShort,
} from '../text/entry.ts';
import { type FormatLimits, withLimits } from '../text/limits.ts';
import { ip4BlockLength, ip4BlockSize, type PrefixSink } from '../text/range.ts';
import { type Reject, RejectLog, TextFault } from '../text/reject.ts';
import type { DeclaredCount, ImportOptions, SkipCode, Skipped } from './options.ts';

interface SkipCount {
  count: number;
  readonly line: number;
}

export class Collector {
  readonly bytes: Uint8Array;
  readonly options: ImportOptions;
  readonly limits: FormatLimits;
  /** Whether a NUL byte is anywhere, which makes its line unreadable; most files have none, and need no look at each line. */
  readonly hasNul: boolean;
  readonly rejects: RejectLog;
  /** Of the line or value at hand. */
  line = 0;
  lineStart = 0;
  /** Where a value stands whose text is not that of the file. */
  at = 0;
  /** How many entries were used. */
  entries = 0;
  /** What makes the file unusable as a whole; it is one of the rejects. */
  fault: Reject | undefined;
  /** What the file states of itself. */
  readonly declared: DeclaredCount[] = [];
  /** What shows, beside the declared counts, that the file is not whole. */
  truncated: string | undefined;
  /** Prefixes that hold more of the Internet than one usually means. */
  short: ShortPrefixes | undefined;
  private readonly v4: PrefixBuilder;
  private readonly v6 = new PrefixBuilder(6);
  private readonly names: string[] = [];
  private readonly columns: ColumnCounter;
  private readonly reader: EntryReader;
  private readonly scratch: PrefixScratch = newPrefixScratch();
  private readonly skips = new Map<SkipCode, SkipCount>();
  private hasTooMany = false;
  private decidedKind: List['kind'] | undefined;
  private adopted: List | undefined;
  private kindLine = 0; // the line that decided the kind; 0: the caller or the format did
  private pieces: Prefix[] = []; // of the entry at hand, if somebody listens

  constructor(bytes: Uint8Array, options: ImportOptions, kind: List['kind'] | undefined) {
    this.bytes = asBuffer(bytes);
    this.hasNul = asBuffer(bytes).includes(0);
    this.options = options;
    this.reader = new EntryReader(options.hostBits);
    this.limits = withLimits(options.limits);
    this.decidedKind = kind;
    this.columns = new ColumnCounter(this.bytes);
    this.rejects = new RejectLog(this.limits.rejectsKept, options.onReject);
    this.v4 = new PrefixBuilder(4, Math.min(1 << 20, (bytes.length >> 4) + 1));
  }

  /** What the list holds; undefined as long as nothing decided it. */
  get kind(): List['kind'] | undefined {
    return this.decidedKind;
  }

  /** Whether the limit of entries is passed, or that of rejects is reached: the importer stops. */
  get isFull(): boolean {
    return this.hasTooMany || this.rejects.count >= this.limits.rejects;
  }

  /** Whether addresses may be used without a look at the kind: they decided it, or nothing did yet. */
  get holdsPrefixes(): boolean {
    return this.kind !== 'names';
  }

  beginLine(lineStart: number): void {
    this.line++;
    this.lineStart = lineStart;
  }

  /** Reads text[start, end) as an address, CIDR or range, and uses it; false if it is rejected. */
  address(text: Uint8Array, start: number, end: number): boolean {
    if (this.kind === 'names') return this.refuseKind(EntryFaultCode.address, text, start, end);
    if (this.options.onEntry === undefined) {
      // Nearly all entries are one address or CIDR; what is not, or is one to look at, falls through to the careful reader.
      const { scratch } = this;
      const isRead = readIp4(text, start, end, scratch) || !parsePrefixBytes(text, start, end, scratch);
      if (isRead && !scratch.hasHostBits && !isShortPrefix(scratch.family, scratch.words, scratch.length)) {
        if (scratch.family === 4) this.v4.push4(scratch.words[0]!, scratch.length);
        else this.v6.push(scratch.words, 0, scratch.length);
        this.decide('prefixes');
        this.entries++;
        this.checkFull();
        return true;
      }
    } else this.pieces = [];
    const { reader } = this;
    const fault = reader.read(text, start, end, bareTokenEnd, this.take);
    if (fault !== undefined) return this.refuse(text, fault);
    if (reader.short !== undefined) this.short = withShort(this.short, reader.short, this.line);
    this.decide('prefixes');
    return this.used(text, start);
  }

  /** Uses the range between two addresses; false if it is rejected. */
  range(text: Uint8Array, start: number, end: number, lastStart: number, lastEnd: number): boolean {
    if (this.kind === 'names') return this.refuseKind(EntryFaultCode.address, text, start, end);
    if (this.options.onEntry !== undefined) this.pieces = [];
    const fault = this.reader.readEnds(text, start, end, lastStart, lastEnd, this.take);
    if (fault !== undefined) return this.refuse(text, fault);
    this.decide('prefixes');
    return this.used(text, start);
  }

  /** Uses the IPv4 addresses `first` to `last`; the caller knows that they are a range. */
  ip4Range(first: number, last: number, at: number): boolean {
    if (this.options.onEntry !== undefined) this.pieces = [];
    for (let from = first; from <= last; ) {
      const length = ip4BlockLength(from, last);
      this.v4.push4(from, length);
      if (this.options.onEntry !== undefined) this.pieces.push(prefixOf(4, [from], length));
      from += ip4BlockSize(length);
    }
    this.decide('prefixes');
    return this.used(this.bytes, at);
  }

  /** Reads text[start, end) as a host name, and uses it; false if it is rejected. */
  name(text: Uint8Array, start: number, end: number): boolean {
    if (isAddressLike(text, start, end)) {
      const ignored: PrefixSink = () => {};
      const fault = this.reader.read(text, start, end, bareTokenEnd, ignored);
      return fault === undefined
        ? this.refuseKind(EntryFaultCode.address, text, start, end)
        : this.refuse(text, fault);
    }
    const name = readName(text, start, end);
    if (typeof name !== 'string') return this.refuse(text, name);
    if (this.kind === 'prefixes') return this.refuseKind(EntryFaultCode.name, text, start, end);
    this.names.push(name);
    this.decide('names');
    return this.used(text, start);
  }

  /** Reads text[start, end) as what the list holds. */
  entry(text: Uint8Array, start: number, end: number): boolean {
    return isAddressLike(text, start, end) ? this.address(text, start, end) : this.name(text, start, end);
  }

  /** Counts something that is knowingly not used, in the line at hand or another one. */
  skip(code: SkipCode, line = this.line): void {
    const known = this.skips.get(code);
    if (known === undefined) this.skips.set(code, { count: 1, line });
    else known.count++;
  }

  private skipMany(code: SkipCode, count: number, line: number): void {
    if (count > 0) this.skips.set(code, { count, line });
  }

  /** Rejects what stands at byte `at` of the file. Returns false, for the reader to pass on. */
  reject(at: number, code: string, reason: string): false {
    this.rejects.add({ line: this.line, column: this.columns.columnAt(this.lineStart, at), code, reason });
    return false;
  }

  /** Rejects the file as a whole. */
  refuseFile(reject: Reject): void {
    this.fault ??= reject;
    this.rejects.add(reject);
  }

  skipped(): readonly Skipped[] {
    return Array.from(this.skips, ([code, { count, line }]) => ({ code, count, line }));
  }

  skipCount(code: SkipCode): number {
    return this.skips.get(code)?.count ?? 0;
  }

  /** Takes what another reader made of the file; its rejects came here already. */
  adopt(read: ListText): void {
    this.adopted = read.list;
    this.decidedKind = read.kind;
    this.entries = read.entries;
    this.line = read.lineCount;
    this.short = read.short;
    this.skipMany('comment', read.commentCount, read.commentLine);
  }

  /** What was collected, canonical. */
  list(): List {
    const { options } = this;
    const list = this.adopted ?? this.collected();
    if (options.aggregate !== true || list.kind === 'names') return list;
    return { kind: 'prefixes', v4: aggregatePrefixes(list.v4), v6: aggregatePrefixes(list.v6) };
  }

  private collected(): List {
    if (this.kind === 'names') return nameListOf(this.names, this.options.resolve ?? false);
    const v4 = canonicalPrefixes(this.v4.build());
    const v6 = canonicalPrefixes(this.v6.build());
    return { kind: 'prefixes', v4, v6 };
  }

  private readonly take: PrefixSink = (family, words, length) => {
    (family === 4 ? this.v4 : this.v6).push(words, 0, length);
    if (this.options.onEntry !== undefined) this.pieces.push(prefixOf(family, words, length));
  };

  private decide(kind: List['kind']): void {
    if (this.kind !== undefined) return;
    this.decidedKind = kind;
    this.kindLine = this.line;
  }

  private used(text: Uint8Array, start: number): true {
    this.entries++;
    const { onEntry } = this.options;
    if (onEntry !== undefined) {
      const { pieces, names } = this;
      const canonical =
        this.kind === 'names' ? () => names.at(-1) ?? '' : () => pieces.map(formatPrefix).join(' ');
      onEntry(this.line, this.columnOf(text, start), canonical);
    }
    this.checkFull();
    return true;
  }

  /** Stops the import where the limit of entries is passed. */
  private checkFull(): void {
    if (this.hasTooMany || this.v4.count + this.v6.count + this.names.length <= this.limits.entries) return;
    this.hasTooMany = true;
    const reason = `more than ${this.limits.entries} entries: split the list`;
    this.refuseFile({ line: this.line, column: 1, code: TextFault.tooManyEntries, reason });
  }

  private refuse(text: Uint8Array, fault: EntryFault): false {
    const column = this.columnOf(text, fault.at);
    this.rejects.add({ line: this.line, column, code: fault.code, reason: fault.reason });
    return false;
  }

  private columnOf(text: Uint8Array, at: number): number {
    return this.columns.columnAt(this.lineStart, text === this.bytes ? at : this.at);
  }

  private refuseKind(code: string, text: Uint8Array, start: number, end: number): false {
    const [is, holds] =
      code === EntryFaultCode.name ? ['a host name', 'addresses'] : ['an address', 'host names'];
    const because = this.kindLine === 0 ? '' : `, as line ${this.kindLine} says`;
    const reason = `${quoteBytes(text, start, end)} is ${is}, but this list holds ${holds}${because}: keep two lists`;
    return this.refuse(text, { code, at: start, reason });
  }
}
