/** Command lines of 0.2, which go on until 0.4. */

import { expect, it } from 'vitest';
import { withoutOldCommand } from '../src/old-words.ts';
import { rulectl } from './cli.ts';

it.each([
  ['list ads --stats', 'lists show ads --stats', 'list', 'lists show'],
  ['refresh', 'lists refresh', 'refresh', 'lists refresh'],
  ['refresh ads --permit shrunk', 'lists refresh ads --permit shrunk', 'refresh', 'lists refresh'],
  ['keygen own.key', 'keys new own.key', 'keygen', 'keys new'],
  ['config check --json a.yaml', 'check --json a.yaml', 'config check', 'check'],
  [
    'test --offline a.yaml 192.0.2.1 --json --offline=b.txt --resolve a=192.0.2.1 --dns= --at 5 -- -x',
    'check a.yaml --test=192.0.2.1 --json b.txt --address a=192.0.2.1 --dns  --at 5 --test=-x',
    'test --offline',
    'check FILE --test PACKET',
  ],
  ['test --offline', 'check --test', 'test --offline', 'check FILE --test PACKET'],
])('%s is read as %s', (line, now, old, successor) => {
  const { words, warnings } = withoutOldCommand(line.split(' '));
  expect(words.join(' ')).toBe(now);
  expect(warnings).toEqual([`${old} goes with 0.4: write rulectl ${successor}`]);
});

it.each(['lists', 'config show', 'test a', 'test -- --offline', 'lists show list', 'push list', ''])(
  '%j stays as it is',
  (line) => {
    const words = line.split(' ');
    expect(withoutOldCommand(words)).toEqual({ words, warnings: [] });
  },
);

it('warns on standard error, and goes on', async () => {
  const [old, now] = [
    await rulectl(['--no-color', 'list', '--help']),
    await rulectl(['lists', 'show', '--help']),
  ];
  expect(old).toEqual({ ...now, stderr: 'rulectl: list goes with 0.4: write rulectl lists show\n' });
});
