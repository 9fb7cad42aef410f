/** Seeded inputs of the tests and the benches: the same bytes on every machine. */

import { seededWords } from './kit/random.mjs';

/** @param {number} word */
export function dottedQuad(word) {
  return `${word >>> 24}.${(word >>> 16) & 255}.${(word >>> 8) & 255}.${word & 255}`;
}

/**
 * `count` random IPv4 hosts, one a line, and their words.
 * @param {number} count
 * @param {number} seed
 */
export function millionHosts(count, seed) {
  const next = seededWords(seed);
  const words = Array.from({ length: count }, next);
  return { words, text: textOf(words) };
}

/** One address a line. @param {readonly number[]} words */
export function textOf(words) {
  return `${words.map(dottedQuad).join('\n')}\n`;
}

/**
 * The same hosts with the first `changes` of every stride replaced by new ones: `changes` removed, `changes`
 * added.
 * @param {readonly number[]} words
 * @param {number} changes
 * @param {number} seed
 */
export function churned(words, changes, seed) {
  const next = seededWords(seed);
  const stride = Math.floor(words.length / changes);
  return words.map((word, index) => (index % stride === 0 && index / stride < changes ? next() : word));
}

/**
 * The workload that started it all: 2^18 drops of 172.16.0.0 to 172.31.255.255 by /30, then accept, in one
 * policy.
 */
export function seedPolicy() {
  const lines = Array.from(
    { length: 2 ** 18 },
    (_, index) => `drop dst4=${dottedQuad(0xac100000 + index * 4)}/30`,
  );
  return `${lines.join('\n')}\naccept\n`;
}

/**
 * The next version of a list: a seeded share of its lines leaves, and as many that left earlier come back, so
 * that every line is one of the list's own.
 * @param {readonly string[]} present
 * @param {readonly string[]} absent
 * @param {number} share Of the present lines, 0 to 1; at least one line changes.
 * @param {(below: number) => number} next
 */
export function churnedLines(present, absent, share, next) {
  const changes = Math.max(1, Math.round(present.length * share));
  const staying = [...present];
  const leaving = [...absent];
  for (let i = 0; i < changes && leaving.length > 0; i++) {
    const at = next(staying.length);
    const from = next(leaving.length);
    [staying[at], leaving[from]] = [leaving[from] ?? '', staying[at] ?? ''];
  }
  return { present: staying, absent: leaving };
}
