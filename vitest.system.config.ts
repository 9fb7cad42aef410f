import { defineConfig } from 'vitest/config';

/** Tests of whole processes: killed, cut off, stopped, damaged, full, or long at work. Minutes long, so apart from `npm test`. */
export default defineConfig({
  test: {
    include: ['test/system/**/*.test.ts'],
    globalSetup: ['test/run/run.mjs'],
    testTimeout: 180_000,
    hookTimeout: 60_000,
    expect: { poll: { timeout: 120_000 } }, // no test passes or fails by it, however busy the machine
    pool: 'forks',
    fileParallelism: false, // each starts several processes, and some measure
    disableConsoleIntercept: true, // measurements and seeds are read in the log
  },
});
