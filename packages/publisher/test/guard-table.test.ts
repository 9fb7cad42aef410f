/**
 * Which guard asks whom, by the way to a release: each cell with a release that goes against that guard, and
 * what nobody may do by a second way.
 */

import { type MustReach, type OperatorRole, type PushInput, parsePacketText } from '@rulecast/formats';
import { prefixListOf } from '@rulecast/rules';
import { describe, expect, it } from 'vitest';
import { ALL_PERMITS } from '../../../test/kit/permits.ts';
import { asks, GUARD_TABLE, GUARDS, type Guard } from '../src/guards/table.ts';
import type { ReleaseAudit, ReleaseOutcome } from '../src/release/outcome.ts';
import type { Publisher } from '../src/release/publisher.ts';
import type { PushOptions } from '../src/release/request.ts';
import { contentOf } from '../src/release/rules-file.ts';
import { freshPublisher, prefixes, pushOf, release } from './fresh-publisher.ts';

const ADDRESSES = (count: number): string =>
  `${Array.from({ length: count }, (_, i) => `198.18.0.${i}`).join('\n')}\n`;
const DROPS = (count: number): string =>
  ADDRESSES(count).trim().replaceAll(/^/gm, 'drop dst4=').replaceAll('\n', ', ');
const NAMES = (name: string): string => `lists: { names: { names: [${name}], resolve: firewall } }\n`;
const CLOSED = 'accept dst4=203.0.113.0/24';

/** `work` has its rules, a /24 and a list of its own; `feed` is of a source. */
const firewall = ({
  work = CLOSED,
  more = '',
  unmatched = 'drop',
  block = ADDRESSES(3),
  feed = ADDRESSES(3),
}) => ({
  'block.txt': block,
  'feed.txt': feed,
  'f.yaml': `common: { egress: [drop dst=@block, drop dst=@feed] }\npolicies:\n  work: { prefixes: [10.137.0.0/24], egress: [${work}] }\n${more}unmatched: ${unmatched}\n`,
});
type Files = Readonly<Record<string, string>>;

function packetOf(text: string): MustReach {
  const read = parsePacketText(text, 'egress');
  if (read.kind !== 'packet') throw new TypeError(read.reason);
  return { text, packet: read.packet };
}

interface Case {
  readonly before: Files;
  readonly after: Files;
  /** As refusals name guard and part. */
  readonly refusal: string;
}

/** For each guard a release that goes against it alone; for `unsupported` see unsupported.test.ts. */
const CASES: Readonly<Record<Exclude<Guard, 'unresolved' | 'unsupported' | 'firstPolicies'>, Case>> = {
  lists: {
    before: firewall({ block: ADDRESSES(100) }),
    after: firewall({ block: ADDRESSES(3) }),
    refusal: 'shrunk list block',
  },
  sourceLists: {
    before: firewall({ feed: ADDRESSES(100) }),
    after: firewall({ feed: ADDRESSES(3) }),
    refusal: 'shrunk list feed',
  },
  wider: {
    before: { ...firewall({ work: 'accept dst=@names' }), 'n.yaml': NAMES('a.example') },
    after: { ...firewall({ work: 'accept dst=@names' }), 'n.yaml': NAMES('.a.example') },
    refusal: 'wider list names',
  },
  drops: {
    before: firewall({ work: DROPS(100) }),
    after: firewall({ work: DROPS(3) }),
    refusal: 'shrunk policy work',
  },
  unmatched: {
    before: firewall({}),
    after: { 'f.yaml': 'unmatched: drop\n' },
    refusal: 'no-policy unmatched',
  },
  opened: { before: firewall({}), after: firewall({ work: 'accept' }), refusal: 'accept-all policy work' },
  newPolicies: {
    before: firewall({}),
    after: firewall({ more: '  q5: { prefixes: [10.137.0.5], default: accept }\n' }),
    refusal: 'accept-all policy q5',
  },
  dropAll: { before: firewall({}), after: firewall({ work: 'drop' }), refusal: 'drop-all policy work' },
  mustReach: {
    before: firewall({}),
    after: firewall({ block: `${ADDRESSES(3)}203.0.113.7\n` }),
    refusal: 'unreachable list block',
  },
};

type Attempt = (
  publisher: Publisher,
  after: Files,
  options: PushOptions,
) => ReturnType<Publisher['push' | 'rollback']>;
/**
 * Ways that a person has, to what was released and taken back before, as nobody may push what a source keeps.
 */
