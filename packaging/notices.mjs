/** The notices for a bundle: each library with its version, its licence and the licence's text. */

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/**
 * Throws Error where a library says neither a licence nor its text.
 * @param {string} root of the checkout
 * @param {readonly string[]} libraries their folders, from the root
 */
export function notices(root, libraries) {
  const entries = libraries.map((path) => {
    const folder = join(root, path);
    const { name, version, license, author } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));
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
