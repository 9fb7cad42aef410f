/**
 * Fetches what the catalogue has, and tells what moved, shrank, grew, or changed its format: for maintainers,
 * on a machine with a network. Each feed is read by `rulectl lists try`, as the publisher would.
 *
 *     npm run feeds                   all
 *     npm run feeds -- tor-exits …    some
 *
 * Ends with 1 if the catalogue is wrong of one.
 */

import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { verdictOf } from './verdict.mjs';

/** @typedef {import('./verdict.mjs').Entry} Entry */

const RULECTL = fileURLToPath(new URL('../../packages/rulectl/bin/rulectl.js', import.meta.url));
/** Our choice: other people's servers, of which some are slow. */
const AT_ONCE = 4;
const TIMEOUT_MS = 300_000;
/** Refusals of the content; others are the server's, which is not asked again. */
const OF_CONTENT = new Set(/** @type {readonly unknown[]} */ (['unusable', 'too-many-rejects', 'empty']));
/** No publisher is asked what it has of a feed. */
const NOBODY = ['--control', 'unix:/nonexistent/rulecast.sock'];

/**
 * What `rulectl … --json` prints, a record a line.
 * @param {readonly string[]} words
 * @returns {Promise<readonly Readonly<Record<string, unknown>>[]>}
 */
async function rulectl(words) {
  const child = spawn(process.execPath, [RULECTL, ...words, '--json'], {
    stdio: ['ignore', 'pipe', 'ignore'],
    timeout: TIMEOUT_MS,
  });
  let text = '';
  child.stdout.setEncoding('utf8').on('data', (/** @type {string} */ piece) => {
    text += piece;
  });
  await new Promise((resolve) => child.on('close', resolve));
  const lines = text.split('\n').slice(0, -1); // a last one without its end is half of one
  return lines.map((line) => JSON.parse(line));
}

/** @param {Entry} entry */
async function look(entry) {
  const isTable = entry.holds === 'countries' || entry.holds === 'networks';
  const tried = isTable ? [] : await rulectl(['lists', 'try', entry.key, ...NOBODY]);
  const isUnusable = tried.some(({ kind, code }) => kind === 'error' && OF_CONTENT.has(code));
  // A table, and what cannot be read in its format, are read as their content tells.
  const guessed =
    !isTable && !isUnusable
      ? []
      : await Promise.all(entry.url.map((url) => rulectl(['lists', 'try', url, ...NOBODY])));
  return verdictOf(entry, tried, guessed.flat());
}

const words = process.argv.slice(2);
const all = /** @type {readonly Entry[]} */ (
  /** @type {unknown} */ ((await rulectl(['lists', 'search'])).filter(({ kind }) => kind === 'feed'))
);
const unknown = words.filter((word) => !all.some(({ key }) => key === word));
if (unknown.length > 0) {
  console.error(`the catalogue has no ${unknown.join(', ')}`);
  process.exit(64);
}
const chosen = all.filter(({ key, status }) =>
  words.length > 0 ? words.includes(key) : status === 'active',
);
const left = [...chosen];
let wrong = 0;
const work = async () => {
  for (let entry = left.shift(); entry !== undefined; entry = left.shift()) {
    const { what, text } = await look(entry);
    if (what !== 'good') wrong += 1;
    console.log(`${what.padEnd(8)} ${entry.key.padEnd(28)} ${text}`);
  }
};
await Promise.all(Array.from({ length: AT_ONCE }, work));
console.log(`${chosen.length} feeds, of ${wrong} of which the catalogue is wrong, or nothing came`);
process.exitCode = wrong === 0 ? 0 : 1;
