/**
 * Files that are written in place, with pauses: they were released half-written. A file is read when it has
 * rested, longer where its last line has no end.
 */

import { mkdirSync, renameSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { temporaryDirectory } from '../../../test/kit/directory.ts';
import { SourceRig } from './source-rig.ts';

let directory: string;
let rig: SourceRig;
beforeEach(() => {
  directory = temporaryDirectory();
});
afterEach(() => rig.sources.close());

/** As somebody who writes to the file now, by the clock of the rig. */
function write(name: string, content: string | Uint8Array, agoMs = 0): string {
  const path = join(directory, name);
  const seconds = (rig.clock.wallMs() - agoMs) / 1000;
  writeFileSync(path, content);
  utimesSync(path, seconds, seconds);
  rig.touch(path);
  return path;
}

function rigOf(keys = ''): void {
  rig = new SourceRig(directory, `lists:\n  a: { file: a.txt${keys} }\n`);
}

async function start(): Promise<void> {
  await rig.sources.start(new Map());
  await rig.pass(1);
}

const counts = (): readonly (number | undefined)[] => rig.consumer.batches.map(({ a }) => a?.length);

describe('a file that is written in place', () => {
  it('is read when it has rested for two seconds, at a start too', async () => {
    rigOf();
    write('a.txt', '192.0.2.1\n');
    await start();
    await rig.pass(1900, 100);
    expect(counts()).toEqual([]);
    await rig.pass(1000, 100);
    expect(counts()).toEqual([1]);
    expect(rig.logged).toEqual([]); // to wait is no trouble
  });

  it('is read at once if it has rested already', async () => {
    rigOf();
    write('a.txt', '192.0.2.1\n', 2000);
    await start();
    await rig.pass(500, 100);
    expect(counts()).toEqual([1]);
  });

  it('in pieces with pauses is not released by halves', async () => {
    rigOf();
    write('a.txt', '192.0.2.1\n', 60_000);
    await start();
    await rig.pass(1000, 100);
    let text = '';
    for (let line = 0; line < 20; line++) {
      text += `198.51.100.${line * 2}\n`;
      write('a.txt', text);
      await rig.pass(1500, 100);
    }
    expect(counts()).toEqual([1]);
    await rig.pass(1500, 100);
    expect(counts()).toEqual([1, 20]);
  });

  it('is read by a refresh, which waits for it', async () => {
    rigOf();
    write('a.txt', '192.0.2.1\n', 60_000);
    await start();
    await rig.pass(1000, 100);
    write('a.txt', '192.0.2.1\n192.0.2.7\n');
    expect(await rig.refresh(['a'])).toMatchObject([{ name: 'a', count: 2 }]);
  });

  it('waits as long as its list says', async () => {
    rigOf(', quiet: 1m');
    write('a.txt', '192.0.2.1\n');
    await start();
    await rig.pass(59_000, 1000);
    expect(counts()).toEqual([]);
    await rig.pass(2000, 1000);
    expect(counts()).toEqual([1]);
  });

  it('that never rests keeps the last good list, and is told of after a minute', async () => {
    rigOf(', shrink: off');
    write('a.txt', '192.0.2.1\n', 60_000);
    await start();
    await rig.pass(1000, 100);
    for (let second = 0; second < 70; second++) {
      write('a.txt', `192.0.2.${second}\n192.0.2.200\n`);
      await rig.pass(1000, 500);
      if (second === 50) expect(rig.status('a').trouble).toBeUndefined();
    }
    expect(counts()).toEqual([1]);
    expect(rig.status('a').trouble).toMatchObject({ code: 'file-is-changing' });
    expect(rig.status('a').trouble?.reason).toMatch(
      /a\.txt is still written to: it is read when it has not changed for 2 s \(quiet:\)/,
    );
    await rig.pass(3000, 500);
    expect(counts()).toEqual([1, 2]);
    expect(rig.status('a')).toMatchObject({ state: 'ok', trouble: undefined });
  });

  it('whose time is in the future is looked at twice', async () => {
    rigOf();
    write('a.txt', '192.0.2.1\n', -86_400_000);
    await start();
    await rig.pass(1900, 100);
    expect(counts()).toEqual([]);
    await rig.pass(500, 100);
    expect(counts()).toEqual([1]);
  });

  it('and moved to its place afterwards is whole: it is read at once', async () => {
    rigOf();
    rig.clock.jumpWall(Date.now() - rig.clock.wallMs());
    const draft = write('draft', '192.0.2.1\n192.0.2.7', 1000); // whose name changes after it was written last
    renameSync(draft, join(directory, 'a.txt'));
    await start();
    await rig.pass(500, 100);
    expect(counts()).toEqual([2]);
  });
});

describe('a last line without an end', () => {
  const HALF = '192.0.2.1\n198.51.10';

  it('is waited for', async () => {
    rigOf(', rejects: 50%');
    write('a.txt', HALF);
    await start();
    await rig.pass(20_000, 500);
    expect(counts()).toEqual([]);
    write('a.txt', `${HALF}0.7\n`);
    await rig.pass(3000, 500);
    expect(rig.consumer.batches).toEqual([{ a: ['192.0.2.1/32', '198.51.100.7/32'] }]);
  });

  it.each([
    ['after half a minute', '', 29_000],
    ['as long as its list says', ', unfinished: 2m', 119_000],
  ])('is taken in the end, %s', async (_, keys, beforeMs) => {
    rigOf(keys);
    write('a.txt', '192.0.2.1\n192.0.2.7');
    await start();
    await rig.pass(beforeMs, 500);
    expect(counts()).toEqual([]);
    await rig.pass(2000, 500);
    expect(counts()).toEqual([2]);
  });

  it('is never taken where its list says so, and the status says why', async () => {
    rigOf(', unfinished: never');
    write('a.txt', '192.0.2.1\n192.0.2.7');
    await start();
    await rig.pass(600_000, 10_000);
    expect(counts()).toEqual([]);
    expect(rig.status('a').trouble).toMatchObject({ code: 'unfinished-file' });
    expect(rig.status('a').trouble?.reason).toMatch(
      /the last line of .*a\.txt, 2, has no line feed, and unfinished: is never/,
    );
    write('a.txt', '192.0.2.1\n192.0.2.7\n');
    await rig.pass(3000, 500);
    expect(counts()).toEqual([2]);
  });

  it.each([
    ['JSON', '["192.0.2.1", "192.0.2.7"]'],
    ['what is compressed', gzipSync('192.0.2.1\n192.0.2.7')],
  ])('is none of %s', async (_, content) => {
    rigOf();
    write('a.txt', content);
    await start();
    await rig.pass(2500, 100);
    expect(counts()).toEqual([2]);
  });
});

describe('a directory', () => {
  it('is read when all files of it have rested', async () => {
    rig = new SourceRig(directory, `lists:\n  a: { dir: d }\n`);
    mkdirSync(join(directory, 'd'));
    write('d/one.txt', '192.0.2.1\n', 60_000);
    write('d/two.txt', '192.0.2.7\n');
    await start();
    await rig.pass(1500, 100);
    expect(counts()).toEqual([]);
    await rig.pass(1000, 100);
    expect(counts()).toEqual([2]);
  });
});

describe('a table of files', () => {
  it('rests too', async () => {
    const table = 'tables:\n  t: { of: country, file: t.csv, quiet: 10s }\n';
    rig = new SourceRig(directory, `${table}lists:\n  a: { country: nl }\n`);
    write('t.csv', '1.0.0.0,1.0.0.255,NL\n1.0.1.0,1.0.1.255,DE\n');
    await start();
    await rig.pass(9000, 500);
    expect(counts()).toEqual([]);
    await rig.pass(3000, 500);
    expect(counts()).toEqual([1]);
  });
});
