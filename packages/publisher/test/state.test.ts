/**
 * Identity and store go together: no number is given twice because one of them was lost, and no key is lent.
 */

import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { IdentityError } from '@rulecast/program/identity';
import { prefixListOf } from '@rulecast/rules';
import { describe, expect, it } from 'vitest';
import { temporaryDirectory } from '../../../test/kit/directory.ts';
import { ALL_PERMITS } from '../../../test/kit/permits.ts';
import type { Publisher } from '../src/release/publisher.ts';
import { openDatabases } from '../src/store/databases.ts';
import { openState } from '../src/store/state.ts';
import { StoreError } from '../src/store/store.ts';
import { degraded, freshPublisher, prefixes, pushOf, release } from './fresh-publisher.ts';

const HOSTS = { 'hosts.txt': '192.0.2.1\n' };

/** A state directory in which a version was released. */
async function used(): Promise<string> {
  const stateDirectory = temporaryDirectory();
  const publisher = freshPublisher({ stateDirectory });
  await release(publisher, HOSTS);
  await publisher.close();
  return stateDirectory;
}

describe('an identity whose store is lost', () => {
  // It was taken for a first start, and version 1 was given to other content.
  it.each<[string, (store: string) => void]>([
    ['missing', (store) => rmSync(store, { recursive: true })],
    [
      'an empty directory',
      (store) => {
        for (const file of readdirSync(store)) rmSync(join(store, file));
      },
    ],
    ['an empty file', (store) => writeFileSync(join(store, 'data.mdb'), '')],
  ])('is refused with what to do where it is %s, and nothing is made', async (_title, lose) => {
    const stateDirectory = await used();
    const store = join(stateDirectory, 'store');
    lose(store);
    const before = existsSync(store) ? readdirSync(store) : undefined;
    const start = (): unknown => freshPublisher({ stateDirectory });
    expect(start).toThrow(StoreError);
    expect(start).toThrow(/has no store: .* is missing or empty.*Restore it from a backup.*--start-over/);
    expect(existsSync(store) ? readdirSync(store) : undefined).toEqual(before);
  });

  it('starts over when told to, in an epoch above all that were, also over a restart before the first push', async () => {
    const stateDirectory = await used();
    rmSync(join(stateDirectory, 'store'), { recursive: true });
    const nowMs = (): number => 1_790_000_000_000;
    const over = freshPublisher({ stateDirectory, startOver: true, nowMs });
    await over.close();
    const again = freshPublisher({ stateDirectory, nowMs });
    const { manifest } = await release(again, { 'x.rules': 'drop\n' });
    expect(manifest).toMatchObject({ epoch: 17, version: 1, previousVersion: 0 });
    await again.close();
    expect(() => freshPublisher({ stateDirectory, startOver: true })).toThrow(/start without --start-over/);
  });

  // One list of a source was released 0.3 s after the start, and firewalls went back to their boot mode.
  it('that starts over releases nothing without policies, over restarts and whatever is asked, and then the lists that wait', async () => {
    const stateDirectory = await used();
    rmSync(join(stateDirectory, 'store'), { recursive: true });
    const list = (...texts: string[]) => new Map([['feed', prefixListOf(prefixes(...texts))]]);
    const expectWaits = async (publisher: Publisher): Promise<void> => {
      const { refused, changes } = await publisher.updateLists(list('192.0.2.1'));
      expect([...refused]).toMatchObject([['feed', { code: 'started-over', isTemporary: true }]]);
      expect(changes.size).toBe(0);
      const code = 'guard-refused';
      for (const options of [{}, { dryRun: true }, { asNewEpoch: true, permits: ALL_PERMITS }]) {
        await expect(publisher.push(pushOf(HOSTS), options)).rejects.toMatchObject({ code });
        await expect(publisher.push(pushOf({ 'f.yaml': 'unmatched: accept\n' }), options)).rejects.toThrow(
          /has to have policies/,
        );
        await expect(publisher.push(pushOf({ 'f.yaml': 'policies: {}\n' }), options)).rejects.toThrow(
          /has to have policies/,
        );
        await expect(publisher.blocks.add({ verb: 'block', target: '192.0.2.9' }, options)).rejects.toThrow(
          /has to have policies/,
        );
      }
      await expect(publisher.rollback(1, {}, { asNewEpoch: true })).rejects.toThrow();
      await publisher.refreshNames();
      await publisher.renew();
      expect(publisher.head).toBeUndefined();
      expect(degraded(publisher)[0]).toMatch(/^nothing is released after --start-over/);
    };
    const over = freshPublisher({ stateDirectory, startOver: true });
    await expectWaits(over);
    await over.close();
    const again = freshPublisher({ stateDirectory });
    await expectWaits(again);
    again.setListOwner({ owns: (name) => name === 'feed', isOperand: () => false });
    await again.updateLists(list('192.0.2.1', '192.0.2.2'));
    const { ruleSet } = await release(again, { 'x.rules': 'drop dst=@feed\naccept dst4=192.0.2.3\n' });
    expect(ruleSet.lists.get('feed')).toMatchObject(prefixes('192.0.2.1', '192.0.2.2'));
    expect(degraded(again)).toEqual([]);
    const { changes } = await again.updateLists(list('192.0.2.7'));
    expect([...changes.keys()]).toEqual(['feed']);
  });

  it('that was copied without its store gives no number either', async () => {
    const stateDirectory = await used();
    const identityFile = join(stateDirectory, 'identity');
    expect(() => freshPublisher({ stateDirectory: temporaryDirectory(), identityFile })).toThrow(
      /--start-over/,
    );
  });
});

