/**
 * What belongs to a run (run.mjs), told by the environment of processes and by names; and its removal, which
 * waits for nobody.
 */

import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync, rmSync } from 'node:fs';

/**
 * Says of a process to which run it belongs; of a run within a run it begins with that of the outer one and a
 * dot.
 */
export const RUN_VARIABLE = 'RULECAST_RUN';

const NAMESPACES = '/run/netns';
/**
 * A process that was killed is gone within milliseconds, unless the kernel is busy for it; then waiting
 * longer helps nobody.
 */
const GONE_TIMEOUT_MS = 10_000;
const LOOK_EVERY_MS = 5;

/**
 * @typedef {object} Run
 * @property {string} id Of `RULECAST_RUN`.
 * @property {readonly string[]} directories Hold all that it writes.
 */

/** What the names of a run's network namespaces begin with. @param {string} id */
export function namespacePrefixOf(id) {
  return `rulecast-${id}-`;
}

/**
 * Ends all processes of a run, and removes its mounts, its namespaces and its directories. Says on standard
 * error what it cannot remove.
 * @param {Run} run
 * @param {readonly number[]} spared Processes that stay.
 */
export function removeBelongings({ id, directories }, spared) {
  const namespaces = namespacesOf(id);
  const untilMs = performance.now() + GONE_TIMEOUT_MS;
  for (;;) {
    const pids = new Set([...processesOf(id), ...namespaces.flatMap(processesIn)]);
    for (const pid of spared) pids.delete(pid);
    if (pids.size === 0) break;
    if (performance.now() > untilMs) {
      process.stderr.write(`these processes do not end: ${[...pids].join(' ')}\n`);
      break;
    }
    for (const pid of pids) kill(pid);
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, LOOK_EVERY_MS);
  }
  for (const path of mountsBelow(directories)) run('umount', '--lazy', path);
  for (const name of namespaces) run('ip', 'netns', 'del', name);
  for (const directory of directories) rmSync(directory, { recursive: true, force: true, maxRetries: 3 });
}

/**
 * The processes whose environment says that they belong to a run, with all that they and this process
 * started: an applier, for one, gets no environment.
 * @param {string} id @returns {Iterable<number>}
 */
function processesOf(id) {
  /** @type {Map<number, number[]>} */
  const children = new Map();
  const found = new Set([process.pid]);
  for (const pid of readdirSync('/proc').map(Number)) {
    const parent = parentOf(pid);
    if (parent === undefined) continue;
    children.set(parent, [...(children.get(parent) ?? []), pid]);
    const runId = runOf(pid);
    if (runId === id || runId.startsWith(`${id}.`)) found.add(pid);
  }
  for (const pid of found) for (const child of children.get(pid) ?? []) found.add(child); // a set gives what is added meanwhile, too
  return found;
}

/**
 * The run that a process carries in its environment; '' where it carries none, is of somebody else, or is
 * gone.
 * @param {number} pid
 */
function runOf(pid) {
  const assignment = `${RUN_VARIABLE}=`;
  const variables = textOf(`/proc/${pid}/environ`).split('\0');
  return variables.find((variable) => variable.startsWith(assignment))?.slice(assignment.length) ?? '';
}

/**
 * The process that started one; undefined where that one does not run any more.
 * @param {number} pid
 * @returns {number | undefined}
 */
function parentOf(pid) {
  // "PID (NAME) STATE PARENT …": a name can hold anything, so what counts comes after its last parenthesis.
  const stat = textOf(`/proc/${pid}/stat`);
  const [state = '', parent] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return parent === undefined || 'ZX'.includes(state) ? undefined : Number(parent);
}

/** @param {string} id @returns {readonly string[]} */
function namespacesOf(id) {
  const own = namespacePrefixOf(id);
  const inner = own.replace(/-$/, '.');
  return entriesOf(NAMESPACES).filter((name) => name.startsWith(own) || name.startsWith(inner));
}

/** @param {string} namespace @returns {readonly number[]} */
function processesIn(namespace) {
  const { stdout } = spawnSync('ip', ['netns', 'pids', namespace], { encoding: 'utf8' });
  return (stdout ?? '').split('\n').filter(Boolean).map(Number);
}

/**
 * Where something is mounted below directories, the innermost first.
 * @param {readonly string[]} directories
 * @returns {readonly string[]}
 */
function mountsBelow(directories) {
  const paths = textOf('/proc/self/mounts')
    .split('\n')
    .map((line) => line.split(' ')[1] ?? '');
  return paths.filter((path) => directories.some((one) => path.startsWith(`${one}/`))).reverse();
}

/** @param {number} pid */
function kill(pid) {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It is gone.
  }
}

/** @param {string} program @param {readonly string[]} args */
function run(program, ...args) {
  const { status, stderr, error } = spawnSync(program, args, { encoding: 'utf8' });
  if (status !== 0)
    process.stderr.write(`${program} ${args.join(' ')}: ${error?.message ?? stderr.trim()}\n`);
}

/** @param {string} directory @returns {readonly string[]} */
function entriesOf(directory) {
  try {
    return readdirSync(directory);
  } catch {
    return [];
  }
}

/** @param {string} file */
function textOf(file) {
  try {
    return readFileSync(file, 'latin1');
  } catch {
    return ''; // a process ended meanwhile, or belongs to somebody else
  }
}
