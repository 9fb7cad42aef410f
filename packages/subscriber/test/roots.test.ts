/** Whom a subscriber believes: roots, one after the other, before anything that they allow. */

import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { type MessageOf, type Root, type SignedRoot, signBytes } from '@rulecast/protocol';
import { describe, expect, it } from 'vitest';
import { temporaryDirectory } from '../../../test/kit/directory.ts';
import { freshKey, rootOf, signedRoot } from '../../../test/kit/roots.mjs';
import { sampleRuleSet } from './sample.ts';
import { type Peer, ScriptedPublisher, type ScriptedRelease, sampleReleases } from './scripted-publisher.ts';
import { startedSubscriber } from './started.ts';

/** The root after the publisher's, signed by its key, and by those given. */
function nextRoot(
  publisher: ScriptedPublisher,
  said: Partial<Root>,
  ...keys: Parameters<typeof signedRoot>[1][]
): SignedRoot {
  const { lineage } = publisher.trust;
  const next = rootOf(lineage, publisher.privateKey, { number: 2, ...said });
  return signedRoot(next, publisher.privateKey, ...keys);
}

function send(
  peer: Peer,
  { signatures, content }: Pick<SignedRoot, 'signatures' | 'content'>,
): Promise<void> {
  return peer.send({ kind: 'root', signatures, content });
}

/** Connected and welcomed, and no root was sent. */
async function welcomed(publisher: ScriptedPublisher): Promise<{ peer: Peer; hello: MessageOf<'hello'> }> {
  const peer = await publisher.peer();
  const hello = await peer.receive('hello');
  const { lineage } = publisher.trust;
  await peer.send({ kind: 'welcome', protocol: 2, name: 'dom0', lineage, heartbeatMs: 15_000 });
  return { peer, hello };
}

