import { parse } from 'csv-parse/sync';
import { describe, expect, it } from 'vitest';
import fc from '../../../test/seeded-fast-check.ts';
import { Collector } from '../src/collect/collector.ts';
import { CSV_COLUMNS_MAX, eachCsvRecord } from '../src/csv/records.ts';

interface SeenRecord {
  readonly line: number;
  readonly fields: readonly string[];
}

function recordsOf(
  text: string,
  delimiter = ',',
): { readonly seen: readonly SeenRecord[]; readonly collector: Collector } {
  const bytes = Buffer.from(text);
  const collector = new Collector(bytes, {}, undefined);
  const seen: SeenRecord[] = [];
  eachCsvRecord(collector, 0, delimiter.charCodeAt(0), (record) => {
    const fields = Array.from({ length: record.count }, (_, i) =>
      Buffer.from(record.text.subarray(record.starts[i], record.ends[i])).toString('utf8'),
    );
    seen.push({ line: collector.line, fields });
  });
  return { seen, collector };
}

/** What the library makes of it, with comments and blank records taken out. */
function libraryRecords(text: string, delimiter: string): readonly (readonly string[])[] {
  const records: readonly (readonly string[])[] = parse(Buffer.from(text), {
    delimiter,
    record_delimiter: ['\r\n', '\n', '\r'],
    relax_column_count: true,
    skip_empty_lines: true,
  });
  return records
    .map((fields) => fields.map((field) => field.replace(/^[ \t]+|[ \t]+$/g, '')))
    .filter((fields) => fields.length > 1 || fields[0] !== '');
}

const field = fc.string({
  unit: fc.constantFrom('a', 'B', '1', '.', ':', '_', '-', ' ', '\t', 'é', '€', '(', "'"),
  maxLength: 8,
});
const lineEnd = fc.constantFrom('\n', '\r\n', '\r');
const delimiters = fc.constantFrom(',', ';', '|', '\t');

describe('CSV without quotes', () => {
  it('is cut into the same records as by the library', () => {
    fc.assert(
      fc.property(
        delimiters,
        fc.array(fc.tuple(fc.array(field, { minLength: 1, maxLength: 5 }), lineEnd), { maxLength: 8 }),
        fc.boolean(),
        (delimiter, rows, isOpen) => {
          let text = rows.map(([fields, end]) => fields.join(delimiter) + end).join('');
          if (isOpen) text = text.replace(/[\r\n]+$/, '');
          const isBlank = (fields: readonly string[]): boolean => fields.every((value) => value === '');
          const own = recordsOf(text, delimiter).seen.map(({ fields }) => fields);
          const library = libraryRecords(text, delimiter);
          expect(own.filter((fields) => !isBlank(fields))).toEqual(
            library.filter((fields) => !isBlank(fields)),
          );
        },
      ),
      { numRuns: 1000 },
    );
  });

  it('gives the line of each record, and counts comments', () => {
    const { seen, collector } = recordsOf('# x\na,b\r\n\r\n ; y\n c , d \r// z\ne');
    expect(seen).toEqual([
      { line: 2, fields: ['a', 'b'] },
      { line: 5, fields: ['c', 'd'] },
      { line: 7, fields: ['e'] },
    ]);
    expect([collector.line, collector.skipped()[0]?.count]).toEqual([7, 3]);
  });

  it('a semicolon that is the delimiter starts no comment', () => {
    expect(recordsOf(';b\na;c\n', ';').seen.map(({ fields }) => fields)).toEqual([
      ['', 'b'],
      ['a', 'c'],
    ]);
  });

  it('looks at so many columns and no more', () => {
    const [first] = recordsOf(`${'x,'.repeat(CSV_COLUMNS_MAX + 5)}\n`).seen;
    expect(first?.fields).toHaveLength(CSV_COLUMNS_MAX);
  });
});

