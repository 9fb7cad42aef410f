/**
 * The collector of entries for the importers of all formats: it reads addresses, ranges and names, decides
 * the kind of the list, applies the filters, and gathers rejects and counts of skipped lines.
 *
 * An importer sets the position (`line`, `lineStart`, and `at` if a value's text is not that of the file) and
 * passes bytes; nothing here makes a string for each address.
 */

import {
  aggregatePrefixes,
  canonicalNames,
  KeyByte,
  type KeyEnd,
  type List,
  type NameSet,
  NamesBuilder,
  nameSetOf,
  subtractNames,
  unionNames,
} from '@rulecast/rules';
import { asBuffer, ColumnCounter, quoteBytes } from '../text/bytes.ts';
import { EntryReader } from '../text/entries.ts';
import {
  bareTokenEnd,
  COUNTRY_SHORT_LENGTHS,
  type EntryFault,
  EntryFaultCode,
  isAddressLike,
  markedScope,
  readName,
  type ShortPrefixes,
  suffixMarkBytes,
  type TokenEnd,
} from '../text/entry.ts';
import { type FormatLimits, withLimits } from '../text/limits.ts';
import type { LineSink } from '../text/lines.ts';
import { publicSuffixFault } from '../text/public-suffix.ts';
import { type Reject, RejectLog, TextFault } from '../text/reject.ts';
import type { DeclaredCount, ImportOptions, SkipCode, Skipped } from './options.ts';

interface SkipCount {
  count: number;
  readonly line: number;
}

export class Collector implements LineSink {
  readonly bytes: Uint8Array;
  readonly options: ImportOptions;
  readonly limits: FormatLimits;
  readonly hasNul: boolean;
  readonly rejects: RejectLog;
  /** The present line or value. */
  line = 0;
  lineStart = 0;
  /** The position of a value whose text is not that of the file. */
  at = 0;
  /** The number of entries used. */
  entries = 0;
  /** A fault of the whole file; it is one of the rejects. */
  fault: Reject | undefined;
  /** Counts that the file declares. */
  readonly declared: DeclaredCount[] = [];
  /** A sign, beside the declared counts, that the file is not whole. */
  truncated: string | undefined;
  /** Prefixes that cover more of the Internet than is usually meant. */
  short: ShortPrefixes | undefined;
  /** Parses the addresses and stores them. */
  readonly reader: EntryReader;
  /** Keeps the names. Only the tight loop of plain lists pushes here itself. */
  readonly names: NamesBuilder;
  /** Names to take out of the list. */
  readonly #exceptions = new NamesBuilder(0);
  /** Entries that exceptions do not affect, in formats where an exception otherwise wins over every entry. */
  readonly #important = new NamesBuilder(0);
  /** The scope of a name without a mark. */
  readonly scope: KeyEnd;
  /** Whether `*.name` includes the name itself: the file has only such entries. */
  isOfWildcards = false;
  /** The number of entries whose scope was widened. */
  widened = 0;
  readonly #columns: ColumnCounter;
  readonly #skips = new Map<SkipCode, SkipCount>();
  #hasTooMany = false;
  #kind: List['kind'] | undefined;
  #kindLine = 0; // the line that decided the kind; 0: the caller or the format did

  constructor(bytes: Uint8Array, options: ImportOptions, kind: List['kind'] | undefined) {
    this.bytes = asBuffer(bytes);
    this.hasNul = asBuffer(bytes).includes(0);
    this.options = options;
    this.limits = withLimits(options.limits);
    this.#kind = kind;
    this.scope = options.subdomains === true ? KeyByte.both : KeyByte.self;
    this.#columns = new ColumnCounter(this.bytes);
    this.names = new NamesBuilder(bytes.length);
    this.rejects = new RejectLog(this.limits.rejectsKept, options.onReject);
    this.reader = new EntryReader({
      hostBits: options.hostBits,
      keepsPieces: options.onEntry !== undefined,
      expected: Math.min(1 << 20, (bytes.length >> 4) + 1),
      shortLengths: options.country && COUNTRY_SHORT_LENGTHS,
    });
  }

  /** The kind of the list; undefined until an entry decides it. */
  get kind(): List['kind'] | undefined {
    return this.#kind;
  }

  /** Whether the limit of entries is passed, or that of rejects is reached: the importer stops. */
  get isFull(): boolean {
    return this.#hasTooMany || this.rejects.count >= this.limits.rejects;
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
    if (this.wholeAddress(text, start, end)) return true;
    const fault = this.readAddress(text, start, end, bareTokenEnd);
    return fault === undefined || this.refuse(text, fault);
  }

