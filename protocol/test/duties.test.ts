/**
 * Numbered duties of the protocol documents and what shows them, both ways: each duty names tests and vectors
 * that name it, and nothing names a duty that is not there.
 */

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const DOCUMENTS = ['WIRE', 'CONTENT', 'MEANING'] as const;
const HERE = 'protocol/test/duties.test.ts';

/** `R-17` of readers, `P-3` of publishers. */
const DUTY = /\b[RP]-[1-9]\d*\b/g;

function textOf(path: string): string {
  return readFileSync(join(ROOT, path), 'utf8');
}

/** Text of a document, and the rows of its chapter Duties. */
function partsOf(document: string): { readonly text: string; readonly rows: readonly string[] } {
  const [text = '', table = ''] = textOf(`protocol/${document}.md`).split('\n## Duties\n');
  return { text, rows: table.split('\n').filter((line) => /^\| [RP]-/.test(line)) };
}

/** Files that may show a duty: tests, what they are made of, and vectors. */
function showing(folder: string): readonly string[] {
  return readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' })
    .filter((path) => /\.(ts|json|py)$/.test(path) && !/(^|\/)(node_modules|dist|fixtures)\//.test(path))
    .map((path) => join(folder, path))
    .filter((path) => path !== HERE);
}

const packages = readdirSync(join(ROOT, 'packages')).map((name) => `packages/${name}/test`);
const FILES = ['protocol/test', 'protocol/vectors', 'test', ...packages].flatMap(showing);
const parts = DOCUMENTS.map(partsOf);
const defined = parts.flatMap(({ text }) =>
  [...text.matchAll(/\*\*([RP]-\d+)\*\*/g)].map(([, duty = '']) => duty),
);
const shownBy = new Map(
  parts.flatMap(({ rows }) =>
    rows.map((row): [string, readonly string[]] => {
      const [, duty = '', files = ''] = row.split('|');
      return [duty.trim(), [...files.matchAll(/`([^`]+)`/g)].map(([, path = '']) => path).sort()];
    }),
  ),
);

/** The duties that files name, with the files. */
const named = new Map<string, string[]>();
for (const path of FILES)
  for (const duty of new Set(textOf(path).match(DUTY) ?? []))
    named.set(duty, [...(named.get(duty) ?? []), path]);

describe('duties', () => {
  it('have a number each, and are many', () => {
    expect(defined.length).toBeGreaterThan(40);
    expect(defined.filter((duty, i) => defined.indexOf(duty) !== i)).toEqual([]);
  });

  it('are said with a word of RFC 2119', () => {
    const chapters = parts.flatMap(({ text }) => text.split(/\n(?=#|\*\*[RP]-\d+\*\*)/));
    const duties = chapters.filter((chapter) => /^\*\*[RP]-\d+\*\*/.test(chapter));
    expect(duties.filter((duty) => !/\b(MUST|SHOULD|MAY)\b/.test(duty))).toEqual([]);
  });

  it('that a text cites are there', () => {
    const cited = parts.flatMap(({ text }) => text.match(DUTY) ?? []);
    expect(cited.filter((duty) => !defined.includes(duty))).toEqual([]);
  });

  it.each(defined)('%s is shown by the tests and vectors that its document names, which name it', (duty) => {
    expect(shownBy.get(duty) ?? []).not.toEqual([]);
    expect(named.get(duty)?.sort()).toEqual(shownBy.get(duty));
  });

  it('that are listed, or named by a test, are there', () => {
    expect([...shownBy.keys(), ...named.keys()].filter((duty) => !defined.includes(duty))).toEqual([]);
  });
});
