/** The limits of openings by name, as a subverted `rulecast-dns` would test them. */

import { describe, expect, it } from 'vitest';
import fc from '../../../test/seeded-fast-check.ts';
import { namesOf } from '../../rules/src/index.ts';
import {
  AnswerReader,
  answerFrame,
  type Opening,
  OpeningError,
  type OpeningOutcome,
  OpeningReader,
  Outcome,
  openingFrame,
  openSecondsOf,
} from '../src/apply/opening.ts';
import { Openings } from '../src/apply/openings.ts';
import type { Command } from '../src/kernel/commands.ts';
import type { ReadNameElement } from '../src/kernel/name-elements.ts';
import { NativeError } from '../src/kernel/native.ts';
import type { Source } from '../src/kernel/sources.ts';
import { SPARED_MS } from '../src/limits.ts';
import type { NameSet } from '../src/plan/change.ts';

const [KEY, VERSION, OTHER] = ['0123456789abcdef', '89abcdef89abcdef', '89abcdef89abcde0'];
const SET = `n${KEY}_4_2048_${VERSION}`;
const QUBES: NameSet['qubes'] = [
  { address: '0a890005', length: 32 },
  { address: '0a890006', length: 32 },
];
const SETS: readonly NameSet[] = [{ set: SET, list: 'updates', isPrivate: false, qubes: QUBES, pairs: [] }];

const QUBE_6 = 'fd0924ef4179000a0000000000000005';
const pairsOf = (addresses: readonly string[], name = 'vif'): ReadonlyMap<string, Source> =>
  new Map(addresses.map((address) => [address, { interface: name.padEnd(16, '\0'), address }]));
/** The addresses of all qubes in these tests, of either family. */
const PAIRS = pairsOf([
  ...Array.from({ length: 256 }, (_, i) => `0a8900${i.toString(16).padStart(2, '0')}`),
  QUBE_6,
  'fd0924ef4179000b0000000000000006',
]);

const NO_BODY = new Uint8Array(0);

const opening = (more: Partial<Opening> = {}): Opening => ({
  id: 7,
  family: 4,
  seconds: 90,
  key: KEY,
  version: VERSION,
  qube: Uint8Array.of(10, 137, 0, 5),
  addresses: [Uint8Array.of(93, 184, 216, 34)],
  label: 'api.example',
  ...more,
});
const QUBE_4 = Uint8Array.of(10, 137, 0, 5);
const addresses = (count: number, from = 0): readonly Uint8Array[] =>
  Array.from({ length: count }, (_, i) => Uint8Array.of(93, 184, (from + i) >> 8, (from + i) & 255));

const SIX = [Uint8Array.from(Buffer.from('26062800022000010000000000000001', 'hex'))];

/** What a transaction that has this label is refused for. */
const REFUSED_LABEL = 'refused.example';

/** When what was told before is spared no more. */
const LATER = SPARED_MS + 1;
/** Addresses that an attacker tells: eight times what a list has room for, 1,000 a second. */
const ATTACK = 8192;

/** A kernel of name sets, which are there once an element is asked for. */
class Kernel {
  nowMs = 1000;
  inForce: { readonly name: string; readonly sets: readonly string[] } | undefined;
  failure: Error | undefined;
  readonly elements = new Map<string, Map<string, string>>();
  readonly pairs = new Map<string, Map<string, string>>();

  /** How many changes were done, or refused. */
  runs = 0;

