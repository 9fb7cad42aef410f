/** The publisher's half of sessions, out of a depot: what it knows, and what it gives. */

import { applyChain, manifestHash, systemTurn, verifyRuleSet } from '@rulecast/protocol';
import { EMPTY_RULE_SET } from '@rulecast/rules';
import { Pace, Subscribers } from '@rulecast/sessions';
import { expect, it, onTestFinished } from 'vitest';
import { WORK_IN_PLACE } from '../../publisher/src/release/worker.ts';
import { freshPublisher, hex, SILENT } from '../../publisher/test/fresh-publisher.ts';
import { FakeClock } from '../../sources/test/fake-clock.ts';
import { DepotFeed, depotHost } from '../src/index.ts';
import { MemorySource, releases, write } from './depot-rig.ts';

async function hostOf(streams?: DepotFeed['stream']) {
  const publisher = freshPublisher({ workHost: WORK_IN_PLACE });
  await releases(publisher, 2);
  const clock = new FakeClock();
  const { lineage, rootHash } = publisher.identity;
  const source = new MemorySource(await write(publisher));
  const trust = { lineage, rootHash };
  const options = { sources: [source], trust, clock, random: () => 0.5, logger: SILENT, pollMs: 15_000 };
  const feed = new DepotFeed(options);
  feed.start();
  onTestFinished(() => feed.close());
  await feed.ready();
  const subscribers = new Subscribers(SILENT);
  const pace = new Pace(systemTurn);
  const world = { name: 'depot', lineage, subscribers, pace, clock, nowMs: Date.now, logger: SILENT };
  const stream: DepotFeed['stream'] = streams ?? ((...asked) => feed.stream(...asked));
  const { roots, on, off } = feed;
  return {
    publisher,
    host: depotHost({
      ...world,
      feed: { release: feed.release, roots, stream, on, off },
      reporter: undefined,
    }),
  };
}

it('knows its head and roots, and no other release', async () => {
  const { publisher, host } = await hostOf();
  const { head, identity } = publisher;
  if (head === undefined || host.head === undefined) throw new Error('no head');
  expect(hex(host.head.hash)).toBe(hex(head.hash));
  expect(host.head.capabilities).toEqual(head.capabilities);
  expect(host.numberOf(head.hash)).toMatchObject({ epoch: 1, version: 2 });
  expect(host.hashOf({ epoch: 1, version: 2 })).toBe(hex(head.hash));
  expect([host.numberOf(new Uint8Array(32)), host.hashOf({ epoch: 1, version: 1 })]).toEqual([
    undefined,
    undefined,
  ]);
  const signed = { signatures: head.signatures, content: head.manifestBytes };
  expect(host.isSigned(signed)).toBe(true);
  expect(host.isSigned({ ...signed, content: Uint8Array.from(signed.content).fill(1, 40) })).toBe(false);
  expect(host.rootsAfter({ hash: identity.rootHash })).toHaveLength(1);
  expect(host.rootsAfter({ hash: identity.rootHash, number: 1 })).toEqual([]);
  expect(host.rootsAfter({ hash: manifestHash(signed.content) })).toBeUndefined();
  expect(await host.attest(new Uint8Array(16), host.head, 'fw')).toBeUndefined();
});

it('goes on with a large snapshot that was cut, and only with the same', async () => {
  const id = new Uint8Array(16).fill(1);
  const snapshot = { base: undefined, stream: new Uint8Array(2 ** 21 + 1), id };
  const { host } = await hostOf(async () => snapshot);
  const { head } = host;
  if (head === undefined) throw new Error('no head');
  const fromOf = async (stream: Uint8Array, bytes: number): Promise<number> =>
    (await host.transfers.for(head, undefined, false, { stream, bytes })).from;
  const whole = await host.transfers.for(head, undefined, false, undefined);
  expect(whole.stream).toBe(snapshot.stream);
  expect([whole.base, whole.id, whole.from]).toEqual([undefined, id, 0]);
  expect(await fromOf(id, 100_000)).toBe(100_000);
  expect(await fromOf(id, 2 ** 21 + 1)).toBe(2 ** 21 + 1);
  expect(await fromOf(id, 2 ** 21 + 2)).toBe(0);
  expect(await fromOf(new Uint8Array(16), 100_000)).toBe(0);
});

it('begins a small snapshot anew, and a delta', async () => {
  const { publisher, host } = await hostOf();
  const { head } = host;
  if (head === undefined) throw new Error('no head');
  const has = { stream: new Uint8Array(16), bytes: 10 };
  const snapshot = await host.transfers.for(head, undefined, false, has);
  expect([snapshot.base, snapshot.id, snapshot.from]).toEqual([undefined, undefined, 0]);
  verifyRuleSet(head.manifest, applyChain(EMPTY_RULE_SET, snapshot.stream));
  const base = Buffer.from(publisher.store.index.entries.at(-2)?.hash ?? '', 'hex');
  const delta = await host.transfers.for(head, base, false, has);
  expect([delta.id, delta.from, hex(delta.base ?? new Uint8Array())]).toEqual([undefined, 0, hex(base)]);
});

it('has nothing for who inflates nothing', async () => {
  const { host } = await hostOf();
  if (host.head === undefined) throw new Error('no head');
  await expect(host.transfers.for(host.head, undefined, true, undefined)).rejects.toThrow(
    'who inflates nothing',
  );
});
