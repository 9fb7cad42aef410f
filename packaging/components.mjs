/**
 * Which libraries of others are in the packages, as a CycloneDX 1.6 list (ECMA-424): each with the integrity of its npm
 * package, as package-lock.json has it, and the hash of each native file that is packed. Native files are built by their
 * authors and not again here: they are packed as npm has them, so that anybody can compare.
 */

import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/**
 * Throws Error where the lock does not have a library, or where a native file is in none of them.
 * @param {string} root of the checkout
 * @param {{
 *   readonly version: string,
 *   readonly libraries: readonly string[],
 *   readonly natives: Readonly<Record<string, string>>,
 * }} packed libraries as the lock names them; native files, by where they are installed
 */
export function componentList(root, { version, libraries, natives }) {
  const lock = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')).packages;
  const installed = Object.entries(natives).map(([location, file]) => ({ location, sha256: sha256(file) }));
  const listed = new Set();
  const components = [...new Set(libraries)].map((path) => {
    const { version, license, integrity } = lock[path] ?? {};
    const [, name = ''] = /node_modules\/((?:@[^/]+\/)?[^/]+)$/.exec(path) ?? [];
    const [, digest] = /^sha512-(\S+)$/.exec(integrity) ?? [];
    const there = JSON.parse(readFileSync(join(root, path, 'package.json'), 'utf8')).version;
    if (there !== version) throw new Error(`${path} is ${there} and not ${version} of the lock: npm ci`);
    if (digest === undefined) throw new Error(`package-lock.json has no integrity of ${path}`);
    const purl = `pkg:npm/${name.replace('@', '%40')}@${version}`;
    const files = nativeFiles(join(root, path)).flatMap((file) => {
      const hash = sha256(join(root, path, file));
      const occurrences = installed.filter(({ sha256 }) => sha256 === hash);
      for (const occurrence of occurrences) listed.add(occurrence);
      return occurrences.length === 0 ? [] : [nativeComponent(purl, file, hash, occurrences)];
    });
    return {
      type: 'library',
      'bom-ref': purl,
      name,
      version,
      purl,
      ...(license === undefined ? {} : { licenses: [{ expression: license }] }),
      hashes: [{ alg: 'SHA-512', content: Buffer.from(digest, 'base64').toString('hex') }],
      ...(files.length === 0 ? {} : { components: files }),
    };
  });
  const unknown = installed.find((native) => !listed.has(native));
  if (unknown !== undefined)
    throw new Error(`${unknown.location} is a file of no library in package-lock.json`);
  const list = {
    bomFormat: 'CycloneDX',
    specVersion: '1.6',
    version: 1,
    metadata: {
      component: { type: 'application', name: 'rulecast', version, licenses: [{ expression: 'MIT' }] },
    },
    // node_modules may have several copies of one version.
    components: [...new Map(components.map((one) => [one.purl, one])).values()].sort(byPurl),
  };
  return `${JSON.stringify(list, undefined, 2)}\n`;
}

/** @param {{ readonly purl: string }} a @param {{ readonly purl: string }} b */
function byPurl(a, b) {
  return a.purl < b.purl ? -1 : 1;
}

/**
 * @param {string} purl of its library @param {string} file its path there @param {string} hash
 * @param {readonly { readonly location: string }[]} occurrences
 */
function nativeComponent(purl, file, hash, occurrences) {
  return {
    type: 'file',
    'bom-ref': `${purl}#${file}`,
    name: file,
    description:
      'Not reproduced: built by the authors of the library, and packed as their npm package has it.',
    hashes: [{ alg: 'SHA-256', content: hash }],
    evidence: { occurrences: occurrences.map(({ location }) => ({ location })) },
  };
}

/** @param {string} folder */
function nativeFiles(folder) {
  const names = readdirSync(folder, { recursive: true, encoding: 'utf8' });
  return names.filter((name) => name.endsWith('.node')).sort();
}

/** @param {string} file */
function sha256(file) {
  return createHash('sha256').update(readFileSync(file)).digest('hex');
}
