/** Commands of 0.2 that end with 0.4: each runs the command that replaces it, with a warning. */

/** The new words, by the old ones. */
const SUCCESSORS: ReadonlyMap<string, readonly string[]> = new Map([
  ['list', ['lists', 'show']],
  ['refresh', ['lists', 'refresh']],
  ['config check', ['check']],
  ['keygen', ['keys', 'new']],
]);
const OFFLINE_NOW = 'check FILE --test PACKET';
/** Options of `test` without a value. */
const SWITCHES: ReadonlySet<string> = new Set(['json', 'no-color', 'help']);

export function isOldCommand(word: string): boolean {
  return word === 'config' || SUCCESSORS.has(word);
}

/** For `--help --all`. */
export function oldCommandsHelp(): string {
  const words = [...SUCCESSORS].map(([old, now]) => `${old} is ${now.join(' ')}`);
  return `Until 0.4: ${words.join(', ')}, test --offline FILE PACKET is ${OFFLINE_NOW}.`;
}

/** The words as they are written now, and a warning if they were others. */
export function withoutOldCommand(words: readonly string[]): {
  readonly words: readonly string[];
  readonly warnings: readonly string[];
} {
  const goes = (old: string, now: string): readonly string[] => [
    `${old} goes with 0.4: write rulectl ${now}`,
  ];
  const end = words.includes('--') ? words.indexOf('--') : words.length;
  const isOffline = words.slice(0, end).some((word) => /^--offline(=|$)/.test(word));
  if (words[0] === 'test' && isOffline)
    return { words: offlineTest(words.slice(1)), warnings: goes('test --offline', OFFLINE_NOW) };
  for (const length of [1, 2]) {
    const old = words.slice(0, length).join(' ');
    const now = SUCCESSORS.get(old);
    if (now !== undefined)
      return { words: [...now, ...words.slice(length)], warnings: goes(old, now.join(' ')) };
  }
  return { words, warnings: [] };
}

/** The words of `check` for those of `test --offline`, in which files were options and packets were not. */
function offlineTest(words: readonly string[]): readonly string[] {
  const now = ['check'];
  for (let at = 0; at < words.length; at++) {
    const word = words[at] ?? '';
    if (word === '--') return [...now, ...words.slice(at + 1).map((packet) => `--test=${packet}`)];
    const [, option, value] = /^--([a-z-]+)(?:=([\s\S]*))?$/.exec(word) ?? [];
    if (option === undefined) now.push(word.startsWith('-') ? word : `--test=${word}`);
    else if (SWITCHES.has(option)) now.push(word);
    else {
      const text = value ?? words[++at];
      const given = text === undefined ? [] : [text];
      if (option === 'offline') now.push(...given);
      else now.push(`--${option === 'resolve' ? 'address' : option}`, ...given);
    }
  }
  // Without packets nothing would be tested, and all be well.
  return now.some((word) => /^--(?:test=|packets$)/.test(word)) ? now : [...now, '--test'];
}
