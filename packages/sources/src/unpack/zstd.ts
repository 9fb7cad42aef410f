/**
 * Zstandard without native code, in pieces. Node has it since 22.15 only; the library for older ones checks no checksum, and lets a
 * block of 128 KiB ask for gigabytes of copying. Here a block gives at most 128 KiB, whoever reads stops after any of them, and
 * what is remembered is bounded. RFC 8878; the sections below are its.
 */

import { ArchiveError, ArchiveErrorCode } from './error.ts';
import { Xxh64 } from './xxh64.ts';
import { BackwardBits, damagedZstd, truncatedZstd } from './zstd-bits.ts';
import { FseTable, type HuffmanTable, PREDEFINED, readFseTable, readHuffmanTable } from './zstd-table.ts';

// Fixed by the format.
const MAGIC = 0xfd2fb528;
const SKIPPABLE_MAGIC = 0x184d2a50; // and the 15 after it
const BLOCK_MAX_BYTES = 128 * 1024;

const LITERAL_BASES = baselines(
  0,
  [16, 18, 20, 22, 24, 28, 32, 40, 48, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384, 32768, 65536],
);
const LITERAL_BITS = extraBits(16, [1, 1, 1, 1, 2, 2, 3, 3, 4, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16]);
const MATCH_BASES = baselines(
  3,
  [35, 37, 39, 41, 43, 47, 51, 59, 67, 83, 99, 131, 259, 515, 1027, 2051, 4099, 8195, 16387, 32771, 65539],
);
const MATCH_BITS = extraBits(32, [1, 1, 1, 1, 2, 2, 3, 3, 4, 4, 5, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16]);

/** Our choice: how much comes out between two moves of what is remembered. */
const SLIDE_BYTES = 1 << 20;

/**
 * What comes out, in pieces of at most 128 KiB, each the caller's. Throws ArchiveError `truncated`, `damaged`, or `unsupported`
 * for a frame that needs a dictionary or remembers more than `windowMaxBytes`.
 */
export function* unzstd(bytes: Uint8Array, windowMaxBytes: number): Generator<Uint8Array> {
  for (let at = 0; at < bytes.length; ) {
    const magic = littleEndian(bytes, at, 4);
    if ((magic & ~0xf) >>> 0 === SKIPPABLE_MAGIC) {
      at += 8 + littleEndian(bytes, at + 4, 4);
      if (at > bytes.length) throw truncatedZstd();
    } else if (magic === MAGIC) {
      at = yield* readFrame(bytes, at + 4, windowMaxBytes);
    } else {
      throw damagedZstd(at === 0 ? 'it does not begin as one' : 'something else follows it');
    }
  }
}

/** §3.1.1; returns where the frame ends. */
function* readFrame(bytes: Uint8Array, start: number, windowMaxBytes: number): Generator<Uint8Array, number> {
  const header = readFrameHeader(bytes, start);
  if (header.windowBytes > windowMaxBytes) {
    const message = `the zstd data wants ${header.windowBytes} bytes of memory; at most ${windowMaxBytes} are given: compress it without --ultra and --long`;
    throw new ArchiveError(ArchiveErrorCode.unsupported, message);
  }
  const frame = new Frame(header.windowBytes);
  const checksum = header.hasChecksum ? new Xxh64() : undefined;
  let at = header.end;
  let total = 0;
  for (let isLast = false; !isLast; ) {
    const head = littleEndian(bytes, at, 3);
    at += 3;
    isLast = (head & 1) === 1;
    const kind = (head >> 1) & 3;
    const size = head >> 3;
    const end = at + (kind === 1 ? 1 : size);
    if (size > Math.min(header.windowBytes, BLOCK_MAX_BYTES)) throw damagedZstd('a block is too large');
    if (end > bytes.length) throw truncatedZstd();
    const piece = frame.readBlock(kind, bytes.subarray(at, end), size);
    at = end;
    total += piece.length;
    if (header.contentBytes !== undefined && total > header.contentBytes)
      throw damagedZstd('more comes out than it says');
    checksum?.update(piece);
    if (piece.length > 0) yield piece;
  }
  if (header.contentBytes !== undefined && total !== header.contentBytes)
    throw damagedZstd('less comes out than it says');
  if (checksum === undefined) return at;
  if (littleEndian(bytes, at, 4) !== checksum.lowHalf()) throw damagedZstd('its checksum differs');
  return at + 4;
}

