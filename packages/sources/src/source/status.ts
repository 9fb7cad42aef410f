/** The status of each list: its freshness, its source's content, and its troubles. */

import type { ListConfig } from '@rulecast/formats';
import { entryCount, exceptionCount, type List } from '@rulecast/rules';
import type { ListChange } from '../lists/change.ts';
import type { LeftOut } from '../read/reading.ts';
import type { Source, SourceTrouble } from './source.ts';

/** One list as the status shows it. */
export interface ListStatus {
  readonly name: string;
  readonly source: ListConfig['source']['kind'];
  /** Its source, for people. */
  readonly origin: string;
  readonly state: 'ok' | 'waiting' | 'loading' | 'failing' | 'expired';
  readonly holds: List['kind'] | undefined;
  /** Entries of the list in force, or of the last one read if none is in force yet. */
  readonly count: number;
  /** Exceptions of a list of names, likewise. */
  readonly exceptionCount: number;
  readonly isPublished: boolean;
  /** Milliseconds since 1970. */
  readonly fetchedAtMs: number | undefined;
  readonly nextAtMs: number | undefined;
  /** Between two readings; undefined: it is read when it changes. */
  readonly intervalMs: number | undefined;
  /** How often its content was refused, since the start. */
  readonly refusalCount: number;
  readonly changedAtMs: number | undefined;
  /** By the last change. */
  readonly added: number;
  readonly removed: number;
  readonly trouble: SourceTrouble | undefined;
  /** Its content is the same for longer than one would think; no trouble. */
  readonly standstill: SourceTrouble | undefined;
  readonly formats: readonly string[];
  readonly rejectCount: number;
  /** The first reject, with its place. */
  readonly firstReject: string | undefined;
  /** The skipped lines, by kind. */
  readonly leftOut: readonly LeftOut[];
  /** Entries that held addresses which must never be blocked. */
  readonly protectedCount: number;
  readonly protectedExamples: readonly string[];
  /** Suffix entries of which only the name itself is used, as configured. */
  readonly suffixCount: number;
}

/** Status data that a source itself does not have. */
export interface StatusContext {
  readonly isLoading: boolean;
  readonly nextAtMs: number | undefined;
  readonly change: ListChange | undefined;
  /** Its content in force, which may be older than the last reading. */
  readonly inForce: List | undefined;
  /** Why its list could not be put in force. */
  readonly refused: SourceTrouble | undefined;
}

export function statusOf(source: Source, context: StatusContext): ListStatus {
  const { config, report } = source;
  const { change, inForce: list = source.list } = context;
  const trouble = source.trouble ?? context.refused;
  const [reject] = report?.rejects ?? [];
  return {
    name: config.name,
    source: config.source.kind,
    origin: originOf(config),
    state: stateOf(source, trouble, context.isLoading),
    holds: list?.kind,
    count: list === undefined ? 0 : entryCount(list),
    exceptionCount: list === undefined ? 0 : exceptionCount(list),
    isPublished: config.publish,
    fetchedAtMs: source.fetchedAtMs,
    nextAtMs: context.nextAtMs,
    intervalMs: config.intervalMs,
    refusalCount: source.refusalCount,
    changedAtMs: change?.atMs,
    added: change?.added ?? 0,
    removed: change?.removed ?? 0,
    trouble,
    standstill: trouble === undefined ? source.standstill : undefined,
    formats: report?.formats ?? [],
    rejectCount: report?.rejectCount ?? 0,
    firstReject:
      reject === undefined ? undefined : `${reject.file}:${reject.line}:${reject.column}: ${reject.reason}`,
    leftOut: report?.leftOut ?? [],
    protectedCount: report?.taken?.entryCount ?? 0,
    protectedExamples: report?.taken?.examples ?? [],
    suffixCount: source.suffixCount,
  };
}

function stateOf(
  source: Source,
  trouble: SourceTrouble | undefined,
  isLoading: boolean,
): ListStatus['state'] {
  if (isLoading) return 'loading';
  if (source.isExpired) return 'expired';
  if (trouble !== undefined) return 'failing';
  return source.list === undefined ? 'waiting' : 'ok';
}

/** The origin of a list, for people: without credentials. */
function originOf({ source, reading }: ListConfig): string {
  switch (source.kind) {
    case 'file':
    case 'dir':
      return source.path;
    case 'url':
      return source.urls.map(shownUrl).join(' ');
    case 'table': {
      const keys = [...reading.country, ...reading.asn.map((asn) => `AS${asn}`)];
      return `${keys.join(' ')} of table ${source.table}`;
    }
    case 'names':
    case 'entries':
      return 'the configuration';
    case 'expression': {
      const minus = source.minus.length === 0 ? '' : ` minus ${source.minus.join(', ')}`;
      return `${source.operator} of ${source.operands.join(', ')}${minus}`;
    }
  }
}

function shownUrl(text: string): string {
  const url = new URL(text);
  url.username = '';
  url.password = '';
  url.search = url.search === '' ? '' : '?…';
  return decodeURI(url.href);
}
