/**
 * Whether a release newly accepts half of a family, or of its Internet part, for some qubes. The cause does
 * not matter: their policy, `first`, `common`, a list, an expiring rule, another policy in its place, or
 * none. Pure.
 */

import {
  type Action,
  COMMON_POLICY,
  DEFAULT_POLICY,
  type Direction,
  EMPTY_RULE_SET,
  emptyPolicy,
  FIRST_POLICY,
  formsOf,
  type Judge,
  type OpenView,
  opensHalf,
  PIECE_PARTS,
  type Pieces,
  type Policy,
  PROBES,
  plainRule,
  prefixCount,
  type RuleSet,
  runsOfEach,
  saysAnything,
  usedLists,
} from '@rulecast/rules';
import { type JudgePair, judgePairs } from './judges.ts';
import type { GuardedPush, GuardRefusal } from './refusal.ts';
import { asks } from './table.ts';

/** Stable. */
export const OPENED = 'accept-all';
/** The part named in refusals about qubes outside all policies. */
const UNMATCHED = 'unmatched';
/** Pairs for ingress that no policy judges: only `first` may drop some of it. */
const UNJUDGED: readonly JudgePair[] = [
  { family: 4, before: undefined, after: undefined },
  { family: 6, before: undefined, after: undefined },
];
/**
 * Moments at which rules end that are looked at one by one; with more, an accept that ends never did, and a
 * drop has.
 */
const MOMENTS_MAX = 8;
/**
 * Entries laid over one another for one release, some seconds; beyond it, anything not known to be closed
 * counts as open.
 */
const LAID_MAX = 2 ** 26;

/** A rule set that accepts nothing, in either direction. */
const CLOSED_RULES: RuleSet = { ...EMPTY_RULE_SET, unmatched: 'drop' };
const CLOSED: Policy = {
  ...emptyPolicy('none'),
  ingress: runsOfEach([{ match: plainRule('drop'), remote: { kind: 'any' } }]),
};

type Times = Readonly<Record<'before' | 'after', Readonly<Record<Action, number>>>>;

/** One refusal for each that would judge so. In pieces: the cost is that of accepted.ts by changed policy. */
export function* openedRefusals(push: GuardedPush): Pieces<readonly GuardRefusal[]> {
  const { after, way, role } = push;
  const isFirst = !saysAnything(push.before);
  if (!saysAnything(after)) return []; // the guard in unmatched.ts applies instead
  if (isFirst && !asks('firstPolicies', way, role)) return [];
  const before = isFirst ? CLOSED_RULES : push.before;
  const reasons = new Map<string, string>();
  const budget = { left: LAID_MAX };
  const shares: OpenView['shares'] = new Map();
  let looked = 0;
  for (const direction of ['egress', 'ingress'] as const) {
    const judged = yield* judgePairs(before, after, direction);
    const all = direction === 'ingress' ? [...judged, ...UNJUDGED] : judged;
    const pairs = all.filter(changed({ ...push, before }, direction));
    const moments = yield* momentsOf(pairs, { ...push, before });
    for (const { family, probe, times } of viewsOf(moments)) {
      const view = { direction, family, probe, known: new Map(), shares };
      for (const pair of pairs) {
        const part = partOf(pair, direction);
        if (pair.family !== family || reasons.has(part)) continue;
        if (++looked % PIECE_PARTS === 0) yield;
        const earlier = judgeBefore(before, pair, direction, times);
        const later: Judge = { ruleSet: after, policy: pair.after, at: times.after };
        if (yield* opensHalf(earlier, later, view, budget))
          reasons.set(part, reasonFor(pair, direction, probe.text));
      }
    }
  }
  return [...reasons].map(([part, reason]) => ({
    guard: OPENED,
    part,
    before: 0,
    after: 1,
    reason,
  }));
}

function* viewsOf(
  moments: readonly Times[],
): Generator<{ readonly family: 4 | 6; readonly probe: (typeof PROBES)[number]; readonly times: Times }> {
  for (const family of [4, 6] as const)
    for (const probe of PROBES) for (const times of moments) yield { family, probe, times };
}

