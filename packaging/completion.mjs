/** Completions of programs for bash, zsh and fish, of what their help says. */

/** @typedef {ReturnType<typeof import('./help.mjs').helpOf>} Program */

/** @param {Program} program */
export function bashCompletion({ name, help, commands }) {
  const cases = [...commands].map(([word, command]) => `    ${word}) words='${optionWords(command)}' ;;`);
  return `# ${name}(1) in bash
_${identifier(name)}() {
  local word="\${COMP_WORDS[COMP_CWORD]}" before="\${COMP_WORDS[COMP_CWORD - 1]}" command='' i words
  for ((i = 1; i < COMP_CWORD; i++)); do
    [[ \${COMP_WORDS[i]} == -* ]] || { command="\${COMP_WORDS[i]}"; break; }
  done
  case "$command:$before" in
${choiceCases(help, commands)}
  esac
  if [[ -n $words ]]; then
    mapfile -t COMPREPLY < <(compgen -W "$words" -- "$word")
    return
  fi
  case "$command" in
    '') words='${[...commands.keys(), ...help.options.map(({ name: option }) => `--${option}`)].join(' ')}' ;;
${cases.join('\n')}
  esac
  if [[ $word == -* || -z $command ]]; then
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
      .map(({ name, choices }) => `    ${word}:--${name}) words='${choices.join(' ')}' ;;`),
  );
  return lines.length === 0 ? '    *) ;;' : lines.join('\n');
}

/** @param {Program} program */
export function zshCompletion({ name, help, commands }) {
  const described = [...commands.keys()].map((word) => {
    const text = help.commands.find(({ name: command }) => command.split(' ')[0] === word)?.text ?? '';
    return `    '${word}:${quoted(text)}'`;
  });
  const cases = [...commands].map(
    ([word, command]) =>
      `    ${word}) _arguments ${command.options.map(zshOption).join(' \\\n      ')} '*:file:_files' ;;`,
  );
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
  case $command in
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
  const noCommand = `not __fish_seen_subcommand_from ${[...commands.keys()].join(' ')}`;
  const lines = [...commands.keys()].map((word) => {
    const text = help.commands.find(({ name: command }) => command.split(' ')[0] === word)?.text ?? '';
    return `complete -c ${name} -n '${noCommand}' -f -a ${word} -d '${fishQuoted(text)}'`;
  });
  const condition = (/** @type {string} */ word) =>
    word === '' ? '' : ` -n '__fish_seen_subcommand_from ${word}'`;
  for (const [word, { options }] of /** @type {const} */ ([['', help], ...commands])) {
    for (const { name: option, short, text, takesValue, choices } of options) {
      const value = choices.length > 0 ? ` -x -a '${choices.join(' ')}'` : takesValue ? ' -r' : '';
      const letter = short === undefined ? '' : ` -s ${short}`;
      lines.push(
        `complete -c ${name}${condition(word)}${letter} -l ${option}${value} -d '${fishQuoted(text)}'`,
      );
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

/** Within single quotes of a shell. @param {string} text */
function quoted(text) {
  return text.replaceAll("'", "'\\''");
}

/** @param {string} text */
function fishQuoted(text) {
  return text.replaceAll('\\', '\\\\').replaceAll("'", "\\'");
}
