/** Layers: the age of each entry, against a map of entry to time. */

import { describe, expect, it } from 'vitest';
import fc from '../../../test/seeded-fast-check.ts';
import {
  LAYERS_MAX,
  type Layer,
  layersWith,
  listOfLayers,
  nextExpiryMs,
  unexpired,
} from '../src/lists/layers.ts';
import { entriesOf, listOf } from './list-of.ts';

const ADDRESSES = Array.from({ length: 12 }, (_, i) => `192.0.2.${i * 2}/32`);

it('hold what was seen within the time to live, as a map of entries to times does', () => {
  const step = fc.tuple(fc.integer({ min: 1, max: 40 }), fc.subarray(ADDRESSES));
  fc.assert(
    fc.property(
      fc.array(step, { minLength: 1, maxLength: 30 }),
      fc.integer({ min: 1, max: 100 }),
      (steps, ttlMs) => {
        let nowMs = 0;
        let layers: readonly Layer[] = [];
        const seen = new Map<string, number>();
        let last: readonly string[] = [];
        for (const [passed, entries] of steps) {
          nowMs += passed;
          layers = unexpired(layersWith(layers, listOf(...entries), nowMs), nowMs, ttlMs);
          for (const entry of entries) seen.set(entry, nowMs);
          last = entries;
          const alive = ADDRESSES.filter((entry) => {
            const seenAtMs = seen.get(entry);
            return last.includes(entry) || (seenAtMs !== undefined && nowMs - seenAtMs < ttlMs);
          });
          expect(entriesOf(listOfLayers(layers))).toEqual([...(entriesOf(listOf(...alive)) ?? [])]);
        }
      },
    ),
  );
});

describe('layers', () => {
  it('are bounded: the oldest two become one, with the age of the younger', () => {
    let layers: readonly Layer[] = [];
    for (let i = 0; i < LAYERS_MAX + 10; i++) layers = layersWith(layers, listOf(`198.18.0.${i * 2}`), i);
    expect(layers).toHaveLength(LAYERS_MAX);
    expect(entriesOf(listOfLayers(layers))).toHaveLength(LAYERS_MAX + 10);
    expect(layers.at(-1)?.seenAtMs).toBe(10);
  });

  it('expire at their time, the newest never', () => {
    const layers = layersWith(layersWith([], listOf('192.0.2.1'), 100), listOf('192.0.2.2'), 200);
    expect(nextExpiryMs(layers, 50)).toBe(150);
    expect(unexpired(layers, 149, 50)).toBe(layers);
    expect(entriesOf(listOfLayers(unexpired(layers, 150, 50)))).toEqual(['192.0.2.2/32']);
    expect(entriesOf(listOfLayers(unexpired(layers, 1e9, 50)))).toEqual(['192.0.2.2/32']);
    expect(nextExpiryMs(unexpired(layers, 150, 50), 50)).toBeUndefined();
  });

  it('part a prefix of which the source says a part again', () => {
    const layers = layersWith(layersWith([], listOf('192.0.2.0/24'), 1), listOf('192.0.2.0/25'), 2);
    expect(layers.map(({ list }) => entriesOf(list))).toEqual([['192.0.2.0/25'], ['192.0.2.128/25']]);
  });

  it('of names', () => {
    const layers = layersWith(layersWith([], listOf('a.example', 'b.example'), 1), listOf('b.example'), 2);
    expect(layers.map(({ list }) => entriesOf(list))).toEqual([['b.example'], ['a.example']]);
  });
});
