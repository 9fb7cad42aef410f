/**
 * Bundles the content thread into one file that replaces the built one: a start waits for it, and finding and
 * reading its hundred files was half of that, and 8 MB.
 */

import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const THREAD = fileURLToPath(new URL('dist/content/content-thread.js', import.meta.url));
/** What the table finds beside itself: it is installed beside us. */
const WASM = "new URL('../../dist/engine.wasm', import.meta.url)";
const WASM_OF_TABLE = "new URL('engine.wasm', import.meta.resolve('@rulecast/table'))";

/** @type {import('esbuild').Plugin} */
const wasmOfTable = {
  name: 'wasm-of-table',
  setup(building) {
    building.onLoad({ filter: /\/dist\/.*\.js$/ }, ({ path }) => ({
      contents: readFileSync(path, 'utf8').replace(WASM, WASM_OF_TABLE),
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
  external: ['@rulecast/nftables/plans', '@rulecast/dns/portion'], // loaded where they are used
  plugins: [wasmOfTable],
  logLevel: 'warning',
});
