/** What yargs would take for something that nobody wrote. */

import { describe, expect, it } from 'vitest';
import { checkSwitches, checkWords, environmentWords, type WordRules } from '../src/words.ts';

const RULES: WordRules = { repeatable: new Set(['listen']), hasOpposites: true };

describe('checkWords', () => {
  it.each<[string, readonly string[]]>([
    ['the same value', ['--boot', 'closed', '--boot', 'closed']],
    ['with = and without', ['--boot=closed', '--boot', 'closed']],
    ['a switch', ['--boot', '--boot']],
    ['a switch and its opposite', ['--boot', '--no-boot']],
    ['in camel case', ['--flow-marks', '--flowMarks']],
  ])('refuses an option that is given twice: %s', (_what, words) => {
    expect(() => checkWords(words, RULES)).toThrow(/^--(boot|flow-marks) is given twice: give it once$/);
  });

  it.each<[string, readonly string[]]>([
    ['after =', ['--state=']],
    ['as a word', ['--state', '']],
  ])('refuses an empty value: %s', (_what, words) => {
    expect(() => checkWords(words, RULES)).toThrow('--state has an empty value');
  });

  // An unset variable in a shell: `rulectl keys fleet "$FILE"` reported that it cannot write ''.
  it.each<[string, readonly string[]]>([
    ['alone', ['']],
    ['behind others', ['--state', 'a', 'push', '']],
    ['after --', ['--', '']],
  ])('refuses an empty argument: %s', (_what, words) => {
    expect(() => checkWords(words, RULES)).toThrow('an argument is empty');
  });

  it.each<[string, readonly string[]]>([
    ['what gathers', ['--listen', 'unix:/a', '--listen', 'unix:/b']],
    ['words after --', ['--state', 'a', '--', '--state', '--state']],
    ['values that look alike', ['--state', 'state', 'state']],
  ])('takes %s', (_what, words) => {
    expect(() => checkWords(words, RULES)).not.toThrow();
  });

  it('takes an empty value where that means something', () => {
    expect(() => checkWords(['--dns', ''], { ...RULES, mayBeEmpty: new Set(['dns']) })).not.toThrow();
  });

  it('keeps --x and --no-x apart where they are options of their own', () => {
    expect(() => checkWords(['--wait', '--no-wait'], { ...RULES, hasOpposites: false })).not.toThrow();
  });
});

describe('checkSwitches', () => {
  // yargs makes false of each: --enforce=yes did not enforce, --dry-run=1 released.
  it.each(['yes', '1', 'on', 'True', ''])('refuses --enforce=%s', (value) => {
    expect(() => checkSwitches([`--enforce=${value}`], RULES, { enforce: false })).toThrow(
      `--enforce=${value}: write --enforce alone, or true or false as its value`,
    );
  });

  it.each([
    ['--enforce=true', true],
    ['--enforce=false', false],
    ['--enforce', true],
  ])('takes %s', (word, enforce) => {
    expect(() => checkSwitches([word], RULES, { enforce })).not.toThrow();
  });

  it('leaves options with values alone', () => {
    expect(() => checkSwitches(['--name=yes'], RULES, { name: 'yes' })).not.toThrow();
  });
});

describe('environmentWords', () => {
  const options = { prefix: 'RULECAST', options: ['boot', 'flow-marks'] };

  it('makes words of variables, for options that the command line does not have', () => {
    const variables = { RULECAST_BOOT: 'open', RULECAST_FLOW_MARKS: 'false', RULECAST_OTHER: 'x' };
    expect(environmentWords(['--boot', 'closed'], RULES, variables, options)).toEqual([
      { variable: 'RULECAST_FLOW_MARKS', word: '--flow-marks=false' },
    ]);
    expect(environmentWords(['--no-flow-marks'], RULES, variables, options)).toEqual([
      { variable: 'RULECAST_BOOT', word: '--boot=open' },
    ]);
  });

  it('takes an empty variable for none', () => {
    expect(environmentWords([], RULES, { RULECAST_BOOT: '' }, options)).toEqual([]);
  });
});
