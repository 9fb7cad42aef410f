/**
 * Makes one file of the thread that verifies, in place of what was built: a release waits for its start, and
 * finding and reading the sixty files that it takes was most of that.
 */

import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const THREAD = fileURLToPath(new URL('dist/verify/verify-thread.js', import.meta.url));
/** What a file of the protocol finds beside itself, by who is installed beside us. */
const OWN_WASM = "new URL('../../dist/names.wasm', import.meta.url)";
const THEIR_WASM = "new URL('names.wasm', import.meta.resolve('@rulecast/protocol'))";

/** @type {import('esbuild').Plugin} */
const builtFiles = {
  name: 'built-files',
  setup(building) {
    building.onLoad({ filter: /\/dist\/.*\.js$/ }, ({ path }) => ({
      contents: readFileSync(path, 'utf8').replace(OWN_WASM, THEIR_WASM),
      loader: 'js',
    }));
  },
};

await build({
  entryPoints: [THREAD],
  outfile: THREAD,
  allowOverwrite: true,
  bundle: true,
  format: 'esm',
  platform: 'node',
  target: 'node20.19',
  sourcemap: true,
  plugins: [builtFiles],
  logLevel: 'warning',
});
