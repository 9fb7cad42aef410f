/**
 * WHICH: the lists, policies and rules that hold an address, a prefix or a name, and what decides.
 * CONTROL.md "WHICH".
 */

import {
  boundText,
  type ControlRecord,
  type ControlRecordOf,
  ErrorCode,
  type MessageOf,
  ProtocolError,
  RULE_TEXT_MAX_BYTES,
} from '@rulecast/protocol';
import {
  DEFAULT_POLICY,
  type Direction,
  EMPTY_RULE_SET,
  FIRST_POLICY,
  formatRule,
  inTurns,
  isForAllQubes,
  judgesIngress,
  judgingPolicy,
  nameTermsOf,
  PIECE_PARTS,
  type Pieces,
  type Policy,
  parseAddress,
  parseHostName,
  parsePrefix,
  type RuleSet,
  usedLists,
} from '@rulecast/rules';
import type { ControlExchange } from '../control/exchange.ts';
import type { ControlParts } from '../control/parts.ts';
import { Holder, type Holding, holdingOf, type Step, type Subject, setHolding } from './holding.ts';
import { policyOf } from './test.ts';

/** Policies that are told, of those that it may differ for; and rules of each. Our choice. */
const POLICIES_TOLD_MAX = 20;
const STEPS_TOLD_MAX = 32;

/** Answers a WHICH. Throws ProtocolError. */
export async function answerWhich(
  request: MessageOf<'which'>,
  exchange: ControlExchange,
  { publisher, sources }: ControlParts,
): Promise<void> {
  const subject = subjectOf(request);
  const { head } = publisher;
  const ruleSet = head?.ruleSet ?? EMPTY_RULE_SET;
  const version = head?.manifest.version ?? 0;
  const holder = new Holder(ruleSet, subject, Math.floor(publisher.nowMs() / 1000));
  for (const record of listRecords(ruleSet, holder, subject, sources)) {
    await exchange.record(record);
    await publisher.turn(); // of names below one, thousands are counted
  }
  const around: Policy[] = [];
  let looked = 0;
  for (const policy of ruleSet.policies.values()) {
    if (++looked % PIECE_PARTS === 0) await publisher.turn();
    const judged = subject.kind === 'prefix' && setHolding(policy.prefixes, subject.prefix);
    if (judged) await exchange.record(holderRecord('policy', policy.name, judged));
    if (await inTurns(holder.isOf(policy), publisher.turn)) around.push(policy);
  }
  const judged = judgedOf(request, ruleSet, version);
  const asked = judged ?? judgedBy(around, ruleSet);
  for (const policy of asked.slice(0, POLICIES_TOLD_MAX)) {
    for (const direction of directionsOf(policy, subject, ruleSet.policies.get(FIRST_POLICY))) {
      const pieces = decisionPieces(ruleSet, holder, policy, direction, subject);
      const [decision, ...steps] = await inTurns(pieces, publisher.turn);
      if (decision === undefined || (judged === undefined && steps.length === 0)) continue;
      for (const record of [decision, ...steps]) await exchange.record(record);
    }
  }
  const more = asked.length - POLICIES_TOLD_MAX;
  const reason = `it is decided for ${more} more policies, too: ask for one of them`;
  if (more > 0) await exchange.record({ record: 'warning', code: 'more-policies', part: '', reason });
  await exchange.done('ok', version === 0 ? 'nothing is released' : `of version ${version}`);
}

/** Throws ProtocolError `bad-input`. */
function subjectOf({ prefix: text = '', name }: MessageOf<'which'>): Subject {
  if (name !== undefined) {
    const parsed = parseHostName(name);
    if (parsed.kind === 'name') return parsed;
    throw new ProtocolError(ErrorCode.badInput, `${JSON.stringify(name)} is no host name`);
  }
  const prefix = parsePrefix(text);
  if (typeof prefix !== 'string') return { kind: 'prefix', prefix };
  throw new ProtocolError(ErrorCode.badInput, `${text} is no prefix: ${prefix}`);
}

/** The policy that judges who is asked about, undefined in it: none does. Throws ProtocolError. */
function judgedOf(
  { qube, policy }: MessageOf<'which'>,
  ruleSet: RuleSet,
  version: number,
): readonly (Policy | undefined)[] | undefined {
  if (policy !== undefined) return [policyOf(ruleSet, version, policy)];
  if (qube === undefined) return undefined;
  const address = parseAddress(qube);
  if (address === undefined) throw new ProtocolError(ErrorCode.badInput, `${qube} is no address of a qube`);
  return [judgingPolicy(ruleSet, address, 'egress')];
}

/**
 * The policies for which it may be decided otherwise than by their defaults: those that have a rule for it,
 * and all where `first` or `common` has one; undefined in it are qubes that no policy names.
 */
