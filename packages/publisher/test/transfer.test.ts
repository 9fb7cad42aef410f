import {
  type After,
  applyChain,
  decodeChain,
  diffRuleSets,
  encodeChain,
  encodeDelta,
  encodeSnapshot,
} from '@rulecast/protocol';
import { EMPTY_PREFIX_SET, type List, prefixListOf, prefixOf, prefixSetOf } from '@rulecast/rules';
import { describe, expect, it, vi } from 'vitest';
import { seededNumbers } from '../../../test/kit/random.mjs';
import { turns } from '../../../test/kit/turns.ts';
import { FakeClock } from '../../sources/test/fake-clock.ts';
import type { Composer } from '../src/release/composed.ts';
import type { Publisher } from '../src/release/publisher.ts';
import { Transfers } from '../src/release/transfer.ts';
import { ReleaseWorker, WORK_IN_PLACE } from '../src/release/worker.ts';
import type { Release } from '../src/store/store.ts';
import { Churn, randomHosts } from './churn.ts';
import { freshPublisher, hex, release } from './fresh-publisher.ts';

const encoder = new ReleaseWorker(WORK_IN_PLACE);
const NO_LIST: List = prefixListOf({ v4: EMPTY_PREFIX_SET.v4, v6: EMPTY_PREFIX_SET.v6 });

/**
 * A publisher with so many releases, of which each brings back what the one before the last had: chains grow
 * by 5 kB a step where `size` is 2,000, and one delta of every second says next to nothing.
 */
async function flapping(
  count: number,
  size = 2000,
): Promise<{ publisher: Publisher; releases: readonly Release[] }> {
  const publisher = freshPublisher({ workHost: WORK_IN_PLACE });
  const churn = new Churn(3, 400);
  const draw = seededNumbers(5);
  const flaps = [0, 1].map(() => prefixListOf(randomHosts(draw, size)));
  const releases: Release[] = [];
  for (let i = 0; i < count; i++) {
    const names = churn.next().lists.get('names') ?? NO_LIST;
    await publisher.updateLists(
      new Map([
        ['flap', flaps[i % 2] ?? NO_LIST],
        ['names', names],
      ]),
    );
    if (publisher.head !== undefined && publisher.head !== releases.at(-1)) releases.push(publisher.head);
  }
  return { publisher, releases };
}

