import { expect, it } from 'vitest';
import { Table } from '../../packages/table/src/index.ts';
import { interleave } from '../../packages/table/test/interleaving.ts';

it.each([
  ['more readers than cores', 3, 256, 4000],
  ['one reader and large deltas', 1, 2048, 2000],
])(
  'readers get whole answers while the table flips every millisecond: %s',
  async (_, workers, hosts, flips) => {
    const seed = Date.now() % 2 ** 31;
    const table = new Table({ pinWaitMs: 60_000 });
    const report = await interleave(table, { flips, workers, hosts, seed });
    const { liveBytes, bytes, reservedBytes } = table.stats();
    console.log(
      `seed ${seed}: ${report.flips} flips, ${report.edits} of them deltas, ${report.stalls} stalls; ` +
        `lookups ${report.lookups.join(' ')}, generations seen ${report.generations.join(' ')}; ` +
        `${bytes} bytes, ${liveBytes} in use, ${reservedBytes} taken`,
    );
    await table.close();
    expect(report.faults).toEqual([]);
    expect(report.stalls).toBeGreaterThan(0);
    for (const generations of report.generations) expect(generations).toBeGreaterThan(10);
  },
);
