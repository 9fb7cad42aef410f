/** The status: the release, its parts, and the subscribers. Pure. */

import type { ControlRecordOf } from '@rulecast/protocol';
import { DEFAULT_POLICY, FIRST_POLICY } from '@rulecast/rules';
import type { Colors } from '../terminal/terminal.ts';
import { formatAge, formatAmount, formatCount, formatDuration, NOTHING } from './amounts.ts';
import { partName } from './changes.ts';
import { nameTroubles, renderCounters } from './counters.ts';
import { renderWarning } from './findings.ts';
import { renderTable } from './table.ts';

/** Hex digits of a hash that people compare by eye. */
const SHORT_HASH_CHARS = 12;

/** One batch of status records. */
export interface StatusView {
  /** Absent, or of version 0, before the first release. */
  readonly head: ControlRecordOf<'head'> | undefined;
  readonly parts: readonly ControlRecordOf<'part'>[];
  readonly warnings: readonly ControlRecordOf<'warning'>[];
  readonly subscribers: readonly ControlRecordOf<'subscriber'>[];
  /** Of each subscriber, or why there are none; empty where nobody asked. */
  readonly counters: readonly (ControlRecordOf<'counters'> | ControlRecordOf<'warning'>)[];
}

/** `nowMs`: milliseconds since 1970, for ages. */
export function renderStatus(view: StatusView, nowMs: number, colors: Colors): string {
  const { head, parts, warnings, subscribers, counters } = view;
  const isReleased = head !== undefined && head.version > 0;
  const nothing = ['nothing released yet: push something with rulectl push FILE'];
  const blocks = [
    isReleased
      ? renderHead(head, parts, nowMs, colors)
      : nothing.concat(renderDegraded(head, colors)).join('\n'),
  ];
  if (parts.length > 0) blocks.push(renderParts(parts, colors));
  if (warnings.length > 0) blocks.push(warnings.map((warning) => renderWarning(warning, colors)).join('\n'));
  blocks.push(
    subscribers.length === 0
      ? 'no subscriber was ever connected'
      : renderSubscribers(subscribers, nowMs, colors),
    ...counters.map((told) => renderCounters(told, colors)),
    ...nameTroubles(counters).map((text) => `${colors.yellow('warning')}: ${text}`),
  );
  return blocks.join('\n\n');
}

function renderDegraded(head: StatusView['head'], colors: Colors): readonly string[] {
  return (head?.degraded ?? []).map((reason) => `${colors.yellow('degraded')}: ${reason}`);
}

function renderHead(
  head: ControlRecordOf<'head'>,
  parts: readonly ControlRecordOf<'part'>[],
  nowMs: number,
  colors: Colors,
): string {
  const unmatched = unmatchedText(head, parts, colors);
  const lines = [
    `version ${colors.bold(formatCount(head.version))} (epoch ${head.epoch}), ${shortHash(head.hash)}, released ${formatAge(nowMs - head.createdAtMs)} ago`,
    `${formatAmount(head.parts, 'part')}, ${formatAmount(head.entries, 'entry', 'entries')}, ${formatAmount(head.rules, 'rule')}`,
    `lineage ${head.lineage}, publisher up for ${formatAge(nowMs - head.startedAtMs)}`,
    ...(unmatched === undefined ? [] : [unmatched]),
    ...(head.hasRootKey === true
      ? [
          colors.yellow(
            'the key that signs roots lies with the publisher: move root-….key to a vault (docs/keys.md)',
          ),
        ]
      : []),
    ...renderDegraded(head, colors),
  ];
  return lines.join('\n');
}

/**
 * What happens to egress of qubes that no policy names; undefined where a policy judges them, or nothing is
 * decided at all.
 */
function unmatchedText(
  { unmatched }: ControlRecordOf<'head'>,
  parts: readonly ControlRecordOf<'part'>[],
  colors: Colors,
): string | undefined {
  const policies = parts.filter(({ kind, name }) => kind === 'policy' && name !== FIRST_POLICY);
  if (policies.some(({ name }) => name === DEFAULT_POLICY)) return undefined;
  switch (unmatched) {
    case 'drop':
      return 'qubes that no policy names are dropped (unmatched: drop)';
    case 'accept':
      return `qubes that no policy names are ${colors.yellow('left to the other tables')} (unmatched: accept)`;
    case undefined:
      return policies.length === 0
        ? undefined
        : colors.yellow('qubes that no policy names are not judged: push unmatched: drop or accept');
  }
}

function renderParts(parts: readonly ControlRecordOf<'part'>[], colors: Colors): string {
  const rows = parts.map((part) => [
    partName(part),
    formatCount(part.count),
    formatCount(part.changedVersion),
    shortHash(part.digest),
  ]);
  return renderTable(['part', 'count', 'changed in', 'digest'], rows, 1, colors);
}

function renderSubscribers(
  subscribers: readonly ControlRecordOf<'subscriber'>[],
  nowMs: number,
  colors: Colors,
): string {
  const rows = subscribers.map((subscriber) => [
    subscriber.name,
    boundText(subscriber),
    paintState(subscriber.state, colors),
    subscriber.version === undefined ? NOTHING : formatCount(subscriber.version),
    subscriber.lagVersions === 0
      ? NOTHING
      : `${formatCount(subscriber.lagVersions)} (${formatAge(subscriber.lagMs)})`,
    subscriber.lastSeenMs === 0 ? 'never' : `${formatAge(nowMs - subscriber.lastSeenMs)} ago`,
    subscriber.matches ? 'yes' : 'no',
    subscriber.applyMs === undefined ? NOTHING : formatDuration(subscriber.applyMs),
    troubleText(subscriber, nowMs),
  ]);
  return renderTable(
    ['subscriber', 'bound to', 'state', 'version', 'lag', 'last seen', 'match', 'apply', 'last error'],
    rows,
    undefined,
    colors,
  );
}

/** The kinds of what a name is bound to: `--json` has all of it. */
function boundText({ bound = [] }: ControlRecordOf<'subscriber'>): string {
  return bound.length === 0 ? NOTHING : bound.map((text) => text.split(' ', 1).join('')).join(', ');
}

/** Why it refuses the head, which stays so; else what went wrong last. */
function troubleText({ refusal, lastError }: ControlRecordOf<'subscriber'>, nowMs: number): string {
  const trouble = refusal ?? lastError;
  return trouble === undefined ? NOTHING : lastErrorText(trouble, nowMs);
}

function lastErrorText(
  error: { readonly code: string; readonly text: string; readonly atMs: number },
  nowMs: number,
): string {
  return `${error.code}: ${error.text} (${formatAge(nowMs - error.atMs)} ago)`;
}

function paintState(state: ControlRecordOf<'subscriber'>['state'], colors: Colors): string {
  switch (state) {
    case 'synced':
      return colors.green(state);
    case 'behind':
      return colors.yellow(state);
    case 'receiving':
      return colors.yellow('on its way');
    case 'refused':
    case 'diverged':
    case 'disconnected':
      return colors.red(state);
  }
}

function shortHash(hash: string): string {
  return hash.slice(0, SHORT_HASH_CHARS);
}
