/**
 * Lists as text: one address, CIDR, range or host name a line, with comments and trailing fields. A million lines are an ordinary
 * input, so lines that hold one IPv4 address or CIDR and nothing else are read in one tight loop, and every other line
 * by the careful reader below it, which alone decides what is refused.
 *
 *     line    = [blanks] [entry [blanks | "," field]…] [comment]
 *     entry   = address | CIDR | address [blanks] "-" [blanks] address | host name
 *     comment = ("#" | ";" | "//") anything
 */

import {
  canonicalPrefixes,
  formatPrefix,
  type List,
  nameListOf,
  newPrefixScratch,
  type Prefix,
  PrefixBuilder,
  parseDottedQuad,
  parsePrefixBytes,
  prefixOf,
} from '@rulecast/rules';
import {
  asBuffer,
  CR,
  columnAt,
  DASH,
  HASH,
  isBlank,
  LF,
  lineEndAt,
  lineFault,
  nextLineAt,
  quoteBytes,
  skipBlanks,
  textStart,
} from '../text/bytes.ts';
import {
  addressIndex,
  type EntryFault,
  EntryFaultCode,
  EntryReader,
  type HostBits,
  isAddressLike,
  isShortPrefix,
  readName,
  type ShortPrefixes,
  type TokenEnd,
  withShort,
} from '../text/entry.ts';
import { type FormatLimits, withLimits } from '../text/limits.ts';
import type { PrefixSink } from '../text/range.ts';
import { type Reject, RejectLog, TextFault } from '../text/reject.ts';

const SLASH = 0x2f;
const SEMICOLON = 0x3b;
const COMMA = 0x2c;
const DOT = 0x2e;
const ZERO = 0x30;
/** Of an IPv4 CIDR and its line end, `255.255.255.255/32\r\n`: so much may be read without looking for the end of the text. */
const LONGEST_IP4_LINE_BYTES = 20;
/** Of an IPv6 CIDR with an IPv4 tail, all groups whole. */
const LONGEST_IP6_LINE_BYTES = 49;
const LOOPBACK = 0x7f000001;
/** Shorter prefixes are looked at one by one. */
const SKIMMED_LENGTH_MIN = 8;

/** Takes an entry that was read; `canonical` makes its text: prefixes with a length, separated by spaces, or a name. */
export type EntrySink = (line: number, column: number, canonical: () => string) => void;

export interface ListTextOptions {
  /** What the list must hold; without it the first entry decides. */
  readonly kind?: List['kind'];
  /** Becomes the `resolve` of a list of names. */
  readonly resolve?: boolean;
  /** Default `reject`: see HostBits. */
  readonly hostBits?: HostBits;
  readonly onEntry?: EntrySink;
  /** Takes every reject, also those that are not kept. */
  readonly onReject?: (reject: Reject) => void;
  readonly limits?: Partial<FormatLimits>;
}

export interface ListText {
  readonly kind: List['kind'];
  /** What the accepted lines hold, canonical. */
  readonly list: List;
  /** How many lines held an entry. */
  readonly entries: number;
  /** The first rejects, in the order of the text. */
  readonly rejects: readonly Reject[];
  readonly rejectCount: number;
  readonly lineCount: number;
  /** How many lines are comments and nothing else, and the first of them (0: none). */
  readonly commentCount: number;
  readonly commentLine: number;
  /** See ImportedList. */
  readonly short: ShortPrefixes | undefined;
}

/** Reads a list. Never throws on account of the bytes. */
export function parseListText(bytes: Uint8Array, options: ListTextOptions = {}): ListText {
  return new ListTextReader(bytes, options).read();
}

