/**
 * Changes that a push may not make without a permit, whatever its role: empty, shrink or grow a list, cover
 * the Internet, or open or close everything.
 */

import type { PushInput } from '@rulecast/formats';
import { describe, expect, it } from 'vitest';
import { permitCodes } from '../src/guards/permits.ts';
import type { ReleaseAudit } from '../src/release/outcome.ts';
import type { Publisher } from '../src/release/publisher.ts';
import type { PushOptions } from '../src/release/request.ts';
import { freshPublisher, pushOf, release } from './fresh-publisher.ts';

const ADDRESSES = (count: number, from = 0): string =>
  `${Array.from({ length: count }, (_, i) => `198.18.${(from + i) >> 8}.${(from + i) & 255}`).join('\n')}\n`;

/** `common` drops a list, and what is left is accepted. */
async function blocking(entries: string): Promise<Publisher> {
  const publisher = freshPublisher();
  await release(publisher, {
    'block.txt': entries,
    'firewall.yaml': 'common: { egress: [drop dst=@block] }\npolicies: { default: { egress: [accept] } }\n',
  });
  return publisher;
}

/** What guards say to a push, each as `guard part before after`. */
async function refusals(
  publisher: Publisher,
  input: PushInput,
  options: PushOptions = {},
): Promise<readonly string[]> {
  const outcome = await publisher.push(input, options);
  if (outcome.kind !== 'guarded') return [outcome.kind];
  return outcome.refusals.map(({ guard, part, before, after }) => `${guard} ${part} ${before} ${after}`);
}

const toBlock = (text: string, input: Partial<PushInput> = {}): PushInput =>
  pushOf({ '-': text }, { list: 'block', ...input });

