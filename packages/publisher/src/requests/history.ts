/** HISTORY: the releases that are kept, with what made and what changed each. CONTROL.md "HISTORY". */

import type { MessageOf } from '@rulecast/protocol';
import type { ControlExchange } from '../control/exchange.ts';
import type { ControlParts } from '../control/parts.ts';

/** Answers a HISTORY. */
export async function answerHistory(
  { most }: MessageOf<'history'>,
  exchange: ControlExchange,
  { publisher }: ControlParts,
): Promise<void> {
  let sent = 0;
  for (const { manifest, hash, deltaBytes, entries, rules, notes } of publisher.store.pastReleases()) {
    if (sent++ === most) break;
    const { epoch, version, createdAtMs, parts } = manifest;
    await exchange.record({
      record: 'history',
      epoch,
      version,
      hash,
      createdAtMs,
      ...notes,
      parts,
      entries,
      rules,
      deltaBytes,
    });
  }
  await exchange.done('ok', '');
}
