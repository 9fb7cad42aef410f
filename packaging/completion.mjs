/**
 * Completions of programs for bash, zsh and fish: words and options from their help, values from the tables below,
 * and the names that a publisher has from `rulectl __complete`, when they are asked for.
 */

/** @typedef {ReturnType<typeof import('./help.mjs').helpOf>} Program */
/**
 * @typedef {'file' | 'version or file' | 'list' | '@list' | 'policy' | 'subscriber' | 'version' | 'word before'} Kind
 * of a value; `word before`: the kind that the word before it names, as in `get list NAME`
 */

/** Options by what their value is. Nothing is completed for the others. @type {Readonly<Record<string, Kind>>} */
const OPTION_VALUES = {
  list: 'list',
  'known-list': 'list',
  policy: 'policy',
  qube: 'policy',
  subscriber: 'subscriber',
  require: 'subscriber',
  'if-version': 'version',
  ...Object.fromEntries(
    [
      ...[
        'addresses',
        'ca',
        'config',
        'curve-client',
        'curve-control-peer',
        'curve-key',
        'curve-peer',
        'dir',
      ],
      ...['dns', 'draft', 'identity', 'names-folder', 'openings', 'output', 'packets', 'releases'],
      ...['report-token', 'root-key', 'rules', 'secret', 'signer', 'state', 'to', 'trust'],
      ...['upstream', 'upstream-ca'],
    ].map((name) => [name, 'file']),
  ),
};

/** Options of one command whose value is not what that of the others is. @type {Readonly<Record<string, Kind | undefined>>} */
const OWN_OPTION_VALUES = {
  'check --dns': undefined,
  'init --qube': undefined,
  'log --qube': undefined,
  'keys --names': 'file',
};

/**
 * What the words after a command are, by their place; the last may come again.
 * @type {Readonly<Record<string, readonly (Kind | readonly string[])[]>>}
 */
const WORDS = {
  allow: ['@list'],
  block: ['@list'],
  check: ['file'],
  cut: ['policy'],
  diff: ['version or file', 'file'],
  export: [['qubes'], 'policy', 'file'],
  forget: ['subscriber'],
  get: [['all', 'policy', 'list'], 'word before'],
  import: [['qubes'], 'file'],
  keys: [['new', 'init', 'show', 'rotate', 'renew', 'revoke', 'sign', 'install', 'fleet', 'token'], 'file'],
  'lists refresh': ['list'],
  'lists show': ['list'],
  'lists try': ['file'],
  push: ['file'],
  rollback: ['version'],
};

/** What a word after a command is. @param {string} command */
function wordsOf(command) {
  return WORDS[command] ?? [undefined];
}

/** What the value of an option is. @param {string} command @param {import('./help.mjs').Option} option */
function valueKind(command, { name, takesValue, choices }) {
  if (choices.length > 0) return choices;
  const own = `${command} --${name}`;
  return takesValue ? (own in OWN_OPTION_VALUES ? OWN_OPTION_VALUES[own] : OPTION_VALUES[name]) : undefined;
}