describe('a push of a list', () => {
  // A download that failed, piped into rulectl push, emptied a block list and was told as a success.
  it.each([
    ['an empty file', ''],
    ['a file of comments', '# Russia\n# 0 entries\n'],
  ])('of %s is refused, and the list stays', async (_what, text) => {
    const publisher = await blocking(ADDRESSES(100));
    const { head } = publisher;
    expect(await refusals(publisher, toBlock(text))).toEqual(['empty list block 100 0']);
    expect(publisher.head).toBe(head);
    expect(await refusals(publisher, toBlock(text), { permits: new Set(['empty']) })).toEqual(['released']);
  });

  it.each([
    [100, 3, 'shrunk list block 100 3'],
    [100, 49, 'shrunk list block 100 49'],
    [100, 50, 'released'],
    [64, 31, 'shrunk list block 64 31'],
    [63, 1, 'released'],
    [100, 164, 'released'],
    [100, 165, 'grown list block 100 165'],
    [200, 300, 'released'],
    [200, 301, 'grown list block 200 301'],
  ])('from %d to %d entries: %s', async (before, after, expected) => {
    const publisher = await blocking(ADDRESSES(before));
    expect(await refusals(publisher, toBlock(ADDRESSES(after)))).toEqual([expected]);
    const permits = new Set([after < before ? 'shrunk' : 'grown']);
    if (expected !== 'released')
      expect(await refusals(publisher, toBlock(ADDRESSES(after)), { permits })).toEqual(['released']);
  });

  it('that withdraws most of it, or all, is refused as well; and one that merges as much as it has', async () => {
    const publisher = await blocking(ADDRESSES(200));
    const withdraw = { action: 'withdraw' } as const;
    expect(await refusals(publisher, toBlock(ADDRESSES(150), withdraw))).toEqual([
      'shrunk list block 200 50',
    ]);
    expect(await refusals(publisher, toBlock(ADDRESSES(200), withdraw))).toEqual(['empty list block 200 0']);
    expect(await refusals(publisher, toBlock(ADDRESSES(200, 200), { action: 'merge' }))).toEqual([
      'grown list block 200 400',
    ]);
    expect(await refusals(publisher, toBlock(ADDRESSES(50), withdraw))).toEqual(['released']);
  });

  it.each([
    ['0.0.0.0/0', 'all-addresses list block 0 1000000'],
    ['::/0', 'all-addresses list block 0 1000000'],
    ['0.0.0.0/1\n128.0.0.0/1', 'all-addresses list block 0 1000000'],
    ['0.0.0.0/1', 'covers-too-much list block 0 565319'],
    ['5.0.0.0/8', 'coverage-changed list block 0 4532'],
    ['224.0.0.0/3', 'released'],
  ])('that holds %s beside its addresses: %s', async (entry, expected) => {
    const publisher = await blocking(ADDRESSES(10));
    const input = toBlock(`${ADDRESSES(10)}${entry}\n`);
    expect(await refusals(publisher, input)).toEqual([expected]);
    expect(await refusals(publisher, toBlock(`${entry}\n`, { action: 'merge' }))).toEqual([
      expected === 'released' ? 'unchanged' : expected,
    ]);
  });

  it('that is new is asked for what it covers, and whether there is anything in it', async () => {
    const publisher = freshPublisher();
    expect(await refusals(publisher, toBlock('0.0.0.0/0\n'))).toEqual(['all-addresses list block 0 1000000']);
    expect(await refusals(publisher, toBlock('0.0.0.0/2\n'))).toEqual([
      'covers-too-much list block 0 280960',
    ]);
    expect(await refusals(publisher, toBlock('\n'))).toEqual(['empty list block 0 0']);
    expect(await refusals(publisher, toBlock(ADDRESSES(3000)))).toEqual(['released']);
  });

  it('of names in place of addresses is refused', async () => {
    const publisher = freshPublisher();
    await release(publisher, { 'block.txt': ADDRESSES(10) });
    expect(await refusals(publisher, toBlock('a.example\n'))).toEqual(['kind-changed list block 10 1']);
    const permits = new Set(['kind-changed']);
    expect(await refusals(publisher, toBlock('a.example\n'), { permits })).toEqual(['released']);
  });

  it('is opened by the permit of its guard and by no other', async () => {
    const cases = [
      ['', ['empty']],
      [ADDRESSES(10), ['shrunk']],
      [ADDRESSES(400), ['grown']],
      [`${ADDRESSES(100)}0.0.0.0/1\n`, ['covers-too-much']],
      [`${ADDRESSES(100)}0.0.0.0/0\n`, ['shrunk', 'all-addresses']],
    ] as const;
    for (const [text, codes] of cases) {
      const publisher = await blocking(ADDRESSES(100));
      for (const code of codes) {
        const permits = new Set(permitCodes('push').filter((one) => one !== code));
        const told = await refusals(publisher, toBlock(text), { permits });
        expect(told).toEqual([expect.stringMatching(new RegExp(`^${code} `))]);
      }
      expect(await refusals(publisher, toBlock(text), { permits: new Set(codes) })).toEqual(['released']);
    }
  });

  it('tells of each list and guard at once, and as a dry run the same', async () => {
    const publisher = await blocking(ADDRESSES(100));
    const input = pushOf({ 'block.txt': ADDRESSES(3), 'other.txt': '' });
    const expected = ['shrunk list block 100 3', 'empty list other 0 0'];
    expect(await refusals(publisher, input)).toEqual(expected);
    expect(await refusals(publisher, input, { dryRun: true })).toEqual(expected);
    expect(await refusals(publisher, input, { dryRun: true, permits: new Set(['shrunk']) })).toEqual([
      'empty list other 0 0',
    ]);
  });
});

