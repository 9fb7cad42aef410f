/**
 * The words of a command line, checked before yargs makes values of them. Given an option twice, yargs makes
 * an array of what should be one value; of `--enforce=yes`, it makes `false`; of `--iif-group ''`, 0. Each
 * would be a value that nobody wrote, so each is refused. Values from the environment are words too: they are
 * read and checked like those.
 */

import { usageError } from './exit.ts';

export interface WordRules {
  /** Options that may be repeated; every other one is given once. */
  readonly repeatable: ReadonlySet<string>;
  /** Options that may have an empty value. */
  readonly mayBeEmpty?: ReadonlySet<string>;
  /** Whether `--no-x` is the opposite of `--x`, not an option of its own. */
  readonly hasOpposites: boolean;
}

/** Environment variables for options: `PREFIX_FLOW_MARKS` stands for `--flow-marks`. */
export interface EnvironmentOptions {
  readonly prefix: string;
  readonly options: readonly string[];
}

type Environment = Readonly<Record<string, string | undefined>>;

/** Throws ProgramError `usage` for an option that is given twice, an empty value, or an empty argument. */
export function checkWords(words: readonly string[], rules: WordRules): void {
  const seen = new Set<string>();
  const values = new Set<number>();
  for (const { option, at, value } of optionsOf(words, rules)) {
    values.add(at + 1);
    if (seen.has(option) && !rules.repeatable.has(option)) {
      throw usageError(`--${option} is given twice: give it once`);
    }
    seen.add(option);
    if ((value ?? words[at + 1]) === '' && !rules.mayBeEmpty?.has(option)) {
      throw usageError(`--${option} has an empty value: give it one, or leave it out`);
    }
  }
  if (words.some((word, at) => word === '' && !values.has(at)))
    throw usageError('an argument is empty: give it a value, or leave it out');
}

/**
 * Throws ProgramError `usage` where a switch was given a value that is neither `true` nor `false`, which
 * yargs takes for `false`.
 */
export function checkSwitches(
  words: readonly string[],
  rules: WordRules,
  values: Readonly<Record<string, unknown>>,
): void {
  for (const { option, value } of optionsOf(words, rules)) {
    if (typeof values[option] !== 'boolean' || value === undefined) continue;
    if (value === 'true' || value === 'false') continue;
    throw usageError(`--${option}=${value}: write --${option} alone, or true or false as its value`);
  }
}

/** An option that the environment gives, as a word. */
export interface EnvironmentWord {
  readonly variable: string;
  readonly word: string;
}

/** The words for options that `words` do not have. An empty variable is none. */
export function environmentWords(
  words: readonly string[],
  rules: WordRules,
  variables: Environment,
  { prefix, options }: EnvironmentOptions,
): readonly EnvironmentWord[] {
  const given = new Set([...optionsOf(words, rules)].map(({ option }) => option));
  return options.flatMap((option) => {
    const variable = `${prefix}_${option.replaceAll('-', '_').toUpperCase()}`;
    const value = variables[variable];
    if (value === undefined || value === '' || given.has(option)) return [];
    return [{ variable, word: `--${option}=${value}` }];
  });
}

interface OptionWord {
  /** Without dashes, in kebab case; of `--no-x`, where that is the opposite of `--x`, `x`. */
  readonly option: string;
  /** Index of the word. */
  readonly at: number;
  /** After `=`. */
  readonly value: string | undefined;
}

/** The options among the words, up to `--`. */
function* optionsOf(words: readonly string[], rules: WordRules): Generator<OptionWord> {
  for (const [at, word] of words.entries()) {
    if (word === '--') return;
    const match = /^--([^=]+)(?:=([\s\S]*))?$/.exec(word);
    if (match?.[1] === undefined) continue;
    const kebab = match[1].replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
    const option = rules.hasOpposites && match[2] === undefined ? kebab.replace(/^no-/, '') : kebab;
    yield { option, at, value: match[2] };
  }
}
