import { type List, nameListOf, type PrefixList, prefixListOf } from '@rulecast/rules';
import { describe, expect, it } from 'vitest';
import { givenAway, HandOver } from '../src/hand-over.ts';

/** A list whose columns are views into larger arrays, of `count` entries in each family. */
function listOf(count: number): PrefixList {
  const column = <F extends 4 | 6>(family: F) => {
    const stride = family === 4 ? 1 : 4;
    const words = Uint32Array.from({ length: count * stride + 2 }, (_, i) => i * 7);
    const lengths = Uint8Array.from({ length: count + 2 }, (_, i) => i % 33);
    return {
      family,
      words: words.subarray(1, 1 + count * stride),
      lengths: lengths.subarray(1, 1 + count),
    };
  };
  return prefixListOf({ v4: column(4), v6: column(6) });
}

const columnsOf = (list: List) =>
  list.kind === 'names'
    ? [list.names.bytes, list.exceptions.bytes]
    : [list.v4.words, list.v4.lengths, list.v6.words, list.v6.lengths];
/** The bytes of all columns: a matcher would take a microsecond for each of a million numbers. */
const bytesOf = (list: List) =>
  Buffer.concat(
    columnsOf(list).map((array) => Buffer.from(array.buffer, array.byteOffset, array.byteLength)),
  );
const NAMES = nameListOf(['.a.example'], 'firewall', ['b.a.example']);

describe('what is handed over', () => {
  it.each([0, 1, 1000, 65_536, 1_000_000])(
    'is the same list of %d entries, and leaves the original',
    async (count) => {
      const list = listOf(count);
      const handOver = new HandOver();
      const copy = await handOver.list(list);
      const { buffers } = handOver;

      expect(bytesOf(copy).equals(bytesOf(list))).toBe(true);
      const sent = structuredClone(copy, { transfer: buffers });
      expect(columnsOf(sent).map(({ length }) => length)).toEqual(
        columnsOf(list).map(({ length }) => length),
      );
      expect(columnsOf(list).map(({ length }) => length)).toEqual([count, count, 4 * count, count]);
    },
  );

  it.each([
    [16_383, 0],
    [16_384, 1],
  ])('%d words go with the message or are moved: %d buffers', async (count, moved) => {
    const handOver = new HandOver();
    const words = new Uint8Array(4 * count + 8).subarray(4, 4 + 4 * count);
    const copy = await handOver.bytes(words);
    expect([handOver.buffers.length, copy.buffer.byteLength]).toEqual([moved, 4 * count]);
  });

  it('is copied in turns, so that nobody waits for all of it', async () => {
    let turns = 0;
    const count = (): void => {
      turns += 1;
      timer = setImmediate(count);
    };
    let timer = setImmediate(count);
    await new HandOver().bytes(new Uint8Array(20 * 1024 * 1024));
    clearImmediate(timer);
    expect(turns).toBeGreaterThanOrEqual(9);
  });

  it('is the same names', async () => {
    const handOver = new HandOver();
    const many = nameListOf(
      Array.from({ length: 10_000 }, (_, i) => `host-${i}.example`),
      false,
    );
    const copies = [await handOver.list(NAMES), await handOver.list(many)];
    const sent = structuredClone(copies, { transfer: handOver.buffers });
    expect(sent).toEqual([NAMES, many]);
    expect(handOver.buffers).toHaveLength(1);
  });
});

describe('what is given away', () => {
  it('is the same lists, whole buffers of which large ones are moved', () => {
    const whole = listOf(20_000);
    const bytes = bytesOf(whole);
    const { lists, buffers } = givenAway([whole, NAMES, listOf(3)]);

    expect(lists.flatMap(columnsOf).every((array) => array.byteLength === array.buffer.byteLength)).toBe(
      true,
    );
    expect(bytesOf(lists[0] ?? NAMES).equals(bytes)).toBe(true);
    expect(lists[1]).toEqual(NAMES);
    expect(buffers).toHaveLength(2); // 80,000 and 320,000 bytes of words; 20,000 of lengths are copied
    const sent = structuredClone(lists, { transfer: [...buffers] });
    expect(bytesOf(sent[0] ?? NAMES).equals(bytes)).toBe(true);
  });
});
