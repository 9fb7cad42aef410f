/**
 * Traffic through an enforcing firewall while releases come: what a release forbids ends, what it allows goes
 * on.
 */

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it, onTestFinished } from 'vitest';
import { arrivalCounts, blast, countArrivals } from '../enforce/blast.ts';
import { ENFORCER, eventually, startEnforcer } from '../enforce/enforcer.ts';
import { Download, serveDownloads } from '../enforce/flow.ts';
import { frameOf } from '../enforce/frames.mjs';
import { ipPacketOf, type Journey, passed } from '../enforce/journey.ts';
import { address, monotonicMs, Network, type NetworkOptions } from '../enforce/network.mjs';
import { enforcementGap } from './namespaces.ts';
import { Scene } from './scene.ts';

const RELEASES = 200;
/** To each address; with eight addresses in all, their number divides what is sent at a time. */
const FLOWS = 16;
const NEVER = ['203.0.113.1', '2001:db8:1::1'] as const;
const ALWAYS = ['203.0.113.2', '2001:db8:1::2'] as const;
const NEIGHBOURS = ['10.137.128.6', 'fd09:24ef:4179:b::6'] as const;
const CUT_WITHIN_MS = 1000;
const EXPIRES_S = 3;
const PORT = 8080;

let network: Network | undefined;

afterEach(async () => {
  await network?.close();
  network = undefined;
});

describe.skipIf(enforcementGap() !== undefined)('traffic through an enforcing firewall', () => {
  it('cuts an established download within a second of the push, and leaves an allowed one alone', async () => {
    const { scene, a, world } = await start();
    world.run(['ip', 'addr', 'add', '203.0.113.1/32', 'dev', 'eth0']);
    world.run(['ip', 'addr', 'add', '203.0.113.2/32', 'dev', 'eth0']);
    world.run(['ip', 'addr', 'add', '2001:db8:1::1/128', 'dev', 'eth0']);
    await scene.control.push({ list: 'blocked', text: '192.0.2.1\n' });
    await scene.control.pushText('default.rules', 'drop dst=@blocked\naccept\n');
    await scene.control.synced(ENFORCER);
    for (const host of ['203.0.113.1', '203.0.113.2', '2001:db8:1::1'])
      await serveDownloads(world, host, PORT);
    const forbidden = await Download.start(a, '203.0.113.1', PORT);
    const forbidden6 = await Download.start(a, '2001:db8:1::1', PORT);
    const allowed = await Download.start(a, '203.0.113.2', PORT);

    const pushedMs = monotonicMs();
    await scene.control.push({ list: 'blocked', text: '203.0.113.1\n2001:db8:1::1\n' });
    await allowed.until(pushedMs + 2 * CUT_WITHIN_MS); // the other two had as long
    console.log(`cut ${(forbidden.lastMs - pushedMs).toFixed(0)} ms after the push began`);
    expect(forbidden.lastMs - pushedMs).toBeLessThan(CUT_WITHIN_MS);
    expect(forbidden6.lastMs - pushedMs).toBeLessThan(CUT_WITHIN_MS);
    expect(allowed.wrong).toEqual([]);
    expect(allowed.longestGapMs(pushedMs)).toBeLessThan(CUT_WITHIN_MS / 2);
  });

  it(`judges no packet by a mix of two of ${RELEASES} releases`, async () => {
    const { scene, b, world } = await start();
    countArrivals(world, [...NEVER, ...ALWAYS]);
    countArrivals(b, NEIGHBOURS);
    await scene.control.pushText('alternating.yaml', alternating(0));
    await scene.control.synced(ENFORCER);
    const stream = blast(open(), 'a', [...NEVER, ...ALWAYS, ...NEIGHBOURS, ...ALWAYS].flatMap(framesTo));
    const startMs = monotonicMs();
    for (let i = 1; i <= RELEASES; i++) {
      const { ending } = await scene.control.pushText('alternating.yaml', alternating(i));
      expect(ending?.kind).toBe('done');
    }
    const elapsedMs = monotonicMs() - startMs;
    const rounds = await stream.stop();
    const kpps = (rounds * FLOWS * 8) / elapsedMs;
    console.log(`${RELEASES} releases in ${elapsedMs.toFixed(0)} ms, ${kpps.toFixed(0)} kpps`);
    const [never4, never6, always4, always6] = arrivalCounts(world);
    expect({ never4, never6, neighbours: arrivalCounts(b) }).toEqual({
      never4: 0,
      never6: 0,
      neighbours: [0, 0],
    });
    const sent = rounds * FLOWS * 2;
    expect({ always4, always6 }).toEqual({ always4: sent, always6: sent });
    expect((await scene.control.status()).head.version).toBe(RELEASES + 1);
  });

  it.each([
    { dns: '10.139.1.1,10.139.1.2', resolver: '192.168.77.53' },
    { dns: '192.168.77.53', resolver: '192.168.77.53' },
    { dns: '10.139.1.1,10.139.1.2', resolver: '9.9.9.9' },
  ])(
    'keeps DNS that is translated to $resolver, with --dns $dns and a blocklist of private networks',
    async ({ dns, resolver }) => {
      const { scene } = await start({ resolver }, ['--dns', dns]);
      const privateNetworks = '10.0.0.0/8\n172.16.0.0/12\n192.168.0.0/16\n';
      await scene.control.push({ list: 'private', text: privateNetworks });
      await scene.control.pushText('default.rules', 'accept specialtarget=dns\ndrop dst=@private\naccept\n');
      await scene.control.synced(ENFORCER);
      await open().startPumps();
      const asked = ['10.139.1.1', '10.139.1.2'].flatMap((dst) => [
        journeyTo(dst, 17, 53),
        journeyTo(dst, 6, 53),
      ]);
      const refused = [
        journeyTo('10.139.1.1', 6, 80),
        journeyTo('192.168.77.1', 17, 53),
        journeyTo('172.16.0.1', 6, 443),
      ];
      const others = [journeyTo('9.9.9.10', 6, 443)];
      expect(await passed(open(), [...asked, ...refused, ...others])).toEqual([
        ...asked.map(() => true),
        ...refused.map(() => false),
        ...others.map(() => true),
      ]);
    },
  );

  it('drops what a rule accepted once the rule has expired, without a new release', async () => {
    const { scene } = await start();
    await open().startPumps();
    const { ending } = await scene.control.pushText(
      'default.rules',
      `accept dst4=203.0.113.5 expire=+${EXPIRES_S}\ndrop\n`,
    );
    expect(ending?.kind).toBe('done');
    const journey = journeyTo('203.0.113.5', 17, 443);
    expect(await passed(open(), [journey])).toEqual([true]);
    await eventually(async () => (await passed(open(), [journey]))[0] === false);
    expect((await scene.control.status()).head.version).toBe(1);
  });

  it('follows the file that names the DNS servers', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'rulecast-dns-'));
    onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
    const file = join(directory, 'resolv.conf');
    writeFileSync(file, 'nameserver 9.9.9.9\n');
    const { scene } = await start({}, ['--dns', file]);
    await open().startPumps();
    await scene.control.pushText('default.rules', 'accept specialtarget=dns\ndrop\n');
    const journeys = ['9.9.9.9', '9.9.9.10'].map((dst) => journeyTo(dst, 17, 53));
    expect(await passed(open(), journeys)).toEqual([true, false]);
    writeFileSync(file, 'search example\nnameserver 9.9.9.10\n');
    await eventually(async () => (await passed(open(), journeys)).join() === 'false,true');
    expect((await scene.control.status()).head.version).toBe(1);
  });
});

