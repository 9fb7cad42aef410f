/**
 * The answer to a request that makes a release: the changes, the release, and its outcome at each subscriber.
 * PUSH and ROLLBACK answer alike.
 */

import {
  boundText,
  type ControlRecordOf,
  ErrorCode,
  HASH_BYTES,
  hexOf,
  type PartChange,
  partWord,
} from '@rulecast/protocol';
import { entryCount, policyRuleCount, type RuleSet } from '@rulecast/rules';
import type { Clock } from '@rulecast/sources';
import { isPermitCode } from '../guards/permits.ts';
import type { GuardRefusal } from '../guards/refusal.ts';
import type { GuardOutcome, ReleaseOutcome, VersionConflict } from '../release/outcome.ts';
import type { ReleaseStage } from '../release/request.ts';
import { AppliedReport, type WaitFields } from './applied-report.ts';
import type { ControlExchange } from './exchange.ts';
import { fleetOf, tellFleet } from './fleet-report.ts';
import type { House } from './parts.ts';

/** Our choice: most pushes are through by then. */
const STAGE_EVERY_MS = 2000;
/** Refusals sent for one push; the rest is only counted. */
const REFUSALS_TOLD_MAX = 32;
/** The hash sent when nothing was ever released. */
const NO_HASH = new Uint8Array(HASH_BYTES);

/** Runs `make`, sends its result, and ends the answer unless `tellOther` has. */
export async function answerWithRelease<Other extends { readonly kind: string }>(
  request: WaitFields,
  exchange: ControlExchange,
  house: Pick<House, 'publisher' | 'depot' | 'fleet'>,
  make: (onStage: (stage: ReleaseStage) => void) => Promise<ReleaseOutcome | GuardOutcome | Other>,
  tellOther: (outcome: Other) => Promise<void>,
): Promise<void> {
  const { publisher, depot, fleet } = house;
  if (request.share !== undefined) fleetOf(fleet);
  const applied = new AppliedReport(request, publisher);
  try {
    const outcome = await tellingStages(exchange, publisher.clock, make);
    if (isGuarded(outcome)) return await tellGuarded(outcome, exchange);
    if (!isReleaseOutcome(outcome)) return await tellOther(outcome);
    await tellRelease(outcome, exchange);
    const { kind, head } = outcome;
    if (kind !== 'planned' && head !== undefined) {
      const untilMs = publisher.uptimeMs + request.timeoutMs;
      const isAwaited = request.wait === 'applied';
      if (isAwaited) await applied.tell(head, kind === 'released', exchange);
      const trouble = await depot?.troubleWith(head);
      if (trouble !== undefined) {
        const reason = boundText(`stored, not published: ${trouble}`);
        await exchange.record({ record: 'warning', code: 'not-published', part: '', reason });
      }
      if (isAwaited) await tellFleet(request, untilMs, house, exchange);
    }
    await exchange.done(outcome.kind, doneText(outcome));
  } finally {
    applied.close();
  }
}

/** Sends the current stage now and then, so that the waiting client sees progress. */
export async function tellingStages<T>(
  exchange: ControlExchange,
  clock: Clock,
  work: (onStage: (stage: ReleaseStage) => void) => Promise<T>,
): Promise<T> {
  let stage: ReleaseStage | undefined;
  let cancel: () => void = () => undefined;
  let isOver = false;
  const tellLater = (): void => {
    if (isOver) return;
    cancel = clock.after(STAGE_EVERY_MS, () => {
      const record = { record: 'progress', stage: stage ?? 'turn', done: 0, total: 0 } as const;
      exchange.record(record).then(tellLater, () => undefined); // the client may be gone
    });
  };
  tellLater();
  try {
    return await work((next) => {
      stage = next;
    });
  } finally {
    isOver = true;
    cancel();
  }
}

/** Ends an answer: the head is not the one that the request is for. */
export async function tellVersionMoved(
  { version }: VersionConflict,
  ifVersion: number | undefined,
  exchange: ControlExchange,
): Promise<void> {
  const text = `the newest release is version ${version}, not ${ifVersion}: look at it, then try again`;
  await exchange.fail({ code: ErrorCode.versionMoved, text, version });
}

