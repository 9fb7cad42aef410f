/**
 * WHICH: the lists and rules that contain an address, a prefix or a name, and the verdict. CONTROL.md
 * "WHICH".
 */

import {
  boundText,
  type ControlRecord,
  type ControlRecordOf,
  ErrorCode,
  HOLDING_ENTRIES_MAX,
  type MessageOf,
  ProtocolError,
  RULE_TEXT_MAX_BYTES,
} from '@rulecast/protocol';
import {
  DEFAULT_POLICY,
  type Direction,
  EMPTY_RULE_SET,
  formatRule,
  inTurns,
  isForAllQubes,
  judgingPolicy,
  type Policy,
  parseAddress,
  parseHostName,
  parsePrefix,
  type RuleSet,
  usedLists,
} from '@rulecast/rules';
import type { ControlExchange } from '../control/exchange.ts';
import type { ControlParts } from '../control/parts.ts';
import { Holder, holdingOf, type Judgement, type Subject } from './holding.ts';
import { policyOf } from './test.ts';

/** The most policies reported. Our choice. */
const POLICIES_TOLD_MAX = 20;

/** Answers a WHICH. Throws ProtocolError. */
export async function answerWhich(
  { what, qube }: MessageOf<'which'>,
  exchange: ControlExchange,
  { publisher, sources }: ControlParts,
): Promise<void> {
  const subject = subjectOf(what);
  const { head } = publisher;
  const ruleSet = head?.ruleSet ?? EMPTY_RULE_SET;
  const version = head?.manifest.version ?? 0;
  const asked = qube === undefined ? undefined : [judgeOf(qube, ruleSet, version)];
  const holder = new Holder(ruleSet, subject, Math.floor(publisher.nowMs() / 1000));
  for (const record of listRecords(ruleSet, holder, subject, sources)) await exchange.record(record);
  const directions: readonly Direction[] = typeof subject === 'string' ? ['egress'] : ['egress', 'ingress'];
  let count = 0;
  for (const policy of asked ?? judges(ruleSet)) {
    const records: ControlRecord[] = [];
    let isTold = asked !== undefined;
    for (const direction of directions) {
      const judgement = await inTurns(holder.judge(policy, direction), publisher.turn);
      isTold ||= judgement.isNamed;
      const isOfOne = asked !== undefined && (direction === 'egress' || holder.isJudged(policy, direction));
      if (isOfOne || judgement.count > 0) records.push(...decisionRecords(policy, direction, judgement));
    }
    if (isTold && ++count <= POLICIES_TOLD_MAX) for (const record of records) await exchange.record(record);
  }
  const reason = `it is decided for ${count - POLICIES_TOLD_MAX} more policies, too: ask for one of them`;
  if (count > POLICIES_TOLD_MAX)
    await exchange.record({ record: 'warning', code: 'more-policies', part: '', reason });
  await exchange.done('ok', version === 0 ? 'nothing is released' : `of version ${version}`);
}

/** Throws ProtocolError `bad-input`. */
function subjectOf(text: string): Subject {
  const prefix = parsePrefix(text);
  if (typeof prefix !== 'string') return prefix;
  const parsed = parseHostName(text);
  if (parsed.kind === 'name') return parsed.name;
  const reason = `${JSON.stringify(text)}: write an address, a prefix or a name`;
  throw new ProtocolError(ErrorCode.badInput, boundText(reason));
}

/** The policy of that name, or that judges the qube of that address; undefined: none does. */
function judgeOf(qube: string, ruleSet: RuleSet, version: number): Policy | undefined {
  const address = parseAddress(qube);
  return address === undefined ? policyOf(ruleSet, version, qube) : judgingPolicy(ruleSet, address, 'egress');
}

/** All judges of qubes; undefined stands for qubes outside all policies. */
function judges({ policies }: RuleSet): readonly (Policy | undefined)[] {
  const own = [...policies.values()].filter(({ name }) => !isForAllQubes(name));
  return policies.has(DEFAULT_POLICY) ? own : [undefined, ...own];
}

/** The lists that contain the subject: those of the release, and those that are only operands of others. */
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
    const published = ruleSet.lists.has(name);
    const list = published ? undefined : sources?.list(name);
    const holding = published ? holder.list(name) : list && holdingOf(list, subject, ruleSet);
    if (holding === undefined) continue;
    const entries = holding.entries.slice(0, HOLDING_ENTRIES_MAX);
    const more = holding.entries.length > entries.length;
    const origin = boundText(status?.origin ?? '');
    const source = status?.source ?? 'push';
    yield {
      record: 'holder',
      name,
      how: holding.how,
      entries,
      more,
      used: used.has(name),
      published,
      source,
      origin,
    };
  }
}

/** The verdict for one policy, then its rules that contain the subject. */
function decisionRecords(
  judge: Policy | undefined,
  direction: Direction,
  { action, by, count, steps }: Judgement,
): readonly ControlRecord[] {
  const place = { policy: judge?.name, direction };
  return [
    { record: 'decision', ...place, action, by, rules: count },
    ...steps.map(
      ({ policy, block, index, rule, holding: { how, entries }, decides }): ControlRecord => ({
        record: 'step',
        ...place,
        rulePolicy: policy,
        block,
        rule: boundText(formatRule(rule, direction), RULE_TEXT_MAX_BYTES),
        ruleIndex: index,
        how,
        entry: entries[0],
        decides,
      }),
    ),
  ];
}