/** @param {Program} program */
export function bashCompletion({ name, help, commands }) {
  const ident = identifier(name);
  const pairs = [...commands.keys()].filter((word) => word.includes(' ')).map((word) => `'${word}'`);
  const all = /** @type {const} */ ([['', help], ...commands]);
  const values = all.flatMap(([command, { options }]) =>
    options
      .filter(({ takesValue, choices }) => takesValue || choices.length > 0)
      .map(
        (option) => `    '${command}:--${option.name}') ${bashValue(valueKind(command, option))} return ;;`,
      ),
  );
  const optionsOf = [...commands].map(([command, own]) => `    '${command}') words='${optionWords(own)}' ;;`);
  const places = [...commands].flatMap(([command, own]) => {
    const seconds = secondWords(own);
    const words = seconds.length > 0 ? [seconds] : wordsOf(command);
    return words.map((word, at) => {
      const place = at === words.length - 1 ? '*' : `${at}`;
      return `    '${command}':${place}) ${bashValue(word)} ;;`;
    });
  });
  return `# ${name}(1) in bash
# In single quotes: bash expands what follows -W, and would run a word such as $(date).
_${ident}_words() { local list="$1"; mapfile -t COMPREPLY < <(compgen -W '$list' -- "$word"); }
_${ident}_files() { mapfile -t COMPREPLY < <(compgen -f -- "$word"); compopt -o filenames 2> /dev/null; }
_${ident}_live() {
  local -a line
  read -ra line <<< "$COMP_LINE"
  _${ident}_words "$(${name} __complete "$1" "\${line[@]:1}" 2> /dev/null)"
}
_${ident}() {
  local word="\${COMP_WORDS[COMP_CWORD]}" before="\${COMP_WORDS[COMP_CWORD - 1]}" command='' i at=0 words
  if [[ $word == '=' ]]; then word=''; elif [[ $before == '=' ]]; then before="\${COMP_WORDS[COMP_CWORD - 2]}"; fi
  for ((i = 1; i < COMP_CWORD; i++)); do
    [[ \${COMP_WORDS[i]} == -* ]] || { command="\${COMP_WORDS[i]}"; break; }
  done
${
  pairs.length === 0
    ? ''
    : `  if ((i + 1 < COMP_CWORD)); then
    case "$command \${COMP_WORDS[i + 1]}" in
    ${pairs.join(' | ')}) command+=" \${COMP_WORDS[i + 1]}"; ((i++)) ;;
    esac
  fi
`
}  case "$command:$before" in
${values.join('\n')}
  esac
  case "$command" in
${optionsOf.join('\n')}
    *) words='${[...firstWords(commands), optionWords(help)].join(' ')}' ;;
  esac
  if [[ $word == -* || -z $command ]]; then _${ident}_words "$words"; return; fi
  for ((i++; i < COMP_CWORD; i++)); do
    case "$command:\${COMP_WORDS[i]}" in
    ${valuePatterns(all).join(' | ') || "''"}) ((i++)); [[ \${COMP_WORDS[i]} != '=' ]] || ((i++)) ;;
    *::) ((i++)) ;; # bash breaks words there
    *:-*) ;;
    *) ((at++)) ;;
    esac
  done
  case "$command:$at" in
${places.join('\n') || '    *) ;;'}
  esac
}
complete -F _${ident} ${name}
`;

  /** @param {Kind | readonly string[] | undefined} value */
  function bashValue(value) {
    if (value === undefined) return 'COMPREPLY=();';
    if (value === 'file') return `_${ident}_files;`;
    if (value === 'version or file') return `_${ident}_live version; [[ $COMPREPLY ]] || _${ident}_files;`;
    if (value === 'word before') return `_${ident}_live "$before";`;
    return typeof value === 'string' ? `_${ident}_live '${value}';` : `_${ident}_words '${value.join(' ')}';`;
  }
}

/** What stands before a value. @param {readonly (readonly [string, import('./help.mjs').Help])[]} all */
function valuePatterns(all) {
  return all.flatMap(([command, { options }]) =>
    options
      .filter(({ takesValue, choices }) => takesValue || choices.length > 0)
      .map(({ name }) => `'${command}:--${name}'`),
  );
}

