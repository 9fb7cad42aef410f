/**
 * A side of Rulecast as few files in one folder: its programs, the threads that they start, and the native
 * code that they load. Nothing else of node_modules is needed where they run.
 *
 *   sources, libraries ─esbuild─▶ rulectl.js, …, chunk-*.js    beside them engine.wasm, lmdb.node, koffi.node
 *
 * What is loaded on demand stays apart, such as channels that few use.
 */

import {
  chmodSync,
  copyFileSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { SOURCE_CONDITION } from '../rooms.mjs';

const root = fileURLToPath(new URL('..', import.meta.url));

/** The native library of ZeroMQ comes with a package of its own: few need it. */
const ZEROMQ_ADDON = '/usr/lib/rulecast-zeromq/zeromq.node';

/** For netlink in the applier, and for vchans by a library of Xen. */
const KOFFI_ADDON = `node_modules/@koromix/koffi-linux-${process.arch}/linux_${process.arch}/koffi.node`;

/** The files of the presets of rulectl init, in folders that are found as one. */
const PRESETS = Object.fromEntries(
  readdirSync(join(root, 'examples/presets'), { recursive: true, encoding: 'utf8' }).flatMap((path) =>
    path.endsWith('.yaml') ? [[`presets/${path}`, `examples/presets/${path}`]] : [],
  ),
);

/**
 * Both sides. `programs` are what people and services call, by name; `parts` are what those start by URL: threads, and
 * the applier. `beside` are files that are loaded as they are, `whole` libraries that are not bundled, with
 * those of their files that are loaded.
 * @type {Readonly<Record<'management' | 'firewall', {
 *   readonly programs: Readonly<Record<string, string>>,
 *   readonly parts: readonly string[],
 *   readonly beside: Readonly<Record<string, string>>,
 *   readonly whole: Readonly<Record<string, RegExp>>,
 * }>>}
 */
export const SIDES = {
  management: {
    programs: {
      rulectl: 'packages/rulectl/src/main.ts',
      'rulecast-publisher': 'packages/publisher/src/daemon.ts',
      'rulecast-relay': 'packages/relay/src/daemon.ts',
    },
    parts: [
      'packages/publisher/src/signer-main.ts',
      'packages/publisher/src/release/worker-thread.ts',
      'packages/sources/src/read/list-worker-thread.ts',
    ],
    beside: {
      'koffi.node': KOFFI_ADDON,
      'publisher.yaml': 'packaging/publisher.yaml', // what rulectl init begins with
      ...PRESETS,
    },
    // Bundled by esbuild, reading a range of keys never ends.
    whole: {
      lmdb: /^(util\/)?[a-z-]+\.js$/,
      [`@lmdb/lmdb-linux-${process.arch}`]: /^(index\.js|node\.napi\.glibc\.node)$/,
      'lmdb/node_modules/msgpackr': /^[a-z-]+\.js$/,
      '@harperfast/extended-iterable': /^(index\.js|dist\/.*\.js)$/,
      'detect-libc': /^lib\/.*\.js$/,
      'node-gyp-build-optional-packages': /^(index|node-gyp-build)\.js$/,
      'ordered-binary': /^index\.js$/,
      'weak-lru-cache': /^(index|LRFUExpirer)\.js$/,
    },
  },
  firewall: {
    programs: {
      'rulecast-subscriber': 'packages/subscriber/src/daemon.ts',
      'rulecast-dns': 'packages/dns/src/daemon.ts',
      'rulecast-names': 'packages/rulectl/src/firewall-names.ts',
      'rulecast-dns-net': 'packages/dns/src/net-main.ts',
      'rulecast-doctor': 'packages/rulectl/src/firewall-doctor.ts',
    },
    parts: ['packages/subscriber/src/content/content-thread.ts', 'packages/nftables/src/applier-main.ts'],
    beside: {
      'engine.wasm': 'packages/table/dist/engine.wasm',
      'matcher.wasm': 'packages/dns/dist/matcher.wasm',
      'koffi.node': KOFFI_ADDON,
    },
    whole: {},
  },
};

const BUILD = /** @type {const} @satisfies {import('esbuild').BuildOptions} */ ({
  absWorkingDir: root,
  bundle: true,
  splitting: true,
  write: false,
  metafile: true,
  sourcemap: 'external',
  chunkNames: 'chunk-[hash]',
  format: 'esm',
  platform: 'node',
  target: 'node20.19',
  conditions: [SOURCE_CONDITION],
  minifySyntax: true,
  legalComments: 'none', // licences are in a file of their own
  // Libraries in CommonJS ask for Node's own modules by `require`, which an ES module lacks.
  banner: {
    js: "import { createRequire as requireFrom } from 'node:module'; const require = requireFrom(import.meta.url);",
  },
  logLevel: 'warning',
});

/**
 * Writes a side into a folder that is made anew, and its source maps into another. Throws Error where a source
 * names a file that is not in the side.
 * @param {keyof typeof SIDES} side
 * @param {{ readonly folder: string, readonly maps: string, readonly version: string }} options
 * @returns {Promise<readonly string[]>} the libraries in it, by their folders, as package-lock.json names them
 */
export async function bundle(side, { folder, maps, version }) {
  const { programs, parts, beside, whole } = SIDES[side];
  const entries = new Map(Object.entries(programs));
  for (const part of parts) entries.set(basename(part, '.ts'), part);
  for (const made of [folder, maps]) {
    rmSync(made, { recursive: true, force: true });
    mkdirSync(made, { recursive: true });
  }
  const names = new Set([
    ...[...entries.keys()].map((name) => `${name}.js`),
    ...Object.keys(beside).map((path) => path.replace(/\/.*/, '')),
    'package.json',
  ]);
  const { outputFiles, metafile } = await build({
    ...BUILD,
    entryPoints: [...entries].map(([out, path]) => ({ in: join(root, path), out })),
    // Nothing is written there. Source maps have paths from it, and names of chunks a hash of those: it is
    // the same wherever the bundle goes.
    outdir: join(root, 'bundle'),
    external: Object.keys(whole),
    plugins: [besideEachOther(names), nativesBeside],
  });
  for (const { path, contents } of outputFiles) {
    const name = basename(path);
    const isProgram = name.replace(/\.js$/, '') in programs;
    if (name.endsWith('.map')) writeFileSync(join(maps, name), contents);
    else
      writeFileSync(join(folder, name), isProgram ? asProgram(contents) : contents, {
        mode: isProgram ? 0o755 : 0o644,
      });
  }
  for (const [name, from] of Object.entries(beside)) {
    mkdirSync(join(folder, name, '..'), { recursive: true });
    copyFileSync(join(root, from), join(folder, name));
    chmodSync(join(folder, name), 0o644);
  }
  writeFileSync(
    join(folder, 'package.json'),
    `${JSON.stringify({ name: 'rulecast', version, type: 'module' })}\n`,
  );
  for (const [name, files] of Object.entries(whole)) copyLibrary(name, files, join(folder, 'node_modules'));
  const inputs = Object.keys(metafile.inputs);
  return librariesOf([...inputs, ...Object.values(beside), ...Object.keys(whole).map(inModules)]);
}

/** @param {string} name @param {RegExp} files @param {string} to */
function copyLibrary(name, files, to) {
  const from = join(root, inModules(name));
  for (const path of readdirSync(from, { recursive: true, encoding: 'utf8' })) {
    if (path !== 'package.json' && !files.test(path)) continue;
    mkdirSync(join(to, name, path, '..'), { recursive: true });
    copyFileSync(join(from, path), join(to, name, path));
    chmodSync(join(to, name, path), 0o644);
  }
}

/** Debian's and Fedora's Node, whatever else is in PATH. @param {Uint8Array} contents */
function asProgram(contents) {
  return `#!/usr/bin/node\n${Buffer.from(contents)
    .toString()
    .replace(/^#!.*\n/, '')}`;
}

/** @param {string} name */
function inModules(name) {
  return `node_modules/${name}`;
}

/** @param {readonly string[]} inputs paths from the root */
function librariesOf(inputs) {
  const folders = inputs.flatMap((path) => /^.*node_modules\/(?:@[^/]+\/)?[^/]+/.exec(path)?.[0] ?? []);
  return [...new Set(folders)].sort();
}

/** A URL of another file of ours, from the folder of the source that says it. */
const OWN_URL = /new URL\('((?:\.\.\/)+[^']*)', import\.meta\.url\)/g;