describe('a subscriber', () => {
  //
  it('knows the root of its trust line by its hash, and takes nothing before it has come', async () => {
    const publisher = new ScriptedPublisher();
    await startedSubscriber(publisher);
    const { peer, hello } = await welcomed(publisher);
    expect(hello.root).toEqual({ hash: publisher.root.hash });
    const [release] = sampleReleases(publisher);
    peer.isFirst = false; // what is said of the newest release is believed by no root yet
    await peer.offer(release);
    expect(await peer.receive('nack')).toMatchObject({ code: 'bad-signature', retry: 'later' });
    await send(peer, publisher.root);
    await peer.fresh();
    await peer.bring(release);
  });

  //
  it('takes releases of the keys of the next root, and no more of those that it took away', async () => {
    const publisher = new ScriptedPublisher();
    await startedSubscriber(publisher);
    const { peer } = await publisher.greeted();
    const [one, two] = sampleReleases(publisher);
    await peer.bring(one);
    const key = freshKey();
    const { roles } = rootOf(publisher.trust.lineage, key);
    const { root } = rootOf(publisher.trust.lineage, publisher.privateKey).roles;
    await send(peer, nextRoot(publisher, { roles: { ...roles, root } }));
    await peer.offer(two);
    expect(await peer.receive('nack')).toMatchObject({ code: 'bad-signature', keeps: one.hash });
    await peer.bring({ ...two, signatures: signBytes(two.bytes, key) });
  });

  it.each<[string, (publisher: ScriptedPublisher) => Pick<SignedRoot, 'signatures' | 'content'>]>([
    ['the root of somebody else', ({ trust }) => new ScriptedPublisher(trust.lineage).root],
    [
      'bytes that are no root',
      ({ privateKey }) => ({
        signatures: signBytes(Uint8Array.of(1), privateKey),
        content: Uint8Array.of(1),
      }),
    ],
    ['the next root, and not the one before', (publisher) => nextRoot(publisher, {})],
  ])('ends the session that begins with %s', async (_, rootFor) => {
    const publisher = new ScriptedPublisher();
    const subscriber = await startedSubscriber(publisher);
    const { peer } = await welcomed(publisher);
    await send(peer, rootFor(publisher));
    expect(await peer.ended()).toBe('bad-root');
    expect(subscriber.status().lastError).toMatchObject({ code: 'bad-root' });
  });

  it('ends the session of a root that the keys before have not signed, and believes what it did', async () => {
    const publisher = new ScriptedPublisher();
    await startedSubscriber(publisher);
    const { peer } = await publisher.greeted();
    const thief = freshKey();
    await send(peer, signedRoot(rootOf(publisher.trust.lineage, thief, { number: 2 }), thief));
    expect(await peer.ended()).toBe('bad-root');
    const { hello, peer: again } = await publisher.greeted();
    expect(hello.root).toEqual({ hash: publisher.root.hash, number: 1 });
    await again.bring(sampleReleases(publisher)[0]);
  });

  it('has no place for a root once something was offered', async () => {
    const publisher = new ScriptedPublisher();
    await startedSubscriber(publisher);
    const { peer } = await publisher.greeted();
    await peer.offer(sampleReleases(publisher)[0]);
    await peer.receive('want');
    await send(peer, nextRoot(publisher, {}));
    expect(await peer.ended()).toBe('unexpected-message');
  });

  //
  it.each([
    [4, 'later'],
    [8, 'later'],
  ] as const)(
    'takes no release of epoch %i, which its root does not grant, and may later',
    async (epoch, retry) => {
      const publisher = new ScriptedPublisher();
      await startedSubscriber(publisher);
      const { peer } = await publisher.greeted();
      await send(peer, nextRoot(publisher, { epochFloor: 5, epochCeiling: 7 }));
      const release = publisher.release(sampleRuleSet(1), { version: 1, epoch });
      await peer.offer(release);
      expect(await peer.receive('nack')).toMatchObject({ code: 'epoch-not-granted', retry });
      await peer.bring(publisher.release(sampleRuleSet(1), { version: 1, epoch: 6 }));
    },
  );

  //
  it('remembers over a restart whom it believes, and what was in force under the root before', async () => {
    const publisher = new ScriptedPublisher();
    const stateDirectory = temporaryDirectory();
    const before = await startedSubscriber(publisher, { stateDirectory });
    const { peer } = await publisher.greeted();
    const [one, two] = sampleReleases(publisher);
    await peer.bring(one);
    const key = freshKey();
    const lineage = publisher.trust.lineage;
    const root = nextRoot(publisher, { roles: rootOf(lineage, key).roles }, key);
    await send(peer, root);
    await peer.send({ kind: 'ping' });
    await peer.receive('pong');
    await before.close();
    const after = await startedSubscriber(publisher, { stateDirectory });
    expect(after.status().version).toBe(1);
    const { hello, peer: again } = await welcomed(publisher);
    expect(hello.root).toEqual({ hash: root.hash, number: 2 });
    await again.offer(two);
    expect(await again.receive('nack')).toMatchObject({ code: 'bad-signature' });
    await again.fresh({ root: root.hash }, key); // the floor counts no more
    await again.bring({ ...two, signatures: signBytes(two.bytes, key) });
  });

  // Found by seed 972037 of the simulator: a publisher restored from a backup stayed below it.
  //
  it('tells of what was in force by a HELLO of its own, where a root that it had lost lets that count', async () => {
    const publisher = new ScriptedPublisher();
    const stateDirectory = temporaryDirectory();
    const before = await startedSubscriber(publisher, { stateDirectory });
    const { peer } = await publisher.greeted();
    const key = freshKey();
    const { roles } = rootOf(publisher.trust.lineage, key);
    const { root: rootRole } = rootOf(publisher.trust.lineage, publisher.privateKey).roles;
    const root = nextRoot(publisher, { roles: { ...roles, root: rootRole } });
    await send(peer, root);
    await peer.fresh({ root: root.hash }, key);
    const [low, high] = [2, 9].map((version) => {
      const release = publisher.release(sampleRuleSet(version), { version });
      return { ...release, signatures: signBytes(release.bytes, key) };
    }) as [ScriptedRelease, ScriptedRelease];
    peer.isFirst = false;
    await peer.bring(high);
    await before.close();
    for (const file of ['roots', join('copy', 'roots')]) rmSync(join(stateDirectory, file));
    await startedSubscriber(publisher, { stateDirectory });
    const { peer: again, hello } = await welcomed(publisher);
    expect(hello).not.toHaveProperty('floor');
    await send(again, publisher.root);
    await send(again, root);
    await again.offer(low);
    expect(await again.ended()).toBe('not-newer');
    const next = await publisher.peer();
    const { hash, manifest } = high;
    expect((await next.receive('hello')).floor).toEqual({ hash, epoch: 0, version: manifest.version });
  });

  it('begins at the root of another trust line, if that is one of those it followed', async () => {
    const publisher = new ScriptedPublisher();
    const stateDirectory = temporaryDirectory();
    const before = await startedSubscriber(publisher, { stateDirectory });
    const { peer } = await publisher.greeted();
    const root = nextRoot(publisher, {});
    await send(peer, root);
    await peer.bring(sampleReleases(publisher)[0]);
    await before.close();
    const trust = { lineage: publisher.trust.lineage, rootHash: root.hash };
    const after = await startedSubscriber(publisher, { stateDirectory, trust });
    expect(after.status().version).toBe(1);
    expect((await welcomed(publisher)).hello.root).toEqual({ hash: root.hash, number: 2 });
  });
});

