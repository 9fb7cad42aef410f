/**
 * `rulectl block`, `allow` and `cut` with real packets, through publisher and enforcing subscriber: they hold
 * whatever is pushed, and end without the publisher, but for a cut.
 */

import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ENFORCER, eventually, startEnforcer } from '../enforce/enforcer.ts';
import { frameOf, segment } from '../enforce/frames.mjs';
import { datagramFrom, passed } from '../enforce/journey.ts';
import { address, type HostName, Network } from '../enforce/network.mjs';
import { type Daemon, rulectl } from '../processes.mjs';
import { ASKED, dig, House } from './house.ts';
import { enforcementGap } from './namespaces.ts';
import { Scene } from './scene.ts';

/** Has a policy of its own, of both families. */
const NAMED = '10.137.0.5';
const NAMED6 = 'fd09:24ef:4179:a::5';
/** Addresses of one host: one of two in a policy, and one in a network. */
const [ONE_OF_TWO, OF_NETWORK] = ['10.137.0.76', '10.137.0.77'];
const NEIGHBOUR = '10.137.128.6';
const [WORLD, BAD, OPENED] = ['203.0.113.7', '203.0.113.66', '198.51.100.7'];
const WORLD6 = '2001:db8:7::7';

const DOCUMENT = {
  lists: { closed: { entries: ['198.51.100.0/24'] } },
  common: { egress: ['drop dst=@closed'] },
  policies: {
    work: { prefixes: [NAMED, NAMED6], default: 'accept' },
    two: { prefixes: [ONE_OF_TWO, '10.137.0.78'], default: 'accept' },
    net: { prefixes: ['10.137.0.0/24', '10.137.128.0/24'], default: 'accept' },
  },
  unmatched: 'accept',
};

let network: Network;
let scene: Scene;
let publisher: Daemon;
let marks = 0;

describe.skipIf(enforcementGap() !== undefined)('one line', () => {
  beforeEach(async () => {
    network = await Network.open();
    scene = new Scene();
    publisher = await scene.publisher();
    await startEnforcer(scene, network);
    await push(DOCUMENT);
  });
  afterEach(() => network.close());

  it('blocks for all qubes, allows for one, and holds whatever is released', async () => {
    await line('block', BAD);
    await line('allow', OPENED, '--qube', NAMED);
    await line('block', `${WORLD}/32`, '--qube', 'work');
    const expectInForce = async (): Promise<void> => {
      expect(await passing(['a', NAMED, BAD], ['b', NEIGHBOUR, BAD], ['world', BAD, NEIGHBOUR])).toEqual([
        false,
        false,
        false,
      ]);
      expect(await passing(['a', NAMED, OPENED], ['a', OF_NETWORK, OPENED])).toEqual([true, false]);
      expect(await passing(['a', NAMED, WORLD], ['a', OF_NETWORK, WORLD])).toEqual([false, true]);
    };
    await expectInForce();
    await push({ ...DOCUMENT, lists: { closed: { entries: ['198.51.100.0/25'] } } });
    await expectInForce();
    await line('rollback', '1', '--yes');
    await expectInForce();
    await publisher.stop();
    publisher = await scene.publisher();
    await scene.control.synced(ENFORCER);
    await expectInForce();
    await line('blocks', '--remove', 'all');
    expect(await passing(['a', NAMED, BAD], ['a', NAMED, OPENED], ['a', NAMED, WORLD])).toEqual([
      true,
      false,
      true,
    ]);
  });

  it('ends at the firewall while the publisher is dead', async () => {
    await line('block', BAD, '--for', '8s');
    await line('allow', OPENED, '--qube', NAMED, '--for', '8s');
    const packets = [['a', NAMED, BAD] as const, ['a', NAMED, OPENED] as const];
    expect(await passing(...packets)).toEqual([false, true]);
    await publisher.kill();
    await eventually(async () => String(await passing(...packets)) === 'true,false');
    publisher = await scene.publisher();
    await scene.control.synced(ENFORCER);
    await expect.poll(() => blocks(), { timeout: 15_000 }).toEqual([]);
    expect(await passing(...packets)).toEqual([true, false]);
  });

  it.each([
    ['with a policy of its own', NAMED],
    ['that a policy names beside another', ONE_OF_TWO],
    ['of a network', OF_NETWORK],
  ])('cuts a qube off, its open flows and both ways, until it is removed: %s', async (_, qube) => {
    expect(await flow(qube)).toEqual([true, true]);
    await line('cut', qube);
    const both = [['a', qube, WORLD] as const, ['world', WORLD, qube] as const];
    expect(await flow(qube)).toEqual([false, false]);
    expect(await passing(...both, ['b', NEIGHBOUR, WORLD])).toEqual([false, false, true]);
    if (qube === NAMED) expect(await passing(['a', NAMED6, WORLD6])).toEqual([false]);
    if (qube === ONE_OF_TWO) expect(await passing(['a', '10.137.0.78', WORLD])).toEqual([true]);
    await push({ ...DOCUMENT, common: { egress: ['accept'] } });
    expect(await passing(...both)).toEqual([false, false]);
    await line('blocks', '--remove', '1');
    expect(await passing(...both)).toEqual([true, true]);
  });

  it('gives no qube back while the publisher is dead, and then at once', async () => {
    await line('cut', NAMED, '--for', '3s');
    await publisher.kill();
    const [cut] = [['a', NAMED, WORLD] as const];
    const end = Date.now() + 4000;
    while (Date.now() < end) expect(await passing(cut)).toEqual([false]);
    publisher = await scene.publisher();
    await eventually(async () => (await passing(cut))[0] === true);
    expect(await blocks()).toEqual([]);
  });
});

