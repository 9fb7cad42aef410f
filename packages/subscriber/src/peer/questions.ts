/** QUERY and ANSWER: the steps of machine.ts that are about a question. Pure. */

import {
  asked,
  boundText,
  ErrorCode,
  isOverRate,
  type Message,
  QUERIES_PER_SECOND_MAX,
  REFUSED_PAGES_PER_SECOND_MAX,
} from '@rulecast/protocol';
import { type Answer, type Effect, type LinkedState, type Question, type Step, send } from './states.ts';

/** The rules, or a sink, may take their time, or for ever: so many questions wait for them at most. */
export function query(
  state: LinkedState,
  { packet, refused, from, transaction }: Question & { readonly transaction: number },
  nowMs: number,
): Step {
  const kind = refused === undefined ? 'queries' : 'refusedPages';
  const most = refused === undefined ? QUERIES_PER_SECOND_MAX : REFUSED_PAGES_PER_SECOND_MAX;
  const rate = asked(state[kind], nowMs);
  const after = { ...state, [kind]: rate };
  if (isOverRate(rate, most)) return { state: after, effects: [tooMany(most, 'a second', transaction)] };
  if (state.askedCount >= QUERIES_PER_SECOND_MAX)
    return { state: after, effects: [tooMany(QUERIES_PER_SECOND_MAX, 'at once', transaction)] };
  const asking: Effect = { kind: 'ask', packet, refused, from, transaction };
  return { state: { ...after, askedCount: state.askedCount + 1 }, effects: [asking] };
}

export function tooMany(most: number, how: string, transaction: number): Effect {
  const text = `at most ${most} questions ${how} are answered`;
  return send({ kind: 'answer', ok: false, code: ErrorCode.rateLimited, text }, transaction);
}

export function answered(
  state: LinkedState,
  { transaction, answer }: { readonly transaction: number; readonly answer: Answer },
): Step {
  const { held } = state;
  const active = held && { hash: held.hash, epoch: held.epoch, version: held.version };
  const after = { ...state, askedCount: state.askedCount - 1 };
  switch (answer.kind) {
    case 'verdict': {
      const { verdict, told, generation } = answer;
      const message: Message = { kind: 'answer', ok: true, verdict, '+told': told, ...active, generation };
      return { state: after, effects: [send(message, transaction)] };
    }
    case 'stats': {
      const { stats, next } = answer;
      const message: Message = { kind: 'answer', ok: true, ...active, stats, '+next': next };
      return { state: after, effects: [send(message, transaction)] };
    }
    case 'refused': {
      const { refused, lost, next } = answer;
      const told = { refused, refusedLost: lost, '+next': next };
      return { state: after, effects: [send({ kind: 'answer', ok: true, ...active, ...told }, transaction)] };
    }
    case 'none': {
      const text = boundText(answer.text);
      const message: Message = { kind: 'answer', ok: false, code: ErrorCode.notReady, text };
      return { state: after, effects: [send(message, transaction)] };
    }
  }
}
