import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';
import { ROOMS, SOURCE_CONDITION } from './rooms.mjs';

/**
 * Every `@rulecast/…` that a package exports, as the file of its source. An alias for each and not the
 * condition itself: Vitest gives conditions to Node as flags, threads and processes that a test starts
 * inherit those, and Node 20 reads no TypeScript.
 */
const sources = Object.keys(ROOMS).flatMap((home) => {
  const read = JSON.parse(readFileSync(new URL(`./${home}/package.json`, import.meta.url), 'utf8'));
  const { name, exports = {} } = read as { name: string; exports?: Record<string, Record<string, string>> };
  return Object.entries(exports).map(([path, conditions]) => ({
    find: new RegExp(`^${name}${path.slice(1)}$`),
    replacement: fileURLToPath(new URL(`./${home}/${conditions[SOURCE_CONDITION]}`, import.meta.url)),
  }));
});

const TESTS = ['packages/*/test/**/*.test.ts', 'protocol/test/**/*.test.ts', 'test/**/*.test.ts'];
const NOT_HERE = ['**/node_modules/**', 'test/system/**'];

/** They count handles or memory of their process, set flags of V8, or replace a module that others have loaded. */
const ISOLATED = [
  'packages/vchan/test/*.test.ts',
  'packages/dns/test/datagrams.test.ts',
  'packages/nftables/test/plan-life.test.ts',
  'packages/program/test/identity.test.ts',
  'packages/publisher/test/databases-sync.test.ts',
  'packages/publisher/test/signer-killed.test.ts',
  'packages/sources/test/{fetch,unpack}.test.ts',
  'packages/threads/test/{garbage,host}.test.ts',
];

/**
 * Unit tests stand beside each package, tests of whole processes under test/. What runs within a test is the
 * source of every package, so that an edit is seen by the tests of the others at once. What a test starts,
 * threads and processes, is what was built: `npm test` builds before it begins, `npm run dev` at each change.
 */
export default defineConfig({
  resolve: { alias: sources },
  test: {
    globalSetup: ['test/run/run.mjs'],
    pool: 'forks',
    maxWorkers: '100%',
    projects: [
      // One process takes file after file, which spares each 0.7 s of loading what the one before has loaded.
      {
        extends: true,
        test: { name: 'together', include: TESTS, exclude: [...NOT_HERE, ...ISOLATED], isolate: false },
      },
      { extends: true, test: { name: 'alone', include: ISOLATED } },
    ],
    // They end what hangs; no test passes or fails by them, however busy the machine.
    testTimeout: 240_000,
    hookTimeout: 240_000,
    expect: { poll: { timeout: 180_000 } },
    execArgv: ['--max-semi-space-size=64'], // what tests make is mostly garbage, and collecting it took a tenth of the time
  },
});
