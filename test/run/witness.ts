/** A run that a test starts, ends at a moment of its choice, and looks for what is left of. */

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { onTestFinished } from 'vitest';
import { RUN_VARIABLE } from './belongings.mjs';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
/** Whatever the run starts inherits it, and nothing else has it. */
export const WITNESS = 'RULECAST_WITNESS';
const LOOK_EVERY_MS = 20;

export interface Leftovers {
  readonly files: readonly string[];
  /** Their command lines. */
  readonly processes: readonly string[];
  readonly namespaces: readonly string[];
}

export const NOTHING: Leftovers = { files: [], processes: [], namespaces: [] };

export class Witness {
  private readonly directory = mkdtempSync(join(tmpdir(), 'w-'));
  private readonly child: ChildProcess;
  private readonly closed: Promise<unknown>;
  private isClosed = false;
  private printed = '';
  /** Called when there is something new to see. */
  private heard: () => void = () => undefined;

  /** Starts `node ARGS...` in the checkout, in a process group of its own, as a terminal does. */
  constructor(args: readonly string[]) {
    const env = { ...process.env, TMPDIR: this.directory, [WITNESS]: this.directory };
    this.child = spawn(process.execPath, args, {
      cwd: ROOT,
      env,
      detached: true,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    // It closes when nobody holds standard output or error any more: the keeper is the last one.
    this.closed = once(this.child, 'close');
    for (const stream of [this.child.stdout, this.child.stderr]) {
      stream?.setEncoding('utf8').on('data', (text: string) => {
        this.printed += text;
        this.heard();
      });
    }
    this.child.once('close', () => {
      this.isClosed = true;
      this.heard();
    });
    onTestFinished(() => {
      this.signalAll('SIGKILL');
      rmSync(this.directory, { recursive: true, force: true });
    });
  }

  /** Resolves when the run has printed something; rejects where it ends before. */
  async prints(text: string): Promise<void> {
    while (!this.printed.includes(text)) {
      if (this.isClosed) throw new Error(`it ended without "${text}":\n${this.printed}`);
      await new Promise<void>((resolve) => {
        this.heard = resolve;
      });
    }
  }

  /**
   * Resolves when the run, or what it started, has made a file or directory of that name; rejects where it
   * ends before.
   */
  async makes(name: string): Promise<void> {
    const made = (): boolean =>
      readdirSync(this.directory, { recursive: true }).some((path) => basename(String(path)) === name);
    while (!made()) {
      if (this.isClosed) throw new Error(`it ended without ${name}:\n${this.printed}`);
      await setTimeout(LOOK_EVERY_MS);
    }
  }

  /**
   * Sends a signal to the run alone; resolves to its exit code or the signal that ended it, once all that it
   * started is gone.
   */
  async end(signal: NodeJS.Signals): Promise<number | NodeJS.Signals | null> {
    this.child.kill(signal);
    return this.ended();
  }

  /** The same, to every process of its group: what a terminal does for ^C. */
  async endAll(signal: NodeJS.Signals): Promise<number | NodeJS.Signals | null> {
    this.signalAll(signal);
    return this.ended();
  }

  async ended(): Promise<number | NodeJS.Signals | null> {
    await this.closed;
    return this.child.exitCode ?? this.child.signalCode;
  }

  leftovers(): Leftovers {
    return {
      files: readdirSync(this.directory),
      processes: this.processes(),
      namespaces: namespacesOfInnerRuns(),
    };
  }

  private signalAll(signal: NodeJS.Signals): void {
    const { pid } = this.child;
    if (pid === undefined) return;
    try {
      process.kill(-pid, signal);
    } catch {
      // The group is no more.
    }
  }

  private processes(): readonly string[] {
    const pids = readdirSync('/proc').filter((name) => /^\d+$/.test(name));
    const own = pids.filter((pid) =>
      textOf(`/proc/${pid}/environ`).includes(`${WITNESS}=${this.directory}\0`),
    );
    return own.map((pid) => textOf(`/proc/${pid}/cmdline`).replaceAll('\0', ' '));
  }
}

/** All network namespaces of runs within this one. */
function namespacesOfInnerRuns(): readonly string[] {
  try {
    return readdirSync('/run/netns').filter((name) =>
      name.startsWith(`rulecast-${process.env[RUN_VARIABLE]}.`),
    );
  } catch {
    return []; // none was ever made
  }
}

function textOf(file: string): string {
  try {
    return readFileSync(file, 'latin1');
  } catch {
    return '';
  }
}
