/** TOP: the lists or rules that dropped most, by the publisher's sums. CONTROL.md "TOP". */

import type { ControlRecordOf, MessageOf } from '@rulecast/protocol';
import type { ControlExchange } from '../control/exchange.ts';
import type { ControlParts } from '../control/parts.ts';
import { HOURS_KEPT } from '../counts/sums.ts';

/** Rows sent; the rest dropped next to nothing. Our choice. */
const TOLD_MAX = 1000;
const HOUR_MS = 3_600_000;

/** Answers a TOP. */
export async function answerTop(
  { of, sinceMs = HOURS_KEPT * HOUR_MS }: MessageOf<'top'>,
  exchange: ControlExchange,
  { publisher }: Pick<ControlParts, 'publisher'>,
): Promise<void> {
  const { fromMs, lists, rules } = publisher.sums.since(sinceMs);
  const dropped: readonly Omit<ControlRecordOf<'dropped'>, 'record' | 'fromMs'>[] =
    of === 'lists' ? lists.map(([list, packets]) => ({ list, packets })) : rules;
  for (const one of dropped.slice(0, TOLD_MAX)) await exchange.record({ record: 'dropped', ...one, fromMs });
  await exchange.done('ok', '');
}
