/** The depot that a publisher writes: what a reader finds after any write, what stays, and what is said. */

import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import {
  deltaFrom,
  encodeDepotHead,
  joinSigned,
  objectPath,
  readDepotHead,
  signBytes,
  TRANSFER_MAX_BYTES,
} from '@rulecast/protocol';
import { parseEndpoint } from '@rulecast/vchan';
import { describe, expect, it, onTestFinished } from 'vitest';
import { releaseIn } from '../../../test/kit/depot.ts';
import { temporaryDirectory } from '../../../test/kit/directory.ts';
import { freshKey } from '../../../test/kit/roots.mjs';
import { FakeClock } from '../../sources/test/fake-clock.ts';
import { Depot, type DepotOptions } from '../src/depot/depot.ts';
import { DepotDirectory } from '../src/depot/directory.ts';
import { DepotError, type DepotFiles } from '../src/depot/files.ts';
import type { Publisher } from '../src/release/publisher.ts';
import { WORK_IN_PLACE } from '../src/release/worker.ts';
import { serveControl } from '../src/requests/serve.ts';
import { degradedOf } from '../src/requests/status.ts';
import type { Release } from '../src/store/store.ts';
import { freshPublisher, hex, release, SILENT } from './fresh-publisher.ts';
import { recordsOf, ScriptedRulectl } from './scripted-rulectl.ts';

const OBJECT_PATH = `o/ab/${'ab'.repeat(32)}`;

/** Files in memory, and what was done to them in turn. */
class MemoryFiles implements DepotFiles {
  readonly files = new Map<string, Uint8Array>();
  readonly written: string[] = [];
  /** Called before each write. */
  onWrite: (path: string) => void = () => undefined;

  async read(path: string): Promise<Uint8Array | undefined> {
    return this.files.get(path);
  }

  async write(path: string, bytes: Uint8Array): Promise<void> {
    this.onWrite(path);
    this.files.set(path, Uint8Array.from(bytes));
    this.written.push(path);
  }

  async objects(): Promise<readonly string[]> {
    return [...this.files.keys()].filter((path) => path.startsWith('o/'));
  }

  async remove(path: string): Promise<void> {
    this.files.delete(path);
  }
}

function depotOf(publisher: Publisher, files: DepotFiles, options: Partial<DepotOptions> = {}) {
  const clock = new FakeClock();
  const depot = new Depot({
    files,
    identity: publisher.identity,
    store: publisher.store,
    transfers: publisher.transfers,
    newest: () => publisher.head,
    clock,
    nowMs: () => clock.wallMs(),
    logger: SILENT,
    signEveryMs: 60_000,
    expiresMs: 300_000,
    keepMs: 7_200_000,
    ...options,
  });
  const publish = (): void => depot.published();
  publisher.on('release', publish);
  onTestFinished(async () => {
    publisher.off('release', publish);
    await depot.close();
  });
  return { depot, clock };
}

/** What a reader finds who has nothing, or the release `base`. */
function found({ identity }: Publisher, files: ReadonlyMap<string, Uint8Array>, base?: Release) {
  const { lineage, roots } = identity;
  const [first] = roots;
  return releaseIn((path) => files.get(path), { lineage, rootHash: first?.hash ?? new Uint8Array() }, base);
}

/** Some releases of one list, the newest last. */
async function releases(publisher: Publisher, count: number): Promise<readonly Release[]> {
  const all: Release[] = [];
  for (let i = 0; i < count; i++) {
    const text = Array.from({ length: 200 + i }, (_, host) => `198.51.${host}.${i % 200}`).join('\n');
    all.push(await release(publisher, { 'blocked.txt': text }));
  }
  return all;
}

