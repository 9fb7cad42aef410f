/**
 * `--permit CODE,…`, which overrides refusals of the publisher's guards: each code overrides its refusal and
 * no other.
 */

import {
  NO_PERMITS,
  oldPermits,
  PERMITS,
  type Permits,
  type Permitting,
  permitCodes,
} from '@rulecast/publisher/permits';
import { suggestion } from '@rulecast/rules';
import type { Argv } from 'yargs';
import { usageError } from '../terminal/exit.ts';

/** The refusal that a person is asked about; `--yes` permits it. */
export const DROP_ALL = 'drop-all';

export interface PermitArgs {
  readonly permit?: readonly string[] | undefined;
}

/** Adds the option, and its codes to the end of the help. */
export function withPermitOption<A>(yargs: Argv<A>, by: Permitting): Argv<A & PermitArgs> {
  const rows = permitCodes(by).map(
    (code) => `  ${code.padEnd(17)} ${PERMITS[code].severity.padEnd(7)} ${PERMITS[code].takes}`,
  );
  return yargs
    .option('permit', {
      type: 'string',
      array: true,
      requiresArg: true,
      describe:
        'release although guards refuse it with these codes, as in --permit shrunk,grown; may be repeated',
    })
    .epilogue(
      `Codes of --permit, what a mistake does there, and what each code takes:\n${rows.join('\n')}\n`,
    );
}

/** The codes of the option. Throws CliError `usage` for a word that is no code. */
export function permitsOf({ permit }: PermitArgs, by: Permitting): Permits {
  if (permit === undefined) return NO_PERMITS;
  const known = permitCodes(by);
  const codes = permit.flatMap((text) => text.split(','));
  for (const code of codes) {
    if (known.some((one) => one === code)) continue;
    const what = code === '' ? 'an empty code' : `${code} is no code of a refusal`;
    throw usageError(`--permit: ${what}${suggestion(code, known)}\nThe codes are ${known.join(', ')}.`);
  }
  return new Set(codes);
}

/** The same command line with these codes permitted as well. */
export function permittingLine(
  [command = '', ...words]: readonly string[],
  codes: readonly string[],
): string {
  const end = words.includes('--') ? words.indexOf('--') : words.length;
  const kept: string[] = [];
  const permitted: string[] = [];
  for (let at = 0; at < words.length; at++) {
    const [, name, value] = at < end ? (/^(--permit)(?:=(.*))?$/.exec(words[at] ?? '') ?? []) : [];
    if (name === undefined) kept.push(words[at] ?? '');
    else permitted.push(value ?? words[++at] ?? '');
  }
  const all = new Set([...permitted.flatMap((text) => text.split(',')), ...codes]);
  return ['rulectl', command, '--permit', [...all].join(','), ...kept.map(quoted)].join(' ');
}

/** A word, quoted for a shell if needed. */
function quoted(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", String.raw`'\''`)}'`;
}

/**
 * Until 0.4: the words with `--permit` and the same codes in place of each `--allow-…` and `--force` of 0.2,
 * and a warning for each that says what to write.
 */
export function withoutOldPermits(words: readonly string[]): {
  readonly words: readonly string[];
  readonly warnings: readonly string[];
} {
  const by = words[0] === 'lists refresh' ? 'refresh' : 'push';
  if (!['push', 'rollback', 'lists refresh'].includes(words[0] ?? '')) return { words, warnings: [] };
  const options = new Map([...oldPermits(by)].map(([field, codes]) => [optionOf(field), codes.join(',')]));
  const end = words.includes('--') ? words.indexOf('--') : words.length;
  const warnings: string[] = [];
  const all = words.map((word, at) => {
    const codes = at < end ? options.get(word.replace(/=true$/, '')) : undefined;
    if (codes === undefined || codes === '') return word;
    warnings.push(`${word} goes with 0.4: write --permit ${codes}`);
    return `--permit=${codes}`;
  });
  return { words: all, warnings };
}

/** `--allow-shrink` of `allowShrink`. */
function optionOf(field: string): string {
  return `--${field.replace('+', '').replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
}
