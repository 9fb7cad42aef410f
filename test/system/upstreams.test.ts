/**
 * Upstreams that lie, are silent or gone, before one that knows: qubes are told what is true, or SERVFAIL,
 * and nothing opens that is not. Nothing outside the namespaces is asked.
 */

import { once } from 'node:events';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { dnsmasqCommand, unboundCommand } from '../kit/forwarders.mjs';
import { ASKED, dig, House, PREFIXES, RESOLVERS, ready } from './house.ts';
import { enforcementGap } from './namespaces.ts';

const LIAR = fileURLToPath(new URL('../enforce/lying-upstream.mjs', import.meta.url));
const UPSTREAM = fileURLToPath(new URL('../enforce/names-upstream.mjs', import.meta.url));
const SERVING = `require('net').createServer((s) => s.on('error', () => {}).end()).listen({ port: 443, host: '::', backlog: 4096 }, () => console.log('ready'))`;
const WORLD = '198.18.0.2';
const [LIAR_PORT, UPSTREAM_PORT, GOOD_PORT, NOBODY_PORT] = [5300, 5302, 5301, 5399];
const LIAR_ENDPOINT = `${WORLD}:${LIAR_PORT}`;
const GOOD_ENDPOINT = `${RESOLVERS[4][0]}:${GOOD_PORT}`;
/** No answer to the question at all, each for 1.5 s: the next upstream is asked. */
const NO_ANSWERS = [
  ...[
    'id',
    'name',
    'type',
    'class',
    'none',
    'two',
    'question',
    'opcode',
    'short',
    'long',
    'garbage',
    'empty',
  ],
  'silent',
];
/** Seen to be wrong, or of somebody that cannot answer: the next upstream is asked at once. */
const FAILURES = ['case', 'cut', 'failed', 'unable', 'refused'];
/** Answers that say no address of the name that was asked for. */
const WITHOUT_ADDRESS = {
  owner: { NODATA: 1 },
  loop: { NODATA: 1 },
  self: { NODATA: 1 },
  chain: { SERVFAIL: 1 },
};
/** A domain of a qube: 10^5 addresses, forty for each name. */
const [WIDE_NAMES, WIDE_ADDRESSES] = [2500, 100_000];
/** What a qube may hold by a list, and fewer. */
const HELD_MAX = 1024;
const NEIGHBOUR_NAMES = 400;
/** Twenty questions at a time, so below what a qube may ask. */
const NEIGHBOUR_EVERY_MS = 100;
const LISTS = { updates: { names: ['.deb.example'], resolve: 'firewall' } };
const OPENED = ['accept dst=@updates proto=tcp dstports=443', 'drop proto=tcp dstports=443'];

/** A house with a world that has a liar, and a resolver that a forwarder leads to. */
async function opened(program: 'unbound' | 'dnsmasq', upstreams: readonly string[]) {
  const house = await House.open('4.3', [], { upstreams });
  const world = house.network.links.world.namespace;
  const local = ['93.184.0.0/15', '2606:2800::/32'].map((each) => `route add local ${each} dev lo\n`);
  world.run(['ip', '-batch', '-'], local.join(''));
  await ready(world, [process.execPath, '-e', SERVING]);
  await ready(world, [process.execPath, LIAR, WORLD, `${LIAR_PORT}`]);
  await ready(world, [process.execPath, UPSTREAM, `${UPSTREAM_PORT}`]);
  const where = { address: RESOLVERS[4][0], port: GOOD_PORT, upstreamPort: UPSTREAM_PORT };
  const start = async () => {
    const command =
      program === 'dnsmasq'
        ? dnsmasqCommand(where, ['--conf-file=/dev/null'])
        : unboundCommand(where, house.scene.path('unbound.conf'));
    const child = world.spawn(command);
    await expect
      .poll(() => dig(world, where.address, 'n1.deb.example', '-p', `${GOOD_PORT}`))
      .toBe('NOERROR');
    return child;
  };
  const forwarder = await start();
  await house.push(OPENED, LISTS, OPENED);
  const a = (what: object) => house.connects(house.a, what);
  const b = (what: object) => house.connects(house.b, what);
  return { house, a, b, forwarder, start };
}

/** What is told of a name of which the liar lies so, by a number of its own. */
const lieOf = (lie: string, number: number) => ({ domain: `${lie}.deb.example`, from: number });

