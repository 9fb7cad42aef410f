/** What a subscriber counted: packets first, then what they cost. Pure. */

import type { ControlRecordOf } from '@rulecast/protocol';
import type { Colors } from '../terminal/terminal.ts';
import { formatAmount, formatBytes, formatCount, formatDuration } from './amounts.ts';

interface CounterWord {
  readonly name: string;
  readonly label: string;
  readonly format: (value: number) => string;
}

/**
 * Counters that people know by other words: packets, which lists, policies and rules follow, then what they
 * cost. PROTOCOL.md "ANSWER".
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
/**
 * What begins the counter of a list, a policy or a rule, whose name follows, in the order in which they are
 * shown.
 */
const NAMED_COUNTERS = ['list', 'policy', 'rule'];

function formatPackets(count: number): string {
  return formatAmount(count, 'packet');
}

/** What one subscriber counted, or why that is not known. */
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