  /**
   * Uses text[start, end) if it is one address or CIDR and there is no entry listener. Otherwise returns
   * false and does nothing.
   */
  wholeAddress(text: Uint8Array, start: number, end: number): boolean {
    if (this.options.onEntry !== undefined || !this.reader.readWhole(text, start, end)) return false;
    this.#decide('prefixes');
    this.entries++;
    this.#checkFull();
    return true;
  }

  /**
   * Reads the address, CIDR or range that starts at `start`, and uses it; what is wrong with it is for the
   * caller to tell.
   */
  readAddress(text: Uint8Array, start: number, end: number, tokenEnd: TokenEnd): EntryFault | undefined {
    const { reader } = this;
    const fault = reader.read(text, start, end, tokenEnd);
    if (fault !== undefined) return fault;
    if (reader.short !== undefined) {
      const { prefix = reader.short, line = this.line, count = 0 } = this.short ?? {};
      this.short = { prefix, line, count: count + 1, lengths: reader.shortLengths };
    }
    this.#used('prefixes', text, start);
    return undefined;
  }

  /** Uses the range between two addresses; false if it is rejected. */
  range(text: Uint8Array, start: number, end: number, lastStart: number, lastEnd: number): boolean {
    if (this.kind === 'names') return this.refuseKind(EntryFaultCode.address, text, start, end);
    const fault = this.reader.readEnds(text, start, end, lastStart, lastEnd);
    if (fault !== undefined) return this.refuse(text, fault);
    return this.#used('prefixes', text, start);
  }

  /** Uses the IPv4 addresses `first` to `last`; the caller knows that they are a range. */
  ip4Range(first: number, last: number, at: number): boolean {
    this.reader.keepIp4Range(first, last);
    return this.#used('prefixes', this.bytes, at);
  }

