/** Refused packets and names, a line each, and the commands that would allow them. Pure. */

import { type ControlRecordOf, ErrorCode } from '@rulecast/protocol';
import { IpProtocol } from '@rulecast/rules';
import type { Colors } from '../terminal/terminal.ts';
import { formatAmount, formatCount, formatTime } from './amounts.ts';
import { renderTable } from './table.ts';

export type Refused = ControlRecordOf<'refused'>;
export type Dropped = ControlRecordOf<'dropped'>;

/** Printed once below such commands. */
export const QUBES_NOTE =
  "# Qubes' own rules of a qube (qvm-firewall) are asked as well: what they refuse stays refused.";

/** How to turn on the log of a firewall. */
export const HOW_TO_LOG =
  'write RULECAST_LOG=true into /etc/rulecast/subscriber.env there, and restart rulecast-subscriber';
/** Why something is missing in a log: a firewall that has none or does not answer, or kept no more. */
export type LogGap = ControlRecordOf<'warning' | 'lost'>;

export function gapTexts(gaps: readonly LogGap[]): readonly string[] {
  const silent: string[] = [];
  const texts = gaps.flatMap((gap) => {
    if (gap.record === 'lost')
      return `${gap.subscriber} refused more than it could keep: ${gap.count} are missing since its log began`;
    if (gap.code !== ErrorCode.unsupported) return `nothing of ${gap.part}: ${gap.reason} (${gap.code})`;
    silent.push(gap.part.replace(/^subscriber /, ''));
    return [];
  });
  return silent.length === 0 ? texts : [...texts, `not logged by ${silent.join(', ')}: ${HOW_TO_LOG}`];
}

/** Rows of `--top` for people. */
const TOP_SHOWN = 10;
const PROTOCOLS: ReadonlyMap<number, string> = new Map([
  [IpProtocol.icmp, 'icmp'],
  [IpProtocol.tcp, 'tcp'],
  [IpProtocol.udp, 'udp'],
  [IpProtocol.icmp6, 'icmpv6'],
]);
/** Why a packet was refused that no rule is about. */
const REASONS: Readonly<Record<Refused['reason'], string>> = {
  rule: 'not judged yet',
  'tcp-rest': 'the rest of a TCP connection of before',
  flowless: 'it begins no flow',
  closed: 'all is closed: nothing is in force',
  dns: 'DNS that rulecast-dns takes over, or too much of it',
  name: 'a rule about names',
};

/** The common fields of the records of one refusal. */
export function keyOf({ subscriber, what, qube, interface: link, direction, ...rest }: Refused): string {
  const { remote, proto, port, icmpType, name, reason } = rest;
  const place = what === 'packet' ? [remote, proto, port, icmpType] : [name];
  return JSON.stringify([subscriber, what, qube, link, direction, reason, ...place]);
}

/** Sorted by time, the newest last: a whole log, or one turn of it. */
export function renderRefused(records: readonly Refused[], colors: Colors): string {
  return [...records]
    .sort((a, b) => a.lastS - b.lastS || a.firstS - b.firstS || a.id - b.id)
    .flatMap((one) => {
      const name = one.what === 'name' || one.name === undefined ? '' : ` (${one.name})`;
      const times = one.count === 1 ? '' : `, ${formatAmount(one.count, 'time')}`;
      const line = `${formatTime(one.lastS * 1000)}  ${packetText(one)}${name}${times}: ${whyText(one)}`;
      const allow = allowText(one);
      return allow === undefined ? [line] : [line, colors.dim(`  ${allow}`)];
    })
    .join('\n');
}

/** The command that would allow it. It contains only an address or a valid name, so it is safe in a shell. */
export function allowText({ allow, qube }: Refused): string | undefined {
  return allow === undefined ? undefined : `rulectl allow ${allow} --qube ${qube} --for 1h`;
}

