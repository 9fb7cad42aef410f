/** Turns a message of the publisher into an event of the machine; checks that need keys are done here. */

import { ErrorCode, type Message, type MessageOf, ProtocolError } from '@rulecast/protocol';
import type { Activator } from '../apply/activator.ts';
import type { Keyring } from '../apply/keyring.ts';
import { StateError } from '../state/state.ts';
import { judgeFresh } from './freshness.ts';
import { judgeOffer } from './judge.ts';
import type { Event, State } from './states.ts';

export interface ReceiverHost {
  readonly keyring: Keyring;
  readonly activator: Activator;
  /** The state of the table in force. */
  generation(): number;
}

type Open = Exclude<State, { readonly kind: 'closed' }>;

/** The event of a message in a state, at a time. */
export function eventOf(
  message: Exclude<Message, MessageOf<'root'>>,
  transaction: number,
  state: Open,
  host: ReceiverHost,
  nowMs: number,
): Event {
  const { keyring, activator } = host;
  switch (message.kind) {
    case 'offer': {
      const judge = {
        verifyOffer: activator.verifyOffer.bind(activator),
        floor: () => activator.floor,
        generation: host.generation,
      };
      return judgeOffer(message, state, judge, nowMs);
    }
    case 'fresh':
      return judgeFresh(message, state.known, {
        lineage: keyring.trust.lineage,
        root: keyring.known.hash,
        isFreshness: (signed) => keyring.isFreshness(signed),
        floor: activator.floor,
        sinceMs: nowMs - state.self.staleAfterMs,
      });
    case 'query':
      return {
        kind: 'query',
        packet: message.packet,
        refused: message.refused,
        from: message['+from'],
        transaction,
      };
    case 'welcome':
    case 'begin':
    case 'chunk':
    case 'end':
    case 'abort':
    case 'unsupported':
    case 'prove':
    case 'ping':
    case 'pong':
    case 'bye':
      return message;
    default:
      return { kind: 'other' };
  }
}

/** The event of a root once it is stored. No message is read meanwhile, as later ones are judged by it. */
export async function rootTaken(signed: MessageOf<'root'>, state: State, keyring: Keyring): Promise<Event> {
  if (state.kind !== 'idle') return { kind: 'root', number: 0 }; // out of place, whatever its content
  try {
    const { number } = await keyring.take(signed);
    return { kind: 'root', number };
  } catch (error) {
    if (error instanceof StateError) {
      return { kind: 'stop', reason: { code: ErrorCode.storageFailed, text: error.message } };
    }
    if (!(error instanceof ProtocolError)) throw error;
    return { kind: 'stop', reason: { code: error.code, text: `a root is not taken: ${error.message}` } };
  }
}
