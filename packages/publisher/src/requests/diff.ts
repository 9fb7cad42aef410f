/** DIFF: the changes from one release to another, in records of bounded size. CONTROL.md "DIFF". */

import {
  type ControlRecordOf,
  ErrorCode,
  type MessageOf,
  type PartChange,
  ProtocolError,
  partWord,
  RULE_TEXT_MAX_BYTES,
} from '@rulecast/protocol';
import { EMPTY_RULE_SET, suggestion } from '@rulecast/rules';
import { type EditBlock, editBlocks } from '../control/edit-lines.ts';
import type { ControlExchange } from '../control/exchange.ts';
import { lineBlocks } from '../control/line-blocks.ts';
import type { ControlParts } from '../control/parts.ts';
import { changeRecord } from '../control/release-report.ts';
import { UnknownReleaseError } from '../release/history.ts';
import type { PartFilter } from '../release/part-filter.ts';
import type { Publisher } from '../release/publisher.ts';
import type { Comparison } from '../release/worker.ts';
import { tellRows } from './block.ts';

/**
 * The lines of one record: with the longest names beside them they fit a control body. A line costs at most
 * three bytes more than its text.
 */
const LINES_LIMIT = { bytes: 3584, overheadBytes: 3 };
/** No canonical line begins with it. */
const FOLD = ' ';

/** Answers a DIFF. Throws UnknownReleaseError, and ProtocolError `no-such-part`. */
export async function answerDiff(
  { from, to, list, policy, stats, pushed }: MessageOf<'diff'>,
  exchange: ControlExchange,
  { publisher }: ControlParts,
): Promise<void> {
  const headVersion = publisher.head?.manifest.version;
  if (headVersion === undefined) throw new UnknownReleaseError(from, undefined, undefined, undefined);
  const next = to ?? headVersion;
  const comparison = await publisher.history.changes(from, next, { list, policy, pushed });
  const versions =
    from === 0 ? `version ${next} has no` : `neither version ${from} nor version ${next} has a`;
  if (pushed === true && next === headVersion && list === undefined)
    await tellRows(publisher.blocks.rowsIn(policy), exchange);
  await tellComparison(comparison, { list, policy, stats }, versions, publisher, exchange);
}

/**
 * Sends the differences and ends the answer; `lacking` begins the message that a part does not exist. Throws
 * ProtocolError `no-such-part`.
 */
export async function tellComparison(
  { changes, isKnown }: Comparison,
  { list, policy, stats }: PartFilter & { readonly stats: boolean },
  lacking: string,
  { head }: Pick<Publisher, 'head'>,
  exchange: ControlExchange,
): Promise<void> {
  if (!isKnown && (list !== undefined || policy !== undefined)) {
    const part = list === undefined ? `policy ${policy}` : `list ${list}`;
    const { lists, policies } = head?.ruleSet ?? EMPTY_RULE_SET;
    const near = suggestion(list ?? policy ?? '', (list === undefined ? policies : lists).keys());
    throw new ProtocolError(ErrorCode.noSuchPart, `${lacking} ${part}${near}`, { part });
  }
  for (const change of changes) {
    await exchange.record(changeRecord(change));
    if (!stats) await tellEdits(change, exchange);
  }
  await exchange.done(changes.length === 0 ? 'same' : 'different', '');
}

async function tellEdits(change: PartChange, exchange: ControlExchange): Promise<void> {
  for (const block of editBlocks(change)) {
    for (const record of recordsOf(change, block)) await exchange.record(record);
  }
}

function* recordsOf(change: PartChange, block: EditBlock): Generator<ControlRecordOf<'edit'>> {
  const { op, aspect } = block;
  const kind = partWord(change.kind);
  let index = block.index;
  for (const lines of lineBlocks(foldedLines(block.lines), LINES_LIMIT)) {
    yield { record: 'edit', op, kind, name: change.name, aspect, index, lines };
    if (index !== undefined) index += lines.filter((line) => !line.startsWith(FOLD)).length;
  }
}

/** Lines of bounded length: a longer one, due to a comment, continues in lines that begin with a space. */
function* foldedLines(lines: Iterable<string>): Generator<string> {
  for (const line of lines) {
    yield line.slice(0, RULE_TEXT_MAX_BYTES); // canonical text is ASCII
    for (let at = RULE_TEXT_MAX_BYTES; at < line.length; at += RULE_TEXT_MAX_BYTES - FOLD.length)
      yield FOLD + line.slice(at, at + RULE_TEXT_MAX_BYTES - FOLD.length);
  }
}
