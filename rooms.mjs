/**
 * The map of the house, and the gate that holds it: which folders a package has, in the order in which data
 * climbs them, lowest first.
 *
 * A package imports packages above it in this list, and only those that its package.json names. A folder (or
 * a file of `src/` named here) imports its own files and those of folders named before it. Files of `src/`
 * that are not named here stand on top: they may import every folder of the package, and no folder imports
 * them.
 *
 *     node rooms.mjs          ends with 1, and a line for each import that goes upward or aside
 */

import { readdirSync, readFileSync } from 'node:fs';
import { join, posix } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

/** @type {Readonly<Record<string, readonly string[]>>} */
export const ROOMS = {
  // Files that lean on one another one by one: a line of values, not groups of them, so the order is
  // that of the files.
  'packages/rules': [
    'limits.ts',
    'suggestion.ts',
    'pieces.ts',
    'prefix.ts',
    'name.ts',
    'names.ts',
    'name-lookup.ts',
    'names-writer.ts',
    'names-delta.ts',
    'name-set.ts',
    'prefix-set.ts',
    'name-room.ts',
    'list.ts',
    'special-purpose.ts',
    'private-address.ts',
    'coverage.ts',
    'rule.ts',
    'rule-line.ts',
    'runs.ts',
    'policy.ts',
    'name-terms.ts',
    'rule-set.ts',
    'evaluate.ts',
    'evaluate-name.ts',
    'rule-columns.ts',
    'match-classes.ts',
    'longest-match.ts',
  ],

  'packages/threads': [],

  'packages/formats': ['text', 'collect', 'json', 'csv', 'feed', 'list', 'document', 'config'],

  protocol: ['error.ts', 'limits.ts', 'bytes', 'content', 'codec', 'wire', 'depot', 'peer'],

  'packages/vchan': ['channel', 'stream', 'zeromq'],

  'packages/table': ['limits.ts', 'memory', 'classes', 'map', 'program', 'image', 'edit', 'lookup'],

  'packages/nftables': ['limits.ts', 'plan', 'kernel', 'log', 'apply', 'sink'],

  'packages/sources': [
    'clock.ts',
    'log.ts',
    'lists',
    'guard',
    'schedule',
    'fetch',
    'unpack',
    'watch',
    'read',
    'source',
  ],

  'packages/program': ['directory.ts', 'keys'],

  'packages/sessions': ['pace.ts', 'misfit.ts', 'subscribers', 'host.ts', 'admission', 'session'],

  'packages/dns': ['message', 'match', 'judge', 'proxy', 'pipe', 'net', 'daemon'],

  'packages/depot': ['source.ts', 'http.ts', 'feed.ts', 'reporter.ts', 'host.ts'],

  'packages/relay': ['session-source.ts'],

  'packages/publisher': [
    'host.ts',
    'names',
    'guards',
    'signer',
    'blocks',
    'store',
    'subscribers',
    'counts',
    'release',
    'depot',
    'fleet',
    'admission',
    'sessions',
    'control',
    'requests',
    'daemon',
  ],

  'packages/subscriber': ['verify', 'clock', 'state', 'content', 'apply', 'refused', 'peer', 'daemon'],

  'packages/rulectl': [
    'terminal',
    'catalogue',
    'render',
    'control',
    'release',
    'offline',
    'doctor',
    'init',
    'web',
    'commands',
  ],
};

/** The condition of `exports` by which tests, and the compiler for them, find the source of a package. */
export const SOURCE_CONDITION = '@rulecast/source';