const WAYS: Readonly<Record<string, Attempt>> = {
  push: (publisher, after, options) => publisher.push(pushOf(after, { replaceAll: true }), options),
  'push --as-new-epoch': (publisher, after, options) =>
    publisher.push(pushOf(after, { replaceAll: true }), { ...options, asNewEpoch: true }),
  rollback: (publisher, _, options) => publisher.rollback(1, {}, options),
  'rollback --as-new-epoch': (publisher, _, options) =>
    publisher.rollback(1, {}, { ...options, asNewEpoch: true }),
};

/** Release 1 is what is gone back to, release 2 is in force. */
async function house({ before, after }: Case): Promise<Publisher> {
  const publisher = freshPublisher({ mustReach: [] });
  await release(publisher, after, { replaceAll: true });
  await release(publisher, before, { replaceAll: true });
  publisher.setMustReach([packetOf('10.137.0.7 > 203.0.113.7 tcp/443')]);
  return publisher;
}

function told(outcome: Awaited<ReturnType<Attempt>>): readonly string[] {
  if (outcome.kind !== 'guarded') return [outcome.kind];
  return outcome.refusals.map(({ guard, part }) => `${guard} ${part}`);
}

const ROLES: readonly OperatorRole[] = ['push', 'admin'];
const CELLS = Object.entries(WAYS).flatMap(([way, attempt]) =>
  Object.entries(CASES).flatMap(([guard, of]) =>
    ROLES.map((role) => ({ way, attempt, guard: guard as Guard, of, role })),
  ),
);

describe('a release by a person', () => {
  it.each(CELLS)(
    'by $way against $guard, as $role, is refused if the table says so',
    async ({ way, attempt, guard, of, role }) => {
      if (guard === 'sourceLists' && way.startsWith('push'))
        return expect(asks(guard, 'push', role)).toBe(false); // it is no push: below
      const publisher = await house(of);
      if (guard === 'sourceLists')
        publisher.setListOwner({ owns: (list) => list === 'feed', isOperand: () => false });
      const isAsked = asks(guard, way.startsWith('push') ? 'push' : 'rollback', role);
      const isOther = guard === 'mustReach' ? [] : ['unreachable'];
      const permits = new Set([...isOther, 'empty', ...(guard === 'dropAll' ? [] : ['drop-all'])]);
      const outcome = told(await attempt(publisher, of.after, { role, permits }));
      if (isAsked) expect(outcome).toContain(of.refusal);
      else expect(outcome).toEqual(['released']);
      if (isAsked) expect(publisher.head?.manifest.version).toBe(2);
      expect(told(await attempt(publisher, of.after, { role, permits: ALL_PERMITS }))).toEqual(
        [isAsked ? 'released' : 'unchanged'].map((kind) => (way.includes('epoch') ? 'released' : kind)),
      );
    },
  );

  const takeRules = (publisher: Publisher, { files }: PushInput) =>
    publisher.takeRules(files, contentOf(files));

  it.each(Object.entries(CASES).filter(([guard]) => guard !== 'sourceLists'))(
    'by the rules file against %s is refused as if the role push had pushed it',
    async (guard, of) => {
      const publisher = await house(of);
      publisher.rules.name('/rules.yaml');
      await takeRules(publisher, pushOf(of.before));
      const outcome = await takeRules(publisher, pushOf(of.after));
      expect(asks(guard as Guard, 'rules', 'push')).toBe(true);
      expect(told(outcome)).toContain(of.refusal);
      expect(publisher.head?.manifest.version).toBe(2);
    },
  );

  it('by the rules file opens no more than the role push may, but where nothing was said of any qube', async () => {
    const differing = GUARDS.filter((guard) => asks(guard, 'rules', 'push') !== asks(guard, 'push', 'push'));
    expect(differing).toEqual(['firstPolicies']);
    const publisher = freshPublisher();
    publisher.rules.name('/rules.yaml');
    expect(told(await takeRules(publisher, pushOf({ 'r.yaml': 'unmatched: accept\n' })))).toEqual([
      'released',
    ]);
    expect(told(await takeRules(publisher, pushOf({ 'r.yaml': 'unmatched: drop\n' })))).toEqual(['released']);
    expect(told(await takeRules(publisher, pushOf({ 'r.yaml': 'unmatched: accept\n' })))).toEqual([
      'accept-all unmatched',
    ]);
  });

  it('of the content of the head, its names resolved anew or not, is asked for what must get through, and who can take it, alone', async () => {
    const answers = ['192.0.2.7', undefined, '203.0.113.7'];
    const publisher = freshPublisher({
      resolve: async () => prefixes(...[answers.shift() ?? []].flat()),
    });
    const files = {
      'f.yaml':
        'policies: { work: { prefixes: [10.137.0.0/24], default: accept, egress: [drop dsthost=a.example] } }\nunmatched: drop\n',
    };
    await release(publisher, files);
    expect(told(await publisher.push(pushOf(files), { asNewEpoch: true }))).toEqual(['released']);
    expect(GUARDS.filter((guard) => asks(guard, 'epoch', 'push'))).toEqual(['unsupported', 'mustReach']);
  });

  it('is in audit.log, with who asked, whatever it went against', async () => {
    const audited: ReleaseAudit[] = [];
    const publisher = freshPublisher({ audit: (entry) => audited.push(entry) });
    await publisher.push(pushOf({ 'a.txt': ADDRESSES(3) }), { by: 'a-push', role: 'push' });
    await publisher.push(pushOf({ 'a.txt': ADDRESSES(3) }), { by: 'a-push' });
    await publisher.push(pushOf({ 'a.txt': ADDRESSES(4) }), { by: 'a-push', dryRun: true });
    await publisher.push(pushOf({ 'a.txt': ADDRESSES(4) }), { by: 'a-push', asNewEpoch: true });
    await publisher.rollback(1, {}, { by: 'b-push' });
    await publisher.updateLists(new Map([['feed', prefixListOf(prefixes('192.0.2.1'))]]));
    expect(
      audited.map(
        ({ cause, by, epoch, version, code, reason }) =>
          `${cause} ${by} ${epoch}/${version} ${code} ${reason}`,
      ),
    ).toEqual([
      'push a-push 1/1 released a.txt',
      'push a-push 2/2 released a.txt',
      'rollback b-push 2/3 released to version 1',
    ]);
  });
});

