/**
 * Drop rules that match nothing, as their names have no address. The author of such a rule believes that
 * something is stopped that is not, so a release that adds one is told apart from one that has it already.
 * Pure.
 */

import {
  type Direction,
  nameTexts,
  PIECE_PARTS,
  type Pieces,
  prefixCount,
  type RuleForm,
  type RuleSet,
  resolutionOf,
} from '@rulecast/rules';
import type { NameResolutions } from '../names/names.ts';

/** A rule set with the present addresses of its names, and the names that do not resolve. */
export type ResolvedRuleSet = RuleSet & Pick<NameResolutions, 'failed'>;

export interface BareDrop {
  readonly policy: string;
  /** As in the rule: `dsthost=a.example`, `dst=@hosts`. */
  readonly remote: string;
  /** The list, if the rule is about the names of one. */
  readonly list: string | undefined;
  /** Why the first of its names has no address. */
  readonly reason: string;
}

/**
 * The drop rules without any address of `after` that `before` has not, or has with addresses; one for all
 * that a policy says of the same names. In pieces.
 */
export function* newBareDrops(before: RuleSet, after: ResolvedRuleSet): Pieces<readonly BareDrop[]> {
  const known = new Set((yield* bareDrops({ ...before, failed: [] })).map(keyOf));
  return (yield* bareDrops(after)).filter((drop) => !known.has(keyOf(drop)));
}

/** For people: what is wrong with a policy. */
export function bareText({ remote, list, reason }: BareDrop): string {
  const names = list === undefined ? 'its name has no' : `none of the names of list ${list} has an`;
  return `drop ${remote} would match nothing, for ${names} address (${reason})`;
}

function keyOf({ policy, remote }: BareDrop): string {
  return `${policy} ${remote}`;
}

function* bareDrops(ruleSet: ResolvedRuleSet): Pieces<readonly BareDrop[]> {
  const found = new Map<string, BareDrop>();
  let looked = 0;
  const reasons = new Map(ruleSet.failed.map(({ name, reason }) => [name, reason]));
  for (const { name: policy, exceptions, egress, ingress } of ruleSet.policies.values()) {
    if (++looked % PIECE_PARTS === 0) yield;
    for (const [direction, forms] of [
      ['egress', [...exceptions.egress.forms, ...egress.forms]],
      ['ingress', [...exceptions.ingress.forms, ...ingress.forms]],
    ] as const) {
      for (const form of forms) {
        const [first] = bareNamesOf(form, ruleSet);
        if (first === undefined) continue;
        const list = form.remote.kind === 'list' ? form.remote.list : undefined;
        const reason = reasons.get(first) ?? 'no addresses';
        const drop = { policy, remote: remoteText(direction, list, first), list, reason };
        found.set(keyOf(drop), drop);
      }
    }
  }
  return [...found.values()];
}

/** The names of a drop rule, if none of them has an address. */
function bareNamesOf(form: RuleForm, ruleSet: RuleSet): readonly string[] {
  if (form.match.action === 'accept') return [];
  const names = namesOf(form, ruleSet);
  return names.some((name) => prefixCount(resolutionOf(ruleSet, name)) > 0) ? [] : names;
}

/** The names whose addresses a rule needs; none for a rule about addresses, or about names alone. */
function namesOf({ remote }: RuleForm, { lists }: RuleSet): readonly string[] {
  if (remote.kind === 'name') return [remote.name];
  const list = remote.kind === 'list' ? lists.get(remote.list) : undefined;
  return list?.kind === 'names' && list.resolve === true ? [...nameTexts(list.names)] : [];
}

function remoteText(direction: Direction, list: string | undefined, name: string): string {
  const key = direction === 'egress' ? 'dst' : 'src';
  return list === undefined ? `${key}host=${name}` : `${key}=@${list}`;
}
