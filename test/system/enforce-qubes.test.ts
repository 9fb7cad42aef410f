/**
 * Beside the tables of Qubes, 4.2's and 4.3's: a packet passes where both let it, whatever either of them
 * reloads, and neither touches the other's.
 */

import { afterEach, describe, expect, it } from 'vitest';
import { ENFORCER, startEnforcer } from '../enforce/enforcer.ts';
import { datagramFrom, passed } from '../enforce/journey.ts';
import { Network } from '../enforce/network.mjs';
import { qubesRules, qubesTables } from '../enforce/qubes-tables.mjs';
import { enforcementGap } from './namespaces.ts';
import { Scene } from './scene.ts';

const QUBE = '10.137.0.5';
const SPOOFED = '10.137.0.77';
const FREE = '203.0.113.7';
const OURS = '203.0.113.1';
const THEIRS = '203.0.113.9';
const CUSTOM = '203.0.113.10';
const TARGETS = [FREE, OURS, THEIRS, CUSTOM];

let network: Network | undefined;

afterEach(async () => {
  await network?.close();
  network = undefined;
});

describe.skipIf(enforcementGap() !== undefined)('beside the tables of Qubes', () => {
  it.each(['4.2', '4.3'] as const)('%s, each packet is judged by both', async (version) => {
    network = await Network.open();
    const { router } = network;
    router.nft(qubesTables(version, [{ interface: 'vif-a', address: QUBE }]));
    const theirs = (): string =>
      ['qubes', 'qubes-firewall']
        .map((table) => router.run(['nft', '-s', 'list', 'table', 'ip', table]))
        .join('');
    const before = theirs();
    const scene = new Scene();
    await scene.publisher();
    await startEnforcer(scene, network);
    expect(await passing()).toEqual([false, false, false, false]); // closed, whatever they let pass
    const push = async (...dropped: readonly string[]): Promise<void> => {
      const document = {
        common: { egress: dropped.map((target) => `drop dst4=${target}`) },
        unmatched: 'accept',
      };
      const { records, ending } = await scene.control.pushText('rules.json', JSON.stringify(document));
      expect(ending, JSON.stringify(records)).toMatchObject({ kind: 'done' });
      await scene.control.synced(ENFORCER);
    };
    await push(OURS);
    expect(await passing()).toEqual([true, false, true, true]);
    expect(theirs()).toBe(before);

    router.nft(qubesRules(QUBE, [THEIRS]));
    expect(await passing()).toEqual([true, false, false, true]);
    router.nft(`add rule ip qubes custom-forward ip daddr ${CUSTOM} drop\n`);
    expect(await passing()).toEqual([true, false, false, false]);

    const changed = theirs();
    await push(FREE);
    expect(await passing()).toEqual([false, true, false, false]); // our accept opens nothing of theirs
    expect(theirs()).toBe(changed);
    router.nft(qubesRules(QUBE, []));
    expect(await passing()).toEqual([false, true, true, false]);
    expect(await passing(SPOOFED)).toEqual([false, false, false, false]);
  });
});

/** Whether packets of the qube come through, with a flow of their own each time. */
function passing(src = QUBE): Promise<readonly boolean[]> {
  if (network === undefined) throw new Error('no network');
  return passed(
    network,
    TARGETS.map((dst) => datagramFrom('a', 'world', src, dst)),
  );
}
