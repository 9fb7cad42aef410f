/** Which list decides about each of many addresses, as a batch finds it. */

import type { Family } from '@rulecast/rules';
import type { Table } from '../src/index.ts';

/** The lists that decide egress to addresses of one word or four; undefined if none does. */
export function decidingLists(table: Table, family: Family, dst: Uint32Array): (string | undefined)[] {
  const count = dst.length / (family === 4 ? 1 : 4);
  const out = { codes: new Uint32Array(count), generation: 0 };
  const columns = {
    src: undefined,
    dst,
    protos: new Uint8Array(count).fill(6),
    details: new Int32Array(count),
  };
  table.reader.lookupBatch({ family, direction: 0, count, ...columns }, out);
  const known = new Map<number, string | undefined>(); // by code
  return Array.from(out.codes, (code) => {
    if (!known.has(code)) known.set(code, table.reader.decode(code)?.list);
    return known.get(code);
  });
}
