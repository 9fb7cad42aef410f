/**
 * Prefixes as plain columns: the form of lists, the prefixes of a policy and the addresses of a name in
 * canonical bytes. CONTENT.md "Canonical bytes".
 */

import {
  bitsOf,
  type Family,
  isCanonical,
  type Prefixes,
  type PrefixSet,
  strideOf,
  wordMask,
} from '@rulecast/rules';
import type { ByteReader } from '../bytes/reader.ts';
import type { ByteWriter } from '../bytes/writer.ts';

/** Bytes of one prefix in columns: its words and its length. */
export function prefixBytes(family: Family): number {
  return strideOf(family) * 4 + 1;
}

/** A column without its count: all words, then all lengths. */
export function writeColumn(writer: ByteWriter, prefixes: Prefixes): void {
  writer.words(prefixes.words);
  writer.bytes(prefixes.lengths);
}

/**
 * Reads a column of `count` prefixes in any order; refuses host bits that are set and lengths beyond the
 * family.
 */
export function readColumn(reader: ByteReader, family: Family, count: number): Prefixes {
  const words = reader.words(count * strideOf(family));
  return checkedColumn(reader, { family, words, lengths: reader.bytes(count).slice() });
}

function checkedColumn(reader: ByteReader, prefixes: Prefixes): Prefixes {
  const bad = unmaskedAt(prefixes);
  if (bad >= 0) throw reader.error(`prefix ${bad} is not in normal form`, bad);
  return prefixes;
}

/** The form of a run's column: plain in canonical bytes, as planes in transfers. Both have the same size. */
export interface ColumnForm {
  write(writer: ByteWriter, prefixes: Prefixes): void;
  read(reader: ByteReader, family: Family, count: number): Prefixes;
}

export const PLAIN_COLUMNS: ColumnForm = { write: writeColumn, read: readColumn };

/**
 * For each word of the addresses: the lowest bytes of its differences from one prefix to the next, then the
 * second lowest, and so on; all lengths at the end. Rules that count up through a network, as most do, differ
 * by little, and deflate to almost nothing.
 */
export const PLANE_COLUMNS: ColumnForm = {
  write: (writer, { family, words, lengths }) => {
    const stride = strideOf(family);
    const count = lengths.length;
    const planes = new Uint8Array(words.length * 4);
    for (let w = 0; w < stride; w++) {
      let last = 0;
      for (let i = 0; i < count; i++) {
        const word = words[i * stride + w]!; // i < count
        for (let b = 0; b < 4; b++) planes[(w * 4 + b) * count + i] = (word - last) >>> (b * 8);
        last = word;
      }
    }
    writer.bytes(planes);
    writer.bytes(lengths);
  },
  read: (reader, family, count) => {
    const stride = strideOf(family);
    const planes = reader.bytes(count * stride * 4);
    const words = new Uint32Array(count * stride);
    for (let w = 0; w < stride; w++) {
      let last = 0;
      for (let i = 0; i < count; i++) {
        for (let b = 0; b < 4; b++) last += planes[(w * 4 + b) * count + i]! << (b * 8); // four planes of count bytes a word
        words[i * stride + w] = last;
        last = words[i * stride + w]!; // modulo 2^32
      }
    }
    return checkedColumn(reader, { family, words, lengths: reader.bytes(count).slice() });
  },
};

/** Whether no prefix is too long or has host bits. */
export function isMasked(prefixes: Prefixes): boolean {
  return unmaskedAt(prefixes) < 0;
}

/** The first prefix that is too long or has host bits; -1 if there is none. */
function unmaskedAt({ family, words, lengths }: Prefixes): number {
  const stride = strideOf(family);
  const bits = bitsOf(family);
  for (let i = 0; i < lengths.length; i++) {
    const length = lengths[i]!; // i < length
    if (length > bits) return i;
    for (let w = length >>> 5; w < stride; w++) {
      if ((words[i * stride + w]! & ~wordMask(length - w * 32)) !== 0) return i; // w < stride
    }
  }
  return -1;
}

/** Both counts, then both columns: what `RCP1` is followed by, too. */
export function writePrefixSet(writer: ByteWriter, set: PrefixSet): void {
  writer.u32(set.v4.lengths.length);
  writer.u32(set.v6.lengths.length);
  writeColumn(writer, set.v4);
  writeColumn(writer, set.v6);
}

/** Reads a canonical set: sorted, unique, disjoint. */
export function readPrefixSet(reader: ByteReader): PrefixSet {
  const count4 = reader.u32();
  const count6 = reader.u32();
  if (count4 * prefixBytes(4) + count6 * prefixBytes(6) > reader.remaining) {
    throw reader.error(`${count4} and ${count6} prefixes announced, but ${reader.remaining} bytes are left`);
  }
  const v4 = readColumn(reader, 4, count4);
  const v6 = readColumn(reader, 6, count6);
  if (!isCanonical(v4) || !isCanonical(v6))
    throw reader.error('its prefixes are not sorted, unique and disjoint');
  return { v4, v6 };
}

/** The number of bytes that `writePrefixSet` appends. */
export function prefixSetLength({ v4, v6 }: PrefixSet): number {
  return 8 + v4.lengths.length * prefixBytes(4) + v6.lengths.length * prefixBytes(6);
}
