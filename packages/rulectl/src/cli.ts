/**
 * The command line: options that every command has, the commands, and how errors become exit codes.
 *
 * To read, begin here, then commands/push.ts.
 *
 *   words ─▶ command ─▶ files, options ─▶ request ═control═▶ records ─render─▶ what people read, or --json ─▶ exit code
 *
 * terminal/  exit codes, files as they are named, output and questions
 * render/    records in, text out
 * control/   the connection to the publisher
 * release/   what commands that make a release share: files, options, permits, what comes back
 * offline/   rule sets and verdicts without a publisher
 * doctor/    what is looked at on a machine, and the machine
 * commands/  a file for each
 */

import {
  checkSwitches,
  checkWords,
  defaultEndpoints,
  HELP_MAX_COLUMNS,
  OutputClosedError,
  OutputFailedError,
  ProgramError,
  parseWords,
  strictYargs,
  type WordRules,
} from '@rulecast/program';
import type { ArgumentsCamelCase, Argv } from 'yargs';
import { CliError, ExitCode, exitCodesHelp, usageError } from './terminal/exit.ts';
import { STDIN_NAME } from './terminal/input.ts';
import { Terminal } from './terminal/terminal.ts';

type Environment = Readonly<Record<string, string | undefined>>;
type Work = () => Promise<ExitCode>;
interface GlobalArgs {
  readonly control: string;
  readonly 'no-color': boolean | undefined;
}

/** One command of commands/. */
interface Command<A> {
  readonly command: string;
  readonly describe: string;
  readonly builder: (yargs: Argv<GlobalArgs>) => Argv<A>;
  readonly run: (args: ArgumentsCamelCase<A>, terminal: Terminal) => Promise<ExitCode>;
}
type Add = <A extends object>(command: Command<A>) => void;

/**
 * The commands by name, as help lists them. A command line loads the one that it begins with: what the others
 * need, such as readers of lists and of YAML, would take longer than `rulectl status` itself.
 */
const COMMANDS: ReadonlyMap<string, (add: Add) => Promise<void>> = new Map([
  ['push', async (add) => add(await import('./commands/push.ts'))],
  ['status', async (add) => add(await import('./commands/status.ts'))],
  ['test', async (add) => add(await import('./commands/test.ts'))],
  ['names', async (add) => add(await import('./commands/names.ts'))],
  ['history', async (add) => add(await import('./commands/history.ts'))],
  ['diff', async (add) => add(await import('./commands/diff.ts'))],
  ['rollback', async (add) => add(await import('./commands/rollback.ts'))],
  ['forget', async (add) => add(await import('./commands/forget.ts'))],
  ['adopt', async (add) => add(await import('./commands/adopt.ts'))],
  ['lists', async (add) => add(await import('./commands/lists.ts'))],
  ['list', async (add) => add(await import('./commands/list.ts'))],
  ['refresh', async (add) => add(await import('./commands/refresh.ts'))],
  ['check', async (add) => add(await import('./commands/check.ts'))],
  ['config', async (add) => add(await import('./commands/config.ts'))],
  ['import', async (add) => add(await import('./commands/import.ts'))],
  ['doctor', async (add) => add(await import('./commands/doctor.ts'))],
  ['keygen', async (add) => add(await import('./commands/keygen.ts'))],
  ['keys', async (add) => add(await import('./commands/keys.ts'))],
]);

const WORD_RULES: WordRules = {
  repeatable: new Set(['require', 'resolve', 'offline', 'known-list']),
  mayBeEmpty: new Set(['dns']), // no address means nothing
  hasOpposites: false, // --no-wait and --no-color are options of their own
};

/** Runs one command line (without node and script) and resolves with the exit code; never rejects. */
export async function runCli(args: readonly string[], environment: Environment): Promise<ExitCode> {
  const terminal = new Terminal(environment);
  try {
    const parsed = await parse(args, terminal);
    if (typeof parsed === 'string') terminal.out.line(parsed);
    const exit = typeof parsed === 'string' ? ExitCode.ok : await parsed();
    terminal.out.flush();
    return exit;
  } catch (error) {
    return tell(error, args, terminal);
  }
}

