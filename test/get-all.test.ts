/** `rulectl get`: a document that says what a release says, or a part of it, and nothing else. */

import { parseDocument } from '@rulecast/formats';
import { type ControlRecord, diffRuleSets } from '@rulecast/protocol';
import {
  COMMON_POLICY,
  type Direction,
  EMPTY_RULE_SET,
  FIRST_POLICY,
  formatPrefixAt,
  formatRule,
  type List,
  nameListOf,
  type Policy,
  type PrefixSet,
  parsePrefix,
  parseRule,
  prefixListOf,
  prefixSetOf,
  type RuleSet,
  RunBuilder,
  type Runs,
  rulesIn,
} from '@rulecast/rules';
import { expect, it } from 'vitest';
import type { ControlExchange } from '../packages/publisher/src/control/exchange.ts';
import type { ControlParts } from '../packages/publisher/src/control/parts.ts';
import { answerDiff } from '../packages/publisher/src/requests/diff.ts';
import {
  addToParts,
  documentLines,
  type PartLines,
  partLines,
} from '../packages/rulectl/src/render/document.ts';
import { randomCase } from '../packages/table/test/random-rule-set.ts';
import { Random } from './kit/random.mjs';
import { often } from './thorough.ts';

/** The longest comment, short ones, and what YAML could read otherwise. */
const COMMENTS = ['x'.repeat(4096), `${'y: '.repeat(1000)}y`, 'a: b', 'a - [b] _', 'ends with:', 'c'];
const NAME_LISTS: readonly List[] = [
  nameListOf(['ads.example', '.below.example', '.co.uk', '1e3', 'true', '0x10.example'], 'firewall'),
  nameListOf(['nas.lan'], 'firewall-private'),
  nameListOf(['.below.example', 'c.b.below.example'], 'firewall', ['.b.below.example', '*.d.below.example']),
  nameListOf([], 'firewall'),
  nameListOf([], false),
];

/** A rule set that has all that rules, lists and policies can say. */
function richCase(seed: number): RuleSet {
  const random = new Random(seed);
  const { ruleSet } = randomCase(seed, 40);
  const lists = new Map(
    [...ruleSet.lists].map(([name, list]): [string, List] => [
      name,
      list.kind === 'prefixes' ? prefixListOf(readSet(list)) : list,
    ]),
  );
  NAME_LISTS.forEach((list, i) => void (random.chance(0.5) && lists.set(`n${i}`, list)));
  const policies = [...ruleSet.policies].map(([name, policy]): [string, Policy] => {
    const said = (runs: Runs, direction: Direction) => saidRules(runs, direction, random);
    const blocked = random.pick([undefined, 'nxdomain', 'refused', 'null'] as const);
    const unlisted = random.pick([undefined, 'answer', 'nxdomain'] as const);
    const { exceptions } = policy;
    const own = { egress: said(policy.egress, 'egress'), ingress: said(policy.ingress, 'ingress') };
    if (name === FIRST_POLICY) return [name, { ...policy, ...own }];
    const rich: Policy = {
      ...policy,
      prefixes: readSet(policy.prefixes),
      defaultAction: name === COMMON_POLICY ? 'drop' : policy.defaultAction, // it is asked for nobody
      ...(blocked !== undefined && { blocked }),
      ...(unlisted !== undefined && { unlisted }),
      exceptions: {
        egress: said(exceptions.egress, 'egress'),
        ingress: said(exceptions.ingress, 'ingress'),
      },
      ...own,
    };
    return [name, rich];
  });
  return { ...ruleSet, lists, policies: new Map(policies) };
}

/** What readers make of prefixes: IPv6 that is mapped IPv4 is that. */
function readSet({ v4, v6 }: PrefixSet): PrefixSet {
  const texts = [v4, v6].flatMap((column) => Array.from(column.lengths, (_, i) => formatPrefixAt(column, i)));
  return prefixSetOf(texts.map(parsePrefix).filter((read) => typeof read !== 'string'));
}

/** The rules that the grammar has, some with a comment. */
function saidRules(runs: Runs, direction: Direction, random: Random): Runs {
  const said = new RunBuilder();
  for (const plain of rulesIn(runs)) {
    const rule = random.chance(0.3) ? { ...plain, comment: random.pick(COMMENTS) } : plain;
    const read = parseRule(formatRule(rule, direction), direction, 0);
    if (read.kind === 'rule') said.push(read.rule);
  }
  return said.build();
}

/** What DIFF from nothing answers of it. */
async function recordsOf(ruleSet: RuleSet): Promise<readonly ControlRecord[]> {
  const records: ControlRecord[] = [];
  const exchange = {
    record: (record: ControlRecord) => Promise.resolve(void records.push(record)),
    done: () => Promise.resolve(),
  };
  const { changes } = diffRuleSets(EMPTY_RULE_SET, ruleSet);
  const publisher = {
    head: { manifest: { version: 1 } },
    history: { changes: () => Promise.resolve({ changes, isKnown: true }) },
  };
  await answerDiff(
    { kind: 'diff', from: 0, stats: false },
    exchange as unknown as ControlExchange,
    { publisher } as unknown as ControlParts,
  );
  return records;
}

async function partsOf(ruleSet: RuleSet): Promise<readonly PartLines[]> {
  const parts: PartLines[] = [];
  for (const record of await recordsOf(ruleSet)) addToParts(parts, record);
  return parts;
}

async function documentOf(ruleSet: RuleSet): Promise<string> {
  return [...documentLines(1, await partsOf(ruleSet), new Map())].join('\n');
}

it('says what the release says: read again, nothing differs', async () => {
  for (let seed = 1; seed <= often(60, 5000); seed++) {
    const ruleSet = richCase(seed);
    const text = await documentOf(ruleSet);
    const read = parseDocument('all.yaml', Buffer.from(text), 0, () => undefined);
    expect(read.rejects, text.slice(0, 2000)).toEqual([]);
    const { lists, policies, unmatched } = read;
    const again = { ...EMPTY_RULE_SET, lists, policies, unmatched, resolutions: ruleSet.resolutions };
    expect(diffRuleSets(ruleSet, again).changes, `seed ${seed}`).toEqual([]);
  }
});

it('says of each part alone what that says', async () => {
  const ruleSet = richCase(1);
  const lists = new Map<string, List>();
  const policies = new Map<string, Policy>();
  for (const part of await partsOf(ruleSet)) {
    if (part.kind === 'unmatched' || part.kind === 'resolutions') continue;
    const text = [...partLines(1, part, new Map())].join('\n');
    const read = parseDocument('part.yaml', Buffer.from(text), 0, () => undefined);
    expect([read.rejects, read.lists.size + read.policies.size], text.slice(0, 2000)).toEqual([[], 1]);
    for (const [name, list] of read.lists) lists.set(name, list);
    for (const [name, policy] of read.policies) policies.set(name, policy);
  }
  expect(diffRuleSets(ruleSet, { ...ruleSet, lists, policies }).changes).toEqual([]);
  expect([lists.size, policies.size]).toEqual([ruleSet.lists.size, ruleSet.policies.size]);
});

it('is a document of nothing where a release has nothing', async () => {
  const read = parseDocument('all.yaml', Buffer.from(await documentOf(EMPTY_RULE_SET)), 0, () => undefined);
  expect(read).toMatchObject({ rejects: [], lists: new Map(), policies: new Map() });
});
