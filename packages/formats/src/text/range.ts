/**
 * Address ranges: an inclusive range as the fewest prefixes, in ascending order.
 *
 *     common bits │0│ first …     Below the bit where the ends part, `first` climbs to the top of its half: every 0 bit of
 *                 │1│ last  …     it stands for one block. `last` climbs down from the bottom of its half: every 1 bit.
 */

import { bitsOf, type Family, wordMask } from '@rulecast/rules';

/** Takes one prefix; `words` is valid only during the call. */
export type PrefixSink = (family: Family, words: Uint32Array, length: number) => void;

/**
 * Gives the prefixes that make up the range from `first` to `last`, both inclusive, with words as in Address.
 * Returns false, and gives nothing, if the range is reversed. At most 62 prefixes for IPv4, 254 for IPv6.
 */
export function splitRange(family: Family, first: Uint32Array, last: Uint32Array, emit: PrefixSink): boolean {
  if (family === 4) return splitIp4(first[0]!, last[0]!, emit); // at least one word
  const bits = bitsOf(family);
  const parting = commonBits(first, last);
  if (parting < bits && bitAt(first, parting) === 1) return false;
  const firstLength = Math.max(parting, bits - tailBits(first, 0));
  const lastLength = Math.max(parting, bits - tailBits(last, 0xffffffff));
  if (firstLength === parting && lastLength === parting) {
    emitBlock(family, first, parting, emit);
    return true;
  }
  // A half that is taken whole is one block, but not a longer one: the other half is not whole.
  const firstOwn = Math.max(firstLength, parting + 1);
  const lastOwn = Math.max(lastLength, parting + 1);
  emitBlock(family, first, firstOwn, emit);
  for (let bit = firstOwn - 1; bit > parting; bit--) {
    if (bitAt(first, bit) === 0) emitBlock(family, flipped(first, bit), bit + 1, emit);
  }
  for (let bit = parting + 1; bit < lastOwn; bit++) {
    if (bitAt(last, bit) === 1) emitBlock(family, flipped(last, bit), bit + 1, emit);
  }
  emitBlock(family, last, lastOwn, emit);
  return true;
}

/** The same for IPv4, whose addresses are numbers: the largest aligned block that fits, again and again. */
function splitIp4(first: number, last: number, emit: PrefixSink): boolean {
  if (first > last) return false;
  const block = new Uint32Array(1);
  for (let at = first; at <= last; ) {
    const length = ip4BlockLength(at, last);
    block[0] = at;
    emit(4, block, length);
    at += ip4BlockSize(length);
  }
  return true;
}

/**
 * The length of the largest prefix that starts at `first` and does not reach beyond `last`, which is not
 * below it.
 */
export function ip4BlockLength(first: number, last: number): number {
  const aligned = first === 0 ? 0 : Math.clz32(first & -first) + 1; // shortest length with these host bits zero
  const count = last - first + 1;
  const fitting = count === 2 ** 32 ? 0 : Math.clz32(count) + 1; // shortest length of at most `count` addresses
  return Math.max(aligned, fitting);
}

/** The number of addresses of a prefix of this length. */
export function ip4BlockSize(length: number): number {
  return length === 0 ? 2 ** 32 : (1 << (32 - length)) >>> 0;
}

function bitAt(words: Uint32Array, bit: number): 0 | 1 {
  return ((words[bit >> 5]! >>> (31 - (bit & 31))) & 1) === 1 ? 1 : 0; // bit < bits of the family
}

function flipped(words: Uint32Array, bit: number): Uint32Array {
  const copy = words.slice();
  copy[bit >> 5]! ^= 1 << (31 - (bit & 31)); // bit < bits of the family
  return copy;
}

/** The number of leading bits that two addresses share. */
function commonBits(a: Uint32Array, b: Uint32Array): number {
  for (let w = 0; w < 4; w++) {
    const difference = a[w]! ^ b[w]!; // four words
    if (difference !== 0) return w * 32 + Math.clz32(difference);
  }
  return 128;
}

/** The number of trailing bits of an address that equal `tail`, 0 or all ones. */
function tailBits(words: Uint32Array, tail: 0 | 0xffffffff): number {
  for (let w = 3; w >= 0; w--) {
    const difference = words[w]! ^ tail; // four words
    if (difference !== 0) return (3 - w) * 32 + 31 - Math.clz32(difference & -difference);
  }
  return 128;
}

function emitBlock(family: Family, words: Uint32Array, length: number, emit: PrefixSink): void {
  const block = words.slice(0, bitsOf(family) / 32);
  for (let w = 0; w < block.length; w++) block[w]! &= wordMask(length - w * 32); // w < length
  emit(family, block, length);
}
