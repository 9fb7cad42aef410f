/** FORGET: a subscriber is expected no more, and nothing is known of it. CONTROL.md "FORGET". */

import { ErrorCode, type MessageOf, ProtocolError } from '@rulecast/protocol';
import type { ControlExchange } from '../control/exchange.ts';
import type { ControlParts } from '../control/parts.ts';

/** Answers a FORGET. Throws ProtocolError `no-such-subscriber`, `still-connected` and `bad-input`. */
export async function answerForget(
  { name }: MessageOf<'forget'>,
  exchange: ControlExchange,
  { publisher, caller: { by } }: ControlParts,
): Promise<void> {
  switch (publisher.subscribers.forget(name)) {
    case 'forgotten':
      publisher.logger.info({ subscriber: name, by }, 'forgotten');
      return exchange.done('forgotten', `${name} is forgotten, and not expected any more`);
    case 'unknown':
      throw new ProtocolError(ErrorCode.noSuchSubscriber, `no subscriber called ${name} is known`);
    case 'connected':
      throw new ProtocolError(ErrorCode.stillConnected, `${name} is connected: stop it first`);
    case 'configured': {
      const text = `${name} is expected by the configuration: take it out of subscribers: there`;
      throw new ProtocolError(ErrorCode.badInput, text);
    }
  }
}
