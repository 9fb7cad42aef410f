/** Many lookups, while lists change, against a binary search: half of them within members, at their edges. */

import {
  type Family,
  memberContaining,
  type Prefixes,
  prefixListOf,
  prefixOf,
  prefixSetOf,
  strideOf,
  unionPrefixes,
} from '@rulecast/rules';
import { describe, expect, it } from 'vitest';
import { Random } from '../../../test/kit/random.mjs';
import { lastAddressAt } from '../../../test/kit/rules.ts';
import { often } from '../../../test/thorough.ts';
import { CODE_ACTION_MASK, CodeAction, openReader, Table } from '../src/index.ts';
import { ENVIRONMENT, shuttlePolicies } from './release.ts';

const ROUND = 50_000;

describe('lookups', () => {
  // 10^7 in the thorough suite.
  it.each([4, 6] as const)('of IPv%i addresses find what a binary search finds', (family) => {
    const random = new Random(family);
    const anyPrefix = () =>
      family === 4
        ? prefixOf(4, [random.word()], 12 + random.below(21))
        : prefixOf(
            6,
            [0x20010000 + random.below(99), random.word(), random.word(), random.word()],
            32 + random.below(97),
          );
    const sets = [0, 1].map(() => prefixSetOf(Array.from({ length: 40_000 }, anyPrefix)));
    const table = new Table();
    const policies = shuttlePolicies('volume');
    const reader = openReader(table.handle());
    const batch = reader.batch(family);
    batch.protos.fill(6);
    let edits = 0;
    const rounds = Math.ceil(often(200_000, 5_000_000) / ROUND);
    for (let round = 0; round < rounds; round++) {
      const more = prefixSetOf(Array.from({ length: 1 + random.below(50) }, anyPrefix));
      const at = round % 2;
      const before = sets[at]!; // one of the two
      sets[at] = { v4: unionPrefixes(before.v4, more.v4), v6: unionPrefixes(before.v6, more.v6) };
      const lists = new Map(
        [1, 0].map((list) => [`release-${list}`, prefixListOf(sets[1 - list]!)] as const),
      ); // likewise
      const ruleSet = { lists, policies, resolutions: new Map(), unmatched: undefined };
      const prepared = table.prepare(ruleSet, ENVIRONMENT);
      if (prepared.isEdit) edits++;
      table.flip(prepared);
      const columns = sets.map((set) => (family === 4 ? set.v4 : set.v6));
      for (let done = 0; done < ROUND; done += batch.capacity) {
        fill(batch.dst, columns, family, random);
        batch.run(batch.capacity);
        expect(faultsOf(batch.codes, batch.dst, columns, family)).toEqual([]);
      }
    }
    expect(edits).toBeGreaterThan(rounds / 2);
    reader.close();
  });
});

/** Addresses anywhere, and the first and last ones of members and those beside them. */
function fill(dst: Uint32Array, columns: readonly Prefixes[], family: Family, random: Random): void {
  const stride = strideOf(family);
  for (let i = 0; i < dst.length; i += stride) {
    for (let w = 0; w < stride; w++) dst[i + w] = random.word();
    if (random.chance(0.3)) continue;
    const column = random.pick(columns);
    const member = random.below(column.lengths.length);
    const words = random.chance(0.5)
      ? column.words.subarray(member * stride, (member + 1) * stride)
      : lastAddressAt(column, member);
    dst.set(words, i);
    dst[i + stride - 1]! += random.below(3) - 1; // within the column
  }
}

/**
 * Where a code is not that of the first list, which accepts, or else of the second, which drops, or of none.
 */
function faultsOf(
  codes: Uint32Array,
  dst: Uint32Array,
  columns: readonly Prefixes[],
  family: Family,
): readonly number[] {
  const stride = strideOf(family);
  const faults: number[] = [];
  for (let i = 0; i * stride < dst.length; i++) {
    const words = dst.subarray(i * stride, (i + 1) * stride);
    const found = columns.findIndex((column) => memberContaining(column, words) >= 0);
    const isAccepted = (codes[i]! & CODE_ACTION_MASK) === CodeAction.accept; // a code for each address
    if (isAccepted !== (found === 0)) faults.push(i);
  }
  return faults;
}
