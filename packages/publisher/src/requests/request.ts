/**
 * The control endpoint: one request of `rulectl` a connection, answered with records and ended with DONE or
 * FAIL. CONTROL.md "Control". Each request has a file of its own.
 */

import type { PacedLog } from '@rulecast/program';
import { boundText, ErrorCode, type Message, ProtocolError } from '@rulecast/protocol';
import { type Caller, checkRole } from '../admission/operators.ts';
import type { ControlExchange } from '../control/exchange.ts';
import type { ControlParts, House } from '../control/parts.ts';
import type { PushMemory } from '../control/push-memory.ts';
import { BehindError, EpochError, GuardError } from '../release/commit.ts';
import { UnknownReleaseError } from '../release/history.ts';
import { SignerError } from '../signer/signer.ts';
import { StoreError } from '../store/store.ts';
import { answerBlock, answerBlocks } from './block.ts';
import { answerDiff } from './diff.ts';
import { answerForget } from './forget.ts';
import { answerHistory } from './history.ts';
import { answerList, answerLists, answerRefresh } from './lists.ts';
import { answerLog } from './log.ts';
import { answerMetrics } from './metrics.ts';
import { answerPush } from './push.ts';
import { answerRollback } from './rollback.ts';
import { answerStatus } from './status.ts';
import { answerTest } from './test.ts';
import { answerTop } from './top.ts';
import { answerWhich } from './which.ts';

/**
 * Answers the one request of a connection. A peer that goes away or breaks the protocol ends it; nothing is
 * thrown. When the request has come, `callerOf` says who makes it, or throws ProtocolError,
 * and `admits` whether there is room for them; false: the peer was told why, and is not answered.
 */
export async function serveRequest(
  exchange: ControlExchange,
  houseFor: (request: Message) => Promise<House>,
  pushMemory: PushMemory,
  logger: PacedLog,
  callerOf: () => Caller,
  admits: (by: string, request: Message) => boolean,
): Promise<void> {
  try {
    const request = await exchange.request();
    if (request === undefined) return;
    const caller = callerOf();
    if (!admits(caller.by, request)) return;
    checkRole(request, caller);
    const house = await houseFor(request);
    try {
      await answer(request, exchange, { ...house, pushMemory, caller });
    } catch (error) {
      await tellFailure(error, exchange, logger);
    }
    house.publisher.tally.add('control-requests', [request.kind, exchange.endCode ?? ErrorCode.disconnected]);
  } catch (error) {
    await tellFailure(error, exchange, logger);
  }
}

function answer(request: Message, exchange: ControlExchange, parts: ControlParts): Promise<void> {
  switch (request.kind) {
    case 'push':
      return answerPush(request, exchange, parts);
    case 'rollback':
      return answerRollback(request, exchange, parts);
    case 'history':
      return answerHistory(request, exchange, parts);
    case 'diff':
      return answerDiff(request, exchange, parts);
    case 'lists':
      return answerLists(request, exchange, parts);
    case 'list':
      return answerList(request, exchange, parts);
    case 'refresh':
      return answerRefresh(request, exchange, parts);
    case 'forget':
      return answerForget(request, exchange, parts);
    case 'block':
    case 'unblock':
      return answerBlock(request, exchange, parts);
    case 'blocks':
      return answerBlocks(exchange, parts);
    case 'status':
      return answerStatus(request, exchange, parts);
    case 'metrics':
      return answerMetrics(exchange, parts);
    case 'test':
      return answerTest(request, exchange, parts);
    case 'which':
      return answerWhich(request, exchange, parts);
    case 'log':
      return answerLog(request, exchange, parts);
    case 'top':
      return answerTop(request, exchange, parts);
    default:
      throw new ProtocolError(ErrorCode.unexpectedMessage, `${request.kind} is no request`);
  }
}

async function tellFailure(error: unknown, exchange: ControlExchange, logger: PacedLog): Promise<void> {
  const code = codeOf(error);
  if (code === ErrorCode.disconnected) return;
  if (code === ErrorCode.notPermitted) logger.warn({ err: error }, 'a request was refused');
  if (code === ErrorCode.internal || code === ErrorCode.signerFailed)
    logger.error({ err: error }, 'a control request failed');
  const part = error instanceof ProtocolError || error instanceof GuardError ? error.part : undefined;
  const text = boundText(error instanceof Error ? error.message : String(error));
  const version = error instanceof UnknownReleaseError ? error.oldest : undefined;
  const place = error instanceof GuardError ? error.place : undefined;
  // the client may be gone
  await exchange.fail({ code, text, part, version, ...place }).catch(() => undefined);
}

function codeOf(error: unknown): ErrorCode {
  if (
    error instanceof ProtocolError ||
    error instanceof GuardError ||
    error instanceof BehindError ||
    error instanceof SignerError ||
    error instanceof EpochError
  )
    return error.code;
  if (error instanceof UnknownReleaseError) return ErrorCode.unknownRelease;
  return error instanceof StoreError ? ErrorCode.storageFailed : ErrorCode.internal;
}