class ListTextReader {
  private readonly bytes: Uint8Array;
  private readonly limits: FormatLimits;
  private readonly onEntry: EntrySink | undefined;
  private readonly resolve: boolean;
  private readonly rejects: RejectLog;
  private readonly v4: PrefixBuilder;
  private readonly v6 = new PrefixBuilder(6);
  private readonly names: string[] = [];
  private readonly entryReader: EntryReader;
  private readonly scratch = newPrefixScratch();
  private kind: List['kind'] | undefined;
  private kindLine = 0; // the line that decided the kind; 0: the caller did
  private line = 0; // number of the line last begun
  private entries = 0;
  private commentCount = 0;
  private commentLine = 0; // the first of them
  private short: ShortPrefixes | undefined;
  private pieces: Prefix[] = []; // of the entry at hand, if somebody listens

  constructor(bytes: Uint8Array, options: ListTextOptions) {
    this.bytes = asBuffer(bytes);
    this.limits = withLimits(options.limits);
    this.onEntry = options.onEntry;
    this.resolve = options.resolve ?? false;
    this.entryReader = new EntryReader(options.hostBits);
    this.kind = options.kind;
    this.rejects = new RejectLog(this.limits.rejectsKept, options.onReject);
    this.v4 = new PrefixBuilder(4, Math.min(1 << 20, (bytes.length >> 4) + 1));
  }

  read(): ListText {
    const { bytes, v4 } = this;
    const text = textStart(bytes, this.limits.inputBytes);
    if (text.kind === 'fault') {
      this.rejects.add(text.reject);
      return this.result();
    }
    const maySkim = this.onEntry === undefined && this.limits.lineBytes >= LONGEST_IP4_LINE_BYTES;
    let at = text.start;
    while (at < bytes.length) {
      if (maySkim && this.kind === 'prefixes') {
        const before = v4.count;
        at = skimIp4(bytes, at, v4, this.limits.entries - this.v6.count);
        this.line += v4.count - before;
        this.entries += v4.count - before;
        if (at >= bytes.length) break;
      }
      const end = lineEndAt(bytes, at);
      this.line++;
      if (!(maySkim && this.kind === 'prefixes' && this.takePrefix(at, end))) this.readLine(at, end);
      if (this.isOverfull()) break;
      at = nextLineAt(bytes, end);
    }
    return this.result();
  }

  /** Takes a line that is one address or CIDR and nothing else: mostly IPv6, since IPv4 was skimmed. Returns false, having done nothing, if it is not. */
  private takePrefix(start: number, end: number): boolean {
    if (end - start > LONGEST_IP6_LINE_BYTES) return false;
    if (parsePrefixBytes(this.bytes, start, end, this.scratch) !== undefined) return false;
    const { family, words, length, hasHostBits } = this.scratch;
    if (hasHostBits || isShortPrefix(family, words, length)) return false;
    (family === 4 ? this.v4 : this.v6).push(words, 0, length);
    this.entries++;
    return true;
  }

  private isOverfull(): boolean {
    if (this.rejects.count >= this.limits.rejects) return true;
    if (this.v4.count + this.v6.count + this.names.length <= this.limits.entries) return false;
    const reason = `more than ${this.limits.entries} entries: split the list`;
    this.rejects.add({ line: this.line, column: 1, code: TextFault.tooManyEntries, reason });
    return true;
  }

  private readLine(start: number, end: number): void {
    const { bytes } = this;
    const unreadable = lineFault(bytes, start, end, this.line, this.limits);
    if (unreadable !== undefined) {
      this.rejects.add(unreadable);
      return;
    }
    const from = skipBlanks(bytes, start, end);
    if (from === end) return;
    if (isCommentAt(bytes, from)) {
      if (this.commentCount++ === 0) this.commentLine = this.line;
      return;
    }
    const fault = this.readEntry(from, end);
    if (fault !== undefined) {
      const column = columnAt(bytes, start, fault.at);
      this.rejects.add({ line: this.line, column, code: fault.code, reason: fault.reason });
      return;
    }
    this.entries++;
    if (this.onEntry === undefined) return;
    const { pieces, names } = this;
    const canonical =
      this.kind === 'names' ? () => names.at(-1) ?? '' : () => pieces.map(formatPrefix).join(' ');
    this.onEntry(this.line, columnAt(bytes, start, from), canonical);
  }

