/** What is kept over a restart: read back as it was, or not at all. */

import { readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { nameListOf } from '@rulecast/rules';
import { describe, expect, it } from 'vitest';
import { temporaryDirectory } from '../../../test/kit/directory.ts';
import { SavedLists, type SavedState } from '../src/lists/saved.ts';
import { entriesOf, listOf } from './list-of.ts';

const STATE: SavedState = {
  time: { steadyMs: 12, wallMs: 34 },
  lists: new Map([
    [
      'a',
      {
        goodAtMs: 5,
        fetchedAtWallMs: 6,
        contentAtMs: 4,
        change: { atMs: 7, added: 8, removed: 9 },
        longestEntries: 10,
      },
    ],
    [
      'b',
      {
        goodAtMs: 5,
        fetchedAtWallMs: undefined,
        contentAtMs: undefined,
        change: undefined,
        longestEntries: 0,
      },
    ],
  ]),
};
const LAYERS = [
  { seenAtMs: 20, list: listOf('192.0.2.1', '198.51.100.0/24', '2001:db8::/32') },
  { seenAtMs: 10, list: listOf('203.0.113.0/24') },
  { seenAtMs: 5, list: listOf() },
];

describe('the state', () => {
  it('comes back as it was', async () => {
    const directory = temporaryDirectory();
    await new SavedLists(directory).writeState(STATE);
    expect(await new SavedLists(directory).state()).toEqual(STATE);
  });

  it.each([
    '',
    '{',
    '[]',
    '{"time":{"steadyMs":"1","wallMs":2},"lists":{}}',
    '{"time":{},"lists":{"a":1}}',
    'null',
  ])('that is damaged is as good as none: %j', async (text) => {
    const directory = temporaryDirectory();
    await new SavedLists(directory).writeState(STATE);
    writeFileSync(join(directory, 'state.json'), text);
    expect(await new SavedLists(directory).state()).toEqual({ time: undefined, lists: new Map() });
  });

  it('that is a link to somebody else’s is as good as none', async () => {
    const [directory, other] = [temporaryDirectory(), temporaryDirectory()];
    await new SavedLists(other).writeState(STATE);
    symlinkSync(join(other, 'state.json'), join(directory, 'state.json'));
    expect((await new SavedLists(directory).state()).lists.size).toBe(0);
  });

  it('is nothing at the first start', async () => {
    expect((await new SavedLists(join(temporaryDirectory(), 'none')).state()).lists.size).toBe(0);
  });
});

describe('layers', () => {
  it('of addresses and of names come back as they were', async () => {
    const kept = new SavedLists(temporaryDirectory());
    await kept.writeLayers('a', LAYERS);
    await kept.writeLayers('n', [{ seenAtMs: 1, list: nameListOf(['a.example', 'b.example'], true) }]);
    expect(await kept.layers('a')).toEqual(LAYERS);
    const holed = nameListOf(['.a.example'], 'firewall', ['b.a.example']);
    await kept.writeLayers('x', [{ seenAtMs: 2, list: holed }]);
    expect(await kept.layers('x')).toEqual([{ seenAtMs: 2, list: holed }]);
    const [names] = (await kept.layers('n')) ?? [];
    expect(names).toEqual({
      seenAtMs: 1,
      list: nameListOf(['a.example', 'b.example'], true),
    });
  });

  it('with one byte changed, or cut anywhere, are none', async () => {
    const directory = temporaryDirectory();
    const kept = new SavedLists(directory);
    await kept.writeLayers('a', LAYERS);
    const path = join(directory, 'lists', 'a.kept');
    const whole = readFileSync(path);
    for (let at = 0; at < whole.length; at += 7) {
      const changed = Buffer.from(whole);
      changed[at] = (changed[at] ?? 0) ^ 1;
      writeFileSync(path, changed);
      expect(await kept.layers('a'), `byte ${at}`).toBeUndefined();
      writeFileSync(path, whole.subarray(0, at));
      expect(await kept.layers('a'), `cut at ${at}`).toBeUndefined();
    }
    writeFileSync(path, whole);
    expect(entriesOf((await kept.layers('a'))?.[1]?.list)).toEqual(['203.0.113.0/24']);
  });

  it('of lists that are no more are removed, and no draft is left', async () => {
    const directory = temporaryDirectory();
    const kept = new SavedLists(directory);
    await kept.writeLayers('a', LAYERS);
    await kept.writeLayers('b', LAYERS);
    await kept.retain(new Set(['b']));
    expect(readdirSync(join(directory, 'lists'))).toEqual(['b.kept']);
  });
});
