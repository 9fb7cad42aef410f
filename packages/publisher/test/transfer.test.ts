import {
  applyChain,
  decodeChain,
  diffRuleSets,
  encodeChain,
  encodeDelta,
  encodeSnapshot,
} from '@rulecast/protocol';
import { EMPTY_PREFIX_SET, type List, prefixListOf, prefixOf, prefixSetOf } from '@rulecast/rules';
import { describe, expect, it, vi } from 'vitest';
import { FakeClock } from '../../sources/test/fake-clock.ts';
import type { NameAnswer } from '../src/names/resolve.ts';
import type { Composer } from '../src/release/composed.ts';
import type { Publisher } from '../src/release/publisher.ts';
import { Transfers } from '../src/release/transfer.ts';
import { ReleaseWorker, WORK_IN_PLACE } from '../src/release/worker.ts';
import type { Release } from '../src/store/store.ts';
import { Churn } from './churn.ts';
import { freshPublisher, hex, release } from './fresh-publisher.ts';

const encoder = new ReleaseWorker(WORK_IN_PLACE);

/** A publisher with so many releases, of which each brings back some of what an earlier one took away. */
async function flapping(count: number): Promise<{ publisher: Publisher; releases: readonly Release[] }> {
  const publisher = freshPublisher({ workHost: WORK_IN_PLACE });
  const churn = new Churn(3, 400);
  const [steady, other] = [churn.next(), churn.next()];
  const releases: Release[] = [];
  for (let i = 0; i < count; i++) {
    const from = i % 2 === 0 ? steady : other;
    const names = churn.next().lists.get('names');
    const ruleSet = {
      ...from,
      lists: new Map([...from.lists, ...(names ? [['names', names] as const] : [])]),
    };
    const lists = new Map([...ruleSet.lists].map(([name, list]) => [name, list] as const));
    await publisher.updateLists(lists);
    if (publisher.head !== undefined && publisher.head !== releases.at(-1)) releases.push(publisher.head);
  }
  return { publisher, releases };
}

/** Transfers of a publisher's store, and how often something was composed for them. */
function transfersOf(
  { store }: Publisher,
  compose: Composer['compose'] = (recipe, ruleSet) => encoder.compose(recipe, ruleSet),
): { transfers: Transfers; asked: () => number } {
  let count = 0;
  const counting: Composer = {
    compose: (recipe, ruleSet) => {
      count += 1;
      return compose(recipe, ruleSet);
    },
    composeAll: (trail) => encoder.composeAll(trail),
  };
  return { transfers: new Transfers(store, encoder, counting), asked: () => count };
}

/** The first and the last. */
function endsOf(releases: readonly Release[]): readonly [Release, Release] {
  const [first, last] = [releases[0], releases.at(-1)];
  if (first === undefined || last === undefined) throw new Error('two releases were expected');
  return [first, last];
}