  private readEntry(from: number, end: number): EntryFault | undefined {
    if (this.kind === 'names') return this.readNameEntry(from, end);
    const fault = this.readPrefixEntry(from, end);
    if (fault === undefined) {
      this.decide('prefixes');
      return undefined;
    }
    const nameEnd = tokenEnd(this.bytes, from, end, false);
    if (isAddressLike(this.bytes, from, nameEnd)) return fault;
    const name = readListedName(this.bytes, from, nameEnd, end);
    if (typeof name !== 'string') return this.kind === undefined ? name : fault;
    if (this.kind === 'prefixes') return this.kindFault(EntryFaultCode.name, from, nameEnd);
    this.decide('names');
    this.names.push(name);
    return undefined;
  }

  private decide(kind: List['kind']): void {
    if (this.kind !== undefined) return;
    this.kind = kind;
    this.kindLine = this.line;
  }

  private readPrefixEntry(from: number, end: number): EntryFault | undefined {
    const { bytes, entryReader } = this;
    if (this.onEntry !== undefined) this.pieces = [];
    const trailing = trailingFault(bytes, from, end);
    const fault = trailing ?? entryReader.read(bytes, from, end, tokenEnd, this.take);
    const { short } = entryReader;
    if (fault === undefined && short !== undefined) this.short = withShort(this.short, short, this.line);
    return fault;
  }

  private readonly take: PrefixSink = (family, words, length) => {
    (family === 4 ? this.v4 : this.v6).push(words, 0, length);
    if (this.onEntry !== undefined) this.pieces.push(prefixOf(family, words, length));
  };

  private readNameEntry(from: number, end: number): EntryFault | undefined {
    const { bytes } = this;
    const nameEnd = tokenEnd(bytes, from, end, false);
    if (isAddressLike(bytes, from, nameEnd)) {
      const ignored: PrefixSink = () => {};
      const fault = this.entryReader.read(bytes, from, end, tokenEnd, ignored);
      return fault ?? this.kindFault(EntryFaultCode.address, from, nameEnd);
    }
    const name = readListedName(bytes, from, nameEnd, end);
    if (typeof name !== 'string') return name;
    this.names.push(name);
    return undefined;
  }

  private kindFault(code: string, from: number, end: number): EntryFault {
    const [is, holds] =
      code === EntryFaultCode.name ? ['a host name', 'addresses'] : ['an address', 'host names'];
    const because = this.kindLine === 0 ? '' : `, as line ${this.kindLine} says`;
    const reason = `${quoteBytes(this.bytes, from, end)} is ${is}, but this list holds ${holds}${because}: keep two lists`;
    return { code, at: from, reason };
  }

  private result(): ListText {
    const list: List =
      this.kind === 'names'
        ? nameListOf(this.names, this.resolve)
        : {
            kind: 'prefixes',
            v4: canonicalPrefixes(this.v4.build()),
            v6: canonicalPrefixes(this.v6.build()),
          };
    return {
      kind: list.kind,
      list,
      entries: this.entries,
      rejects: this.rejects.kept,
      rejectCount: this.rejects.count,
      lineCount: this.line,
      commentCount: this.commentCount,
      commentLine: this.commentLine,
      short: this.short,
    };
  }
}

function isCommentAt(bytes: Uint8Array, at: number): boolean {
  const byte = bytes[at];
  return byte === HASH || byte === SEMICOLON || (byte === SLASH && bytes[at + 1] === SLASH);
}

const tokenEnd: TokenEnd = (bytes, start, limit, atDash) => {
  let at = start;
  while (at < limit) {
    const byte = bytes[at];
    if (isBlank(byte) || byte === COMMA || isCommentAt(bytes, at) || (atDash && byte === DASH)) break;
    at++;
  }
  return at;
};

/**
 * A name that starts a line. A word without a dot with more words behind it is refused: `add blocked 192.0.2.1` is a line of another
 * format, and a column title is no name.
 */