/** Module names in import, export … from, import() and new URL(…, import.meta.url). */
const SPECIFIER = /(?:\bfrom\s+|\bimport\s*\(?\s*|new URL\(\s*)(['"])((?:\.\.?\/|@rulecast\/)[^'"]+)\1/g;

/**
 * What a file imports against the order, a sentence for each.
 *
 * @param {string} home the package's folder, a key of ROOMS
 * @param {string} path the file, from the package's `src/`, with `/` between folders
 * @param {string} text
 * @param {readonly string[]} rooms the package's folders and named files, lowest first
 * @param {ReadonlySet<string>} packages what it may import of `@rulecast/`
 */
export function breaches(home, path, text, rooms, packages) {
  const own = roomOf(path, rooms);
  if (own === undefined) return [`${home}/src/${path} is in a folder that rooms.mjs does not name`];
  return [...text.matchAll(SPECIFIER)].flatMap(([, , specifier = '']) => {
    const complaint = specifier.startsWith('@')
      ? ofPackage(specifier, packages)
      : ofRoom(posix.join(posix.dirname(path), specifier), own, rooms);
    return complaint === undefined ? [] : [`${home}/src/${path} imports ${specifier}: ${complaint}`];
  });
}

/** @param {string} specifier @param {ReadonlySet<string>} packages */
function ofPackage(specifier, packages) {
  const name = specifier.split('/').slice(0, 2).join('/');
  return packages.has(name) ? undefined : `${name} is no dependency of this package`;
}

/** @param {string} target @param {string} own @param {readonly string[]} rooms */
function ofRoom(target, own, rooms) {
  if (target.startsWith('..')) return undefined; // built files beside src/: TypeScript refuses sources of another package
  const other = roomOf(target, rooms);
  if (other === undefined) return 'rooms.mjs does not name that folder';
  if (other === own || own === TOP) return undefined;
  if (other === TOP) return `no folder may import what stands on top`;
  return rooms.indexOf(other) < rooms.indexOf(own) ? undefined : `${own} is below ${other}`;
}

const TOP = '(top)';

/**
 * The room of a file; undefined for a folder that nobody named.
 * @param {string} path
 * @param {readonly string[]} rooms
 */
function roomOf(path, rooms) {
  const first = path.split('/')[0] ?? path;
  if (rooms.includes(first)) return first;
  return path.includes('/') ? undefined : TOP;
}

/** @param {string} root the checkout */
function check(root) {
  const homes = Object.keys(ROOMS);
  const names = new Map(homes.map((home) => [packageJson(root, home).name, homes.indexOf(home)]));
  return homes.flatMap((home, index) => {
    const dependencies = Object.keys(packageJson(root, home).dependencies ?? {});
    const upward = dependencies
      .filter((name) => (names.get(name) ?? -1) >= index)
      .map((name) => `${home}/package.json depends on ${name}, which rooms.mjs has below it`);
    const source = join(root, home, 'src');
    const files = readdirSync(source, { recursive: true, encoding: 'utf8' }).filter((path) =>
      path.endsWith('.ts'),
    );
    const rooms = ROOMS[home] ?? [];
    const empty = rooms
      .filter((room) => !files.some((path) => roomOf(path, rooms) === room))
      .map((room) => `rooms.mjs names ${home}/src/${room}, which is not there`);
    const found = files.flatMap((path) =>
      breaches(home, path, readFileSync(join(source, path), 'utf8'), rooms, new Set(dependencies)),
    );
    const unbuilt = misnamedSources(packageJson(root, home).exports ?? {}, new Set(files));
    return [...upward, ...empty, ...found, ...unbuilt.map((line) => `${home}/package.json: ${line}`)];
  });
}

/**
 * Tests read the source of a package, everybody else what was built of it, and both by its `exports`: what is
 * wrong with those.
 *
 * @param {Readonly<Record<string, Readonly<Record<string, string>>>>} exports of package.json
 * @param {ReadonlySet<string>} files below `src/`
 */
export function misnamedSources(exports, files) {
  return Object.entries(exports).flatMap(([path, conditions]) => {
    const source = conditions[SOURCE_CONDITION] ?? '';
    const built = source.replace(/^\.\/src\/(.+)\.ts$/, './dist/$1');
    if (!files.has(source.slice('./src/'.length))) return [`${path} names no source`];
    const isSame = conditions['types'] === `${built}.d.ts` && conditions['default'] === `${built}.js`;
    return isSame ? [] : [`${path} is built of something else than ${source}`];
  });
}

/** @param {string} root @param {string} home */
function packageJson(root, home) {
  return JSON.parse(readFileSync(join(root, home, 'package.json'), 'utf8'));
}

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href) {
  const found = check(fileURLToPath(new URL('.', import.meta.url)));
  for (const line of found) process.stderr.write(`${line}\n`);
  process.exitCode = found.length === 0 ? 0 : 1;
}
