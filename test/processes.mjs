/**
 * Real publisher, subscriber and rulectl processes, from the built packages, for the demo, the tests and the
 * benches. Everything lives below one directory that the caller makes and removes.
 */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const PUBLISHER = programAt('management', 'publisher', 'rulecast-publisher');
const SUBSCRIBER = programAt('firewall', 'subscriber', 'rulecast-subscriber');
const DNS = programAt('firewall', 'dns', 'rulecast-dns');
const DNS_NET = programAt('firewall', 'dns', 'rulecast-dns-net');
const RELAY = programAt('management', 'relay', 'rulecast-relay');
const RULECTL = programAt('management', 'rulectl', 'rulectl');

/**
 * A program of the checkout; or, where RULECAST_PACKED names a folder that packaging/bundle.mjs has written a
 * folder for each side into, the one of the packages.
 * @param {'management' | 'firewall'} side
 * @param {string} home
 * @param {string} name
 */
function programAt(side, home, name) {
  const packed = process.env['RULECAST_PACKED'];
  return packed === undefined
    ? join(ROOT, `packages/${home}/bin/${name}.js`)
    : join(packed, side, `${name}.js`);
}

/** How long a daemon may take to say that it is ready. */
const READY_TIMEOUT_MS = 120_000;

/**
 * @typedef {Readonly<Record<string, unknown>>} LogLine One line of a daemon's log.
 * @typedef {object} Daemon
 * @property {import('node:child_process').ChildProcess} process
 * @property {readonly LogLine[]} log All lines so far.
 * @property {(matches: (line: LogLine) => boolean) => Promise<LogLine>} logged Resolves with the first line,
 *   past or to come, that matches.
 * @property {() => Promise<number | null>} stop Ends it by SIGTERM; resolves to its exit code.
 * @property {() => Promise<void>} kill Ends it by SIGKILL.
 */

/** The endpoints of a publisher whose files are in `directory`. @param {string} directory */
export function endpointsIn(directory) {
  return { control: `unix:${directory}/control.sock`, listen: `unix:${directory}/subscribers.sock` };
}

/**
 * Starts a publisher with its state and sockets in `directory`; resolves when it is ready.
 * @param {string} directory
 * @param {readonly string[]} [args]
 * @param {readonly string[]} [launch] Put before its command line: to give it variables.
 * @returns {Promise<Daemon>}
 */
export function startPublisher(directory, args = [], launch = []) {
  const { control, listen } = endpointsIn(directory);
  return startPublisherAt(directory, listen, control, args, launch);
}

/**
 * Starts a publisher with its state in `directory` at other endpoints; resolves when it is ready.
 * @param {string} directory
 * @param {string} listen
 * @param {string} control
 * @param {readonly string[]} [args]
 * @param {readonly string[]} [launch]
 * @returns {Promise<Daemon>}
 */
export function startPublisherAt(directory, listen, control, args = [], launch = []) {
  const state = join(directory, 'publisher');
  return startDaemon(
    PUBLISHER,
    ['--state', state, '--listen', listen, '--control', control, ...args],
    launch,
  );
}

/**
 * The trust line of the publisher in `directory`, whose state is made if need be.
 * @param {string} directory
 * @returns {Promise<string>}
 */
export async function trustOf(directory) {
  const state = join(directory, 'publisher');
  const what = existsSync(join(state, 'identity')) ? '--print-trust' : '--init';
  const { code, stdout, stderr } = await run(PUBLISHER, ['--state', state, what]);
  if (code !== 0) throw new Error(stderr);
  return stdout.trim();
}

/**
 * Starts a subscriber of the publisher in `directory`; resolves when it is ready.
 * @param {string} directory
 * @param {string} name
 * @param {readonly string[]} [args]
 * @param {readonly string[]} [launch] As for `startSubscriberOf`.
 * @returns {Promise<Daemon>}
 */
export async function startSubscriber(directory, name, args = [], launch = []) {
  const { listen } = endpointsIn(directory);
  return startSubscriberOf(await trustOf(directory), listen, name, args, launch);
}

/**
 * Starts a subscriber that trusts a trust line and connects to an endpoint; resolves when it is ready.
 * @param {string} trust
 * @param {string} connect
 * @param {string} name
 * @param {readonly string[]} [args]
 * @param {readonly string[]} [launch] Put before its command line: to run it in a network namespace.
 * @returns {Promise<Daemon>}
 */
export function startSubscriberOf(trust, connect, name, args = [], launch = []) {
  const own = ['--trust', trust, '--connect', connect, '--name', name, ...args];
  return startDaemon(SUBSCRIBER, own, launch);
}

