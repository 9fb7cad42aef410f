/** Runs the built `rulectl`, and reads what it says. */

import { type ChildProcess, fork, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { checkWhole } from '../../../test/kit/json-records.ts';

export const MAIN = fileURLToPath(new URL('../dist/main.js', import.meta.url));
const HOST = fileURLToPath(new URL('cli-host.mjs', import.meta.url));

export interface CliResult {
  readonly exit: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface CliOptions {
  readonly cwd?: string;
  readonly stdin?: string;
  readonly env?: Readonly<Record<string, string>>;
  /** As users start it: a process that has run nothing else. */
  readonly ownProcess?: boolean;
  /** Told of all output so far, as it comes. */
  readonly onOutput?: (stdout: string) => void;
}

/**
 * Runs one command line: in a process of its own if there is input or `ownProcess`, else in one that has run
 * others before. Records of --json are held to their schema.
 */
export async function rulectl(args: readonly string[], options: CliOptions = {}): Promise<CliResult> {
  const isAlone = (options.stdin ?? '') !== '' || options.ownProcess === true;
  const host = isAlone ? undefined : (hosts.find(({ isFree }) => isFree) ?? new Host());
  const result = await (host === undefined ? inOwnProcess(args, options) : host.run(args, options));
  if (args.includes('--json')) checkWhole(result.stdout, result.exit, args);
  return result;
}

function inOwnProcess(args: readonly string[], options: CliOptions): Promise<CliResult> {
  return spawned(process.execPath, [MAIN, ...args], options);
}

function spawned(command: string, args: readonly string[], options: CliOptions): Promise<CliResult> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, {
      cwd: options.cwd,
      env: environmentOf(options),
      stdio: 'pipe',
    });
    let stdout = '';
    let stderr = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      stdout += text;
      options.onOutput?.(stdout);
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      stderr += text;
    });
    child.stdin.on('error', () => {}); // a command that reads no input may be gone before it is written
    child.stdin.end(options.stdin ?? '');
    child.on('error', reject);
    child.on('close', (exit) => resolve({ exit, stdout, stderr }));
  });
}

function environmentOf({ env }: CliOptions): Readonly<Record<string, string | undefined>> {
  return { PATH: process.env['PATH'], ...env };
}

/** Those that live: as many as ever ran at once. */
const hosts: Host[] = [];

/** A process that runs command lines one after the other (cli-host.mjs). It ends with this one. */
class Host {
  isFree = true;
  private readonly child: ChildProcess;
  /** Rejects when it ends. */
  private readonly died: Promise<never>;
  private stdout = '';
  private stderr = '';
  private runs = 0;
  /** Told of each piece of output. */
  private listener: () => void = () => undefined;

  constructor() {
    this.child = fork(HOST, { stdio: ['ignore', 'pipe', 'pipe', 'ipc'], execArgv: [] });
    this.child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      this.stdout += text;
      this.listener();
    });
    this.child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.stderr += text;
      this.listener();
    });
    this.died = once(this.child, 'exit').then(([code]) => {
      hosts.splice(hosts.indexOf(this), 1);
      throw new Error(`rulectl ended its process with ${code}: ${this.stderr}`);
    });
    this.died.catch(() => undefined); // between two runs, and at the end of the tests
    hosts.push(this);
  }

  async run(args: readonly string[], { cwd = process.cwd(), ...options }: CliOptions): Promise<CliResult> {
    this.isFree = false;
    this.stdout = '';
    this.stderr = '';
    const mark = `\u0000end of run ${++this.runs}\u0000`;
    const written = new Promise<void>((resolve) => {
      this.listener = () => {
        options.onOutput?.(this.stdout.replace(mark, ''));
        if (this.stdout.endsWith(mark) && this.stderr.endsWith(mark)) resolve();
      };
    });
    const answered = once(this.child, 'message');
    this.child.send({ args, cwd, environment: environmentOf(options), mark });
    const [[{ exit }]] = await Promise.race([Promise.all([answered, written]), this.died]);
    const result = {
      exit,
      stdout: this.stdout.slice(0, -mark.length),
      stderr: this.stderr.slice(0, -mark.length),
    };
    this.isFree = true;
    return result;
  }
}

