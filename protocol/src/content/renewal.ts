/**
 * Whether a root has to be renewed, by two clocks of one machine. A root is overdue only once both are past
 * its date, so that one clock which is ahead closes nothing.
 * docs/contribute/adr/0035-roots-are-signed-and-may-be-dated.md
 */

import { RENEWAL_NOTICE_SECONDS } from '../limits.ts';
import type { Root } from './root.ts';

/** `due`: the later clock is within 30 days of the date, or past it; `overdue`: both clocks are past it. */
export type Renewal = 'good' | 'due' | 'overdue';

/** In seconds since 1970. A caller with one clock gives the same time twice. */
export interface ClockReadings {
  readonly earliest: number;
  readonly latest: number;
}

export function renewalOf({ refreshBy }: Pick<Root, 'refreshBy'>, readings: ClockReadings): Renewal {
  if (refreshBy === undefined) return 'good';
  if (readings.earliest >= refreshBy) return 'overdue';
  return readings.latest >= refreshBy - RENEWAL_NOTICE_SECONDS ? 'due' : 'good';
}

/** A sentence for people, of less than 128 bytes. */
export function renewalText(root: Pick<Root, 'number' | 'refreshBy'>, renewal: Renewal): string {
  const { number, refreshBy } = root;
  if (refreshBy === undefined || renewal === 'good') return `root ${number} need not be renewed yet`;
  const verb = renewal === 'overdue' ? 'was' : 'is';
  return `root ${number} ${verb} to be renewed by ${dateText(refreshBy)}: rulectl keys renew (docs/how-to/keys.md)`;
}

/** A date as text, such as `2027-03-01T12:00:00Z`. */
export function dateText(seconds: number): string {
  return new Date(seconds * 1000).toISOString().replace('.000Z', 'Z');
}
