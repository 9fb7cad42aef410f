/** What becomes of a draft, before anything is written. Pure. */

import { type GuardRefusal, isPermitted, type PushPermits } from '../guards/refusal.ts';

/** What is asked of the release desk. */
export interface Asked {
  /** The content differs from the head's. */
  readonly isChanged: boolean;
  /** What guards have against it; of what changes nothing they are not asked. */
  readonly against: readonly GuardRefusal[];
  readonly permits: Partial<PushPermits>;
  readonly isDryRun: boolean;
  /** It is released in a new epoch, also where the head says the same. */
  readonly opensEpoch: boolean;
}

export type Decision =
  /** At least one. */
  | { readonly kind: 'guarded'; readonly refusals: readonly GuardRefusal[] }
  | { readonly kind: 'planned' }
  | { readonly kind: 'unchanged' }
  | { readonly kind: 'released' };

/** A guard goes before a dry run: what is planned could be released. */
export function decide({ isChanged, against, permits, isDryRun, opensEpoch }: Asked): Decision {
  const refusals = against.filter((refusal) => !isPermitted(refusal, permits));
  if (refusals.length > 0) return { kind: 'guarded', refusals };
  if (isDryRun) return { kind: 'planned' };
  return { kind: isChanged || opensEpoch ? 'released' : 'unchanged' };
}

/**
 * Whether a release opens an epoch: as somebody says, or by itself while the publisher is behind, if it was
 * told to.
 */
export function opensEpoch(
  asNewEpoch: boolean | undefined,
  { isAuto, isBehind }: { readonly isAuto: boolean; readonly isBehind: boolean },
): boolean {
  return asNewEpoch === true || (isAuto && isBehind);
}
