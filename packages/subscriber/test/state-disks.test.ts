/** The state directory on the disks that there are: the real one, and the simulated one, which forgets. */

import { readFileSync, writeFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { temporaryDirectory } from '../../../test/kit/directory.ts';
import { Random } from '../../../test/kit/random.mjs';
import { SimulatedDisk } from '../../../test/simulate/disk.ts';
import { often } from '../../../test/thorough.ts';
import { NODE_DISK } from '../src/state/disk.ts';
import { describeStateDirectory, Keeper, type TestPlace } from './state-conformance.ts';

/** A process on it is killed, which loses nothing: power cuts are the simulated disk's. */
function realPlace(seed: number): TestPlace {
  const random = new Random(seed);
  return {
    directory: temporaryDirectory(),
    mount: () => NODE_DISK,
    crash: () => undefined,
    flip(path) {
      const bytes = readFileSync(path);
      const at = random.below(bytes.length);
      bytes[at] = (bytes[at] ?? 0) ^ (1 << random.below(8));
      writeFileSync(path, bytes);
    },
  };
}

function simulatedPlace(seed: number): TestPlace & { readonly platter: SimulatedDisk } {
  const platter = new SimulatedDisk(seed, '/state');
  return {
    platter,
    directory: '/state',
    mount: () => platter.mount(),
    crash: () => platter.cutPower(),
    flip: (path) => platter.flip(path),
  };
}

describeStateDirectory('the file system', realPlace, { seeds: [1], stride: often(11, 1) });
describeStateDirectory('a simulated disk', simulatedPlace, {
  seeds: Array.from({ length: often(2, 100) }, (_, i) => i + 1),
  stride: often(5, 1),
});

describe('a state directory that is new, with those above it', () => {
  // The names of directories that were made were never flushed: a power cut took them with all below.
  it.each([1, 2, 3, 4, 5])('is there after a power cut, with seed %i', async (seed) => {
    const platter = new SimulatedDisk(seed, '/');
    const keeper = new Keeper({
      directory: '/var/lib/firewall',
      mount: () => platter.mount(),
      crash: () => platter.cutPower(),
      flip: (path) => platter.flip(path),
    });
    await keeper.work();
    platter.cutPower();
    await keeper.expectKept();
  });
});

describe('a state directory on a disk that fills up', () => {
  it('keeps the last release, at every size of disk, and takes the next once there is room', async () => {
    let refused = 0;
    for (let capacityBytes = 0; capacityBytes < 4000; capacityBytes += often(111, 37)) {
      const place = simulatedPlace(capacityBytes + 1);
      const keeper = new Keeper(place);
      place.platter.capacityBytes = capacityBytes;
      await keeper.work();
      if (!(await keeper.bring())) refused += 1;
      place.platter.cutPower();
      await keeper.expectKept();
      expect(keeper.damaged).toEqual([]);
      place.platter.capacityBytes = Number.POSITIVE_INFINITY;
      expect(await keeper.bring()).toBe(true);
      place.platter.cutPower();
      await keeper.expectKept();
    }
    expect(refused).toBeGreaterThan(10);
  });
});
