/** Pieces: the stretches of memory that an image takes, each taken and given back by itself. */

import { TableLimitError } from '../limits.ts';
import { LINE_BYTES } from '../memory/control.ts';
import type { Heap } from '../memory/heap.ts';

/** Bytes of each piece of memory that an image needs, or, once they are taken, the first byte of each. */
export interface ImagePieces {
  readonly header: number;
  readonly directory4: number;
  readonly directory6: number;
  /** Of both maps. */
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
 * beside the rest. Our choice: the next image has this little less room; one that misses just that is refused
 * like any (TableLimitCode.bytes).
 */
const SHARES_PART = 1 / 64;

/** Takes memory for an image. Throws TableLimitError; then none is taken. */
export function takePieces(heap: Heap, bytes: ImagePieces): ImagePieces {
  const taken: Piece[] = [];
  const take = (size: number): number => {
    if (size === 0) return 0;
    const address = heap.take(size, LINE_BYTES);
    taken.push({ address, bytes: size });
    return address;
  };
  try {
    return {
      header: take(bytes.header),
      directory4: take(bytes.directory4),
      directory6: take(bytes.directory6),
      nodes: take(bytes.nodes),
      owners: take(bytes.owners),
      programs: take(bytes.programs),
      hits: take(bytes.hits),
      shares: takeShares(heap, bytes.shares),
    };
  } catch (error) {
    for (const { address, bytes: size } of taken) heap.giveBack(address, size);
    throw error;
  }
}

/** The first byte of memory taken for shares of the hits; 0 if they are forgone. */
function takeShares(heap: Heap, bytes: number): number {
  if (bytes === 0 || bytes > heap.maxBytes * SHARES_PART) return 0;
  try {
    return heap.take(bytes, LINE_BYTES);
  } catch (error) {
    if (error instanceof TableLimitError) return 0;
    throw error;
  }
}
