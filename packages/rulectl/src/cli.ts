/**
 * The command line: options that every command has, the commands, and how errors become exit codes.
 *
 * To read, begin here, then command.ts and commands/push.ts.
 *
 *   words ─▶ command ─▶ files, options ─▶ request ═control═▶ records ─render─▶ what people read, or --json ─▶ exit code
 *
 * terminal/  exit codes, files as they are named, output and questions
 * catalogue/ public feeds by key, and what the configuration says of them
 * render/    records in, text out
 * control/   the connection to the publisher
 * release/   what commands that make a release share: files, options, permits, what comes back
 * offline/   rule sets and verdicts without a publisher
 * doctor/    what is looked at on a machine, and the machine
 * init/      presets, questions, the files that are written, and what to paste where
 * web/       the page of rulectl web: who may see it, what it shows, how it is served
 * commands/  a file for each
 */

import { ProgramError } from '@rulecast/program';
import { COMMANDS } from './command.ts';
import { type Answer, readLine } from './line.ts';
import { isOldCommand, withoutOldCommand } from './old-words.ts';
import { withoutOldPermits } from './release/permits.ts';
import { runToEnd } from './terminal/ending.ts';
import { ExitCode, usageError } from './terminal/exit.ts';
import { Terminal } from './terminal/terminal.ts';

type Environment = Terminal['environment'];

/** Runs one command line (without node and script) and resolves with the exit code; never rejects. */
export async function runCli(words: readonly string[], environment: Environment): Promise<ExitCode> {
  const { words: current, warnings: commandWarnings } = withoutOldCommand(commandFirst(words));
  const { words: args, warnings: permitWarnings } = withoutOldPermits(commandInOne(current));
  const terminal = new Terminal(environment, args);
  return runToEnd('rulectl', terminal, async () => {
    for (const warning of [...commandWarnings, ...permitWarnings]) terminal.complain(`rulectl: ${warning}`);
    const [first, code = ''] = words;
    const page = first === 'help' ? (await import('./terminal/error-page.ts')).errorPage(code) : undefined;
    if (page === undefined || COMMANDS.has(code)) {
      const parsed = await parse(args, terminal);
      if (typeof parsed !== 'string') return parsed();
      terminal.out.line(parsed);
    }
    if (page !== undefined) terminal.out.line(COMMANDS.has(code) ? `\nAs an error code, ${page}` : page);
    return ExitCode.ok;
  });
}

/** Options that every command has, and that take a value. */
const WITH_VALUE: ReadonlySet<string> = new Set(['--control', '--curve-key', '--curve-peer']);

/** The words with the command in front of the options that came before it. `help push` asks for its help. */
function commandFirst(words: readonly string[]): readonly string[] {
  const [first, second] = words;
  if (first === '-v') return ['--version'];
  if (first === 'help' && (second === undefined || second === 'all'))
    return ['--help', ...(second ? ['--all'] : [])];
  if (first === 'help') return [...words.slice(1), '--help'];
  let at = 0;
  while (words[at]?.startsWith('-')) at += WITH_VALUE.has(words[at] ?? '') ? 2 : 1;
  const command = words[at] ?? '';
  return COMMANDS.has(command) || isOldCommand(command)
    ? [command, ...words.slice(0, at), ...words.slice(at + 1)]
    : words;
}

/** The words with both words of a command such as `lists show` in one. */
function commandInOne(words: readonly string[]): readonly string[] {
  const both = words.slice(0, 2).join(' ');
  return COMMANDS.has(both) ? [both, ...words.slice(2)] : words;
}

/** The work to do, or the text for --help or --version. Throws CliError `usage`. */
async function parse(args: readonly string[], terminal: Terminal): Promise<Answer> {
  try {
    return await readLine(args, terminal);
  } catch (error) {
    if (!(error instanceof ProgramError)) throw error;
    throw usageError(`${error.message}\nTry: ${helpCommand(args)}`);
  }
}

function helpCommand([first = '']: readonly string[]): string {
  return COMMANDS.has(first) ? `rulectl ${first} --help` : 'rulectl --help';
}
