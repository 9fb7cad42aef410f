/**
 * The release desk: a rule set becomes the next release, or nothing changes. One call at a time.
 *
 *   behind ─▶ BehindError
 *   else   ─▶ draft ─▶ guards ─┬─▶ store ─▶ released
 *               │              ├─▶ guarded
 *               │              └─▶ planned (a dry run), unchanged
 *               └─ an error, here or later, changes nothing
 *
 * Guards run for a dry run too: a plan is a release that would succeed. While the publisher is behind, only a
 * new epoch is drafted.
 */

import type { IngestNote } from '@rulecast/formats';
import { policyCount, type RuleSet, type RuleSetProblem, usedLists, usedNames } from '@rulecast/rules';
import { baseOf, withRows } from '../blocks/compile.ts';
import type { RowEnds, Rows } from '../blocks/rows.ts';
import type { Tally } from '../counts/tally.ts';
import { NO_PERMITS, type Permits, unneededPermits } from '../guards/permits.ts';
import { type GuardRefusal, isPermitted } from '../guards/refusal.ts';
import type { FailedName, Names } from '../names/names.ts';
import type { Release, Store } from '../store/store.ts';
import { behindError, type Committer, GuardError, type Origin, type ReleaseDraft } from './commit.ts';
import type { DraftGuards } from './draft-guards.ts';
import type { NameRefresh } from './name-refresh.ts';
import type { GuardOutcome, ReleaseOutcome, TouchedWarnings } from './outcome.ts';
import type { PendingNames } from './pending-names.ts';
import type { Proofs } from './proofs.ts';
import type { ReleaseRequest } from './request.ts';

/** Why nothing without policies is released after `startOver` and `setAside`. */
export const STARTED_OVER =
  'the publisher began with an empty store, and firewalls may have policies in force: the first release has to have policies, with the lists of sources that wait for it; push them';

export interface DeskOptions {
  readonly store: Store;
  readonly committer: Committer;
  readonly names: Names;
  readonly pendingNames: PendingNames;
  readonly nameRefresh: NameRefresh;
  readonly guards: DraftGuards;
  readonly proofs: Proofs;
  readonly ends: RowEnds;
  readonly tally: Tally;
  /** Called when a release is on disk; `against` are the refusals that were permitted. */
  readonly onReleased: (release: Release, origin: Origin, against: readonly GuardRefusal[]) => void;
}

export class ReleaseDesk {
  readonly #options: DeskOptions;

  constructor(options: DeskOptions) {
    this.#options = options;
  }

  /**
   * Makes a rule set and the rows that have not ended the next release, with the addresses that its names
   * have now, unless its content is that of the head or guards refuse it. A name without an answer keeps the
   * addresses of the head. Throws BehindError, EpochError, GuardError, ProtocolError, SignerError and
   * StoreError.
   */
  async release(
    asked: RuleSet,
    origin: Origin,
    request: ReleaseRequest,
  ): Promise<ReleaseOutcome | GuardOutcome> {
    const { store, committer, names, nameRefresh, guards } = this.#options;
    const { dryRun = false, asNewEpoch = false, permits = NO_PERMITS, onStage } = request;
    const { ruleSet, before: inForce, rows } = this.#withRows(asked, origin.rows);
    if (store.isStartedOver && policyCount(ruleSet) === 0)
      throw new GuardError({ part: '', reason: STARTED_OVER });
    const { behind, isDisowned, head } = committer;
    if (behind !== undefined && !asNewEpoch) throw behindError(behind, head?.manifest);
    const before = { warnings: guards.warnings(), failed: nameRefresh.failed };
    const { resolutions, failed } = names.resolved(ruleSet);

    onStage?.('draft');
    const draft = guards.withoutOperands(await committer.draft({ ...ruleSet, resolutions }));
    if (draft.changed) onStage?.('judge'); // guards do not run for a draft that changes nothing
    const against = draft.changed ? await request.guards(draft, inForce) : [];
    const refusals = against.filter((refusal) => !isPermitted(refusal, permits));
    if (refusals.length > 0) {
      if (!dryRun) for (const { guard } of refusals) this.#options.tally.add('refusals', [guard]);
      return { kind: 'guarded', draft, refusals };
    }
    const result = {
      isNew: draft.changed || asNewEpoch || isDisowned,
      draft,
      notes: [
        ...(request.notes ?? []),
        ...this.#options.proofs.lossNotes(),
        ...permitNotes(permits, against),
      ],
      failedNames: touchedNames(draft, failed, before.failed),
      warnings: touchedWarnings(draft, before.warnings),
    };
    if (dryRun) return { ...result, kind: 'planned', head };

    const release = result.isNew ? await this.#store(draft, { ...origin, rows }, request) : undefined;
    if (release === undefined && origin.taken !== undefined) store.noteRules(origin.taken);
    if (release === undefined && rows !== store.rows) store.putRows(rows);
    nameRefresh.noteFailed(failed);
    if (release !== undefined) this.#options.onReleased(release, origin, against);
    this.#options.pendingNames.keepOnly(ruleSet);
    nameRefresh.schedule();
    return { ...result, kind: release === undefined ? 'unchanged' : 'released', head: committer.head };
  }

