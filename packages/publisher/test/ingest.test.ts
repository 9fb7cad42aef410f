import { type IngestResult, ingest, type PushInput, readPushed } from '@rulecast/formats';
import {
  EMPTY_RULE_SET,
  formatPrefixAt,
  formatRule,
  NO_RULES,
  nameListOf,
  nameTexts,
  type Policy,
  prefixListOf,
  type RuleSet,
  rulesIn,
} from '@rulecast/rules';
import { describe, expect, it } from 'vitest';
import { policyOf, ruleSetOf } from './churn.ts';
import { bytesOf, prefixes, pushOf } from './fresh-publisher.ts';

const NOW = 1_700_000_000;

/** Lists and policies as text: lists sorted, rules in order. */
interface Shown {
  readonly [part: string]: readonly string[];
}

function pushTo(current: RuleSet, input: PushInput): IngestResult {
  return ingest(current, readPushed(input, NOW), input);
}

function shown(result: IngestResult): Shown {
  if (result.kind === 'rejects') throw new Error(JSON.stringify(result.rejects));
  const parts: Record<string, readonly string[]> = {};
  for (const [name, list] of result.ruleSet.lists) {
    parts[name] =
      list.kind === 'names'
        ? [...nameTexts(list.names)]
        : [list.v4, list.v6].flatMap((column) =>
            Array.from(column.lengths, (_, i) => formatPrefixAt(column, i)),
          );
  }
  for (const [name, policy] of result.ruleSet.policies) parts[name] = egressOf(policy);
  return parts;
}

function egressOf(policy: Policy | undefined): readonly string[] {
  return Array.from(rulesIn(policy?.egress ?? NO_RULES), (rule) => formatRule(rule, 'egress'));
}

function rejectsOf(result: IngestResult): readonly string[] {
  if (result.kind !== 'rejects') throw new Error('it was taken');
  return result.rejects.map(({ file, line, column, code }) => `${file}:${line}:${column} ${code}`);
}

function notesOf(result: IngestResult): readonly string[] {
  if (result.kind !== 'rule-set') throw new Error(JSON.stringify(result));
  return result.notes.map(({ code, part }) => `${code} ${part}`);
}

const HOSTS = ruleSetOf({ hosts: prefixListOf(prefixes('192.0.2.0/30', '192.0.2.8', '2001:db8::/32')) });
const NAMES = ruleSetOf({ hosts: nameListOf(['a.example', 'b.example'], true) });
const RULES = ruleSetOf({}, policyOf('default', 'drop dst4=192.0.2.1/32', 'accept proto=tcp', 'drop'));

// What was neither replace nor merge was withdrawn: a typing error emptied a list.
it.each(['Merge', 'add', '', 'constructor'])('an action called %j is refused', (word) => {
  const files = { 'drop.txt': '192.0.2.1\n' };
  const current = pushTo(EMPTY_RULE_SET, pushOf(files));
  if (current.kind !== 'rule-set') throw new Error('refused');
  const input = { ...pushOf(files), action: JSON.parse(`"${word}"`) };
  expect(() => pushTo(current.ruleSet, input)).toThrow(`action ${JSON.stringify(word)}`);
});

