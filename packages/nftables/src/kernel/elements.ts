/**
 * Elements of a change as the kernel takes them: keys of a hash set, each prefix of its tier expanded to the
 * length of the tier, in pieces of one transaction; keys of maps with their verdicts; and the few of an
 * interval set as text, whose ends libnftables knows better how to write.
 */

import type { Family } from '@rulecast/rules';
import type { Change, Elements, Verdicts } from '../plan/change.ts';
import { parseClassMapName, parseMapName } from '../plan/plan.ts';
import { PIECE_ELEMENTS, type Verdict } from './netlink.ts';
import { addressText, setNameOf } from './script.ts';

/** Up to PIECE_ELEMENTS keys of one set or map. */
export interface Piece {
  readonly set: string;
  readonly family: Family;
  /** 1 or 4 words each; shared with the next piece. */
  readonly keys: Uint32Array;
  /** Of a map, one for each key. */
  readonly verdicts?: readonly Verdict[];
}

/** The keys of one hash set. Take each piece before asking for the next: they share memory. */
export function* keyPieces(elements: Elements, body: Uint8Array): Generator<Piece> {
  const { set, at, count, above } = elements;
  const { family, tier } = setNameOf(set);
  if (tier === undefined) throw new TypeError(`${set} has intervals`);
  const stride = family === 4 ? 1 : 4;
  const words = wordsAt(body, at, count * stride);
  const lengthsAt = at + count * stride * 4;
  const keys = new Uint32Array(PIECE_ELEMENTS * stride);
  let used = 0;
  for (let i = 0; i < count; i++) {
    const length = body[lengthsAt + i]!; // the body holds `count` lengths
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
      verdicts: some.map(({ chain }) => ({ kind: 'goto', chain })),
    };
    from = to;
  }
}

/** The networks of a class map. */
export function* classPieces({ map, at, count, chains }: Verdicts, body: Uint8Array): Generator<Piece> {
  const family = parseClassMapName(map)?.family ?? 4;
  const stride = family === 4 ? 1 : 4;
  const words = wordsAt(body, at, count * stride);
  const places = wordsAt(body, at + words.byteLength, count);
  const verdicts = chains.map((chain): Verdict => ({ kind: 'goto', chain }));
  for (let from = 0; from < count; from += PIECE_ELEMENTS) {
    const to = Math.min(count, from + PIECE_ELEMENTS);
    const some = places.subarray(from, to);
    yield {
      set: map,
      family,
      keys: words.subarray(from * stride, to * stride),
      verdicts: Array.from(some, (place) => verdicts[place]!), // each place was checked
    };
  }
}

/** The command that puts prefixes into an interval set. */
export function intervalText({ set, at, count }: Elements, body: Uint8Array, table: string): string {
  const stride = setNameOf(set).family === 4 ? 1 : 4;
  const words = wordsAt(body, at, count * stride);
  const prefixes: string[] = [];
  for (let i = 0; i < count; i++) {
    const address = [...words.subarray(i * stride, (i + 1) * stride)];
    const hex = address.map((word) => word.toString(16).padStart(8, '0')).join('');
    prefixes.push(`${addressText(hex)}/${body[at + count * stride * 4 + i]}`);
  }
  return `add element inet ${table} ${set} { ${prefixes.join(', ')} }\n`;
}

/** A copy, since expanding counts in it. */
function wordsAt(body: Uint8Array, at: number, count: number): Uint32Array {
  const bytes = body.buffer.slice(body.byteOffset + at, body.byteOffset + at + count * 4);
  return new Uint32Array(bytes);
}

/** Goes to the next network of a length; the caller knows that it is within the prefix. */
function step(words: Uint32Array, at: number, length: number): void {
  let carry = 2 ** ((32 - (length & 31)) & 31);
  for (let w = at + ((length - 1) >> 5); w >= at && carry > 0; w--) {
    const sum = words[w]! + carry; // w is within the address
    words[w] = sum;
    carry = sum > 0xffffffff ? 1 : 0;
  }
}
