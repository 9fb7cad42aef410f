/**
 * Lists of sources: a batch of them becomes one release. A list that is refused, or has to wait, stays as it
 * is in the head and is reported, so that one bad feed does not hold up the others.
 *
 *   batch ─▶ started over? all wait for the first push
 *         ─▶ names ─▶ turn ─▶ held back: wider, unsupported, unreachable, without an address ─▶ the rest: desk
 */

import { ProtocolError, type Turn } from '@rulecast/protocol';
import { inTurns, type List, type Pieces, type RuleSet } from '@rulecast/rules';
import type { Subscribers } from '@rulecast/sessions';
import type { BatchOutcome, DeliveryRefusal } from '@rulecast/sources';
import type { Logger } from 'pino';
import { baseOf } from '../blocks/compile.ts';
import { bareText, newBareDrops } from '../guards/bare-drop.ts';
import type { GuardRefusal } from '../guards/refusal.ts';
import { unsupportedRefusals } from '../guards/unsupported.ts';
import { openingRefusals, widerDetail, widerLists, widerText } from '../guards/wider.ts';
import type { Store } from '../store/store.ts';
import { type Committer, GuardError } from './commit.ts';
import { type ReleaseDesk, STARTED_OVER } from './desk.ts';
import type { DraftGuards } from './draft-guards.ts';
import { type ListUpdate, listChanges, withLists } from './list-update.ts';
import { firstRefusal } from './outcome.ts';
import type { PendingNames } from './pending-names.ts';
import type { Turns } from './turns.ts';

/** Lists by name; undefined removes one. */
export type ListBatch = ReadonlyMap<string, List | undefined>;

const SOURCE_ADVICE = 'look at its source; never-block: takes addresses out of lists';
/** A list that would leave a drop rule without an address. It is tried again. */
const NAMES_NOT_RESOLVED = 'names-not-resolved';
/** Lists before the first push after `startOver`. They are tried again. */
const STARTED_OVER_CODE = 'started-over';

export interface SourceBatchesOptions {
  readonly store: Store;
  readonly committer: Committer;
  readonly desk: ReleaseDesk;
  readonly guards: DraftGuards;
  readonly subscribers: Subscribers;
  readonly pendingNames: PendingNames;
  readonly turns: Turns;
  readonly turn: Turn;
  readonly logger: Logger;
}

export class SourceBatches {
  readonly #options: SourceBatchesOptions;
  /** Lists that wait for the first push after `startOver`. */
  readonly #waiting = new Map<string, List>();

  constructor(options: SourceBatchesOptions) {
    this.#options = options;
  }

