/**
 * Rows to rules, and back: adds the active rows to a pushed rule set, and takes them out again. Pure.
 *
 *   for all qubes   drops, the first rules of `first`
 *   for one         the first exceptions of the policy of its address alone
 *   cut             likewise, both ways; without such a policy, one of its address alone
 *   names           a list for all that are said alike and end alike, judged by the firewall's DNS
 *
 *   base ─withRows─▶ what is released ─baseOf─▶ base
 *
 * If several rows stand in one policy, the newest comes first, and a cut before all.
 */

import {
  type Address,
  bitsOf,
  columnFor,
  combineSets,
  DEFAULT_POLICY,
  type Direction,
  emptyPolicy,
  FIRST_POLICY,
  formAt,
  formatAddress,
  isForAllQubes,
  judgesIngress,
  judgingPolicy,
  memberContaining,
  nameListOf,
  namesOpenedBy,
  type Policy,
  parseAddress,
  plainRule,
  policyRuleCount,
  prefixAt,
  prefixSetOf,
  type Remote,
  type Rule,
  type RuleSet,
  RunBuilder,
  type Runs,
  subtractPrefixes,
  unionPrefixes,
} from '@rulecast/rules';
import { cutPolicyName, holderIn, isCutPolicy, isMark, isRowsList, rowsListName } from './mark.ts';
import { type Row, rowText, targetOf } from './rows.ts';

export interface RuleSetWithRows {
  readonly ruleSet: RuleSet;
  /** Which rows are not in it, why, and what to do; undefined: all are. */
  readonly fault?: string | undefined;
}

/** Rows without a place that are named. Our choice. */
const FAULTS_SHOWN = 16;

// ── Rows to rules ──────────────────────────────────────────────────────────────────────────────────────────

/** The pushed rule set with the rules of some rows, all of them active. The same object if there are none. */
export function withRows(base: RuleSet, rows: readonly Row[]): RuleSetWithRows {
  if (rows.length === 0) return { ruleSet: base };
  const lists = new Map(base.lists);
  const policies = new Map(base.policies);
  const places = new Map<string, Row[]>();
  const faulty: Row[] = [];
  for (const row of cutsFirst(rows.toReversed())) {
    const place = needOf(row, base) === undefined ? placeOf(row, base) : undefined;
    if (place === undefined) faulty.push(row);
    else grouped(places, place, row);
  }
  for (const [place, those] of places) {
    for (const [list, names] of namesLists(those)) lists.set(list, nameListOf(names, 'firewall'));
    const holder = isCutPolicy(place) ? putCut(policies, base, those[0]?.qube) : undefined;
    const policy = policies.get(place) ?? emptyPolicy(place);
    // Ingress only where that is judged already: the default would drop the rest.
    const judges = place === FIRST_POLICY || isCutPolicy(place) || judgesIngress(policy);
    const rules = rulesOf(those, lists, judges, holder);
    policies.set(
      place,
      changed(policy, (runs, direction) => ahead(rules[direction], runs)),
    );
  }
  return { ruleSet: { ...base, lists, policies }, fault: faultText(faulty, base) };
}

function cutsFirst(rows: readonly Row[]): readonly Row[] {
  return [...rows.filter(({ verb }) => verb === 'cut'), ...rows.filter(({ verb }) => verb !== 'cut')];
}

/** The policy that gets a row's rule; undefined if there is none. */
export function placeOf({ verb, qube }: Row, base: RuleSet): string | undefined {
  if (qube === undefined) return FIRST_POLICY;
  const own = ownPolicies(base).get(qube)?.name;
  return own ?? (verb === 'cut' ? cutPolicyName(qube) : undefined);
}

/** What a row lacks before it can become a rule; undefined: nothing. */
function needOf(row: Row, base: RuleSet): string | undefined {
  if (placeOf(row, base) === undefined) return 'stands in the policy of that address alone';
  const target = targetOf(row.target ?? '');
  return target?.kind !== 'list' || base.lists.has(target.list) ? undefined : `needs list ${target.list}`;
}