/**
 * Starts `rulecast-dns`; resolves when it is ready.
 * @param {readonly string[]} args
 * @param {readonly string[]} [launch] Put before its command line: to run it in a network namespace.
 */
export function startDns(args, launch = []) {
  return startDaemon(DNS, args, launch);
}

/** What makes the namespace in which `rulecast-dns` is asked, as a command. @param {readonly string[]} args */
export function dnsNetCommand(args) {
  return [process.execPath, DNS_NET, ...args];
}

/** Starts a relay; resolves when it has a release to serve. @param {readonly string[]} args */
export function startRelay(args) {
  return startDaemon(RELAY, args);
}

/** Runs a relay that is to end by itself. @param {readonly string[]} args */
export function runRelay(args) {
  return run(RELAY, args);
}

/** Runs a publisher that is to end by itself. @param {readonly string[]} args */
export function runPublisher(args) {
  return run(PUBLISHER, args);
}

/** Runs a subscriber that is to end by itself. @param {readonly string[]} args */
export function runSubscriber(args) {
  return run(SUBSCRIBER, args);
}

/** Of `rulectl push`, for tests and benches of other things: what guards ask about. */
export const PERMITTED = ['--permit', 'empty,shrunk,grown,covers-too-much,coverage-changed,accept-all'];

/**
 * Runs rulectl against the publisher in `directory`.
 * @param {string} directory
 * @param {readonly string[]} args
 * @param {string} [input] Its standard input.
 */
export function rulectl(directory, args, input) {
  return run(RULECTL, [...args, '--control', endpointsIn(directory).control], input);
}

/** Runs rulectl without a publisher. @param {readonly string[]} args @param {string} [input] */
export function rulectlOffline(args, input) {
  return run(RULECTL, args, input);
}

/**
 * @param {string} script
 * @param {readonly string[]} args
 * @param {string} [input]
 * @returns {Promise<{ code: number | null, stdout: string, stderr: string, ms: number }>}
 */
async function run(script, args, input = '') {
  const startMs = performance.now();
  const child = spawn(process.execPath, [script, ...args], { stdio: ['pipe', 'pipe', 'pipe'] });
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (text) => {
    stdout += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text) => {
    stderr += text;
  });
  child.stdin.on('error', () => undefined); // it may exit without reading
  child.stdin.end(input);
  const [code] = await once(child, 'close');
  const ms = performance.now() - startMs;
  // A bench checks nothing: it would measure that.
  if (script === RULECTL && args.includes('--json') && process.env['VITEST'] !== undefined)
    (await import('./kit/json-records.ts')).checkWhole(stdout, code, args);
  return { code, stdout, stderr, ms };
}

/**
 * @param {string} script
 * @param {readonly string[]} args
 * @param {readonly string[]} [launch]
 * @returns {Promise<Daemon>}
 */
async function startDaemon(script, args, launch = []) {
  const [program = process.execPath, ...words] = [...launch, process.execPath, script, ...args];
  const child = spawn(program, words, { stdio: ['ignore', 'inherit', 'pipe'] });
  /** @type {LogLine[]} */
  const log = [];
  /** @type {Set<(line: LogLine) => void>} */
  const watchers = new Set();
  const stderr = child.stderr;
  if (stderr === null) throw new Error('no standard error');
  createInterface({ input: stderr }).on('line', (text) => {
    const line = parseLog(text);
    log.push(line);
    for (const watcher of [...watchers]) watcher(line);
  });
  const exited = once(child, 'close');
  /** @param {(line: LogLine) => boolean} matches @returns {Promise<LogLine>} */
  const logged = (matches) => {
    const past = log.find(matches);
    if (past !== undefined) return Promise.resolve(past);
    return new Promise((resolve, reject) => {
      /** @param {LogLine} line */
      const watcher = (line) => {
        if (!matches(line)) return;
        watchers.delete(watcher);
        resolve(line);
      };
      watchers.add(watcher);
      exited.then(() =>
        reject(new Error(`${script} ended:\n${log.map((line) => JSON.stringify(line)).join('\n')}`)),
      );
    });
  };
  const timeout = setTimeout(() => child.kill('SIGKILL'), READY_TIMEOUT_MS);
  await logged((line) => line['msg'] === 'ready');
  clearTimeout(timeout);
  return {
    process: child,
    log,
    logged,
    stop: async () => {
      child.kill('SIGTERM');
      const [code] = await exited;
      return code;
    },
    kill: async () => {
      child.kill('SIGKILL');
      await exited;
    },
  };
}

/** @param {string} text @returns {LogLine} */
function parseLog(text) {
  try {
    return JSON.parse(text);
  } catch {
    return { level: 60, msg: text };
  }
}
