/** Which files are configurations of the publisher. */

import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { isConfig } from '../src/config/detect-config.ts';

const EXAMPLES = new URL('../../../examples/', import.meta.url);

describe('a configuration is told', () => {
  it.each([
    ['control: unix:/run/a.sock\n', true],
    ['# of ours\n---\nname: a\nlists: {}\n', true],
    ['{"control": "unix:/run/a.sock"}', true],
    ['lists: { a: { url: "https://example.org/a.txt" } }\n', true],
    ['must-reach: [192.0.2.1]\npolicies: {}\n', true], // what is wrong with it, says its reader
    ['lists: { a: { entries: [192.0.2.1] } }\n', false],
    ['lists: { a: { file: a.txt } }\npolicies: {}\n', false],
    ['unmatched: accept\n', false],
    ['policies: { a: { prefixes: [10.0.0.1] } }\n', false],
    ['192.0.2.1\n', false],
    ['a.example\n', false],
    ['drop dst4=192.0.2.1\n', false],
    ['[{"control": 1}]', false],
    ['', false],
  ])('by its keys: %j', (text, is) => {
    expect(isConfig('-', Buffer.from(text))).toBe(is);
  });

  it.each([
    ['lists: { a: { file: a.txt } }\n', true],
    ['nme: x\n', true],
    ['name: [\n', true],
    ['policies: {}\n', false],
  ])('by its name, where its keys do not tell: %j', (text, is) => {
    expect(isConfig('/etc/rulecast/publisher.yaml', Buffer.from(text))).toBe(is);
    if (!text.startsWith('name')) expect(isConfig('other.yaml', Buffer.from(text))).toBe(false);
  });
});

it('tells the examples apart', () => {
  const all = readdirSync(EXAMPLES, { recursive: true, encoding: 'utf8' });
  for (const file of all.filter((name) => name.endsWith('.yaml')))
    expect([file, isConfig(file, readFileSync(new URL(file, EXAMPLES)))]).toEqual([
      file,
      file.endsWith('publisher.yaml'),
    ]);
});
