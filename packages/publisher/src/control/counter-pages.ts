/** The counters of one subscriber, fetched page by page. WIRE.md "ANSWER". */

import { ErrorCode, type MessageOf, ProtocolError } from '@rulecast/protocol';
import type { AskTable } from '@rulecast/sessions';
import { noAnswer } from './no-answer.ts';

/** Pages of one subscriber: 32,768 counters at most, at ten questions a second. */
const PAGES_MAX = 512;

/** Throws ProtocolError where the subscriber does not answer, or has more. */
export async function* counterPages(
  subscriber: string,
  ask: AskTable,
): AsyncGenerator<NonNullable<MessageOf<'answer'>['stats']>> {
  let from = 0;
  for (let count = 0; count < PAGES_MAX; count++) {
    const {
      stats,
      '+next': next = 0,
      ...answer
    } = await ask(subscriber, { question: 'stats', '+from': from });
    if (stats === undefined) throw noAnswer(answer);
    yield stats;
    if (next <= from) return; // the next page must be a later one
    from = next;
  }
  throw new ProtocolError(ErrorCode.overLimit, `it has more than ${PAGES_MAX} pages of counters`);
}
