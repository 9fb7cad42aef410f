/**
 * The elements of a change in the kernel's form: keys of a hash set, each prefix expanded to the length of
 * its tier; both ends of the prefixes of an interval set; and keys of maps with their verdicts. All in pieces
 * of one transaction.
 */

import type { Family } from '@rulecast/rules';
import { strideOf } from '@rulecast/rules/columns';
import { PIECE_ELEMENTS } from '../limits.ts';
import type { Change, Elements, Verdicts } from '../plan/change.ts';
import { parseClassMapName, parseMapName } from '../plan/plan.ts';
import { setNameOf } from './script.ts';

/** Up to PIECE_ELEMENTS keys of one set or map. */
export interface Piece {
  readonly set: string;
  readonly family: Family;
  /** 1 or 4 words each; shared with the next piece. */
  readonly keys: Uint32Array;
  /** For an interval set, by key: 1 if it is the first address after an interval. */
  readonly ends?: Uint8Array;
  /** For a map, by key: the chain of its verdict. */
  readonly chains?: readonly string[];
}

/** The keys of one set. Take each piece before asking for the next: they share memory. */
export function* keyPieces(elements: Elements, body: Uint8Array): Generator<Piece> {
  const { set, at, count, above } = elements;
  const { family, tier } = setNameOf(set);
  const stride = strideOf(family);
  const words = wordsAt(body, at, count * stride);
  const lengths = body.subarray(at + count * stride * 4, at + count * stride * 4 + count);
  if (tier === undefined) return yield* endPieces(set, family, words, lengths);
  const keys = new Uint32Array(PIECE_ELEMENTS * stride);
  let used = 0;
  for (let i = 0; i < count; i++) {
    const length = lengths[i]!; // i < count
    if (length <= above || length > tier.length) continue;
    const copies = 2 ** (tier.length - length);
    for (let copy = 0; copy < copies; copy++) {
      if (used === keys.length) {
        yield { set, family, keys };
        used = 0;
      }
      if (copy > 0) step(words, i * stride, tier.length);
      for (let w = i * stride; w < (i + 1) * stride; w++) keys[used++] = words[w]!; // i < count
    }
  }
  if (used > 0) yield { set, family, keys: keys.subarray(0, used) };
}

function* endPieces(set: string, family: Family, words: Uint32Array, lengths: Uint8Array): Generator<Piece> {
  const most = PIECE_ELEMENTS / 2;
  const stride = strideOf(family);
  for (let from = 0; from < lengths.length; from += most) {
    const members = {
      family,
      words: words.subarray(from * stride),
      lengths: lengths.subarray(from, from + most),
    };
    yield { set, family, ...endsOf(members) };
  }
}

/** The first address of each prefix, and the first after it, unless it ends the address space. */
function endsOf({
  family,
  words,
  lengths,
}: {
  readonly family: Family;
  readonly words: Uint32Array;
  readonly lengths: Uint8Array;
}): {
  readonly keys: Uint32Array;
  readonly ends: Uint8Array;
} {
  const stride = strideOf(family);
  const keys: number[] = [];
  const ends: number[] = [];
  for (const [i, length] of lengths.entries()) {
    const address = words.slice(i * stride, (i + 1) * stride);
    keys.push(...address);
    ends.push(0);
    step(address, 0, length);
    if (length === 0 || address.every((word) => word === 0)) continue;
    keys.push(...address);
    ends.push(1);
  }
  return { keys: Uint32Array.from(keys), ends: Uint8Array.from(ends) };
}

/** The keys of all maps of a change. */
export function* mapPieces(keys: Change['keys']): Generator<Piece> {
  for (let from = 0; from < keys.length; ) {
    const map = keys[from]?.map ?? '';
    let to = from;
    while (to < keys.length && to - from < PIECE_ELEMENTS && keys[to]?.map === map) to++;
    const some = keys.slice(from, to);
    const words = some.flatMap(({ address }) => address.match(/.{8}/g) ?? []);
    yield {
      set: map,
      family: parseMapName(map)?.family ?? 4,
      keys: Uint32Array.from(words, (word) => Number.parseInt(word, 16)),
      chains: some.map(({ chain }) => chain),
    };
    from = to;
  }
}

/** The networks of a class map. */
export function* classPieces({ map, at, count, chains }: Verdicts, body: Uint8Array): Generator<Piece> {
  const family = parseClassMapName(map)?.family ?? 4;
  const stride = strideOf(family);
  const words = wordsAt(body, at, count * stride);
  const places = wordsAt(body, at + words.byteLength, count);
  for (let from = 0; from < count; from += PIECE_ELEMENTS) {
    const to = Math.min(count, from + PIECE_ELEMENTS);
    const some = places.subarray(from, to);
    yield {
      set: map,
      family,
      keys: words.subarray(from * stride, to * stride),
      chains: Array.from(some, (place) => chains[place]!), // each place was checked
    };
  }
}

/** A copy, since expanding counts in it. */
function wordsAt(body: Uint8Array, at: number, count: number): Uint32Array {
  const bytes = body.buffer.slice(body.byteOffset + at, body.byteOffset + at + count * 4);
  return new Uint32Array(bytes);
}

/** Goes to the next network of a length, from the last one to all zeros. */
function step(words: Uint32Array, at: number, length: number): void {
  let carry = 2 ** ((32 - (length & 31)) & 31);
  for (let w = at + ((length - 1) >> 5); w >= at && carry > 0; w--) {
    const sum = words[w]! + carry; // w is within the address
    words[w] = sum;
    carry = sum > 0xffffffff ? 1 : 0;
  }
}
