/**
 * Makes dist/ of the checked sources: rulectl in few files, since finding and reading the 300 files that it
 * is written in, libraries included, took half of each command's time. What is loaded on demand stays apart:
 * commands, and channels that few use.
 */

import { rmSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const here = (path) => fileURLToPath(new URL(path, import.meta.url));

rmSync(here('dist'), { recursive: true, force: true }); // chunks are named by what is in them, and old ones would stay
await build({
  entryPoints: [here('src/main.ts'), here('src/cli.ts')], // the program, and what runs one command line after the other in its tests
  outdir: here('dist'),
  bundle: true,
  splitting: true,
  format: 'esm',
  platform: 'node',
  target: 'node20.19',
  minifySyntax: true,
  external: [
    ...['zeromq', 'msgpackr-extract'], // native: found beside their own files
    '@rulecast/sources/try', // finds the thread that it starts beside its own files
  ],
  // Libraries in CommonJS ask for Node's own modules by `require`, which an ES module lacks.
  banner: {
    js: "import { createRequire as requireFrom } from 'node:module'; const require = requireFrom(import.meta.url);",
  },
  logLevel: 'warning',
});
