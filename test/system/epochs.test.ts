/**
 * A publisher whose latest state was lost: subscribers prove what they hold and never go down; nothing old is
 * released for new unless somebody says so, and then they follow the new epoch.
 */

import { generateKeyPairSync } from 'node:crypto';
import { cpSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import {
  compareRelease,
  encodeManifest,
  manifestFor,
  manifestHash,
  parseTrust,
  signBytes,
} from '@rulecast/protocol';
import { EMPTY_RULE_SET } from '@rulecast/rules';
import { expect, it } from 'vitest';
import { type Daemon, endpointsIn, rulectl, rulectlOffline, runPublisher } from '../processes.mjs';
import { releaseOf } from './control-client.ts';
import { Gateway } from './gateway.ts';
import { Scene, within } from './scene.ts';

/** Pushes some versions of a list; each holds what no other does. */
async function pushVersions(scene: Scene, word: number, count: number): Promise<void> {
  for (let i = 0; i < count; i++) {
    releaseOf(await scene.control.push({ list: 'blocked', text: `10.${word}.0.${i}\n` }));
  }
}

/** What the subscriber had in force, one after the other: each above the one before. */
function expectOnlyUp(subscriber: Daemon): void {
  const applied = subscriber.log
    .filter((line) => line['msg'] === 'applied')
    .map((line) => ({ epoch: Number(line['epoch']), version: Number(line['version']) }));
  for (const [i, release] of applied.slice(1).entries()) {
    expect(compareRelease(release, applied[i] ?? release)).toBeGreaterThan(0);
  }
}

it('follows whichever of two publishers with one key it is connected to, always upwards', async () => {
  const a = new Scene();
  const b = new Scene();
  await a.trustLine();
  const identity = ['--identity', a.path('publisher', 'identity')];
  const granted = await rulectlOffline(['keys', 'rotate', ...identity, '--epochs', '99999999999']);
  expect(granted.code, granted.stderr).toBe(0); // for b one of its own, and one above that for a
  mkdirSync(b.path('publisher'));
  cpSync(a.path('publisher', 'identity'), b.path('publisher', 'identity'));
  const publisher = await a.publisher();
  await b.publisher(['--start-over']);
  const front = a.path('front.sock');
  const gateway = await Gateway.open(front, a.path('subscribers.sock'));
  a.onClose(() => gateway.close());
  const subscriber = await a.subscriber('firewall', `unix:${front}`);
  await pushVersions(a, 1, 3);
  expect(await a.control.synced('firewall')).toMatchObject({ epoch: 1, version: 3 });
  releaseOf(await b.control.pushText('default.rules', 'drop dst4=10.2.0.0/24\n'));
  await pushVersions(b, 2, 2); // the same versions with other content

  gateway.upstream = b.path('subscribers.sock');
  gateway.drop();
  const { epoch = 0 } = await b.control.synced('firewall'); // b started over, in an epoch of its own
  expect(epoch).toBeGreaterThan(1);
  expect(await b.control.synced('firewall')).toMatchObject({ epoch, version: 3 });
  await pushVersions(b, 3, 2);
  expect(await b.control.synced('firewall')).toMatchObject({ epoch, version: 5 });

  gateway.upstream = a.path('subscribers.sock');
  gateway.drop();
  await publisher.logged((line) => line['level'] === 50); // a is behind, and waits for a person
  releaseOf(await a.control.push({ list: 'blocked', text: '10.9.0.0\n', asNewEpoch: true }));
  expect(await a.control.synced('firewall')).toMatchObject({ epoch: epoch + 1, version: 4 });
  await pushVersions(a, 4, 1);
  expect(await a.control.synced('firewall')).toMatchObject({ epoch: epoch + 1, version: 5 });
  expectOnlyUp(subscriber);
});

/** A publisher restored from a backup at version 3, beside a subscriber that has version 6. */
async function restored(): Promise<{
  readonly scene: Scene;
  readonly publisher: Daemon;
  readonly subscriber: Daemon;
}> {
  const scene = new Scene();
  let publisher = await scene.publisher();
  const subscriber = await scene.subscriber('firewall');
  await pushVersions(scene, 1, 3);
  await scene.control.synced('firewall');
  await publisher.stop();
  scene.copy('publisher', 'backup');
  publisher = await scene.publisher();
  await pushVersions(scene, 2, 3);
  expect(await scene.control.synced('firewall')).toMatchObject({ epoch: 1, version: 6 });
  await publisher.kill();
  scene.copy('backup', 'publisher');
  publisher = await scene.publisher();
  return { scene, publisher, subscriber };
}

/** It said "no change", and a list that a firewall had was gone. */
const SAYS_WHAT_GOES =
  /release 1\/6 \(parts: 1, prefixes: \d+, .*goes out of force[\s\S]*released version 4 \(epoch 2\): .*the same as the head before/;

// It released the backup's content in a new epoch, by itself and without a word.
it('offers nothing once it was restored from a backup, says so and what to do, until it is told to go on', async () => {
  const { scene, publisher, subscriber } = await restored();
  const said = await publisher.logged((line) => line['level'] === 50);
  expect(said).toMatchObject({ subscriber: 'firewall', epoch: 1, version: 6, head: 3 });
  expect(said['msg']).toContain('--as-new-epoch');
  const { head, subscribers } = await scene.control.status();
  expect(head).toMatchObject({ epoch: 1, version: 3, degraded: [expect.stringContaining('1/6 was proved')] });
  expect(subscribers).toEqual([
    expect.objectContaining({ version: 6, lastError: expect.objectContaining({ code: 'publisher-behind' }) }),
  ]);
  const check = await rulectl(scene.directory, ['status', '--check']);
  expect(check).toMatchObject({
    code: 2,
    stdout: expect.stringMatching(/^not enforced: nothing is offered: 1\/6/),
  });
  const warned = await subscriber.logged((line) => line['code'] === 'publisher-behind');
  expect(warned).toMatchObject({ level: 40, version: 6, msg: expect.stringContaining('release 1/6') });
  const refused = await scene.control.push({ list: 'blocked', text: '10.3.0.0\n' });
  expect(refused.ending).toMatchObject({
    kind: 'fail',
    code: 'publisher-behind',
    text: expect.stringContaining('--as-new-epoch'),
  });
  const command = await rulectl(scene.directory, ['rollback', '3', '--as-new-epoch', '--yes']);
  expect(command).toMatchObject({ code: 0, stdout: expect.stringMatching(SAYS_WHAT_GOES) });
  expect(await scene.control.synced('firewall')).toMatchObject({ epoch: 2, version: 4 });
  await pushVersions(scene, 3, 1);
  expect(await scene.control.synced('firewall')).toMatchObject({ epoch: 2, version: 5 });
  expect((await scene.control.status()).head.degraded).toEqual([]);
  expectOnlyUp(subscriber);
});

it('goes on with a push of what is to be in force, as a new epoch', async () => {
  const { scene, publisher, subscriber } = await restored();
  await publisher.logged((line) => line['level'] === 50);
  releaseOf(await scene.control.push({ list: 'blocked', text: '10.3.0.0\n', asNewEpoch: true }));
  expect(await scene.control.synced('firewall')).toMatchObject({ epoch: 2, version: 4 });
  expectOnlyUp(subscriber);
});

it('keeps what it enforces while a publisher with a lost store does not start, and follows one that starts over', async () => {
  const scene = new Scene();
  let publisher = await scene.publisher();
  const subscriber = await scene.subscriber('firewall');
  await pushVersions(scene, 1, 3);
  await scene.control.pushText('default.rules', 'drop dst=@blocked\naccept\n');
  await scene.control.synced('firewall');
  await publisher.kill();
  rmSync(scene.path('publisher', 'store'), { recursive: true });
  const { control, listen } = endpointsIn(scene.directory);
  const args = ['--state', scene.path('publisher'), '--listen', listen, '--control', control];
  const { code, stderr } = await runPublisher(args);
  expect(code).toBe(1);
  expect(stderr).toMatch(/^rulecast-publisher: .*has no store.*restore it from a backup.*--start-over.*\n$/i);
  publisher = await scene.publisher(['--start-over']);
  await publisher.logged((line) => line['msg'] === 'subscriber connected');
  expect(await scene.control.verdict('10.1.0.2', 'firewall')).toMatchObject({ action: 'drop' });
  const document =
    'lists:\n  blocked: { entries: [10.2.0.2] }\npolicies:\n  default:\n    egress: [drop dst=@blocked, accept]\n';
  releaseOf(await scene.control.pushText('all.yaml', document));
  const { epoch = 0 } = await scene.control.synced('firewall');
  expect(epoch).toBeGreaterThan(1);
  expect(await scene.control.verdict('10.2.0.2', 'firewall')).toMatchObject({ action: 'drop' });
  expect(await scene.control.verdict('10.1.0.2', 'firewall')).toMatchObject({ action: 'accept' });
  expectOnlyUp(subscriber);
});

// 17/1 with 0 rules went out 0.3 s after the start, and the firewall judged by its boot mode.
it('that starts over releases nothing of its sources before a push with policies, over a restart too, and says so', async () => {
  const scene = new Scene();
  let publisher = await scene.publisher();
  await scene.subscriber('firewall');
  releaseOf(await scene.control.pushText('default.rules', 'drop dst4=10.1.0.0/24\naccept\n'));
  await scene.control.synced('firewall');
  await publisher.kill();
  rmSync(scene.path('publisher', 'store'), { recursive: true });
  writeFileSync(scene.path('feed.txt'), '10.2.0.2\n');
  writeFileSync(scene.path('publisher.yaml'), 'lists: { feed: { file: feed.txt } }\n');
  const config = ['--config', scene.path('publisher.yaml')];
  for (const args of [[...config, '--start-over'], config]) {
    publisher = await scene.publisher(args);
    await publisher.logged((line) => line['list'] === 'feed' && line['code'] === 'started-over');
    await publisher.logged((line) => line['msg'] === 'subscriber connected');
    const refused = await scene.control.push({ list: 'other', text: '10.3.0.3\n' });
    expect(refused.ending).toMatchObject({ kind: 'fail', code: 'guard-refused' });
    const { head } = await scene.control.status();
    expect(head).toMatchObject({ epoch: 0, version: 0, degraded: expect.any(Array) });
    expect(head.degraded).toEqual([
      expect.stringMatching(
        /^nothing is released after --start-over or --set-aside before policies are pushed/,
      ),
      expect.stringMatching(/^list feed is not fresh: the publisher began with an empty store/),
    ]);
    expect(await scene.control.verdict('10.1.0.2', 'firewall')).toMatchObject({ action: 'drop' });
    if (args !== config) await publisher.kill();
  }
  releaseOf(await scene.control.pushText('default.rules', 'drop dst=@feed\naccept\n'));
  const { epoch = 0 } = await scene.control.synced('firewall');
  expect(epoch).toBeGreaterThan(1);
  expect(await scene.control.verdict('10.2.0.2', 'firewall')).toMatchObject({ action: 'drop' });
  writeFileSync(scene.path('feed.txt'), '10.2.0.3\n');
  await publisher.logged((line) => line['msg'] === 'released' && line['cause'] === 'source');
});

it.each(['no proof', 'a forged proof'])('marks a subscriber as diverged that has %s', async (proof) => {
  const scene = new Scene();
  await scene.publisher();
  await scene.control.push({ list: 'blocked', text: '10.1.0.1\n' });
  const trust = parseTrust(await scene.trustLine());
  if (trust === undefined) throw new TypeError('no trust line');
  const identity = { lineage: trust.lineage, epoch: 1, version: 7, previousVersion: 6, createdAtMs: 1 };
  const manifest = encodeManifest(manifestFor(EMPTY_RULE_SET, identity));
  const hash = manifestHash(manifest);
  const connection = await scene.greet('stranger', { holds: { hash, epoch: 1, version: 7 } });
  const received: string[] = [];
  while (!received.includes('offer')) {
    const message = (await within(connection.receive(), 10_000, 'the next message'))?.message;
    received.push(message?.kind ?? 'the end');
    if (message?.kind !== 'prove') continue;
    if (proof === 'no proof') {
      const text = 'it is not at hand';
      await connection.send({ kind: 'nack', hash, code: 'unknown-release', text, retry: 'later' });
    } else {
      const { privateKey } = generateKeyPairSync('ed25519');
      await connection.send({
        kind: 'proof',
        signatures: signBytes(manifest, privateKey),
        content: manifest,
      });
    }
  }
  expect(received).toEqual(['welcome', 'prove', 'offer']);
  const { head, subscribers } = await scene.control.status();
  expect(head).toMatchObject({ epoch: 1, version: 1 });
  expect(subscribers).toEqual([expect.objectContaining({ name: 'stranger', state: 'diverged', version: 7 })]);
});