/** Selects the pairs whose verdicts may have changed, and that this guard covers. */
function changed(
  { before, after, way, role }: GuardedPush,
  direction: Direction,
): (pair: JudgePair) => boolean {
  const lists = new Set(
    [...after.lists.keys()].filter((name) => before.lists.get(name) !== after.lists.get(name)),
  );
  const uses = (policy: Policy | undefined): boolean =>
    policy !== undefined && [...usedLists([policy])].some((list) => lists.has(list));
  const isOther = (name: string): boolean =>
    before.policies.get(name) !== after.policies.get(name) || uses(after.policies.get(name));
  const [isFirstOther, isCommonOther] = [isOther(FIRST_POLICY), isOther(COMMON_POLICY)];
  const asksNew = asks('newPolicies', way, role);
  return (pair) => {
    const isNew = pair.after !== undefined && !before.policies.has(pair.after.name);
    // a new policy is written for its qubes on purpose
    if (isNew && !asksNew && !isForEverybody(pair.after)) return false;
    if (direction === 'ingress' && pair.after === undefined)
      return pair.before === undefined ? isFirstOther : asksNew; // other tables judge ingress from now on
    if (isFirstOther || isCommonOther || pair.before !== pair.after || uses(pair.after)) return true;
    return pair.after === undefined && before.unmatched !== after.unmatched;
  };
}

/**
 * The judge before: a removed list is used by no rule. Ingress without a policy counts as closed, if one
 * judges it afterwards.
 */
function judgeBefore(ruleSet: RuleSet, pair: JudgePair, direction: Direction, { before: at }: Times): Judge {
  if (direction === 'ingress' && pair.before === undefined && pair.after !== undefined)
    return { ruleSet: CLOSED_RULES, policy: CLOSED, at };
  return { ruleSet, policy: pair.before, at };
}

/** The moments to compare: now, and each expiry of a rule in the changed policies. */
function* momentsOf(
  pairs: readonly JudgePair[],
  { before, after, now }: GuardedPush,
): Pieces<readonly Times[]> {
  const ends = new Set<number>([now]);
  const policies = new Set(
    [before, after].flatMap(({ policies }) => [policies.get(FIRST_POLICY), policies.get(COMMON_POLICY)]),
  );
  for (const pair of pairs) policies.add(pair.before).add(pair.after);
  let looked = 0;
  for (const policy of policies) {
    if (policy === undefined) continue;
    if (++looked % PIECE_PARTS === 0) yield;
    for (const { match } of formsOf([policy]))
      if (match.expire !== undefined && match.expire > now && ends.size <= MOMENTS_MAX)
        ends.add(match.expire);
  }
  if (ends.size <= MOMENTS_MAX)
    return [...ends].map((end) => ({
      before: { accept: end, drop: end },
      after: { accept: end, drop: end },
    }));
  const never = Number.POSITIVE_INFINITY;
  return [{ before: { accept: never, drop: now }, after: { accept: now, drop: never } }];
}

/** Whether no policy judges ingress, neither before nor after. */
function isUnjudged({ before, after }: JudgePair, direction: Direction): boolean {
  return direction === 'ingress' && before === undefined && after === undefined;
}

function partOf(pair: JudgePair, direction: Direction): string {
  if (isUnjudged(pair, direction)) return `policy ${FIRST_POLICY}`;
  return pair.after === undefined ? UNMATCHED : `policy ${pair.after.name}`;
}

function reasonFor(pair: JudgePair, direction: Direction, packets: string): string {
  const { family, before, after } = pair;
  const what = `${packets} ${direction === 'egress' ? 'to' : 'from'} half of IPv${family} or more`;
  if (isUnjudged(pair, direction))
    return `it would let ${what} through to qubes whose ingress no policy judges, which first did not`;
  const whose =
    after?.name === DEFAULT_POLICY || after === undefined ? 'qubes that no other policy names' : 'its qubes';
  const past = before === undefined ? 'what was there' : `policy ${before.name}`;
  return `it would accept ${what} for ${whose}, which ${past} did not`;
}

/** Whether a policy is for everybody: those that no other one names, or every address of a family. */
function isForEverybody({ prefixes }: Policy): boolean {
  return prefixCount(prefixes) === 0 || prefixes.v4.lengths.includes(0) || prefixes.v6.lengths.includes(0);
}
