/**
 * What a state directory must keep, whatever its disk does. Each disk's test calls `describeStateDirectory`
 * with places on it.
 */

import { join } from 'node:path';
import { decodeManifest, encodeManifest, manifestFor } from '@rulecast/protocol';
import { EMPTY_RULE_SET } from '@rulecast/rules';
import { describe, expect, it } from 'vitest';
import { type DiskFault, type DiskFaults, faultyDisk } from '../../../test/simulate/faulty-disk.ts';
import type { Disk } from '../src/state/disk.ts';
import { StateDirectory, StateError, type StoredRelease } from '../src/state/state.ts';
import { sha256 } from './scripted-publisher.ts';

/** A directory on a disk. */
export interface TestPlace {
  readonly directory: string;
  /** The disk as a process sees it that begins now. */
  mount(): Disk;
  /** The process ends, and whatever this disk forgets then is forgotten. */
  crash(): void;
  /** One bit of a file is another one from now on. */
  flip(path: string): void;
}

const FAULTS: readonly DiskFault[] = ['ENOSPC', 'EIO', 'short'];
const LAST_VERSION = 7;

/** A release of any stream, signed by nobody: the state directory looks into its manifest alone. */
export function stored(version: number, streamBytes: number, base?: StoredRelease): StoredRelease {
  const place = {
    lineage: new Uint8Array(16).fill(0x1e),
    epoch: 2,
    version,
    previousVersion: 0,
    createdAtMs: 9,
  };
  const manifestBytes = encodeManifest(manifestFor(EMPTY_RULE_SET, place));
  return {
    hash: sha256(manifestBytes),
    base: base?.hash,
    manifestBytes,
    signatures: Uint8Array.of(1, ...new Uint8Array(72).fill(version)),
    stream: new Uint8Array(streamBytes).fill(0xc0 + version),
  };
}

function releaseOf(version: number, base?: StoredRelease): StoredRelease {
  return stored(version, base === undefined ? 300 : 20, base);
}

function versionOf({ manifestBytes }: StoredRelease): number {
  return decodeManifest(manifestBytes).version;
}

/** What identifies a release file: its version and what it starts from. */
function formOf({ hash, base, manifestBytes, signatures, stream }: StoredRelease): string {
  return [hash, base ?? [], manifestBytes, signatures, stream]
    .map((bytes) => Buffer.from(bytes).toString('hex'))
    .join(' ');
}

/** A subscriber's use of its state directory, from one start to the next. */
export class Keeper {
  readonly #place: TestPlace;
  readonly #handedIn = new Set<string>();
  #state: StateDirectory;
  #last: StoredRelease | undefined; // whose mark was acknowledged last, if that is the newest in force
  #version = 0;
  #unfinished = 0; // the newest version whose mark was begun
  #acknowledged = 0;
  #damaged: string[] = [];

  constructor(place: TestPlace, faults: DiskFaults = {}) {
    this.#place = place;
    this.#state = this.#open(faultyDisk(place.mount(), faults));
  }

  get state(): StateDirectory {
    return this.#state;
  }

  get damaged(): readonly string[] {
    return this.#damaged;
  }

  #open(disk: Disk): StateDirectory {
    this.#damaged = [];
    return new StateDirectory(
      this.#place.directory,
      { onDamage: (text) => this.#damaged.push(text), onUntidy: () => undefined },
      disk,
    );
  }

