/**
 * bzip2 without native code, in pieces. The one library for it that Node can load gathers a whole block as numbers before anybody
 * can count: a file of 306 bytes takes 3 GB. Here whoever reads stops after any piece. There is no specification; the layout is that
 * of the bzip2 program 1.0.8 (decompress.c).
 *
 *   "BZh" level 1-9 | block... | 0x177245385090 | CRC of all 32 | bits to the next byte | maybe another such stream
 *   block: 0x314159265359 | CRC 32 | randomised 1 (obsolete) | start 24 | bytes in use 16 + 16 each
 *        | tables 3 | selectors 15 | selectors, move to front, unary | tables, as differences of lengths | symbols
 *
 * A block is the Burrows-Wheeler transform of runs (four equal bytes are followed by how many more there are), as move-to-front
 * indices, whose zeros are counted in a base-2 code (RUNA, RUNB), in prefix codes that change each 50 symbols.
 */

import { ArchiveError, ArchiveErrorCode } from './error.ts';

// Fixed by the format.
const BLOCK_HIGH = 0x314159;
const BLOCK_LOW = 0x265359;
const END_HIGH = 0x177245;
const END_LOW = 0x385090;
const BLOCK_UNIT_BYTES = 100_000;
const GROUP_SYMBOLS = 50;
const CODE_MAX_BITS = 20;
const SYMBOLS_MAX = 258;
const RUN_MAX = 2 * 1024 * 1024; // longer than any block; stops a run that shifts out of 32 bits

/** Our choice: large enough to be quick, small enough to stop in time. */
const PIECE_BYTES = 64 * 1024;

const CRC_TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte << 24;
  for (let bit = 0; bit < 8; bit++) crc = crc & 0x80000000 ? (crc << 1) ^ 0x04c11db7 : crc << 1;
  return crc;
});

/** What comes out, in pieces of at most 64 KiB, each the caller's. Throws ArchiveError `truncated` or `damaged`. */
export function* bunzip2(bytes: Uint8Array): Generator<Uint8Array> {
  const bits = new BitReader(bytes);
  do {
    yield* readStream(bits);
    bits.alignToByte();
  } while (!bits.atEnd);
}

function* readStream(bits: BitReader): Generator<Uint8Array> {
  if (bits.read(24) !== 0x425a68) throw damaged('it does not begin as one, or something else follows it');
  const level = bits.read(8) - 0x30;
  if (level < 1 || level > 9) throw damaged('its block size is out of range');
  const block = new Uint32Array(level * BLOCK_UNIT_BYTES);
  let streamCrc = 0;
  for (;;) {
    const high = bits.read(24);
    const low = bits.read(24);
    const crc = ((bits.read(16) << 16) | bits.read(16)) >>> 0;
    if (high === END_HIGH && low === END_LOW) {
      if (crc !== streamCrc) throw damaged('its checksum differs');
      return;
    }
    if (high !== BLOCK_HIGH || low !== BLOCK_LOW) throw damaged('a block does not begin where it should');
    const { count, start } = readBlock(bits, block);
    const blockCrc = yield* unfold(block, count, start);
    if (blockCrc !== crc) throw damaged('the checksum of a block differs');
    streamCrc = (((streamCrc << 1) | (streamCrc >>> 31)) ^ blockCrc) >>> 0;
  }
}

