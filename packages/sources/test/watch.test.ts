import {
  appendFileSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  unlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { temporaryDirectory } from '../../../test/kit/directory.ts';
import { type PathWatch, type WatchOptions, watchPaths } from '../src/watch/watch.ts';

/** Quick, and still longer than what the system takes to tell. */
const QUICK: WatchOptions = { settleMs: 40, pollMs: 20, goneMs: 120 };

/** Watches, and gathers what is told. */
class Told {
  readonly events: string[] = [];
  readonly watch: PathWatch;
  #wake: (() => void) | undefined;

  constructor(paths: readonly string[], options: WatchOptions = {}) {
    this.watch = watchPaths(paths, { ...QUICK, ...options });
    for (const kind of ['change', 'gone'] as const) {
      this.watch.on(kind, (path) => {
        this.events.push(`${kind} ${path.slice(path.lastIndexOf('/') + 1)}`);
        this.#wake?.();
      });
    }
    onTestFinished(() => this.watch.close());
  }

  /** The next `count` events. */
  async next(count = 1): Promise<readonly string[]> {
    while (this.events.length < count) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    return this.events.splice(0, count);
  }

  /** Changes a marker that is watched too, and waits for it: whatever came before would have been told. */
  async nothingBefore(marker: string): Promise<void> {
    writeFileSync(marker, `${performance.now()}`);
    const name = `change ${marker.slice(marker.lastIndexOf('/') + 1)}`;
    expect(await this.next()).toEqual([name]);
  }
}

/** From here on time passes by what this returns, after what the system has to tell is told. */
function ownTime(): (ms: number) => Promise<void> {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] });
  onTestFinished(() => void vi.useRealTimers());
  return async (ms) => {
    for (let turn = 0; turn < 5; turn++) await new Promise(setImmediate);
    vi.advanceTimersByTime(ms);
  };
}

async function watching(paths: readonly string[], options?: WatchOptions): Promise<Told> {
  const told = new Told(paths, options);
  await told.watch.ready;
  return told;
}

describe('a watched file', () => {
  it('is told when it is written, and not otherwise', async () => {
    const directory = temporaryDirectory();
    const [path, marker] = [join(directory, 'list.txt'), join(directory, 'marker')];
    writeFileSync(path, '1');
    const told = await watching([path, marker]);
    readFileSync(path);
    writeFileSync(join(directory, 'other.txt'), 'x');
    await told.nothingBefore(marker);
    writeFileSync(path, '2');
    expect(await told.next()).toEqual(['change list.txt']);
    await told.nothingBefore(marker);
  });

  it('is told when another is renamed over it, each time', async () => {
    const directory = temporaryDirectory();
    const path = join(directory, 'list.txt');
    writeFileSync(path, '0');
    const told = await watching([path]);
    for (let i = 1; i <= 5; i++) {
      writeFileSync(join(directory, '.list.txt.new'), `${i}`);
      renameSync(join(directory, '.list.txt.new'), path);
      expect(await told.next()).toEqual(['change list.txt']);
    }
  });

  it('is told once when it is replaced again and again without a rest, with its last content', async () => {
    const directory = temporaryDirectory();
    const path = join(directory, 'list.txt');
    writeFileSync(path, 'first');
    const told = await watching([path], { settleMs: 400 });
    const pass = ownTime();
    let content = '';
    told.watch.on('change', () => {
      content = readFileSync(path, 'utf8');
    });
    for (let i = 0; i < 200; i++) {
      writeFileSync(`${path}.new`, `${i}`);
      renameSync(`${path}.new`, path);
      if (i % 10 === 0) await pass(300);
    }
    expect(told.events).toEqual([]);
    while (told.events.length === 0) await pass(20);
    await pass(10_000);
    expect(told.events).toEqual(['change list.txt']);
    expect(content).toBe('199');
  });

  it('is told when it is whole, not while it is written', async () => {
    const directory = temporaryDirectory();
    const path = join(directory, 'list.txt');
    writeFileSync(path, '');
    const told = await watching([path], { settleMs: 400 });
    const pass = ownTime();
    const file = await open(path, 'w');
    for (let writes = 0; writes < 20; writes++) {
      appendFileSync(path, `line ${writes}\n`);
      await pass(300);
    }
    expect(told.events).toEqual([]);
    await file.close();
    while (told.events.length === 0) await pass(20);
    expect(told.events).toEqual(['change list.txt']);
    expect(readFileSync(path, 'utf8').split('\n')).toHaveLength(21);
  });

  it('is told when its time is set', async () => {
    const path = join(temporaryDirectory(), 'list.txt');
    writeFileSync(path, '1');
    const told = await watching([path]);
    utimesSync(path, 1, 1);
    expect(await told.next()).toEqual(['change list.txt']);
  });

  it('is told at last when it is never whole', async () => {
    const path = join(temporaryDirectory(), 'list.txt');
    writeFileSync(path, '');
    const told = await watching([path], { settleMaxMs: 150 });
    const timer = setInterval(() => appendFileSync(path, 'more\n'), 10);
    onTestFinished(() => clearInterval(timer));
    expect(await told.next(2)).toEqual(['change list.txt', 'change list.txt']);
    clearInterval(timer);
  });

  it('is told when it vanishes for good, and when it returns', async () => {
    const path = join(temporaryDirectory(), 'list.txt');
    writeFileSync(path, '1');
    const told = await watching([path]);
    unlinkSync(path);
    expect(await told.next()).toEqual(['gone list.txt']);
    writeFileSync(path, '2');
    expect(await told.next()).toEqual(['change list.txt']);
  });

  it('that is removed and made again is changed, never gone', async () => {
    const path = join(temporaryDirectory(), 'list.txt');
    writeFileSync(path, '1');
    const told = await watching([path], { goneMs: 5000 });
    for (let i = 0; i < 3; i++) {
      unlinkSync(path);
      await new Promise((resolve) => setTimeout(resolve, 10 * i)); // between the calls of an editor
      writeFileSync(path, `again ${i}`);
      expect(await told.next()).toEqual(['change list.txt']);
    }
  });

  it('need not exist, nor its directory', async () => {
    const directory = temporaryDirectory();
    const path = join(directory, 'a/b/list.txt');
    const told = await watching([path]);
    mkdirSync(join(directory, 'a'));
    mkdirSync(join(directory, 'a/b'));
    writeFileSync(path, '1');
    expect(await told.next()).toEqual(['change list.txt']);
    rmSync(join(directory, 'a'), { recursive: true });
    expect(await told.next()).toEqual(['gone list.txt']);
    mkdirSync(join(directory, 'a/b'), { recursive: true });
    writeFileSync(path, '2');
    expect(await told.next()).toEqual(['change list.txt']);
  });

  it('is told when a directory on its way is renamed over', async () => {
    const directory = temporaryDirectory();
    for (const [name, text] of [
      ['live', '1'],
      ['next', '2'],
    ] as const) {
      mkdirSync(join(directory, name));
      writeFileSync(join(directory, name, 'list.txt'), text);
    }
    const told = await watching([join(directory, 'live/list.txt')]);
    renameSync(join(directory, 'live'), join(directory, 'old'));
    renameSync(join(directory, 'next'), join(directory, 'live'));
    expect(await told.next()).toEqual(['change list.txt']);
    writeFileSync(join(directory, 'live/list.txt'), '3');
    expect(await told.next()).toEqual(['change list.txt']);
  });
});

