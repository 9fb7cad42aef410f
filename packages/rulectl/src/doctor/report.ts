/** The data for a bug report: versions, states and codes. No name, address, key or text of a person. */

import { ErrorCode } from '@rulecast/protocol';
import { formatAmount, formatCount } from '../render/amounts.ts';
import { qubeTypeOf } from './common.ts';
import type { Finding, Machine } from './finding.ts';

const PROGRAMS = ['rulectl', 'rulecast-publisher', 'rulecast-subscriber', 'rulecast-dns', 'nft', 'systemctl'];
const OS_RELEASE = '/etc/os-release';
/** States and codes are words of ours; any other word is not shown. */
const WORDS: ReadonlySet<unknown> = new Set([
  ...['synced', 'behind', 'receiving', 'refused', 'diverged', 'disconnected'],
  ...['ok', 'waiting', 'loading', 'failing', 'expired'],
  ...Object.values(ErrorCode),
]);

/** Lines for people to paste. If `isManagement`, `rulectl` asks the publisher. */
export function reportLines(
  machine: Machine,
  findings: readonly Finding[],
  isManagement: boolean,
): readonly string[] {
  const line = (label: string, value: string): string => `${label.padEnd(20)} ${value}`;
  const system = /^PRETTY_NAME="?([^"\n]*)/m.exec(machine.text(OS_RELEASE) ?? '')?.[1] ?? 'unknown';
  const versions = PROGRAMS.map((program) => {
    const { status, stdout } = machine.run(program, '--version');
    const [version = 'unknown'] = status === 0 ? (/\d+(?:\.\d+)*/.exec(stdout) ?? []) : ['none'];
    return line(program, version);
  });
  return [
    ...versions,
    line('node', machine.node),
    line('kernel', machine.kernel),
    line('system', system),
    line('qube', qubeTypeOf(machine) ?? 'none'),
    ...findings.map(({ check, result }) => line(`doctor: ${check}`, result)),
    ...(isManagement ? publisherLines(machine).map(([label, value]) => line(label, value)) : []),
  ];
}

function publisherLines(machine: Machine): readonly (readonly [label: string, value: string])[] {
  const all = [...recordsOf(machine, 'status'), ...recordsOf(machine, 'lists')];
  const of = (kind: string): readonly unknown[] => all.filter((each) => fieldOf(each, 'kind') === kind);
  const [head] = of('head');
  if (head === undefined) return [['publisher', 'does not answer']];
  const numbers = ['epoch', 'version', 'parts', 'entries', 'rules'].map(
    (field) => `${field} ${formatCount(Number(fieldOf(head, field)))}`,
  );
  const degraded = fieldOf(head, 'degraded');
  const errors = of('subscriber').map((each) => fieldOf(each, 'refusal') ?? fieldOf(each, 'lastError'));
  return [
    ['publisher', numbers.join(', ')],
    ['degraded', formatAmount(Array.isArray(degraded) ? degraded.length : 0, 'reason')],
    ['subscribers', tally(of('subscriber'), 'state')],
    ['their errors', tally(errors, 'code')],
    ['lists', tally(of('list'), 'state')],
  ];
}

/** The records of `rulectl … --json`; none where it fails. */
function recordsOf(machine: Machine, command: string): readonly unknown[] {
  const { status, stdout } = machine.run('rulectl', command, '--json');
  if (status !== 0) return [];
  return stdout.split('\n').flatMap((line): readonly unknown[] => (line === '' ? [] : [JSON.parse(line)]));
}

function fieldOf(record: unknown, field: string): unknown {
  return typeof record === 'object' && record !== null ? Reflect.get(record, field) : undefined;
}

/** `2 synced, 1 refused`: the known words of a field, and the number of others. */
function tally(records: readonly unknown[], field: string): string {
  const counts = new Map<unknown, number>();
  for (const word of records.map((each) => fieldOf(each, field))) {
    const shown = WORDS.has(word) ? word : 'other';
    if (word !== undefined) counts.set(shown, (counts.get(shown) ?? 0) + 1);
  }
  return [...counts].map(([word, count]) => `${formatCount(count)} ${word}`).join(', ') || 'none';
}