function judgedBy(around: readonly Policy[], ruleSet: RuleSet): readonly (Policy | undefined)[] {
  const judging = (policies: Iterable<Policy>) => [...policies].filter(({ name }) => !isForAllQubes(name));
  const own = judging(around);
  if (own.length === around.length) return own;
  const others = judging(ruleSet.policies.values()).filter((policy) => !own.includes(policy));
  return [...own, ...(ruleSet.policies.has(DEFAULT_POLICY) ? [] : [undefined]), ...others];
}

/** Ingress, too, where rules judge what goes to these qubes: their policy's, or those of `first`. */
function directionsOf(policy: Policy | undefined, subject: Subject, first?: Policy): readonly Direction[] {
  const isJudged = [policy, first].some((one) => one !== undefined && judgesIngress(one));
  return isJudged && subject.kind === 'prefix' ? ['egress', 'ingress'] : ['egress'];
}

/** The lists that hold it: those of the release, and those that are operands of others alone. */
function* listRecords(
  ruleSet: RuleSet,
  holder: Holder,
  subject: Subject,
  sources: ControlParts['sources'],
): Generator<ControlRecordOf<'holder'>> {
  const statuses = new Map(sources?.status().map((status) => [status.name, status]));
  const used = usedLists(ruleSet.policies.values());
  for (const name of new Set([...ruleSet.lists.keys(), ...statuses.keys()])) {
    const status = statuses.get(name);
    const isReleased = ruleSet.lists.has(name);
    const list = isReleased ? undefined : sources?.list(name);
    const holding = isReleased ? holder.list(name) : list && holdingOf(list, subject, ruleSet);
    if (holding === undefined) continue;
    yield {
      ...holderRecord('list', name, holding),
      used: used.has(name),
      published: isReleased,
      source: status?.source ?? 'push',
      origin: boundText(status?.origin ?? ''),
    };
  }
}

function holderRecord(
  kind: 'list' | 'policy',
  name: string,
  { how, entry, count, examples }: Holding,
): ControlRecordOf<'holder'> {
  return {
    record: 'holder',
    kind,
    name,
    how,
    entry: entry && boundText(entry),
    count,
    examples: examples.map((example) => boundText(example)),
    used: true,
    published: true,
  };
}

/** What is decided for one policy, then its rules that hold it: the first ones, and the one that decides. */
function* decisionPieces(
  ruleSet: RuleSet,
  holder: Holder,
  policy: Policy | undefined,
  direction: Direction,
  subject: Subject,
): Pieces<readonly ControlRecord[]> {
  const told: Step[] = [];
  let count = 0;
  let decided: Step | undefined;
  // Nobody but `first` judges what goes to qubes of a policy without rules for that.
  const isJudged = direction === 'egress' || (policy !== undefined && judgesIngress(policy));
  const judge = isJudged ? policy : undefined;
  yield* holder.steps(judge, direction, (step) => {
    count++;
    if (step.decides === 'rest') decided = step;
    if (told.length < STEPS_TOLD_MAX || step === decided) told.push(step);
  });
  const { by, action } =
    decided === undefined
      ? otherwise(ruleSet, judge, direction, subject)
      : { by: 'rule' as const, action: decided.rule.action };
  const place = { policy: policy?.name, direction };
  const decision = { record: 'decision', ...place, action, by, rules: count } as const;
  const steps = told.map(
    ({ rule, holding, ...step }): ControlRecord => ({
      record: 'step',
      ...place,
      rulePolicy: step.policy,
      block: step.block,
      rule: boundText(formatRule(rule, direction), RULE_TEXT_MAX_BYTES),
      ruleIndex: step.index,
      action: rule.action,
      list: rule.remote.kind === 'list' ? rule.remote.list : undefined,
      how: holding.how,
      entry: holding.entry === undefined ? holding.examples[0] : boundText(holding.entry),
      decides: step.decides,
    }),
  );
  return [decision, ...steps];
}

/** What decides where no rule does. */
function otherwise(
  { policies, unmatched }: RuleSet,
  policy: Policy | undefined,
  direction: Direction,
  { kind }: Subject,
): Pick<ControlRecordOf<'decision'>, 'action' | 'by'> {
  if (policy === undefined && (unmatched === undefined || direction === 'ingress'))
    return { action: 'none', by: 'nobody' };
  if (kind === 'name') {
    const { unlisted } = nameTermsOf(policies, policy);
    return { action: unlisted === 'answer' ? 'accept' : 'drop', by: 'unlisted' };
  }
  if (policy !== undefined) return { action: policy.defaultAction, by: 'default' };
  return { action: unmatched === 'drop' ? 'drop' : 'none', by: 'unmatched' };
}
