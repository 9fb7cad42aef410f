/**
 * Keys that were stolen, and keys that were changed, up to the firewalls that recovered, with real processes.
 */

import { cpSync, mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { openIdentity, readRootKey, replaceIdentity, rootKeyFileOf } from '@rulecast/program/identity';
import { nextRoot } from '@rulecast/program/next-root';
import { withRoot } from '@rulecast/protocol';
import { expect, it, onTestFinished } from 'vitest';
import { temporaryDirectory } from '../kit/directory.ts';
import { signedRoot } from '../kit/roots.mjs';
import {
  endpointsIn,
  PERMITTED,
  rulectl,
  rulectlOffline,
  startPublisher,
  startSubscriberOf,
  trustOf,
} from '../processes.mjs';

async function push(
  directory: string,
  address: string,
  permits: readonly string[] = PERMITTED,
): Promise<void> {
  const file = join(directory, 'bad.rules');
  writeFileSync(file, `drop dst4=${address}\n`);
  const { code, stderr } = await rulectl(directory, ['push', file, '--wait', 'released', ...permits]);
  expect(code, stderr).toBe(0);
}

async function versionOf(directory: string): Promise<unknown> {
  const { stdout } = await rulectl(directory, ['status', '--json']);
  const records = stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
  const { state, epoch, version } = records.find(({ kind }) => kind === 'subscriber') ?? {};
  return { state, epoch, version };
}

// One key was everything: its thief released the last number, and the key could not be changed.
it('locks firewalls out, until a root takes it away: then they recover by themselves', async () => {
  const directory = temporaryDirectory();
  let publisher = await startPublisher(directory);
  onTestFinished(async () => {
    await publisher.stop();
  });
  await push(directory, '192.0.2.1');
  const { listen } = endpointsIn(directory);
  const trust = await trustOf(directory);
  const firewall = ['--state', join(directory, 'firewall')];
  let subscriber = await startSubscriberOf(trust, listen, 'fw', firewall);
  onTestFinished(async () => {
    await subscriber.stop();
  });
  await subscriber.logged(({ msg, version }) => msg === 'applied' && version === 1);
  await subscriber.stop();

  // The thief has the key, and stands where the firewall expects its publisher.
  const thiefs = temporaryDirectory();
  mkdirSync(join(thiefs, 'publisher'), { mode: 0o700 });
  cpSync(join(directory, 'publisher', 'identity'), join(thiefs, 'publisher', 'identity'));
  const thief = await startPublisher(thiefs, ['--start-over']);
  await push(thiefs, '192.0.2.66');
  subscriber = await startSubscriberOf(trust, endpointsIn(thiefs).listen, 'fw', firewall);
  await subscriber.logged(({ msg, epoch }) => msg === 'applied' && epoch === 17);
  await subscriber.stop();
  await thief.stop();

  subscriber = await startSubscriberOf(trust, listen, 'fw', firewall);
  await publisher.logged(({ msg }) => String(msg).startsWith('a subscriber proved a release'));
  const beyond = await rulectl(directory, ['rollback', '1', '--as-new-epoch', '--yes', '--wait', 'released']);
  expect(beyond).toMatchObject({ code: 2, stderr: expect.stringContaining('root 1 grants epochs 1 to 17') });

  await publisher.stop();
  const identity = join(directory, 'publisher', 'identity');
  const rotated = await rulectlOffline(['keys', 'rotate', '--identity', identity]);
  expect(rotated.code, rotated.stderr).toBe(0);
  publisher = await startPublisher(directory);
  await subscriber.logged(({ msg, version, epoch }) => msg === 'applied' && version === 2 && epoch === 1);
  expect(await versionOf(directory)).toEqual({ state: 'synced', epoch: 1, version: 2 });
  await subscriber.stop();

  // What the thief has is worth nothing any more: not to who followed, and not to a trust line of today.
  rmSync(join(thiefs, 'publisher', 'store'), { recursive: true });
  const again = await startPublisher(thiefs, ['--start-over']);
  onTestFinished(async () => {
    await again.stop();
  });
  await push(thiefs, '192.0.2.67');
  subscriber = await startSubscriberOf(trust, endpointsIn(thiefs).listen, 'fw', firewall);
  await subscriber.logged(({ code }) => code === 'unknown-root');
}, 120_000);

it('of roots takes the firewalls with it: a new line brings them back, and nothing of the old one', async () => {
  const directory = temporaryDirectory();
  const publisher = await startPublisher(directory);
  await push(directory, '192.0.2.1');
  const { listen } = endpointsIn(directory);
  const firewall = ['--state', join(directory, 'firewall')];
  let subscriber = await startSubscriberOf(await trustOf(directory), listen, 'fw', firewall);
  onTestFinished(async () => {
    await subscriber.stop();
  });
  await subscriber.logged(({ msg, version }) => msg === 'applied' && version === 1);
  await subscriber.stop();

  // The thief has the identity and the key of roots: who may sign is said by them from then on.
  const thiefs = temporaryDirectory();
  cpSync(join(directory, 'publisher'), join(thiefs, 'publisher'), { recursive: true });
  const identity = join(thiefs, 'publisher', 'identity');
  const rotated = await rulectlOffline(['keys', 'rotate', '--identity', identity]);
  expect(rotated.code, rotated.stderr).toBe(0);
  const thief = await startPublisher(thiefs);
  subscriber = await startSubscriberOf(await trustOf(directory), endpointsIn(thiefs).listen, 'fw', firewall);
  await subscriber.logged(({ msg, version }) => msg === 'applied' && version === 2);
  await subscriber.stop();
  await thief.stop();
  subscriber = await startSubscriberOf(await trustOf(directory), listen, 'fw', firewall);
  await subscriber.logged(({ code }) => code === 'unknown-root');
  await subscriber.stop();

  await publisher.stop();
  rmSync(join(directory, 'publisher'), { recursive: true });
  const anew = await startPublisher(directory);
  onTestFinished(async () => {
    await anew.stop();
  });
  await push(directory, '192.0.2.2');
  const fresh = ['--state', join(directory, 'firewall-of-the-new-line')];
  subscriber = await startSubscriberOf(await trustOf(directory), listen, 'fw', fresh);
  await subscriber.logged(({ msg, version, epoch }) => msg === 'applied' && version === 1 && epoch === 1);
}, 120_000);

// It ended with exit 70 at every start, where an older store was restored, pushed to, and given new keys.
it('that are changed let a publisher go on with an older store, which firewalls take', async () => {
  const directory = temporaryDirectory();
  const store = join(directory, 'publisher', 'store');
  let publisher = await startPublisher(directory);
  onTestFinished(async () => {
    await publisher.stop();
  });
  const again = async (before: () => Promise<void> | void): Promise<void> => {
    await publisher.stop();
    await before();
    publisher = await startPublisher(directory);
  };
  await push(directory, '192.0.2.1');
  await again(() => cpSync(store, join(directory, 'backup'), { recursive: true }));
  for (const address of ['192.0.2.2', '192.0.2.3']) await push(directory, address);
  const subscriber = await startSubscriberOf(await trustOf(directory), endpointsIn(directory).listen, 'fw');
  onTestFinished(async () => {
    await subscriber.stop();
  });
  await subscriber.logged(({ msg, version }) => msg === 'applied' && version === 3);

  await again(() => {
    rmSync(store, { recursive: true });
    cpSync(join(directory, 'backup'), store, { recursive: true });
  });
  const bad = join(directory, 'bad.rules');
  const refused = await rulectl(directory, ['push', bad, '--wait', 'released', ...PERMITTED]);
  expect(refused).toMatchObject({ code: 2, stderr: expect.stringContaining('publisher-behind') });
  await again(async () => {
    const identity = join(directory, 'publisher', 'identity');
    const rotated = await rulectlOffline(['keys', 'rotate', '--identity', identity]);
    expect(rotated.code, rotated.stderr).toBe(0);
  });
  await subscriber.logged(({ msg, version }) => msg === 'applied' && version === 2);
  expect(await versionOf(directory)).toEqual({ state: 'synced', epoch: 1, version: 2 });
}, 120_000);

/** Gives an identity a root whose date is a second away: rulectl takes whole days. */
function dateNow(identityFile: string, rootKeyFile: string): void {
  const identity = openIdentity(identityFile);
  const refreshBy = Math.ceil(Date.now() / 1000) + 1;
  const change = { add: {}, remove: [], thresholds: {}, epochCeiling: undefined, refreshBy };
  const next = signedRoot(nextRoot(identity.root, change), readRootKey(rootKeyFile).key);
  replaceIdentity(identityFile, { ...identity, roots: withRoot(identity.roots, next) });
}

// A thief of keys and channel keeps the root that would revoke them from a firewall.
it('and the channel with them open a firewall no longer than the date of its root, if it closes then', async () => {
  const directory = temporaryDirectory();
  const [identity, vault] = [join(directory, 'publisher', 'identity'), join(directory, 'root.key')];
  const trust = await trustOf(directory);
  renameSync(rootKeyFileOf(identity, openIdentity(identity).lineage), vault);
  let publisher = await startPublisher(directory);
  onTestFinished(async () => {
    await publisher.stop();
  });
  await push(directory, '192.0.2.1');
  const { listen } = endpointsIn(directory);
  const firewall = ['--state', join(directory, 'firewall'), '--stale', 'closed'];
  let subscriber = await startSubscriberOf(trust, listen, 'fw', firewall);
  onTestFinished(async () => {
    await subscriber.stop();
  });
  const policyAt = async (where: string): Promise<unknown> => {
    const { stdout } = await rulectl(where, ['test', '--json', '10.137.0.5 > 192.0.2.1 tcp/80']);
    const records = stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line || '{}'));
    return records.find(({ kind }) => kind === 'verdict')?.policy;
  };
  await subscriber.logged(({ msg }) => msg === 'applied');
  await expect.poll(() => policyAt(directory), { timeout: 20_000 }).toBe('default');

  await publisher.stop();
  dateNow(identity, vault);
  publisher = await startPublisher(directory);
  const told = await subscriber.logged(({ rootRenewal }) => rootRenewal === 'overdue');
  expect(told).toMatchObject({ level: 50, msg: expect.stringMatching(/^root 2 was to be renewed by /) });
  await expect.poll(() => policyAt(directory), { timeout: 20_000 }).toBe('boot');
  const status = await rulectl(directory, ['status', '--check']);
  expect(status).toMatchObject({ code: 1, stdout: expect.stringContaining('root 2 was to be renewed by') });
  await subscriber.stop();
  await publisher.stop();

  const thiefs = temporaryDirectory();
  cpSync(join(directory, 'publisher'), join(thiefs, 'publisher'), { recursive: true });
  const thief = await startPublisher(thiefs);
  await push(thiefs, '192.0.2.66');
  subscriber = await startSubscriberOf(trust, endpointsIn(thiefs).listen, 'fw', firewall);
  await subscriber.logged(({ msg, version }) => msg === 'applied' && version === 2);
  await expect.poll(() => policyAt(thiefs), { timeout: 20_000 }).toBe('boot');
  await subscriber.stop();
  await thief.stop();

  const by = ['--identity', identity, '--root-key', vault];
  const renewed = await rulectlOffline(['keys', 'rotate', '--refresh-by', '90d', ...by]);
  expect(renewed.code, renewed.stderr).toBe(0);
  publisher = await startPublisher(directory);
  subscriber = await startSubscriberOf(trust, listen, 'fw', firewall);
  await subscriber.logged(({ rootRenewal }) => rootRenewal === 'good');
  await subscriber.logged(({ msg, version }) => msg === 'applied' && version === 2);
  await expect.poll(() => policyAt(directory), { timeout: 20_000 }).toBe('default');
}, 180_000);
