/** Flows and the marks that they get: each is judged once a release, and by every release. */

import type { NftSink, NftSinkOptions } from '@rulecast/nftables';
import { emptyPolicy, IpProtocol } from '@rulecast/rules';
import { afterEach, describe, expect, it } from 'vitest';
import { frameOf, segment, unreachableFrame } from '../enforce/frames.mjs';
import { address, Network } from '../enforce/network.mjs';
import { sinkIn } from '../enforce/sink.mjs';
import { runsFrom } from '../kit/rules.ts';
import { enforcementGap } from './namespaces.ts';

const QUBE = '10.137.0.5';
const REMOTE = '203.0.113.7';
const OTHER = '203.0.113.8';
const RELEASES = 260; // there are 96 marks
const FLOWS = 100_000;
const PIECE = 2000;
/** Packets a second. */
const RATE = 2000;
/** Longer than the test. */
const LONG_S = 600;

let network: Network | undefined;
let sink: NftSink | undefined;
let releases = 0;
let marks = 0;

afterEach(async () => {
  await sink?.close();
  await network?.close();
  sink = undefined;
  network = undefined;
});

describe.skipIf(enforcementGap() !== undefined)('a flow', () => {
  it('is judged once by each release that accepts it', async () => {
    await start();
    await enforce('accept');
    for (const times of [1, 2, 3]) expect([times, await passes(REMOTE)]).toEqual([times, true]);
    expect(await judged()).toEqual([1]);
    await enforce('accept proto=udp', 'drop');
    for (const times of [1, 2]) expect([times, await passes(REMOTE)]).toEqual([times, true]);
    expect(await judged()).toEqual([1, 0]);
  });

  it('is judged packet by packet where flows are not to be marked', async () => {
    await start({ flowMarks: false });
    await enforce('accept');
    for (const times of [1, 2, 3]) expect([times, await passes(REMOTE)]).toEqual([times, true]);
    expect(await judged()).toEqual([3]);
    expect(markOf(REMOTE)).toBe(0);
  });

  //
  it('that a release forbids ends by its rules, and goes on by those of a later one', async () => {
    await start();
    for (const [rule, expected] of [
      ['accept', true],
      [`drop dst4=${REMOTE}`, false],
      ['accept', true],
      ['drop', false],
    ] as const) {
      await enforce(rule, 'accept');
      expect([rule, await passes(REMOTE), await passes(OTHER)]).toEqual([rule, expected, rule !== 'drop']);
    }
  });

  it('keeps its connection mark and its lower labels, which are of others', async () => {
    await start();
    router().nft(
      'table inet others { chain c { type filter hook prerouting priority 0; ct state new ct mark set 0xffc0ffee ct label set 31; }; }',
    );
    router().nft(
      `table inet others { chain d { type filter hook postrouting priority 0; ip daddr ${REMOTE} ct label 31 counter; }; }`,
    );
    await enforce('accept');
    for (const rule of ['accept proto=udp', 'accept']) {
      await enforce(rule);
      for (const times of [1, 2]) expect([rule, times, await passes(REMOTE)]).toEqual([rule, times, true]);
      expect(await judged()).toEqual([1]);
      expect(markOf(REMOTE)).toBe(0xffc0ffee);
    }
    await sink?.close();
    sink = sinkIn(open()); // takes labels of former releases away
    await enforce('accept');
    expect(await passes(REMOTE)).toBe(true);
    expect(router().run(['nft', 'list', 'table', 'inet', 'others'])).toContain('packets 5 ');
  });

  //
  it('is judged with the error messages about it, whatever is said of ICMP', async () => {
    await start();
    await enforce('accept');
    expect(await passes(REMOTE)).toBe(true);
    const reply = frame('world', REMOTE, QUBE, 443, PORT);
    await open().send('world', [reply.bytes]);
    expect((await open().arrived('a')).has(reply.mark)).toBe(true);
    const { routerMac, hostMac } = open().links.a;
    const error = unreachableFrame(routerMac, hostMac, address(QUBE), address(REMOTE), reply.bytes);
    await open().arrived('world'); // the qube itself said so, too
    for (const [rules, expected, counts] of [
      [['accept proto=icmp', 'drop'], false, [0, 1]],
      [['drop proto=icmp', 'accept'], true, [0, 1]],
    ] as const) {
      await enforce(...rules);
      const before = await judged();
      await open().send('a', [error]);
      expect((await open().arrived('world')).has(reply.mark)).toBe(expected);
      expect((await judged()).map((count, run) => count - (before[run] ?? 0))).toEqual(counts);
      expect(await passes(REMOTE)).toBe(expected);
    }
  });

  it('is judged anew where the router sends it another way', async () => {
    await start();
    await enforce('accept');
    expect(await passes(REMOTE)).toBe(true);
    const { interface: vif, address4 } = open().links.b;
    router().run(['ip', 'route', 'add', `${REMOTE}/32`, 'via', address4, 'dev', vif, 'onlink']);
    const packet = frame('a', QUBE, REMOTE, PORT, 443);
    await open().send('a', [packet.bytes]);
    expect((await open().arrived('b')).has(packet.mark)).toBe(true);
    expect(await judged()).toEqual([2]);
  });

  it(`that some of ${RELEASES} releases forbid passes none of these`, async () => {
    await start();
    for (let i = 0; i < RELEASES; i++) {
      const passing = i % 5 === 0; // of which the count of marks is no multiple
      const rule = passing ? 'accept' : `drop dst4=${REMOTE}`;
      await enforce(rule, 'accept');
      expect([i, await passes(REMOTE), await passes(OTHER)]).toEqual([i, passing, true]);
      expect([i, await markInForce()]).not.toEqual([i, 0]);
    }
  });

  it(`that is one of ${FLOWS} passes nothing while labels come back to releases that forbid it`, async () => {
    await start();
    router().sysctl({ 'net.netfilter.nf_conntrack_udp_timeout': LONG_S });
    const frames = Array.from({ length: FLOWS }, (_, flow) => {
      const dst = `203.0.113.${flow % 200}`;
      return frame('a', QUBE, dst, PORT + Math.floor(flow / 200), 443);
    });
    const given = new Set<number>();
    for (const rule of ['accept', 'accept proto=udp']) {
      await enforce(rule);
      given.add(await markInForce());
      for (let at = 0; at < FLOWS; at += PIECE)
        await open().send(
          'a',
          frames.slice(at, at + PIECE).map(({ bytes }) => bytes),
        );
    }
    expect((await open().arrived('world')).size).toBe(FLOWS);
    const again = new Set<number>();
    await enforce('drop');
    await open().send('a', []);
    await open().stream(
      'a',
      frames.slice(-PIECE).map(({ bytes }) => bytes),
      RATE,
    );
    for (let i = 0; again.size < given.size && i < RELEASES; i++) {
      await enforce(i % 2 === 0 ? 'drop proto=udp' : 'drop', 'accept proto=tcp');
      const mark = await markInForce();
      if (given.has(mark)) again.add(mark);
    }
    expect([again, (await open().stopStream('a')) > RATE]).toEqual([given, true]);
    expect((await open().arrived('world')).size).toBe(0);
  });

  it('that began beside no rule for labels has none, and is judged packet by packet', async () => {
    await start({ flowMarks: false });
    await enforce('accept');
    expect(await passes(REMOTE)).toBe(true);
    await sink?.close();
    sink = sinkIn(open());
    await enforce('accept proto=udp', 'drop');
    for (const times of [1, 2]) expect([times, await passes(REMOTE)]).toEqual([times, true]);
    expect(await judged()).toEqual([2, 0]);
    open().forgetFlows();
    for (const times of [1, 2]) expect([times, await passes(REMOTE)]).toEqual([times, true]);
    expect(await judged()).toEqual([3, 0]);
  });

  it('that a version before accepted, and marked in its connection mark, is judged', async () => {
    await start();
    const tag = `release_${'ab'.repeat(32)}_${'cd'.repeat(8)}_200`;
    router().nft(
      `table inet rulecast_a { chain ${tag} { }; chain forward { type filter hook forward priority -10; ct mark set 0xc8000000 accept; }; }`,
    );
    expect(await passes(REMOTE)).toBe(true);
    await enforce('drop');
    expect([await passes(REMOTE), markOf(REMOTE)]).toEqual([false, 0xc8000000]);
    await enforce('accept');
    for (const times of [1, 2]) expect([times, await passes(REMOTE)]).toEqual([times, true]);
    expect(await judged()).toEqual([2]); // it began beside no rule for labels
  });

  it('that was accepted while another subscriber took over dies with the release that forbids it', async () => {
    await start();
    await enforce('accept');
    const first = await markInForce();
    await sink?.close();
    sink = sinkIn(open());
    await sink.prepare({ ...release('drop'), hash: hashOfRelease() });
    expect(await passes(REMOTE)).toBe(true); // by the table that is still in force
    await sink.commit();
    expect([await passes(REMOTE), (await markInForce()) === first]).toEqual([false, false]);
  });

  it('is judged anew after a restart and after a repair', async () => {
    await start();
    await enforce('accept');
    expect(await passes(REMOTE)).toBe(true);
    await sink?.close();
    await router().withoutOwners();
    sink = sinkIn(open());
    await sink.prepare({ ...release('accept'), hash: hashOfRelease() });
    await sink.commit();
    expect(await passes(REMOTE)).toBe(true);
    expect(await judged()).toEqual([2]);
    router().nft(`insert rule inet ${router().table()} forward accept\n`);
    expect(await sink.check()).toBe(true);
    for (const times of [1, 2]) expect([times, await passes(REMOTE)]).toEqual([times, true]);
    expect(await judged()).toEqual([3]); // and the two before it
  });
});