describe('a depot', () => {
  it('has the newest release for who has nothing, and deltas for who has one of before', async () => {
    const publisher = freshPublisher({ workHost: WORK_IN_PLACE });
    const all = await releases(publisher, 40);
    const files = new MemoryFiles();
    const { depot } = depotOf(publisher, files);
    await depot.start();
    await depot.close();
    const newest = all.at(-1);
    expect(found(publisher, files.files).head).toMatchObject({ version: 40, epoch: 1 });
    const { page } = found(publisher, files.files, all.at(-2));
    expect(page.deltas).toHaveLength(8);
    for (const lag of [1, 2, 3, 4, 8, 16, 24, 32]) {
      const base = all.at(-1 - lag);
      expect(base && deltaFrom(page, base.hash)).toBeDefined();
      expect(hex(found(publisher, files.files, base).head.hash)).toBe(hex(newest?.hash ?? new Uint8Array()));
    }
  });

  it('is whole after any write, whatever ends the publisher between two', async () => {
    const publisher = freshPublisher({ workHost: WORK_IN_PLACE });
    const files = new MemoryFiles();
    let shown = 0;
    files.onWrite = () => {
      if (!files.files.has('head')) return;
      found(publisher, files.files); // as a reader has it at this moment
      shown++;
    };
    const { depot } = depotOf(publisher, files);
    await depot.start();
    await releases(publisher, 6);
    await expect.poll(() => found(publisher, files.files).head.version).toBe(6);
    expect(shown).toBeGreaterThan(15);
  });

  it('names a newer release before older steps of the one before are made', async () => {
    const publisher = freshPublisher({ workHost: WORK_IN_PLACE });
    const head = (await releases(publisher, 10)).at(-1);
    let newest = head;
    const files = new MemoryFiles();
    const deltaCounts: number[] = [];
    const { depot } = depotOf(publisher, files, { newest: () => newest });
    files.onWrite = (path) => {
      if (path !== 'head') return;
      if (newest !== head) return;
      depot.published();
      newest = { ...(head as Release) };
    };
    const write = files.write.bind(files);
    files.write = async (path, bytes) => {
      await write(path, bytes);
      if (path === 'head') deltaCounts.push(found(publisher, files.files).page.deltas.length);
    };
    await depot.start();
    expect(deltaCounts).toEqual([1, 1, 5]);
  });

  it('is signed anew each minute with a higher sequence, also where the clock was set back', async () => {
    const publisher = freshPublisher({ workHost: WORK_IN_PLACE });
    await releases(publisher, 2);
    const files = new MemoryFiles();
    const back = { nowMs: () => 1000 };
    const first = depotOf(publisher, files);
    await first.depot.start();
    await first.depot.close();
    const before = found(publisher, files.files).head;
    const { depot, clock } = depotOf(publisher, files, back);
    await depot.start();
    const again = found(publisher, files.files).head;
    expect(again.sequence).toBeGreaterThan(before.sequence);
    const count = files.written.length;
    clock.advance(59_999);
    expect(files.written).toHaveLength(count);
    clock.advance(1);
    await expect.poll(() => files.written.length).toBe(count + 1);
    expect(found(publisher, files.files).head).toEqual({ ...again, sequence: again.sequence + 1 });
  });

  // Anyone who could write there, even without a key, could have the last sequence signed: no reader believed
  // a later head.
  it('goes on above no sequence of a head that was not signed here', async () => {
    const publisher = freshPublisher({ workHost: WORK_IN_PLACE });
    await releases(publisher, 1);
    const files = new MemoryFiles();
    const first = depotOf(publisher, files);
    await first.depot.start();
    await first.depot.close();
    const { head } = readDepotHead(files.files.get('head') ?? new Uint8Array());
    const content = encodeDepotHead({ ...head, sequence: Number.MAX_SAFE_INTEGER });
    files.files.set('head', joinSigned({ signatures: signBytes(content, freshKey()), content }));
    const { depot, clock } = depotOf(publisher, files);
    await depot.start();
    expect(depot.trouble).toBeUndefined();
    const { sequence } = readDepotHead(files.files.get('head') ?? new Uint8Array()).head;
    expect(sequence - clock.wallMs()).toBeLessThan(1000);
  });

  it('keeps what no head names any more for two hours, and what a depot of before had', async () => {
    const publisher = freshPublisher({ workHost: WORK_IN_PLACE });
    await releases(publisher, 2);
    const files = new MemoryFiles();
    files.files.set(`o/aa/${'aa'.repeat(32)}`, new Uint8Array(3));
    const { depot, clock } = depotOf(publisher, files);
    await depot.start();
    const old = objectPath(found(publisher, files.files).head.page);
    await releases(publisher, 3);
    await expect.poll(() => found(publisher, files.files).head.version).toBe(5);
    const minutes = async (count: number): Promise<void> => {
      for (let i = 0; i < count; i++) {
        await expect.poll(() => clock.pendingMs, { interval: 1 }).toHaveLength(1);
        clock.advance(60_000);
      }
      await expect.poll(() => clock.pendingMs, { interval: 1 }).toHaveLength(1);
    };
    await minutes(118);
    expect([...files.files.keys()]).toContain(old);
    await minutes(4);
    expect([...files.files.keys()]).not.toContain(old);
    expect(files.files.has(`o/aa/${'aa'.repeat(32)}`)).toBe(false);
    found(publisher, files.files);
  });

  // A full disk kept what would have made room: only who wrote a head took old objects away.
  it('gives the room of old objects back while nothing can be written, and keeps what its head names', async () => {
    const publisher = freshPublisher({ workHost: WORK_IN_PLACE });
    await releases(publisher, 2);
    const files = new MemoryFiles();
    const old = `o/aa/${'aa'.repeat(32)}`;
    files.files.set(old, new Uint8Array(3));
    const { depot, clock } = depotOf(publisher, files);
    await depot.start();
    files.onWrite = (path) => {
      throw new DepotError(`${path}: no space is left on the disk`);
    };
    clock.advance(7_200_001);
    await expect.poll(() => depot.trouble).toContain('no space');
    await expect.poll(() => files.files.has(old)).toBe(false);
    expect(found(publisher, files.files).head.version).toBe(2);
  });

  it('says what keeps it from being written, moves no head, and mends it', async () => {
    const publisher = freshPublisher({ workHost: WORK_IN_PLACE });
    await releases(publisher, 2);
    const files = new MemoryFiles();
    const { depot, clock } = depotOf(publisher, files);
    await depot.start();
    files.onWrite = (path) => {
      if (path !== 'head') throw new DepotError(`${path}: no space is left on the disk`);
    };
    await releases(publisher, 3);
    await expect.poll(() => depot.trouble).toMatch(/^the depot is not written: o\/.*no space is left/);
    expect(found(publisher, files.files).head.version).toBe(2);
    files.onWrite = () => undefined;
    await expect.poll(() => clock.pendingMs, { interval: 1 }).toHaveLength(1);
    clock.advance(5000);
    await expect.poll(() => depot.trouble).toBeUndefined();
    expect(found(publisher, files.files).head.version).toBe(5);
  });

  it('is whole again within a minute after somebody took files away', async () => {
    const publisher = freshPublisher({ workHost: WORK_IN_PLACE });
    await releases(publisher, 3);
    const files = new MemoryFiles();
    const { depot, clock } = depotOf(publisher, files);
    await depot.start();
    const before = found(publisher, files.files).head;
    files.files.clear();
    clock.advance(60_000);
    await expect.poll(() => files.files.has('head')).toBe(true);
    const { page, sequence, roots } = found(publisher, files.files).head;
    expect(sequence).toBeGreaterThan(before.sequence);
    expect({ page, roots }).toEqual({ page: before.page, roots: before.roots });
  });

  it('is left alone while the publisher may not say what is newest', async () => {
    const publisher = freshPublisher({ workHost: WORK_IN_PLACE });
    await releases(publisher, 1);
    const files = new MemoryFiles();
    const { depot, clock } = depotOf(publisher, files, { newest: () => undefined });
    await depot.start();
    clock.advance(60_000);
    await depot.close();
    expect(files.written).toEqual([]);
  });
});