describe.skipIf(enforcementGap() !== undefined)('a qube', () => {
  it('is told what is true behind a liar, and nothing is open that only the liar said', async () => {
    const { a } = await opened('dnsmasq', [LIAR_ENDPOINT, GOOD_ENDPOINT]);
    const lies = [...NO_ANSWERS, ...FAILURES];
    const told = await Promise.all(lies.map(async (lie, at) => [lie, await a(lieOf(lie, 100 + at))]));
    expect(told).toEqual(lies.map((lie) => [lie, { open: 1 }]));
    for (const [at, [lie, expected]] of Object.entries(WITHOUT_ADDRESS).entries())
      expect([lie, await a(lieOf(lie, 200 + at))]).toEqual([lie, expected]);
    const said = [...lies.keys()].map((at) => 100 + at).concat(200, 201, 202, 203);
    const isOpen = said.map(async (number) => [number, await a({ address: `93.185.0.${number}` })]);
    expect(await Promise.all(isOpen)).toEqual(said.map((number) => [number, { refused: 1 }]));
  }, 120_000);

  it('is told that there is no answer where there is a liar alone, and nothing is open', async () => {
    const { a, house } = await opened('dnsmasq', [LIAR_ENDPOINT]);
    const lies = [...NO_ANSWERS, ...FAILURES];
    const asked = lies.map(async (lie, at) => {
      const name = `n${100 + at}.${lie}.deb.example`;
      return [lie, await dig(house.a, ASKED[4][0], name, '+time=9')];
    });
    expect(await Promise.all(asked)).toEqual(lies.map((lie) => [lie, 'SERVFAIL']));
    const isOpen = lies.map(async (lie, at) => [lie, await a({ address: `93.185.0.${100 + at}` })]);
    expect(await Promise.all(isOpen)).toEqual(lies.map((lie) => [lie, { refused: 1 }]));
  }, 120_000);

  it('is told what is true once somebody is there who says it, and keeps what was open meanwhile', async () => {
    const upstreams = [`${WORLD}:${NOBODY_PORT}`, LIAR_ENDPOINT, GOOD_ENDPOINT];
    const { a, forwarder, start } = await opened('unbound', upstreams);
    expect(await a(lieOf('silent', 1))).toEqual({ open: 1 }); // behind one that is refused, and one that is silent
    const kept = async (): Promise<void> => expect(await a({ address: '93.184.0.1' })).toEqual({ open: 1 });
    // It hangs, and goes on.
    forwarder.kill('SIGSTOP');
    expect(await a(lieOf('failed', 2))).toEqual({ SERVFAIL: 1 });
    await kept();
    forwarder.kill('SIGCONT');
    expect(await a(lieOf('failed', 3))).toEqual({ open: 1 });
    // It dies, and another one comes.
    const ended = once(forwarder, 'exit');
    forwarder.kill('SIGKILL');
    await ended;
    expect(await a(lieOf('failed', 4))).toEqual({ SERVFAIL: 1 });
    await kept();
    await start();
    expect(await a(lieOf('failed', 5))).toEqual({ open: 1 });
    await kept();
  }, 120_000);

  it('that is told 10^5 addresses of a domain of its own takes nothing from its neighbour', async () => {
    const { house, b } = await opened('unbound', [`${WORLD}:${UPSTREAM_PORT}`]);
    const world = house.network.links.world.namespace;
    await ready(world, [process.execPath, UPSTREAM, `${UPSTREAM_PORT}`, WORLD]);
    const rules = ['accept dst=@resolved proto=tcp dstports=443', 'drop proto=tcp dstports=443'];
    await house.push(rules, LISTS, rules);
    expect(await b({ from: 5000, count: 20 })).toEqual({ open: 20 });
    let isOver = false;
    const flooded = house
      .client(house.a)({ domain: 'own', wide: true, count: WIDE_NAMES })
      .finally(() => {
        isOver = true;
      });
    const neighbour = house.client(house.b);
    const seen: Record<string, number> = {};
    for (let from = 0; !isOver; from = (from + 20) % NEIGHBOUR_NAMES) {
      const due = pause(NEIGHBOUR_EVERY_MS);
      const answers = [
        await neighbour({ from: 6000 + from, count: 20 }),
        await neighbour({ address: '93.184.19.137' }),
      ];
      for (const [what, count] of answers.flatMap((each) => Object.entries(each)))
        seen[what] = (seen[what] ?? 0) + count;
      await due;
    }
    const { told = 0, SERVFAIL = 0 } = await flooded;
    console.log(`told ${told}, refused ${SERVFAIL} of ${WIDE_NAMES} names; its neighbour:`, seen);
    expect(told + SERVFAIL * (WIDE_ADDRESSES / WIDE_NAMES)).toBe(WIDE_ADDRESSES);
    expect(told).toBeGreaterThan(WIDE_ADDRESSES / 2);
    const { open = 0, SERVFAIL: late = 0, ...others } = seen; // beside other work some answers are late, and say so
    expect([others, open > 100, late < open / 20]).toEqual([{}, true, true]);
    const table = house.network.router.run(['nft', 'list', 'table', 'inet', house.network.router.table()]);
    const held = (address: string): number => table.split(`${address} . `).length - 1;
    expect(held(PREFIXES.a[0])).toBeGreaterThan(HELD_MAX / 2);
    expect(held(PREFIXES.a[0])).toBeLessThanOrEqual(HELD_MAX);
    expect(await b({ address: '93.184.19.136' })).toEqual({ open: 1 }); // from before
  }, 120_000);
});
