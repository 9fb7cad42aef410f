/**
 * Reference pages of programs, generated from --help: reference.test.ts compares them, and `npm run
 * reference` writes them.
 *
 *   --help ─packaging/help.mjs─▶ usage, options, examples ─▶ a chapter of Markdown
 */

import { type Help, type Option, readHelp } from '../../packaging/help.mjs';

/** What a program prints for some words and `--help`. */
type AskHelp = (words: readonly string[]) => Promise<string>;

const MADE = '<!-- Made of what --help says, by npm run reference. Change the program, not this page. -->';
/** Around the first column of examples. */
const GAP_COLUMNS = 4;
const RULECTL_INTRO = `# rulectl

Every command of \`rulectl\`, with its options and examples, as \`rulectl COMMAND --help\` prints them.
Each command takes the [options below](#options-of-every-command), and ends with one of the
[exit codes](exit-codes.md).
`;
const PROGRAMS_INTRO = `# The programs

Every option of the daemons, as their \`--help\` prints them. [rulectl](rulectl.md) has a page of its
own. On a firewall, \`rulecast-doctor\` and \`rulecast-names\` do what [\`rulectl
doctor\`](rulectl.md#rulectl-doctor) and [\`rulectl names\`](rulectl.md#rulectl-names) do.
`;

export async function rulectlPage(ask: AskHelp): Promise<string> {
  const main = readHelp(await ask(['--help', '--all']), 'rulectl');
  const below = await Promise.all(
    main.commands.map(async ({ name }) => readHelp(await ask([name, '--help']), 'rulectl').commands),
  );
  const commands = main.commands.flatMap((command, at) => [command, ...(below[at] ?? [])]);
  const shown = new Set(main.after);
  const chapters: (readonly string[])[] = [];
  for (const { name } of commands) {
    const help = readHelp(await ask([...name.split(' '), '--help']), 'rulectl');
    chapters.push(chapterOf('rulectl', `rulectl ${name}`, withoutCommon(help, main.options, shown)));
    for (const text of help.after) shown.add(text);
  }
  const rows = commands.map(({ name, text }) => {
    return [`[\`${name}\`](#rulectl-${name.replaceAll(' ', '-')})`, cellText(text)];
  });
  return [
    RULECTL_INTRO,
    MADE,
    '',
    ...tableOf(['command', 'shows or does'], rows),
    '',
    '## Options of every command',
    '',
    ...optionTable(main.options),
    '',
    ...chapters.flat(),
  ].join('\n');
}

export async function programsPage(programs: ReadonlyMap<string, AskHelp>): Promise<string> {
  const chapters = await Promise.all(
    [...programs].map(async ([name, ask]) => chapterOf(name, name, readHelp(await ask(['--help']), name))),
  );
  return [PROGRAMS_INTRO, MADE, '', ...chapters.flat()].join('\n');
}

function chapterOf(program: string, title: string, help: Help): readonly string[] {
  const own = help.options.filter(({ name }) => name !== 'help' && name !== 'version');
  const arguments_ = help.positionals.map(({ name, text }) => [`\`${name}\``, cellText(text)]);
  const examples = examplesOf(help.examples, program).map(([line, text]) => [codeCell(line), cellText(text)]);
  return [
    `## ${title}`,
    '',
    ...help.usage.map((line) => `\`${line.trim()}\``),
    '',
    ...help.about.flatMap((text) => [...aboutText(text), '']),
    ...(arguments_.length > 0 ? [...tableOf(['argument', 'is'], arguments_), ''] : []),
    ...(own.length > 0 ? [...optionTable(own), ''] : []),
    ...(examples.length > 0 ? [...tableOf(['example', 'is for'], examples), ''] : []),
    ...help.after.flatMap((text) => [...afterText(text), '']),
  ];
}

/** Help without the options of every command, and without closing texts that the page has already. */
function withoutCommon(help: Help, options: readonly Option[], shown: ReadonlySet<string>): Help {
  const common = new Set(options.map(({ name }) => name));
  return {
    ...help,
    options: help.options.filter(({ name }) => !common.has(name)),
    after: help.after.filter((text) => !shown.has(text)),
  };
}

