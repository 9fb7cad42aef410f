import { expect, it } from 'vitest';
import { listUse } from '../src/list-use.ts';

const file = (name: string, text: string) => ({ name, role: 'pushed' as const, bytes: Buffer.from(text) });

it('is the first rule of the files that names a list, comments aside', () => {
  const files = [
    file('a.txt', '192.0.2.1\n'),
    file('b.rules', '# drop dst=@rusia\ndrop dst=@rusia2\ndrop dst=@rusia-x\n  drop proto=tcp dst=@rusia\n'),
  ];
  expect(listUse(files, 'rusia')).toEqual({ file: 'b.rules', line: 4, column: 22 });
  expect(listUse([file('d.yaml', 'egress: ["drop dst=@a.b"]\n')], 'a.b')).toMatchObject({
    line: 1,
    column: 20,
  });
  expect(listUse(files, 'a.b')).toBeUndefined();
});

// Each blank line was the begin of a search through all others.
it('is found behind millions of blank lines, and in the first 16 MiB alone', () => {
  const blank = 2 ** 23;
  const text = `${'\n'.repeat(blank)}drop dst=@far\n`;
  expect(listUse([file('x.rules', text)], 'far')).toEqual({ file: 'x.rules', line: blank + 1, column: 10 });
  expect(listUse([file('x.rules', `${' '.repeat(2 ** 24)}drop dst=@far`)], 'far')).toBeUndefined();
});
