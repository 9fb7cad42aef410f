/**
 * Guards of pushes: what nobody does by accident, and a download that failed does. They hold in the
 * publisher, whoever pushes by whatever way, and each is opened by the permit of its own name alone. Their
 * thresholds are those of the feeds (docs/sources.md). Pure.
 *
 * A list may block or admit, so both ways are guarded: to empty a block list opens, and to fill a list of
 * what is accepted does too.
 */

import { LIST_DEFAULTS } from '@rulecast/formats';
import {
  COMMON_POLICY,
  DEFAULT_POLICY,
  type Direction,
  entryCount,
  type Family,
  judgesIngress,
  type List,
  PIECE_PARTS,
  type Pieces,
  type Policy,
  type RuleSet,
  runRuleCount,
  runsOf,
} from '@rulecast/rules';
import {
  coverageFinding,
  type Finding,
  FindingCode,
  kindFinding,
  sizeFinding,
  wholeFamilies,
  wholeFinding,
} from '@rulecast/sources';
import { acceptingPolicies, acceptsAll, isForEverybody } from './openness.ts';
import type { GuardedPush, GuardRefusal, PermitName } from './refusal.ts';
import { unmatchedRefusals } from './unmatched.ts';
import { WIDER, widerLists, widerText } from './wider.ts';

export const PushGuardCode = { acceptAll: 'accept-all', dropAll: 'drop-all' } as const;

/** Lists, and drop rules of policies, are asked for what they lose from here on. */
const SHRINK_FROM = 64;
const LIMITS = { ...LIST_DEFAULTS, shrinkFromEntries: SHRINK_FROM };

const PERMIT_OF: Readonly<Record<FindingCode, PermitName>> = {
  [FindingCode.empty]: 'empty',
  [FindingCode.shrunk]: 'shrink',
  [FindingCode.grown]: 'growth',
  [FindingCode.coverage]: 'coverage',
  [FindingCode.coverageChanged]: 'coverage',
  [FindingCode.all]: 'all',
  [FindingCode.kind]: 'kind',
};

/**
 * What guards have against a push, permitted or not; nothing: it may be released. In pieces: ten thousand
 * policies take half a second.
 */
export function* pushRefusals(push: GuardedPush): Pieces<readonly GuardRefusal[]> {
  const { before, after, isOfSource } = push;
  const refusals: GuardRefusal[] = [...(yield* widerRefusals(push))];
  let looked = 0;
  for (const [name, list] of after.lists) {
    if (++looked % PIECE_PARTS === 0) yield;
    const earlier = before.lists.get(name);
    if (list === earlier || isOfSource(name)) continue;
    refusals.push(...refusalsOf(`list ${name}`, listFindings(earlier, list)));
  }
  for (const policy of after.policies.values()) {
    if (++looked % PIECE_PARTS === 0) yield;
    const earlier = before.policies.get(policy.name);
    if (earlier === undefined || policy === earlier) continue;
    refusals.push(...refusalsOf(`policy ${policy.name}`, dropFindings(earlier, policy)));
  }
  refusals.push(...unmatchedRefusals(push));
  if (push.isFirst) return refusals;
  return [...refusals, ...(yield* acceptAllRefusals(push)), ...dropAllRefusals(push)];
}

function* widerRefusals({ before, after, isOfSource }: GuardedPush): Pieces<readonly GuardRefusal[]> {
  const pushed = new Map([...after.lists].filter(([name]) => !isOfSource(name)));
  const wider = yield* widerLists(before, pushed, after.policies, { isFirst: false });
  return [...wider].flatMap(([name, found]) => {
    if (!found.isAccepted) return [];
    const reason = `${widerText(found)}, and rules accept it: look at what you push, then add --allow-wider`;
    const part = `list ${name}`;
    return [{ guard: WIDER, part, permit: 'wider', before: 0, after: found.count, reason } as const];
  });
}

function refusalsOf(part: string, findings: readonly (Finding | undefined)[]): readonly GuardRefusal[] {
  const refusals: GuardRefusal[] = [];
  for (const finding of findings) {
    if (finding === undefined) continue;
    const permit = PERMIT_OF[finding.code];
    const { code, before, after, text } = finding;
    const reason = `${text}: look at what you push, then add --allow-${permit}`;
    refusals.push({ guard: code, part, permit, before, after, reason });
  }
  return refusals;
}

