/** The performance page and its plots show what the files of docs/measurements have. */

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { measurements, parsed } from './bench/measurements.mjs';
import { filled, plots } from './bench/performance-page.mjs';
import { ROOT } from './docs/blocks.ts';

const read = (path: string): string => readFileSync(join(ROOT, 'docs', path), 'utf8');
const all = measurements();

it('has the figures of the measurements', () => {
  const page = read('explain/performance.md');
  expect(page.match(/<!-- figures: /g)?.length).toBeGreaterThan(10);
  expect(filled(page, all)).toBe(page);
});

it.each([...plots(all)])('has the plot %s of the measurements', (file, plot) => {
  expect(read(`plots/${file}`)).toBe(plot);
});

it('says of each measurement by which command, commit and day it was made', () => {
  for (const [name, { command, commit, date, machine }] of all) {
    expect(command).toMatch(new RegExp(`^npm run bench -- ${name}\\b`));
    expect(commit).toMatch(/^[0-9a-f]{7,}$/); // not of sources that nobody else has
    expect(date).toMatch(/^\d{4}-\d\d-\d\d$/);
    expect(machine).toMatch(/\d cores, Node \d+/);
  }
});

it('shows a figure that misses its goal in bold, in the row and column of the goal', () => {
  const push = all.get('end-to-end');
  const slow = { ...push, tables: push?.tables.map((table) => ({ ...table, rows: table.rows.map(slowed) })) };
  const page = filled('<!-- figures: series -->\n<!-- end -->', new Map([['end-to-end', slow as never]]));
  expect(page).toContain('**9999**');
  expect(page.match(/\*\*/g)).toHaveLength(2);
});

function slowed([label = '', ...cells]: readonly string[]): readonly string[] {
  return [label, ...cells.map(() => '9999')];
}

it('reads the tables of a bench, each with what stands before it', () => {
  const text = `A CPU, 2 cores, Node 20.20.2, median of 5 runs, load average 0.3 at the start

Milliseconds
of a push.

| what | ms |
| ---- | -- |
| one  |  1 |

| other | MB |
| ----- | -- |
| two   |  2 |
| three |    |
done
`;
  expect(parsed(text)).toEqual({
    machine: 'A CPU, 2 cores, Node 20.20.2',
    load: 0.3,
    tables: [
      { caption: 'Milliseconds of a push.', head: ['what', 'ms'], rows: [['one', '1']] },
      {
        caption: '',
        head: ['other', 'MB'],
        rows: [
          ['two', '2'],
          ['three', ''],
        ],
      },
    ],
  });
});

it('throws where the bench did not print its machine', () => {
  expect(() => parsed('| a | b |\n| - | - |\n')).toThrow('the bench did not print its machine');
});