interface FrameHeader {
  readonly windowBytes: number;
  /** Of the whole frame, if it says so. */
  readonly contentBytes: number | undefined;
  readonly hasChecksum: boolean;
  readonly end: number;
}

/** §3.1.1.1 */
function readFrameHeader(bytes: Uint8Array, start: number): FrameHeader {
  const descriptor = littleEndian(bytes, start, 1);
  let at = start + 1;
  if ((descriptor & 0x08) !== 0) throw damagedZstd('a reserved bit is set');
  const isSingleSegment = (descriptor & 0x20) !== 0;
  let windowBytes = 0;
  if (!isSingleSegment) {
    const window = littleEndian(bytes, at++, 1);
    const base = 2 ** (10 + (window >> 3));
    windowBytes = base + (base / 8) * (window & 7);
  }
  const dictionaryBytes = [0, 1, 2, 4][descriptor & 3] ?? 0;
  if (littleEndian(bytes, at, dictionaryBytes) !== 0) {
    throw new ArchiveError(ArchiveErrorCode.unsupported, 'the zstd data needs a dictionary');
  }
  at += dictionaryBytes;
  const sizeBytes = [isSingleSegment ? 1 : 0, 2, 4, 8][descriptor >> 6] ?? 0;
  const size = littleEndian(bytes, at, sizeBytes) + (sizeBytes === 2 ? 256 : 0);
  at += sizeBytes;
  return {
    windowBytes: isSingleSegment ? size : windowBytes,
    contentBytes: sizeBytes === 0 ? undefined : size,
    hasChecksum: (descriptor & 0x04) !== 0,
    end: at,
  };
}

/** What the blocks of a frame hand on to the next: what came out, the last offsets, the tables. */
class Frame {
  private readonly windowBytes: number;
  /** The window, and behind it room for what comes out; grows with what comes out. */
  private history = new Uint8Array(0);
  private filled = 0;
  private readonly offsets: [number, number, number] = [1, 4, 8];
  private huffman: HuffmanTable | undefined;
  /** Of literal lengths, offsets, match lengths. */
  private readonly tables: (FseTable | undefined)[] = [undefined, undefined, undefined];
  private readonly literals = new Uint8Array(BLOCK_MAX_BYTES);

  constructor(windowBytes: number) {
    this.windowBytes = windowBytes;
  }

  /** What a block gives; §3.1.1.2. */
  readBlock(kind: number, bytes: Uint8Array, size: number): Uint8Array {
    this.makeRoom();
    const start = this.filled;
    switch (kind) {
      case 0:
        this.history.set(bytes, start);
        this.filled += size;
        break;
      case 1:
        this.history.fill(bytes[0] ?? 0, start, start + size);
        this.filled += size;
        break;
      case 2:
        this.readCompressed(bytes);
        break;
      default:
        throw damagedZstd('a block is of no known kind');
    }
    return this.history.slice(start, this.filled);
  }

  private makeRoom(): void {
    if (this.filled + BLOCK_MAX_BYTES <= this.history.length) return;
    const kept = Math.min(this.filled, this.windowBytes);
    const wanted = kept + SLIDE_BYTES + BLOCK_MAX_BYTES;
    const from = this.history.subarray(this.filled - kept, this.filled);
    if (this.history.length < wanted) {
      const grown = new Uint8Array(Math.min(wanted * 2, this.windowBytes + SLIDE_BYTES + BLOCK_MAX_BYTES));
      grown.set(from);
      this.history = grown;
    } else {
      this.history.copyWithin(0, this.filled - kept, this.filled);
    }
    this.filled = kept;
  }

  /** §3.1.1.3 */
  private readCompressed(bytes: Uint8Array): void {
    const { count, end } = this.readLiterals(bytes);
    const head = readSequencesHead(bytes, end);
    if (head.count === 0) {
      if (head.end !== bytes.length) throw damagedZstd('a block is longer than what it holds');
      this.emitLiterals(0, count);
      return;
    }
    let at = head.end;
    const modes = littleEndian(bytes, at++, 1);
    if ((modes & 3) !== 0) throw damagedZstd('a reserved bit is set');
    for (const [index, shift] of [6, 4, 2].entries())
      at = this.readTable(index, (modes >> shift) & 3, bytes, at);
    this.execute(new BackwardBits(bytes.subarray(at)), head.count, count);
  }

