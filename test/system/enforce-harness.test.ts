/**
 * The network that the tests of enforcement use lets everything through where no firewall is in it, so that
 * what is missing was dropped.
 */

import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Journey, journeyText, passed } from '../enforce/journey.ts';
import { Network } from '../enforce/network.mjs';
import { randomFirewall } from '../enforce/random-firewall.ts';
import { enforcementGap } from './namespaces.ts';

const SEED = 0x5eed05;
const PACKETS = 5000;

let network: Network | undefined;

describe.skipIf(enforcementGap() !== undefined)('the network of the tests', () => {
  beforeAll(async () => {
    network = await Network.open();
    // Flows are followed, as they are where Rulecast enforces.
    network.router.nft(
      'table inet flows { chain forward { type filter hook forward priority 0; ct state new counter; }; }',
    );
  });
  afterAll(() => network?.close());

  it('forwards every packet of the random firewalls, both ways, of both families', async () => {
    const { journeys } = randomFirewall(SEED, 40, PACKETS, 0);
    expect(await lost(journeys)).toEqual([]);
    const ways = new Set(journeys.map(({ from, to, packet }) => `${from} ${to} ${packet.dst.family}`));
    expect(ways.size).toBe(12);
  });

  it('forwards packets with extension headers', async () => {
    const chains = [
      [0],
      [60],
      [43],
      [44],
      [0, 60],
      [60, 43, 60],
      [0, 60, 43, 44, 60],
      [60, 60, 60, 60, 60, 60],
    ];
    const { journeys } = randomFirewall(SEED, 40, 1000, 0);
    const extended = journeys
      .filter(({ packet }) => packet.dst.family === 6)
      .map((journey, index) => ({ ...journey, extensions: chains[index % chains.length] ?? [] }));
    expect(await lost(extended)).toEqual([]);
  });
});

async function lost(journeys: readonly Journey[]): Promise<readonly string[]> {
  if (network === undefined) throw new Error('no network');
  const through = await passed(network, journeys);
  return journeys.filter((_, index) => through[index] !== true).map(journeyText);
}
