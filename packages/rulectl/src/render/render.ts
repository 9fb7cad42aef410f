/** What people read: records in, text out. Pure, so that every line of it is tested without a publisher. */

import { type Reject, SKIP_REASONS, type Skipped } from '@rulecast/formats';
import type { ControlRecordOf } from '@rulecast/protocol';
import { DEFAULT_POLICY, type RuleBlock } from '@rulecast/rules';
import Table from 'cli-table3';
import { shownName } from '../terminal/input.ts';
import type { Colors } from '../terminal/terminal.ts';

const SECOND_MS = 1000;
const MINUTE_MS = 60 * SECOND_MS;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;
/** Hex digits of a hash that people compare by eye. */
const SHORT_HASH_CHARS = 12;
const NOTHING = '-';
/** In a table of releases: files with long names do not push the numbers off the screen. */
const CAUSE_MAX_CHARS = 40;
const CHANGED_PARTS_SHOWN = 2;

// ── Numbers ──────────────────────────────────────────────────────────────────────────────────────────────────────────

/** `1,234,567`, whatever the locale. */
export function formatCount(count: number): string {
  return String(count).replace(/\B(?=(?:\d{3})+$)/g, ',');
}

/** `3 s`, `2 min`, `5 h`, `12 d`; never negative, clocks of two machines differ. */
export function formatAge(ms: number): string {
  if (ms < MINUTE_MS) return `${Math.max(0, Math.floor(ms / SECOND_MS))} s`;
  if (ms < HOUR_MS) return `${Math.floor(ms / MINUTE_MS)} min`;
  if (ms < 2 * DAY_MS) return `${Math.floor(ms / HOUR_MS)} h`;
  return `${formatCount(Math.floor(ms / DAY_MS))} d`;
}

/** `312 ms`, `1.25 s`, `75.0 s`. */
export function formatDuration(ms: number): string {
  if (ms < SECOND_MS) return `${ms} ms`;
  return `${(ms / SECOND_MS).toFixed(ms < 10 * SECOND_MS ? 2 : 1)} s`;
}

/** `812 B`, `4.7 kB`, `1.75 MB`: decimal units. */
export function formatBytes(bytes: number): string {
  if (bytes < 1000) return `${bytes} B`;
  if (bytes < 1_000_000) return `${(bytes / 1000).toFixed(1)} kB`;
  return `${formatCount(Math.floor(bytes / 1_000_000))}.${String(Math.floor((bytes % 1_000_000) / 10_000)).padStart(2, '0')} MB`;
}

/** `1 rule`, `2,000 rules`. */
export function formatAmount(count: number, one: string, many = `${one}s`): string {
  return `${formatCount(count)} ${count === 1 ? one : many}`;
}

// ── Lines ────────────────────────────────────────────────────────────────────────────────────────────────────────────

/** `file:line:column: code: reason`, which editors and CI systems understand. */
export function renderReject(file: string, reject: Reject, colors: Colors): string {
  const place = `${shownName(file)}:${reject.line}:${reject.column}:`;
  return `${colors.bold(place)} ${colors.red(reject.code)}: ${reject.reason}`;
}

export function renderRefusal(refusal: ControlRecordOf<'refusal'>, colors: Colors): string {
  return `${colors.red('refused')}: ${refusal.part}: ${refusal.reason} (${refusal.guard})`;
}

export function renderWarning(
  warning: { readonly code: string; readonly reason: string },
  colors: Colors,
): string {
  return `${colors.yellow('warning')}: ${warning.reason} (${warning.code})`;
}

/** What of a list was knowingly not used, from which line on. */
export function renderSkipped(file: string, { code, count, line }: Skipped): string {
  return `${shownName(file)}:${line}: not used: ${formatCount(count)} ${SKIP_REASONS[code]} (${code})`;
}

/** What `check` says of one file when it is through. */
export interface FileSummary {
  readonly file: string;
  /** `list of prefixes`, `rules`, …. */
  readonly what: string;
  readonly rules: number;
  readonly entries: number;
  readonly rejects: number;
  readonly warnings: number;
}