const PORT = 20_000;

function open(): Network {
  if (network === undefined) throw new Error('no network');
  return network;
}

function router(): Network['router'] {
  return open().router;
}

async function start(options: NftSinkOptions = {}): Promise<void> {
  network = await Network.open();
  sink = sinkIn(network, options);
}

/** Puts rules in force for every qube. */
async function enforce(...egress: readonly string[]): Promise<void> {
  releases++;
  await sink?.prepare({ ...release(...egress), hash: hashOfRelease() });
  await sink?.commit();
}

function hashOfRelease(): Uint8Array {
  const hash = new Uint8Array(32);
  new DataView(hash.buffer).setUint32(0, releases);
  return hash;
}

function release(...egress: readonly string[]) {
  const policies = new Map([['default', { ...emptyPolicy('default'), egress: runsFrom('egress', egress) }]]);
  const ruleSet = { lists: new Map(), policies, resolutions: new Map(), unmatched: undefined };
  return { ruleSet, environment: { now: 0, dns: [] } };
}

/** Packets that each rule decided. */
async function judged(): Promise<readonly number[]> {
  const { policies } = (await sink?.hits()) ?? { policies: [] };
  return policies.find(({ direction }) => direction === 'egress')?.runs.map(({ packets }) => packets) ?? [];
}