describe('who holds an older release', () => {
  it('is sent the one delta between, byte for byte, and not all that came and went', async () => {
    const { publisher, releases } = await flapping(20);
    const { transfers } = transfersOf(publisher);
    const head = endsOf(releases)[1];
    for (const held of releases.slice(0, -2)) {
      const { stream, base } = await transfers.for(head, held.hash);
      const direct = encodeDelta(diffRuleSets(held.ruleSet, head.ruleSet));
      const chain = encodeChain(publisher.store.chainFrom(hex(held.hash), 2 ** 30) ?? []);
      expect(hex(base ?? new Uint8Array())).toBe(hex(held.hash));
      expect(stream.length).toBeLessThanOrEqual(Math.max(256 + 64, encodeChain([direct]).length));
      if (chain.length > 256 + 64) expect(stream).toEqual(encodeChain([direct]));
    }
  });

  it('waits for the same work as everybody else who holds it', async () => {
    const { publisher, releases } = await flapping(20);
    const { transfers, asked } = transfersOf(publisher);
    const [first, head] = endsOf(releases);
    void transfers.prepare(head, first.hash);
    const sent = await Promise.all([1, 2, 3].map(() => transfers.for(head, first.hash)));
    expect(new Set(sent.map(({ stream }) => hex(stream))).size).toBe(1);
    await transfers.for(head, first.hash);
    expect(asked()).toBe(1);
  });

  it('is sent the very bytes that all others are: of a step, a chain, what is composed, and a snapshot', async () => {
    const { publisher, releases } = await flapping(20);
    const { transfers } = transfersOf(publisher);
    const broken = transfersOf(publisher, () => Promise.reject(new Error('the thread ended')));
    const [first, head] = endsOf(releases);
    const asked: readonly (() => ReturnType<Transfers['for']>)[] = [
      () => transfers.for(head, releases.at(-2)?.hash),
      () => broken.transfers.for(head, first.hash),
      () => transfers.for(head, first.hash),
      () => transfers.for(head, undefined),
      () => transfers.for(head, undefined, true),
    ];
    const streams = await Promise.all(asked.map(async (ask) => (await ask()).stream));
    for (const [i, ask] of asked.entries())
      for (let again = 0; again < 3; again++) expect((await ask()).stream).toBe(streams[i]);
    expect(new Set(streams).size).toBe(asked.length);
  });

  it('is sent the chain where none can be composed, or too many are being', async () => {
    const { publisher, releases } = await flapping(40);
    const [first, head] = endsOf(releases);
    const broken = transfersOf(publisher, () => Promise.reject(new Error('the thread ended')));
    const { stream } = await broken.transfers.for(head, first.hash);
    expect(decodeChain(stream)).toHaveLength(releases.length - 1);
    const stuck = transfersOf(publisher, () => new Promise(() => undefined));
    for (const { hash } of releases) void stuck.transfers.prepare(head, hash);
    expect(stuck.asked()).toBe(16);
    const late = releases[20];
    const chain = await stuck.transfers.for(head, late?.hash);
    expect(decodeChain(chain.stream).length).toBe(releases.length - 21);
  });

  it('is sent one delta to a release that is the head no more, and a snapshot where its own is not known', async () => {
    const { publisher, releases } = await flapping(20);
    const { transfers } = transfersOf(publisher);
    const [first] = endsOf(releases);
    const past = releases[10];
    if (past === undefined) throw new Error('more releases were expected');
    const direct = encodeDelta(diffRuleSets(first.ruleSet, past.ruleSet));
    expect((await transfers.for(past, first.hash)).stream).toEqual(encodeChain([direct]));
    const unknown = await transfers.for(past, new Uint8Array(32));
    expect(unknown.base).toBeUndefined();
    expect(unknown.stream).toEqual(encodeChain([encodeSnapshot(past.ruleSet)]));
  });

  it('is sent what makes the release that was offered, though a chain to the head would be as small', async () => {
    const publisher = freshPublisher({ workHost: WORK_IN_PLACE });
    const releases: Release[] = [];
    for (const host of [1, 2, 3]) {
      const list = prefixListOf(prefixSetOf([prefixOf(4, [0xc0000200 + host], 32)]));
      await publisher.updateLists(new Map([['hosts', list]]));
      if (publisher.head !== undefined) releases.push(publisher.head);
    }
    const [first, second, third] = releases;
    if (first === undefined || second === undefined || third === undefined) throw new Error('three were due');
    const { transfers } = transfersOf(publisher);
    const { stream } = await transfers.for(second, first.hash);
    expect(applyChain(first.ruleSet, stream).lists).toEqual(second.ruleSet.lists);
    expect(applyChain(first.ruleSet, (await transfers.for(third, first.hash)).stream).lists).toEqual(
      third.ruleSet.lists,
    );
  });
});

