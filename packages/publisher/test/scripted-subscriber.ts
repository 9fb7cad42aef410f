/**
 * The other end of a subscriber's session, led by the test message by message. It applies what it is sent and
 * verifies the result with the protocol's own functions, as a subscriber would.
 */

import {
  type After,
  applyChain,
  Connection,
  decodeChain,
  decodeManifest,
  type Manifest,
  type Message,
  type MessageKind,
  type MessageOf,
  manifestHash,
  PROTOCOL_VERSION,
  type Signed,
  verifyRuleSet,
} from '@rulecast/protocol';
import { EMPTY_RULE_SET, type RuleSet } from '@rulecast/rules';
import { type Channel, connect, type Endpoint } from '@rulecast/vchan';
import { onTestFinished } from 'vitest';
import { turns } from '../../../test/kit/turns.ts';
import { trusted } from './fresh-publisher.ts';

/** A release as a subscriber has it. */
export interface Held {
  readonly hash: Uint8Array;
  readonly epoch: number;
  readonly version: number;
}

export interface Offer extends Signed {
  readonly hash: Uint8Array;
  readonly decoded: Manifest;
}

/** The test itself decides how long it waits. */
const NEVER_AFTER: After = () => () => undefined;

const LIMITS = { entries: 1_000_000, bytes: 100_000_000, parts: 1024 };

export class ScriptedSubscriber {
  readonly channel: Channel;
  readonly connection: Connection;
  /** Deltas of the last stream. */
  stepCount = 0;
  private inForce: Uint8Array | undefined; // what PING says, as HELLO and APPLIED did
  private active: { readonly held: Held; readonly ruleSet: RuleSet } | undefined;

  constructor(channel: Channel) {
    this.channel = channel;
    this.connection = new Connection(channel, { after: NEVER_AFTER });
    onTestFinished(() => channel.close());
  }

  static async connect(endpoint: Endpoint): Promise<ScriptedSubscriber> {
    return new ScriptedSubscriber(await connect(endpoint));
  }

  /** Connects and says HELLO; resolves after WELCOME. */
  static async greet(
    endpoint: Endpoint,
    name: string,
    hello: Partial<MessageOf<'hello'>> = {},
  ): Promise<ScriptedSubscriber> {
    const subscriber = await ScriptedSubscriber.connect(endpoint);
    await subscriber.hello(name, hello);
    await subscriber.next('welcome');
    return subscriber;
  }

  get held(): Held | undefined {
    return this.active?.held;
  }

  get ruleSet(): RuleSet {
    return this.active?.ruleSet ?? EMPTY_RULE_SET;
  }

  hello(name: string, hello: Partial<MessageOf<'hello'>> = {}): Promise<void> {
    return this.send({
      kind: 'hello',
      protocolMin: PROTOCOL_VERSION,
      protocolMax: PROTOCOL_VERSION,
      name,
      ...trusted(),
      holds: undefined,
      refused: [],
      limits: LIMITS,
      ...hello,
    });
  }

  send(message: Message, transaction?: number): Promise<void> {
    if (message.kind === 'hello') this.inForce = message.holds?.hash;
    if (message.kind === 'applied') this.inForce = message.hash;
    return this.connection.send(message, transaction);
  }

  /** The next message, which must be of this kind. */
  async next<K extends MessageKind>(kind: K): Promise<MessageOf<K>> {
    return (await this.nextWithTransaction(kind)).message;
  }

  async nextWithTransaction<K extends MessageKind>(
    kind: K,
  ): Promise<{ readonly message: MessageOf<K>; readonly transaction: number }> {
    const received = await this.connection.receive();
    if (received?.message.kind !== kind) {
      throw new Error(`${kind} was due, not ${JSON.stringify(received?.message)}`);
    }
    return { message: received.message as MessageOf<K>, transaction: received.transaction };
  }

  pong(): Promise<void> {
    return this.send({ kind: 'pong', hash: this.inForce });
  }

