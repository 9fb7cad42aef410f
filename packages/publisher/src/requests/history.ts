/** HISTORY: the releases kept, with the cause and the changes of each. CONTROL.md "HISTORY". */

import { Capability, CHANGED_PARTS_SHOWN_MAX, type MessageOf } from '@rulecast/protocol';
import type { ControlExchange } from '../control/exchange.ts';
import type { ControlParts } from '../control/parts.ts';
import type { PartFilter } from '../release/part-filter.ts';
import type { ReleaseNotes } from '../store/store.ts';

/** Answers a HISTORY. */
export async function answerHistory(
  { most, sinceMs = 0, list, policy }: MessageOf<'history'>,
  exchange: ControlExchange,
  { publisher }: ControlParts,
): Promise<void> {
  const isOlder = !exchange.capabilities.includes(Capability.requests);
  let sent = 0;
  for (const { manifest, hash, deltaBytes, entries, rules, notes } of publisher.store.pastReleases()) {
    await publisher.turn(); // a note names thousands of parts, and most may not be told
    const { epoch, version, createdAtMs, parts } = manifest;
    if (createdAtMs < sinceMs || !hasChanged(notes, { list, policy })) continue;
    if (sent++ === most) break;
    const { detail, by, message, changedParts, changedCount, added, removed } = notes;
    await exchange.record({
      record: 'history',
      ...{ epoch, version, hash, createdAtMs },
      ...{ detail, by, changedCount, added, removed },
      cause: notes.cause === 'blocks' && isOlder ? 'unknown' : notes.cause,
      message: isOlder ? undefined : message,
      changedParts: changedParts.slice(0, CHANGED_PARTS_SHOWN_MAX),
      ...{ parts, entries, rules, deltaBytes },
    });
  }
  await exchange.done('ok', '');
}

/** Whether a release changed a part, or may have: its note is lost, or more parts changed than are noted. */
function hasChanged(
  { cause, changedParts, changedCount }: ReleaseNotes,
  { list, policy }: PartFilter,
): boolean {
  if (list === undefined && policy === undefined) return true;
  if (cause === 'unknown' || changedCount > changedParts.length) return true;
  const texts = list === undefined ? [`policy ${policy}`] : [`list ${list}`, `names ${list}`];
  return texts.some((text) => changedParts.includes(text));
}
