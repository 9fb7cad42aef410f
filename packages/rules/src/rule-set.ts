/**
 * Rule sets: all lists and all policies, with the addresses that names resolve to; and the checks that make
 * one valid.
 */

import { isOfPrivateNames, type List, namesOfFirewall, namesOpenedBy, prefixCount } from './list.ts';
import { compareHostNames, RESOLVED_LIST } from './name.ts';
import { plainNames } from './name-set.ts';
import { openedLists, reasonLeftOpen, reasonsNotOfDns, reasonsNotOpened } from './name-terms.ts';
import { hasWildcards, nameTexts } from './names.ts';
import { atOnce, Pace, PIECE_PARTS, type Pieces } from './pieces.ts';
import {
  COMMON_POLICY,
  DEFAULT_POLICY,
  FIRST_POLICY,
  formsOf,
  isForAllQubes,
  judgesIngress,
  type Policy,
  policyOfSameRuns,
  policyRuleCount,
} from './policy.ts';
import { formatPrefixAt } from './prefix.ts';
import { EMPTY_PREFIX_SET, type PrefixSet } from './prefix-set.ts';
import type { Action } from './rule.ts';
import { suggestion } from './suggestion.ts';

/** Missing lists for which a near name is looked for, among all lists: more are no slips of the pen. */
const SUGGESTIONS_MAX = 16;
/** Most names of a list that rules may use by resolution. */
export const RESOLVED_NAMES_MAX = 4096;

export interface RuleSet {
  readonly lists: ReadonlyMap<string, List>;
  /** By name; `default`, `common` and `first` are among them if given. */
  readonly policies: ReadonlyMap<string, Policy>;
  /**
   * The addresses of each name that a rule, or a list with `resolve`, uses. A missing name has no addresses.
   */
  readonly resolutions: ReadonlyMap<string, PrefixSet>;
  /**
   * The action for egress of qubes outside all policies' prefixes, after `common`, if there is no policy
   * `default`. `accept` leaves it to the other tables of the firewall (verdict none). Undefined: such qubes
   * are not judged at all, not even by `common`.
   */
  readonly unmatched: Action | undefined;
}

export const EMPTY_RULE_SET: RuleSet = {
  lists: new Map(),
  policies: new Map(),
  resolutions: new Map(),
  unmatched: undefined,
};

/** The number of policies besides `first`, which lets nothing pass. */
export function policyCount({ policies }: Pick<RuleSet, 'policies'>): number {
  return policies.size - (policies.has(FIRST_POLICY) ? 1 : 0);
}

/**
 * Whether a rule set decides what passes. Without policies and `unmatched` it does not: what applied before
 * stays in force, as in boot mode, except that `first` drops.
 */
export function saysAnything(ruleSet: RuleSet): boolean {
  return policyCount(ruleSet) > 0 || ruleSet.unmatched !== undefined;
}

/**
 * The rule set to enforce instead of one that decides nothing: `boot`, after the drops of the other's
 * `first`.
 */
export function bootBehindFirst(boot: RuleSet, { lists, policies, resolutions }: RuleSet): RuleSet {
  const first = policies.get(FIRST_POLICY);
  if (first === undefined) return boot;
  return { ...boot, lists, resolutions, policies: new Map([[FIRST_POLICY, first], ...boot.policies]) };
}

/** Whether a rule set has policies, but no action for the qubes outside all of them. */
export function leavesUnmatchedOpen(ruleSet: RuleSet): boolean {
  const { policies, unmatched } = ruleSet;
  return policyCount(ruleSet) > 0 && !policies.has(DEFAULT_POLICY) && unmatched === undefined;
}

/** A fault makes a rule set unfit for release; a warning is told at push. */
export interface RuleSetProblem {
  readonly severity: 'fault' | 'warning';
  readonly code: RuleSetProblemCode;
  /** The list or policy it is about. */
  readonly part: string;
  readonly reason: string;
  /** With `unknown-list`: which. */
  readonly missingList?: string;
}

