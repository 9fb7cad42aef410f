/**
 * The gate of what people read: how long sentences, paragraphs and lines of the documents are. The house
 * style asks for one thought a sentence; length shows where there are several.
 *
 *     node words.mjs          prints the longest ten, and a line for each figure of a page that is above its
 *                             limit; ends with 1 if there is one
 *
 * A page that is not rewritten yet stands in words-excused.json, with its reason and figures that may only
 * sink: lower them with the page, and delete its line when it needs none.
 */

import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath, pathToFileURL } from 'node:url';

/** @typedef {{ line: number, text: string }} Passage with the number of its first line */
/** @typedef {{ mean: number, p90: number, longest: number, paragraph: number, wide: number }} Figures */
/** @typedef {{ figures: Figures, sentences: readonly Passage[], paragraphs: readonly Passage[] }} Page */

// Words: the mean and nine of ten sentences, the longest, nine of ten paragraphs. Then long lines.
const LIMITS = { mean: 17, p90: 28, longest: 60, paragraph: 80, wide: 0 };
const SPECIFICATION_LIMITS = { ...LIMITS, mean: 20, p90: 33 };
const SPECIFICATION = /^protocol\/(?:WIRE|CONTENT|MEANING)\.md$/;
const FEWEST_SENTENCES = 20; // of fewer, means and shares say nothing
const COLUMNS = 100;
const OVER_40_SHARE = 0.01; // of all sentences
/** Not of this house, and records of decisions up to 48, which stay in the words of their day. */
const LEFT_OUT = /\/fixtures\/|^docs\/contribute\/adr\/00(?:[0-3]\d|4[0-8])-/;

