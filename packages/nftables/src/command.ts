/** Runs the few programs that the applier needs: nft and conntrack. Never through a shell, and with nothing of our environment. */

import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';

/** A program could not be run, or said no. The message is what it said, in one line. */
export class CommandError extends Error {}

export interface CommandResult {
  readonly stdout: Buffer;
  readonly milliseconds: number;
  /** Largest resident set; undefined where it ended before it was looked at. */
  readonly peakBytes: number | undefined;
}

/** Where to find programs that are given without a directory. */
export const SEARCH_PATH = '/usr/sbin:/sbin:/usr/bin:/bin:/usr/local/sbin:/usr/local/bin';
/** How often the memory of a running program is looked at. */
const MEMORY_LOOK_MS = 50;

export interface CommandOptions {
  /** Taken piece by piece; a piece may be overwritten once the next is asked for. */
  readonly input?: Iterable<Uint8Array>;
  /** Most bytes of an error's text. */
  readonly errorBytesMax: number;
}

/** A program that runs and has not been given its input yet. */
export class StartedCommand {
  private readonly program: string;
  private readonly child: ChildProcessWithoutNullStreams;
  private readonly ended: Promise<unknown[]>;
  private readonly out: Buffer[] = [];
  private readonly errors: Buffer[] = [];
  /** It ended, or could not be started. */
  hasEnded = false;

  constructor(program: string, args: readonly string[]) {
    this.program = program;
    this.child = spawn(program, args, { env: { PATH: SEARCH_PATH, LC_ALL: 'C' }, stdio: 'pipe' });
    const { child, out, errors } = this;
    child.stdout.on('data', (bytes: Buffer) => out.push(bytes));
    child.stderr.on('data', (bytes: Buffer) => {
      if (errors.length < 64) errors.push(bytes);
    });
    child.stdin.on('error', () => undefined); // it ended early; its exit code says why
    this.ended = once(child, 'close');
    this.ended.catch(() => {
      this.hasEnded = true; // who finishes it hears of the failure to start
    });
    child.once('exit', () => {
      this.hasEnded = true;
    });
  }

  /** Gives it the input and resolves when it has ended; takes the time from now. Rejects with CommandError unless it exits with 0. */
  async finish(options: CommandOptions): Promise<CommandResult> {
    const startMs = performance.now();
    const { child, ended, program } = this;
    let peakBytes: number | undefined;
    const timer = setInterval(() => {
      peakBytes = peakOf(child.pid) ?? peakBytes;
    }, MEMORY_LOOK_MS);
    try {
      await feed(child.stdin, options.input ?? [], ended);
      const [code, signal] = (await ended) as [number | null, string | null];
      if (code !== 0) {
        const said = firstLine(Buffer.concat(this.errors), options.errorBytesMax);
        throw new CommandError(`${program}: ${said || `ended by ${signal ?? `exit code ${code}`}`}`);
      }
    } catch (error) {
      if (error instanceof CommandError) throw error;
      const missing = (error as NodeJS.ErrnoException).code === 'ENOENT';
      throw new CommandError(missing ? `${program} is not installed` : `${program}: ${String(error)}`, {
        cause: error,
      });
    } finally {
      clearInterval(timer);
    }
    return { stdout: Buffer.concat(this.out), milliseconds: performance.now() - startMs, peakBytes };
  }

  /** Gives it no input, upon which it ends. */
  dismiss(): void {
    this.child.stdin.end();
  }
}

/** Runs a program to its end. Rejects with CommandError unless it exits with 0. */
export function runCommand(
  program: string,
  args: readonly string[],
  options: CommandOptions,
): Promise<CommandResult> {
  return new StartedCommand(program, args).finish(options);
}

async function feed(
  stdin: NodeJS.WritableStream,
  pieces: Iterable<Uint8Array>,
  ended: Promise<unknown>,
): Promise<void> {
  const over = ended.then(
    () => true,
    () => true,
  );
  for (const piece of pieces) {
    const written = new Promise<boolean>((resolve) => {
      stdin.write(piece, () => resolve(false));
    });
    if (await Promise.race([written, over])) return;
  }
  stdin.end();
}

/** What a program complained of, for a message: printable, in one line. */
function firstLine(bytes: Buffer, bytesMax: number): string {
  const text = bytes.toString('utf8', 0, Math.min(bytes.length, bytesMax * 2));
  const clean = text.replace(/[\p{Cc}\p{Cs}]+/gu, ' ').trim();
  return clean.slice(0, bytesMax);
}

function peakOf(pid: number | undefined): number | undefined {
  if (pid === undefined) return undefined;
  try {
    const match = /^VmHWM:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1'));
    return match === null ? undefined : Number(match[1]) * 1024;
  } catch {
    return undefined;
  }
}
