/** Comments fold where the formatter folds code, which does not touch them. */

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { ROOT } from './docs/blocks.ts';

const { formatter } = JSON.parse(readFileSync(join(ROOT, 'biome.json'), 'utf8'));

/**
 * Lines of nothing but a comment that are too wide, with their numbers; a type in braces, an address,
 * a table or a drawing cannot be folded.
 */
function wideComments(text: string): readonly string[] {
  return text
    .split('\n')
    .map((line, index) => `${index + 1}: ${line}`)
    .filter((line) => {
      const code = line.slice(line.indexOf(' ') + 1);
      return (
        code.length > formatter.lineWidth &&
        /^\s*(\/\/|\/?\*)/.test(code) &&
        !/@\w+ \{|https?:\S{60}|\S {2,}\S|^\s*(\/\/|\/?\*+)(?: {2,}| \|)/.test(code)
      );
    });
}

function sources(): readonly string[] {
  return ['packages', 'protocol', 'test', 'examples'].flatMap((folder) =>
    readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' })
      .filter(
        (path) => /\.(ts|mjs)$/.test(path) && !/(^|\/)(node_modules|dist|fixtures|vectors)\//.test(path),
      )
      .map((path) => join(folder, path)),
  );
}

describe('comments', () => {
  it('are no wider than code', () => {
    const files = sources();
    expect(files.length).toBeGreaterThan(400);
    expect(
      files.flatMap((path) =>
        wideComments(readFileSync(join(ROOT, path), 'utf8')).map((line) => `${path}:${line}`),
      ),
    ).toEqual([]);
  });

  it.each([`// ${'a word '.repeat(20)}`, `   * ${'a word '.repeat(20)}`, `/** ${'a word '.repeat(20)}*/`])(
    'that are too wide are found: %s',
    (line) => {
      expect(wideComments(line)).toHaveLength(1);
    },
  );
});
