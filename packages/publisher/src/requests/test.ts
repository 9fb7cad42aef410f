/**
 * TEST: asks the live tables of subscribers about a packet. A name is judged here, by the release that each
 * of them has in force. CONTROL.md "TEST".
 */

import {
  addressBytes,
  boundText,
  type ControlRecordOf,
  ErrorCode,
  hexOf,
  type MessageOf,
  ProtocolError,
  questionFromWire,
  RULE_TEXT_MAX_BYTES,
  type WirePacket,
  type WireQuestion,
} from '@rulecast/protocol';
import {
  type Address,
  addressJudgedBy,
  DEFAULT_POLICY,
  evaluateName,
  formatAddress,
  formatRule,
  isForAllQubes,
  type NameQuestion,
  namesStandFor,
  type Policy,
  parseHostName,
  type RuleSet,
  ruleAt,
  runsOf,
  suggestion,
} from '@rulecast/rules';
import type { AskTable } from '@rulecast/sessions';
import type { ControlExchange } from '../control/exchange.ts';
import { noAnswer, noAnswerRecord } from '../control/no-answer.ts';
import type { ControlParts } from '../control/parts.ts';
import { UnknownReleaseError } from '../release/history.ts';
import type { Publisher } from '../release/publisher.ts';

type VerdictRecord = ControlRecordOf<'verdict'>;

/** Answers a TEST. Throws ProtocolError if the one subscriber asked, or all of them, cannot answer. */
export async function answerTest(
  { packet, question, policy, subscriber: only }: MessageOf<'test'>,
  exchange: ControlExchange,
  { publisher, ask }: ControlParts,
): Promise<void> {
  const asked = question === undefined ? undefined : questionOf(question);
  if (policy !== undefined && packet?.src !== undefined)
    throw new ProtocolError(ErrorCode.badInput, 'a packet has a source, or a policy of it');
  const names = only === undefined ? publisher.subscribers.connected() : [only];
  if (names.length === 0) {
    throw new ProtocolError(
      ErrorCode.noSuchSubscriber,
      'no subscriber is connected, so there is no live table to ask',
    );
  }
  for (const subscriber of names) {
    try {
      if (asked !== undefined) await exchange.record(await judgeName(subscriber, asked, publisher));
      if (packet === undefined) continue;
      const source = policy === undefined ? undefined : await sourceOf(subscriber, policy, packet, publisher);
      const whole = source === undefined ? packet : { ...packet, src: addressBytes(source) };
      const verdict = await askOne(subscriber, whole, ask);
      await exchange.record(source === undefined ? verdict : { ...verdict, source: formatAddress(source) });
    } catch (error) {
      if (only !== undefined) throw error;
      await exchange.record(noAnswerRecord(subscriber, error));
    }
  }
  await exchange.done('ok', '');
}

async function askOne(subscriber: string, packet: WirePacket, ask: AskTable): Promise<VerdictRecord> {
  const answer = await ask(subscriber, { question: 'test', packet });
  const { verdict, '+told': told, version, hash, generation } = answer;
  if (verdict === undefined) throw noAnswer(answer);
  const hashText = hash === undefined ? undefined : hexOf(hash);
  return {
    record: 'verdict',
    subscriber,
    ...verdict,
    told,
    version,
    hash: hashText,
    generation: generation ?? 0,
  };
}

/** Throws ProtocolError `bad-input` for an invalid name. */
function questionOf(wire: WireQuestion): NameQuestion {
  const question = questionFromWire(wire);
  for (const name of [question.name, ...question.aliases]) {
    const parsed = parseHostName(name);
    if (parsed.kind === 'fault' || parsed.name !== name)
      throw new ProtocolError(ErrorCode.badInput, `${JSON.stringify(name)} is no host name in normal form`);
  }
  return question;
}

/**
 * An address of a policy, by what a subscriber has in force; undefined: all have the policy `default` that no
 * other one names. Rejects with ProtocolError.
 */
async function sourceOf(
  subscriber: string,
  name: string,
  { dst }: WirePacket,
  publisher: Publisher,
): Promise<Address | undefined> {
  const { version, ruleSet } = await inForceAt(subscriber, publisher);
  const policy = policyOf(ruleSet, version, name);
  if (name === DEFAULT_POLICY) return undefined;
  const family = dst.length === 4 ? 4 : 6;
  const source = addressJudgedBy(ruleSet, policy, family);
  if (source !== undefined) return source;
  const text = `no address of IPv${family} is known that ${name} of version ${version} judges: write that of a qube`;
  throw new ProtocolError(ErrorCode.noSuchPart, text);
}

/** A policy that judges qubes. Throws ProtocolError `no-such-part`. */
export function policyOf(ruleSet: RuleSet, version: number, name: string): Policy {
  const policy = isForAllQubes(name) ? undefined : ruleSet.policies.get(name);
  if (policy !== undefined) return policy;
  const known = [...ruleSet.policies.keys()].filter((each) => !isForAllQubes(each));
  const advice =
    suggestion(name, known) ||
    `: write the address of a qube, or one of ${known.join(', ') || 'those of a rule set'}`;
  const text = `version ${version} has no policy ${name}${advice}`;
  throw new ProtocolError(ErrorCode.noSuchPart, boundText(text));
}

/** The release in force at a subscriber. Rejects with ProtocolError. */
async function inForceAt(
  subscriber: string,
  publisher: Publisher,
): Promise<{ readonly version: number; readonly hash: string; readonly ruleSet: RuleSet }> {
  const held = publisher.subscribers.holding().find(({ name }) => name === subscriber)?.held;
  if (held === undefined)
    throw new ProtocolError(
      ErrorCode.noSuchSubscriber,
      `${subscriber} is not connected, or has no release in force`,
    );
  const { version } = held;
  const hash = hexOf(held.hash);
  if (publisher.store.index.hashOf(held) !== hash) throw unknownRelease(subscriber, version);
  const ruleSet = await publisher.history.ruleSetOf(version).catch((error: unknown) => {
    throw error instanceof UnknownReleaseError ? unknownRelease(subscriber, version) : error;
  });
  return { version, hash, ruleSet };
}

/** The verdict on a name at a subscriber's DNS. Rejects with ProtocolError. */
async function judgeName(
  subscriber: string,
  question: NameQuestion,
  publisher: Publisher,
): Promise<VerdictRecord> {
  const { version, hash, ruleSet } = await inForceAt(subscriber, publisher);
  const { asker } = question;
  if (asker !== undefined && 'policy' in asker) policyOf(ruleSet, version, asker.policy);
  const now = Math.floor(publisher.nowMs() / 1000);
  const { action, answer, policy, rule } = evaluateName(ruleSet, { now }, question, namesStandFor);
  const record = {
    record: 'verdict',
    subscriber,
    action,
    answer,
    policy,
    version,
    hash,
    generation: 0,
  } as const;
  const owner = rule === undefined ? undefined : ruleSet.policies.get(rule.policy);
  if (action === 'none') return record;
  if (rule === undefined || owner === undefined) return { ...record, direction: 'egress' };
  const line = formatRule(ruleAt(runsOf(owner, 'egress', rule.block), rule.index), 'egress');
  return {
    ...record,
    direction: 'egress',
    rulePolicy: rule.policy,
    block: rule.block,
    rule: boundText(line, RULE_TEXT_MAX_BYTES),
    ruleIndex: rule.index,
    list: rule.list,
    name: rule.name,
  };
}

function unknownRelease(subscriber: string, version: number): ProtocolError {
  const text = `${subscriber} has version ${version}, which is not kept here any more`;
  return new ProtocolError(ErrorCode.unknownRelease, text);
}
