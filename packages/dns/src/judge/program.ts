/**
 * The rules about names that judge the qubes of one policy, by rank: the position of the first one about each
 * subject. Their meaning is in evaluate-name.ts of packages/rules, against which this is tested.
 */

import {
  type BlockedAnswer,
  COMMON_POLICY,
  type Environment,
  firstPolicyOf,
  formAt,
  isNarrowed,
  namesOfFirewall,
  nameTermsOf,
  type Policy,
  RESOLVED_LIST,
  RULE_BLOCKS,
  type RuleBlock,
  type RuleForm,
  type RuleSet,
  runsOf,
  timeFor,
  type UnlistedAnswer,
} from '@rulecast/rules';

/** The place of a rule about names. */
export interface NameRule {
  readonly action: 'accept' | 'drop';
  readonly policy: string;
  readonly block: RuleBlock;
  /** Index of the run, within that policy, block and egress. */
  readonly run: number;
  readonly list: string | undefined;
}

/** Ranks of rules by subject; the lowest decides. */
export interface NameProgram {
  readonly policy: string | undefined;
  /** Whether a policy judges the qube; otherwise only `first` does. */
  readonly isJudged: boolean;
  readonly rules: readonly NameRule[];
  /** By subject, the rank of the first accept rule about it; and of the first drop rule. */
  readonly accepts: ReadonlyMap<number, number>;
  readonly drops: ReadonlyMap<number, number>;
  /** The rank of the first drop rule with a list. */
  readonly listDrop: number;
  /** A rule in force accepts all that is answered. */
  readonly opensAnswers: boolean;
  readonly blocked: BlockedAnswer;
  readonly unlisted: UnlistedAnswer;
  /** Seconds since 1970 at which a rule ends that is in force; another program holds from then on. */
  readonly until: number;
}

/** The subject of a rule about names: `@LIST`, or the name. */
export function subjectKey({ match, remote }: RuleForm, ruleSet: RuleSet): string | undefined {
  if (match.action === 'drop' && isNarrowed(match)) return undefined;
  if (remote.kind === 'name') return remote.name;
  if (remote.kind !== 'list') return undefined;
  return namesOfFirewall(ruleSet.lists.get(remote.list)) === undefined ? undefined : `@${remote.list}`;
}

/** Whether a rule opens all that is answered; it decides nothing of names. */
export function opensAnswered({ match, remote }: RuleForm): boolean {
  return match.action === 'accept' && remote.kind === 'list' && remote.list === RESOLVED_LIST;
}

/** The program of a policy at a time; undefined: of qubes that no policy names. */
export function programFor(
  ruleSet: RuleSet,
  subjects: ReadonlyMap<string, number>,
  policy: Policy | undefined,
  time: Omit<Environment, 'dns'>,
): NameProgram {
  const rules: NameRule[] = [];
  const accepts = new Map<number, number>();
  const drops = new Map<number, number>();
  let until = Number.POSITIVE_INFINITY;
  let opensAnswers = false;
  let listDrop = Number.POSITIVE_INFINITY;
  const isJudged = (policy ?? ruleSet.unmatched) !== undefined;
  for (const [source, block] of blocksFor(ruleSet, policy, isJudged)) {
    if (source === undefined) continue;
    const runs = runsOf(source, 'egress', block);
    for (let run = 0; run < runs.count; run++) {
      const one = formAt(runs, run);
      const { action, expire } = one.match;
      const subject = subjects.get(subjectKey(one, ruleSet) ?? '');
      const opensAll = opensAnswered(one);
      if (subject === undefined && !opensAll) continue;
      if (expire !== undefined && timeFor(action, time) >= expire) continue;
      if (expire !== undefined) until = Math.min(until, expire);
      opensAnswers ||= opensAll;
      if (subject === undefined) continue;
      const ranks = action === 'accept' ? accepts : drops;
      if (!ranks.has(subject)) ranks.set(subject, rules.length);
      const list = one.remote.kind === 'list' ? one.remote.list : undefined;
      if (action === 'drop' && list !== undefined) listDrop = Math.min(listDrop, rules.length);
      rules.push({ action, policy: source.name, block, run, list });
    }
  }
  const { blocked, unlisted } = nameTermsOf(ruleSet.policies, policy);
  return {
    policy: policy?.name,
    isJudged,
    rules,
    accepts,
    drops,
    listDrop,
    opensAnswers,
    blocked,
    unlisted,
    until,
  };
}

/** The blocks of rules that apply, in order. */
function blocksFor(
  { policies }: RuleSet,
  policy: Policy | undefined,
  isJudged: boolean,
): readonly (readonly [Policy | undefined, RuleBlock])[] {
  const others = RULE_BLOCKS.map(
    (block) => [block === 'common' ? policies.get(COMMON_POLICY) : policy, block] as const,
  );
  return [[firstPolicyOf(policies), 'own'], ...(isJudged ? others : [])];
}
