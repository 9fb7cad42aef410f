/**
 * Real packets of qubes that no policy names, of the other family of those that one names, and of exceptions,
 * from the boot mode on.
 */

import { afterEach, describe, expect, it } from 'vitest';
import { ENFORCER, startEnforcer } from '../enforce/enforcer.ts';
import { datagramFrom, passed } from '../enforce/journey.ts';
import { Network } from '../enforce/network.mjs';
import { rulectl } from '../processes.mjs';
import { enforcementGap } from './namespaces.ts';
import { Scene } from './scene.ts';

/** Named by the policy `work`, by its IPv4 address only. */
const NAMED = { 4: '10.137.0.5', 6: 'fd09:24ef:4179:a::5' } as const;
/** Named by nobody; behind the same interface. */
const OTHER = '10.137.0.77';
const WORLD = { 4: '203.0.113.7', 6: '2001:db8:7::7' } as const;
/** An address in a network that `common` drops. */
const BLOCKED = '203.0.113.66';
const EXCEPTED = '203.0.113.67';

const SENT = [
  [NAMED[4], WORLD[4]],
  [NAMED[6], WORLD[6]],
  [OTHER, WORLD[4]],
  [OTHER, BLOCKED],
  [NAMED[4], BLOCKED],
  [NAMED[4], EXCEPTED],
  [OTHER, EXCEPTED],
] as const;

const POLICIES = {
  lists: { bad: { entries: ['203.0.113.64/26'] } },
  common: { egress: ['drop dst=@bad'] },
  policies: {
    work: {
      prefixes: [`${NAMED[4]}/32`],
      exceptions: { egress: [`accept dst4=${EXCEPTED}`] },
      egress: ['accept'],
    },
  },
};

let network: Network | undefined;

afterEach(async () => {
  await network?.close();
  network = undefined;
});

describe.skipIf(enforcementGap() !== undefined)('qubes that no policy names', () => {
  it.each([
    ['closed', false],
    ['open', true],
  ] as const)('are judged by what the release says, and before that by --boot %s', async (boot, isOpen) => {
    network = await Network.open();
    const scene = new Scene();
    await scene.publisher();
    await startEnforcer(scene, network, ['--boot', boot]);
    const push = async (document: object): Promise<void> => {
      const { records, ending } = await scene.control.pushText('rules.json', JSON.stringify(document));
      expect(ending, JSON.stringify(records)).toMatchObject({ kind: 'done' });
      await scene.control.synced(ENFORCER);
    };
    const all = SENT.map(() => isOpen);
    expect(await passing()).toEqual(all);

    await push({ lists: POLICIES.lists }); // decides nothing
    expect(await passing()).toEqual(all);

    const refused = await scene.control.pushText('rules.json', JSON.stringify(POLICIES));
    expect(refused.ending).toMatchObject({
      kind: 'fail',
      code: 'guard-refused',
      guard: 'unmatched-not-said',
    });
    expect(await passing()).toEqual(all);

    await push({ ...POLICIES, unmatched: 'drop' });
    expect(await passing()).toEqual([true, false, false, false, false, true, false]);
    expect(await test(scene)).toEqual(['accept', 'drop', 'drop', 'drop', 'drop', 'accept', 'drop']);

    await push({ unmatched: 'accept' });
    expect(await passing()).toEqual([true, true, true, false, false, true, false]);
    expect(await test(scene)).toEqual(['accept', 'none', 'none', 'drop', 'drop', 'accept', 'drop']);
  });
});

/** Whether the packets come through, with a port each time that no flow of before had. */
function passing(): Promise<readonly boolean[]> {
  if (network === undefined) throw new Error('no network');
  return passed(
    network,
    SENT.map(([src, dst]) => datagramFrom('a', 'world', src, dst)),
  );
}

/** What the live table says of the same packets. */
async function test(scene: Scene): Promise<readonly string[]> {
  const packets = SENT.map(([src, dst]) => `${src} > ${dst} udp/443`);
  const { stdout } = await rulectl(scene.directory, ['test', '--json', ...packets]);
  const lines = stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
  return lines.filter(({ kind }) => kind === 'verdict').map(({ action }) => action);
}