function faultText(rows: readonly Row[], base: RuleSet): string | undefined {
  const [first] = rows;
  if (first === undefined) return undefined;
  const ids = rows.slice(0, FAULTS_SHOWN).map(({ id }) => id);
  return `${rowText(first)} (row ${first.id}) ${needOf(first, base)}, which would be gone: keep that, or rulectl blocks --remove ${ids.join(',')}`;
}

function grouped<K, V>(groups: Map<K, V[]>, key: K, value: V): void {
  const group = groups.get(key);
  if (group === undefined) groups.set(key, [value]);
  else group.push(value);
}

/** The list that the name of a row is gathered in; undefined: it is for no name. */
function namesListOf({ verb, target = '', qube, until }: Row): string | undefined {
  return targetOf(target)?.kind === 'name' ? rowsListName(verb, qube, until) : undefined;
}

/** The lists of names that rows take, with what is in them: names and all below. */
export function namesLists(rows: readonly Row[]): ReadonlyMap<string, readonly string[]> {
  const lists = new Map<string, string[]>();
  for (const row of rows) {
    const list = namesListOf(row);
    if (list !== undefined) grouped(lists, list, `.${row.target}`);
  }
  return lists;
}

/**
 * Adds an empty policy for the address alone, and removes the address from the policy that lists it among
 * others, whose name is returned.
 */
function putCut(policies: Map<string, Policy>, base: RuleSet, text = ''): string | undefined {
  const qube = parseAddress(text);
  if (qube === undefined) return undefined;
  const prefixes = prefixSetOf([{ ...qube, length: bitsOf(qube.family) }]);
  const name = cutPolicyName(text);
  policies.set(name, { ...emptyPolicy(name), prefixes });
  const holder = policies.get(holderOf(base, qube) ?? '');
  if (holder !== undefined)
    policies.set(holder.name, {
      ...holder,
      prefixes: combineSets(subtractPrefixes, holder.prefixes, prefixes),
    });
  return holder?.name;
}

/** One rule a direction for each row, or for those whose names are in one list. */
function rulesOf(
  rows: readonly Row[],
  lists: RuleSet['lists'],
  judgesIngress: boolean,
  holder: string | undefined,
): Readonly<Record<Direction, readonly Rule[]>> {
  const rules: Record<Direction, Rule[]> = { egress: [], ingress: [] };
  const groups = new Map<string | number, Row[]>();
  for (const row of rows) grouped(groups, namesListOf(row) ?? row.id, row);
  for (const group of groups.values()) {
    const [row] = group as [Row, ...Row[]]; // a group has one
    const { verb, target = '', until } = row;
    const list = namesListOf(row);
    const remote: Remote =
      list === undefined ? (targetOf(target) ?? { kind: 'any' }) : { kind: 'list', list };
    const isOfNames = remote.kind === 'list' && namesOpenedBy(lists, remote.list) !== undefined;
    const expire = verb === 'cut' ? undefined : until; // it ends by a release
    const comment = markOf(row, group.length - 1, holder);
    const rule = { ...plainRule(verb === 'allow' ? 'accept' : 'drop'), expire, comment, remote };
    rules.egress.push(rule);
    if (verb === 'cut' || (verb === 'block' && judgesIngress && !isOfNames)) rules.ingress.push(rule);
  }
  return rules;
}

/**
 * The comment of a rule made from a row. It marks the rule as ours, and people read it where rules are shown.
 */
function markOf({ id, verb, comment }: Row, others: number, holder: string | undefined): string {
  const of = holder === undefined ? '' : ` of ${holder}`;
  const why = comment === undefined ? '' : `: ${comment}`;
  return `rulectl ${verb} ${id}${of}${others > 0 ? ` and ${others} more` : why}`;
}

/** A policy with changed rules in the blocks of rows; the same object if they are the same. */
function changed(policy: Policy, change: (runs: Runs, direction: Direction) => Runs): Policy {
  const isFirst = policy.name === FIRST_POLICY;
  const before = isFirst ? policy : policy.exceptions;
  const after = { egress: change(before.egress, 'egress'), ingress: change(before.ingress, 'ingress') };
  if (after.egress === before.egress && after.ingress === before.ingress) return policy;
  return isFirst ? { ...policy, ...after } : { ...policy, exceptions: after };
}