describe('who is beside a depot', () => {
  it('hears each head, and reads what heads name, and no other file', async () => {
    const publisher = freshPublisher({ workHost: WORK_IN_PLACE });
    await releases(publisher, 2);
    const files = new MemoryFiles();
    const { depot } = depotOf(publisher, files);
    const heard: number[] = [];
    depot.onHead(() => heard.push(depot.head === undefined ? 0 : readDepotHead(depot.head).head.version));
    expect(depot.head).toBeUndefined();
    await depot.start();
    await releases(publisher, 3);
    await expect.poll(() => heard.at(-1)).toBe(5);
    const { head } = found(publisher, files.files);
    expect(await depot.object(head.page)).toEqual(files.files.get(objectPath(head.page)));
    files.files.set(objectPath({ sha256: new Uint8Array(32) }), new Uint8Array(3));
    expect(await depot.object({ sha256: new Uint8Array(32), length: 3 })).toBeUndefined();
  });

  it('who pushed is told where the release is stored and not published, and the status tells it', async () => {
    const publisher = freshPublisher({ workHost: WORK_IN_PLACE });
    await releases(publisher, 1);
    const files = new MemoryFiles();
    const { depot, clock } = depotOf(publisher, files);
    await depot.start();
    const control = parseEndpoint('memory:depot-control');
    const served = await serveControl(publisher, [control], () => Promise.reject(new Error('nobody')), {
      depot,
    });
    onTestFinished(() => served.close());
    const warnings = async (text: string): Promise<readonly string[]> => {
      const answer = await ScriptedRulectl.push(control, { 'few.txt': text }, { wait: 'released' });
      expect(answer.end).toMatchObject({ kind: 'done', code: 'released' });
      return recordsOf(answer, 'warning').flatMap(({ code, reason }) =>
        code === 'unused-list' ? [] : [`${code}: ${reason}`],
      );
    };
    expect(await warnings('192.0.2.1\n')).toEqual([]);
    expect(found(publisher, files.files).head.version).toBe(2);
    files.onWrite = (path) => {
      throw new DepotError(`${path}: no space is left on the disk`);
    };
    const said = /^not-published: stored, not published: the depot is not written: .* no space is left/;
    expect(await warnings('192.0.2.2\n')).toEqual([expect.stringMatching(said)]);
    expect(degradedOf({ publisher, depot })).toEqual([expect.stringMatching(/^the depot is not written/)]);
    files.onWrite = () => undefined;
    expect(await warnings('192.0.2.3\n')).toEqual([]); // which is tried at once
    expect(degradedOf({ publisher, depot })).toEqual([]);
    let resume: () => void = () => undefined;
    files.write = () =>
      new Promise((resolve) => {
        resume = resolve;
      }); // a disk that hangs
    const slow = warnings('192.0.2.4\n');
    await expect.poll(() => clock.pendingMs, { interval: 1 }).toContain(5000);
    clock.advance(5000);
    expect(await slow).toEqual(['not-published: stored, not published: the depot does not have it yet']);
    files.write = async () => undefined;
    resume();
  });
});

