/** The state directory: its bytes, its chains, and that damage of any kind is noticed. */

import {
  closeSync,
  existsSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { type ActiveMark, StateDirectory, StateError, type StoredRelease } from '../src/state.ts';
import { sha256 } from './scripted-publisher.ts';
import { temporaryDirectory } from './started.ts';

/** A release of any bytes: the state directory looks into none of them. */
function stored(version: number, streamBytes: number, base?: StoredRelease): StoredRelease {
  const manifestBytes = Uint8Array.of(1, 2, 3, version);
  return {
    hash: sha256(manifestBytes),
    base: base?.hash,
    manifestBytes,
    signature: new Uint8Array(64).fill(version),
    stream: new Uint8Array(streamBytes).fill(0xc0 + version),
  };
}

function markOf(release: StoredRelease, version = release.manifestBytes[3] ?? 0): ActiveMark {
  return { hash: release.hash, epoch: 2, version };
}

function fileOf(release: StoredRelease): string {
  return `${Buffer.from(release.hash).toString('hex')}.release`;
}

async function put(state: StateDirectory, ...releases: readonly StoredRelease[]): Promise<void> {
  for (const release of releases) {
    await state.writeCandidate(release);
    await state.markActive(release, markOf(release));
  }
}

function plain(release: StoredRelease): StoredRelease {
  const copy = (bytes: Uint8Array): Uint8Array => Uint8Array.from(bytes);
  return {
    hash: copy(release.hash),
    base: release.base === undefined ? undefined : copy(release.base),
    manifestBytes: copy(release.manifestBytes),
    signature: copy(release.signature),
    stream: copy(release.stream),
  };
}

const LITERAL: StoredRelease = {
  hash: Buffer.from('039058c6f2c0cb492c533b0a4d14ef77cc0f78abccced5287d84a1a2011cfb81', 'hex'),
  base: new Uint8Array(32).fill(0x2b),
  manifestBytes: Uint8Array.of(1, 2, 3),
  signature: new Uint8Array(64).fill(0x5a),
  stream: Uint8Array.of(0xaa, 0xbb),
};
const LITERAL_FILE = [
  '52435331', // RCS1
  '2b'.repeat(32), // base
  '03000000', // manifest length
  '02000000', // stream length
  '5a'.repeat(64), // signature
  '010203', // manifest
  'aabb', // stream
  '7817178ea69b2b6a39e59dcd8318687a56e51fde9724cb852fb7b0019c722cb9', // SHA-256 of all before
].join('');
const LITERAL_ACTIVE = [
  'rulecast-active 1',
  '039058c6f2c0cb492c533b0a4d14ef77cc0f78abccced5287d84a1a2011cfb81 2 7',
  '558eaf1b543e58e8bda3eb47634c1e16bac2cc2f7d7665527e77dde941e98a8e',
  '',
].join('\n');

describe('the files', () => {
  it('are these bytes', async () => {
    const directory = temporaryDirectory();
    const state = new StateDirectory(directory);
    await state.writeCandidate(LITERAL);
    expect(readFileSync(join(directory, fileOf(LITERAL))).toString('hex')).toBe(LITERAL_FILE);
    expect(existsSync(join(directory, 'active'))).toBe(false);
    await state.markActive(LITERAL, markOf(LITERAL, 7));
    expect(readFileSync(join(directory, 'active'), 'utf8')).toBe(LITERAL_ACTIVE);
    expect(readdirSync(directory).sort()).toEqual([fileOf(LITERAL), 'active'].sort());
  });

  it('are read from these bytes; without a base the 32 bytes are zero', () => {
    const directory = temporaryDirectory();
    const body = Buffer.from(LITERAL_FILE.replace('2b'.repeat(32), '00'.repeat(32)), 'hex').subarray(0, -32);
    writeFileSync(join(directory, fileOf(LITERAL)), Buffer.concat([body, sha256(body)]));
    writeFileSync(join(directory, 'active'), LITERAL_ACTIVE);
    const state = new StateDirectory(directory);
    const mark = state.readActive();
    expect({ ...mark, hash: Buffer.from(mark?.hash ?? []).toString('hex') }).toEqual({
      hash: Buffer.from(LITERAL.hash).toString('hex'),
      epoch: 2,
      version: 7,
    });
    const [release] = state.readChain(LITERAL.hash);
    expect(release && plain(release)).toEqual(plain({ ...LITERAL, base: undefined }));
  });

  it('say nothing in a new directory, which is made for the owner alone', () => {
    const directory = join(temporaryDirectory(), 'a', 'b');
    expect(new StateDirectory(directory).readActive()).toBeUndefined();
    expect(readdirSync(directory)).toEqual([]);
  });

  it('cannot be kept where a file is in the way', () => {
    const file = join(temporaryDirectory(), 'file');
    writeFileSync(file, '');
    expect(() => new StateDirectory(file)).toThrow(StateError);
    expect(() => new StateDirectory(join(file, 'below'))).toThrow(StateError);
  });
});

describe('a chain', () => {
  it('is read back snapshot first, and each release of it is kept', async () => {
    const directory = temporaryDirectory();
    const one = stored(1, 100);
    const two = stored(2, 10, one);
    const three = stored(3, 20, two);
    await put(new StateDirectory(directory), one, two, three);
    const state = new StateDirectory(directory);
    expect(state.readChain(three.hash).map(plain)).toEqual([one, two, three].map(plain));
    expect(readdirSync(directory).sort()).toEqual(['active', ...[one, two, three].map(fileOf)].sort());
  });

  it('is heavy once its deltas weigh twice its foot: not at twice, but one byte over', async () => {
    const directory = temporaryDirectory();
    const state = new StateDirectory(directory);
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
      const reopened = new StateDirectory(directory);
      reopened.readChain(release.hash);
      expect(reopened.isChainHeavy(0)).toBe(expected);
    }
  });

  it('of small deltas is not heavy up to 64 KiB, whatever its foot weighs', async () => {
    const state = new StateDirectory(temporaryDirectory());
    const one = stored(1, 10);
    const two = stored(2, 65_536, one);
    await put(state, one, two);
    expect(state.isChainHeavy(0)).toBe(false);
    await put(state, stored(3, 1, two));
    expect(state.isChainHeavy(0)).toBe(true);
  });

  it('is not heavy for a list that came whole upon a small snapshot, as another snapshot would be', async () => {
    const state = new StateDirectory(temporaryDirectory());
    const one = stored(1, 10);
    const two = stored(2, 100_000, one);
    await put(state, one, two);
    expect(state.isChainHeavy(49_999)).toBe(true);
    expect(state.isChainHeavy(50_000)).toBe(false);
  });

  it('becomes one snapshot, and is whole at every moment of that', async () => {
    const directory = temporaryDirectory();
    const state = new StateDirectory(directory);
    const one = stored(1, 100);
    const two = stored(2, 100, one);
    const three = stored(3, 100, two);
    await put(state, one, two, three);
    const compacted = { ...stored(3, 150), manifestBytes: three.manifestBytes };
    // Killed while it writes: the draft lies beside the chain, which is read as it was.
    writeFileSync(join(directory, `${fileOf(three)}.part`), 'half a snapsh');
    expect(new StateDirectory(directory).readChain(three.hash).map(plain)).toEqual(
      [one, two, three].map(plain),
    );
    // Killed before the others are removed: the snapshot needs none of them.
    await state.writeCandidate(compacted);
    expect(new StateDirectory(directory).readChain(three.hash).map(plain)).toEqual([plain(compacted)]);
    await state.compact(compacted);
    expect(readdirSync(directory).sort()).toEqual(['active', fileOf(three)].sort());
    expect(state.isChainHeavy(0)).toBe(false);
    const four = stored(4, 10, three);
    await put(state, four);
    expect(new StateDirectory(directory).readChain(four.hash).map(plain)).toEqual(
      [compacted, four].map(plain),
    );
  });

  it('is dropped, file by file, when a snapshot takes its place', async () => {
    const directory = temporaryDirectory();
    const state = new StateDirectory(directory);
    const one = stored(1, 100);
    const two = stored(2, 10, one);
    const three = stored(3, 100);
    await put(state, one, two);
    await state.writeCandidate(three);
    expect(readdirSync(directory)).toHaveLength(4);
    await state.markActive(three, markOf(three));
    expect(readdirSync(directory).sort()).toEqual(['active', fileOf(three)].sort());
    expect(state.isChainHeavy(0)).toBe(false);
  });

  it('of 129 files is heavy, however light, and of 255 full; one of 256 is still read', async () => {
    const directory = temporaryDirectory();
    const state = new StateDirectory(directory);
    let last = stored(0, 100_000);
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
    expect(new StateDirectory(directory).readChain(next.hash)).toHaveLength(256);
  });

  it('that runs in a circle, or lacks a file, is a StateError', async () => {
    const directory = temporaryDirectory();
    const state = new StateDirectory(directory);
    const one = stored(1, 10);
    const two = stored(2, 10, one);
    await put(state, one, two);
    await state.writeCandidate(stored(1, 10, two));
    expect(() => state.readChain(two.hash)).toThrow(StateError);
    rmSync(join(directory, fileOf(one)));
    expect(() => state.readChain(two.hash)).toThrow(StateError);
  });
});

