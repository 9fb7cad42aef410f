/** Packets that must get through: no release drops them, whatever brings it about. */

import { type MustReach, parsePacketText } from '@rulecast/formats';
import { prefixListOf } from '@rulecast/rules';
import { describe, expect, it } from 'vitest';
import { turns } from '../../../test/kit/turns.ts';
import { FakeClock } from '../../sources/test/fake-clock.ts';
import type { PushOutcome } from '../src/release/outcome.ts';
import type { Publisher } from '../src/release/publisher.ts';
import { degraded, freshPublisher, prefixes, pushOf, release } from './fresh-publisher.ts';

function mustReach(text: string, direction: 'egress' | 'ingress' = 'egress'): MustReach {
  const result = parsePacketText(text, direction);
  if (result.kind !== 'packet') throw new TypeError(result.reason);
  return { text, packet: result.packet };
}

const FIREWALL = `common: { egress: [drop dst=@block] }
policies:
  work: { prefixes: [10.137.0.5], egress: [accept proto=tcp dstports=22], ingress: [accept src4=192.0.2.0/24] }
  default: { egress: [accept] }
`;

async function guarded(...packets: readonly MustReach[]): Promise<Publisher> {
  const publisher = freshPublisher({ mustReach: packets });
  await release(publisher, { 'block.txt': '198.51.100.1\n', 'f.yaml': FIREWALL });
  return publisher;
}

/** Guard, part and cause of each refusal, or what came of it. */
function told(outcome: PushOutcome): readonly string[] {
  if (outcome.kind !== 'guarded') return [outcome.kind];
  return outcome.refusals.map(
    ({ guard, part, reason }) => `${guard} ${part}: ${/dropped by ([^:]+)/.exec(reason)?.[1]}`,
  );
}

const push = async (
  publisher: Publisher,
  files: Readonly<Record<string, string>>,
): Promise<readonly string[]> =>
  told(await publisher.push(pushOf(files), { permits: new Set(['accept-all']) }));

