/**
 * A control connection as its request sees it: receives messages, sends answers, and tells when the client is
 * gone. CONTROL.md "Control".
 */

import {
  type Connection,
  type ControlRecord,
  type DoneCode,
  ErrorCode,
  HANDSHAKE_TIMEOUT_MS,
  type Message,
  type MessageOf,
  PROTOCOL_VERSION,
  ProtocolError,
  STALL_TIMEOUT_MS,
  type Turn,
} from '@rulecast/protocol';
import { versionRefusal } from '@rulecast/sessions';
import type { Clock } from '@rulecast/sources';

/** Records in a turn of the event loop: a push of ten thousand policies has as many. Our choice. */
const TURN_RECORDS = 64;

export class ControlExchange {
  readonly #connection: Connection;
  readonly #clock: Clock;
  readonly #turn: Turn;
  #recordCount = 0;
  #capabilities: readonly string[] = [];
  #endCode: string | undefined;

  constructor(connection: Connection, clock: Clock, turn: Turn) {
    this.#connection = connection;
    this.#clock = clock;
    this.#turn = turn;
  }

  /** The capabilities that `rulectl` sent. */
  get capabilities(): readonly string[] {
    return this.#capabilities;
  }

  /**
   * The request, or undefined if the connection ended without one. A GREET before it is answered with ours; a
   * client that sends none has no extra capabilities.
   */
  async request(): Promise<Message | undefined> {
    const first = await this.#receiveWithin(HANDSHAKE_TIMEOUT_MS);
    if (first?.kind !== 'greet') return first;
    const refusal = versionRefusal(first, 'rulectl');
    if (refusal !== undefined) {
      this.#connection.bye(refusal.code, refusal.text);
      return undefined;
    }
    this.#capabilities = first.capabilities;
    await this.#send({
      kind: 'greet',
      protocolMin: PROTOCOL_VERSION,
      protocolMax: PROTOCOL_VERSION,
      capabilities: [],
    });
    return this.#receiveWithin(HANDSHAKE_TIMEOUT_MS);
  }

  /** The next message of a request that has several. Throws ProtocolError if another comes, or none. */
  async expect<K extends 'file' | 'chunk' | 'end'>(kind: K): Promise<MessageOf<K>> {
    const message = await this.#receiveWithin(STALL_TIMEOUT_MS);
    if (message === undefined) throw new ProtocolError(ErrorCode.disconnected, 'the request was cut off');
    if (message.kind !== kind) {
      throw new ProtocolError(ErrorCode.unexpectedMessage, `${message.kind} where ${kind} was due`);
    }
    return message as MessageOf<K>; // its kind was compared
  }

  /** Disconnects a client that is silent for so long: all clients share a few connections. */
  async #receiveWithin(timeoutMs: number): Promise<Message | undefined> {
    const cancel = this.#clock.after(timeoutMs, () => {
      this.#connection.bye(ErrorCode.timeout, `nothing came for ${timeoutMs / 1000} s`);
    });
    try {
      return (await this.#connection.receive())?.message;
    } finally {
      cancel();
    }
  }

  /** Sends one record. Rejects with ProtocolError if the peer is gone, or reads nothing for a minute. */
  async record(record: ControlRecord): Promise<void> {
    if (++this.#recordCount % TURN_RECORDS === 0) await this.#turn();
    await this.#send({ kind: 'record', record });
  }

  /** The code of the DONE or FAIL that was sent. */
  get endCode(): string | undefined {
    return this.#endCode;
  }

  async done(code: DoneCode, text: string): Promise<void> {
    await this.#send({ kind: 'done', code, text });
    this.#endCode = code;
  }

  async fail(fields: Omit<MessageOf<'fail'>, 'kind'>): Promise<void> {
    await this.#send({ kind: 'fail', ...fields });
    this.#endCode = fields.code;
  }

  /** A peer that stops reading does not hold its place for ever. */
  async #send(message: Message): Promise<void> {
    const cancel = this.#clock.after(STALL_TIMEOUT_MS, () => {
      this.#connection.bye(ErrorCode.timeout, `nothing was read for ${STALL_TIMEOUT_MS / 1000} s`);
    });
    try {
      await this.#connection.send(message);
    } finally {
      cancel();
    }
  }

  /**
   * Resolves when `rulectl` is gone, as nobody waits for the answer then; it must not send more after its
   * request.
   */
  async untilGone(): Promise<void> {
    await this.#connection.receive().catch(() => undefined); // the connection has told the peer, and closed
    this.#connection.bye(ErrorCode.unexpectedMessage, 'a connection carries one request');
  }
}
