/**
 * Addresses and prefixes as unsigned words: strict parsing from bytes, printing, and columns of many
 * prefixes.
 *
 * An IPv4 address is one unsigned 32-bit word, an IPv6 address four, most significant first. Nothing here
 * makes a string or a BigInt per address except the printers. Normal form: docs/explain/design.md "Meaning of
 * a rule set".
 */

export type Family = 4 | 6;

/** One address. `words` holds 1 (IPv4) or 4 (IPv6) unsigned 32-bit words, most significant first. */
export interface Address {
  readonly family: Family;
  readonly words: Uint32Array;
}

/** One prefix in normal form: host bits zero, `length` 0..32 or 0..128; a host is a /32 or /128. */
export interface Prefix extends Address {
  readonly length: number;
}

/**
 * Many prefixes of one family as two columns: entry i has the words `[i * stride, (i + 1) * stride)` with
 * stride 1 (IPv4) or 4 (IPv6), and the prefix length `lengths[i]`. Host bits are zero. The order is the
 * owner's.
 */
export interface Prefixes {
  readonly family: Family;
  readonly words: Uint32Array;
  readonly lengths: Uint8Array;
}

/** Why a text is no address or prefix. */
export const PrefixFault = {
  address: 'bad-address',
  length: 'bad-prefix-length',
  mapped: 'mapped-prefix-too-short',
} as const;
export type PrefixFault = (typeof PrefixFault)[keyof typeof PrefixFault];

/** The result of the byte parsers; make one per parser and reuse it. */
export interface PrefixScratch {
  family: Family;
  /** Four words; only the first is meaningful for IPv4. */
  readonly words: Uint32Array;
  length: number;
  /** Whether the text had bits beyond its prefix length, which the words have no more. */
  hasHostBits: boolean;
}

const DOT = 0x2e;
const COLON = 0x3a;
const SLASH = 0x2f;
const ZERO = 0x30;
const encoder = new TextEncoder();

export function newPrefixScratch(): PrefixScratch {
  return { family: 4, words: new Uint32Array(4), length: 32, hasHostBits: false };
}

/** Unsigned words per address of a family. */
export function strideOf(family: Family): 1 | 4 {
  return family === 4 ? 1 : 4;
}

/** Bits per address of a family. */
export function bitsOf(family: Family): 32 | 128 {
  return family === 4 ? 32 : 128;
}

/** The 32-bit mask that keeps the first `bits` (any integer; clamped to 0..32) bits of a word. */
export function wordMask(bits: number): number {
  if (bits <= 0) return 0;
  if (bits >= 32) return 0xffffffff;
  return (0xffffffff << (32 - bits)) >>> 0;
}

/**
 * Parses `ADDRESS` or `ADDRESS/LENGTH` in `bytes[start, end)`, strictly: dotted quads without leading zeros,
 * IPv6 after RFC 4291 §2.2 without zone, no surrounding space. The result in `out` is in normal form: masked
 * (and `hasHostBits` says whether that changed it), and IPv4-mapped IPv6 (::ffff:0:0/96) as IPv4. Returns the
 * fault, or undefined when `out` holds a prefix.
 */
export function parsePrefixBytes(
  bytes: Uint8Array,
  start: number,
  end: number,
  out: PrefixScratch,
): PrefixFault | undefined {
  let slash = end;
  for (let i = start; i < end; i++) {
    if (bytes[i] === SLASH) {
      slash = i;
      break;
    }
  }
  if (!parseAddressBytes(bytes, start, slash, out)) return PrefixFault.address;
  if (slash === end) return normalise(out);
  const digits = end - slash - 1;
  if (digits < 1 || digits > 3) return PrefixFault.length;
  let length = 0;
  for (let i = slash + 1; i < end; i++) {
    const digit = bytes[i]! - ZERO; // i < end <= bytes.length
    if (digit < 0 || digit > 9) return PrefixFault.length;
    length = length * 10 + digit;
  }
  if (length > bitsOf(out.family)) return PrefixFault.length;
  out.length = length;
  return normalise(out);
}

/** Parses one address of either family, exactly `bytes[start, end)`; `out.length` becomes the host length. */
function parseAddressBytes(bytes: Uint8Array, start: number, end: number, out: PrefixScratch): boolean {
  const word = parseDottedQuad(bytes, start, end);
  if (word >= 0) {
    out.family = 4;
    out.words[0] = word;
    out.length = 32;
    return true;
  }
  return parseIp6(bytes, start, end, out);
}

