import { expect, it } from 'vitest';
import { Table } from '../../packages/table/src/index.ts';
import { type InterleavingReport, interleave, writtenHere } from '../../packages/table/test/interleaving.ts';
import { OwnerThread } from '../../packages/table/test/owner-thread.ts';
import { Random } from '../kit/random.mjs';

function checkReport(seed: number, report: InterleavingReport, also: string): void {
  console.log(
    `seed ${seed}: ${report.flips} flips, ${report.edits} of them deltas, ${report.stalls} stalls; ` +
      `lookups ${report.lookups.join(' ')}, generations seen ${report.generations.join(' ')}; ${also}`,
  );
  expect(report.faults).toEqual([]);
  expect(report.stalls).toBeGreaterThan(0);
  for (const generations of report.generations) expect(generations).toBeGreaterThan(10);
}

it.each([
  ['more readers than cores', 3, 256, 4000],
  ['one reader and large deltas', 1, 2048, 2000],
])(
  'readers get whole answers while the table flips every millisecond: %s',
  async (_, workers, hosts, flips) => {
    const seed = Date.now() % 2 ** 31;
    const table = new Table({ pinWaitMs: 60_000 });
    const report = await interleave(writtenHere(table), { flips, workers, hosts, seed });
    const { liveBytes, bytes, reservedBytes } = table.stats();
    checkReport(seed, report, `${bytes} bytes, ${liveBytes} in use, ${reservedBytes} taken`);
  },
);

it('readers get whole answers while one thread prepares, which dies now and then, and another flips', async () => {
  const seed = Date.now() % 2 ** 31;
  const owner = new OwnerThread(new Random(seed));
  const report = await interleave(owner, { flips: 2000, workers: 2, hosts: 256, seed });
  await owner.close();
  checkReport(seed, report, `${owner.deaths} deaths`);
  expect(owner.deaths).toBeGreaterThan(5);
});