describe('a store of Rulecast 0.2', () => {
  /** A state directory with releases 1/1 and 1/2, in a store whose form is that of protocol 1. */
  async function usedBefore(numbers = 2): Promise<string> {
    const stateDirectory = temporaryDirectory();
    const publisher = freshPublisher({ stateDirectory });
    for (let i = 1; i <= numbers; i++)
      await release(publisher, { 'x.rules': `drop dst4=192.0.2.${i}\naccept\n` });
    await publisher.close();
    await remark(stateDirectory, 'rulecast-store 3');
    return stateDirectory;
  }

  async function remark(stateDirectory: string, form: string): Promise<void> {
    const databases = openDatabases(join(stateDirectory, 'store'));
    databases.transactionSync(() => void databases.meta.put('form', Buffer.from(form)));
    await databases.close();
  }

  const ALL = { 'x.rules': 'drop\n' };

  it('is refused with what to do, and stays as it is', async () => {
    const stateDirectory = await usedBefore();
    const file = join(stateDirectory, 'store', 'data.mdb');
    const before = readFileSync(file);
    const start = (): unknown => freshPublisher({ stateDirectory });
    expect(start).toThrow(/is of Rulecast 0\.2.*rulectl get all.*--set-aside.*push that again/);
    expect(() => freshPublisher({ stateDirectory, startOver: true })).toThrow(/is of Rulecast 0\.2/);
    expect(readFileSync(file).equals(before)).toBe(true);
  });

  it('that is set aside is kept, and its publisher goes on in the same epoch above its last number, over restarts too', async () => {
    const stateDirectory = await usedBefore();
    const before = readFileSync(join(stateDirectory, 'store', 'data.mdb'));
    const identity = readFileSync(join(stateDirectory, 'identity'));
    const aside = freshPublisher({ stateDirectory, setAside: true });
    expect(aside.head).toBeUndefined();
    expect(degraded(aside)[0]).toMatch(/^nothing is released after .*--set-aside before policies are pushed/);
    await expect(aside.push(pushOf(HOSTS), { permits: ALL_PERMITS })).rejects.toThrow(/has to have policies/);
    await aside.close();
    const again = freshPublisher({ stateDirectory });
    await expect(again.push(pushOf(HOSTS), { permits: ALL_PERMITS })).rejects.toThrow(/has to have policies/);
    const { manifest } = await release(again, ALL);
    expect(manifest).toMatchObject({ epoch: 1, version: 3, previousVersion: 2 });
    await again.close();
    expect(readFileSync(join(stateDirectory, 'store-before-0.3', 'data.mdb')).equals(before)).toBe(true);
    expect(readFileSync(join(stateDirectory, 'identity')).equals(identity)).toBe(true);
    const later = freshPublisher({ stateDirectory });
    expect((await release(later, { 'x.rules': 'accept\n' })).manifest).toMatchObject({
      epoch: 1,
      version: 4,
    });
  });

  it('that is set aside keeps its publisher from taking what came of it for what was lost, and nothing above', async () => {
    const publisher = freshPublisher({ stateDirectory: await usedBefore(), setAside: true });
    const proved = (version: number) => ({ epoch: 1, version, hash: new Uint8Array(32).fill(version) });
    for (const version of [1, 2]) await publisher.proved(proved(version), 'fw');
    expect(publisher.behind).toBeUndefined();
    const { manifest } = await release(publisher, ALL);
    expect(manifest).toMatchObject({ epoch: 1, version: 3 });
    for (const version of [1, 2]) expect(publisher.store.index.rulesOut(proved(version))).toBe(false);
    await publisher.proved(proved(9), 'fw');
    expect(publisher.behind).toEqual({ epoch: 1, version: 9 });
  });

  it('that was behind leaves a publisher that is', async () => {
    const stateDirectory = await usedBefore();
    await remark(stateDirectory, 'rulecast-store 4');
    const before = freshPublisher({ stateDirectory });
    await before.proved({ epoch: 1, version: 7, hash: new Uint8Array(32) }, 'fw');
    await before.close();
    await remark(stateDirectory, 'rulecast-store 3');
    const publisher = freshPublisher({ stateDirectory, setAside: true });
    expect(publisher.behind).toEqual({ epoch: 1, version: 7 });
    await expect(publisher.push(pushOf(ALL), { permits: ALL_PERMITS })).rejects.toThrow(/--as-new-epoch/);
    const options = { asNewEpoch: true };
    expect((await release(publisher, ALL, {}, options)).manifest).toMatchObject({ epoch: 2, version: 3 });
  });

  it('goes on as the store of this version where nothing was released from it', async () => {
    const stateDirectory = await usedBefore(0);
    expect(() => freshPublisher({ stateDirectory, setAside: true })).toThrow(/start without --set-aside/);
    const { manifest } = await release(freshPublisher({ stateDirectory }), HOSTS);
    expect(manifest).toMatchObject({ epoch: 1, version: 1 });
  });

  // With a store that was made and not begun, each way out was refused with the advice to take the other.
  it.each<[string, (store: string) => unknown]>([
    ['before the next store is made', () => undefined],
    ['when its directory is made', (store) => mkdirSync(store)],
    [
      'when LMDB has made its file',
      (store) => {
        mkdirSync(store);
        writeFileSync(join(store, 'data.mdb'), '');
      },
    ],
    ['when it is made and not begun', (store) => openDatabases(store).close()],
  ])(
    'whose setting aside is cut off %s is set aside by the next start with --set-aside',
    async (_title, leave) => {
      const stateDirectory = await usedBefore();
      renameSync(join(stateDirectory, 'store'), join(stateDirectory, 'store-before-0.3'));
      await leave(join(stateDirectory, 'store'));
      expect(() => freshPublisher({ stateDirectory })).toThrow(/start once with --set-aside/);
      const { manifest } = await release(freshPublisher({ stateDirectory, setAside: true }), ALL);
      expect(manifest).toMatchObject({ epoch: 1, version: 3 });
    },
  );

  it('is not set aside a second time once the next store has begun', async () => {
    const stateDirectory = await usedBefore();
    await freshPublisher({ stateDirectory, setAside: true }).close();
    expect(() => freshPublisher({ stateDirectory, setAside: true })).toThrow(/start without --set-aside/);
    const { manifest } = await release(freshPublisher({ stateDirectory }), ALL);
    expect(manifest).toMatchObject({ epoch: 1, version: 3 });
  });

  // Numbers would have gone on above those of somebody else.
  it('is not set aside where another identity has signed it, or there is no identity', async () => {
    const stateDirectory = await usedBefore();
    const identity = join(stateDirectory, 'identity');
    const start = (): unknown => freshPublisher({ stateDirectory, setAside: true });
    renameSync(join(await used(), 'identity'), identity);
    expect(start).toThrow(/cannot be set aside: it is of another lineage/);
    rmSync(identity);
    expect(start).toThrow(IdentityError);
    expect(existsSync(identity)).toBe(false);
    expect(readdirSync(stateDirectory)).not.toContain('store-before-0.3');
  });

  it('is not set aside where there is none, it is of this version, or another was before', async () => {
    const start = (stateDirectory: string) => () => freshPublisher({ stateDirectory, setAside: true });
    expect(start(await used())).toThrow(/is not one of Rulecast 0\.2 .*start without --set-aside/);
    const lost = await used();
    rmSync(join(lost, 'store'), { recursive: true });
    expect(start(lost)).toThrow(/there is no store in .*start without --set-aside/);
    const twice = await usedBefore();
    mkdirSync(join(twice, 'store-before-0.3'));
    expect(start(twice)).toThrow(/is there already/);
    expect(existsSync(join(twice, 'store', 'data.mdb'))).toBe(true);
  });
});

