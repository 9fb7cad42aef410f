/**
 * Whether what is released is in force where it should be: of one release as it is made, and of all that a
 * status tells. Pure.
 */

import type { ControlRecordOf } from '@rulecast/protocol';
import { ExitCode } from '../terminal/exit.ts';
import { formatAmount, formatCount } from './amounts.ts';
import { nameTroubles } from './counters.ts';
import type { StatusView } from './status.ts';

/** What a request waited for. */
export interface WaitScope {
  readonly wait: 'released' | 'applied';
  /** `--require none`: nobody has to apply it. */
  readonly isNobodyRequired: boolean;
}

type Applied = ControlRecordOf<'applied'>;

export function isInForce({ state }: Applied): boolean {
  return state === 'applied' || state === 'superseded';
}

/**
 * How a request ends that released something, or found it released: only where everybody who is expected has
 * it, and somebody is, it is well.
 */
export function exitOfApplied(
  release: ControlRecordOf<'release'> | undefined,
  applied: readonly Applied[],
  { wait, isNobodyRequired }: WaitScope,
): ExitCode {
  if (wait === 'released' || release === undefined || release.dryRun || release.version === 0)
    return ExitCode.ok;
  if (applied.some(({ state }) => state === 'refused')) return ExitCode.unmet;
  if (isNobodyRequired) return ExitCode.ok;
  const isEverywhere = applied.every((one) => !one.expected || isInForce(one));
  return isEverywhere && applied.some(isInForce) ? ExitCode.ok : ExitCode.timeout;
}

export interface Health {
  readonly state: 'well' | 'degraded' | 'not-enforced';
  readonly exit: 0 | 1 | 2;
  /** One line. */
  readonly text: string;
}

/** What `status --check` says: first why the publisher offers nothing, if that is so. */
export function healthOf({ head, subscribers, counters }: StatusView): Health {
  const degraded = head?.degraded ?? [];
  const [gravest, others] = [degraded.slice(0, 1), degraded.slice(1)];
  const notEnforced = (text: string): Health => {
    return { state: 'not-enforced', exit: 2, text: [...gravest, text, ...others].join('; ') };
  };
  if (head === undefined || head.version === 0) return notEnforced('nothing is released');
  const version = `version ${formatCount(head.version)}`;
  const expected = subscribers.filter((subscriber) => subscriber.expected);
  if (expected.length === 0) return notEnforced(`${version} is in force nowhere: no subscriber is expected`);
  const empty = expected.filter((subscriber) => subscriber.version === undefined);
  if (empty.length > 0) return notEnforced(`nothing is in force at ${namesOf(empty)}`);
  const isComing = ({ state }: ControlRecordOf<'subscriber'>): boolean => state === 'receiving';
  if (!expected.some((one) => one.matches || isComing(one)))
    return notEnforced(`${version} is in force at none of ${namesOf(expected)}`);
  const flagged = (flag: string): readonly string[] => {
    const isFlagged = (name: string): boolean =>
      counters.some(
        (one) => one.record === 'counters' && one.subscriber === name && one.counters[flag] === 1,
      );
    return expected.map(({ name }) => name).filter(isFlagged);
  };
  const troubles = [
    ...gravest,
    ...expected
      .filter(({ state }) => state !== 'synced')
      .map((one) => (isComing(one) ? `it is on its way to ${one.name}` : `${one.name} is ${one.state}`)),
    ...expected.filter(({ persisted }) => persisted === false).map(({ name }) => `${name} cannot keep it`),
    ...flagged('stale').map((name) => `${name} is stale`),
    ...flagged('rootDue').map((name) => `the root of ${name} is to be renewed`),
    ...flagged('rootOverdue').map((name) => `the root of ${name} is overdue`),
    ...nameTroubles(counters),
    ...others,
  ];
  if (troubles.length > 0) return { state: 'degraded', exit: 1, text: `${version}: ${troubles.join('; ')}` };
  const text = `${version} is in force at ${formatAmount(expected.length, 'expected subscriber')}`;
  return { state: 'well', exit: 0, text };
}

function namesOf(subscribers: readonly { readonly name: string }[]): string {
  return subscribers.map(({ name }) => name).join(', ');
}
