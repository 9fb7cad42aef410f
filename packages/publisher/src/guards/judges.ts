/**
 * The policies that judge qubes, before and after a release. A pair is made for each policy itself, and for
 * each added or removed prefix with the policy of the longest prefix around it. So a policy that takes over
 * some qubes is compared with the one that judged them before. Pure.
 */

import {
  columnFor,
  DEFAULT_POLICY,
  type Direction,
  diffPrefixes,
  EMPTY_PREFIX_SET,
  type Family,
  isForAllQubes,
  judgesIngress,
  PIECE_PARTS,
  type Pieces,
  type Policy,
  type Prefix,
  prefixAt,
  prefixOf,
  type RuleSet,
  samePrefixes,
} from '@rulecast/rules';

/** The policy that judges some qubes, before and after. Undefined: none does. */
export interface JudgePair {
  readonly family: Family;
  readonly before: Policy | undefined;
  readonly after: Policy | undefined;
}

/** All pairs of policies, each once. In pieces. */
export function* judgePairs(
  before: RuleSet,
  after: RuleSet,
  direction: Direction,
): Pieces<readonly JudgePair[]> {
  const pairs = new Map<string, JudgePair>();
  const add = (pair: JudgePair): void => {
    pairs.set(`${pair.family} ${pair.before?.name} ${pair.after?.name}`, pair);
  };
  const others = ({ policies }: RuleSet): Policy | undefined =>
    direction === 'egress' ? policies.get(DEFAULT_POLICY) : undefined;
  const moved: Prefix[] = [];
  if (direction === 'egress')
    for (const family of [4, 6] as const) add({ family, before: others(before), after: others(after) });
  let looked = 0;
  for (const name of new Set([...before.policies.keys(), ...after.policies.keys()])) {
    if (++looked % PIECE_PARTS === 0) yield;
    const [was, is] = [before, after].map(({ policies }) => ofQubes(policies.get(name), direction));
    for (const family of [4, 6] as const) {
      const [old, now] = [was, is].map((policy) => columnFor(policy?.prefixes ?? EMPTY_PREFIX_SET, family));
      if (old === undefined || now === undefined || samePrefixes(old, now)) {
        if (old !== undefined && old.lengths.length > 0) add({ family, before: was, after: is });
        continue;
      }
      if (old.lengths.length > 0 && now.lengths.length > 0) add({ family, before: was, after: is });
      const { removed = [], added } = diffPrefixes(old, now) ?? {};
      for (const at of removed) moved.push(prefixAt(old, at));
      for (let at = 0; at < (added?.lengths.length ?? 0); at++) moved.push(prefixAt(added ?? now, at));
    }
  }
  if (moved.length === 0) return [...pairs.values()];
  const [was, is] = [yield* placesOf(before, direction), yield* placesOf(after, direction)];
  for (const prefix of moved) {
    if (++looked % PIECE_PARTS === 0) yield;
    const [one, other] = [judgeAround(was, prefix), judgeAround(is, prefix)];
    add({ family: prefix.family, before: one ?? others(before), after: other ?? others(after) });
  }
  return [...pairs.values()];
}

/** A policy that judges qubes by their addresses. */
function ofQubes(policy: Policy | undefined, direction: Direction): Policy | undefined {
  if (policy === undefined || isForAllQubes(policy.name) || policy.name === DEFAULT_POLICY) return undefined;
  return direction === 'egress' || judgesIngress(policy) ? policy : undefined;
}

function* placesOf({ policies }: RuleSet, direction: Direction): Pieces<ReadonlyMap<string, Policy>> {
  const places = new Map<string, Policy>();
  let looked = 0;
  for (const each of policies.values()) {
    const policy = ofQubes(each, direction);
    if (policy === undefined) continue;
    for (const family of [4, 6] as const) {
      const column = columnFor(policy.prefixes, family);
      for (let at = 0; at < column.lengths.length; at++) {
        if (++looked % (PIECE_PARTS * PIECE_PARTS) === 0) yield;
        places.set(placeOf(prefixAt(column, at)), policy);
      }
    }
  }
  return places;
}

function judgeAround(
  places: ReadonlyMap<string, Policy>,
  { family, words, length }: Prefix,
): Policy | undefined {
  for (let bits = length; bits >= 0; bits--) {
    const policy = places.get(placeOf(prefixOf(family, words, bits)));
    if (policy !== undefined) return policy;
  }
  return undefined;
}

function placeOf({ family, words, length }: Prefix): string {
  return `${family} ${words.join()} ${length}`;
}
