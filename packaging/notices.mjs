/** Whose work is in a bundle: each library with its version, licence and the licence's text. */

import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/**
 * Throws Error where a library says neither a licence nor its text.
 * @param {string} root of the checkout
 * @param {readonly string[]} libraries names of packages
 */
export function notices(root, libraries) {
  const entries = libraries.map((name) => {
    const folder = folderOf(root, name);
    const { version, license, author } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));
    const texts = readdirSync(folder)
      .filter((file) => /^(licen[cs]e|copying|notice)/i.test(file))
      .sort();
    if (typeof license !== 'string' && texts.length === 0)
      throw new Error(`${name} ${version} names no licence`);
    const who = typeof author === 'string' ? author : author?.name;
    const said = texts.map((file) => readFileSync(join(folder, file), 'utf8').trim());
    const rest = said.length > 0 ? said : [who === undefined ? '' : `Copyright ${who}`].filter(Boolean);
    return [`${name} ${version} (${license ?? 'see below'})`, ...rest].join('\n\n');
  });
  return `Rulecast has in it:\n\n${entries.join(`\n\n${'-'.repeat(80)}\n\n`)}\n`;
}

/** @param {string} root @param {string} name */
function folderOf(root, name) {
  const homes = ['', ...readdirSync(join(root, 'packages')).map((home) => join('packages', home))];
  for (const home of homes) {
    const folder = join(root, home, 'node_modules', name);
    if (existsSync(join(folder, 'package.json'))) return folder;
  }
  const nested = readdirSync(join(root, 'node_modules')).map((other) =>
    join(root, 'node_modules', other, 'node_modules', name),
  );
  const found = nested.find((folder) => existsSync(join(folder, 'package.json')));
  if (found === undefined) throw new Error(`${name} is in the bundle and not in node_modules`);
  return found;
}
