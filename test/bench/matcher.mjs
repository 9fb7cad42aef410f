/**
 * `npm run bench -- matcher [--names N]`: names a second that the matcher of DNS judges, one call from
 * JavaScript each, and what it takes to build, to hold and to change.
 *
 * 32 lists of crossovers of the names of the fixtures, a tenth of them wildcards, and of each a tenth in
 * other lists too. A quarter of the questions are entries, a quarter are below one, half are beside one; half
 * are in capitals.
 */

import { randomBytes } from 'node:crypto';
import { NameMatcher, nameBytes, turnCase } from '@rulecast/dns';
import { NO_NAMES, nameSetOf, namesOf, nameTexts } from '@rulecast/rules';
import { seededNumbers } from '../kit/random.mjs';
import { fixtures } from './names.mjs';
import { grouped, machineLine, median, ms, runsOf, table } from './report.mjs';

const LISTS = 32;
const NAMES = 3_200_000;
const SHARED_PART = 0.1;
/** In how many ways a name is in several lists: each is in about an eighth of them. */
const PATTERNS = 1024;
const QUESTIONS = 400_000;
const CHANGED = 1_000;

/** @param {readonly string[]} args */
export function run(args) {
  const runs = runsOf(args, 5);
  const at = args.indexOf('--names');
  const total = at < 0 ? NAMES : Number(args[at + 1]);
  process.stdout.write(`${machineLine(runs)}Times are CPU time.\n`);
  const below = seededNumbers(0x2545f491);
  const texts = [...nameTexts(fixtures())];
  const pick = () => texts[below(texts.length)] ?? '';
  let count = 0;
  const own = () => `${(count++).toString(36)}-${crossover(pick)}`; // of one list alone
  const shared = Array.from({ length: (total / LISTS) * SHARED_PART * 8 }, () =>
    entry(() => crossover(pick), below),
  );
  const lists = Array.from({ length: LISTS }, (_, list) =>
    namesOf([
      ...shared.filter((_, i) => isIn(i % PATTERNS, list)),
      ...Array.from({ length: (total / LISTS) * (1 - SHARED_PART) }, () => entry(own, below)),
    ]),
  );
  const subjects = lists.map((names, subject) => ({ subject, set: nameSetOf(names) }));
  const questions = questionsOf(lists, pick, below);
  const entries = lists.reduce((sum, names) => sum + names.count, 0);
  /** @type {Record<'fill' | 'change' | 'worst' | 'look', number[]>} */
  const times = { fill: [], change: [], worst: [], look: [] };
  let matcher = new NameMatcher(entries, randomBytes(16));
  let found = 0;
  for (let i = 0; i < runs; i++) {
    matcher = new NameMatcher(entries, randomBytes(16));
    times.fill.push(timed(matcher.fill(subjects)).sumMs);
    const startMs = processorMs();
    found = asked(matcher, questions);
    times.look.push(processorMs() - startMs);
    const added = namesOf(Array.from({ length: CHANGED }, (_, n) => `host-${i}-${n}.example`));
    const removed = namesOf([...nameTexts(added)].map((name) => `old-${name}`));
    const exceptions = { removed: NO_NAMES, added: NO_NAMES };
    const change = (
      /** @type {import('@rulecast/rules').Names} */ before,
      /** @type {import('@rulecast/rules').Names} */ after,
    ) =>
      timed(
        matcher.change(
          [{ subject: i, names: { removed: before, added: after }, exceptions }],
          () => undefined,
        ),
      );
    change(NO_NAMES, removed);
    const { sumMs, worstMs } = change(removed, added);
    times.change.push(sumMs);
    times.worst.push(worstMs);
  }
  const rate = QUESTIONS / median(times.look) / 1000;
  process.stdout.write(
    `\n${table(
      [
        `${grouped(entries)} entries of ${LISTS} lists: ${grouped(matcher.size)} names, ${grouped(matcher.classCount)} classes`,
        '',
      ],
      [
        ['looked up, one call each', `${rate.toFixed(2)} M/s`],
        ['of these found', grouped(found)],
        ['built', `${ms(median(times.fill))} ms`],
        ['table', `${(matcher.tableBytes / entries).toFixed(1)} B an entry`],
        [`${grouped(CHANGED)} out and in`, `${median(times.change).toFixed(2)} ms`],
        ['of that the longest step', `${median(times.worst).toFixed(2)} ms`],
      ],
    )}`,
  );
}

/** @param {number} pattern @param {number} list */
function isIn(pattern, list) {
  return Math.imul(pattern * LISTS + list + 1, 0x9e3779b1) >>> 29 === 0;
}

/** @param {() => string} name @param {(below: number) => number} below */
function entry(name, below) {
  return `${below(10) === 0 ? (below(2) === 0 ? '*.' : '.') : ''}${name()}`;
}

/** @param {() => string} pick */
function crossover(pick) {
  const [head, tail] = [pick(), pick()];
  return head.slice(0, head.indexOf('.') + 1) + tail.slice(tail.indexOf('.') + 1);
}

/**
 * Whole names, end to end, and where each begins.
 * @param {readonly import('@rulecast/rules').Names[]} lists
 * @param {() => string} pick
 * @param {(below: number) => number} below
 */
function questionsOf(lists, pick, below) {
  const members = lists.flatMap((names) => {
    const step = Math.max(1, Math.floor((names.count * LISTS) / QUESTIONS));
    return [...nameTexts(names)].filter((_, i) => i % step === 0).map((name) => name.replace(/^\*?\./, ''));
  });
  const starts = new Uint32Array(QUESTIONS);
  const parts = [];
  let used = 0;
  for (let i = 0; i < QUESTIONS; i++) {
    const member = members[below(members.length)] ?? '';
    const name = i % 4 === 0 ? member : i % 4 === 1 ? `www.${member}` : stranger(crossover(pick));
    const bytes = nameBytes(name.length > 253 ? member : name);
    if (i % 2 === 1) turnCase(bytes, 0, bytes.length, Uint8Array.of(255));
    starts[i] = used;
    used += bytes.length;
    parts.push(bytes);
  }
  return { starts, bytes: Buffer.concat(parts) };
}

/** A name beside one of a list: its last label but one is nobody's. @param {string} name */
function stranger(name) {
  const labels = name.split('.');
  labels.splice(-2, 1, `${labels.at(-2)}-0`);
  return labels.join('.');
}

/** Processor time of this process, in milliseconds. */
function processorMs() {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}

/** How many were found. @param {NameMatcher} matcher @param {ReturnType<typeof questionsOf>} questions */
function asked(matcher, { starts, bytes }) {
  let found = 0;
  for (const start of starts) {
    let isFound = 0;
    matcher.visit(bytes, start, () => {
      isFound = 1;
    });
    found += isFound;
  }
  return found;
}

/** @param {Generator<undefined, string>} steps */
function timed(steps) {
  let sumMs = 0;
  let worstMs = 0;
  for (;;) {
    const startMs = processorMs();
    const step = steps.next();
    const tookMs = processorMs() - startMs;
    sumMs += tookMs;
    worstMs = Math.max(worstMs, tookMs);
    if (step.done !== true) continue;
    if (step.value !== 'done') throw new Error(`it ended with ${step.value}`);
    return { sumMs, worstMs };
  }
}