  /** Reads text[start, end) as a host name that stands for `scope`, and uses it; false if it is rejected. */
  name(text: Uint8Array, start: number, end: number, scope: KeyEnd = KeyByte.self): boolean {
    if (isAddressLike(text, start, end)) return this.refuseAddress(text, start, end, bareTokenEnd);
    if (this.#isTooWide(text, start, end, scope)) return false;
    if (this.kind !== 'prefixes' && this.#wholeName(text, start, end, scope)) return true;
    const name = readName(text, start, end);
    if (typeof name !== 'string') return this.refuse(text, name);
    return this.refuseKind(EntryFaultCode.name, text, start, end);
  }

  /** Likewise for an entry that exceptions do not affect. */
  importantName(text: Uint8Array, start: number, end: number, scope: KeyEnd): boolean {
    return this.name(text, start, end, scope) && this.#important.addWritten(text, start, end, scope);
  }

  /** Reads text[start, end) as a host name that the list is to be without; false if it is rejected. */
  exception(text: Uint8Array, start: number, end: number, scope: KeyEnd): boolean {
    if (this.#isTooWide(text, start, end, scope)) return false;
    if (!this.#exceptions.addWritten(text, start, end, scope)) {
      const name = readName(text, start, end);
      return typeof name !== 'string' && this.refuse(text, name);
    }
    this.#checkFull();
    return true;
  }

  /** Rejects an entry or exception for all below a public suffix. */
  #isTooWide(text: Uint8Array, start: number, end: number, scope: KeyEnd): boolean {
    if (scope === KeyByte.self || this.options.allowPublicSuffixes === true) return false;
    const fault = publicSuffixFault(text, start, end);
    return fault !== undefined && !this.refuse(text, fault);
  }

  /** Likewise for an entry that may have a mark for names below. */
  nameEntry(text: Uint8Array, start: number, end: number): boolean {
    const markBytes = suffixMarkBytes(text, start);
    if (markBytes === 0) return this.name(text, start, end, this.scope);
    const scope = markedScope(text, start);
    const isWidened = scope === KeyByte.below && this.isOfWildcards;
    const isUsed = this.name(text, start + markBytes, end, isWidened ? KeyByte.both : scope);
    if (isUsed && isWidened) this.widened++;
    return isUsed;
  }

  #wholeName(text: Uint8Array, start: number, end: number, scope: KeyEnd): boolean {
    return this.names.addWritten(text, start, end, scope) && this.#used('names', text, start);
  }

  /** Rejects an address in a list of names: for its fault, or else for being an address. */
  refuseAddress(text: Uint8Array, start: number, end: number, tokenEnd: TokenEnd): false {
    const fault = this.reader.check(text, start, end, tokenEnd);
    return fault === undefined
      ? this.refuseKind(EntryFaultCode.address, text, start, tokenEnd(text, start, end, false))
      : this.refuse(text, fault);
  }

  /** Reads text[start, end) as an entry of the list's kind. */
  entry(text: Uint8Array, start: number, end: number): boolean {
    return isAddressLike(text, start, end)
      ? this.address(text, start, end)
      : this.nameEntry(text, start, end);
  }

  /** Counts a skipped item, in the present line or another one. */
  skip(code: SkipCode, line = this.line): void {
    const known = this.#skips.get(code);
    if (known === undefined) this.#skips.set(code, { count: 1, line });
    else known.count++;
  }

  /** Rejects the text at byte `at` of the file. Returns false, for the reader to pass on. */
  reject(at: number, code: string, reason: string): false {
    this.rejects.add({ line: this.line, column: this.#columns.columnAt(this.lineStart, at), code, reason });
    return false;
  }

  /** Rejects the file as a whole. */
  refuseFile(reject: Reject): void {
    this.fault ??= reject;
    this.rejects.add(reject);
  }

  skipped(): readonly Skipped[] {
    return Array.from(this.#skips, ([code, { count, line }]) => ({ code, count, line }));
  }

  /**
   * The list collected, canonical. `exceptionsWin`: exceptions override all entries except important ones,
   * not only the nearest.
   */
  list(exceptionsWin = false): List {
    const { aggregate = false, resolve = false } = this.options;
    if (this.kind === 'names') return { kind: 'names', ...this.#nameSet(exceptionsWin), resolve };
    const { v4, v6 } = this.reader.prefixes();
    if (!aggregate) return { kind: 'prefixes', v4, v6 };
    return { kind: 'prefixes', v4: aggregatePrefixes(v4), v6: aggregatePrefixes(v6) };
  }

  #nameSet(exceptionsWin: boolean): NameSet {
    const [names, exceptions] = [this.names.build(), this.#exceptions.build()];
    if (!exceptionsWin || exceptions.count === 0) return canonicalNames({ names, exceptions });
    const left = subtractNames(nameSetOf(names), nameSetOf(exceptions));
    return unionNames(left, nameSetOf(this.#important.build()));
  }

  #decide(kind: List['kind']): void {
    if (this.#kind !== undefined) return;
    this.#kind = kind;
    this.#kindLine = this.line;
  }

  #used(kind: List['kind'], text: Uint8Array, start: number): true {
    this.#decide(kind);
    this.entries++;
    this.options.onEntry?.(this.line, this.#columnOf(text, start), () =>
      kind === 'names' ? this.names.last() : this.reader.canonical(),
    );
    this.#checkFull();
    return true;
  }

  /** Stops the import once the limit of entries is exceeded. */
  #checkFull(): void {
    const nameCount = this.names.count + this.#exceptions.count;
    if (this.#hasTooMany || this.reader.count + nameCount <= this.limits.entries) return;
    this.#hasTooMany = true;
    const reason = `more than ${this.limits.entries} entries: split the list`;
    this.refuseFile({ line: this.line, column: 1, code: TextFault.tooManyEntries, reason });
  }

  /** Rejects an entry of `text` with its fault. */
  refuse(text: Uint8Array, fault: EntryFault): false {
    const column = this.#columnOf(text, fault.at);
    this.rejects.add({ line: this.line, column, code: fault.code, reason: fault.reason });
    return false;
  }

  #columnOf(text: Uint8Array, at: number): number {
    return this.#columns.columnAt(this.lineStart, text === this.bytes ? at : this.at);
  }

  /** Rejects an entry of the other kind, or counts it if the options select a kind; `code` is its kind. */
  refuseKind(code: string, text: Uint8Array, start: number, end: number): false {
    if (this.options.take !== undefined) {
      this.skip('other-kind');
      return false;
    }
    const [is, holds] =
      code === EntryFaultCode.name ? ['a host name', 'addresses'] : ['an address', 'host names'];
    const because = this.#kindLine === 0 ? '' : `, as line ${this.#kindLine} says`;
    const reason = `${quoteBytes(text, start, end)} is ${is}, but this list holds ${holds}${because}: keep two lists`;
    return this.refuse(text, { code, at: start, reason });
  }
}
