/**
 * Reporting names, as requests show them: how many are in which state, and a push that waits until enough of
 * them have its release. CONTROL.md "record fleet".
 */

import {
  Capability,
  type ControlRecordOf,
  ErrorCode,
  FLEET_CODES_MAX,
  ProtocolError,
} from '@rulecast/protocol';
import type { FleetRow, FleetView } from '../fleet/view.ts';
import type { Publisher } from '../release/publisher.ts';
import type { WaitFields } from './applied-report.ts';
import type { ControlExchange } from './exchange.ts';
import type { House } from './parts.ts';

/** A push waits for names heard within this time: a decommissioned one holds it up no longer. */
const HEARD_MS = 24 * 3600 * 1000;
/** The interval between counts, each of which covers all names. */
const LOOK_EVERY_MS = 2000;

/** Throws ProtocolError `bad-input` without a fleet. */
export function fleetOf(fleet: FleetView | undefined): FleetView {
  if (fleet !== undefined) return fleet;
  throw new ProtocolError(ErrorCode.badInput, 'no names report here: the configuration has no fleet:');
}

/** Whether `rulectl` supports the records. */
export function takesFleet({ capabilities }: ControlExchange): boolean {
  return capabilities.includes(Capability.fleet);
}

/** With `sinceMs`, only names heard since then count. */
export function fleetRecord(
  fleet: FleetView,
  { head }: Publisher,
  sinceMs?: number,
): ControlRecordOf<'fleet'> {
  const { synced, behind, refused, silent, unknown, refusedBy } = fleet.counts(sinceMs);
  const codes = [...refusedBy].slice(0, FLEET_CODES_MAX).map(([code, count]) => ({ code, count }));
  const states = { synced, behind, refused, silent, unknown, refusedBy: codes };
  return { record: 'fleet', everyMs: fleet.everyMs, version: head?.manifest.version ?? 0, ...states };
}

export function memberRecord(row: FleetRow): ControlRecordOf<'member'> {
  const { name, state, via, held, applyMs, refused: refusal, heardAtMs } = row;
  const persisted = held === undefined ? undefined : row.isPersisted;
  return { record: 'member', name, state, via, ...held, applyMs, persisted, refusal, heardAtMs };
}

/**
 * Tells how many have the head: at once, or with `share` when enough have it or cannot have it any more, at
 * the latest at `untilMs` of the publisher's running time.
 */
export async function tellFleet(
  { share }: WaitFields,
  untilMs: number,
  { publisher, fleet }: Pick<House, 'publisher' | 'fleet'>,
  exchange: ControlExchange,
): Promise<void> {
  if (fleet === undefined || (share === undefined && !takesFleet(exchange))) return;
  for (;;) {
    const record = fleetRecord(fleet, publisher, publisher.nowMs() - HEARD_MS);
    const { synced, behind, refused, silent } = record;
    const heard = synced + behind + refused + silent;
    const leftMs = untilMs - publisher.uptimeMs;
    const needed = (heard * (share ?? 0)) / 100;
    const isSettled = heard > 0 && (synced >= needed || heard - refused < needed);
    if (share === undefined || isSettled || leftMs <= 0) {
      if (share !== undefined || heard > 0) await exchange.record(record);
      return;
    }
    await exchange.record({ record: 'progress', stage: 'reporting', done: synced, total: heard });
    const pauseMs = Math.min(leftMs, LOOK_EVERY_MS);
    await new Promise<void>((resolve) => publisher.clock.after(pauseMs, resolve));
  }
}