/** A packet in the syntax of `rulectl test`. */
export function packetText({
  what,
  qube,
  remote = '',
  direction,
  name,
  proto,
  port,
  icmpType,
}: Refused): string {
  if (what === 'name') return `${qube} asks for ${name ?? ''}`;
  const detail = port ?? icmpType;
  const kind = proto === undefined ? '' : ` ${PROTOCOLS.get(proto) ?? proto}`;
  const [from, to] = direction === 'egress' ? [qube, remote] : [remote, qube];
  return `${from} > ${to}${kind}${detail === undefined ? '' : `/${detail}`}`;
}

export function whyText(one: Refused): string {
  const { what, verdict, version, judgedBy = version, reason } = one;
  if (verdict === undefined) return REASONS[reason];
  const refusedBy = `refused by version ${formatCount(version)}`;
  const isLater = judgedBy !== version;
  if (verdict.action !== 'drop')
    return `${refusedBy}, ${isLater ? `accepted since ${formatCount(judgedBy)}` : 'accepted by now'}`;
  const { policy, rulePolicy = policy, block, rule, ruleIndex, list, prefix } = verdict;
  const judge = isLater ? `${refusedBy}, and by ${formatCount(judgedBy)}: ` : '';
  if (rulePolicy === undefined) return `${judge}no policy names this qube: unmatched`;
  if (block === undefined)
    return `${judge}${rulePolicy}: no rule matches, ${what === 'name' ? 'unlisted decides' : 'the default drops'}`;
  const number = ruleIndex === undefined ? '' : ` ${formatCount(ruleIndex + 1)}`;
  const line = rule === undefined ? '' : ` (${rule})`;
  const holds = list === undefined ? '' : `: list ${list}${prefix === undefined ? '' : ` has ${prefix}`}`;
  return `${judge}${rulePolicy} ${block === 'exceptions' ? 'exception' : 'rule'}${number}${line}${holds}`;
}

/** The field by which refusals are summed. */
export type SumOf = 'qubes' | 'destinations';

/** The number of times and of refusals; the most first. */
export interface Sum {
  readonly key: string;
  readonly times: number;
  readonly refusals: number;
}

export function sumsOf(records: readonly Refused[], by: SumOf): readonly Sum[] {
  const sums = new Map<string, Sum>();
  for (const record of records) {
    const { qube, name, remote = '' } = record;
    const key = by === 'qubes' ? qube : (name ?? remote);
    const { times = 0, refusals = 0 } = sums.get(key) ?? {};
    sums.set(key, { key, times: times + record.count, refusals: refusals + 1 });
  }
  return [...sums.values()].sort((a, b) => b.times - a.times || (a.key < b.key ? -1 : 1));
}

export function renderSums(sums: readonly Sum[], head: string, colors: Colors): string {
  const rows = sums.map(({ key, times, refusals }) => [key, formatCount(times), formatCount(refusals)]);
  return topTable([head, 'times', 'different'], rows, 1, colors);
}

export function renderDropped(dropped: readonly Dropped[], colors: Colors): string {
  const [first] = dropped;
  const rows = dropped.map((one) => [
    one.list ?? `${one.policy ?? ''} ${one.direction ?? ''} ${ruleText(one)}`,
    formatCount(one.packets),
  ]);
  const since = first === undefined ? '' : ` since ${formatTime(first.fromMs)}`;
  return topTable([first?.list === undefined ? 'rule' : 'list', `dropped${since}`], rows, 1, colors);
}

export function ruleText({ block, rule = '', ruleIndex }: Dropped): string {
  const place = block === 'exceptions' ? 'exception' : 'rule';
  if (ruleIndex !== undefined) return `${place} ${formatCount(ruleIndex + 1)} (${rule})`;
  return rule === 'default' ? rule : `${place}s that are counted together (${rule})`;
}

function topTable(
  head: readonly string[],
  rows: readonly (readonly string[])[],
  firstNumber: number,
  colors: Colors,
): string {
  const more = rows.length - TOP_SHOWN;
  const table = renderTable(head, rows.slice(0, TOP_SHOWN), firstNumber, colors);
  return more > 0 ? `${table}\nand ${formatCount(more)} more: --json has all` : table;
}