describe('a watched link', () => {
  it('is told when its target is written, when that is renamed over, and when it leads elsewhere', async () => {
    const directory = temporaryDirectory();
    mkdirSync(join(directory, 'data'));
    const [target, other, link] = [
      join(directory, 'data/1.txt'),
      join(directory, 'data/2.txt'),
      join(directory, 'list.txt'),
    ];
    writeFileSync(target, '1');
    writeFileSync(other, '2');
    symlinkSync('data/1.txt', link);
    const told = await watching([link]);
    writeFileSync(target, 'written');
    expect(await told.next()).toEqual(['change list.txt']);
    writeFileSync(`${target}.new`, 'renamed over');
    renameSync(`${target}.new`, target);
    expect(await told.next()).toEqual(['change list.txt']);
    symlinkSync('data/2.txt', `${link}.new`);
    renameSync(`${link}.new`, link);
    expect(await told.next()).toEqual(['change list.txt']);
    writeFileSync(other, 'the new target, written');
    expect(await told.next()).toEqual(['change list.txt']);
    writeFileSync(target, 'nobody means this one any more');
    unlinkSync(other);
    expect(await told.next()).toEqual(['gone list.txt']);
  });

  it('may be the way: a link of a directory set to another one, as configuration maps are swapped', async () => {
    const directory = temporaryDirectory();
    for (const version of ['v1', 'v2']) {
      mkdirSync(join(directory, version));
      writeFileSync(join(directory, version, 'list.txt'), version);
    }
    symlinkSync('v1', join(directory, '..data'));
    symlinkSync('..data/list.txt', join(directory, 'list.txt'));
    const told = await watching([join(directory, 'list.txt')]);
    symlinkSync('v2', join(directory, '..data.new'));
    renameSync(join(directory, '..data.new'), join(directory, '..data'));
    expect(await told.next()).toEqual(['change list.txt']);
  });

  it('in a circle is not there', async () => {
    const directory = temporaryDirectory();
    symlinkSync('b', join(directory, 'a'));
    symlinkSync('a', join(directory, 'b'));
    const told = await watching([join(directory, 'a')]);
    unlinkSync(join(directory, 'b'));
    writeFileSync(join(directory, 'b'), '1');
    expect(await told.next()).toEqual(['change a']);
  });
});

