/**
 * QUERY and ANSWER on one connection, as values: a limited number of questions at a time, each with a
 * deadline. WIRE.md "QUERY".
 */

import {
  ANSWER_TIMEOUT_MS,
  ErrorCode,
  NEVER,
  ProtocolError,
  QUERIES_PER_SECOND_MAX,
} from '@rulecast/protocol';
import type { EffectOf, Question } from './state.ts';

/** Half of a subscriber's rate at once, and the other half over each second: never more than it answers. */
const ASK_BURST = QUERIES_PER_SECOND_MAX / 2;
const ASK_PAUSE_MS = 1000 / (QUERIES_PER_SECOND_MAX / 2);

/**
 * Questions that wait for their turn: `rulectl` has a connection for each, and there are fewer of those. One
 * more is refused.
 */
export const WAITING_MAX = 64;

interface QueuedQuestion {
  readonly about: Question;
  readonly ticket: number;
  readonly atMs: number;
}

interface OpenQuestion {
  readonly ticket: number;
  readonly transaction: number;
  readonly untilMs: number;
}

export interface Questions {
  readonly lastTransaction: number;
  /** When all questions so far had been asked, one at each pause. */
  readonly askedUntilMs: number;
  /** Questions beyond the subscriber's rate, in order. */
  readonly waiting: readonly QueuedQuestion[];
  /** In the order in which they were asked, and in which their time is over. */
  readonly open: readonly OpenQuestion[];
}

type QuestionEffect = EffectOf<'query' | 'answered' | 'unanswered'>;

export interface QuestionsStep {
  readonly questions: Questions;
  readonly effects: readonly QuestionEffect[];
}

export const NO_QUESTIONS: Questions = {
  lastTransaction: 0,
  askedUntilMs: Number.NEGATIVE_INFINITY,
  waiting: [],
  open: [],
};

/**
 * Somebody asks: at once, or when it is the turn. A page of refusals takes no turn: it costs next to nothing,
 * and who reads a log waits for each page before the next.
 */
export function ask(
  questions: Questions,
  { ticket, about }: Omit<QueuedQuestion, 'atMs'>,
  name: string,
  nowMs: number,
): QuestionsStep {
  if (about.question === 'refused') {
    const waiting = [{ ticket, about, atMs: nowMs }, ...questions.waiting];
    return dueQuestions({ ...questions, waiting }, name, nowMs);
  }
  if (questions.waiting.length >= WAITING_MAX) {
    const text = `${questions.waiting.length} questions wait for ${name}`;
    return { questions, effects: [unanswered(ticket, ErrorCode.rateLimited, text)] };
  }
  const { askedUntilMs } = questions;
  const atMs = Math.max(nowMs, askedUntilMs - (ASK_BURST - 1) * ASK_PAUSE_MS);
  const waiting = [...questions.waiting, { ticket, about, atMs }];
  return dueQuestions(
    { ...questions, waiting, askedUntilMs: Math.max(askedUntilMs, nowMs) + ASK_PAUSE_MS },
    name,
    nowMs,
  );
}

/** Sends questions whose turn has come, and fails those whose time is over. */
export function dueQuestions(questions: Questions, name: string, nowMs: number): QuestionsStep {
  const late = questions.open.filter(({ untilMs }) => untilMs <= nowMs);
  const text = `${name} did not answer within ${ANSWER_TIMEOUT_MS} ms`;
  const effects: QuestionEffect[] = late.map(({ ticket }) => unanswered(ticket, ErrorCode.timeout, text));
  const open = questions.open.slice(late.length);
  let { lastTransaction } = questions;
  for (const { ticket, about, atMs } of questions.waiting) {
    if (atMs > nowMs) break;
    lastTransaction += 1;
    open.push({ ticket, transaction: lastTransaction, untilMs: nowMs + ANSWER_TIMEOUT_MS });
    effects.push({ kind: 'query', ticket, transaction: lastTransaction, about });
  }
  const waiting = questions.waiting.filter(({ atMs }) => atMs > nowMs);
  return { questions: { ...questions, lastTransaction, waiting, open }, effects };
}

/** Handles an ANSWER; one for a question that was given up is ignored. */
export function answer(
  questions: Questions,
  transaction: number,
  message: EffectOf<'answered'>['answer'],
): QuestionsStep {
  const asked = questions.open.find((one) => one.transaction === transaction);
  if (asked === undefined) return { questions, effects: [] };
  const open = questions.open.filter((one) => one !== asked);
  return {
    questions: { ...questions, open },
    effects: [{ kind: 'answered', ticket: asked.ticket, answer: message }],
  };
}

/** The session is over: nobody is answered any more. */
export function abandoned({ open, waiting }: Questions, name: string): readonly QuestionEffect[] {
  return [
    ...open.map(({ ticket }) =>
      unanswered(ticket, ErrorCode.disconnected, `${name} went before it answered`),
    ),
    ...waiting.map(({ ticket }) =>
      unanswered(ticket, ErrorCode.disconnected, `${name} went before it was asked`),
    ),
  ];
}

/** When something is due: a turn to ask, or the end of a question's time. */
export function questionsDeadline({ open, waiting }: Questions): number {
  return Math.min(open[0]?.untilMs ?? NEVER, waiting[0]?.atMs ?? NEVER);
}

/** The failure of a question, for its caller. */
export function unanswered(ticket: number, code: ErrorCode, text: string): EffectOf<'unanswered'> {
  return { kind: 'unanswered', ticket, error: new ProtocolError(code, text) };
}