describe('CSV with quotes', () => {
  it('gives the fields that were written, by whatever way', () => {
    const value = fc.string({ unit: fc.constantFrom('a', '"', ',', '\n', ' ', 'é', '1'), maxLength: 6 });
    const row = fc.array(fc.tuple(value, fc.boolean()), { minLength: 1, maxLength: 4 });
    fc.assert(
      fc.property(fc.array(row, { maxLength: 6 }), (rows) => {
        const trimmed = (text: string): string => text.replace(/^[ \t]+|[ \t]+$/g, '');
        const text = rows
          .map((cells) =>
            cells
              .map(([cell, isQuoted]) =>
                isQuoted || /["\n,]/.test(cell) ? `"${cell.replaceAll('"', '""')}"` : cell,
              )
              .join(','),
          )
          .join('\n');
        const expected = rows
          .map((cells) => cells.map(([cell]) => trimmed(cell)))
          .filter((cells) => cells.some((cell) => cell !== ''));
        const own = recordsOf(text).seen.map(({ fields }) => fields);
        expect(own.filter((fields) => fields.some((cell) => cell !== ''))).toEqual(expected);
      }),
      { numRuns: 1000 },
    );
  });

  it('is cut into the same records as by the library', () => {
    const value = fc.string({
      unit: fc.constantFrom('a', '"', ',', ';', '\t', '\n', ' ', '1', '#'),
      maxLength: 5,
    });
    const blanks = fc.constantFrom('', '', ' ');
    const cell = fc.tuple(value, fc.boolean(), blanks, blanks);
    const rows = fc.array(fc.tuple(fc.array(cell, { minLength: 1, maxLength: 4 }), lineEnd), {
      maxLength: 6,
    });
    fc.assert(
      fc.property(delimiters, rows, (delimiter, records) => {
        const text = records
          .map(([cells, end]) => {
            const fields = cells.map(([inner, isQuoted, before, after]) => {
              const quoted = `"${inner.replaceAll('"', '""')}"`;
              if (!isQuoted) return inner.replace(/["\s#,;|]/g, '');
              return delimiter === '\t' ? quoted : before + quoted + after;
            });
            return fields.join(delimiter) + end;
          })
          .join('');
        const own = recordsOf(text, delimiter);
        const library: readonly (readonly string[])[] = parse(Buffer.from(text), {
          delimiter,
          record_delimiter: ['\r\n', '\n', '\r'],
          relax_column_count: true,
          skip_empty_lines: true,
          trim: delimiter !== '\t',
        });
        const isComment = ([first = '']: readonly string[]): boolean =>
          (delimiter === ';' ? /^[ \t]*#/ : /^[ \t]*[#;]/).test(first);
        const trimmed = library
          .filter((fields) => !isComment(fields))
          .map((fields) => fields.map((field) => field.replace(/^[ \t]+|[ \t]+$/g, '')));
        const isBlank = (fields: readonly string[]): boolean => fields.every((field) => field === '');
        expect(own.collector.rejects.kept).toEqual([]);
        expect(own.seen.map(({ fields }) => fields).filter((fields) => !isBlank(fields))).toEqual(
          trimmed.filter((fields) => !isBlank(fields)),
        );
      }),
      { numRuns: 1000 },
    );
  });

  it('gives the line that a record begins in, whatever the line ends within quotes', () => {
    for (const end of ['\n', '\r\n', '\r']) {
      const { seen } = recordsOf(`a,b\n\n"c${end}d",e\r\nf,"g"\n\nh\n`);
      expect(seen.map(({ line }) => line)).toEqual([1, 3, 5, 7]);
    }
    const { seen, collector } = recordsOf('a,b\n\n"c\nd",e\r\nf,"g"\n\nh\n');
    expect(seen).toEqual([
      { line: 1, fields: ['a', 'b'] },
      { line: 3, fields: ['c\nd', 'e'] },
      { line: 5, fields: ['f', 'g'] },
      { line: 7, fields: ['h'] },
    ]);
    expect(collector.line).toBe(7);
  });

  it('goes on behind a record that is none', () => {
    const { seen, collector } = recordsOf('"a","b"\n"c"x,d\n"e","f"\n');
    expect(seen.map(({ fields }) => fields)).toEqual([
      ['a', 'b'],
      ['e', 'f'],
    ]);
    expect(collector.rejects.kept).toMatchObject([{ line: 2, column: 1, code: 'bad-csv' }]);
  });

  it('gives up where most quotes are wrong', () => {
    const { collector } = recordsOf('"a"b,c\n'.repeat(1500));
    expect(collector.rejects.count).toBe(1001);
    expect(collector.fault).toMatchObject({ line: 1000, code: 'bad-csv' });
  });

  it.each([
    ['a quote that is never closed', '"a","b"\n"c,d\ne,f\n', 2],
    ['a record longer than any line may be', `"a"\n"${'x\n'.repeat(40_000)}"\n`, undefined],
  ])('rejects %s', (_name, text, line) => {
    const { seen, collector } = recordsOf(text);
    expect(seen[0]?.line).toBe(1);
    expect(collector.rejects.count).toBeGreaterThan(0);
    for (const reject of collector.rejects.kept) {
      expect(reject).toMatchObject({ column: 1, code: 'bad-csv' });
      if (line !== undefined) expect(reject.line).toBe(line);
      expect(reject.line).toBeLessThanOrEqual(collector.line);
    }
  });
});