describe('what is prepared for those who are away', () => {
  it('is that of the newest release, however fast they come', async () => {
    const { publisher, releases } = await flapping(20);
    const [first, second] = releases;
    const [, head] = endsOf(releases);
    if (first === undefined || second === undefined) throw new Error('more releases were expected');
    const { transfers, asked } = transfersOf(publisher);
    const bases = [first.hash, second.hash];
    const under = transfers.prepareAll(releases[9] ?? head, bases);
    for (const release of releases.slice(10)) void transfers.prepareAll(release, bases);
    await under;
    expect(asked()).toBe(3); // what was under way, and both of the last
    await Promise.all(bases.map((base) => transfers.for(head, base)));
    expect(asked()).toBe(3);
    await transfers.prepareAll(head, []);
    await transfers.prepareAll(releases[12] ?? head, bases);
    expect(asked()).toBe(5);
  });
});

describe('what is prepared for whoever holds one of the last releases', () => {
  it('is what they would be sent anyway, all of it made at once', async () => {
    const { publisher, releases } = await flapping(40);
    const { transfers, asked } = transfersOf(publisher);
    const { transfers: unprepared, asked: askedThere } = transfersOf(publisher);
    const head = endsOf(releases)[1];
    await transfers.prepareRecent(head);
    const recent = releases.slice(-33, -1);
    for (const { hash } of recent) {
      const { stream } = await transfers.for(head, hash);
      expect(stream).toEqual((await unprepared.for(head, hash)).stream);
    }
    expect(askedThere()).toBeGreaterThan(20);
    expect(asked()).toBe(0);
    await transfers.for(head, releases[releases.length - 34]?.hash);
    expect(asked()).toBe(1);
  });

  it('is nothing for a release that is the head no more, and after the first', async () => {
    const { publisher, releases } = await flapping(3);
    const { transfers, asked } = transfersOf(publisher);
    const [first, head] = endsOf(releases);
    await transfers.prepareRecent(first);
    await transfers.for(head, first.hash);
    expect(asked()).toBe(1);
    const { publisher: fresh, releases: one } = await flapping(1);
    await expect(transfersOf(fresh).transfers.prepareRecent(endsOf(one)[1])).resolves.toBeUndefined();
  });
});

describe('who holds the release before', () => {
  // Whoever pushed a first million waited until it was encoded once more, to be sent as large as before.
  it('is sent its delta, however large, without a snapshot to compare: unless a part of one is there', async () => {
    const publisher = freshPublisher({ workHost: WORK_IN_PLACE });
    const hosts = (count: number): List =>
      prefixListOf(
        prefixSetOf(Array.from({ length: count }, (_, i) => prefixOf(4, [i * 9973 + ((i * i) % 8999)], 32))),
      );
    await publisher.updateLists(new Map([['hosts', hosts(2)]]));
    const held = publisher.head;
    await publisher.updateLists(new Map([['hosts', hosts(60_000)]]));
    const { head, store } = publisher;
    if (held === undefined || head === undefined) throw new Error('two were due');
    const encodeSnapshot = vi.fn(encoder.encodeSnapshot.bind(encoder));
    const transfers = new Transfers(store, { encodeDelta: encoder.encodeDelta, encodeSnapshot }, encoder);
    const { base, stream } = await transfers.for(head, held.hash);
    expect(stream.length).toBeGreaterThan(64 * 1024);
    expect([base, encodeSnapshot.mock.calls.length]).toEqual([held.hash, 0]);
    const { id, stream: whole } = await transfers.for(head, undefined);
    if (id === undefined) throw new Error('a snapshot was due');
    const bytes = whole.length - 1;
    expect((await transfers.for(head, held.hash, false, { stream: id, bytes })).from).toBe(bytes);
  });
});