export const RuleSetProblemCode = {
  unknownList: 'unknown-list',
  wildcards: 'unsupported',
  unresolvedNames: 'names-not-resolvable',
  tooManyNames: 'too-many-names',
  notOfDns: 'not-of-dns',
  notOpened: 'accept-by-name',
  duplicatePrefix: 'duplicate-policy-prefix',
  reservedPolicy: 'reserved-policy',
  reservedList: 'reserved-list',
  unusedList: 'unused-list',
  noPrefixes: 'policy-without-prefixes',
  oneFamily: 'policy-of-one-family',
  unmatchedOpen: 'unmatched-not-said',
  resolversOpen: 'resolvers-open',
} as const;
export type RuleSetProblemCode = (typeof RuleSetProblemCode)[keyof typeof RuleSetProblemCode];

/**
 * Whether rules or policies say what only the firewall's own DNS can do. A list that no rule uses needs
 * nothing.
 */
export function needsFirewallDns({ lists, policies }: Pick<RuleSet, 'lists' | 'policies'>): boolean {
  const { used, areNamesAnswered } = dnsUseOf(policies);
  return areNamesAnswered || [...used].some((list) => namesOpenedBy(lists, list) !== undefined);
}

/** Whether the firewall's own DNS needs this rule set: for its rules, or for names that may be private. */
export function concernsFirewallDns(ruleSet: Pick<RuleSet, 'lists' | 'policies'>): boolean {
  return needsFirewallDns(ruleSet) || [...ruleSet.lists.values()].some(isOfPrivateNames);
}

/** Whether rules accept all that the firewall's own DNS answers. */
export function opensResolved({ policies }: Pick<RuleSet, 'policies'>): boolean {
  return dnsUseOf(policies).used.has(RESOLVED_LIST);
}

interface DnsUse {
  /** Lists in rules. */
  readonly used: ReadonlySet<string>;
  /** A policy sets how names are answered. */
  readonly areNamesAnswered: boolean;
}

/** Cache key: the policies, which do not change. */
const dnsUseKnown = new WeakMap<RuleSet['policies'], DnsUse>();

function dnsUseOf(policies: RuleSet['policies']): DnsUse {
  const known = dnsUseKnown.get(policies);
  if (known !== undefined) return known;
  const all = [...policies.values()];
  const areNamesAnswered = all.some(({ blocked, unlisted }) => (blocked ?? unlisted) !== undefined);
  const use = { used: usedLists(all), areNamesAnswered };
  dnsUseKnown.set(policies, use);
  return use;
}

/** Whether rules accept by lists of names, so that addresses must be opened before the answer is sent. */
export function opensByName(ruleSet: Pick<RuleSet, 'lists' | 'policies'>): boolean {
  return needsFirewallDns(ruleSet) && openedLists(ruleSet).size > 0;
}

/** The addresses of a name; none if it was never resolved. */
export function resolutionOf(ruleSet: RuleSet, name: string): PrefixSet {
  return ruleSet.resolutions.get(name) ?? EMPTY_PREFIX_SET;
}

/** The names that some policy's rule allows to resolve to private addresses. */
export function privateNames(policies: Iterable<Policy>): Set<string> {
  const names = new Set<string>();
  for (const { match, remote } of formsOf(policies))
    if (match.isPrivate === true && remote.kind === 'name') names.add(remote.name);
  return names;
}

/** Whether a rule of a policy is for a name. */
export function asksNames(policy: Policy): boolean {
  for (const { remote } of formsOf([policy])) if (remote.kind === 'name') return true;
  return false;
}

/** The lists that the rules of some policies use. */
export function usedLists(policies: Iterable<Policy>): Set<string> {
  const used = new Set<string>();
  for (const { remote } of formsOf(policies)) if (remote.kind === 'list') used.add(remote.list);
  return used;
}

/** The same rule set, of the policies and blocks of `before` wherever they say the same. */
export function* ruleSetOfSameRuns(before: RuleSet, after: RuleSet): Pieces<RuleSet> {
  const policies = new Map<string, Policy>();
  let isOther = false;
  const pace = new Pace();
  for (const [name, policy] of after.policies) {
    if (pace.isOver) yield;
    const old = before.policies.get(name);
    const same = old === undefined || old === policy ? policy : policyOfSameRuns(old, policy);
    pace.take(old === policy ? 0 : policyRuleCount(policy));
    policies.set(name, same);
    isOther ||= same !== policy;
  }
  return isOther ? { ...after, policies } : after;
}

