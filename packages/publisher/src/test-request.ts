/** TEST: asks the live tables of subscribers about a packet. PROTOCOL.md "TEST". */

import {
  boundText,
  type ControlRecordOf,
  ErrorCode,
  hexOf,
  type MessageOf,
  ProtocolError,
  type WirePacket,
} from '@rulecast/protocol';
import type { ControlExchange } from './control-exchange.ts';
import type { Publisher } from './publisher.ts';
import type { AskTable } from './serve.ts';

/** Answers a TEST. Throws ProtocolError where the one subscriber asked, or all of them, cannot answer. */
export async function answerTest(
  request: MessageOf<'test'>,
  exchange: ControlExchange,
  publisher: Publisher,
  ask: AskTable,
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
      if (!(error instanceof ProtocolError) || request.subscriber !== undefined) throw error;
      const part = `subscriber ${subscriber}`;
      await exchange.record({ record: 'warning', code: error.code, part, reason: boundText(error.message) });
    }
  }
  await exchange.done('ok', '');
}

async function askOne(
  subscriber: string,
  packet: WirePacket,
  ask: AskTable,
): Promise<ControlRecordOf<'verdict'>> {
  const { verdict, version, hash, generation, code, text } = await ask(subscriber, packet);
  if (verdict === undefined) {
    throw new ProtocolError(
      code === ErrorCode.rateLimited ? code : ErrorCode.notReady,
      text ?? 'it has no answer',
    );
  }
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
