/** FORGET: deletes the record of a subscriber, or of a reporting name. CONTROL.md "FORGET". */

import { ErrorCode, type MessageOf, ProtocolError } from '@rulecast/protocol';
import type { ControlExchange } from '../control/exchange.ts';
import type { ControlParts } from '../control/parts.ts';

/** Answers a FORGET. Throws ProtocolError `no-such-subscriber`, `still-connected` and `bad-input`. */
export async function answerForget(
  { name }: MessageOf<'forget'>,
  exchange: ControlExchange,
  { publisher, fleet, caller: { by } }: ControlParts,
): Promise<void> {
  const hadReports = fleet?.forget(name) === true;
  const forgotten = publisher.subscribers.forget(name);
  if (hadReports && forgotten !== 'forgotten') {
    publisher.logger.info({ subscriber: name, by }, 'forgotten what it reported');
    return exchange.done('forgotten', `what ${name} reported is forgotten`);
  }
  switch (forgotten) {
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