/** The names whose addresses the rules need, sorted: of `dsthost=`, and of the resolvable lists in use. */
export function usedNames(ruleSet: RuleSet): readonly string[] {
  return nameUses(ruleSet).names;
}

/** The names in use, and what needs each: the name of a policy, or `@` and the name of a list. */
export function nameUses(ruleSet: RuleSet): NameUses {
  const known = namesKnown.get(ruleSet.policies);
  if (known?.lists === ruleSet.lists) return known;
  const owners = new Map<string, string>();
  for (const policy of ruleSet.policies.values()) {
    for (const { remote } of formsOf([policy]))
      if (remote.kind === 'name') owners.set(remote.name, policy.name);
  }
  for (const listName of usedLists(ruleSet.policies.values())) {
    const list = ruleSet.lists.get(listName);
    if (list?.kind === 'names' && list.resolve === true)
      for (const name of nameTexts(list.names)) if (!owners.has(name)) owners.set(name, `@${listName}`);
  }
  const uses = { lists: ruleSet.lists, names: [...owners.keys()].sort(compareHostNames), owners };
  namesKnown.set(ruleSet.policies, uses);
  return uses;
}

interface NameUses {
  readonly lists: RuleSet['lists'];
  readonly names: readonly string[];
  readonly owners: ReadonlyMap<string, string>;
}

/** Name uses cached by policies, with the lists they were found with; both are immutable. */
const namesKnown = new WeakMap<RuleSet['policies'], NameUses>();

/** Problems cached by rule set, which is immutable. */
const problemsKnown = new WeakMap<RuleSet, readonly RuleSetProblem[]>();

/**
 * The purpose of a check: `enforce` for a firewall, which must support every form; `explain` for a tool that
 * shows what a rule set means, and accepts forms not enforced yet.
 */
export type RuleSetUse = 'enforce' | 'explain';

/** Everything that is wrong or odd about a rule set as a whole; faults first. */
export function checkRuleSet(ruleSet: RuleSet, use: RuleSetUse = 'enforce'): readonly RuleSetProblem[] {
  return atOnce(checkPieces(ruleSet, use));
}

/** The same in pieces: ten thousand policies take a quarter of a second. */
export function* checkPieces(
  ruleSet: RuleSet,
  use: RuleSetUse = 'enforce',
): Pieces<readonly RuleSetProblem[]> {
  const known = use === 'enforce' ? problemsKnown.get(ruleSet) : undefined;
  if (known !== undefined) return known;
  const problems = [
    ...(yield* listProblems(ruleSet)),
    ...dnsProblems(ruleSet, use),
    ...reservedProblems(ruleSet.policies),
    ...(yield* prefixProblems(ruleSet.policies)),
    ...unmatchedProblems(ruleSet),
  ];
  const sorted = [
    ...problems.filter((problem) => problem.severity === 'fault'),
    ...problems.filter((problem) => problem.severity === 'warning'),
  ];
  if (use === 'enforce') problemsKnown.set(ruleSet, sorted);
  return sorted;
}

function* listProblems(ruleSet: RuleSet): Pieces<readonly RuleSetProblem[]> {
  const problems: RuleSetProblem[] = [];
  const used = new Set<string>();
  const near = new Map<string, string>();
  let looked = 0;
  for (const policy of ruleSet.policies.values()) {
    if (++looked % PIECE_PARTS === 0) yield;
    for (const name of usedLists([policy])) {
      used.add(name);
      const list = ruleSet.lists.get(name);
      if (list === undefined && near.size < SUGGESTIONS_MAX && !near.has(name))
        near.set(name, suggestion(name, ruleSet.lists.keys()));
      const problem = listUseProblem(policy.name, name, list, near.get(name));
      if (problem !== undefined) problems.push(problem);
    }
  }
  for (const [name, list] of ruleSet.lists) {
    if (++looked % PIECE_PARTS === 0) yield;
    if (list.kind === 'names' && namesOfFirewall(list) === undefined && hasWildcards(list.names)) {
      const { suffixCount } = plainNames(list);
      const reason = `list ${name} has entries for names below others (${suffixCount}), and only the firewall's DNS knows those: say resolve: firewall for it, or suffixes: as-names to take their names alone`;
      problems.push({ severity: 'fault', code: RuleSetProblemCode.wildcards, part: name, reason });
    }
    if (name === RESOLVED_LIST) {
      const reason = `no list may be called ${RESOLVED_LIST}: dst=@${RESOLVED_LIST} means what the firewall's DNS answered; give it another name`;
      problems.push({ severity: 'fault', code: RuleSetProblemCode.reservedList, part: name, reason });
    }
    if (used.has(name) || isOfPrivateNames(list)) continue;
    const reason = `no rule uses list ${name}: it is carried and decides nothing; use it with dst=@${name}`;
    problems.push({ severity: 'warning', code: RuleSetProblemCode.unusedList, part: name, reason });
  }
  return problems;
}

