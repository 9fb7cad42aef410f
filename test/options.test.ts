/** The command lines of `npm run fuzz`, `simulate` and `mutants` take nothing for something else. */

import { describe, expect, it } from 'vitest';
import { givenOptions, numberGiven } from './kit/options.mjs';
import { optionsOf } from './simulate/options.mjs';

describe('options of commands', () => {
  it('are those that were given', () => {
    const given = givenOptions(['--seed', '3', '--loud'], ['seed', 'minutes'], ['loud']);
    expect([...(given ?? [])]).toEqual([
      ['seed', '3'],
      ['loud', ''],
    ]);
    expect(numberGiven(given ?? new Map(), 'seed', 1)).toBe(3);
    expect(numberGiven(given ?? new Map(), 'minutes', 4)).toBe(4);
  });

  it.each([
    ['unknown', ['--sead', '3']],
    ['twice', ['--seed', '3', '--seed', '4']],
    ['a flag twice', ['--loud', '--loud']],
    ['without a value', ['--seed']],
    ['an empty value', ['--seed', '']],
    ['no option', ['seed', '3']],
  ])('are refused: %s', (_, args) => {
    expect(givenOptions(args, ['seed'], ['loud'])).toBeUndefined();
  });

  it.each([['--seed'], ['--hours'], ['--minutes'], ['--jobs']])('of simulate: %s is a number', (name) => {
    expect(optionsOf([name, 'many'])).toBeUndefined();
  });
});
