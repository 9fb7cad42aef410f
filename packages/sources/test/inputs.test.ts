/** Files and directories as inputs: what is read, what is passed over, and what is said of the rest. */

import { execFileSync } from 'node:child_process';
import { lchownSync, mkdirSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { SOURCE_LIMITS } from '@rulecast/formats';
import { describe, expect, it } from 'vitest';
import { codeOfRejection } from '../../../test/kit/code.ts';
import { temporaryDirectory } from '../../../test/kit/directory.ts';
import { type Inputs, readDirInputs, readFileInputs } from '../src/read/inputs.ts';
import { FileRest } from '../src/watch/rest.ts';
import { FakeClock } from './fake-clock.ts';

const NOW_MS = 1_800_000_000_000;
const RESTED = new FileRest({ quietMs: 0, unfinishedMs: 0 }, new FakeClock());

function tree(files: Readonly<Record<string, string>>): string {
  const directory = temporaryDirectory();
  for (const [name, content] of Object.entries(files)) {
    mkdirSync(dirname(join(directory, name)), { recursive: true });
    writeFileSync(join(directory, name), content);
  }
  return directory;
}

/** The bytes of a file, which was read at once. */
function bytesOf(input: Inputs['inputs'][number]): Uint8Array {
  return 'bytes' in input ? input.bytes : new Uint8Array();
}

describe('a file', () => {
  it('is read whole, through links too', async () => {
    const directory = tree({ 'a.txt': '192.0.2.1\n' });
    symlinkSync('a.txt', join(directory, 'link'));
    for (const name of ['a.txt', 'link']) {
      const { inputs, fetchedAtMs } = await readFileInputs(
        join(directory, name),
        SOURCE_LIMITS,
        NOW_MS,
        RESTED,
      );
      expect(inputs.map((input) => [input.name, Buffer.from(bytesOf(input)).toString()])).toEqual([
        [name, '192.0.2.1\n'],
      ]);
      expect(fetchedAtMs).toBe(NOW_MS);
    }
  });

  it.runIf(process.getuid?.() === 0)(
    'is not read through a link of another user, unless it is that user’s',
    async () => {
      const directory = tree({ secret: '192.0.2.1\n', own: '192.0.2.3\n' });
      const read = (name: string) => readFileInputs(join(directory, name), SOURCE_LIMITS, NOW_MS, RESTED);
      for (const [name, target] of [
        ['link', 'secret'],
        ['fine', 'own'],
      ] as const) {
        symlinkSync(target, join(directory, name));
        expect((await read(name)).inputs).toHaveLength(1);
        lchownSync(join(directory, name), 12_345, 12_345);
      }
      lchownSync(join(directory, 'own'), 12_345, 12_345);
      expect((await read('fine')).inputs).toHaveLength(1);
      expect(await codeOfRejection(read('link'))).toBe('foreign-link');
    },
  );

  it('of the most bytes is read, of one more is not', async () => {
    const path = join(tree({ a: '' }), 'a');
    truncateSync(path, 100);
    const limits = { ...SOURCE_LIMITS, bytes: 100 };
    const { inputs } = await readFileInputs(path, limits, NOW_MS, RESTED);
    expect(inputs.map((input) => bytesOf(input).length)).toEqual([100]);
    truncateSync(path, 101);
    expect(await codeOfRejection(readFileInputs(path, limits, NOW_MS, RESTED))).toBe('too-large');
  });

  it('that is none says what it is', async () => {
    const directory = tree({ 'd/a': 'x' });
    execFileSync('/usr/bin/mkfifo', [join(directory, 'pipe')]);
    symlinkSync('nowhere', join(directory, 'broken'));
    for (const [name, code] of [
      ['none', 'missing-file'],
      ['broken', 'missing-file'],
      ['d/a/b', 'missing-file'],
      ['d', 'not-a-file'],
      ['pipe', 'not-a-file'],
    ] as const) {
      expect(
        await codeOfRejection(readFileInputs(join(directory, name), SOURCE_LIMITS, NOW_MS, RESTED)),
        name,
      ).toBe(code);
    }
  });
});

describe('a directory', () => {
  const names = async (directory: string, match: readonly string[] = [], limits = SOURCE_LIMITS) => {
    return (await readDirInputs(directory, match, limits, NOW_MS, RESTED)).inputs.map(({ name }) => name);
  };

  it('gives the files below it that match, in order, but for drafts', async () => {
    const directory = tree({
      'b.txt': '1',
      'a.txt': '1',
      'sub/c.txt': '1',
      'x.md': '1',
      '.draft.txt': '1',
      '.git/d.txt': '1',
    });
    expect(await names(directory)).toEqual(['a.txt', 'b.txt', 'sub/c.txt', 'x.md']);
    expect(await names(directory, ['*.txt'])).toEqual(['a.txt', 'b.txt', 'sub/c.txt']);
    expect(await names(directory, ['*.txt', '!sub/*'])).toEqual(['a.txt', 'b.txt']);
    expect(await names(directory, ['**/*.txt'])).toEqual(['a.txt', 'b.txt', 'sub/c.txt']);
    expect(await names(directory, ['*.md', 'sub/*'])).toEqual(['sub/c.txt', 'x.md']);
  });

  it('follows links to files, and no link to a directory or to nothing', async () => {
    const directory = tree({ 'a.txt': '1', 'sub/c.txt': '1' });
    symlinkSync('a.txt', join(directory, 'to-file'));
    symlinkSync('sub', join(directory, 'to-directory'));
    symlinkSync('..', join(directory, 'sub', 'circle'));
    symlinkSync('nowhere', join(directory, 'to-nothing'));
    expect(await names(directory)).toEqual(['a.txt', 'sub/c.txt', 'to-file']);
  });

  it('has nothing of what links out of it lead to, and names those links', async () => {
    const root = tree({ 'secret.txt': '192.0.2.1\n', 'lists/a.txt': '192.0.2.3\n', 'lists/sub/b.txt': '1' });
    const directory = join(root, 'lists');
    symlinkSync('../secret.txt', join(directory, 'out.txt'));
    symlinkSync(join(root, 'secret.txt'), join(directory, 'sub', 'far.txt'));
    symlinkSync('sub/far.txt', join(directory, 'twice.txt'));
    symlinkSync('../lists/sub/b.txt', join(directory, 'back.txt')); // leaves it on the way only
    symlinkSync(directory, join(root, 'current'));
    for (const path of [directory, join(root, 'current')]) {
      const { inputs, notes } = await readDirInputs(path, [], SOURCE_LIMITS, NOW_MS, RESTED);
      expect(inputs.map(({ name }) => name)).toEqual(['a.txt', 'back.txt', 'sub/b.txt']);
      expect(notes).toEqual([
        `${path}: links that lead out of it are not followed: out.txt, sub/far.txt, twice.txt`,
      ]);
    }
    const refused = readDirInputs(directory, ['out.txt'], SOURCE_LIMITS, NOW_MS, RESTED);
    await expect(refused).rejects.toMatchObject({ code: 'no-files' });
    await expect(refused).rejects.toThrow('links that lead out of it are not followed: out.txt');
  });

  it('without a file, or with too many, or too large together, is refused', async () => {
    const directory = tree({ a: '12', b: '34', c: '56' });
    expect(await codeOfRejection(names(directory, ['*.txt']))).toBe('no-files');
    expect(await codeOfRejection(names(temporaryDirectory()))).toBe('no-files');
    expect(await codeOfRejection(names(join(directory, 'none')))).toBe('missing-file');
    expect(await names(directory, [], { ...SOURCE_LIMITS, archiveMembers: 3 })).toHaveLength(3);
    expect(await codeOfRejection(names(directory, [], { ...SOURCE_LIMITS, archiveMembers: 2 }))).toBe(
      'too-many-files',
    );
    expect(await names(directory, [], { ...SOURCE_LIMITS, bytes: 6 })).toHaveLength(3);
    expect(await codeOfRejection(names(directory, [], { ...SOURCE_LIMITS, bytes: 5 }))).toBe('too-large');
  });
});
