/**
 * What runs with which rights: for each process its user, capabilities and sandbox, as the units say them, and
 * the code that is in it, as its imports say it. docs/explain/rights.md is made of this.
 *
 *     node packaging/rights.mjs       writes that page anew
 *
 *   entry points ─imports─▶ files, libraries, native code ─┐
 *   systemd units ────────▶ user, capabilities, sandbox ───┴─▶ tables
 */

import { readFileSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { build } from 'esbuild';
import { SOURCE_CONDITION } from '../rooms.mjs';

const root = fileURLToPath(new URL('..', import.meta.url));
const PAGE = 'docs/explain/rights.md';
/** The tables stand between these lines of the page. */
const BEGIN = '<!-- begin: node packaging/rights.mjs -->';
const END = '<!-- end -->';

/**
 * @typedef {{
 *   readonly name: string, readonly user: string, readonly capabilities: string,
 *   readonly entries: readonly string[], readonly isLazy: boolean,
 * }} Process `entries` are its own file and those of its threads. One that is lazy loads nothing on demand.
 * @typedef {{ readonly fileCount: number, readonly lineCount: number, readonly libraries: readonly string[] }} Code
 */

/** Libraries of others that are native code, or have some beside them. */
const NATIVE = ['koffi', 'lmdb', 'zeromq'];

const LIST_THREAD = 'packages/sources/src/read/list-worker-thread.ts';
const APPLIER = 'packages/nftables/src/applier-main.ts';

/** @returns {readonly Process[]} */
export function processes() {
  const subscriber = unit('rulecast-subscriber.service');
  const environment = (/** @type {string} */ name) =>
    only(subscriber.get('Environment'), new RegExp(`^${name}=(.*)$`));
  const applier = {
    user: environment('RULECAST_APPLIER_USER'),
    capabilities: `CAP_${only([text('packages/subscriber/src/daemon/enforcement.ts')], /'--bounding-set=-all,\+(\w+)'/).toUpperCase()}`,
    entries: [APPLIER],
  };
  return [
    {
      name: 'rulecast-publisher',
      ...ofUnit('rulecast-publisher.service'),
      entries: [
        'packages/publisher/src/daemon.ts',
        'packages/publisher/src/release/worker-thread.ts',
        LIST_THREAD,
      ],
      isLazy: false,
    },
    {
      name: 'its signer',
      ...ofUnit('rulecast-signer@.service'),
      entries: ['packages/publisher/src/signer-main.ts'],
      isLazy: false,
    },
    {
      name: 'rulecast-relay',
      ...ofUnit('rulecast-relay.service'),
      entries: ['packages/relay/src/daemon.ts'],
      isLazy: false,
    },
    {
      name: 'rulectl',
      user: 'who calls it',
      capabilities: 'none needed',
      entries: ['packages/rulectl/src/main.ts', LIST_THREAD],
      isLazy: false,
    },
    {
      name: 'rulectl web, as a unit',
      ...ofUnit('../web/rulecast-web.service'),
      entries: ['packages/rulectl/src/main.ts', LIST_THREAD],
      isLazy: false,
    },
    {
      name: 'rulecast-subscriber',
      user: environment('RULECAST_USER'),
      capabilities: 'none',
      entries: ['packages/subscriber/src/daemon.ts', 'packages/subscriber/src/content/content-thread.ts'],
      isLazy: false,
    },
    { name: 'supervisor of the applier', ...applier, isLazy: true },
    { name: 'applier', ...applier, isLazy: false },
    {
      name: 'rulecast-dns',
      ...ofUnit('rulecast-dns.service'),
      entries: ['packages/dns/src/daemon.ts'],
      isLazy: false,
    },
    {
      name: 'rulecast-dns-net',
      ...ofUnit('rulecast-dns-net.service'),
      entries: ['packages/dns/src/net-main.ts'],
      isLazy: false,
    },
    {
      name: 'rulecast-names',
      user: 'who calls it',
      capabilities: 'none needed',
      entries: ['packages/rulectl/src/firewall-names.ts'],
      isLazy: false,
    },
    {
      name: 'rulecast-doctor',
      user: 'who calls it',
      capabilities: 'none needed',
      entries: ['packages/rulectl/src/firewall-doctor.ts'],
      isLazy: false,
    },
  ];
}

/** The units whose sandboxes the page shows. */
const UNITS = [
  'rulecast-publisher.service',
  'rulecast-signer@.service',
  'rulecast-relay.service',
  'rulecast-subscriber.service',
  'rulecast-dns.service',
  'rulecast-dns-net.service',
  'rulecast-boot.service',
  '../web/rulecast-web.service',
];

/**
 * The code of a process: all files that its entry points import, directly or not. With on-demand imports,
 * unless it is lazy. Types alone load nothing, and are not counted.
 * @param {readonly Process[]} all
 * @returns {Promise<ReadonlyMap<string, Code>>} by the names of processes
 */
export async function codeOf(all) {
  const { metafile } = await build({
    absWorkingDir: root,
    entryPoints: [...new Set(all.flatMap(({ entries }) => entries))],
    outdir: 'nowhere',
    bundle: true,
    write: false,
    metafile: true,
    splitting: true,
    format: 'esm',
    platform: 'node',
    conditions: [SOURCE_CONDITION],
    external: ['*.node', 'cmake-ts/*', 'lmdb'],
    logLevel: 'error',
  });
  return new Map(all.map((process) => [process.name, reached(metafile.inputs, process)]));
}

/** @param {import('esbuild').Metafile['inputs']} inputs @param {Process} process @returns {Code} */
function reached(inputs, { entries, isLazy }) {
  const files = new Set(entries);
  const libraries = new Set();
  for (const path of files) {
    const library = /^.*node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(path)?.[1];
    if (library !== undefined) libraries.add(library);
    for (const { path: target, kind, external } of inputs[path]?.imports ?? []) {
      if (isLazy && kind === 'dynamic-import') continue;
      if (external !== true) files.add(target);
      else if (!target.startsWith('.')) libraries.add(target);
    }
  }
  const own = [...files].filter((path) => /^(?:packages\/[a-z]+|protocol)\/src\//.test(path));
  return {
    fileCount: own.length,
    lineCount: own.reduce((sum, path) => sum + text(path).split('\n').length - 1, 0),
    libraries: [...libraries].filter((name) => !name.startsWith('node:')).sort(),
  };
}

/** @param {readonly Process[]} all @param {ReadonlyMap<string, Code>} codes */
export function tables(all, codes) {
  const rows = all.map(({ name, user, capabilities }) => {
    const { fileCount = 0, lineCount = 0, libraries = [] } = codes.get(name) ?? {};
    const native = libraries.filter((library) => NATIVE.includes(library)).join(', ') || 'none';
    const lines = `${(Math.round(lineCount / 100) / 10).toFixed(1)}k`;
    return [name, user, capabilities, String(fileCount), lines, native];
  });
  const sandboxes = UNITS.map((name) => {
    const settings = unit(name);
    const say = (/** @type {string} */ key, /** @type {string} */ none) =>
      settings.get(key)?.join(' ') || none;
    const isStrict = settings.get('ProtectSystem')?.[0] === 'strict';
    const ownFolders = (settings.get('RuntimeDirectory') ?? []).map((path) => `/run/${path}`);
    const paths = (settings.get('ReadWritePaths') ?? []).flatMap((each) => each.split(' '));
    const written = [...ownFolders, ...paths].map((path) => path.replace(/^-/, '')).join(' ') || 'nothing';
    return [
      basename(name),
      ofUnit(name).capabilities.replaceAll('CAP_', ''),
      isStrict ? written : 'what its user may',
      say('RestrictAddressFamilies', 'any').replaceAll('AF_', ''),
      say('SystemCallFilter', 'any'),
      say('MemoryMax', 'any'),
    ];
  });
  return `## Processes

${table(['process', 'user', 'capabilities', 'files', 'lines', 'native code'], rows)}

## Sandboxes

${table(['unit', 'capabilities', 'may write', 'sockets', 'system calls', 'memory'], sandboxes)}
`;
}

/** The page, with tables in their place. @param {string} page @param {string} made */
export function withTables(page, made) {
  const [before, rest = ''] = page.split(BEGIN);
  return `${before}${BEGIN}\n\n${made}\n${END}${rest.split(END)[1] ?? ''}`;
}

/** @param {readonly string[]} head @param {readonly (readonly string[])[]} rows */
function table(head, rows) {
  return [head, head.map(() => '---'), ...rows].map((cells) => `| ${cells.join(' | ')} |`).join('\n');
}

/** @param {string} name */
function ofUnit(name) {
  const settings = unit(name);
  const named = settings.get('CapabilityBoundingSet')?.join(' ');
  const isMade = settings.get('DynamicUser')?.[0] === 'yes';
  return {
    user: isMade ? 'one made for it' : (settings.get('User')?.[0] ?? 'root'),
    capabilities: named === undefined ? 'all' : named || 'none',
  };
}

/** What a unit sets, each with all its values. @param {string} name */
function unit(name) {
  /** @type {Map<string, readonly string[]>} */
  const settings = new Map();
  for (const [, key = '', value = ''] of text(`packaging/systemd/${name}`).matchAll(/^(\w+)=(.*)$/gm))
    settings.set(key, [...(settings.get(key) ?? []), value]);
  return settings;
}

/**
 * The one match of a pattern. Throws Error if there is none, or another.
 * @param {readonly string[] | undefined} texts @param {RegExp} pattern
 */
function only(texts, pattern) {
  const found = (texts ?? []).flatMap((each) => pattern.exec(each)?.[1] ?? []);
  if (found.length !== 1) throw new Error(`${pattern} is found ${found.length} times, and not once`);
  return found[0] ?? '';
}

/** @param {string} path */
function text(path) {
  return readFileSync(join(root, path), 'utf8');
}

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href) {
  const all = processes();
  writeFileSync(join(root, PAGE), withTables(text(PAGE), tables(all, await codeOf(all))));
}