function optionTable(options: readonly Option[]): readonly string[] {
  const rows = options.map(({ name, short, text, takesValue, choices, standard }) => {
    const names = [...(short === undefined ? [] : [`-${short}`]), `--${name}`];
    const isPlain = standard === undefined || standard === '[]' || (standard === 'false' && !takesValue);
    const words = choices.length > 0 ? ` One of ${choices.map((word) => `\`${word}\``).join(', ')}` : '';
    return [
      names.map((word) => `\`${word}\``).join(', '),
      `${cellText(text)}${words === '' ? '' : `${text.endsWith('.') ? '' : '.'}${words}`}`,
      isPlain ? '' : codeCell(standard),
    ];
  });
  return tableOf(['option', 'does', 'without it'], rows);
}

/** A paragraph, or lines of two columns as they stand. */
function aboutText(text: string): readonly string[] {
  const isTable = text.split('\n').every((line) => /\S {2,}\S/.test(line));
  return isTable ? ['```text', text, '```'] : [proseText(text)];
}

/** What stands last in a help: exit codes, lines under a title as they stand, or a paragraph. */
function afterText(text: string): readonly string[] {
  if (/^Exit codes: /.test(text)) return ['Exit codes:', '', ...exitTable(text)];
  const [, title, lines] = /^([^:]+:)\n( {2}[\s\S]+)$/.exec(text) ?? [];
  return title === undefined || lines === undefined
    ? [proseText(text)]
    : [proseText(title), '', '```text', lines.replace(/^ {2}/gm, ''), '```'];
}

/** Of `Exit codes: 0 done, 64 usage.` */
function exitTable(text: string): readonly string[] {
  const codes = text.slice('Exit codes: '.length).replace(/\.$/, '');
  const rows = codes.split(/[,;]\s(?=\d+\s)/).map((one) => {
    const [, code = '', meaning = ''] = /^(\d+)\s+([\s\S]+)$/.exec(one) ?? [];
    return [code, cellText(meaning.replace(/\s+/g, ' '))];
  });
  return tableOf(['exit', 'when'], rows);
}

/**
 * Examples of two columns, each folded, as command and purpose. The second column begins where most lines
 * have text after two spaces. A line begins an example if it names the program, or if its first word would
 * have had room in the line before.
 */
function examplesOf(lines: readonly string[], program: string): readonly (readonly [string, string])[] {
  const counts = new Map<number, number>();
  for (const line of lines)
    for (const { index } of line.matchAll(/(?<=\S {2,})\S/g)) counts.set(index, (counts.get(index) ?? 0) + 1);
  const [[column = Number.POSITIVE_INFINITY] = []] = [...counts].sort(([, a], [, b]) => b - a);
  const found: [string, string][] = [];
  let room = 0;
  for (const line of lines) {
    const [left, right] = [line.slice(0, column).trim(), line.slice(column).trim()];
    const [word = ''] = left.split(' ');
    const last = found.at(-1);
    if (last === undefined || left.split(' ').includes(program) || (left !== '' && word.length < room))
      found.push([left, right]);
    else {
      last[0] = `${last[0]} ${left}`.trim();
      last[1] = `${last[1]} ${right}`.trim();
    }
    if (left !== '') room = column - GAP_COLUMNS - left.length;
  }
  return found;
}

function tableOf(titles: readonly string[], rows: readonly (readonly string[])[]): readonly string[] {
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`.replaceAll('  |', ' |');
  return [line(titles), line(titles.map(() => '---')), ...rows.map(line)];
}

/** Text with nothing that Markdown would take for its own. */
function proseText(text: string): string {
  return text.replace(/[*<\\`]/g, (character) => `\\${character}`);
}

function cellText(text: string): string {
  return proseText(text).replaceAll('|', '\\|');
}

function codeCell(text: string): string {
  return `\`${text.replaceAll('|', '\\|')}\``;
}