describe('a key that was stolen', () => {
  // Regression: a thief of the only key released the last possible number, and locked everybody out for good.
  it.each([false, true])(
    'and taken away locks nobody out, whatever it released (restarted: %s)',
    async (isRestarted) => {
      const publisher = new ScriptedPublisher();
      const stateDirectory = temporaryDirectory();
      const before = await startedSubscriber(publisher, { stateDirectory });
      const { peer } = await publisher.greeted();
      const [one, two] = sampleReleases(publisher);
      await peer.bring(one);
      const last = Number.MAX_SAFE_INTEGER;
      const stolen = publisher.release(sampleRuleSet(3), { version: last, epoch: last, previousVersion: 0 });
      await peer.bring(stolen);
      await peer.offer(two);
      expect(await peer.receive('nack')).toMatchObject({ code: 'not-newer', retry: 'never' });
      const key = freshKey();
      const lineage = publisher.trust.lineage;
      const { root: rootRole } = rootOf(lineage, publisher.privateKey).roles;
      const roles = { ...rootOf(lineage, key).roles, root: rootRole };
      if (isRestarted) await before.close();
      else peer.close();
      const after = isRestarted ? await startedSubscriber(publisher, { stateDirectory }) : before;
      expect(after.status()).toMatchObject({ epoch: last, version: last });
      const { peer: again } = await publisher.greeted();
      await send(again, nextRoot(publisher, { roles }));
      const renewed = publisher.release(sampleRuleSet(2), { version: 3 });
      const { epoch, version } = renewed.manifest;
      await again.fresh({ epoch, version, hash: renewed.hash }, key);
      await again.send({ kind: 'ping' });
      await again.receive('pong');
      // What the thief released is not above it; of before the theft it was known.
      expect(after.status().freshness).toBe(isRestarted ? 'unsure' : 'fresh');
      await again.bring({ ...renewed, signatures: signBytes(renewed.bytes, key) });
      expect(after.status()).toMatchObject({ epoch: 0, version: 3, freshness: 'fresh' });
      await again.offer(stolen);
      expect(await again.receive('nack')).toMatchObject({ code: 'bad-signature' });
      await again.offer({ ...two, signatures: signBytes(two.bytes, key) });
      expect(await again.receive('nack')).toMatchObject({ code: 'not-newer' });
    },
  );
});