/** Reads a block into the low bytes of `block`, and puts the order of its transform into the high 24 bits. */
function readBlock(bits: BitReader, block: Uint32Array): { readonly count: number; readonly start: number } {
  if (bits.read(1) === 1) throw damaged('it is of a kind that no program has written for decades');
  const start = bits.read(24);
  const front = readBytesInUse(bits);
  const symbolCount = front.length + 2; // RUNA, RUNB, the indices from 1 on, end
  const tableCount = bits.read(3);
  if (tableCount < 2 || tableCount > 6) throw damaged('it has a wrong number of tables');
  const selectors = readSelectors(bits, tableCount);
  const codes = Array.from({ length: tableCount }, () => new PrefixCode(readLengths(bits, symbolCount)));
  const byteCounts = new Uint32Array(256);
  const count = readSymbols(bits, { block, front, symbolCount, selectors, codes, byteCounts });
  if (start >= count) throw damaged('a block begins behind its end');
  let sum = 0;
  for (let byte = 0; byte < 256; byte++) {
    const ofByte = byteCounts[byte] ?? 0;
    byteCounts[byte] = sum;
    sum += ofByte;
  }
  for (let i = 0; i < count; i++) {
    const byte = block[i]! & 0xff; // i < count <= block.length
    const at = byteCounts[byte]!; // 256 of them; their sum is count, so at < count
    byteCounts[byte] = at + 1;
    block[at] = (block[at]! | (i << 8)) >>> 0;
  }
  return { count, start };
}

function readBytesInUse(bits: BitReader): Uint8Array {
  const rows = bits.read(16);
  const inUse: number[] = [];
  for (let row = 0; row < 16; row++) {
    if ((rows & (0x8000 >> row)) === 0) continue;
    const columns = bits.read(16);
    for (let column = 0; column < 16; column++) {
      if ((columns & (0x8000 >> column)) !== 0) inUse.push(row * 16 + column);
    }
  }
  if (inUse.length === 0) throw damaged('a block uses no bytes');
  return Uint8Array.from(inUse);
}

function readSelectors(bits: BitReader, tableCount: number): Uint8Array {
  const selectors = new Uint8Array(bits.read(15));
  if (selectors.length === 0) throw damaged('a block uses no table');
  const order = Array.from({ length: tableCount }, (_, table) => table);
  for (let i = 0; i < selectors.length; i++) {
    let index = 0;
    while (bits.read(1) === 1) {
      if (++index >= tableCount) throw damaged('a block uses a table that it does not have');
    }
    const [table = 0] = order.splice(index, 1);
    order.unshift(table);
    selectors[i] = table;
  }
  return selectors;
}

function readLengths(bits: BitReader, symbolCount: number): Uint8Array {
  const lengths = new Uint8Array(symbolCount);
  let length = bits.read(5);
  for (let symbol = 0; symbol < symbolCount; symbol++) {
    for (;;) {
      if (length < 1 || length > CODE_MAX_BITS) throw damaged('a code is too long');
      if (bits.read(1) === 0) break;
      length += bits.read(1) === 0 ? 1 : -1;
    }
    lengths[symbol] = length;
  }
  return lengths;
}

/** A canonical prefix code: codes of one length are consecutive, and longer ones come after. */
class PrefixCode {
  /** The largest code of each length, or -1. */
  private readonly limit = new Int32Array(CODE_MAX_BITS + 2).fill(-1);
  /** From a code of that length to its place in `symbols`. */
  private readonly base = new Int32Array(CODE_MAX_BITS + 2);
  private readonly symbols = new Uint16Array(SYMBOLS_MAX);
  private readonly minBits: number;
  private readonly maxBits: number;

  constructor(lengths: Uint8Array) {
    this.minBits = Math.min(...lengths);
    this.maxBits = Math.max(...lengths);
    let code = 0;
    let place = 0;
    for (let length = this.minBits; length <= this.maxBits; length++) {
      this.base[length] = place - code;
      for (let symbol = 0; symbol < lengths.length; symbol++) {
        if (lengths[symbol] !== length) continue;
        this.symbols[place++] = symbol;
        code++;
      }
      this.limit[length] = code - 1;
      code <<= 1;
    }
  }

  read(bits: BitReader): number {
    let code = bits.read(this.minBits);
    for (let length = this.minBits; length <= this.maxBits; length++) {
      if (code <= this.limit[length]!) {
        const place = this.base[length]! + code; // both arrays have an item for each length
        if (place >= 0 && place < SYMBOLS_MAX) return this.symbols[place]!;
        break;
      }
      code = (code << 1) | bits.read(1);
    }
    throw damaged('it has a code that means nothing');
  }
}

