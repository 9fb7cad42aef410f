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
 * Gives the prefixes that make up the range from `first` to `last`, both inclusive, with words as in Address. Returns false,
 * and gives nothing, if the range is reversed. At most 62 prefixes for IPv4, 254 for IPv6.
 */
export function splitRange(family: Family, first: Uint32Array, last: Uint32Array, emit: PrefixSink): boolean {
  const bits = bitsOf(family);
  let parting = 0;
  while (parting < bits && bitAt(first, parting) === bitAt(last, parting)) parting++;
  if (parting < bits && bitAt(first, parting) === 1) return false;
  const firstLength = lengthBeforeTail(first, parting, bits, 0);
  const lastLength = lengthBeforeTail(last, parting, bits, 1);
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

function bitAt(words: Uint32Array, bit: number): 0 | 1 {
  return ((words[bit >> 5]! >>> (31 - (bit & 31))) & 1) === 1 ? 1 : 0; // bit < bits of the family
}

function flipped(words: Uint32Array, bit: number): Uint32Array {
  const copy = words.slice();
  copy[bit >> 5]! ^= 1 << (31 - (bit & 31)); // bit < bits of the family
  return copy;
}

/** The length of the prefix that is left when the bits at the end that equal `tail` are taken off, but none above `parting`. */
function lengthBeforeTail(words: Uint32Array, parting: number, bits: number, tail: 0 | 1): number {
  let length: number = bits;
  while (length > parting && bitAt(words, length - 1) === tail) length--;
  return length;
}

function emitBlock(family: Family, words: Uint32Array, length: number, emit: PrefixSink): void {
  const block = words.slice(0, bitsOf(family) / 32);
  for (let w = 0; w < block.length; w++) block[w]! &= wordMask(length - w * 32); // w < length
  emit(family, block, length);
}