/** Transfers of a publisher's store, their clock, and how often something was composed for them. */
function transfersOf(
  { store }: Publisher,
  compose: Composer['compose'] = (recipe, ruleSet) => encoder.compose(recipe, ruleSet),
): { transfers: Transfers; clock: FakeClock; asked: () => number } {
  const clock = new FakeClock();
  let count = 0;
  const counting: Composer = {
    compose: (recipe, ruleSet) => {
      count += 1;
      return compose(recipe, ruleSet);
    },
  };
  const after: After = (ms, work) => clock.after(ms, work);
  return { transfers: new Transfers(store, encoder, counting, after), clock, asked: () => count };
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
      expect(stream).toEqual(chain.length <= 16_384 + 64 ? chain : encodeChain([direct]));
    }
  });

  // 2 s of CPU, and 10 to 18 on a busy machine, saved nothing of 550 bytes.
  it('is sent a chain of up to 16 kB at once, and nothing is composed', async () => {
    const { publisher, releases } = await flapping(20, 200);
    const stuck = transfersOf(publisher, () => new Promise(() => undefined));
    const [first, head] = endsOf(releases);
    const { stream } = await stuck.transfers.for(head, first.hash);
    expect(decodeChain(stream)).toHaveLength(19);
    expect(stream.length).toBeLessThan(16_384);
    expect(stuck.asked()).toBe(0);
  });

  it('is sent the chain where composing takes longer than 50 ms, and the next what was composed', async () => {
    const { publisher, releases } = await flapping(11);
    let compose = (): void => undefined;
    const { transfers, clock, asked } = transfersOf(publisher, async (recipe, ruleSet) => {
      await new Promise<void>((resolve) => {
        compose = resolve;
      });
      return encoder.compose(recipe, ruleSet);
    });
    const [first, head] = endsOf(releases);
    let sent = 0;
    const late = transfers.for(head, first.hash).finally(() => sent++);
    clock.advance(49);
    await turns();
    expect(sent).toBe(0);
    clock.advance(1);
    expect(decodeChain((await late).stream)).toHaveLength(10);
    compose();
    await turns();
    const { stream } = await transfers.for(head, first.hash);
    expect(stream).toEqual(encodeChain([encodeDelta(diffRuleSets(first.ruleSet, head.ruleSet))]));
    expect(asked()).toBe(1);
  });

  it('waits for what is composed where no chain leads to it', async () => {
    const { publisher, releases } = await flapping(4);
    let compose = (): void => undefined;
    const { transfers, clock } = transfersOf(publisher, async (recipe, ruleSet) => {
      await new Promise<void>((resolve) => {
        compose = resolve;
      });
      return encoder.compose(recipe, ruleSet);
    });
    const [first, , third] = releases;
    if (first === undefined || third === undefined) throw new Error('three were due');
    const sent = transfers.for(third, first.hash);
    clock.advance(60_000);
    await turns();
    compose();
    const direct = encodeDelta(diffRuleSets(first.ruleSet, third.ruleSet));
    expect((await sent).stream).toEqual(encodeChain([direct]));
  });

  it('waits for the same work as everybody else who holds it', async () => {
    const { publisher, releases } = await flapping(20);
    const { transfers, asked } = transfersOf(publisher);
    const [first, head] = endsOf(releases);
    const sent = await Promise.all([1, 2, 3].map(() => transfers.for(head, first.hash)));
    expect(new Set(sent.map(({ stream }) => hex(stream))).size).toBe(1);
    await transfers.for(head, first.hash);
    expect(asked()).toBe(1);
  });

  it('is sent the very bytes that all others are: of a step, a chain, what is composed, and a snapshot', async () => {
    const { publisher, releases } = await flapping(11);
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
    const head = endsOf(releases)[1];
    const broken = transfersOf(publisher, () => Promise.reject(new Error('the thread ended')));
    const { stream } = await broken.transfers.for(head, releases.at(-11)?.hash);
    expect(decodeChain(stream)).toHaveLength(10);
    const stuck = transfersOf(publisher, () => new Promise(() => undefined));
    for (const { hash } of releases) void stuck.transfers.for(head, hash);
    expect(stuck.asked()).toBe(16);
    const chain = await stuck.transfers.for(head, releases.at(-11)?.hash);
    expect(decodeChain(chain.stream)).toHaveLength(10);
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

describe('who holds the release before', () => {
  // Regression: a push of a first million waited until it was encoded once more, to be sent in the same size.
  it('is sent its delta, however large, without a snapshot to compare', async () => {
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
    const transfers = new Transfers(
      store,
      { encodeDelta: encoder.encodeDelta, encodeSnapshot },
      encoder,
      () => () => undefined,
    );
    const { base, stream } = await transfers.for(head, held.hash);
    expect(stream.length).toBeGreaterThan(64 * 1024);
    expect([base, encodeSnapshot.mock.calls.length]).toEqual([held.hash, 0]);
  });
});

/** Rules of some 2.7 MB that nothing makes smaller than 2 MiB. */
function longRules(): string {
  const draw = seededNumbers(9);
  const letters = [...'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789:;'];
  const comment = (): string => Array.from({ length: 4000 }, () => letters[draw(64)]).join('');
  return Array.from(
    { length: 720 },
    (_, i) => `drop dst4=10.0.${i >> 8}.${i & 255} comment=${comment()}`,
  ).join('\n');
}

describe('who was sent a part of a snapshot', () => {
  it('of 2 MiB is sent the rest of the same bytes, and all of others', async () => {
    const publisher = freshPublisher({ workHost: WORK_IN_PLACE });
    const held = await release(publisher, { 'default.rules': 'drop' });
    const head = await release(publisher, { 'default.rules': longRules() });
    const { transfers } = transfersOf(publisher);
    const whole = await transfers.for(head, undefined);
    const { stream, id = new Uint8Array() } = whole;
    expect(whole.from).toBe(0);
    const rest = await transfers.for(head, undefined, false, { stream: id, bytes: 100 });
    expect([rest.from, rest.id]).toEqual([100, id]);
    expect(rest.stream).toBe(stream);
    expect((await transfers.for(head, undefined, false, { stream: id, bytes: stream.length })).from).toBe(
      stream.length,
    );
    const beyond = { stream: id, bytes: stream.length + 1 };
    expect((await transfers.for(head, undefined, false, beyond)).from).toBe(0);
    const other = { stream: new Uint8Array(16), bytes: 100 };
    expect((await transfers.for(head, undefined, false, other)).from).toBe(0);
    const bytes = stream.length - 1;
    expect((await transfers.for(head, held.hash, false, { stream: id, bytes })).from).toBe(bytes);
    const { transfers: later } = transfersOf(publisher); // as after a restart
    expect((await later.for(head, undefined, false, { stream: id, bytes: 100 })).from).toBe(100);
  });

  it('of less is sent all of it, and no name for it', async () => {
    const { publisher, releases } = await flapping(3);
    const { transfers } = transfersOf(publisher);
    const [, head] = endsOf(releases);
    const has = { stream: new Uint8Array(16), bytes: 100 };
    expect(await transfers.for(head, undefined, false, has)).toMatchObject({ id: undefined, from: 0 });
  });
});