function ahead(rules: readonly Rule[], runs: Runs): Runs {
  if (rules.length === 0) return runs;
  const builder = new RunBuilder(runs);
  for (const rule of rules) builder.push(rule);
  builder.pushRules(runs);
  return builder.build();
}

// ── Where the rows of a qube stand ─────────────────────────────────────────────────────────────────────────

const ownersKnown = new WeakMap<RuleSet['policies'], ReadonlyMap<string, Policy>>();

/** By address: the policy for that address alone, or for one address of each family. */
export function ownPolicies({ policies }: Pick<RuleSet, 'policies'>): ReadonlyMap<string, Policy> {
  const known = ownersKnown.get(policies);
  if (known !== undefined) return known;
  const owners = new Map<string, Policy>();
  for (const policy of policies.values()) {
    if (policy.name === DEFAULT_POLICY || isForAllQubes(policy.name)) continue;
    const columns = [policy.prefixes.v4, policy.prefixes.v6];
    const isAlone = columns.every(
      ({ family, lengths }) =>
        lengths.length === 0 || (lengths.length === 1 && lengths[0] === bitsOf(family)),
    );
    if (!isAlone) continue;
    for (const column of columns)
      if (column.lengths.length === 1) owners.set(formatAddress(prefixAt(column, 0)), policy);
  }
  ownersKnown.set(policies, owners);
  return owners;
}

/** The policy that names this very address beside others: two policies cannot have it. */
function holderOf(base: RuleSet, qube: Address): string | undefined {
  const policy = judgingPolicy(base, qube, 'egress');
  if (policy === undefined) return undefined;
  const column = columnFor(policy.prefixes, qube.family);
  const at = memberContaining(column, qube.words);
  return column.lengths[at] === bitsOf(qube.family) ? policy.name : undefined;
}

// ── Rules to what was pushed ───────────────────────────────────────────────────────────────────────────────

const basesKnown = new WeakMap<RuleSet, RuleSet>();

/** A rule set without the rules made from rows; the same object if there are none. */
export function baseOf(ruleSet: RuleSet): RuleSet {
  const known = basesKnown.get(ruleSet);
  if (known !== undefined) return known;
  const base = withoutRows(ruleSet);
  basesKnown.set(ruleSet, base);
  basesKnown.set(base, base);
  return base;
}

function withoutRows(ruleSet: RuleSet): RuleSet {
  const lists = new Map([...ruleSet.lists].filter(([name]) => !isRowsList(name)));
  const policies = new Map<string, Policy>();
  const cuts: Policy[] = [];
  let isOther = lists.size < ruleSet.lists.size;
  for (const [name, policy] of ruleSet.policies) {
    const own = isCutPolicy(name) ? undefined : pushedPart(policy);
    isOther ||= own !== policy;
    if (own === undefined) cuts.push(policy);
    else if (own === policy || name !== FIRST_POLICY || policyRuleCount(own) > 0) policies.set(name, own);
  }
  if (!isOther) return ruleSet;
  for (const { exceptions, prefixes } of cuts) {
    const holder = policies.get(holderIn(exceptions.egress.forms[0]?.match.comment) ?? '');
    if (holder !== undefined)
      policies.set(holder.name, {
        ...holder,
        prefixes: combineSets(unionPrefixes, holder.prefixes, prefixes),
      });
  }
  return { ...ruleSet, lists, policies };
}

/** By policy, so that a policy that stays is one object without rows as well. */
const partsKnown = new WeakMap<Policy, Policy>();

/** A policy without the marked rules that its first rules are. */
function pushedPart(policy: Policy): Policy {
  const part = partsKnown.get(policy) ?? changed(policy, behindMarks);
  partsKnown.set(policy, part);
  return part;
}

function behindMarks(runs: Runs): Runs {
  let run = 0;
  while (run < runs.count && isMark(formAt(runs, run).match.comment)) run++;
  if (run === 0) return runs;
  const builder = new RunBuilder(runs);
  builder.pushRules(runs, runs.starts[run]!); // one more than runs
  return builder.build();
}
