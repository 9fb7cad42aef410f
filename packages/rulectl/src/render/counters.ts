/** The counters of a subscriber: packets first, then costs. Pure. */

import type { ControlRecordOf } from '@rulecast/protocol';
import type { Colors } from '../terminal/terminal.ts';
import { formatAmount, formatBytes, formatCount, formatDuration } from './amounts.ts';

interface CounterWord {
  readonly name: string;
  readonly label: string;
  readonly format: (value: number) => string;
}

/**
 * Counters with labels for people: packets, before those of lists, policies and rules, then costs. CONTROL.md
 * "record counters".
 */
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
const NAME_COUNTERS: readonly CounterWord[] = [
  { name: 'dnsQuestions', label: 'DNS asked', format: formatQuestions },
  { name: 'dnsAnswered', label: 'DNS answered', format: formatQuestions },
  { name: 'dnsBlocked', label: 'DNS blocked', format: formatQuestions },
  { name: 'dnsPrivate', label: 'private left out', format: formatQuestions },
  { name: 'dnsOtherFamily', label: 'no such address', format: formatQuestions },
  { name: 'dnsFailed', label: 'no upstream', format: formatQuestions },
  { name: 'dnsFull', label: 'no room', format: formatQuestions },
  { name: 'dnsRefused', label: 'too many', format: formatQuestions },
];
const COST_COUNTERS: readonly CounterWord[] = [
  { name: 'nftMs', label: 'last nft', format: formatDuration },
  {
    name: 'nftPeakBytes',
    label: 'nft memory',
    format: (bytes) => (bytes === 0 ? 'too short to be measured' : formatBytes(bytes)),
  },
  { name: 'refusedKept', label: 'in the log', format: (count) => formatAmount(count, 'refusal') },
  { name: 'refusedLost', label: 'lost of the log', format: (count) => formatAmount(count, 'refusal') },
  { name: 'nftOpen', label: 'open by name', format: formatAddresses },
  { name: 'nftRepairs', label: 'repaired', format: (count) => formatAmount(count, 'time') },
  { name: 'generation', label: 'generation', format: formatCount },
  { name: 'bytes', label: 'lookup table', format: formatBytes },
];
const KNOWN_COUNTERS: ReadonlySet<string> = new Set([
  ...[...PACKET_COUNTERS, ...NAME_COUNTERS, ...COST_COUNTERS].map(({ name }) => name),
  ...['dnsCrowded', 'dnsBeyond', 'logOff'], // health.ts has them, and dnsDown
  ...['dnsHeard', 'dnsHeardMs'], // rulectl metrics has them
]);
/** The first words of counters of lists, policies and rules, whose names follow, in the order of display. */
const NAMED_PACKETS = ['list', 'policy', 'rule'] as const;
/** Likewise by action; drops are shown with their sum. */
const BY_ACTION = ['accept', 'drop'] as const;
/** Unanswered by an upstream, by its place in their order; names blocked by a list, and for a qube. */
const NAMED_QUESTIONS = {
  dnsUpstream: 'no answer of upstream',
  dnsList: 'DNS blocked by',
  dnsQube: 'DNS blocked for',
} as const;

function formatQuestions(count: number): string {
  return formatAmount(count, 'question');
}

function formatAddresses(count: number): string {
  return formatAmount(count, 'address', 'addresses');
}

function formatPackets(count: number): string {
  return formatAmount(count, 'packet');
}

/** Which resolvers answer names at the subscribers, a line for those that are alike. */
export function nameAnswers(
  told: readonly (ControlRecordOf<'counters'> | ControlRecordOf<'warning'>)[],
): readonly string[] {
  const byText = new Map<string, string[]>();
  for (const one of told) {
    if (one.record !== 'counters') continue;
    const text = answerText(one.counters);
    if (text !== undefined) byText.set(text, [...(byText.get(text) ?? []), one.subscriber]);
  }
  return [...byText].map(([text, names]) => `names of ${names.join(', ')}: ${text}`);
}

/** Undefined: no rulecast-dns is connected, as no release needs one, or it does not say. */
function answerText(counters: ControlRecordOf<'counters'>['counters']): string | undefined {
  const [at, asked] = ['dnsAt', 'dnsAsks'].map((what) => placesIn(counters, what));
  if (at === '' && asked === '') return undefined;
  const place = at === 'namespace' ? 'in its namespace' : at === '' ? 'nowhere' : `at ${at}`;
  return `answered by rulecast-dns, asked ${place}; ${asked === '' ? 'no upstream, so SERVFAIL' : `upstreams ${asked}`}`;
}

/** `dnsAsks.9.9.9.9` and so on, in their order, with `-` for `:`. */
function placesIn(counters: ControlRecordOf<'counters'>['counters'], what: string): string {
  const places = Object.entries(counters)
    .filter(([name]) => name.startsWith(`${what}.`) && name !== `${what}.others`)
    .sort(([, a], [, b]) => a - b)
    .map(([name]) => name.slice(what.length + 1).replaceAll('-', ':'));
  const others = counters[`${what}.others`];
  return [...places, ...(others === undefined ? [] : [`${others} more`])].join(', ');
}

/** The counters of one subscriber, or why there are none. */
export function renderCounters(
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

type Row = readonly [label: string, value: string];

/** Labels and values: in each group those with most packets first; unknown names unchanged. */
function counterRows(counters: ControlRecordOf<'counters'>['counters']): readonly Row[] {
  const known = (words: readonly CounterWord[]): readonly Row[] =>
    words.flatMap(({ name, label, format }) => {
      const value = counters[name];
      return value === undefined ? [] : [[label, format(value)] as const];
    });
  const others = Object.entries(counters)
    .filter(([name]) => !KNOWN_COUNTERS.has(name) && !/^dns(?:Down|At|Asks)\./.test(name))
    .sort(([a, countA], [b, countB]) => countB - countA || (a < b ? -1 : 1));
  const isNamed = (name: string, what: string): boolean => name.startsWith(`${what}.`);
  const droppedOf = (name: string): string => {
    const dropped = counters[`drop.${name}`];
    return dropped === undefined ? '' : `, ${formatCount(dropped)} dropped`;
  };
  const named = (what: string, label: string, format: (count: number) => string): readonly Row[] =>
    others
      .filter(([name]) => isNamed(name, what))
      .map(
        ([name, count]) =>
          [`${label} ${name.slice(what.length + 1)}`, `${format(count)}${droppedOf(name)}`] as const,
      );
  const shown = [...NAMED_PACKETS, ...BY_ACTION, ...Object.keys(NAMED_QUESTIONS)];
  const rest = others.filter(([name]) => !shown.some((what) => isNamed(name, what)));
  return [
    ...known(PACKET_COUNTERS),
    ...NAMED_PACKETS.flatMap((what) => named(what, what, formatPackets)),
    ...known(NAME_COUNTERS),
    ...Object.entries(NAMED_QUESTIONS).flatMap(([what, label]) => named(what, label, formatQuestions)),
    ...known(COST_COUNTERS),
    ...rest.map(([name, value]) => [name, formatCount(value)] as const),
  ];
}