/**
 * Runs a command in a session that has a terminal, or none (`answer` undefined); the rest goes to its
 * standard input and output as ever.
 */
const TTY_DRIVER = `
import os, pty, select, sys
answer = os.environ.get('TTY_ANSWER')
stdio = [os.dup(fd) for fd in (0, 1, 2)]
if answer is None:
    os.setsid()
    os.execv(sys.argv[1], sys.argv[1:])
pid, terminal = pty.fork()
if pid == 0:
    os.set_inheritable(os.dup(0), True) # a terminal that nobody holds open has hung up
    for fd, kept in enumerate(stdio):
        os.dup2(kept, fd)
    os.execv(sys.argv[1], sys.argv[1:])
asked = b''
try:
    while True:
        asked += os.read(terminal, 4096)
        if b'[y/N] ' in asked and answer:
            os.write(terminal, answer.encode() + b'\\n')
            answer = ''
except OSError:
    pass
_, status = os.waitpid(pid, 0)
os.write(stdio[2], b'asked: ' + asked.split(b' [y/N]')[0].replace(b'\\r', b'').replace(b'\\n', b'') + b'\\n')
sys.exit(os.waitstatus_to_exitcode(status))
`;

/**
 * As `rulectl`, but in a session of its own: with a terminal whose user answers a question so, or without
 * one.
 */
export function rulectlAsked(
  args: readonly string[],
  answer: string | undefined,
  options: CliOptions = {},
): Promise<CliResult> {
  const env = { ...options.env, ...(answer === undefined ? {} : { TTY_ANSWER: answer }) };
  return spawned('python3', ['-c', TTY_DRIVER, process.execPath, MAIN, ...args], { ...options, env });
}

/** Types each answer when the question before it ends, on a terminal that is also input and output. */
const TYPING_DRIVER = `
import json, os, pty, sys
answers = json.loads(os.environ['TTY_ANSWERS'])
pid, terminal = pty.fork()
if pid == 0:
    os.execv(sys.argv[1], sys.argv[1:])
screen, asked = b'', 0
try:
    while True:
        screen += os.read(terminal, 4096)
        if answers and screen[asked:].endswith(b': '):
            answer = answers.pop(0)
            os.write(terminal, answer.encode() + (b'' if len(answer) == 1 and ord(answer) < 32 else b'\\r'))
            asked = len(screen)
except OSError:
    pass
_, status = os.waitpid(pid, 0)
os.write(1, screen)
sys.exit(os.waitstatus_to_exitcode(status))
`;

/** Runs a command on a terminal at which somebody answers its questions one by one: what is on the screen. */
export async function rulectlTyped(
  args: readonly string[],
  answers: readonly string[],
): Promise<{ readonly exit: number | null; readonly screen: string }> {
  const env = { TTY_ANSWERS: JSON.stringify(answers), TERM: 'dumb' };
  const { exit, stdout } = await spawned('python3', ['-c', TYPING_DRIVER, process.execPath, MAIN, ...args], {
    env,
  });
  return { exit, screen: stdout.replaceAll('\r', '') };
}

/** The objects of NDJSON. */
export function ndjson(text: string): readonly Readonly<Record<string, unknown>>[] {
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line): Readonly<Record<string, unknown>> => JSON.parse(line));
}

/** A folder of its own, with files; `remove` it afterwards. */
export class Folder {
  readonly path = mkdtempSync(join(tmpdir(), 'rulectl-'));

  write(name: string, content: string | Uint8Array): string {
    const path = join(this.path, name);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, content);
    return path;
  }

  remove(): void {
    rmSync(this.path, { recursive: true, force: true });
  }
}
