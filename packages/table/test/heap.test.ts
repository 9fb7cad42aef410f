import { describe, expect, it } from 'vitest';
import { Random } from '../../../test/kit/random.mjs';
import { NO_PIECES, pieceList, takePieces } from '../src/image/pieces.ts';
import { TableLimitCode } from '../src/limits.ts';
import { Heap } from '../src/memory/heap.ts';
import { OVERREAD_BYTES, TableMemory } from '../src/memory/memory.ts';

const FIRST = 4096;

function heapOf(maxBytes: number): { readonly heap: Heap; readonly memory: TableMemory } {
  const memory = TableMemory.create(FIRST, FIRST + maxBytes + OVERREAD_BYTES);
  return { memory, heap: new Heap(memory, FIRST, maxBytes) };
}

describe('the heap', () => {
  it('never gives out a byte twice, keeps to alignments, and has all bytes again in the end', () => {
    const { heap, memory } = heapOf(2 ** 22);
    const random = new Random(1);
    const owners = new Uint16Array(2 ** 19); // by granule: who has it
    const pieces: { readonly address: number; readonly bytes: number; readonly id: number }[] = [];
    const mark = (address: number, bytes: number, from: number, to: number): void => {
      for (let g = (address - FIRST) / 8; g * 8 < address - FIRST + bytes; g++) {
        if (owners[g] !== from) expect.fail(`granule ${g} is of ${owners[g]}, not ${from}`);
        owners[g] = to;
      }
    };
    for (let id = 1; id < 20_000; id++) {
      if (pieces.length > 300 || random.chance(0.45)) {
        const [piece] = pieces.splice(random.below(Math.max(1, pieces.length)), 1);
        if (piece === undefined) continue;
        mark(piece.address, piece.bytes, piece.id, 0);
        heap.giveBack(piece.address, piece.bytes);
        continue;
      }
      const bytes = random.chance(0.05) ? 1 + random.below(60_000) : 1 + random.below(300);
      const align = random.chance(0.1) ? 64 : 8;
      const address = heap.take(bytes, align);
      expect(address % align).toBe(0);
      mark(address, bytes, 0, id);
      pieces.push({ address, bytes, id });
      expect(memory.byteLength).toBeGreaterThanOrEqual(address + bytes + OVERREAD_BYTES);
    }
    for (const { address, bytes } of pieces) heap.giveBack(address, bytes);
    expect([heap.liveBytes, heap.spanBytes]).toEqual([0, 0]);
  });

  it('gives out its last byte, and refuses one more with a code', () => {
    const { heap } = heapOf(65_536);
    const first = heap.take(65_520);
    const last = heap.take(16);
    const refusal = { code: TableLimitCode.bytes, limit: 65_536 };
    expect(() => heap.take(1)).toThrow(expect.objectContaining(refusal));
    heap.giveBack(first, 32);
    expect(() => heap.take(33)).toThrow(expect.objectContaining(refusal));
    expect(heap.take(32)).toBe(first);
    heap.giveBack(last, 16);
    expect(heap.take(5)).toBe(last);
    expect(heap.liveBytes).toBe(65_536);
  });

  it('finds a hole that only a search of everything finds, before it refuses', () => {
    const { heap } = heapOf(2 ** 20);
    const pieces: number[] = [];
    for (let i = 0; i < 2 ** 20 / 64; i++) pieces.push(heap.take(64));
    for (let i = 0; i < pieces.length; i += 2) heap.giveBack(pieces[i] ?? 0, 64);
    const hole = pieces.at(-7) ?? 0;
    heap.giveBack(hole, 64); // with the pieces beside it, three in a row
    expect(heap.take(192)).toBe(hole - 64);
    expect(() => heap.take(192)).toThrow(/at most 1048576 bytes/);
  });

  it('has room for two images of nearly one size, however often one takes the place of the other', () => {
    const { heap } = heapOf(2 ** 25);
    const random = new Random(2);
    const maps = { directory4: 2 ** 18, directory6: 4, owners: 300 };
    let inForce: ReturnType<typeof pieceList> = [];
    let span = 0;
    for (let i = 0; i < 200; i++) {
      const bytes = { ...NO_PIECES, ...maps, header: 128, nodes: 5e6 + random.below(20_000), programs: 900 };
      const next = pieceList(bytes, takePieces(heap, bytes));
      span = Math.max(span, heap.spanBytes);
      for (const { address, bytes: size } of inForce) heap.giveBack(address, size);
      inForce = next;
    }
    expect(span).toBeLessThan(2.2 * 5.3e6);
  });
});