describe('a pushed list', () => {
  it.each<[PushInput['action'], string, readonly string[]]>([
    ['replace', '192.0.2.9\n', ['192.0.2.9/32']],
    ['merge', '192.0.2.9\n', ['192.0.2.0/30', '192.0.2.8/32', '192.0.2.9/32', '2001:db8::/32']],
    ['merge', '192.0.2.1\n', ['192.0.2.0/30', '192.0.2.8/32', '2001:db8::/32']],
    ['merge', '192.0.2.0/24\n', ['192.0.2.0/24', '2001:db8::/32']],
    ['withdraw', '192.0.2.8\n', ['192.0.2.0/30', '2001:db8::/32']],
    ['withdraw', '192.0.2.1\n', ['192.0.2.0/32', '192.0.2.2/31', '192.0.2.8/32', '2001:db8::/32']],
    ['withdraw', '192.0.2.0/24\n', ['2001:db8::/32']],
    ['withdraw', '198.51.100.1\n', ['192.0.2.0/30', '192.0.2.8/32', '2001:db8::/32']],
  ])('of prefixes: %s %j', (action, text, expected) => {
    expect(shown(pushTo(HOSTS, pushOf({ 'hosts.txt': text }, { action })))).toEqual({ hosts: expected });
  });

  it.each<[PushInput['action'], string, readonly string[]]>([
    ['replace', 'c.example\n', ['c.example']],
    ['merge', 'c.example\nB.example.\n', ['a.example', 'b.example', 'c.example']],
    ['withdraw', 'b.example\nc.example\n', ['a.example']],
  ])('of names: %s %j', (action, text, expected) => {
    const result = pushTo(NAMES, pushOf({ 'hosts.txt': text }, { action }));
    expect(shown(result)).toEqual({ hosts: expected });
    const list = result.kind === 'rule-set' ? result.ruleSet.lists.get('hosts') : undefined;
    expect(list).toMatchObject({ kind: 'names', resolve: true }); // said before, and not by a plain file
  });

  it.each(['merge', 'withdraw'] as const)('of names cannot %s a list of prefixes', (action) => {
    expect(rejectsOf(pushTo(HOSTS, pushOf({ 'hosts.txt': 'a.example\n' }, { action })))).toEqual([
      'hosts:1:1 mixed-list',
    ]);
  });

  it('of names may stand for private addresses where the push says so, and where both lists do that are joined', () => {
    const named = (more: string): string =>
      `lists: { corp: { names: [a.example], resolve: firewall${more} } }\n`;
    const resolveOf = (first: string, second: string, action: 'merge' | 'replace'): unknown => {
      const before = pushTo(EMPTY_RULE_SET, pushOf({ 'a.yaml': named(first) }));
      if (before.kind !== 'rule-set') throw new TypeError(before.kind);
      const after = pushTo(before.ruleSet, pushOf({ 'b.yaml': named(second) }, { action }));
      const list = after.kind === 'rule-set' ? after.ruleSet.lists.get('corp') : undefined;
      return list?.kind === 'names' ? list.resolve : undefined;
    };
    const IS = ', private: true';
    expect(resolveOf('', IS, 'replace')).toBe('firewall-private');
    expect(resolveOf(IS, '', 'replace')).toBe('firewall');
    expect(resolveOf(IS, '', 'merge')).toBe('firewall');
    expect(resolveOf('', IS, 'merge')).toBe('firewall');
    expect(resolveOf(IS, IS, 'merge')).toBe('firewall-private');
  });

  it('of a policy that is merged keeps how names are answered, until another word is said', () => {
    const said = (words: string): string =>
      `policies: { p: { prefixes: [10.0.0.1], ${words} egress: [accept] } }\n`;
    const before = pushTo(
      EMPTY_RULE_SET,
      pushOf({ 'a.yaml': said('blocked: refused, unlisted: nxdomain,') }),
    );
    if (before.kind !== 'rule-set') throw new TypeError(before.kind);
    const wordsAfter = (text: string, action: 'merge' | 'replace' | 'withdraw'): unknown => {
      const after = pushTo(before.ruleSet, pushOf({ 'b.yaml': text }, { action }));
      const policy = after.kind === 'rule-set' ? after.ruleSet.policies.get('p') : undefined;
      return [policy?.blocked, policy?.unlisted];
    };
    expect(wordsAfter(said(''), 'merge')).toEqual(['refused', 'nxdomain']);
    expect(wordsAfter(said('unlisted: answer,'), 'merge')).toEqual(['refused', 'answer']);
    expect(wordsAfter(said(''), 'replace')).toEqual([undefined, undefined]);
    expect(wordsAfter('policies: { p: { prefixes: [10.0.0.1], egress: [] } }', 'withdraw')).toEqual([
      'refused',
      'nxdomain',
    ]);
  });

  it('of names replaces a list of prefixes', () => {
    expect(shown(pushTo(HOSTS, pushOf({ 'hosts.txt': 'a.example\n' })))).toEqual({ hosts: ['a.example'] });
  });

  it.each<[string, string | undefined, string]>([
    ['hosts.txt', undefined, 'hosts'],
    ['/var/lib/feeds/bad-hosts.netset', undefined, 'bad-hosts'],
    ['hosts', undefined, 'hosts'],
    ['hosts.txt', 'blocked', 'blocked'],
    ['two words.txt', 'blocked', 'blocked'],
  ])('%s with --list %s is list %s', (file, list, name) => {
    const result = pushTo(EMPTY_RULE_SET, pushOf({ [file]: '192.0.2.1\n' }, { list }));
    expect(shown(result)).toEqual({ [name]: ['192.0.2.1/32'] });
  });

  it.each([
    ['two words.txt', undefined],
    ['-.txt', undefined],
    [`${'x'.repeat(64)}.txt`, undefined],
    ['hosts.txt', 'two words'],
  ])('%s with --list %s has no name', (file, list) => {
    expect(rejectsOf(pushTo(EMPTY_RULE_SET, pushOf({ [file]: '192.0.2.1\n' }, { list })))).toEqual([
      `${file}:1:1 bad-part-name`,
    ]);
  });

  it('is gathered from several files with --list, and from one file each without', () => {
    const files = { 'a/one.txt': '192.0.2.1\n', 'b/two.txt': '192.0.2.0/31\n2001:db8::1\n' };
    expect(shown(pushTo(EMPTY_RULE_SET, pushOf(files, { list: 'all' })))).toEqual({
      all: ['192.0.2.0/31', '2001:db8::1/128'],
    });
    expect(shown(pushTo(EMPTY_RULE_SET, pushOf(files)))).toEqual({
      one: ['192.0.2.1/32'],
      two: ['192.0.2.0/31', '2001:db8::1/128'],
    });
  });

  it('cannot come twice under one name', () => {
    const files = { 'a/hosts.txt': '192.0.2.1\n', 'b/hosts.txt': '192.0.2.2\n' };
    expect(rejectsOf(pushTo(EMPTY_RULE_SET, pushOf(files)))).toEqual(['b/hosts.txt:1:1 duplicate-part']);
  });

  it('cannot be gathered from addresses and names', () => {
    const files = { 'one.txt': '192.0.2.1\n', 'two.txt': 'a.example\n' };
    expect(rejectsOf(pushTo(EMPTY_RULE_SET, pushOf(files, { list: 'all' })))).toEqual([
      'two.txt:1:1 mixed-list',
    ]);
  });

  it('leaves other parts the same objects', () => {
    const current = ruleSetOf(
      { ...Object.fromEntries(HOSTS.lists), other: prefixListOf(prefixes('10.0.0.1')) },
      ...RULES.policies.values(),
    );
    const result = pushTo(current, pushOf({ 'hosts.txt': '192.0.2.9\n' }));
    if (result.kind !== 'rule-set') throw new Error('refused');
    expect(result.ruleSet.lists.get('other')).toBe(current.lists.get('other'));
    expect(result.ruleSet.policies.get('default')).toBe(current.policies.get('default'));
    expect(result.ruleSet.resolutions).toBe(current.resolutions);
  });
});