interface BlockSymbols {
  readonly block: Uint32Array;
  /** The bytes in use, the last used first; changed while reading. */
  readonly front: Uint8Array;
  readonly symbolCount: number;
  readonly selectors: Uint8Array;
  readonly codes: readonly PrefixCode[];
  /** Counts of bytes; filled while reading. */
  readonly byteCounts: Uint32Array;
}

/** Reads the symbols of a block; returns how many bytes they stand for. */
function readSymbols(bits: BitReader, symbols: BlockSymbols): number {
  const { block, front, symbolCount, selectors, codes, byteCounts } = symbols;
  const end = symbolCount - 1;
  let count = 0;
  let runBytes = 0;
  let runUnit = 1;
  for (let group = 0; group < selectors.length; group++) {
    const code = codes[selectors[group]!]!; // group < length; each was checked to be a table
    for (let i = 0; i < GROUP_SYMBOLS; i++) {
      const symbol = code.read(bits);
      if (symbol <= 1) {
        runBytes += runUnit << symbol;
        runUnit <<= 1;
        if (runBytes > RUN_MAX) throw damaged('a run is longer than a block');
        continue;
      }
      if (runBytes > 0) {
        const byte = front[0]!; // there is at least one
        if (count + runBytes > block.length) throw damaged('a block is longer than it may be');
        block.fill(byte, count, count + runBytes);
        byteCounts[byte]! += runBytes;
        count += runBytes;
        runBytes = 0;
        runUnit = 1;
      }
      if (symbol === end) return count;
      const index = symbol - 1;
      const byte = front[index]!; // 2 <= symbol < end, so 1 <= index < front.length
      front.copyWithin(1, 0, index);
      front[0] = byte;
      if (count >= block.length) throw damaged('a block is longer than it may be');
      block[count++] = byte;
      byteCounts[byte]!++;
    }
  }
  throw damaged('a block has no end');
}

/** Undoes transform and runs; returns the CRC of what came out. */
function* unfold(block: Uint32Array, count: number, start: number): Generator<Uint8Array, number> {
  let crc = 0xffffffff;
  let piece = new Uint8Array(PIECE_BYTES);
  let filled = 0;
  let equal = 0;
  let last = -1;
  let at = block[start]! >>> 8; // start < count <= block.length, and so is each index in the high bits
  for (let i = 0; i < count; i++) {
    const entry = block[at]!;
    const byte = entry & 0xff;
    at = entry >>> 8;
    let copies = 1;
    if (equal === 4) {
      copies = byte;
      equal = 0;
    } else {
      equal = byte === last ? equal + 1 : 1;
      last = byte;
    }
    for (; copies > 0; copies--) {
      piece[filled++] = last;
      crc = (crc << 8) ^ CRC_TABLE[(crc >>> 24) ^ last]!; // an index of 8 bits
      if (filled === PIECE_BYTES) {
        yield piece;
        piece = new Uint8Array(PIECE_BYTES);
        filled = 0;
      }
    }
    if (equal === 0) last = -1;
  }
  if (filled > 0) yield piece.subarray(0, filled);
  return ~crc >>> 0;
}

class BitReader {
  private readonly bytes: Uint8Array;
  private at = 0;
  private buffer = 0;
  private bitCount = 0;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
  }

  get atEnd(): boolean {
    return this.at >= this.bytes.length;
  }

  /** 0 to 24 bits, the first the highest. */
  read(bits: number): number {
    while (this.bitCount < bits) {
      const byte = this.bytes[this.at++];
      if (byte === undefined) throw new ArchiveError(ArchiveErrorCode.truncated, 'the bzip2 data has no end');
      this.buffer = (this.buffer << 8) | byte;
      this.bitCount += 8;
    }
    this.bitCount -= bits;
    return (this.buffer >>> this.bitCount) & ((1 << bits) - 1);
  }

  alignToByte(): void {
    this.bitCount -= this.bitCount % 8;
  }
}

function damaged(why: string): ArchiveError {
  return new ArchiveError(ArchiveErrorCode.damaged, `the bzip2 data is damaged: ${why}`);
}