describe('the table', () => {
  it('has what nobody asks for as what must get through, and who can take it, alone', () => {
    for (const way of ['epoch', 'names', 'renew', 'source'] as const)
      for (const role of ROLES)
        expect(
          GUARDS.filter((guard) => asks(guard, way, role)),
          way,
        ).toEqual(['unsupported', 'mustReach']);
  });

  it('asks the role push no less than admin, and a rollback no less than a push', () => {
    for (const guard of GUARDS) {
      for (const way of Object.keys(GUARD_TABLE) as (keyof typeof GUARD_TABLE)[])
        expect(asks(guard, way, 'push') || !asks(guard, way, 'admin')).toBe(true);
      for (const role of ROLES)
        expect(asks(guard, 'rollback', role) || !asks(guard, 'push', role)).toBe(true);
    }
  });
});

describe('the role push', () => {
  const RULES = 'policies:\n  work: { prefixes: [10.137.0.0/24, "fd09::/64"], egress: [';
  const rules = (work: string, more = ''): Files => ({
    'f.yaml': `${RULES}${work}] }\n${more}unmatched: drop\n`,
  });
  const q = (prefix: string, rest: string): string => `  q5: { prefixes: ["${prefix}"], ${rest} }\n`;

  async function after(files: Files, next: Files, input = {}): Promise<readonly string[]> {
    const publisher = freshPublisher();
    await release(publisher, files);
    return told(await publisher.push(pushOf(next, input), { role: 'push' }));
  }

  // Each of these was released without a word.
  it.each([
    ['two drops', 'drop dst4=192.0.2.1, drop dst4=192.0.2.3, accept'],
    [
      'two halves of both families',
      'accept dst4=0.0.0.0/1, accept dst4=128.0.0.0/1, accept dst6=::/1, accept dst6=8000::/1',
    ],
    ['the Internet of IPv6', 'accept dst6=2000::/3'],
    ['TCP', 'accept proto=tcp'],
    ['UDP', 'accept proto=udp'],
    ['ICMP', 'accept proto=icmp'],
    ['HTTPS', 'accept proto=tcp dstports=443'],
    [
      'a drop that ends',
      'drop proto=tcp expire=+60, drop proto=udp expire=+60, drop proto=icmp expire=+60, accept',
    ],
  ])('does not open a policy by %s', async (_, text) => {
    expect(await after(rules(CLOSED), rules(text))).toEqual(['accept-all policy work']);
    expect(await after(rules(CLOSED), rules(text), { action: 'merge' })).toEqual(['accept-all policy work']);
  });

  it.each([
    ['a qube of another', q('10.137.0.5', 'default: accept'), 'accept-all policy q5'],
    ['a qube that nobody names', q('10.138.0.5', 'default: accept'), 'accept-all policy q5'],
    ['a qube of IPv6', q('fd09::5', 'egress: [accept proto=udp]'), 'accept-all policy q5'],
    ['all qubes', '  default: { egress: [accept] }\n', 'accept-all policy default'],
    ['a qube for a few addresses', q('10.137.0.5', 'egress: [accept dst4=192.0.2.0/24]'), 'released'],
  ])('makes no new policy that opens %s', async (_, more, expected) => {
    expect(await after(rules(CLOSED), rules(CLOSED, more))).toEqual([expected]);
  });

  it('takes no qube of another to an open policy by its prefixes, and none by withdrawing its own', async () => {
    const open = q('10.138.0.5', 'default: accept');
    expect(await after(rules(CLOSED, open), rules(CLOSED, open.replace('5"', '5", 10.137.0.5')))).toEqual([
      'accept-all policy q5',
    ]);
    const around = q('10.0.0.0/8', 'default: accept');
    expect(
      await after(
        rules(CLOSED, around),
        { 'f.yaml': `policies:\n${around}unmatched: drop\n` },
        { replaceAll: true },
      ),
    ).toEqual(['accept-all policy q5']);
    expect(await after(rules(CLOSED, around), rules(CLOSED), { action: 'withdraw' })).not.toContain(
      'released',
    );
    const others: Files = { 'f.yaml': `${RULES}${CLOSED}] }\nunmatched: accept\n` };
    const one = { 'f.yaml': 'policies: { x: { prefixes: [10.139.0.1] } }\nunmatched: accept\n' };
    expect(await after(others, one, { replaceAll: true })).toContain('accept-all unmatched');
  });

  it('opens nothing by many small steps, by lists, or by the first policies', async () => {
    const publisher = freshPublisher();
    await release(publisher, rules(CLOSED));
    const step = async (text: string): Promise<readonly string[]> =>
      told(await publisher.push(pushOf(rules(text)), { role: 'push' }));
    expect(await step('accept dst4=0.0.0.0/2, accept dst4=64.0.0.0/3')).toEqual(['released']);
    expect(await step('accept dst4=0.0.0.0/2, accept dst4=64.0.0.0/2')).toEqual(['accept-all policy work']);
    const lists = {
      'a.txt': '0.0.0.0/3\n',
      'b.txt': '32.0.0.0/3\n',
      'c.txt': '64.0.0.0/3\n',
      'd.txt': '96.0.0.0/3\n',
    };
    const listed = freshPublisher();
    await release(listed, {
      'a.txt': '192.0.2.1\n',
      'b.txt': '192.0.2.2\n',
      'c.txt': '192.0.2.3\n',
      'd.txt': '192.0.2.4\n',
    });
    await release(listed, rules('accept dst=@a, accept dst=@b, accept dst=@c, accept dst=@d'));
    expect(told(await listed.push(pushOf(lists), { role: 'push' }))).toContain('accept-all policy work');
    const first = pushOf(rules('accept'));
    expect(told(await freshPublisher().push(first, { role: 'push' }))).toEqual(['accept-all policy work']);
    expect(told(await freshPublisher().push(first, { role: 'admin' }))).toEqual(['released']);
  });

  it('does not go back to what was open, in whole or in part', async () => {
    const publisher = freshPublisher();
    await release(publisher, rules('accept'));
    await release(publisher, rules(CLOSED));
    for (const only of [{}, { policy: 'work' }])
      expect(told(await publisher.rollback(1, only, { role: 'push' }))).toEqual(['accept-all policy work']);
    expect(publisher.head?.manifest.version).toBe(2);
    const back: ReleaseOutcome['kind'] | string = (await publisher.rollback(1, {}, { permits: ALL_PERMITS }))
      .kind;
    expect(back).toBe('released');
  });
});
