/**
 * Applies a push to the rule set: its parts replace, join or leave those there. Pure: two values in, a rule
 * set or rejects out. One bad line refuses the whole push.
 */

import {
  type Action,
  combineSets,
  DEFAULT_POLICY,
  type DirectedRuns,
  type Direction,
  emptyPolicy,
  entryCount,
  formatRule,
  type List,
  type Policy,
  policyRuleCount,
  prefixCount,
  prefixListOf,
  type RuleSet,
  RunBuilder,
  type Runs,
  rulesIn,
  subtractNames,
  subtractPrefixes,
  unionPrefixes,
  usedLists,
} from '@rulecast/rules';
import { joinLists, type PushAction, type PushedParts } from './pushed.ts';
import type { DocumentReject } from './text/reject.ts';

/** A new rule set, or why there is none. Resolutions are the old ones. */
export type IngestResult =
  | { readonly kind: 'rule-set'; readonly ruleSet: RuleSet; readonly notes: readonly IngestNote[] }
  | { readonly kind: 'rejects'; readonly rejects: readonly DocumentReject[]; readonly rejectCount: number };

/** Something odd that refuses nothing. */
export interface IngestNote {
  readonly code: string;
  readonly part: string;
  readonly reason: string;
}

/** The code of a note about a missing part. */
export const NOTHING_TO_WITHDRAW = 'nothing-to-withdraw';

/** Parts of the rule set that belong to a rules file. */
export interface OwnedParts {
  readonly lists: ReadonlySet<string>;
  readonly policies: ReadonlySet<string>;
  /** Whether it sets the action for qubes outside all policies. */
  readonly unmatched: boolean;
}

export const NO_OWNED_PARTS: OwnedParts = { lists: new Set(), policies: new Set(), unmatched: false };

/** How pushed parts are applied. */
export interface IngestHow {
  readonly action: PushAction;
  /** Remove the parts that were not pushed. */
  readonly replaceAll: boolean;
}

/**
 * Applies what was pushed to `current`. Lists that `isKept` says are kept by a source stay, and cannot be
 * pushed; `replaceAll` leaves `owned` parts, too. Throws TypeError for an action that is none: to take it for
 * another would empty a list, or fill it.
 */
export function ingest(
  current: RuleSet,
  pushed: PushedParts,
  { action, replaceAll }: IngestHow,
  isKept: (list: string) => boolean = () => false,
  owned: OwnedParts = NO_OWNED_PARTS,
): IngestResult {
  if (action !== 'replace' && action !== 'merge' && action !== 'withdraw') {
    throw new TypeError(`action ${JSON.stringify(action)}: write "replace", "merge" or "withdraw"`);
  }
  if (typeof replaceAll !== 'boolean') throw new TypeError('replaceAll: write true or false');
  const { rejects, rejectCount, bare } = pushed;
  if (rejectCount > 0) return { kind: 'rejects', rejects, rejectCount };
  const kept = [...pushed.lists.keys()].filter(isKept).map(keptFault);
  if (kept.length > 0) return { kind: 'rejects', rejects: kept, rejectCount: kept.length };
  const notes: IngestNote[] = [];
  const stays = (names: ReadonlySet<string>, name: string): boolean => !replaceAll || names.has(name);
  const lists = new Map([...current.lists].filter(([name]) => stays(owned.lists, name) || isKept(name)));
  for (const [name, list] of pushed.lists) {
    const fault = combineList(lists, name, keepResolve(current.lists.get(name), list), action, notes);
    if (fault !== undefined) return { kind: 'rejects', rejects: [fault], rejectCount: 1 };
  }
  const policies = new Map([...current.policies].filter(([name]) => stays(owned.policies, name)));
  for (const [name, policy] of pushed.policies) {
    const existing = current.policies.get(name);
    const whole =
      bare.has(name) && action !== 'withdraw' ? withEgress(existing ?? emptyPolicy(name), policy) : policy;
    combinePolicy(policies, name, whole, action, notes);
  }
  dropEmptied(lists, policies, pushed, action);
  const { resolutions } = current;
  const unmatched = combineUnmatched(
    replaceAll && !owned.unmatched ? undefined : current.unmatched,
    pushed.unmatched,
    action,
    notes,
  );
  return { kind: 'rule-set', ruleSet: { lists, policies, resolutions, unmatched }, notes };
}

function keptFault(list: string): DocumentReject {
  const reason = `list ${list} is kept fresh by a source of the publisher's configuration: change that, or give this list another name`;
  return { file: list, line: 1, column: 1, code: 'list-of-a-source', reason };
}

/** Bare rules leave prefixes, default action and ingress of their policy alone. */
function withEgress(existing: Policy, { egress }: Policy): Policy {
  return { ...existing, egress };
}

function combineList(
  lists: Map<string, List>,
  name: string,
  pushed: List,
  action: PushAction,
  notes: IngestNote[],
): DocumentReject | undefined {
  const existing = lists.get(name);
  if (existing === undefined || action === 'replace') {
    if (action === 'withdraw') notes.push(nothingToWithdraw(name));
    else lists.set(name, pushed);
    return undefined;
  }
  const joined = action === 'merge' ? joinLists(existing, pushed) : listWithout(existing, pushed);
  const fault = (code: string, reason: string): DocumentReject => ({
    file: name,
    line: 1,
    column: 1,
    code,
    reason,
  });
  if (joined === undefined) {
    const reason = `list ${name} holds ${existing.kind}; ${pushed.kind} cannot be merged into it or withdrawn from it`;
    return fault('mixed-list', reason);
  }
  lists.set(name, joined);
  return undefined;
}

