import { defineConfig } from 'vitest/config';

/** Unit tests stand beside each package, tests of whole processes under test/; both need the built packages. */
export default defineConfig({
  test: {
    include: ['packages/*/test/**/*.test.ts', 'protocol/test/**/*.test.ts', 'test/**/*.test.ts'],
    exclude: ['**/node_modules/**', 'test/system/**'],
    globalSetup: ['test/run/run.mjs'],
    // They end what hangs; no test passes or fails by them, however busy the machine.
    testTimeout: 240_000,
    hookTimeout: 240_000,
    expect: { poll: { timeout: 180_000 } },
    pool: 'forks',
    maxWorkers: '100%',
    execArgv: ['--max-semi-space-size=64'], // what tests make is mostly garbage, and collecting it took a tenth of the time
  },
});
