/** A command line, parsed by yargs: the command that it names, or the text that it asks for. */

import { checkSwitches, checkWords, ProgramError, usageError } from '@rulecast/program';
import { HELP_MAX_COLUMNS, parseWords, strictYargs } from '@rulecast/program/command-line';
import { closest, suggestion } from '@rulecast/rules';
import type { Argv } from 'yargs';
import {
  type Add,
  COMMANDS,
  COMMANDS_HELP,
  type GlobalArgs,
  SECOND_WORDS_HELP,
  SELDOM_HELP,
  type Work,
  withGlobalOptions,
  wordRulesOf,
} from './command.ts';
import { oldCommandsHelp } from './old-words.ts';
import { exitCodesHelp } from './terminal/exit.ts';
import { STDIN_NAME } from './terminal/input.ts';
import type { Terminal } from './terminal/terminal.ts';

/** The work to do, or the text for --help or --version. */
export type Answer = Work | string;

/** Reads a command line. Throws ProgramError `usage`, with words of ours. */
export async function readLine(args: readonly string[], terminal: Terminal): Promise<Answer> {
  const [first = ''] = args;
  checkWords(args, wordRulesOf(first));
  if (args.length > 0 && !first.startsWith('-') && !COMMANDS.has(first))
    throw usageError(`${first} is no command${suggestion(first, COMMANDS.keys())}`);
  try {
    const { text } = parseWords(await commandLine(first, terminal), maskWords(args));
    if (text === '') throw usageError('name a command');
    return text.replace('\n\nOptions:\n', `\n${commandsHelp(first, args)}\nOptions:\n`);
  } catch (error) {
    if (error instanceof Choice) {
      checkSwitches(args, wordRulesOf(first), error.values);
      return error.work;
    }
    if (!(error instanceof ProgramError)) throw error;
    throw new ProgramError(error.exit, await usageText(error, args, terminal), { cause: error });
  }
}

/**
 * Thrown by the handler of a command: else yargs writes that command's help, in case it fails, which takes
 * longer than reading the command line.
 */
class Choice extends Error {
  readonly values: Readonly<Record<string, unknown>>;
  readonly work: Work;

  constructor(values: Readonly<Record<string, unknown>>, work: Work) {
    super('a command is chosen');
    this.values = values;
    this.work = work;
  }
}

/** The message of a usage error, where yargs's own could be better. */
async function usageText(failure: Error, args: readonly string[], terminal: Terminal): Promise<string> {
  const [command = ''] = args;
  const text = failure.message.replaceAll(MASK, '');
  const unknown = /^Unknown arguments?: ([^,]+)/.exec(text)?.[1];
  if (unknown !== undefined) {
    const seconds = [...COMMANDS.keys()].flatMap((words) => {
      const [first, second] = words.split(' ');
      return first === command && second !== undefined ? [second] : [];
    });
    if (seconds.length > 0 && args[1] === unknown)
      return `${command} ${unknown} is no command: write rulectl ${command} ${seconds.join(' or ')}`;
    const { text: help } = parseWords(await commandLine(command, terminal), maskWords([command, '--help']));
    const options = help.matchAll(/--([a-z-]+)/g);
    const near = closest(
      unknown,
      Array.from(options, ([, name = '']) => name),
    );
    return near === undefined ? text : `--${unknown} is no option: did you mean --${near}?`;
  }
  if (!text.startsWith('Not enough non-option arguments')) return text;
  if (command === 'lists show') return 'name a list';
  if (command === 'lists add') return 'name a key: rulectl lists search finds some';
  if (command === 'lists try') return 'name a URL, a file, or a key of rulectl lists search';
  if (command === 'get') return 'say what: rulectl get all, get policy NAME or get list NAME';
  if (command === 'export') return 'say what, and of which policy: rulectl export qubes POLICY';
  if (command === 'block' || command === 'allow') return 'name an address, a prefix, a name or @LIST';
  if (command === 'cut') return 'name a qube by its address';
  if (command === 'which') return 'name an address, a prefix or a name';
  if (command === 'forget') return 'name a subscriber';
  if (command === 'diff') return 'name versions, or files';
  return command === 'rollback' ? 'name a version' : 'name at least one file';
}

/** Begins a word that yargs would take for an option, or lose. No argument of a process holds a NUL. */
const MASK = '\u0000';

/**
 * Masks `-` and the words after `--`, so that yargs takes none of them for options. It drops words after
 * `--`, and knows commands of one word only.
 */
function maskWords(line: readonly string[]): readonly string[] {
  const words = line.map((word, at) => (at === 0 ? word.replace(' ', '-') : word));
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

/** The commands that a help lists. They are no text of yargs, which trims each line of it. */
function commandsHelp(first: string, args: readonly string[]): string {
  if (COMMANDS.has(first)) return SECOND_WORDS_HELP[first] ?? '';
  return args.includes('--all') ? `${COMMANDS_HELP}${SELDOM_HELP}\n${oldCommandsHelp()}\n` : COMMANDS_HELP;
}

/** The yargs command line with one command, or with none, for the help that lists them. */
async function commandLine(first: string, terminal: Terminal): Promise<Argv<GlobalArgs>> {
  const columns = terminal.outIsTty ? process.stdout.columns : HELP_MAX_COLUMNS;
  const cli = withGlobalOptions(
    strictYargs('rulectl', new URL('../package.json', import.meta.url)),
    terminal.environment,
  );
  const add: Add = (command) => {
    cli.command(
      command.command,
      '',
      (own) => command.builder(own).epilogue(exitCodesHelp()), // yargs forgets it between commands
      (values) => {
        throw new Choice(values, () => command.run(unmaskWords(values), terminal));
      },
    );
  };
  const load = COMMANDS.get(first);
  if (load === undefined) withOwnHelp(cli);
  else await load(add);
  return cli
    .epilogue(exitCodesHelp())
    .check((all) => {
      if (all['no-color'] === true) terminal.withoutColor();
      return true;
    }, true)
    .parserConfiguration({
      'boolean-negation': false,
      'camel-case-expansion': false,
      'dot-notation': false,
      'greedy-arrays': false, // --resolve has one value, and packets follow it
      'parse-numbers': false,
      'parse-positional-numbers': false,
    })
    .wrap(Math.min(HELP_MAX_COLUMNS, columns));
}

/** The text of `rulectl --help` besides the commands. */
function withOwnHelp(cli: Argv<GlobalArgs>): void {
  cli
    .usage(
      '$0 COMMAND\n\nFirewall rule sets: check them, release them, and see what the firewalls do with them.',
    )
    .option('all', { type: 'boolean', describe: 'with --help: commands that are needed seldom, too' })
    .example([
      ['$0 init', 'the first time'],
      ['$0 check office.yaml', 'what is wrong with a file'],
      ['$0 push office.yaml', 'release it, and wait for the firewalls'],
      ['$0 status', 'whether the firewalls enforce it'],
      ['$0 test "10.137.0.5 > 192.0.2.7 tcp/443"', 'what happens to a packet now'],
      ['$0 lists', 'how fresh the lists are that the publisher fetches'],
      ['$0 history', 'what was released, and why'],
      ['$0 rollback 41', 'release version 41 again'],
    ]);
}