const CODE_OR_COMMENT = /<!--[\s\S]*?-->|^[ >]*(`{3,}|~{3,}).*\n(?:.*\n)*?[ >]*\1[`~]*[ ]*$/gm;
const NO_PROSE = /^\s*(?:\||#{1,6}\s|(?:[-*_]\s*){3,}$|\[[^\]]+\]:\s|$)/;
const SENTENCE_END = /(?<=(?<!\.\.)[.!?]["'”’)\]*_]*)\s+(?=["'“‘([*_]*[\p{Lu}\p{N}])/u;
const ABBREVIATION = /(?:^|[\s("“])(?:e\.g|i\.e|cf|vs|No|approx|[Ff]ig|Dr|Mrs?|St)\.$/;

/** @type {(text: string) => number} */
const wordsOf = (text) => text.split(/\s+/).filter((word) => /[\p{L}\p{N}]/u.test(word)).length;

/** @type {(passages: readonly Passage[]) => readonly number[]} from the shortest to the longest */
const countsOf = (passages) => passages.map(({ text }) => wordsOf(text)).sort((a, b) => a - b);

/** @type {(counts: readonly number[]) => number} what nine of ten are not above */
const p90Of = (counts) => counts[Math.ceil(counts.length * 0.9) - 1] ?? 0;

/** @type {(text: string) => string} a span of code is one word, a link its text, a picture nothing */
const plain = (text) =>
  text
    .replace(/(?<!`)(`+)(?!`)(.+?)(?<!`)\1(?!`)/g, 'Code')
    .replace(/!\[[^\]]*\](?:\([^)]*\)|\[[^\]]*\])/g, '')
    .replace(/\[([^\]]*)\](?:\([^)]*\)|\[[^\]]*\])/g, '$1')
    .replace(/<https?:[^>]*>/g, 'Link')
    .replace(/<\/?[a-z][^>]*>|\*\*|__/gi, '')
    .trim();

/** @type {(lines: readonly string[]) => readonly Passage[]} paragraphs and items of lists */
function paragraphsOf(lines) {
  const found = /** @type {(Passage & { isItem: boolean })[]} */ ([]);
  let last = /** @type {(typeof found)[0] | undefined} */ (undefined);
  for (const [index, text] of lines.entries()) {
    const mark = /^\s*(?:[-*+]|(\d+)[.)])\s+/.exec(text);
    // A line that begins with a number is an item where a list is under way, or begins with 1.
    /** @type {boolean} */
    const isItem = mark !== null && (/^1?$/.test(mark[1] ?? '') || last?.isItem !== false);
    if (NO_PROSE.test(text)) last = undefined;
    else if (isItem || last === undefined) {
      last = { line: index + 1, text: text.slice(isItem ? mark?.[0].length : 0), isItem };
      found.push(last);
    } else last.text += ` ${text.trim()}`;
  }
  return found.map(({ line, text }) => ({ line, text: plain(text) })).filter(({ text }) => wordsOf(text) > 0);
}

/** @type {(text: string) => readonly string[]} */
function sentencesOf(text) {
  const found = /** @type {string[]} */ ([]);
  for (const piece of text.split(SENTENCE_END))
    found.push(ABBREVIATION.test(found.at(-1) ?? '') ? `${found.pop()} ${piece}` : piece);
  return found;
}

/** @type {(markdown: string) => Page} */
export function pageOf(markdown) {
  const prose = markdown.replace(CODE_OR_COMMENT, (block) => block.replace(/[^\n]/g, ''));
  const lines = prose.split('\n').map((line) => line.replace(/^\s*(?:>\s?)+/, ''));
  const paragraphs = paragraphsOf(lines);
  const sentences = paragraphs.flatMap(({ line, text }) =>
    sentencesOf(text).map((one) => ({ line, text: one })),
  );
  const counts = countsOf(sentences);
  const mean = Math.ceil((counts.reduce((sum, count) => sum + count, 0) / counts.length) * 10) / 10;
  const shares = { mean, p90: p90Of(counts), paragraph: p90Of(countsOf(paragraphs)) };
  const asked = counts.length < FEWEST_SENTENCES ? { mean: 0, p90: 0, paragraph: 0 } : shares;
  // A line that is one long word, such as an address, cannot be folded.
  const wide = lines.filter(
    (line) => line.length > COLUMNS && !NO_PROSE.test(line) && /\S\s+\S/.test(line.slice(2)),
  );
  return { figures: { ...asked, longest: counts.at(-1) ?? 0, wide: wide.length }, sentences, paragraphs };
}

/**
 * What is wrong, a line each: figures above their limit, and excuses that a page does not need any more.
 *
 * @param {ReadonlyMap<string, Page>} pages by path
 * @param {Readonly<Record<string, Partial<Figures>>>} excuses ceilings in place of limits, by path
 * @returns {readonly string[]}
 */
export function faultsOf(pages, excuses) {
  const above = [...pages].flatMap(([path, { figures }]) => {
    const usual = SPECIFICATION.test(path) ? SPECIFICATION_LIMITS : LIMITS;
    const limits = { ...usual, ...excuses[path] };
    return keysOf(LIMITS).flatMap((key) => {
      if (figures[key] > limits[key]) return [`${path}: ${key} is ${figures[key]}, over ${limits[key]}`];
      const isIdle = excuses[path]?.[key] !== undefined && figures[key] <= usual[key];
      return isIdle ? [`words-excused.json: ${path} needs no "${key}" any more`] : [];
    });
  });
  const free = [...pages]
    .filter(([path]) => excuses[path] === undefined)
    .flatMap(([, page]) => page.sentences);
  const long = free.filter(({ text }) => wordsOf(text) > 40);
  const many = long.length > free.length * OVER_40_SHARE;
  return many ? [...above, `${long.length} of ${free.length} sentences have more than 40 words`] : above;
}

/** @type {(figures: Figures) => (keyof Figures)[]} */
const keysOf = (figures) => /** @type {(keyof Figures)[]} */ (Object.keys(figures));

/** @type {(pages: ReadonlyMap<string, Page>, of: 'sentences' | 'paragraphs') => void} */
function printLongest(pages, of) {
  const all = [...pages].flatMap(([path, page]) => page[of].map((passage) => ({ path, ...passage })));
  const rows = all.map((row) => ({ ...row, words: wordsOf(row.text) })).sort((a, b) => b.words - a.words);
  console.log(`The longest ${of}:`);
  for (const { path, line, text, words } of rows.slice(0, 10))
    console.log(`  ${words} words, ${path}:${line}: ${text.slice(0, 40)}…`);
}

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href) {
  process.chdir(fileURLToPath(new URL('.', import.meta.url)));
  const asked = ['ls-files', '--cached', '--others', '--exclude-standard', '*.md'];
  const listed = execFileSync('git', asked, { encoding: 'utf8' }).trim().split('\n');
  const paths = listed.filter((path) => existsSync(path) && !LEFT_OUT.test(path));
  const pages = new Map(paths.map((path) => [path, pageOf(readFileSync(path, 'utf8'))]));
  /** @type {Record<string, Figures>} */
  const excuses = JSON.parse(readFileSync('words-excused.json', 'utf8'));
  printLongest(pages, 'sentences');
  printLongest(pages, 'paragraphs');
  const faults = faultsOf(pages, excuses);
  for (const line of faults) console.error(line);
  process.exitCode = faults.length === 0 ? 0 : 1;
}
