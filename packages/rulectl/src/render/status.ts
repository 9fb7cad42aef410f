/** The status: whether all is well, the release, its parts, and the subscribers. Pure. */

import type { ControlRecordOf } from '@rulecast/protocol';
import { DEFAULT_POLICY, FIRST_POLICY } from '@rulecast/rules';
import type { Colors } from '../terminal/terminal.ts';
import { formatAge, formatAmount, formatCount, formatDuration, NOTHING } from './amounts.ts';
import { partName } from './changes.ts';
import { nameAnswers, renderCounters } from './counters.ts';
import { renderWarning } from './findings.ts';
import { type Fleet, type Member, renderFleet, renderMembers } from './fleet.ts';
import { type Health, healthOf, type Trouble } from './health.ts';
import { folded, renderNarrowTable } from './table.ts';

/** Hex digits of a hash that people compare by eye. */
const SHORT_HASH_CHARS = 12;

/** One batch of status records. */
export interface StatusView {
  /** Absent, or of version 0, before the first release. */
  readonly head: ControlRecordOf<'head'> | undefined;
  readonly parts: readonly ControlRecordOf<'part'>[];
  readonly warnings: readonly ControlRecordOf<'warning'>[];
  readonly subscribers: readonly ControlRecordOf<'subscriber'>[];
  /** With reporting names: how many are in which state, and some that are not in sync. */
  readonly fleet?: Fleet | undefined;
  readonly members?: readonly Member[];
  /** The counters of each subscriber, or why there are none; empty if not requested. */
  readonly counters: readonly (ControlRecordOf<'counters'> | ControlRecordOf<'warning'>)[];
}

/** The parts of a status to show to people. */
export interface StatusScope {
  /** Also every trouble, and digests, lineage, epoch and parts. */
  readonly verbose: boolean;
  /** Also the counters of each subscriber. */
  readonly counters: boolean;
}

/** In 80 columns. First whether all is well, or what is wrong. `nowMs`: milliseconds since 1970, for ages. */
export function renderStatus(view: StatusView, scope: StatusScope, nowMs: number, colors: Colors): string {
  const { head, parts, warnings, subscribers, fleet, members = [], counters } = view;
  const health = healthOf(view, nowMs);
  const blocks = [renderSentence(health, view, colors)];
  if (scope.verbose && health.troubles.length > 1)
    blocks.push(health.troubles.map((trouble) => troubleText(trouble, view)).join('\n'));
  if (head !== undefined && head.version > 0) blocks.push(renderHead(head, parts, scope, nowMs, colors));
  if (scope.verbose && parts.length > 0) blocks.push(renderParts(parts, colors));
  if (warnings.length > 0) blocks.push(warnings.map((warning) => renderWarning(warning, colors)).join('\n'));
  if (subscribers.length > 0) blocks.push(renderSubscribers(subscribers, scope, nowMs, colors));
  if (fleet !== undefined) blocks.push(renderFleet(fleet, colors));
  if (members.length > 0) blocks.push(renderMembers(members, nowMs, colors));
  const answers = nameAnswers(counters);
  if (answers.length > 0) blocks.push(answers.join('\n'));
  if (scope.counters) blocks.push(...counters.map((told) => renderCounters(told, colors)));
  return folded(blocks.join('\n\n'));
}

function renderSentence(health: Health, view: StatusView, colors: Colors): string {
  const [worst, ...others] = health.troubles;
  if (worst === undefined) return colors.green(`${capitalised(health.text, view)}.`);
  const color = health.state === 'degraded' ? colors.yellow : colors.red;
  const more = others.length === 0 ? '' : `\n${others.length} more: rulectl status --verbose`;
  return `${color(troubleText(worst, view))}${more}`;
}

function troubleText({ text, remedy }: Trouble, view: StatusView): string {
  const sentence = `${capitalised(text, view)}.`;
  return remedy === undefined ? sentence : `${sentence}\nRun: ${remedy}`; // whole, to be copied
}

/** A sentence begins with a capital, unless with a name. */
export function capitalised(text: string, { subscribers }: StatusView): string {
  const isName = subscribers.some(({ name }) => text.startsWith(name));
  return isName ? text : text.replace(/^[a-z](?=[a-z]* )/, (letter) => letter.toUpperCase());
}

/** The release, and the publisher; `verbose`: with digests, lineage and epoch. */
export function renderHead(
  head: ControlRecordOf<'head'>,
  parts: readonly ControlRecordOf<'part'>[],
  { verbose }: Pick<StatusScope, 'verbose'>,
  nowMs: number,
  colors: Colors,
): string {
  const unmatched = unmatchedText(head, parts, colors);
  const version = `version ${colors.bold(formatCount(head.version))}`;
  const identity = verbose ? ` (epoch ${head.epoch}), ${shortHash(head.hash)}` : '';
  const origin = verbose ? `lineage ${head.lineage}, publisher` : 'publisher';
  const lines = [
    `${version}${identity}, released ${formatAge(nowMs - head.createdAtMs)} ago`,
    `${formatAmount(head.parts, 'part')}, ${formatAmount(head.entries, 'entry', 'entries')}, ${formatAmount(head.rules, 'rule')}`,
    `${origin} up for ${formatAge(nowMs - head.startedAtMs)}`,
    ...(unmatched === undefined ? [] : [unmatched]),
    ...(head.hasRootKey === true
      ? [
          colors.yellow(
            'the key that signs roots lies with the publisher: move root-….key to a vault (docs/how-to/keys.md)',
          ),
        ]
      : []),
  ];
  return lines.join('\n');
}

/**
 * What happens to egress of qubes outside all policies; undefined if a policy judges them, or if there are no
 * policies at all.
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
  return renderNarrowTable(['part', 'count', 'changed in', 'digest'], rows, [], 1, colors);
}

function renderSubscribers(
  subscribers: readonly ControlRecordOf<'subscriber'>[],
  { verbose }: StatusScope,
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
  ]);
  const columns = ['subscriber', 'bound to', 'state', 'version', 'lag', 'last seen'];
  const notes = subscribers.map((subscriber) =>
    [...(verbose ? [appliedText(subscriber)] : []), ...errorText(subscriber, nowMs)].join('\n'),
  );
  return renderNarrowTable(columns, rows, notes, undefined, colors);
}

/** The kinds of a name's bindings; `--json` has the rest. */
function boundText({ bound = [] }: ControlRecordOf<'subscriber'>): string {
  return bound.length === 0 ? NOTHING : bound.map((text) => text.split(' ', 1).join('')).join(', ');
}

function appliedText({ matches, applyMs }: ControlRecordOf<'subscriber'>): string {
  const took = applyMs === undefined ? '' : `, applied in ${formatDuration(applyMs)}`;
  return `  ${matches ? 'matches' : 'does not match'} what is released${took}`;
}

/** Why it refuses the head for good; else its last error. */
function errorText({ refusal, lastError }: ControlRecordOf<'subscriber'>, nowMs: number): readonly string[] {
  const [what, error] = refusal === undefined ? ['last error', lastError] : ['refuses', refusal];
  if (error === undefined) return [];
  return [`  ${what}: ${error.code}: ${error.text} (${formatAge(nowMs - error.atMs)} ago)`];
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
