/**
 * QUERY and ANSWER on one connection: as many questions as the subscriber answers and no more, each with its
 * time. PROTOCOL.md "QUERY".
 */

import {
  ANSWER_TIMEOUT_MS,
  type Connection,
  ErrorCode,
  type MessageOf,
  ProtocolError,
  QUERIES_PER_SECOND_MAX,
  type WirePacket,
} from '@rulecast/protocol';
import type { Clock } from '@rulecast/sources';

export type Answer = MessageOf<'answer'>;

/**
 * Half of what a subscriber answers a second at once, and the other half over each second: never more than it
 * takes.
 */
const ASK_BURST = QUERIES_PER_SECOND_MAX / 2;
const ASK_PAUSE_MS = 1000 / (QUERIES_PER_SECOND_MAX / 2);

/** Somebody waits for an ANSWER. */
interface Query {
  readonly resolve: (answer: Answer) => void;
  readonly reject: (error: ProtocolError) => void;
}

export class Queries {
  readonly #connection: Connection;
  readonly #clock: Clock;
  readonly #open = new Map<number, Query>();
  #lastTransaction = 0;
  #askedUntilMs = Number.NEGATIVE_INFINITY; // when all questions so far had been asked, one at each pause
  #isEnded = false;

  constructor(connection: Connection, clock: Clock) {
    this.#connection = connection;
    this.#clock = clock;
  }

  /**
   * Asks subscriber `name` about a packet; without one, for its counters. Rejects with ProtocolError
   * `timeout` or `disconnected`.
   */
  async ask(name: string, packet: WirePacket | undefined): Promise<Answer> {
    await this.#turnToAsk(name);
    const transaction = ++this.#lastTransaction;
    let cancel: () => void = () => undefined;
    const answered = new Promise<Answer>((resolve, reject) => {
      this.#open.set(transaction, { resolve, reject });
      cancel = this.#clock.after(ANSWER_TIMEOUT_MS, () => {
        const text = `${name} did not answer within ${ANSWER_TIMEOUT_MS} ms`;
        reject(new ProtocolError(ErrorCode.timeout, text));
      });
    });
    try {
      // Together: where nothing can be sent, the time runs out all the same.
      const question = packet === undefined ? 'stats' : 'test';
      const sent = this.#connection.send({ kind: 'query', question, packet }, transaction);
      const [answer] = await Promise.all([answered, sent]);
      return answer;
    } finally {
      cancel();
      this.#open.delete(transaction);
    }
  }

  /**
   * Whoever asks more than a subscriber answers waits here, and so `rulectl` does: no question waits in a
   * queue, here or there.
   */
  async #turnToAsk(name: string): Promise<void> {
    const nowMs = this.#clock.monotonicMs();
    const waitMs = Math.max(0, this.#askedUntilMs - nowMs - (ASK_BURST - 1) * ASK_PAUSE_MS);
    this.#askedUntilMs = Math.max(this.#askedUntilMs, nowMs) + ASK_PAUSE_MS;
    if (waitMs > 0) await new Promise<void>((resolve) => this.#clock.after(waitMs, resolve));
    if (!this.#isEnded) return;
    throw new ProtocolError(ErrorCode.disconnected, `${name} went before it was asked`);
  }

  /** An ANSWER came; one that nobody waits for any more is nothing. */
  answered(transaction: number, answer: Answer): void {
    this.#open.get(transaction)?.resolve(answer);
  }

  /** The session is over: nobody is answered any more. */
  end(name: string): void {
    this.#isEnded = true;
    for (const query of this.#open.values()) {
      query.reject(new ProtocolError(ErrorCode.disconnected, `${name} went before it answered`));
    }
  }
}
