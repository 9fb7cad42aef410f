/**
 * A disk that is full: what does not fit is refused with `storage-failed`, what was stays, and space helps at
 * once.
 */

import { writeFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { millionHosts } from '../inputs.mjs';
import { PERMITTED, rulectl, startSubscriberOf } from '../processes.mjs';
import { releaseOf } from './control-client.ts';
import { Scene } from './scene.ts';
import { fill, smallDisk } from './small-disk.ts';

const SEED = 0x5eed05;
const DISK = '4m';
/** A release of one entry fits into this, one of `LARGE` hosts (about 170 kB) does not. */
const LEFT_BYTES = 64 * 1024;
const LARGE = 60_000;

it('leaves the head of a publisher as it was, on disk too, and takes the push once there is room', async (context) => {
  const outer = new Scene();
  const disk = smallDisk(outer, 'disk', DISK);
  if (disk === undefined) return context.skip();
  const scene = new Scene(disk);
  outer.onClose(() => scene.close()); // before the disk goes
  const { control } = scene;
  let publisher = await scene.publisher();
  const state = ['--state', outer.path('firewall')]; // on another disk
  outer.keep(await startSubscriberOf(await scene.trustLine(), scene.listen, 'firewall', state));
  await control.push({ list: 'blocked', text: '10.0.0.1\n' });
  const before = await control.synced('firewall');
  const free = fill(disk, LEFT_BYTES);
  const large = outer.path('blocked.txt');
  writeFileSync(large, millionHosts(LARGE, SEED).text);
  for (let attempt = 0; attempt < 3; attempt++) {
    const { code, stdout } = await rulectl(disk, ['push', large, ...PERMITTED, '--json']);
    expect(code).toBe(3);
    expect(JSON.parse(stdout.trim().split('\n').at(-1) ?? '')).toMatchObject({
      kind: 'end',
      code: 'storage-failed',
    });
    expect((await control.status()).head).toMatchObject({ version: 1, hash: before.hash });
  }
  // What fits is still taken, and nothing of the refused pushes is in it.
  const small = releaseOf(await control.push({ list: 'blocked', text: '10.0.0.2\n' }));
  expect(small).toMatchObject({ entries: 1 });
  expect(small.version).toBeGreaterThan(1); // what was signed for the refused pushes is given to no other content
  await publisher.kill();
  publisher = await scene.publisher();
  expect((await control.status()).head).toMatchObject({ version: small.version, hash: small.hash });
  await control.synced('firewall');
  free();
  const { code } = await rulectl(disk, ['push', large, ...PERMITTED, '--json']);
  expect(code).toBe(0);
  const last = await control.synced('firewall');
  expect(last).toMatchObject({ persisted: true });
  await publisher.kill();
  await scene.publisher();
  expect((await control.status()).head).toMatchObject({ version: last.version, entries: LARGE });
});

it('leaves the release of a subscriber in force, on disk too, and takes the next one once there is room', async (context) => {
  const scene = new Scene();
  const disk = smallDisk(scene, 'firewall', DISK);
  if (disk === undefined) return context.skip();
  const { control } = scene;
  await scene.publisher();
  let subscriber = await scene.subscriber('firewall');
  await control.push({ list: 'blocked', text: '10.0.0.1\n' });
  await control.pushText('default.rules', 'drop dst=@blocked\naccept\n');
  const before = await control.synced('firewall');
  const free = fill(disk, LEFT_BYTES);
  const text = `${millionHosts(LARGE, SEED).text}10.0.0.2\n`;
  const { records } = await control.push({ list: 'blocked', text });
  expect(records.find((record) => record.record === 'applied')).toMatchObject({
    state: 'refused',
    code: 'storage-failed',
  });
  expect(await control.verdict('10.0.0.1', 'firewall')).toMatchObject({ action: 'drop', hash: before.hash });
  expect(await control.verdict('10.0.0.2', 'firewall')).toMatchObject({
    action: 'accept',
    hash: before.hash,
  });
  await subscriber.kill();
  subscriber = await scene.subscriber('firewall');
  expect(await subscriber.logged((line) => String(line['msg']).startsWith('restored'))).toMatchObject({
    version: 2,
  });
  free();
  releaseOf(await control.push({ list: 'blocked', text: `${text}10.0.0.3\n` }));
  expect(await control.synced('firewall')).toMatchObject({ version: 4, persisted: true });
  expect(await control.verdict('10.0.0.3', 'firewall')).toMatchObject({ action: 'drop' });
  await subscriber.stop();
});