/** The IPv4 address in `bytes[start, end)` as an unsigned word, or -1 if it is none. */
export function parseDottedQuad(bytes: Uint8Array, start: number, end: number): number {
  if (end - start < 7 || end - start > 15) return -1;
  let word = 0;
  let octet = -1; // -1: no digit of this octet seen yet
  let dots = 0;
  for (let i = start; i < end; i++) {
    const byte = bytes[i]!; // i < end <= bytes.length
    const digit = byte - ZERO;
    if (digit >= 0 && digit <= 9) {
      if (octet === 0) return -1; // a leading zero: octal elsewhere, so it means nothing certain
      octet = octet < 0 ? digit : octet * 10 + digit;
      if (octet > 255) return -1;
    } else if (byte === DOT && octet >= 0 && dots < 3) {
      word = word * 256 + octet;
      octet = -1;
      dots++;
    } else return -1;
  }
  return dots === 3 && octet >= 0 ? word * 256 + octet : -1;
}

/** The eight groups of the address being parsed; the parser is synchronous, so that one serves all calls. */
const ip6Groups = new Uint16Array(8);

/** RFC 4291 §2.2, all three forms, without zone. */
function parseIp6(bytes: Uint8Array, start: number, end: number, out: PrefixScratch): boolean {
  if (end - start < 2 || end - start > 45) return false;
  const groups = ip6Groups;
  let count = 0;
  let gap = -1; // index of the group before which `::` stands
  let i = start;
  if (bytes[i] === COLON) {
    if (bytes[i + 1] !== COLON) return false;
    gap = 0;
    i += 2;
  }
  while (i < end) {
    if (count === 8) return false;
    let value = 0;
    let digits = 0;
    const groupStart = i;
    for (; i < end; i++) {
      const digit = hexDigit(bytes[i]!); // i < end <= bytes.length
      if (digit < 0) break;
      value = value * 16 + digit;
      if (++digits > 4) return false;
    }
    if (digits === 0) return false;
    if (i < end && bytes[i] === DOT) {
      const word = parseDottedQuad(bytes, groupStart, end);
      if (word < 0 || count > 6) return false;
      groups[count++] = word >>> 16;
      groups[count++] = word & 0xffff;
      i = end;
      break;
    }
    groups[count++] = value;
    if (i === end) break;
    if (bytes[i] !== COLON) return false;
    i++;
    if (i < end && bytes[i] === COLON) {
      if (gap >= 0) return false;
      gap = count;
      i++;
    } else if (i === end) return false; // a single trailing colon
  }
  if (gap < 0 ? count !== 8 : count > 7) return false;
  if (gap >= 0) {
    const moved = 8 - count; // how far the groups after the gap go up
    for (let g = count - 1; g >= gap; g--) groups[g + moved] = groups[g]!; // g < count <= 8
    for (let g = gap; g < gap + moved; g++) groups[g] = 0;
  }
  for (let w = 0; w < 4; w++) out.words[w] = groups[w * 2]! * 65536 + groups[w * 2 + 1]!; // w * 2 + 1 <= 7
  out.family = 6;
  out.length = 128;
  return true;
}

function hexDigit(byte: number): number {
  if (byte >= 0x30 && byte <= 0x39) return byte - 0x30;
  const lower = byte | 0x20;
  return lower >= 0x61 && lower <= 0x66 ? lower - 0x61 + 10 : -1;
}

/** Masks host bits, and turns ::ffff:a.b.c.d/96+n into a.b.c.d/n. */
function normalise(out: PrefixScratch): PrefixFault | undefined {
  const words = out.words;
  if (out.family === 6 && words[0] === 0 && words[1] === 0 && words[2] === 0xffff) {
    if (out.length < 96) return PrefixFault.mapped;
    out.family = 4;
    out.length -= 96;
    words[0] = words[3]!; // always four words
  }
  out.hasHostBits = maskWords(words, out.family, out.length);
  return undefined;
}

/** Zeroes the host bits; whether there were any. */
function maskWords(words: Uint32Array, family: Family, length: number): boolean {
  const stride = strideOf(family);
  let hadHostBits = false;
  for (let w = 0; w < stride; w++) {
    const word = words[w]!; // w < stride <= words.length
    const mask = wordMask(length - w * 32);
    if ((word & ~mask) !== 0) hadHostBits = true;
    words[w] = word & mask;
  }
  return hadHostBits;
}