describe('the directory of a depot', () => {
  it('can be read by everybody, whatever the umask, and written by nobody else', async () => {
    const umask = process.umask(0o077);
    onTestFinished(() => void process.umask(umask));
    const directory = join(temporaryDirectory(), 'depot');
    const files = await DepotDirectory.open(directory);
    onTestFinished(() => files.close());
    await files.write(OBJECT_PATH, Buffer.from('object'));
    await files.write('head', Buffer.from('head'));
    const modes = ['', 'o', 'o/ab', OBJECT_PATH, 'head'].map(
      (path) => statSync(join(directory, path)).mode & 0o777,
    );
    expect(modes).toEqual([0o755, 0o755, 0o755, 0o644, 0o644]);
    expect(await files.objects()).toEqual([OBJECT_PATH]);
    expect(Buffer.from((await files.read('head')) ?? []).toString()).toBe('head');
    expect(await files.read('o/ab/none')).toBeUndefined();
    await files.remove(OBJECT_PATH);
    expect(await files.objects()).toEqual([]);
  });

  it('keeps the mode that somebody gave it, so that not everybody reads the rules', async () => {
    const directory = temporaryDirectory();
    chmodSync(directory, 0o750);
    (await DepotDirectory.open(directory)).close();
    expect(statSync(directory).mode & 0o777).toBe(0o750);
  });

  // nginx said 304, and rsync copied nothing: the second of two releases of one second came a minute late.
  it('dates each head by a second of its own, however soon it follows', async () => {
    const directory = join(temporaryDirectory(), 'depot');
    const files = await DepotDirectory.open(directory);
    onTestFinished(() => files.close());
    const seconds: number[] = [];
    for (const content of ['head 1', 'head 2', 'head 3']) {
      await files.write('head', Buffer.from(content));
      seconds.push(Math.floor(statSync(join(directory, 'head')).mtimeMs / 1000));
    }
    expect(new Set(seconds).size).toBe(3);
    utimesSync(join(directory, 'head'), 1, 1);
    await files.write('head', Buffer.from('head 4'));
    expect(statSync(join(directory, 'head')).mtimeMs).toBeGreaterThan(1.7e12);
  });

  it('belongs to one publisher at a time', async () => {
    const directory = temporaryDirectory();
    const files = await DepotDirectory.open(directory);
    await expect(DepotDirectory.open(directory)).rejects.toThrow(
      `another publisher or subscriber uses ${directory}`,
    );
    files.close();
    (await DepotDirectory.open(directory)).close();
  });

  it('loses what a killed publisher left unfinished, and nothing else', async () => {
    const directory = temporaryDirectory();
    const before = await DepotDirectory.open(directory);
    await before.write(OBJECT_PATH, Buffer.from('object'));
    before.close();
    const others = ['index.new', 'o/ab/index.html', 'o/ab/notes.new'];
    for (const path of ['head.new', `${OBJECT_PATH}.new`, ...others])
      writeFileSync(join(directory, path), 'half');
    const files = await DepotDirectory.open(directory);
    expect(await files.objects()).toEqual([OBJECT_PATH]); // what is not an object is not ours to prune
    files.close();
    expect(others.map((path) => existsSync(join(directory, path)))).toEqual([true, true, true]);
    expect(['head.new', `${OBJECT_PATH}.new`].map((path) => existsSync(join(directory, path)))).toEqual([
      false,
      false,
    ]);
    expect(readFileSync(join(directory, OBJECT_PATH), 'utf8')).toBe('object');
  });

  it('reads no pipe, link, folder or endless file that somebody put there, and puts its own in their place', async () => {
    const directory = temporaryDirectory();
    const files = await DepotDirectory.open(directory);
    onTestFinished(() => files.close());
    const head = join(directory, 'head');
    const plant: readonly (() => void)[] = [
      () => execFileSync('mkfifo', [head]),
      () => symlinkSync('/dev/zero', head),
      () => {
        writeFileSync(head, '');
        truncateSync(head, TRANSFER_MAX_BYTES + 1);
      },
    ];
    for (const put of plant) {
      rmSync(head, { force: true });
      put();
      await expect(files.read('head')).rejects.toThrow(DepotError);
      await files.write('head', Buffer.from('mine'));
      expect(Buffer.from((await files.read('head')) ?? []).toString()).toBe('mine');
    }
  });

  it('says which file cannot be written', async () => {
    const directory = temporaryDirectory();
    const files = await DepotDirectory.open(directory);
    onTestFinished(() => files.close());
    writeFileSync(join(directory, 'o'), 'a file where a folder is to be');
    await expect(files.write(OBJECT_PATH, Buffer.from('object'))).rejects.toThrow(
      /^o\/ab\/ab[0-9a-f]+: E(EXIST|NOTDIR)/,
    );
  });
});
