/** What was refused: kept within bounds, told in pages, and judged by the release in force. */

import type { BlockedName } from '@rulecast/dns/feed';
import type { RefusedPacket } from '@rulecast/nftables';
import { encodeMessage, type SteadyClock, type WireRefused } from '@rulecast/protocol';
import { type Packet, parseAddress } from '@rulecast/rules';
import { describe, expect, it } from 'vitest';
import fc from '../../../test/seeded-fast-check.ts';
import { often } from '../../../test/thorough.ts';
import {
  KEPT_MAX,
  KeptRefusals,
  OF_A_QUBE_MAX,
  type Refused,
  type RefusedPage,
} from '../src/refused/kept.ts';
import { type PacketLog, RefusedLog } from '../src/refused/refused-log.ts';

const QUBE = Uint8Array.of(10, 137, 0, 5);
const REMOTE = Uint8Array.of(203, 0, 113, 7);
const RELEASES = { 41: 'a'.repeat(64), 42: 'b'.repeat(64) } as const;
const PACKET: RefusedPacket = {
  release: RELEASES[41].slice(0, 16),
  reason: 'rule',
  direction: 'egress',
  qube: QUBE,
  remote: REMOTE,
  interface: 'vif1.0',
  proto: 6,
  port: 443,
  icmpType: undefined,
};
const BLOCKED: BlockedName = {
  count: 1,
  qube: parseAddress('10.137.0.5')!,
  name: 'ads.example',
  policy: 'work',
  rule: { policy: 'first', block: 'exceptions', list: 'ads' },
};
const START_MS = 1_790_000_000_000;

function refusal(port: number, qube: Uint8Array = QUBE): Refused {
  return { what: 'packet', qube, direction: 'egress', remote: REMOTE, proto: 6, port, reason: 'rule' };
}

const ports = ({ refused }: RefusedPage): readonly (number | undefined)[] => refused.map(({ port }) => port);
const NO_VERSION = (): number => 0;

function all(
  kept: KeptRefusals,
  query: { after: number; qube?: Uint8Array; sinceS?: number },
): readonly WireRefused[] {
  const found: WireRefused[] = [];
  for (let { after } = query; ; ) {
    const { refused, next } = kept.page({ ...query, after }, 0, NO_VERSION);
    found.push(...refused);
    if (next === undefined) return found;
    expect(next).toBeGreaterThan(after);
    expect(next).toBe(refused.at(-1)?.id);
    after = next;
  }
}

