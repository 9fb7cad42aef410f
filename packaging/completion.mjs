/** Completions of programs for bash, zsh and fish, of what their help says. */

/** @typedef {ReturnType<typeof import('./help.mjs').helpOf>} Program */

/** @param {Program} program */
export function bashCompletion({ name, help, commands }) {
  const cases = [...commands].map(([word, command]) => {
    const seconds = secondWords(command);
    const only = seconds.length === 0 ? '' : " only='yes'";
    return `    '${word}') words='${[...seconds, optionWords(command)].join(' ')}'${only} ;;`;
  });
  const pairs = [...commands.keys()].filter((word) => word.includes(' ')).map((word) => `'${word}'`);
  return `# ${name}(1) in bash
_${identifier(name)}() {
  local word="\${COMP_WORDS[COMP_CWORD]}" before="\${COMP_WORDS[COMP_CWORD - 1]}" command='' only='' i words
  for ((i = 1; i < COMP_CWORD; i++)); do
    [[ \${COMP_WORDS[i]} == -* ]] || { command="\${COMP_WORDS[i]}"; break; }
  done
${
  pairs.length === 0
    ? ''
    : `  if ((i + 1 < COMP_CWORD)); then
    case "$command \${COMP_WORDS[i + 1]}" in
    ${pairs.join(' | ')}) command+=" \${COMP_WORDS[i + 1]}" ;;
    esac
  fi
`
}  case "$command:$before" in
${choiceCases(help, commands)}
  esac
  if [[ -n $words ]]; then
    mapfile -t COMPREPLY < <(compgen -W "$words" -- "$word")
    return
  fi
  case "$command" in
    '') words='${[...firstWords(commands), ...help.options.map(({ name: option }) => `--${option}`)].join(' ')}' ;;
${cases.join('\n')}
  esac
  if [[ $word == -* || -z $command || -n $only ]]; then
    mapfile -t COMPREPLY < <(compgen -W "$words" -- "$word")
  else
    mapfile -t COMPREPLY < <(compgen -f -- "$word")
    compopt -o filenames
  fi
}
complete -F _${identifier(name)} ${name}
`;
}

/** @param {import('./help.mjs').Help} help @param {ReadonlyMap<string, import('./help.mjs').Help>} commands */
function choiceCases(help, commands) {
  const all = /** @type {const} */ ([['', help], ...commands]);
  const lines = all.flatMap(([word, { options }]) =>
    options
      .filter(({ choices }) => choices.length > 0)
      .map(({ name, choices }) => `    '${word}:--${name}') words='${choices.join(' ')}' ;;`),
  );
  return lines.length === 0 ? '    *) ;;' : lines.join('\n');
}

/** @param {Program} program */
export function zshCompletion({ name, help, commands }) {
  const described = help.commands.map((word) => `    '${word.name}:${quoted(word.text)}'`);
  const cases = [...commands].map(([word, command]) => {
    const seconds = secondWords(command);
    const others = seconds.length === 0 ? "'*:file:_files'" : `'1:command:(${seconds.join(' ')})'`;
    return `    '${word}') _arguments ${command.options.map(zshOption).join(' \\\n      ')} ${others} ;;`;
  });
  const pairs = [...commands.keys()].filter((word) => word.includes(' ')).map((word) => `'${word}'`);
  const none = `_arguments ${help.options.map(zshOption).join(' \\\n    ')}`;
  if (commands.size === 0) return `#compdef ${name}\n${none}\n`;
  return `#compdef ${name}
local -a commands
if ((CURRENT == 2)) && [[ $words[2] != -* ]]; then
  commands=(
${described.join('\n')}
  )
  _describe command commands
else
  local command=$words[2]
  shift words
  ((CURRENT--))
${
  pairs.length === 0
    ? ''
    : `  if ((CURRENT > 2)); then
    case "$command $words[2]" in
    (${pairs.join(' | ')}) command+=" $words[2]"; shift words; ((CURRENT--)) ;;
    esac
  fi
`
}  case $command in
${cases.join('\n')}
    *) ${none} ;;
  esac
fi
`;
}

/** @param {import('./help.mjs').Option} option */
function zshOption({ name, text, takesValue, choices }) {
  const value = choices.length > 0 ? `:value:(${choices.join(' ')})` : takesValue ? ':value:_files' : '';
  return `'--${name}[${quoted(text).replaceAll('[', '\\[').replaceAll(']', '\\]').replaceAll(':', '\\:')}]${value}'`;
}

/** @param {Program} program */
export function fishCompletion({ name, help, commands }) {
  const isSeen = (/** @type {readonly string[]} */ words) => `__fish_seen_subcommand_from ${words.join(' ')}`;
  const isIn = (/** @type {string} */ word, /** @type {readonly string[]} */ seconds) => {
    const seen = word.split(' ').map((each) => isSeen([each]));
    return [...seen, ...(seconds.length === 0 ? [] : [`not ${isSeen(seconds)}`])].join('; and ');
  };
  const lines = help.commands.map(
    ({ name: word, text }) =>
      `complete -c ${name} -n 'not ${isSeen(firstWords(commands))}' -f -a ${word} -d '${fishQuoted(text)}'`,
  );
  for (const [word, command] of commands) {
    const seconds = secondWords(command);
    for (const [at, { text }] of command.commands.entries())
      lines.push(
        `complete -c ${name} -n '${isIn(word, seconds)}' -f -a ${seconds[at]} -d '${fishQuoted(text)}'`,
      );
  }
  for (const [word, command] of /** @type {const} */ ([['', help], ...commands])) {
    const condition = word === '' ? '' : ` -n '${isIn(word, secondWords(command))}'`;
    const { options } = command;
    for (const { name: option, short, text, takesValue, choices } of options) {
      const value = choices.length > 0 ? ` -x -a '${choices.join(' ')}'` : takesValue ? ' -r' : '';
      const letter = short === undefined ? '' : ` -s ${short}`;
      lines.push(`complete -c ${name}${condition}${letter} -l ${option}${value} -d '${fishQuoted(text)}'`);
    }
  }
  return `${lines.join('\n')}\n`;
}

/** @param {import('./help.mjs').Help} help */
function optionWords({ options }) {
  return options.map(({ name }) => `--${name}`).join(' ');
}

/** @param {string} name */
function identifier(name) {
  return name.replaceAll('-', '_');
}

/** @param {ReadonlyMap<string, import('./help.mjs').Help>} commands */
function firstWords(commands) {
  return [...commands.keys()].filter((word) => !word.includes(' '));
}

/** `show` of `lists show`. @param {import('./help.mjs').Help} help */
function secondWords({ commands }) {
  return commands.map(({ name }) => name.split(' ')[1] ?? '');
}

/** Within single quotes of a shell. @param {string} text */
function quoted(text) {
  return text.replaceAll("'", "'\\''");
}

/** @param {string} text */
function fishQuoted(text) {
  return text.replaceAll('\\', '\\\\').replaceAll("'", "\\'");
}
