/**
 * A directory in which the commands of the documents run as they stand: it looks like the checkout, and
 * whatever they write stays in it. One shell runs all lines of a sandbox, like the shell of a reader who
 * types them in order:
 *
 *   - a daemon, with `&` or without (as in another terminal): the sandbox waits until it is ready, and until a subscriber is connected
 *   - any other line has to end with 0, or with what the test expects
 *
 * Programs of the test on the path replace those that only dom0 or a build has.
 */

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import { ROOT } from './blocks.ts';

/** The parts of the checkout that a reader's commands may use. */
const SHOWN = ['examples', 'node_modules', 'package.json', 'packages', 'protocol', 'test'];
/** Evaluates the commands that come on descriptor 3, and says on 4 how each ended. */
const SHELL = `while IFS= read -r -d '' command <&3; do eval "$command" </dev/null; echo "$?" >&4; done`;
const DAEMON = /^(rulecast-publisher|rulecast-subscriber|rulecast-relay)\b(?!.*--(print-|init\b))/;
const ERROR_LEVEL = 50;

type LogLine = Readonly<Record<string, unknown>>;

export interface Outcome {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export class Sandbox {
  readonly directory = mkdtempSync(join(tmpdir(), 'rulecast-docs-'));
  private readonly shell: ChildProcess;
  private readonly log: LogLine[] = [];
  private readonly watchers = new Set<() => void>();
  private hasPublisher = false;
  private stderr = '';

  /** @param environment Variables besides those of a plain login. */
  constructor(environment: Readonly<Record<string, string>> = {}) {
    for (const name of SHOWN) symlinkSync(join(ROOT, name), this.path(name));
    for (const name of ['bin', 'home', 'run']) mkdirSync(this.path(name), { mode: 0o700 });
    this.shell = spawn('bash', ['-c', SHELL], {
      cwd: this.directory,
      detached: true, // a group of its own, so that the daemons end with it
      stdio: ['ignore', 'ignore', 'pipe', 'pipe', 'pipe'],
      env: {
        PATH: `${this.path('bin')}:${dirname(process.execPath)}:/usr/bin:/bin`,
        HOME: this.path('home'),
        XDG_RUNTIME_DIR: this.path('run'),
        TMPDIR: tmpdir(),
        ...(process.env['RULECAST_RUN'] && { RULECAST_RUN: process.env['RULECAST_RUN'] }),
        ...environment,
      },
    });
    if (this.shell.stderr !== null) createInterface({ input: this.shell.stderr }).on('line', this.heard);
    this.stub('npm', npmProgram());
  }

  path(...names: readonly string[]): string {
    return join(this.directory, ...names);
  }

  /** Writes a file, as the reader has it before he comes to a block. */
  write(name: string, text: string): void {
    mkdirSync(dirname(this.path(name)), { recursive: true });
    writeFileSync(this.path(name), text);
    utimesSync(this.path(name), 1, 1); // long ago: a list is read without waiting whether more is written
  }

  /** Puts a shell program on the path, in place of one that is not to be had here. */
  stub(name: string, program: string): void {
    this.write(`bin/${name}`, `#!/bin/sh\n${program}`);
    chmodSync(this.path('bin', name), 0o755);
  }

  /** Runs all lines of a block; rejects where one fails. Returns what they printed. */
  async run(block: string): Promise<string> {
    let printed = '';
    for (const line of block.split('\n').filter((text) => text.trim() !== '')) {
      const { code, stdout, stderr } = await this.attempt(line);
      if (code !== 0) throw new Error(`$ ${line}\n${stdout}${stderr}\nended with ${code}`);
      printed += stdout;
    }
    return printed;
  }

  /** Runs one line. */
  async attempt(line: string): Promise<Outcome> {
    if (DAEMON.test(line)) return this.startDaemon(line);
    const [stdout, stderr] = [this.path('home/stdout'), this.path('home/stderr')];
    const code = await this.evaluate(`{ ${line}\n} >'${stdout}' 2>'${stderr}'`);
    return { code, stdout: readFileSync(stdout, 'utf8'), stderr: readFileSync(stderr, 'utf8') };
  }

  /** The output of all daemons. */
  said(): string {
    return this.stderr;
  }

  /** What daemons logged as errors. */
  errors(): readonly LogLine[] {
    return this.log.filter(({ level }) => typeof level === 'number' && level >= ERROR_LEVEL);
  }

  /** Resolves with the first line of a daemon's log, past or to come, that matches. */
  async logged(matches: (line: LogLine) => boolean, from = 0): Promise<LogLine> {
    for (;;) {
      const found = this.log.slice(from).find(matches);
      if (found !== undefined) return found;
      await new Promise<void>((resolve) => this.watchers.add(resolve));
    }
  }

  async close(): Promise<void> {
    const { pid } = this.shell;
    const closed = once(this.shell, 'close');
    if (pid !== undefined) process.kill(-pid, 'SIGKILL');
    await closed;
    rmSync(this.directory, { recursive: true, force: true });
  }

  private async startDaemon(line: string): Promise<Outcome> {
    const from = this.log.length;
    const said = this.stderr.length;
    const name = DAEMON.exec(line)?.[1];
    const command = line.replace(/&\s*(#.*)?$/, '');
    await this.evaluate(`{ ${command}\nprintf '{"ended":"${name}","code":%d}\\n' "$?" >&2; } &`);
    const { code } = await this.logged(
      ({ name: of, msg, ended }) => ended === name || (of === name && msg === 'ready'),
      from,
    );
    if (typeof code === 'number') return { code, stdout: '', stderr: this.stderr.slice(said) };
    if (name === 'rulecast-publisher') this.hasPublisher = true;
    else if (this.hasPublisher && name === 'rulecast-subscriber')
      await this.logged(({ msg }) => msg === 'subscriber connected', from);
    return { code: 0, stdout: '', stderr: '' };
  }

  private async evaluate(command: string): Promise<number> {
    const [, , , commands, codes] = this.shell.stdio;
    const answered = once(codes as Readable, 'data'); // it is a pipe, as said to spawn
    (commands as Writable).write(`${command}\0`);
    const [code] = await answered;
    return Number(String(code));
  }

  private readonly heard = (text: string): void => {
    this.stderr += `${text}\n`;
    if (text.startsWith('{')) this.log.push(JSON.parse(text) as LogLine); // one object a line, as pino and startDaemon write
    for (const watcher of this.watchers) watcher();
    this.watchers.clear();
  };
}

/** The build is done before the tests: all that is left to see is whether there is such a script. */
function npmProgram(): string {
  return `[ "$1" = run ] && grep -q "\\"$2\\": " package.json || { echo "npm $*: not here" >&2; exit 64; }\n`;
}
