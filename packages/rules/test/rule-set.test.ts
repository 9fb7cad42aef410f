import { describe, expect, it } from 'vitest';
import { prefixSetFrom, runsFrom } from '../../../test/kit/rules.ts';
import { type List, nameListOf, prefixListOf } from '../src/list.ts';
import { emptyPolicy, type Policy } from '../src/policy.ts';
import { prefixSetOf } from '../src/prefix-set.ts';
import {
  checkRuleSet,
  concernsFirewallDns,
  EMPTY_RULE_SET,
  leavesUnmatchedOpen,
  needsFirewallDns,
  RESOLVED_NAMES_MAX,
  type RuleSet,
  resolutionOf,
  saysAnything,
  usedLists,
  usedNames,
} from '../src/rule-set.ts';

function policy(
  name: string,
  texts: readonly string[],
  egress: readonly string[],
  ingress: readonly string[] = [],
  exceptions: { readonly egress?: readonly string[]; readonly ingress?: readonly string[] } = {},
): Policy {
  return {
    ...emptyPolicy(name),
    prefixes: prefixSetFrom(texts),
    exceptions: {
      egress: runsFrom('egress', exceptions.egress ?? []),
      ingress: runsFrom('ingress', exceptions.ingress ?? []),
    },
    egress: runsFrom('egress', egress),
    ingress: runsFrom('ingress', ingress),
  };
}

/** Qubes that no policy names are dropped unless `more` says otherwise. */
function ruleSet(
  policies: readonly Policy[],
  lists: Readonly<Record<string, List>> = {},
  more: Partial<RuleSet> = {},
): RuleSet {
  return {
    lists: new Map(Object.entries(lists)),
    policies: new Map(policies.map((each) => [each.name, each])),
    resolutions: new Map(),
    unmatched: 'drop',
    ...more,
  };
}

const PREFIXES = prefixListOf(prefixSetOf([]));
/** A qube in both families. */
const BOTH = ['10.0.0.1', 'fd00::1'];

function namesList(count: number, resolve: boolean): List {
  return nameListOf(
    Array.from({ length: count }, (_, i) => `n${i}.test`),
    resolve,
  );
}