describe('who was sent a part of a snapshot', () => {
  it('is sent the rest of the same bytes, and all of others', async () => {
    const { publisher, releases } = await flapping(3);
    const { transfers } = transfersOf(publisher);
    const [, head] = endsOf(releases);
    const whole = await transfers.for(head, undefined);
    const { stream, id = new Uint8Array() } = whole;
    expect(whole.from).toBe(0);
    const rest = await transfers.for(head, undefined, false, { stream: id, bytes: 100 });
    expect(rest).toEqual({ ...whole, from: 100 });
    expect((await transfers.for(head, undefined, false, { stream: id, bytes: stream.length })).from).toBe(
      stream.length,
    );
    const beyond = { stream: id, bytes: stream.length + 1 };
    expect((await transfers.for(head, undefined, false, beyond)).from).toBe(0);
    const other = { stream: new Uint8Array(16), bytes: 100 };
    expect((await transfers.for(head, undefined, false, other)).from).toBe(0);
    const { transfers: later } = transfersOf(publisher); // as after a restart
    expect((await later.for(head, undefined, false, { stream: id, bytes: 100 })).from).toBe(100);
  });
});

describe('who is away', () => {
  it('is looked after by what it has in force, the last that went first, a few of them for a day', async () => {
    const { publisher, releases } = await flapping(12);
    const dayMs = 86_400_000;
    const { subscribers } = publisher;
    for (const [i, { hash, manifest }] of releases.entries()) {
      const { epoch, version } = manifest;
      for (const name of [`a${i}`, `b${i}`]) {
        subscribers.entry(name, i * 1000).held = { hash, epoch, version };
      }
    }
    const newest = releases
      .slice(-4)
      .toReversed()
      .map(({ hash }) => hex(hash));
    expect(subscribers.heldAway(20_000).map(hex)).toEqual(newest);
    const last = releases.length - 1;
    subscribers.entry(`a${last}`, 0).connectedSinceMs = 1;
    subscribers.entry(`b${last}`, 0).connectedSinceMs = 1;
    expect(subscribers.heldAway(20_000).map(hex)[0]).toBe(newest[1]);
    expect(subscribers.heldAway(dayMs + (last - 1) * 1000).map(hex)).toEqual([newest[1]]);
    expect(subscribers.heldAway(2 * dayMs)).toEqual([]);
  });

  it('waits for those who are being sent a release, but not for ever', async () => {
    const clock = new FakeClock();
    const publisher = freshPublisher({ clock });
    const prepared = vi.spyOn(publisher.transfers, 'prepareRecent');
    const entry = publisher.subscribers.entry('fw', 0);
    const due = (): number => {
      clock.advance(1000);
      return prepared.mock.calls.length;
    };
    entry.receiving = true;
    await release(publisher, { 'hosts.txt': '192.0.2.1\n' });
    expect([due(), due(), due()]).toEqual([0, 0, 0]);
    entry.receiving = false;
    expect([due(), due()]).toEqual([1, 1]);
    entry.receiving = true;
    await release(publisher, { 'hosts.txt': '192.0.2.2\n' });
    expect(Array.from({ length: 60 }, due).at(-2)).toBe(1);
    expect(due()).toBe(2);
  });

  it('waits while the next release is on its way', async () => {
    const clock = new FakeClock();
    let answer: (answer: NameAnswer) => void = () => undefined;
    const answered = new Promise<NameAnswer>((resolve) => {
      answer = resolve;
    });
    const resolve = vi.fn(() => answered);
    const publisher = freshPublisher({ clock, resolve });
    const prepared = vi.spyOn(publisher.transfers, 'prepareRecent');
    await release(publisher, { 'hosts.txt': '192.0.2.1\n' });
    const next = release(publisher, { 'default.rules': 'accept dsthost=a.example\n' });
    await vi.waitFor(() => expect(resolve).toHaveBeenCalled());
    clock.advance(1000);
    expect(prepared).not.toHaveBeenCalled();
    answer(EMPTY_PREFIX_SET);
    await next;
    clock.advance(1000);
    expect(prepared).toHaveBeenCalledOnce();
  });
});
