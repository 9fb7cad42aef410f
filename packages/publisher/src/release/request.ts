/** The options of a request for a release. */

import type { IngestNote, OperatorRole } from '@rulecast/formats';
import type { RuleSet } from '@rulecast/rules';
import type { Permits } from '../guards/permits.ts';
import type { GuardRefusal } from '../guards/refusal.ts';
import type { ReleaseDraft } from './commit.ts';

/** The step that a release is at. `turn`: it waits for the release before it. */
export type ReleaseStage = 'reading' | 'names' | 'turn' | 'draft' | 'judge' | 'store';

export interface PushOptions {
  /** Name of the caller. */
  readonly by?: string | undefined;
  /** Why, in the caller's words; kept with the release. */
  readonly message?: string | undefined;
  /** Refuse unless the head has this version (0: no release yet). */
  readonly ifVersion?: number | undefined;
  readonly dryRun?: boolean;
  /** The caller's role, for guards that depend on it; default `admin`. */
  readonly role?: OperatorRole | undefined;
  /** Codes of refusals that are permitted. */
  readonly permits?: Permits;
  /** True: release it in a new epoch, above all that was ever released, also where the head says the same. */
  readonly asNewEpoch?: boolean | undefined;
  /** Subscribers that must apply it, beside those with a binding. */
  readonly require?: readonly string[] | undefined;
  /** Called as each stage begins. */
  readonly onStage?: ((stage: ReleaseStage) => void) | undefined;
  /** True: withdrawing a missing part succeeds. */
  readonly ifPresent?: boolean | undefined;
}

/** The options of one release. */
export interface ReleaseRequest extends Pick<PushOptions, 'onStage' | 'dryRun' | 'asNewEpoch' | 'permits'> {
  readonly notes?: readonly IngestNote[];
  /** The refusals of a draft over what is in force, permitted or not. */
  readonly guards: (draft: ReleaseDraft, before: RuleSet) => Promise<readonly GuardRefusal[]>;
}
