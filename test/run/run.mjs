/**
 * A run of the demo, of a bench or of the tests, and all that it makes on this machine: temporary
 * directories, processes, mounts, network namespaces. Nothing of it outlives the run, however that ends:
 * done, failed, by ^C, by SIGTERM, by SIGKILL.
 *
 *   run ── TMPDIR, RULECAST_RUN ──▶ everything started below it: directories lie in TMPDIR, processes carry the variable,
 *    │                             namespaces its value in their names
 *    └═ pipe ═▶ keeper            a process of its own; the pipe closes when the run is no more, and it removes what is left
 *
 * So nobody registers what he makes, and nobody can forget to.
 */

import { spawn } from 'node:child_process';
import { chmodSync, mkdtempSync, realpathSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { namespacePrefixOf, RUN_VARIABLE, removeBelongings } from './belongings.mjs';

const KEEPER = fileURLToPath(new URL('keeper.mjs', import.meta.url));
/** Short: a path of a Unix socket has 107 bytes at most, and a run may be within another. */
const DIRECTORY_PREFIX = 'rulecast-';
/** Sockets and their directories fit below a path of as many bytes, two runs deep. */
const BASE_MAX_BYTES = 8;
/** Bases that are short, the usual one first. */
const SHORT_BASES = ['/tmp', '/dev/shm', '/var/tmp'];
/** Their numbers, for the exit code that a shell gives a process that they ended. */
const SIGNALS = /** @type {const} */ ({ SIGHUP: 1, SIGINT: 2, SIGTERM: 15 });

/**
 * Makes a run of this process; to be called before it makes anything. `os.tmpdir()` is the run's own
 * directory from then on.
 * @param {readonly string[]} [others] Directories elsewhere that belong to it, whether they are there already
 *   or not.
 */
export function openRun(others = []) {
  // Before anything is made: a signal from here on comes to its turn after this function.
  for (const [signal, number] of Object.entries(SIGNALS)) {
    process.once(signal, () => process.exit(128 + number));
  }
  const outerId = process.env[RUN_VARIABLE];
  const directory = makeDirectory(outerId === undefined);
  chmodSync(directory, 0o711); // tests start programs as other users, whose homes are below
  const ownId = basename(directory).slice(DIRECTORY_PREFIX.length);
  const run = {
    id: outerId === undefined ? ownId : `${outerId}.${ownId}`,
    directories: [directory, ...others],
  };
  const keeper = startKeeper(run);
  process.env['TMPDIR'] = directory;
  process.env[RUN_VARIABLE] = run.id;
  process.once('exit', () => {
    removeBelongings(run, [process.pid, ...(keeper.pid === undefined ? [] : [keeper.pid])]);
    keeper.kill('SIGKILL'); // nothing is left for it
  });
}

/**
 * The tests as a run: vitest calls this before it starts its workers, and has chosen directories for itself
 * by then, one for each of its projects.
 */
export function setup(/** @type {import('vitest/node').TestProject} */ { tmpDir, vitest }) {
  openRun([...new Set([tmpDir, ...vitest.projects.map((project) => project.tmpDir)])]);
}

/** What the names of all network namespaces begin with that this process makes. */
export function namespacePrefix() {
  const id = process.env[RUN_VARIABLE];
  if (id === undefined) throw new Error('namespaces are made in a run only: see openRun');
  return namespacePrefixOf(id);
}

/**
 * A directory in `$TMPDIR`, or in a shorter one where paths of sockets below it would be too long. A run
 * within another stays in the directory of that.
 * @param {boolean} isOutermost
 */
function makeDirectory(isOutermost) {
  const base = realpathSync(tmpdir());
  const isLong = isOutermost && Buffer.byteLength(base) > BASE_MAX_BYTES;
  for (const other of isLong ? SHORT_BASES : []) {
    try {
      const directory = mkdtempSync(join(realpathSync(other), DIRECTORY_PREFIX));
      process.stderr.write(`${base} is too long for the paths of sockets: the run is in ${other}\n`);
      return directory;
    } catch {
      // It is not there, or not for this user.
    }
  }
  return mkdtempSync(join(base, DIRECTORY_PREFIX));
}

/** @param {import('./belongings.mjs').Run} run */
function startKeeper({ id, directories }) {
  const keeper = spawn(process.execPath, [KEEPER, id, ...directories], {
    detached: true, // a ^C goes to all processes of the terminal's group
    stdio: ['pipe', 'ignore', 'inherit'],
  });
  keeper.unref();
  const { stdin } = keeper;
  if ('unref' in stdin && typeof stdin.unref === 'function') stdin.unref();
  return keeper;
}
