/** The state directory: its bytes, its chains, and that damage of any kind is noticed. */

import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { flipped } from '../../../test/kit/bytes.ts';
import { temporaryDirectory } from '../../../test/kit/directory.ts';
import { NODE_DISK } from '../src/state/disk.ts';
import { encodeRelease } from '../src/state/release-file.ts';
import { Shelf } from '../src/state/shelf.ts';
import { StateDirectory, StateError, type StoredRelease } from '../src/state/state.ts';
import { sha256 } from './scripted-publisher.ts';
import { stored } from './state-conformance.ts';

/** A state directory, and what it says is damaged. */
function opened(directory: string, damaged: string[] = []): StateDirectory {
  return new StateDirectory(directory, {
    onDamage: (text) => damaged.push(text),
    onUntidy: (error) => {
      throw error;
    },
  });
}

/** A state directory that can have no copy, and what it tells of that. */
function openedWithoutCopy(directory: string): {
  readonly state: StateDirectory;
  readonly failed: unknown[];
} {
  const failed: unknown[] = [];
  const state = new StateDirectory(directory, {
    onDamage: () => undefined,
    onUntidy: (error) => failed.push(error),
  });
  writeFileSync(join(directory, 'copy'), 'in the way');
  return { state, failed };
}

/** The files of a directory but for the copy, which has the same ones once all is written. */
async function filesOf(state: StateDirectory, directory: string): Promise<readonly string[]> {
  await state.settled();
  const files = readdirSync(directory).filter((name) => name !== 'copy');
  if (files.includes('active'))
    expect(
      readdirSync(join(directory, 'copy'))
        .filter((name) => files.includes(name))
        .sort(),
    ).toEqual(readdirSync(join(directory, 'copy')).sort());
  return files.sort();
}

function fileOf(release: StoredRelease): string {
  return `${Buffer.from(release.hash).toString('hex')}.release`;
}

async function put(state: StateDirectory, ...releases: readonly StoredRelease[]): Promise<void> {
  for (const release of releases) {
    await state.writeCandidate(release);
    await state.markActive(release);
  }
  await state.settled();
}

function plain(release: StoredRelease): StoredRelease {
  const copy = (bytes: Uint8Array): Uint8Array => Uint8Array.from(bytes);
  return {
    hash: copy(release.hash),
    base: release.base === undefined ? undefined : copy(release.base),
    manifestBytes: copy(release.manifestBytes),
    signatures: copy(release.signatures),
    stream: copy(release.stream),
  };
}

const LITERAL_MANIFEST = [
  '52434d32', // RCM2
  '1e'.repeat(16), // lineage
  '0200000000000000', // epoch
  '0700000000000000', // version
  '0600000000000000', // previous version
  '0900000000000000', // created
  '030000000400000005000000', // parts, prefixes, others
  '0800000000000000', // bytes
  '4c'.repeat(32), // catalogue
].join('');
const LITERAL: StoredRelease = {
  hash: Buffer.from('f0fd77dfa93ec0b00d2e8f063c48c5ec236d9c0326caae684396101ec3b7150f', 'hex'),
  base: new Uint8Array(32).fill(0x2b),
  manifestBytes: Buffer.from(LITERAL_MANIFEST, 'hex'),
  signatures: Uint8Array.of(1, ...new Uint8Array(72).fill(0x5a)),
  stream: Uint8Array.of(0xaa, 0xbb),
};
const LITERAL_FILE = [
  '52435334', // RCS4
  '2b'.repeat(32), // base
  'b1000000', // length of signatures and manifest
  '02000000', // stream length
  '01', // one signature
  '5a'.repeat(72), // key id, signature
  LITERAL_MANIFEST,
  'aabb', // stream
  '6f1c7eae2c1369f5581f85e85481965fd8de851ad98b15fd88f5f2747febeda6', // SHA-256 of all before
].join('');
const LITERAL_ACTIVE = [
  'rulecast-active 5',
  `01${'5a'.repeat(72)}${LITERAL_MANIFEST}`,
  'dc3140ee0d3f9d47f19836b346321cf6878f5dddefd0e1d76d1152b3b569c5cd',
  '',
].join('\n');

