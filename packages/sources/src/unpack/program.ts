/**
 * A decompressor of the system, as a child process: a hole in it is a hole in a process that may nothing. It
 * is found in fixed directories, whatever PATH says, and starts with an empty environment, as the last of
 * three programs that are one process in turn:
 *
 *     setpriv   no new privileges, a user of its own where we are root, no file but those of /usr where the kernel has Landlock,
 *        │      and killed with the thread that started it, whatever ends that
 *     prlimit   memory, processor time; no file can be written
 *        │
 *     bzip2     stdin ◀── slices, as it takes them · stdout ──▶ pieces, as they are asked for · stderr ──▶ 4 KiB
 *
 * What comes out is counted by whoever asks for it. One that says anything on stderr has failed.
 */

import { type ChildProcessByStdio, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { constants } from 'node:fs';
import { access } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { Readable, type Writable } from 'node:stream';
import { SYSTEM_CLOCK } from '../clock.ts';
import { UnpackError, UnpackErrorCode } from './error.ts';
import { PROGRAM_LIMITS } from './limits.ts';
import { slices } from './zlib.ts';

/** Where systems have them, and nobody but root writes. */
const DIRECTORIES: readonly string[] = ['/usr/bin', '/bin', '/usr/local/bin'];
/** Debian gives this number to nobody, nor does systemd: no account has it, and no file. */
const OWN_USER = '65533';
/** What a program reads and runs to start, and what it only reads. */
const STARTED_FROM = ['/usr', '/bin', '/lib', '/lib32', '/lib64'];
const STARTED_BY = ['/etc/ld.so.cache', '/dev/null'];

export interface Program {
  /** Of the program, of its package, and of what it undoes. */
  readonly name: string;
  readonly args: readonly string[];
  /** Address space. */
  readonly memoryBytes: number;
  /** Why it did not take the data, from its words. */
  readonly explain: (ended: Ended) => UnpackError;
}

/** How a program ended. */
export interface Ended {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  /** The beginning of what it said on stderr, in one line of printable letters. */
  readonly words: string;
}

export interface ProgramOptions {
  /** Absolute; default: those of the system. */
  readonly directories?: readonly string[];
  /** What one may take by the clock on the wall; default `PROGRAM_LIMITS.timeMs`. */
  readonly timeMs?: number;
  /** Ends it: what is asked for next is refused as `ended`. */
  readonly signal?: AbortSignal | undefined;
  /** Whether to take the program also where Node could do it. */
  readonly withoutNode?: boolean;
}

type Child = ChildProcessByStdio<Writable, Readable, Readable>;

/** What the program makes of `bytes`. It has ended when the iteration has. Throws UnpackError. */
export async function* throughProgram(
  program: Program,
  bytes: Uint8Array,
  options: ProgramOptions,
): AsyncGenerator<Uint8Array> {
  const { timeMs = PROGRAM_LIMITS.timeMs, signal } = options;
  const command = await commandFor(program, options.directories ?? DIRECTORIES, signal);
  if (signal?.aborted) throw endedByUs();
  const running = new Running(await started(command));
  const cancel = SYSTEM_CLOCK.after(timeMs, () => running.kill(tooSlow(program, timeMs)));
  const onAbort = (): void => running.kill(endedByUs());
  signal?.addEventListener('abort', onAbort);
  if (signal?.aborted) onAbort();
  const source = Readable.from(slices(bytes), { objectMode: false });
  try {
    yield* running.through(source);
    const how = await running.ended;
    if (how.code !== 0 || how.words !== '') throw failure(program, how);
  } finally {
    cancel();
    signal?.removeEventListener('abort', onAbort);
    source.destroy();
    running.kill(endedByUs());
    await running.ended;
  }
}

/** Rejects where it cannot be started: without memory, processes or files, which may be otherwise later. */
async function started([file, ...args]: readonly [string, ...string[]]): Promise<Child> {
  const options = { env: {}, cwd: '/', shell: false, detached: true } as const; // a group of its own, to be killed as one
  const child = spawn(file, args, { ...options, stdio: ['pipe', 'pipe', 'pipe'] });
  try {
    await once(child, 'spawn');
  } catch (cause) {
    throw notStarted(file, cause);
  }
  return child;
}

/** A child until it has ended and its streams are closed. */
class Running {
  readonly ended: Promise<Ended>;
  readonly #child: Child;
  #said = '';
  #isClosed = false;
  #why: UnpackError | undefined;

  constructor(child: Child) {
    this.#child = child;
    this.ended = new Promise((resolve) => {
      child.once('close', (code, signal) => {
        this.#isClosed = true;
        resolve({ code, signal, words: this.#said.slice(0, PROGRAM_LIMITS.shownChars) });
      });
    });
    child.on('error', () => undefined); // such as a signal to what has ended
    child.stdin.on('error', () => undefined); // it ended before it had all; how it ended says why
    child.stderr.on('error', () => undefined);
    child.stderr.on('data', (piece: Buffer) => this.#listen(piece));
  }

  /** What comes out of what goes in, or why it was killed. */
  async *through(source: Readable): AsyncGenerator<Uint8Array> {
    source.pipe(this.#child.stdin);
    try {
      for await (const piece of this.#child.stdout) yield piece;
    } catch (error) {
      throw this.#why ?? error;
    }
    if (this.#why !== undefined) throw this.#why;
  }

  /** With whatever it started, and although that may hold its streams. */
  kill(why: UnpackError): void {
    if (this.#isClosed) return;
    this.#why ??= why;
    const { pid, stdin, stdout, stderr } = this.#child;
    for (const stream of [stdin, stdout, stderr]) stream.destroy();
    if (pid === undefined) return;
    try {
      process.kill(-pid, 'SIGKILL');
    } catch {
      // it ended just now
    }
  }

  /** One that says too much is killed. */
  #listen(piece: Buffer): void {
    this.#said = `${this.#said} ${piece.toString('latin1')}`.replace(/[^!-~]+/g, ' ').trimStart();
    if (this.#said.length <= PROGRAM_LIMITS.stderrBytes) return;
    const said = this.#said.slice(0, PROGRAM_LIMITS.shownChars);
    this.kill(
      new UnpackError(UnpackErrorCode.programFailed, `the program that undoes it says too much: ${said}`),
    );
  }
}

function failure(program: Program, ended: Ended): UnpackError {
  const { code, signal, words } = ended;
  if (signal === 'SIGXCPU') return tooSlow(program, PROGRAM_LIMITS.timeMs);
  if (signal === null && words !== '' && !/memory/i.test(words)) return program.explain(ended);
  const how = signal === null ? `ended with ${code}` : `was ended by ${signal}`;
  const message = `the program ${program.name}, which undoes it, ${how}${words === '' ? '' : `: ${words}`}`;
  return new UnpackError(UnpackErrorCode.programFailed, message);
}

/** What the caller wanted. */
export function endedByUs(): UnpackError {
  return new UnpackError(UnpackErrorCode.ended, 'unpacking it was ended');
}

function tooSlow({ name }: Program, timeMs: number): UnpackError {
  const message = `the program ${name}, which undoes it, takes more than ${timeMs / 1000} s: is it what it should be?`;
  return new UnpackError(UnpackErrorCode.tooSlow, message);
}

function notStarted(file: string, cause: unknown): UnpackError {
  const why = cause instanceof Error ? cause.message : String(cause);
  return new UnpackError(UnpackErrorCode.programFailed, `${file} cannot be started: ${why}`, { cause });
}

// ── How it is confined ─────────────────────────────────────────────────────────────────────────────────────

/** The program with all that stands before it. Throws UnpackError `missing-program`. */
async function commandFor(
  program: Program,
  directories: readonly string[],
  signal: AbortSignal | undefined,
): Promise<readonly [string, ...string[]]> {
  const path = await find(program.name, directories);
  if (path === undefined) throw missing(program, program.name, program.name);
  const setpriv = await find('setpriv', DIRECTORIES);
  const prlimit = await find('prlimit', DIRECTORIES);
  if (setpriv === undefined || prlimit === undefined) {
    throw missing(program, setpriv === undefined ? 'setpriv' : 'prlimit', 'util-linux');
  }
  const { timeMs, openFiles } = PROGRAM_LIMITS;
  const limits = [
    `--as=${program.memoryBytes}`,
    `--cpu=${timeMs / 1000}`,
    `--nofile=${openFiles}`,
    '--fsize=0',
    '--core=0',
  ];
  const confined = await confinement(setpriv, dirname(path), signal);
  return [setpriv, ...confined, prlimit, ...limits, '--', path, ...program.args];
}

function missing({ name }: Program, what: string, inPackage: string): UnpackError {
  const message = `it is compressed by ${name}, and this machine has no ${what}: apt install ${inPackage}`;
  return new UnpackError(UnpackErrorCode.missingProgram, message);
}

async function find(name: string, directories: readonly string[]): Promise<string | undefined> {
  for (const directory of directories) {
    const path = join(directory, name);
    if (await isThere(path, constants.X_OK)) return path;
  }
  return undefined;
}

async function isThere(path: string, mode: number = constants.F_OK): Promise<boolean> {
  return access(path, mode).then(
    () => true,
    () => false,
  );
}

/** What was found to work here, by directory. */
const confinements = new Map<string, readonly string[]>();

/** The arguments of setpriv for a program of a directory: the strictest that this machine has. */
async function confinement(
  setpriv: string,
  directory: string,
  signal: AbortSignal | undefined,
): Promise<readonly string[]> {
  const known = confinements.get(directory);
  if (known !== undefined) return known;
  const always = ['--no-new-privs', '--pdeathsig=KILL', '--inh-caps=-all', '--ambient-caps=-all'];
  const user = [`--reuid=${OWN_USER}`, `--regid=${OWN_USER}`, '--clear-groups', '--bounding-set=-all'];
  const users = process.getuid?.() === 0 ? [user, []] : [[]];
  const files = await landlock(directory);
  for (const args of users.flatMap((own) => [
    [...own, ...always, ...files],
    [...own, ...always],
  ])) {
    if (!(await runs(setpriv, args, signal))) continue;
    confinements.set(directory, args);
    return args;
  }
  throw notStarted(setpriv, 'it takes none of its options');
}

/** No file but those that a program is made of, to read and run; nothing to write. */
async function landlock(directory: string): Promise<readonly string[]> {
  const rules = ['--landlock-access=fs'];
  for (const path of new Set([...STARTED_FROM, directory])) {
    if (await isThere(path)) rules.push(`--landlock-rule=path-beneath:execute,read-file,read-dir:${path}`);
  }
  for (const path of STARTED_BY) {
    if (await isThere(path)) rules.push(`--landlock-rule=path-beneath:read-file:${path}`);
  }
  return rules;
}

/**
 * Whether setpriv does that here: of its own version and this kernel. Throws UnpackError where that cannot be
 * told now.
 */
async function runs(
  setpriv: string,
  args: readonly string[],
  signal: AbortSignal | undefined,
): Promise<boolean> {
  const options = {
    env: {},
    cwd: '/',
    timeout: PROGRAM_LIMITS.timeMs,
    killSignal: 'SIGKILL',
    signal,
  } as const;
  return new Promise((resolve, reject) => {
    execFile(setpriv, [...args, setpriv, '--version'], options, (error) => {
      if (error === null) resolve(true);
      else if (typeof error.code === 'number') resolve(false);
      else reject(signal?.aborted ? endedByUs() : notStarted(setpriv, error));
    });
  });
}
