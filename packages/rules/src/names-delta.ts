/** Changes from one column of names to another. */

import { compareKeys, KeyByte, keyEnd, type Names, placeOf } from './names.ts';
import { KeyWriter } from './names-writer.ts';
import type { Pieces } from './pieces.ts';

/**
 * The change from one column to another: ascending indices into the old one, and entries of the new one. An
 * entry whose scope changes is both removed and added.
 */
export interface NamesDelta {
  readonly removed: Uint32Array;
  readonly added: Names;
}

/** The change from `before` to `after`. Linear. */
export function diffNames(before: Names, after: Names): NamesDelta {
  if (before.count === 0) return { removed: new Uint32Array(0), added: after };
  const removed: number[] = [];
  const added = new KeyWriter();
  const a = before.bytes;
  const b = after.bytes;
  let ordinal = 0;
  let i = 0;
  let j = 0;
  let stretchFrom = 0;
  while (i < a.length && j < b.length) {
    if (i >= stretchFrom) {
      const same = sameKeys(a, i, b, j);
      ordinal += same.count;
      i += same.bytes;
      j += same.bytes;
      stretchFrom = i + STRETCH_BYTES; // where the next change is behind
      if (i >= a.length || j >= b.length) break;
    }
    let x = i;
    let y = j;
    while (a[x] === b[y] && a[x]! >= KeyByte.separator) {
      x++; // a column ends in the end of a key
      y++;
    }
    if (a[x] === b[y]) {
      i = x + 1;
      j = y + 1;
      ordinal++;
    } else if (a[x]! < b[y]!) {
      removed.push(ordinal++);
      i = keyEnd(a, x);
    } else {
      const end = keyEnd(b, y);
      added.push(b, j, end);
      j = end;
    }
  }
  while (ordinal < before.count) removed.push(ordinal++);
  // The rest of `b` is new; before.count - removed.length entries were kept.
  added.pushMany(b, j, b.length, after.count - (before.count - removed.length) - added.count);
  return { removed: Uint32Array.from(removed), added: added.take() };
}

/** The entries of a column at ascending indices. */
export function namesAt({ bytes }: Names, indices: Uint32Array): Names {
  const chosen = new KeyWriter();
  let at = 0;
  let ordinal = 0;
  for (const index of indices) {
    at = skipKeys(bytes, at, index - ordinal);
    ordinal = index;
    const end = keyEnd(bytes, at);
    chosen.push(bytes, at, end);
    at = end;
    ordinal++;
  }
  return chosen.take();
}

/**
 * Applies a delta to a column; undefined if it adds a name that is there already. The indices ascend, and are
 * below the count. Costs the size of the change, and a copy.
 */
export function applyNamesDelta(before: Names, { removed, added }: NamesDelta): Names | undefined {
  const [old, a] = [before.bytes, added.bytes];
  const after = new KeyWriter(old.length + a.length);
  let from = 0; // what is before it is kept or removed
  let next = 0;
  let ordinal = 0;
  let gone = 0;
  const goneNext = (): void => {
    const index = removed[next++];
    gone = index === undefined ? old.length : skipKeys(old, gone, index - ordinal);
    ordinal = index ?? ordinal;
  };
  goneNext();
  for (let j = 0; j < a.length || from < old.length; ) {
    const place = j < a.length ? placeOf(old, from, a, j) : old.length;
    while (gone < place) {
      after.pushMany(old, from, gone, 0); // counted below
      from = keyEnd(old, gone);
      goneNext();
    }
    after.pushMany(old, from, place, 0);
    from = place;
    if (j >= a.length) break;
    if (place < gone && compareKeys(old, place, a, j) === 0) return undefined;
    const end = keyEnd(a, j);
    after.push(a, j, end);
    j = end;
  }
  after.advance(0, before.count - removed.length);
  return after.take();
}

/**
 * A column with entries removed and added, which may have the same names, in pieces; undefined if one to
 * remove is missing, or one to add exists. The cost is that of the changes, and of a copy.
 */
export function* editPieces(before: Names, removed: Names, added: Names): Pieces<Names | undefined> {
  const [r, a] = [removed.bytes, added.bytes];
  const after = new KeyWriter(before.bytes.length + a.length);
  let from = 0;
  for (let i = 0, j = 0, looked = 1; i < r.length || j < a.length; looked++) {
    if (looked % PIECE_EDITS === 0) yield undefined;
    const order = i >= r.length ? 1 : j >= a.length ? -1 : compareKeys(r, i, a, j);
    const at = order <= 0 ? placeOf(before.bytes, from, r, i) : placeOf(before.bytes, from, a, j);
    after.pushMany(before.bytes, from, at, 0); // counted below
    from = at;
    const isThere =
      at < before.bytes.length && compareKeys(before.bytes, at, order <= 0 ? r : a, order <= 0 ? i : j) === 0;
    if (isThere !== order <= 0) return undefined;
    if (order <= 0) {
      from = keyEnd(before.bytes, at);
      i = keyEnd(r, i);
      if (before.bytes[from - 1] !== r[i - 1]) return undefined; // the scopes differ
    }
    if (order >= 0) {
      const end = keyEnd(a, j);
      after.push(a, j, end);
      j = end;
    }
  }
  after.pushMany(before.bytes, from, before.bytes.length, before.count - removed.count);
  return after.take();
}

/** The start of the key `count` keys after the one at `at`; the caller knows that there are so many. */
function skipKeys(bytes: Uint8Array, at: number, count: number): number {
  let left = count;
  let end = at;
  while (left > 0) left -= endAt(bytes, end++);
  return end;
}

/** 1 where an end is, else 0: without a branch, for a walk through millions of bytes. */
function endAt(bytes: Uint8Array, at: number): number {
  return (bytes[at]! - KeyByte.separator) >>> 31; // at < length
}

/** Places that are looked for in a column of a million, in some milliseconds. */
const PIECE_EDITS = 512;
/** So many bytes are compared at once. */
const STRETCH_BYTES = 4096;

/**
 * The number of equal keys in a row, from `i` in `a` and `j` in `b`, compared by whole stretches: in a large
 * list most keys do not change.
 */
function sameKeys(
  a: Uint8Array,
  i: number,
  b: Uint8Array,
  j: number,
): { readonly count: number; readonly bytes: number } {
  const most = Math.min(a.length - i, b.length - j);
  let bytes = 0;
  while (bytes + STRETCH_BYTES <= most) {
    const stretch = a.subarray(i + bytes, i + bytes + STRETCH_BYTES);
    if (Buffer.compare(stretch, b.subarray(j + bytes, j + bytes + STRETCH_BYTES)) !== 0) break;
    bytes += STRETCH_BYTES;
  }
  while (bytes > 0 && endAt(a, i + bytes - 1) === 0) bytes--;
  let count = 0;
  for (let at = i; at < i + bytes; at++) count += endAt(a, at);
  return { count, bytes };
}