  /** §3.1.1.3.1; into `literals`. */
  private readLiterals(bytes: Uint8Array): { readonly count: number; readonly end: number } {
    const first = littleEndian(bytes, 0, 1);
    const kind = first & 3;
    const format = (first >> 2) & 3;
    if (kind < 2) {
      const headBytes = [1, 2, 1, 3][format] ?? 1;
      const count = Math.floor(littleEndian(bytes, 0, headBytes) / (headBytes === 1 ? 8 : 16));
      const end = headBytes + (kind === 1 ? 1 : count);
      if (count > BLOCK_MAX_BYTES || end > bytes.length)
        throw damagedZstd('literals are longer than their block');
      if (kind === 1) this.literals.fill(bytes[headBytes] ?? 0, 0, count);
      else this.literals.set(bytes.subarray(headBytes, end));
      return { count, end };
    }
    const headBytes = [3, 3, 4, 5][format] ?? 3;
    const sizeBits = [10, 10, 14, 18][format] ?? 10;
    const head = Math.floor(littleEndian(bytes, 0, headBytes) / 16);
    const count = head % 2 ** sizeBits;
    const end = headBytes + Math.floor(head / 2 ** sizeBits);
    if (count > BLOCK_MAX_BYTES || end > bytes.length)
      throw damagedZstd('literals are longer than their block');
    let at = headBytes;
    if (kind === 2) {
      const read = readHuffmanTable(bytes.subarray(at, end));
      this.huffman = read.table;
      at += read.end;
    }
    const { huffman } = this;
    if (huffman === undefined) throw damagedZstd('literals use a table that was never given');
    this.readHuffmanStreams(huffman, bytes.subarray(at, end), count, format === 0 ? 1 : 4);
    return { count, end };
  }

  /** §4.2.2, and the jump table of §3.1.1.3.1.6. */
  private readHuffmanStreams(table: HuffmanTable, bytes: Uint8Array, count: number, streams: 1 | 4): void {
    if (streams === 1) {
      table.read(bytes, this.literals.subarray(0, count));
      return;
    }
    const each = Math.floor((count + 3) / 4);
    if (each * 3 > count) throw damagedZstd('literals are too few for four streams');
    let at = 6;
    for (let stream = 0; stream < 4; stream++) {
      const end = stream === 3 ? bytes.length : at + littleEndian(bytes, stream * 2, 2);
      if (end > bytes.length || end < at) throw damagedZstd('literals are longer than their block');
      const to = stream === 3 ? count : (stream + 1) * each;
      table.read(bytes.subarray(at, end), this.literals.subarray(stream * each, to));
      at = end;
    }
  }

  /** §3.1.1.3.2.1.1; returns where the description ends. */
  private readTable(index: number, mode: number, bytes: Uint8Array, at: number): number {
    const predefined = PREDEFINED[index]!; // 0 to 2
    switch (mode) {
      case 0:
        this.tables[index] = predefined.table;
        return at;
      case 1: {
        const symbol = littleEndian(bytes, at, 1);
        if (symbol > predefined.symbolMax) throw damagedZstd('a code means nothing');
        this.tables[index] = FseTable.ofOne(symbol);
        return at + 1;
      }
      case 2: {
        const read = readFseTable(bytes.subarray(at), predefined.symbolMax, predefined.logMax);
        this.tables[index] = read.table;
        return at + read.end;
      }
      default:
        if (this.tables[index] === undefined) throw damagedZstd('a block uses a table that was never given');
        return at;
    }
  }

