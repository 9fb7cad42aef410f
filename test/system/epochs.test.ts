/** A publisher whose latest state was lost: subscribers prove what they hold, never go down, and follow the new epoch. */

import { generateKeyPairSync } from 'node:crypto';
import { cpSync, mkdirSync, rmSync } from 'node:fs';
import {
  Connection,
  compareRelease,
  encodeManifest,
  manifestFor,
  manifestHash,
  PROTOCOL_VERSION,
  parseTrust,
  signManifest,
} from '@rulecast/protocol';
import { EMPTY_RULE_SET } from '@rulecast/rules';
import { connect, parseEndpoint } from '@rulecast/vchan';
import { expect, it } from 'vitest';
import type { Daemon } from '../processes.mjs';
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
  mkdirSync(b.path('publisher'));
  cpSync(a.path('publisher', 'identity'), b.path('publisher', 'identity'));
  await a.publisher();
  await b.publisher();
  const front = a.path('front.sock');
  const gateway = await Gateway.open(front, a.path('subscribers.sock'));
  a.onClose(() => gateway.close());
  const subscriber = await a.subscriber('firewall', `unix:${front}`);
  await pushVersions(a, 1, 3);
  expect(await a.control.synced('firewall')).toMatchObject({ epoch: 1, version: 3 });
  await pushVersions(b, 2, 3); // the same versions with other content

  gateway.upstream = b.path('subscribers.sock');
  gateway.drop();
  expect(await b.control.synced('firewall')).toMatchObject({ epoch: 2, version: 4 });
  await pushVersions(b, 3, 2);
  expect(await b.control.synced('firewall')).toMatchObject({ epoch: 2, version: 6 });

  gateway.upstream = a.path('subscribers.sock');
  gateway.drop();
  expect(await a.control.synced('firewall')).toMatchObject({ epoch: 3, version: 4 });
  await pushVersions(a, 4, 1);
  expect(await a.control.synced('firewall')).toMatchObject({ epoch: 3, version: 5 });
  expectOnlyUp(subscriber);
});

it('follows a publisher restored from a backup into a new epoch', async () => {
  const scene = new Scene();
  let publisher = await scene.publisher();
  const subscriber = await scene.subscriber('firewall');
  await pushVersions(scene, 1, 3);
  await scene.control.synced('firewall');
  await publisher.stop();
  scene.copy('publisher', 'backup');
  const { head: backedUp } = await withPublisher(scene, (control) => control.status());
  publisher = await scene.publisher();
  await pushVersions(scene, 2, 3);
  expect(await scene.control.synced('firewall')).toMatchObject({ epoch: 1, version: 6 });
  await publisher.kill();
  scene.copy('backup', 'publisher');
  await scene.publisher();
  expect(await scene.control.synced('firewall')).toMatchObject({ epoch: 2, version: 4 });
  const { head, parts } = await scene.control.status();
  expect(head.entries).toBe(backedUp.entries);
  expect(parts.map(({ changedVersion }) => changedVersion)).toHaveLength(1);
  await pushVersions(scene, 3, 1);
  expect(await scene.control.synced('firewall')).toMatchObject({ epoch: 2, version: 5 });
  expectOnlyUp(subscriber);
});

async function withPublisher<T>(scene: Scene, ask: (control: Scene['control']) => Promise<T>): Promise<T> {
  const publisher = await scene.publisher();
  const answer = await ask(scene.control);
  await publisher.stop();
  return answer;
}

it('keeps what it enforces while a publisher with a lost store has nothing, and follows its next push', async () => {
  const scene = new Scene();
  let publisher = await scene.publisher();
  const subscriber = await scene.subscriber('firewall');
  await pushVersions(scene, 1, 3);
  await scene.control.pushText('default.rules', 'drop dst=@blocked\naccept\n');
  await scene.control.synced('firewall');
  for (let loss = 1; loss <= 2; loss++) {
    await publisher.kill();
    rmSync(scene.path('publisher', 'store'), { recursive: true });
    publisher = await scene.publisher();
    await publisher.logged((line) => line['msg'] === 'subscriber connected');
    expect(await scene.control.verdict(`10.${loss}.0.2`, 'firewall')).toMatchObject({ action: 'drop' });
    await publisher.kill(); // what was proved to it is forgotten, and proved again
    publisher = await scene.publisher();
    await publisher.logged((line) => line['msg'] === 'subscriber connected');
    const document = `lists:\n  blocked: { entries: [10.${loss + 1}.0.2] }\npolicies:\n  default:\n    egress: [drop dst=@blocked, accept]\n`;
    releaseOf(await scene.control.pushText('all.yaml', document));
    // A push that overtakes the proof is released below it, and once more above it.
    await scene.control.until(({ head }) => head.epoch === 1 + loss);
    expect(await scene.control.synced('firewall')).toMatchObject({ epoch: 1 + loss });
    expect(await scene.control.verdict(`10.${loss + 1}.0.2`, 'firewall')).toMatchObject({ action: 'drop' });
    expect(await scene.control.verdict(`10.${loss}.0.2`, 'firewall')).toMatchObject({ action: 'accept' });
  }
  expectOnlyUp(subscriber);
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
  const connection = new Connection(await connect(parseEndpoint(scene.listen)));
  scene.onClose(() => connection.close());
  await connection.send({
    kind: 'hello',
    protocolMin: PROTOCOL_VERSION,
    protocolMax: PROTOCOL_VERSION,
    name: 'stranger',
    holds: { hash, epoch: 1, version: 7 },
    refused: [],
    limits: { entries: 1000, bytes: 1e6, parts: 10 },
  });
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
      await connection.send({ kind: 'proof', signature: signManifest(manifest, privateKey), manifest });
    }
  }
  expect(received).toEqual(['welcome', 'prove', 'offer']);
  const { head, subscribers } = await scene.control.status();
  expect(head).toMatchObject({ epoch: 1, version: 1 });
  expect(subscribers).toEqual([expect.objectContaining({ name: 'stranger', state: 'diverged', version: 7 })]);
});