function isGuarded(outcome: { readonly kind: string }): outcome is GuardOutcome {
  return outcome.kind === 'guarded';
}

/** Sends the changes and the refusals of guards; the first refusal ends the answer. */
async function tellGuarded({ draft, refusals }: GuardOutcome, exchange: ControlExchange): Promise<void> {
  for (const change of draft.changes) await exchange.record(changeRecord(change));
  for (const refusal of refusals.slice(0, REFUSALS_TOLD_MAX)) {
    const reason = boundText(refusal.reason);
    await exchange.record({ record: 'refusal', ...refusal, permit: permitOf(refusal), reason });
  }
  const [first] = refusals;
  const more = refusals.length > 1 ? ` (and ${refusals.length - 1} more)` : '';
  await exchange.fail({
    code: ErrorCode.guardRefused,
    text: boundText(`nothing was released: ${first?.reason ?? ''}${more}`),
    part: first?.part,
    guard: first?.guard,
    permit: first && permitOf(first),
    before: first?.before,
    after: first?.after,
  });
}

/** The permit that overrides it; undefined: there is none. */
function permitOf({ guard }: GuardRefusal): string | undefined {
  return isPermitCode(guard) ? guard : undefined;
}

function isReleaseOutcome(outcome: { readonly kind: string }): outcome is ReleaseOutcome {
  return outcome.kind === 'planned' || outcome.kind === 'released' || outcome.kind === 'unchanged';
}

async function tellRelease(outcome: ReleaseOutcome, exchange: ControlExchange): Promise<void> {
  const { shown, otherCount } = outcome.warnings;
  for (const { code, part, reason } of [...outcome.notes, ...shown]) {
    await exchange.record({ record: 'warning', code, part, reason: boundText(reason) });
  }
  for (const { name, reason, meaning } of outcome.failedNames) {
    const text = `${name} does not resolve: ${reason}; ${meaning}`;
    await exchange.record({
      record: 'warning',
      code: 'name-not-resolved',
      part: name.slice(0, 63),
      reason: boundText(text),
    });
  }
  for (const change of outcome.draft.changes) await exchange.record(changeRecord(change));
  const head = outcome.head;
  await exchange.record({
    record: 'release',
    epoch: head?.manifest.epoch ?? 0,
    version: head?.manifest.version ?? 0,
    previousVersion: head?.manifest.previousVersion ?? 0,
    hash: hexOf(head?.hash ?? NO_HASH),
    createdAtMs: head?.manifest.createdAtMs ?? 0,
    parts: head?.manifest.parts ?? 0,
    ...totalsOf(outcome.draft.ruleSet),
    deltaBytes: outcome.draft.deltaBytes.length,
    dryRun: outcome.kind === 'planned',
    changed: outcome.isNew,
    otherWarnings: otherCount,
  });
}

/** Records call a put of a new part an addition, and a put or patch of an old one a change. */
export function changeRecord(change: PartChange): ControlRecordOf<'change'> {
  const { kind, name, addedCount, removedCount, unchangedCount } = change;
  return {
    record: 'change',
    op: change.op === 'put' ? 'add' : change.op === 'patch' ? 'change' : 'remove',
    kind: partWord(kind),
    name,
    added: addedCount,
    removed: removedCount,
    unchanged: unchangedCount,
  };
}

/** The number of entries in all lists, and of rules in all policies. */
export function totalsOf(ruleSet: RuleSet): { readonly entries: number; readonly rules: number } {
  let entries = 0;
  for (const list of ruleSet.lists.values()) entries += entryCount(list);
  let rules = 0;
  for (const policy of ruleSet.policies.values()) rules += policyRuleCount(policy);
  return { entries, rules };
}

function doneText(outcome: ReleaseOutcome): string {
  switch (outcome.kind) {
    case 'planned':
      return 'nothing was released: this was a dry run';
    case 'unchanged':
      return 'nothing to release: the newest release has this content already';
    case 'released':
      return `released version ${outcome.head?.manifest.version ?? 0}`;
  }
}
