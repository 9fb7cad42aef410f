/** ROLLBACK: a new release with the content of an earlier one. CONTROL.md "ROLLBACK". */

import type { MessageOf } from '@rulecast/protocol';
import type { ControlExchange } from '../control/exchange.ts';
import type { ControlParts } from '../control/parts.ts';
import { answerWithRelease, tellVersionMoved } from '../control/release-report.ts';
import { permitsOf } from '../guards/permits.ts';

/** Answers a ROLLBACK. Throws errors that the caller answers with FAIL. */
export async function answerRollback(
  request: MessageOf<'rollback'>,
  exchange: ControlExchange,
  parts: ControlParts,
): Promise<void> {
  const { publisher, caller } = parts;
  const { by, role } = caller;
  const { version, list, policy, ifVersion, dryRun, asNewEpoch, require, message } = request;
  const permits = permitsOf('push', request);
  const options = { by, role, message, ifVersion, dryRun, asNewEpoch, permits, require };
  await answerWithRelease(
    request,
    exchange,
    parts,
    (onStage) => publisher.rollback(version, { list, policy }, { ...options, onStage }),
    (moved) => tellVersionMoved(moved, ifVersion, exchange),
  );
}
