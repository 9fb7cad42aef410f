/**
 * Gap codecs: how a block of gaps between ascending numbers becomes bytes. A codec is a row of `GAP_CODECS`; the writer of a block
 * takes whichever row makes it shortest. PROTOCOL.md "Entry encoding".
 */

import { ENTRY_BLOCK_ENTRIES } from './limits.ts';

/** Words per number: 1 for IPv4 networks and indices, 4 for IPv6 networks, most significant first. */
export type Stride = 1 | 4;

/** Up to 4,096 gaps, one or four words each, in memory that is used again for the next block. */
export interface Gaps {
  readonly stride: Stride;
  readonly words: Uint32Array;
  /** Gaps in use. */
  count: number;
}

export interface GapCodec {
  /** The codec byte of a block. */
  readonly code: number;
  /** The bytes of a block; valid until the codec is used again. */
  encode(gaps: Gaps): Uint8Array;
  /** Fills the first `gaps.count` gaps from exactly these bytes. False if they are not what `encode` would make of any gaps. */
  decode(bytes: Uint8Array, gaps: Gaps): boolean;
}

export function newGaps(stride: Stride): Gaps {
  return { stride, words: new Uint32Array(ENTRY_BLOCK_ENTRIES * stride), count: 0 };
}

/** 128 bits in groups of seven. */
const LEB128_MAX_BYTES = 19;
/** The encoder's memory: a block of the longest gaps. */
const scratch = new Uint8Array(ENTRY_BLOCK_ENTRIES * LEB128_MAX_BYTES);

/** LEB128, shortest form, one gap after the other. */
const varint: GapCodec = {
  code: 0,
  encode: (gaps) => scratch.subarray(0, gaps.stride === 1 ? encodeVarints1(gaps) : encodeVarints4(gaps)),
  decode: (bytes, gaps) => (gaps.stride === 1 ? decodeVarints1(bytes, gaps) : decodeVarints4(bytes, gaps)),
};

/** The codecs by their code. Codes 1 and 2 are reserved: varints deflated, and Rice codes. */
export const GAP_CODECS: readonly GapCodec[] = [varint];

/** Every codec byte is the code of the row at its place, so that a decoder finds it without a search. */
export function gapCodec(code: number): GapCodec | undefined {
  return GAP_CODECS[code];
}

function encodeVarints1({ words, count }: Gaps): number {
  let at = 0;
  for (let i = 0; i < count; i++) {
    let rest = words[i]!; // i < count <= words.length
    while (rest > 127) {
      scratch[at++] = (rest & 127) | 128;
      rest >>>= 7;
    }
    scratch[at++] = rest;
  }
  return at;
}

function decodeVarints1(bytes: Uint8Array, { words, count }: Gaps): boolean {
  let at = 0;
  for (let i = 0; i < count; i++) {
    let byte = bytes[at++];
    if (byte === undefined) return false;
    let value = byte & 127;
    let shift = 7;
    while (byte > 127) {
      byte = bytes[at++];
      // A zero at the end is a longer form; the fifth byte holds the last four bits of a word.
      if (byte === undefined || byte === 0 || (shift === 28 && byte > 15)) return false;
      value |= (byte & 127) << shift;
      shift += 7;
    }
    words[i] = value;
  }
  return at === bytes.length;
}

function encodeVarints4({ words, count }: Gaps): number {
  let at = 0;
  for (let i = 0; i < count; i++) {
    let w0 = words[i * 4]!; // i < count, four words each
    let w1 = words[i * 4 + 1]!;
    let w2 = words[i * 4 + 2]!;
    let w3 = words[i * 4 + 3]!;
    while (w0 !== 0 || w1 !== 0 || w2 !== 0 || w3 > 127) {
      scratch[at++] = (w3 & 127) | 128;
      w3 = ((w3 >>> 7) | ((w2 & 127) << 25)) >>> 0;
      w2 = ((w2 >>> 7) | ((w1 & 127) << 25)) >>> 0;
      w1 = ((w1 >>> 7) | ((w0 & 127) << 25)) >>> 0;
      w0 >>>= 7;
    }
    scratch[at++] = w3;
  }
  return at;
}

function decodeVarints4(bytes: Uint8Array, { words, count }: Gaps): boolean {
  let at = 0;
  for (let i = 0; i < count; i++) {
    const end = i * 4 + 3; // the least significant word of this gap
    words.fill(0, end - 3, end + 1);
    let shift = 0;
    let byte: number | undefined;
    do {
      byte = bytes[at++];
      if (byte === undefined || (byte === 0 && shift > 0) || (shift === 126 && byte > 3)) return false;
      const word = end - (shift >>> 5);
      const bit = shift & 31;
      words[word]! |= (byte & 127) << bit; // shift <= 126: within the four words
      if (bit > 25 && word > end - 3) words[word - 1]! |= (byte & 127) >>> (32 - bit);
      shift += 7;
    } while (byte > 127);
  }
  return at === bytes.length;
}
