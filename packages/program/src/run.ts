/**
 * Runs and ends a program: its output is written completely, and every error becomes a message and an exit
 * code.
 */

import type { ArgumentsCamelCase, Argv } from 'yargs';
import { type OptionsReading, readOptions } from './command-line.ts';
import {
  EXIT_BUG,
  EXIT_FAILED,
  EXIT_OUTPUT_CLOSED,
  EXIT_OUTPUT_FAILED,
  EXIT_USAGE,
  ProgramError,
} from './exit.ts';
import { declareGone, GONE_OPTIONS } from './gone-options.ts';
import { sayLast } from './log-stream.ts';
import { Output, OutputClosedError, OutputFailedError } from './output.ts';

/**
 * Runs a program to its end. When it fails, the process ends at once: parts already started, such as a
 * listener, must not go on alone. Only our own bugs show a stack trace.
 */
export async function runProgram(name: string, main: (out: Output) => Promise<void>): Promise<void> {
  const out = new Output(1);
  try {
    await main(out);
    out.flush();
  } catch (error) {
    end(name, error);
  }
}

/**
 * The values of this process's command line. For --help and --version prints the text and ends the process;
 * for a refused command line ends it with a message.
 */
export function programOptions<A>(
  name: string,
  cli: Argv<A>,
  reading: OptionsReading,
): ArgumentsCamelCase<A> {
  const out = new Output(1);
  try {
    declareGone(name, cli);
    const read = readOptions(cli, process.argv.slice(2), withGone(name, reading));
    if (read.kind === 'values') return read.values;
    out.line(read.text);
    out.flush();
    process.exit(0);
  } catch (error) {
    end(name, error);
  }
}

/** The environment may have options that are gone, too. */
function withGone(name: string, { environment, ...reading }: OptionsReading): OptionsReading {
  if (environment === undefined) return reading;
  const options = [...environment.options, ...Object.keys(GONE_OPTIONS[name] ?? {})];
  return { ...reading, environment: { ...environment, options } };
}

function end(name: string, error: unknown): never {
  const { exit, text } = endOf(name, error);
  sayLast(text);
  process.exit(exit);
}

/** The exit code for an error, and its message; empty if there is no reader any more. */
function endOf(name: string, error: unknown): { readonly exit: number; readonly text: string } {
  if (error instanceof OutputClosedError) return { exit: EXIT_OUTPUT_CLOSED, text: '' };
  if (error instanceof OutputFailedError) {
    return { exit: EXIT_OUTPUT_FAILED, text: `${name}: ${error.message}\n` };
  }
  if (error instanceof ProgramError) {
    const hint = error.exit === EXIT_USAGE ? `Try ${name} --help\n` : '';
    return { exit: error.exit, text: `${name}: ${error.message}\n${hint}` };
  }
  // Errors of the system have the operation and its object in their message: a permission, a full disk, an
  // address in use.
  if (error instanceof Error && 'syscall' in error) {
    return { exit: EXIT_FAILED, text: `${name}: ${error.message}\n` };
  }
  const trace = error instanceof Error ? (error.stack ?? error.message) : String(error);
  return { exit: EXIT_BUG, text: `${name}: a bug of ${name}; please report it:\n${trace}\n` };
}
