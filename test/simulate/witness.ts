/**
 * What states both machines of a connection are in, as far as what they say and hear tells: nothing of a
 * session is looked into, so it holds whatever a session is made of. The states are those of WIRE.md
 * "Sessions".
 */

import {
  decodeMessage,
  type Frame,
  FrameDecoder,
  hexOf,
  type Message,
  type MessageOf,
  MessageType,
  manifestHash,
  PUBLISHER_STATES,
  type PublisherState,
  SUBSCRIBER_SESSION_STATES,
  type SubscriberSessionState,
} from '@rulecast/protocol';

/** The sender: the subscriber (up) or the publisher (down). */
export type Direction = 'up' | 'down';
/** A message was said by one side, or has come to the other. */
type Moment = 'said' | 'heard';

/** A state of one of the two machines, as it is counted. */
export type MachineState = `publisher ${PublisherState}` | `subscriber ${SubscriberSessionState}`;

export const MACHINE_STATES: readonly MachineState[] = [
  ...PUBLISHER_STATES.map((state): MachineState => `publisher ${state}`),
  ...SUBSCRIBER_SESSION_STATES.map((state): MachineState => `subscriber ${state}`),
];

const KINDS = new Map(Object.entries(MessageType).map(([kind, type]) => [type as number, kind]));

const PUBLISHER_SAYS: Readonly<Record<string, PublisherState>> = {
  welcome: 'idle',
  prove: 'proving',
  offer: 'offered',
  end: 'confirming',
  bye: 'closed',
};

const SUBSCRIBER_SAYS: Readonly<Record<string, SubscriberSessionState>> = {
  want: 'wanting',
  applied: 'idle',
  bye: 'closed',
};

const SUBSCRIBER_HEARS: Readonly<Record<string, SubscriberSessionState>> = {
  welcome: 'idle',
  begin: 'receiving',
  bye: 'closed',
};

export class Witness {
  publisher: PublisherState = 'greeting';
  subscriber: SubscriberSessionState = 'greeting';
  readonly #onState: (state: MachineState) => void;
  readonly #onRefusal: (nack: MessageOf<'nack'>) => void;
  #offered = ''; // last, hex
  readonly #decoders = new Map<string, FrameDecoder>();

  constructor(onState: (state: MachineState) => void, onRefusal: (nack: MessageOf<'nack'>) => void) {
    this.#onState = onState;
    this.#onRefusal = onRefusal;
  }

  /** Bytes as they are written, or taken. What is no frame says nothing more. */
  see(direction: Direction, moment: Moment, bytes: Uint8Array): void {
    const key = `${direction} ${moment}`;
    const decoder = this.#decoders.get(key) ?? new FrameDecoder();
    this.#decoders.set(key, decoder);
    try {
      decoder.feed(Uint8Array.from(bytes));
      for (let frame = decoder.next(); frame !== undefined; frame = decoder.next()) {
        const kind = KINDS.get(frame.type) ?? '';
        const isPublishers = (direction === 'down') === (moment === 'said');
        if (isPublishers) this.#toPublisher(this.#publisherAfter(kind, moment, frame));
        else {
          this.#toSubscriber(this.#subscriberAfter(kind, moment));
          const message = kind === 'nack' ? decodeMessage(frame.type, frame.body) : undefined;
          if (message?.kind === 'nack') this.#onRefusal(message);
        }
      }
    } catch {
      this.end();
    }
  }

  end(): void {
    this.#toPublisher('closed');
    this.#toSubscriber('closed');
  }

  publisherGone(): void {
    this.#toPublisher('closed');
  }

  get states(): readonly MachineState[] {
    return [`publisher ${this.publisher}`, `subscriber ${this.subscriber}`];
  }

  #publisherAfter(kind: string, moment: Moment, { type, body }: Frame): PublisherState {
    const before = this.publisher;
    if (moment === 'said') {
      if (kind === 'offer') this.#offered = hashIn(decodeMessage(type, body));
      if (kind === 'abort') return before === 'sending' ? 'confirming' : before;
      return PUBLISHER_SAYS[kind] ?? before;
    }
    switch (kind) {
      case 'want':
      case 'applied':
      case 'nack':
        if (before !== 'proving' && hashIn(decodeMessage(type, body)) !== this.#offered) return before;
        return kind === 'want' ? 'sending' : 'idle';
      case 'proof':
        return 'idle';
      case 'bye':
        return 'closed';
      default:
        return before;
    }
  }

  #subscriberAfter(kind: string, moment: Moment): SubscriberSessionState {
    const before = this.subscriber;
    if (moment === 'said') {
      if (kind === 'nack') return before === 'receiving' ? 'draining' : 'idle';
      return SUBSCRIBER_SAYS[kind] ?? before;
    }
    switch (kind) {
      case 'end':
        return before === 'receiving' ? 'applying' : before === 'draining' ? 'idle' : before;
      case 'abort':
        return before === 'applying' ? before : 'idle';
      default:
        return SUBSCRIBER_HEARS[kind] ?? before;
    }
  }

  #toPublisher(state: PublisherState): void {
    if (state === this.publisher) return;
    this.publisher = state;
    this.#onState(`publisher ${state}`);
  }

  #toSubscriber(state: SubscriberSessionState): void {
    if (state === this.subscriber) return;
    this.subscriber = state;
    this.#onState(`subscriber ${state}`);
  }
}

/** The hash, in hex, of the release that a message is about. */
function hashIn(message: Message): string {
  switch (message.kind) {
    case 'offer':
      return hexOf(manifestHash(message.content));
    case 'want':
    case 'applied':
    case 'nack':
      return hexOf(message.hash);
    default:
      return '';
  }
}
