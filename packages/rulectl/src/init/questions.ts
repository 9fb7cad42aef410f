/**
 * The questions of `rulectl init`. An option answers one, else the person at the terminal, else the default.
 */

import {
  formatAddress,
  isPartName,
  isWildcard,
  parseAddress,
  parseHostName,
  suggestion,
} from '@rulecast/rules';
import { CliError, usageError } from '../terminal/exit.ts';
import type { Terminal } from '../terminal/terminal.ts';
import { WHERE } from './places.ts';

export interface Question {
  readonly text: string;
  /** For --help. */
  readonly describe: string;
  /** An answer: words with spaces between them. */
  readonly example: string;
  /** The form of an answer, and its reader, which returns the canonical form; undefined for a wrong one. */
  readonly form?: string;
  readonly read?: (word: string) => string | undefined;
  /** In place of `form`: all possible words. */
  readonly choices?: readonly string[];
  /** The answer with --yes, or of an empty line. */
  readonly usual?: string | undefined;
}

/** By option. */
export const QUESTIONS = {
  where: {
    text: 'Where is the firewall? qubes: it is a qube; host: it is this host; hosts: it is another host',
    describe: 'in qubes, on this host, or on another host',
    example: 'host',
    choices: WHERE,
  },
  firewall: {
    text: 'What are the firewalls called?',
    describe: 'the name of a firewall; may be repeated',
    example: 'sys-firewall',
    form: 'a name as in sys-firewall: letters, digits, dots, - and _',
    read: (word) => (isPartName(word) ? word : undefined),
  },
  preset: {
    text: 'One of these, or several',
    describe: 'what to do',
    example: 'ads country',
  },
  country: {
    text: 'Which country? Its code of two letters',
    describe: 'for the preset country: a code of two letters; may be repeated',
    example: 'ru',
    form: 'the code of two letters, as in ru for Russia',
    read: (word) => (/^[A-Za-z]{2}$/.test(word) ? word.toLowerCase() : undefined),
  },
  name: {
    text: 'Which names? With a dot before it, all below it as well',
    describe: 'for the preset only-names: a name, or .name for all below it as well; may be repeated',
    example: 'deb.debian.org .qubes-os.org',
    form: 'a name as in deb.debian.org, or .qubes-os.org for all below it as well',
    read: (word) =>
      isWildcard(word) || parseHostName(word).kind === 'name' ? word.toLowerCase() : undefined,
  },
  qube: {
    text: 'For which qube, or host? Its address, or its IPv4 and IPv6 addresses',
    describe: 'for presets about one qube: ADDRESS, or ADDRESS,ADDRESS with IPv6; may be repeated',
    example: '10.137.0.5,fd09::a89:5',
    form: 'its address as in 10.137.0.5, or 10.137.0.5,fd09::a89:5 (qvm-ls --network in dom0 shows it)',
    read: readQube,
  },
  interface: {
    text: 'Which interface of the firewall leads to the hosts that it judges?',
    describe: 'outside Qubes: an interface that leads to the hosts that are judged; may be repeated',
    example: 'eth1',
    form: 'the name of an interface, as in eth1',
    read: (word) => (/^[A-Za-z0-9_][A-Za-z0-9_.@-]{0,14}$/.test(word) ? word : undefined), // no shell or udev reads more into it
  },
} as const satisfies Readonly<Record<string, Question>>;
export type Option = keyof typeof QUESTIONS;

/** Asks for the words of an answer, at least one. Throws CliError `usage` without an answer. */
export type Ask = (
  option: Option,
  given?: readonly string[] | undefined,
  details?: Partial<Question>,
) => Promise<readonly string[]>;

export function askerOf(terminal: Pick<Terminal, 'ask' | 'complain'>, takesUsual: boolean): Ask {
  return async (option, given = [], details = {}) => {
    const question: Question = { ...QUESTIONS[option], ...details };
    const { usual, text, example } = question;
    const read = (words: readonly string[]): readonly string[] => [
      ...new Set(words.map((word) => readAs(option, question, word))),
    ];
    const readLine = (line: string) => read(line.split(/\s+/).filter((word) => word !== ''));
    if (given.length > 0) return read(given);
    if (takesUsual && usual !== undefined) return readLine(usual);
    const hint = usual === undefined ? `, as in ${example}: ` : ` [${usual}]: `;
    while (!takesUsual) {
      const answer = await terminal.ask(`${text}${hint}`);
      if (answer === undefined) break;
      try {
        const words = readLine(answer.trim() === '' ? (usual ?? '') : answer);
        if (words.length > 0) return words;
        terminal.complain(`Write something like ${example}`);
      } catch (error) {
        if (!(error instanceof CliError)) throw error;
        terminal.complain(error.message);
      }
    }
    const more = takesUsual || usual === undefined ? '' : `, or --yes for ${usual}`;
    throw usageError(`no answer, and nothing was written: add --${option} ${example}${more}: ${text}`);
  };
}

function readAs(option: Option, { form, read, choices }: Question, word: string): string {
  const found = choices === undefined ? read?.(word) : choices.find((one) => one === word);
  if (found !== undefined) return found;
  const what = choices && `one of ${choices.join(', ')}${suggestion(word, choices)}`;
  throw usageError(`--${option} ${JSON.stringify(word)}: write ${what ?? form}`);
}

function readQube(text: string): string | undefined {
  const addresses = text.split(',').map(parseAddress);
  const shown = addresses.flatMap((address) => (address === undefined ? [] : [formatAddress(address)]));
  return shown.length === addresses.length ? shown.join(',') : undefined;
}