describe.skipIf(enforcementGap() !== undefined)('a name', () => {
  it('is blocked with all below it by the own DNS of the firewall, and ends without a release', async () => {
    const house = await House.open('4.3');
    await house.pushDocument({ unmatched: 'accept' });
    const asked = (name: string): Promise<string> => dig(house.a, ASKED[4][0], name);
    expect(await asked('x.ads.example')).toBe('NOERROR');
    const { code, stdout, stderr } = await rulectl(house.scene.directory, [
      'block',
      'ads.example',
      '--for',
      '8s',
    ]);
    expect([code, stdout + stderr]).toEqual([0, expect.stringContaining('applied by')]);
    for (const name of ['ads.example', 'x.ads.example']) expect(await asked(name)).toBe('NXDOMAIN');
    expect(await asked('good.example')).toBe('NOERROR');
    await expect.poll(() => asked('x.ads.example'), { timeout: 30_000 }).toBe('NOERROR');
  });
});

/** Runs `rulectl`, which waits until the firewall has it. */
async function line(...words: readonly string[]): Promise<void> {
  const { code, stdout, stderr } = await rulectl(scene.directory, [...words, '--require', ENFORCER]);
  expect([code, stdout + stderr]).toEqual([0, expect.stringMatching(/applied by firewall|no change/)]);
}

async function blocks(): Promise<readonly unknown[]> {
  const { stdout } = await rulectl(scene.directory, ['blocks', '--json']);
  const records = stdout.trim().split('\n');
  return records.map((text) => JSON.parse(text)).filter(({ kind }) => kind === 'block');
}

async function push(document: object): Promise<void> {
  const { records, ending } = await scene.control.pushText('rules.json', JSON.stringify(document));
  expect(ending, JSON.stringify(records)).toMatchObject({ kind: 'done' });
  await scene.control.synced(ENFORCER);
}

/** Whether packets come through, each a flow of its own: from which host, from where, to where. */
function passing(...sent: readonly (readonly [HostName, string, string])[]): Promise<readonly boolean[]> {
  const hostOf = (text: string): HostName =>
    text.startsWith('10.137.128.') ? 'b' : text.startsWith('10.137.0.') ? 'a' : 'world';
  return passed(
    network,
    sent.map(([from, src, dst]) => datagramFrom(from, hostOf(dst), src, dst)),
  );
}

/** Whether a packet of one flow comes through, always the same, and one back. */
async function flow(qube: string): Promise<readonly boolean[]> {
  const found: boolean[] = [];
  for (const [sender, receiver, by, at, srcPort, dstPort] of [
    ['a', 'world', qube, WORLD, 20_000, 443],
    ['world', 'a', WORLD, qube, 443, 20_000],
  ] as const) {
    const { routerMac, hostMac } = network.links[sender];
    const ends = { src: address(by), dst: address(at), proto: 17 };
    const mark = ++marks;
    const payload = segment(ends.src, ends.dst, ends.proto, { mark, srcPort, dstPort });
    await network.send(sender, [frameOf(routerMac, hostMac, { ...ends, payload })]);
    found.push((await network.arrived(receiver)).has(mark));
  }
  return found;
}
