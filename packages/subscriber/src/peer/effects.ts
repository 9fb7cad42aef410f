/** Executes the machine's effects: on the connection, the staged stream, the activator, and the host. */

import type { Connection } from '@rulecast/protocol';
import { type AnswerHost, answerTo } from './answers.ts';
import type { Newest } from './freshness.ts';
import { applyStaged, type IntakeHost, makeRoom } from './intake.ts';
import type { Effect, EffectOf, Event } from './states.ts';

export interface EffectHost extends IntakeHost, AnswerHost {
  onWelcome(publisher: string): void;
  onTrusted(root: number): void;
  onLearned(newest: Newest, isInForce: boolean): void;
  onRefused(code: string, text: string): void;
}

/** Feeds the results of effects back into the machine. */
export type Feed = (event: Event) => void;

/** Returns a promise that the session must wait for before it ends: a release being applied. */
export function perform(
  effect: Effect,
  connection: Connection,
  host: EffectHost,
  feed: Feed,
): Promise<void> | undefined {
  switch (effect.kind) {
    case 'send':
      if (effect.isSpare && connection.sendPending) return undefined;
      // A failed send means that the connection is gone, which the receiver notices.
      connection.send(effect.message, effect.transaction).catch(() => undefined);
      return undefined;
    case 'bye':
      connection.bye(effect.code, effect.text);
      return undefined;
    case 'close':
      connection.close();
      return undefined;
    case 'stage': {
      const outcome = makeRoom(effect.bytes, host.staging);
      if (outcome !== undefined) feed(outcome);
      return undefined;
    }
    case 'keep':
      host.staging.push(effect.bytes);
      return undefined;
    case 'drop':
      host.staging.take();
      return undefined;
    case 'apply':
      return applyStaged(effect, host).then(feed);
    case 'ask':
      void ask(effect, connection, host, feed);
      return undefined;
    case 'welcomed':
      host.onWelcome(effect.publisher);
      return undefined;
    case 'trusted':
      host.onTrusted(effect.number);
      return undefined;
    case 'learned':
      host.onLearned(effect.newest, effect.isInForce);
      return undefined;
    case 'complain':
      host.onRefused(effect.code, effect.text);
      return undefined;
  }
}

async function ask(
  { transaction, ...question }: EffectOf<'ask'>,
  connection: Connection,
  host: AnswerHost,
  feed: Feed,
): Promise<void> {
  const answer = await answerTo(question, host, connection.skipped);
  feed({ kind: 'answered', transaction, answer });
}