/** Parses a prefix from text; see `parsePrefixBytes`. Returns the prefix or the fault. */
export function parsePrefix(text: string): Prefix | PrefixFault {
  const bytes = encoder.encode(text);
  const scratch = newPrefixScratch();
  const fault = parsePrefixBytes(bytes, 0, bytes.length, scratch);
  return fault ?? prefixOf(scratch.family, scratch.words, scratch.length);
}

/**
 * Parses one address, without a prefix length. IPv4-mapped IPv6 becomes IPv4. Undefined if it is no address.
 */
export function parseAddress(text: string): Address | undefined {
  if (text.includes('/')) return undefined;
  const prefix = parsePrefix(text);
  return typeof prefix === 'string' ? undefined : { family: prefix.family, words: prefix.words };
}

/** A prefix in normal form from loose parts: copies the words and zeroes the host bits. */
export function prefixOf(family: Family, words: ArrayLike<number>, length: number): Prefix {
  const own = new Uint32Array(strideOf(family));
  for (let w = 0; w < own.length; w++) own[w] = words[w] ?? 0;
  maskWords(own, family, length);
  return { family, words: own, length };
}

/** `1.2.3.4` or RFC 5952 text of an address. */
export function formatAddress(address: Address): string {
  return formatWords(address.family, address.words, 0);
}

/** `ADDRESS/LENGTH`, always with the length. */
export function formatPrefix(prefix: Prefix): string {
  return `${formatAddress(prefix)}/${prefix.length}`;
}

/** The text of entry `index` of a column, always with the length. */
export function formatPrefixAt(prefixes: Prefixes, index: number): string {
  return `${formatWords(prefixes.family, prefixes.words, index * strideOf(prefixes.family))}/${prefixes.lengths[index] ?? 0}`;
}

function formatWords(family: Family, words: Uint32Array, at: number): string {
  if (family === 4) {
    const word = words[at]!; // the caller's index is within the column
    return `${word >>> 24}.${(word >>> 16) & 255}.${(word >>> 8) & 255}.${word & 255}`;
  }
  return formatIp6(words, at);
}

/** RFC 5952: lower-case, no leading zeros, the first longest run of two or more zero groups as `::`. */
function formatIp6(words: Uint32Array, at: number): string {
  const groups: number[] = [];
  for (let w = 0; w < 4; w++) groups.push(words[at + w]! >>> 16, words[at + w]! & 0xffff); // four words from `at`
  let bestStart = -1;
  let bestLen = 1;
  for (let i = 0; i < 8; ) {
    let j = i;
    while (j < 8 && groups[j] === 0) j++;
    if (j - i > bestLen) {
      bestStart = i;
      bestLen = j - i;
    }
    i = j > i ? j : i + 1;
  }
  const hex = (from: number, to: number): string =>
    groups
      .slice(from, to)
      .map((group) => group.toString(16))
      .join(':');
  return bestStart < 0 ? hex(0, 8) : `${hex(0, bestStart)}::${hex(bestStart + bestLen, 8)}`;
}

/** Orders entry i of `a` against entry j of `b` (same family) by address, then by length, shorter first. */
export function comparePrefixAt(a: Prefixes, i: number, b: Prefixes, j: number): number {
  const byAddress = compareWordsAt(a.words, i, b.words, j, strideOf(a.family));
  return byAddress !== 0 ? byAddress : a.lengths[i]! - b.lengths[j]!; // i and j are within their columns
}

/** Orders two addresses within word columns of the same stride, as unsigned numbers. */
export function compareWordsAt(a: Uint32Array, i: number, b: Uint32Array, j: number, stride: 1 | 4): number {
  if (stride === 1) return a[i]! - b[j]!; // i and j are within their columns
  for (let w = 0; w < 4; w++) {
    const difference = a[i * 4 + w]! - b[j * 4 + w]!; // likewise
    if (difference !== 0) return difference;
  }
  return 0;
}

/** Whether entry i of `a` contains the address at entry j of the words `b` of the same family. */
export function containsAt(a: Prefixes, i: number, b: Uint32Array, j: number): boolean {
  const length = a.lengths[i]!; // i and j are within their columns
  const stride = strideOf(a.family);
  for (let w = 0; w < stride && w * 32 < length; w++) {
    if (((a.words[i * stride + w]! ^ b[j * stride + w]!) & wordMask(length - w * 32)) !== 0) return false;
  }
  return true;
}

