/** Command lines that are read without yargs have the values that yargs gives them. */

import { plainValues } from '@rulecast/program';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Add, COMMANDS, withGlobalOptions } from '../src/command.ts';
import { Terminal } from '../src/terminal/terminal.ts';
import { readByYargs } from '../src/yargs-line.ts';

const terminal = new Terminal({ XDG_RUNTIME_DIR: '/run/user/7' });

async function plainly([first = '', ...words]: readonly string[]): Promise<unknown> {
  let values: unknown;
  const add: Add = (command) => {
    const declare: Parameters<typeof plainValues>[1] = (yargs) =>
      command.builder(withGlobalOptions(yargs, terminal.environment));
    values = plainValues(command.command, declare, words);
  };
  await COMMANDS.get(first)?.(add);
  return values;
}

/** What yargs gives a command, without what no command looks at; undefined where it refuses. */
async function byYargs(words: readonly string[]): Promise<unknown> {
  try {
    const chosen = await readByYargs(words, terminal);
    if (typeof chosen === 'string') return undefined;
    const { _, $0, ...values } = chosen.values;
    return values;
  } catch {
    return undefined;
  }
}

/** A line that people write of each command, and more of those with more to them. */
const USUAL = [
  ['push', 'a.yaml'],
  ['push', 'a.yaml', 'b.txt', '--list', 'x', '--timeout=5', '--require', 'fw-a', '--require=fw-b', '--json'],
  ['push', '--merge', '--no-wait', '--allow-shrink', '--no-color', 'a', '--control', 'unix:/tmp/a'],
  ['push', '--wait', 'applied', '--format', 'plain', '--if-version', '07', 'a'],
  ['status'],
  ['status', '--json', '--counters'],
  ['test', '10.137.0.5 > 192.0.2.7 tcp/443', '--expect', 'drop'],
  ['test', '--offline', 'a', '--offline', 'b', '--resolve', 'a.com=192.0.2.7', '192.0.2.7', '192.0.2.8'],
  ['names'],
  ['names', '10.137.0.5'],
  ['history', '--last', '3'],
  ['get', 'all', '--version', '41'],
  ['diff', '41..42', '--list', 'a'],
  ['rollback', '41', '--timeout', '1e3'],
  ['forget', '0x10'],
  ['lists'],
  ['list', 'a', '--export', 'nft'],
  ['refresh'],
  ['refresh', 'a', 'b'],
  ['check', 'a', '--json'],
  ['config', 'check', 'a'],
  ['import', 'qubes', 'a', 'b', '--addresses', 'c'],
  ['doctor'],
  ['keygen', 'a'],
  ['keys', 'show'],
  ['keys', 'sign', 'a', '--root-key', 'b'],
] as const;

/** Of another kind than those: what is asked, wrong, or written in a way that yargs makes something of. */
const OTHERS = [
  [],
  ['--help'],
  ['pusch', 'a'],
  ['--no-color', 'status'],
  ['status', '--help'],
  ['status', '-h'],
  ['status', 'a'],
  ['status', '--js'],
  ['status', '--json', 'true'],
  ['status', '--json=false'],
  ['status', '--json', '--json'],
  ['status', '--control'],
  ['status', '--control='],
  ['status', '--control', '--json'],
  ['push'],
  ['push', '-'],
  ['push', '--', 'a'],
  ['push', "'a'"],
  ['push', 'a', '--format', 'none'],
  ['push', 'a', '--list', 'x', '--list', 'y'],
  ['push', 'a', '--allowShrink'],
  ['test', '--expect', 'maybe'],
  ['config', 'look', 'a'],
  ['import', 'qubes', 'a'],
  ['list'],
  ['list', 'a', 'b'],
] as const;

describe('plain command lines', () => {
  it('of each command are read, with the values of yargs', async () => {
    expect(new Set(USUAL.map(([first]) => first))).toEqual(new Set(COMMANDS.keys()));
    for (const words of USUAL) {
      const values = await plainly(words);
      expect(values, words.join(' ')).toBeDefined();
      expect(values, words.join(' ')).toEqual(await byYargs(words));
    }
  });

  it('are no others', async () => {
    for (const words of OTHERS) expect(await plainly(words), words.join(' ')).toBeUndefined();
  });

  it('have the values of yargs whatever words there are', async () => {
    const word = fc.oneof(
      fc.constantFrom(...USUAL.flat(), ...OTHERS.flat(), 'true', '0', '-1', '--no-json', '--version', '..'),
      fc.string({ maxLength: 4 }),
      fc.string({ maxLength: 4 }).map((text) => `--list=${text}`),
    );
    const line = fc.tuple(fc.constantFrom(...COMMANDS.keys()), fc.array(word, { maxLength: 5 }));
    let plainCount = 0;
    await fc.assert(
      fc.asyncProperty(line, async ([first, words]) => {
        const values = await plainly([first, ...words]);
        if (values === undefined) return;
        plainCount++;
        expect(values).toEqual(await byYargs([first, ...words]));
      }),
      { numRuns: 1500 },
    );
    expect(plainCount).toBeGreaterThan(20);
  });
});