/** What to do, or the text that --help or --version asks for. Throws CliError `usage`. */
async function parse(args: readonly string[], terminal: Terminal): Promise<Work | string> {
  const cli = await commandLine(args[0], terminal);
  try {
    checkWords(args, WORD_RULES);
    const chosen = chosenBy(cli, maskWords(args));
    if (typeof chosen === 'string') return chosen;
    checkSwitches(args, WORD_RULES, chosen.values);
    return chosen.work;
  } catch (error) {
    if (!(error instanceof ProgramError)) throw error;
    throw usageError(`${usageText(error, args[0])}\nTry: ${helpCommand(args)}`);
  }
}

/**
 * Ends what yargs does once it has found the command: it would go on to write down the help of that, in case
 * it fails, which takes longer than reading the command line.
 */
class Chosen extends Error {
  readonly values: Readonly<Record<string, unknown>>;
  readonly work: Work;

  constructor(values: Readonly<Record<string, unknown>>, work: Work) {
    super('a command is chosen');
    this.values = values;
    this.work = work;
  }
}

/** The command that words name, or the text that they ask for. */
function chosenBy(cli: Argv<GlobalArgs>, words: readonly string[]): Chosen | string {
  try {
    return parseWords(cli, words).text;
  } catch (error) {
    if (error instanceof Chosen) return error;
    throw error;
  }
}

/** What yargs says, where it could say it better. */
function usageText(failure: Error, command: string | undefined): string {
  const text = failure.message.replaceAll(MASK, '');
  if (!text.startsWith('Not enough non-option arguments')) return text;
  if (command === 'list') return 'name a list';
  if (command === 'forget') return 'name a subscriber';
  return command === 'rollback' || command === 'diff' ? 'name a version' : 'name at least one file';
}

/** Begins a word that yargs would take for an option, or lose. No argument of a process holds a NUL. */
const MASK = '\u0000';

/**
 * The words with `-`, and those after `--`, as what they are: no options. yargs loses what comes after `--`.
 */
function maskWords(words: readonly string[]): readonly string[] {
  const end = words.indexOf('--');
  const [options, rest] = end < 0 ? [words, []] : [words.slice(0, end), words.slice(end + 1)];
  const mask = (word: string): string => `${MASK}${word}`;
  return [...options.map((word) => (word === STDIN_NAME ? mask(word) : word)), ...rest.map(mask)];
}

/** The arguments with the words as they were. */
function unmaskWords<A extends object>(args: A): A {
  const unmask = (value: unknown): unknown => {
    return typeof value === 'string' && value.startsWith(MASK) ? value.slice(MASK.length) : value;
  };
  const entries = Object.entries(args).map(([key, value]: [string, unknown]) => {
    return [key, Array.isArray(value) ? value.map(unmask) : unmask(value)];
  });
  return Object.assign({ ...args }, Object.fromEntries(entries));
}