/** `a` without the entries of `b`; undefined if their kinds differ. */
function listWithout(a: List, b: List): List | undefined {
  if (a.kind === 'prefixes' && b.kind === 'prefixes')
    return prefixListOf(combineSets(subtractPrefixes, a, b));
  if (a.kind !== 'names' || b.kind !== 'names') return undefined;
  return { ...a, ...subtractNames(a, b) };
}

/** A plain file of names does not say whether rules may use them, so the former setting stays. */
function keepResolve(existing: List | undefined, pushed: List): List {
  if (existing?.kind !== 'names' || pushed.kind !== 'names' || pushed.resolve) return pushed;
  return { ...pushed, resolve: existing.resolve };
}

function combinePolicy(
  policies: Map<string, Policy>,
  name: string,
  pushed: Policy,
  action: PushAction,
  notes: IngestNote[],
): void {
  const existing = policies.get(name);
  if (existing === undefined) {
    if (action === 'withdraw') notes.push(nothingToWithdraw(name));
    else policies.set(name, pushed);
    return;
  }
  switch (action) {
    case 'replace':
      policies.set(name, pushed);
      return;
    case 'merge':
      policies.set(name, {
        ...existing, // keeps its settings for names if the pushed one has none
        ...pushed,
        exceptions: joinDirected(existing.exceptions, pushed.exceptions, action),
        prefixes: combineSets(unionPrefixes, existing.prefixes, pushed.prefixes),
        ...joinDirected(existing, pushed, action),
      });
      return;
    case 'withdraw':
      policies.set(name, {
        ...existing,
        exceptions: joinDirected(existing.exceptions, pushed.exceptions, action),
        prefixes: combineSets(subtractPrefixes, existing.prefixes, pushed.prefixes),
        ...joinDirected(existing, pushed, action),
      });
  }
}

/**
 * A word replaces the former one; withdrawing the same word removes it, and withdrawing the other has no
 * effect.
 */
function combineUnmatched(
  existing: Action | undefined,
  pushed: Action | undefined,
  action: PushAction,
  notes: IngestNote[],
): Action | undefined {
  if (action !== 'withdraw') return pushed ?? existing;
  if (pushed === undefined) return existing;
  if (pushed === existing) return undefined;
  notes.push(nothingToWithdraw(`unmatched: ${pushed}`));
  return existing;
}

function joinDirected(
  existing: DirectedRuns,
  pushed: DirectedRuns,
  action: 'merge' | 'withdraw',
): DirectedRuns {
  return {
    egress: joinRules(existing.egress, pushed.egress, 'egress', action),
    ingress: joinRules(existing.ingress, pushed.ingress, 'ingress', action),
  };
}

/** Merge: rules not there yet go to the end, in their order. Withdraw: equal rules leave. */
function joinRules(existing: Runs, pushed: Runs, direction: Direction, action: 'merge' | 'withdraw'): Runs {
  const joined = new RunBuilder();
  pushRules(joined, existing, action === 'merge' ? new Set() : linesOf(pushed, direction), direction);
  if (action === 'merge') pushRules(joined, pushed, linesOf(existing, direction), direction);
  return joined.build();
}

/** Appends rules whose lines are not among `unwanted`. */
function pushRules(
  joined: RunBuilder,
  runs: Runs,
  unwanted: ReadonlySet<string>,
  direction: Direction,
): void {
  if (unwanted.size === 0) joined.pushRules(runs);
  else for (const rule of rulesIn(runs)) if (!unwanted.has(formatRule(rule, direction))) joined.push(rule);
}

function linesOf(runs: Runs, direction: Direction): ReadonlySet<string> {
  const lines = new Set<string>();
  for (const rule of rulesIn(runs)) lines.add(formatRule(rule, direction));
  return lines;
}

/**
 * Removes parts that a withdrawal emptied. A list is removed unless a rule still uses it. A policy is removed
 * once its prefixes are withdrawn too: while it has some, and for `default` always, its default action still
 * judges.
 */
function dropEmptied(
  lists: Map<string, List>,
  policies: Map<string, Policy>,
  pushed: PushedParts,
  action: PushAction,
): void {
  if (action !== 'withdraw') return;
  for (const name of pushed.policies.keys()) {
    const policy = policies.get(name);
    if (policy === undefined || name === DEFAULT_POLICY || prefixCount(policy.prefixes) > 0) continue;
    if (policyRuleCount(policy) === 0) policies.delete(name);
  }
  const used = usedLists(policies.values());
  for (const name of pushed.lists.keys()) {
    const list = lists.get(name);
    if (list !== undefined && entryCount(list) === 0 && !used.has(name)) lists.delete(name);
  }
}

function nothingToWithdraw(part: string): IngestNote {
  return { code: NOTHING_TO_WITHDRAW, part, reason: `there is no ${part} to withdraw from` };
}
