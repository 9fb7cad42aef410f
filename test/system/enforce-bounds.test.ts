/**
 * What somebody who took over the subscriber can take of the machine: no more kernel memory than was given,
 * and not the applier.
 */

import { readFileSync } from 'node:fs';
import { applierCommand } from '@rulecast/nftables';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  FrameSplitter,
  type FromApplier,
  frameOf,
  parseFrame,
} from '../../packages/nftables/src/apply/message.ts';
import { type Change, wholeChange } from '../../packages/nftables/src/plan/change.ts';
import { planned, ruleSet } from '../../packages/nftables/test/sample.ts';
import { Network } from '../enforce/network.mjs';
import { Random } from '../kit/random.mjs';
import { enforcementGap } from './namespaces.ts';

const KERNEL_MIB = 64;
const MIB = 1_048_576;
const ROUNDS = 24;
const KEY = '0123456789abcdef';
const OPTIONS = {
  tag: { release: 'ab'.repeat(32), conditions: 'cd'.repeat(8), mark: 0 },
  downstreamGroup: 2,
  answer: 'reject',
} as const;

let network: Network | undefined;

beforeEach(() => {
  network = enforcementGap() === undefined ? new Network() : undefined;
});

afterEach(() => network?.close());

describe.skipIf(enforcementGap() !== undefined)('an applier that strangers speak to', () => {
  it.each([[[]], [['--supervise']]])(
    'survives frames and requests of any form, started with %j',
    async (words) => {
      const asked = stranger(words);
      const tooLarge = Buffer.alloc(8);
      tooLarge.writeUInt32LE(0xffffffff, 4);
      asked.write(Buffer.concat([tooLarge, Buffer.alloc(1000)])); // the rest of it never comes
      await asked.end();

      const other = stranger(words);
      for (const request of [
        null,
        7,
        'apply',
        [],
        { kind: 'apply' },
        { kind: 'look', sets: 1 },
        { kind: 'exec' },
      ])
        expect(await other.ask(request)).toMatchObject({ kind: 'failed' });
      expect(await other.ask({ kind: 'counters' })).toEqual({ kind: 'counters', counters: {}, open: 0 });
      await other.end();
    },
  );

  it.each<[string, Partial<Change>, Uint8Array]>([
    [
      'the buckets of empty sets',
      { newSets: numbered((key) => `s${key}_4_32_26_89abcdef`, 4) },
      new Uint8Array(0),
    ],
    [
      'one prefix expanded',
      {
        newSets: [`s${KEY}_4_32_26_89abcdef`],
        added: [{ set: `s${KEY}_4_32_26_89abcdef`, at: 0, count: 1, above: -1 }],
      },
      Uint8Array.from([0, 0, 0, 0, 8, 0, 0, 0]),
    ],
    ['chains', { newChains: numbered((key) => `e4_${key}`, 100_000) }, new Uint8Array(0)],
    ['counters', { newCounters: numbered((key) => `c${key}`, 200_000) }, new Uint8Array(0)],
    ['maps', { newMaps: numbered((key) => `de4_32_${key.slice(8)}`, 100_000) }, new Uint8Array(0)],
  ])('does not give more kernel memory for %s', async (_, fields, body) => {
    const asked = stranger([]);
    const { change } = wholeChange(planned(ruleSet([])), OPTIONS);
    const reply = await asked.ask({ kind: 'apply', change: { ...change, ...fields } }, body);
    expect(reply).toMatchObject({ kind: 'failed' });
    expect('text' in reply && reply.text).toMatch(/--kernel-mib|at most/);
    await asked.end();
  });

  it(`takes at most what was given for ${ROUNDS} random requests, one after the other`, async () => {
    const asked = stranger([]);
    const random = new Random(7);
    const { change } = wholeChange(planned(ruleSet([])), OPTIONS);
    const before = kernelBytes();
    let worst = 0;
    let taken = 0;
    for (let round = 0; round < ROUNDS; round++) {
      const { fields, body } = randomLoad(random);
      const reply = await asked.ask({ kind: 'apply', change: { ...change, ...fields } }, body);
      if (reply.kind === 'applied') taken++;
      worst = Math.max(worst, kernelBytes() - before);
    }
    console.log(`${taken} of ${ROUNDS} taken, ${(worst / MIB).toFixed(1)} MiB of the kernel`);
    expect(taken).toBeGreaterThan(ROUNDS / 8);
    expect(taken).toBeLessThan(ROUNDS);
    expect(worst).toBeLessThan(KERNEL_MIB * MIB);
    await asked.end();
  });
});