export function renderFileSummary(summary: FileSummary, colors: Colors): string {
  const { rules, entries, rejects, warnings } = summary;
  const counts = [
    ...(rules > 0 ? [formatAmount(rules, 'rule')] : []),
    ...(entries > 0 ? [formatAmount(entries, 'entry', 'entries')] : []),
    ...(rules + entries === 0 ? ['nothing in it'] : []),
    ...(warnings > 0 ? [formatAmount(warnings, 'warning')] : []),
    rejects === 0 ? colors.green('nothing refused') : colors.red(`${formatCount(rejects)} refused`),
  ];
  return `${shownName(summary.file)}: ${summary.what}, ${counts.join(', ')}`;
}

// ── Push ─────────────────────────────────────────────────────────────────────────────────────────────────────────────

const CHANGE_WORDS = { add: 'new', change: 'changed', remove: 'removed' } as const;

/** A table, one line a part; empty without changes. */
export function renderChanges(changes: readonly ControlRecordOf<'change'>[], colors: Colors): string {
  if (changes.length === 0) return '';
  const paint = { add: colors.green, change: colors.yellow, remove: colors.red };
  const rows = changes.map((change) => [
    partName(change),
    paint[change.op](CHANGE_WORDS[change.op]),
    formatCount(change.added),
    formatCount(change.removed),
    formatCount(change.unchanged),
  ]);
  return renderTable(['part', 'what', '+added', '-removed', 'unchanged'], rows, 2, colors);
}

/** A list, policy or the resolutions, as people name it. */
export function partName(part: { readonly kind: string; readonly name: string }): string {
  return part.name === '' ? part.kind : `${part.kind} ${part.name}`;
}

export function renderRelease(release: ControlRecordOf<'release'>): string {
  const { version, epoch, previousVersion, parts, entries, rules, deltaBytes } = release;
  const content = `${formatAmount(entries, 'entry', 'entries')} and ${formatAmount(rules, 'rule')}`;
  if (!release.changed) {
    return version === 0
      ? 'no change: nothing is released yet, and this is nothing'
      : `no change: version ${formatCount(version)} has this content already`;
  }
  if (release.dryRun) {
    const base = version === 0 ? 'as the first release' : `on top of version ${formatCount(version)}`;
    return `dry run: would release ${content} ${base}, a delta of ${formatBytes(deltaBytes)}`;
  }
  const from = previousVersion === 0 ? '' : ` from version ${formatCount(previousVersion)}`;
  return `released version ${formatCount(version)} (epoch ${epoch}): ${formatAmount(parts, 'part')}, ${content}, a delta of ${formatBytes(deltaBytes)}${from}`;
}

/** What became of a release at one subscriber. */
export function renderApplied(applied: ControlRecordOf<'applied'>, colors: Colors): string {
  const { subscriber, version, ms, bytes } = applied;
  switch (applied.state) {
    case 'applied': {
      const lasting = applied.persisted === false ? ', not kept over a restart' : '';
      return `${colors.green('applied')} by ${subscriber} in ${formatDuration(ms)}, ${formatBytes(bytes)} sent${lasting}`;
    }
    case 'superseded':
      return `${colors.green('superseded')} at ${subscriber}: it applied version ${formatCount(version)} in ${formatDuration(ms)}`;
    case 'refused':
      return `${colors.red('refused')} by ${subscriber}: ${applied.code ?? 'no code'}: ${applied.text ?? 'it does not say why'}`;
    case 'timeout':
      return `${colors.red('no answer')} from ${subscriber} in ${formatDuration(ms)}: it gets the release when it can`;
    case 'disconnected':
      return `${colors.red('disconnected')}: ${subscriber}; it gets the release when it is back`;
    case 'absent':
      return `${colors.red('absent')}: ${subscriber} is expected and not connected; it gets the release when it is back`;
  }
}

/** The last line of a push that was to be applied. */
export function renderAppliedSummary(applied: readonly ControlRecordOf<'applied'>[], colors: Colors): string {
  const inForce = applied.filter(({ state }) => state === 'applied' || state === 'superseded').length;
  if (inForce === 0) return colors.red('in force nowhere: subscribers get the release when they connect');
  const text = `in force at ${formatCount(inForce)} of ${formatAmount(applied.length, 'subscriber')}`;
  return inForce === applied.length ? colors.green(text) : colors.red(text);
}

/** What a request did not touch, and status tells. */
export function renderOtherWarnings(count: number, colors: Colors): string {
  return `${colors.yellow(formatAmount(count, 'warning'))} about other parts: rulectl status shows them`;
}

// ── Verdicts ─────────────────────────────────────────────────────────────────────────────────────────────────────────