/** @param {Program} program */
export function zshCompletion({ name, help, commands }) {
  const ident = identifier(name);
  const described = help.commands.map((word) => `    '${word.name}:${quoted(word.text)}'`);
  const cases = [...commands].map(([command, own]) => {
    const seconds = secondWords(own);
    const words = seconds.length > 0 ? [seconds] : wordsOf(command);
    const specs = words.map((word, at) => {
      const place = at === words.length - 1 && seconds.length === 0 ? '*' : `${at + 1}`;
      return `'${place}:${typeof word === 'string' ? word : 'word'}:${zshAction(word)}'`;
    });
    const options = own.options.map((option) => zshOption(command, option));
    return `    '${command}') _arguments ${[...options, ...specs].join(' \\\n      ')} ;;`;
  });
  const pairs = [...commands.keys()].filter((word) => word.includes(' ')).map((word) => `'${word}'`);
  const none = `_arguments ${help.options.map((option) => zshOption('', option)).join(' \\\n    ')}`;
  if (commands.size === 0) return `#compdef ${name}\n${none}\n`;
  return `#compdef ${name}
_${ident}_live() {
  local -a names
  names=(\${(f)"$(${name} __complete $1 $line_of_${ident} 2> /dev/null)"})
  ((\${#names})) && compadd -a names
}
local -a commands line_of_${ident}
line_of_${ident}=(\${(Q)words[2,-1]})
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

  /** @param {string} command @param {import('./help.mjs').Option} option */
  function zshOption(command, option) {
    const takesValue = option.takesValue || option.choices.length > 0;
    const value = takesValue ? `:value:${zshAction(valueKind(command, option))}` : '';
    const text = quoted(option.text).replace(/[[\]:]/g, '\\$&');
    return `'--${option.name}${takesValue ? '=' : ''}[${text}]${value}'`;
  }

  /** @param {Kind | readonly string[] | undefined} value */
  function zshAction(value) {
    if (value === undefined) return ' ';
    if (value === 'file') return '_files';
    if (value === 'version or file') return `{_${ident}_live version || _files}`;
    if (value === 'word before') return ` _${ident}_live $words[CURRENT-1]`;
    return typeof value === 'string' ? ` _${ident}_live ${value}` : `(${value.join(' ')})`;
  }
}

/** @param {Program} program */
export function fishCompletion({ name, help, commands }) {
  const ident = identifier(name);
  const isSeen = (/** @type {readonly string[]} */ words) => `__fish_seen_subcommand_from ${words.join(' ')}`;
  const isIn = (/** @type {string} */ word, /** @type {readonly string[]} */ seconds) => {
    const seen = word.split(' ').map((each) => isSeen([each]));
    return [...seen, ...(seconds.length === 0 ? [] : [`not ${isSeen(seconds)}`])].join('; and ');
  };
  const lines = [`complete -c ${name} -f`];
  if (commands.size > 0)
    lines.push(
      `function __${ident}_live`,
      `  ${name} __complete $argv (commandline -opc)[2..] 2> /dev/null`,
      'end',
      `function __${ident}_words # how many of them stand before the word, without options`,
      "  test (count (string match -v -- '-*' (commandline -opc))) $argv",
      'end',
    );
  for (const { name: word, text } of help.commands)
    lines.push(
      `complete -c ${name} -n 'not ${isSeen(firstWords(commands))}' -a ${word} -d '${fishQuoted(text)}'`,
    );
  for (const [word, command] of commands) {
    const seconds = secondWords(command);
    for (const [at, { text }] of command.commands.entries())
      lines.push(
        `complete -c ${name} -n '${isIn(word, seconds)}' -a ${seconds[at]} -d '${fishQuoted(text)}'`,
      );
    const words = seconds.length > 0 ? [] : wordsOf(word);
    for (const [at, value] of words.entries()) {
      if (value === undefined) continue;
      const before = word.split(' ').length + 1 + at;
      const place = at === words.length - 1 ? `-ge ${before}` : `-eq ${before}`;
      const condition = `${isIn(word, [])}; and __${ident}_words ${place}`;
      lines.push(`complete -c ${name} -n '${condition}' ${fishValue(value)}`);
    }
  }
  for (const [word, command] of /** @type {const} */ ([['', help], ...commands])) {
    const condition = word === '' ? '' : ` -n '${isIn(word, secondWords(command))}'`;
    for (const option of command.options) {
      const value = valueKind(word, option);
      const taken = option.takesValue || option.choices.length > 0;
      const given = value === undefined ? (taken ? ' -x' : '') : ` -r ${fishValue(value)}`;
      const letter = option.short === undefined ? '' : ` -s ${option.short}`;
      lines.push(
        `complete -c ${name}${condition}${letter} -l ${option.name}${given} -d '${fishQuoted(option.text)}'`,
      );
    }
  }
  return `${lines.join('\n')}\n`;

  /** @param {Kind | readonly string[]} value */
  function fishValue(value) {
    if (value === 'file') return '-F';
    if (value === 'version or file') return `-F -a '(__${ident}_live version)'`;
    if (value === 'word before') return `-f -a '(__${ident}_live (commandline -opc)[-1])'`;
    return `-f -a '${typeof value === 'string' ? `(__${ident}_live ${value})` : value.join(' ')}'`;
  }
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
