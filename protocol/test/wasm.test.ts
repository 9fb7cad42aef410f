/** Processes that cannot have a list of names, in runs of their own: they say why, and what to do. */

import { spawnSync } from 'node:child_process';
import { expect, it } from 'vitest';

const INDEX = new URL('../dist/index.js', import.meta.url).href;
const RULES = new URL('../../packages/rules/dist/index.js', import.meta.url).href;
const PROGRAM = `
  const { encodeSnapshot } = await import(${JSON.stringify(INDEX)});
  const { EMPTY_RULE_SET, namesOf } = await import(${JSON.stringify(RULES)});
  const list = { kind: 'names', names: namesOf(['a.example']), resolve: false };
  try {
    console.log(encodeSnapshot({ ...EMPTY_RULE_SET, lists: new Map([['a', list]]) }).length > 0);
  } catch (error) {
    console.log(error.message);
  }`;

/** What a process says that codes a list of names, started by a shell's words before `node`. */
function told(before: string, ...flags: readonly string[]): string {
  const words = [...flags, '--input-type=module', '-e', PROGRAM];
  const { stdout, stderr } = spawnSync('sh', ['-c', `${before} exec "$0" "$@"`, process.execPath, ...words], {
    encoding: 'utf8',
  });
  return stdout.trim() || stderr;
}

it('codes a list of names, as it is usually started', () => {
  expect(told('')).toBe('true');
});

it.each([
  ['without WebAssembly', '', ['--jitless'], /^this process has no WebAssembly, and lists of names need it/],
  ['within 6 GB of address space', 'ulimit -v 6000000 &&', [], /^lists of names need 10 GiB .* LimitAS=/],
] as const)('does not %s, and says what helps', (_, before, flags, words) => {
  expect(told(before, ...flags)).toMatch(words);
});
