/**
 * Gap codecs: how a block of gaps between ascending numbers becomes bytes. The writer of a block takes
 * whichever codec makes it shorter. CONTENT.md "Entry encoding".
 */

import type { ByteReader } from '../bytes/reader.ts';
import { ENTRY_BLOCK_ENTRIES } from '../limits.ts';

/** Words per number: 1 for IPv4 networks and indices, 4 for IPv6 networks, most significant first. */
export type Stride = 1 | 4;

/** The codec byte of a block. */
export const GapCodec = {
  /** LEB128, shortest form, one gap after the other. */
  varint: 0,
  /**
   * Rice codes of gaps below 2^32 (Rice, "Some Practical Universal Noiseless Coding Techniques", JPL 79-22,
   * 1979).
   */
  rice: 2,
} as const;
export type GapCodec = (typeof GapCodec)[keyof typeof GapCodec];

/** Up to 4,096 gaps, one or four words each, in memory that is used again for the next block. */
export interface Gaps {
  readonly stride: Stride;
  readonly words: Uint32Array;
  /** Gaps in use. */
  count: number;
}

export function newGaps(stride: Stride): Gaps {
  return { stride, words: new Uint32Array(ENTRY_BLOCK_ENTRIES * stride), count: 0 };
}

/** 32 bits, and 128 bits, in groups of seven. */
const LEB128_MAX_BYTES = { 1: 5, 4: 19 } as const;

/** The encoders' memory, each for a block of the longest gaps. */
const varints = new Uint8Array(ENTRY_BLOCK_ENTRIES * LEB128_MAX_BYTES[4]);
const riceCodes = new Uint8Array(riceMaxBytes(ENTRY_BLOCK_ENTRIES));
/** The low words of gaps of four words. */
const lowWords = new Uint32Array(ENTRY_BLOCK_ENTRIES);

/** The shorter form of a block, of equals that of varint. The bytes are valid until the next call. */
export function encodeGaps(gaps: Gaps): { readonly code: GapCodec; readonly bytes: Uint8Array } {
  const plain = varintBytes(gaps);
  const rice = riceBelow(gaps, plain.length);
  return rice === undefined ? { code: GapCodec.varint, bytes: plain } : { code: GapCodec.rice, bytes: rice };
}

/**
 * Fills the first `gaps.count` gaps from all bytes of `payload`. False, or a ProtocolError, if they are not
 * those of just as many. The code is any byte.
 */
export function decodeGaps(code: number, payload: ByteReader, gaps: Gaps): boolean {
  switch (code) {
    case GapCodec.varint:
      return decodeVarints(payload.bytes(payload.remaining), gaps);
    case GapCodec.rice:
      return decodeRices(payload.bytes(payload.remaining), gaps);
    default:
      return false;
  }
}

// ── Varints ────────────────────────────────────────────────────────────────────────────────────────────────

function varintBytes(gaps: Gaps): Uint8Array {
  return varints.subarray(0, gaps.stride === 1 ? encodeVarints1(gaps) : encodeVarints4(gaps));
}

function decodeVarints(bytes: Uint8Array, gaps: Gaps): boolean {
  return gaps.stride === 1 ? decodeVarints1(bytes, gaps) : decodeVarints4(bytes, gaps);
}

