/**
 * Results of benches as files in docs/measurements: written by `npm run bench -- NAME --write`, read by
 * performance-page.mjs.
 */

import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';

const ROOT = new URL('../../', import.meta.url);
const FOLDER = new URL('docs/measurements/', ROOT);

/**
 * @typedef {object} Table
 * @property {string} caption The text between the table before and this one.
 * @property {readonly string[]} head
 * @property {readonly (readonly string[])[]} rows
 * @typedef {object} Measurement
 * @property {string} command
 * @property {string} machine Processor, cores, Node.
 * @property {string} commit Ends with `-dirty` if files that are tracked had changes.
 * @property {string} date
 * @property {number} load The load average at the start.
 * @property {readonly Table[]} tables
 */

/**
 * Runs a bench, and writes what it prints to the file of its name.
 *
 * @param {string} name
 * @param {readonly string[]} args
 * @param {(args: readonly string[]) => Promise<void>} run
 */
export async function measure(name, args, run) {
  const commit = execFileSync('git', ['describe', '--always', '--dirty', '--exclude=*'], { cwd: ROOT });
  const { write } = process.stdout;
  let text = '';
  /** @type {(chunk: string | Uint8Array) => boolean} */
  process.stdout.write = (chunk) => {
    text += chunk;
    return write.call(process.stdout, chunk);
  };
  try {
    await run(args);
  } finally {
    process.stdout.write = write;
  }
  const command = ['npm run bench --', name, ...args].join(' ');
  const date = new Date().toISOString().slice(0, 10);
  const measurement = { command, commit: String(commit).trim(), date, ...parsed(text) };
  mkdirSync(FOLDER, { recursive: true });
  writeFileSync(new URL(`${name}.json`, FOLDER), jsonOf(measurement));
}

/** @returns {ReadonlyMap<string, Measurement>} by the name of the bench */
export function measurements() {
  return new Map(
    readdirSync(FOLDER)
      .sort()
      .map((file) => [
        file.slice(0, -'.json'.length),
        JSON.parse(readFileSync(new URL(file, FOLDER), 'utf8')),
      ]),
  );
}

/**
 * @param {string} text What a bench printed.
 * @returns {Pick<Measurement, 'machine' | 'load' | 'tables'>}
 */
export function parsed(text) {
  const line = /^(.+, \d+ cores, Node [\d.]+), .*load average ([\d.]+) at the start$/m.exec(text);
  if (line === null) throw new Error('the bench did not print its machine');
  const [first, machine = '', load] = line;
  // A table has a row of dashes below its head; what stands before it is its caption.
  const [, ...parts] = text.replace(first, '').split(/^(?=\|.*\n\| -)/m);
  const captions = text.replace(first, '').split(/(?:^\|.*\n)+/m);
  const tables = parts.map((part, index) => {
    const [head = [], , ...rows] = part
      .split('\n')
      .filter((row) => row.startsWith('|'))
      .map((row) => row.slice(1, -1).split('|'));
    const caption = (captions[index] ?? '').replace(/\s+/g, ' ').trim();
    return { caption, head: head.map(trimmed), rows: rows.map((row) => row.map(trimmed)) };
  });
  return { machine, load: Number(load), tables };
}

/** @param {string} text */
const trimmed = (text) => text.trim();

/** One line a row: a figure that changes is a line that changes. @param {Measurement} measurement */
function jsonOf({ tables, ...rest }) {
  const texts = tables.map(({ rows, ...table }) => {
    const lines = rows.map((row) => `        ${JSON.stringify(row)}`).join(',\n');
    return `    ${JSON.stringify(table).slice(0, -1)}, "rows": [\n${lines}\n    ]}`;
  });
  return `${JSON.stringify(rest, undefined, 2).slice(0, -2)},\n  "tables": [\n${texts.join(',\n')}\n  ]\n}\n`;
}
