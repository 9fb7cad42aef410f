/**
 * A policy as rules of `qvm-firewall`, which a firewall of Qubes without a subscriber can enforce. Pure: a
 * rule set in; canonical lines, or why there are none, out.
 *
 *   first ─▶ exceptions ─▶ common ─▶ own ─▶ default action      the order in which they judge egress
 *   neighbours that are alike but for the remote side ─▶ one set of prefixes, aggregated ─▶ a line for each
 */

import {
  aggregatePrefixes,
  COMMON_POLICY,
  canonicalPrefixes,
  combineSets,
  EMPTY_PREFIX_SET,
  eachRun,
  exceptionCount,
  FIRST_POLICY,
  firstPolicyOf,
  formatRule,
  formKey,
  namesOpenedBy,
  nameTermsOf,
  nameTexts,
  type Policy,
  type PrefixSet,
  plainRule,
  prefixAt,
  type Rule,
  type RuleMatch,
  type RuleSet,
  type Run,
  type Runs,
  ruleCount,
  runRuleCount,
  unionPrefixes,
} from '@rulecast/rules';
import { formatAmount } from '../render/amounts.ts';

/**
 * Most bytes of the lines of a qube: dom0 takes a request of 65,536 bytes (`buffer_size` of qubesd), its head
 * included, which has 92 for two qubes whose names have 31 letters.
 */
export const QUBES_RULES_MAX_BYTES = 65_536 - 92;

export interface QubesRules {
  /** In canonical form. */
  readonly lines: readonly string[];
  /**
   * Reasons why they would differ in meaning, or cannot be loaded; if there are any, use none of the lines.
   */
  readonly refusals: readonly string[];
}

/** Consecutive rules that differ only in their remote sides. */
interface Group {
  readonly key: string;
  readonly match: RuleMatch;
  prefixes: PrefixSet;
  readonly names: Set<string>;
  isAny: boolean;
}

interface Block {
  /** For messages. */
  readonly title: string;
  readonly egress: Runs;
  readonly ingress: Runs;
}

/** The rules of `qvm-firewall` for the qubes of a policy. */
export function qubesRulesOf(ruleSet: RuleSet, policy: Policy): QubesRules {
  const blocks = blocksOf(ruleSet, policy);
  const refusals = [...ingressRefusals(blocks), ...termRefusals(ruleSet, policy)];
  const groups: Group[] = [];
  for (const { title, egress } of blocks) {
    let rule = 0;
    for (const run of eachRun(egress)) {
      const refusal = addTo(groups, run, ruleSet);
      if (refusal !== undefined) refusals.push(`${title}, egress rule ${rule + 1}: ${refusal}`);
      rule += runRuleCount(run);
    }
  }
  const lines = groups.flatMap(linesOf);
  lines.push(formatRule(plainRule(policy.defaultAction), 'egress'));
  const bytes = lines.reduce((sum, line) => sum + line.length + 1, 0);
  if (bytes > QUBES_RULES_MAX_BYTES)
    refusals.push(
      `policy ${policy.name}: ${formatAmount(lines.length, 'line')} of ${formatAmount(bytes, 'byte')}, and dom0 takes at most ${formatAmount(QUBES_RULES_MAX_BYTES, 'byte')} for a qube: use shorter lists`,
    );
  return { lines, refusals };
}

function blocksOf(ruleSet: RuleSet, policy: Policy): readonly Block[] {
  const first = firstPolicyOf(ruleSet.policies);
  const common = ruleSet.policies.get(COMMON_POLICY);
  return [
    ...(first === undefined ? [] : [{ ...first, title: FIRST_POLICY }]),
    { ...policy.exceptions, title: `policy ${policy.name}, exceptions` },
    ...(common === undefined ? [] : [{ ...common, title: COMMON_POLICY }]),
    { ...policy, title: `policy ${policy.name}` },
  ];
}

/** Also of `common`, which judges ingress only where the policy itself does: who wrote it expects it. */
function ingressRefusals(blocks: readonly Block[]): readonly string[] {
  return blocks.flatMap(({ title, ingress }) => {
    const count = ruleCount(ingress);
    if (count === 0) return [];
    return [
      `${title}: ${formatAmount(count, 'ingress rule')}, and qvm-firewall judges only what a qube sends`,
    ];
  });
}

function termRefusals({ policies }: RuleSet, policy: Policy): readonly string[] {
  const { unlisted } = nameTermsOf(policies, policy);
  if (unlisted === 'answer') return [];
  const place = policy.unlisted === undefined ? COMMON_POLICY : `policy ${policy.name}`;
  return [`${place}: unlisted: ${unlisted} is for the firewall's own DNS, which qvm-firewall does not have`];
}

/** Adds a run to the last group, or begins the next one; returns why the run cannot be said. */
function addTo(groups: Group[], { match, remote }: Run, { lists }: RuleSet): string | undefined {
  const { isPrivate: _, ...own } = match; // qvm-firewall takes private addresses of a name in any case
  const key = formKey({ match: own, remote: { kind: 'any' } });
  const last = groups.at(-1);
  const group =
    last?.key === key
      ? last
      : { key, match: own, prefixes: EMPTY_PREFIX_SET, names: new Set<string>(), isAny: false };
  if (group !== last) groups.push(group);
  switch (remote.kind) {
    case 'any':
      group.isAny = true;
      return undefined;
    case 'prefixes': {
      const { family } = remote.prefixes;
      const column = canonicalPrefixes(remote.prefixes);
      join(group, family === 4 ? { ...EMPTY_PREFIX_SET, v4: column } : { ...EMPTY_PREFIX_SET, v6: column });
      return undefined;
    }
    case 'name':
      group.names.add(remote.name);
      return undefined;
    case 'list':
      return addList(group, remote.list, lists);
  }
}

function addList(group: Group, name: string, lists: RuleSet['lists']): string | undefined {
  if (namesOpenedBy(lists, name) !== undefined)
    return `dst=@${name} goes by what the firewall's own DNS answers, which qvm-firewall does not have: use a list with resolve: publisher`;
  const list = lists.get(name);
  if (list === undefined) return `no list is called ${name}`;
  if (list.kind === 'prefixes') join(group, list);
  else if (list.resolve === true && exceptionCount(list) === 0)
    for (const host of nameTexts(list.names)) group.names.add(host);
  else
    return `dst=@${name}: only single names without exceptions can be written, for a list with resolve: publisher`;
  return undefined;
}

function join(group: Group, set: PrefixSet): void {
  group.prefixes = combineSets(unionPrefixes, group.prefixes, set);
}

function linesOf({ match, prefixes, names, isAny }: Group): readonly string[] {
  const lineOf = (remote: Rule['remote']): string => formatRule({ ...match, remote }, 'egress');
  if (isAny) return [lineOf({ kind: 'any' })];
  const lines = [prefixes.v4, prefixes.v6]
    .map(aggregatePrefixes)
    .flatMap((column) =>
      Array.from(column.lengths, (_, i) => lineOf({ kind: 'prefix', prefix: prefixAt(column, i) })),
    );
  return [...lines, ...Array.from(names, (name) => lineOf({ kind: 'name', name }))];
}