describe('a candidate', () => {
  it('that is dropped leaves the chain as it was', async () => {
    const directory = temporaryDirectory();
    const state = new StateDirectory(directory);
    const one = stored(1, 100);
    const two = stored(2, 10, one);
    await put(state, one);
    await state.writeCandidate(two);
    state.dropCandidate(two.hash);
    expect(readdirSync(directory).sort()).toEqual(['active', fileOf(one)].sort());
    expect(state.readActive()?.version).toBe(1);
  });

  it('that is a release of the chain is not dropped', async () => {
    const directory = temporaryDirectory();
    const state = new StateDirectory(directory);
    const one = stored(1, 100);
    await put(state, one);
    state.dropCandidate(one.hash);
    expect(new StateDirectory(directory).readChain(one.hash).map(plain)).toEqual([plain(one)]);
  });

  it('left by a crash, or half written, goes with the next mark; files that are not ours stay', async () => {
    const directory = temporaryDirectory();
    const state = new StateDirectory(directory);
    const one = stored(1, 100);
    await state.writeCandidate(stored(9, 5));
    const foreign = ['notes.txt', 'backup.part', `${'0'.repeat(63)}.release`, 'ACTIVE', '.hidden'];
    for (const name of [...foreign, 'active.part', `${'0'.repeat(64)}.release.part`]) {
      writeFileSync(join(directory, name), name);
    }
    mkdirSync(join(directory, 'folder.release'));
    await put(state, one);
    expect(readdirSync(directory).sort()).toEqual(
      ['active', fileOf(one), 'folder.release', ...foreign].sort(),
    );
    for (const name of foreign) expect(readFileSync(join(directory, name), 'utf8')).toBe(name);
  });
});