function listUseProblem(
  part: string,
  name: string,
  list: List | undefined,
  near: string | undefined,
): RuleSetProblem | undefined {
  const fault = (code: RuleSetProblemCode, reason: string): RuleSetProblem => ({
    severity: 'fault',
    code,
    part,
    reason,
  });
  if (list === undefined) {
    if (name === RESOLVED_LIST) return undefined;
    const reason = `policy ${part} uses list ${name}, which does not exist${near || ': push it too'}`;
    return { ...fault(RuleSetProblemCode.unknownList, reason), missingList: name };
  }
  if (list.kind === 'prefixes' || namesOfFirewall(list) !== undefined) return undefined;
  if (list.resolve !== true) {
    const reason = `policy ${part} uses ${name}, a list of names: say resolve: publisher, or firewall, for it in a rule set document`;
    return fault(RuleSetProblemCode.unresolvedNames, reason);
  }
  if (list.names.count <= RESOLVED_NAMES_MAX) return undefined;
  const reason = `list ${name} has ${list.names.count} names; rules can use a list of at most ${RESOLVED_NAMES_MAX} by resolution`;
  return fault(RuleSetProblemCode.tooManyNames, reason);
}

/** Rules that the firewall's DNS could not follow, or does not yet, and what goes past it. */
function dnsProblems(ruleSet: RuleSet, use: RuleSetUse): readonly RuleSetProblem[] {
  if (!needsFirewallDns(ruleSet)) return [];
  const { policies, lists } = ruleSet;
  return [...policies.values()].flatMap((policy) => {
    const problem = (code: RuleSetProblemCode) => (reason: string) => {
      return { severity: 'fault' as const, code, part: policy.name, reason };
    };
    const open = isForAllQubes(policy.name) ? undefined : reasonLeftOpen(policies, policy, lists);
    const { resolversOpen } = RuleSetProblemCode;
    return [
      ...(open === undefined ? [] : [{ ...problem(resolversOpen)(open), severity: 'warning' as const }]),
      ...reasonsNotOfDns(policy, lists).map(problem(RuleSetProblemCode.notOfDns)),
      ...(use === 'explain' ? [] : reasonsNotOpened(policy, lists)).map(
        problem(RuleSetProblemCode.notOpened),
      ),
    ];
  });
}

function reservedProblems(policies: ReadonlyMap<string, Policy>): readonly RuleSetProblem[] {
  const problems: RuleSetProblem[] = [];
  for (const policy of policies.values()) {
    const { name, prefixes, exceptions } = policy;
    const reserved = name === DEFAULT_POLICY || isForAllQubes(name);
    const prefixTotal = prefixCount(prefixes);
    const fault = (reason: string): void => {
      problems.push({ severity: 'fault', code: RuleSetProblemCode.reservedPolicy, part: name, reason });
    };
    if (reserved && prefixTotal > 0) fault(`policy ${name} takes no prefixes: give the policy another name`);
    if (name === DEFAULT_POLICY && judgesIngress(policy))
      fault('policy default has no ingress rules: give a policy the prefix 0.0.0.0/0 for that');
    if (name === COMMON_POLICY && exceptions.egress.count + exceptions.ingress.count > 0)
      fault('common has no exceptions: nothing comes before it; write them as its first rules');
    if (name === FIRST_POLICY) for (const reason of firstFaults(policy)) fault(reason);
    if (!reserved && prefixTotal === 0) {
      const reason = `policy ${name} has no prefixes: it judges nothing`;
      problems.push({ severity: 'warning', code: RuleSetProblemCode.noPrefixes, part: name, reason });
    }
  }
  return problems;
}

