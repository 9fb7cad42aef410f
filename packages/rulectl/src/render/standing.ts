/** Whether a release is in force everywhere, while it is made. Pure. */

import type { ControlRecordOf } from '@rulecast/protocol';
import { ExitCode } from '../terminal/exit.ts';
import { type Fleet, hasShare } from './fleet.ts';

/** The scope of a request's wait. */
export interface WaitScope {
  readonly wait: 'released' | 'applied';
  /** `--require none`: no subscriber must apply it. */
  readonly isNobodyRequired: boolean;
  /** Percent of the names that report, which must have it too. */
  readonly share?: number | undefined;
}

type Applied = ControlRecordOf<'applied'>;

export function isInForce({ state }: Applied): boolean {
  return state === 'applied' || state === 'superseded';
}

/**
 * The exit code of a request that released something, or found it released. `ok` only if every expected
 * subscriber has it, and there is at least one. Reporting names count as one: without a share, the request
 * does not wait for them.
 */
export function exitOfApplied(
  release: ControlRecordOf<'release'> | undefined,
  applied: readonly Applied[],
  { wait, isNobodyRequired, share }: WaitScope,
  fleet?: Fleet,
): ExitCode {
  if (wait === 'released' || release === undefined || release.dryRun || release.version === 0)
    return ExitCode.ok;
  if (applied.some(({ state }) => state === 'refused')) return ExitCode.unmet;
  if (share !== undefined && (fleet === undefined || !hasShare(fleet, share))) return ExitCode.unmet;
  if (isNobodyRequired) return ExitCode.ok;
  const isEverywhere = applied.every((one) => !one.expected || isInForce(one));
  const isSomewhere = applied.some(isInForce) || fleet !== undefined;
  return isEverywhere && isSomewhere ? ExitCode.ok : ExitCode.timeout;
}
