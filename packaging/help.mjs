/**
 * What a program says of itself: its --help, read back, so that manual pages and completions say what the program
 * does, and say it once.
 *
 *   PROGRAM [COMMAND…] --help ─readHelp─▶ { usage, about, commands, positionals, options, examples, after }
 */

import { execFileSync } from 'node:child_process';

/**
 * @typedef {{ readonly name: string, readonly text: string }} Word a command or a positional
 * @typedef {{
 *   readonly name: string, readonly short: string | undefined, readonly text: string,
 *   readonly takesValue: boolean, readonly choices: readonly string[], readonly standard: string | undefined,
 * }} Option
 * @typedef {{
 *   readonly usage: readonly string[], readonly about: readonly string[],
 *   readonly commands: readonly Word[], readonly positionals: readonly Word[], readonly options: readonly Option[],
 *   readonly examples: readonly string[], readonly after: readonly string[],
 * }} Help `about` and `after` are paragraphs; `examples` are lines as they stand.
 */

/**
 * The help of a program, and that of each of its commands by name, which may be of two words.
 * @param {string} file @param {string} name
 * @returns {{ readonly name: string, readonly help: Help, readonly commands: ReadonlyMap<string, Help> }}
 */
export function helpOf(file, name) {
  // Where things lie by default is asked as root, whom services and packages are for.
  const [program = process.execPath, ...before] = [
    ...(process.getuid?.() === 0 ? [] : AS_ROOT),
    process.execPath,
    file,
  ];
  const ask = (/** @type {readonly string[]} */ words) =>
    execFileSync(program, [...before, ...words, '--help'], {
      encoding: 'utf8',
      env: { PATH: process.env['PATH'], HOME: '/root' },
    });
  const short = readHelp(ask([]), name);
  const help = short.options.some(({ name: option }) => option === 'all')
    ? readHelp(ask(['--all']), name)
    : short;
  /** @type {(all: Help) => readonly (readonly [string, Help])[]} */
  const commandsOf = (all) =>
    all.commands.flatMap(({ name: command }) => {
      const own = readHelp(ask(command.split(' ')), name);
      return [[command, own], ...commandsOf(own)];
    });
  return { name, help, commands: new Map(commandsOf(help)) };
}

const AS_ROOT = ['unshare', '--map-root-user'];
const TITLES = ['Positionals', 'Options', 'Examples'];

/**
 * Throws Error where the text has not the form of a help.
 * @param {string} text @param {string} name of the program
 * @returns {Help}
 */
export function readHelp(text, name) {
  const paragraphs = text.trimEnd().split(/\n\n+/);
  const isOfCommands = (/** @type {string} */ paragraph) =>
    !paragraph.startsWith('Examples:') && paragraph.includes(`:\n  ${name} `);
  const titled = (/** @type {string} */ paragraph) =>
    isOfCommands(paragraph) ? 'Commands' : TITLES.find((title) => paragraph.startsWith(`${title}:\n`));
  const section = (/** @type {string} */ title) => {
    const found = paragraphs.filter((paragraph) => titled(paragraph) === title);
    return found.flatMap((paragraph) => paragraph.split('\n').slice(1));
  };
  const options = entriesOf(section('Options'), /^ {2,6}(?:-\w, )?--/).map(readOption);
  const [usage = '', ...rest] = paragraphs;
  if (!usage.startsWith(name) || options.length === 0)
    throw new Error(`${name} --help has no usage or no options`);
  const first = rest.findIndex((paragraph) => titled(paragraph) !== undefined);
  const last = rest.findLastIndex((paragraph) => titled(paragraph) !== undefined);
  return {
    usage: usage.split('\n'),
    about: rest.slice(0, first),
    commands: entriesOf(section('Commands'), new RegExp(`^ {2}${name} `)).map((entry) => {
      const word = readWord(entry);
      return { ...word, name: word.name.slice(name.length + 1) };
    }),
    positionals: entriesOf(section('Positionals'), /^ {2}\S/).map(readWord),
    options,
    examples: section('Examples'),
    after: rest.slice(last + 1),
  };
}

/** Lines as entries, each on one line: what does not begin one goes on with the last. @param {readonly string[]} lines @param {RegExp} begin */
function entriesOf(lines, begin) {
  /** @type {string[]} */
  const entries = [];
  for (const line of lines) {
    if (begin.test(line)) entries.push(line.trim());
    else entries.push(`${entries.pop() ?? ''} ${line.trim()}`);
  }
  return entries;
}

const TAG = /\s*\[(boolean|string|number|array|required|(?:choices|default): (?:\[[^\]]*\]|[^\]])*)\]/g;

/** @param {string} entry @returns {Word} */
function readWord(entry) {
  const [, name = '', text = ''] = /^(.+?)(?: {2,}|$)(.*)$/.exec(entry) ?? [];
  return { name, text: text.replace(TAG, '').trim() };
}

/** @param {string} entry @returns {Option} */
function readOption(entry) {
  const [, short, name = '', text = ''] = /^(?:-(\w), )?--([\w-]+)\s*(.*)$/.exec(entry) ?? [];
  const tags = [...text.matchAll(TAG)].map(([, tag = '']) => tag);
  const tagged = (/** @type {string} */ word) =>
    tags.find((tag) => tag.startsWith(`${word}: `))?.slice(word.length + 2);
  return {
    name,
    short,
    text: text.replace(TAG, '').trim(),
    takesValue: !tags.includes('boolean'),
    choices: (tagged('choices') ?? '')
      .split(', ')
      .filter(Boolean)
      .map((choice) => choice.replaceAll('"', '')),
    standard: tagged('default')?.replaceAll('"', ''),
  };
}
