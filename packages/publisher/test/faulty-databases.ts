/**
 * Any databases, with one fault at a transaction, counted from 1: it is refused as by a full disk (`ENOSPC`),
 * it is said to have failed and is done (`doubtful`), or the process ends before it is done (`before`) or
 * right after (`after`) and does nothing more.
 */

import { fault as errorOf } from '../../../test/simulate/disk.ts';
import type { Databases } from '../src/store/databases.ts';

export type DatabaseFault = 'ENOSPC' | 'doubtful' | 'before' | 'after';

export interface FaultyDatabases extends Databases {
  /** Whether the fault came. */
  readonly isHit: boolean;
}

export function faultyDatabases(inner: Databases, at: number, fault: DatabaseFault): FaultyDatabases {
  let count = 0;
  let isEnded = false;
  return {
    ...inner,
    get isHit() {
      return count >= at;
    },
    transactionSync(work) {
      if (isEnded) throw errorOf('EIO', 'this process is no more');
      if (++count !== at) return inner.transactionSync(work);
      isEnded = fault === 'before' || fault === 'after';
      inner.transactionSync(() => {
        work();
        if (fault === 'ENOSPC' || fault === 'before') throw errorOf('ENOSPC', 'a transaction');
      });
      throw errorOf('EIO', 'a transaction that is done');
    },
  };
}
