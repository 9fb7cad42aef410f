/** Compares the elements that the kernel has with those it should have, without sorting either. */

import { keyPieces, type Piece } from '../kernel/elements.ts';
import { elementsOf } from '../plan/change.ts';
import { type AddressSet, setNames } from '../plan/plan.ts';

/** Whether a column lies in the kernel as planned. `elements` and `body` as the applier gives them. */
export function sameElements(
  set: AddressSet,
  elements: readonly { readonly set: string; readonly at: number; readonly count: number }[],
  body: Uint8Array,
): boolean {
  const stride = set.members.family === 4 ? 1 : 4;
  const planned = elementsOf(set);
  for (const name of setNames(set)) {
    const found = elements.find((each) => each.set === name);
    if (found === undefined) return false;
    const wordBytes = found.count * stride * 4;
    const keys = new Uint32Array(body.slice(found.at, found.at + wordBytes).buffer);
    const ends = body.subarray(found.at + wordBytes, found.at + wordBytes + found.count);
    const theirs = set.layout.kind === 'interval' ? { keys, ends } : { keys };
    const own = planned.elements.find((each) => each.set === name);
    const ours = own === undefined ? [] : keyPieces(own, planned.body);
    if (digest(ours, stride) !== digest([theirs], stride)) return false;
  }
  return true;
}

/** The number of elements, and two sums of two hashes of each: independent of their order. */
function digest(pieces: Iterable<Pick<Piece, 'keys' | 'ends'>>, stride: number): string {
  const sums = [0, 0, 0] as [number, number, number];
  for (const { keys, ends } of pieces) {
    for (let i = 0; i * stride < keys.length; i++) {
      let hash = ends?.[i] ?? 0;
      for (let w = i * stride; w < (i + 1) * stride; w++) hash = mix(hash ^ keys[w]!); // within the column
      sums[0]++;
      sums[1] = (sums[1] + hash) | 0;
      sums[2] = (sums[2] + mix(hash + 0x5bd1e995)) | 0;
    }
  }
  return sums.join();
}

/** A bijection of 32-bit words that spreads each bit (the finalizer of MurmurHash3). */
function mix(value: number): number {
  let hash = value;
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return hash ^ (hash >>> 16);
}
