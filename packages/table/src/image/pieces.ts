/** Pieces: the stretches of memory of an image, each taken and given back by itself. */

import { TableLimitError } from '../limits.ts';
import { LINE_BYTES } from '../memory/control.ts';
import type { Heap } from '../memory/heap.ts';
import { GRANULE_BYTES } from '../memory/memory.ts';

/** The bytes of each piece of memory for an image, or, once allocated, the first byte of each. */
export interface ImagePieces {
  readonly header: number;
  readonly directory4: number;
  readonly directory6: number;
  /** Nodes of both maps. */
  readonly nodes: number;
  readonly owners: number;
  readonly programs: number;
  readonly hits: number;
  /** Shares of the hits; their first byte is 0 where they are forgone. */
  readonly shares: number;
}

export const NO_PIECES: ImagePieces = {
  header: 0,
  directory4: 0,
  directory6: 0,
  nodes: 0,
  owners: 0,
  programs: 0,
  hits: 0,
  shares: 0,
};

const NAMES = Object.keys(NO_PIECES) as readonly (keyof ImagePieces)[];

/** A piece of memory. */
interface Piece {
  readonly address: number;
  readonly bytes: number;
}

/** The bytes of an image that was given these places. */
export function bytesOf(bytes: ImagePieces, places: ImagePieces): number {
  return pieceList(bytes, places).reduce((sum, piece) => sum + piece.bytes, 0);
}

/** The pieces that an image has, nodes included, from their bytes and their places. */
export function pieceList(bytes: ImagePieces, places: ImagePieces): readonly Piece[] {
  const pieces = NAMES.map((name) => ({ address: places[name], bytes: bytes[name] }));
  return pieces.filter(({ address, bytes: size }) => size > 0 && address > 0);
}

/**
 * Shares of the hits are forgone where they would take more than this of the table's maximum, or do not fit
 * with the rest. Our choice: the next image has this little less room; one that misses just that is refused
 * like any (TableLimitCode.bytes).
 */
const SHARES_PART = 1 / 64;
/**
 * An image begins at a multiple of this much of its size, or less. Our choice: one that is a little larger
 * fits where the one before the last was, so that a list that is replaced again and again takes the place of
 * two.
 */
const ALIGNED_PART = 1 / 8;

/** Allocates memory for an image. Throws TableLimitError; then nothing is allocated. */
export function takePieces(heap: Heap, bytes: ImagePieces): ImagePieces {
  const withoutShares = { ...bytes, shares: 0 };
  if (bytes.shares > heap.maxBytes * SHARES_PART) return takeBlock(heap, withoutShares);
  try {
    return takeBlock(heap, bytes);
  } catch (error) {
    if (bytes.shares === 0 || !(error instanceof TableLimitError)) throw error;
    return takeBlock(heap, withoutShares);
  }
}

/** Allocates all pieces as one block, each at a cache line of its own. */
function takeBlock(heap: Heap, bytes: ImagePieces): ImagePieces {
  const total = NAMES.reduce((sum, name) => sum + wholeLines(bytes[name]), 0);
  let at = heap.take(total, Math.max(LINE_BYTES, 2 ** Math.floor(Math.log2(total * ALIGNED_PART))));
  const places = { ...NO_PIECES };
  for (const name of NAMES) {
    const size = bytes[name];
    if (size === 0) continue;
    places[name] = at;
    const end = at + Math.ceil(size / GRANULE_BYTES) * GRANULE_BYTES;
    at += wholeLines(size);
    if (end < at) heap.giveBack(end, at - end);
  }
  return places;
}

function wholeLines(bytes: number): number {
  return Math.ceil(bytes / LINE_BYTES) * LINE_BYTES;
}