describe('pushed rules', () => {
  const [one, two, three] = ['action=drop dst4=192.0.2.1/32', 'action=accept proto=tcp', 'action=drop'];
  const four = 'action=accept dst4=198.51.100.0/24';

  it.each<[PushInput['action'], string, readonly (string | undefined)[]]>([
    ['replace', `${four}\n`, [four]],
    ['merge', `${four}\n`, [one, two, three, four]],
    ['merge', `${three}\n${four}\n${one}\n`, [one, two, three, four]],
    ['withdraw', `${two}\n`, [one, three]],
    ['withdraw', 'drop dst4=192.0.2.1\n', [two, three]], // equal in normal form
    ['withdraw', `${four}\n`, [one, two, three]],
  ])('%s %j', (action, text, expected) => {
    expect(shown(pushTo(RULES, pushOf({ 'x.rules': text }, { action })))).toEqual({ default: expected });
  });

  it('keep the order and the repetitions of a file', () => {
    const text = 'drop dst4=192.0.2.2\naccept\ndrop dst4=192.0.2.1\ndrop dst4=192.0.2.2\n';
    expect(shown(pushTo(EMPTY_RULE_SET, pushOf({ 'x.rules': text })))['default']).toEqual([
      'action=drop dst4=192.0.2.2/32',
      'action=accept',
      'action=drop dst4=192.0.2.1/32',
      'action=drop dst4=192.0.2.2/32',
    ]);
  });

  it('are merged once, however often they are pushed', () => {
    const push = pushOf({ 'x.rules': `${four}\ndrop dst4=192.0.2.7\n` }, { action: 'merge' });
    const first = pushTo(RULES, push);
    if (first.kind !== 'rule-set') throw new Error('refused');
    expect(shown(pushTo(first.ruleSet, push))).toEqual(shown(first));
  });

  it('are about the policy of --policy, and may not name two files', () => {
    expect(shown(pushTo(EMPTY_RULE_SET, pushOf({ 'x.rules': 'drop\n' }, { policy: 'work' })))).toEqual({
      work: [three],
    });
    const twice = pushOf({ 'x.rules': 'drop\n', 'y.rules': 'drop\n' });
    expect(rejectsOf(pushTo(EMPTY_RULE_SET, twice))).toEqual(['y.rules:1:1 duplicate-part']);
    const badName = pushOf({ 'x.rules': 'drop\n' }, { policy: 'two words' });
    expect(rejectsOf(pushTo(EMPTY_RULE_SET, badName))).toEqual(['x.rules:1:1 bad-part-name']);
  });

  it('count an expiry from the time of the push', () => {
    const result = pushTo(EMPTY_RULE_SET, pushOf({ 'x.rules': 'drop expire=+60\n' }));
    expect(shown(result)['default']).toEqual([`action=drop expire=${NOW + 60}`]);
  });

  // Bare rules once took the prefixes, the default action and the ingress of the policy along.
  it.each([
    ['replace', ['action=drop']],
    ['merge', ['action=accept proto=tcp', 'action=drop']],
    ['withdraw', ['action=accept proto=tcp']],
  ] as const)('that %s leave the prefixes, default and ingress of their policy', (action, lines) => {
    const work: Policy = {
      ...policyOf('work', 'accept proto=tcp', 'drop'),
      prefixes: prefixes('10.137.0.7'),
      defaultAction: 'accept',
      ingress: policyOf('x', 'drop').egress,
    };
    const result = pushTo(ruleSetOf({}, work), pushOf({ 'x.rules': 'drop\n' }, { action, policy: 'work' }));
    if (result.kind !== 'rule-set') throw new Error('refused');
    const { prefixes: kept, defaultAction, ingress } = result.ruleSet.policies.get('work') ?? work;
    expect({ kept, defaultAction, ingress }).toEqual({
      kept: work.prefixes,
      defaultAction: 'accept',
      ingress: work.ingress,
    });
    expect(shown(result)).toEqual({ work: lines });
  });
});

