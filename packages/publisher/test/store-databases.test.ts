/** The store on the databases that there are: LMDB, and simulated ones. */

import { describe, expect, it } from 'vitest';
import { temporaryDirectory } from '../../../test/kit/directory.ts';
import { SimulatedDatabases } from '../../../test/simulate/databases.ts';
import { often } from '../../../test/thorough.ts';
import { type Databases, openDatabases } from '../src/store/databases.ts';
import { describeStore, type StorePlace } from './store-conformance.ts';

/** A process that ends closes LMDB here: that one that is killed loses nothing, store.test.ts shows. */
function lmdbPlace(): StorePlace {
  const directory = temporaryDirectory();
  let databases: Databases | undefined;
  return {
    open() {
      databases = openDatabases(directory);
      return databases;
    },
    end: async () => databases?.close(),
  };
}

function simulatedPlace(seed: number): StorePlace {
  const databases = new SimulatedDatabases(seed);
  return {
    open: () => databases.open(),
    end: async () => databases.end(),
  };
}

describeStore('LMDB', lmdbPlace, [1]);
describeStore(
  'simulated databases',
  simulatedPlace,
  Array.from({ length: often(3, 100) }, (_, i) => i + 1),
);

describe('simulated databases', () => {
  it('do a transaction that waits for its turn whole or not at all when the process ends', async () => {
    const outcomes = new Set<string>();
    for (let seed = 1; seed <= 20; seed++) {
      const place = new SimulatedDatabases(seed);
      const { subscribers, transaction } = place.open();
      const done = transaction(() => {
        subscribers.put('one', '1');
        subscribers.put('two', '2');
      });
      place.end();
      await expect(done).rejects.toThrow('EIO');
      outcomes.add([...place.open().subscribers.getKeys({})].join(' '));
    }
    expect([...outcomes].sort()).toEqual(['', 'one two']);
  });

  it('refuse a transaction for which there is no room, and keep what was there', () => {
    const place = new SimulatedDatabases(1);
    const { subscribers, transactionSync } = place.open();
    transactionSync(() => void subscribers.put('one', '1'));
    place.capacityBytes = place.usedBytes;
    expect(() => transactionSync(() => void subscribers.put('two', '2'))).toThrow('ENOSPC');
    expect([...subscribers.getKeys({})]).toEqual(['one']);
  });
});
