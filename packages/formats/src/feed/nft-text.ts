/**
 * nftables text (nft(8)): the elements of sets, from `nft list ruleset`, from `add element` and from
 * `define`. Everything else (chains, rules, tables) is passed over. Elements of sets whose type is no
 * address, and those that join an address with something else, are skipped.
 *
 *     table inet t { set NAME { type ipv4_addr; elements = { 192.0.2.1, 192.0.2.8-192.0.2.9 timeout 1h } } }
 *     add element inet t NAME { 192.0.2.1 }
 *     define NAME = { 192.0.2.1 }
 */

import type { Collector } from '../collect/collector.ts';
import { EntryFilter } from '../collect/filter.ts';
import { ImportFault, type SkipCode } from '../collect/options.ts';
import { isBlank, latin1, nextLineAt, quote, quoteBytes } from '../text/bytes.ts';
import { isAddress } from '../text/within.ts';

const BACKSLASH = 0x5c;
const CLOSE_BRACE = 0x7d;
const COMMA = 0x2c;
const CR = 0x0d;
const DASH = 0x2d;
const EQUALS = 0x3d;
const HASH = 0x23;
const LF = 0x0a;
const OPEN_BRACE = 0x7b;
const QUOTE = 0x22;
const SEMICOLON = 0x3b;

const ADDRESS_TYPE = /^(?:type (?:ipv4_addr|ipv6_addr)|typeof (?:ip|ip6) [sd]addr)$/;
const TYPE = /^type(?:of)? /;
/** The first words of statements outside of braces. */
const COMMANDS =
  /^(?:table|add|create|delete|destroy|flush|insert|replace|rename|reset|list|include|(?:re|un)?define)$/;
/** The words that may follow the value of an element. */
const ATTRIBUTES: ReadonlySet<string> = new Set([
  'timeout',
  'expires',
  'comment',
  'counter',
  'limit',
  'quota',
  'last',
  'ct',
]);
/**
 * Words of a statement that are kept to see what a brace opens; the longest that matters has five and a few
 * flags.
 */
const STATEMENT_MAX_WORDS = 16;
/** Longest word that is looked at as text; names in nftables have at most 255 bytes. */
const WORD_MAX_BYTES = 256;

export function importNftText(collector: Collector, start: number): void {
  new NftReader(collector, start).read();
}

type TokenKind = 'word' | 'open' | 'close' | 'comma' | 'statement' | 'end';

/** Cuts the text into tokens; keeps the collector's line. */
class NftTokens {
  /** The position of the last token. */
  start = 0;
  end: number;
  readonly #collector: Collector;
  readonly #bytes: Uint8Array;

  constructor(collector: Collector, start: number) {
    this.#collector = collector;
    this.#bytes = collector.bytes;
    this.end = start;
    collector.beginLine(start);
  }

  next(): TokenKind {
    const bytes = this.#bytes;
    let at = this.end;
    while (at < bytes.length && (isBlank(bytes[at]) || bytes[at] === BACKSLASH)) {
      const isContinued = bytes[at] === BACKSLASH && (bytes[at + 1] === LF || bytes[at + 1] === CR);
      at = isContinued ? this.#passLineEnd(at + 1) : at + 1;
    }
    this.start = at;
    this.end = at + 1;
    switch (bytes[at]) {
      case undefined:
        this.end = at;
        return 'end';
      case LF:
      case CR:
        this.end = this.#passLineEnd(at);
        return 'statement';
      case SEMICOLON:
        return 'statement';
      case OPEN_BRACE:
        return 'open';
      case CLOSE_BRACE:
        return 'close';
      case COMMA:
        return 'comma';
      case EQUALS:
        return 'word';
      case HASH:
        while (this.end < bytes.length && bytes[this.end] !== LF && bytes[this.end] !== CR) this.end++;
        this.#collector.skip('comment');
        return 'statement';
      case QUOTE:
        while (this.end < bytes.length && bytes[this.end] !== QUOTE && bytes[this.end] !== LF) this.end++;
        if (bytes[this.end] === QUOTE) this.end++;
        return 'word';
      default:
        while (this.end < bytes.length && !isPunctuation(bytes[this.end])) this.end++;
        return 'word';
    }
  }

