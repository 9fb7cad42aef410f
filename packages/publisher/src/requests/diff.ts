/** DIFF: what turns one release into another, in records of bounded size. PROTOCOL.md "DIFF". */

import {
  boundText,
  type ControlRecordOf,
  EDIT_LINES_MAX,
  ErrorCode,
  type MessageOf,
  type PartChange,
  ProtocolError,
  partWord,
  RULE_TEXT_MAX_BYTES,
} from '@rulecast/protocol';
import { type EditBlock, editBlocks } from '../control/edit-lines.ts';
import type { ControlExchange } from '../control/exchange.ts';
import type { ControlParts } from '../control/parts.ts';
import { changeRecord } from '../control/release-report.ts';
import { UnknownReleaseError } from '../release/history.ts';

/** Bytes of the lines of one record. With the longest names of a part beside them they fit a control body. */
const LINES_MAX_BYTES = 3584;
/** What a line costs in a record besides its own bytes, at most. */
const LINE_OVERHEAD_BYTES = 3;

/** Answers a DIFF. Throws UnknownReleaseError, and ProtocolError `no-such-part`. */
export async function answerDiff(
  { from, to, list, policy, stats }: MessageOf<'diff'>,
  exchange: ControlExchange,
  { publisher }: ControlParts,
): Promise<void> {
  const headVersion = publisher.head?.manifest.version;
  if (headVersion === undefined) throw new UnknownReleaseError(from, undefined, undefined, undefined);
  const next = to ?? headVersion;
  const { changes, isKnown } = await publisher.history.changes(from, next, { list, policy });
  if (!isKnown && (list !== undefined || policy !== undefined)) {
    const part = list === undefined ? `policy ${policy}` : `list ${list}`;
    const text = `neither version ${from} nor version ${next} has a ${part}`;
    throw new ProtocolError(ErrorCode.noSuchPart, text, { part });
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

/** The lines of a block in as few records as hold them. */
function* recordsOf(change: PartChange, block: EditBlock): Generator<ControlRecordOf<'edit'>> {
  const { op, aspect } = block;
  const kind = partWord(change.kind);
  let lines: string[] = [];
  let bytes = 0;
  let index = block.index;
  const take = (): ControlRecordOf<'edit'> => {
    const record = { record: 'edit', op, kind, name: change.name, aspect, index, lines } as const;
    if (index !== undefined) index += lines.length;
    lines = [];
    bytes = 0;
    return record;
  };
  for (const whole of block.lines) {
    const line = boundText(whole, RULE_TEXT_MAX_BYTES);
    const lineBytes = Buffer.byteLength(line) + LINE_OVERHEAD_BYTES;
    if (lines.length === EDIT_LINES_MAX || bytes + lineBytes > LINES_MAX_BYTES) yield take();
    lines.push(line);
    bytes += lineBytes;
  }
  if (lines.length > 0) yield take();
}
