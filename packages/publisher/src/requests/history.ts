/** HISTORY: the releases that are kept, with what made and what changed each. PROTOCOL.md "HISTORY". */

import { type Manifest, type MessageOf, PartKind } from '@rulecast/protocol';
import type { ControlExchange } from '../control/exchange.ts';
import type { ControlParts } from '../control/parts.ts';

/** Answers a HISTORY. */
export async function answerHistory(
  { most }: MessageOf<'history'>,
  exchange: ControlExchange,
  { publisher }: ControlParts,
): Promise<void> {
  let sent = 0;
  for (const { manifest, hash, deltaBytes, notes } of publisher.store.pastReleases()) {
    if (sent++ === most) break;
    const { epoch, version, createdAtMs, parts } = manifest;
    await exchange.record({
      record: 'history',
      epoch,
      version,
      hash,
      createdAtMs,
      ...notes,
      parts: parts.length,
      ...countsOf(manifest),
      deltaBytes,
    });
  }
  await exchange.done('ok', '');
}

/** Entries of all lists and rules of all policies, as a manifest counts them. */
function countsOf({ parts }: Manifest): { readonly entries: number; readonly rules: number } {
  let entries = 0;
  let rules = 0;
  for (const { kind, count } of parts) {
    if (kind === PartKind.policy) rules += count;
    else if (kind === PartKind.prefixList || kind === PartKind.nameList) entries += count;
  }
  return { entries, rules };
}
