/** Manual pages of programs and their commands, generated from --help. */

/** Text as troff takes it. @param {string} text */
function escaped(text) {
  return text
    .replaceAll('\\', '\\e')
    .replaceAll('-', '\\-')
    .replace(/^(['.])/gm, '\\&$1');
}

/** Text of several lines as one, which troff folds. @param {string} text */
function folded(text) {
  return escaped(text.replace(/\s*\n\s*/g, ' '));
}

/** @param {readonly string[]} lines */
function asTheyStand(lines) {
  return ['.nf', ...lines.map((line) => escaped(line.replace(/^ {2}/, ''))), '.fi'];
}

/**
 * @typedef {{
 *   readonly section: number, readonly version: string, readonly date: string, readonly summary: string,
 *   readonly seeAlso: readonly string[], readonly documents: string,
 * }} Page
 */

/**
 * The page of a program, and one of each of its commands, by name.
 * @param {ReturnType<typeof import('./help.mjs').helpOf>} program @param {Page} page
 * @returns {ReadonlyMap<string, string>}
 */
export function manualPages({ name, help, commands }, page) {
  const nameOf = (/** @type {string} */ command) => `${name}-${command.replaceAll(' ', '-')}`;
  const summaries = new Map(
    [help, ...commands.values()].flatMap((all) =>
      all.commands.map(({ name: command, text }) => [command, text]),
    ),
  );
  const common = new Set(help.options.map((option) => option.name));
  const said = new Set(help.after);
  const own = [...commands].map(([command, all]) => {
    const options = all.options.filter((option) => !common.has(option.name));
    const after = all.after.filter((paragraph) => !said.has(paragraph));
    const whole = `Options that every command has, and exit codes: see ${name}(${page.section}).`;
    const about = [...all.about, whole];
    const summary = summaries.get(command) ?? '';
    const seeAlso = [`${name}(${page.section})`];
    return manualPage(
      nameOf(command),
      { ...all, options, after, about },
      { ...page, summary, seeAlso },
      nameOf,
    );
  });
  const names = [name, ...[...commands.keys()].map(nameOf)];
  return new Map([manualPage(name, help, page, nameOf), ...own].map((text, at) => [names[at] ?? '', text]));
}

/**
 * @param {string} name @param {import('./help.mjs').Help} help @param {Page} page
 * @param {(command: string) => string} nameOf the page of a command
 */
function manualPage(name, help, { section, version, date, summary, seeAlso, documents }, nameOf) {
  const lines = [
    `.TH ${escaped(name.toUpperCase())} ${section} ${date} "Rulecast ${version}"`,
    '.SH NAME',
    `${escaped(name)} \\- ${folded(summary)}`,
    '.SH SYNOPSIS',
    ...asTheyStand(help.usage),
    '.SH DESCRIPTION',
    ...paragraphs(help.about),
    ...optionLines('.SH OPTIONS', help.options),
  ];
  if (help.commands.length > 0) lines.push('.SH COMMANDS');
  for (const { name: command, text } of help.commands)
    lines.push('.TP', `.BR ${escaped(nameOf(command))} (${section})`, folded(text));
  if (help.examples.length > 0) lines.push('.SH EXAMPLES', ...asTheyStand(help.examples));
  for (const paragraph of help.after) lines.push(...afterLines(paragraph));
  lines.push(
    '.SH FILES',
    '.TP',
    escaped(documents),
    'The documents that messages name, such as docs/how-to/keys.md.',
    '.SH SEE ALSO',
    seeAlso.map((other) => `.BR ${escaped(other).replace('(', ' (')}`).join(' ,\n'),
    '',
  );
  return lines.join('\n');
}

/** @param {readonly string[]} texts */
function paragraphs(texts) {
  const isTable = (/** @type {string} */ text) => text.split('\n').every((line) => /\S {2,}\S/.test(line));
  return texts.flatMap((text) => ['.P', ...(isTable(text) ? asTheyStand(text.split('\n')) : [folded(text)])]);
}

/** What stands last in a help, under its own title. @param {string} paragraph */
function afterLines(paragraph) {
  const [title = '', ...lines] = paragraph.split('\n');
  if (title.endsWith(':') && lines.length > 0) {
    const [heading = '', more] = title.slice(0, -1).split(', ', 2);
    const about = more === undefined ? [] : [folded(title)];
    return [`.SH ${escaped(heading.toUpperCase())}`, ...about, ...asTheyStand(lines)];
  }
  const [, heading, text] = /^([A-Z][a-z]+(?: [a-z]+)?): ([\s\S]*)$/.exec(paragraph) ?? [];
  return heading === undefined || text === undefined
    ? ['.P', folded(paragraph)]
    : [`.SH ${heading.toUpperCase()}`, folded(text)];
}

/** @param {string | undefined} heading @param {readonly import('./help.mjs').Option[]} options */
function optionLines(heading, options) {
  const lines = options.flatMap((option) => {
    const names = [
      ...(option.short === undefined ? [] : [`\\-${option.short}`]),
      `\\-\\-${escaped(option.name)}`,
    ];
    const value = option.takesValue ? ' \\fIVALUE\\fR' : '';
    const choices = option.choices.length > 0 ? ` One of ${option.choices.join(', ')}.` : '';
    const isSaid = option.takesValue && option.standard !== undefined && option.standard !== '[]';
    const standard = `${choices}${isSaid ? ` Default: ${option.standard}.` : ''}`;
    const text = option.text.endsWith('.') ? option.text : `${option.text}.`;
    return [
      '.TP',
      `${names.map((written) => `\\fB${written}\\fR`).join(', ')}${value}`,
      folded(`${text}${standard}`),
    ];
  });
  return heading === undefined || lines.length === 0 ? lines : [heading, ...lines];
}