/** An accept in `first` would open something for all qubes, past every policy. */
function* firstFaults(policy: Policy): Generator<string> {
  const { exceptions, defaultAction, blocked, unlisted } = policy;
  const matches = [...formsOf([policy])].map(({ match }) => match);
  if (matches.some(({ action }) => action !== 'drop')) yield FIRST_ACCEPTS;
  if (exceptions.egress.count + exceptions.ingress.count > 0)
    yield 'first has no exceptions: nothing comes before it';
  if (defaultAction !== 'drop') yield 'first has no default action: what it does not drop goes on';
  if ((blocked ?? unlisted) !== undefined)
    yield 'first has neither blocked nor unlisted: a policy or common says how names are answered';
}

export const FIRST_ACCEPTS =
  'policy first has drops alone, for it comes before everything and for all qubes: accept in common, or in a policy of certain qubes';

/** Warnings about packets outside all policies' prefixes, where the result may surprise. */
function unmatchedProblems(ruleSet: RuleSet): readonly RuleSetProblem[] {
  const problems: RuleSetProblem[] = [];
  const otherwise = unmatchedText(ruleSet);
  for (const { name, prefixes } of ruleSet.policies.values()) {
    if (name === DEFAULT_POLICY || isForAllQubes(name)) continue; // faults, if they have prefixes
    const hasV4 = prefixes.v4.lengths.length > 0;
    const hasV6 = prefixes.v6.lengths.length > 0;
    if (hasV4 === hasV6) continue;
    const [has, lacks] = hasV4 ? ['IPv4', 'IPv6'] : ['IPv6', 'IPv4'];
    const reason = `policy ${name} has ${has} prefixes only: what its qubes send over ${lacks} ${otherwise}; give it their ${lacks} prefixes too`;
    problems.push({ severity: 'warning', code: RuleSetProblemCode.oneFamily, part: name, reason });
  }
  if (leavesUnmatchedOpen(ruleSet)) {
    const reason = `nothing says what happens to qubes that no policy names: what they send ${otherwise}; ${UNMATCHED_CHOICE}`;
    problems.push({ severity: 'warning', code: RuleSetProblemCode.unmatchedOpen, part: '', reason });
  }
  return problems;
}

/** The lines from which a rule set without the setting must choose one. */
export const UNMATCHED_CHOICE =
  'write "unmatched: drop" at the top level of a rule set document, or "unmatched: accept" to leave them to the other tables of the firewall';

/** A phrase on what happens to egress outside all policies' prefixes; it follows its subject. */
function unmatchedText({ policies, unmatched }: RuleSet): string {
  if (policies.has(DEFAULT_POLICY)) return 'is judged by policies.default';
  const common = policies.has(COMMON_POLICY) ? 'is judged by common and then ' : 'is ';
  switch (unmatched) {
    case 'drop':
      return `${common}dropped (unmatched: drop)`;
    case 'accept':
      return `${common}left to the other tables (unmatched: accept)`;
    case undefined:
      return policies.has(COMMON_POLICY)
        ? 'is left to the other tables, not even judged by common'
        : 'is left to the other tables';
  }
}

function* prefixProblems(policies: ReadonlyMap<string, Policy>): Pieces<readonly RuleSetProblem[]> {
  const problems: RuleSetProblem[] = [];
  const owners = new Map<string, string>();
  let looked = 0;
  for (const policy of policies.values()) {
    if (++looked % PIECE_PARTS === 0) yield;
    for (const column of [policy.prefixes.v4, policy.prefixes.v6]) {
      for (let i = 0; i < column.lengths.length; i++) {
        const text = formatPrefixAt(column, i);
        const owner = owners.get(text);
        if (owner === undefined) owners.set(text, policy.name);
        else {
          const reason = `policies ${owner} and ${policy.name} both have the prefix ${text}`;
          problems.push({
            severity: 'fault',
            code: RuleSetProblemCode.duplicatePrefix,
            part: policy.name,
            reason,
          });
        }
      }
    }
  }
  return problems;
}