describe('the files', () => {
  it('are these bytes', async () => {
    const directory = temporaryDirectory();
    const state = opened(directory);
    await state.writeCandidate(LITERAL);
    expect(readFileSync(join(directory, fileOf(LITERAL))).toString('hex')).toBe(LITERAL_FILE);
    expect(existsSync(join(directory, 'active'))).toBe(false);
    await state.markActive(LITERAL);
    expect(readFileSync(join(directory, 'active'), 'utf8')).toBe(LITERAL_ACTIVE);
    expect(await filesOf(state, directory)).toEqual([fileOf(LITERAL), 'active'].sort());
  });

  it('are read from these bytes; without a base the 32 bytes are zero', () => {
    const directory = temporaryDirectory();
    const body = Buffer.from(LITERAL_FILE.replace('2b'.repeat(32), '00'.repeat(32)), 'hex').subarray(0, -32);
    writeFileSync(join(directory, fileOf(LITERAL)), Buffer.concat([body, sha256(body)]));
    writeFileSync(join(directory, 'active'), LITERAL_ACTIVE);
    const state = opened(directory);
    const { marks, isMarked } = state.find();
    const { hash, manifestBytes, signatures } = plain(LITERAL);
    expect(marks).toEqual([
      { lineage: new Uint8Array(16).fill(0x1e), hash, epoch: 2, version: 7, manifestBytes, signatures },
    ]);
    expect(isMarked).toBe(true);
    const [release] = state.readChain(LITERAL.hash);
    expect(release && plain(release)).toEqual(plain({ ...LITERAL, base: undefined }));
  });

  it('say nothing in a new directory, which is made for the owner alone', () => {
    const directory = join(temporaryDirectory(), 'a', 'b');
    expect(opened(directory).find()).toEqual({ marks: [], isMarked: false, releases: [] });
    expect(readdirSync(directory)).toEqual([]);
  });

  it('cannot be kept where a file is in the way', () => {
    const file = join(temporaryDirectory(), 'file');
    writeFileSync(file, '');
    expect(() => opened(file)).toThrow(StateError);
    expect(() => opened(join(file, 'below'))).toThrow(StateError);
  });
});