describe('what was refused', () => {
  it('is one entry where it differs in nothing but its time, which is told again when it changes', () => {
    const kept = new KeptRefusals(100);
    kept.add(refusal(80), 'one', 1, 5);
    kept.add(refusal(443), 'one', 1, 6);
    kept.add(refusal(80), 'two', 2, 9);
    const { refused } = kept.page({ after: 0 }, 3, (release) => (release === 'two' ? 42 : 41));
    expect(refused).toMatchObject([
      { id: 102, port: 443, count: 1, firstS: 6, lastS: 6, version: 41 },
      { id: 103, port: 80, count: 3, firstS: 5, lastS: 9, version: 42 },
    ]);
    expect(ports(kept.page({ after: 102 }, 0, NO_VERSION))).toEqual([80]);
    expect(ports(kept.page({ after: 103 }, 0, NO_VERSION))).toEqual([]);
    expect(ports(kept.page({ after: 104 }, 0, NO_VERSION))).toEqual([443, 80]); // of an earlier life
    expect(ports(kept.page({ after: 0, sinceS: 7 }, 0, NO_VERSION))).toEqual([80]);
    expect(ports(kept.page({ after: 0, qube: REMOTE }, 0, NO_VERSION))).toEqual([]);
  });

  it('gives way, the oldest first: of a qube that has most itself, of all where there is no more room', () => {
    const kept = new KeptRefusals(0);
    const other = (at: number): Uint8Array => Uint8Array.of(10, 138, at >> 8, at & 255);
    kept.add(refusal(1, other(0)), '', 1, 0);
    for (let port = 1; port <= OF_A_QUBE_MAX + 2; port++) kept.add(refusal(port), '', 1, 0);
    expect(kept.size).toBe(OF_A_QUBE_MAX + 1);
    expect(all(kept, { after: 0, qube: QUBE })[0]).toMatchObject({ port: 3 });
    expect(all(kept, { after: 0, qube: other(0) })).toHaveLength(1);
    for (let at = 1; kept.size < KEPT_MAX; at++) kept.add(refusal(1, other(at)), '', 1, 0);
    kept.add(refusal(2, other(9)), '', 1, 0);
    expect(kept.size).toBe(KEPT_MAX);
    expect(all(kept, { after: 0, qube: other(0) })).toEqual([]);
  });

  it('gives way first where most came from: a qube makes up addresses, and no interface', () => {
    const kept = new KeptRefusals(0);
    const made = (at: number): Uint8Array => Uint8Array.of(10, 139, at >> 8, at & 255);
    kept.add({ ...refusal(1), interface: 'vif1.0' }, '', 1, 0);
    for (let at = 0; at < KEPT_MAX + 10; at++)
      kept.add({ ...refusal(1, made(at)), interface: 'vif2.0' }, '', 1, 0);
    expect(kept.size).toBe(KEPT_MAX);
    expect(all(kept, { after: 0, qube: QUBE })).toHaveLength(1);
    for (let port = 1; port <= OF_A_QUBE_MAX + 2; port++)
      kept.add({ ...refusal(port), direction: 'ingress' }, '', 1, 0);
    const ofQube = all(kept, { after: 0, qube: QUBE });
    expect(ofQube.map(({ direction }) => direction)).toContain('egress');
    expect(ofQube).toHaveLength(1 + OF_A_QUBE_MAX);
    expect(kept.size).toBe(KEPT_MAX);
  });

  it('is told whole by pages, each of which fits an answer', () => {
    const text = (most: number): fc.Arbitrary<string> =>
      fc.string({ maxLength: most, unit: fc.constantFrom('a', 'é', '"') });
    const bounded = (most: number) =>
      text(most).map((each) =>
        Buffer.from(each)
          .toString('latin1')
          .slice(0, most / 2),
      );
    const name = fc.nat({ max: 62 }).map((length) => `n${'x'.repeat(length)}`);
    const entry = fc.record({
      port: fc.nat(65_535),
      interface: fc.constantFrom('vif1.0', 'i'.repeat(15)),
      verdict: fc.record({
        action: fc.constant('drop' as const),
        direction: fc.constant('egress' as const),
        policy: name,
        rulePolicy: name,
        block: fc.constant('exceptions' as const),
        rule: bounded(1536),
        ruleIndex: fc.nat(),
        run: fc.nat(),
        list: name,
        prefix: fc.constant('2001:db8:ffff:ffff:ffff:ffff:ffff:ffff/128'),
      }),
      name: bounded(253),
    });
    fc.assert(
      fc.property(fc.uniqueArray(entry, { maxLength: 60, selector: ({ port }) => port }), (entries) => {
        const kept = new KeptRefusals(2 ** 52);
        for (const { verdict, name: told, ...of } of entries) {
          const added = kept.add({ ...refusal(of.port), ...of }, '', 2 ** 40, START_MS / 1000);
          kept.judge(added, { verdict, name: told, judgedBy: 2 ** 40 });
        }
        expect(all(kept, { after: 0 }).map(({ port }) => port)).toEqual(entries.map(({ port }) => port));
        for (let after: number | undefined = 0; after !== undefined; ) {
          const { refused, next }: RefusedPage = kept.page({ after }, 0, () => 2 ** 40);
          const hash = new Uint8Array(32);
          const most = 2 ** 53 - 1;
          const told = { refused, refusedLost: most, '+next': most };
          encodeMessage({ kind: 'answer', ok: true, hash, epoch: most, version: most, ...told });
          after = next;
        }
      }),
      { numRuns: often(100, 1000) },
    );
  });
});