function listFindings(before: List | undefined, after: List): readonly (Finding | undefined)[] {
  const counts = { before: before === undefined ? 0 : entryCount(before), after: entryCount(after) };
  const isChange = before !== undefined && counts.before > 0;
  if (counts.after === 0) {
    if (before !== undefined && !isChange) return []; // it was empty
    const text = isChange ? `it has ${counts.before} entries and would have none` : 'there is nothing in it';
    return [{ code: FindingCode.empty, ...counts, text }];
  }
  const whole = wholeFinding(wholeFamilies(after), before === undefined ? [] : wholeFamilies(before));
  const kind = isChange ? kindFinding(before, after) : undefined;
  const size = isChange && kind === undefined ? sizeFinding(counts.before, counts.after, LIMITS) : undefined;
  return [kind, size, whole, coverageFinding(before, after, LIMITS)];
}

/** What a policy drops is as a block list: most of it does not go unasked. */
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
    for (const run of runsOf(policy, direction, block))
      if (run.match.action !== 'accept') count += runRuleCount(run);
  }
  return count;
}

function* acceptAllRefusals({ before, after, now }: GuardedPush): Pieces<readonly GuardRefusal[]> {
  const refusals: GuardRefusal[] = [];
  let looked = 0;
  for (const policy of after.policies.values()) {
    if (++looked % PIECE_PARTS === 0) yield;
    if (policy.name === COMMON_POLICY) continue;
    const earlier = before.policies.get(policy.name);
    if (earlier === undefined && !isForEverybody(policy)) continue; // who writes a new policy says what it is for
    const opened = openedBy(before, earlier, after, policy, now);
    if (opened === undefined) continue;
    const reason = `it would accept ${opened}: look at what you push, then add --allow-accept-all`;
    const part = `policy ${policy.name}`;
    refusals.push({
      guard: PushGuardCode.acceptAll,
      part,
      permit: 'accept-all',
      before: 0,
      after: 1,
      reason,
    });
  }
  return refusals;
}

/** In words, what a policy accepts all of that it, or nothing, accepted all of before. */
function openedBy(
  before: RuleSet,
  earlier: Policy | undefined,
  after: RuleSet,
  policy: Policy,
  now: number,
): string | undefined {
  for (const direction of ['egress', 'ingress'] as const) {
    const isOpen = (ruleSet: RuleSet, judging: Policy, family: Family): boolean =>
      judges(judging, direction) && acceptsAll(ruleSet, judging, direction, family, now);
    const families = ([4, 6] as const).filter(
      (family) =>
        isOpen(after, policy, family) && (earlier === undefined || !isOpen(before, earlier, family)),
    );
    if (families.length === 0) continue;
    const what = families.length === 2 ? 'everything' : `everything by IPv${families[0]}`;
    const whose = policy.name === DEFAULT_POLICY ? 'qubes that no other policy names' : 'its qubes';
    return direction === 'egress' ? `${what} that ${whose} send` : `${what} that is sent to ${whose}`;
  }
  return undefined;
}

/** Ingress is judged only where a policy has rules for it. */
function judges(policy: Policy, direction: Direction): boolean {
  return direction === 'egress' || judgesIngress(policy);
}

function dropAllRefusals({ before, after, now }: GuardedPush): readonly GuardRefusal[] {
  if (after.policies.size === 0 || acceptingPolicies(after, now, 1).length > 0) return [];
  const accepting = acceptingPolicies(before, now).length;
  if (accepting === 0) return [];
  const changed = [...after.policies.values()].filter(
    (policy) => before.policies.get(policy.name) !== policy,
  );
  const cause = changed.find(({ name }) => name === COMMON_POLICY) ?? changed[0];
  const part = cause === undefined ? '' : `policy ${cause.name}`;
  const reason = 'nothing that qubes send would be accepted any more: if that is meant, add --yes';
  return [{ guard: PushGuardCode.dropAll, part, permit: 'drop-all', before: accepting, after: 0, reason }];
}