describe('a pushed document', () => {
  const DOCUMENT = `
lists:
  hosts: { entries: [192.0.2.9] }
  far: { file: lists/far.txt }
  named: { names: [a.example], resolve: true }
common:
  egress: [drop dst=@far]
policies:
  work: { prefixes: [10.137.0.7], egress: [accept dst=@hosts, accept dst=@named] }
`;
  const referenced = {
    name: 'lists/far.txt',
    role: 'referenced',
    bytes: bytesOf('203.0.113.0/24\n'),
  } as const;
  const document = (text: string, input: Partial<PushInput> = {}): PushInput => {
    const push = pushOf({ 'firewall.yaml': text }, input);
    return { ...push, files: [...push.files, referenced] };
  };

  it('brings its parts and the files it names, and leaves other parts', () => {
    const current = ruleSetOf(
      { ...Object.fromEntries(HOSTS.lists), other: prefixListOf(prefixes('10.0.0.1')) },
      policyOf('default', 'drop'),
    );
    expect(shown(pushTo(current, document(DOCUMENT)))).toEqual({
      hosts: ['192.0.2.9/32'],
      other: ['10.0.0.1/32'],
      far: ['203.0.113.0/24'],
      named: ['a.example'],
      default: ['action=drop'],
      common: ['action=drop dst=@far'],
      work: ['action=accept dst=@hosts', 'action=accept dst=@named'],
    });
  });

  it('is all there is after --replace-all', () => {
    const current = ruleSetOf({ other: prefixListOf(prefixes('10.0.0.1')) }, policyOf('default', 'drop'));
    const parts = shown(pushTo(current, document(DOCUMENT, { replaceAll: true })));
    expect(Object.keys(parts).toSorted()).toEqual(['common', 'far', 'hosts', 'named', 'work']);
  });

  it('merges prefixes and rules of a policy, and takes the pushed default action', () => {
    const work: Policy = { ...policyOf('work', 'drop proto=icmp'), prefixes: prefixes('10.137.0.8') };
    const text =
      'policies:\n  work: { prefixes: [10.137.0.7], default: accept, egress: [drop proto=icmp, drop proto=tcp] }\n';
    const result = pushTo(ruleSetOf({}, work), document(text, { action: 'merge' }));
    if (result.kind !== 'rule-set') throw new Error('refused');
    expect(result.ruleSet.policies.get('work')).toMatchObject({
      defaultAction: 'accept',
      prefixes: prefixes('10.137.0.7', '10.137.0.8'),
    });
    expect(shown(result)).toEqual({ work: ['action=drop proto=icmp', 'action=drop proto=tcp'] });
  });

  it('that names a file which was not sent is refused at that place', () => {
    const push = pushOf({ 'firewall.yaml': 'lists:\n  far: { file: lists/gone.txt }\n' });
    expect(rejectsOf(pushTo(EMPTY_RULE_SET, push))).toEqual(['firewall.yaml:2:16 missing-file']);
  });

  it('and a list file of one name are a part twice', () => {
    const push = document(DOCUMENT);
    const more = pushOf({ 'hosts.txt': '192.0.2.1\n' });
    expect(rejectsOf(pushTo(EMPTY_RULE_SET, { ...push, files: [...push.files, ...more.files] }))).toEqual([
      'hosts.txt:1:1 duplicate-part',
    ]);
  });
});