/**
 * What sources find by `new URL('../../dist/…', import.meta.url)` lies in the folder of who asks.
 * @param {ReadonlySet<string>} names the files of that folder
 * @returns {import('esbuild').Plugin}
 */
function besideEachOther(names) {
  return {
    name: 'beside-each-other',
    setup(building) {
      building.onLoad({ filter: /\/(packages\/[a-z]+|protocol)\/src\/.*\.ts$/ }, ({ path }) => {
        const contents = readFileSync(path, 'utf8').replace(OWN_URL, (_, target) => {
          const name = basename(target);
          if (!names.has(name))
            throw new Error(
              `${path} names ${target}, which is in no side of packaging/bundle.mjs that has it`,
            );
          return `new URL('./${name}', import.meta.url)`;
        });
        return { contents, loader: 'ts' };
      });
    },
  };
}

/**
 * Native code that libraries look for in their own folders lies beside the bundle; what finds it there, by the module that
 * a library asks.
 * @type {Readonly<Record<string, string>>}
 */
const FINDERS = {
  'msgpackr-extract': '', // msgpackr does without
  './src/static.js': "exports.loadStatic = () => require('./koffi.node');",
  // Of zeromq, whose own file has a __dirname, which no module has.
  './load-addon': `try {
    module.exports = require(${JSON.stringify(ZEROMQ_ADDON)});
  } catch (cause) {
    throw new Error('zmq+tcp: and zmq+ipc: need the package rulecast-zeromq: install it, or use another endpoint', { cause });
  }`,
};

/** @type {import('esbuild').Plugin} */
const nativesBeside = {
  name: 'natives-beside',
  setup(building) {
    const filter = new RegExp(
      `^(${Object.keys(FINDERS)
        .map((name) => name.replaceAll('.', '\\.'))
        .join('|')})$`,
    );
    building.onResolve({ filter }, ({ path }) => ({ path, namespace: 'native' }));
    building.onLoad({ filter: /.*/, namespace: 'native' }, ({ path }) => ({
      contents: FINDERS[path] ?? '',
      loader: 'js',
    }));
    building.onResolve({ filter: /\.node$/ }, ({ path }) => ({ path, external: true }));
  },
};
