/**
 * The control endpoint: one request of `rulectl` a connection, answered with records and ended with DONE or FAIL.
 * PROTOCOL.md "Control". Each request has a file of its own.
 */

import { boundText, type Connection, ErrorCode, type Message, ProtocolError } from '@rulecast/protocol';
import { ControlExchange } from '../control/exchange.ts';
import type { PushMemory } from '../control/push-memory.ts';
import { BehindError, GuardError } from '../release/commit.ts';
import { UnknownReleaseError } from '../release/history.ts';
import type { Publisher } from '../release/publisher.ts';
import type { AskTable } from '../session/serve.ts';
import { StoreError } from '../store/store.ts';
import { answerDiff } from './diff.ts';
import { answerForget } from './forget.ts';
import { answerHistory } from './history.ts';
import { answerList, answerLists, answerRefresh, type SourceLists } from './lists.ts';
import { answerPush } from './push.ts';
import { answerRollback } from './rollback.ts';
import { answerStatus } from './status.ts';
import { answerTest } from './test.ts';

export class ControlSession {
  readonly #connection: Connection;
  readonly #exchange: ControlExchange;
  readonly #publisher: Publisher;
  readonly #ask: AskTable;
  readonly #pushMemory: PushMemory;
  readonly #sources: SourceLists | undefined;

  constructor(
    connection: Connection,
    publisher: Publisher,
    ask: AskTable,
    pushMemory: PushMemory,
    sources?: SourceLists,
  ) {
    this.#connection = connection;
    this.#exchange = new ControlExchange(connection, publisher.clock);
    this.#publisher = publisher;
    this.#ask = ask;
    this.#pushMemory = pushMemory;
    this.#sources = sources;
  }

  /**
   * Answers the one request, then closes. A peer that goes away or breaks the protocol ends it; nothing is thrown. `admits` is asked
   * when the request has come; false: the peer was told why, and is not answered.
   */
  async run(admits: () => boolean): Promise<void> {
    try {
      const request = await this.#exchange.request();
      if (request !== undefined && admits()) await this.#answer(request);
    } catch (error) {
      await this.#fail(error);
    } finally {
      this.#connection.close();
    }
  }

  async #answer(request: Message): Promise<void> {
    const exchange = this.#exchange;
    const publisher = this.#publisher;
    switch (request.kind) {
      case 'push':
        return answerPush(request, exchange, publisher, this.#pushMemory);
      case 'rollback':
        return answerRollback(request, exchange, publisher);
      case 'history':
        return answerHistory(request, exchange, publisher);
      case 'diff':
        return answerDiff(request, exchange, publisher);
      case 'lists':
        return answerLists(request, exchange, publisher, this.#sources);
      case 'list':
        return answerList(request, exchange, publisher, this.#sources);
      case 'refresh':
        return answerRefresh(request, exchange, this.#sources);
      case 'forget':
        return answerForget(request, exchange, publisher);
      case 'status':
        return answerStatus(request, exchange, publisher, this.#ask);
      case 'test':
        return answerTest(request, exchange, publisher, this.#ask);
      default:
        throw new ProtocolError(ErrorCode.unexpectedMessage, `${request.kind} is no request`);
    }
  }

  async #fail(error: unknown): Promise<void> {
    const code = codeOf(error);
    if (code === ErrorCode.disconnected) return;
    if (code === ErrorCode.internal) this.#publisher.logger.error({ err: error }, 'a control request failed');
    const part = error instanceof ProtocolError || error instanceof GuardError ? error.part : undefined;
    const text = boundText(error instanceof Error ? error.message : String(error));
    const version = error instanceof UnknownReleaseError ? error.oldest : undefined;
    await this.#exchange.fail({ code, text, part, version }).catch(() => undefined); // it may be gone
  }
}

function codeOf(error: unknown): ErrorCode {
  if (error instanceof ProtocolError || error instanceof GuardError || error instanceof BehindError)
    return error.code;
  if (error instanceof UnknownReleaseError) return ErrorCode.unknownRelease;
  return error instanceof StoreError ? ErrorCode.storageFailed : ErrorCode.internal;
}
