/** docs/reference/guards.md: its tables are those of the code. */

import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { PERMITS } from '../src/guards/permits.ts';
import { asks, GUARD_TABLE, GUARDS, type Guard } from '../src/guards/table.ts';

const PAGE = readFileSync(new URL('../../../docs/reference/guards.md', import.meta.url), 'utf8');
const BY = { push: '`push`', refresh: '`lists refresh`', both: 'both' };

it('has the codes of --permit as the table of them', () => {
  const rows = Object.entries(PERMITS).map(([code, { by, severity, takes }]) => {
    const mistake = severity === 'holds' ? 'holds a firewall back' : severity;
    return `| \`${code}\` | ${BY[by]} | ${mistake} | ${takes} |`;
  });
  const head = '| code | by | a mistake | releases |\n| --- | --- | --- | --- |';
  expect(PAGE).toContain(`\n\n${[head, ...rows].join('\n')}\n\n`);
});

/** The guards of each row of "Who is asked", in its order. */
const ROWS: readonly (readonly Guard[])[] = [
  ['lists', 'wider', 'drops', 'unmatched', 'dropAll', 'unresolved'],
  ['sourceLists'],
  ['opened'],
  ['newPolicies'],
  ['firstPolicies'],
  ['unsupported'],
  ['mustReach'],
];

it('says whom each guard asks, on each way, as the table of guards', () => {
  const table = /^\| guard \| push \| rules file \| .*\n.*\n((?:\|.*\n)+)/m.exec(PAGE)?.[1] ?? '';
  const told = table
    .trim()
    .split('\n')
    .map((line) => line.split(' | ').map((cell) => cell.replace(/ ?\|$/, '')));
  const asked = (cell = ''): string => {
    if (cell === 'role `push`') return 'push';
    return cell === 'everybody' ? cell : 'nobody';
  };
  for (const [at, guards] of ROWS.entries()) {
    const [, push, rules, rollback, source, names] = told[at] ?? [];
    for (const guard of guards) {
      expect([guard, asked(push), asked(rollback), asked(source), asked(names)]).toEqual([
        guard,
        GUARD_TABLE.push[guard],
        GUARD_TABLE.rollback[guard],
        GUARD_TABLE.source[guard],
        GUARD_TABLE.names[guard],
      ]);
      expect([guard, rules === 'always']).toEqual([guard, asks(guard, 'rules', 'push')]);
      for (const way of ['renew', 'epoch'] as const)
        expect([guard, GUARD_TABLE[way][guard]]).toEqual([guard, asked(names)]);
    }
  }
  expect(told).toHaveLength(ROWS.length);
  expect(ROWS.flat().sort()).toEqual([...GUARDS].sort());
});
