import { defineConfig } from 'vitest/config';
import { NIGHTLY_SYSTEM } from './test/nightly.mjs';

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
  'ocaml-bounds',
];
const pathOf = (name: string): string => `test/system/${name}.test.ts`;
const ALONE_FILES = ALONE.map(pathOf);
/** They take long: they run only if the command line names them, by a path or a part of it, as Vitest takes it. */
const NOT_NOW = Object.keys(NIGHTLY_SYSTEM)
  .map(pathOf)
  .filter((path) => !process.argv.slice(3).some((word) => path.includes(word) || word.endsWith(path)));

const shared = {
  testTimeout: 240_000,
  hookTimeout: 240_000,
  expect: { poll: { timeout: 180_000 } },
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
          exclude: [...ALONE_FILES, ...NOT_NOW],
          maxWorkers: '100%',
          sequence: { groupOrder: 0 },
        },
      },
      {
        test: {
          ...shared,
          name: 'alone',
          include: ALONE_FILES,
          exclude: NOT_NOW,
          fileParallelism: false,
          sequence: { groupOrder: 1 },
        },
      },
    ],
  },
});
