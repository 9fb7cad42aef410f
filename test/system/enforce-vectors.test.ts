/**
 * A sample of the verdict vectors, enforced: the kernel treats real packets as MEANING.md "Meaning" says. For
 * each rule set, the packets of qube a to the world, with any source that a router forwards.
 */

import type { NftSink } from '@rulecast/nftables';
import { type Address, beginsFlow, formatAddress, IpProtocol, type Packet } from '@rulecast/rules';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Journey, journeyText, passed } from '../enforce/journey.ts';
import { Network } from '../enforce/network.mjs';
import { sinkIn } from '../enforce/sink.mjs';
import { VERDICT_FILES, type VerdictCase, verdictCases } from '../kit/verdict-vectors.ts';
import { enforcementGap } from './namespaces.ts';

/** What routers forward: neither this network nor loopback, multicast, broadcast, and addresses of none. */
const FORWARDED = /^(?!0\.|127\.|22[4-9]\.|23\d\.|24\d\.|25\d\.|::$|fe[89a-f]|ff)/;

let network: Network | undefined;
let sink: NftSink | undefined;
let releases = 0;
const judged = { drop: 0, pass: 0 };

describe.skipIf(enforcementGap() !== undefined)('the kernel and the verdict vectors', () => {
  beforeAll(async () => {
    network = await Network.open();
    sink = sinkIn(network, { answer: 'silent' }); // what answers a source that is nobody here would go to the world
  });
  afterAll(async () => {
    await sink?.close();
    await network?.close();
  });

  it.each(VERDICT_FILES.flatMap(verdictCases))('$title', async (vectors) => {
    if (network === undefined || sink === undefined) throw new Error('no network');
    const sample = journeysOf(vectors);
    const hash = new Uint8Array(32);
    new DataView(hash.buffer).setUint32(0, ++releases);
    const { ruleSet, environment } = vectors;
    await sink.prepare({ hash, ruleSet, environment });
    await sink.commit();
    network.forgetFlows();
    const through = await passed(
      network,
      sample.map(({ journey }) => journey),
    );
    const wrong = sample.flatMap(({ journey, isDropped }, i) =>
      through[i] === !isDropped
        ? []
        : [`${journeyText(journey)} should ${isDropped ? 'be dropped' : 'pass'}`],
    );
    expect(wrong).toEqual([]);
    for (const { isDropped } of sample) judged[isDropped ? 'drop' : 'pass'] += 1;
  });

  it('enough of them were sent, with either end', () => {
    console.log('verdicts', judged);
    expect(judged.drop).toBeGreaterThan(50);
    expect(judged.pass).toBeGreaterThan(50);
  });
});

/** Packets of the vectors that can be sent for real. */
function journeysOf({ packets }: VerdictCase): readonly { journey: Journey; isDropped: boolean }[] {
  return packets.flatMap(({ packet, verdict }) => {
    const { src, dst, direction } = packet;
    if (direction !== 'egress' || src === undefined || !isForwarded(src) || !isForwarded(dst)) return [];
    if (isCut(packet)) return []; // the senders of the tests write whole headers
    const journey: Journey = { from: 'a', to: 'world', packet: { ...packet, src } };
    // The firewall follows flows; what begins none is dropped whatever the rules say.
    return [{ journey, isDropped: !beginsFlow(packet) || verdict.startsWith('drop') }];
  });
}

function isCut({ proto, port, icmpType }: Packet): boolean {
  if (proto === IpProtocol.tcp || proto === IpProtocol.udp) return port === undefined;
  return (proto === IpProtocol.icmp || proto === IpProtocol.icmp6) && icmpType === undefined;
}

function isForwarded(address: Address): boolean {
  return FORWARDED.test(formatAddress(address));
}
