/**
 * LISTS, LIST and REFRESH: the sources of lists and their freshness; their content; and a refresh. CONTROL.md
 * "LISTS".
 */

import {
  boundText,
  type ControlRecordOf,
  ErrorCode,
  type MessageOf,
  ProtocolError,
} from '@rulecast/protocol';
import {
  entryCount,
  exceptionCount,
  formatPrefixAt,
  type List,
  nameTexts,
  suggestion,
} from '@rulecast/rules';
import type { ListStatus } from '@rulecast/sources';
import type { ControlExchange } from '../control/exchange.ts';
import { lineBlocks } from '../control/line-blocks.ts';
import type { ControlParts } from '../control/parts.ts';
import { permitsOf, unneededPermits } from '../guards/permits.ts';

/** The lines of one record; the rest of a control body is the record's name. */
const LINES_LIMIT = { bytes: 3840, overheadBytes: 2 };
const FORMATS_SHOWN = 4;
const ORIGIN_MAX_BYTES = 512;

/** Answers a LISTS. */
export async function answerLists(
  { sourcesOnly }: MessageOf<'lists'>,
  exchange: ControlExchange,
  { publisher, sources }: ControlParts,
): Promise<void> {
  const statuses = sources?.status() ?? [];
  for (const status of statuses) await exchange.record(recordOf(status));
  const names = new Set(statuses.map(({ name }) => name));
  const pushed = [...(publisher.head?.ruleSet.lists ?? [])].filter(([name]) => !names.has(name)).sort();
  if (!sourcesOnly) for (const [name, list] of pushed) await exchange.record(pushedRecord(name, list));
  await exchange.done('ok', '');
}

/** Answers a LIST. Throws ProtocolError `no-such-part`. */
export async function answerList(
  { name, content }: MessageOf<'list'>,
  exchange: ControlExchange,
  { publisher, sources }: ControlParts,
): Promise<void> {
  const status = sources?.status().find((one) => one.name === name);
  const list = publisher.head?.ruleSet.lists.get(name) ?? sources?.list(name);
  if (status !== undefined) await exchange.record(recordOf(status));
  else if (list !== undefined) await exchange.record(pushedRecord(name, list));
  else {
    const known = [
      ...(publisher.head?.ruleSet.lists.keys() ?? []),
      ...(sources?.status() ?? []).map((one) => one.name),
    ];
    throw noSuchList(name, `there is no such list${suggestion(name, known) || ': see rulectl lists'}`);
  }
  if (content && list !== undefined) {
    for (const lines of lineBlocks(entriesOf(list), LINES_LIMIT))
      await exchange.record({ record: 'entries', lines });
    const exceptions = list.kind === 'names' ? nameTexts(list.exceptions) : [];
    for (const lines of lineBlocks(exceptions, LINES_LIMIT))
      await exchange.record({ record: 'exceptions', lines });
  }
  await exchange.done('ok', '');
}

/** Answers a REFRESH. Throws ProtocolError `bad-input`, `no-such-part` and `not-ready`. */
export async function answerRefresh(
  request: MessageOf<'refresh'>,
  exchange: ControlExchange,
  { publisher, sources, caller: { by } }: ControlParts,
): Promise<void> {
  const { lists } = request;
  const codes = permitsOf('refresh', request);
  if (lists.length === 0 && codes.size > 0) {
    const text = '--permit needs the names of the lists that it is for';
    throw new ProtocolError(ErrorCode.badInput, text);
  }
  if (sources === undefined) {
    const text = 'this publisher keeps no lists itself: start it with --config FILE, or push lists';
    throw new ProtocolError(ErrorCode.notReady, text);
  }
  const known = new Set(sources.status().map(({ name }) => name));
  for (const name of lists) {
    const advice = suggestion(name, known) || ': see rulectl lists';
    if (!known.has(name)) throw noSuchList(name, `no source keeps such a list${advice}`);
  }
  const { head } = publisher;
  const permits = { codes, needed: new Set<string>(), by };
  const statuses = await sources.refresh(lists, permits);
  publisher.recordRefresh(head, by, lists);
  for (const status of statuses) await exchange.record(recordOf(status));
  const failing = statuses.filter(({ trouble }) => trouble !== undefined).length;
  const unneeded = unneededPermits(codes, [...permits.needed]) ?? '';
  if (failing === 0) await exchange.done('refreshed', unneeded);
  else await exchange.done('failing', `${failing} of ${statuses.length} lists keep their last good content`);
}

function noSuchList(name: string, text: string): ProtocolError {
  return new ProtocolError(ErrorCode.noSuchPart, `${name}: ${text}`, { part: `list ${name}` });
}

function recordOf(status: ListStatus): ControlRecordOf<'list'> {
  const { trouble = status.standstill, fetchedAtMs, nextAtMs, changedAtMs } = status;
  return {
    record: 'list',
    name: status.name,
    source: status.source,
    origin: boundText(status.origin, ORIGIN_MAX_BYTES),
    state: status.state,
    holds: status.holds,
    count: status.count,
    exceptions: exceptionsShown(status.exceptionCount),
    published: status.isPublished,
    fetchedAtMs: whole(fetchedAtMs),
    nextAtMs: whole(nextAtMs),
    changedAtMs: whole(changedAtMs),
    added: status.added,
    removed: status.removed,
    error:
      trouble === undefined
        ? undefined
        : {
            code: trouble.code,
            text: boundText(trouble.reason),
            atMs: Math.max(0, Math.round(trouble.atMs)),
          },
    formats: status.formats.slice(0, FORMATS_SHOWN),
    rejects: status.rejectCount,
    reject: status.firstReject === undefined ? undefined : boundText(status.firstReject),
    leftOut: status.leftOut.length === 0 ? undefined : status.leftOut,
    protected: status.protectedCount,
    protectedPrefixes: status.protectedExamples,
    suffixes: status.suffixCount === 0 ? undefined : status.suffixCount,
  };
}

function whole(ms: number | undefined): number | undefined {
  return ms === undefined ? undefined : Math.max(0, Math.round(ms));
}

function exceptionsShown(count: number): number | undefined {
  return count === 0 ? undefined : count;
}

function pushedRecord(name: string, list: List): ControlRecordOf<'list'> {
  return {
    record: 'list',
    name,
    source: 'push',
    origin: '',
    state: 'ok',
    holds: list.kind,
    count: entryCount(list),
    exceptions: exceptionsShown(exceptionCount(list)),
    published: true,
    added: 0,
    removed: 0,
    formats: [],
    rejects: 0,
    protected: 0,
    protectedPrefixes: [],
  };
}

function* entriesOf(list: List): Generator<string> {
  if (list.kind === 'names') yield* nameTexts(list.names);
  else {
    for (const column of [list.v4, list.v6]) {
      for (let i = 0; i < column.lengths.length; i++) yield formatPrefixAt(column, i);
    }
  }
}