function readListedName(bytes: Uint8Array, from: number, nameEnd: number, end: number): string | EntryFault {
  const name = readName(bytes, from, nameEnd);
  if (typeof name !== 'string' || name.includes('.')) return name;
  const next = skipBlanks(bytes, nameEnd, end);
  if (next === end || isCommentAt(bytes, next)) return name;
  const reason = `${quoteBytes(bytes, from, nameEnd)} starts a line of more words: this is no list of names or addresses, or the line is a title`;
  return { code: EntryFaultCode.words, at: from, reason };
}

/**
 * Whether ignoring the fields after an address would lose what the line means: a hosts file's name, or a second address of
 * a line that is a table of ranges or several entries.
 */
function trailingFault(bytes: Uint8Array, from: number, end: number): EntryFault | undefined {
  const firstEnd = tokenEnd(bytes, from, end, false);
  if (firstEnd === end) return undefined;
  let second = skipBlanks(bytes, firstEnd, end);
  if (bytes[second] === COMMA) second = skipBlanks(bytes, second + 1, end);
  if (second === end || isCommentAt(bytes, second) || bytes[second] === DASH) return undefined;
  const word = parseDottedQuad(bytes, from, firstEnd);
  const secondEnd = tokenEnd(bytes, second, end, false);
  if (word === 0 || word === LOOPBACK) {
    const reason = `a line of a hosts file: it is about the name ${quoteBytes(bytes, second, secondEnd)}, not about the address before it; keep the names alone`;
    return { code: EntryFaultCode.hostsLine, at: from, reason };
  }
  const other = addressIndex(bytes, second, end);
  if (other < 0) return undefined;
  const reason = `a second address, ${quoteBytes(bytes, other, tokenEnd(bytes, other, end, false))}: write one entry a line, and a range as 192.0.2.1-192.0.2.9`;
  return { code: EntryFaultCode.secondAddress, at: other, reason };
}

/**
 * Reads lines that are one IPv4 address or CIDR in its usual spelling and nothing else, from `at` on. Returns where the
 * first line starts that is not, or that is too near the end of the text. Adds one prefix per line, up to `maxCount` of them.
 */
function skimIp4(bytes: Uint8Array, at: number, out: PrefixBuilder, maxCount: number): number {
  const lastStart = bytes.length - LONGEST_IP4_LINE_BYTES; // so every index below is within the text
  let lineStart = at;
  while (lineStart <= lastStart && out.count < maxCount) {
    let i = lineStart;
    let word = 0;
    for (let octets = 0; ; ) {
      let octet = bytes[i++]! - ZERO;
      if (octet < 0 || octet > 9) return lineStart;
      let digit = bytes[i]! - ZERO;
      if (digit >= 0 && digit <= 9) {
        if (octet === 0) return lineStart;
        octet = octet * 10 + digit;
        digit = bytes[++i]! - ZERO;
        if (digit >= 0 && digit <= 9) {
          octet = octet * 10 + digit;
          i++;
        }
      }
      if (octet > 255) return lineStart;
      word = (word << 8) | octet;
      if (++octets === 4) break;
      if (bytes[i++] !== DOT) return lineStart;
    }
    let length = 32;
    if (bytes[i] === SLASH) {
      length = bytes[++i]! - ZERO;
      if (length < 0 || length > 9) return lineStart;
      const digit = bytes[++i]! - ZERO;
      if (digit >= 0 && digit <= 9) {
        length = length * 10 + digit;
        i++;
      }
      // A short one, or one with host bits, is for the careful reader.
      if (length > 32 || length < SKIMMED_LENGTH_MIN) return lineStart;
      if ((word & ~(-1 << (32 - length))) !== 0) return lineStart;
    }
    if (bytes[i] === CR) i++;
    if (bytes[i] !== LF) return lineStart;
    out.push4(word >>> 0, length);
    lineStart = i + 1;
  }
  return lineStart;
}
