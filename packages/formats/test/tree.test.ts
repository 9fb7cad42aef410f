import { describe, expect, it } from 'vitest';
import fc from '../../../test/seeded-fast-check.ts';
import type { TreeNode } from '../src/document/node.ts';
import { parseTree } from '../src/document/tree.ts';
import { FORMAT_LIMITS } from '../src/text/limits.ts';

/** What nobody may take for JSON: the YAML library reads what it stands behind. */
const COMMENT = '\n#';

function treeOf(text: string, limits = FORMAT_LIMITS): ReturnType<typeof parseTree> {
  return parseTree(Buffer.from(text), limits);
}

/** A tree with its places; where a text only may be told from the file's, an index within it may not. */
function placed(text: string): unknown {
  const { root, place, rejects } = treeOf(text);
  const plain = (node: TreeNode): unknown => {
    const at = place(node.offset);
    if (node.kind === 'text') return { value: node.value, at };
    if (node.kind === 'sequence') return { items: node.items.map(plain), at };
    const entries = Array.from(node.entries, ([key, { keyOffset, value }]) => [
      key,
      place(keyOffset),
      plain(value),
    ]);
    return { entries, at };
  };
  return { root: root && plain(root), rejects };
}

describe('trees of JSON', () => {
  it('are those of the YAML library', () => {
    const key = fc.oneof(
      fc.string({ minLength: 1, maxLength: 20 }),
      fc.constantFrom('__proto__', 'é€😀', ' '),
    );
    const { value } = fc.letrec((tie) => ({
      value: fc.oneof(
        { maxDepth: 4 },
        fc.oneof(
          fc.string({ unit: 'binary' }),
          fc.double({ noNaN: true, noDefaultInfinity: true }),
          fc.boolean(),
        ),
        fc.constant(null),
        fc.array(tie('value'), { maxLength: 4 }),
        fc.dictionary(key, tie('value'), { maxKeys: 4, noNullPrototype: false }),
      ),
    }));
    const root = fc.dictionary(key, value, { maxKeys: 5 });
    fc.assert(
      fc.property(
        root,
        fc.constantFrom(undefined, 2, '\t'),
        fc.constantFrom('', '\ufeff', ' \n'),
        (object, indent, before) => {
          const text = before + JSON.stringify(object, undefined, indent);
          expect(placed(text)).toEqual(placed(text + COMMENT));
        },
      ),
      { numRuns: 500 },
    );
  });

  it.each([
    ['a key twice', '{"a":1,"a":2}'],
    ['no comma', '{"a":1 "b":2}'],
    ['a number that JSON does not have', '{"a":010}'],
    ['an escape that JSON does not have', '{"a":"\\x41"}'],
    ['flow style', '{a: 1, b: [x]}'],
    ['a second document', '{"a":1}\n---\n{"b":2}'],
    ['too deep', `{"a":${'['.repeat(20)}${']'.repeat(20)}}`],
    ['an empty key', '{"":1}'],
  ])('are left to the library with %s', (_what, text) => {
    expect(placed(text)).toEqual(placed(text + COMMENT));
  });

  it('are bounded as others are', () => {
    const limits = { ...FORMAT_LIMITS, documentTokens: 100 };
    const text = JSON.stringify({ lists: Array.from({ length: 100 }, String) });
    expect(treeOf(text, limits).rejects.map(({ code }) => code)).toEqual(['too-many-tokens']);
  });

  it('of 100,000 values take no library', () => {
    const text = JSON.stringify({ lists: Array.from({ length: 100_000 }, String) });
    const { root } = treeOf(text);
    expect(root?.kind === 'mapping' && root.entries.get('lists')?.value.kind === 'sequence').toBe(true);
  });
});
