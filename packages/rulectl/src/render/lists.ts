/** Lists, for people: source, freshness, content. Pure. */

import type { ControlRecordOf } from '@rulecast/protocol';
import { type List, type NameSet, nameTexts, type Prefixes } from '@rulecast/rules';
import type { Colors } from '../terminal/terminal.ts';
import { formatAge, formatAmount, formatCount } from './amounts.ts';
import { leftOutText } from './file.ts';
import { renderTable } from './table.ts';

type ListRecord = ControlRecordOf<'list'>;

const NOTHING = '-';
/** Longest error in a table of lists; `rulectl lists show NAME` has the rest. */
const ERROR_MAX_CHARS = 72;
const DOMAINS_SHOWN = 10;

/** A table, one line a list; `nowMs`: milliseconds since 1970, for ages. */
export function renderLists(lists: readonly ListRecord[], nowMs: number, colors: Colors): string {
  const rows = lists.map((list) => [
    list.published ? list.name : `${list.name} (operand)`,
    list.source,
    paintState(list.state, colors),
    formatCount(list.count),
    list.changedAtMs === undefined ? NOTHING : `+${formatCount(list.added)} -${formatCount(list.removed)}`,
    ageOf(list.changedAtMs, nowMs),
    ageOf(list.fetchedAtMs, nowMs),
    untilOf(list.nextAtMs, nowMs),
    list.error === undefined ? NOTHING : cut(`${list.error.code}: ${list.error.text}`),
  ]);
  const head = ['list', 'source', 'state', 'count', 'change', 'changed', 'fetched', 'next', 'error'];
  return renderTable(head, rows, undefined, colors);
}

/** All about one list. */
export function renderListDetails(list: ListRecord, nowMs: number, colors: Colors): string {
  return listFacts(list, nowMs, colors)
    .map(([label, value]) => `${`${label}:`.padEnd(12)} ${value}`)
    .join('\n');
}

/** The same, a label and a value each. */
export function listFacts(
  list: ListRecord,
  nowMs: number,
  colors: Colors,
): readonly (readonly [label: string, value: string])[] {
  const facts: [string, string][] = [];
  const add = (label: string, value: string): void => {
    facts.push([label, value]);
  };
  add('list', colors.bold(list.name));
  add('source', list.origin === '' ? list.source : `${list.source}, ${list.origin}`);
  add('state', paintState(list.state, colors));
  if (list.error !== undefined) {
    const since = formatAge(nowMs - list.error.atMs);
    add('error', `${colors.red(list.error.code)}: ${list.error.text} (${since} ago)`);
  }
  const holds = list.holds === undefined ? 'nothing yet' : formatAmount(list.count, 'entry', 'entries');
  const except = list.exceptions === undefined ? '' : `, ${formatAmount(list.exceptions, 'exception')}`;
  add('holds', list.holds === 'names' ? `${holds}, names${except}` : holds);
  if (!list.published) add('released', 'no, it is an operand of other lists');
  if (list.fetchedAtMs !== undefined) add('fetched', ageOf(list.fetchedAtMs, nowMs));
  if (list.nextAtMs !== undefined) add('next', untilOf(list.nextAtMs, nowMs));
  if (list.changedAtMs !== undefined) {
    const by = `+${formatCount(list.added)} -${formatCount(list.removed)}`;
    add('changed', `${ageOf(list.changedAtMs, nowMs)}, ${by}`);
  }
  if (list.formats.length > 0) add('read as', list.formats.join(', '));
  if (list.rejects > 0) {
    add('not used', `${formatAmount(list.rejects, 'line')}; the first: ${list.reject ?? ''}`);
  }
  if (list.suffixes !== undefined) {
    const entries = formatAmount(list.suffixes, 'suffix entry', 'suffix entries');
    add('as names', `${entries}: nothing below their names (suffixes: as-names)`);
  }
  for (const { code, count } of list.leftOut ?? []) add('left out', leftOutText(code, count));
  if (list.protected > 0) {
    const some = list.protectedPrefixes.join(', ');
    add('never block', `${formatAmount(list.protected, 'entry', 'entries')} without ${some} and the like`);
  }
  return facts;
}

/** The content of a list, in numbers. */
export function renderListStats(list: List, colors: Colors): string {
  return list.kind === 'names' ? renderNameStats(list, colors) : renderPrefixStats(list, colors);
}

function renderPrefixStats(list: { readonly v4: Prefixes; readonly v6: Prefixes }, colors: Colors): string {
  const blocks = [list.v4, list.v6].flatMap((column) => {
    if (column.lengths.length === 0) return [];
    const counts = new Map<number, number>();
    for (const length of column.lengths) counts.set(length, (counts.get(length) ?? 0) + 1);
    const rows = [...counts]
      .sort(([a], [b]) => a - b)
      .map(([length, count]) => [`/${length}`, formatCount(count)]);
    const head = `IPv${column.family}: ${formatAmount(column.lengths.length, 'prefix', 'prefixes')}, ${shareText(column)}`;
    return [`${head}\n${renderTable(['length', 'count'], rows, 1, colors)}`];
  });
  return blocks.length === 0 ? 'the list is empty' : blocks.join('\n\n');
}

/** The share of the address space that a column holds. */
function shareText({ family, lengths }: Prefixes): string {
  let share = 0;
  for (const length of lengths) share += 2 ** -length;
  const percent = `${(share * 100).toPrecision(3)} % of IPv${family}`;
  return family === 4
    ? `${formatAmount(Math.round(share * 2 ** 32), 'address', 'addresses')}, ${percent}`
    : percent;
}

function renderNameStats({ names, exceptions }: NameSet, colors: Colors): string {
  const counts = new Map<string, number>();
  for (const name of nameTexts(names)) {
    const top = name.slice(name.lastIndexOf('.') + 1);
    counts.set(top, (counts.get(top) ?? 0) + 1);
  }
  const rows = [...counts]
    .sort(([a, countA], [b, countB]) => countB - countA || (a < b ? -1 : 1))
    .slice(0, DOMAINS_SHOWN)
    .map(([top, count]) => [`.${top}`, formatCount(count)]);
  const except = exceptions.count === 0 ? '' : `, ${formatAmount(exceptions.count, 'exception')}`;
  const head = `${formatAmount(names.count, 'name')} in ${formatAmount(counts.size, 'top-level domain')}${except}`;
  return rows.length === 0 ? head : `${head}\n${renderTable(['domain', 'count'], rows, 1, colors)}`;
}

function paintState(state: ListRecord['state'], colors: Colors): string {
  switch (state) {
    case 'ok':
      return colors.green(state);
    case 'waiting':
    case 'loading':
      return colors.yellow(state);
    case 'failing':
    case 'expired':
      return colors.red(state);
  }
}

export function ageOf(atMs: number | undefined, nowMs: number): string {
  return atMs === undefined ? NOTHING : `${formatAge(nowMs - atMs)} ago`;
}

function untilOf(atMs: number | undefined, nowMs: number): string {
  return atMs === undefined ? NOTHING : `in ${formatAge(atMs - nowMs)}`;
}

function cut(text: string): string {
  return text.length > ERROR_MAX_CHARS ? `${text.slice(0, ERROR_MAX_CHARS - 1)}…` : text;
}