describe('what permits opened', () => {
  it('is on record after the release, each guard of it, and nothing that was refused, rehearsed or not in the way', async () => {
    const audited: ReleaseAudit[] = [];
    const publisher = freshPublisher({ audit: (entry) => audited.push(entry) });
    await publisher.push(toBlock(ADDRESSES(100)), { permits: new Set(['shrunk']) });
    const both = pushOf({ 'block.txt': ADDRESSES(3), 'other.txt': '' });
    await publisher.push(both);
    await publisher.push(both, { permits: new Set(['shrunk']) });
    await publisher.push(both, { permits: new Set(['shrunk', 'empty']), dryRun: true });
    expect(audited).toMatchObject([{ version: 1, code: 'released' }]);
    await publisher.push(both, { permits: new Set(['shrunk', 'empty', 'all-addresses']) });
    expect(audited.slice(1)).toMatchObject([
      { cause: 'push', version: 2, part: '', code: 'released', reason: 'block.txt, other.txt' },
      {
        cause: 'push',
        epoch: 1,
        version: 2,
        part: 'list block',
        code: 'shrunk',
        before: 100,
        after: 3,
      },
      {
        cause: 'push',
        epoch: 1,
        version: 2,
        part: 'list other',
        code: 'empty',
        before: 0,
        after: 0,
      },
    ]);
  });

  it('does not undo the release where it cannot be put on record', async () => {
    const audit = (): never => {
      throw new Error('the disk is full');
    };
    const publisher = freshPublisher({ audit });
    await publisher.push(toBlock(ADDRESSES(100)));
    expect(await refusals(publisher, toBlock(ADDRESSES(3)), { permits: new Set(['shrunk']) })).toEqual([
      'released',
    ]);
    expect(publisher.head?.manifest.version).toBe(2);
  });
});

describe('a push of rules', () => {
  const policies = (...lines: string[]): PushInput => pushOf({ 'f.yaml': lines.join('\n') });

  it('that makes a policy accept everything is refused, and what was so before or is the first release is not', async () => {
    const publisher = await blocking(ADDRESSES(3));
    const work = (rule: string) =>
      policies(`policies: { work: { prefixes: [10.137.0.5], egress: [${rule}] } }`);
    expect(await refusals(publisher, work('accept proto=tcp dstports=443'))).toEqual(['released']);
    const permits = new Set(['accept-all']);
    expect(await refusals(publisher, work('accept'))).toEqual(['accept-all policy work 0 1']); // UDP, too
    expect(await refusals(publisher, work('accept'), { permits })).toEqual(['released']);
    expect(await refusals(publisher, policies('common: { egress: [drop dst=@block proto=tcp] }'))).toEqual([
      'released',
    ]);
    expect(await refusals(publisher, policies('common: { egress: [accept] }'))).toEqual([
      'accept-all policy default 0 1',
      'accept-all policy work 0 1',
    ]);
    expect(await refusals(publisher, policies('common: {}'))).toHaveLength(2);
    expect(await refusals(publisher, policies('common: {}'), { permits })).toEqual(['released']);
    expect(await refusals(publisher, policies('policies: { default: { default: accept } }'))).toEqual([
      'released',
    ]);
  });

  it('that makes a policy accept everything of one family, or everything sent to it, is refused', async () => {
    const publisher = freshPublisher();
    const work = (more: string) =>
      policies(`policies: { work: { prefixes: [10.137.0.5], ${more} } }`, 'unmatched: drop');
    expect(
      await refusals(publisher, work('egress: [drop dst6=2001:db8::/32, accept dst4=192.0.2.0/24]')),
    ).toEqual(['released']);
    expect(
      await refusals(publisher, work('egress: [drop dst6=2001:db8::/32, accept dst4=0.0.0.0/0]')),
    ).toEqual(['accept-all policy work 0 1']);
    expect(
      await refusals(
        publisher,
        work('egress: [drop dst6=2001:db8::/32, accept dst4=192.0.2.0/24], ingress: [accept]'),
      ),
    ).toEqual(['accept-all policy work 0 1']);
  });

  it('that makes a new policy for everybody accept everything is refused, and one for some qubes is not', async () => {
    const publisher = freshPublisher();
    await release(publisher, {
      'f.yaml': 'policies: { work: { prefixes: [10.137.0.5], egress: [drop] } }\nunmatched: drop\n',
    });
    expect(await refusals(publisher, policies('policies: { default: { egress: [accept] } }'))).toEqual([
      'accept-all policy default 0 1',
    ]);
    expect(
      await refusals(publisher, policies('policies: { all: { prefixes: ["::/0"], egress: [accept] } }')),
    ).toEqual(['accept-all policy all 0 1']);
    expect(
      await refusals(publisher, policies('policies: { one: { prefixes: [10.137.0.6], egress: [accept] } }')),
    ).toEqual(['released']);
  });

  it('that withdraws the drop before an accept is refused', async () => {
    const publisher = freshPublisher();
    await release(publisher, { 'x.rules': 'drop dst4=192.0.2.0/24\naccept\n' });
    const withdraw = pushOf({ 'x.rules': 'drop dst4=192.0.2.0/24\n' }, { action: 'withdraw' });
    expect(await refusals(publisher, withdraw)).toEqual(['accept-all policy default 0 1']);
  });

  it('that leaves out most drop rules of a policy is refused', async () => {
    const publisher = freshPublisher();
    const drops = (count: number): string =>
      `${ADDRESSES(count).trim().replaceAll(/^/gm, 'drop dst4=')}\naccept\n`;
    await release(publisher, { 'x.rules': drops(200) });
    expect(await refusals(publisher, pushOf({ 'x.rules': drops(5) }))).toEqual([
      'shrunk policy default 200 5',
    ]);
    expect(await refusals(publisher, pushOf({ 'x.rules': drops(400) }))).toEqual(['released']);
  });

  it('that drops everything is asked for, and taken at once when it is permitted', async () => {
    const publisher = await blocking(ADDRESSES(3));
    const input = pushOf({ '-.rules': 'drop\n' }, { policy: 'common' });
    expect(await refusals(publisher, input)).toEqual(['drop-all policy common 1 0']);
    expect(await refusals(publisher, input, { permits: new Set(['drop-all']) })).toEqual(['released']);
    expect(await refusals(publisher, pushOf({ '-.rules': 'drop\n' }))).toEqual(['released']); // it is so already
  });
});

