/**
 * For bundles: what each `rulectl` begins with, and what `rulectl status` takes, lies in one file. esbuild
 * puts code that several parts share into a file for each set of parts, of which a start would read thirty;
 * finding and reading one takes half a millisecond. So each part imports the same: then there is one set.
 */

import { dirname, join, relative } from 'node:path';

/** Parts of a bundle: what is asked for by `import()`, and the program. */
const PARTS =
  /\/rulectl\/src\/(main|yargs-line|commands\/[a-z]+)\.ts$|\/vchan\/(src|dist)\/(zeromq\/(zeromq|curve-key)|stream\/(exec|libvchan|qrexec|stdio|vchan-socket))\.[jt]s$/;
const SHARED = ['cli.ts', 'commands/status.ts'].map((file) => join(import.meta.dirname, 'src', file));

/**
 * What is in a source file, with those imports where it is a part. They are paths from there: source maps
 * have them, wherever the checkout is.
 * @param {string} path @param {string} text
 */
export function withOneStart(path, text) {
  if (!PARTS.test(path)) return text;
  return `${text}\n${SHARED.filter((file) => file !== path)
    .map((file) => `import ${JSON.stringify(`./${relative(dirname(path), file)}`)};`)
    .join('\n')}\n`;
}