/** A verdict of a subscriber or of the reference evaluator. */
export interface VerdictView {
  readonly action: 'accept' | 'drop' | 'none';
  readonly direction?: string | undefined;
  readonly policy?: string | undefined;
  /** Where the rule stands, if not in the policy that judged. */
  readonly rulePolicy?: string | undefined;
  readonly block?: RuleBlock | undefined;
  readonly rule?: string | undefined;
  /** From 0. */
  readonly ruleIndex?: number | undefined;
  readonly list?: string | undefined;
  readonly prefix?: string | undefined;
  readonly subscriber?: string | undefined;
  readonly version?: number | undefined;
  /** What a packet file says should come out. */
  readonly expect?: string | undefined;
}

export function renderVerdict(packet: string, verdict: VerdictView, colors: Colors): string {
  const lines = [`${packet}: ${paintAction(verdict.action, colors)}`];
  const add = (label: string, value: string): void => {
    lines.push(`  ${label.padEnd(10)} ${value}`);
  };
  if (verdict.expect !== undefined && verdict.expect !== verdict.action)
    add('expected', colors.red(verdict.expect));
  if (verdict.subscriber !== undefined) {
    const version =
      verdict.version === undefined ? 'nothing applied yet' : `version ${formatCount(verdict.version)}`;
    add('subscriber', `${verdict.subscriber}, ${version}`);
  }
  if (verdict.direction === undefined) {
    const isFlowless = verdict.action === 'drop';
    add('policy', isFlowless ? 'none is asked: this packet begins no flow' : 'none judges this packet');
  } else {
    add('policy', `${verdict.policy ?? 'none names this qube'}, ${verdict.direction}`);
    add('rule', ruleText(verdict));
  }
  if (verdict.list !== undefined) add('list', verdict.list);
  if (verdict.prefix !== undefined) add('prefix', verdict.prefix);
  return lines.join('\n');
}

/** The rule that decided, where it stands, or what decided where none did. */
function ruleText({ policy, rulePolicy, block, rule, ruleIndex, action }: VerdictView): string {
  if (rule === undefined) {
    return policy === undefined
      ? `none matches: unmatched: ${action} decides`
      : 'none matches: the default action decides';
  }
  const owner = rulePolicy !== undefined && rulePolicy !== policy ? ` of ${rulePolicy}` : '';
  const what = block === 'exceptions' ? 'exception' : 'number';
  return ruleIndex === undefined ? rule : `${rule} (${what} ${formatCount(ruleIndex + 1)}${owner})`;
}

function paintAction(action: VerdictView['action'], colors: Colors): string {
  switch (action) {
    case 'accept':
      return colors.green(action);
    case 'drop':
      return colors.red(action);
    case 'none':
      return colors.yellow(action);
  }
}

// ── Status ───────────────────────────────────────────────────────────────────────────────────────────────────────────

/** One batch of status records. */
export interface Snapshot {
  /** Absent, or of version 0, before the first release. */
  readonly head: ControlRecordOf<'head'> | undefined;
  readonly parts: readonly ControlRecordOf<'part'>[];
  readonly warnings: readonly ControlRecordOf<'warning'>[];
  readonly subscribers: readonly ControlRecordOf<'subscriber'>[];
  /** Of each subscriber, or why there are none; empty where nobody asked. */
  readonly counters: readonly (ControlRecordOf<'counters'> | ControlRecordOf<'warning'>)[];
}

/** `nowMs`: milliseconds since 1970, for ages. */
export function renderStatus(snapshot: Snapshot, nowMs: number, colors: Colors): string {
  const { head, parts, warnings, subscribers, counters } = snapshot;
  const isReleased = head !== undefined && head.version > 0;
  const nothing = 'nothing released yet: push something with rulectl push FILE';
  const blocks = [isReleased ? renderHead(head, parts, nowMs, colors) : nothing];
  if (parts.length > 0) blocks.push(renderParts(parts, colors));
  if (warnings.length > 0) blocks.push(warnings.map((warning) => renderWarning(warning, colors)).join('\n'));
  blocks.push(
    subscribers.length === 0
      ? 'no subscriber was ever connected'
      : renderSubscribers(subscribers, nowMs, colors),
    ...counters.map((told) => renderCounters(told, colors)),
  );
  return blocks.join('\n\n');
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
    ...head.degraded.map((reason) => `${colors.yellow('degraded')}: ${reason}`),
  ];
  return lines.join('\n');
}