describe('damage is a StateError, never another release:', () => {
  const one = stored(1, 5);
  const two = stored(2, 3, one);

  /** Checks a file with each of its bits flipped, with a byte too many, and cut to every length; says in how many states. */
  function eachDamage(path: string, check: () => void): number {
    const bytes = readFileSync(path);
    const file = openSync(path, 'r+'); // changed in place: replacing it thousands of times takes seconds
    for (const [at, byte] of bytes.entries()) {
      for (let bit = 0; bit < 8; bit++) {
        writeSync(file, Uint8Array.of(byte ^ (1 << bit)), 0, 1, at);
        check();
      }
      writeSync(file, Uint8Array.of(byte), 0, 1, at);
    }
    for (let length = bytes.length + 1; length >= 0; length--) {
      ftruncateSync(file, length);
      if (length !== bytes.length) check();
    }
    closeSync(file);
    return bytes.length;
  }

  it.each([
    ['the foot of the chain', one],
    ['the release that is active', two],
  ])('%s', async (_title, victim) => {
    const directory = temporaryDirectory();
    const state = new StateDirectory(directory);
    await put(state, one, two);
    const length = eachDamage(join(directory, fileOf(victim)), () => {
      expect(() => state.readChain(two.hash)).toThrow(StateError);
    });
    expect(length).toBe(4 + 32 + 4 + 4 + 64 + 4 + victim.stream.length + 32);
  });

  it('the active mark', async () => {
    const directory = temporaryDirectory();
    const state = new StateDirectory(directory);
    await put(state, one);
    eachDamage(join(directory, 'active'), () => {
      expect(() => state.readActive()).toThrow(StateError);
    });
  });

  it('a release file under the name of another', async () => {
    const directory = temporaryDirectory();
    await put(new StateDirectory(directory), one, two);
    writeFileSync(join(directory, fileOf(two)), readFileSync(join(directory, fileOf(one))));
    expect(() => new StateDirectory(directory).readChain(two.hash)).toThrow(StateError);
  });

  it('a mark that is a directory', () => {
    const directory = temporaryDirectory();
    mkdirSync(join(directory, 'active'));
    expect(() => new StateDirectory(directory).readActive()).toThrow(StateError);
  });
});
