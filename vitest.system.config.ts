import { defineConfig } from 'vitest/config';

/** They share the kernel's tables, mounts or namespaces, or measure what neighbours would slow down. */
const ALONE = [
  'enforce-*',
  'systemd',
  'packages',
  'disk-full',
  'run',
  'run-interrupted',
  'bystander',
  'flood',
  'hostile-streams',
  'limits',
];
const ALONE_FILES = ALONE.map((name) => `test/system/${name}.test.ts`);

const shared = {
  testTimeout: 180_000,
  hookTimeout: 60_000,
  disableConsoleIntercept: true, // measurements and seeds are read in the log
};

/**
 * Tests of whole processes: killed, cut off, stopped, damaged, full, or long at work. Minutes long, so apart
 * from `npm test`. Those that have nothing in common with others run side by side, and then the rest one
 * after the other.
 */
export default defineConfig({
  test: {
    globalSetup: ['test/run/run.mjs'],
    pool: 'forks',
    projects: [
      {
        test: {
          ...shared,
          name: 'side by side',
          include: ['test/system/**/*.test.ts'],
          exclude: ALONE_FILES,
          maxWorkers: '100%',
          sequence: { groupOrder: 0 },
        },
      },
      {
        test: {
          ...shared,
          name: 'alone',
          include: ALONE_FILES,
          fileParallelism: false,
          sequence: { groupOrder: 1 },
        },
      },
    ],
  },
});
