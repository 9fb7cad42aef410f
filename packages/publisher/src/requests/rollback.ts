/** ROLLBACK: a new release with the content of an earlier one. PROTOCOL.md "ROLLBACK". */

import type { MessageOf } from '@rulecast/protocol';
import type { ControlExchange } from '../control/exchange.ts';
import type { ControlParts } from '../control/parts.ts';
import { answerWithRelease, tellVersionMoved } from '../control/release-report.ts';

/** Answers a ROLLBACK. Throws what is to be told by FAIL. */
export async function answerRollback(
  request: MessageOf<'rollback'>,
  exchange: ControlExchange,
  { publisher, caller: { by } }: ControlParts,
): Promise<void> {
  const { version, list, policy, ifVersion, dryRun, asNewEpoch } = request;
  const permits = { allowUnreachable: request.allowUnreachable === true };
  await answerWithRelease(
    request,
    exchange,
    publisher,
    () => publisher.rollback(version, { list, policy }, { by, ifVersion, dryRun, asNewEpoch, permits }),
    (moved) => tellVersionMoved(moved, ifVersion, exchange),
  );
}
