import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { SIDES } from '../packaging/bundle.mjs';
import { codeOf, processes, tables } from '../packaging/rights.mjs';

const PAGE = readFileSync(fileURLToPath(new URL('../docs/explain/rights.md', import.meta.url)), 'utf8');
/** Those with capabilities or keys: nobody reads more of one in a day. Our choice. */
const LINES_MAX = [
  ['applier', 9_000],
  ['rulecast-dns-net', 2_000],
  ['its signer', 4_000],
] as const;
/** Counts of the page may be off by so much: it is not made anew for each line that is written. */
const SHARE_OFF_MAX = 0.05;

const all = processes();
const codes = await codeOf(all);

describe('docs/explain/rights.md', () => {
  const made = rowsOf(tables(all, codes));
  const shown = rowsOf(PAGE);

  it('has a row for each process and unit', () => {
    expect(shown.map(([name]) => name)).toEqual(made.map(([name]) => name));
  });

  it.each(made)('says what is true of %s', (name, ...cells) => {
    const [, ...words] = shown.find(([other]) => other === name) ?? [];
    expect(words.map(withoutCount)).toEqual(cells.map(withoutCount));
    for (const [index, cell] of cells.entries()) {
      const count = countOf(cell);
      if (count === undefined) continue;
      const off = Math.abs((countOf(words[index] ?? '') ?? 0) - count);
      expect(off, 'node packaging/rights.mjs makes it anew').toBeLessThanOrEqual(count * SHARE_OFF_MAX);
    }
  });

  it.each(Object.values(SIDES).flatMap(({ programs, parts }) => [...Object.values(programs), ...parts]))(
    'counts %s, which the packages install',
    (file) => {
      expect(all.flatMap(({ entries }) => entries)).toContain(file);
    },
  );
});

describe('a process with rights or keys', () => {
  it.each(LINES_MAX)('%s has at most %d lines', (name, most) => {
    expect(codes.get(name)?.lineCount).toBeLessThanOrEqual(most);
    expect(codes.get(name)?.lineCount).toBeGreaterThan(1000); // it is there
  });

  it('the applier has one library of others, which opens netlink', () => {
    expect(codes.get('applier')?.libraries).toEqual(['koffi']);
  });
});

/** The cells of all rows of tables, without heads. */
function rowsOf(text: string): readonly (readonly [string, ...string[]])[] {
  const lines = text.split('\n').filter((line) => line.startsWith('| '));
  const rows = lines.filter((line, i) => !line.startsWith('| ---') && !lines[i + 1]?.startsWith('| ---'));
  return rows.map((line) => {
    const [name = '', ...cells] = line.slice(2, -2).split(' | ');
    return [name, ...cells];
  });
}

/** 60 of `60`, 59.9 of `59.9k`. */
function countOf(cell: string): number | undefined {
  return /^[\d.]+k?$/.test(cell) ? Number.parseFloat(cell) : undefined;
}

function withoutCount(cell: string): string {
  return countOf(cell) === undefined ? cell : 'a count';
}
