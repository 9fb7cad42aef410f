/**
 * A thousand whole loads, foreign flushes and killed appliers under a flood: no forbidden packet passes, and
 * no allowed one is lost.
 */

import { createHash } from 'node:crypto';
import type { NftRelease, NftSink } from '@rulecast/nftables';
import {
  EMPTY_RULE_SET,
  emptyPolicy,
  plainRule,
  prefixListOf,
  prefixSetOf,
  RunBuilder,
} from '@rulecast/rules';
import { afterEach, describe, expect, it } from 'vitest';
import { arrivalCounts, blast, countArrivals } from '../enforce/blast.ts';
import { frameOf } from '../enforce/frames.mjs';
import { ipPacketOf, type Journey } from '../enforce/journey.ts';
import { address, Network } from '../enforce/network.mjs';
import { appliers, sinkIn } from '../enforce/sink.mjs';
import { prefixFrom } from '../kit/rules.ts';
import { enforcementGap } from './namespaces.ts';

const LOADS = 1000;
const COUNTED_LOADS = 100;
const FLUSHES = 20;
const KILLS = 5;
const SOON = { timeout: 10_000 };
const FORBIDDEN = ['203.0.113.1', '2001:db8:1::1'] as const;
const ALLOWED = ['203.0.113.2', '2001:db8:1::2'] as const;
/** To each address; with four addresses, their number divides what is sent at a time. */
const FLOWS = 16;

let network: Network | undefined;
let sink: NftSink | undefined;

afterEach(async () => {
  await sink?.close();
  await network?.close();
  network = undefined;
});

describe.skipIf(enforcementGap() !== undefined)('a flood', () => {
  it.each([
    ['owned tables', true],
    ['tables that anybody may change', false],
  ])(`meets one release at a time, ${LOADS} loads of %s`, async (_, hasOwners) => {
    const { loads, stop } = await start({ hasOwners });
    await loads(LOADS, () => undefined);
    const { forbidden } = await stop();
    expect(await dropped()).toBe(forbidden);
  });

  it(`is counted on by each of ${COUNTED_LOADS} releases`, async () => {
    const { loads, stop } = await start();
    let before = 0;
    for (let i = 0; i < COUNTED_LOADS; i++) {
      await loads(1, () => undefined);
      const now = await dropped();
      expect(now).toBeGreaterThanOrEqual(before);
      before = now;
    }
    const { forbidden } = await stop();
    expect(await dropped()).toBe(forbidden);
  });

  it('is not let in by others who flush all rules', async () => {
    const { loads, stop } = await start();
    await loads(FLUSHES, () => open().router.nft('flush ruleset\n'));
    await stop();
    expect(sink?.status().repairs).toBe(0);
  });

  it.each([
    ['owned tables', true],
    ['tables that anybody may change', false],
  ])('is not let in, nor kept out, by appliers of %s that are killed', async (_, hasOwners) => {
    const { loads, stop } = await start({ hasOwners });
    const killed = new Set<number>();
    for (let kill = 0; kill < KILLS; kill++) {
      await loads(1, () => {
        for (const pid of appliers()) {
          process.kill(pid, 'SIGKILL');
          killed.add(pid);
        }
      });
      await expect.poll(() => appliers().some((pid) => !killed.has(pid)), SOON).toBe(true);
    }
    await loads(1, () => undefined);
    await stop();
    expect(killed.size).toBe(KILLS);
    expect(sink?.status().repairs).toBe(0);
  });
});

function open(): Network {
  if (network === undefined) throw new Error('no network');
  return network;
}

/** Dropped packets, as the sink counts them. */
async function dropped(): Promise<number> {
  return (await sink?.hits())?.dropped.packets ?? Number.NaN;
}

/** Loads of the same verdicts in other words, and the end of the flood, which has to be as it should. */
async function start({ hasOwners = true } = {}): Promise<{
  readonly loads: (count: number, after: () => void) => Promise<void>;
  readonly stop: () => Promise<{ readonly forbidden: number }>;
}> {
  network = new Network();
  const { router, links } = network;
  const world = links.world.namespace;
  if (!hasOwners) await router.withoutOwners();
  sink = sinkIn(network);
  const running = sink;
  let version = 0;
  const load = async (): Promise<void> => {
    await running.prepare(releaseOf(++version));
    await running.commit();
  };
  await load();
  countArrivals(world, [...FORBIDDEN, ...ALLOWED]);
  const stream = blast(open(), 'a', [...FORBIDDEN, ...ALLOWED].flatMap(framesTo));
  return {
    loads: async (count, after) => {
      for (let i = 0; i < count; i++) {
        await load();
        after();
      }
      await running.settled();
      expect(router.table()).not.toBe('');
    },
    stop: async () => {
      const rounds = await stream.stop();
      const sent = rounds * FLOWS;
      console.log(`${version} loads, ${sent * FORBIDDEN.length} forbidden packets and as many allowed ones`);
      expect(arrivalCounts(world)).toEqual([0, 0, sent, sent]);
      return { forbidden: sent * FORBIDDEN.length };
    },
  };
}

/**
 * Odd ones drop a list and accept the rest, even ones accept another list and drop the rest: a mix of two
 * lets something wrong through.
 */
function releaseOf(version: number): NftRelease {
  const isOdd = version % 2 === 1;
  const runs = new RunBuilder();
  runs.push({ ...plainRule(isOdd ? 'drop' : 'accept'), remote: { kind: 'list', list: 'some' } });
  const some = [...(isOdd ? FORBIDDEN : ALLOWED), `198.51.100.${version % 256}`].map(prefixFrom);
  const policy = {
    ...emptyPolicy('default'),
    egress: runs.build(),
    defaultAction: isOdd ? 'accept' : 'drop',
  } as const;
  return {
    hash: new Uint8Array(createHash('sha256').update(String(version)).digest()),
    ruleSet: {
      ...EMPTY_RULE_SET,
      lists: new Map([['some', prefixListOf(prefixSetOf(some))]]),
      policies: new Map([['default', policy]]),
    },
    environment: { now: 0, dns: [] },
  };
}

function framesTo(dst: string): Uint8Array[] {
  const { routerMac, hostMac, address6 } = open().links.a;
  return Array.from({ length: FLOWS }, (_, index) => {
    const src = address(dst.includes(':') ? address6 : '10.137.0.5');
    const proto = index % 2 === 0 ? 6 : 17;
    const packet = {
      direction: 'egress',
      src,
      dst: address(dst),
      proto,
      port: 443,
      icmpType: undefined,
    } as const;
    const journey: Journey = { from: 'a', to: 'world', packet };
    return frameOf(routerMac, hostMac, ipPacketOf(journey).ip);
  });
}