describe('a push of first', () => {
  const first = (...lines: readonly string[]): PushInput =>
    pushOf({ 'f.yaml': `first:\n  ${lines.join('\n  ')}\n` });
  const BLOCK = 'egress: [drop dst4=192.0.2.0/24]';

  it.each([
    ['a policy that accepts', 'policies: { default: { egress: [accept] } }\n', 'egress: [drop]', 1],
    ['qubes left to others', 'unmatched: accept\n', 'egress: [drop]', 0],
    [
      'both families, each by a rule',
      'unmatched: accept\n',
      'egress: [drop dst4=0.0.0.0/0, "drop dst6=::/0"]',
      0,
    ],
  ])('that drops everything is asked for: %s', async (_what, rest, rules, accepting) => {
    const publisher = freshPublisher();
    await release(publisher, { 'f.yaml': rest }, {}, { permits: new Set(['accept-all']) });
    expect(await refusals(publisher, first(rules))).toEqual([`drop-all policy first ${accepting} 0`]);
    const permits = new Set(['drop-all']);
    expect(await refusals(publisher, first(rules), { permits })).toEqual(['released']);
    expect(await refusals(publisher, first(`${rules.slice(0, -1)}, drop proto=tcp]`))).toEqual(['released']);
  });

  it('that drops all of one family, of one protocol or until a time that is past is none', async () => {
    const publisher = freshPublisher();
    await release(publisher, { 'f.yaml': 'unmatched: drop\n' });
    for (const rule of ['drop dst4=0.0.0.0/0', 'drop proto=tcp', 'drop expire=1'])
      expect(await refusals(publisher, first(`egress: [${rule}]`))).toEqual(['released']);
  });

  it.each([
    [
      'what a policy accepts',
      'policies: { default: { egress: [accept] } }\n',
      'accept-all policy default 0 1',
    ],
    ['what is left to others', 'unmatched: accept\n', 'accept-all unmatched 0 1'],
  ])('that takes its last drop away opens %s', async (_what, rest, expected) => {
    const publisher = freshPublisher();
    await release(
      publisher,
      { 'f.yaml': `first: { ${BLOCK} }\n${rest}` },
      {},
      { permits: new Set(['accept-all']) },
    );
    const gone = pushOf({ 'f.yaml': `first: { ${BLOCK} }\n` }, { action: 'withdraw' });
    expect(await refusals(publisher, gone)).toEqual([expected]);
    expect(await refusals(publisher, first('egress: []'))).toEqual([expected]);
    expect(await refusals(publisher, first('egress: [drop dst4=192.0.2.0/25]'))).toEqual(['released']);
  });

  it('that lets in what it kept from qubes whose ingress nobody judges is refused', async () => {
    const publisher = freshPublisher();
    await release(publisher, { 'f.yaml': 'first: { ingress: [drop] }\nunmatched: drop\n' });
    expect(await refusals(publisher, first('ingress: [drop src4=192.0.2.0/24]'))).toEqual([
      'accept-all policy first 0 1',
    ]);
    expect(await refusals(publisher, first('egress: [drop dst4=192.0.2.0/24]', 'ingress: [drop]'))).toEqual([
      'released',
    ]);
  });

  // Without `first` all of it passes there, as everywhere: to take a small drop away opens nothing else.
  it.each([
    ['src4=192.0.2.0/24', 'released'],
    ['src4=0.0.0.0/1', 'accept-all policy first 0 1'],
  ])('that takes its last drop of ingress away, %s: %s', async (remote, expected) => {
    const publisher = freshPublisher();
    await release(publisher, { 'f.yaml': `first: { ingress: [drop ${remote}] }\nunmatched: drop\n` });
    expect(await refusals(publisher, first('ingress: []'))).toEqual([expected]);
  });

  it('that leaves out most of its drops, or all, is refused', async () => {
    const publisher = freshPublisher();
    const drops = (count: number): PushInput =>
      pushOf({ 'x.rules': ADDRESSES(count).trim().replaceAll(/^/gm, 'drop dst4=') }, { policy: 'first' });
    await release(publisher, { 'f.yaml': 'unmatched: drop\n' });
    expect(await refusals(publisher, drops(200))).toEqual(['released']);
    expect(await refusals(publisher, drops(5))).toEqual(['shrunk policy first 200 5']);
    expect(await refusals(publisher, { ...drops(200), action: 'withdraw' })).toEqual([
      'shrunk policy first 200 0',
    ]);
    expect(await refusals(publisher, drops(199))).toEqual(['released']);
  });

  it('that would accept anything is refused with its line', async () => {
    const accept = pushOf({ 'x.rules': 'drop\naccept\n' }, { policy: 'first' });
    expect(await freshPublisher().push(accept)).toMatchObject({
      kind: 'rejects',
      rejects: [{ file: 'x.rules', line: 2, column: 1, code: 'reserved-policy' }],
    });
  });
});

describe('guards of pushes', () => {
  it('leave alone what nobody pushed', async () => {
    const publisher = freshPublisher();
    await release(
      publisher,
      { 'block.txt': '0.0.0.0/1\n' },
      {},
      { permits: new Set(['covers-too-much', 'coverage-changed']) },
    );
    expect(await refusals(publisher, pushOf({ 'other.txt': '192.0.2.1\n' }))).toEqual(['released']);
    expect(await refusals(publisher, pushOf({ 'block.txt': '0.0.0.0/1\n' }))).toEqual(['unchanged']);
  });

  it('say numbers and the option that opens, in one line each', async () => {
    const publisher = await blocking(ADDRESSES(100));
    const outcome = await publisher.push(pushOf({ 'block.txt': ADDRESSES(3) }));
    expect(outcome).toMatchObject({
      kind: 'guarded',
      refusals: [
        {
          reason: 'it would shrink from 100 to 3 entries, by 97 %; at most 50 % are taken',
        },
      ],
    });
  });
});
