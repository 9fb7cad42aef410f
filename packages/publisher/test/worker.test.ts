import { type PushInput, readPushed } from '@rulecast/formats';
import { diffRuleSets, encodeDelta, encodeSnapshot } from '@rulecast/protocol';
import { emptyPolicy, type RuleSet, runsOfEach } from '@rulecast/rules';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ReleaseWorker } from '../src/release/worker.ts';
import { pushOf } from './fresh-publisher.ts';

let worker: ReleaseWorker;

beforeEach(() => {
  worker = new ReleaseWorker();
});

afterEach(() => worker.close());

/**
 * Lists of both kinds, rules and a document, of which the list of hosts alone is beyond what is read in
 * place.
 */
function largePush(): PushInput {
  const hosts = Array.from({ length: 10_000 }, (_, i) => `10.${i >> 8}.${i & 255}.1`);
  return pushOf({
    'hosts.txt': `${hosts.join('\n')}\n2001:db8::/32\n`,
    'names.txt': 'a.example\nb.example\n',
    'x.rules': 'drop dst4=192.0.2.0/24 proto=tcp dstports=1-2 comment=why\naccept dst=@hosts\n',
    'firewall.yaml': 'policies:\n  work: { prefixes: [10.137.0.5], ingress: [accept src=@hosts] }\n',
  });
}

describe('reading pushed files', () => {
  it('gives in a worker what it gives in place', async () => {
    expect(await worker.read(largePush(), 7)).toEqual(readPushed(largePush(), 7));
  });

  it('goes on with the same worker, rejects included', async () => {
    await worker.read(largePush(), 7);
    const bad = pushOf({ 'hosts.txt': `${'10.0.0.1\n'.repeat(10_000)}10.0.0.256\n` });
    const { rejectCount, rejects } = await worker.read(bad, 7);
    expect(rejectCount).toBe(1);
    expect(rejects[0]).toMatchObject({ file: 'hosts.txt', line: 10_001, column: 1 });
    expect((await worker.read(largePush(), 7)).lists.get('names')).toMatchObject({ kind: 'names' });
  });
});

describe('encoding', () => {
  it('gives in a thread what it gives in place, while other work waits its turn', async () => {
    const { lists, policies } = await worker.read(largePush(), 7);
    const hosts = lists.get('hosts');
    if (hosts?.kind !== 'prefixes') throw new Error('a list of prefixes was expected');
    const many = Array.from({ length: 30_000 }, (_, i) => `172.16.${i >> 8}.${i & 255}`).join('\n');
    const more = readPushed(pushOf({ 'more.txt': many }), 7).lists;
    const small: RuleSet = { lists, policies, resolutions: new Map(), unmatched: undefined };
    const large: RuleSet = { ...small, lists: new Map([...lists, ...more]) };
    const delta = diffRuleSets(small, large);
    const [deltaBytes, snapshotBytes, again] = await Promise.all([
      worker.encodeDelta(delta),
      worker.encodeSnapshot(large),
      worker.encodeDelta(delta),
    ]);
    expect(deltaBytes).toEqual(encodeDelta(delta));
    expect(again).toEqual(deltaBytes);
    expect(snapshotBytes).toMatchObject({ bytes: encodeSnapshot(large) });
  });

  it('of what no decoder takes is over the limit, in place', async () => {
    const comment = 'x'.repeat(5000);
    const rule = {
      action: 'drop',
      proto: undefined,
      dns: false,
      ports: undefined,
      icmpType: undefined,
    } as const;
    const run = { match: { ...rule, expire: undefined, comment }, remote: { kind: 'any' } } as const;
    const policies = new Map([['default', { ...emptyPolicy('default'), egress: runsOfEach([run]) }]]);
    const encoded = worker.encodeSnapshot({
      lists: new Map(),
      policies,
      resolutions: new Map(),
      unmatched: undefined,
    });
    await expect(encoded).rejects.toMatchObject({ code: 'over-limit' });
  });
});
