/** docs/explain/commands.md: what it says of rulectl is there. */

import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { COMMANDS } from '../src/command.ts';
import { rulectl } from './cli.ts';

const PAGE = readFileSync(new URL('../../../docs/explain/commands.md', import.meta.url), 'utf8');
/** What stands in the last column in code, but for keys of the configuration. */
const LINES = [...PAGE.matchAll(/^\|.*\| ([^|]+) \|$/gm)]
  .slice(1)
  .flatMap(([, cell = '']) => [...cell.matchAll(/`([^`]+)`/g)].map(([, line = '']) => line))
  .filter((line) => !line.endsWith(':'));

describe('docs/explain/commands.md', () => {
  it.each(LINES)('has rulectl %s as its help has it', async (line) => {
    const words = line.split(' ');
    const command = COMMANDS.has(words.slice(0, 2).join(' ')) ? words.slice(0, 2) : words.slice(0, 1);
    expect(COMMANDS.has(command.join(' '))).toBe(true);
    const { stdout } = await rulectl([...command, '--help']);
    for (const option of words.filter((word) => word.startsWith('--')))
      expect(stdout).toContain(` ${option} `);
  });

  it('has each command that people call by itself', () => {
    const named = new Set(LINES.map((line) => line.split(' ')[0]));
    const seldom = ['init', 'names', 'forget'];
    const all = new Set([...COMMANDS.keys()].map((command) => command.split(' ')[0] ?? ''));
    expect([...all].filter((command) => !named.has(command) && !seldom.includes(command))).toEqual([]);
  });
});
