/** How a command ends: its exit code, what went wrong, and the last records of `--json`. */

import { OutputClosedError, OutputFailedError, ProgramError } from '@rulecast/program';
import { CliError, ExitCode } from './exit.ts';
import type { Terminal } from './terminal.ts';

/**
 * Runs a command to its end, and tells of an error, to people and, with --json, to programs. Resolves with
 * the exit code; never rejects. `name` is that of the program.
 */
export async function runToEnd(
  name: string,
  terminal: Terminal,
  work: () => Promise<ExitCode>,
): Promise<ExitCode> {
  try {
    const exit = await work();
    terminal.end(exit);
    return exit;
  } catch (error) {
    return tell(name, error, await isExplained(name, error), terminal);
  }
}

/** Whether `rulectl help` has a page of the code. A firewall has no rulectl. */
async function isExplained(name: string, error: unknown): Promise<boolean> {
  if (name !== 'rulectl' || !(error instanceof CliError) || error.exit === ExitCode.usage) return false;
  return (await import('./error-page.ts')).errorPage(error.code) !== undefined;
}

function tell(name: string, error: unknown, isExplained: boolean, terminal: Terminal): ExitCode {
  if (error instanceof OutputClosedError) return ExitCode.outputClosed;
  if (error instanceof OutputFailedError) return tellOutputFailed(name, error, terminal);
  const known = knownError(name, error);
  const text =
    known?.message ?? `a bug of ${name}: ${error instanceof Error ? error.message : String(error)}`;
  const exit = known?.exit ?? ExitCode.bug;
  const code = known?.code ?? 'bug';
  try {
    terminal.record({ kind: 'error', code, message: text, ...known?.details });
    terminal.end(exit, code);
    const [line = '', ...more] = text.split('\n');
    const hint = isExplained ? ` (rulectl help ${code})` : exit === ExitCode.usage ? '' : ` (${code})`;
    terminal.complain([`${name}: ${line}${hint}`, ...more].join('\n'));
    const isDebug = terminal.environment['RULECTL_DEBUG'] === '1';
    if (isDebug && error instanceof Error) terminal.complain(traceOf(error));
    else if (known === undefined)
      terminal.complain('Set RULECTL_DEBUG=1 for the stack trace, and report it.');
  } catch (cause) {
    if (cause instanceof OutputFailedError) return tellOutputFailed(name, cause, terminal);
    if (!(cause instanceof OutputClosedError)) throw cause;
    return ExitCode.outputClosed;
  }
  return exit;
}

function knownError(name: string, error: unknown): CliError | undefined {
  if (error instanceof CliError) return error;
  if (!(error instanceof ProgramError)) return undefined;
  return new CliError(ExitCode.usage, 'usage', `${error.message}\nTry: ${name} --help`, { cause: error });
}

/** Standard error may be writable; if it is not either, only the exit code tells. */
function tellOutputFailed(name: string, error: OutputFailedError, terminal: Terminal): ExitCode {
  try {
    terminal.complain(`${name}: ${error.message}`);
  } catch (cause) {
    if (!(cause instanceof OutputClosedError || cause instanceof OutputFailedError)) throw cause;
  }
  return ExitCode.outputFailed;
}

/** The stacks of an error and of its causes. */
function traceOf(error: Error): string {
  const stack = error.stack ?? error.message;
  return error.cause instanceof Error ? `${stack}\ncaused by ${traceOf(error.cause)}` : stack;
}
