import { describe, expect, it } from 'vitest';
import fc from '../../../test/seeded-fast-check.ts';
import { JsonCursor, JsonError } from '../src/json/cursor.ts';

/** The value that the cursor finds, built as JSON.parse builds it. */
function read(json: JsonCursor): unknown {
  switch (json.peek()) {
    case 'object': {
      const members: [string, unknown][] = [];
      json.object((key) => members.push([key, read(json)]));
      return Object.fromEntries(members);
    }
    case 'array': {
      const items: unknown[] = [];
      json.array(() => items.push(read(json)));
      return items;
    }
    case 'string':
      return json.word();
    case 'number':
      return json.number();
    case 'literal':
    case 'end': {
      json.skip();
      return 'a literal';
    }
  }
}

function parsed(text: string): unknown {
  const json = new JsonCursor(Buffer.from(text), 0);
  const value = read(json);
  if (json.peek() !== 'end') throw json.error('more');
  return value;
}

function errorOf(text: string): JsonError {
  try {
    const json = new JsonCursor(Buffer.from(text), 0);
    json.skip();
    if (json.peek() !== 'end') throw json.error('more');
  } catch (error) {
    if (error instanceof JsonError) return error;
  }
  throw new Error('it was taken');
}

const withoutLiterals = (value: unknown): unknown =>
  JSON.parse(JSON.stringify(value), (_, member: unknown) =>
    typeof member === 'boolean' || member === null ? 'a literal' : member,
  );

describe('JsonCursor', () => {
  it('finds what JSON.parse finds', () => {
    fc.assert(
      fc.property(fc.json({ maxDepth: 5 }), fc.constantFrom(undefined, 2, '\t'), (text, indent) => {
        const value: unknown = JSON.parse(text);
        const printed = JSON.stringify(value, undefined, indent);
        // Own keys named __proto__ are lost on the way of fromEntries and of a reviver alike.
        fc.pre(!printed.includes('__proto__'));
        expect(parsed(printed)).toEqual(withoutLiterals(value));
      }),
    );
  });

  it('refuses what JSON.parse refuses, and passes over what it takes', () => {
    const piece = fc.constantFrom(
      '{',
      '}',
      '[',
      ']',
      ',',
      ':',
      '"a"',
      '1',
      '-',
      '0.5e3',
      'true',
      'nul',
      ' ',
      '\n',
      '"\\x"',
      '"\\n"',
      '"',
    );
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 12 }), (pieces) => {
        const text = pieces.join('');
        let isJson = true;
        try {
          JSON.parse(text);
        } catch {
          isJson = false;
        }
        let isTaken = true;
        try {
          parsed(text);
        } catch (error) {
          if (!(error instanceof JsonError)) throw error;
          isTaken = false;
          expect(error.line >= 1 && error.column >= 1).toBe(true);
        }
        expect(isTaken).toBe(isJson);
      }),
      { numRuns: 5000 },
    );
  });

  it.each([
    ['{"a": 1', 1, 8, true],
    ['{"a" 1}', 1, 6, false],
    ['{"a": 1,\n  }', 2, 3, false],
    ['[1 2]', 1, 4, false],
    ['["é", x]', 1, 7, false],
    ['[01]', 1, 2, false],
    ['"abc', 1, 5, true],
    ['"a\nb"', 1, 3, false],
    ['[tru', 1, 5, true],
    ['', 1, 1, true],
    ['1 2', 1, 3, false],
  ])('%j is wrong at line %d column %d; truncated: %s', (text, line, column, isTruncated) => {
    expect(errorOf(text)).toMatchObject({ line, column, isTruncated });
  });

  it('takes a nesting of 64 and not of 65', () => {
    const nested = (depth: number): string => '['.repeat(depth) + ']'.repeat(depth);
    expect(() => parsed(nested(64))).not.toThrow();
    expect(errorOf(nested(65)).message).toBe('nested more than 64 deep');
    expect(errorOf('['.repeat(1_000_000)).column).toBe(65);
  });

  it('gives strings as bytes of the file, and with escapes as bytes of their own', () => {
    const bytes = Buffer.from('[\n "abc",\n\t"a\\/b\\u0041" ]');
    const json = new JsonCursor(bytes, 0);
    const seen: unknown[] = [];
    json.array(() => {
      const { text, start, end, line, lineStart, at } = json.string();
      const value = Buffer.from(text.subarray(start, end)).toString('utf8');
      seen.push([value, text === bytes, line, at - lineStart + 1]);
    });
    expect(seen).toEqual([
      ['abc', true, 2, 3],
      ['a/bA', false, 3, 3],
    ]);
  });

  it('a visitor may leave values, which are checked all the same', () => {
    const json = new JsonCursor(Buffer.from('{"a": {"b": [1, {"c": "d"}]}, "e": "f"}'), 0);
    const keys: string[] = [];
    json.object((key) => keys.push(key));
    expect(keys).toEqual(['a', 'e']);
    expect(errorOf('{"a": {"b": [1, {"c" "d"}]}, "e": "f"}')).toMatchObject({ column: 22 });
  });
});