/** What happens to egress of qubes that no policy names; undefined where a policy judges them, or nothing is decided at all. */
function unmatchedText(
  { unmatched }: ControlRecordOf<'head'>,
  parts: readonly ControlRecordOf<'part'>[],
  colors: Colors,
): string | undefined {
  const policies = parts.filter(({ kind }) => kind === 'policy');
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

interface CounterWord {
  readonly name: string;
  readonly label: string;
  readonly format: (value: number) => string;
}

/** Counters that people know by other words: packets, which lists, policies and rules follow, then what they cost. PROTOCOL.md "ANSWER". */
const PACKET_COUNTERS: readonly CounterWord[] = [
  { name: 'nftDecided', label: 'judged', format: formatPackets },
  { name: 'nftDropped', label: 'dropped', format: formatPackets },
  { name: 'unmatched', label: 'of unnamed qubes', format: formatPackets },
  {
    name: 'lookups',
    label: 'looked up',
    format: (count) => `${formatPackets(count)} since the rules changed`,
  },
];
const COST_COUNTERS: readonly CounterWord[] = [
  { name: 'nftMs', label: 'last nft', format: formatDuration },
  {
    name: 'nftPeakBytes',
    label: 'nft memory',
    format: (bytes) => (bytes === 0 ? 'too short to be measured' : formatBytes(bytes)),
  },
  { name: 'nftRepairs', label: 'repaired', format: (count) => formatAmount(count, 'time') },
  { name: 'generation', label: 'generation', format: formatCount },
  { name: 'bytes', label: 'lookup table', format: formatBytes },
];
const KNOWN_COUNTERS: ReadonlySet<string> = new Set(
  [...PACKET_COUNTERS, ...COST_COUNTERS].map(({ name }) => name),
);
/** What begins the counter of a list, a policy or a rule, whose name follows, in the order in which they are shown. */
const NAMED_COUNTERS = ['list', 'policy', 'rule'];

function formatPackets(count: number): string {
  return formatAmount(count, 'packet');
}

/** What one subscriber counted, or why that is not known. */
function renderCounters(
  told: ControlRecordOf<'counters'> | ControlRecordOf<'warning'>,
  colors: Colors,
): string {
  if (told.record === 'warning') {
    return `no counters of ${told.part}: ${colors.yellow(told.code)}: ${told.reason}`;
  }
  const rows = counterRows(told.counters);
  const width = Math.max(0, ...rows.map(([label]) => label.length));
  const lines = rows.map(([label, value]) => `  ${label.padEnd(width)}  ${value}`);
  return [`counters of subscriber ${colors.bold(told.subscriber)}`, ...lines].join('\n');
}

/** Labels and values: of each kind those with most packets first, names that nobody knows as they are. */
function counterRows(
  counters: ControlRecordOf<'counters'>['counters'],
): readonly (readonly [label: string, value: string])[] {
  const known = (words: readonly CounterWord[]): readonly (readonly [string, string])[] =>
    words.flatMap(({ name, label, format }) => {
      const value = counters[name];
      return value === undefined ? [] : [[label, format(value)] as const];
    });
  const others = Object.entries(counters)
    .filter(([name]) => !KNOWN_COUNTERS.has(name))
    .sort(([a, countA], [b, countB]) => countB - countA || (a < b ? -1 : 1));
  const isNamed = (name: string, what: string): boolean => name.startsWith(`${what}.`);
  const named = NAMED_COUNTERS.flatMap((what) =>
    others
      .filter(([name]) => isNamed(name, what))
      .map(([name, count]) => [`${what} ${name.slice(what.length + 1)}`, formatPackets(count)] as const),
  );
  const rest = others.filter(([name]) => !NAMED_COUNTERS.some((what) => isNamed(name, what)));
  return [
    ...known(PACKET_COUNTERS),
    ...named,
    ...known(COST_COUNTERS),
    ...rest.map(([name, value]) => [name, formatCount(value)] as const),
  ];
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
    case 'receiving':
      return colors.yellow(state);
    case 'refused':
    case 'diverged':
    case 'disconnected':
      return colors.red(state);
  }
}

function shortHash(hash: string): string {
  return hash.slice(0, SHORT_HASH_CHARS);
}