describe('a store whose identity is lost', () => {
  // A new identity was made beside it.
  it('is refused with what to do, and no identity is made', async () => {
    const stateDirectory = await used();
    const identity = join(stateDirectory, 'identity');
    renameSync(identity, `${identity}.away`);
    expect(() => freshPublisher({ stateDirectory })).toThrow(IdentityError);
    expect(() => freshPublisher({ stateDirectory })).toThrow(
      /identity file .* is missing: restore it from a backup/,
    );
    expect(existsSync(identity)).toBe(false);
    renameSync(`${identity}.away`, identity);
    expect(freshPublisher({ stateDirectory }).head?.manifest.version).toBe(1);
  });

  it('that was made and never written to gets one: a first start that was cut off goes on', async () => {
    const stateDirectory = temporaryDirectory();
    await freshPublisher({ stateDirectory }).close();
    rmSync(join(stateDirectory, 'identity'));
    expect((await release(freshPublisher({ stateDirectory }), HOSTS)).manifest).toMatchObject({
      epoch: 1,
      version: 1,
    });
  });

  // LMDB never finished closing in the turn in which it had opened, and neither did --init.
  it('is closed in the turn in which it was made', async () => {
    const { store } = openState({ stateDirectory: temporaryDirectory() }, 0);
    await store.close();
  });

  it('that LMDB had only begun to make is a first start', () => {
    const stateDirectory = temporaryDirectory();
    mkdirSync(join(stateDirectory, 'store'));
    writeFileSync(join(stateDirectory, 'store', 'data.mdb'), '');
    expect(freshPublisher({ stateDirectory }).head).toBeUndefined();
  });
});

describe('a signing key', () => {
  it.each([0o640, 0o604, 0o620, 0o602, 0o644, 0o666])(
    'of mode %o is refused with what to do',
    async (mode) => {
      const stateDirectory = await used();
      const identity = join(stateDirectory, 'identity');
      chmodSync(identity, mode);
      expect(() => freshPublisher({ stateDirectory })).toThrow(IdentityError);
      expect(() => freshPublisher({ stateDirectory })).toThrow(`chmod 600 ${identity}`);
      chmodSync(identity, 0o600);
      expect(freshPublisher({ stateDirectory }).head?.manifest.version).toBe(1);
    },
  );

  it.each([
    [0o770, true],
    [0o702, true],
    [0o777, true],
    [0o755, false],
    [0o1777, false],
  ])(
    'in a directory of mode %o, where others may put another in its place or not, is refused: %s',
    async (mode, isRefused) => {
      const stateDirectory = await used();
      chmodSync(stateDirectory, mode);
      const start = (): unknown => freshPublisher({ stateDirectory });
      if (isRefused) expect(start).toThrow(`chmod go-w ${stateDirectory}`);
      else expect(start).not.toThrow();
    },
  );
});