describe('rejects', () => {
  it('of all files are told together, each with file, line and column, and nothing is taken', () => {
    const result = pushTo(
      HOSTS,
      pushOf({
        'hosts.txt': '192.0.2.1\n300.1.1.1\n192.0.2.2\n10.0.0.0/33\n',
        'x.rules': 'drop\ndrop dstports=1\n',
      }),
    );
    expect(rejectsOf(result).map((text) => text.split(' ')[0])).toEqual([
      'hosts.txt:2:1',
      'hosts.txt:4:10',
      'x.rules:2:6',
    ]);
    expect(result).toMatchObject({ rejectCount: 3 });
  });

  it('beyond those that are kept are counted', () => {
    const result = pushTo(EMPTY_RULE_SET, pushOf({ 'hosts.txt': '300.1.1.1\n'.repeat(5000) }));
    if (result.kind !== 'rejects') throw new Error('taken');
    expect(result.rejectCount).toBe(5000);
    expect(result.rejects.length).toBeLessThan(5000);
  });

  it('in a referenced file name that file', () => {
    const push = pushOf({ 'firewall.yaml': 'lists:\n  far: { file: far.txt }\n' });
    const far = { name: 'far.txt', role: 'referenced', bytes: bytesOf('192.0.2.1\n\n300.1.1.1\n') } as const;
    const [reject] = rejectsOf(pushTo(EMPTY_RULE_SET, { ...push, files: [...push.files, far] }));
    expect(reject).toMatch(/^far\.txt:3:1 /);
  });
});

describe('what a withdrawal empties', () => {
  it('goes: lists, and policies whose prefixes are withdrawn too', () => {
    const work = { ...policyOf('work', 'drop'), prefixes: prefixes('10.137.0.5') };
    const current = ruleSetOf({ hosts: prefixListOf(prefixes('192.0.2.1')) }, work);
    const document = 'policies:\n  work: { prefixes: [10.137.0.5], egress: [drop] }\n';
    const push = pushOf({ 'hosts.txt': '192.0.2.0/24\n', 'all.yaml': document }, { action: 'withdraw' });
    expect(shown(pushTo(current, push))).toEqual({});
  });

  it('stays where its default action still judges: a policy with prefixes, and default', () => {
    const work = { ...policyOf('work', 'drop'), prefixes: prefixes('10.137.0.5') };
    const current = ruleSetOf({}, work, policyOf('default', 'drop'));
    const push = pushOf({ 'x.rules': 'drop\n' }, { action: 'withdraw' });
    expect(shown(pushTo(current, push))).toEqual({ work: ['action=drop'], default: [] });
    expect(shown(pushTo(current, { ...push, policy: 'work' }))).toEqual({
      work: [],
      default: ['action=drop'],
    });
  });

  it('stays as an empty list where a rule uses it', () => {
    const current = ruleSetOf(
      { hosts: prefixListOf(prefixes('192.0.2.1')) },
      policyOf('default', 'drop dst=@hosts'),
    );
    const push = pushOf({ 'hosts.txt': '192.0.2.1\n' }, { action: 'withdraw' });
    expect(shown(pushTo(current, push))).toEqual({ hosts: [], default: ['action=drop dst=@hosts'] });
  });

  it('goes with the last rule that used it, in the same push', () => {
    const current = ruleSetOf(
      { hosts: prefixListOf(prefixes('192.0.2.1')) },
      policyOf('default', 'drop dst=@hosts', 'accept'),
    );
    const files = { 'hosts.txt': '192.0.2.1\n', 'x.rules': 'drop dst=@hosts\n' };
    expect(shown(pushTo(current, pushOf(files, { action: 'withdraw' })))).toEqual({
      default: ['action=accept'],
    });
  });

  it('is nothing where there is no such part, and that is noted', () => {
    const push = pushOf({ 'hosts.txt': '192.0.2.1\n', 'x.rules': 'drop\n' }, { action: 'withdraw' });
    const result = pushTo(EMPTY_RULE_SET, push);
    expect(shown(result)).toEqual({});
    expect(notesOf(result)).toEqual(['nothing-to-withdraw hosts', 'nothing-to-withdraw default']);
  });

  it('by a replacement with nothing stays as an empty list', () => {
    expect(shown(pushTo(HOSTS, pushOf({ 'hosts.txt': '# nothing\n' })))).toEqual({ hosts: [] });
  });
});
