/** A table compared with the evaluator: packets one by one, and all that may share a batch at once. */

import { type Environment, evaluate, type Packet, type RuleSet } from '@rulecast/rules';
import { expect } from 'vitest';
import { LookupDirection, type Table } from '../src/index.ts';
import { detailOf } from '../src/lookup/verdict.ts';

/** Throws, saying `name`, unless the table answers for each packet as the evaluator does. */
export function checkPackets(
  table: Table,
  ruleSet: RuleSet,
  environment: Environment,
  packets: readonly Packet[],
  name: string,
): void {
  for (const [i, packet] of packets.entries()) {
    const { action, by } = evaluate(ruleSet, environment, packet);
    const expected = { action, policy: by?.policy, run: by?.rule?.run, list: by?.rule?.list };
    expect(table.reader.lookup(packet), `${name}, packet ${i}`).toMatchObject(expected);
  }
  for (const batch of batchesOf(packets)) checkBatch(table, batch, name);
}

/** The packets by family, direction and whether their source is known; those of two families are left out. */
function batchesOf(packets: readonly Packet[]): Iterable<readonly Packet[]> {
  const batches = new Map<string, Packet[]>();
  for (const packet of packets) {
    const { direction, src, dst } = packet;
    if (src !== undefined && src.family !== dst.family) continue;
    const key = `${dst.family} ${direction} ${src === undefined}`;
    const known = batches.get(key);
    if (known === undefined) batches.set(key, [packet]);
    else known.push(packet);
  }
  return batches.values();
}

function checkBatch(table: Table, packets: readonly Packet[], name: string): void {
  const [first] = packets;
  if (first === undefined) return;
  const batch = {
    family: first.dst.family,
    direction: LookupDirection[first.direction],
    count: packets.length,
    src: first.src && Uint32Array.from(packets.flatMap(({ src }) => [...(src?.words ?? [])])),
    dst: Uint32Array.from(packets.flatMap(({ dst }) => [...dst.words])),
    protos: Uint8Array.from(packets, ({ proto }) => proto),
    details: Int32Array.from(packets, detailOf),
  };
  const out = { codes: new Uint32Array(packets.length), generation: 0 };
  table.reader.lookupBatch(batch, out);
  for (const [i, packet] of packets.entries())
    expect(table.reader.decode(out.codes[i]!), `${name}, ${i}`).toEqual(table.reader.judge(packet)); // i < count
}
