import { describe, expect, it } from 'vitest';
import { breaches, misnamedSources } from '../rooms.mjs';

const ROOMS = ['limits.ts', 'memory', 'image', 'lookup'];
const found = (path: string, text: string) =>
  breaches('packages/table', path, text, ROOMS, new Set(['@rulecast/rules']));

describe('the order of rooms', () => {
  it.each([
    ['a file of its own room', 'image/a.ts', "import { a } from './b.ts';"],
    ['a room below', 'image/a.ts', "import type { a } from '../memory/b.ts';"],
    ['a named file below', 'memory/a.ts', "export { a } from '../limits.ts';"],
    ['anything, from the top', 'index.ts', "export { a } from './lookup/b.ts';"],
    ['a package that package.json names', 'image/a.ts', "import { a } from '@rulecast/rules';"],
    ['a library', 'image/a.ts', "import { a } from 'yaml';"],
    ['a built file', 'lookup/a.ts', "new URL('../../dist/a.wasm', import.meta.url)"],
  ])('allows %s', (_, path, text) => {
    expect(found(path, text)).toEqual([]);
  });

  it.each([
    ['a room above', 'memory/a.ts', "import { a } from '../image/b.ts';"],
    ['a room above, over lines', 'memory/a.ts', "import {\n  a,\n} from\n  '../image/b.ts';"],
    ['a room above, on demand', 'memory/a.ts', "await import('../image/b.ts')"],
    ['a room above, as a thread', 'memory/a.ts', "new URL('../image/b.ts', import.meta.url)"],
    ['a room above, for its effects', 'memory/a.ts', "import '../image/b.ts';"],
    ['a file on top', 'lookup/a.ts', "import { a } from '../table.ts';"],
    ['a package that package.json does not name', 'index.ts', "import { a } from '@rulecast/publisher/x';"],
    ['a folder that has no place', 'index.ts', "import { a } from './other/b.ts';"],
    ['a file in a folder that has no place', 'other/a.ts', ''],
  ])('refuses %s', (_, path, text) => {
    expect(found(path, text)).toHaveLength(1);
  });
});

describe('what a package exports', () => {
  const FILES = new Set(['index.ts', 'image/a.ts']);
  const built = { types: './dist/image/a.d.ts', default: './dist/image/a.js' };

  it('is one file, as source and built', () => {
    expect(misnamedSources({ './a': { '@rulecast/source': './src/image/a.ts', ...built } }, FILES)).toEqual(
      [],
    );
  });

  it.each([
    ['no source', built],
    ['a source that is not there', { '@rulecast/source': './src/a.ts', ...built }],
    ['another source', { '@rulecast/source': './src/index.ts', ...built }],
  ])('is refused with %s', (_, conditions) => {
    expect(misnamedSources({ './a': conditions }, FILES)).toHaveLength(1);
  });
});