  text(): string {
    return latin1(this.#bytes, this.start, Math.min(this.end, this.start + WORD_MAX_BYTES));
  }

  #passLineEnd(at: number): number {
    const next = nextLineAt(this.#bytes, at);
    if (next < this.#bytes.length) this.#collector.beginLine(next);
    return next;
  }
}

function isPunctuation(byte: number | undefined): boolean {
  switch (byte) {
    case LF:
    case CR:
    case SEMICOLON:
    case OPEN_BRACE:
    case CLOSE_BRACE:
    case COMMA:
    case EQUALS:
    case QUOTE:
      return true;
    default:
      return isBlank(byte);
  }
}

/** The set whose elements are being read. */
interface SetAtHand {
  readonly name: string;
  /** The number of open braces within it. */
  readonly depth: number;
  holdsAddresses: boolean;
}

class NftReader {
  readonly #collector: Collector;
  readonly #tokens: NftTokens;
  readonly #filter: EntryFilter;
  #words: string[] = []; // of the present statement
  #depth = 0;
  #set: SetAtHand | undefined;

  constructor(collector: Collector, start: number) {
    this.#collector = collector;
    this.#tokens = new NftTokens(collector, start);
    this.#filter = new EntryFilter(collector.options);
  }

  read(): void {
    const collector = this.#collector;
    const tokens = this.#tokens;
    for (let kind = tokens.next(); kind !== 'end' && !collector.isFull; kind = tokens.next()) {
      if (kind === 'open') this.#open();
      else if (kind === 'close') this.#close();
      else if (kind === 'statement') this.#endStatement();
      else {
        const { start, end } = tokens;
        const beginsStatement = this.#depth === 0 && this.#words.length === 0;
        if (beginsStatement && !COMMANDS.test(tokens.text()))
          collector.reject(start, 'bad-nft', `${quote(tokens.text())} begins no statement of nftables`);
        if (isAddress({ text: collector.bytes, start, end })) collector.skip('other-column');
        if (this.#words.length < STATEMENT_MAX_WORDS) this.#words.push(tokens.text());
      }
    }
    this.#endStatement();
    if (this.#depth > 0 && !collector.isFull) this.#refuseTruncated();
  }

  #open(): void {
    const words = this.#words;
    const [first, second, third] = words;
    if (first === 'elements' && second === '=' && this.#set !== undefined) this.#readElements(this.#set);
    else if ((first === 'add' || first === 'create') && second === 'element')
      this.#readElements({ name: words.at(-1) ?? '', depth: 0, holdsAddresses: true });
    else if (first === 'define' && third === '=')
      this.#readElements({ name: second ?? '', depth: 0, holdsAddresses: true });
    else {
      this.#depth++;
      const kind = first === 'add' || first === 'create' ? second : first;
      if (kind === 'set' || kind === 'map')
        this.#set = { name: words.at(-1) ?? '', depth: this.#depth, holdsAddresses: kind === 'set' };
      this.#endStatement();
    }
  }

  #close(): void {
    this.#endStatement();
    if (this.#depth === this.#set?.depth) this.#set = undefined;
    if (this.#depth > 0) this.#depth--;
    else this.#collector.reject(this.#tokens.start, 'bad-nft', 'a closing brace without an opening one');
  }

  #endStatement(): void {
    const set = this.#set;
    const words = this.#words;
    if (words.length === 0) return;
    this.#words = [];
    this.#collector.skip(words[0] === 'define' ? 'directive' : 'metadata');
    const text = words.join(' ');
    if (set !== undefined && set.depth === this.#depth && TYPE.test(text))
      set.holdsAddresses &&= ADDRESS_TYPE.test(text);
  }

  /** Reads elements up to the brace that closes them. */
  #readElements(set: SetAtHand): void {
    const collector = this.#collector;
    const tokens = this.#tokens;
    this.#words = [];
    const other = set.holdsAddresses ? this.#filter.set(set.name) : 'other-kind';
    let kind = tokens.next();
    while (!collector.isFull) {
      while (kind === 'statement' || kind === 'comma') kind = tokens.next();
      if (kind !== 'word') break;
      kind = this.#readElement(other);
    }
    if (kind === 'open') {
      this.#depth++; // its closing brace is skipped
      collector.reject(tokens.start, 'bad-nft', 'a brace among the elements of a set');
    } else if (kind === 'end') this.#refuseTruncated();
  }

  /** Reads the element whose first word was read, up to the token that ends it, which is returned. */
  #readElement(other: SkipCode | undefined): TokenKind {
    const collector = this.#collector;
    const tokens = this.#tokens;
    const { line, lineStart } = collector;
    const { start } = tokens;
    let { end } = tokens;
    let attribute: string | undefined; // the first word behind the value
    let isJoined = false;
    let kind = tokens.next();
    for (; kind === 'word' || kind === 'statement'; kind = tokens.next()) {
      if (kind === 'statement') continue;
      const word = tokens.text();
      if (word === '.' || word === ':') isJoined = true;
      else if (attribute === undefined && (word.startsWith('-') || collector.bytes[end - 1] === DASH))
        end = tokens.end; // a range with blanks
      else attribute ??= word;
    }
    // The position is the element's, not that of the token after it.
    const { line: endLine, lineStart: endLineStart } = collector;
    collector.line = line;
    collector.lineStart = lineStart;
    if (other !== undefined) collector.skip(other);
    else if (isJoined) collector.skip('partial');
    else if (attribute !== undefined && !ATTRIBUTES.has(attribute)) {
      const reason = `${quoteBytes(collector.bytes, start, end)} is followed by words that no element has: is a comma missing?`;
      collector.reject(start, 'bad-nft', reason);
    } else collector.address(collector.bytes, start, end);
    collector.line = endLine;
    collector.lineStart = endLineStart;
    return kind;
  }

  #refuseTruncated(): void {
    const collector = this.#collector;
    if (collector.fault !== undefined) return;
    const reason = 'the file ends within braces: it is truncated';
    collector.refuseFile({ line: collector.line, column: 1, code: ImportFault.truncated, reason });
  }
}
