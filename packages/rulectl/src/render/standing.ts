/** Whether a release is in force where it should be, as it is made. Pure. */

import type { ControlRecordOf } from '@rulecast/protocol';
import { ExitCode } from '../terminal/exit.ts';

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