describe('a chain', () => {
  it('is read back snapshot first, and each release of it is kept', async () => {
    const directory = temporaryDirectory();
    const one = stored(1, 100);
    const two = stored(2, 10, one);
    const three = stored(3, 20, two);
    await put(opened(directory), one, two, three);
    const state = opened(directory);
    expect(state.readChain(three.hash).map(plain)).toEqual([one, two, three].map(plain));
    expect(await filesOf(state, directory)).toEqual(['active', ...[one, two, three].map(fileOf)].sort());
  });

  it('is heavy once its deltas weigh twice its foot: not at twice, but one byte over', async () => {
    const directory = temporaryDirectory();
    const state = opened(directory);
    const one = stored(1, 100_000);
    const two = stored(2, 150_000, one);
    const three = stored(3, 50_000, two);
    const four = stored(4, 1, three);
    const heavy: boolean[] = [];
    for (const release of [one, two, three, four]) {
      await put(state, release);
      heavy.push(state.isChainHeavy(0));
    }
    expect(heavy).toEqual([false, false, false, true]);
    for (const [release, expected] of [
      [three, false],
      [four, true],
    ] as const) {
      const reopened = opened(directory);
      reopened.readChain(release.hash);
      expect(reopened.isChainHeavy(0)).toBe(expected);
    }
  });

  it('of small deltas is not heavy up to 64 KiB, whatever its foot weighs', async () => {
    const state = opened(temporaryDirectory());
    const one = stored(1, 10);
    const two = stored(2, 65_536, one);
    await put(state, one, two);
    expect(state.isChainHeavy(0)).toBe(false);
    await put(state, stored(3, 1, two));
    expect(state.isChainHeavy(0)).toBe(true);
  });

  it('is not heavy for a list that came whole upon a small snapshot, as another snapshot would be', async () => {
    const state = opened(temporaryDirectory());
    const one = stored(1, 10);
    const two = stored(2, 100_000, one);
    await put(state, one, two);
    expect(state.isChainHeavy(49_999)).toBe(true);
    expect(state.isChainHeavy(50_000)).toBe(false);
  });

  it('becomes one snapshot, and is whole at every moment of that', async () => {
    const directory = temporaryDirectory();
    const state = opened(directory);
    const one = stored(1, 100);
    const two = stored(2, 100, one);
    const three = stored(3, 100, two);
    await put(state, one, two, three);
    const compacted = { ...stored(3, 150), manifestBytes: three.manifestBytes };
    // Killed while it writes: the draft lies beside the chain, which is read as it was.
    writeFileSync(join(directory, `${fileOf(three)}.part`), 'half a snapsh');
    expect(opened(directory).readChain(three.hash).map(plain)).toEqual([one, two, three].map(plain));
    // Killed before the others are removed: the snapshot needs none of them.
    await state.writeCandidate(compacted);
    expect(opened(directory).readChain(three.hash).map(plain)).toEqual([plain(compacted)]);
    await state.compact(compacted);
    expect(await filesOf(state, directory)).toEqual(['active', fileOf(three)].sort());
    expect(state.isChainHeavy(0)).toBe(false);
    const four = stored(4, 10, three);
    await put(state, four);
    expect(opened(directory).readChain(four.hash).map(plain)).toEqual([compacted, four].map(plain));
  });

  // As where the copy is another user's: whom to believe, and the time, have the first place.
  it('keeps roots and the clock where there is no place for a copy, and tells of that', async () => {
    const directory = temporaryDirectory();
    const { state, failed } = openedWithoutCopy(directory);
    const roots = [{ signatures: new Uint8Array(1), content: new Uint8Array(5) }];
    const clock = { bootId: 'boot', wallMs: 1, bootMs: 2, ended: 3 };
    await state.writeRoots(roots);
    await state.writeClock(clock);
    expect(failed).toHaveLength(2);
    expect(opened(directory).readRoots()).toEqual(roots);
    expect(opened(directory).readClock()).toMatchObject(clock);
  });

  // Its copy could not be made, the disk being full; then it was damaged. Deltas went on being put upon it.
  it('of which a file is nowhere intact any more takes no further delta', async () => {
    const directory = temporaryDirectory();
    const { state, failed } = openedWithoutCopy(directory);
    const one = stored(1, 100);
    await put(state, one);
    expect(failed).toHaveLength(1);
    rmSync(join(directory, 'copy'));
    const path = join(directory, fileOf(one));
    writeFileSync(path, flipped(readFileSync(path), 900));
    const two = stored(2, 10, one);
    await put(state, two);
    expect([state.isChainFull, state.isChainHeavy(0)]).toEqual([true, true]);
    const three = stored(3, 100);
    await put(state, three);
    expect([state.isChainFull, state.isChainHeavy(0)]).toEqual([false, false]);
    expect(opened(directory).readChain(three.hash).map(plain)).toEqual([plain(three)]);
  });

  it('is dropped, file by file, when a snapshot takes its place', async () => {
    const directory = temporaryDirectory();
    const state = opened(directory);
    const one = stored(1, 100);
    const two = stored(2, 10, one);
    const three = stored(3, 100);
    await put(state, one, two);
    await state.writeCandidate(three);
    const candidate = ['active', 'active.part', ...[one, two, three].map(fileOf)];
    expect(await filesOf(state, directory)).toEqual(candidate.sort());
    await state.markActive(three);
    expect(await filesOf(state, directory)).toEqual(['active', fileOf(three)].sort());
    expect(state.isChainHeavy(0)).toBe(false);
  });

  it('of 129 files is heavy, however light, and of 255 full; one of 256 is still read', async () => {
    const directory = temporaryDirectory();
    const state = opened(directory);
    let last = stored(1000, 100_000);
    await put(state, last);
    for (let version = 1; version < 255; version++) {
      expect([version, state.isChainHeavy(0), state.isChainFull]).toEqual([version, version > 128, false]);
      const next = stored(version, 1, last);
      await put(state, next);
      last = next;
    }
    expect(state.isChainFull).toBe(true);
    const next = stored(255, 1, last);
    await put(state, next);
    expect(opened(directory).readChain(next.hash)).toHaveLength(256);
  });

  it('that runs in a circle, or lacks a file, is a StateError', async () => {
    const directory = temporaryDirectory();
    const state = opened(directory);
    const one = stored(1, 10);
    const two = stored(2, 10, one);
    await put(state, one, two);
    await state.writeCandidate(stored(1, 10, two));
    expect(() => state.readChain(two.hash)).toThrow(StateError);
    rmSync(join(directory, fileOf(one)));
    rmSync(join(directory, 'copy', fileOf(one)));
    expect(() => state.readChain(two.hash)).toThrow(StateError);
  });
});

