/** TEST: asks the live tables of subscribers about a packet. PROTOCOL.md "TEST". */

import {
  type ControlRecordOf,
  ErrorCode,
  hexOf,
  type MessageOf,
  ProtocolError,
  type WirePacket,
} from '@rulecast/protocol';
import type { ControlExchange } from '../control/exchange.ts';
import { noAnswer, noAnswerRecord } from '../control/no-answer.ts';
import type { ControlParts } from '../control/parts.ts';
import type { AskTable } from '../session/serve.ts';

/** Answers a TEST. Throws ProtocolError where the one subscriber asked, or all of them, cannot answer. */
export async function answerTest(
  request: MessageOf<'test'>,
  exchange: ControlExchange,
  { publisher, ask }: ControlParts,
): Promise<void> {
  const names = request.subscriber === undefined ? publisher.subscribers.connected() : [request.subscriber];
  if (names.length === 0) {
    throw new ProtocolError(
      ErrorCode.noSuchSubscriber,
      'no subscriber is connected: nobody has a live table to ask',
    );
  }
  for (const subscriber of names) {
    try {
      await exchange.record(await askOne(subscriber, request.packet, ask));
    } catch (error) {
      if (request.subscriber !== undefined) throw error;
      await exchange.record(noAnswerRecord(subscriber, error));
    }
  }
  await exchange.done('ok', '');
}

async function askOne(
  subscriber: string,
  packet: WirePacket,
  ask: AskTable,
): Promise<ControlRecordOf<'verdict'>> {
  const answer = await ask(subscriber, packet);
  const { verdict, version, hash, generation } = answer;
  if (verdict === undefined) throw noAnswer(answer);
  const hashText = hash === undefined ? undefined : hexOf(hash);
  return {
    record: 'verdict',
    subscriber,
    ...verdict,
    version,
    hash: hashText,
    generation: generation ?? 0,
  };
}