  /** The pushed part of the head, with the lists that wait for the first push. */
  async baseOfPush(): Promise<RuleSet> {
    const { store, committer } = this.#options;
    const ruleSet = baseOf(committer.ruleSet);
    return store.isStartedOver ? (await this.#inTurns(withLists(ruleSet, this.#waiting))).ruleSet : ruleSet;
  }

  /** A release is made: no list waits for one any more. */
  endWait(): void {
    this.#waiting.clear();
  }

  /** As Publisher.updateLists. */
  update(batch: ListBatch, mayWiden: ReadonlySet<string>): Promise<BatchOutcome> {
    const { store, committer, pendingNames, turns } = this.#options;
    return turns.ahead(async () => {
      if (store.isStartedOver) return this.#keepWaiting(batch);
      const { ruleSet } = await this.#inTurns(withLists(committer.ruleSet, batch));
      await pendingNames.bring(ruleSet, committer.ruleSet);
      return turns.take(() => this.#updateNow(batch, mayWiden));
    });
  }

  /** Keeps the lists for the first push with policies; nothing is released before it. */
  #keepWaiting(batch: ListBatch): BatchOutcome {
    const refusal: DeliveryRefusal = { code: STARTED_OVER_CODE, reason: STARTED_OVER, isTemporary: true };
    for (const [name, list] of batch) {
      if (list === undefined) this.#waiting.delete(name);
      else this.#waiting.set(name, list);
    }
    return { refused: new Map([...batch.keys()].map((name) => [name, refusal])), changes: new Map() };
  }

  async #updateNow(batch: ListBatch, mayWiden: ReadonlySet<string>): Promise<BatchOutcome> {
    const { committer, desk, guards, logger } = this.#options;
    const { ruleSet: head } = committer;
    const wider = await this.#inTurns(widerLists(head, batch, head.policies, { isFirst: true }));
    const opening = openingRefusals(wider);
    const waiting = [...opening].filter(([name]) => !mayWiden.has(name));
    const held = new Map([...(await this.#heldBack(batch)), ...waiting]);
    const { ruleSet, refused } = await this.#withResolvedLists(
      new Map([...batch].filter(([name]) => !held.has(name))),
    );
    const names = [...batch.keys()].filter((name) => !refused.has(name) && !held.has(name));
    const refuseAll = (refusal: DeliveryRefusal): BatchOutcome => ({
      refused: new Map([...held, ...refused, ...names.map((name) => [name, refusal] as const)]),
      changes: new Map(),
    });
    try {
      const origin = { cause: 'source', detail: widerDetail(names, wider) } as const;
      const outcome = await desk.release(ruleSet, origin, { guards: guards.of('source', {}, SOURCE_ADVICE) });
      if (outcome.kind === 'guarded') return refuseAll(firstRefusal(outcome));
      for (const [list, found] of wider) {
        if (names.includes(list))
          logger.warn({ list, entries: found.count }, `list ${list}: ${widerText(found)}`);
      }
      return {
        refused: new Map([...held, ...refused]),
        changes: listChanges(outcome.draft.changes),
        widened: new Map([...opening].filter(([name]) => names.includes(name))),
      };
    } catch (error) {
      if (!(error instanceof ProtocolError || error instanceof GuardError)) throw error;
      return refuseAll({ code: error.code, reason: error.message }); // of the content: trying again is of no use
    }
  }

  /**
   * Lists to hold back: each alone would drop a packet of `must-reach:`, or a firewall cannot enforce it. The
   * others go on.
   */
  async #heldBack(batch: ListBatch): Promise<ReadonlyMap<string, DeliveryRefusal>> {
    const { committer, guards } = this.#options;
    const held = this.#unsupported(batch);
    if (guards.mustReach.length === 0) return held;
    for (const [name, list] of batch) {
      const alone = await this.#inTurns(withLists(committer.ruleSet, new Map([[name, list]])));
      const [refusal] = await guards.cutOff(alone, SOURCE_ADVICE);
      if (refusal !== undefined) held.set(name, { code: refusal.guard, reason: refusal.reason });
    }
    return held;
  }

  /** Lists to hold back for now: rules use them, and a required firewall cannot take that. */
  #unsupported(batch: ListBatch): Map<string, DeliveryRefusal> {
    const { ruleSet: before } = this.#options.committer;
    const firewalls = this.#options.subscribers.firewalls();
    const against = (some: Iterable<readonly [string, List | undefined]>): readonly GuardRefusal[] => {
      const lists = new Map(before.lists);
      for (const [name, list] of some) if (list !== undefined) lists.set(name, list);
      return unsupportedRefusals({ before, after: { ...before, lists }, way: 'source', firewalls });
    };
    if (against(batch).length === 0) return new Map();
    return new Map(
      [...batch].flatMap(([name, list]) => {
        const [refusal] = list?.kind === 'names' ? against([[name, list]]) : [];
        if (refusal === undefined) return [];
        return [[name, { code: refusal.guard, reason: refusal.reason, isTemporary: true }] as const];
      }),
    );
  }

  /**
   * The rule set with a batch, but for lists that would leave a drop rule without an address: those wait
   * until their names resolve.
   */
  async #withResolvedLists(batch: ListBatch): Promise<ListUpdate> {
    const { committer, guards } = this.#options;
    const { ruleSet: head } = committer;
    const update = await this.#inTurns(withLists(head, batch));
    const drops = await this.#inTurns(newBareDrops(head, guards.withResolutions(update.ruleSet)));
    const bare = drops.filter(({ list }) => list !== undefined && batch.has(list));
    if (bare.length === 0) return update;
    const held = new Map(
      bare.map((drop) => [
        drop.list ?? '',
        { code: NAMES_NOT_RESOLVED, reason: bareText(drop), isTemporary: true },
      ]),
    );
    const rest = await this.#inTurns(
      withLists(head, new Map([...batch].filter(([name]) => !held.has(name)))),
    );
    return { ...rest, refused: new Map([...rest.refused, ...held]) };
  }

  #inTurns<T>(pieces: Pieces<T>): Promise<T> {
    return inTurns(pieces, this.#options.turn);
  }
}
