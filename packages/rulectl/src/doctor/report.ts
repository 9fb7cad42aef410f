/** What a report of a bug needs: versions, states and codes. No name, address, key or text of a person. */

import { ErrorCode } from '@rulecast/protocol';
import { formatAmount, formatCount } from '../render/amounts.ts';
import { qubeTypeOf } from './common.ts';
import type { Finding, Machine } from './finding.ts';

const PROGRAMS = ['rulectl', 'rulecast-publisher', 'rulecast-subscriber', 'rulecast-dns', 'nft', 'systemctl'];
const OS_RELEASE = '/etc/os-release';
/** Codes and states are words of ours; what is none is not shown. */
const STATES = ['synced', 'behind', 'receiving', 'refused', 'diverged', 'disconnected'];
const LIST_STATES = ['ok', 'waiting', 'loading', 'failing', 'expired'];
const CODES: readonly string[] = Object.values(ErrorCode);

/** Lines for people to paste. `rulectl` is asked of the publisher where `isManagement`. */
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
  const of = (kind: string): readonly unknown[] => all.filter((each) => fieldOf(each, 'record') === kind);
  const [head] = of('head');
  if (head === undefined) return [['publisher', 'does not answer']];
  const numbers = ['epoch', 'version', 'parts', 'entries', 'rules'].map(
    (field) => `${field} ${formatCount(Number(fieldOf(head, field)))}`,
  );
  const degraded = fieldOf(head, 'degraded');
  const refusals = of('subscriber').map((each) => fieldOf(each, 'refusal') ?? fieldOf(each, 'lastError'));
  const codes = refusals.map((reason) => fieldOf(reason, 'code')).filter((code) => code !== undefined);
  return [
    ['publisher', numbers.join(', ')],
    ['degraded', formatAmount(Array.isArray(degraded) ? degraded.length : 0, 'reason')],
    [
      'subscribers',
      tally(
        of('subscriber').map((each) => fieldOf(each, 'state')),
        STATES,
      ),
    ],
    ['their errors', tally(codes, CODES)],
    [
      'lists',
      tally(
        of('list').map((each) => fieldOf(each, 'state')),
        LIST_STATES,
      ),
    ],
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

/** `2 synced, 1 refused`: known words, and how many others. */
function tally(words: readonly unknown[], known: readonly string[]): string {
  const counts = new Map<string, number>();
  for (const word of words) {
    const shown = known.find((each) => each === word) ?? 'other';
    counts.set(shown, (counts.get(shown) ?? 0) + 1);
  }
  return [...counts].map(([word, count]) => `${formatCount(count)} ${word}`).join(', ') || 'none';
}
