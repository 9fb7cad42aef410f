/** What shells complete of `rulectl`, of what its help says: asked of the shells themselves. */

import { execFileSync, spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { bashCompletion, fishCompletion, zshCompletion } from '../../packaging/completion.mjs';
import { helpOf } from '../../packaging/help.mjs';
import { ROOT } from '../docs/blocks.ts';
import { temporaryDirectory } from '../kit/directory.ts';

const program = helpOf(join(ROOT, 'packages/rulectl/bin/rulectl.js'), 'rulectl');

/** Why a shell cannot be asked, printed; undefined where it can. Throws instead where CI=true. */
function gapOf(shell: string): string | undefined {
  if (spawnSync('which', [shell]).status === 0) return undefined;
  if (process.env['CI'] === 'true') throw new Error(`${shell} is not installed`);
  console.log(`completions of ${shell} are not tried: it is not installed`);
  return shell;
}

/** In a directory of its own. */
function written(name: string, text: string): string {
  const file = join(temporaryDirectory(), name);
  writeFileSync(file, text);
  return file;
}

/** What is said on standard output. Throws for anything on standard error. */
function said(shell: string, ...args: readonly string[]): string {
  const { stdout, stderr } = spawnSync(shell, args, { encoding: 'utf8', env: { HOME: '/', ...PATH } });
  if (stderr !== '') throw new Error(stderr);
  return stdout;
}

const PATH = { PATH: process.env['PATH'] };
/** The words so far, and what may come. */
const CASES: readonly (readonly [words: readonly string[], answers: readonly string[]])[] = [
  [['pu'], ['push']],
  [['status', '--cou'], ['--counters']],
  [['push', '--dry'], ['--dry-run']],
  [['push', '--nothing-like-it'], []],
  [['li'], ['lists']],
  [['lists', 'sh'], ['show']],
  [['lists', 'outd'], ['outdated']],
  [['lists', '--sour'], ['--sources']],
  [['lists', 'show', '--st'], ['--stats']],
  [['lists', 'show', '--sources'], []],
];

describe.skipIf(gapOf('bash') !== undefined)('bash', () => {
  it.each(CASES)('completes rulectl %j', (words, answers) => {
    const file = written('rulectl.bash', bashCompletion(program));
    const ask = `source ${file}; COMP_WORDS=(rulectl ${words.join(' ')}); COMP_CWORD=${words.length}; _rulectl; printf '%s\\n' "\${COMPREPLY[@]}"`;
    expect(said('bash', '--norc', '-c', ask).split('\n').filter(Boolean)).toEqual(answers);
  });
});

describe.skipIf(gapOf('fish') !== undefined)('fish', () => {
  it.each(CASES)('completes rulectl %j', (words, answers) => {
    const file = written('rulectl.fish', fishCompletion(program));
    const lines = said(
      'fish',
      '--no-config',
      '-c',
      `source ${file}; complete -C 'rulectl ${words.join(' ')}'`,
    );
    expect(lines.split('\n').flatMap((line) => line.split('\t')[0] || [])).toEqual(answers);
  });
});

describe.skipIf(gapOf('zsh') !== undefined)('zsh', () => {
  it('takes the functions of rulectl', () => {
    const file = written('_rulectl', zshCompletion(program));
    execFileSync('zsh', ['-n', file]);
    const ask = `fpath=(${dirname(file)} $fpath); autoload -Uz compinit; compinit -u -D; autoload +X _rulectl; print $_comps[rulectl]`;
    expect(said('zsh', '-f', '-c', ask)).toBe('_rulectl\n');
  });
});