/** Sends a packet of the one flow to an address; whether it came through. */
async function passes(dst: string): Promise<boolean> {
  const { mark, bytes } = frame('a', QUBE, dst, PORT, 443);
  await open().send('a', [bytes]);
  return (await open().arrived('world')).has(mark);
}

function frame(from: 'a' | 'world', src: string, dst: string, srcPort: number, dstPort: number) {
  const { routerMac, hostMac } = open().links[from];
  const ends = { src: address(src), dst: address(dst), proto: IpProtocol.udp };
  const mark = ++marks;
  const payload = segment(ends.src, ends.dst, ends.proto, { mark, srcPort, dstPort });
  return { mark, bytes: frameOf(routerMac, hostMac, { ...ends, payload }) };
}

/** The connection mark of the flow to an address, all four bytes. */
function markOf(dst: string): number {
  return Number(/ mark=(\d+)/.exec(router().run(['conntrack', '-L', '--orig-dst', dst]))?.[1]);
}

/** The mark of the release in force, as its table says. */
async function markInForce(): Promise<number> {
  const listed = router().run(['nft', '-t', 'list', 'table', 'inet', router().table()]);
  return Number(/chain release_[0-9a-f]+_[0-9a-f]+_(\d+) /.exec(listed)?.[1]);
}
