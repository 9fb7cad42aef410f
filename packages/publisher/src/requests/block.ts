/** BLOCK, UNBLOCK and BLOCKS: rows beside the pushed rules. CONTROL.md "BLOCK". */

import type { MessageOf } from '@rulecast/protocol';
import type { Row } from '../blocks/rows.ts';
import type { ControlExchange } from '../control/exchange.ts';
import type { ControlParts } from '../control/parts.ts';
import { answerWithRelease, tellVersionMoved } from '../control/release-report.ts';
import { permitsOf } from '../guards/permits.ts';
import type { PushOptions, ReleaseStage } from '../release/request.ts';

type Changing = MessageOf<'block' | 'unblock'>;

/** Answers a BLOCK or an UNBLOCK. Throws errors that the caller answers with FAIL. */
export async function answerBlock(
  request: Changing,
  exchange: ControlExchange,
  parts: ControlParts,
): Promise<void> {
  const { publisher, caller } = parts;
  const { by, role } = caller;
  const { ifVersion, dryRun, asNewEpoch, require, message } = request;
  const permits = permitsOf('push', request);
  const optionsWith = (onStage: (stage: ReleaseStage) => void): PushOptions => ({
    ...{ by, role, message, ifVersion, dryRun, asNewEpoch, permits, require, onStage },
  });
  await answerWithRelease(
    request,
    exchange,
    parts,
    (onStage) =>
      request.kind === 'block'
        ? publisher.blocks.add(request, optionsWith(onStage))
        : publisher.blocks.remove(request.all === true ? 'all' : request.rows, optionsWith(onStage)),
    (moved) => tellVersionMoved(moved, ifVersion, exchange),
  );
}

/** Answers a BLOCKS. */
export async function answerBlocks(exchange: ControlExchange, { publisher }: ControlParts): Promise<void> {
  await tellRows(publisher.blocks.rows, exchange);
  await exchange.done('ok', '');
}

export async function tellRows(rows: readonly Row[], exchange: ControlExchange): Promise<void> {
  for (const { id, at, until, ...row } of rows) {
    const untilMs = until === undefined ? undefined : until * 1000;
    await exchange.record({ record: 'block', row: id, ...row, atMs: at * 1000, untilMs });
  }
}
