/** Compares the elements that the kernel has with those it should have, without sorting either. */

import { endsOf } from '../kernel/elements.ts';
import { expandTier } from '../plan/layout.ts';
import { type AddressSet, setNames } from '../plan/plan.ts';

/** Elements digested before the event loop gets a turn. */
const AT_ONCE = 65_536;

/** Whether a column lies in the kernel as planned. `elements` and `body` as the applier gives them. */
export async function sameElements(
  set: AddressSet,
  elements: readonly { readonly set: string; readonly at: number; readonly count: number }[],
  body: Uint8Array,
): Promise<boolean> {
  const { layout, members } = set;
  const stride = members.family === 4 ? 1 : 4;
  for (const [tier, name] of setNames(set).entries()) {
    const found = elements.find((each) => each.set === name);
    if (found === undefined) return false;
    const isInterval = layout.kind === 'interval';
    const { keys: words, ends } = isInterval
      ? endsOf(members)
      : { keys: expandTier(members, layout.tiers, tier), ends: undefined };
    if (words.length !== found.count * stride) return false;
    const wordBytes = words.length * 4;
    const theirs = new Uint32Array(body.slice(found.at, found.at + wordBytes).buffer);
    const theirEnds = ends && body.subarray(found.at + wordBytes, found.at + wordBytes + found.count);
    const [ours, other] = [await digest(words, ends, stride), await digest(theirs, theirEnds, stride)];
    if (ours[0] !== other[0] || ours[1] !== other[1]) return false;
  }
  return true;
}

/** Two sums of two mixes of each element: the same in any order. */
async function digest(
  words: Uint32Array,
  ends: Uint8Array | undefined,
  stride: number,
): Promise<readonly [number, number]> {
  let first = 0;
  let second = 0;
  for (let i = 0; i * stride < words.length; i++) {
    if (i % AT_ONCE === AT_ONCE - 1) await new Promise(setImmediate);
    let hash = ends?.[i] ?? 0;
    for (let w = i * stride; w < (i + 1) * stride; w++) hash = mix(hash ^ words[w]!); // within the column
    first = (first + hash) | 0;
    second = (second + mix(hash + 0x5bd1e995)) | 0;
  }
  return [first, second];
}

/** A bijection of 32-bit words that spreads each bit (the finalizer of MurmurHash3). */
function mix(value: number): number {
  let hash = value;
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return hash ^ (hash >>> 16);
}
