/**
 * A release as a rule set document, from the records of its difference to nothing. Pure: records in, lines of
 * YAML out.
 */

import { isPublicSuffix } from '@rulecast/formats/public-suffix';
import type { ControlRecord, ControlRecordOf } from '@rulecast/protocol';
import { COMMON_POLICY, FIRST_POLICY, isForAllQubes } from '@rulecast/rules';
import { formatAmount, formatTime } from './amounts.ts';

type Aspect = ControlRecordOf<'edit'>['aspect'];

/** One part of a release, as in DIFF from version 0. */
export interface PartLines {
  readonly kind: string;
  readonly name: string;
  readonly lines: Map<Aspect, string[]>;
}

/** The lists that the publisher keeps itself, by name. */
type Sources = ReadonlyMap<string, ControlRecordOf<'list'>>;

/** The rows that `rulectl blocks` lists. */
type Rows = readonly ControlRecordOf<'block'>[];

const DIRECTIONS = ['egress', 'ingress'] as const;

/** Takes a record of the answer to DIFF. A line that begins with a space continues the one before it. */
export function addToParts(parts: PartLines[], record: ControlRecord): void {
  if (record.record === 'change') parts.push({ kind: record.kind, name: record.name, lines: new Map() });
  const part = parts.at(-1);
  if (record.record !== 'edit' || part === undefined) return;
  const lines = part.lines.get(record.aspect) ?? [];
  part.lines.set(record.aspect, lines);
  for (const line of record.lines)
    lines.push(line.startsWith(' ') ? `${lines.pop() ?? ''}${line.slice(1)}` : line);
}

/** One part alone; for a list with a source, its content too. */
export function* partLines(
  version: number,
  part: PartLines,
  sources: Sources,
  rows: Rows = [],
): Generator<string> {
  const isPolicy = part.kind === 'policy';
  const source = isPolicy ? undefined : sources.get(part.name);
  yield `# What version ${version} says of ${isPolicy ? 'policy' : 'list'} ${part.name}. ${source === undefined ? 'rulectl push takes it.' : 'No push takes it:'}`;
  yield* rows.map(rowComment);
  if (source !== undefined) yield sourceComment(part, source);
  if (!isPolicy) yield* section('lists', [part], listLines);
  else if (isForAllQubes(part.name)) yield* mapping(part.name, policyLines(part));
  else yield* section('policies', [part], policyLines);
}

/** Lists of sources, and rows of `rulectl blocks`, become comments: a push cannot bring them. */
export function* documentLines(
  version: number,
  parts: readonly PartLines[],
  sources: Sources,
  rows: Rows = [],
): Generator<string> {
  yield `# What version ${version} says. rulectl push takes it.`;
  yield* rows.map(rowComment);
  const lists = parts.filter(({ kind }) => kind === 'list' || kind === 'names');
  for (const list of lists) {
    const source = sources.get(list.name);
    if (source !== undefined) yield sourceComment(list, source);
  }
  yield* section(
    'lists',
    lists.filter(({ name }) => !sources.has(name)),
    listLines,
  );
  const policies = parts.filter(({ kind }) => kind === 'policy');
  for (const name of [FIRST_POLICY, COMMON_POLICY])
    for (const policy of policies.filter((each) => each.name === name))
      yield* mapping(name, policyLines(policy));
  yield* section(
    'policies',
    policies.filter(({ name }) => !isForAllQubes(name)),
    policyLines,
  );
  const unmatched = parts.find(({ kind }) => kind === 'unmatched')?.lines.get('unmatched');
  if (unmatched !== undefined) yield `unmatched: ${unmatched[0]}`;
}

/** Always there: a document is a mapping, also of nothing. */
function* section(
  key: 'lists' | 'policies',
  parts: readonly PartLines[],
  linesOf: (part: PartLines) => Iterable<string>,
): Generator<string> {
  if (parts.length === 0) yield `${key}: {}`;
  else yield `${key}:`;
  for (const part of parts) yield* indented(mapping(part.name, linesOf(part)));
}

function rowComment({ row, verb, target, qube, untilMs, comment }: Rows[number]): string {
  const words = [
    verb,
    target ?? qube,
    ...(target === undefined || qube === undefined ? [] : ['--qube', qube]),
  ];
  const end = untilMs === undefined ? '' : `, until ${formatTime(untilMs)}`;
  return `# row ${row}: rulectl ${words.join(' ')}${end}${comment === undefined ? '' : `: ${comment}`}`;
}

function sourceComment({ name, lines }: PartLines, { source, origin }: ControlRecordOf<'list'>): string {
  const count = formatAmount(lines.get('entries')?.length ?? 0, 'entry', 'entries');
  return `# list ${name}, ${count}: kept by the publisher, from ${`${source} ${origin}`.trim()}`;
}

function* listLines({ kind, lines }: PartLines): Generator<string> {
  for (const resolve of lines.get('resolve') ?? []) yield* resolve.split(', ');
  const entries = lines.get('entries') ?? [];
  if (kind === 'list') return yield* sequence('entries', entries);
  // An operator has permitted it in the release.
  if (entries.some((name) => name.startsWith('.') && isPublicSuffix(name.slice(1))))
    yield 'allow-public-suffixes: true';
  yield* sequence('names', entries);
  const exceptions = lines.get('exceptions') ?? [];
  if (exceptions.length > 0) yield* sequence('exceptions', exceptions);
}

function* policyLines({ name, lines }: PartLines): Generator<string> {
  const [action, ...terms] = lines.get('default') ?? [];
  if (!isForAllQubes(name)) yield `default: ${action}`;
  yield* terms;
  const prefixes = lines.get('prefixes') ?? [];
  if (prefixes.length > 0) yield* sequence('prefixes', prefixes);
  const exceptions = DIRECTIONS.filter((direction) => lines.has(`${direction}-exceptions`));
  if (exceptions.length > 0) yield 'exceptions:';
  for (const direction of exceptions)
    yield* indented(sequence(direction, lines.get(`${direction}-exceptions`) ?? []));
  for (const direction of DIRECTIONS) yield* sequence(direction, lines.get(direction) ?? []);
}

function* mapping(key: string, lines: Iterable<string>): Generator<string> {
  yield `${plain(key)}:`;
  yield* indented(lines);
}

function* sequence(key: string, items: readonly string[]): Generator<string> {
  yield items.length === 0 ? `${key}: []` : `${key}:`;
  for (const item of items) yield `  - ${plain(item)}`;
}

function* indented(lines: Iterable<string>): Generator<string> {
  for (const line of lines) yield `  ${line}`;
}

/** A text as YAML, in quotes where it could be read otherwise. */
function plain(text: string): string {
  return /^[\w.:][\w.:/=@ -]*$/.test(text) && !/: |[: ]$/.test(text) ? text : JSON.stringify(text);
}
