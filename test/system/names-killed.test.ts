/**
 * Each process of a firewall that opens by name is killed at any time, and what its network needs is taken
 * away, while qubes send what no rule opens and ask for blocked names: nothing of it passes, and what was
 * open stays so. Nothing outside the namespaces is asked.
 */

import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { IpProtocol } from '@rulecast/rules';
import { describe, expect, it } from 'vitest';
import { childrenOf, ENFORCER } from '../enforce/enforcer.ts';
import { frameOf } from '../enforce/frames.mjs';
import { datagramFrom, ipPacketOf, type Journey, journeyText } from '../enforce/journey.ts';
import { Network } from '../enforce/network.mjs';
import { seededNumbers } from '../kit/random.mjs';
import { EVERY, House, PREFIXES, ready } from './house.ts';
import { enforcementGap } from './namespaces.ts';

const UPSTREAM = fileURLToPath(new URL('../enforce/names-upstream.mjs', import.meta.url));
const SERVING = `require('net').createServer((s) => s.on('error', () => {}).end()).listen({ port: 443, host: '::', backlog: 4096 }, () => console.log('ready'))`;
const [WORLD, UPSTREAM_PORT] = ['198.18.0.2', 5302];
const SEED = 0x5eed20;
/** Each is killed so often. */
const KILLS = 2;
/** From one kill to the next, beside what it takes to be there again. */
const [KILL_WITHIN_MS, GONE_MOST_MS] = [500, 800];
const PUSHED_EVERY_MS = 150;
/** Packets a second of each qube. */
const FLOOD_RATE = 1500;
/** As a firewall beside other work. */
const BACK_WITHIN_MS = 30_000;
const LISTS = {
  updates: { names: ['.deb.example'], resolve: 'firewall' },
  ads: { names: ['.ads.example'], resolve: 'firewall' },
  spare: { entries: ['198.51.100.0'] },
};
const RULES = [
  'drop dst=@ads',
  'accept dst=@updates proto=tcp dstports=443',
  'accept dst=@spare',
  'drop proto=tcp dstports=443',
  'drop proto=udp dstports=443',
];
/** What qube a is told, and no other. */
const TOLD = '93.184.0.1';

const byTcp = (journey: Journey): Journey => ({
  ...journey,
  packet: { ...journey.packet, proto: IpProtocol.tcp },
});

const [A4, A6] = PREFIXES.a;
const [B4, B6] = PREFIXES.b;
const FORBIDDEN: readonly Journey[] = [
  datagramFrom('a', 'world', A4, TOLD), // by tcp alone
  datagramFrom('a', 'world', A4, '93.184.200.7'),
  byTcp(datagramFrom('a', 'world', A4, '93.184.200.8')),
  byTcp(datagramFrom('a', 'world', A6, '2606:2800:220:1::c807')),
  byTcp(datagramFrom('b', 'world', B4, TOLD)),
  byTcp(datagramFrom('b', 'world', B4, '93.184.200.9')),
  byTcp(datagramFrom('b', 'world', B6, '2606:2800:220:1::1')),
];
/** No rule is about it: it passes all the time. */
const PASSING = datagramFrom('a', 'world', A4, '203.0.113.9');
const ALLOWED: Journey = { ...PASSING, packet: { ...PASSING.packet, port: 5000 } };

/** What is killed, and started again: by this test as a service manager would, or by who owns it. */
const VICTIMS: Readonly<Record<string, { kill(house: House): unknown; start(house: House): unknown }>> = {
  publisher: {
    kill: (house) => house.publisher?.kill(),
    start: (house) => house.startPublisher(),
  },
  subscriber: {
    kill: (house) => house.enforcer?.kill(),
    start: (house) => house.startEnforcer(),
  },
  applier: {
    kill: (house) => process.kill(childrenOf(house.enforcer?.process.pid)[0] ?? 0, 'SIGKILL'),
    start: () => undefined,
  },
  'rulecast-dns': {
    kill: (house) => house.dns?.kill(),
    start: (house) => house.startDns(),
  },
  'its link': {
    kill: (house) => house.network.router.run(['ip', 'link', 'del', 'rulecast-dns']),
    start: async (house) => {
      await house.dns?.kill();
      house.net();
      await house.startDns();
    },
  },
  'all at once': {
    kill: (house) => Promise.all([house.publisher, house.enforcer, house.dns].map((each) => each?.kill())),
    start: async (house) => {
      await Promise.all([house.startPublisher(), house.startDns()]);
      await house.startEnforcer();
    },
  },
};

