/** A command line of options alone, as the daemons have it. */

import { describe, expect, it } from 'vitest';
import { readOptions, strictYargs } from '../src/command-line.ts';
import { EXIT_USAGE, ProgramError } from '../src/exit.ts';

const cli = () =>
  strictYargs('daemon', new URL('../package.json', import.meta.url))
    .usage('$0 [options]')
    .option('boot', { requiresArg: true, choices: ['closed', 'open'] as const, default: 'closed' as const })
    .option('enforce', { type: 'boolean', default: false })
    .option('listen', { type: 'string', array: true, requiresArg: true })
    .option('state', { type: 'string', requiresArg: true });

function read(words: readonly string[], variables: Readonly<Record<string, string>> = {}) {
  const environment = { prefix: 'DAEMON', options: ['boot', 'enforce', 'state'] };
  return readOptions(cli(), words, { repeatable: ['listen'], environment, variables });
}

describe('readOptions', () => {
  it('gives the values, those of the environment where the command line has none', () => {
    const variables = { DAEMON_STATE: '/a', DAEMON_ENFORCE: 'true', DAEMON_BOOT: 'open' };
    expect(read(['--boot', 'closed', '--listen', 'a', '--listen', 'b'], variables)).toMatchObject({
      kind: 'values',
      values: { boot: 'closed', enforce: true, state: '/a', listen: ['a', 'b'] },
    });
    expect(read(['--no-enforce'], variables)).toMatchObject({ values: { enforce: false, boot: 'open' } });
  });

  it.each<[readonly string[], string]>([
    [['--boot', 'closed', '--boot', 'closed'], '--boot is given twice: give it once'],
    [['--boot', 'ajar'], '--boot "ajar": write one of "closed", "open"'],
    [['--boot'], '--boot needs a value'],
    [['--state', ''], '--state has an empty value: give it one, or leave it out'],
    [['--enforce=yes'], '--enforce=yes: write --enforce alone, or true or false as its value'],
    [['--bot', 'closed'], 'Unknown argument: bot'],
    [['--listen', 'a', 'b'], 'Unknown argument: b'],
    [['--state', 'a', '--', '--boot', 'open'], '--boot is no option: leave it out'], // was ignored
  ])('refuses %j', (words, message) => {
    const thrown = thrownBy(() => read(words));
    expect(thrown).toBeInstanceOf(ProgramError);
    expect(thrown).toMatchObject({ exit: EXIT_USAGE, message });
  });

  it('names the variables where one of them may be at fault', () => {
    expect(thrownBy(() => read([], { DAEMON_BOOT: 'Open', DAEMON_STATE: '/a' }))).toMatchObject({
      exit: EXIT_USAGE,
      message:
        '--boot "Open": write one of "closed", "open" (given by the environment: DAEMON_BOOT, DAEMON_STATE)',
    });
    expect(thrownBy(() => read([], { DAEMON_ENFORCE: 'yes' }))).toMatchObject({ exit: EXIT_USAGE });
  });

  it('gives the text of --help and --version', () => {
    expect(read(['--help'])).toMatchObject({ kind: 'text', text: expect.stringContaining('--state') });
    expect(read(['--version'])).toEqual({ kind: 'text', text: '0.3.0' });
  });
});

function thrownBy(call: () => unknown): unknown {
  try {
    call();
  } catch (error) {
    return error;
  }
  throw new Error('nothing was thrown');
}