  /** Whether nothing at all was sent before the answer to a PING sent now. */
  async isQuiet(): Promise<boolean> {
    await this.send({ kind: 'ping', hash: this.inForce, ageMs: undefined });
    const received = await this.connection.receive();
    await turns(1); // it is no more in the queue of who said it, who may say BYE
    return received?.message.kind === 'pong';
  }

  /** Answers PING and drops all else, until the connection ends. */
  async answerPings(): Promise<void> {
    for (let received = await this.connection.receive(); received !== undefined; ) {
      if (received.message.kind === 'ping') await this.send({ kind: 'pong' });
      received = await this.connection.receive();
    }
  }

  /** The code of the BYE that is due, after which the connection ends. */
  async byeCode(): Promise<string> {
    const { code } = await this.next('bye');
    if ((await this.connection.receive()) !== undefined) throw new Error('a message after BYE');
    return code;
  }

  async offer(): Promise<Offer> {
    return offerOf(await this.next('offer'));
  }

  want(offer: Offer, base: Uint8Array | undefined = this.held?.hash): Promise<void> {
    return this.send({ kind: 'want', hash: offer.hash, base });
  }

  /**
   * BEGIN to END: applies the stream to the held rule set, and checks the result against the offered
   * manifest.
   */
  async receiveTransfer(
    offer: Offer,
  ): Promise<{ readonly begin: MessageOf<'begin'>; readonly ruleSet: RuleSet }> {
    const begin = await this.next('begin');
    return { begin, ruleSet: await this.receiveStream(offer, begin) };
  }

  async receiveStream(offer: Offer, begin: MessageOf<'begin'>): Promise<RuleSet> {
    const chunks: Uint8Array[] = [];
    for (;;) {
      const received = await this.connection.receive();
      if (received?.message.kind === 'chunk') chunks.push(Uint8Array.from(received.message.bytes));
      else if (received?.message.kind === 'end') {
        const stream = Buffer.concat(chunks);
        this.stepCount = decodeChain(stream).length;
        return streamApplied(offer, begin, stream, this.ruleSet);
      } else throw new Error(`CHUNK or END was due, not ${JSON.stringify(received?.message)}`);
    }
  }

  async applied(offer: Offer, ruleSet: RuleSet): Promise<void> {
    const { epoch, version } = offer.decoded;
    this.active = { held: { hash: offer.hash, epoch, version }, ruleSet };
    await this.send({
      kind: 'applied',
      hash: offer.hash,
      epoch,
      version,
      receiveMs: 1,
      verifyMs: 2,
      compileMs: 3,
      flipMs: 4,
      persisted: true,
      generation: version,
    });
  }

  /** Takes the OFFER that is due, all the way to APPLIED. */
  async take(): Promise<{ readonly offer: Offer; readonly begin: MessageOf<'begin'> }> {
    const offer = await this.offer();
    await this.want(offer);
    const { begin, ruleSet } = await this.receiveTransfer(offer);
    await this.applied(offer, ruleSet);
    return { offer, begin };
  }

  nack(offer: Pick<Offer, 'hash'>, nack: Partial<MessageOf<'nack'>> = {}): Promise<void> {
    return this.send({
      kind: 'nack',
      hash: offer.hash,
      code: 'compile-failed',
      text: 'it does not compile',
      part: undefined,
      entry: undefined,
      retry: 'never',
      retryAfterMs: undefined,
      keeps: undefined,
      ...nack,
    });
  }
}

export function offerOf({ signatures, content }: Signed): Offer {
  return { signatures, content, hash: manifestHash(content), decoded: decodeManifest(content) };
}

/**
 * The rule set that a stream makes of `before`; throws unless it is as announced, and the release that was
 * offered.
 */
export function streamApplied(
  offer: Offer,
  begin: MessageOf<'begin'>,
  stream: Uint8Array,
  before: RuleSet = EMPTY_RULE_SET,
): RuleSet {
  if (stream.length !== begin.bytes) throw new Error(`${stream.length} bytes that BEGIN does not describe`);
  const ruleSet = applyChain(begin.snapshot === true ? EMPTY_RULE_SET : before, stream);
  verifyRuleSet(offer.decoded, ruleSet);
  return ruleSet;
}
