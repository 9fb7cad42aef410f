/** Reporting names: how many are in which state, and which need attention. Pure. */

import type { ControlRecordOf } from '@rulecast/protocol';
import type { Colors } from '../terminal/terminal.ts';
import { formatAge, formatAmount, formatCount, NOTHING } from './amounts.ts';
import { renderNarrowTable } from './table.ts';

export type Fleet = ControlRecordOf<'fleet'>;
export type Member = ControlRecordOf<'member'>;

/** The number of names that ever reported. */
export function heardCount({ synced, behind, refused, silent }: Fleet): number {
  return synced + behind + refused + silent;
}

/** Whether `share` percent of these names have the head. */
export function hasShare(fleet: Fleet, share: number): boolean {
  const heard = heardCount(fleet);
  return heard > 0 && fleet.synced * 100 >= heard * share;
}

/** All counts in one line. */
export function renderFleet(fleet: Fleet, colors: Colors): string {
  const { synced, behind, refused, silent, unknown } = fleet;
  const count = (value: number, word: string, paint: (text: string) => string): string =>
    value === 0 ? `0 ${word}` : paint(`${formatCount(value)} ${word}`);
  const counts = [
    count(synced, 'synced', colors.green),
    count(behind, 'behind', colors.yellow),
    `${count(refused, 'refused', colors.red)}${codesText(fleet)}`,
    count(silent, 'silent', colors.red),
    count(unknown, 'unknown', colors.red),
  ];
  return `of ${formatAmount(heardCount(fleet) + unknown, 'name')} that report: ${counts.join(', ')}`;
}

/** Likewise, for a release that a share of names must have, or whose fleet is not waited for. */
export function renderShare(fleet: Fleet, share: number | undefined, colors: Colors): string {
  const text = renderFleet(fleet, colors);
  if (share === undefined) return `${text}; --wait 99% waits for them`;
  return hasShare(fleet, share) ? text : `${text}: ${colors.red(`less than ${share}% have it`)}`;
}

/** ` (10 over-limit, 2 bad-digest)`, or nothing. */
export function codesText({ refusedBy }: Fleet): string {
  const texts = refusedBy.map(({ code, count }) => `${formatCount(count)} ${code}`);
  return texts.length === 0 ? '' : ` (${texts.join(', ')})`;
}

export function renderMembers(members: readonly Member[], nowMs: number, colors: Colors): string {
  const columns = ['name', 'via', 'state', 'version', 'last heard', 'refuses'];
  return renderNarrowTable(
    columns,
    members.map((member) => cellsOf(member, nowMs)),
    [],
    undefined,
    colors,
  );
}

/** One member of a stream of them. */
export function renderMember(member: Member, nowMs: number): string {
  return cellsOf(member, nowMs).join('  ');
}

function cellsOf(
  { name, via, state, version, heardAtMs, refusal }: Member,
  nowMs: number,
): readonly string[] {
  const active = version === undefined ? NOTHING : formatCount(version);
  const heard = heardAtMs === undefined ? 'never' : `${formatAge(nowMs - heardAtMs)} ago`;
  return [name, via ?? NOTHING, state, active, heard, refusal?.code ?? NOTHING];
}
