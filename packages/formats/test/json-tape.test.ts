import { describe, expect, it } from 'vitest';
import fc from '../../../test/seeded-fast-check.ts';
import { JsonTape } from '../src/json/tape.ts';
import { importList } from '../src/list/import.ts';

/** A value of the tape, built as JSON.parse builds it. */
function built(tape: JsonTape, value: number): unknown {
  switch (tape.kind(value)) {
    case 'object': {
      const members: [string, unknown][] = [];
      tape.members(value, (key, member) => members.push([key, built(tape, member)]));
      return Object.fromEntries(members);
    }
    case 'array': {
      const items: unknown[] = [];
      tape.items(value, (item) => items.push(built(tape, item)));
      return items;
    }
    case 'string':
      return tape.string(value);
    case 'word':
      return JSON.parse(tape.fault === undefined ? tape.string(value) : 'null');
  }
}

function tapeOf(text: string): JsonTape {
  return new JsonTape(Buffer.from(text), 0);
}

describe('JsonTape', () => {
  it('finds what JSON.parse finds', () => {
    fc.assert(
      fc.property(fc.json({ maxDepth: 5 }), fc.constantFrom(undefined, 2, '\t'), (text, indent) => {
        const value: unknown = JSON.parse(text);
        const printed = JSON.stringify(value, undefined, indent);
        // Own keys named __proto__ are lost on the way of fromEntries and of a reviver alike.
        fc.pre(!printed.includes('__proto__'));
        const tape = tapeOf(printed);
        expect(tape.fault).toBeUndefined();
        expect(built(tape, 0)).toEqual(JSON.parse(printed));
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
        const tape = tapeOf(text);
        const isOne = tape.fault === undefined && tape.count > 0 && tape.next(0) === tape.count;
        expect(isOne).toBe(isJson);
        if (tape.fault !== undefined) expect(tape.fault.line >= 1 && tape.fault.column >= 1).toBe(true);
        // What was read before a fault can be walked.
        if (tape.count > 0) expect(() => built(tape, 0)).not.toThrow();
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
    ['["\\x"]', 1, 2, false],
    ['{"a": 1, "b"', 1, 13, true],
    [`[${'1'.repeat(128)}x]`, 1, 2, false],
    [`[${'1'.repeat(129)}]`, 1, 2, false],
  ])('%j is wrong at line %d column %d; truncated: %s', (text, line, column, isTruncated) => {
    expect(tapeOf(text).fault).toMatchObject({ line, column, isTruncated });
  });

  it('takes a nesting of 64 and not of 65', () => {
    const nested = (depth: number): string => '['.repeat(depth) + ']'.repeat(depth);
    expect(tapeOf(nested(64)).fault).toBeUndefined();
    expect(tapeOf(nested(65)).fault?.message).toBe('nested more than 64 deep');
    expect(tapeOf('['.repeat(1_000_000)).fault?.column).toBe(65);
  });

  // What stood last in an object was taken for its end, though it was an index.
  it('looks through all of a value that is not used, whatever ends it', () => {
    const text = '[{"cidr": "192.0.2.0/24", "n": [{"via": "198.51.100.1"}, 7, {}]}]';
    const { entries, rejects } = importList('', Buffer.from(text), { format: 'json' });
    expect(entries).toBe(0);
    expect(rejects).toMatchObject([{ line: 1, column: 32, code: 'second-address' }]);
  });

  it('in one line has each reject in its column, however many there are', () => {
    const text = `[${'{"x":1},7,{"ip":"bad!"},'.repeat(30_000)}7]`;
    const { rejectCount, rejects } = importList('', Buffer.from(text), { format: 'json' });
    expect(rejectCount).toBe(90_001);
    expect(rejects.at(4)).toMatchObject({ line: 1, column: 34, code: 'unexpected-value' });
  });

  it('gives strings as bytes of the file, and with escapes as bytes of their own', () => {
    const bytes = Buffer.from('[\n "abc",\n\t"a\\/b\\u0041" ]');
    const tape = new JsonTape(bytes, 0);
    const seen: unknown[] = [];
    tape.items(0, (item) => {
      const { text, start, end } = tape.text(item);
      const value = Buffer.from(text.subarray(start, end)).toString('utf8');
      const { line, lineStart } = tape.placeAt(tape.startOf(item));
      seen.push([value, text === bytes, line, tape.startOf(item) - lineStart + 1]);
    });
    expect(seen).toEqual([
      ['abc', true, 2, 2],
      ['a/bA', false, 3, 2],
    ]);
  });

  it('says where any byte stands, in whatever order one asks', () => {
    const bytes = Buffer.from('[1,\n2,\r\n\r3,\n\n4]\n');
    const tape = new JsonTape(bytes, 0);
    const twin = (at: number): readonly number[] => {
      const lines = bytes.toString('latin1', 0, at).split(/\r\n|\n|\r(?!$)|\r(?=$)/);
      return [lines.length, at - (lines.at(-1) ?? '').length];
    };
    const isWithin = (at: number): boolean => bytes[at] === 0x0a && bytes[at - 1] === 0x0d;
    for (let from = 0; from <= bytes.length; from++) {
      for (let to = 0; to <= bytes.length; to++) {
        if (isWithin(to)) continue; // between the two of a line end nothing stands
        tape.placeAt(from);
        const { line, lineStart } = tape.placeAt(to);
        expect([line, lineStart], `${from} to ${to}`).toEqual(twin(to));
      }
    }
  });

  it('holds values one after the other', () => {
    const tape = tapeOf('{"a": 1}\n[2]\n"b"');
    expect([0, tape.next(0), tape.next(3), tape.next(5)]).toEqual([0, 3, 5, 6]);
    expect([tape.count, tape.lineCount]).toEqual([6, 3]);
  });
});
