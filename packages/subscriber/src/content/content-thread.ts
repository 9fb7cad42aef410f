/**
 * The thread of content.ts: one question a message. If it cannot start from the state of its predecessor, it
 * dies, so that another thread tries. Runs from the built package.
 */

import { parentPort } from 'node:worker_threads';
import { Garbage } from '@rulecast/threads';
import { beginContent } from './begin.ts';
import { type ContentQuestion, type ContentReply, faultOf } from './messages.ts';
import type { ContentOwner } from './owner.ts';

const garbage = new Garbage();
let owner: ContentOwner | undefined;

parentPort?.on('message', (question: ContentQuestion) => void reply(question));

async function reply(question: ContentQuestion): Promise<void> {
  const say = (said: ContentReply, moved: Iterable<ArrayBuffer> = []): void =>
    parentPort?.postMessage(said, [...moved]);
  const moved = new Set<ArrayBuffer>();
  try {
    if (question.kind === 'begin') owner = await beginContent(question);
    if (owner === undefined) throw new TypeError('nothing was begun');
    const answer = owner.answer(question, moved, () => say({ kind: 'step' }));
    say({ kind: 'answer', answer }, moved);
  } catch (error) {
    if (question.kind === 'begin' && question.handle !== undefined) throw error; // no former owner may go on
    say({ kind: 'fault', fault: faultOf(error) });
  }
  if (question.kind === 'flipped') garbage.sweepSoon();
}