describe('a candidate', () => {
  it('that is dropped leaves the chain as it was', async () => {
    const directory = temporaryDirectory();
    const state = opened(directory);
    const one = stored(1, 100);
    const two = stored(2, 10, one);
    await put(state, one);
    await state.writeCandidate(two);
    state.dropCandidate(two.hash);
    expect(await filesOf(state, directory)).toEqual(['active', fileOf(one)].sort());
    expect(state.find().marks.map(({ version }) => version)).toEqual([1, 1]);
  });

  it('that is a release of the chain is not dropped, nor is any file of it', async () => {
    const directory = temporaryDirectory();
    const state = opened(directory);
    const one = stored(1, 100);
    const two = stored(2, 10, one);
    await put(state, one, two);
    for (const { hash } of [one, two]) state.dropCandidate(hash);
    rmSync(join(directory, 'copy'), { recursive: true }); // which would make up for it
    expect(opened(directory).readChain(two.hash).map(plain)).toEqual([one, two].map(plain));
  });

  it('left by a crash, or half written, goes with the next mark; files that are not ours stay', async () => {
    const directory = temporaryDirectory();
    const state = opened(directory);
    const one = stored(1, 100);
    await state.writeCandidate(stored(9, 5));
    const foreign = ['notes.txt', 'backup.part', `${'0'.repeat(63)}.release`, 'ACTIVE', '.hidden'];
    for (const name of [...foreign, 'active.part', `${'0'.repeat(64)}.release.part`]) {
      writeFileSync(join(directory, name), name);
    }
    mkdirSync(join(directory, 'folder.release'));
    await put(state, one);
    expect(await filesOf(state, directory)).toEqual(
      ['active', fileOf(one), 'folder.release', ...foreign].sort(),
    );
    for (const name of foreign) expect(readFileSync(join(directory, name), 'utf8')).toBe(name);
  });
});