function encodeVarints1({ words, count }: Gaps): number {
  let at = 0;
  for (let i = 0; i < count; i++) {
    let rest = words[i]!; // i < count <= words.length
    while (rest > 127) {
      varints[at++] = (rest & 127) | 128;
      rest >>>= 7;
    }
    varints[at++] = rest;
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
      varints[at++] = (w3 & 127) | 128;
      w3 = ((w3 >>> 7) | ((w2 & 127) << 25)) >>> 0;
      w2 = ((w2 >>> 7) | ((w1 & 127) << 25)) >>> 0;
      w1 = ((w1 >>> 7) | ((w0 & 127) << 25)) >>> 0;
      w0 >>>= 7;
    }
    varints[at++] = w3;
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

// ── Rice codes ─────────────────────────────────────────────────────────────────────────────────────────────

function riceBelow(gaps: Gaps, lessThan: number): Uint8Array | undefined {
  const words = gaps.stride === 1 ? gaps.words : onlyLowWords(gaps);
  if (words === undefined) return undefined;
  const parameter = riceParameter(words, gaps.count);
  const length = 1 + Math.ceil(riceBits(words, gaps.count, parameter) / 8);
  if (length >= lessThan || length > riceMaxBytes(gaps.count)) return undefined;
  encodeRice(words, gaps.count, parameter);
  return riceCodes.subarray(0, length);
}

function decodeRices(bytes: Uint8Array, gaps: Gaps): boolean {
  if (gaps.stride === 1) return decodeRice(bytes, gaps.words, gaps.count);
  if (!decodeRice(bytes, lowWords, gaps.count)) return false;
  gaps.words.fill(0, 0, gaps.count * 4);
  for (let i = 0; i < gaps.count; i++) gaps.words[i * 4 + 3] = lowWords[i]!; // i < count, four words each
  return true;
}

/** The low words of gaps, if the others are zero. */
function onlyLowWords({ words, count }: Gaps): Uint32Array | undefined {
  for (let i = 0; i < count; i++) {
    if ((words[i * 4]! | words[i * 4 + 1]! | words[i * 4 + 2]!) !== 0) return undefined; // four words each
    lowWords[i] = words[i * 4 + 3]!;
  }
  return lowWords;
}

/** Parameters: how many low bits of a gap are written as they are. */
const RICE_PARAMETER_MAX = 31;

/** A payload beyond this is refused: varints are shorter, and what a decoder must hold is bounded. */
function riceMaxBytes(count: number): number {
  return count * LEB128_MAX_BYTES[1];
}

function riceBits(words: Uint32Array, count: number, parameter: number): number {
  let bits = count * (parameter + 1);
  for (let i = 0; i < count; i++) bits += words[i]! >>> parameter; // i < count; exact: below 2^44
  return bits;
}

/**
 * The smallest of the parameters that need the fewest bits. A walk finds it, for the bits are convex in the
 * parameter.
 */
function riceParameter(words: Uint32Array, count: number): number {
  let sum = 0;
  for (let i = 0; i < count; i++) sum += words[i]!; // i < count
  const start = Math.floor(Math.log2(Math.max(1, (sum / count) * Math.LN2)));
  let parameter = Math.min(RICE_PARAMETER_MAX, Math.max(0, start));
  let bits = riceBits(words, count, parameter);
  for (const step of [1, -1]) {
    for (let next = parameter + step; next >= 0 && next <= RICE_PARAMETER_MAX; next += step) {
      const nextBits = riceBits(words, count, next);
      if (step > 0 ? nextBits >= bits : nextBits > bits) break;
      parameter = next;
      bits = nextBits;
    }
  }
  return parameter;
}

function encodeRice(words: Uint32Array, count: number, parameter: number): void {
  const lowBits = Math.min(parameter, 16);
  const lowMask = 2 ** lowBits - 1;
  const highMask = 2 ** (parameter - lowBits) - 1;
  let at = 0;
  let register = parameter;
  let used = 8; // bits of the register: below 8 between the steps, so that a step of 16 more fits
  for (let i = 0; i < count; i++) {
    const gap = words[i]!; // i < count
    let zeros = gap >>> parameter;
    for (; zeros > 15; zeros -= 16) {
      for (used += 16; used > 7; used -= 8, register >>>= 8) riceCodes[at++] = register;
    }
    for (; used > 7; used -= 8, register >>>= 8) riceCodes[at++] = register;
    register |= 1 << (used + zeros);
    for (used += zeros + 1; used > 7; used -= 8, register >>>= 8) riceCodes[at++] = register;
    register |= (gap & lowMask) << used;
    for (used += lowBits; used > 7; used -= 8, register >>>= 8) riceCodes[at++] = register;
    if (parameter <= 16) continue;
    register |= ((gap >>> 16) & highMask) << used;
    for (used += parameter - 16; used > 7; used -= 8, register >>>= 8) riceCodes[at++] = register;
  }
  if (used > 0) riceCodes[at] = register;
}

/** Bits from the lowest of each byte on. The rest of the last byte is zero. */
function decodeRice(bytes: Uint8Array, words: Uint32Array, count: number): boolean {
  const parameter = bytes[0];
  if (parameter === undefined || parameter > RICE_PARAMETER_MAX || bytes.length > riceMaxBytes(count))
    return false;
  const quotientMax = 0xffff_ffff >>> parameter;
  let at = 1;
  let rest = 0; // of the byte before `at`
  let left = 0; // bits of it
  for (let i = 0; i < count; i++) {
    let quotient = 0;
    while (rest === 0) {
      quotient += left;
      if (at === bytes.length) return false;
      rest = bytes[at++]!; // at < length
      left = 8;
    }
    const zeros = 31 - Math.clz32(rest & -rest);
    quotient += zeros;
    if (quotient > quotientMax) return false;
    rest >>>= zeros + 1;
    left -= zeros + 1;
    let gap = quotient;
    let remainder = 0;
    for (let have = 0; have < parameter; ) {
      if (left === 0) {
        if (at === bytes.length) return false;
        rest = bytes[at++]!; // at < length
        left = 8;
      }
      const bits = Math.min(parameter - have, left);
      remainder |= (rest & ((1 << bits) - 1)) << have;
      rest >>>= bits;
      left -= bits;
      have += bits;
    }
    gap = (quotient << parameter) | remainder;
    words[i] = gap; // i < count
  }
  return at === bytes.length && rest === 0;
}
