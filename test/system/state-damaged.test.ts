/**
 * State files that are torn, flipped or foreign: a sentence and an exit code, or the last good release;
 * nothing is destroyed.
 */

import {
  chmodSync,
  copyFileSync,
  cpSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openIdentity } from '@rulecast/program/identity';
import {
  encodeDelta,
  encodeManifest,
  encodeSnapshot,
  manifestFor,
  manifestHash,
  signBytes,
} from '@rulecast/protocol';
import { Store } from '@rulecast/publisher';
import { EMPTY_RULE_SET } from '@rulecast/rules';
import { beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { millionHosts } from '../inputs.mjs';
import { seededNumbers } from '../kit/random.mjs';
import { endpointsIn, runPublisher, runSubscriber } from '../processes.mjs';
import { cases, often } from '../thorough.ts';
import { releaseOf } from './control-client.ts';
import { Scene } from './scene.ts';

const SEED = 0x5eed06;
const FLIPS = often(20, 40);
const FOREIGN = Buffer.from('This is a letter, and no state of anything.\n'.repeat(500));

function flipBit(path: string, bit: number): void {
  const bytes = readFileSync(path);
  bytes[bit >> 3] = (bytes[bit >> 3] ?? 0) ^ (1 << (bit & 7));
  writeFileSync(path, bytes);
}

interface Loaded {
  /** Undefined: it runs. */
  readonly code: number | null | undefined;
  readonly stderr: string;
  readonly version: number | undefined;
}

describe('a publisher', () => {
  let scene: Scene;
  let head: string;
  let good: string;

  beforeAll(async () => {
    const maker = new Scene(mkdtempSync(join(tmpdir(), 'rulecast-damaged-')));
    const publisher = await maker.publisher();
    const { text } = millionHosts(20_000, SEED);
    for (let i = 0; i < 3; i++) {
      const push = { list: 'blocked', text: `${text}10.0.0.${i}\n`, wait: 'released' } as const;
      head = releaseOf(await maker.control.push(push)).hash;
    }
    await publisher.stop();
    good = maker.path('publisher');
    return () => rmSync(maker.directory, { recursive: true });
  });

  beforeEach(() => {
    scene = new Scene();
    cpSync(good, scene.path('good'), { recursive: true });
    scene.copy('good', 'publisher');
  });

  /** Starts a publisher; what it says and its exit code if it does not start, else the version it has. */
  async function load(): Promise<Loaded> {
    try {
      const publisher = await scene.publisher();
      const { version } = (await scene.control.status()).head;
      await publisher.stop();
      return { code: undefined, stderr: '', version };
    } catch {
      const { control, listen } = endpointsIn(scene.directory);
      const args = ['--state', scene.path('publisher'), '--listen', listen, '--control', control];
      return { ...(await runPublisher(args)), version: undefined };
    }
  }

  /** Puts what was damaged aside, and checks that the good copy still is what it was. */
  async function expectGoodCopyWorks(): Promise<void> {
    scene.copy('good', 'publisher');
    const publisher = await scene.publisher();
    expect((await scene.control.status()).head).toMatchObject({ version: 3, hash: head });
    await publisher.stop();
  }

  it.each(['store/data.mdb', 'identity'])(
    'says in a sentence that %s is foreign, exits with 1 and leaves it',
    async (file) => {
      const path = scene.path('publisher', file);
      writeFileSync(path, FOREIGN);
      const { code, stderr } = await load();
      expect(code).toBe(1);
      expect(stderr).toMatch(/^rulecast-publisher: .*(restore it from a backup).*\n$/);
      expect(readFileSync(path).equals(FOREIGN)).toBe(true);
      await expectGoodCopyWorks();
    },
  );

  it('says in a sentence that its identity is missing, or that the store is of another, and makes none', async () => {
    rmSync(scene.path('publisher', 'identity'));
    const missing = await load();
    expect(missing.code).toBe(1);
    expect(missing.stderr).toMatch(
      /^rulecast-publisher: .*identity.* is missing: restore it from a backup.*\n$/,
    );
    expect(existsSync(scene.path('publisher', 'identity'))).toBe(false);
    openIdentity(scene.path('publisher', 'identity'));
    const other = await load();
    expect(other.code).toBe(1);
    expect(other.stderr).toContain('this store belongs to another identity file');
    copyFileSync(scene.path('good', 'identity'), scene.path('publisher', 'identity'));
    expect(await load()).toMatchObject({ version: 3 });
  });

  it('says in a sentence that the store is a file, and starts where the lock file is rubbish', async () => {
    rmSync(scene.path('publisher', 'store'), { recursive: true });
    writeFileSync(scene.path('publisher', 'store'), FOREIGN);
    const { code, stderr } = await load();
    expect(code).toBe(1);
    expect(stderr).toContain('cannot open the store');
    scene.copy('good', 'publisher');
    writeFileSync(scene.path('publisher', 'store', 'lock.mdb'), Buffer.alloc(8192, 0x5a));
    expect(await load()).toMatchObject({ version: 3 });
    await expectGoodCopyWorks();
  });

  // It was taken for a first start: version 1 was given again.
  it.each(['missing', 'empty'])('says in a sentence that data.mdb is %s, and makes none', async (what) => {
    const path = scene.path('publisher', 'store', 'data.mdb');
    if (what === 'missing') rmSync(path);
    else truncateSync(path, 0);
    const { code, stderr } = await load();
    expect(code).toBe(1);
    expect(stderr).toMatch(
      /^rulecast-publisher: .*missing or empty.*Restore it from a backup.*--start-over.*\n$/,
    );
    expect(existsSync(path) && statSync(path).size > 0).toBe(false);
    await expectGoodCopyWorks();
  });

  it('says in a sentence that others may read its key', async () => {
    const path = scene.path('publisher', 'identity');
    chmodSync(path, 0o644);
    const { code, stderr } = await load();
    expect(code).toBe(1);
    expect(stderr).toContain(`chmod 600 ${path}`);
    chmodSync(path, 0o600);
    expect(await load()).toMatchObject({ version: 3 });
  });

  // It made a new identity there, and printed that.
  it('prints no trust line of a state that is not there, and makes none', async () => {
    const path = scene.path('publisehr');
    const { code, stdout, stderr } = await runPublisher(['--state', path, '--print-trust']);
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
    expect(stderr).toMatch(/^rulecast-publisher: there is no identity file .*publisehr.*--init.*\n$/);
    expect(existsSync(path)).toBe(false);
  });

  it('prints the trust line of a publisher that is just starting', async () => {
    const fresh = new Scene();
    const { control, listen } = endpointsIn(fresh.directory);
    const state = ['--state', fresh.path('publisher')];
    const printed = runPublisher([...state, '--print-trust']);
    const publisher = fresh.publisher();
    const { code, stdout } = await printed;
    expect({ code, stdout }).toEqual({ code: 0, stdout: expect.stringMatching(/^rulecast2:\S+\n$/) });
    await (await publisher).stop();
    const again = await runPublisher([...state, '--listen', listen, '--control', control, '--init']);
    expect(again).toMatchObject({ code: 0, stdout });
  });

  it('refuses a store that is torn anywhere, and destroys nothing of it', async () => {
    const path = scene.path('publisher', 'store', 'data.mdb');
    const whole = readFileSync(path);
    const pages = whole.length / 4096;
    for (const length of cases(
      [1, 4096, 4097, 4096 * (pages >> 1), 4096 * (pages - 4) + 1],
      [100, 4095, 8192, 12_288],
    )) {
      scene.copy('good', 'publisher');
      truncateSync(path, length);
      const { code, stderr } = await load();
      expect(code, `${length} bytes: ${stderr}`).toBe(1);
      expect(stderr).toMatch(/rulecast-publisher: .*store.*\n$/);
      expect(readFileSync(path).subarray(0, length).equals(whole.subarray(0, length))).toBe(true);
    }
    await expectGoodCopyWorks();
  });

  it('has a head that was signed, or none, with any bit of its store flipped, and destroys nothing', async () => {
    console.log(`seed ${SEED}`);
    const next = seededNumbers(SEED);
    const path = scene.path('publisher', 'store', 'data.mdb');
    const bits = statSync(path).size * 8;
    let refused = 0;
    let crashed = 0;
    for (let i = 0; i < FLIPS; i++) {
      scene.copy('good', 'publisher');
      const bit = next(i % 4 === 0 ? 2 * 4096 * 8 : bits); // the first two pages say where all else is
      flipBit(path, bit);
      const flipped = readFileSync(path);
      const { code, stderr, version } = await load();
      expect(readFileSync(path).equals(flipped), `bit ${bit}`).toBe(true);
      if (code === undefined) {
        // Where the newest of the two root pages is damaged LMDB goes back to the one before.
        expect([2, 3], `bit ${bit}`).toContain(version);
        continue;
      }
      if (code === null) {
        crashed += 1; // LMDB believes the lengths in its own pages, and leaves by SIGBUS where one leads beyond the file
        continue;
      }
      expect(code, `bit ${bit}: ${stderr}`).toBe(1);
      expect(stderr).toMatch(/rulecast-publisher: .*store.*\n$/);
      refused += 1;
    }
    console.log(
      `${FLIPS} flips in ${bits / 8} bytes: ${refused} refused, ${crashed} ended LMDB, the others where nothing is`,
    );
    expect(crashed).toBeLessThan(FLIPS / 10);
    expect(refused).toBeGreaterThan(0);
    await expectGoodCopyWorks();
  }, 400_000);

  it('is the only one that uses its state', async () => {
    await scene.publisher();
    expect(await load()).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('another publisher or subscriber uses'),
    });
  });

  it('gives no version twice where another one writes to its store all the same', async () => {
    const identity = openIdentity(scene.path('publisher', 'identity'));
    const stores = [new Store(scene.path('shared')), new Store(scene.path('shared'))] as const;
    for (const store of stores) expect(store.load(identity)).toBeUndefined();
    const commits = stores.map((store, index) => {
      const next = {
        lineage: identity.lineage,
        epoch: 1,
        version: 1,
        previousVersion: 0,
        createdAtMs: index,
      };
      const manifest = manifestFor(EMPTY_RULE_SET, next);
      const manifestBytes = encodeManifest(manifest);
      const signatures = signBytes(manifestBytes, ...identity.releaseKeys);
      const release = {
        ruleSet: EMPTY_RULE_SET,
        manifest,
        manifestBytes,
        signatures,
        hash: manifestHash(manifestBytes),
        capabilities: [],
      };
      const notes = {
        cause: 'push',
        detail: '',
        changedParts: [],
        changedCount: 0,
        added: 0,
        removed: 0,
      } as const;
      const delta = encodeDelta({ changes: [] });
      return store.commit(release, delta, notes, async () => encodeSnapshot(EMPTY_RULE_SET));
    });
    const [first, second] = await Promise.allSettled(commits);
    expect(first).toMatchObject({ status: 'fulfilled' });
    expect(second).toMatchObject({
      status: 'rejected',
      reason: { message: expect.stringContaining('another publisher') },
    });
    await stores[0].close();
    const reopened = new Store(scene.path('shared'));
    expect(reopened.load(identity)?.manifest).toMatchObject({ version: 1, createdAtMs: 0 });
    await reopened.close();
  });
});

