/**
 * Delivers lists: makes batches of the differences, hands them to the consumer, and remembers the outcome of
 * each list.
 */

import { entryCount, type List } from '@rulecast/rules';
import type { Clock } from '../clock.ts';
import type { Permits, Refusal } from '../guard/guard.ts';
import type { EntryCounts, ListChange } from '../lists/change.ts';
import { sameList } from '../lists/expression.ts';
import type { Log } from '../log.ts';
import type { AuditEntry } from './list-log.ts';
import type { SourceTrouble } from './source.ts';

/** Lists to put in force, by name; undefined: no source has this list any more. */
export type ListBatch = ReadonlyMap<string, List | undefined>;

/** Why a list keeps its former content. */
export interface DeliveryRefusal extends Refusal {
  /** Only true has it tried again although the list stays the same. */
  readonly isTemporary?: boolean;
}

/** The outcome of a batch. */
export interface BatchOutcome {
  /** Lists that stay as they were, and why. */
  readonly refused: ReadonlyMap<string, DeliveryRefusal>;
  /** By how many entries each list changed that did. */
  readonly changes: ReadonlyMap<string, EntryCounts>;
  /** Lists that were put in force only because they may widen, and what was against it. */
  readonly widened?: ReadonlyMap<string, Refusal>;
}

/** Puts lists in force; the publisher does. */
export interface ListConsumer {
  /**
   * Puts a batch in force as one, but for lists that cannot be. Rejects where nothing could be put in force,
   * to be tried again. Entries that stand for more than before, in a list that rules accept, are for those
   * alone that `mayWiden` has.
   */
  update(batch: ListBatch, mayWiden: ReadonlySet<string>): Promise<BatchOutcome>;
  /** Whether a list of that name is in force. */
  holds(list: string): boolean;
}

/** Lists whose entries may grow wider although rules accept them; undefined: by the configuration. */
export type Widening = ReadonlyMap<string, Permits | undefined>;

export class Delivery {
  readonly #consumer: ListConsumer;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #onPermitted: (entry: AuditEntry) => void;
  /** The content of our lists at the consumer. */
  readonly #delivered = new Map<string, List>();
  /** Lists to be withdrawn. */
  readonly #leaving = new Set<string>();
  /** Why the consumer has not taken a list. */
  readonly #refused = new Map<string, SourceTrouble>();
  readonly #changes = new Map<string, ListChange>();

  /** `onPermitted` is called for lists put in force only by a permit. */
  constructor(consumer: ListConsumer, clock: Clock, log: Log, onPermitted: (entry: AuditEntry) => void) {
    this.#onPermitted = onPermitted;
    this.#consumer = consumer;
    this.#clock = clock;
    this.#log = log;
  }

  /** A list that was ours before the publisher stopped is in force. */
  resume(name: string, list: List): void {
    this.#delivered.set(name, list);
  }

  resumeChange(name: string, change: ListChange | undefined): void {
    if (change !== undefined) this.#changes.set(name, change);
  }

  /** The content of a list of ours in force. */
  inForce(name: string): List | undefined {
    return this.#delivered.get(name);
  }

  change(name: string): ListChange | undefined {
    return this.#changes.get(name);
  }

  /** Why a list that is good is not in force. */
  refusal(name: string): SourceTrouble | undefined {
    return this.#refused.get(name);
  }

  /**
   * No source has a list any more: if it is in force, it is withdrawn with the next batch. Returns whether it
   * is.
   */
  withdraw(name: string): boolean {
    this.#refused.delete(name);
    if (this.#delivered.has(name)) this.#leaving.add(name);
    return this.#leaving.has(name);
  }

  /** Whether a list is to be withdrawn, and is in force still. */
  isLeaving(name: string): boolean {
    return this.#leaving.has(name);
  }

  /** A list has a source after all. */
  retain(name: string): void {
    this.#leaving.delete(name);
  }

  /** Forgets lists that others removed. Returns whether there are any. */
  resync(): boolean {
    const lost = [...this.#delivered.keys()].filter((name) => !this.#consumer.holds(name));
    for (const name of lost) this.#delivered.delete(name);
    return lost.length > 0;
  }

  /**
   * Puts what differs of some lists in force. Resolves with whether to try again soon. Rejects as the
   * consumer does; then all of it still differs.
   */
  async deliver(lists: ReadonlyMap<string, List>, widening: Widening): Promise<boolean> {
    const batch = this.#batch(lists);
    if (batch.size === 0) return false;
    const { refused, changes, widened } = await this.#consumer.update(batch, new Set(widening.keys()));
    for (const [list, refusal] of widened ?? []) {
      const permits = widening.get(list);
      if (permits === undefined) continue;
      const [before = 0, after = 0] = [this.#delivered, batch].map((held) => countOf(held.get(list)));
      permits.needed.add(refusal.code);
      this.#onPermitted({ list, ...refusal, before, after, by: permits.by });
    }
    for (const [name, list] of batch) this.#settle(name, list, refused.get(name), changes.get(name));
    return [...refused.values()].some(({ isTemporary }) => isTemporary === true);
  }

  #batch(lists: ReadonlyMap<string, List>): ListBatch {
    const batch = new Map<string, List | undefined>();
    for (const [name, list] of lists) {
      if (sameList(list, this.#delivered.get(name)))
        this.#refused.delete(name); // its content is the one in force again
      else batch.set(name, list);
    }
    for (const name of this.#leaving) batch.set(name, undefined);
    return batch;
  }

  #settle(
    name: string,
    list: List | undefined,
    refusal: Refusal | undefined,
    counts: EntryCounts | undefined,
  ): void {
    if (list === undefined) {
      this.#leaving.delete(name);
      this.#delivered.delete(name);
      this.#changes.delete(name);
      if (refusal !== undefined) this.#log.warn({ list: name, code: refusal.code }, refusal.reason);
      return;
    }
    const atMs = this.#clock.wallMs();
    if (refusal === undefined) {
      this.#refused.delete(name);
      if (counts !== undefined) this.#changes.set(name, { atMs, ...counts });
      this.#delivered.set(name, list);
      return;
    }
    if (this.#refused.get(name)?.reason !== refusal.reason) {
      this.#log.warn({ list: name, code: refusal.code }, `list ${name} is not released: ${refusal.reason}`);
    }
    const { code, reason } = refusal;
    this.#refused.set(name, { code, reason, atMs });
  }
}

function countOf(list: List | undefined): number {
  return list === undefined ? 0 : entryCount(list);
}