// ── History ──────────────────────────────────────────────────────────────────────────────────────────────────────────

/** A table, one line a release, the newest first. */
export function renderHistory(releases: readonly ControlRecordOf<'history'>[], colors: Colors): string {
  const rows = releases.map((release) => [
    formatCount(release.version),
    formatTime(release.createdAtMs),
    causeText(release),
    changedText(release),
    formatCount(release.added),
    formatCount(release.removed),
    formatCount(release.entries),
    formatCount(release.rules),
    formatBytes(release.deltaBytes),
  ]);
  const head = ['version', 'time', 'cause', 'changed', '+added', '-removed', 'entries', 'rules', 'delta'];
  return renderTable(head, rows, 4, colors);
}

/** `2026-07-01 12:30:05Z`: the same in every time zone; `-` for what no calendar has. */
export function formatTime(ms: number): string {
  if (Number.isNaN(new Date(ms).getTime())) return NOTHING;
  return `${new Date(ms).toISOString().slice(0, 19).replace('T', ' ')}Z`;
}

function causeText({ cause, detail }: ControlRecordOf<'history'>): string {
  const text = detail === '' ? cause : `${cause} ${shownName(detail)}`;
  return text.length > CAUSE_MAX_CHARS ? `${text.slice(0, CAUSE_MAX_CHARS - 1)}…` : text;
}

function changedText({ changedParts, changedCount }: ControlRecordOf<'history'>): string {
  if (changedCount === 0) return NOTHING;
  const shown = changedParts.slice(0, CHANGED_PARTS_SHOWN);
  const more = changedCount - shown.length;
  return more > 0 ? `${shown.join(', ')} and ${formatCount(more)} more` : shown.join(', ');
}

// ── Differences ──────────────────────────────────────────────────────────────────────────────────────────────────────

/** The line above the edits of one part. */
export function renderChangeHead(change: ControlRecordOf<'change'>, colors: Colors): string {
  const counts = `+${formatCount(change.added)} -${formatCount(change.removed)}`;
  return colors.bold(`${partName(change)} (${CHANGE_WORDS[change.op]}): ${counts}`);
}

/** The lines of an edit, each with its sign; rules with their number, from 1, in the release that has them. */
export function* editLines(edit: ControlRecordOf<'edit'>, colors: Colors): Generator<string> {
  const paint = edit.op === 'added' ? colors.green : colors.red;
  const sign = edit.op === 'added' ? '+' : '-';
  let number = (edit.index ?? 0) + 1;
  for (const line of edit.lines) yield paint(`${sign} ${aspectText(edit.aspect, number++)}${line}`);
}

function aspectText(aspect: ControlRecordOf<'edit'>['aspect'], number: number): string {
  switch (aspect) {
    case 'egress':
    case 'ingress':
      return `${aspect} ${formatCount(number)}: `;
    case 'egress-exceptions':
      return `egress exception ${formatCount(number)}: `;
    case 'ingress-exceptions':
      return `ingress exception ${formatCount(number)}: `;
    case 'prefixes':
      return 'prefix ';
    case 'default':
      return 'default ';
    case 'entries':
    case 'resolve':
    case 'addresses':
    case 'unmatched':
      return '';
  }
}

// ── Tables ───────────────────────────────────────────────────────────────────────────────────────────────────────────

const NO_LINES = {
  top: '',
  'top-mid': '',
  'top-left': '',
  'top-right': '',
  bottom: '',
  'bottom-mid': '',
  'bottom-left': '',
  'bottom-right': '',
  left: '',
  'left-mid': '',
  mid: '',
  'mid-mid': '',
  right: '',
  'right-mid': '',
  middle: '  ',
};

/** Columns without lines, which survive being copied and piped; from `firstNumber` on they are numbers. */
export function renderTable(
  head: readonly string[],
  rows: readonly (readonly string[])[],
  firstNumber: number | undefined,
  colors: Colors,
): string {
  const table = new Table({
    chars: NO_LINES,
    style: { 'padding-left': 0, 'padding-right': 0, head: [], border: [] },
    colAligns: head.map((_, i) => (firstNumber !== undefined && i >= firstNumber ? 'right' : 'left')),
  });
  table.push(
    head.map((text) => colors.bold(text)),
    ...rows.map((row) => [...row]),
  );
  return table
    .toString()
    .split('\n')
    .map((line) => line.trimEnd())
    .join('\n');
}