describe('a subscriber', () => {
  let scene: Scene;

  beforeEach(async () => {
    scene = new Scene();
    await scene.publisher();
    const subscriber = await scene.subscriber('firewall');
    await scene.control.push({ list: 'blocked', text: `${millionHosts(2000, SEED).text}10.0.0.1\n` });
    await scene.control.pushText('default.rules', 'drop dst=@blocked\naccept\n');
    await scene.control.synced('firewall');
    await subscriber.stop();
    scene.copy('firewall', 'good');
  });

  it('exits with 1 and a sentence where its state directory is a file, and leaves it', async () => {
    const path = scene.path('file');
    writeFileSync(path, FOREIGN);
    const args = ['--trust', await scene.trustLine(), '--connect', scene.listen, '--state', path];
    const { code, stderr } = await runSubscriber(args);
    expect(code).toBe(1);
    expect(stderr).toMatch(/^rulecast-subscriber: .*cannot be a directory: .*\n$/);
    expect(readFileSync(path).equals(FOREIGN)).toBe(true);
  });

  // One damaged byte was boot mode.
  it('enforces what was in force with any file damaged in one place, says so, and is brought up to date', async () => {
    console.log(`seed ${SEED}`);
    const next = seededNumbers(SEED);
    const state = scene.path('firewall');
    const release = readdirSync(state).find((file) => file.endsWith('.release')) ?? '';
    const damages: readonly (readonly [string, (path: string) => void])[] = [
      ['torn', (path) => truncateSync(path, statSync(path).size >> 1)],
      ['empty', (path) => truncateSync(path, 0)],
      ['flipped', (path) => flipBit(path, next(statSync(path).size * 8))],
      ['foreign', (path) => writeFileSync(path, FOREIGN)],
    ];
    for (const [i, file] of ['active', release, `copy/active`, `copy/${release}`].entries()) {
      const [what, damage] = damages[i] ?? damages[0] ?? ['', () => undefined];
      scene.copy('good', 'firewall');
      damage(join(state, file));
      // Without a publisher: its start depends on its state alone.
      const alone = await scene.subscriber('firewall', `unix:${scene.path('nobody.sock')}`);
      const said = await alone.logged((line) => line['level'] === 50);
      expect(said['msg'], `${file} ${what}`).toContain(`${join(state, file)} is damaged: it is put aside`);
      await alone.logged((line) => line['msg'] === 'restored the release that was in force');
      expect(await alone.stop()).toBe(0);
      expect(existsSync(`${join(state, file)}.damaged`)).toBe(true);
      expect(readFileSync(join(state, file))).toEqual(readFileSync(scene.path('good', file)));
      const subscriber = await scene.subscriber('firewall');
      expect(await scene.control.synced('firewall')).toMatchObject({ version: 2 });
      expect(await scene.control.verdict('10.0.0.1', 'firewall')).toMatchObject({ action: 'drop' });
      await subscriber.stop();
    }
  });

  it('holds the boot mode where all is damaged in both places, says so, and is brought up to date', async () => {
    const state = scene.path('firewall');
    for (const place of [state, join(state, 'copy')]) {
      for (const file of readdirSync(place)) {
        if (file !== 'copy') writeFileSync(join(place, file), FOREIGN);
      }
    }
    const alone = await scene.subscriber('firewall', `unix:${scene.path('nobody.sock')}`);
    await alone.logged((line) => line['level'] === 50 && String(line['msg']).includes('is damaged'));
    expect(await alone.stop()).toBe(0);
    const subscriber = await scene.subscriber('firewall');
    expect(await scene.control.synced('firewall')).toMatchObject({ version: 2 });
    await subscriber.stop();
  });

  it('is the only one that uses its state', async () => {
    await scene.subscriber('firewall');
    const args = [
      '--trust',
      await scene.trustLine(),
      '--connect',
      scene.listen,
      '--state',
      scene.path('firewall'),
    ];
    const { code, stderr } = await runSubscriber(args);
    expect(code).toBe(1);
    expect(stderr).toMatch(/^rulecast-subscriber: another publisher or subscriber uses .*: stop it first\n$/);
  });

  // A new identity refused every release as not newer, for ever and without a hint.
  it('takes no state of another lineage, and both ends are told what to do', async () => {
    const other = new Scene();
    await other.publisher();
    const old = await other.subscriber('firewall');
    await other.control.push({ list: 'blocked', text: '10.9.9.9\n' });
    await other.control.synced('firewall');
    await old.stop();
    rmSync(scene.path('firewall'), { recursive: true });
    cpSync(other.path('firewall'), scene.path('firewall'), { recursive: true });
    const advice = /the state directory is of lineage .*give the subscriber an empty --state/;
    const subscriber = await scene.subscriber('firewall');
    const said = await subscriber.logged((line) => line['level'] === 50);
    expect(JSON.stringify(said)).toMatch(advice);
    const { subscribers } = await scene.control.until(({ subscribers: rows }) =>
      rows.some(({ state, lastError }) => state === 'refused' && lastError !== undefined),
    );
    expect(subscribers[0]?.lastError).toMatchObject({
      code: 'wrong-lineage',
      text: expect.stringMatching(advice),
    });
    await subscriber.stop();
  });
});