describe('a packet that must get through', () => {
  it('keeps a list out that would drop it, from any qube, and nothing else', async () => {
    const publisher = await guarded(mustReach('192.0.2.10 tcp/22'));
    expect(await push(publisher, { 'block.txt': '198.51.100.1\n192.0.2.0/24\n' })).toEqual([
      'unreachable list block: rule 1 of policy common, list block',
    ]);
    expect(await push(publisher, { 'block.txt': '198.51.100.2\n' })).toEqual(['released']);
  });

  it('keeps out what first would drop, also for qubes that nobody judges', async () => {
    const publisher = await guarded(
      mustReach('10.137.0.6 > 192.0.2.10 tcp/22'),
      mustReach('192.0.2.7 > 10.9.9.9 tcp/22', 'ingress'),
    );
    const first = (rules: string): Promise<readonly string[]> =>
      push(publisher, { 'f.yaml': `first: { ${rules} }\n` });
    expect(await first('egress: [drop dst4=192.0.2.0/24]')).toEqual([
      'unreachable policy first: rule 1 of policy first',
    ]);
    expect(await first('ingress: [drop src=@block, drop src4=192.0.2.7]')).toEqual([
      'unreachable policy first: rule 2 of policy first',
    ]);
    expect(await first('egress: [drop dst4=192.0.2.11]')).toEqual(['released']);
  });

  it('keeps a policy out that drops it for its own qubes alone', async () => {
    const publisher = await guarded(mustReach('192.0.2.10 tcp/22'));
    const work = (rules: string): Promise<readonly string[]> =>
      push(publisher, { 'w.yaml': `policies: { work: { prefixes: [10.137.0.5], egress: [${rules}] } }` });
    expect(await work('accept proto=tcp dstports=443')).toEqual([
      'unreachable policy work: the default action of policy work',
    ]);
    expect(await work('drop dst4=192.0.2.10, accept proto=tcp dstports=22')).toEqual([
      'unreachable policy work: rule 1 of policy work',
    ]);
    expect(await work('accept proto=tcp dstports=22, accept proto=udp')).toEqual(['released']);
  });

  it('with a sender, or from outside, is judged as that', async () => {
    const publisher = await guarded(
      mustReach('10.137.0.6 > 192.0.2.10 tcp/22'),
      mustReach('192.0.2.10 > 10.137.0.5 tcp/22', 'ingress'),
    );
    const work = (rest: string): Promise<readonly string[]> =>
      push(publisher, { 'w.yaml': `policies: { work: { prefixes: [10.137.0.5], ${rest} } }` });
    expect(await work('egress: [drop dst4=192.0.2.10, accept proto=tcp]')).toEqual(['released']);
    expect(
      await work('egress: [drop dst4=192.0.2.10, accept proto=tcp], ingress: [accept src4=192.0.2.7]'),
    ).toEqual(['unreachable policy work: the default action of policy work']);
  });

  it('that was dropped before hinders nothing, and a permit takes what would drop it', async () => {
    const publisher = await guarded(mustReach('198.51.100.1 tcp/22'), mustReach('192.0.2.10 tcp/22'));
    expect(await push(publisher, { 'block.txt': '198.51.100.1\n198.51.100.2\n' })).toEqual(['released']);
    const input = pushOf({ 'block.txt': '192.0.2.10\n' });
    expect(told(await publisher.push(input, { permits: new Set(['all-addresses', 'empty']) }))).toHaveLength(
      1,
    );
    expect(told(await publisher.push(input, { permits: new Set(['unreachable']) }))).toEqual(['released']);
  });

  it('is asked for by the first release too, where nothing was in force', async () => {
    const publisher = freshPublisher({ mustReach: [mustReach('192.0.2.10 tcp/22')] });
    expect(await push(publisher, { 'x.rules': 'drop\n' })).toEqual([
      'unreachable policy default: rule 1 of policy default',
    ]);
    expect(publisher.head).toBeUndefined();
  });

  it('keeps a rollback out, which a permit takes', async () => {
    const publisher = await guarded();
    await release(publisher, { 'block.txt': '192.0.2.10\n' });
    await release(publisher, { 'block.txt': '198.51.100.1\n' });
    publisher.setMustReach([mustReach('192.0.2.10 tcp/22')]);
    expect(await publisher.rollback(2, {})).toMatchObject({
      kind: 'guarded',
      refusals: [{ guard: 'unreachable' }],
    });
    expect(await publisher.rollback(2, {}, { permits: new Set(['unreachable']) })).toMatchObject({
      kind: 'released',
    });
  });

  it('keeps out the list of a source that would drop it, and holds up no other', async () => {
    const publisher = await guarded(mustReach('192.0.2.10 tcp/22'));
    const outcome = await publisher.updateLists(
      new Map([
        ['block', prefixListOf(prefixes('192.0.2.0/24'))],
        ['other', prefixListOf(prefixes('198.51.100.9'))],
      ]),
    );
    expect([...outcome.refused]).toMatchObject([['block', { code: 'unreachable' }]]);
    expect([...outcome.changes.keys()]).toEqual(['other']);
    expect(publisher.head?.ruleSet.lists.has('other')).toBe(true);
  });

  it('keeps out what a name stands for now, and the status says so', async () => {
    const clock = new FakeClock();
    const answers = ['198.51.100.7', '192.0.2.10'];
    const publisher = freshPublisher({
      clock,
      mustReach: [mustReach('192.0.2.10 tcp/22')],
      resolve: async () => ({ ...prefixes(answers.shift() ?? '192.0.2.10'), ttlMs: 60_000 }),
    });
    await release(publisher, { 'x.rules': 'drop dsthost=a.example\naccept\n' });
    clock.advance(3_600_000);
    await publisher.refreshNames();
    await turns();
    clock.advance(3_600_000);
    await publisher.refreshNames();
    await turns();
    expect(publisher.head?.manifest.version).toBe(1);
    expect(degraded(publisher)[0]).toMatch(/^192\.0\.2\.10 tcp\/22 must be reachable/);
    // It stayed until the name was asked for again, up to an hour.
    await release(publisher, { 'x.rules': 'accept dsthost=a.example\naccept\n' });
    expect(degraded(publisher)).toEqual([]);
  });
});
