/** What is noticed of tables that somebody else takes away, with a kernel of which each answer is chosen. */

import { expect, it } from 'vitest';
import { Tables } from '../src/apply/tables.ts';
import { NativeError } from '../src/kernel/native.ts';
import type { Netlink, TableInfo } from '../src/kernel/netlink.ts';
import { CLOSED_TABLE, TABLES } from '../src/limits.ts';

const [OURS] = TABLES;
const EBUSY = -16;

/** A table of ours is in force. */
class Kernel {
  tablesNow: TableInfo[] = [{ name: OURS, handle: 1, isOwned: false }];
  generationNow = 1;
  refusals = 1; // of the table that would have an owner

  tables(): readonly TableInfo[] {
    return this.tablesNow;
  }

  generation(): number {
    return this.generationNow;
  }

  isHooked(table: string): boolean {
    return this.tablesNow.some(({ name }) => name === table);
  }

  /** Makes a table that lets nothing pass, unless it is to refuse. */
  run(): void {
    if (this.refusals-- > 0) throw new NativeError('a table', EBUSY);
    this.generationNow += 1;
    this.tablesNow = [{ name: CLOSED_TABLE, handle: 2, isOwned: false }];
  }

  flush(): void {
    this.generationNow += 1;
    this.tablesNow = [];
  }
}

// It was noticed by the look of every five minutes, and packets passed meanwhile.
it('a table that is gone is told at once where nothing else can be put in its place, which is tried again', async () => {
  const kernel = new Kernel();
  const options = { downstreamGroup: 2, kernelMib: 512, again: true };
  const tables = await Tables.open(kernel as unknown as Netlink, options); // what it asks of it is there
  expect(tables.inForce).toBe(OURS);
  kernel.flush();
  kernel.refusals = 1;
  expect(tables.notice()).toBe('gone');
  expect(kernel.tables()).toEqual([]);
  expect(tables.notice()).toBeUndefined();
  expect(kernel.tables()).toMatchObject([{ name: CLOSED_TABLE }]);
});