describe('a watched directory', () => {
  it('is told once for thousands of files', async () => {
    const directory = join(temporaryDirectory(), 'lists');
    const marker = join(directory, '../marker');
    mkdirSync(directory);
    for (let i = 0; i < 3000; i++) writeFileSync(join(directory, `${i}.txt`), '1');
    const told = await watching([directory, marker]);
    for (let i = 0; i < 3000; i++) writeFileSync(join(directory, `${i}.txt`), '2');
    expect(await told.next()).toEqual(['change lists']);
    await told.nothingBefore(marker);
  });

  it('is told for a file added, written, renamed over or removed, also deep in it', async () => {
    const directory = join(temporaryDirectory(), 'lists');
    mkdirSync(join(directory, 'a/b'), { recursive: true });
    const told = await watching([directory]);
    const path = join(directory, 'a/b/list.txt');
    writeFileSync(path, '1');
    expect(await told.next()).toEqual(['change lists']);
    writeFileSync(path, '22');
    expect(await told.next()).toEqual(['change lists']);
    writeFileSync(join(directory, 'new'), '3');
    renameSync(join(directory, 'new'), path);
    expect(await told.next()).toEqual(['change lists']);
    unlinkSync(path);
    expect(await told.next()).toEqual(['change lists']);
  });

  it('watches directories that are made in it', async () => {
    const directory = join(temporaryDirectory(), 'lists');
    mkdirSync(directory);
    const told = await watching([directory]);
    mkdirSync(join(directory, 'new/deep'), { recursive: true });
    writeFileSync(join(directory, 'new/deep/1.txt'), '1');
    expect(await told.next()).toEqual(['change lists']);
    writeFileSync(join(directory, 'new/deep/1.txt'), '22');
    expect(await told.next()).toEqual(['change lists']);
  });

  it('is not told for directories alone', async () => {
    const directory = join(temporaryDirectory(), 'lists');
    const marker = join(directory, '../marker');
    mkdirSync(directory);
    const told = await watching([directory, marker]);
    mkdirSync(join(directory, 'empty'));
    await told.nothingBefore(marker);
  });

  it('is told when the target of a link in it is replaced', async () => {
    const root = temporaryDirectory();
    mkdirSync(join(root, 'lists/.store'), { recursive: true });
    const target = join(root, 'lists/.store/1.txt');
    writeFileSync(target, '1');
    symlinkSync('.store/1.txt', join(root, 'lists/1.txt'));
    const told = await watching([join(root, 'lists')]);
    writeFileSync(`${target}.new`, '22');
    renameSync(`${target}.new`, target);
    expect(await told.next()).toEqual(['change lists']);
  });

  it('is not told of what a link out of it leads to', async () => {
    const root = temporaryDirectory();
    const marker = join(root, 'marker');
    mkdirSync(join(root, 'lists'));
    writeFileSync(join(root, 'secret.txt'), '1');
    symlinkSync('../secret.txt', join(root, 'lists/1.txt'));
    const told = await watching([join(root, 'lists'), marker]);
    writeFileSync(join(root, 'secret.txt'), '22');
    for (let round = 0; round < 2; round++) await told.nothingBefore(marker); // what comes with the first one, too
  });

  it('is told when it vanishes, returns, and is a link to another one', async () => {
    const root = temporaryDirectory();
    const directory = join(root, 'lists');
    mkdirSync(directory);
    writeFileSync(join(directory, '1.txt'), '1');
    const told = await watching([directory]);
    rmSync(directory, { recursive: true });
    expect(await told.next()).toEqual(['gone lists']);
    mkdirSync(directory);
    writeFileSync(join(directory, '1.txt'), '2');
    expect(await told.next()).toEqual(['change lists']);
    writeFileSync(join(directory, '1.txt'), '33');
    expect(await told.next()).toEqual(['change lists']);
    renameSync(directory, join(root, 'real'));
    symlinkSync('real', directory);
    expect((await told.next())[0]).toMatch(/lists$/);
    writeFileSync(join(root, 'real/2.txt'), '4');
    expect(await told.next()).toEqual(['change lists']);
  });
});

describe('a watch', () => {
  it('tells of each path of many, once', async () => {
    const directory = temporaryDirectory();
    const paths = Array.from({ length: 500 }, (_, i) => join(directory, `${i}.txt`));
    for (const path of paths) writeFileSync(path, '1');
    const told = await watching([...paths, ...paths]);
    for (const path of paths) writeFileSync(path, '22');
    const events = await told.next(500);
    expect(new Set(events).size).toBe(500);
    expect(told.events).toEqual([]);
  });

  it('tells nothing once it is closed', async () => {
    const path = join(temporaryDirectory(), 'list.txt');
    writeFileSync(path, '1');
    const told = await watching([path]);
    writeFileSync(path, '2');
    await told.watch.close();
    const other = await watching([path]);
    writeFileSync(path, '33');
    await other.next();
    expect(told.events).toEqual([]);
  });
});
