/**
 * Whether a root is to be renewed, by the clocks of whoever asks. A clock that is ahead closes nothing: a
 * root is overdue once all clocks are past its date. docs/adr/0035-roots-are-signed-and-may-be-dated.md
 */

import { RENEWAL_NOTICE_SECONDS } from '../limits.ts';
import type { Root } from './root.ts';

/** `due`: its date is near, or past by one of two clocks; `overdue`: past by both. */
export type Renewal = 'good' | 'due' | 'overdue';

/** What time it is, in seconds since 1970: of one clock twice the same. */
export interface ClockReadings {
  readonly earliest: number;
  readonly latest: number;
}

export function renewalOf({ refreshBy }: Pick<Root, 'refreshBy'>, readings: ClockReadings): Renewal {
  if (refreshBy === undefined) return 'good';
  if (readings.earliest >= refreshBy) return 'overdue';
  return readings.latest >= refreshBy - RENEWAL_NOTICE_SECONDS ? 'due' : 'good';
}

/** For people, in less than 128 bytes. */
export function renewalText(root: Pick<Root, 'number' | 'refreshBy'>, renewal: Renewal): string {
  const { number, refreshBy } = root;
  if (refreshBy === undefined || renewal === 'good') return `root ${number} need not be renewed yet`;
  const verb = renewal === 'overdue' ? 'was' : 'is';
  return `root ${number} ${verb} to be renewed by ${dateText(refreshBy)}: rulectl keys renew (docs/keys.md)`;
}

/** As `2027-03-01T12:00:00Z`. */
export function dateText(seconds: number): string {
  return new Date(seconds * 1000).toISOString().replace('.000Z', 'Z');
}
