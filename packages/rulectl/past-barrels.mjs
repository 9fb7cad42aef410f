/**
 * For bundles: who imports a name of one of our packages gets the file that has it, not the index of the
 * package. By an index esbuild puts all that any part of a bundle uses of a package into one file, which each
 * part then loads.
 */

import { readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';

/** Names imported of a package of ours, or handed on. */
const IMPORT = /^(import|export) (type )?\{([^}]*)\} from '(@rulecast\/[a-z]+)';$/gm;
/** Names that an index hands on. */
const HANDED_ON = /^export (?:type )?\{([^}]*)\} from '(\.\/[^']+)';$/gm;

/**
 * What rewrites the imports of one source.
 * @param {import('esbuild').PluginBuild} building
 * @returns {(path: string, text: string) => Promise<string>} of a file and what is in it, what is to be in it
 */
export function pastBarrels(building) {
  /** @type {Map<string, Promise<ReadonlyMap<string, string>>>} */
  const indexes = new Map();
  /** @param {string} name @param {string} resolveDir */
  const indexOf = (name, resolveDir) => {
    const known = indexes.get(name) ?? filesByName(building, name, resolveDir);
    indexes.set(name, known);
    return known;
  };
  return async (path, text) => {
    const resolveDir = dirname(path);
    const imports = [...text.matchAll(IMPORT)].filter(([, , isType]) => isType === undefined);
    const files = await Promise.all(imports.map(([, , , , name = '']) => indexOf(name, resolveDir)));
    let at = 0;
    return text.replace(IMPORT, (whole, verb, isType, words) => {
      if (isType !== undefined) return '';
      const file = files[at++];
      const lines = wordsOf(words).map((word) => {
        const from = file?.get(word.split(' as ')[0] ?? '');
        if (from === undefined) throw new Error(`${path} imports ${word}, which no index hands on: ${whole}`);
        // A path from there: source maps have it, wherever the checkout is.
        return `${verb} { ${word} } from ${JSON.stringify(`./${relative(resolveDir, from)}`)};`;
      });
      return lines.join(' ');
    });
  };
}

/**
 * @param {import('esbuild').PluginBuild} building
 * @param {string} name of a package
 * @param {string} resolveDir of who imports it
 */
async function filesByName(building, name, resolveDir) {
  const { path, errors } = await building.resolve(name, { kind: 'import-statement', resolveDir });
  if (errors.length > 0) throw new Error(errors.map(({ text }) => text).join('\n'));
  /** @type {Map<string, string>} */
  const files = new Map();
  for (const [, words = '', file = ''] of readFileSync(path, 'utf8').matchAll(HANDED_ON))
    for (const word of wordsOf(words)) files.set(word.split(' as ').at(-1) ?? '', join(dirname(path), file));
  return files;
}

/** The names of a list, without those of types. @param {string} list */
function wordsOf(list) {
  return list
    .split(',')
    .map((word) => word.replace(/\/\/.*$/gm, '').trim())
    .filter((word) => word !== '' && !word.startsWith('type '));
}
