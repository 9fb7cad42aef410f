/**
 * What a request that makes a release tells: what changed, what the release is, and what became of it at each subscriber.
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
import type { ControlExchange } from './control-exchange.ts';
import type { Guarded, Publisher, ReleaseOutcome, VersionMoved } from './publisher.ts';
import type { Release } from './store.ts';
import type { Outcome } from './subscribers.ts';

/** How long a request waits for subscribers, as its message says. */
export interface WaitFields {
  readonly wait: 'released' | 'applied';
  readonly timeoutMs: number;
}

/** Of a push of many lists; the rest is counted. */
const REFUSALS_TOLD_MAX = 32;
/** Where nothing was ever released. */
const NO_HASH = new Uint8Array(HASH_BYTES);

/** Runs what may make a release, tells what came of it, and ends the answer unless `tellOther` has. */
export async function answerWithRelease<Other extends { readonly kind: string }>(
  { wait, timeoutMs }: WaitFields,
  exchange: ControlExchange,
  publisher: Publisher,
  make: () => Promise<ReleaseOutcome | Guarded | Other>,
  tellOther: (outcome: Other) => Promise<void>,
): Promise<void> {
  const startMs = publisher.nowMs();
  const connected = new Set(publisher.subscribers.connected());
  const outcomes = new OutcomeLog(publisher);
  try {
    const outcome = await make();
    if (isGuarded(outcome)) return await tellGuarded(outcome, exchange);
    if (!isReleaseOutcome(outcome)) return await tellOther(outcome);
    await tellRelease(outcome, exchange);
    if (outcome.kind === 'released' && wait === 'applied' && outcome.head !== undefined) {
      await tellOutcomes(outcome.head, connected, outcomes, startMs + timeoutMs, exchange, publisher);
    }
    await exchange.done(outcome.kind, doneText(outcome));
  } finally {
    outcomes.close();
  }
}

/** Ends an answer: the head is not the one that the request is for. */
export async function tellVersionMoved(
  { version }: VersionMoved,
  ifVersion: number | undefined,
  exchange: ControlExchange,
): Promise<void> {
  const text = `the head is version ${version}, not ${ifVersion}: look at it, then try again`;
  await exchange.fail({ code: ErrorCode.versionMoved, text, version });
}

function isGuarded(outcome: { readonly kind: string }): outcome is Guarded {
  return outcome.kind === 'guarded';
}

/** What would change and what guards say against it; the end is the first of that. */
async function tellGuarded({ plan, refusals }: Guarded, exchange: ControlExchange): Promise<void> {
  for (const change of plan.changes) await exchange.record(changeRecord(change));
  for (const refusal of refusals.slice(0, REFUSALS_TOLD_MAX)) {
    await exchange.record({ record: 'refusal', ...refusal, reason: boundText(refusal.reason) });
  }
  const [first] = refusals;
  const more = refusals.length > 1 ? ` (and ${refusals.length - 1} more)` : '';
  await exchange.fail({
    code: ErrorCode.guardRefused,
    text: boundText(`nothing was released: ${first?.reason ?? ''}${more}`),
    part: first?.part,
    guard: first?.guard,
    permit: first?.permit,
    before: first?.before,
    after: first?.after,
  });
}

function isReleaseOutcome(outcome: { readonly kind: string }): outcome is ReleaseOutcome {
  return outcome.kind === 'planned' || outcome.kind === 'released' || outcome.kind === 'unchanged';
}

async function tellRelease(outcome: ReleaseOutcome, exchange: ControlExchange): Promise<void> {
  for (const { code, part, reason } of [...outcome.notes, ...outcome.plan.warnings]) {
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
  for (const change of outcome.plan.changes) await exchange.record(changeRecord(change));
  const head = outcome.head;
  await exchange.record({
    record: 'release',
    epoch: head?.manifest.epoch ?? 0,
    version: head?.manifest.version ?? 0,
    previousVersion: head?.manifest.previousVersion ?? 0,
    hash: hexOf(head?.hash ?? NO_HASH),
    createdAtMs: head?.manifest.createdAtMs ?? 0,
    parts: head?.manifest.parts.length ?? 0,
    ...totalsOf(outcome.plan.ruleSet),
    deltaBytes: outcome.plan.deltaBytes.length,
    dryRun: outcome.kind === 'planned',
    changed: outcome.plan.changed,
  });
}

/** One record for each subscriber that was connected when the request came, as they answer or until `deadlineMs`. */
async function tellOutcomes(
  head: Release,
  waiting: Set<string>,
  outcomes: OutcomeLog,
  deadlineMs: number,
  exchange: ControlExchange,
  publisher: Publisher,
): Promise<void> {
  const { version } = head.manifest;
  const sinceReleaseMs = (): number => Math.max(0, publisher.nowMs() - head.manifest.createdAtMs);
  void exchange.untilGone().then(() => outcomes.end());
  while (waiting.size > 0) {
    const outcome = await outcomes.next(deadlineMs - publisher.nowMs());
    if (outcome === undefined) break;
    if (!waiting.has(outcome.subscriber)) continue;
    const earlier = outcome.epoch === head.manifest.epoch && outcome.version < version;
    if (earlier && outcome.state !== 'disconnected') continue;
    waiting.delete(outcome.subscriber);
    const superseded = outcome.state === 'applied' && outcome.version !== version;
    await exchange.record({
      record: 'applied',
      subscriber: outcome.subscriber,
      state: superseded ? 'superseded' : outcome.state,
      version: outcome.version,
      ms: sinceReleaseMs(),
      bytes: outcome.bytes,
      code: outcome.code,
      text: outcome.text === undefined ? undefined : boundText(outcome.text),
      persisted: outcome.persisted,
    });
  }
  for (const subscriber of waiting) {
    await exchange.record({
      record: 'applied',
      subscriber,
      state: 'timeout',
      version,
      ms: sinceReleaseMs(),
      bytes: 0,
    });
  }
}

/** Gathers outcomes from before the release on, so that none is missed between commit and waiting. */
class OutcomeLog {
  private readonly publisher: Publisher;
  private readonly queue: Outcome[] = [];
  private wake: (() => void) | undefined;
  private ended = false;
  private readonly listener = (outcome: Outcome): void => {
    this.queue.push(outcome);
    this.wake?.();
  };

  constructor(publisher: Publisher) {
    this.publisher = publisher;
    publisher.subscribers.on('outcome', this.listener);
  }

  /** The next outcome, or undefined after `timeoutMs` or once ended. */
  async next(timeoutMs: number): Promise<Outcome | undefined> {
    if (this.queue.length === 0 && timeoutMs > 0 && !this.ended) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, timeoutMs);
        this.wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
      this.wake = undefined;
    }
    return this.ended ? undefined : this.queue.shift();
  }

  /** Ends the waiting. */
  end(): void {
    this.ended = true;
    this.wake?.();
  }

  close(): void {
    this.publisher.subscribers.off('outcome', this.listener);
  }
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

/** Entries of all lists, and rules of all policies. */
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
      return 'nothing to release: the head has this content already';
    case 'released':
      return `released version ${outcome.head?.manifest.version ?? 0}`;
  }
}