//
describe('problems of a rule set', () => {
  // Each was compared with each list there is: ten thousand policies took minutes.
  it('name the list that is near a missing one, of the first sixteen', () => {
    const names = Array.from({ length: 20 }, (_, i) => `n${i + 10}-blocklist`);
    const lists = Object.fromEntries(names.map((name) => [`${name}s`, PREFIXES]));
    const drops = names.map((name) => `drop dst=@${name}`);
    const faults = checkRuleSet(ruleSet([policy('a', BOTH, drops), policy('b', ['10.0.0.9'], drops)], lists));
    const reasons = faults.filter(({ code }) => code === 'unknown-list').map(({ reason }) => reason);
    const near = reasons.map((reason) =>
      / uses list (\S+), which does not exist: did you mean \1s\?$/.test(reason),
    );
    const ofEach = [...names.map((_, i) => i < 16)];
    expect(near).toEqual([...ofEach, ...ofEach]);
    expect(reasons.at(-1)).toMatch(/: push it too$/);
  });

  it.each<[string, RuleSet, readonly string[]]>([
    ['nothing', EMPTY_RULE_SET, []],
    [
      'default and common alone',
      ruleSet([policy('default', [], ['drop']), policy('common', [], ['drop'], ['drop'])]),
      [],
    ],
    ['a list in use', ruleSet([policy('a', BOTH, ['drop dst=@l'])], { l: PREFIXES }), []],
    ['a list in use by ingress', ruleSet([policy('a', BOTH, [], ['drop src=@l'])], { l: PREFIXES }), []],
    ['a list in use by common', ruleSet([policy('common', [], ['drop dst=@l'])], { l: PREFIXES }), []],
    ['a missing list', ruleSet([policy('a', BOTH, ['drop dst=@l'])]), ['fault unknown-list a']],
    ['a list that nobody uses', ruleSet([], { l: PREFIXES }), ['warning unused-list l']],
    ...(
      [
        ['accept everything', [], ['drop dst=@l', 'accept'], true],
        ['drop all but the firewall', [], ['drop dst=@l', 'accept specialtarget=dns'], false],
        ['accept the web alone', [], ['drop dst=@l', 'accept proto=tcp dstports=443'], false],
        ['accept a resolver alone', [], ['drop dst=@l', 'accept dst4=9.9.9.9 proto=udp dstports=53'], false],
        ['accept DNS by TLS', [], ['drop dst=@l', 'accept proto=tcp dstports=853'], true],
        ['drop it first', ['drop dst=@l', 'drop proto=udp dstports=53'], ['accept proto=udp'], true],
        [
          'drop all of it first',
          [
            'drop dst=@l',
            ...['udp', 'tcp'].flatMap((proto) => [
              `drop proto=${proto} dstports=53`,
              `drop proto=${proto} dstports=853`,
            ]),
          ],
          ['accept'],
          false,
        ],
      ] as const
    ).map(([what, common, own, isOpen]): [string, RuleSet, readonly string[]] => [
      `names blocked, and rules that ${what}`,
      ruleSet([policy('a', BOTH, own), policy('common', [], common)], {
        l: nameListOf(['a.test'], 'firewall'),
      }),
      isOpen ? ['warning resolvers-open a'] : [],
    ]),
    [
      'names not listed refused, with everything else accepted',
      ruleSet([{ ...policy('a', BOTH, []), defaultAction: 'accept', unlisted: 'nxdomain' }]),
      ['warning resolvers-open a'],
    ],
    [
      'names not to be resolved',
      ruleSet([policy('a', BOTH, ['drop dst=@l'])], { l: namesList(1, false) }),
      ['fault names-not-resolvable a'],
    ],
    [
      'as many names as can be',
      ruleSet([policy('a', BOTH, ['drop dst=@l'])], { l: namesList(RESOLVED_NAMES_MAX, true) }),
      [],
    ],
    [
      'a name more',
      ruleSet([policy('a', BOTH, ['drop dst=@l'])], { l: namesList(RESOLVED_NAMES_MAX + 1, true) }),
      ['fault too-many-names a'],
    ],
    [
      'prefixes for default',
      ruleSet([policy('default', ['10.0.0.1'], [])]),
      ['fault reserved-policy default'],
    ],
    [
      'a list that no rule could name',
      ruleSet([], { resolved: nameListOf([], true) }),
      ['fault reserved-list resolved', 'warning unused-list resolved'],
    ],
    [
      'a list with wildcards',
      ruleSet([], { n: nameListOf(['a.example', '*.b.example'], false) }),
      ['fault unsupported n', 'warning unused-list n'],
    ],
    ['prefixes for common', ruleSet([policy('common', ['::1'], [])]), ['fault reserved-policy common']],
    ['drops of first', ruleSet([policy('first', [], ['drop dst4=1.2.3.4'], ['drop'])]), []],
    [
      'names dropped by first',
      ruleSet([policy('first', [], ['drop dsthost=a.test', 'drop dst=@l'])], {
        l: nameListOf(['b.test'], 'firewall'),
      }),
      [],
    ],
    ['prefixes for first', ruleSet([policy('first', ['::1'], [])]), ['fault reserved-policy first']],
    [
      'an accept in first',
      ruleSet([policy('first', [], ['drop', 'accept'])]),
      ['fault reserved-policy first'],
    ],
    [
      'an accept of ingress in first',
      ruleSet([policy('first', [], [], ['accept'])]),
      ['fault reserved-policy first'],
    ],
    [
      'exceptions of first',
      ruleSet([policy('first', [], [], [], { ingress: ['drop'] })]),
      ['fault reserved-policy first'],
    ],
    [
      'a default action of first',
      ruleSet([{ ...policy('first', [], []), defaultAction: 'accept' }]),
      ['fault reserved-policy first'],
    ],
    [
      'how first answers blocked names',
      ruleSet([{ ...policy('first', [], []), blocked: 'null' }]),
      ['fault reserved-policy first'],
    ],
    [
      'how first answers other names',
      ruleSet([{ ...policy('first', [], []), unlisted: 'answer' }]),
      ['fault reserved-policy first'],
    ],
    [
      'names blocked by first, and a policy that accepts everything',
      ruleSet([policy('first', [], ['drop dst=@l']), policy('a', BOTH, ['accept'])], {
        l: nameListOf(['a.test'], 'firewall'),
      }),
      ['warning resolvers-open a'],
    ],
    [
      'first alone, which leaves boot mode in force',
      ruleSet([policy('first', [], ['drop'])], {}, { unmatched: undefined }),
      [],
    ],
    ['ingress of default', ruleSet([policy('default', [], [], ['drop'])]), ['fault reserved-policy default']],
    [
      'ingress exceptions of default',
      ruleSet([policy('default', [], [], [], { ingress: ['drop'] })]),
      ['fault reserved-policy default'],
    ],
    ['egress exceptions of default', ruleSet([policy('default', [], [], [], { egress: ['drop'] })]), []],
    [
      'exceptions of common',
      ruleSet([policy('common', [], [], [], { egress: ['drop'] })]),
      ['fault reserved-policy common'],
    ],
    [
      'a list that only an exception uses',
      ruleSet([policy('a', BOTH, [], [], { egress: ['drop dst=@l'] })], { l: PREFIXES }),
      [],
    ],
    [
      'a missing list of an exception',
      ruleSet([policy('a', BOTH, [], [], { ingress: ['drop src=@l'] })]),
      ['fault unknown-list a'],
    ],
    ['IPv4 only', ruleSet([policy('a', ['10.0.0.1'], [])]), ['warning policy-of-one-family a']],
    ['IPv6 only', ruleSet([policy('a', ['fd00::1'], [])]), ['warning policy-of-one-family a']],
    [
      'qubes that no policy names, of which nothing is said',
      ruleSet([policy('a', BOTH, [])], {}, { unmatched: undefined }),
      ['warning unmatched-not-said '],
    ],
    ['qubes that no policy names, left', ruleSet([policy('a', BOTH, [])], {}, { unmatched: 'accept' }), []],
    [
      'qubes that no policy names, judged by default',
      ruleSet([policy('a', BOTH, []), policy('default', [], [])], {}, { unmatched: undefined }),
      [],
    ],
    ['no prefixes', ruleSet([policy('a', [], ['drop'])]), ['warning policy-without-prefixes a']],
    [
      'two policies with one prefix, and one within the other’s',
      ruleSet([policy('a', ['10.0.0.0/8', 'fd00::/8'], []), policy('b', ['10.0.0.0/9', 'fd00::/8'], [])]),
      ['fault duplicate-policy-prefix b'],
    ],
    [
      'faults come before warnings',
      ruleSet([policy('a', [], ['drop dst=@x', 'drop dst=@y'])], { l: PREFIXES }),
      [
        'fault unknown-list a',
        'fault unknown-list a',
        'warning unused-list l',
        'warning policy-without-prefixes a',
      ],
    ],
  ])('%s', (_, set, expected) => {
    const problems = checkRuleSet(set);
    expect(problems.map(({ severity, code, part }) => `${severity} ${code} ${part}`)).toEqual(expected);
    for (const { reason, part } of problems) expect(reason).toContain(part);
  });
});