/** Sets, prefixes and rules of random sizes, from next to nothing to several times what may be. */
function randomLoad(random: Random): { readonly fields: Partial<Change>; readonly body: Uint8Array } {
  const size = (most: number): number => Math.floor(2 ** ((random.below(1000) / 1000) * Math.log2(most)));
  const log2 = 4 + random.below(20);
  const count = Math.min(size(300_000), 2 ** log2 / 2);
  const set = `s${KEY}_4_32_${log2}_89abcdef`;
  const words = Uint32Array.from({ length: count }, (_, i) => 0x0a000000 + i);
  const lengths = new Uint8Array(count).fill(32);
  const chains = numbered((key) => `e4_${key}`, size(20_000));
  const remote = { kind: 'set', set, except: [] } as const;
  const counter = `c${KEY}`;
  const rule = {
    kind: 'rule',
    remote,
    original: false,
    protocols: [6, 17],
    ports: undefined,
    icmpType: undefined,
  } as const;
  const steps = new Array(1 + random.below(30)).fill({ ...rule, action: 'drop', counter });
  return {
    fields: {
      newCounters: [counter],
      newSets: [set],
      newChains: chains,
      chains: chains.map((name) => ({ name, steps })),
      added: [{ set, at: 0, count, above: -1 }],
    },
    body: new Uint8Array(Buffer.concat([Buffer.from(words.buffer), lengths, Buffer.alloc(-count & 3)])),
  };
}

function numbered(name: (key: string) => string, count: number): readonly string[] {
  return Array.from({ length: count }, (_, index) => name(index.toString(16).padStart(16, '0')));
}

/** Memory that the kernel cannot take back: slabs, and what is allocated by pages. */
function kernelBytes(): number {
  const text = readFileSync('/proc/meminfo', 'latin1');
  const of = (field: string): number =>
    Number(new RegExp(`^${field}:\\s+(\\d+) kB`, 'm').exec(text)?.[1]) * 1024;
  return of('SUnreclaim') + of('VmallocUsed');
}

/** Somebody at the pipe of an applier in the router. */
function stranger(words: readonly string[]) {
  if (network === undefined) throw new Error('no network');
  const { program, args } = applierCommand([...words, '--kernel-mib', String(KERNEL_MIB)]);
  const child = network.router.spawn([program, ...args]);
  const waiting = new Map<number, (reply: object & { readonly kind: string }) => void>();
  const splitter = new FrameSplitter();
  child.stdout?.on('data', (bytes: Buffer) => {
    for (const frame of splitter.push(bytes)) {
      const message = parseFrame(frame).header as FromApplier;
      if ('id' in message) waiting.get(message.id)?.(message.reply);
    }
  });
  let id = 0;
  return {
    write: (bytes: Uint8Array) => child.stdin?.write(bytes),
    ask: async (request: unknown, body: Uint8Array = new Uint8Array(0)) => {
      const own = ++id;
      const answer = new Promise<object & { readonly kind: string }>((resolve) => waiting.set(own, resolve));
      for (const piece of frameOf({ id: own, request: request as never }, [body])) child.stdin?.write(piece);
      return await answer;
    },
    /** It ends by itself, and by nothing else. */
    end: async () => {
      const ended = new Promise((resolve) => child.once('exit', (code) => resolve(code)));
      child.stdin?.end();
      expect(await ended).toBe(0);
    },
  };
}