  run(commands: readonly Command[]): void {
    this.runs++;
    if (this.failure !== undefined) throw this.failure;
    const labels = Buffer.from(
      JSON.stringify([...REFUSED_LABEL].map((each) => each.charCodeAt(0))).slice(1, -1),
    );
    if (JSON.stringify(commands, bytesAsLists).includes(String(labels)))
      throw new NativeError('refused', -28);
    for (const { type, attributes } of commands) {
      const [table, set] = [attributes[0]?.[1], attributes[1]?.[1]];
      const isOfPairs = `${set}`.startsWith('sources');
      const all = isOfPairs ? this.pairs : this.elements;
      const elements = all.get(`${table} ${set}`) ?? new Map<string, string>();
      all.set(`${table} ${set}`, elements);
      for (const [, element] of (attributes[2]?.[1] ?? []) as readonly [number, readonly unknown[]][]) {
        const text = JSON.stringify(element, bytesAsLists);
        const [, key = ''] = /\[1,\[\[1,\[\[1,\[([\d,]+)/.exec(`[1,${text}`) ?? [];
        if ((type & 255) === 30) elements.delete(key);
        else elements.set(key, text);
      }
    }
  }

  whileRead = (): unknown => undefined;

  async named(): Promise<readonly ReadNameElement[]> {
    this.whileRead();
    const key = Uint32Array.of(0x0a890006, 0x5db80000);
    return [{ key, milliseconds: 5000, label: 'old.example', agoMs: 41_000 }];
  }

  whileLooked = async (): Promise<void> => undefined;
  flowKeys: readonly Uint32Array[] = [];
  looks = 0;
  rested = 0;
  noFlows: Error | undefined;
  readonly warnings: string[] = [];

  async flows(take: (key: Uint32Array) => void): Promise<void> {
    this.looks++;
    await this.whileLooked();
    if (this.noFlows !== undefined) throw this.noFlows;
    for (const key of this.flowKeys) take(key);
  }

  /** Addresses of a qube in a set, in their order. */
  of(qube: string, set = `rulecast_a ${SET}`): readonly string[] {
    const keys = [...(this.elements.get(set)?.keys() ?? [])];
    return keys.filter((key) => key.startsWith(`${qube},`)).map((key) => key.slice(qube.length + 1));
  }
}

function bytesAsLists(_: string, value: unknown): unknown {
  return value instanceof Uint8Array ? [...value] : value;
}

async function opened(sets = SETS): Promise<{ readonly kernel: Kernel; readonly openings: Openings }> {
  const kernel = new Kernel();
  const openings = new Openings({
    run: (commands) => kernel.run(commands),
    inForce: () => kernel.inForce,
    named: () => kernel.named(),
    sources: async () => [...PAIRS.values()],
    flows: (take) => kernel.flows(take),
    nowMs: () => kernel.nowMs,
    pause: async (milliseconds) => {
      kernel.rested += milliseconds;
    },
    warn: (text) => kernel.warnings.push(text),
  });
  openings.pair(PAIRS);
  await openings.prepare('rulecast_a', sets, NO_BODY, async () => undefined);
  openings.release();
  kernel.runs = 0;
  return { kernel, openings };
}

describe('what is asked together', () => {
  const of = (last: number, more: Partial<Opening> = {}): { readonly opening: Opening } => ({
    opening: opening({ qube: Uint8Array.of(10, 137, 0, last), ...more }),
  });

  it('is opened in one transaction, each for the qube that asked', async () => {
    const { kernel, openings } = await opened();
    const asked = [of(5), of(6, { addresses: addresses(3) }), of(5), of(5, { addresses: addresses(2, 40) })];
    expect(openings.openAll(asked)).toEqual([Outcome.open, Outcome.open, Outcome.open, Outcome.open]);
    expect(kernel.runs).toBe(1);
    expect(kernel.of('10,137,0,5')).toEqual(['93,184,216,34', '93,184,0,40', '93,184,0,41']);
    expect(kernel.of('10,137,0,6')).toEqual(['93,184,0,0', '93,184,0,1', '93,184,0,2']);
    expect(openings.count).toBe(6);
  });

  it('has outcomes of its own, and what is refused of it opens nothing', async () => {
    const { kernel, openings } = await opened();
    const asked = [
      of(7),
      of(5),
      of(6, { version: OTHER }),
      of(6, { addresses: [Uint8Array.of(127, 0, 0, 1)] }),
    ];
    expect(openings.openAll(asked)).toEqual([Outcome.refused, Outcome.open, Outcome.later, Outcome.refused]);
    expect([kernel.runs, kernel.of('10,137,0,5'), kernel.of('10,137,0,6')]).toEqual([
      1,
      ['93,184,216,34'],
      [],
    ]);
  });

  it('is opened one by one where the kernel refuses all of it, so that none fails by another', async () => {
    const { kernel, openings } = await opened();
    const bad = of(6, { label: REFUSED_LABEL, addresses: addresses(1, 7) });
    const again = of(5, { label: REFUSED_LABEL });
    expect(openings.openAll([of(5), bad, again, of(6)])).toEqual([
      Outcome.open,
      Outcome.later,
      Outcome.later,
      Outcome.open,
    ]);
    expect(kernel.runs).toBe(5);
    expect(kernel.of('10,137,0,5')).toEqual(['93,184,216,34']);
    expect(kernel.of('10,137,0,6')).toEqual(['93,184,216,34']);
    const told = (qube: string, address: string): unknown =>
      openings.toldOf(qube, address).map(({ name }) => name);
    expect(told('0a890005', '5db8d822')).toEqual(['api.example']); // as before the one that was refused
    expect(told('0a890006', '5db80007')).toEqual([]);
  });

  it('is held as it was where the kernel refuses it, so that a qube has room for as much as before', async () => {
    const { kernel, openings } = await opened();
    openings.openAll([of(5, { addresses: addresses(60) })]);
    kernel.failure = new NativeError('refused', -28);
    expect(openings.openAll([of(5, { addresses: addresses(4, 100) }), of(6)])).toEqual([
      Outcome.later,
      Outcome.later,
    ]);
    kernel.failure = undefined;
    expect(openings.openAll([of(5, { addresses: addresses(4, 200) })])).toEqual([Outcome.open]);
    expect(kernel.of('10,137,0,5')).toHaveLength(64);
  });
});

describe('an address is opened', () => {
  it('for the qube that was told it, and for no other', async () => {
    const { kernel, openings } = await opened();
    expect(openings.open(opening())).toBe(Outcome.open);
    expect([kernel.of('10,137,0,5'), kernel.of('10,137,0,6')]).toEqual([['93,184,216,34'], []]);
  });

  it.each<[string, Partial<Opening>, Outcome]>([
    ['a qube of no policy that uses the list', { qube: Uint8Array.of(10, 137, 0, 7) }, Outcome.refused],
    ['the firewall itself', { qube: Uint8Array.of(10, 138, 0, 1) }, Outcome.refused],
    ['another list', { key: OTHER }, Outcome.later],
    ['another state of the list', { version: OTHER }, Outcome.later],
    [
      'another family, in which it is not in force',
      { family: 6, qube: new Uint8Array(16), addresses: [new Uint8Array(16)] },
      Outcome.later,
    ],
    ['another family, of which no address is known', { family: 6, addresses: SIX }, Outcome.unknown],
    ...[
      [10, 0, 0, 1],
      [10, 137, 0, 6],
      [127, 0, 0, 1],
      [169, 254, 169, 254],
      [172, 16, 0, 1],
      [192, 168, 0, 1],
      [100, 64, 0, 1],
      [224, 0, 0, 1],
      [255, 255, 255, 255],
      [0, 0, 0, 0],
    ].map((address): [string, Partial<Opening>, Outcome] => [
      `the address ${address.join('.')}`,
      { addresses: [Uint8Array.of(93, 184, 216, 34), Uint8Array.from(address)] },
      Outcome.refused,
    ]),
  ])('not for %s', async (_, more, outcome) => {
    const { kernel, openings } = await opened();
    expect(openings.open(opening(more))).toBe(outcome);
    expect(kernel.elements.size).toBe(0);
  });

  it.each<[string, string, Outcome]>([
    ['2606:2800:220:1::1', '26062800022000010000000000000001', Outcome.open],
    [
      '64:ff9b::93.184.216.34, as networks of IPv6 alone have it',
      '0064ff9b00000000000000005db8d822',
      Outcome.open,
    ],
    ['64:ff9b::10.137.0.6', '0064ff9b00000000000000000a890006', Outcome.refused],
    ['::ffff:10.137.0.6', '00000000000000000000ffff0a890006', Outcome.refused],
    ['fd00::1', 'fd000000000000000000000000000001', Outcome.refused],
    ['::1', '00000000000000000000000000000001', Outcome.refused],
  ])('of IPv6, where it is of the Internet: %s', async (_, address, outcome) => {
    const qube = 'fd0924ef4179000a0000000000000005';
    const set = `n${KEY}_6_1024_${VERSION}`;
    const { openings } = await opened([
      { set, list: 'updates', isPrivate: false, qubes: [{ address: qube, length: 128 }], pairs: [] },
    ]);
    const bytes = (hex: string): Uint8Array => Uint8Array.from(Buffer.from(hex, 'hex'));
    const more = { family: 6, qube: bytes(qube), addresses: [bytes(address)] } as const;
    expect(openings.open(opening(more))).toBe(outcome);
  });

  it('not where the kernel does not take it, nor before or after anything is in force', async () => {
    const { kernel, openings } = await opened();
    kernel.failure = new NativeError('no', -1);
    expect(openings.open(opening())).toBe(Outcome.later);
    kernel.failure = undefined;
    openings.forget();
    expect(openings.open(opening())).toBe(Outcome.later);
    const none = new Openings({
      run: () => undefined,
      inForce: () => undefined,
      named: () => kernel.named(),
      flows: async () => undefined,
      nowMs: () => 0,
      pause: async () => undefined,
      warn: () => undefined,
      sources: async () => [],
    });
    expect(none.open(opening())).toBe(Outcome.later);
  });
});

it.each<[string, boolean, Outcome]>([
  ['10.137.0.9', true, Outcome.open],
  ['100.64.0.1', true, Outcome.open],
  ['172.16.0.1', true, Outcome.open],
  ['192.168.1.1', true, Outcome.open],
  ['93.184.216.34', true, Outcome.open],
  ['192.168.1.1', false, Outcome.refused],
  ['127.0.0.1', true, Outcome.refused],
  ['169.254.169.254', true, Outcome.refused],
  ['0.0.0.0', true, Outcome.refused],
  ['192.0.0.1', true, Outcome.refused],
  ['224.0.0.1', true, Outcome.refused],
  ['255.255.255.255', true, Outcome.refused],
])('%s by a list whose names may be private: %s', async (address, isPrivate, outcome) => {
  const { openings } = await opened([{ set: SET, list: 'updates', isPrivate, qubes: QUBES, pairs: [] }]);
  const asked = opening({ addresses: [Uint8Array.from(address.split('.').map(Number))] });
  expect(openings.open(asked)).toBe(outcome);
});

it.each<[string, Outcome]>([
  ['fd000000000000000000000000000001', Outcome.open],
  ['fe800000000000000000000000000001', Outcome.refused],
  ['00000000000000000000000000000001', Outcome.refused],
  ['00000000000000000000ffff0a890006', Outcome.refused],
  ['0064ff9b00000000000000000a890006', Outcome.refused],
  ['ff020000000000000000000000000001', Outcome.refused],
])('%s of IPv6 by a list whose names may be private', async (address, outcome) => {
  const qube = 'fd0924ef4179000a0000000000000005';
  const set = { set: `n${KEY}_6_1024_${VERSION}`, list: 'corp', isPrivate: true, pairs: [] };
  const { openings } = await opened([{ ...set, qubes: [{ address: qube, length: 128 }] }]);
  const bytes = (hex: string): Uint8Array => Uint8Array.from(Buffer.from(hex, 'hex'));
  expect(openings.open(opening({ family: 6, qube: bytes(qube), addresses: [bytes(address)] }))).toBe(outcome);
});

describe('what a qube may hold', () => {
  it('is 64 addresses of a name: the next ones take the place of those told longest ago', async () => {
    const { kernel, openings } = await opened();
    for (let i = 0; i < 1000; i++) {
      kernel.nowMs += 250;
      expect(await openings.open(opening({ addresses: addresses(1, i) }))).toBe(Outcome.open);
    }
    const { length } = kernel.of('10,137,0,5');
    expect(kernel.of('10,137,0,5')).toEqual(addresses(length, 1000 - length).map((each) => each.join()));
    expect([length > 40, length <= 64]).toEqual([true, true]);
    expect(kernel.looks).toBeLessThan(1000 / 6); // each makes room for the next ones
  });

  it('waits for no look while room is made ahead, and looks no more often than flows go', async () => {
    const { kernel, openings } = await opened();
    for (let i = 0; i < 5000; i++) {
      const outcome = openings.open(opening({ addresses: addresses(1, i), label: `n${i}.example` }));
      expect(outcome).toBe(Outcome.open); // at once
      kernel.nowMs += 15;
      if (i % 20 === 0) await new Promise(setImmediate);
    }
    expect(kernel.looks).toBeLessThan(5000 / 64);
    const before = kernel.looks;
    const all = addresses(6000);
    kernel.flowKeys = all.map((each) => Uint32Array.of(0x0a890005, Buffer.from(each).readUInt32BE()));
    for (let i = 5000; i < 6000; i++)
      await openings.open(opening({ addresses: addresses(1, i), label: `n${i}.example` }));
    expect(kernel.of('10,137,0,5')).toHaveLength(1024);
    for (let i = 0; i < 100; i++)
      openings.open(opening({ addresses: addresses(1, 4999), label: 'n4999.example' }));
    expect(kernel.looks - before).toBeLessThan(1000);
  });

  it('is 1,024 addresses of a list, of which its own are given up, and nothing of a neighbour', async () => {
    const { kernel, openings } = await opened();
    openings.open(opening({ qube: Uint8Array.of(10, 137, 0, 6), label: 'neighbour.example' }));
    for (let i = 0; i < 6400 / 64; i++) {
      kernel.nowMs += 1000;
      const flood = opening({ addresses: addresses(64, i * 64), label: `n${i}.example`, seconds: 86_430 });
      expect(await openings.open(flood)).toBe(Outcome.open);
    }
    expect(kernel.of('10,137,0,5').length).toBeLessThanOrEqual(1024);
    expect(kernel.of('10,137,0,5').length).toBeGreaterThan(700);
    expect(kernel.of('10,137,0,6')).toEqual(['93,184,216,34']);
    expect(openings.open(opening({ qube: Uint8Array.of(10, 137, 0, 6) }))).toBe(Outcome.open);
  });

  it('gives way but where a flow goes, and opens nothing where flows go to all of it', async () => {
    const { kernel, openings } = await opened();
    openings.open(opening({ addresses: addresses(64) }));
    const flowTo = (i: number): Uint32Array => Uint32Array.of(0x0a890005, 0x5db80000 + i);
    kernel.flowKeys = [0, 1, 2, 3].map(flowTo);
    kernel.nowMs += LATER;
    expect(kernel.looks).toBe(0);
    expect(await openings.open(opening({ addresses: addresses(2, 100) }))).toBe(Outcome.open);
    const left = [...addresses(46), ...addresses(2, 100)] // the first of an answer are used most
      .map((each) => each.join());
    expect([kernel.looks, kernel.of('10,137,0,5')]).toEqual([1, left]);
    kernel.nowMs += LATER;
    // Another's flows, and one's own to somewhere else, spare nothing.
    kernel.flowKeys = [...kernel.flowKeys, Uint32Array.of(0x0a890006, 0x5db80006), flowTo(5000)];
    expect(await openings.open(opening({ addresses: addresses(60, 200) }))).toBe(Outcome.open);
    expect(kernel.of('10,137,0,5').slice(0, 4)).toEqual(addresses(4).map((each) => each.join()));
    const before = kernel.of('10,137,0,5');
    kernel.flowKeys = [...addresses(4), ...addresses(60, 200)].map((_, i) => flowTo(i < 4 ? i : 196 + i));
    expect(await openings.open(opening({ addresses: addresses(1, 300) }))).toBe(Outcome.full);
    expect(kernel.of('10,137,0,5')).toEqual(before);
    // There is room for addresses of another name; in the whole list there is none.
    expect(openings.open(opening({ addresses: addresses(64, 1000), label: 'b.example' }))).toBe(Outcome.open);
    for (let i = 1; i < 16; i++)
      kernel.flowKeys = [...kernel.flowKeys, ...addresses(64).map((_, j) => flowTo(i * 1000 + j))];
    for (let i = 2; i < 16; i++)
      openings.open(opening({ addresses: addresses(64, i * 1000), label: `${i}.example` }));
    expect(kernel.of('10,137,0,5')).toHaveLength(1024);
    expect(await openings.open(opening({ addresses: addresses(1, 20_000), label: 'c.example' }))).toBe(
      Outcome.full,
    );
    kernel.flowKeys = kernel.flowKeys.slice(1);
    kernel.nowMs += LATER;
    expect(await openings.open(opening({ addresses: addresses(1, 20_000), label: 'c.example' }))).toBe(
      Outcome.open,
    );
    expect(kernel.of('10,137,0,5')).toHaveLength(1024);
  });

  it('gives nothing of what was opened while flows were looked at, whose flows may have come since', async () => {
    const { kernel, openings } = await opened();
    openings.open(opening({ addresses: addresses(62), seconds: 600 }));
    kernel.nowMs += LATER;
    let isOpened = false;
    kernel.whileLooked = async () => {
      if (isOpened) return;
      isOpened = true;
      kernel.nowMs++;
      expect(openings.open(opening({ addresses: addresses(2, 100) }))).toBe(Outcome.open); // and ends first
      kernel.nowMs++;
    };
    expect(await openings.open(opening({ addresses: addresses(3, 200) }))).toBe(Outcome.open);
    expect(isOpened).toBe(true);
    const held = kernel.of('10,137,0,5');
    for (const each of [...addresses(2, 100), ...addresses(3, 200)]) expect(held).toContain(each.join());
    // Later it has no more than others.
    kernel.nowMs += LATER;
    expect(await openings.open(opening({ addresses: addresses(60, 300) }))).toBe(Outcome.open);
    expect(kernel.of('10,137,0,5')).not.toContain('93,184,0,100');
  });

  it('gives way for as many as there is room for, and first for what the qube has already', async () => {
    const { kernel, openings } = await opened();
    const flowTo = (each: Uint8Array): Uint32Array =>
      Uint32Array.of(0x0a890005, Buffer.from(each).readUInt32BE());
    openings.open(opening({ addresses: addresses(62) }));
    kernel.flowKeys = addresses(61).map(flowTo);
    kernel.nowMs += LATER;
    // One has no flow, and there is room for two more: the last is one that the qube has.
    const asked = [...addresses(4, 100), ...addresses(1, 5)];
    const outcome = await openings.open(opening({ addresses: asked, seconds: 600 }));
    expect(outcome).toEqual([true, true, true, false, true]);
    const [, , ...others] = [...addresses(3, 100), ...addresses(61)].map((each) => each.join());
    expect(new Set(kernel.of('10,137,0,5'))).toEqual(
      new Set([
        ...addresses(3, 100)
          .slice(0, 2)
          .map((each) => each.join()),
        ...others,
      ]),
    );
    // Each of it has a flow: what it has stays open, for as long as it is told now, and nothing new is.
    kernel.flowKeys = [...addresses(61), ...addresses(3, 100)].map(flowTo);
    const again = [...addresses(1, 200), ...addresses(1, 7)];
    expect(await openings.open(opening({ addresses: again, seconds: 900 }))).toEqual([false, true]);
    kernel.nowMs += 800_000;
    expect([0x5db80007, 0x5db80008].map((to) => openings.toldOf('0a890005', to.toString(16)).length)).toEqual(
      [1, 0],
    );
    kernel.nowMs -= 800_000;
    expect(await openings.open(opening({ addresses: addresses(2, 200) }))).toBe(Outcome.full);
    // What it has as another name takes room of this one.
    openings.open(opening({ addresses: addresses(1, 500), label: 'b.example' }));
    expect(await openings.open(opening({ addresses: addresses(1, 500) }))).toBe(Outcome.full);
    expect(openings.toldOf('0a890005', '5db801f4')).toMatchObject([{ name: 'b.example' }]);
  });

  it('has room for some of an answer where flows go to nearly all of the list', async () => {
    const { kernel, openings } = await opened();
    kernel.flowKeys = addresses(1024).map((each) =>
      Uint32Array.of(0x0a890005, Buffer.from(each).readUInt32BE()),
    );
    for (let i = 0; i < 16; i++)
      await openings.open(opening({ addresses: addresses(64, i * 64), label: `${i}.example` }));
    expect(kernel.of('10,137,0,5')).toHaveLength(1024);
    kernel.flowKeys = kernel.flowKeys.slice(2);
    kernel.nowMs += LATER;
    const more = opening({ addresses: addresses(5, 20_000), label: 'c.example' });
    expect(await openings.open(more)).toEqual([true, true, false, false, false]);
    const held = kernel.of('10,137,0,5');
    expect([held.length, held.includes('93,184,0,0'), held.includes('93,184,0,2')]).toEqual([
      1024,
      false,
      true,
    ]);
  });

  it('is open when it was told a moment ago, however short its record, in a list that is crowded', async () => {
    const { kernel, openings } = await opened();
    for (let i = 0; i < 1000; i++)
      await openings.open(opening({ addresses: addresses(1, i), label: `old${i}.example`, seconds: 86_430 }));
    kernel.nowMs += LATER;
    const told: string[] = [];
    for (let i = 0; i < 40; i++) {
      kernel.nowMs += 100;
      const fresh = addresses(1, 5000 + i);
      expect(await openings.open(opening({ addresses: fresh, label: `new${i}.example` }))).toBe(Outcome.open);
      told.push(`${fresh}`);
      await new Promise(setImmediate); // the looks that make room ahead
    }
    expect(kernel.looks).toBeGreaterThan(0);
    expect(told.filter((each) => !kernel.of('10,137,0,5').includes(each))).toEqual([]);
  });

  it('gives up what was told, or seen with a flow, longest ago', async () => {
    const { kernel, openings } = await opened();
    const open = async (from: number, count: number, seconds: number, label: string): Promise<void> => {
      kernel.nowMs += LATER;
      expect(await openings.open(opening({ addresses: addresses(count, from), seconds, label }))).toBe(0);
      await new Promise(setImmediate);
    };
    for (let i = 0; i < 14; i++) await open(i * 64, 64, 86_430, `n${i}.example`);
    const flowsTo = (from: number): void => {
      kernel.flowKeys = addresses(64, from).map((each) =>
        Uint32Array.of(0x0a890005, Buffer.from(each).readUInt32BE()),
      );
    };
    flowsTo(0);
    await open(5000, 1, 600, 'looked.example'); // with flows to the first, which end then
    kernel.flowKeys = [];
    for (let i = 0; i < 6; i++) await open(6000 + i * 64, 64, 600, `more${i}.example`);
    const held = new Set(kernel.of('10,137,0,5'));
    const stays = (from: number): boolean => held.has(`${addresses(1, from)}`);
    expect([0, 64, 128, 5000, 6000, 6320].map(stays)).toEqual([true, false, false, true, true, true]);
  });

  // It was refused for ten seconds: a page that names 26 domains kept all others out.
  it('takes the place of the oldest of the domains that have most, where all was told a moment ago', async () => {
    const { kernel, openings } = await opened();
    await openings.open(opening({ addresses: addresses(8, 9000), label: 'few.example' }));
    for (let i = 0; i < 16; i++)
      await openings.open(opening({ addresses: addresses(63, i * 64), label: `n${i}.example${i}` }));
    expect(kernel.of('10,137,0,5')).toHaveLength(1016);
    const more = opening({ addresses: addresses(40, 5000), label: 'more.example' });
    expect(await openings.open(more)).toBe(Outcome.open);
    const held = new Set(kernel.of('10,137,0,5'));
    const countOf = (from: number, count: number): number =>
      addresses(count, from).filter((each) => held.has(`${each}`)).length;
    expect([countOf(5000, 40), countOf(9000, 8)]).toEqual([40, 8]);
    for (let i = 0; i < 16; i++) expect(countOf(i * 64, 63)).toBeGreaterThanOrEqual(40);
  });

  it.each<[string, (i: number) => string]>([
    ['one name with many addresses', () => 'own.attacker.example'],
    ['a name for each of many addresses', (i) => `n${i}.attacker.example`],
    ['long names for each of many addresses', (i) => i.toString(16).padStart(64, 'a')],
  ])('is not filled by %s, told for a day each: other names have room at once', async (_, labelOf) => {
    const { kernel, openings } = await opened();
    openings.open(opening({ qube: Uint8Array.of(10, 137, 0, 6), label: 'neighbour.example' }));
    const others: string[] = [];
    for (let i = 0; i < ATTACK; i++) {
      const attack = opening({
        addresses: [Uint8Array.of(94, i >> 16, (i >> 8) & 255, i & 255)],
        label: labelOf(i),
        seconds: 86_430,
      });
      await openings.open(attack);
      if (i % 500 !== 0) continue;
      kernel.nowMs += 500; // as fast as questions are answered
      const fresh = addresses(2, i / 250);
      const outcome = await openings.open(opening({ addresses: fresh, label: `site${i}.other.example.net` }));
      expect(outcome).toBe(Outcome.open);
      others.push(...fresh.map((each) => `${each}`));
      const lately = others.slice(-38); // of 9.5 s
      const held = new Set(kernel.of('10,137,0,5'));
      expect(lately.filter((each) => !held.has(each))).toEqual([]);
    }
    expect(kernel.of('10,137,0,5').length).toBeLessThanOrEqual(1024);
    expect(kernel.of('10,137,0,6')).toEqual(['93,184,216,34']);
  });

  it('waits for one look with others, a few of each qube, and for no longer than the kernel takes', async () => {
    const { kernel, openings } = await opened();
    openings.open(opening({ addresses: addresses(64) }));
    const more = (i: number): OpeningOutcome | Promise<OpeningOutcome> =>
      openings.open(opening({ addresses: addresses(1, 100 + i) }));
    const first = more(0);
    const next = Array.from({ length: 17 }, (_, i) => more(1 + i));
    expect(next[16]).toBe(Outcome.later);
    expect(openings.open(opening({ addresses: addresses(1) }))).toBe(Outcome.open); // has its room
    expect(openings.open(opening({ qube: Uint8Array.of(10, 137, 0, 6) }))).toBe(Outcome.open); // likewise
    expect(new Set(await Promise.all([first, ...next.slice(0, 16)]))).toEqual(new Set([Outcome.open]));
    expect(kernel.looks).toBe(2);
    kernel.nowMs += LATER;
    kernel.noFlows = new NativeError('no', -1);
    const all = opening({ addresses: addresses(64, 200) });
    expect(await openings.open(all)).toBe(Outcome.later);
    kernel.noFlows = undefined;
    expect(await openings.open(all)).toBe(Outcome.open);
  });

  it('is made room for after any fault of ours, too, which is logged once', async () => {
    const { kernel, openings } = await opened();
    openings.open(opening({ addresses: addresses(64) }));
    kernel.nowMs += LATER;
    const more = opening({ addresses: addresses(64, 100) });
    for (const fault of ['noFlows', 'failure', 'failure'] as const) {
      kernel[fault] = new TypeError(`odd: ${fault}`);
      expect(await openings.open(more)).toBe(Outcome.later);
      kernel[fault] = undefined;
    }
    expect(kernel.warnings.map((text) => /odd: \w+/.exec(text)?.[0])).toEqual([
      'odd: noFlows',
      'odd: failure',
    ]);
    expect(await openings.open(more)).toBe(Outcome.open);
    expect(kernel.of('10,137,0,5')).toHaveLength(64);
  });

  it('leaves room for as many qubes as the set has room for, until what they hold has ended', async () => {
    const wide = [
      {
        set: SET,
        list: 'updates',
        isPrivate: false,
        qubes: [{ address: '0a890000', length: 16 }],
        pairs: [],
      },
    ];
    const { kernel, openings } = await opened(wide);
    const of = (last: number): unknown => openings.open(opening({ qube: Uint8Array.of(10, 137, 0, last) }));
    expect([of(1), of(2), of(3), of(1)]).toEqual([Outcome.open, Outcome.open, Outcome.full, Outcome.open]);
    kernel.nowMs += 90_000;
    expect(of(3)).toBe(Outcome.open);
  });
});

describe('a qube that has an address of each family', () => {
  const [FOUR, SIX_OF] = ['0a890005', 'fd0924ef4179000a0000000000000005'];
  const SET_6 = `n${KEY}_6_2048_${VERSION}`;
  const six = { address: SIX_OF, length: 128 };
  const neighbour = { address: 'fd0924ef4179000b0000000000000006', length: 128 };
  const both = (pairs: NameSet['pairs'], qubes = [six, neighbour]): readonly NameSet[] => [
    { set: SET, list: 'updates', isPrivate: false, qubes: QUBES, pairs },
    { set: SET_6, list: 'updates', isPrivate: false, qubes, pairs: [] },
  ];
  const own = [...Buffer.from(SIX_OF, 'hex')].join();
  const { open, unknown, refused } = Outcome;
  const aaaa = opening({ family: 6, addresses: SIX });

  it.each<[string, NameSet['pairs'], string | undefined, Outcome]>([
    ['as its interface says', [], SIX_OF, open],
    ['as the release says, where no interface does', [[FOUR, SIX_OF]], undefined, open],
    ['not where its interface says that it has none', [[FOUR, SIX_OF]], '', unknown],
    ['not where nothing says so', [], undefined, unknown],
    ['not where the other is of no policy that uses the list', [], `${SIX_OF.slice(0, -1)}7`, unknown],
  ])('has opened by one what it was told by the other, %s', async (_, pairs, said, outcome) => {
    const { kernel, openings } = await opened(both(pairs));
    expect(openings.open(aaaa, said)).toBe(outcome);
    const there = kernel.of(own, `rulecast_a ${SET_6}`);
    expect(there).toEqual(outcome === open ? [[...(SIX[0] ?? [])].join()] : []);
    expect(kernel.elements.get(`rulecast_a ${SET_6}`)?.size ?? 0).toBe(there.length); // a neighbour has nothing
  });

  it('has the same the other way round, and nothing private', async () => {
    const { kernel, openings } = await opened(both([[FOUR, SIX_OF]]));
    const qube = Uint8Array.from(Buffer.from(SIX_OF, 'hex'));
    expect(openings.open(opening({ qube }))).toBe(open);
    expect(kernel.of('10,137,0,5')).toEqual(['93,184,216,34']);
    expect(openings.open(opening({ qube, addresses: [Uint8Array.of(10, 137, 0, 6)] }))).toBe(refused);
    expect(openings.open(opening({ qube: Uint8Array.from(Buffer.from(neighbour.address, 'hex')) }))).toBe(
      unknown,
    );
    expect(
      openings.open(
        opening({ qube: QUBE_4.map((byte, i) => (i === 3 ? 7 : byte)), family: 6, addresses: SIX }),
      ),
    ).toBe(refused);
  });

  it('holds no more by both than one may: what was told longest ago goes, of either', async () => {
    const { kernel, openings } = await opened(both([[FOUR, SIX_OF]]));
    const counts = () => [kernel.of('10,137,0,5').length, kernel.of(own, `rulecast_a ${SET_6}`).length];
    const sixes = (from: number): readonly Uint8Array[] =>
      addresses(64, from).map((four) => Uint8Array.of(...(SIX[0]?.subarray(0, 12) ?? []), ...four));
    await openings.open(opening({ addresses: addresses(40) }));
    kernel.nowMs += LATER;
    await openings.open({ ...aaaa, addresses: sixes(0).slice(0, 40) });
    expect(counts()).toEqual([8, 40]); // of a name, with room for the next ones
    for (let i = 1; i <= 16; i++) {
      kernel.nowMs += 1000;
      const more = { label: `n${i}.example`, seconds: 86_430 };
      await openings.open(
        i % 2 === 0
          ? opening({ ...more, addresses: addresses(64, i * 64) })
          : opening({ ...more, family: 6, addresses: sixes(i * 64) }),
      );
    }
    expect(counts()).toEqual([384, 384]); // of a list, likewise
    await openings.open(opening({ qube: Uint8Array.of(10, 137, 0, 6), label: 'neighbour.example' }));
    for (let i = 20; i < 40; i++) {
      kernel.nowMs += 1000;
      await openings.open(
        opening({ label: `n${i}.example`, seconds: 86_430, addresses: addresses(64, i * 64) }),
      );
    }
    const [four = 0, six] = counts();
    expect([four > 700, four <= 1024, six, kernel.of('10,137,0,6').length]).toEqual([true, true, 0, 1]);
  });
});

describe('an address that would end', () => {
  it('stays open for as long as a flow of its qube goes there, and no longer', async () => {
    const { kernel, openings } = await opened();
    openings.open(opening({ addresses: addresses(2), seconds: 90 }));
    openings.open(opening({ qube: Uint8Array.of(10, 137, 0, 6), addresses: addresses(1), seconds: 90 }));
    const QUBE = 0x0a890005;
    kernel.flowKeys = [Uint32Array.of(QUBE, 0x5db80000), Uint32Array.of(QUBE, 0x5db80009)];
    await openings.renewLive();
    expect(kernel.looks).toBe(0); // nothing ends soon
    const told = (to: string) => openings.toldOf('0a890005', to);
    const passing = async (): Promise<void> => {
      kernel.nowMs += 75_000;
      await openings.renewLive();
    };
    expect(told('5db80001')).toEqual([{ list: 'updates', name: 'api.example', agoS: 0 }]);
    for (let i = 0; i < 10; i++) await passing();
    expect(kernel.looks).toBe(10);
    // Since it was told, whatever keeps it open.
    expect(told('5db80000')).toEqual([{ list: 'updates', name: 'api.example', agoS: 750 }]);
    expect([told('5db80001'), told('5db80009')]).toEqual([[], []]);
    // A next table has it, and only it: the others have ended.
    await openings.prepare('rulecast_b', SETS, NO_BODY, async () => undefined);
    expect(kernel.of('10,137,0,5', `rulecast_b ${SET}`)).toEqual(['93,184,0,0']);
    expect(kernel.of('10,137,0,6', `rulecast_b ${SET}`)).toEqual([]);
    openings.discard();
    kernel.flowKeys = [];
    await passing();
    await passing();
    kernel.elements.clear();
    await openings.prepare('rulecast_b', SETS, NO_BODY, async () => undefined);
    expect(kernel.of('10,137,0,5', `rulecast_b ${SET}`)).toEqual([]);
  });
});

describe('a release', () => {
  it('carries over what is open and still may be, and opens in both tables until the switch', async () => {
    const { kernel, openings } = await opened();
    openings.open(opening({ addresses: addresses(50) }));
    openings.open(opening({ qube: Uint8Array.of(10, 137, 0, 6) }));
    kernel.nowMs += 30_000;
    const fewer = `n${KEY}_4_1024_${VERSION}`;
    let meanwhile = 0;
    await openings.prepare(
      'rulecast_b',
      [{ set: fewer, list: 'updates', isPrivate: false, qubes: QUBES.slice(0, 1), pairs: [] }],
      NO_BODY,
      async () => {
        openings.open(opening({ addresses: addresses(1, 1000 + meanwhile++), label: 'b.example' }));
      },
    );
    expect(meanwhile).toBeGreaterThan(0);
    openings.open(opening({ addresses: addresses(1, 2000) }));
    const next = `rulecast_b ${fewer}`;
    expect([...kernel.of('10,137,0,5', next)].sort()).toEqual([...kernel.of('10,137,0,5')].sort());
    expect(kernel.of('10,137,0,6', next)).toEqual([]);
    const [carried = ''] = kernel.elements.get(next)?.values() ?? [];
    expect(carried).toContain('[4,{"type":"Buffer","data":[0,0,0,0,0,0,234,96]}]'); // a minute is left
    openings.release();
    const before = kernel.of('10,137,0,5');
    openings.open(opening({ addresses: addresses(1, 3000) }));
    expect(kernel.of('10,137,0,5')).toEqual(before);
    expect(kernel.of('10,137,0,5', next)).toHaveLength(before.length + 1);
  });

  it('that is given up leaves what is open as it is', async () => {
    const { kernel, openings } = await opened();
    await openings.prepare('rulecast_b', SETS, NO_BODY, async () => undefined);
    openings.discard();
    openings.open(opening());
    expect([kernel.of('10,137,0,5').length, kernel.of('10,137,0,5', `rulecast_b ${SET}`).length]).toEqual([
      1, 0,
    ]);
  });

  it('whose list is another carries nothing over', async () => {
    const { kernel, openings } = await opened();
    openings.open(opening());
    const set = `n${KEY}_4_2048_${OTHER}`;
    await openings.prepare(
      'rulecast_b',
      [{ set, list: 'updates', isPrivate: false, qubes: QUBES, pairs: [] }],
      NO_BODY,
      async () => undefined,
    );
    openings.release();
    expect(kernel.of('10,137,0,5', `rulecast_b ${set}`)).toEqual([]);
    expect([openings.open(opening()), openings.open(opening({ version: OTHER }))]).toEqual([
      Outcome.later,
      Outcome.open,
    ]);
  });

  describe('whose list is another', () => {
    const set = `n${KEY}_4_2048_${OTHER}`;
    const inNext = `rulecast_b ${set}`;

    /** The set after some names left the list, or where some are all that is known of it. */
    function changed(
      from: string | null,
      isOfGone: boolean,
      names: readonly string[],
      exceptions: readonly string[] = [],
    ): readonly [readonly NameSet[], Uint8Array] {
      const [a, b] = [namesOf(names).bytes, namesOf(exceptions).bytes];
      const left = {
        from,
        isOfGone,
        names: { at: 0, byteCount: a.length },
        exceptions: { at: a.length, byteCount: b.length },
      };
      return [
        [{ set, list: 'updates', qubes: QUBES, isPrivate: false, pairs: [], left }],
        Buffer.concat([a, b]),
      ];
    }

    async function prepared(openings: Openings, ...change: Parameters<typeof changed>): Promise<void> {
      await openings.prepare('rulecast_b', ...changed(...change), async () => undefined);
    }

    const HASH = 'ab'.repeat(32);
    const LABELS = ['api.example', 'x.cdn.example', 'y.cdn.example', HASH];

    async function withLabels(): Promise<Awaited<ReturnType<typeof opened>>> {
      const all = await opened();
      for (const [i, label] of LABELS.entries())
        all.openings.open(opening({ label, addresses: addresses(1, i) }));
      return all;
    }

    it.each<[string, Parameters<typeof changed>, readonly number[]]>([
      ['what is still named', [VERSION, true, ['api.example']], [1, 2]],
      ['what another entry names', [VERSION, true, ['.cdn.example'], ['y.cdn.example']], [0, 2]],
      ['what a name that joined stands for', [VERSION, true, ['cdn.example']], [0, 1, 2]],
      ['what is named, whatever it was before', [null, false, ['.cdn.example', 'no.example']], [1, 2]],
      ['what is not excepted', [null, false, ['.cdn.example'], ['x.cdn.example']], [2]],
      ['nothing of a state that was not the one in force', [OTHER, true, ['no.example']], []],
    ])('carries over %s, and at the switch no more is known', async (_, change, left) => {
      const { kernel, openings } = await withLabels();
      await prepared(openings, ...change);
      const shown = (which: readonly number[]): readonly string[] => which.map((i) => addresses(1, i).join());
      expect(kernel.of('10,137,0,5', inNext)).toEqual(shown(left));
      expect(kernel.of('10,137,0,5')).toEqual(shown([0, 1, 2, 3])); // until the switch
      openings.release();
      const told = addresses(4).filter(
        (each) => openings.toldOf('0a890005', Buffer.from(each).toString('hex')).length > 0,
      );
      expect(told.map((each) => each.join())).toEqual(shown(left));
    });

    it('opens what is still named in both tables until the switch, and what is not in the one in force', async () => {
      const { kernel, openings } = await opened();
      await prepared(openings, VERSION, true, ['api.example']);
      expect(openings.open(opening({ label: 'x.cdn.example' }))).toBe(Outcome.open);
      expect(openings.open(opening({ addresses: addresses(1, 7) }))).toBe(Outcome.open);
      expect(kernel.of('10,137,0,5')).toEqual(['93,184,216,34', '93,184,0,7']);
      expect(kernel.of('10,137,0,5', inNext)).toEqual(['93,184,216,34']);
      expect(openings.open(opening({ version: OTHER }))).toBe(Outcome.later);
    });

    it('gives way in both tables, also for what is in one alone', async () => {
      const { kernel, openings } = await opened();
      for (let i = 0; i < 16; i++)
        openings.open(opening({ addresses: addresses(64, i * 64), label: `${i}.cdn.example` }));
      await prepared(openings, VERSION, true, ['api.example']);
      expect(await openings.open(opening({ addresses: addresses(2, 2000) }))).toBe(Outcome.open);
      expect([kernel.of('10,137,0,5').length, kernel.of('10,137,0,5', inNext).length]).toEqual([770, 768]);
    });

    it('has room made ahead whatever states of its list came meanwhile', async () => {
      const { kernel, openings } = await opened();
      kernel.whileLooked = async () => {
        await prepared(openings, null, true, ['api.example']);
        openings.release();
      };
      for (let i = 0; i < 15; i++)
        openings.open(opening({ addresses: addresses(64, i * 64), label: `${i}.cdn.example` }));
      await expect.poll(() => kernel.of('10,137,0,5', inNext).length).toBe(768);
    });

    it('takes what is said of the state before, where the name is still in it, until another comes', async () => {
      const { kernel, openings } = await opened();
      await prepared(openings, VERSION, true, ['api.example']);
      openings.release();
      const asked = (): readonly unknown[] =>
        [{ label: 'x.cdn.example' }, {}, { label: HASH }, { version: OTHER }].map((more) =>
          openings.open(opening({ addresses: addresses(1), ...more })),
        );
      const { open, later } = Outcome;
      expect(asked()).toEqual([open, later, later, open]);
      expect(kernel.of('10,137,0,5', inNext)).toEqual(['93,184,0,0']);
      // To say again who may open what, and what follows in the same table, changes nothing.
      const [sets] = changed(null, false, []);
      const same = sets.map(({ left: _, ...rest }) => rest);
      await openings.adopt('rulecast_b', same);
      await openings.prepare('rulecast_b', same, NO_BODY, async () => undefined);
      openings.release();
      expect(asked()).toEqual([open, later, later, open]);
      await openings.prepare('rulecast_a', same, NO_BODY, async () => undefined);
      openings.release();
      expect(asked()).toEqual([later, later, later, open]);
    });

    it('carries nothing over to qubes that may not any more, not even when they may again', async () => {
      const { kernel, openings } = await opened();
      openings.open(opening());
      for (const [table, qubes] of [
        ['rulecast_b', QUBES.slice(1)],
        ['rulecast_a', QUBES],
      ] as const) {
        kernel.elements.clear();
        await openings.prepare(
          table,
          [{ set: SET, list: 'updates', qubes, isPrivate: false, pairs: [] }],
          NO_BODY,
          async () => undefined,
        );
        openings.release();
        expect([...kernel.elements]).toEqual([]);
      }
    });
  });

  it('of an applier that was told nothing yet carries over what it finds in the kernel', async () => {
    for (const [found, left] of [
      [{ name: 'rulecast_a', sets: [SET] }, ['93,184,0,0']],
      [undefined, []],
    ] as const) {
      const kernel = new Kernel();
      kernel.inForce = found;
      const openings = new Openings({
        run: (commands) => kernel.run(commands),
        inForce: () => kernel.inForce,
        named: () => kernel.named(),
        flows: (take) => kernel.flows(take),
        nowMs: () => kernel.nowMs,
        pause: async () => undefined,
        warn: () => undefined,
        sources: async () => [...PAIRS.values()],
      });
      openings.pair(PAIRS);
      let during: unknown;
      await openings.prepare('rulecast_b', SETS, NO_BODY, async () => {
        during = openings.open(opening());
      });
      expect(kernel.of('10,137,0,6', `rulecast_b ${SET}`)).toEqual(left);
      expect(during).toBe(found === undefined ? undefined : Outcome.later);
      openings.release();
      expect(openings.open(opening())).toBe(Outcome.open);
    }
  });

  it('that another applier made is known by what is in the kernel', async () => {
    const { kernel, openings } = await opened([]);
    expect(openings.open(opening())).toBe(Outcome.later);
    await openings.adopt('rulecast_a', SETS);
    expect(openings.toldOf('0a890006', '5db80000')).toEqual([
      { list: 'updates', name: 'old.example', agoS: 41 },
    ]);
    expect(openings.open(opening())).toBe(Outcome.open);
    await openings.prepare('rulecast_b', SETS, NO_BODY, async () => undefined);
    expect(kernel.of('10,137,0,6', `rulecast_b ${SET}`)).toEqual(['93,184,0,0']);
  });

  it('is read beside what is opened meanwhile, of which nothing is forgotten', async () => {
    const { kernel, openings } = await opened();
    kernel.whileRead = () =>
      openings.open(opening({ qube: Uint8Array.of(10, 137, 0, 6), addresses: addresses(2) }));
    await openings.adopt('rulecast_a', SETS);
    await openings.prepare('rulecast_b', SETS, NO_BODY, async () => undefined);
    const carried = kernel.elements.get(`rulecast_b ${SET}`);
    expect([...(carried?.keys() ?? [])]).toEqual(['10,137,0,6,93,184,0,0', '10,137,0,6,93,184,0,1']);
    expect(carried?.get('10,137,0,6,93,184,0,0')).toContain(
      JSON.stringify([...Buffer.from('api.example')]).slice(1, -1),
    );
  });
});

describe('a pair of an address and an interface', () => {
  const [A, B] = ['0a890005', '0a890006'];
  const OF_B = Uint8Array.of(10, 137, 0, 6);

  it('that goes, or is another, closes what was told by it in all tables, and nothing else', async () => {
    for (const after of [pairsOf([B]), new Map([...pairsOf([B]), ...pairsOf([A], 'vif9')])]) {
      const { kernel, openings } = await opened();
      openings.open(opening());
      openings.open(opening({ qube: OF_B }));
      await openings.prepare('rulecast_b', SETS, NO_BODY, async () => undefined);
      kernel.runs = 0;
      openings.pair(new Map([...after]));
      expect(kernel.runs).toBe(1); // nobody finds one without the other
      for (const table of ['rulecast_a', 'rulecast_b'])
        expect([
          kernel.of('10,137,0,5', `${table} ${SET}`),
          kernel.of('10,137,0,6', `${table} ${SET}`),
        ]).toEqual([[], ['93,184,216,34']]);
      openings.release();
      expect(openings.toldOf(A, '5db8d822')).toEqual([]);
      expect(openings.open(opening())).toBe(after.has(A) ? Outcome.open : Outcome.later);
      openings.pair(new Map([...after]));
      expect(kernel.of('10,137,0,5', `rulecast_b ${SET}`)).toHaveLength(after.has(A) ? 1 : 0);
    }
  });

  it('is in each table that follows, and changes once the kernel takes it', async () => {
    const { kernel, openings } = await opened();
    openings.open(opening());
    kernel.failure = new NativeError('busy', -16);
    openings.pair(pairsOf([A], 'vif9'));
    expect(openings.toldOf(A, '5db8d822')).toHaveLength(1); // as in the kernel
    kernel.failure = undefined;
    await openings.prepare('rulecast_b', SETS, NO_BODY, async () => undefined);
    expect(kernel.of('10,137,0,5', `rulecast_b ${SET}`)).toEqual([]);
    expect([...(kernel.pairs.get('rulecast_b sources4')?.values() ?? [])].join()).toContain(
      [...Buffer.from('vif9'.padEnd(16, '\0')), 10, 137, 0, 5].join(),
    );
  });

  it('that another applier left is compared: what was told by another closes, or by a table without any', async () => {
    for (const [left, stays] of [
      [pairsOf([B]), ['93,184,0,0']],
      [pairsOf([B], 'vif1'), []],
      [undefined, []],
    ] as const) {
      const kernel = new Kernel();
      kernel.inForce = { name: 'rulecast_a', sets: [SET] };
      const openings = new Openings({
        run: (commands) => kernel.run(commands),
        inForce: () => kernel.inForce,
        named: () => kernel.named(),
        sources: async () => {
          if (left === undefined) throw new NativeError('no such set', -2);
          return [...left.values()];
        },
        flows: (take) => kernel.flows(take),
        nowMs: () => kernel.nowMs,
        pause: async () => undefined,
        warn: () => undefined,
      });
      openings.pair(pairsOf([B]));
      await openings.prepare('rulecast_b', SETS, NO_BODY, async () => undefined);
      openings.release();
      expect(kernel.of('10,137,0,6', `rulecast_b ${SET}`)).toEqual(stays);
      expect(openings.open(opening({ qube: OF_B }))).toBe(Outcome.open);
    }
  });

  it('of the other family has to be there, too', async () => {
    const six = { set: `n${KEY}_6_1024_${VERSION}`, list: 'updates', isPrivate: false, pairs: [] };
    const { openings } = await opened([...SETS, { ...six, qubes: [{ address: QUBE_6, length: 128 }] }]);
    expect(openings.open(opening({ family: 6, addresses: SIX }), QUBE_6)).toBe(Outcome.open);
    openings.pair(pairsOf([A]));
    expect(openings.open(opening({ family: 6, addresses: SIX }), QUBE_6)).toBe(Outcome.unknown);
  });
});

describe('a request', () => {
  const six = opening({
    family: 6,
    qube: new Uint8Array(16).fill(1),
    addresses: [new Uint8Array(16).fill(2), new Uint8Array(16).fill(3)],
    seconds: 86_430,
  });

  it('is laid out as it says', () => {
    expect(Buffer.from(openingFrame(opening())).toString('hex')).toBe(
      `002e 00000007 04 04 01 0000005a ${KEY} ${VERSION} 0a890005 5db8d822 6170692e6578616d706c65`.replaceAll(
        ' ',
        '',
      ),
    );
    expect(Buffer.from(answerFrame(7, Outcome.full)).toString('hex')).toBe('00000007020000000000000000');
    const ninth = Array.from({ length: 10 }, (_, i) => i === 1 || i === 9);
    expect(Buffer.from(answerFrame(7, ninth)).toString('hex')).toBe('00000007050202000000000000');
  });

  it('is read as it was written, in whatever pieces it comes', () => {
    const requests = [opening(), six, opening({ addresses: addresses(64) }), { ...six, qube: QUBE_4 }];
    const all = Buffer.concat(requests.map(openingFrame));
    for (const size of [1, 7, all.length]) {
      const reader = new OpeningReader();
      const read: Opening[] = [];
      for (let at = 0; at < all.length; at += size) read.push(...reader.feed(all.subarray(at, at + size)));
      expect(read).toEqual(requests);
    }
    const some = Array.from({ length: 64 }, (_, i) => i % 3 === 0 || i === 62);
    const said = Buffer.concat([answerFrame(1, 0), answerFrame(2, some), answerFrame(3, 3)]);
    const expected = [
      { id: 1, outcome: Outcome.open },
      { id: 2, outcome: some },
      { id: 3, outcome: Outcome.later },
    ];
    for (const size of [1, 7, said.length]) {
      const reader = new AnswerReader();
      const answers: unknown[] = [];
      for (let at = 0; at < said.length; at += size)
        answers.push(...reader.feed(said.subarray(at, at + size)));
      expect(answers).toEqual(expected);
    }
    const none = Uint8Array.of(0, 0, 0, 1, 6, ...new Uint8Array(8));
    expect(() => new AnswerReader().feed(none)).toThrow(OpeningError);
  });

  it.each<[string, Partial<Opening>]>([
    ['of no address', { addresses: [] }],
    ['of 65 addresses', { addresses: addresses(65) }],
    ['for less than a minute', { seconds: 59 }],
    ['for more than a day and its grace', { seconds: 86_431 }],
    ['without a label', { label: '' }],
    ['whose label is a rule', { label: 'a"; drop' }],
    ['whose label has two lines', { label: 'a\nb' }],
    ['whose label is longer than nft reads', { label: 'a'.repeat(128) }],
    ['whose label is a wildcard', { label: '*.example' }],
  ])('%s is none', (_, more) => {
    expect(() => [...new OpeningReader().feed(openingFrame(opening(more)))]).toThrow(OpeningError);
  });

  it('of any bytes is none, or within what may be asked, and nothing else is thrown', () => {
    fc.assert(
      fc.property(
        fc.constantFrom(opening(), six),
        fc.array(fc.tuple(fc.nat(80), fc.nat(255)), { maxLength: 4 }),
        fc.nat(90),
        (from, edits, cut) => {
          const bytes = openingFrame(from).slice(0, cut + 2);
          for (const [at, value] of edits) if (at < bytes.length) bytes[at] = value;
          try {
            for (const { seconds, addresses: all, qube, label } of new OpeningReader().feed(bytes)) {
              expect(seconds >= 60 && seconds <= 86_430 && all.length >= 1 && all.length <= 64).toBe(true);
              expect([4, 16]).toContain(qube.length);
              expect(all.every(({ length }) => length === 4 || length === 16)).toBe(true);
              expect(label).toMatch(/^[a-z0-9_.-]{1,127}$/);
            }
          } catch (error) {
            expect(error).toBeInstanceOf(OpeningError);
          }
        },
      ),
    );
  });

  it('is for as long as the record may be kept, within bounds, and a grace', () => {
    expect([0, 59, 60, 300, 86_400, 4_294_967_295].map(openSecondsOf)).toEqual([
      90, 90, 90, 330, 86_430, 86_430,
    ]);
  });
});
