import { expect, it } from 'vitest';
import { Table } from '../../packages/table/src/index.ts';
import { interleave } from '../../packages/table/test/interleaving.ts';

it.each([
  ['more readers than cores', 3, 256, 40_000],
  ['one reader and large deltas', 1, 2048, 20_000],
])(
  'readers get whole answers while the table flips every millisecond: %s',
  async (_, workers, hosts, forMs) => {
    const seed = Date.now() % 2 ** 31;
    const table = new Table({ pinWaitMs: 60_000 });
    const report = await interleave(table, { forMs, workers, hosts, seed });
    const { liveBytes, bytes, reservedBytes } = table.stats();
    console.log(
      `seed ${seed}: ${report.flips} flips, ${report.deltas} of them deltas, ${report.stalls} stalls; ` +
        `lookups ${report.lookups.join(' ')}, generations seen ${report.generations.join(' ')}; ` +
        `${bytes} bytes, ${liveBytes} in use, ${reservedBytes} taken`,
    );
    await table.close();
    expect(report.faults).toEqual([]);
    expect(report.flips).toBeGreaterThan(200); // also where both cores are busy
    expect(report.stalls).toBeGreaterThan(0);
    for (const generations of report.generations) expect(generations).toBeGreaterThan(100);
  },
);
