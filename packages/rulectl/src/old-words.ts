/** Commands of 0.2 that go with 0.4: each is read as the command that took its place, with a warning. */

/** The first word, and what is written now. */
const SUCCESSORS: ReadonlyMap<string, readonly string[]> = new Map([
  ['list', ['lists', 'show']],
  ['refresh', ['lists', 'refresh']],
  ['keygen', ['keys', 'new']],
]);

export function isOldCommand(word: string): boolean {
  return SUCCESSORS.has(word);
}

/** For `--help --all`. */
export function oldCommandsHelp(): string {
  const words = [...SUCCESSORS].map(([old, now]) => `${old} is ${now.join(' ')}`);
  return `Until 0.4: ${words.join(', ')}.`;
}

/** The words as they are written now, and a warning if they were others. */
export function withoutOldCommand(words: readonly string[]): {
  readonly words: readonly string[];
  readonly warnings: readonly string[];
} {
  const [first = '', ...rest] = words;
  const now = SUCCESSORS.get(first);
  if (now === undefined) return { words, warnings: [] };
  return { words: [...now, ...rest], warnings: [`${first} goes with 0.4: write rulectl ${now.join(' ')}`] };
}
