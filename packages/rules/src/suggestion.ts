/** Suggestions: the known word closest to a mistyped one. */

/** Longest word that is compared: known words are short, and the cost is the product of the lengths. */
const WORD_MAX_CHARS = 32;

/**
 * The known word within one edit for every three characters of `word` (at least one edit), the nearest first;
 * or undefined.
 */
export function closest(word: string, known: Iterable<string>): string | undefined {
  if (word.length > WORD_MAX_CHARS) return undefined;
  let best: string | undefined;
  let bestDistance = Math.max(1, Math.floor(word.length / 3)) + 1;
  for (const candidate of known) {
    const distance = editDistance(word.toLowerCase(), candidate);
    if (distance < bestDistance) {
      best = candidate;
      bestDistance = distance;
    }
  }
  return best;
}

/** The end of a sentence about what is not there: `: did you mean russia?`, or nothing. */
export function suggestion(word: string, known: Iterable<string>): string {
  const near = closest(word, known);
  return near === undefined ? '' : `: did you mean ${near}?`;
}

/** Edit distance: insertions, deletions, replacements of one character, and swaps of two neighbours. */
function editDistance(a: string, b: string): number {
  let before: readonly number[] = [];
  let row: readonly number[] = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const replaced = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      const isSwap = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1];
      const swapped = isSwap ? (before[j - 2] ?? 0) + 1 : replaced;
      next.push(Math.min(replaced, swapped, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    before = row;
    row = next;
  }
  return row[b.length] ?? 0;
}