describe('a shelf', () => {
  const one = stored(1, 5);

  /** Every file with each of its bits flipped, with a byte too many, and cut to every length. */
  function* damagesOf(bytes: Buffer): Generator<Buffer> {
    for (const [at, byte] of bytes.entries()) {
      for (let bit = 0; bit < 8; bit++) {
        const other = Buffer.from(bytes);
        other[at] = byte ^ (1 << bit);
        yield other;
      }
    }
    for (let length = 0; length < bytes.length; length++) yield bytes.subarray(0, length);
    yield Buffer.concat([bytes, Buffer.of(0)]);
  }

  it('notices damage of any bit and length of a release, and puts it aside', () => {
    const directory = temporaryDirectory();
    const damaged: string[] = [];
    const shelf = new Shelf(directory, (text) => damaged.push(text), NODE_DISK);
    const path = join(directory, fileOf(one));
    let count = 0;
    for (const bytes of damagesOf(Buffer.concat(encodeRelease(one)))) {
      writeFileSync(path, bytes);
      expect(shelf.readRelease(fileOf(one))).toBeUndefined();
      expect(readdirSync(directory)).toEqual([`${fileOf(one)}.damaged`]);
      count += 1;
    }
    expect(damaged).toHaveLength(count);
    expect(damaged[0]).toContain(`${path} is damaged`);
  });

  it('notices damage of any bit and length of a note', async () => {
    const directory = temporaryDirectory();
    const shelf = new Shelf(directory, () => undefined, NODE_DISK);
    await shelf.writeNote('active', 'one line\n');
    const whole = readFileSync(join(directory, 'active'));
    for (const bytes of damagesOf(whole)) {
      writeFileSync(join(directory, 'active'), bytes);
      expect(shelf.readNote('active')).toBeUndefined();
    }
    writeFileSync(join(directory, 'active'), whole);
    expect(shelf.readNote('active')).toBe('one line\n');
  });

  it('does not take a release under the name of another, nor a directory for a note', () => {
    const directory = temporaryDirectory();
    const shelf = new Shelf(directory, () => undefined, NODE_DISK);
    const name = fileOf(stored(2, 3));
    writeFileSync(join(directory, name), Buffer.concat(encodeRelease(one)));
    expect(shelf.readRelease(name)).toBeUndefined();
    mkdirSync(join(directory, 'active'));
    expect(shelf.readNote('active')).toBeUndefined();
  });

  it('keeps the four newest of what was put aside', () => {
    const directory = temporaryDirectory();
    const shelf = new Shelf(directory, () => undefined, NODE_DISK);
    for (let version = 1; version <= 9; version++) {
      const file = fileOf(stored(version, 3));
      writeFileSync(join(directory, file), 'rubbish');
      shelf.readRelease(file);
    }
    expect(readdirSync(directory)).toHaveLength(4);
  });
});

describe('a second copy', () => {
  it('has all that there is, costs a delta its own bytes, and is whole while the next release is written', async () => {
    const directory = temporaryDirectory();
    const state = opened(directory);
    const one = stored(1, 5000);
    const two = stored(2, 7, one);
    const three = stored(3, 100);
    await put(state, one, two);
    for (const file of ['active', fileOf(one), fileOf(two)]) {
      expect(readFileSync(join(directory, 'copy', file))).toEqual(readFileSync(join(directory, file)));
    }
    expect(readFileSync(join(directory, 'copy', fileOf(two)))).toHaveLength(
      4 + 32 + 4 + 4 + 73 + 104 + 7 + 32,
    );
    await state.writeCandidate(three);
    expect(new Shelf(join(directory, 'copy'), () => undefined, NODE_DISK).releaseFiles()).toHaveLength(2);
    await state.markActive(three);
    await state.settled();
    expect(readdirSync(join(directory, 'copy')).sort()).toEqual(['active', fileOf(three)].sort());
  });

  it.each(['', 'copy'])('gives back what "%s" has lost, and both are whole again', async (place) => {
    const directory = temporaryDirectory();
    const [one, two] = [stored(1, 50), stored(2, 7, stored(1, 50))];
    await put(opened(directory), one, two);
    for (const file of ['active', fileOf(one), fileOf(two)]) {
      for (const damage of [
        (path: string) => rmSync(path),
        (path: string) => writeFileSync(path, 'rubbish'),
      ]) {
        damage(join(directory, place, file));
        const state = opened(directory);
        expect(state.find().marks[0]).toMatchObject({ version: 2 });
        expect(state.readChain(two.hash).map(plain)).toEqual([one, two].map(plain));
        state.heal(two);
        await state.settled();
        for (const shelf of ['', 'copy']) {
          const found = new Shelf(join(directory, shelf), () => expect.unreachable(), NODE_DISK);
          expect(found.readNote('active')).toBeDefined();
          for (const release of [one, two]) expect(found.readRelease(fileOf(release))).toBeDefined();
        }
      }
    }
  });
});