  /** Opens it anew, on a disk with faults. Returns that disk. */
  restart(faults: DiskFaults): { readonly isHit: boolean; readonly steps: number } {
    const disk = faultyDisk(this.#place.mount(), faults);
    this.#state = this.#open(disk);
    return disk;
  }

  /** Brings the next release into force, as the activator does. Whether that was acknowledged. */
  async bring(kind: 'delta' | 'snapshot' = 'delta'): Promise<boolean> {
    this.#version += 1;
    const release = releaseOf(this.#version, kind === 'delta' ? this.#last : undefined);
    this.#handedIn.add(formOf(release));
    try {
      await this.#state.writeCandidate(release);
    } catch (error) {
      expect(error).toBeInstanceOf(StateError);
      this.#state.dropCandidate(release.hash);
      return false;
    }
    this.#last = undefined; // where the mark fails, the next one comes with a snapshot
    this.#unfinished = this.#version;
    try {
      await this.#state.markActive(release);
    } catch (error) {
      expect(error).toBeInstanceOf(StateError);
      this.#expectReadable();
      return false;
    }
    this.#last = release;
    this.#acknowledged = this.#version;
    return true;
  }

  /** A release that is written and does not come into force. */
  /** What there is can be read, or StateError says why not. */
  #expectReadable(): void {
    try {
      this.#state.find();
    } catch (error) {
      expect(error).toBeInstanceOf(StateError);
    }
  }

  async dropOne(): Promise<void> {
    const release = releaseOf(100 + this.#version);
    this.#handedIn.add(formOf(release));
    await this.#state.writeCandidate(release).catch(() => undefined);
    this.#state.dropCandidate(release.hash);
  }

  async compact(): Promise<void> {
    if (this.#last === undefined) return;
    const snapshot = releaseOf(versionOf(this.#last));
    this.#handedIn.add(formOf(snapshot));
    await this.#state.compact(snapshot).catch(() => undefined);
  }

  /** Snapshots, deltas, a candidate that is dropped, chains that become one file. */
  async work(): Promise<void> {
    for (let version = 1; version <= LAST_VERSION; version++) {
      await this.bring(version === 6 ? 'snapshot' : 'delta');
      if (version === 2) await this.dropOne();
      if (version === 3 || version === 5) await this.compact();
    }
    await this.#state.settled();
  }

  /** A start, on a disk without faults: what is found is what was acknowledged, or newer, and whole. */
  async expectKept(): Promise<void> {
    this.restart({});
    const { marks, releases } = this.#state.find();
    for (const release of releases) expect(this.#handedIn).toContain(formOf(release));
    const [newest] = marks;
    expect(newest?.version ?? 0).toBeGreaterThanOrEqual(this.#acknowledged);
    expect(newest?.version ?? 0).toBeLessThanOrEqual(this.#unfinished);
    if (newest === undefined) return;
    const chain = this.#state.readChain(newest.hash);
    for (const [i, release] of chain.entries()) {
      expect(this.#handedIn).toContain(formOf(release));
      expect(release.base && Buffer.from(release.base)).toEqual(
        i === 0 ? undefined : Buffer.from(chain[i - 1]?.hash ?? []),
      );
    }
    this.#last = chain.at(-1);
    expect(this.#last && versionOf(this.#last)).toBe(newest.version);
    this.#acknowledged = newest.version;
    this.#state.heal(newest);
    await this.#state.settled();
  }

  /** The files that the release in force needs, from the directory. */
  filesInForce(): readonly string[] {
    return ['active', ...this.#chain().map(({ hash }) => `${Buffer.from(hash).toString('hex')}.release`)];
  }

  #chain(): readonly StoredRelease[] {
    return this.#last === undefined ? [] : this.#state.readChain(this.#last.hash);
  }
}

/** The work with a fault at one of its steps, for each or some. Resolves to about how many there are. */
async function sweep(
  makePlace: () => TestPlace,
  stride: number,
  faultsAt: (step: number) => DiskFaults,
  check: (keeper: Keeper, place: TestPlace) => Promise<void>,
): Promise<number> {
  for (let step = 1; ; step += stride) {
    const place = makePlace();
    const keeper = new Keeper(place);
    const disk = keeper.restart({ step, ...faultsAt(step) });
    await keeper.work();
    if (!disk.isHit) return step - 1;
    await check(keeper, place);
  }
}

export interface Thoroughness {
  /** The whole suite runs with each of them. */
  readonly seeds: readonly number[];
  /** From one step at which a fault comes to the next such step: 1 for all. */
  readonly stride: number;
}

export function describeStateDirectory(
  name: string,
  makePlace: (seed: number) => TestPlace,
  { seeds, stride }: Thoroughness,
): void {
  describe(`a state directory on ${name}`, () => {
    describe.each(seeds)('with seed %i', (seed) => {
      const place = (): TestPlace => makePlace(seed);
      describeEnds(place, seed, stride);
      describeFailures(place, seed, stride);
      describeDamage(place);
    });
  });
}

function describeEnds(makePlace: () => TestPlace, seed: number, stride: number): void {
  it('gives back what was acknowledged, and nothing that was not handed in', async () => {
    const place = makePlace();
    const keeper = new Keeper(place);
    await keeper.work();
    place.crash();
    await keeper.expectKept();
    expect(keeper.damaged).toEqual([]);
  });

  it('has a candidate on disk once it is written, in force or not', async () => {
    const place = makePlace();
    const keeper = new Keeper(place);
    const release = releaseOf(9);
    await keeper.state.writeCandidate(release);
    place.crash();
    keeper.restart({});
    expect(keeper.state.find().releases.map(formOf)).toEqual([formOf(release)]);
  });

  it('keeps the clock as it was written last', async () => {
    const place = makePlace();
    const keeper = new Keeper(place);
    await keeper.state.writeClock({ bootId: 'boot', wallMs: 1, bootMs: 2, ended: 3 });
    await keeper.state.writeClock({ bootId: 'boot', wallMs: 4, bootMs: 5, ended: 6 });
    place.crash();
    keeper.restart({});
    expect(keeper.state.readClock()).toEqual({ bootId: 'boot', wallMs: 4, bootMs: 5, ended: 6 });
  });

  it('ended at any step, damages nothing, keeps what was acknowledged and goes on', async () => {
    const steps = await sweep(
      makePlace,
      stride,
      (step) => ({ fault: 'end', ...((step + seed) % 2 === 0 ? {} : { slowSeed: seed }) }),
      async (keeper, place) => {
        place.crash();
        await keeper.expectKept();
        expect(keeper.damaged).toEqual([]);
        expect(await keeper.bring()).toBe(true);
        place.crash();
        await keeper.expectKept();
      },
    );
    expect(steps).toBeGreaterThan(50);
  });

  it('ended at any step, can lose any one file afterwards', async () => {
    await sweep(
      makePlace,
      stride,
      () => ({ fault: 'end' }),
      async (keeper, place) => {
        place.crash();
        await keeper.expectKept();
        for (const file of keeper.filesInForce().slice(1)) {
          place.flip(join(place.directory, file));
          await keeper.expectKept();
          expect(keeper.damaged).toHaveLength(1);
        }
      },
    );
  });
}

function describeFailures(makePlace: () => TestPlace, seed: number, stride: number): void {
  it('keeps the last state where any one call fails, and takes the next release', async () => {
    await sweep(
      makePlace,
      stride,
      (step) => ({ fault: FAULTS[(step + seed) % FAULTS.length] ?? 'EIO' }),
      async (keeper, place) => {
        expect(await keeper.bring()).toBe(true);
        place.crash();
        await keeper.expectKept();
        expect(keeper.damaged).toEqual([]);
      },
    );
  });

  it('can lose any one file after a call has failed and the next release has come', async () => {
    let turn = seed;
    await sweep(
      makePlace,
      stride,
      (step) => ({ fault: FAULTS[(step + seed) % FAULTS.length] ?? 'EIO' }),
      async (keeper, place) => {
        expect(await keeper.bring()).toBe(true);
        await keeper.state.settled();
        const files = keeper.filesInForce();
        place.flip(join(place.directory, files[turn++ % files.length] ?? ''));
        await keeper.expectKept();
        expect(keeper.damaged).toHaveLength(1);
      },
    );
  });
}

function describeDamage(makePlace: () => TestPlace): void {
  it.each(['', 'copy'])(
    'finds a flipped bit of any file in "%s", and loses nothing by it',
    async (folder) => {
      const place = makePlace();
      const keeper = new Keeper(place);
      await keeper.work();
      await keeper.expectKept();
      for (const file of keeper.filesInForce()) {
        place.flip(join(place.directory, folder, file));
        await keeper.expectKept();
        expect(keeper.damaged).toHaveLength(1);
        await keeper.expectKept();
        expect(keeper.damaged).toEqual([]);
      }
    },
  );

  it('says so where a release is damaged in both places, and gives out none that was not written', async () => {
    const place = makePlace();
    const keeper = new Keeper(place);
    await keeper.work();
    await keeper.expectKept();
    const [, file = ''] = keeper.filesInForce();
    for (const folder of ['', 'copy']) place.flip(join(place.directory, folder, file));
    await expect(keeper.expectKept()).rejects.toThrow(StateError);
    expect(keeper.damaged).toHaveLength(2);
  });
}
