/**
 * The reader in OCaml (ocaml/), which was written from PROTOCOL.md: it says of each vector what the
 * vector says, and notices a vector that says otherwise. Built by its README's commands, in a directory of
 * its own.
 */

import { cpSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { ROOT } from '../docs/blocks.ts';
import { temporaryDirectory } from '../kit/directory.ts';
import { commands, ocaml, run } from '../kit/ocaml.ts';

/** Vectors for a firewall's own DNS, which it does not have, by its README. */
const OTHERS = new Set(['private.json', 'questions.json']);
const FILES = readdirSync(join(ROOT, 'protocol/vectors')).filter((file) => !OTHERS.has(file));

/** One thing in a file of vectors that is not so. */
function spoiled(file: string): string {
  const text = readFileSync(join(ROOT, 'protocol/vectors', file), 'utf8');
  const other = text
    .replace(/("code": ?)"[a-z-]+"/, '$1"other"')
    .replace(/("subscriber": [\s\S]*?"code": ?)"[a-z-]+"/, '$1"other"')
    .replace(/: "none"/, ': "drop"')
    .replace(/("unsound"[\s\S]*?"action=)accept src4/, '$1drop src4')
    .replace(/("applied":[\s\S]*?"digest": ?")./, '$1x');
  if (other === text) throw new Error(`nothing is spoiled in ${file}`);
  return other;
}

it.runIf(ocaml.isThere)('the reader in OCaml is built, and finds every vector as it says', () => {
  const tree = temporaryDirectory();
  const { built, ended } = ocaml.build(tree);
  expect(ended).toEqual({ status: 0, stdout: '', stderr: '' });
  const [, ...rest] = commands();
  const { status, stdout } = run('sh', ['-ec', rest.join('\n')], join(tree, 'ocaml'));
  expect(stdout.split('\n').filter((line) => !/: \d+ checks$/.test(line))).toEqual(['']);
  expect(status).toBe(0);
  const checked = [...stdout.matchAll(/^(.*): (\d+) checks$/gm)].map(([, file, count]) => [
    file,
    Number(count),
  ]);
  expect(checked.map(([file]) => `${file}.json`).sort()).toEqual([...FILES].sort());
  for (const [file, count] of checked) expect(count, `${file}`).toBeGreaterThanOrEqual(3);
  for (const file of FILES) {
    const other = join(tree, 'other', file);
    cpSync(join(tree, 'protocol/vectors'), join(tree, 'other'), { recursive: true });
    writeFileSync(other, spoiled(file));
    const seen = run(join(built, 'test/vectors.exe'), [join(tree, 'other'), file.replace('.json', '')]);
    expect(seen.status, file).toBe(1);
    expect(
      seen.stdout.split('\n').filter((line) => line.startsWith('  ')),
      file,
    ).toHaveLength(1);
  }
});