function open(): Network {
  if (network === undefined) throw new Error('no network');
  return network;
}

/** A publisher, and an enforcing subscriber in the router. */
async function start(options: NetworkOptions = {}, args: readonly string[] = []) {
  network = new Network(options);
  const scene = new Scene();
  await scene.publisher();
  await startEnforcer(scene, network, args);
  const { a, b, world } = network.links;
  return { scene, a: a.namespace, b: b.namespace, world: world.namespace };
}

/**
 * Two releases by turns that say the same of the packets of qube a, by other means: list, rules, the prefix
 * of the qube's policy, and the direction that drops what goes to qube b are each the other's opposite. Take
 * one of them from the other release, and what never passes does, or what always passes does not. More
 * entries come and go, so that each release is a delta.
 */
function alternating(index: number): string {
  const odd = index % 2 === 1;
  const listed: string[] = [...(odd ? ALWAYS : NEVER)];
  for (let i = 0; i < 100; i++) listed.push(`198.51.${(index + i) % 256}.0/24`);
  return JSON.stringify({
    lists: { shifting: { entries: listed } },
    policies: {
      a: {
        prefixes: odd ? ['10.137.0.0/24', 'fd09:24ef:4179:a::/64'] : ['10.137.0.5', 'fd09:24ef:4179:a::5'],
        egress: odd ? ['accept dst=@shifting', 'drop'] : ['drop dst=@shifting', 'accept'],
      },
      b: { prefixes: NEIGHBOURS, default: 'accept', ingress: odd ? ['accept'] : ['drop'] },
      default: { egress: odd ? ['accept'] : ['drop'] },
    },
  });
}

/** Frames of flows of qube a, half of them tcp, to an address. */
function framesTo(dst: string): Uint8Array[] {
  const { routerMac, hostMac, address6 } = open().links.a;
  return Array.from({ length: FLOWS }, (_, index) => {
    const journey = journeyTo(dst, index % 2 === 0 ? 6 : 17, 443, dst.includes(':') ? address6 : undefined);
    return frameOf(routerMac, hostMac, ipPacketOf(journey).ip);
  });
}

function journeyTo(dst: string, proto: number, port: number, src = '10.137.0.5'): Journey {
  const packet = {
    direction: 'egress',
    src: address(src),
    dst: address(dst),
    proto,
    port,
    icmpType: undefined,
  } as const;
  return { from: 'a', to: 'world', packet };
}
