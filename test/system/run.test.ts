/**
 * Nothing that a run as root makes outlives it either: namespaces, mounts, what enforces. Others are in
 * run-interrupted.test.ts.
 */

import { describe, expect, it } from 'vitest';
import { NOTHING, Witness } from '../run/witness.ts';
import { enforcementGap } from './namespaces.ts';

const VITEST = [
  'node_modules/vitest/vitest.mjs',
  'run',
  '--config',
  'vitest.system.config.ts',
  '--reporter=verbose',
];

describe.skipIf(enforcementGap() !== undefined)('it leaves nothing behind', () => {
  // ^C left its directory and four namespaces.
  it.each([
    ['each a process of its own', 'SIGINT'],
    ['each a process of its own', 'SIGKILL'],
    ['without a release it is closed', 'SIGTERM'],
    ['$ rulectl push', 'SIGINT'],
    ['Why?', 'SIGTERM'],
    ['Back to what was released first', 'SIGKILL'],
  ] as const)('the demo as root, at "%s" by %s', async (moment, signal) => {
    const demo = new Witness(['test/demo.mjs']);
    await demo.prints(moment);
    await demo.end(signal);
    expect(demo.leftovers()).toEqual(NOTHING);
  });

  it.each(['SIGINT', 'SIGKILL'] as const)('tests in namespaces, by %s', async (signal) => {
    const tests = new Witness([...VITEST, 'test/system/enforce-harness.test.ts']);
    await tests.prints('forwards every packet');
    await tests.end(signal);
    expect(tests.leftovers()).toEqual(NOTHING);
  });

  it.each(['SIGINT', 'SIGKILL'] as const)('tests on a disk that they mounted, by %s', async (signal) => {
    const tests = new Witness([...VITEST, 'test/system/disk-full.test.ts']);
    await tests.makes('ballast');
    await tests.end(signal);
    expect(tests.leftovers()).toEqual(NOTHING);
  });
});