describe('what becomes of the other family of a policy of one', () => {
  const only = policy('a', ['10.0.0.1'], []);

  it.each<[string, readonly Policy[], Partial<RuleSet>]>([
    ['is judged by policies.default', [only, policy('default', [], [])], {}],
    ['is dropped (unmatched: drop)', [only], { unmatched: 'drop' }],
    ['is judged by common and then dropped', [only, policy('common', [], ['drop'])], { unmatched: 'drop' }],
    ['is left to the other tables (unmatched: accept)', [only], { unmatched: 'accept' }],
    ['not even judged by common', [only, policy('common', [], ['drop'])], { unmatched: undefined }],
  ])('%s', (text, policies, more) => {
    const problems = checkRuleSet(ruleSet(policies, {}, more));
    expect(problems.find(({ code }) => code === 'policy-of-one-family')?.reason).toContain(text);
  });
});

//
describe('whether a rule set decides', () => {
  it.each<[string, RuleSet, boolean, boolean]>([
    ['lists only', ruleSet([], { l: PREFIXES }, { unmatched: undefined }), false, false],
    ['unmatched only', ruleSet([]), true, false],
    ['common only', ruleSet([policy('common', [], ['drop'])], {}, { unmatched: undefined }), true, true],
    ['default only', ruleSet([policy('default', [], ['drop'])], {}, { unmatched: undefined }), true, false],
    ['a policy and unmatched', ruleSet([policy('a', BOTH, [])]), true, false],
  ])('%s', (_, set, says, open) => {
    expect(saysAnything(set)).toBe(says);
    expect(leavesUnmatchedOpen(set)).toBe(open);
  });
});

