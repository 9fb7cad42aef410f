/**
 * Verdicts of live tables: one from each subscriber, or the reason why there is none. A subscriber answers
 * some twenty questions a second (WIRE.md "ANSWER"); with more of them, the client waits and asks again.
 */

import { isQuestionText } from '@rulecast/formats/question';
import {
  type ControlRecord,
  type ControlRecordOf,
  ErrorCode,
  type MessageOf,
  packetToWire,
  questionToWire,
} from '@rulecast/protocol';
import { DEFAULT_POLICY } from '@rulecast/rules';
import { CliError, ExitCode, failedError } from '../terminal/exit.ts';
import { type PacketDirection, packetOf, questionOf } from '../terminal/packets.ts';
import type { Ending } from './client.ts';

export interface LiveAnswers {
  readonly verdicts: readonly ControlRecordOf<'verdict'>[];
  readonly missing: readonly MissingVerdict[];
}

/** A verdict that should be there. */
export interface MissingVerdict {
  /** Undefined if no subscriber is known that should have answered. */
  readonly subscriber: string | undefined;
  readonly code: string;
  readonly text: string;
}

/** Asks one subscriber, or all without a name, once. */
export type AskOnce = (
  subscriber: string | undefined,
  onRecord: (record: ControlRecord) => void,
) => Promise<Ending>;

/** Time, as far as waiting needs it. */
export interface Pace {
  readonly nowMs: () => number;
  readonly waitMs: (ms: number) => Promise<void>;
}

/** The wait before a rate-limited subscriber is asked again: its count restarts each second. */
const PACE_MS = 250;
/**
 * How long to wait for a subscriber that is busy with others: after that, another client must be asking all
 * the time.
 */
const PATIENCE_MS = 30_000;
/** The part in a `warning` record about a subscriber. */
const SUBSCRIBER_PART = /^subscriber (.+)$/;

/** The question, from a packet or a name as people write it. Throws CliError `refused`. */
export function testFieldsOf(
  text: string,
  direction: PacketDirection,
): Pick<MessageOf<'test'>, 'packet' | 'question' | 'policy'> {
  if (isQuestionText(text)) return { question: questionToWire(questionOf(text)) };
  const { packet, policy } = packetOf(text, direction);
  return { packet: packetToWire(packet), ...(policy !== undefined && { policy }) };
}

/** Without those that name no address of a policy: a publisher that reads none there judged another qube. */
export function withSources({ verdicts, missing }: LiveAnswers, policy: string | undefined): LiveAnswers {
  if (policy === undefined || policy === DEFAULT_POLICY) return { verdicts, missing };
  const without = verdicts.filter(({ source }) => source === undefined);
  const text = 'the publisher takes no policy as the source of a packet: write the address of a qube';
  const refused = without.map(({ subscriber }) => ({ subscriber, code: 'unsupported', text }));
  return {
    verdicts: verdicts.filter(({ source }) => source !== undefined),
    missing: [...missing, ...refused],
  };
}

/**
 * Asks about one packet, and repeats the question for rate-limited subscribers. `subscriber`: only that one.
 * Throws CliError if the publisher refuses the question itself.
 */
export async function askForVerdicts(
  ask: AskOnce,
  subscriber: string | undefined,
  pace: Pace,
): Promise<LiveAnswers> {
  const verdicts: ControlRecordOf<'verdict'>[] = [];
  const missing: MissingVerdict[] = [];
  const untilMs = pace.nowMs() + PATIENCE_MS;
  let asked: readonly (string | undefined)[] = [subscriber];
  while (asked.length > 0) {
    const limited: MissingVerdict[] = [];
    for (const name of asked) {
      const ending = await ask(name, (record) => {
        if (record.record === 'verdict') verdicts.push(record);
        if (record.record === 'warning') put(missingOf(record), limited, missing);
      });
      if (ending.kind !== 'fail') continue;
      const isAgain = name !== undefined && (ending.code === ErrorCode.rateLimited || name !== subscriber);
      if (!isAgain) throw failedError(ending);
      put({ subscriber: name, code: ending.code, text: ending.text }, limited, missing);
    }
    if (limited.length > 0 && pace.nowMs() >= untilMs) {
      missing.push(...limited);
      break;
    }
    if (limited.length > 0) await pace.waitMs(PACE_MS);
    asked = limited.map((one) => one.subscriber);
  }
  if (verdicts.length + missing.length === 0) {
    missing.push({ subscriber, code: 'no-verdict', text: 'the publisher answered without one' });
  }
  return { verdicts, missing };
}

function put(one: MissingVerdict, limited: MissingVerdict[], missing: MissingVerdict[]): void {
  const mayAskAgain = one.code === ErrorCode.rateLimited && one.subscriber !== undefined;
  (mayAskAgain ? limited : missing).push(one);
}

function missingOf({ code, part, reason }: ControlRecordOf<'warning'>): MissingVerdict {
  return { subscriber: SUBSCRIBER_PART.exec(part)?.[1], code, text: reason };
}

/**
 * Subscribers that answered an earlier packet: one missing from later answers went away, which nothing else
 * reports.
 */
export class Witnesses {
  readonly #known = new Set<string>();

  /** The answers, with a reason added for each earlier subscriber that is missing. */
  complete({ verdicts, missing }: LiveAnswers): LiveAnswers {
    const told = new Set([...verdicts, ...missing].map(({ subscriber }) => subscriber));
    const gone = [...this.#known]
      .filter((name) => !told.has(name))
      .map((subscriber) => ({ subscriber, code: 'disconnected', text: 'it answered before, and is gone' }));
    for (const { subscriber } of verdicts) this.#known.add(subscriber);
    return { verdicts, missing: [...missing, ...gone] };
  }
}

/** The error of a command that could not get all verdicts. */
export function missingError(missing: number, verdicts: number): CliError {
  const all = missing + verdicts;
  const text = `${missing} of ${all} verdicts ${missing === 1 ? 'is' : 'are'} missing: look at rulectl status, and ask again`;
  return new CliError(ExitCode.unreachable, 'verdicts-missing', text);
}
