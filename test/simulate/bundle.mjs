/**
 * What is simulated, as one file for Node: the sources of the packages and of this folder, with simulated
 * time in the place of Node's. Sources, so that nothing has to be built before, and a mutant is a source that
 * is another while this is made.
 */

import { readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { build } from 'esbuild';
import { SOURCE_CONDITION } from '../../rooms.mjs';

const HERE = fileURLToPath(new URL('.', import.meta.url));
/** Replacements for Node's modules of these names. */
const REPLACED = new Map([
  ['node:timers/promises', `${HERE}air-promises.ts`],
  ['node:worker_threads', `${HERE}air-threads.ts`],
]);
const PARENT_PORT = "import { parentPort } from 'node:worker_threads';";
const GLOBALS = [
  'setTimeout',
  'setInterval',
  'clearTimeout',
  'clearInterval',
  'setImmediate',
  'clearImmediate',
  'performance',
];

/**
 * Makes the file. `patch` gives back the text of a source that is to be another.
 * @param {string} outfile
 * @param {(path: string, text: string) => string} [patch]
 */
export async function bundle(outfile, patch = (_, text) => text) {
  const define = Object.fromEntries(GLOBALS.map((name) => [name, `globalThis.rulecastAir.${name}`]));
  await build({
    entryPoints: [`${HERE}victim.ts`],
    outfile,
    bundle: true,
    platform: 'node',
    format: 'esm',
    target: 'node20',
    sourcemap: 'inline',
    logLevel: 'error',
    conditions: [SOURCE_CONDITION],
    ignoreAnnotations: true, // the files of threads are imported for what they do
    define: {
      ...define,
      'Date.now': 'globalThis.rulecastAir.now',
      'Math.random': 'globalThis.rulecastAir.random',
    },
    plugins: [{ name: 'simulated', setup: (made) => simulated(made, patch) }],
  });
}

/**
 * @param {import('esbuild').PluginBuild} made
 * @param {(path: string, text: string) => string} patch
 */
function simulated(made, patch) {
  made.onResolve({ filter: /^[^.]/ }, ({ path, kind }) => {
    const replacement = REPLACED.get(path);
    if (replacement !== undefined) return { path: replacement };
    if (kind === 'entry-point' || path.startsWith('@rulecast/') || path.startsWith('/')) return undefined;
    return { path, external: true };
  });
  made.onLoad({ filter: /\.(ts|mjs)$/ }, ({ path }) => {
    const text = patch(path, readFileSync(path, 'utf8'));
    const here = text.replaceAll('import.meta.url', JSON.stringify(pathToFileURL(path).href));
    return {
      contents: here.includes(PARENT_PORT) ? asThread(here, basename(path, '.ts')) : here,
      loader: path.endsWith('.ts') ? 'ts' : 'js',
    };
  });
}

/**
 * The file of a thread as a function, which each thread runs anew: all but its imports.
 * @param {string} text
 * @param {string} name
 */
function asThread(text, name) {
  const last = [...text.matchAll(/^import\s[^;]*;$/gm)].at(-1);
  const end = (last?.index ?? 0) + (last?.[0].length ?? 0);
  const imports = text.slice(0, end).replace(PARENT_PORT, "import { threadOf } from 'node:worker_threads';");
  return `${imports} threadOf(${JSON.stringify(name)}, (parentPort) => {${text.slice(end)}});\n`;
}