  /** §3.1.1.4: copies literals, and what came before, as the sequences say. */
  private execute(bits: BackwardBits, sequenceCount: number, literalCount: number): void {
    const [literalTable, offsetTable, matchTable] = this.tables;
    if (literalTable === undefined || offsetTable === undefined || matchTable === undefined)
      throw damagedZstd('a table is missing');
    let literalState = bits.read(literalTable.log);
    let offsetState = bits.read(offsetTable.log);
    let matchState = bits.read(matchTable.log);
    let literalAt = 0;
    const blockEnd = this.filled + Math.min(BLOCK_MAX_BYTES, this.windowBytes);
    for (let i = 0; i < sequenceCount; i++) {
      const offsetCode = offsetTable.symbols[offsetState]!; // a state is below the size of its table
      const matchCode = matchTable.symbols[matchState]!;
      const literalCode = literalTable.symbols[literalState]!;
      const offsetValue = 2 ** offsetCode + bits.readLong(offsetCode);
      const matchLength = MATCH_BASES[matchCode]! + bits.read(MATCH_BITS[matchCode]!); // no table holds a larger code
      const literalLength = LITERAL_BASES[literalCode]! + bits.read(LITERAL_BITS[literalCode]!);
      if (literalAt + literalLength > literalCount)
        throw damagedZstd('a sequence uses more literals than there are');
      if (this.filled + literalLength + matchLength > blockEnd)
        throw damagedZstd('a block gives more than it may');
      this.emitLiterals(literalAt, literalAt + literalLength);
      literalAt += literalLength;
      this.emitMatch(this.offsetOf(offsetValue, literalLength), matchLength);
      if (i === sequenceCount - 1) break;
      literalState = literalTable.next(literalState, bits);
      matchState = matchTable.next(matchState, bits);
      offsetState = offsetTable.next(offsetState, bits);
    }
    if (bits.left !== 0) throw damagedZstd('a block is not used up');
    if (this.filled + literalCount - literalAt > blockEnd)
      throw damagedZstd('a block gives more than it may');
    this.emitLiterals(literalAt, literalCount);
  }

  /** §3.1.1.5: values up to 3 mean one of the last three offsets. */
  private offsetOf(value: number, literalLength: number): number {
    const { offsets } = this;
    if (value > 3) {
      offsets[2] = offsets[1];
      offsets[1] = offsets[0];
      offsets[0] = value - 3;
      return offsets[0];
    }
    const which = value - 1 + (literalLength === 0 ? 1 : 0);
    if (which === 0) return offsets[0];
    const offset = which === 1 ? offsets[1] : which === 2 ? offsets[2] : offsets[0] - 1;
    if (which > 1) offsets[2] = offsets[1];
    offsets[1] = offsets[0];
    offsets[0] = offset;
    return offset;
  }

  private emitLiterals(from: number, to: number): void {
    this.history.set(this.literals.subarray(from, to), this.filled);
    this.filled += to - from;
  }

  private emitMatch(offset: number, length: number): void {
    if (offset < 1 || offset > this.filled || offset > this.windowBytes)
      throw damagedZstd('a match lies before the beginning');
    const { history } = this;
    let to = this.filled;
    if (offset >= length) {
      history.copyWithin(to, to - offset, to - offset + length);
    } else {
      for (const end = to + length; to < end; to++) history[to] = history[to - offset]!; // offset <= filled
    }
    this.filled += length;
  }
}

/** §3.1.1.3.2.1: how many sequences a block has. */
function readSequencesHead(bytes: Uint8Array, at: number): { readonly count: number; readonly end: number } {
  const first = littleEndian(bytes, at, 1);
  if (first < 128) return { count: first, end: at + 1 };
  if (first < 255) return { count: ((first - 128) << 8) + littleEndian(bytes, at + 1, 1), end: at + 2 };
  return { count: littleEndian(bytes, at + 1, 2) + 0x7f00, end: at + 3 };
}

/** Up to 8 bytes, as exactly as a number can be. */
function littleEndian(bytes: Uint8Array, at: number, count: number): number {
  if (at + count > bytes.length) throw truncatedZstd();
  let value = 0;
  for (let i = count - 1; i >= 0; i--) value = value * 256 + (bytes[at + i] ?? 0);
  return value;
}

/** Codes below those listed stand for themselves, from `first` on. */
function baselines(first: number, listed: readonly number[]): Uint32Array {
  const plain = (listed[0] ?? 0) - first;
  return Uint32Array.from(
    { length: plain + listed.length },
    (_, code) => listed[code - plain] ?? first + code,
  );
}

function extraBits(plain: number, listed: readonly number[]): Uint8Array {
  return Uint8Array.from({ length: plain + listed.length }, (_, code) => listed[code - plain] ?? 0);
}
