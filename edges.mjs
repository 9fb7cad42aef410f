/**
 * The edges of the house: the files of the peers that read a clock, chance, a file or a socket, each with its
 * reason. All others are given what they need, so that a test, or a simulation, can be their whole world.
 *
 *     node edges.mjs          ends with 1, and a line for each file that takes such a thing from the air
 */

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

/** @type {readonly string[]} */
const HOMES = [
  'protocol',
  'packages/sessions',
  'packages/depot',
  'packages/relay',
  'packages/publisher',
  'packages/subscriber',
];

/** @type {Readonly<Record<string, string>>} */
export const EDGES = {
  'protocol/src/peer/clock.ts': 'the timers and the steady clock of the process, for who hands in none',
  'packages/depot/src/http.ts': 'asks web servers',
  'packages/publisher/src/host.ts':
    'the clock, the chance and the turns of the process, for who hands in none',
  'packages/publisher/src/names/resolve.ts': 'asks DNS servers, for who hands in no resolver',
  'packages/publisher/src/store/databases.ts': 'LMDB, behind an interface of its own',
  'packages/publisher/src/store/data-file.ts': 'the look at the file of LMDB before it is opened',
  'packages/publisher/src/store/state.ts': 'whether there is a store to open',
  'packages/publisher/src/store/audit-log.ts': 'appends to a file that nothing reads',
  'packages/publisher/src/signer/record.ts': 'the last number that was signed, on disk',
  'packages/publisher/src/depot/directory.ts': 'the files of a depot, behind an interface of their own',
  'packages/publisher/src/fleet/listener.ts': 'the socket by which reports come',
  'packages/publisher/src/daemon.ts': 'the process',
  'packages/publisher/src/signer-main.ts': 'the process that has the keys',
  'packages/relay/src/daemon.ts': 'the process',
  'packages/subscriber/src/daemon.ts': 'the process',
  'packages/subscriber/src/clock/system.ts':
    'the wall clock, boot clock and chance of the machine, for who hands in none',
  'packages/subscriber/src/state/disk.ts':
    'the file system below the state directory, behind an interface of its own',
  'packages/subscriber/src/daemon/enforcement.ts': 'starts the process that enforces, and owns its files',
  'packages/subscriber/src/daemon/qubesdb.ts': 'asks what dom0 says of this qube',
};

/** Modules that are nothing but a way out; what is imported of their types alone goes. */
const MODULE =
  /(?<!import type [^;]*)(?:\bfrom|\bimport)\s*\(?\s*['"](node:(?:fs|fs\/promises|net|dgram|tls|http|https|dns|dns\/promises|child_process|timers|timers\/promises))['"]/g;
/** What needs no import, or is one name of a module that has others. */
const NAME =
  /\b(Date\.now|performance\.now|process\.hrtime|Math\.random|setTimeout|setInterval|setImmediate|randomBytes|randomInt|randomUUID|randomFill(?:Sync)?|getRandomValues|generateKeyPair(?:Sync)?|uptime)\b|\bnew (Date)\(\s*\)/g;

/**
 * What a file takes from the air, each once.
 *
 * @param {string} text
 * @returns {readonly string[]}
 */
export function takenFromAir(text) {
  const code = text.replace(/\/\*[\s\S]*?\*\/|(?<!['":\w])\/\/.*$/gm, '');
  const modules = [...code.matchAll(MODULE)].map(([, name = '']) => name);
  const names = [...code.matchAll(NAME)].map(([, name, date]) => name ?? `new ${date}()`);
  return [...new Set([...modules, ...names])];
}

/**
 * What is wrong, a line each: a file that takes something and is no edge, and an edge that is none.
 *
 * @param {ReadonlyMap<string, string>} files texts by path
 * @param {Readonly<Record<string, string>>} edges reasons by path
 * @returns {readonly string[]}
 */
export function faultsOf(files, edges) {
  const breaches = [...files].flatMap(([path, text]) => {
    if (Object.hasOwn(edges, path)) return [];
    return takenFromAir(text).map(
      (what) => `${path} takes ${what} from the air: have it handed in, or name the file in edges.mjs`,
    );
  });
  const idle = Object.keys(edges)
    .filter((path) => takenFromAir(files.get(path) ?? '').length === 0)
    .map((path) => `edges.mjs names ${path}, which takes nothing from the air, or is not there`);
  return [...breaches, ...idle];
}

/** @param {string} root the checkout */
function filesOf(root) {
  return new Map(
    HOMES.flatMap((home) => {
      const source = join(root, home, 'src');
      return readdirSync(source, { recursive: true, encoding: 'utf8' })
        .filter((path) => path.endsWith('.ts'))
        .map((path) => [`${home}/src/${path}`, readFileSync(join(source, path), 'utf8')]);
    }),
  );
}

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href) {
  const found = faultsOf(filesOf(fileURLToPath(new URL('.', import.meta.url))), EDGES);
  for (const line of found) process.stderr.write(`${line}\n`);
  process.exitCode = found.length === 0 ? 0 : 1;
}
