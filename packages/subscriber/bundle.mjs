/**
 * Makes one file of the thread that owns the content, in place of what was built: a start waits for it, and
 * finding and reading the hundred files that it takes was half of that, and 8 MB.
 */

import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const THREAD = fileURLToPath(new URL('dist/content/content-thread.js', import.meta.url));
/** What a file of another package finds beside itself, by who is installed beside us. */
const WASM = /new URL\('\.\.\/\.\.\/dist\/(names|engine)\.wasm', import\.meta\.url\)/;
const HOMES = { names: '@rulecast/protocol', engine: '@rulecast/table' };

/** @type {import('esbuild').Plugin} */
const wasmOfOthers = {
  name: 'wasm-of-others',
  setup(building) {
    building.onLoad({ filter: /\/dist\/.*\.js$/ }, ({ path }) => ({
      contents: readFileSync(path, 'utf8').replace(WASM, (_, /** @type {keyof typeof HOMES} */ name) => {
        return `new URL('${name}.wasm', import.meta.resolve('${HOMES[name]}'))`;
      }),
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
  plugins: [wasmOfOthers],
  logLevel: 'warning',
});
