/** Beside programs that send by a tunnel: all packets of a flow that we accept go the way these chose. */

import type { NftSink } from '@rulecast/nftables';
import { emptyPolicy, IpProtocol } from '@rulecast/rules';
import { afterEach, describe, expect, it } from 'vitest';
import { frameOf, segment } from '../enforce/frames.mjs';
import { address, Network } from '../enforce/network.mjs';
import { sinkIn } from '../enforce/sink.mjs';
import { TUNNEL_RULES, tunnelRoutes } from '../enforce/tunnel-rules.ts';
import { runsFrom } from '../kit/rules.ts';
import { enforcementGap } from './namespaces.ts';

const QUBE = '10.137.0.5';
const REMOTE = '203.0.113.7';
const PACKETS = 100;

let network: Network | undefined;
let sink: NftSink | undefined;

afterEach(async () => {
  await sink?.close();
  await network?.close();
  sink = undefined;
  network = undefined;
});

describe.skipIf(enforcementGap() !== undefined)('a flow that we accept', () => {
  it.each(TUNNEL_RULES)('goes by the tunnel, all of it, beside $name', async (rules) => {
    network = await Network.open();
    const { router, links } = network;
    router.run(['ip', '-batch', '-'], tunnelRoutes(rules));
    router.nft(rules.tables);
    sink = sinkIn(network);
    await sink.prepare(acceptingUdp());
    await sink.commit();
    const { routerMac, hostMac } = links.a;
    for (let mark = 1; mark <= PACKETS; mark++) {
      const ends = { src: address(QUBE), dst: address(REMOTE), proto: IpProtocol.udp };
      const payload = segment(ends.src, ends.dst, ends.proto, { mark, srcPort: 20_000, dstPort: 443 });
      await network.send('a', [frameOf(routerMac, hostMac, { ...ends, payload })]);
    }
    const came = [...(await network.arrived('world')).values()];
    const ways = came.map(({ frame }) => (isBetween(frame, QUBE, REMOTE) ? 'in clear' : 'by the tunnel'));
    const count = (way: string): number => ways.filter((each) => each === way).length;
    expect([count('in clear'), count('by the tunnel')]).toEqual([0, PACKETS]);
    const marks = router.run(['conntrack', '-L', '--orig-src', QUBE]).match(/ mark=(\d+)/)?.[1];
    expect(Number(marks)).toBeLessThan(2); // what others set, and nothing of ours
  });
});

function acceptingUdp() {
  const policies = new Map([
    ['default', { ...emptyPolicy('default'), egress: runsFrom('egress', ['accept proto=udp']) }],
  ]);
  const ruleSet = { lists: new Map(), policies, resolutions: new Map(), unmatched: undefined };
  return { hash: new Uint8Array(32).fill(1), ruleSet, environment: { now: 0, dns: [] } };
}

/** Whether a frame's own header, not one within it, has these addresses. */
function isBetween(frame: Uint8Array, src: string, dst: string): boolean {
  const quad = (at: number): string => [...frame.subarray(at, at + 4)].join('.');
  return quad(26) === src && quad(30) === dst;
}
