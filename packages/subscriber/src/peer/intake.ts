/** A session's handling of a stream: has it applied, and reports the outcome to the machine. */

import type { SteadyClock } from '@rulecast/protocol';
import type { Logger } from 'pino';
import type { Activator, ActiveRelease, ApplyReport } from '../apply/activator.ts';
import type { Staging } from '../verify/stage.ts';
import { outcomeOf } from './outcome.ts';
import type { EffectOf, Held, Outcome } from './states.ts';

export interface IntakeHost {
  readonly activator: Activator;
  readonly clock: SteadyClock;
  /** Milliseconds since 1970, as the activator has them. */
  readonly nowMs: () => number;
  readonly logger: Logger;
  /** Shared by all connections, which come one at a time. */
  readonly staging: Staging;
  onApplied(report: ApplyReport): void;
}

/** Makes room for a stream; undefined: there is. */
export function makeRoom(bytes: number, staging: Staging): Outcome | undefined {
  try {
    staging.begin(bytes);
    return undefined;
  } catch (error) {
    return outcomeOf(error, false);
  }
}

/** Puts in force what is staged, which is no more then. Does not reject. */
export async function applyStaged({ offer, base }: EffectOf<'apply'>, host: IntakeHost): Promise<Outcome> {
  const { activator, logger, staging } = host;
  const stream = staging.take();
  try {
    if (stream === undefined) throw new TypeError('nothing is staged');
    const report = await activator.apply({ offer, base, stream });
    host.onApplied(report);
    return { kind: 'applied', held: heldAs(report.release, host), figures: report };
  } catch (error) {
    const outcome = outcomeOf(error, base !== undefined);
    const { version } = offer.manifest;
    if (outcome.kind === 'overBudget') logger.info({ version }, `${textOf(error)}: a snapshot is asked for`);
    else if (outcome.blame === undefined) logger.error({ err: error, version }, 'applying a release failed');
    return outcome;
  }
}

/** The release in force, in the form of a session. */
export function heldAs(active: ActiveRelease, { clock, nowMs }: Pick<IntakeHost, 'clock' | 'nowMs'>): Held {
  const { hash, manifest, manifestBytes, signatures, persisted, appliedAtMs } = active;
  const { epoch, version } = manifest;
  const sinceMs = clock.monotonicMs() - Math.max(0, nowMs() - appliedAtMs);
  return { hash, epoch, version, manifestBytes, signatures, persisted, sinceMs };
}

function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
