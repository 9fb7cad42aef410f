/** The documents and pages of the manual that installed files send people to. */

import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';

/** A document by its path in the checkout, as messages name it. A URL and a folder of a library have none. */
const DOCUMENT = /(?<![\w./@-])(?:docs|packaging|protocol|examples)\/[\w./-]*\w\.(?:md|yaml|policy)\b/g;
const INSTALLED = /\/usr\/share\/doc\/rulecast[\w./@*-]*[\w*]/g;
const MANUAL = /\b(rule(?:cast-[a-z.-]+|ctl))\((\d)\)/g;

/**
 * What the files below `root` name and is not there, each as `FILE: PLACE`; and how many places were named.
 * A document of the checkout is looked for in the folder of the package whose program names it.
 */
export function missingDocuments(root: string): {
  readonly missing: readonly string[];
  readonly named: number;
} {
  const places: (readonly [string, string])[] = [];
  for (const path of filesBelow(root, 'usr/lib', 'usr/share/man', 'usr/share/doc', 'etc')) {
    if (!/\.(js|md|yaml|policy|\d\.gz|service|socket|conf)$/.test(path) || path.includes('node_modules'))
      continue;
    const text = textOf(join(root, path));
    const folder = `usr/share/doc/${isOfFirewall(path) ? 'rulecast-firewall' : 'rulecast'}`;
    // What documents name so is in the checkout.
    if (!path.endsWith('.md'))
      for (const [place] of text.matchAll(DOCUMENT)) places.push([path, `${folder}/${place}`]);
    for (const [place] of text.matchAll(INSTALLED))
      if (!place.endsWith('*')) places.push([path, place.slice(1)]);
    for (const [, page, section] of text.matchAll(MANUAL))
      places.push([path, `usr/share/man/man${section}/${page}.${section}.gz`]);
  }
  const missing = places.filter(([, place]) => !existsSync(join(root, place)));
  return { missing: missing.map(([path, place]) => `${path}: ${place}`), named: places.length };
}

function isOfFirewall(path: string): boolean {
  return /rulecast-(firewall|subscriber|dns|names|doctor|boot)/.test(path);
}

function filesBelow(root: string, ...folders: readonly string[]): readonly string[] {
  return folders.flatMap((folder) =>
    readdirSync(join(root, folder), { recursive: true, encoding: 'utf8', withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name).slice(root.length + 1)),
  );
}

/** The text of a manual page, as troff prints it. */
function textOf(path: string): string {
  const bytes = readFileSync(path);
  if (!path.endsWith('.gz')) return bytes.toString();
  return gunzipSync(bytes)
    .toString()
    .replaceAll('\\-', '-')
    .replaceAll(/^\.BR (\S+) \(/gm, '$1(');
}
