/** Manual pages of programs, of what their help says. */

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
 * A page of one program and its commands.
 * @param {ReturnType<typeof import('./help.mjs').helpOf>} program
 * @param {{ readonly section: number, readonly version: string, readonly date: string, readonly summary: string, readonly seeAlso: readonly string[], readonly documents: string }} page
 */
export function manualPage(
  { name, help, commands },
  { section, version, date, summary, seeAlso, documents },
) {
  const common = new Set(commands.size === 0 ? [] : help.options.map((option) => option.name));
  const lines = [
    `.TH ${name.toUpperCase()} ${section} ${date} "Rulecast ${version}"`,
    '.SH NAME',
    `${escaped(name)} \\- ${escaped(summary)}`,
    '.SH SYNOPSIS',
    ...asTheyStand(help.usage),
    '.SH DESCRIPTION',
    ...paragraphs(help.about),
    ...optionLines('.SH OPTIONS', help.options),
  ];
  if (commands.size > 0) lines.push('.SH COMMANDS');
  for (const [word, command] of commands) {
    lines.push(`.SS ${escaped(word)}`, ...asTheyStand(command.usage), ...paragraphs(command.about));
    lines.push(
      ...optionLines(
        undefined,
        command.options.filter((option) => !common.has(option.name)),
      ),
    );
    if (command.examples.length > 0) lines.push('.P', 'Examples:', '.P', ...asTheyStand(command.examples));
  }
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
  return texts.flatMap((text) => ['.P', folded(text)]);
}

/** What stands last in a help, under its own title. @param {string} paragraph */
function afterLines(paragraph) {
  const [title = '', ...lines] = paragraph.split('\n');
  if (title.endsWith(':') && lines.length > 0)
    return [`.SH ${title.slice(0, -1).toUpperCase()}`, ...asTheyStand(lines)];
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