async function opened(): Promise<House> {
  const network = await Network.open();
  const house = await House.open('4.3', [], { network, upstreams: [`${WORLD}:${UPSTREAM_PORT}`] });
  const world = network.links.world.namespace;
  const local = ['93.184.0.0/16', '2606:2800::/32'].map((each) => `route add local ${each} dev lo\n`);
  world.run(['ip', '-batch', '-'], local.join(''));
  await ready(world, [process.execPath, '-e', SERVING]);
  await ready(world, [process.execPath, UPSTREAM, `${UPSTREAM_PORT}`, WORLD]);
  await house.push(RULES, LISTS, RULES);
  return house;
}

/** Has the qubes send packets until the end; tells which came to the world since the last time. */
async function flood({ network }: House): Promise<() => Promise<readonly Journey[]>> {
  const journeys = new Map<number, Journey>();
  for (const from of ['a', 'b'] as const) {
    const { routerMac, hostMac } = network.links[from];
    const frames = [...FORBIDDEN, ALLOWED].flatMap((journey) => {
      if (journey.from !== from) return [];
      const { mark, ip } = ipPacketOf(journey);
      journeys.set(mark, journey);
      return [frameOf(routerMac, hostMac, ip)];
    });
    await network.stream(from, frames, FLOOD_RATE);
  }
  return async () => {
    const arrived = [...(await network.arrived('world')).keys()];
    return arrived.flatMap((mark) => journeys.get(mark) ?? []);
  };
}

/** Pushes a release at an interval until it is stopped, whether or not firewalls are connected. */
function pushing({ scene }: House): () => Promise<number> {
  let [isOver, releases] = [false, 0];
  const running = (async () => {
    for (let i = 1; !isOver; i++) {
      const text = `198.51.100.${i % 250}\n`;
      const pushed = await scene.control
        .push({ list: 'spare', text, wait: 'released' })
        .catch(() => undefined);
      if (pushed?.ending?.kind === 'done') releases++;
      await pause(PUSHED_EVERY_MS);
    }
  })();
  return async () => {
    isOver = true;
    await running;
    return releases;
  };
}

describe.skipIf(enforcementGap() !== undefined)('a firewall that opens by name', () => {
  it('lets nothing pass that is forbidden, and keeps what is open, whatever is killed', async () => {
    console.log(`seed ${SEED}`);
    const next = seededNumbers(SEED);
    const house = await opened();
    const a = house.client(house.a);
    expect(await a({ from: 1 })).toEqual({ open: 1 });
    const passed = await flood(house);
    const blocked = house.stream(EVERY);
    const stop = pushing(house);
    const order = Array.from({ length: KILLS }, () => Object.keys(VICTIMS)).flat();
    const back: string[] = [];
    let told = 0;
    for (const [at, what] of order.entries()) {
      const victim = VICTIMS[what];
      await pause(next(KILL_WITHIN_MS));
      await victim?.kill(house);
      await pause(next(GONE_MOST_MS));
      expect([what, await a({ address: TOLD })]).toEqual([what, { open: 1 }]); // while it is gone
      const startMs = performance.now();
      await victim?.start(house);
      const isOpened = async (): Promise<unknown> => [await a({ from: 1 }), await a({ from: 100 + at })];
      const again = { timeout: BACK_WITHIN_MS, interval: 50, message: `after ${what}` };
      await expect.poll(isOpened, again).toEqual([{ open: 1 }, { open: 1 }]);
      await house.scene.control.synced(ENFORCER);
      back.push(`${what} ${Math.round(performance.now() - startMs)}`);
      const answers = Object.entries(await blocked());
      const isFailure = ([key]: readonly [string, number]): boolean => !/^(NXDOMAIN|SERVFAIL) /.test(key);
      expect([what, answers.filter(isFailure)]).toEqual([what, []]);
      for (const [key, count] of answers) told += key.startsWith('NXDOMAIN') ? count : 0;
      expect([what, (await passed()).map(journeyText)]).toEqual([what, [journeyText(ALLOWED)]]);
    }
    const releases = await stop();
    const sent = (await house.network.stopStream('a')) + (await house.network.stopStream('b'));
    expect((await passed()).filter((journey) => journey !== ALLOWED)).toEqual([]);
    console.log(
      `${sent} packets, ${told} questions for a blocked name, ${releases} releases; back after`,
      back,
    );
    expect([sent > 10_000, told > 100, releases > order.length]).toEqual([true, true, true]);
  }, 300_000);
});