// ── The log ────────────────────────────────────────────────────────────────────────────────────────────────

/** A log, its time, and the release in force. */
class World {
  nowMs = START_MS;
  waiting: RefusedPacket[] = [];
  fault: Error | undefined;
  version: 41 | 42 = 41;
  readonly judged: Packet[] = [];
  readonly warnings: string[] = [];
  verdict: () => Promise<Pick<WireRefused, 'verdict' | 'name'>> = async () => ({
    verdict: { action: 'drop' },
  });
  #due: () => void = () => undefined;
  readonly log: RefusedLog;

  constructor(fault = '') {
    const packets: PacketLog = {
      lost: 2,
      read: (take) => {
        if (this.fault !== undefined) throw this.fault;
        for (const packet of this.waiting.splice(0)) take(packet);
      },
      close: () => undefined,
    };
    this.log = new RefusedLog(fault === '' ? packets : undefined, fault);
    const clock: SteadyClock = {
      monotonicMs: () => this.nowMs,
      after: (_, call) => {
        this.#due = call;
        return () => undefined;
      },
    };
    this.log.begin({
      clock,
      nowMs: () => this.nowMs,
      logger: { warn: (_, text) => this.warnings.push(text) },
      active: () => ({ hash: RELEASES[this.version], version: this.version }),
      judge: (packet) => {
        this.judged.push(packet);
        return this.verdict();
      },
    });
  }

  /** The next reading, and what it judges. */
  async turn(...packets: readonly RefusedPacket[]): Promise<void> {
    this.waiting.push(...packets);
    this.nowMs += 1000;
    this.#due();
    for (let i = 0; i < 100; i++) await Promise.resolve();
  }

  told(): readonly WireRefused[] {
    return this.log.page({ after: 0 }).refused;
  }
}