/** Whether a prefix contains an address; false across families. */
export function contains(prefix: Prefix, address: Address): boolean {
  return (
    prefix.family === address.family && containsAt(columnOf([prefix], prefix.family), 0, address.words, 0)
  );
}

export function sameAddress(a: Address, b: Address): boolean {
  return a.family === b.family && a.words.every((word, w) => word === b.words[w]);
}

/** Whether two columns have the same prefixes in the same order. */
export function samePrefixes(a: Prefixes, b: Prefixes): boolean {
  if (a === b) return true;
  if (a.family !== b.family || a.lengths.length !== b.lengths.length) return false;
  for (let i = 0; i < a.lengths.length; i++) if (a.lengths[i] !== b.lengths[i]) return false;
  for (let w = 0; w < a.words.length; w++) if (a.words[w] !== b.words[w]) return false;
  return true;
}

/** A copy of entry `index` of a column. */
export function prefixAt(prefixes: Prefixes, index: number): Prefix {
  const stride = strideOf(prefixes.family);
  return {
    family: prefixes.family,
    words: prefixes.words.slice(index * stride, (index + 1) * stride),
    length: prefixes.lengths[index] ?? 0,
  };
}

export function emptyPrefixes(family: Family): Prefixes {
  return { family, words: new Uint32Array(0), lengths: new Uint8Array(0) };
}

/** A column of single prefixes of one family, in their order. Throws TypeError on another family. */
export function columnOf(prefixes: readonly Prefix[], family: Family): Prefixes {
  const builder = new PrefixBuilder(family, prefixes.length);
  for (const prefix of prefixes) {
    if (prefix.family !== family)
      throw new TypeError(`an IPv${prefix.family} prefix in an IPv${family} column`);
    builder.push(prefix.words, 0, prefix.length);
  }
  return builder.build();
}

/** A growing column. Takes prefixes in normal form; does not sort. */
export class PrefixBuilder {
  readonly family: Family;
  #words: Uint32Array;
  #lengths: Uint8Array;
  #used = 0;

  constructor(family: Family, capacity = 64) {
    this.family = family;
    this.#words = new Uint32Array(Math.max(1, capacity) * strideOf(family));
    this.#lengths = new Uint8Array(Math.max(1, capacity));
  }

  /** The number of prefixes. */
  get count(): number {
    return this.#used;
  }

  /** Appends a prefix whose words are entry `at` of `words`. */
  push(words: Uint32Array, at: number, length: number): void {
    if (this.#used === this.#lengths.length) this.#grow();
    if (this.family === 4)
      this.#words[this.#used] = words[at]!; // the caller's entry exists
    else for (let w = 0; w < 4; w++) this.#words[this.#used * 4 + w] = words[at * 4 + w]!; // likewise
    this.#lengths[this.#used++] = length;
  }

  /** Appends an IPv4 prefix. */
  push4(word: number, length: number): void {
    if (this.#used === this.#lengths.length) this.#grow();
    this.#words[this.#used] = word;
    this.#lengths[this.#used++] = length;
  }

  /** Appends entries `from` to `to`, which is not among them, of a column of the family. */
  append({ words, lengths }: Prefixes, from: number, to: number): void {
    const count = this.#used + to - from;
    if (count > this.#lengths.length) this.#grow(count);
    const stride = strideOf(this.family);
    this.#words.set(words.subarray(from * stride, to * stride), this.#used * stride);
    this.#lengths.set(lengths.subarray(from, to), this.#used);
    this.#used = count;
  }

  #grow(least = 0): void {
    const capacity = Math.max(least, this.#lengths.length * 2);
    const words = new Uint32Array(capacity * strideOf(this.family));
    words.set(this.#words);
    const lengths = new Uint8Array(capacity);
    lengths.set(this.#lengths);
    this.#words = words;
    this.#lengths = lengths;
  }

  /** The column so far, in memory of its own and exactly as large as its content. */
  build(): Prefixes {
    return {
      family: this.family,
      words: this.#words.slice(0, this.#used * strideOf(this.family)),
      lengths: this.#lengths.slice(0, this.#used),
    };
  }
}