  /**
   * A rule set with rows, those of the store if there are no others; and what is in force, without rows that
   * have ended since, which guards are not asked about. Throws GuardError for a row that has no place.
   */
  #withRows(
    ruleSet: RuleSet,
    asked: Rows | undefined,
  ): { readonly ruleSet: RuleSet; readonly before: RuleSet; readonly rows: Rows } {
    const { store, committer, ends } = this.#options;
    const rows = ends.active(asked ?? store.rows);
    const { ruleSet: compiled, fault } = withRows(baseOf(ruleSet), rows.rows);
    if (fault !== undefined) throw new GuardError({ part: '', reason: fault });
    const kept = ends.active(store.rows);
    const before =
      kept === store.rows ? committer.ruleSet : withRows(baseOf(committer.ruleSet), kept.rows).ruleSet;
    return { ruleSet: compiled, before, rows };
  }

  #store(draft: ReleaseDraft, origin: Origin, { asNewEpoch, onStage }: ReleaseRequest): Promise<Release> {
    const { committer, tally } = this.#options;
    onStage?.('store');
    return tally.time('commit', () =>
      asNewEpoch === true ? committer.commitInNewEpoch(draft, origin) : committer.commit(draft, origin),
    );
  }
}

/** Warnings about parts that change, about the whole rule set, and those that the head does not have. */
function touchedWarnings(
  { changes, warnings }: ReleaseDraft,
  earlier: readonly RuleSetProblem[],
): TouchedWarnings {
  const changed = new Set(changes.map(({ name }) => name));
  const before = new Set(earlier.map(({ code, part }) => `${code} ${part}`));
  const shown = warnings.filter(({ code, part }) => {
    return part === '' || changed.has(part) || !before.has(`${code} ${part}`);
  });
  return { shown, otherCount: warnings.length - shown.length };
}

function permitNotes(permits: Permits, against: readonly GuardRefusal[]): readonly IngestNote[] {
  const codes = against.map(({ guard }) => guard);
  const reason = unneededPermits(permits, codes);
  return reason === undefined ? [] : [{ code: 'not-needed', part: '', reason }];
}

function touchedNames(
  { changes, ruleSet }: ReleaseDraft,
  failed: readonly FailedName[],
  earlier: readonly FailedName[],
): readonly FailedName[] {
  if (failed.length === 0) return failed;
  const changed = new Set(changes.map(({ name }) => name));
  const policies = [...ruleSet.policies].filter(([name, policy]) => {
    return changed.has(name) || [...usedLists([policy])].some((list) => changed.has(list));
  });
  const used = new Set(usedNames({ ...ruleSet, policies: new Map(policies) }));
  const before = new Set(earlier.map(({ name }) => name));
  return failed.filter(({ name }) => used.has(name) || !before.has(name));
}
