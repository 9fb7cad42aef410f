/**
 * Command lines, read strictly: an unknown option, or one that is given twice, empty or without a value, is
 * refused with advice.
 */

import { readFileSync } from 'node:fs';
import yargs, { type ArgumentsCamelCase, type Argv } from 'yargs';
import { usageError } from './exit.ts';
import {
  checkSwitches,
  checkWords,
  type EnvironmentOptions,
  environmentWords,
  type WordRules,
} from './words.ts';

/** Widest help text: longer lines are hard to read. */
export const HELP_MAX_COLUMNS = 100;

/** How to read the command line of a program that has options only. */
export interface OptionsReading {
  /** Options that may be repeated; every other one is given once. */
  readonly repeatable: readonly string[];
  /** Environment variables for options that the command line lacks. */
  readonly environment?: EnvironmentOptions;
  readonly variables: Readonly<Record<string, string | undefined>>;
}

/** Values, or the text that --help or --version asks for. */
export type ReadOptions<A> =
  | { readonly kind: 'values'; readonly values: ArgumentsCamelCase<A> }
  | { readonly kind: 'text'; readonly text: string };

/**
 * A yargs for a program: strict, silent, in English. `packageFile` is its package.json, which says its
 * version.
 */
export function strictYargs(name: string, packageFile: URL): Argv<object> {
  return yargs()
    .scriptName(name)
    .locale('en')
    .strict()
    .parserConfiguration({
      'dot-notation': false,
      'greedy-arrays': false, // each use of an option takes one value
      'parse-positional-numbers': false,
    })
    .showHelpOnFail(false)
    .alias('h', 'help')
    .help()
    .version(versionIn(packageFile))
    .wrap(HELP_MAX_COLUMNS);
}

/** Reads the command line of a program that is options alone. Throws ProgramError `usage`. */
export function readOptions<A>(
  cli: Argv<A>,
  words: readonly string[],
  { repeatable, environment, variables }: OptionsReading,
): ReadOptions<A> {
  const rules: WordRules = { repeatable: new Set(repeatable), hasOpposites: true };
  const given = environment === undefined ? [] : environmentWords(words, rules, variables, environment);
  const all = [...given.map(({ word }) => word), ...words];
  try {
    checkWords(all, rules);
    const { values, text } = parseWords(cli, all);
    if (text !== '') return { kind: 'text', text };
    checkSwitches(all, rules, values);
    const [stray] = values._; // the words after --
    if (stray !== undefined) throw usageError(`${stray} is no option: leave it out`);
    return { kind: 'values', values };
  } catch (error) {
    if (given.length === 0 || !(error instanceof Error)) throw error;
    const names = given.map(({ variable }) => variable).join(', ');
    throw usageError(`${error.message} (given by the environment: ${names})`, { cause: error });
  }
}

/** Has yargs read words; `text` is what it would print. Throws ProgramError `usage`. */
export function parseWords<A>(
  cli: Argv<A>,
  words: readonly string[],
): { readonly values: ArgumentsCamelCase<A>; readonly text: string } {
  let text = '';
  let failure: Error | undefined;
  const values = cli.parseSync([...words], {}, (error, _values, output) => {
    failure = error;
    text = output;
  });
  if (failure === undefined || failure === null) return { values, text };
  throw failure.name === 'YError'
    ? usageError(sentenceOf(failure.message, words), { cause: failure })
    : failure;
}

/** A better message for a fault that yargs found. */
function sentenceOf(message: string, words: readonly string[]): string {
  const text = message.trim();
  const choice = /Argument: (\S+), Given: (.*), Choices: (.*)$/m.exec(text);
  if (choice !== null) {
    const isOption = words.some((word) => word.split('=', 1)[0] === `--${choice[1]}`);
    return `${isOption ? '--' : ''}${choice[1]} ${choice[2]}: write one of ${choice[3]}`;
  }
  const bare = /^Not enough arguments following: (\S+)$/.exec(text);
  return bare === null ? text : `--${bare[1]} needs a value`;
}

/** The version in a package.json. */
export function versionIn(packageFile: URL): string {
  const manifest: unknown = JSON.parse(readFileSync(packageFile, 'utf8'));
  const isRead = typeof manifest === 'object' && manifest !== null && 'version' in manifest;
  return isRead && typeof manifest.version === 'string' ? manifest.version : 'unknown';
}