describe('the log of refused packets', () => {
  it('tells of a packet whose it is, and what the release in force says of it', async () => {
    const world = new World();
    world.verdict = async () => ({
      verdict: { action: 'drop', policy: 'work', list: 'bad' },
      name: 'a.example',
    });
    await world.turn(PACKET, PACKET);
    expect(world.judged).toMatchObject([{ direction: 'egress', proto: 6, port: 443 }]);
    expect(world.told()).toMatchObject([
      {
        what: 'packet',
        qube: QUBE,
        remote: REMOTE,
        interface: 'vif1.0',
        count: 2,
        firstS: START_MS / 1000 + 1,
        version: 41,
        judgedBy: 41,
        name: 'a.example',
        verdict: { action: 'drop', policy: 'work', list: 'bad' },
      },
    ]);
    expect(world.log.page({ after: 0 })).toMatchObject({ lost: 2, next: undefined });
    expect(world.told()[0]?.id).toBeGreaterThan(START_MS);
  });

  it('says which release refused, and which one judged, where it is another', async () => {
    const world = new World();
    await world.turn(); // 41 is known
    world.version = 42;
    world.verdict = async () => ({ verdict: { action: 'accept' } });
    await world.turn(PACKET);
    expect(world.told()).toMatchObject([{ version: 41, judgedBy: 42, verdict: { action: 'accept' } }]);
    await world.turn(PACKET);
    expect(world.judged).toHaveLength(1);
    world.verdict = async () => ({ verdict: { action: 'drop' } });
    await world.turn({ ...PACKET, release: RELEASES[42].slice(0, 16) }); // refused by it after all
    expect(world.told()).toMatchObject([
      { version: 42, judgedBy: 42, count: 3, verdict: { action: 'drop' } },
    ]);
  });

  it('judges anew what the release that accepts it by now refuses again', async () => {
    const world = new World();
    world.verdict = async () => ({ verdict: { action: 'accept' }, name: 'a.example' }); // told meanwhile
    await world.turn(PACKET);
    world.verdict = async () => ({ verdict: { action: 'drop' } });
    await world.turn(PACKET);
    await world.turn(PACKET);
    expect(world.judged).toHaveLength(2);
    expect(world.told()).toMatchObject([{ count: 3, judgedBy: 41, verdict: { action: 'drop' } }]);
  });

  it('judges anew what was judged while the release changed', async () => {
    const world = new World();
    world.verdict = async () => {
      world.version = 42;
      return { verdict: { action: 'accept' } };
    };
    await world.turn(PACKET);
    expect(world.judged).toHaveLength(2);
    expect(world.told()).toMatchObject([{ version: 41, judgedBy: 42 }]);
  });

  it('judges one at a time, few between two readings, and none by force', async () => {
    const world = new World();
    let answer: () => void = () => undefined;
    world.verdict = () =>
      new Promise((resolve) => {
        answer = () => resolve({ verdict: { action: 'drop' } });
      });
    const many = Array.from({ length: 50 }, (_, port) => ({ ...PACKET, port }));
    await world.turn(...many);
    await world.turn();
    expect(world.judged).toHaveLength(1);
    world.verdict = async () => {
      throw new Error('the thread is gone');
    };
    answer();
    await world.turn();
    expect(world.judged.length).toBeLessThanOrEqual(40);
    await world.turn();
    await world.turn();
    expect(world.judged).toHaveLength(50);
    const pages = [world.log.page({ after: 0 })];
    for (let next = pages[0]?.next; next !== undefined; next = pages.at(-1)?.next)
      pages.push(world.log.page({ after: next }));
    const verdicts = pages.flatMap(({ refused }) => refused.map(({ verdict }) => verdict));
    expect(verdicts.filter((each) => each !== undefined)).toHaveLength(1);
    expect(verdicts).toHaveLength(50);
  });

  it.each(['tcp-rest', 'flowless', 'closed', 'dns'] as const)(
    'asks no rule about what no rule refused: %s',
    async (reason) => {
      const world = new World();
      await world.turn({ ...PACKET, release: '', reason, interface: undefined });
      expect(world.judged).toEqual([]);
      const [told] = world.told();
      expect(told).toMatchObject({ reason, version: reason === 'dns' ? 41 : 0 });
      expect([told?.verdict, told?.interface]).toEqual([undefined, undefined]);
    },
  );

  it('tells of interfaces whose names are no text for terminals', async () => {
    const world = new World();
    await world.turn({ ...PACKET, interface: 'vif\u0085\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9' });
    const refused = world.told();
    expect(refused[0]?.interface).toBe('vif\ufffd\u00e9\u00e9\u00e9\u00e9');
    encodeMessage({ kind: 'answer', ok: true, refused });
  });

  it('ends with what it reads from, says so once, and to who asks', async () => {
    const world = new World();
    await world.turn(PACKET);
    world.fault = new Error('EBADF');
    await world.turn();
    await world.turn();
    expect(world.warnings).toEqual(['refused packets are not logged any more; what is enforced stays so']);
    expect(() => world.told()).toThrow('EBADF');
    expect(world.log.counters()).toEqual({ logOff: 1, refusedKept: 1, refusedLost: 2 });
    const none = new World('group 5310: EPERM');
    none.log.takeNames([{ ...BLOCKED, count: 3 }], 4);
    expect(() => none.told()).toThrow('group 5310: EPERM');
    expect(none.log.counters()).toEqual({ logOff: 1, refusedKept: 0, refusedLost: 0 });
  });

  it('has names with the verdict that they come with, and counts those that were lost on their way', async () => {
    const world = new World();
    world.log.takeNames([{ ...BLOCKED, count: 3 }], 4);
    world.log.takeNames([BLOCKED], 0);
    expect(world.told()).toMatchObject([
      {
        what: 'name',
        qube: QUBE,
        name: 'ads.example',
        reason: 'name',
        count: 4,
        version: 41,
        verdict: { action: 'drop', policy: 'work', rulePolicy: 'first', block: 'exceptions', list: 'ads' },
      },
    ]);
    expect(world.log.page({ after: 0 }).lost).toBe(6);
    await world.turn();
    expect(world.judged).toEqual([]);
  });
});