describe('what a rule set uses', () => {
  const set = ruleSet(
    [
      policy(
        'a',
        ['10.0.0.1'],
        ['drop dst=@hosts', 'drop dsthost=z.test'],
        ['drop srchost=b.test', 'drop src=@nets'],
      ),
      policy('common', [], ['drop dsthost=n0.test']),
    ],
    { hosts: namesList(2, true), others: namesList(3, true), nets: PREFIXES },
  );

  it('lists of both directions', () => {
    expect([...usedLists(set.policies.values())].sort()).toEqual(['hosts', 'nets']);
  });

  it('names of rules and of resolvable lists in use, sorted and once', () => {
    expect(usedNames(set)).toEqual(['b.test', 'n0.test', 'n1.test', 'z.test']);
  });

  //
  it('a name without resolution stands for nothing', () => {
    expect(resolutionOf(set, 'z.test').v4.lengths.length).toBe(0);
  });
});

describe("what needs the firewall's own DNS", () => {
  const lists = { ads: nameListOf(['a.test'], 'firewall'), nets: PREFIXES };
  const own = { own: nameListOf(['nas.test'], 'firewall-private') };
  const drop = policy('a', BOTH, ['drop dst=@ads']);
  it.each<[string, RuleSet, boolean, boolean]>([
    ['a list that no rule uses', ruleSet([policy('a', BOTH, ['drop dst=@nets'])], lists), false, false],
    ['names that may be private, and no rule uses', ruleSet([], own), false, true],
    ['a rule that drops by a list', ruleSet([drop], lists), true, true],
    [
      'an exception that accepts by one',
      ruleSet([policy('a', BOTH, [], [], { egress: ['accept dst=@ads'] })], lists),
      true,
      true,
    ],
    ['a list of names for the publisher', ruleSet([drop], { ads: namesList(1, true) }), false, false],
    ['what is resolved', ruleSet([policy('a', BOTH, ['accept dst=@resolved'])]), true, true],
    ['an answer for what is blocked', ruleSet([{ ...policy('a', BOTH, []), blocked: 'null' }]), true, true],
    [
      'an answer for what no list has',
      ruleSet([{ ...policy('a', BOTH, []), unlisted: 'nxdomain' }]),
      true,
      true,
    ],
  ])('%s', (_, set, needs, concerns) => {
    expect([needsFirewallDns(set), concernsFirewallDns(set)]).toEqual([needs, concerns]);
  });
});