/** What rulectl takes; where `first` is a command, the other commands are left out. */
async function commandLine(first: string | undefined, terminal: Terminal): Promise<Argv<GlobalArgs>> {
  const columns = terminal.outIsTty ? process.stdout.columns : HELP_MAX_COLUMNS;
  const cli = strictYargs('rulectl', new URL('../package.json', import.meta.url))
    .usage(
      '$0 COMMAND\n\nFirewall rule sets: check them, release them, and see what the firewalls do with them.',
    )
    .option('control', {
      type: 'string',
      requiresArg: true,
      default: defaultEndpoints(terminal.environment).control,
      describe: 'where the publisher listens',
    })
    .option('curve-key', {
      type: 'string',
      requiresArg: true,
      describe: 'file of the own secret key, for --control zmq+tcp:… (rulectl keygen makes it)',
    })
    .option('curve-peer', {
      type: 'string',
      requiresArg: true,
      describe: "the publisher's public key, or a file that holds it",
    })
    .option('no-color', { type: 'boolean', describe: 'no colours; NO_COLOR=1 does the same' });
  const add: Add = (command) => {
    cli.command(
      command.command,
      command.describe,
      (own) => command.builder(own).epilogue(exitCodesHelp()), // yargs forgets it between commands
      (values) => {
        throw new Chosen(values, () => command.run(unmaskWords(values), terminal));
      },
    );
  };
  const named = COMMANDS.get(first ?? '');
  for (const load of named === undefined ? COMMANDS.values() : [named]) await load(add);
  return cli
    .example([
      ['$0 check office.yaml', 'before'],
      ['$0 push office.yaml', 'release it, and wait for the firewalls'],
      ['$0 status', 'after'],
      ['$0 test "10.137.0.5 > 192.0.2.7 tcp/443"', 'what happens to a packet now'],
      ['$0 lists', 'how fresh the lists are that the publisher fetches'],
      ['$0 history', 'what was released, and why'],
      ['$0 rollback 41', 'release what version 41 said once more'],
    ])
    .epilogue(exitCodesHelp())
    .check((all) => {
      if (all['no-color'] === true) terminal.withoutColor();
      return true;
    }, true)
    .demandCommand(1, 'name a command')
    .recommendCommands()
    .parserConfiguration({
      'boolean-negation': false,
      'camel-case-expansion': false,
      'dot-notation': false,
      'greedy-arrays': false, // --resolve takes one value, what follows are packets
      'parse-numbers': false,
      'parse-positional-numbers': false,
    })
    .wrap(Math.min(HELP_MAX_COLUMNS, columns));
}

function helpCommand([first = '']: readonly string[]): string {
  return COMMANDS.has(first) ? `rulectl ${first} --help` : 'rulectl --help';
}

/** Says what went wrong, to people and, with --json, to programs; returns the exit code. */
function tell(error: unknown, args: readonly string[], terminal: Terminal): ExitCode {
  if (error instanceof OutputClosedError) return ExitCode.outputClosed;
  if (error instanceof OutputFailedError) return tellOutputFailed(error, terminal);
  const known = error instanceof CliError ? error : undefined;
  const text =
    known?.message ?? `a bug of rulectl: ${error instanceof Error ? error.message : String(error)}`;
  const exit = known?.exit ?? ExitCode.bug;
  try {
    if (args.includes('--json') && exit !== ExitCode.usage) {
      terminal.out.json({ kind: 'fail', code: known?.code ?? 'bug', text, exit });
    }
    terminal.complain(`rulectl: ${text}`);
    const isDebug = terminal.environment['RULECTL_DEBUG'] === '1';
    if (isDebug && error instanceof Error) terminal.complain(traceOf(error));
    else if (known === undefined)
      terminal.complain('Set RULECTL_DEBUG=1 for the stack trace, and report it.');
  } catch (cause) {
    if (cause instanceof OutputFailedError) return tellOutputFailed(cause, terminal);
    if (!(cause instanceof OutputClosedError)) throw cause;
    return ExitCode.outputClosed;
  }
  return exit;
}

/** Standard error may be elsewhere; if it cannot be written either, the exit code says it alone. */
function tellOutputFailed(error: OutputFailedError, terminal: Terminal): ExitCode {
  try {
    terminal.complain(`rulectl: ${error.message}`);
  } catch (cause) {
    if (!(cause instanceof OutputClosedError || cause instanceof OutputFailedError)) throw cause;
  }
  return ExitCode.outputFailed;
}

/** The stack of an error and of what caused it. */
function traceOf(error: Error): string {
  const stack = error.stack ?? error.message;
  return error.cause instanceof Error ? `${stack}\ncaused by ${traceOf(error.cause)}` : stack;
}
