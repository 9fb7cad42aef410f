/**
 * Guards of pushes. They refuse changes that are rarely wanted, and that a mistake or a failed download
 * makes. They refuse changes that a mistake or a failed download makes and a person seldom wants. They run in
 * the publisher for every way to a release, and only a permit with the refusal's code overrides one. Their
 * thresholds are those of the feeds (docs/reference/guards.md). Pure.
 *
 * A list may block or admit, so both directions are guarded: emptying a block list opens, and so does filling
 * a list that rules accept.
 */

import { LIST_DEFAULTS } from '@rulecast/formats';
import {
  COMMON_POLICY,
  type Direction,
  emptyPolicy,
  entryCount,
  FIRST_POLICY,
  type List,
  PIECE_PARTS,
  type Pieces,
  type Policy,
  policyCount,
  runsOf,
} from '@rulecast/rules';
import {
  coverageFinding,
  type Finding,
  FindingCode,
  kindFinding,
  listSizeFinding,
  sizeFinding,
  wholeFamilies,
  wholeFinding,
} from '@rulecast/sources';
import { OPENED, openedRefusals } from './opened.ts';
import { acceptingPolicies, firstDropsAll } from './openness.ts';
import { isPermitCode } from './permits.ts';
import type { GuardedPush, GuardRefusal } from './refusal.ts';
import { asks, type Guard } from './table.ts';
import { unmatchedRefusals } from './unmatched.ts';
import { unsupportedRefusals } from './unsupported.ts';
import { WIDER, widerLists, widerText } from './wider.ts';

export const PushGuardCode = { acceptAll: OPENED, dropAll: 'drop-all' } as const;

/** A list of fewer entries, and a policy of fewer drop rules, may lose any number of them. */
const SHRINK_FROM = 64;
const LIMITS = { ...LIST_DEFAULTS, shrinkFromEntries: SHRINK_FROM };

/**
 * The refusals of a push, permitted or not; empty if it may be released. In pieces, since ten thousand
 * policies take half a second.
 */
export function* pushRefusals(push: GuardedPush): Pieces<readonly GuardRefusal[]> {
  const { before, after, way, role, isOfSource } = push;
  const isAsked = (guard: Guard): boolean => asks(guard, way, role);
  const refusals: GuardRefusal[] = [...(yield* widerRefusals(push))];
  let looked = 0;
  for (const [name, list] of after.lists) {
    if (++looked % PIECE_PARTS === 0) yield;
    const earlier = before.lists.get(name);
    if (list === earlier || !isAsked(isOfSource(name) ? 'sourceLists' : 'lists')) continue;
    refusals.push(...refusalsOf(`list ${name}`, listFindings(earlier, list)));
  }
  const isFirstGone = before.policies.has(FIRST_POLICY) && !after.policies.has(FIRST_POLICY);
  const gone = isFirstGone ? [emptyPolicy(FIRST_POLICY)] : [];
  for (const policy of [...after.policies.values(), ...gone]) {
    if (++looked % PIECE_PARTS === 0) yield;
    const earlier = before.policies.get(policy.name);
    if (earlier === undefined || policy === earlier || !isAsked('drops')) continue;
    refusals.push(...refusalsOf(`policy ${policy.name}`, dropFindings(earlier, policy)));
  }
  if (isAsked('unmatched')) refusals.push(...unmatchedRefusals(push));
  if (isAsked('unsupported')) refusals.push(...unsupportedRefusals(push));
  const isHopeless = refusals.some(({ guard }) => !isPermitCode(guard));
  if (isAsked('opened') && !isHopeless) refusals.push(...(yield* openedRefusals(push)));
  if (isAsked('dropAll')) refusals.push(...dropAllRefusals(push));
  return refusals;
}

function* widerRefusals({
  before,
  after,
  way,
  role,
  isOfSource,
}: GuardedPush): Pieces<readonly GuardRefusal[]> {
  const isAsked = (list: string): boolean => asks(isOfSource(list) ? 'sourceLists' : 'wider', way, role);
  const pushed = new Map([...after.lists].filter(([name]) => isAsked(name)));
  const wider = yield* widerLists(before, pushed, after.policies, { isFirst: false });
  return [...wider].flatMap(([name, found]) => {
    if (!found.isAccepted) return [];
    const reason = `${widerText(found)}, and rules accept it`;
    return [{ guard: WIDER, part: `list ${name}`, before: 0, after: found.count, reason }];
  });
}

function refusalsOf(part: string, findings: readonly (Finding | undefined)[]): readonly GuardRefusal[] {
  const found = findings.filter((finding) => finding !== undefined);
  return found.map(({ code: guard, before, after, text: reason }) => ({
    guard,
    part,
    before,
    after,
    reason,
  }));
}

function listFindings(before: List | undefined, after: List): readonly (Finding | undefined)[] {
  const counts = { before: before === undefined ? 0 : entryCount(before), after: entryCount(after) };
  const isChange = before !== undefined && counts.before > 0;
  if (counts.after === 0) {
    if (before !== undefined && !isChange) return []; // it was empty
    const text = isChange ? `it has ${counts.before} entries and would have none` : 'there is no entry in it';
    return [{ code: FindingCode.empty, ...counts, text }];
  }
  const whole = wholeFinding(wholeFamilies(after), before === undefined ? [] : wholeFamilies(before));
  const kind = isChange ? kindFinding(before, after) : undefined;
  const size = isChange && kind === undefined ? listSizeFinding(before, after, LIMITS) : undefined;
  return [kind, size, whole, coverageFinding(before, after, LIMITS)];
}

/** Treats the drops of a policy like a block list: removing most of them is refused. */
function dropFindings(before: Policy, after: Policy): readonly (Finding | undefined)[] {
  const found = (['egress', 'ingress'] as const).map((direction) => {
    const [earlier, later] = [dropCount(before, direction), dropCount(after, direction)];
    return later < earlier ? sizeFinding(earlier, later, LIMITS, 'drop rules') : undefined;
  });
  return found.filter((finding) => finding !== undefined).slice(0, 1);
}

function dropCount(policy: Policy, direction: Direction): number {
  let count = 0;
  for (const block of ['exceptions', 'own'] as const) {
    const { count: runCount, forms, formOf, starts } = runsOf(policy, direction, block);
    for (let run = 0; run < runCount; run++)
      if (forms[formOf[run]!]?.match.action !== 'accept') count += starts[run + 1]! - starts[run]!; // one more than runs
  }
  return count;
}

function dropAllRefusals({ before, after, now }: GuardedPush): readonly GuardRefusal[] {
  const isByFirst = firstDropsAll(after, now) && !firstDropsAll(before, now);
  const accepting = acceptingPolicies(before, now).length;
  const isOther = accepting > 0 && policyCount(after) > 0 && acceptingPolicies(after, now, 1).length === 0;
  if (!isByFirst && !isOther) return [];
  const changed = [...after.policies.values()].filter(
    (policy) => before.policies.get(policy.name) !== policy,
  );
  const shared = isByFirst ? FIRST_POLICY : COMMON_POLICY;
  const cause = changed.find(({ name }) => name === shared) ?? changed[0];
  const part = cause === undefined ? '' : `policy ${cause.name}`;
  const reason = 'nothing that qubes send would be accepted any more';
  return [{ guard: PushGuardCode.dropAll, part, before: accepting, after: 0, reason }];
}
