/** The outcomes of a push or a rollback, and its audit records. */

import type { IngestNote, IngestResult } from '@rulecast/formats';
import { ErrorCode } from '@rulecast/protocol';
import type { RuleSetProblem } from '@rulecast/rules';
import type { DeliveryRefusal } from '@rulecast/sources';
import type { GuardRefusal } from '../guards/refusal.ts';
import type { FailedName } from '../names/names.ts';
import type { Release } from '../store/store.ts';
import type { Origin, ReleaseDraft } from './commit.ts';

/** Warnings about the parts that a release changes, which are shown, and the number of others. */
export interface TouchedWarnings {
  readonly shown: readonly RuleSetProblem[];
  readonly otherCount: number;
}

/** A releasable rule set: released, unless it was a dry run or equals the head. */
export interface ReleaseOutcome {
  readonly kind: 'planned' | 'released' | 'unchanged';
  /** True if a release is made, or would be. A new epoch makes one even if the content is the same. */
  readonly isNew: boolean;
  readonly draft: ReleaseDraft;
  readonly notes: readonly IngestNote[];
  readonly warnings: TouchedWarnings;
  /** Names that do not resolve: those that changed parts use, and those that fail only now. */
  readonly failedNames: readonly FailedName[];
  /** The head afterwards; undefined only while nothing was ever released. */
  readonly head: Release | undefined;
}

/** The head is not the one that the request is for. */
export interface VersionConflict {
  readonly kind: 'version-moved';
  readonly version: number;
}

/** Guards refuse it; nothing was released. */
export interface GuardOutcome {
  readonly kind: 'guarded';
  readonly draft: ReleaseDraft;
  /** At least one. */
  readonly refusals: readonly GuardRefusal[];
}

/** The first refusal of guards, as of a list. */
export function firstRefusal({ refusals }: GuardOutcome): DeliveryRefusal {
  const [first] = refusals;
  return { code: first?.guard ?? ErrorCode.guardRefused, reason: first?.reason ?? '' };
}

/** The outcome of a push. */
export type PushOutcome =
  | Extract<IngestResult, { kind: 'rejects' }>
  | VersionConflict
  | GuardOutcome
  | ReleaseOutcome;

/** An audit record: of a release that a caller asked for, or of a guard that a permit opened for it. */
export interface ReleaseAudit {
  readonly cause: Origin['cause'];
  /** Name of the caller. */
  readonly by: string | undefined;
  readonly epoch: number;
  readonly version: number;
  readonly part: string;
  /** A guard's code, or `released` for the release itself. */
  readonly code: string;
  readonly reason: string;
  readonly before: number;
  readonly after: number;
}
